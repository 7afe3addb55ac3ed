/* Paths to values, templates, labels, draws, and options that map fields. */
#include "data_check.h"

#include <jansson.h>
#include "data/draw.h"
#include "data/labels.h"
#include "data/path.h"
#include "data/prompt_template.h"

/* ---- Paths --------------------------------------------------------------------------------------- */

/* The values of a path in a row, each followed by ';'. "-" if the path does not exist. */
static const char *values_at(const json_t *row, const char *text, size_t index)
{
    static char out[512];
    hb_path *path;
    hb_error err;
    hb_scope scope = {.levels = {row}, .n_levels = 1, .index = index};
    hb_values values = {0};
    hb_buffer buffer = {0};
    bool found;
    assert_ok(hb_path_parse(text, &path, &err));
    assert_true(hb_path_find(path, &scope, &values, &found));
    assert_true(hb_buffer_add_text(&buffer, found ? "" : "-"));
    for (size_t i = 0; i < values.n; i++)
        assert_true(hb_value_text(&buffer, values.list[i]) && hb_buffer_add_text(&buffer, ";"));
    snprintf(out, sizeof out, "%s", buffer.data);
    hb_buffer_free(&buffer);
    hb_values_free(&values);
    json_decref(scope.made);
    hb_path_free(path);
    return out;
}

static void test_paths(void **state)
{
    (void)state;
    static const char row_text[] = "{\"a\":{\"b\":[\"x\",\"y\"],\"c\":null},\"a.b\":\"whole\",\"Q\":1,"
                                   "\"list\":[{\"t\":1},{\"t\":2.0},{}],"
                                   "\"s\":\"['p', \\\"q's\\\"]\",\"j\":\"[\\\"m\\\", 3]\",\"n\":\"['u' "
                                   "'v']\",\"e\":[],\"T\":2,\"t\":3,"
                                   "\"map\":{\"k\":[\"1\",\"2\"],\"l\":[\"3\",\"4\"]},\"x\":{\"y\":1}}";
    static const struct {
        const char *path;
        size_t index;
        const char *values;
    } cases[] = {
        {"a.b", 0, "whole;"},    {"a.b[1]", 0, "y;"},
        {"a.b[2]", 0, "-"},      {"a.c", 0, "-"},
        {"a.d", 0, "-"},         {"q", 0, "1;"},
        {"t", 0, "3;"},          {"T", 0, "2;"},
        {"list.t", 0, "1;2;"},   {"list[1].t", 0, "2;"},
        {"s[1]", 0, "q's;"},     {"j[0]", 0, "m;"},
        {"n[1]", 0, "v;"},       {"s", 0, "['p', \"q's\"];"},
        {"e", 0, ";"},           {"e.t", 0, ""},
        {"e[0]", 0, "-"},        {"a.b[i]", 1, "y;"},
        {"a.b[<i]", 1, "x;"},    {"a.b[<i]", 0, ""},
        {"map.*[i]", 1, "2;4;"}, {"no|Q|t", 0, "1;"},
        {"a.c|t", 0, "3;"},      {"x", 0, "{\"y\": 1};"},
        {"q.z", 0, "-"},         {"a.b[0].z", 0, "-"},
        {"tT", 0, "-"},
    };
    json_t *row = json_loads(row_text, 0, NULL);
    assert_non_null(row);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *values = values_at(row, cases[i].path, cases[i].index);
        if (strcmp(values, cases[i].values) != 0)
            fail_msg("%s gives %s, not %s", cases[i].path, values, cases[i].values);
    }
    json_decref(row);
    /* Two fields that differ from the path only by letter case. */
    row = json_loads("{\"Ab\":1,\"aB\":2}", 0, NULL);
    assert_string_equal(values_at(row, "ab", 0), "-");
    assert_string_equal(values_at(row, "aB", 0), "2;");
    json_decref(row);
}

static void test_bad_paths(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      ".",
                                      "a.",
                                      "a..b",
                                      "a[",
                                      "a[x]",
                                      "a[-1]",
                                      "a[1",
                                      "a[1]b",
                                      "|a",
                                      "a|",
                                      "a[99999999999]",
                                      "a.b.c.d.e.f.g.h.i",
                                      "a|b|c|d|e",
                                      "[0]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hb_path *path;
        hb_error err;
        if (hb_path_parse(bad[i], &path, &err) != HB_ERR_ARGUMENT) fail_msg("'%s' is a path", bad[i]);
    }
}

