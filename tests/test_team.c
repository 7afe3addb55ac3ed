/* Pass 1 by a team: its messages, the pool of samples, and whole runs by threads that exchange messages
 * as processes do. */
#include "check.h"

#include <pthread.h>
#include <time.h>
#include "score/messages.h"
#include "score/pool.h"
#include "signals/scores.h"
#include "store/run.h"
#include "team/team.h"

/* ---- A team of threads --------------------------------------------------------------------------- */

enum { RANKS = 3 };

typedef struct post {
    struct post *next;
    hb_parcel parcel;
} post;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static post *boxes[RANKS][HB_N_BOXES];
static int n_work; /* messages of work that were sent */

static hb_status send_post(hb_team *team, int32_t to, hb_box box, hb_buffer *bytes, hb_error *err)
{
    (void)err;
    post *p = calloc(1, sizeof *p), **at = &boxes[to][box];
    assert_non_null(p);
    p->parcel = (hb_parcel){team->rank, *bytes};
    *bytes = (hb_buffer){0};
    pthread_mutex_lock(&lock);
    n_work += ((hb_message_head *)(void *)p->parcel.bytes.data)->kind == HB_MESSAGE_WORK;
    while (*at) at = &(*at)->next;
    *at = p;
    pthread_cond_broadcast(&arrived);
    pthread_mutex_unlock(&lock);
    return HB_OK;
}

static hb_status receive_post(hb_team *team, hb_box box, double seconds, hb_parcel *parcel, bool *found,
                              hb_error *err)
{
    (void)err;
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += (long)(seconds * 1e9);
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    post **first = &boxes[team->rank][box], *p;
    while (!*first && seconds > 0 && !pthread_cond_timedwait(&arrived, &lock, &end)) {
    }
    p = *first;
    if (p) *first = p->next;
    pthread_mutex_unlock(&lock);
    *found = p;
    if (p) *parcel = p->parcel;
    free(p);
    return HB_OK;
}

static const hb_team_ops ops = {.send = send_post, .receive = receive_post};

static void empty_boxes(void)
{
    for (int r = 0; r < RANKS; r++)
        for (int b = 0; b < HB_N_BOXES; b++)
            while (boxes[r][b]) {
                post *p = boxes[r][b];
                boxes[r][b] = p->next;
                hb_buffer_free(&p->parcel.bytes);
                free(p);
            }
    n_work = 0;
}

/* ---- Runs ---------------------------------------------------------------------------------------- */

/* What a rank works with. */
typedef struct worker {
    hb_team team;
    const char *model;
    hb_run_settings settings; /* of the model */
    hb_model *opened;
    hb_session *session;
    pthread_t thread;
    hb_status status;
    hb_error err;
} worker;

static void open_worker(worker *w, const char *type)
{
    static char sha256[RANKS + 1][65];
    hb_session_options o = hb_session_defaults();
    hb_error err;
    o.n_sequences = 4;
    o.n_threads = 1;
    assert_ok(hb_model_open(tiny_model(type), &w->opened, &err));
    assert_ok(hb_session_open(w->opened, &o, &w->session, &err));
    assert_ok(hb_model_sha256(w->opened, sha256[w->team.rank], &err));
    const hb_model_info *m = hb_model_get_info(w->opened);
    w->settings = (hb_run_settings){.model_path = m->path,
                                    .model_name = m->name,
                                    .model_architecture = m->architecture,
                                    .model_sha256 = sha256[w->team.rank],
                                    .model_size = m->file_size,
                                    .seed = 7,
                                    .max_tokens = 4,
                                    .n_ctx = hb_session_n_ctx(w->session),
                                    .alpha = 0.1,
                                    .answer_lines = 1,
                                    .samples = 2,
                                    .sample_temperature = 1,
                                    .sample_top_p = 1,
                                    .sample_max_tokens = 3,
                                    .features = "topk"};
    assert_ok(hb_signal_set_parse("all", (hb_signal_set **)(uintptr_t)&w->settings.signals, &err));
}

static void close_worker(worker *w)
{
    hb_signal_set_free((hb_signal_set *)(uintptr_t)w->settings.signals);
    hb_session_close(w->session);
    hb_model_close(w->opened);
}

static void *join(void *user)
{
    worker *w = user;
    w->status = hb_score_join(&w->team, w->session, &w->settings, NULL, &w->err);
    return NULL;
}

