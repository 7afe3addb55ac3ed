#include "score/questions.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "data/prompt_template.h"

#define MAX_BYTES ((size_t)1 << 20)

#define EMBEDDED(name)                                                                                 \
    extern const unsigned char hb_prompt_##name[];                                                     \
    extern const size_t hb_prompt_##name##_length;
EMBEDDED(entailment)
EMBEDDED(p_true)
EMBEDDED(p_true_ideas)
EMBEDDED(verbalised)
EMBEDDED(self_assessment)
EMBEDDED(selfcheck)

/* A text and the placeholders that it must have. */
typedef struct known {
    const char *name;
    const unsigned char *text;
    const size_t *length;
    const char *needs[2];
} known;

static const known all[HB_N_QUESTIONS] = {
    {"entailment", hb_prompt_entailment, &hb_prompt_entailment_length, {"answer", "other"}},
    {"p_true", hb_prompt_p_true, &hb_prompt_p_true_length, {"question", "answer"}},
    {"p_true_ideas", hb_prompt_p_true_ideas, &hb_prompt_p_true_ideas_length, {"ideas", "answer"}},
    {"verbalised", hb_prompt_verbalised, &hb_prompt_verbalised_length, {"question", "answer"}},
    {"self_assessment",
     hb_prompt_self_assessment,
     &hb_prompt_self_assessment_length,
     {"question", "choices"}},
    {"selfcheck", hb_prompt_selfcheck, &hb_prompt_selfcheck_length, {"context", "sentence"}},
};

struct hb_questions {
    hb_prompt_template *templates[HB_N_QUESTIONS];
    char sha256[65];
};

/* ---- Filling ------------------------------------------------------------------------------------- */

static const char *value_of(const hb_filling *f, const char *name)
{
    const struct {
        const char *name, *value;
    } values[] = {{"question", f->question}, {"answer", f->answer},   {"other", f->other},
                  {"ideas", f->ideas},       {"choices", f->choices}, {"context", f->context},
                  {"sentence", f->sentence}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (strcmp(values[i].name, name) == 0) return values[i].value;
    return NULL;
}

static bool fill(void *user, const hb_path *path, hb_buffer *out, hb_error *why)
{
    const char *value = value_of(user, hb_path_text(path));
    if (!value) {
        hb_fail(why, HB_ERR_ARGUMENT, "there is no placeholder {%s} here", hb_path_text(path));
        return false;
    }
    if (hb_buffer_add_text(out, value)) return true;
    hb_fail_memory(why);
    return false;
}

hb_status hb_question_write(const hb_questions *questions, hb_question which, const hb_filling *filling,
                            hb_buffer *out, hb_error *err)
{
    hb_filling copy = *filling;
    hb_error why;
    if (hb_prompt_template_fill(questions->templates[which], fill, &copy, out, &why)) return HB_OK;
    return hb_fail(err, why.status, "%s", why.message);
}

/* ---- Opening ------------------------------------------------------------------------------------- */

/* Checks that a text has its placeholders and no others, by filling each with its own mark. */
static hb_status check(const hb_questions *q, hb_question which, hb_error *err)
{
    static const hb_filling of[HB_N_QUESTIONS] = {
        [HB_QUESTION_ENTAILMENT] = {.question = "\1", .answer = "\2", .other = "\3"},
        [HB_QUESTION_P_TRUE] = {.question = "\1", .answer = "\2"},
        [HB_QUESTION_P_TRUE_IDEAS] = {.question = "\1", .answer = "\2", .ideas = "\3"},
        [HB_QUESTION_VERBALISED] = {.question = "\1", .answer = "\2"},
        [HB_QUESTION_SELF_ASSESSMENT] = {.question = "\1", .choices = "\2"},
        [HB_QUESTION_SELFCHECK] = {.question = "\1", .context = "\2", .sentence = "\3"}};
    hb_buffer out = {0};
    hb_status status = hb_question_write(q, which, &of[which], &out, err);
    for (int i = 0; i < 2 && !status; i++)
        if (!strstr(out.data ? out.data : "", value_of(&of[which], all[which].needs[i])))
            status =
                hb_fail(err, HB_ERR_ARGUMENT, "the placeholder {%s} is missing", all[which].needs[i]);
    hb_buffer_free(&out);
    return status;
}

/* Reads the file that replaces a text. *found is false if the folder has none. */
static hb_status read_text(const char *dir, hb_question which, hb_buffer *text, char path[1024],
                           bool *found, hb_error *err)
{
    *found = false;
    if (!dir) return HB_OK;
    if (snprintf(path, 1024, "%s/%s.txt", dir, all[which].name) >= 1024)
        return hb_fail(err, HB_ERR_ARGUMENT, "%s: the path is too long", dir);
    if (access(path, F_OK) != 0) return HB_OK;
    *found = true;
    hb_status status = hb_read_file(path, MAX_BYTES, text, err);
    if (!status && !hb_utf8_valid(text->data ? text->data : "", text->length))
        status = hb_fail(err, HB_ERR_FORMAT, "%s: is not UTF-8", path);
    return status;
}

static hb_status open_one(hb_questions *q, const char *dir, hb_question which, hb_sha256 *hash,
                          bool *any, hb_error *err)
{
    hb_buffer text = {0};
    char path[1024] = "";
    bool found;
    hb_error why;
    hb_status status = read_text(dir, which, &text, path, &found, err);
    if (!status && !found && !hb_buffer_add(&text, all[which].text, *all[which].length))
        status = hb_fail_memory(err);
    *any = *any || found;
    while (text.length && text.data[text.length - 1] == '\n') text.data[--text.length] = '\0';
    if (!status) {
        hb_sha256_add(hash, text.data, text.length + 1);
        status = hb_prompt_template_parse(text.data, &q->templates[which], &why);
        if (!status) status = check(q, which, &why);
        if (status) status = hb_fail(err, why.status, "%s: %s", path, why.message);
    }
    hb_buffer_free(&text);
    return status;
}

hb_status hb_questions_open(const char *dir, hb_questions **questions, hb_error *err)
{
    hb_questions *q = calloc(1, sizeof *q);
    hb_sha256 hash;
    bool any = false;
    if (!q || !hb_sha256_init(&hash)) {
        free(q);
        return hb_fail_memory(err);
    }
    hb_status status = HB_OK;
    for (int i = 0; i < HB_N_QUESTIONS && !status; i++)
        status = open_one(q, dir, (hb_question)i, &hash, &any, err);
    hb_sha256_finish(&hash, q->sha256);
    if (!status && dir && !any)
        status = hb_fail(err, HB_ERR_ARGUMENT, "%s: has no file like %s.txt", dir, all[0].name);
    if (status) hb_questions_free(q);
    else *questions = q;
    return status;
}

void hb_questions_free(hb_questions *questions)
{
    for (int i = 0; questions && i < HB_N_QUESTIONS; i++)
        hb_prompt_template_free(questions->templates[i]);
    free(questions);
}

const char *hb_questions_sha256(const hb_questions *questions)
{
    return questions->sha256;
}
