/* Parameters files: their contents, their names, and loading. */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include "clock.h"
#include "signals/halt_model.h"
#include "signals/probe.h"

static double scores[] = {1, 2, 2, 3, 4, 4, 4, 5, 6, 6};
static uint8_t labels[] = {0, 1, 0, 0, 1, 1, 0, 1, 1, 0};

static const hb_run_settings run = {.model_path = "models/\xFFodd.gguf",
                                    .model_name = "Tiny 1",
                                    .model_architecture = "llama",
                                    .model_sha256 = "abc",
                                    .model_size = 12345,
                                    .data_path = "d.jsonl",
                                    .data_format = "generic",
                                    .data_sha256 = "def",
                                    .data_rows = 12,
                                    .data_broken = 2,
                                    .n_samples = 12,
                                    .seed = 42,
                                    .max_tokens = 20,
                                    .n_ctx = 512,
                                    .alpha = 0.25,

                                    .chat = "chatml",
                                    .system = "Be brief."};

/* A calibration of ten samples. Low scores are risky unless the options say otherwise. */
static hb_calibration_result calibrate(const hb_calibrate_options *options)
{
    static const char *const names[] = {"hbar_s"};
    hb_error err;
    hb_calibration_result r;
    hb_calibrate_options o = hb_calibrate_defaults();
    o.sweep.direction = HB_DIRECTION_LOW;
    o.bootstrap.n_draws = 0;
    const hb_score_table t = {.scores = scores, .labels = labels, .n = 10, .n_scores = 1};
    assert_ok(hb_calibrate(&t, names, options ? options : &o, &r, &err));
    return r;
}

/* Warns of a score whose direction is the reverse of its signal's definition, unless that may be chance
 * or was requested. */
static void test_contradictions(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        hb_direction asked, found; /* found in the data */
        bool contradicts;
    } cases[] = {
        {"entropy", HB_DIRECTION_AUTO, HB_DIRECTION_HIGH, false},
        {"entropy", HB_DIRECTION_AUTO, HB_DIRECTION_LOW, true},
        {"entropy", HB_DIRECTION_HIGH, HB_DIRECTION_LOW, true},
        {"entropy", HB_DIRECTION_LOW, HB_DIRECTION_LOW, false},
        {"margin:min", HB_DIRECTION_AUTO, HB_DIRECTION_HIGH, true},
        {"margin:min", HB_DIRECTION_AUTO, HB_DIRECTION_LOW, false},
        {"hbar_s", HB_DIRECTION_AUTO, HB_DIRECTION_LOW, false},
        {"hbar_s", HB_DIRECTION_AUTO, HB_DIRECTION_HIGH, false},
        {"entropies", HB_DIRECTION_AUTO, HB_DIRECTION_LOW, false},
    };
    double values[40];
    uint8_t classes[40];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int noise = 0; noise < 2; noise++) {
            hb_error err;
            hb_calibration_result r;
            hb_calibrate_options o = hb_calibrate_defaults();
            o.bootstrap.n_draws = 0;
            o.sweep.direction = cases[i].asked;
            for (int k = 0; k < 40; k++) {
                classes[k] = noise ? k % 2 : k >= 20;
                values[k] = cases[i].found == HB_DIRECTION_HIGH ? k : -k;
            }
            const hb_score_table t = {.scores = values, .labels = classes, .n = 40, .n_scores = 1};
            assert_ok(hb_calibrate(&t, &cases[i].name, &o, &r, &err));
            assert_int_equal(r.contradicts_signal, cases[i].contradicts && !noise);
            hb_calibration_result_free(&r);
        }
}

static void write_text(const char *path, const char *content)
{
    FILE *file = fopen(path, "wb");
    fputs(content, file);
    fclose(file);
}

static double real(const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    if (!json_is_number(value)) fail_msg("'%s' is not a number", key);
    return json_number_value(value);
}

static const char *text(const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    if (!json_is_string(value)) fail_msg("'%s' is not a string", key);
    return json_string_value(value);
}

static const hb_params_source source = {
    .run = &run, .counts = {.total = 12, .scored = 10, .skipped = 1, .failed = 1}};

static char *json_of(const hb_params_source *from, const hb_calibration_result *r)
{
    hb_error err;
    char *json;
    assert_ok(hb_params_json(from, r, &json, &err));
    return json;
}

/* Saves a calibration; the path is released with free(). */
static char *save_result(const char *dir, const char *name, const hb_calibration_result *r)
{
    hb_error err;
    char *path, *json = json_of(&source, r);
    assert_ok(hb_params_save(dir, name, run.n_samples, json, &path, &err));
    free(json);
    return path;
}

static char *save(const char *dir, const char *name)
{
    hb_calibration_result r = calibrate(NULL);
    char *path = save_result(dir, name, &r);
    hb_calibration_result_free(&r);
    return path;
}

