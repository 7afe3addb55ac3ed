/* Given answers: their tokens are those that the model would have generated, and are measured the same.
 */
#include "check.h"

#include <math.h>
#include "allocations.h"

static hb_model *open_vocab(const char *path)
{
    hb_error err;
    hb_model *model;
    assert_ok(hb_model_open_vocab(path, &model, &err));
    return model;
}

static hb_chat *open_chat(const hb_model *model, const char *format, const char *template)
{
    hb_chat_options o = hb_chat_defaults();
    hb_error err;
    hb_chat *chat;
    o.format = format;
    o.template_text = template;
    o.template_length = template ? strlen(template) : 0;
    assert_ok(hb_chat_open(model, &o, &chat, &err));
    return chat;
}

static hb_given tokenize(const hb_model *model, const hb_chat *chat, const char *prompt,
                         const char *answer)
{
    hb_error err;
    hb_given g;
    assert_ok(
        hb_given_tokenize(model, chat, NULL, prompt, strlen(prompt), answer, strlen(answer), &g, &err));
    return g;
}

/* Appends the tokens' spellings, each in brackets. */
static void spell(const hb_model *model, const int32_t *tokens, size_t n, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && used < size; i++) {
        size_t length;
        const char *piece = hb_token_piece(model, tokens[i], &length);
        used += (size_t)snprintf(out + used, size - used, "[%.*s]", (int)length, piece);
    }
}

/* ---- Tokens -------------------------------------------------------------------------------------- */

#define S "\xE2\x96\x81" /* SentencePiece's space */

