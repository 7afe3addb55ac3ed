#include "score/asking.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "measures/sentences.h"
#include "score/scorer.h"

/* ---- One question -------------------------------------------------------------------------------- */

typedef enum reading { READ_SHARE, READ_OTHER_SHARE, READ_LETTER, READ_NUMBER } reading;

/* A question that waits for its answer. */
typedef struct asking {
    hb_scoring *sample;
    reading how;
    double *into;  /* the value is added to this */
    double weight; /* after it is multiplied by this */
    int n_choices, right;
    double shares[HB_LETTERS]; /* of the first step */
    bool known;
    hb_buffer text;
} asking;

bool hb_stated_probability(const char *text, double *p)
{
    const char *at = text + strcspn(text, "0123456789");
    char *end;
    if (!*at || (at > text && at[-1] == '-')) return false;
    double value = strtod(at, &end);
    bool point = memchr(at, '.', (size_t)(end - at)) && end[-1] != '.';
    while (isspace((unsigned char)*end)) end++;
    if (point && value <= 1 && *end != '%') *p = value;
    else *p = value / 100;
    return *p <= 1;
}

/* The value of an answered question. */
static double value_of(asking *a)
{
    double value, all = 0;
    switch (a->how) {
    case READ_SHARE:
        return a->shares[0];
    case READ_OTHER_SHARE:
        return 1 - a->shares[0];
    case READ_LETTER:
        for (int i = 0; i < a->n_choices; i++) all += a->shares[i];
        return all > 0 ? a->shares[a->right] / all : 1.0 / a->n_choices;
    case READ_NUMBER:
        if (hb_stated_probability(a->text.data ? a->text.data : "", &value)) return value;
        a->sample->scorer->unstated++;
        return 0.5;
    }
    return 0.5;
}

static hb_status hear(void *user, const hb_event *event, hb_error *err)
{
    asking *a = user;
    if (event->kind == HB_EVENT_STEP && !a->known) {
        size_t n = hb_signal_set_count(event->step->signals);
        for (size_t i = 0; i < n && i < HB_LETTERS; i++) a->shares[i] = event->step->values[i];
        a->known = true;
    }
    if (event->kind == HB_EVENT_TOKEN && !hb_buffer_add(&a->text, event->bytes, event->length))
        return hb_fail_memory(err);
    if (event->kind != HB_EVENT_FINISH) return HB_OK;
    if (!event->outcome->error) *a->into += a->weight * value_of(a);
    hb_scoring *sample = a->sample;
    hb_buffer_free(&a->text);
    free(a);
    hb_end_part(sample, event->outcome);
    return HB_OK;
}

static const hb_signal_set *signals_of(const hb_asked_model *m, reading how, hb_question which)
{
    if (how == READ_LETTER) return m->reads_letters;
    if (how == READ_NUMBER) return m->reads_text;
    bool truth = which == HB_QUESTION_P_TRUE || which == HB_QUESTION_P_TRUE_IDEAS;
    return truth ? m->reads_truth : m->reads_yes;
}

static hb_status tokenize(const hb_asked_model *m, hb_buffer *text, int32_t **tokens, size_t *n,
                          hb_error *err)
{
    if (!m->chat && !hb_buffer_add_text(text, "\nAnswer:")) return hb_fail_memory(err);
    return hb_chat_prompt(m->model, m->chat, NULL, text->data, text->length, tokens, n, err);
}

#define NUMBER_TOKENS 8

/* Adds the request of a question. `question` is copied. */
static hb_status put(const hb_asked_model *m, const asking *question, hb_question which,
                     const hb_filling *filling, hb_error *err)
{
    hb_scorer *s = question->sample->scorer;
    hb_buffer text = {0};
    int32_t *tokens = NULL;
    size_t n = 0;
    uint64_t number;
    int32_t most = question->how == READ_NUMBER ? NUMBER_TOKENS : 1;
    asking *a = malloc(sizeof *a);
    if (!a) return hb_fail_memory(err);
    *a = *question;
    hb_status status = hb_question_write(s->options->questions, which, filling, &text, err);
    if (!status) status = tokenize(m, &text, &tokens, &n, err);
    if (!status && n + (size_t)most - 1 > (size_t)hb_scheduler_positions(m->scheduler))
        status = hb_fail(err, HB_ERR_CONTEXT,
                         "a question about the answer needs %zu tokens, more than "
                         "the context or the cache has",
                         n + (size_t)most - 1);
    hb_request r = {.prompt = tokens,
                    .n_prompt = n,
                    .monitor = hb_monitor_defaults(),
                    .sampling = hb_sampling_defaults(),
                    .n_samples = 1,
                    .max_tokens = most,
                    .purpose = HB_PURPOSE_QUESTION,
                    .sink = hear,
                    .user = a};
    r.monitor.watched = NULL;
    r.monitor.signals = signals_of(m, question->how, which);
    if (!status) status = hb_scheduler_add(m->scheduler, &r, &number, err);
    if (status) free(a);
    else question->sample->n_open++;
    free(tokens);
    hb_buffer_free(&text);
    return status;
}