static void test_document(void **state)
{
    char dir[128];
    snprintf(dir, sizeof dir, "%s/a/b/", (char *)*state); /* created if needed */
    char *path = save(dir, "tiny");
    hb_calibration_result result = calibrate(NULL);
    const hb_sweep_result *r = &result.sweep;
    json_t *root = json_load_file(path, 0, NULL);
    assert_string_equal(text(root, "schema"), "hbar-params");
    assert_near(real(root, "schema_version"), 6, 0);
    const json_t *model = json_object_get(root, "model"), *data = json_object_get(root, "data");
    assert_string_equal(text(model, "name"), "Tiny 1");
    assert_string_equal(text(model, "path"), "models/\xEF\xBF\xBDodd.gguf");
    assert_string_equal(text(model, "sha256"), "abc");
    assert_near(real(model, "file_size"), 12345, 0);
    assert_near(real(data, "samples"), 12, 0);
    assert_near(real(data, "scored"), 10, 0);
    assert_near(real(data, "skipped"), 1, 0);
    assert_near(real(data, "failed"), 1, 0);
    assert_near(real(data, "broken_rows"), 2, 0);
    assert_string_equal(text(root, "direction"), "<=");
    assert_near(real(root, "auroc"), r->auroc, 0);
    assert_near(real(root, "pr_auc"), r->pr_auc, 0);
    assert_near(real(root, "lambda"), 5, 0);
    const json_t *threshold = json_object_get(root, "threshold");
    assert_near(real(threshold, "tau"), r->best.tau, 0); /* all digits are kept */
    assert_near(real(threshold, "precision"), r->best.precision, 0);
    assert_near(real(threshold, "recall"), r->best.recall, 0);
    assert_near(real(threshold, "f1"), r->best.f1, 0);
    assert_near(real(threshold, "min_recall"), 0.9, 0);
    const json_t *points = json_object_get(root, "sweep");
    assert_int_equal(json_array_size(points), r->n_points);
    for (size_t i = 0; i < r->n_points; i++)
        assert_near(real(json_array_get(points, i), "tau"), r->points[i].tau, 0);
    const json_t *score = json_object_get(root, "score");
    assert_near(real(score, "hallucination_rate"), 0.5, 0);
    assert_near(real(score, "cohens_d"), r->cohens_d, 0);
    assert_near(real(json_object_get(score, "label_1"), "mean"), r->by_label[1].mean, 0);
    json_decref(root);
    hb_calibration_result_free(&result);
    free(path);
}

/* What is saved is the text of the report, byte for byte. */
static void test_saved_as_it_is(void **state)
{
    hb_error err;
    char *path;
    assert_ok(hb_params_save(*state, "tiny", 3, "{\n  \"any\": \"text\"\n}", &path, &err));
    file_bytes f = load_file(path, *state, "copy");
    assert_int_equal(f.size, strlen("{\n  \"any\": \"text\"\n}"));
    assert_memory_equal(f.data, "{\n  \"any\": \"text\"\n}", f.size);
    assert_non_null(strstr(path, "_n3.json"));
    free(f.data);
    free(path);
}

static void test_round_trip(void **state)
{
    hb_error err;
    hb_params *p;
    char *path = save(*state, "tiny");
    hb_calibration_result r = calibrate(NULL);
    assert_ok(hb_params_load(path, &p, &err));
    assert_near(p->tau, r.sweep.best.tau, 0);
    assert_near(p->lambda, 5, 0);
    assert_near(p->alpha, 0.25, 0);
    assert_int_equal(p->direction, HB_DIRECTION_LOW);
    assert_string_equal(p->score, "hbar_s");
    assert_string_equal(p->model_name, "Tiny 1");
    assert_string_equal(p->model_architecture, "llama");
    assert_true(p->model_size == 12345);
    assert_string_equal(p->chat, "chatml");
    assert_int_equal(p->n_scores, 1);
    assert_near(p->scores[0].pr_auc, r.scores[0].pr_auc, 0);
    assert_near(p->scores[0].precision, r.scores[0].precision, 0);
    assert_near(p->scores[0].recall, r.scores[0].recall, 0);
    assert_near(p->scores[0].f1, r.scores[0].f1, 0);
    assert_false(p->is_graded);
    hb_params_free(p);
    hb_params_free(NULL);
    hb_calibration_result_free(&r);
    free(path);
}

static void test_what_they_are_for(void **state)
{
    hb_error err;
    hb_params *p;
    char *path = save(*state, "tiny");
    assert_ok(hb_params_load(path, &p, &err));
    assert_true(hb_params_same_chat(p, "chatml", "Be brief."));
    assert_false(hb_params_same_chat(p, "phi3", "Be brief."));
    assert_false(hb_params_same_chat(p, "chatml", "Be bold."));
    assert_false(hb_params_same_chat(p, "chatml", NULL));
    assert_false(hb_params_same_chat(p, "", ""));
    const hb_model_info models[] = {
        {.name = "Tiny 1", .architecture = "llama", .file_size = 12345},
        {.name = "Tiny 2", .architecture = "llama", .file_size = 12345},
        {.name = "Tiny 1", .architecture = "qwen2", .file_size = 12345},
        {.name = "Tiny 1", .architecture = "llama", .file_size = 12346},
    };
    for (int i = 0; i < 4; i++) assert_int_equal(hb_params_same_model(p, &models[i]), i == 0);
    hb_params_free(p);
    free(path);
}