/* Strings that only look like lists are not lists, and deep nesting is refused. */
static void test_spelled_lists(void **state)
{
    (void)state;
    static const char *const none[] = {"",
                                       "a",
                                       "[",
                                       "[a]",
                                       "['a",
                                       "['a'",
                                       "['a'] b",
                                       "[\"a\", b]",
                                       "['\xFF']",
                                       "['\\x4']",
                                       "['\\xg1']",
                                       "['\\x00']",
                                       "['\\ud800']",
                                       "['\\U00110000']",
                                       "['\\UFFFFFFFF']",
                                       "['\\u12",
                                       "['\\"};
    json_t *list;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_true(hb_spelled_list(none[i], &list));
        assert_null(list);
    }
    assert_true(hb_spelled_list(" ['a\\'b\\n', 'c\"d',\n 'e'] ", &list));
    assert_int_equal(json_array_size(list), 3);
    assert_string_equal(json_string_value(json_array_get(list, 0)), "a'b\n");
    assert_string_equal(json_string_value(json_array_get(list, 1)), "c\"d");
    json_decref(list);
    assert_true(hb_spelled_list("['5\\xa0km', \"\\u20ac\\U0001F600\\r\"]",
                                &list)); /* as Python's repr escapes */
    assert_string_equal(json_string_value(json_array_get(list, 0)), "5\xC2\xA0km");
    assert_string_equal(json_string_value(json_array_get(list, 1)), "\xE2\x82\xAC\xF0\x9F\x98\x80\r");
    json_decref(list);
    char deep[20001];
    memset(deep, '[', 20000);
    deep[20000] = '\0';
    assert_true(hb_spelled_list(deep, &list));
    assert_null(list);
}

/* ---- Templates ----------------------------------------------------------------------------------- */

static bool fill_name(void *user, const hb_path *path, hb_buffer *out, hb_error *why)
{
    assert_ptr_equal(user, hooked);
    if (strcmp(hb_path_text(path), "none") == 0) {
        hb_fail(why, HB_ERR_FORMAT, "no such field");
        return false;
    }
    return hb_buffer_add_text(out, "<") && hb_buffer_add_text(out, hb_path_text(path)) &&
           hb_buffer_add_text(out, ">");
}

static void test_templates(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"{a}", "<a>"},
        {"Q: {a.b[0]}{c|d}\n", "Q: <a.b[0]><c|d>\n"},
        {"{{\"x\": {a}}}", "{\"x\": <a>}"},
        {"a } b }} c", "a } b } c"},
        {"{{{{a}}", "{{a}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_prompt_template *t;
        hb_buffer out = {0};
        hb_error err;
        assert_ok(hb_prompt_template_parse(cases[i][0], &t, &err));
        assert_true(hb_buffer_add_text(&out, "") &&
                    hb_prompt_template_fill(t, fill_name, hooked, &out, &err));
        assert_string_equal(out.data, cases[i][1]);
        hb_buffer_free(&out);
        hb_prompt_template_free(t);
    }
    static const char *const bad[] = {"{", "a {b", "{}", "{a b} {", "{[0]}", "{a.}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hb_prompt_template *t;
        hb_error err;
        if (hb_prompt_template_parse(bad[i], &t, &err) != HB_ERR_ARGUMENT)
            fail_msg("'%s' is a template", bad[i]);
    }
    hb_prompt_template *t;
    hb_buffer out = {0};
    hb_error err;
    assert_ok(hb_prompt_template_parse("{a} {none}", &t, &err));
    assert_false(hb_prompt_template_fill(t, fill_name, hooked, &out, &err));
    assert_string_equal(err.message, "no such field");
    hb_buffer_free(&out);
    hb_prompt_template_free(t);
}

/* ---- Labels -------------------------------------------------------------------------------------- */

/* The labels that the same text gives by the usual rule, in a column that marks right answers, and with
 * the positive word FAIL. */