/* ---- Entailment ---------------------------------------------------------------------------------- */

/* Whether an earlier answer has the same text. */
static bool is_repeated(const hb_scoring *sample, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(sample->sampled[j].text, sample->sampled[i].text) == 0) return true;
    return false;
}

/* Asks for every ordered pair of different texts. */
static hb_status ask_entailment(hb_scorer *s, hb_scoring *sample, hb_error *err)
{
    size_t n = (size_t)sample->n_drawn + 1;
    hb_status status = HB_OK;
    sample->asked.entailment = calloc(n * n, sizeof(double));
    if (!sample->asked.entailment) return hb_fail_memory(err);
    for (size_t i = 0; i < n * n && !status; i++) {
        size_t a = i / n, b = i % n;
        if (a == b || is_repeated(sample, a) || is_repeated(sample, b)) continue;
        const asking question = {.sample = sample, .into = &sample->asked.entailment[i], .weight = 1};
        const hb_filling f = {.question = sample->question,
                              .answer = sample->sampled[a].text,
                              .other = sample->sampled[b].text};
        status = put(s->judge.model ? &s->judge : &s->self, &question, HB_QUESTION_ENTAILMENT, &f, err);
    }
    return status;
}

/* ---- What a model says of its answer ------------------------------------------------------------- */

static hb_status ask_p_true(hb_scorer *s, hb_scoring *sample, hb_error *err)
{
    asking question = {.sample = sample, .into = &sample->asked.p_true, .weight = 1};
    hb_filling f = {.question = sample->question, .answer = sample->sampled[0].text};
    hb_buffer ideas = {0};
    hb_status status = put(&s->self, &question, HB_QUESTION_P_TRUE, &f, err);
    if (status || !sample->n_drawn) return status;
    bool ok = true;
    for (int32_t k = 1; k <= sample->n_drawn && ok; k++)
        ok = hb_buffer_add_text(&ideas, k > 1 ? "\n" : "") &&
             hb_buffer_add_text(&ideas, sample->sampled[k].text);
    f.ideas = ideas.data;
    question.into = &sample->asked.p_true_ideas;
    status = ok ? put(&s->self, &question, HB_QUESTION_P_TRUE_IDEAS, &f, err) : hb_fail_memory(err);
    hb_buffer_free(&ideas);
    return status;
}

static hb_status ask_verbalised(hb_scorer *s, hb_scoring *sample, hb_error *err)
{
    const asking question = {
        .sample = sample, .how = READ_NUMBER, .into = &sample->asked.verbalised, .weight = 1};
    const hb_filling f = {.question = sample->question, .answer = sample->sampled[0].text};
    return put(&s->self, &question, HB_QUESTION_VERBALISED, &f, err);
}

/* The first samples of the clusters that are shown as choices: the largest ones, in their order, and
 * the answer's own text (0) if its cluster is not among them. */
typedef struct choices {
    size_t shown[HB_LETTERS];
    int n, right; /* the right choice is the answer's */
} choices;

/* The number of samples in a cluster, and its first one. */
static size_t size_of(const size_t *cluster, size_t n, size_t number, size_t *first)
{
    size_t size = 0;
    for (size_t k = n; k >= 1; k--)
        if (cluster[k] == number) size++, *first = k;
    return size;
}

static choices choose(const size_t *cluster, size_t n, size_t n_clusters)
{
    choices c = {.right = -1};
    for (size_t number = 0; number < n_clusters; number++) {
        size_t first = 0, other = 0, larger = 0, size = size_of(cluster, n, number, &first);
        for (size_t k = 0; k < n_clusters; k++) {
            size_t than = size_of(cluster, n, k, &other);
            larger += than > size || (than == size && k < number);
        }
        if (larger >= HB_LETTERS - 2) continue;
        if (cluster[0] == number) c.right = c.n;
        c.shown[c.n++] = first;
    }
    if (c.right < 0) c.right = c.n, c.shown[c.n++] = 0;
    return c;
}

static bool write_choice(hb_buffer *out, int i, const char *text)
{
    const char mark[] = {'(', (char)('A' + i), ')', ' ', '\0'};
    return hb_buffer_add_text(out, i ? "\n" : "") && hb_buffer_add_text(out, mark) &&
           hb_buffer_add_text(out, text);
}

static hb_status ask_self_assessment(hb_scorer *s, hb_scoring *sample, hb_error *err)
{
    size_t n = (size_t)sample->n_drawn, n_clusters, *cluster = calloc(n + 1, sizeof *cluster);
    hb_buffer list = {0};
    if (!cluster) return hb_fail_memory(err);
    hb_status status = hb_cluster_samples(sample->sampled, n, NULL, cluster, &n_clusters, err);
    if (!status) {
        const choices c = choose(cluster, n, n_clusters);
        bool ok = true;
        for (int i = 0; i < c.n && ok; i++)
            ok = write_choice(&list, i, sample->sampled[c.shown[i]].text);
        ok = ok && write_choice(&list, c.n, "None of these");
        const asking question = {.sample = sample,
                                 .how = READ_LETTER,
                                 .into = &sample->asked.self_assessment,
                                 .weight = 1,
                                 .n_choices = c.n + 1,
                                 .right = c.right};
        const hb_filling f = {.question = sample->question, .choices = list.data};
        status =
            ok ? put(&s->self, &question, HB_QUESTION_SELF_ASSESSMENT, &f, err) : hb_fail_memory(err);
    }
    hb_buffer_free(&list);
    free(cluster);
    return status;
}