/* The file holds the grading rule only if answers were graded. */
static void test_grading(void **state)
{
    static const struct {
        hb_grading grading;
        double min_f1;
    } cases[] = {{{.rule = HB_GRADE_EXACT, .min_f1 = 0.3}, 0.5},
                 {{.rule = HB_GRADE_CONTAINS, .min_f1 = 0.3, .abstain_as = HB_ABSTAIN_WRONG}, 0.5},
                 {{.rule = HB_GRADE_F1, .min_f1 = 0.3}, 0.3},
                 {{.rule = HB_GRADE_NUMBER, .tolerance = 0.01, .abstain_as = HB_ABSTAIN_RIGHT}, 0.5},
                 {{.rule = HB_GRADE_CHOICE}, 0.5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err;
        hb_params *p;
        char *path;
        hb_params_source graded = source;
        hb_calibration_result r = calibrate(NULL);
        graded.grading = &cases[i].grading;
        char *json = json_of(&graded, &r);
        assert_ok(hb_params_save(*state, "graded", 10, json, &path, &err));
        assert_ok(hb_params_load(path, &p, &err));
        assert_true(p->is_graded);
        assert_int_equal(p->grading.rule, cases[i].grading.rule);
        assert_near(p->grading.min_f1, cases[i].min_f1, 0);
        assert_near(p->grading.tolerance, cases[i].grading.tolerance, 0);
        assert_int_equal(p->grading.abstain_as, cases[i].grading.abstain_as);
        assert_true(hb_grading_same(&p->grading, &cases[i].grading));
        hb_params_free(p);
        hb_calibration_result_free(&r);
        free(json);
        free(path);
    }
}

/* Saving and loading keeps all digits of a map. */
static void test_maps(void **state)
{
    for (int kind = HB_MAP_LAMBDA; kind <= HB_MAP_ISOTONIC; kind++) {
        hb_error err;
        hb_params *p;
        hb_calibrate_options o = hb_calibrate_defaults();
        o.map = (hb_map_kind)kind;
        hb_calibration_result r = calibrate(&o);
        char *path = save_result(*state, "maps", &r);
        assert_ok(hb_params_load(path, &p, &err));
        assert_int_equal(p->map.kind, kind);
        assert_near(p->lambda, r.map.lambda, 0);
        for (double s = 0; s < 7; s += 0.25) assert_near(hb_map_p(&p->map, s), hb_map_p(&r.map, s), 0);
        hb_params_free(p);
        hb_calibration_result_free(&r);
        free(path);
    }
}

/* Parameters of a joint model of two scores, one with a long name. */
static char *save_joint(const char *dir, const char *long_name)
{
    hb_error err;
    hb_calibration_result r;
    const char *const names[] = {"hbar_s", long_name};
    double two[20];
    for (int i = 0; i < 10; i++) two[i] = scores[i], two[10 + i] = (3 * i) % 7;
    const hb_score_table t = {.scores = two, .labels = labels, .n = 10, .n_scores = 2};
    hb_calibrate_options o = hb_calibrate_defaults();
    o.joint = true;
    o.map = HB_MAP_PLATT;
    o.bootstrap.n_draws = 0;
    assert_ok(hb_calibrate(&t, names, &o, &r, &err));
    char *path = save_result(dir, "joint", &r);
    hb_calibration_result_free(&r);
    return path;
}

static void test_joint(void **state)
{
    hb_error err;
    hb_params *p;
    char *path, name[300];
    memset(name, 'n', sizeof name);
    name[299] = '\0';
    path = save_joint(*state, name);
    assert_ok(hb_params_load(path, &p, &err));
    json_t *root = json_load_file(path, 0, NULL), *object = json_object_get(root, "joint");
    assert_string_equal(p->score, "joint");
    assert_int_equal(p->joint.n_features, 2);
    assert_near(p->joint.intercept, real(object, "intercept"), 0);
    for (size_t j = 0; j < 2; j++) {
        const json_t *feature = json_array_get(json_object_get(object, "features"), j);
        assert_string_equal(p->joint.features[j].score, j ? name : "hbar_s");
        assert_near(p->joint.features[j].mean, real(feature, "mean"), 0);
        assert_near(p->joint.features[j].sd, real(feature, "sd"), 0);
        assert_near(p->joint.features[j].weight, real(feature, "weight"), 0);
    }
    assert_int_equal(json_array_size(json_object_get(object, "trials")), 9);
    hb_params_free(p);
    json_decref(root);
    free(path);
}

static void test_wrong_joint(void **state)
{
    hb_error err;
    hb_params *p;
    char *path = save_joint(*state, "pri"), bad[128];
    json_t *root = json_load_file(path, 0, NULL), *object = json_object_get(root, "joint");
    const struct {
        const char *key;
        json_t *value;
    } cases[] = {
        {"sd", json_real(0)},     {"sd", json_real(1e-200)},  {"weight", json_real(-1e200)},
        {"sd", json_string("1")}, {"weight", json_null()},    {"mean", json_true()},
        {"score", json_real(1)},  {"score", json_string("")},
    };
    snprintf(bad, sizeof bad, "%s/bad.json", (char *)*state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *copy = json_deep_copy(root),
               *first = json_array_get(json_object_get(json_object_get(copy, "joint"), "features"), 0);
        json_object_set_new(first, cases[i].key, cases[i].value);
        json_dump_file(copy, bad, 0);
        assert_fails(hb_params_load(bad, &p, &err), HB_ERR_FORMAT, cases[i].key);
        json_decref(copy);
    }
    json_object_set_new(object, "features", json_array());
    json_dump_file(root, bad, 0);
    assert_fails(hb_params_load(bad, &p, &err), HB_ERR_FORMAT, "joint.features");
    json_object_set_new(json_object_get(root, "score"), "name", json_string("hbar_s"));
    json_dump_file(root, bad, 0);
    assert_fails(hb_params_load(bad, &p, &err), HB_ERR_FORMAT, "score.name");
    json_decref(root);
    free(path);
}

/* Names may have any length up to a limit, which also applies to a calibration. */
static void test_long_names(void **state)
{
    static char name[HB_NAME_BYTES + 2], path[160], model_name[250];
    hb_error err;
    hb_calibration_result r;
    hb_params *p;
    const char *const names[] = {name};
    const hb_score_table t = {.scores = scores, .labels = labels, .n = 10, .n_scores = 1};
    hb_run_settings other = run;
    hb_params_source from = {.run = &other};
    memset(name, 's', HB_NAME_BYTES);
    memset(model_name, 'm', sizeof model_name - 1);
    other.model_name = model_name;
    assert_ok(hb_calibrate(&t, names, NULL, &r, &err));
    char *json = json_of(&from, &r), *saved;
    assert_ok(hb_params_save(*state, "long", 10, json, &saved, &err));
    assert_ok(hb_params_load(saved, &p, &err));
    assert_string_equal(p->score, name);
    assert_string_equal(p->scores[0].name, name);
    assert_string_equal(p->model_name, model_name);
    hb_params_free(p);

    name[HB_NAME_BYTES] = 's';
    assert_fails(hb_calibrate(&t, names, NULL, &r, &err), HB_ERR_ARGUMENT, "more than 65535 bytes");
    json_t *root = json_load_file(saved, 0, NULL);
    json_object_set_new(json_object_get(root, "score"), "name", json_string(name));
    snprintf(path, sizeof path, "%s/longer.json", (char *)*state);
    json_dump_file(root, path, 0);
    assert_fails(hb_params_load(path, &p, &err), HB_ERR_FORMAT, "score.name");
    json_decref(root);
    hb_calibration_result_free(&r);
    free(json);
    free(saved);
}

/* ---- Files --------------------------------------------------------------------------------------- */

static int files_in(const char *dir)
{
    struct dirent *entry;
    int files = 0;
    DIR *d = opendir(dir);
    while ((entry = readdir(d)))
        files += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(d);
    return files;
}

/* Two saves within a second keep two files, and no temporary one is left. */
static void test_names(void **state)
{
    char *first = save(*state, "tiny"), *second = save(*state, "tiny");
    int year, month, day, time, n, length = 0;
    const char *base = strrchr(first, '/') + 1;
    assert_int_equal(
        sscanf(base, "tiny_%4d%2d%2d_%6d_n%d.json%n", &year, &month, &day, &time, &n, &length), 5);
    assert_int_equal(length, strlen(base));
    assert_int_equal(n, 12);
    assert_string_not_equal(first, second);
    assert_int_equal(files_in(*state), 2);
    free(first);
    free(second);
}

/* A file's name has the time in seconds, so a save whose name is taken waits a second. Here waiting
 * sets the clock forward and takes no time. */
int __wrap_nanosleep(const struct timespec *wait, struct timespec *left);
int __wrap_nanosleep(const struct timespec *wait, struct timespec *left)
{
    (void)left;
    later += wait->tv_sec;
    return 0;
}

/* Wrappers of the C library that fail when a test asks for it. */
static int link_fails_with, rename_fails_with, renameat2_fails_with;

int link(const char *from, const char *to)
{
    if (!link_fails_with) return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
    errno = link_fails_with;
    return -1;
}

int rename(const char *from, const char *to)
{
    if (!rename_fails_with) return renameat(AT_FDCWD, from, AT_FDCWD, to);
    errno = rename_fails_with;
    return -1;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    if (!renameat2_fails_with) return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    errno = renameat2_fails_with;
    return -1;
}

/* On file systems that can only replace files, and on those that have no hard links either, files are
 * also written whole and never replace one. */
static void test_without_hard_links(void **state)
{
    renameat2_fails_with = EINVAL;
    char *first = save(*state, "with");
    link_fails_with = EPERM;
    char *second = save(*state, "without"), *third = save(*state, "without");
    link_fails_with = renameat2_fails_with = 0;
    assert_string_not_equal(second, third);
    file_bytes a = load_file(first, *state, "a"), b = load_file(second, *state, "b");
    assert_int_equal(a.size, b.size);
    free(a.data);
    free(b.data);
    assert_int_equal(files_in(*state), 3);
    free(first);
    free(second);
    free(third);
}

/* A failed save leaves no file and does not change the caller's path. */
static void test_that_cannot_be_named(void **state)
{
    hb_error err;
    char untouched[] = "untouched", *path = untouched;
    link_fails_with = EPERM;
    rename_fails_with = EIO;
    renameat2_fails_with = ENOSYS;
    assert_fails(hb_params_save(*state, "x", 10, "{}", &path, &err), HB_ERR_IO, "cannot name the file");
    link_fails_with = rename_fails_with = renameat2_fails_with = 0;
    assert_ptr_equal(path, untouched);
    assert_int_equal(files_in(*state), 0);
}

/* If the names of the next five seconds are taken, a save gives up. */
static void test_no_free_name(void **state)
{
    hb_error err;
    char untouched[] = "untouched", *path = untouched, name[128];
    time_t now = time(NULL);
    for (int i = 0; i < 8; i++) {
        char stamp[32];
        struct tm local;
        time_t then = now + i;
        strftime(stamp, sizeof stamp, "%Y%m%d_%H%M%S", localtime_r(&then, &local));
        snprintf(name, sizeof name, "%s/x_%s_n10.json", (char *)*state, stamp);
        fclose(fopen(name, "wb"));
    }
    assert_fails(hb_params_save(*state, "x", 10, "{}", &path, &err), HB_ERR_IO, "no free file name");
    assert_ptr_equal(path, untouched);
    assert_int_equal(files_in(*state), 8);
}

/* Files have the permissions that the umask leaves. */
static void test_umask(void **state)
{
    static const mode_t cases[][2] = {{022, 0644}, {077, 0600}, {002, 0664}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[8];
        struct stat st;
        snprintf(name, sizeof name, "m%zu", i);
        mode_t before = umask(cases[i][0]);
        char *path = save(*state, name);
        umask(before);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, cases[i][1]);
        free(path);
    }
}

