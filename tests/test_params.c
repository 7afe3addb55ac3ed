/* Parameters: what is written, where, and what is accepted back. */
#include "check.h"

#include <dirent.h>
#include <jansson.h>
#include <sys/stat.h>

static const double scores[] = {1, 2, 2, 3, 4, 4, 4, 5, 6, 6};
static const uint8_t labels[] = {0, 1, 0, 0, 1, 1, 0, 1, 1, 0};

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

static hb_sweep_result sweep(hb_sweep_options *o)
{
    hb_error err;
    hb_sweep_result r;
    assert_ok(hb_sweep(scores, labels, 10, o, &r, &err));
    return r;
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

static char *save(const char *dir, const char *name)
{
    hb_error err;
    char *path;
    hb_sweep_options o = hb_sweep_defaults();
    o.direction = HB_DIRECTION_LOW;
    hb_sweep_result r = sweep(&o);
    hb_params_source source = {.run = &run,
                               .counts = {.total = 12, .scored = 10, .skipped = 1, .failed = 1},
                               .score = "hbar_s",
                               .sweep = &o};
    assert_ok(hb_params_save(dir, name, &source, &r, &path, &err));
    hb_sweep_free(&r);
    return path;
}

static void test_document(void **state)
{
    char dir[128];
    snprintf(dir, sizeof dir, "%s/a/b/", (char *)*state); /* made as needed */
    char *path = save(dir, "tiny");
    hb_sweep_options o = hb_sweep_defaults();
    o.direction = HB_DIRECTION_LOW;
    hb_sweep_result r = sweep(&o);
    json_t *root = json_load_file(path, 0, NULL);
    assert_string_equal(text(root, "schema"), "hbar-params");
    assert_near(real(root, "schema_version"), 3, 0);
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
    assert_near(real(root, "auroc"), r.auroc, 0);
    assert_near(real(root, "pr_auc"), r.pr_auc, 0);
    assert_near(real(root, "lambda"), 5, 0);
    const json_t *threshold = json_object_get(root, "threshold");
    assert_near(real(threshold, "tau"), r.best.tau, 0); /* all digits survive */
    assert_near(real(threshold, "precision"), r.best.precision, 0);
    assert_near(real(threshold, "recall"), r.best.recall, 0);
    assert_near(real(threshold, "f1"), r.best.f1, 0);
    assert_near(real(threshold, "min_recall"), 0.9, 0);
    const json_t *points = json_object_get(root, "sweep");
    assert_int_equal(json_array_size(points), r.n_points);
    for (size_t i = 0; i < r.n_points; i++)
        assert_near(real(json_array_get(points, i), "tau"), r.points[i].tau, 0);
    const json_t *score = json_object_get(root, "score");
    assert_near(real(score, "hallucination_rate"), 0.5, 0);
    assert_near(real(score, "cohens_d"), r.cohens_d, 0);
    assert_near(real(json_object_get(score, "label_1"), "mean"), r.by_label[1].mean, 0);
    json_decref(root);
    hb_sweep_free(&r);
    free(path);
}

static void test_round_trip(void **state)
{
    hb_error err;
    hb_params *p;
    char *path = save(*state, "tiny");
    hb_sweep_options o = hb_sweep_defaults();
    o.direction = HB_DIRECTION_LOW;
    hb_sweep_result r = sweep(&o);
    assert_ok(hb_params_load(path, &p, &err));
    assert_near(p->tau, r.best.tau, 0);
    assert_near(p->lambda, 5, 0);
    assert_near(p->alpha, 0.25, 0);
    assert_int_equal(p->direction, HB_DIRECTION_LOW);
    assert_string_equal(p->score, "hbar_s");
    assert_string_equal(p->model_name, "Tiny 1");
    assert_string_equal(p->model_architecture, "llama");
    assert_true(p->model_size == 12345);
    assert_string_equal(p->chat, "chatml");
    assert_true(hb_params_same_chat(p, "chatml", "Be brief."));
    assert_false(hb_params_same_chat(p, "phi3", "Be brief."));
    assert_false(hb_params_same_chat(p, "chatml", "Be bold."));
    assert_false(hb_params_same_chat(p, "chatml", NULL));
    assert_false(hb_params_same_chat(p, "", ""));
    hb_sweep_free(&r);
    free(path);
}

/* Maps survive the file, all digits of them. */
static void test_maps(void **state)
{
    for (int kind = HB_MAP_LAMBDA; kind <= HB_MAP_ISOTONIC; kind++) {
        hb_error err;
        hb_params *p;
        hb_map map;
        char *path;
        hb_sweep_options o = hb_sweep_defaults();
        hb_sweep_result r = sweep(&o);
        assert_ok(
            hb_map_fit(scores, labels, 10, (hb_map_kind)kind, r.best.tau, r.direction, &map, &err));
        hb_params_source source = {.score = "hbar_s", .sweep = &o, .map = &map};
        assert_ok(hb_params_save(*state, "maps", &source, &r, &path, &err));
        assert_ok(hb_params_load(path, &p, &err));
        assert_int_equal(p->map.kind, kind);
        assert_near(p->lambda, map.lambda, 0);
        for (double s = 0; s < 7; s += 0.25) assert_near(hb_map_p(&p->map, s), hb_map_p(&map, s), 0);
        hb_params_free(p);
        hb_map_free(&map);
        hb_sweep_free(&r);
        free(path);
    }
}

static void test_joint(void **state)
{
    hb_error err;
    hb_params *p;
    char *path, bad[128];
    hb_sweep_options o = hb_sweep_defaults();
    hb_sweep_result r = sweep(&o);
    hb_joint_feature features[] = {{"hbar_s", 0.1, 1.0 / 3, -2}, {"pri:mean", -5, 7, 0}};
    hb_joint_trial trials[] = {{1e-4, 0.7, 0.5}, {1e-3, 0.6, 0.8}};
    hb_joint joint = {.features = features,
                      .n_features = 2,
                      .intercept = 0.7,
                      .options = {5, 42},
                      .trials = trials,
                      .n_trials = 2,
                      .best = 1};
    hb_params_source source = {.score = "joint", .sweep = &o, .joint = &joint};
    assert_ok(hb_params_save(*state, "joint", &source, &r, &path, &err));
    assert_ok(hb_params_load(path, &p, &err));
    assert_int_equal(p->joint.n_features, 2);
    assert_near(p->joint.intercept, 0.7, 0);
    for (int j = 0; j < 2; j++) {
        assert_string_equal(p->joint.features[j].score, joint.features[j].score);
        assert_near(p->joint.features[j].mean, joint.features[j].mean, 0);
        assert_near(p->joint.features[j].sd, joint.features[j].sd, 0);
        assert_near(p->joint.features[j].weight, joint.features[j].weight, 0);
    }
    json_t *root = json_load_file(path, 0, NULL), *object = json_object_get(root, "joint");
    assert_near(real(object, "c"), 1e-3, 0);
    assert_near(real(json_array_get(json_object_get(object, "trials"), 1), "auroc"), 0.8, 0);

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
    hb_sweep_free(&r);
    free(path);
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
    struct dirent *entry;
    int files = 0;
    DIR *dir = opendir(*state);
    while ((entry = readdir(dir))) files += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    closedir(dir);
    assert_int_equal(files, 2);
    free(first);
    free(second);
}

static void test_places_that_cannot_be(void **state)
{
    hb_error err;
    char *path, blocked[128];
    hb_sweep_options o = hb_sweep_defaults();
    hb_sweep_result r = sweep(&o);
    hb_params_source source = {.score = "score", .sweep = &o};
    snprintf(blocked, sizeof blocked, "%s/file", (char *)*state);
    fclose(fopen(blocked, "wb"));
    assert_fails(hb_params_save(blocked, "x", &source, &r, &path, &err), HB_ERR_IO, blocked);
    assert_fails(hb_params_save("/proc/none", "x", &source, &r, &path, &err), HB_ERR_IO, "/proc/none");
    assert_fails(hb_params_save(*state, "a/b", &source, &r, &path, &err), HB_ERR_ARGUMENT, "a/b");
    assert_fails(hb_params_save(*state, "", &source, &r, &path, &err), HB_ERR_ARGUMENT, "''");
    hb_sweep_free(&r);
}

static void test_table_source(void **state)
{
    (void)state;
    hb_error err;
    char *document;
    hb_sweep_options o = {HB_GRID_RANGE, 1, 6, 0.5, 0.8, HB_DIRECTION_HIGH, {0}};
    hb_sweep_result r = sweep(&o);
    hb_params_source source = {
        .data_path = "s.csv", .data_sha256 = "123", .n_broken = 3, .score = "entropy", .sweep = &o};
    assert_ok(hb_params_json(&source, &r, &document, &err));
    json_t *root = json_loads(document, 0, NULL);
    assert_true(json_is_null(json_object_get(root, "model")));
    const json_t *data = json_object_get(root, "data"), *settings = json_object_get(root, "settings");
    assert_string_equal(text(data, "path"), "s.csv");
    assert_near(real(data, "broken_rows"), 3, 0);
    assert_string_equal(text(settings, "tau_grid"), "range");
    assert_near(real(settings, "tau_step"), 0.5, 0);
    assert_string_equal(text(json_object_get(root, "score"), "name"), "entropy");
    json_decref(root);
    free(document);
    hb_sweep_free(&r);
}

/* A whole document with one thing changed: a pair of search and replacement. */
static void test_bad_files(void **state)
{
    static const char good[] =
        "{\"schema\":\"hbar-params\",\"schema_version\":1,\"threshold\":{\"tau\":2.5},"
        "\"lambda\":5,\"direction\":\">=\",\"score\":{\"name\":\"hbar_s\"}}";
    const struct {
        const char *from, *to;
        hb_status status;
        const char *part;
    } cases[] = {
        {"", "", HB_OK, ""},
        {"{\"schema\"", "{{\"schema\"", HB_ERR_FORMAT, ":1:"},
        {"hbar-params", "other", HB_ERR_FORMAT, "not a parameters file"},
        {"\"schema_version\":1", "\"schema_version\":4", HB_ERR_UNSUPPORTED, "schema_version 4"},
        {"\"schema_version\":1", "\"schema_version\":0", HB_ERR_UNSUPPORTED, "schema_version 0"},
        {"\"schema_version\":1", "\"schema_version\":\"1\"", HB_ERR_FORMAT, "schema_version"},
        {"\"tau\"", "\"tua\"", HB_ERR_FORMAT, "threshold.tau"},
        {"2.5", "\"2.5\"", HB_ERR_FORMAT, "threshold.tau"},
        {"\"lambda\":5", "\"lambda\":0", HB_ERR_FORMAT, "lambda"},
        {"\"lambda\"", "\"lamda\"", HB_ERR_FORMAT, "lambda"},
        {"\">=\"", "\">\"", HB_ERR_FORMAT, "direction"},
        {"\"name\"", "\"nome\"", HB_ERR_FORMAT, "score.name"},
        {"{\"schema\"", "[\"schema\"", HB_ERR_FORMAT, ""},
    };
    char path[128], document[512];
    snprintf(path, sizeof path, "%s/p.json", (char *)*state);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err = {HB_OK, ""};
        hb_params *p;
        const char *at = strstr(good, cases[i].from);
        snprintf(document, sizeof document, "%.*s%s%s", (int)(at - good), good, cases[i].to,
                 at + strlen(cases[i].from));
        FILE *file = fopen(path, "wb");
        fputs(document, file);
        fclose(file);
        assert_fails(hb_params_load(path, &p, &err), cases[i].status, cases[i].part);
        if (cases[i].status) assert_non_null(strstr(err.message, path));
    }
    hb_error err;
    hb_params *p;
    assert_fails(hb_params_load("/no/such.json", &p, &err), HB_ERR_IO, "/no/such.json");
    assert_fails(hb_params_load(*state, &p, &err), HB_ERR_IO, "is a directory");
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
        "\"direction\":\"<=\"}},\"sample_ids\":[\"y\",\"x\"]}";
    char path[128], document[1024];
    const char *at = strstr(good, from);
    snprintf(path, sizeof path, "%s/c.json", dir);
    snprintf(document, sizeof document, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    FILE *file = fopen(path, "wb");
    fputs(document, file);
    fclose(file);
    return hb_params_load(path, params, err);
}

static void test_calibration(void **state)
{
    hb_error err;
    hb_params *c;
    assert_ok(load_calibration(*state, "", "", &c, &err));
    assert_int_equal(c->n_scores, 2);
    assert_string_equal(c->scores[0].name, "b"); /* the one it is about, as the threshold tells it */
    assert_near(c->scores[0].tau, 2.5, 0);
    assert_near(c->scores[0].auroc, 0.7, 0);
    assert_int_equal(c->scores[0].by_label[1].n, 3);
    assert_string_equal(c->scores[1].name, "a");
    assert_int_equal(c->scores[1].direction, HB_DIRECTION_LOW);
    assert_near(c->min_recall, 0.8, 0);
    assert_int_equal(c->max_tokens, 7);
    assert_string_equal(c->data_sha256, "12ab");
    assert_int_equal(c->n_ids, 2);
    assert_string_equal(c->ids[0], "x");
    hb_params_free(c);
    hb_params_free(NULL);
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
        {"\"y\"", "5", "sample_ids"},
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
        WITH_SCRATCH(test_document),
        WITH_SCRATCH(test_round_trip),
        WITH_SCRATCH(test_maps),
        WITH_SCRATCH(test_joint),
        WITH_SCRATCH(test_names),
        WITH_SCRATCH(test_places_that_cannot_be),
        cmocka_unit_test(test_table_source),
        WITH_SCRATCH(test_bad_files),
        WITH_SCRATCH(test_calibration),
        WITH_SCRATCH(test_bad_calibrations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