static size_t count_sentences(const char *text)
{
    size_t n = 0, at = 0, start, end;
    while (hb_sentence_next(text, strlen(text), &at, &start, &end)) n++;
    return n;
}

/* Asks of each sentence whether each sample supports it. */
static hb_status ask_selfcheck(hb_scorer *s, hb_scoring *sample, hb_error *err)
{
    const char *text = sample->sampled[0].text;
    size_t n = count_sentences(text) * (size_t)sample->n_drawn, at = 0, start, end;
    hb_status status = HB_OK;
    while (!status && hb_sentence_next(text, strlen(text), &at, &start, &end)) {
        char *sentence = strndup(text + start, end - start);
        if (!sentence) return hb_fail_memory(err);
        for (int32_t k = 1; k <= sample->n_drawn && !status; k++) {
            const asking question = {.sample = sample,
                                     .how = READ_OTHER_SHARE,
                                     .into = &sample->asked.selfcheck,
                                     .weight = 1 / (double)n};
            const hb_filling f = {
                .question = sample->question, .context = sample->sampled[k].text, .sentence = sentence};
            status = put(&s->self, &question, HB_QUESTION_SELFCHECK, &f, err);
        }
        free(sentence);
    }
    return status;
}

hb_status hb_ask(hb_scorer *s, hb_scoring *sample, hb_error *err)
{
    static const struct {
        hb_asks bit;
        hb_status (*ask)(hb_scorer *s, hb_scoring *sample, hb_error *err);
    } all[] = {{HB_ASKS_ENTAILMENT, ask_entailment},
               {HB_ASKS_P_TRUE, ask_p_true},
               {HB_ASKS_VERBALISED, ask_verbalised},
               {HB_ASKS_SELF_ASSESSMENT, ask_self_assessment},
               {HB_ASKS_SELFCHECK, ask_selfcheck}};
    hb_status status = HB_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all && !status; i++)
        if (s->asks & (unsigned)all[i].bit) status = all[i].ask(s, sample, err);
    return status;
}

/* ---- Scores -------------------------------------------------------------------------------------- */

hb_status hb_asked_scores(const hb_scorer *s, const hb_scoring *sample, hb_scores **scores,
                          hb_error *err)
{
    const hb_asked *a = &sample->asked;
    const struct {
        unsigned asks;
        bool needs_samples;
        const char *name;
        double value;
    } all[] = {{HB_ASKS_P_TRUE, false, "p_true", a->p_true},
               {HB_ASKS_P_TRUE, true, "p_true_ideas", a->p_true_ideas},
               {HB_ASKS_VERBALISED, false, "verbalised", a->verbalised},
               {HB_ASKS_SELF_ASSESSMENT, true, "self_assessment", a->self_assessment},
               {HB_ASKS_SELFCHECK, true, "selfcheck_prompt", a->selfcheck}};
    const char *names[sizeof all / sizeof *all];
    double values[sizeof all / sizeof *all];
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!(s->asks & all[i].asks) || (all[i].needs_samples && !sample->n_drawn)) continue;
        names[n] = all[i].name;
        values[n++] = all[i].value;
    }
    hb_status status = hb_scores_of_names(names, n, scores, err);
    for (size_t i = 0; i < n && !status; i++) hb_scores_set(*scores, i, values[i]);
    return status;
}

/* ---- Models -------------------------------------------------------------------------------------- */

static hb_status make_set(hb_p_yes *list, int n, hb_signal_set **set, hb_error *err)
{
    hb_status status = hb_signal_set_new(set, err);
    for (int i = 0; i < n && !status; i++) status = hb_signal_set_add(*set, &list[i].signal, err);
    return status;
}

hb_status hb_asked_model_open(hb_asked_model *m, hb_error *err)
{
    hb_status status = hb_p_yes_open(m->model, &m->yes, err);
    if (!status) status = hb_p_true_open(m->model, &m->truth, err);
    for (int i = 0; i < HB_LETTERS && !status; i++)
        status = hb_p_letter_open(m->model, i, HB_LETTERS, &m->letters[i], err);
    if (!status) status = make_set(&m->yes, 1, &m->reads_yes, err);
    if (!status) status = make_set(&m->truth, 1, &m->reads_truth, err);
    if (!status) status = make_set(m->letters, HB_LETTERS, &m->reads_letters, err);
    return status ? status : hb_signal_set_new(&m->reads_text, err);
}

void hb_asked_model_close(hb_asked_model *m)
{
    hb_signal_set_free(m->reads_yes);
    hb_signal_set_free(m->reads_truth);
    hb_signal_set_free(m->reads_letters);
    hb_signal_set_free(m->reads_text);
}