static void test_places_that_cannot_be(void **state)
{
    static const char *const names[] = {"a/b", "", ".hidden", "/"};
    hb_error err;
    char *path, blocked[128], name[130];
    snprintf(blocked, sizeof blocked, "%s/file", (char *)*state);
    fclose(fopen(blocked, "wb"));
    assert_fails(hb_params_save(blocked, "x", 10, "{}", &path, &err), HB_ERR_IO, blocked);
    assert_fails(hb_params_try(blocked, "x", &err), HB_ERR_IO, blocked);
    assert_fails(hb_params_save("/proc/none", "x", 10, "{}", &path, &err), HB_ERR_IO, "/proc/none");
    assert_fails(hb_params_try("/proc/self", "x", &err), HB_ERR_IO, "/proc/self");
    memset(name, 'n', sizeof name);
    name[129] = '\0';
    for (size_t i = 0; i < 5; i++) {
        const char *bad = i < 4 ? names[i] : name;
        assert_fails(hb_params_save(*state, bad, 10, "{}", &path, &err), HB_ERR_ARGUMENT, bad);
        assert_fails(hb_params_try(*state, bad, &err), HB_ERR_ARGUMENT, bad);
    }
    name[128] = '\0';
    assert_ok(hb_params_try(*state, name, &err));
    assert_int_equal(files_in(*state), 1);
    assert_ok(hb_params_save(*state, name, UINT64_MAX, "{}", &path, &err));
    free(path);
}

