/* Grading of answers. */
#include "check.h"

#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "base/answer.h"

/* The phrases of abstentions, prepared once. */
static hb_abstain_list *phrases;

static hb_grade grade_lines(const char *text, const char *answer, int32_t lines)
{
    hb_grade g;
    hb_error err;
    hb_grading grading = hb_grading_defaults();
    grading.answer_lines = lines;
    grading.abstains = phrases;
    assert_ok(hb_grade_answer(text, &answer, 1, &grading, &g, &err));
    return g;
}

static hb_grade grade(const char *text, const char *answer)
{
    return grade_lines(text, answer, 1);
}

/* ---- Words -------------------------------------------------------------------------------------- */

static const char *const same[][2] = {
    {" Paris", "paris"},
    {"Paris.\nWhat is", "Paris"},
    {"\n\n The Hague\n", "Hague"},
    {"N'Djamena", "NDjamena"},
    {"Rimsky-Korsakov", "rimsky korsakov"},
    {"STRASSE", "straße"}, /* full case folding */
    {"ＡＵ", "Au"},        /* full width */
    {"Sa\u0303o", "São"},  /* composed and decomposed */
    {"H₂O", "H2O"},
    {"the", "The"}, /* nothing but an article */
    {"“Faust”!", "Faust"},
    {"A Tale of Two Cities", "tale of two cities"},
    {"Catch-22", "Catch22"},
    {"F♯", "F#"},
    {"Ærø", "Aero"},
    {"Łódź", "Lodz"},
    {"Пу́шкин", "пушкин"},
    {"Королёв", "королев"},
    {"☃", "☃"}, /* nothing but a symbol */
    {"St. John's", "St Johns"},
    {"The Who™", "Who"},
    {"1º", "1"},
};

static const char *const different[][2] = {
    {"", "Paris"},
    {"Paris France", "Paris"},
    {"\xFF\xFE", "Paris"},
    {"parism", "paris"},
    {"...", "..."},
    {"C", "C++"},
    {"vitamin", "Vitamin a"},
    {"hepatitis", "hepatitis A"},
    {"F", "F#"},
    {"й", "и"},
    {"が", "か"},
    {"की", "कि"},
    {"+", "-"},
};

static void test_exact_after_normalising(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (!grade(same[i][0], same[i][1]).exact) fail_msg("%s is not %s", same[i][0], same[i][1]);
    for (size_t i = 0; i < sizeof different / sizeof *different; i++)
        if (grade(different[i][0], different[i][1]).exact)
            fail_msg("%s is %s", different[i][0], different[i][1]);
}

static void test_contains_whole_words(void **state)
{
    (void)state;
    assert_true(grade("It is New Delhi, I think.", "new delhi").contains);
    assert_false(grade("It is Newer Delhi", "new").contains);
    assert_false(grade("It is so.\nParis", "Paris").contains); /* the answer ended */
    assert_false(grade("anything", "!").contains);
    assert_true(grade("a b a b a c", "a b a c").contains); /* found after a false start */
    assert_false(grade("It is a dog", "A").contains);      /* an article is no letter */
    assert_true(grade("It is vitamin A.", "A").contains);
    assert_false(grade("9/11", "11").contains);
    assert_false(grade("at 8:30", "30").contains);
    assert_false(grade("the 1990s", "1990").contains);
    assert_true(grade("가나 가나다", "가나다").contains); /* not where it begins within a word */
    assert_false(grade("라가나다", "가나다").contains);
}

static void test_f1_counts_words(void **state)
{
    (void)state;
    assert_near(grade("Johann Wolfgang Goethe", "Johann Wolfgang von Goethe").f1, 6.0 / 7, 1e-12);
    assert_near(grade("b b c", "b c c").f1, 2.0 / 3, 1e-12);
    assert_near(grade("x", "y").f1, 0, 0);
    assert_near(grade("", "y").f1, 0, 0);
    assert_near(grade("東京大学", "京都").f1, 2.0 / 6, 1e-12);
    assert_near(grade("the x of the y", "the z").f1, 0, 0); /* articles do not count */
    assert_near(grade("the", "The").f1, 1, 0);
}