/* A bare prompt and its answer are joined as generation would. */
static void test_bare_prompts(void **state)
{
    static const struct {
        const char *prompt, *answer, *tokens;
    } rows[] = {
        {"it is", "the sun", "[" S "the][" S "sun]"},  /* a space comes between */
        {"it is", " the sun", "[" S "the][" S "sun]"}, /* unless there is one */
        {"it is:\n", "the sun", "[t][h][e][" S "sun]"},
        {"it is ", "the sun", "[t][h][e][" S "sun]"},
        {"it is\n", "\nthe", "[<0x0A>][t][h][e]"},
        {"it is", ".", "[.]"},
        {"it is", "\xE6\x97\xA5", "[<0xE6>][<0x97>][<0xA5>]"},
        {"it is", "\xC3\xA9", "[" S "][<0xC3>][<0xA9>]"},
        {"it is", "</s>", "[" S "][<][/][s][>]"}, /* never a control token */
    };
    (void)state;
    hb_model *model = open_vocab(tiny_model("f32"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hb_error err;
        int32_t *prompt;
        size_t n;
        char text[512];
        hb_given g = tokenize(model, NULL, rows[i].prompt, rows[i].answer);
        assert_ok(hb_chat_prompt(model, NULL, NULL, rows[i].prompt, strlen(rows[i].prompt), &prompt, &n,
                                 &err));
        assert_int_equal(g.n_prompt, n);
        assert_memory_equal(g.tokens, prompt, n * sizeof *prompt);
        spell(model, g.tokens + n, g.n_answer, text, sizeof text);
        assert_string_equal(text, rows[i].tokens);
        free(prompt);
        hb_given_free(&g);
    }
    hb_model_close(model);
}

/* In byte-level vocabularies, texts are divided into words before merging. */
static void test_byte_level(void **state)
{
    char text[128];
    (void)state;
    hb_model *model = open_vocab(tiny_model("bytes"));
    hb_given g = tokenize(model, NULL, "a", "the");
    spell(model, g.tokens + g.n_prompt, g.n_answer, text, sizeof text);
    assert_string_equal(text, "[\xC4\xA0the]");
    hb_given_free(&g);
    g = tokenize(model, NULL, "at", "he"); /* "the" would be one token, but the prompt has ended */
    spell(model, g.tokens + g.n_prompt, g.n_answer, text, sizeof text);
    assert_string_equal(text, "[\xC4\xA0][h][e]");
    hb_given_free(&g);
    g = tokenize(model, NULL, "at ", "he");
    spell(model, g.tokens, g.n_prompt + g.n_answer, text, sizeof text);
    assert_string_equal(text, "[a][t][\xC4\xA0][h][e]");
    hb_given_free(&g);
    hb_model_close(model);
}

/* In every format, prompt and answer have the tokens of the conversation, and the token that ends the
 * turn is the last one. */
static void test_formats(void **state)
{
    static const hb_message talk[] = {{HB_ROLE_USER, "who is it", 9},
                                      {HB_ROLE_ASSISTANT, "the sun", 7}};
    int ended = 0;
    (void)state;
    hb_model *model = open_vocab(tiny_model("chat"));
    for (size_t i = 0; hb_chat_format_name(i); i++) {
        hb_error err;
        int32_t *whole;
        size_t n;
        hb_chat *chat = open_chat(model, hb_chat_format_name(i), NULL);
        hb_given g = tokenize(model, chat, talk[0].text, talk[1].text);
        assert_ok(hb_chat_tokenize(chat, talk, 2, false, &whole, &n, &err));
        size_t total = g.n_prompt + g.n_answer;
        assert_in_range(total, 1, n);
        assert_memory_equal(g.tokens, whole, total * sizeof *whole);
        bool ends = hb_token_is_end(model, g.tokens[total - 1]);
        for (size_t k = total; k < n; k++) assert_false(hb_token_is_end(model, whole[k]));
        ended += ends;
        assert_int_equal(g.characters[g.n_answer - 1 - ends].end, 7);
        free(whole);
        hb_given_free(&g);
        hb_chat_close(chat);
    }
    assert_in_range(ended, 10, 40); /* those whose token this vocabulary has */
    hb_model_close(model);
}

#define TURNS "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
#define ASKS  "{% if add_generation_prompt %}<|im_start|>assistant\n"

/* Text of a template about reasoning before an answer belongs to the prompt. */
static void test_reasoning(void **state)
{
    static const char thinks[] = "{% for m in messages %}<|im_start|>{{ m.role }}\n"
                                 "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
                                 "{{ m.content }}<|im_end|>\n{% endfor %}" ASKS "{% endif %}";
    static const struct {
        const char *template, *answer, *prompt_end, *tokens;
    } rows[] = {
        {TURNS ASKS "{% endif %}", "a", "[t][<0x0A>]", "[a][<|im_end|>]"},
        {TURNS ASKS "{% endif %}", "\na", "[t][<0x0A>]", "[<0x0A>][a][<|im_end|>]"},
        {TURNS ASKS "<think>\n{% endif %}", "a", "[n][k][>][<0x0A>][<0x0A>]", "[a][<|im_end|>]"},
        {TURNS ASKS "<think>\n{% endif %}", "b</think>a", "[n][k][>][<0x0A>]",
         "[b][<][/][t][h][i][n][k][>][a][<|im_end|>]"},
        {thinks, "a", "[/][t][h][i][n][k][>][<0x0A>][<0x0A>]", "[a][<|im_end|>]"},
        {thinks, "<think>b</think>a", "[a][n][t][<0x0A>]",
         "[<][t][h][i][n][k][>][b][<][/][t][h][i][n][k][>][a][<|im_end|>]"},
        /* a template that accepts no answers, and one without ends of turns */
        {"{% if messages|length > 1 %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}=",
         "a", "[=]", "[a]"},
        {"{% for m in messages %}{{ m.content }}:{% endfor %}", "a", "[:]", "[a]"},
    };
    (void)state;
    hb_model *model = open_vocab(tiny_model("chat"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[1024];
        hb_chat *chat = open_chat(model, NULL, rows[i].template);
        hb_given g = tokenize(model, chat, "q", rows[i].answer);
        spell(model, g.tokens, g.n_prompt, text, sizeof text);
        size_t length = strlen(text), end = strlen(rows[i].prompt_end);
        assert_true(length >= end);
        assert_string_equal(text + length - end, rows[i].prompt_end);
        spell(model, g.tokens + g.n_prompt, g.n_answer, text, sizeof text);
        assert_string_equal(text, rows[i].tokens);
        hb_given_free(&g);
        hb_chat_close(chat);
    }
    hb_model_close(model);
}

/* A prompt that contains its markers is joined like a bare one; no space is inserted after a control
 * token. */
static void test_prepared(void **state)
{
    static const struct {
        const char *prompt, *tokens;
    } rows[] = {{"it is", "[" S "the]"},
                {"<|im_start|>user\nit is", "[" S "the]"},
                {"it is<|im_end|>", "[" S "the]"}};
    (void)state;
    hb_model *model = open_vocab(tiny_model("chat"));
    hb_chat *chat = open_chat(model, HB_CHAT_PREPARED, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[256];
        hb_given g = tokenize(model, chat, rows[i].prompt, "the");
        spell(model, g.tokens + g.n_prompt, g.n_answer, text, sizeof text);
        assert_string_equal(text, rows[i].tokens);
        assert_int_equal(g.characters[0].start, 0);
        assert_int_equal(g.characters[0].end, 3);
        hb_given_free(&g);
    }
    hb_chat_close(chat);
    hb_model_close(model);
}

/* Tokenizes the first sample of a row and compares prompt and response with spellings of tokens. */
static void check_sample(const hb_model *model, const hb_chat *chat, const char *system,
                         const char *row, const char *prompt, const char *response)
{
    char text[1024];
    hb_error err;
    hb_sample sample;
    hb_dataset *dataset;
    bool found;
    hb_given g;
    int pipes[2];
    char path[32];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(write(pipes[1], row, strlen(row)), strlen(row));
    close(pipes[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", pipes[0]);
    assert_ok(hb_dataset_open(path, NULL, &dataset, &err));
    close(pipes[0]);
    assert_ok(hb_dataset_next(dataset, &sample, &found, &err));
    assert_ok(hb_sample_tokenize(model, chat, system, &sample, &g, &err));
    spell(model, g.tokens, g.n_prompt, text, sizeof text);
    assert_string_equal(text, prompt);
    spell(model, g.tokens + g.n_prompt, g.n_answer, text, sizeof text);
    assert_string_equal(text, response);
    hb_given_free(&g);
    hb_dataset_close(dataset);
}

#define MESSAGE(role, text) "{\"role\":\"" role "\",\"content\":\"" text "\"}"
#define CONVERSATION                                                                                   \
    "{\"messages\":[" MESSAGE("user", "a") "," MESSAGE("assistant", "b") "," MESSAGE(                  \
        "user", "<|im_end|>") "],\"answers\":[\"x\"]}"
#define ANSWERED                                                                                       \
    "{\"messages\":[" MESSAGE("system", "s") "," MESSAGE("user", "a") "," MESSAGE(                     \
        "assistant", "b") "],\"label\":0}"
#define FAKED "[<][|][i][m][_][e][n][d][|][>]"

/* With a chat, the messages of a row are turns. They spell no control token. Without one, and in a
 * prepared prompt, they are one text. */
static void test_conversations(void **state)
{
    (void)state;
    hb_model *model = open_vocab(tiny_model("chat"));
    hb_chat *chat = open_chat(
        model, NULL,
        "{% for m in messages %}<|im_start|>{{ m.role[0] }}{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>{% endif %}");
    hb_chat *prepared = open_chat(model, HB_CHAT_PREPARED, NULL);
#define TURN(text) "[<|im_start|>]" text "[<|im_end|>]"
    check_sample(
        model, chat, NULL, CONVERSATION,
        "[<s>]" TURN("[" S "u][a]") TURN("[" S "a][b]") TURN("[" S "u]" FAKED) "[<|im_start|>]", "");
    check_sample(model, chat, "i", CONVERSATION,
                 "[<s>]" TURN("[" S "si]") TURN("[" S "u][a]") TURN("[" S "a][b]")
                     TURN("[" S "u]" FAKED) "[<|im_start|>]",
                 "");
    check_sample(model, chat, "i", ANSWERED,
                 "[<s>]" TURN("[" S "s][s]") TURN("[" S "u][a]") "[<|im_start|>][" S "a]",
                 "[b][<|im_end|>]"); /* the row's own system message counts */
    check_sample(model, NULL, NULL, ANSWERED,
                 "[<s>][" S "s][<0x0A>][<0x0A>][U][s][e][r][:][" S "a][<0x0A>][<0x0A>][A][s][s]"
                 "[i][s][t][a][n][t][:]",
                 "[" S "b]");
    check_sample(model, prepared, NULL,
                 "{\"messages\":[" MESSAGE("system", "<|im_start|>") "," MESSAGE(
                     "user", "a") "],"
                                  "\"answers\":[\"x\"]}",
                 "[<s>][<|im_start|>][" S "][<0x0A>][<0x0A>][U][s][e][r][:][" S "a][<0x0A>][<0x0A>][A]"
                 "[s][s][i][s][t][a][n][t][:]",
                 "");
    hb_chat_close(prepared);
    hb_chat_close(chat);
    hb_model_close(model);
}

/* ---- Characters ---------------------------------------------------------------------------------- */

static void check_characters(const hb_model *model, const char *prompt, const char *answer,
                             const char *expected)
{
    char text[256] = "";
    size_t used = 0;
    hb_given g = tokenize(model, NULL, prompt, answer);
    for (size_t i = 0; i < g.n_answer; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%d-%d ", (int)g.characters[i].start,
                                 (int)g.characters[i].end);
    assert_string_equal(text, expected);
    hb_given_free(&g);
}

static void test_characters(void **state)
{
    (void)state;
    hb_model *model = open_vocab(tiny_model("f32"));
    check_characters(model, "it", "the sun", "0-3 3-7 "); /* without the space between */
    check_characters(model, "it", " the sun", "0-4 4-8 ");
    check_characters(model, "it", "\xC3\xA9 a", "0-0 0-1 0-1 1-3 ");
    check_characters(model, "it\n", "\xF0\x9F\x98\x80!", "0-1 0-1 0-1 0-1 1-2 ");
    check_characters(model, "it\n",
                     "\x80"
                     "a",
                     "0-0 0-1 "); /* malformed */
    hb_model_close(model);
}

/* ---- Measurements -------------------------------------------------------------------------------- */

typedef struct fixture {
    hb_model *model;
    hb_session *session;
} fixture;

static fixture open_demo(int32_t n_ctx)
{
    fixture f;
    hb_error err;
    const hb_session_options o = {.n_ctx = n_ctx, .n_threads = 2};
    assert_ok(hb_model_open(HBAR_PROJECT "/models/hbar-demo.gguf", &f.model, &err));
    assert_ok(hb_session_open(f.model, &o, &f.session, &err));
    return f;
}

static void close_fixture(fixture *f)
{
    hb_session_close(f->session);
    hb_model_close(f->model);
}

static hb_generate_options options(double cutoff)
{
    hb_generate_options o = hb_generate_defaults();
    o.max_tokens = 12;
    o.monitor.cutoff = cutoff;
    return o;
}

static void check_steps(const hb_generation *given, const hb_generation *generated, size_t n)
{
    size_t n_signals = hb_signal_set_count(generated->signals);
    for (size_t i = 0; i < n; i++) {
        const hb_step *a = &given->trajectory[i], *b = &generated->trajectory[i];
        assert_int_equal(a->step, b->step);
        assert_int_equal(a->token, b->token);
        assert_near(a->p_fail, b->p_fail, 0);
        assert_memory_equal(a->values, b->values, n_signals * sizeof *a->values);
    }
}

static void check_scores(const hb_generation *given, const hb_generation *generated)
{
    size_t n = hb_scores_count(generated->scores);
    assert_int_equal(hb_scores_count(given->scores), n);
    for (size_t i = 0; i < n; i++)
        assert_near(hb_scores_at(given->scores, i), hb_scores_at(generated->scores, i), 0);
}

/* Appends a token, such as the one that ended a generation. */
static void append(hb_given *g, int32_t token)
{
    size_t n = g->n_prompt + g->n_answer++;
    g->tokens = realloc(g->tokens, (n + 1) * sizeof *g->tokens);
    g->tokens[n] = token;
}

/* Judges an answer that the model generated. Every measurement is that of the generation. Returns how
 * it ended. */
static hb_finish check_same(const fixture *f, const char *prompt)
{
    hb_error err;
    hb_generation made, judged;
    const hb_generate_options o = options(1.1);
    assert_ok(hb_generate(f->session, prompt, strlen(prompt), &o, &made, &err));
    hb_given g = tokenize(f->model, NULL, prompt, made.text);
    assert_int_equal(g.n_prompt, made.n_prompt);
    assert_int_equal(g.n_answer, made.n_tokens);
    assert_memory_equal(g.tokens + g.n_prompt, made.tokens, g.n_answer * sizeof *g.tokens);
    assert_ok(hb_judge(f->session, &g, &o, &judged, &err));
    assert_int_equal(judged.finish, HB_FINISH_GIVEN);
    assert_int_equal(judged.n_steps, made.n_tokens);
    assert_string_equal(judged.text, made.text);
    check_steps(&judged, &made, judged.n_steps);
    if (made.finish == HB_FINISH_END) {
        hb_generation_free(&judged);
        append(&g, made.last.token);
        assert_ok(hb_judge(f->session, &g, &o, &judged, &err));
        assert_int_equal(judged.finish, HB_FINISH_END);
    }
    assert_int_equal(judged.n_steps, made.n_steps);
    assert_int_equal(judged.n_tokens, made.n_tokens);
    check_steps(&judged, &made, made.n_steps);
    check_scores(&judged, &made);
    hb_finish finish = made.finish;
    hb_given_free(&g);
    hb_generation_free(&made);
    hb_generation_free(&judged);
    return finish;
}

static void test_as_generated(void **state)
{
    static const char *const prompts[] = {
        "Question: What is the capital of France?\nAnswer:",
        "Question: Who painted Guernica?\nAnswer:",
        "Question: What is the capital of Cuba?\nAnswer:",
        "Question: On which continent is Nigeria?\nAnswer:",
        "The capital of Italy is",
        ("Context: Nigeria is part of Africa.\n\nQuestion: On which continent is Nigeria?\n\n"
         "Proposed answer: Asia\n\nIs this answer faithful to the context? Answer 'Yes' or 'No':"),
    };
    int ended = 0;
    (void)state;
    fixture f = open_demo(256);
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++)
        ended += check_same(&f, prompts[i]) == HB_FINISH_END;
    assert_in_range(ended, 1, 6);
    close_fixture(&f);
}

/* A given answer continues where a generation halts, and reports that step. Its scores are over all
 * steps, also with scores only. */
static void test_alarm(void **state)
{
    static const char prompt[] = "Question: What is the capital of Cuba?\nAnswer:";
    hb_error err;
    hb_generation whole, halted, judged, scored;
    (void)state;
    fixture f = open_demo(256);
    hb_generate_options o = options(1.1);
    assert_ok(hb_generate(f.session, prompt, strlen(prompt), &o, &whole, &err));
    assert_int_equal(whole.alarm, -1);
    hb_given g = tokenize(f.model, NULL, prompt, whole.text);
    double second = fmax(whole.trajectory[1].watched, whole.trajectory[2].watched);
    o.monitor.cutoff = 0.5;
    o.monitor.tau = second;
    assert_ok(hb_generate(f.session, prompt, strlen(prompt), &o, &halted, &err));
    assert_int_equal(halted.finish, HB_FINISH_HALTED);
    assert_int_equal(halted.alarm, halted.last.step);
    assert_ok(hb_judge(f.session, &g, &o, &judged, &err));
    assert_int_equal(judged.alarm, halted.alarm);
    assert_in_range(judged.alarm, 0, 2);
    assert_int_equal(judged.finish, HB_FINISH_GIVEN);
    assert_int_equal(judged.n_steps, whole.n_tokens);
    assert_near(judged.cutoff, 0.5, 0);
    o.mode = HB_MODE_SCORE_ONLY;
    o.max_tokens = 1; /* not used, like these */
    o.one_line = true;
    const char *const stops[] = {"a"};
    o.stops = stops;
    o.n_stops = 1;
    o.sampling.temperature = 1;
    assert_ok(hb_judge(f.session, &g, &o, &scored, &err));
    assert_null(scored.trajectory);
    assert_int_equal(scored.alarm, judged.alarm);
    check_scores(&scored, &judged);
    o.monitor.cutoff = -1;
    assert_fails(hb_judge(f.session, &g, &o, &scored, &err), HB_ERR_ARGUMENT, "cutoff");
    o.monitor.cutoff = NAN;
    assert_fails(hb_judge(f.session, &g, &o, &scored, &err), HB_ERR_ARGUMENT, "cutoff");
    hb_generation_free(&whole);
    hb_generation_free(&halted);
    hb_generation_free(&judged);
    hb_generation_free(&scored);
    hb_given_free(&g);
    close_fixture(&f);
}

/* ---- Pass 1 -------------------------------------------------------------------------------------- */

enum { N_ROWS = 6 };

/* The contents of a run for each sample. */
typedef struct outcome {
    char id[16], text[256], reason[256];
    hb_sample_status status;
    hb_finish finish;
    int32_t n_prompt, n_tokens;
    hb_grade grade;
    int label;
    double scores[28 * 7];
} outcome;

typedef struct outcomes {
    outcome list[N_ROWS];
    size_t n;
} outcomes;

static hb_status take_sample(void *user, const hb_run_sample *s)
{
    outcomes *all = user;
    outcome *o = &all->list[all->n++];
    assert_in_range(all->n, 1, N_ROWS);
    *o = (outcome){.status = s->status,
                   .finish = s->finish,
                   .n_prompt = s->n_prompt,
                   .n_tokens = s->n_tokens,
                   .grade = s->grade,
                   .label = s->label};
    snprintf(o->id, sizeof o->id, "%s", s->id);
    snprintf(o->text, sizeof o->text, "%s", s->text ? s->text : "");
    snprintf(o->reason, sizeof o->reason, "%s", s->reason ? s->reason : "");
    for (size_t i = 0; i < 28 * 7; i++) o->scores[i] = hb_scores_at(s->scores, i);
    return HB_OK;
}

static int n_passes, n_checked;

/* Runs pass 1 on a text of rows, with two sequences, and returns the run's contents. Expects a failure
 * with this message, unless `says` is NULL. */
static outcomes run_rows(const fixture *f, const char *dir, const char *rows, int32_t max_tokens,
                         const char *says)
{
    char data[160], path[160];
    hb_error err;
    hb_dataset *dataset;
    hb_session *session;
    hb_run *run;
    outcomes all = {0};
    const hb_session_options so = {.n_ctx = 64, .n_threads = 2, .n_sequences = 2};
    snprintf(data, sizeof data, "%s/%d.jsonl", dir, ++n_passes);
    snprintf(path, sizeof path, "%s/%d.db", dir, n_passes);
    FILE *file = fopen(data, "w");
    assert_true(fputs(rows, file) >= 0 && fclose(file) == 0);
    assert_ok(hb_session_open(f->model, &so, &session, &err));
    const hb_dataset_options o = {.unlabelled = says != NULL};
    assert_ok(hb_dataset_open(data, &o, &dataset, &err));
    const hb_dataset_info *d = hb_dataset_get_info(dataset);
    const hb_run_settings s = {.model_sha256 = "m",
                               .data_format = d->recipe,
                               .data_sha256 = d->sha256,
                               .n_samples = d->n_selected,
                               .max_tokens = max_tokens,
                               .read_as = hb_read_as_name(d->read_as),
                               .n_ctx = 64,
                               .alpha = 0.1};
    assert_ok(hb_run_create(path, &s, &run, &err));
    if (says) assert_fails(hb_score(session, dataset, run, NULL, &err), HB_ERR_ARGUMENT, says);
    else assert_ok(hb_score(session, dataset, run, NULL, &err));
    assert_ok(hb_run_each(run, take_sample, &all, &err));
    hb_run_close(run);
    hb_dataset_close(dataset);
    hb_session_close(session);
    return all;
}

/* Checks that the tokens kept are those that hb_judge measures. */
static hb_status check_tokens(void *user, const hb_run_tokens *t)
{
    static const char *const responses[] = {"Paris is it", "Caf\xC3\xA9 no"};
    const fixture *f = user;
    hb_error err;
    hb_generation judged;
    const hb_generate_options o = options(1.1);
    assert_in_range(t->index, 0, 1);
    hb_given g = tokenize(f->model, NULL, "P:", responses[t->index]);
    assert_ok(hb_judge(f->session, &g, &o, &judged, &err));
    assert_int_equal(t->n, g.n_answer);
    assert_memory_equal(t->characters, g.characters, t->n * sizeof *t->characters);
    size_t n_signals = hb_signal_set_count(judged.signals);
    for (size_t i = 0; i < t->n * n_signals; i++)
        assert_near(t->values[i], (float)judged.trajectory[i / n_signals].values[i % n_signals], 0);
    n_checked++;
    assert_int_equal(t->n_spans, t->index);
    if (t->index) {
        assert_int_equal(t->spans[0].start, 3);
        assert_int_equal(t->spans[0].end, 4);
    }
    hb_generation_free(&judged);
    hb_given_free(&g);
    return HB_OK;
}

static outcomes run_pass(const fixture *f, const char *dir, const char *rows, int32_t max_tokens)
{
    return run_rows(f, dir, rows, max_tokens, NULL);
}

/* Pass 1 on its own generated answers gives the same scores, bit for bit. */
static void test_pass_1_as_generated(void **state)
{
    static const char *const prompts[N_ROWS] = {
        "Question: What is the capital of France?\\nAnswer:",
        "Question: Who painted Guernica?\\nAnswer:",
        "Question: What is the capital of Cuba?\\nAnswer:",
        "The capital of Italy is",
        "The capital of Norway is",
        "Question: Who wrote Faust?\\nAnswer:",
    };
    char rows[4096] = "", given[4096] = "";
    size_t n = 0, k = 0, compared = 0;
    fixture f = open_demo(64);
    for (int i = 0; i < N_ROWS; i++)
        n += (size_t)snprintf(rows + n, sizeof rows - n, "{\"prompt\":\"%s\",\"label\":%d}\n",
                              prompts[i], i % 2);
    const outcomes made = run_pass(&f, *state, rows, 2);
    n = 0;
    for (int i = 0; i < N_ROWS; i++) {
        assert_null(strpbrk(made.list[i].text, "\"\\\n"));
        n += (size_t)snprintf(given + n, sizeof given - n,
                              "{\"prompt\":\"%s\",\"response\":\"%s\",\"label\":%d}\n", prompts[i],
                              made.list[i].text, i % 2);
    }
    const outcomes judged = run_pass(&f, *state, given, 1);
    assert_int_equal(judged.n, N_ROWS);
    for (; k < N_ROWS; k++) {
        const outcome *a = &judged.list[k], *b = &made.list[k];
        assert_int_equal(a->status, HB_SAMPLE_SCORED);
        assert_int_equal(a->finish, HB_FINISH_GIVEN);
        assert_string_equal(a->text, b->text);
        assert_int_equal(a->n_prompt, b->n_prompt);
        assert_int_equal(a->n_tokens, b->n_tokens);
        assert_int_equal(a->label, b->label);
        if (b->finish != HB_FINISH_MAX_TOKENS) continue; /* its end was measured, too */
        for (size_t i = 0; i < 28 * 7; i++) assert_near(a->scores[i], b->scores[i], 0);
        compared++;
    }
    assert_in_range(compared, 3, N_ROWS);
    close_fixture(&f);
}

/* The tokens of a response are kept if its spans are known. */
static void test_tokens_are_kept(void **state)
{
    char path[160];
    hb_error err;
    hb_run *run;
    fixture f = open_demo(64);
    run_pass(&f, *state,
             "{\"prompt\":\"P:\",\"response\":\"Paris is it\",\"label\":0}\n"
             "{\"prompt\":\"P:\",\"response\":\"Caf\\u00e9 no\",\"label\":1,\"spans\":[[3,4]]}\n"
             "{\"prompt\":\"P:\",\"response\":\"Rome\",\"label\":1}\n",
             1);
    snprintf(path, sizeof path, "%s/%d.db", (char *)*state, n_passes);
    assert_ok(hb_run_open(path, &run, &err));
    n_checked = 0;
    assert_ok(hb_run_each_tokens(run, check_tokens, &f, &err));
    assert_int_equal(n_checked, 2);
    hb_run_close(run);
    close_fixture(&f);
}

/* Whether a token is a word, alone or after a space, in small letters, capitals or with one capital. */
static bool is_word(const hb_model *model, int32_t token, const char *word)
{
    size_t n, length = strlen(word);
    const char *bytes = hb_token_bytes(model, token, &n);
    if (n && bytes[0] == ' ') bytes++, n--;
    if (n != length || strncasecmp(bytes, word, n) != 0) return false;
    bool rest_is_small = true, rest_is_capital = true;
    for (size_t i = 1; i < n; i++) {
        rest_is_small = rest_is_small && bytes[i] >= 'a';
        rest_is_capital = rest_is_capital && bytes[i] < 'a';
    }
    return rest_is_small || (rest_is_capital && bytes[0] < 'a');
}

/* P(Yes) from the logits after a prompt and every token of the vocabulary that is one of the words. */
static double p_yes_after(const fixture *f, const char *prompt)
{
    hb_error err;
    int32_t *tokens, n_vocab = hb_model_get_info(f->model)->n_vocab;
    size_t n;
    double yes = 0, no = 0;
    assert_ok(hb_chat_prompt(f->model, NULL, NULL, prompt, strlen(prompt), &tokens, &n, &err));
    float *logits = malloc((size_t)n_vocab * sizeof *logits);
    const int32_t last = (int32_t)n - 1;
    const hb_tap tap = {.rows = &last, .n_rows = 1, .logits = logits};
    hb_session_reset(f->session);
    assert_ok(hb_eval(f->session, tokens, (int32_t)n, &tap, &err));
    for (int32_t t = 0; t < n_vocab; t++) {
        if (is_word(f->model, t, "Yes")) yes += exp(logits[t]);
        if (is_word(f->model, t, "No")) no += exp(logits[t]);
    }
    free(tokens);
    free(logits);
    return yes / (yes + no);
}

/* The fixture of check_judgement. */
static const fixture *judging;

static hb_status check_judgement(void *user, const hb_run_sample *s)
{
    double p = hb_scores_value(s->scores, HB_SCORE_P_YES);
    ++*(int *)user;
    assert_near(p, p_yes_after(judging, s->prompt), 1e-12);
    assert_true(p > 0 && p < 1 && p != 0.5);
    return HB_OK;
}

/* A run of judgements has P(Yes) beside the scores of signals. */
static void test_judgements(void **state)
{
    char path[160];
    hb_error err;
    hb_run *run;
    int n = 0;
    fixture f = open_demo(64);
    judging = &f;
    run_pass(&f, *state,
             "{\"knowledge\":\"Nigeria is part of Africa.\",\"question\":\"On which continent is "
             "Nigeria?\",\"right_answer\":\"Africa\",\"hallucinated_answer\":\"Asia\"}\n",
             2);
    snprintf(path, sizeof path, "%s/%d.db", (char *)*state, n_passes);
    assert_ok(hb_run_open(path, &run, &err));
    assert_string_equal(hb_run_get_settings(run)->read_as, "judgement");
    assert_ok(hb_run_each(run, check_judgement, &n, &err));
    assert_int_equal(n, 2);
    hb_run_close(run);
    run_pass(&f, *state, "{\"prompt\":\"P:\",\"label\":0}\n", 2);
    snprintf(path, sizeof path, "%s/%d.db", (char *)*state, n_passes);
    assert_ok(hb_run_open(path, &run, &err));
    assert_false(hb_run_has_score(run, HB_SCORE_P_YES));
    hb_run_close(run);
    close_fixture(&f);
}

/* A whole response without a label is graded. A response that does not fit is skipped. Without a
 * response, one is generated. */
static void test_pass_1_of_others(void **state)
{
    char rows[4096];
    fixture f = open_demo(64);
    outcomes got =
        run_pass(&f, *state,
                 "{\"prompt\":\"P:\",\"response\":\"It is\\nParis\",\"answers\":[\"Paris\"]}\n"
                 "{\"prompt\":\"P:\",\"response\":\"Paris\",\"answers\":[\"Paris\"]}\n"
                 "{\"prompt\":\"P:\",\"response\":\"Rome\",\"answers\":[\"Paris\"]}\n",
                 1);
    static const bool exact[] = {false, true, false}, contains[] = {true, true, false};
    assert_int_equal(got.n, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(got.list[i].label, HB_LABEL_BY_GRADE);
        assert_int_equal(got.list[i].grade.exact, exact[i]);
        assert_int_equal(got.list[i].grade.contains, contains[i]);
    }
    snprintf(rows, sizeof rows,
             "{\"prompt\":\"P:\",\"response\":\"%070d\",\"label\":1}\n"
             "{\"prompt\":\"P:\",\"response\":\"%030d\",\"label\":1}\n",
             0, 0);
    got = run_pass(&f, *state, rows, 1);
    assert_int_equal(got.list[0].status, HB_SAMPLE_SKIPPED);
    assert_non_null(strstr(got.list[0].reason, "more do not fit the context of 64"));
    assert_int_equal(got.list[1].status, HB_SAMPLE_SCORED);
    assert_in_range(got.list[1].n_tokens, 20, 40);
    got = run_pass(&f, *state,
                   "{\"messages\":[{\"role\":\"user\",\"content\":\"P:\"},{\"role\":\"assistant\","
                   "\"content\":\"Paris\"}],\"label\":0}\n"
                   "{\"messages\":[{\"role\":\"user\",\"content\":\"P:\"}],\"label\":0}\n",
                   1);
    assert_int_equal(got.list[0].finish, HB_FINISH_GIVEN);
    assert_string_equal(got.list[0].text, "Paris");
    assert_int_equal(got.list[1].finish, HB_FINISH_MAX_TOKENS);
    assert_int_equal(got.list[1].n_tokens, 1);
    got = run_rows(&f, *state, "{\"prompt\":\"P:\",\"response\":\"Paris\"}\n", 1,
                   "sample sample_0 has no label");
    assert_int_equal(got.n, 0);
    close_fixture(&f);
}

/* ---- What is refused ----------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    hb_error err;
    hb_given g;
    hb_generation judged;
    (void)state;
    fixture f = open_demo(16);
    assert_fails(hb_given_tokenize(f.model, NULL, NULL, "a", 1, "", 0, &g, &err), HB_ERR_ARGUMENT,
                 "the answer is empty");
    g = tokenize(f.model, NULL, "a b c", "d e f g h i j k l m n o p q r s t u v w x y z");
    assert_fails(hb_judge(f.session, &g, NULL, &judged, &err), HB_ERR_CONTEXT,
                 "do not fit the context of 16");
    g.n_answer = 17 - g.n_prompt; /* the last token needs no room */
    assert_ok(hb_judge(f.session, &g, NULL, &judged, &err));
    assert_int_equal(judged.n_steps, g.n_answer);
    hb_generation_free(&judged);
    g.n_answer++;
    assert_fails(hb_judge(f.session, &g, NULL, &judged, &err), HB_ERR_CONTEXT, "do not fit");
    g.n_answer = 0;
    assert_fails(hb_judge(f.session, &g, NULL, &judged, &err), HB_ERR_ARGUMENT, "empty");
    g.n_answer = 1;
    g.tokens[g.n_prompt] = -1;
    assert_fails(hb_judge(f.session, &g, NULL, &judged, &err), HB_ERR_ARGUMENT, "token -1");
    hb_given_free(&g);
    hb_given_free(NULL);
    close_fixture(&f);
}

static void test_without_memory(void **state)
{
    static const hb_message talk[] = {{HB_ROLE_USER, "it is", 5}, {HB_ROLE_ASSISTANT, "the sun", 7}};
    hb_error err;
    hb_given g;
    (void)state;
    hb_model *model = open_vocab(tiny_model("chat"));
    hb_chat *chat = open_chat(model, NULL, TURNS ASKS "<think>\n{% endif %}");
    for (int k = 0; k < 2; k++)
        for (long i = 0;; i++) {
            fail_allocations(i, false);
            hb_status status = hb_given_tokenize(model, k ? chat : NULL, NULL, talk[0].text, 5,
                                                 talk[1].text, 7, &g, &err);
            stop_failing();
            if (!status) hb_given_free(&g);
            if (!allocations.failed) break;
            assert_int_equal(status, HB_ERR_MEMORY);
        }
    hb_chat_close(chat);
    hb_model_close(model);
}

int main(void)
{
    setenv("HBAR_KERNELS", "portable", 1); /* results do not depend on batches, bit for bit */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bare_prompts),
        cmocka_unit_test(test_byte_level),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_reasoning),
        cmocka_unit_test(test_prepared),
        cmocka_unit_test(test_conversations),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_as_generated),
        cmocka_unit_test(test_alarm),
        cmocka_unit_test_setup_teardown(test_pass_1_as_generated, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_judgements, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_tokens_are_kept, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_pass_1_of_others, make_scratch, remove_scratch),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