static void test_table_source(void **state)
{
    (void)state;
    hb_calibrate_options o = hb_calibrate_defaults();
    o.sweep = (hb_sweep_options){HB_GRID_RANGE, 1, 6, 0.5, 0.8, HB_DIRECTION_HIGH, {0}};
    hb_calibration_result r = calibrate(&o);
    const hb_params_source table = {.data_path = "s.csv", .data_sha256 = "123", .n_broken = 3};
    char *document = json_of(&table, &r);
    json_t *root = json_loads(document, 0, NULL);
    assert_true(json_is_null(json_object_get(root, "model")));
    const json_t *data = json_object_get(root, "data"), *settings = json_object_get(root, "settings");
    assert_string_equal(text(data, "path"), "s.csv");
    assert_string_equal(text(data, "sha256"), "123");
    assert_near(real(data, "broken_rows"), 3, 0);
    assert_string_equal(text(settings, "tau_grid"), "range");
    assert_near(real(settings, "tau_step"), 0.5, 0);
    assert_string_equal(text(json_object_get(root, "score"), "name"), "hbar_s");
    json_decref(root);
    free(document);
    hb_calibration_result_free(&r);
}

/* ---- What is refused ----------------------------------------------------------------------------- */

static const char whole[] =
    "{\"schema\":\"hbar-params\",\"schema_version\":6,\"threshold\":{\"tau\":2.5},"
    "\"lambda\":5,\"direction\":\">=\",\"score\":{\"name\":\"hbar_s\"}}";

/* An alarm ends the test instead of waiting forever. */
static hb_status load_soon(const char *path, hb_params **p, hb_error *err)
{
    alarm(20);
    hb_status status = hb_params_load(path, p, err);
    alarm(0);
    return status;
}

/* Pipes are read to their end. Endless files and pipes without a writer are refused at once. */
static void test_odd_files(void **state)
{
    hb_error err;
    hb_params *p;
    char path[128];
    snprintf(path, sizeof path, "%s/fifo", (char *)*state);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(load_soon(path, &p, &err), HB_ERR_IO, "fifo: is empty");
    pid_t writer = fork();
    if (writer == 0) {
        int fd = open(path, O_WRONLY);
        for (size_t i = 0; i < sizeof whole - 1; i += 7) {
            usleep(1000);
            if (write(fd, whole + i, sizeof whole - 1 - i < 7 ? sizeof whole - 1 - i : 7) < 0) _exit(1);
        }
        _exit(0);
    }
    usleep(100000); /* by then the writer waits for a reader */
    assert_ok(load_soon(path, &p, &err));
    assert_near(p->tau, 2.5, 0);
    hb_params_free(p);
    waitpid(writer, NULL, 0);
    assert_fails(load_soon("/dev/zero", &p, &err), HB_ERR_IO, "/dev/zero: is a device");
    assert_fails(load_soon(*state, &p, &err), HB_ERR_IO, "is a directory");
    assert_fails(load_soon("/no/such.json", &p, &err), HB_ERR_IO, "/no/such.json");
    snprintf(path, sizeof path, "%s/huge", (char *)*state);
    fclose(fopen(path, "wb"));
    assert_int_equal(truncate(path, (off_t)HB_PARAMS_BYTES + 1), 0);
    assert_fails(load_soon(path, &p, &err), HB_ERR_IO, "has more than 1073741824 bytes");
}

/* Files of earlier schema versions: version 2 calls the guarantee a promise, version 1 has none. */
static void test_versions(void **state)
{
    static const char form[] =
        "{\"schema\":\"hbar-params\",\"schema_version\":%d,\"threshold\":{\"tau\":2.5,\"%s\":"
        "{\"kind\":\"risk\",\"target\":%g,\"delta\":0.05,\"level\":0.05,\"n\":50,\"k\":1,\"p\":0.03}},"
        "\"lambda\":5,\"direction\":\">=\",\"score\":{\"name\":\"hbar_s\"}}";
    static const struct {
        int version;
        const char *key;
        bool found;
    } cases[] = {{1, "guarantee", false},
                 {2, "promise", true},
                 {2, "guarantee", false},
                 {3, "guarantee", true},
                 {3, "promise", false}};
    char path[128], document[640];
    snprintf(path, sizeof path, "%s/v.json", (char *)*state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int bad = 0; bad < (cases[i].found ? 2 : 1); bad++) {
            hb_error err;
            hb_params *p;
            char field[64];
            snprintf(document, sizeof document, form, cases[i].version, cases[i].key, bad ? 2.0 : 0.1);
            write_text(path, document);
            snprintf(field, sizeof field, "threshold.%s", cases[i].key);
            if (bad) {
                assert_fails(hb_params_load(path, &p, &err), HB_ERR_FORMAT, field);
                continue;
            }
            assert_ok(hb_params_load(path, &p, &err));
            assert_int_equal(p->guarantee.kind, cases[i].found ? HB_GUARANTEE_RISK : HB_GUARANTEE_NONE);
            hb_params_free(p);
        }
    }
}

/* A whole document with one thing changed: a pair of search and replacement. */
static void test_bad_files(void **state)
{
    const struct {
        const char *from, *to;
        hb_status status;
        const char *part;
    } cases[] = {
        {"", "", HB_OK, ""},
        {"{\"schema\"", "{{\"schema\"", HB_ERR_FORMAT, ":1:"},
        {"hbar-params", "other", HB_ERR_FORMAT, "not a parameters file"},
        {"\"schema_version\":6", "\"schema_version\":7", HB_ERR_UNSUPPORTED, "schema_version 7"},
        {"\"schema_version\":6", "\"schema_version\":0", HB_ERR_UNSUPPORTED, "schema_version 0"},
        {"\"schema_version\":6", "\"schema_version\":\"1\"", HB_ERR_FORMAT, "schema_version"},
        {"\"tau\"", "\"tua\"", HB_ERR_FORMAT, "threshold.tau"},
        {"2.5", "\"2.5\"", HB_ERR_FORMAT, "threshold.tau"},
        {"\"lambda\":5", "\"lambda\":0", HB_ERR_FORMAT, "lambda"},
        {"\"lambda\"", "\"lamda\"", HB_ERR_FORMAT, "lambda"},
        {"\">=\"", "\">\"", HB_ERR_FORMAT, "direction"},
        {"\"name\"", "\"nome\"", HB_ERR_FORMAT, "score.name"},
        {"{\"schema\"", "[\"schema\"", HB_ERR_FORMAT, ""},
    };
    char path[128], document[640];
    snprintf(path, sizeof path, "%s/p.json", (char *)*state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err = {HB_OK, ""};
        hb_params *p;
        const char *at = strstr(whole, cases[i].from);
        snprintf(document, sizeof document, "%.*s%s%s", (int)(at - whole), whole, cases[i].to,
                 at + strlen(cases[i].from));
        write_text(path, document);
        assert_fails(hb_params_load(path, &p, &err), cases[i].status, cases[i].part);
        if (cases[i].status) assert_non_null(strstr(err.message, path));
        else hb_params_free(p);
    }
}