static const struct {
    const char *text;
    int plain, correct, positive;
} label_cases[] = {
    {"0", 0, 1, 0},
    {"1", 1, 0, 0},
    {"1.0", 1, 0, 0},
    {" true ", 1, 0, 0},
    {"False", 0, 1, 0},
    {"yes", 1, 0, 0},
    {"NO", 0, 1, 0},
    {"hallucinated", 1, 1, 0},
    {"faithful", 0, 0, 0},
    {"PASS", 0, 0, 0},
    {"FAIL", 1, 1, 1},
    {"fail", 1, 1, 1},
    {"correct", 0, 0, 0},
    {"Incorrect", 1, 1, 0},
    {"not hallucinated", 0, 0, 0},
    {"2", -1, -1, 0},
    {"", -1, -1, -1},
    {"maybe", -1, -1, 0},
    {"0x1", -1, -1, 0},
};

static void test_labels(void **state)
{
    (void)state;
    hb_label_rule plain, correct, positive;
    hb_error err;
    assert_ok(hb_label_rule_open(NULL, false, &plain, &err));
    assert_ok(hb_label_rule_open(NULL, true, &correct, &err));
    assert_ok(hb_label_rule_open("FAIL", false, &positive, &err));
    for (size_t i = 0; i < sizeof label_cases / sizeof *label_cases; i++) {
        assert_int_equal(hb_label_of_text(&plain, label_cases[i].text), label_cases[i].plain);
        assert_int_equal(hb_label_of_text(&correct, label_cases[i].text), label_cases[i].correct);
        assert_int_equal(hb_label_of_text(&positive, label_cases[i].text), label_cases[i].positive);
    }
    hb_label_rule_close(&plain);
    hb_label_rule_close(&correct);
    hb_label_rule_close(&positive);
}

/* 0 as the positive word, however the label is written. */
static void test_positive_zero(void **state)
{
    (void)state;
    hb_label_rule positive;
    hb_error err;
    assert_ok(hb_label_rule_open("0", false, &positive, &err));
    json_t *zero = json_real(0.0), *one = json_integer(1), *no = json_false();
    assert_int_equal(hb_label_of_json(&positive, zero), 1);
    assert_int_equal(hb_label_of_json(&positive, one), 0);
    assert_int_equal(hb_label_of_json(&positive, no), 0);
    assert_int_equal(hb_label_of_json(&positive, NULL), -1);
    json_decref(zero);
    json_decref(one);
    hb_label_rule_close(&positive);
}

static void test_names_of_right_answers(void **state)
{
    (void)state;
    static const char *const doubtful[] = {"is_correct", "eval.Accuracy"};
    static const char *const usual[] = {"label", "incorrect", NULL};
    for (size_t i = 0; i < 2; i++) {
        hooked[0] = '\0';
        hb_warn_of_label("f", doubtful[i], on_message, hooked);
        assert_non_null(strstr(hooked, doubtful[i]));
    }
    hooked[0] = '\0';
    for (size_t i = 0; i < 3; i++) hb_warn_of_label("f", usual[i], on_message, hooked);
    assert_string_equal(hooked, "");
    hb_label_rule rule;
    hb_error err;
    assert_fails(hb_label_rule_open("FAIL", true, &rule, &err), HB_ERR_ARGUMENT, "not both");
}

static void test_decimal_commas(void **state)
{
    (void)state;
    hb_label_rule rule;
    hb_error err;
    double number = 0;
    assert_ok(hb_label_rule_open(NULL, false, &rule, &err));
    assert_true(hb_number_of(&rule, " 0,25 ", true, &number) && number == 0.25);
    assert_true(hb_number_of(&rule, "-1.5", true, &number) && number == -1.5);
    assert_false(hb_number_of(&rule, "1.000,5", true, &number) ||
                 hb_number_of(&rule, "1,000,5", true, &number));
    assert_false(hb_number_of(&rule, "0,25", false, &number));
    hb_label_rule_close(&rule);
}

/* ---- Draws --------------------------------------------------------------------------------------- */

/* Every draw has exactly the requested size and contains the smaller draws. */
static void test_draw(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 40; n++)
        for (uint64_t wanted = 0; wanted <= n; wanted++) {
            hb_draw draw = hb_draw_rows(7, n, wanted);
            hb_draw more = hb_draw_rows(7, n, wanted < n ? wanted + 1 : n);
            uint64_t taken = 0;
            for (uint64_t i = 0; i < n; i++) {
                taken += hb_draw_takes(&draw, i);
                if (hb_draw_takes(&draw, i)) assert_true(hb_draw_takes(&more, i));
            }
            assert_int_equal(taken, wanted);
        }
    hb_draw draw = hb_draw_rows(1, 1000000, 1234);
    uint64_t taken = 0;
    for (uint64_t i = 0; i < 1000000; i++) taken += hb_draw_takes(&draw, i);
    assert_int_equal(taken, 1234);
}