/* Writes samples with answers, contexts, messages and texts that are not ASCII; one is too long. */
static void write_data(const char *path, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < n; i++) {
        fprintf(f, "{\"id\": \"q%zu\", \"prompt\": \"", i);
        for (size_t k = 0; k < (i == 3 ? 4000 : i % 5 * 40); k++) fprintf(f, "%zu is ", i % 5);
        fprintf(f, "What is \xc3\xa9 %zu?\", \"label\": %zu, \"topic\": \"t%zu\"}\n", i, i % 2, i % 3);
    }
    fclose(f);
}

static hb_status score(worker *w, const char *data, const char *path, hb_team *team,
                       hb_score_work *work, hb_error *why)
{
    hb_error err;
    hb_dataset_options o = hb_dataset_defaults();
    hb_score_options options = hb_score_defaults();
    hb_run_settings s = w->settings;
    hb_dataset *dataset;
    hb_run *run;
    o.group = "topic";
    assert_ok(hb_dataset_open(data, &o, &dataset, &err));
    const hb_dataset_info *d = hb_dataset_get_info(dataset);
    s.data_path = d->path;
    s.data_format = d->recipe;
    s.data_sha256 = d->sha256;
    s.data_rows = d->n_rows;
    s.n_samples = d->n_selected;
    assert_ok(hb_run_create(path, &s, &run, &err));
    options.team = team;
    options.work = work;
    hb_status status = hb_score(w->session, dataset, run, &options, why);
    hb_run_close(run);
    hb_dataset_close(dataset);
    return status;
}

/* Scores as rank 0 of a team whose last rank has a model of another type. */
static hb_status score_together(const char *data, const char *path, const char *last_type,
                                hb_score_work *work, hb_error *err)
{
    worker ranks[RANKS] = {0};
    for (int i = 0; i < RANKS; i++) {
        ranks[i].team = (hb_team){.ops = &ops, .rank = i, .size = RANKS, .n_local = 1, .host = "here"};
        open_worker(&ranks[i], i == RANKS - 1 ? last_type : "f32");
        if (i) assert_int_equal(pthread_create(&ranks[i].thread, NULL, join, &ranks[i]), 0);
    }
    hb_status status = score(&ranks[0], data, path, &ranks[0].team, work, err);
    for (int i = 1; i < RANKS; i++) pthread_join(ranks[i].thread, NULL);
    for (int i = 1; i < RANKS; i++)
        assert_int_equal(ranks[i].status, status ? HB_ERR_CANCELLED : HB_OK);
    for (int i = 0; i < RANKS; i++) close_worker(&ranks[i]);
    return status;
}

/* Everything in a run but the times, as text. */
static char *dump(const char *dir, const char *name)
{
    char command[1024];
    size_t size = 1 << 22, n;
    char *text = malloc(size);
    assert_non_null(text);
    snprintf(command, sizeof command,
             "python3 - <<'E'\n"
             "import sqlite3\n"
             "db = sqlite3.connect('%s/%s')\n"
             "for t in 'settings', 'samples', 'scores', 'tokens', 'features', 'generations':\n"
             "    q = db.execute(f'SELECT * FROM {t} ORDER BY 1, 2')\n"
             "    n = [c[0] for c in q.description]\n"
             "    for row in q:\n"
             "        print([v for c, v in zip(n, row) if not c.endswith('_seconds')])\n"
             "E",
             dir, name);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    n = fread(text, 1, size - 1, pipe);
    text[n] = '\0';
    assert_int_equal(pclose(pipe), 0);
    assert_true(n > 1000);
    return text;
}

static void test_equal_to_one_process(void **state)
{
    char data[128], alone[128], together[128];
    const char *dir = *state;
    hb_score_work work = {0}, work_alone = {0};
    hb_error err;
    snprintf(data, sizeof data, "%s/d.jsonl", dir);
    snprintf(alone, sizeof alone, "%s/alone.db", dir);
    snprintf(together, sizeof together, "%s/together.db", dir);
    write_data(data, 60);
    worker one = {0};
    open_worker(&one, "f32");
    assert_ok(score(&one, data, alone, NULL, &work_alone, &err));
    close_worker(&one);
    assert_ok(score_together(data, together, "f32", &work, &err));
    assert_true(n_work >= RANKS); /* every rank had work */
    assert_true(work.tokens_evaluated > 0 && work_alone.tokens_evaluated > 0);
    char *a = dump(dir, "alone.db"), *b = dump(dir, "together.db");
    assert_string_equal(a, b);
    free(a);
    empty_boxes();
    /* Nothing is left to do. */
    assert_ok(score_together(data, together, "f32", &work, &err));
    assert_int_equal(n_work, 0);
    assert_int_equal(work.tokens_evaluated, 0);
    a = dump(dir, "together.db");
    assert_string_equal(a, b);
    free(a);
    free(b);
    empty_boxes();
}