/* A halt is saved and loaded with all that a monitor and a validation need. */
static void test_halt_round_trip(void **state)
{
    static const hb_halt_rule rules[] = {
        {.kind = HB_HALT_TOKEN},
        {.kind = HB_HALT_WINDOW, .window = 16},
        {.kind = HB_HALT_EWMA, .weight = 1.0 / 3},
        {.kind = HB_HALT_CUSUM, .mean = {0.1, 2.0 / 3}, .sd = 0.7},
    };
    hb_calibration_result r = calibrate(NULL);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        hb_error err;
        hb_params *p;
        hb_direction direction = rules[i].kind == HB_HALT_WINDOW ? HB_DIRECTION_LOW : HB_DIRECTION_HIGH;
        r.halt = (hb_halt_calibration){
            .halt = {.rule = rules[i], .direction = direction, .tau = 1.0 / 7},
            .guarantee = {HB_GUARANTEE_FALSE_HALTS, 0.05, 0.1, 0.05, 300, 7, 0.01},
            .report = {.printed = {NAN, NAN}}};
        char *path = save_result(*state, "halt", &r);
        assert_ok(hb_params_load(path, &p, &err));
        assert_int_equal(p->halt.rule.kind, rules[i].kind);
        assert_int_equal(p->halt.rule.window, rules[i].window);
        assert_near(p->halt.rule.weight, rules[i].weight, 0);
        assert_near(p->halt.rule.mean[1], rules[i].mean[1], 0);
        assert_near(p->halt.rule.sd, rules[i].sd, 0);
        assert_near(p->halt.tau, 1.0 / 7, 0);
        assert_int_equal(p->halt.direction, direction);
        assert_int_equal(p->halt_guarantee.kind, HB_GUARANTEE_FALSE_HALTS);
        assert_near(p->halt_guarantee.target, 0.05, 0);
        assert_int_equal(p->halt_guarantee.n, 300);
        hb_params_free(p);
        free(path);
    }
    hb_calibration_result_free(&r);
}

/* A cusum is never below 0, so a threshold of 0 stops every answer. The report says so. */
static void test_useless_halt(void **state)
{
    static const struct {
        hb_halt_kind kind;
        double tau;
        bool useless;
    } cases[] = {{HB_HALT_CUSUM, 0, true},
                 {HB_HALT_CUSUM, -1, true},
                 {HB_HALT_CUSUM, 0.1, false},
                 {HB_HALT_TOKEN, 0, false}};
    hb_calibration_result r = calibrate(NULL);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err;
        char *text;
        r.halt = (hb_halt_calibration){
            .halt = {.rule = {.kind = cases[i].kind, .mean = {1, 2}, .sd = 1}, .tau = cases[i].tau},
            .guarantee = {HB_GUARANTEE_HALTS, 0.9, 0.1, 0.05, 300, 7, 0.01},
            .report = {.printed = {NAN, NAN}}};
        assert_int_equal(hb_halt_stops_all(&r.halt.halt), cases[i].useless);
        assert_ok(hb_params_text(&source, &r, &text, &err));
        assert_int_equal(strstr(text, "this halt stops every answer") != NULL, cases[i].useless);
        free(text);
    }
    hb_calibration_result_free(&r);
}

static void name_score(hb_calibration_result *r, const char *name)
{
    free(r->scores[0].name);
    r->scores[0].name = strdup(name);
}

/* The trained model of a halt, too. Its weights stay the same bits. */
static void test_halt_model_round_trip(void **state)
{
    hb_error err;
    hb_params *p;
    hb_calibration_result r = calibrate(NULL);
    hb_halt_model *m = calloc(1, sizeof *m);
    r.halt_model = m;
    r.halt =
        (hb_halt_calibration){.halt = {.rule = {.kind = HB_HALT_TOKEN}, .tau = 2},
                              .guarantee = {HB_GUARANTEE_FALSE_HALTS, 0.05, 0.1, 0.05, 300, 7, 0.01},
                              .report = {.printed = {NAN, NAN}}};
    assert_ok(hb_probe_new(hb_probe_kind_find("probe"), 14, 3, 0, &m->probe, &err));
    for (int i = 0; i < 3; i++) m->probe->weights[i] = 1.0F / (float)(i + 3);
    m->probe->intercept = -0.3;
    m->probe->trials = calloc(1, sizeof *m->probe->trials);
    m->probe->n_trials = 1;
    name_score(&r, "probe");
    for (int joint = 0; joint < 2; joint++) {
        if (joint) {
            m->joint.features = calloc(2, sizeof *m->joint.features);
            m->joint.features[0] = (hb_joint_feature){strdup("probe"), 0.5, 2, 0.7};
            m->joint.features[1] = (hb_joint_feature){strdup("entropy:mean"), 1, 3, -0.2};
            m->joint.n_features = 2;
            m->joint.intercept = 0.1;
            m->joint.trials = calloc(1, sizeof *m->joint.trials);
            m->joint.n_trials = 1;
            r.joint.features = calloc(1, sizeof *r.joint.features);
            r.joint.features[r.joint.n_features++] = (hb_joint_feature){strdup("entropy"), 1, 3, -0.2};
            r.joint.trials = calloc(1, sizeof *r.joint.trials);
            r.joint.n_trials = 1;
            name_score(&r, "joint");
        }
        char *path = save_result(*state, "halt_model", &r);
        assert_ok(hb_params_load(path, &p, &err));
        assert_ptr_equal(p->halt.model, p->halt_model);
        assert_memory_equal(p->halt_model->probe->weights, m->probe->weights, 3 * sizeof(float));
        assert_int_equal(hb_probe_block(hb_halt_model_probe(p->halt_model)), 14);
        const hb_joint *loaded = hb_halt_model_joint(p->halt_model);
        assert_true((loaded != NULL) == joint);
        double here[2] = {0.3, 4}, there[2] = {0.3, 4};
        assert_near(hb_halt_model_value(p->halt_model, there), hb_halt_model_value(m, here), 0);
        hb_params_free(p);
        free(path);
    }
    hb_calibration_result_free(&r);
}