static void test_best_of_several_and_label(void **state)
{
    (void)state;
    static const char *const answers[] = {"Sucre", "La Paz"};
    hb_grade g;
    hb_error err;
    assert_ok(hb_grade_answer(" La Paz", answers, 2, NULL, &g, &err));
    assert_true(g.exact && g.contains && g.f1 == 1 && isnan(g.number_error));
    assert_ok(hb_grade_answer(" La Plata", answers, 2, NULL, &g, &err));
    assert_near(g.f1, 0.5, 1e-12);
    hb_grading by = hb_grading_defaults();
    assert_int_equal(hb_grade_label(&g, NULL), 1);
    by.rule = HB_GRADE_F1;
    assert_int_equal(hb_grade_label(&g, &by), 0);
    by.min_f1 = 0.51;
    assert_int_equal(hb_grade_label(&g, &by), 1);
    assert_ok(hb_grade_answer("x", NULL, 0, NULL, &g, &err));
    assert_false(g.exact || g.contains || g.choice || g.abstained);
}

/* ---- Numbers, dates ----------------------------------------------------------------------------- */

static void test_numbers(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"1000000", "1,000,000"},
        {".5", "0.5"},
        {"+5", "5"},
        {"0", "-0"},
        {"1'000", "1000"},
        {"1.000.000", "1e6"},
        {"5 000", "5000"},
        {"1.5E3", "1500"},
        {"10^-3", "0.001"},
        {"10⁻³", "0.001"},
        {"½", "1/2"},
        {"-$5", "-5 dollars"},
        {"$-5", "−5 USD"},
        {"€ 5", "5 euros"},
        {"5%", "5 per cent"},
        {"-5°", "minus 5"},
        {"$5 million", "5,000,000 dollars"},
        {"3·10^8", "3 × 10⁸"},
        {"١٢٫٥", "12.5"},
        {"5️⃣", "5"},
        {"0,123", "0.123"},
        {"EUR 5", "€5"},
        {"$2bn", "2 billion US dollars"},
        {"£3k", "3,000 pounds"},
        {"\\boxed{42}", "42"},
    };
    static const char *const different[][2] = {
        {"273.15", "-273.15"},    {"0.5", "5"},
        {"10", "10,000"},         {"1.0.3", "103"},
        {"1,2,3", "123"},         {"①②", "12"},
        {"1e6x", "1e6"},          {"2/3", "23"},
        {"5", "$5 million"},      {"2⁵", "25"},
        {"1,23,45", "12345"},     {"1990s", "1990"},
        {"5 euros", "5 dollars"}, {"1e9999999", "1e999999"},
        {"5M", "5 million"},      {"$5mm", "$5 million"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (!grade(same[i][0], same[i][1]).exact) fail_msg("%s is not %s", same[i][0], same[i][1]);
    for (size_t i = 0; i < sizeof different / sizeof *different; i++)
        if (grade(different[i][0], different[i][1]).exact)
            fail_msg("%s is %s", different[i][0], different[i][1]);
}

static void test_number_rule_and_tolerance(void **state)
{
    (void)state;
    hb_grading by = hb_grading_defaults();
    by.rule = HB_GRADE_NUMBER;
    hb_grade g = grade("It is 3.14, roughly", "3.1416");
    assert_near(g.number_error, 0.0016 / 3.1416, 1e-9);
    assert_int_equal(hb_grade_label(&g, &by), 1);
    by.tolerance = 0.001;
    assert_int_equal(hb_grade_label(&g, &by), 0);
    g = grade_lines("Step 1: 5 + 5 = 10.\nStep 2: 10 - 3 = 7.", "#### 7", HB_ALL_LINES);
    assert_near(g.number_error, 0, 0);
    g = grade("none", "7");
    assert_true(isnan(g.number_error));
    assert_int_equal(hb_grade_label(&g, &by), 1);
    assert_true(isinf(grade("7", "0").number_error));
    assert_true(isinf(grade("1e999", "2e999").number_error)); /* beyond what a double holds */
    assert_near(grade("1e999", "10e998").number_error, 0, 0);
}

static void test_dates(void **state)
{
    (void)state;
    static const char *const same[] = {
        "14 July 1789", "July 14, 1789",       "14th July 1789",      "14 Jul 1789",    "1789-07-14",
        "1789/07/14",   "14/7/1789",           "07/14/1789",          "14.07.1789",     "14. Juli 1789",
        "14-Jul-1789",  "14 juillet 1789",     "14 de julio de 1789", "14 luglio 1789", "14 июля 1789",
        "14 juli 1789", "14 de julho de 1789", "1789年7月14日",       "1789년 7월 14일"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (!grade(same[i], same[0]).exact) fail_msg("%s is another day", same[i]);
    static const char *const others[] = {"15 July 1789", "14 June 1789", "14 July 1790", "7/14/89",
                                         "1789-14-07",   "32 July 1789", "July 1789"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (grade(others[i], same[0]).exact) fail_msg("%s is the same day", others[i]);
    assert_true(grade("Mars 2020", "mars").contains); /* a planet */
    assert_true(grade("He set 14 records", "14 records").contains);
    assert_true(grade("05/05/2005", "5 May 2005").exact);
    assert_true(grade("4 July", "July 4th").exact);
}

/* ---- The table of the documentation ------------------------------------------------------------- */

enum { MAX_CELLS = 8, CELL = 256 };

/* Cuts a row of a Markdown table into its cells. */
static int cut_row(const char *line, char cells[MAX_CELLS][CELL])
{
    int n = -1;
    size_t length = 0;
    for (const char *c = line; *c && *c != '\n' && n < MAX_CELLS; c++) {
        bool escaped = *c == '\\' && c[1] == '|';
        if (*c == '|') {
            for (; n >= 0 && length && cells[n][length - 1] == ' '; length--) continue;
            if (n >= 0) cells[n][length] = '\0';
            n++;
            length = 0;
        } else if (n >= 0 && !(length == 0 && *c == ' ') && length + 1 < CELL) {
            c += escaped;
            cells[n][length++] = *c;
        }
    }
    return n;
}

/* Takes away a code span's backticks and turns \n into line ends. */
static void read_code(char *cell)
{
    size_t ticks = strspn(cell, "`"), n = 0, end = strlen(cell);
    assert_true(ticks > 0 && end > 2 * ticks);
    bool padded = ticks > 1;
    for (size_t i = ticks + padded; i < end - ticks - padded; i++) {
        bool line_end = cell[i] == '\\' && cell[i + 1] == 'n';
        cell[n++] = line_end ? '\n' : cell[i];
        i += line_end;
    }
    cell[n] = '\0';
}

static void check_cell(const char *column, const char *cell, const hb_grade *g, const char *row)
{
    hb_grading by = hb_grading_defaults();
    bool value = false;
    if (strcmp(column, "exact") == 0) value = g->exact;
    else if (strcmp(column, "contains") == 0) value = g->contains;
    else if (strcmp(column, "choice") == 0) value = g->choice;
    else if (strcmp(column, "abstains") == 0) value = g->abstained;
    else if (strcmp(column, "number") == 0) value = g->number_error <= by.tolerance;
    else if (strcmp(column, "F1") == 0) {
        if (fabs(g->f1 - atof(cell)) > 0.005) fail_msg("F1 is %.4f: %s", g->f1, row);
        return;
    } else {
        assert_string_equal(column, "because");
        return;
    }
    if (strcmp(cell, value ? "yes" : "no") != 0) fail_msg("%s is not %s: %s", column, cell, row);
}

static void test_the_documented_examples(void **state)
{
    (void)state;
    char line[1024], columns[MAX_CELLS][CELL], cells[MAX_CELLS][CELL];
    int n_columns = 0, checked = 0;
    FILE *file = fopen(HBAR_PROJECT "/docs/grading.md", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        int n = cut_row(line, cells);
        if (n < 1) n_columns = 0;
        else if (strcmp(cells[0], "answer") == 0) {
            n_columns = n;
            memcpy(columns, cells, sizeof columns);
            continue;
        }
        if (n_columns == 0 || *cells[0] != '`') continue;
        assert_int_equal(n, n_columns);
        bool number = strcmp(columns[2], "number") == 0;
        read_code(cells[0]);
        read_code(cells[1]);
        hb_grade g = grade_lines(cells[0], cells[1], number ? HB_ALL_LINES : 1);
        for (int k = 2; k < n; k++) check_cell(columns[k], cells[k], &g, line);
        checked++;
    }
    fclose(file);
    assert_true(checked > 80);
}

/* ---- Where the answer stands -------------------------------------------------------------------- */

typedef struct placed {
    const char *text, *answer;
    int32_t lines;
} placed;

static const placed places[] = {
    {"Paris", "Paris", 1},
    {" \n\t\n  Paris\nmore", "Paris", 1},
    {"a\n\nb\nc", "a\n\nb", 2},
    {"a\nb\nc\n", "a\nb\nc\n", HB_ALL_LINES},
    {"a\nb", "a", 0},
    {"<think>\nx\n</think>\nParis\n", "Paris", 1},
    {"<THINK>x</THINK>Paris", "Paris", 1},
    {"<think>a</think>\n<reasoning>b</reasoning>\nc\nd", "c", 1},
    {"[THINK]x <think> y[/THINK]\nParis", "Paris", 1},
    {"<seed:think>x</seed:think>Paris", "Paris", 1},
    {"x\ny</think>\n\nParis\nz", "Paris", 1},
    {"<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>Paris<|return|"
     ">",
     "Paris", 1},
    {"<|channel|>final<|message|>Paris", "Paris", 1},
    {"Paris <think>x</think>", "Paris <think>x</think>", 1},
    {"Sure!\n\nHere is the answer:\n\n```\nParis\n```", "Paris", 1},
    {"好的！\n答案：\n北京\n", "北京", 1},
    {"Answer:\n\n**Paris**", "**Paris**", 1},
    {"**Answer:** Paris\nx", "Paris", 1},
    {"Final answer：Paris", "Paris", 1},
    {"Answer: ", "", 1},
    {"Here it is:\n---\n", "Here it is:\n---\n", 1},
    {"Sure!", "Sure!", 1},
    {"There are two:\n- Red: 1\n- Blue: 2", "- Red: 1", 1},
    {"- Red: 1\n- Blue: 2", "- Red: 1", 1},
    {"The correct answer is: Paris.", "Paris.", 1},
    {"<think>x</think><answer>\nParis\n</answer>\nx", "Paris\n", HB_ALL_LINES},
    {"<answer>Paris</answer>", "Paris", 1},
    {"", "", 1},
    {"<think>", "", 1},
    {"<think>\nParis\n", "", 1},
};

static void test_places_of_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const placed *p = &places[i];
        hb_answer a = hb_answer_find(p->text, strlen(p->text), p->lines);
        if (a.end - a.start != strlen(p->answer) ||
            memcmp(p->text + a.start, p->answer, a.end - a.start))
            fail_msg("'%.*s' is the answer of '%s'", (int)(a.end - a.start), p->text + a.start,
                     p->text);
        assert_int_equal(a.end, hb_answer_length(p->text, strlen(p->text), p->lines));
    }
    hb_answer a = hb_answer_find("<think>x", 8, 1);
    assert_true(a.has_block && a.in_block && a.start == 8 && a.end == 8);
    a = hb_answer_find("<think>x</think>y", 17, 1);
    assert_true(a.has_block && !a.in_block);
    a = hb_answer_find("x</think>y", 10, 1);
    assert_true(a.has_block && !a.in_block && a.start == 9);
    assert_false(hb_answer_find("x", 1, 1).has_block);
}

/* Where the lead-in lines before an answer begin. */
static void test_lead_in_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t lead, start;
    } rows[] = {{"Paris", 0, 0},
                {"Answer: Paris", 8, 8},
                {"\nSo:\n\nParis", 1, 6},
                {"So:\nSure!\nParis", 0, 10},
                {"So:\n<think>\nx\n</think>\nThus:\nParis", 23, 29},
                {"x</think>\nThus:\nParis", 10, 16},
                {"So:", 0, 0},
                {"<think>x", 8, 8}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hb_answer a = hb_answer_find(rows[i].text, strlen(rows[i].text), 1);
        if (a.lead != rows[i].lead || a.start != rows[i].start)
            fail_msg("'%s': %zu, %zu", rows[i].text, a.lead, a.start);
    }
    hb_grade g = grade("Paris is the capital, and here is why:\n- It is large.", "Paris");
    assert_true(g.contains && !g.exact);
    assert_false(grade("Is it Rome?\n<think>\nOr Paris:\n</think>\nOslo", "Paris").contains);
    assert_true(grade("I don't know, but look at this:\nOslo", "Paris").abstained);
    assert_true(grade("Here is the answer:\nUnknown", "Paris").abstained);
}