static void test_another_model(void **state)
{
    char data[128], path[128];
    hb_score_work work;
    hb_error err;
    snprintf(data, sizeof data, "%s/other.jsonl", (char *)*state);
    snprintf(path, sizeof path, "%s/other.db", (char *)*state);
    write_data(data, 10);
    assert_fails(score_together(data, path, "f16", &work, &err), HB_ERR_MISMATCH,
                 "rank 2 (here) differs from rank 0: its model_sha256 is");
    assert_int_equal(n_work, 0);
    empty_boxes();
}

/* ---- Messages ------------------------------------------------------------------------------------ */

static const hb_run_generation drawn[2] = {
    {.index = 5, .k = 0, .text = "one", .log_prob = -1.5, .n_tokens = 2, .n_measured = 3},
    {.index = 5, .k = 1, .text = "", .log_prob = -2, .n_tokens = 1, .n_measured = 1}};

static void check_message(const hb_buffer *message, hb_scores *columns)
{
    hb_unpacker in = {.at = message->data, .left = message->length};
    hb_unpacked got;
    hb_error err;
    hb_unpack_finished(&in, columns, 2, &got);
    assert_ok(hb_unpack_status(&in, &err));
    assert_int_equal(in.left, 0);
    const hb_finished *f = &got.finished;
    assert_string_equal(f->sample.id, "q");
    assert_null(f->sample.prompt);
    assert_string_equal(f->sample.text, "an answer");
    assert_near(hb_scores_value(f->sample.scores, "b"), 0.25, 0);
    assert_int_equal(f->tokens->n, 2);
    assert_near(f->tokens->values[3], 4, 0);
    assert_int_equal(f->tokens->characters[1].end, 9);
    assert_non_null(f->tokens->spans); /* there are none, which is known */
    assert_int_equal(f->features->n[HB_FEATURE_TOPK], 3);
    assert_near(f->features->values[HB_FEATURE_TOPK][2], 3, 0);
    assert_int_equal(f->n_generations, 2);
    assert_string_equal(f->generations[0].text, "one");
    hb_unpacked_free(&got);
}

static void test_finished(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b"};
    static const float values[] = {1, 2, 3, 4};
    static const hb_response_span places[] = {{0, 4}, {4, 9}};
    const hb_run_tokens tokens = {
        .index = 5, .n = 2, .characters = places, .values = values, .spans = places};
    hb_run_features features = {.index = 5};
    hb_scores *scores, *columns;
    hb_writer out = {0};
    hb_error err;
    features.n[HB_FEATURE_TOPK] = 3;
    features.values[HB_FEATURE_TOPK] = values;
    assert_ok(hb_scores_of_names(names + 1, 1, &scores, &err)); /* "b" alone: another place */
    assert_ok(hb_scores_of_names(names, 2, &columns, &err));
    hb_scores_set(scores, 0, 0.25);
    const hb_finished f = {
        .sample = {.index = 5, .id = "q", .prompt_sha256 = "00", .text = "an answer", .scores = scores},
        .tokens = &tokens,
        .features = &features,
        .generations = drawn,
        .n_generations = 2};
    hb_pack_finished(&out, &f, columns, 2);
    assert_false(out.failed);
    check_message(&out.text, columns);
    for (size_t n = 0; n < out.text.length; n++) { /* every shorter message is noticed */
        hb_unpacker in = {.at = out.text.data, .left = n};
        hb_unpacked got;
        hb_unpack_finished(&in, columns, 2, &got);
        assert_fails(hb_unpack_status(&in, &err), HB_ERR_FORMAT, "is damaged");
        hb_unpacked_free(&got);
    }
    hb_buffer_free(&out.text);
    hb_scores_free(scores);
    hb_scores_free(columns);
}