#define HALT_GUARANTEE                                                                                 \
    "\"guarantee\":{\"kind\":\"halts\",\"target\":0.9,\"delta\":0.05,\"level\":0.05,"                  \
    "\"n\":50,\"k\":1,\"p\":0.03}"

static void test_bad_halts(void **state)
{
    static const struct {
        const char *halt, *part; /* NULL: it is good */
    } cases[] = {
        {"null", NULL},
        {"{\"rule\":\"ewma:0.5\",\"direction\":\"<=\",\"tau\":1," HALT_GUARANTEE "}", NULL},
        {"{\"rule\":\"none\",\"direction\":\"<=\",\"tau\":1," HALT_GUARANTEE "}", "halt.rule"},
        {"{\"rule\":\"window:0\",\"direction\":\"<=\",\"tau\":1," HALT_GUARANTEE "}", "halt.rule"},
        {"{\"rule\":\"cusum\",\"direction\":\">=\",\"tau\":1," HALT_GUARANTEE "}", "halt.mean_0"},
        {"{\"rule\":\"cusum\",\"mean_0\":0,\"mean_1\":1,\"sd\":0,\"direction\":\">=\",\"tau\":"
         "1," HALT_GUARANTEE "}",
         "halt.sd"},
        {"{\"rule\":\"cusum\",\"mean_0\":0,\"mean_1\":1,\"sd\":1,\"direction\":\"<=\",\"tau\":"
         "1," HALT_GUARANTEE "}",
         "halt.direction' is missing or not \">=\", which a cusum requires"},
        {"{\"rule\":\"token\",\"direction\":\">=\",\"tau\":1,\"model\":{\"probe\":{\"block\":1,"
         "\"intercept\":0,\"weights\":\"AAAAAA==\"}}," HALT_GUARANTEE "}",
         "'halt.model' goes with the score 'probe' or a joint model, not with 'hbar_s'"},
        {"{\"rule\":\"token\",\"direction\":\"<\",\"tau\":1," HALT_GUARANTEE "}", "halt.direction"},
        {"{\"rule\":\"token\",\"direction\":\"<=\"," HALT_GUARANTEE "}", "halt.tau"},
        {"{\"rule\":\"token\",\"direction\":\"<=\",\"tau\":1}", "halt.guarantee"},
        {"{\"rule\":\"token\",\"direction\":\"<=\",\"tau\":1,\"guarantee\":{\"kind\":\"recall\"}}",
         "halt.guarantee.kind"},
        {"{\"rule\":\"token\",\"direction\":\">=\",\"tau\":1,\"model\":{}," HALT_GUARANTEE "}",
         "halt.model"},
        {"{\"rule\":\"token\",\"direction\":\">=\",\"tau\":1,\"model\":{\"probe\":{\"block\":1,"
         "\"intercept\":0,\"weights\":\"AAA\"}}," HALT_GUARANTEE "}",
         "halt.model.probe.weights"},
        {"3", "halt.rule"},
    };
    char path[128], document[640];
    snprintf(path, sizeof path, "%s/h.json", (char *)*state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err;
        hb_params *p;
        snprintf(document, sizeof document, "%.*s,\"halt\":%s}", (int)strlen(whole) - 1, whole,
                 cases[i].halt);
        write_text(path, document);
        if (cases[i].part) {
            assert_fails(hb_params_load(path, &p, &err), HB_ERR_FORMAT, cases[i].part);
            continue;
        }
        assert_ok(hb_params_load(path, &p, &err));
        hb_params_free(p);
    }
}