static void test_blocks_that_are_not_known(void **state)
{
    (void)state;
    static const char *const unknown[] = {"<plan>\nx\n</plan>\nParis", " <|scratch|>x", "[PLAN] x",
                                          "Sure!\n<plan>x"};
    static const char *const others[] = {
        "<b>Paris</b>", "<3", "[1] Paris",     "[your name]", "<think>x</think>y",
        "Paris",        "",   "<answer>Paris", "<",           "[A]"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        if (!hb_answer_find(unknown[i], strlen(unknown[i]), 1).unknown_block)
            fail_msg("%s", unknown[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (hb_answer_find(others[i], strlen(others[i]), 1).unknown_block) fail_msg("%s", others[i]);
}

/* The answer ends where it does when the whole text is known, whatever pieces the text comes in. */
static void test_answers_end_while_they_grow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        for (size_t piece = 1; piece < 8; piece++) {
            const char *text = places[i].text;
            size_t length = strlen(text), at = 0;
            hb_answer_scan scan;
            hb_answer_scan_start(&scan, places[i].lines);
            if (strstr(text, "x\ny</think>") == text) /* the prompt opened the block */
                hb_answer_scan_add(&scan, "<think>", 7);
            for (bool ended = false; at < length && !ended; at += piece)
                ended = hb_answer_scan_add(&scan, text + at, length - at < piece ? length - at : piece);
            size_t end = hb_answer_length(text, length, places[i].lines);
            if (scan.ended && strncmp(text + end, "\n", 1) != 0 && text[end] != '<')
                fail_msg("'%s' ended at %zu", text, end);
            assert_int_equal(scan.ended, end < length);
            if (scan.ended) assert_in_range(at, end + 1, end + piece + strlen("</final_answer>"));
        }
}

static void test_blocks_that_prompts_open(void **state)
{
    (void)state;
    assert_string_equal(hb_answer_opened_block("<|im_start|>assistant\n<think>\n", 30), "<think>");
    assert_null(hb_answer_opened_block("<think>\n\n</think>\n\n", 19));
    assert_null(hb_answer_opened_block("", 0));
    static const char *const markers[] = {"<|channel|>", "<|message|>", "[THINK]",  "[/THINK]",
                                          "<think>",     "</think>",    "<|start|>"};
    static const char *const others[] = {"<s>", "</s>", "<|im_end|>", "<|endoftext|>", "[INST]",
                                         "k",   ""};
    for (size_t i = 0; i < sizeof markers / sizeof *markers; i++)
        assert_true(hb_answer_is_marker(markers[i], strlen(markers[i])));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(hb_answer_is_marker(others[i], strlen(others[i])));
}

/* ---- Choices ------------------------------------------------------------------------------------ */

static void test_choices(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int letter;
    } rows[] = {{"c", 'C'},
                {"[C]", 'C'},
                {"C - Paris", 'C'},
                {"C, of course. The others are correct, too: B", 'C'},
                {"\\boxed{C}", 'C'},
                {"It is (C) Paris", 'C'},
                {"Choice c.", 'C'},
                {"The answer is a", 'A'},
                {"the answer is a dog", 0},
                {"The answer is not B but C", 'C'},
                {"The answer is B or C", 0},
                {"B/C", 0},
                {"B.C. 44", 0},
                {"e.g. this", 0},
                {"I'd say so", 0},
                {"K", 0},
                {"", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int found = 0;
        for (int letter = 'A'; letter <= 'J'; letter++)
            if (grade(rows[i].text, (char[]){(char)letter, '\0'}).choice) found = found ? -1 : letter;
        if (found != rows[i].letter) fail_msg("'%s' chooses %d", rows[i].text, found);
    }
    static const char *const mmlu[] = {"B", "D, the vitamin"};
    hb_grade g;
    hb_error err;
    assert_ok(hb_grade_answer("D", mmlu, 2, NULL, &g, &err));
    assert_false(g.choice);
    assert_ok(hb_grade_answer("b)", mmlu, 2, NULL, &g, &err));
    assert_true(g.choice);
    assert_true(grade("B", "The answer is (B).").choice);
    assert_false(grade("D", "vitamin D").choice);
}

/* ---- Abstentions -------------------------------------------------------------------------------- */

static void test_abstentions_in_each_language(void **state)
{
    (void)state;
    static const char *const abstentions[] = {
        "I'm not sure.",
        "As an AI, I have no opinion.",
        "Tut mir leid, das weiß ich nicht.",
        "Je ne sais pas qui c'est.",
        "Lo siento, no lo sé.",
        "Non lo so.",
        "Eu não sei.",
        "Dat weet ik niet.",
        "К сожалению, я не знаю.",
        "对不起，我不知道。",
        "すみません、わかりません。",
        "잘 모르겠습니다.",
        "N/A",
        "I dunno",
        "This cannot be answered.",
        "Could you please provide more context?",
        "No comment.",
    };
    for (size_t i = 0; i < sizeof abstentions / sizeof *abstentions; i++)
        if (!grade(abstentions[i], "Paris").abstained) fail_msg("%s", abstentions[i]);
    static const char *const answers[] = {"Paris",
                                          "",
                                          "It is unknown to most that Paris is on the Seine",
                                          "no se puede",
                                          "東京だと思います。わかりません",
                                          "Je ne sais pas, mais je pense que c'est Paris",
                                          "我不知道，但我认为是北京",
                                          "I believe it is Paris, though I am not sure.",
                                          "I can't say exactly, but it was in Paris",
                                          "Je ne sais pas bien, mais c'est Paris"};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (grade(answers[i], "Rome").abstained) fail_msg("%s", answers[i]);
}

static void test_labels_and_counts_of_abstentions(void **state)
{
    (void)state;
    hb_grade g = grade("I don't know if it is Paris", "Paris");
    hb_grading by = hb_grading_defaults();
    by.rule = HB_GRADE_CONTAINS;
    assert_true(g.contains && g.abstained);
    assert_int_equal(hb_grade_label(&g, &by), HB_LABEL_NONE);
    size_t right[HB_N_GRADE_RULES + 1] = {0};
    hb_grade_count(&g, &by, right, HB_N_GRADE_RULES + 1);
    by.abstain_as = HB_ABSTAIN_RIGHT;
    assert_int_equal(hb_grade_label(&g, &by), 0);
    by.abstain_as = HB_ABSTAIN_WRONG;
    assert_int_equal(hb_grade_label(&g, &by), 1);
    g = grade("It is 5 in Paris", "Paris 5");
    hb_grade_count(&g, &by, right, HB_N_GRADE_RULES);
    g = grade("5", "5");
    hb_grade_count(&g, NULL, right, 2);
    assert_int_equal(right[HB_GRADE_EXACT], 1);
    assert_int_equal(right[HB_GRADE_CONTAINS], 1);
    assert_int_equal(right[HB_GRADE_F1], 1);
    assert_int_equal(right[HB_GRADE_NUMBER], 1);
    assert_int_equal(right[HB_GRADE_CHOICE] + right[HB_N_GRADE_RULES], 0);
}

/* Where abstaining is a right answer, an abstention is right. */
static void test_right_abstentions(void **state)
{
    (void)state;
    hb_grade g = grade("I don't know.", "unanswerable");
    assert_true(g.exact && g.contains && g.f1 == 1 && !g.abstained);
    static const char *const answers[] = {"Paris", "I have no comment"};
    hb_error err;
    assert_ok(hb_grade_answer("I cannot answer that.", answers, 2, NULL, &g, &err));
    assert_true(g.exact && !g.abstained);
    assert_ok(hb_grade_answer("Rome", answers, 2, NULL, &g, &err));
    assert_false(g.exact || g.abstained);
}

static hb_status open_list(const char *dir, const char *text, hb_abstain_list **list, hb_error *err)
{
    char path[160];
    snprintf(path, sizeof path, "%s/phrases.txt", dir);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return hb_abstain_list_open(path, list, err);
}

static void test_lists_of_ones_own(void **state)
{
    hb_abstain_list *list = NULL;
    hb_error err;
    hb_grade g;
    const char *answer = "Paris";
    hb_grading by = hb_grading_defaults();
    assert_ok(
        open_list(*state, "\xEF\xBB\xBF# ours\r\nBeats me\r\n\n= nada\n! but guess", &list, &err));
    by.abstains = list;
    static const struct {
        const char *text;
        bool abstained;
    } rows[] = {{"That beats me!", true},
                {"nada", true},
                {"nada mas", false},
                {"I don't know", true},
                {"Beats me, but guess: Rome", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_ok(hb_grade_answer(rows[i].text, &answer, 1, &by, &g, &err));
        assert_int_equal(g.abstained, rows[i].abstained);
    }
    hb_abstain_list_free(list);
    list = NULL;
    assert_fails(open_list(*state, "fine\n= ...\n", &list, &err), HB_ERR_FORMAT, "phrases.txt:2: ");
    assert_fails(open_list(*state, "caf\xE9\n", &list, &err), HB_ERR_FORMAT, "phrases.txt:1: ");
    assert_fails(hb_abstain_list_open("/nowhere/at all", &list, &err), HB_ERR_IO, "/nowhere/at all");
    assert_fails(hb_abstain_list_open("/dev/zero", &list, &err), HB_ERR_IO, "is a device");
    assert_null(list);
    hb_abstain_list_free(NULL);
}

/* ---- Hostile texts ------------------------------------------------------------------------------ */

static char *repeated(const char *unit, size_t size)
{
    size_t n = strlen(unit), count = size / n;
    char *text = malloc(count * n + 1);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) memcpy(text + i * n, unit, n);
    text[count * n] = '\0';
    return text;
}

/* Anything quadratic in these lengths would run for hours. */
static void test_hostile_texts(void **state)
{
    (void)state;
    static const struct {
        const char *unit;
        size_t size;
    } rows[] = {
        {"\u0301\u0323", 10 << 20},      /* marks whose order Unicode turns */
        {"\u0301\u034F\u0323", 1 << 20}, /* the same, with invisible characters between them */
        {"7", 1 << 20},                  /* a number of a million digits */
        {"1,111", 1 << 18},              /* groups that come to nothing */
        {"1.", 1 << 20},
        {"- ", 1 << 20},
        {"a ", 1 << 19},
        {"J. ", 1 << 20},
        {"가", 1 << 20},
        {"minus 1 million ", 1 << 19},
        {"14 ", 1 << 18},
        {"####", 1 << 20},
        {"<think>", 1 << 20},
        {"</think>", 1 << 20},
        {"Sure!\n", 1 << 20},
        {"answer B ", 1 << 19},
        {"\uFDFA", 1 << 16}, /* eighteen characters in one */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = repeated(rows[i].unit, rows[i].size / (UNDER_SLOW_CHECKER ? 16 : 1));
        grade_lines(text, "7", HB_ALL_LINES);
        free(text);
    }
    char *digits = repeated("7", 1 << 20);
    assert_true(grade(digits, digits).exact);
    assert_near(grade(digits, digits).number_error, 0, 0);
    digits[0] = '8';
    assert_true(isinf(grade(digits, "8").number_error));
    free(digits);
    char *words = repeated("가나", 1 << 18), *part = repeated("가", 1 << 17);
    assert_false(grade(words, part).contains);
    free(words);
    free(part);
}

/* Without memory nothing is set. */
static void test_without_memory(void **state)
{
    (void)state;
    if (UNDER_CHECKER) skip_because("the checker needs the address space that this test takes away");
    char *text = repeated("a ", 32 << 20);
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit little = {200 << 20, 200 << 20};
        bool gradable = true;
        hb_grade g = {.f1 = 0.25};
        hb_error err;
        const char *answer = "a";
        bool ok = setrlimit(RLIMIT_AS, &little) == 0 &&
                  hb_answer_is_gradable(text, &gradable, &err) == HB_ERR_MEMORY && gradable &&
                  hb_grade_answer(text, &answer, 1, NULL, &g, &err) == HB_ERR_MEMORY && g.f1 == 0.25 &&
                  err.status == HB_ERR_MEMORY;
        gradable = false;
        ok = ok && hb_answer_is_gradable(text, &gradable, NULL) == HB_ERR_MEMORY && !gradable;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status) fail_msg("the child ended with status %#x", (unsigned)status);
    free(text);
}

/* The part of an answer's words that its context has, as grading compares words. */
static void test_overlap(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *context;
        double overlap;
    } cases[] = {{"Paris", "It is PARIS, in France.", 1},
                 {"the capital of Peru", "The capital is in Peru.", 2.0 / 3},
                 {"no no no yes", "No.", 0.75},
                 {"1,000 men", "1000", 0.5},
                 {"London", "", 0},
                 {"?!", "?!", NAN},
                 {"", "Paris", NAN}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err;
        double overlap = 7;
        assert_ok(hb_word_overlap(cases[i].answer, strlen(cases[i].answer), cases[i].context, &overlap,
                                  &err));
        if (isnan(cases[i].overlap)) assert_true(isnan(overlap));
        else assert_near(overlap, cases[i].overlap, 1e-12);
    }
}