/* ---- Mapping ------------------------------------------------------------------------------------- */

static const char two_questions[] =
    "{\"q\":{\"text\":\"Capital of France?\"},\"a\":{\"all\":\"Paris; the city of "
    "Paris\"},\"qid\":3.0,\"y\":1}\n"
    "{\"q\":{\"text\":\"Capital of Spain?\"},\"a\":{\"all\":\"Madrid\"},\"qid\":null,\"y\":0}\n";

static void test_mapped_answers(void **state)
{
    hb_dataset_options o = data_options();
    o.prompt = "q.text";
    o.answers = "a.all";
    o.answers_separator = "; ";
    o.id = "qid";
    const char *path = put_text(*state, "f", two_questions);
    assert_string_equal(samples_of(path, &o, "answers"),
                        "3=-1<Capital of France?>Paris|the city of Paris;"
                        "sample_1=-1<Capital of Spain?>Madrid;");
    o.prompt = NULL;
    o.answers_separator = NULL;
    o.prompt_template = "Q: {q.text}\nA {{ID {y}}}:";
    assert_string_equal(samples_of(path, &o, "answers"),
                        "3=-1<Q: Capital of France?\nA {ID 1}:>Paris; the city of Paris;"
                        "sample_1=-1<Q: Capital of Spain?\nA {ID 0}:>Madrid;");
    assert_string_equal(hooked, "");
}

static void test_mapped_labels(void **state)
{
    hb_dataset_options o = data_options();
    o.prompt = "q.text";
    o.label = "y";
    const char *path = put_text(*state, "f", two_questions);
    assert_string_equal(samples_of(path, &o, "generic"),
                        "sample_0=1<Capital of France?>;sample_1=0<Capital of Spain?>;");
    o.label_is_correct = true;
    assert_string_equal(samples_of(path, &o, "generic"),
                        "sample_0=0<Capital of France?>;sample_1=1<Capital of Spain?>;");
    o.label_is_correct = false;
    o.positive = "0";
    assert_string_equal(samples_of(path, &o, "generic"),
                        "sample_0=0<Capital of France?>;sample_1=1<Capital of Spain?>;");
    o.positive = NULL;
    o.response = "a.all";
    o.read_as = HB_READ_JUDGEMENT;
    assert_memory_equal(samples_of(path, &o, "given"),
                        "sample_0=1<Question: Capital of France?\n\nProposed answer: Paris; the", 67);
    o.read_as = HB_READ_USUAL;
    assert_string_equal(samples_of(path, &o, "given"),
                        "sample_0=1<Capital of France?>~Paris; the city of Paris;"
                        "sample_1=0<Capital of Spain?>~Madrid;");
    assert_string_equal(hooked, "");
}

/* A column that probably marks right answers causes a warning, unless the options say what its labels
 * mean. */
static void test_warnings(void **state)
{
    hb_dataset_options o = data_options();
    o.label = "is_correct";
    const char *path = put_text(*state, "f", "prompt,is_correct\np,True\nq,False\n");
    assert_string_equal(samples_of(path, &o, "generic"), "sample_0=1<p>;sample_1=0<q>;");
    assert_string_equal(hooked,
                        "f: 1 in 'is_correct' is read as hallucinated; does it mean right there?\n");
    hooked[0] = '\0';
    o.label_is_correct = true;
    assert_string_equal(samples_of(path, &o, "generic"), "sample_0=0<p>;sample_1=1<q>;");
    assert_string_equal(hooked, "");

    hb_table_options t = {.label_column = "is_correct", .on_warning = on_message, .user = hooked};
    hb_score_table table;
    hb_error err = {0};
    path = put_text(*state, "f", "Score,is_correct\n1,True\n2,False\n");
    for (int correct = 0; correct < 2; correct++) {
        t.label_is_correct = correct;
        hooked[0] = '\0';
        assert_ok(hb_table_read(path, &t, &table, &err));
        assert_int_equal(table.labels[0], !correct);
        assert_int_equal(strncmp(hooked, "f: 1 in", 7) == 0, !correct);
        hb_score_table_free(&table);
    }
    t.label_is_correct = false;
    t.positive = "False";
    assert_ok(hb_table_read(path, &t, &table, &err));
    assert_int_equal(table.labels[0], 0);
    assert_int_equal(table.labels[1], 1);
    hb_score_table_free(&table);
}