static void test_sample(void **state)
{
    (void)state;
    static const char *const answers[] = {"yes", ""};
    static const hb_message messages[] = {{HB_ROLE_USER, "a\0b", 3}, {HB_ROLE_ASSISTANT, "c", 1}};
    const hb_sample s = {.index = 9,
                         .id = "i",
                         .prompt = "p",
                         .prompt_sha256 = "h",
                         .label = HB_LABEL_BY_GRADE,
                         .answers = answers,
                         .n_answers = 2,
                         .messages = messages,
                         .n_messages = 2,
                         .context = "c"};
    hb_writer out = {0};
    hb_unpacked got;
    hb_error err;
    hb_pack_sample(&out, &s);
    hb_unpacker in = {.at = out.text.data, .left = out.text.length};
    hb_unpack_sample(&in, &got);
    assert_ok(hb_unpack_status(&in, &err));
    assert_int_equal(got.sample.index, 9);
    assert_string_equal(got.sample.answers[0], "yes");
    assert_string_equal(got.sample.answers[1], "");
    assert_int_equal(got.sample.messages[0].length, 3);
    assert_memory_equal(got.sample.messages[0].text, "a\0b", 4);
    assert_string_equal(got.sample.context, "c");
    assert_null(got.sample.response);
    assert_null(got.sample.spans);
    hb_unpacked_free(&got);
    hb_buffer_free(&out.text);
}

/* Processes with caches of different types would score differently. The usual type may be left out. */
static void test_identity(void **state)
{
    (void)state;
    hb_run_settings settings = {.kv_type = NULL};
    static const char *const types[] = {NULL, "f16", "q8_0", NULL};
    char *identities[4];
    hb_error err;
    assert_ok(hb_signal_set_parse("entropy", (hb_signal_set **)(uintptr_t)&settings.signals, &err));
    for (int i = 0; i < 4; i++) {
        hb_writer out = {0};
        settings.kv_type = types[i];
        if (i == 3) settings.engine = "llama";
        hb_write_identity(&out, &settings, "00");
        assert_ok(hb_writer_finish(&out, &identities[i], &err));
    }
    assert_ok(hb_compare_identity(identities[0], identities[1], "rank 1", &err));
    assert_fails(hb_compare_identity(identities[0], identities[2], "rank 1", &err), HB_ERR_MISMATCH,
                 "rank 1 differs from rank 0: its kv_type is 'kv_type q8_0' instead of 'kv_type f16'");
    assert_fails(hb_compare_identity(identities[0], identities[3], "rank 1", &err), HB_ERR_MISMATCH,
                 "rank 1 differs from rank 0: its engine is");
    for (int i = 0; i < 4; i++) free(identities[i]);
    hb_signal_set_free((hb_signal_set *)(uintptr_t)settings.signals);
}

/* ---- The pool ------------------------------------------------------------------------------------ */

static void test_groups(void **state)
{
    (void)state;
    hb_sample_pool pool = {0};
    hb_error err;
    char prompt[1024];
    /* Four stories of 300 characters, three questions about each, in turn. */
    for (uint64_t i = 0; i < 12; i++) {
        memset(prompt, 'a' + (int)(i % 4), 300);
        snprintf(prompt + 300, sizeof prompt - 300, "%llu", (unsigned long long)i);
        const hb_sample s = {.index = i, .id = "", .prompt = prompt, .prompt_sha256 = ""};
        assert_ok(hb_sample_pool_add(&pool, &s, &err));
    }
    hb_sample_pool_sort(&pool);
    static const struct {
        size_t want, gets;
    } turns[] = {{1, 3}, {5, 3}, {6, 6}, {1, 0}};
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        hb_writer out = {0};
        assert_int_equal(hb_sample_pool_take(&pool, turns[i].want, &out), turns[i].gets);
        hb_buffer_free(&out.text);
    }
    assert_int_equal(hb_sample_pool_left(&pool), 0);
    hb_sample_pool_free(&pool);
}

int main(void)
{
    setenv("HBAR_KERNELS", "portable", 1); /* results do not depend on the batch */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equal_to_one_process),
                                       cmocka_unit_test(test_another_model),
                                       cmocka_unit_test(test_finished),
                                       cmocka_unit_test(test_sample),
                                       cmocka_unit_test(test_identity),
                                       cmocka_unit_test(test_groups)};
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