static void test_what_can_be_graded(void **state)
{
    (void)state;
    bool gradable = false;
    hb_error err;
    assert_ok(hb_answer_is_gradable("the", &gradable, &err));
    assert_true(gradable);
    assert_ok(hb_answer_is_gradable("?!", &gradable, &err));
    assert_false(gradable);
    assert_ok(hb_answer_is_gradable("%", &gradable, &err));
    assert_false(gradable);
    assert_ok(hb_answer_is_gradable("+", &gradable, &err));
    assert_true(gradable);
}

static void test_gradings(void **state)
{
    (void)state;
    hb_error err;
    hb_grading g = hb_grading_defaults();
    assert_ok(hb_grading_check(&g, &err));
    g.min_f1 = NAN;
    assert_fails(hb_grading_check(&g, &err), HB_ERR_ARGUMENT, "min_f1");
    g = hb_grading_defaults();
    g.tolerance = -1;
    assert_fails(hb_grading_check(&g, &err), HB_ERR_ARGUMENT, "tolerance");
    g = hb_grading_defaults();
    g.rule = HB_N_GRADE_RULES;
    assert_fails(hb_grading_check(&g, &err), HB_ERR_ARGUMENT, "rule");
    g = hb_grading_defaults();
    g.abstain_as = (hb_abstain_as)-1;
    assert_fails(hb_grading_check(&g, &err), HB_ERR_ARGUMENT, "abstain_as");
}