static void test_where(void **state)
{
    hb_dataset_options o = data_options();
    o.where = "split=test";
    const char *path = put_text(*state, "f",
                                "{\"split\":\"train\",\"prompt\":\"p\",\"label\":0}\n"
                                "{\"split\":[\"x\",\"test\"],\"prompt\":\"q\",\"label\":1}\n"
                                "{\"prompt\":\"r\",\"label\":1}\n");
    assert_string_equal(samples_of(path, &o, "generic"), "sample_1=1<q>;");
    hb_dataset *dataset;
    hb_error err = {0};
    assert_ok(hb_dataset_open(path, &o, &dataset, &err));
    assert_int_equal(hb_dataset_get_info(dataset)->n_left_out, 2);
    assert_int_equal(hb_dataset_get_info(dataset)->n_rows, 1);
    assert_string_equal(hb_dataset_get_info(dataset)->recipe, "generic where=split=test");
    hb_dataset_close(dataset);
    o.where = "split=none";
    assert_fails(hb_dataset_open(path, &o, &dataset, &err), HB_ERR_DATA, "all 3 rows are left out");
}

static void test_contradictions(void **state)
{
    const char *path = put_text(*state, "f", two_questions);
    const struct {
        hb_dataset_options options;
        hb_status status;
        const char *says;
    } cases[] = {
        {{.prompt = "q.text", .answers = "a", .label = "y"},
         HB_ERR_ARGUMENT,
         "either answers or a label"},
        {{.prompt = "q..text", .label = "y"}, HB_ERR_ARGUMENT, "'q..text' is not a path of fields"},
        {{.prompt_template = "{q", .label = "y"}, HB_ERR_ARGUMENT, "'{q' is not a placeholder"},
        {{.prompt = "q.text", .label = "y", .where = "x"}, HB_ERR_ARGUMENT, "'x' is not FIELD=WORD"},
        {{.prompt = "q.text", .label = "y", .positive = "a", .label_is_correct = true},
         HB_ERR_ARGUMENT,
         "not both"},
        {{.prompt = "q.text", .label = "y", .shots_path = "x"},
         HB_ERR_ARGUMENT,
         "the number of examples is 0"},
        {{.prompt = "q.text", .label = "y", .shots = 65}, HB_ERR_ARGUMENT, "65 examples are too many"},
        {{.prompt = "q.text", .label = "y", .shots = 1},
         HB_ERR_DATA,
         "rows of format generic have labels but no answers, so they cannot be examples"},
        {{.prompt = "q.text", .label = "y", .read_as = HB_READ_RESPONSE},
         HB_ERR_ARGUMENT,
         "no responses"},
        {{.prompt = "q.text", .label = "y", .join = "x"}, HB_ERR_ARGUMENT, "need no second file"},
        {{.prompt = "q", .label = "y"}, HB_ERR_DATA, "field 'q' is an object: name a field of it"},
        {{.prompt = "no", .answers = "a.all"}, HB_ERR_DATA, "the first: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_dataset *dataset;
        hb_error err;
        assert_fails(hb_dataset_open(path, &cases[i].options, &dataset, &err), cases[i].status,
                     cases[i].says);
    }
}

/* ---- Several files ------------------------------------------------------------------------------- */

static void test_several_files(void **state)
{
    char one[256], two[256], both[65], expected[65];
    const hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_error err = {0};
    static const char a[] = "{\"prompt\":\"p\",\"label\":0}\n", b[] = "prompt,label\nq,1\nr,x\ns,0\n";
    snprintf(one, sizeof one, "%s", put_text(*state, "one", a));
    snprintf(two, sizeof two, "%s", put_text(*state, "two", b));
    const char *paths[] = {one, two};
    assert_ok(hb_dataset_open_files(paths, 2, &o, &dataset, &err));
    const hb_dataset_info *info = hb_dataset_get_info(dataset);
    assert_int_equal(info->n_rows, 3);
    assert_string_equal(info->format, "generic");
    assert_string_equal(hooked, "two:3: label 'x' is neither 0 nor 1\n");
    snprintf(both, sizeof both, "%s", info->sha256);
    assert_string_equal(spell(dataset), "sample_0=0<p>;sample_1=1<q>;sample_3=0<s>;");
    hb_dataset_close(dataset);
    char text[128];
    snprintf(text, sizeof text, "%s%s", a, b);
    assert_ok(hb_file_sha256(put_text(*state, "both", text), expected, &err));
    assert_string_equal(both, expected);

    snprintf(two, sizeof two, "%s", put_text(*state, "two", "{\"prompt\":\"p\",\"answers\":[\"a\"]}"));
    assert_fails(hb_dataset_open_files(paths, 2, &o, &dataset, &err), HB_ERR_ARGUMENT,
                 "they cannot be read together");
    paths[1] = "none";
    assert_fails(hb_dataset_open_files(paths, 2, &o, &dataset, &err), HB_ERR_IO, "none: No such file");
    assert_fails(hb_dataset_open_files(paths, 0, &o, &dataset, &err), HB_ERR_ARGUMENT, "no data");
}

/* ---- Examples ------------------------------------------------------------------------------------ */

/* Rows "Qi?" with the answer "ai"; every third twice. */
static const char *put_questions(const char *dir, const char *name, int n)
{
    char text[8192];
    size_t used = (size_t)sprintf(text, "question,answer\n");
    for (int i = 0; i < n; i++)
        for (int k = 0; k < (i % 3 ? 1 : 2); k++)
            used += (size_t)sprintf(text + used, "Q%d?,a%d\n", i, i);
    return put_text(dir, name, text);
}

/* Each prompt shows n examples, all different, none of them its own question. */
static void check_shots(hb_dataset *dataset, size_t n)
{
    hb_sample s;
    bool found;
    hb_error err = {0};
    while (hb_dataset_next(dataset, &s, &found, &err) == HB_OK && found) {
        size_t blocks = 0;
        const char *at = s.prompt, *own = strrchr(s.prompt, 'Q'); /* of "Question: " */
        for (const char *end; (end = strstr(at, "\n\n")); at = end + 2) {
            int q = -1, a = -2, length = 0;
            assert_int_equal(sscanf(at, "Question: Q%d?\nAnswer: a%d\n\n%n", &q, &a, &length), 2);
            assert_int_equal(q, a);
            char block[64];
            snprintf(block, sizeof block, "Question: Q%d?\nAnswer:", q);
            assert_null(strstr(end, block)); /* neither shown twice nor asked */
            blocks++;
        }
        assert_int_equal(blocks, n);
        assert_non_null(own);
        assert_true(at > s.prompt || n == 0);
    }
    assert_int_equal(err.status, HB_OK);
}

static void test_shots(void **state)
{
    hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_error err = {0};
    char own[256], other[256];
    snprintf(own, sizeof own, "%s", put_questions(*state, "own", 12));
    snprintf(other, sizeof other, "%s", put_questions(*state, "other", 4));
    for (size_t n = 0; n <= 11; n++) {
        o.shots = n;
        assert_ok(hb_dataset_open(own, &o, &dataset, &err));
        assert_int_equal(hb_dataset_get_info(dataset)->n_selected, 16);
        check_shots(dataset, n);
        hb_dataset_close(dataset);
    }
    o.shots = 12;
    assert_fails(hb_dataset_open(own, &o, &dataset, &err), HB_ERR_DATA,
                 "has only 12 rows with different prompts and an answer, too few for 12 examples");
    o.shots = 3;
    o.shots_path = other;
    assert_ok(hb_dataset_open(own, &o, &dataset, &err));
    check_shots(dataset, 3);
    hb_dataset_close(dataset);
    o.shots = 5;
    assert_fails(hb_dataset_open(own, &o, &dataset, &err), HB_ERR_DATA, "has only 4 rows");
}

/* Of given responses only faithful ones are examples, also where most are hallucinated. Conversations
 * have no examples, in whichever file they are. */
static void test_shots_of_responses(void **state)
{
    enum { N = 400 };
    static char rows[N * 80];
    hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_sample s;
    hb_error err;
    bool found;
    size_t used = 0;
    for (int i = 0; i < N; i++)
        used += (size_t)snprintf(rows + used, sizeof rows - used,
                                 "{\"prompt\":\"Q%d\",\"response\":\"%s\",\"label\":%d}\n", i,
                                 i % 20 ? "false" : "true", i % 20 != 0);
    o.shots = 3;
    assert_ok(hb_dataset_open(put_text(*state, "given", rows), &o, &dataset, &err));
    assert_ok(hb_dataset_next(dataset, &s, &found, &err));
    assert_null(strstr(s.prompt, "false"));
    for (int i = 0; i < 3; i++) assert_non_null(s.prompt = strstr(s.prompt + 1, "true"));
    hb_dataset_close(dataset);
    o.shots = 20;
    assert_fails(hb_dataset_open(put_text(*state, "given", rows), &o, &dataset, &err), HB_ERR_DATA,
                 "has only 20 rows with different prompts and a response that is not hallucinated");
    char one[256], other[256];
    snprintf(one, sizeof one, "%s", put_questions(*state, "one", 12));
    snprintf(other, sizeof other, "%s",
             put_text(*state, "talk",
                      "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"answers\":[\"b\"]}\n"));
    const char *const both[] = {one, other};
    o.shots = 3;
    assert_fails(hb_dataset_open_files(both, 2, &o, &dataset, &err), HB_ERR_ARGUMENT,
                 "talk: examples cannot be shown before conversations");
}

/* A mapped field that no row has, and a positive word that no label is, give a warning. */
static void test_absent_fields(void **state)
{
    static const char rows[] =
        "{\"n\":1,\"prompt\":\"a\",\"response\":\"b\",\"label\":\"bad\",\"c\":\"d\"}\n"
        "{\"prompt\":\"a\",\"response\":\"b\",\"label\":\"good\",\"s\":[[0,1]]}\n";
    const struct {
        hb_dataset_options own;
        const char *warning;
    } cases[] = {
        {{.id = "n", .context = "c", .spans = "s", .positive = "bad"}, ""},
        {{.id = "N.x", .positive = "bad"}, "f: no row has the field 'N.x' for id\n"},
        {{.context = "cc", .positive = "bad"}, "f: no row has the field 'cc' for context\n"},
        {{.spans = "span", .positive = "bad"}, "f: no row has the field 'span' for spans\n"},
        {{.positive = "baad"}, "f: no label is 'baad', so all samples count as faithful\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_dataset_options o = data_options();
        hb_dataset *dataset;
        hb_error err;
        o.id = cases[i].own.id;
        o.context = cases[i].own.context;
        o.spans = cases[i].own.spans;
        o.positive = cases[i].own.positive;
        assert_ok(hb_dataset_open(put_text(*state, "f", rows), &o, &dataset, &err));
        assert_string_equal(hooked, cases[i].warning);
        hb_dataset_close(dataset);
    }
}

/* Rows name their group by a field, which is part of the recipe. A row without it is broken. */
static void test_groups(void **state)
{
    static const char rows[] = "{\"prompt\":\"a\",\"label\":0,\"about\":{\"topic\":\"Peru\"}}\n"
                               "{\"prompt\":\"b\",\"label\":1,\"about\":{\"topic\":7}}\n"
                               "{\"prompt\":\"c\",\"label\":1}\n";
    hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_sample s;
    hb_error err;
    bool found;
    const char *path = put_text(*state, "groups.jsonl", rows);
    assert_ok(hb_dataset_open(path, &o, &dataset, &err));
    assert_ok(hb_dataset_next(dataset, &s, &found, &err));
    assert_null(s.group);
    hb_dataset_close(dataset);
    o.group = "about.topic";
    assert_ok(hb_dataset_open(path, &o, &dataset, &err));
    assert_string_equal(hooked, "groups.jsonl:3: field 'about.topic' is missing\n");
    assert_non_null(strstr(hb_dataset_get_info(dataset)->recipe, "group=about.topic"));
    assert_ok(hb_dataset_next(dataset, &s, &found, &err));
    assert_string_equal(s.group, "Peru");
    assert_ok(hb_dataset_next(dataset, &s, &found, &err));
    assert_string_equal(s.group, "7");
    hb_dataset_close(dataset);
}

/* The same seed shows the same examples for every draw; another seed shows others. The prompt's hash
 * covers the question alone, so it is the same with and without examples. */
static void test_shots_and_seeds(void **state)
{
    hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_sample s;
    hb_error err = {0};
    bool found;
    char prompts[4][512], hashes[4][65];
    const char *path = put_questions(*state, "own", 40);
    static const uint64_t seeds[] = {1, 1, 2, 1}, samples[] = {0, 20, 0, 0}, shots[] = {4, 4, 4, 0};
    for (int i = 0; i < 4; i++) {
        o.seed = seeds[i];
        o.n_samples = samples[i];
        o.shots = shots[i];
        assert_ok(hb_dataset_open(path, &o, &dataset, &err));
        do assert_ok(hb_dataset_next(dataset, &s, &found, &err));
        while (found && !strstr(s.prompt + strlen(s.prompt) - 20, "Q20?"));
        if (!found) strcpy(prompts[i], "not drawn");
        else snprintf(prompts[i], sizeof prompts[i], "%s", s.prompt);
        snprintf(hashes[i], sizeof hashes[i], "%s", found ? s.prompt_sha256 : "");
        hb_dataset_close(dataset);
    }
    if (strcmp(prompts[1], "not drawn") != 0) assert_string_equal(prompts[0], prompts[1]);
    assert_string_not_equal(prompts[0], prompts[2]);
    assert_string_equal(hashes[0], hashes[2]);
    assert_string_equal(hashes[0], hashes[3]);
    assert_int_equal(strlen(hashes[0]), 64);
}

/* Judgements show both answers, and Yes for the faithful one. */
static void test_shots_of_judgements(void **state)
{
    char text[4096];
    size_t used = 0;
    for (int i = 0; i < 10; i++)
        used += (size_t)sprintf(
            text + used,
            "{\"document\":\"D%d\",\"right_summary\":\"R%d\",\"hallucinated_summary\":\"H%d\"}\n", i, i,
            i);
    hb_dataset_options o = data_options();
    o.shots = 6;
    const char *samples = samples_of(put_text(*state, "f", text), &o, "halueval_summarization");
    const char *yes = strstr(samples, "Proposed summary: R"),
               *no = strstr(samples, "Proposed summary: H");
    assert_true(yes && no);
    static const char question[] = "Is this summary faithful to the document? Answer 'Yes' or 'No':";
    assert_memory_equal(strstr(yes, question) + strlen(question), " Yes\n", 5);
    assert_memory_equal(strstr(no, question) + strlen(question), " No\n", 4);
}

/* The recipe contains everything that decides the prompts, so that runs with other prompts differ. */
static void test_recipe(void **state)
{
    hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_error err = {0};
    char plain[256], shown[256], other[256];
    const char *path = put_questions(*state, "own", 20);
    char *const out[] = {plain, shown, other};
    for (int i = 0; i < 3; i++) {
        o.shots = i ? 2 : 0;
        o.seed = (uint64_t)i;
        assert_ok(hb_dataset_open(path, &o, &dataset, &err));
        snprintf(out[i], 256, "%s", hb_dataset_get_info(dataset)->recipe);
        hb_dataset_close(dataset);
    }
    assert_string_equal(plain, "qa");
    assert_memory_equal(shown, "qa shots=2 examples=", 20);
    assert_string_not_equal(shown, other);
    o = data_options();
    o.prompt_template = "{question}";
    o.answers = "answer";
    o.label_is_correct = true;
    assert_ok(hb_dataset_open(path, &o, &dataset, &err));
    assert_memory_equal(hb_dataset_get_info(dataset)->recipe, "answers answers=answer template=", 32);
    hb_dataset_close(dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_bad_paths),
        cmocka_unit_test(test_spelled_lists),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_positive_zero),
        cmocka_unit_test(test_names_of_right_answers),
        cmocka_unit_test(test_decimal_commas),
        cmocka_unit_test(test_draw),
        cmocka_unit_test(test_mapped_answers),
        cmocka_unit_test(test_mapped_labels),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_several_files),
        cmocka_unit_test(test_shots),
        cmocka_unit_test(test_shots_of_responses),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_absent_fields),
        cmocka_unit_test(test_shots_and_seeds),
        cmocka_unit_test(test_shots_of_judgements),
        cmocka_unit_test(test_recipe),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
