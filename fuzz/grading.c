/* The input is a text and right answers: graded by every rule, and the answer found in it. */
#include <math.h>
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static hb_abstain_list *phrases;
    choices c = {data, size};
    char answers[3][256];
    const char *list[3];
    hb_error err;
    hb_grade grade;
    bool gradable;
    double overlap;
    if (!phrases) require(hb_abstain_list_open(NULL, &phrases, &err) == HB_OK);
    hb_grading g = hb_grading_defaults();
    g.abstains = phrases;
    g.answer_lines = (int32_t)choose_below(&c, 4) - 1;
    size_t n = choose_below(&c, 4);
    for (size_t i = 0; i < n; i++) list[i] = choose_text(&c, answers[i]);
    char *text = strndup((const char *)c.at, c.left);
    require(text && hb_grade_answer(text, list, n, &g, &grade, &err) == HB_OK);
    require(grade.f1 >= 0 && grade.f1 <= 1);
    require(!grade.exact || grade.contains);
    for (int rule = 0; rule < HB_N_GRADE_RULES; rule++) {
        g.rule = (hb_grade_rule)rule;
        int label = hb_grade_label(&grade, &g);
        require(label == HB_LABEL_NONE || label == 0 || label == 1);
    }
    for (size_t i = 0; i < n; i++) require(hb_answer_is_gradable(list[i], &gradable, &err) == HB_OK);
    size_t length = strlen(text);
    hb_answer found = hb_answer_find(text, length, g.answer_lines);
    require(found.lead <= found.start && found.start <= found.end && found.end <= length);
    require(hb_answer_length(text, length, g.answer_lines) <= length);
    require(hb_word_overlap(text, length, n ? list[0] : "", &overlap, &err) == HB_OK);
    require(isnan(overlap) || (overlap >= 0 && overlap <= 1));
    free(text);
    return 0;
}