static void test_gradings_as_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",         "contains", "contains,out,1",  "Contains,out",  "f1,out",      "f1,out,0",
        "f1,out,2", "f1,out,x", "number,wrong,-1", "exact,unknown", "unknown,out", "f1,out,0.5 "};
    hb_error err;
    char text[HB_GRADING_TEXT_BYTES];
    hb_grading g = hb_grading_defaults(), back;
    for (int rule = 0; rule < HB_N_GRADE_RULES; rule++)
        for (int treatment = 0; treatment < HB_N_ABSTAIN_AS; treatment++) {
            g = (hb_grading){.rule = (hb_grade_rule)rule,
                             .abstain_as = (hb_abstain_as)treatment,
                             .min_f1 = 1.0 / 3,
                             .tolerance = 1e-9};
            hb_grading_text(&g, text);
            assert_ok(hb_grading_parse(text, &back, &err));
            assert_true(hb_grading_same(&g, &back));
        }
    g.rule = HB_GRADE_CONTAINS, g.abstain_as = HB_ABSTAIN_OUT;
    hb_grading_text(&g, text);
    assert_string_equal(text, "contains,out");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(hb_grading_parse(bad[i], &back, &err), HB_ERR_FORMAT, "is not a grading");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradings),
        cmocka_unit_test(test_gradings_as_texts),
        cmocka_unit_test(test_exact_after_normalising),
        cmocka_unit_test(test_contains_whole_words),
        cmocka_unit_test(test_f1_counts_words),
        cmocka_unit_test(test_best_of_several_and_label),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_number_rule_and_tolerance),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_the_documented_examples),
        cmocka_unit_test(test_places_of_answers),
        cmocka_unit_test(test_lead_in_lines),
        cmocka_unit_test(test_blocks_that_are_not_known),
        cmocka_unit_test(test_answers_end_while_they_grow),
        cmocka_unit_test(test_blocks_that_prompts_open),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_abstentions_in_each_language),
        cmocka_unit_test(test_labels_and_counts_of_abstentions),
        cmocka_unit_test(test_right_abstentions),
        cmocka_unit_test_setup_teardown(test_lists_of_ones_own, make_scratch, remove_scratch),
        cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_what_can_be_graded),
    };
    hb_error err;
    if (hb_abstain_list_open(NULL, &phrases, &err)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    hb_abstain_list_free(phrases);
    return failed;
}