/* A calibration with one thing changed. */
static hb_status load_calibration(const char *dir, const char *from, const char *to, hb_params **params,
                                  hb_error *err)
{
    static const char good[] =
        "{\"schema\":\"hbar-params\",\"schema_version\":1,\"threshold\":{\"tau\":2.5},\"lambda\":5,"
        "\"direction\":\">=\",\"score\":{\"name\":\"b\",\"label_1\":{\"n\":3,\"mean\":2,\"sd\":1}},"
        "\"settings\":{\"min_recall\":0.8,\"max_tokens\":7},\"data\":{\"sha256\":\"12ab\"},\"auroc\":0."
        "7,"
        "\"scores\":{\"a\":{\"tau\":1,\"direction\":\"<=\",\"auroc\":0.6},\"b\":{\"tau\":9,"
        "\"direction\":\"<=\"}},\"prompt_hashes\":\"AAAAAAAAAAIAAAAAAAAAAQ==\"}";
    char path[128], document[1024];
    const char *at = strstr(good, from);
    snprintf(path, sizeof path, "%s/c.json", dir);
    snprintf(document, sizeof document, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    write_text(path, document);
    return hb_params_load(path, params, err);
}

static void test_calibration(void **state)
{
    hb_error err;
    hb_params *c;
    assert_ok(load_calibration(*state, "", "", &c, &err));
    assert_int_equal(c->n_scores, 2);
    assert_string_equal(c->scores[0].name,
                        "b"); /* the calibrated score, with the fields of the threshold */
    assert_near(c->scores[0].tau, 2.5, 0);
    assert_near(c->scores[0].auroc, 0.7, 0);
    assert_int_equal(c->scores[0].by_label[1].n, 3);
    assert_string_equal(c->scores[1].name, "a");
    assert_int_equal(c->scores[1].direction, HB_DIRECTION_LOW);
    assert_near(c->min_recall, 0.8, 0);
    assert_int_equal(c->max_tokens, 7);
    assert_string_equal(c->data_sha256, "12ab");
    assert_int_equal(c->n_prompts, 2);
    assert_true(c->prompts[0] == 1 && c->prompts[1] == 2);
    assert_false(c->is_graded);
    hb_params_free(c);
}

/* Until version 3, a signal's name alone meant the top5, unless it was the name of a table's column.
 * Now it means the tail of the direction. */
static void test_names_by_version(void **state)
{
    static const char form[] =
        "{\"schema\":\"hbar-params\",\"schema_version\":%d,\"threshold\":{\"tau\":2.5},\"lambda\":5,"
        "\"model\":%s,\"direction\":\"<=\",\"score\":{\"name\":\"hbar_s\"},\"scores\":{\"hbar_s\":"
        "{\"tau\":1,\"direction\":\"<=\"},\"pri\":{\"tau\":1,\"direction\":\">=\"},\"perplexity\":"
        "{\"tau\":1,\"direction\":\">=\"}}}";
    static const struct {
        int version;
        const char *model, *name, *tail, *pri;
    } cases[] = {{3, "{\"name\":\"m\"}", "hbar_s:top5", "hbar_s:top5", "pri:top5"},
                 {3, "null", "hbar_s", "hbar_s:bottom5", "pri"},
                 {4, "{\"name\":\"m\"}", "hbar_s", "hbar_s:bottom5", "pri"}};
    char path[128], document[640];
    snprintf(path, sizeof path, "%s/n.json", (char *)*state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err;
        hb_params *p;
        snprintf(document, sizeof document, form, cases[i].version, cases[i].model);
        write_text(path, document);
        assert_ok(hb_params_load(path, &p, &err));
        assert_int_equal(p->n_scores, 3);
        assert_string_equal(p->score, cases[i].name);
        assert_string_equal(p->scores[0].name, cases[i].name);
        assert_string_equal(p->scores[0].tail, cases[i].tail);
        assert_string_equal(p->scores[1].name, cases[i].pri);
        assert_string_equal(p->scores[1].tail, "pri:top5");
        assert_string_equal(p->scores[2].name, "perplexity");
        assert_string_equal(p->scores[2].tail, "perplexity");
        hb_params_free(p);
    }
}

static void test_bad_calibrations(void **state)
{
    static const char *const cases[][3] = {
        {"0.8", "0", "settings.min_recall"},
        {"0.8", "1.5", "settings.min_recall"},
        {":7", ":0", "settings.max_tokens"},
        {":7", ":\"7\"", "settings.max_tokens"},
        {":7", ":99999999", "settings.max_tokens"},
        {"\"tau\":1", "\"tua\":1", "scores.*.tau"},
        {"\"<=\",\"auroc\"", "\"<\",\"auroc\"", "scores.*.direction"},
        {"\"AAAAAAAAAAIAAAAAAAAAAQ==\"", "5", "prompt_hashes"},
        {"AQ==", "AQ=", "prompt_hashes"},
        {"AQ==", "AQ", "prompt_hashes"},
        {":7", ":7,\"grade\":\"luck\"", "settings.grade"},
        {":7", ":7,\"grade\":5", "settings.grade"},
        {":7", ":7,\"grade\":\"f1\"", "settings.min_f1"},
        {":7", ":7,\"grade\":\"f1\",\"min_f1\":0", "settings.min_f1"},
        {":7", ":7,\"grade\":\"number\"", "settings.tolerance"},
        {":7", ":7,\"grade\":\"number\",\"tolerance\":-1", "settings.tolerance"},
        {":7", ":7,\"kv_type\":\"f8\"", "settings.kv_type"},
        {":7", ":7,\"grade\":\"exact\",\"abstain_as\":\"in\"", "settings.abstain_as"},
        {":7", ":7,\"grade\":\"exact\",\"answer_lines\":-2", "settings.answer_lines"},
        {":7", ":7,\"grade\":\"exact\",\"answer_lines\":\"all\"", "settings.answer_lines"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err;
        hb_params *c;
        assert_fails(load_calibration(*state, cases[i][0], cases[i][1], &c, &err), HB_ERR_FORMAT,
                     cases[i][2]);
    }
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contradictions),
        WITH_SCRATCH(test_document),
        WITH_SCRATCH(test_saved_as_it_is),
        WITH_SCRATCH(test_round_trip),
        WITH_SCRATCH(test_what_they_are_for),
        WITH_SCRATCH(test_grading),
        WITH_SCRATCH(test_maps),
        WITH_SCRATCH(test_joint),
        WITH_SCRATCH(test_wrong_joint),
        WITH_SCRATCH(test_long_names),
        WITH_SCRATCH(test_names),
        WITH_SCRATCH(test_without_hard_links),
        WITH_SCRATCH(test_that_cannot_be_named),
        WITH_SCRATCH(test_no_free_name),
        WITH_SCRATCH(test_umask),
        WITH_SCRATCH(test_places_that_cannot_be),
        cmocka_unit_test(test_table_source),
        WITH_SCRATCH(test_odd_files),
        WITH_SCRATCH(test_versions),
        WITH_SCRATCH(test_bad_files),
        WITH_SCRATCH(test_halt_round_trip),
        cmocka_unit_test(test_useless_halt),
        WITH_SCRATCH(test_halt_model_round_trip),
        WITH_SCRATCH(test_bad_halts),
        WITH_SCRATCH(test_calibration),
        WITH_SCRATCH(test_names_by_version),
        WITH_SCRATCH(test_bad_calibrations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
