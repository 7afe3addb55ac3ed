/* The data room: JSON records, data sets, score tables. */
#include "check.h"

#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include "data/records.h"

/* ---- Help: files, and messages of broken rows ---------------------------------------------------- */

static char dir[] = "/tmp/hbar_test_data_XXXXXX";
static char path[64]; /* the file under test */
static char
    messages[65536]; /* messages of on_broken, each ending in a newline, without the directory */
static unsigned n_told;

static void forget(void)
{
    messages[0] = '\0';
    n_told = 0;
}

static void on_broken(void *user, const char *message)
{
    assert_ptr_equal(user, messages);
    assert_memory_equal(message, dir, strlen(dir));
    size_t used = strlen(messages);
    snprintf(messages + used, sizeof messages - used, "%s\n", message + strlen(dir) + 1);
    n_told++;
}

static const char *file_path(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static const char *put_bytes(const char *bytes, size_t n)
{
    FILE *file = fopen(file_path("f"), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    return path;
}

static const char *put(const char *text)
{
    return put_bytes(text, strlen(text));
}

/* A string of n times the byte c, to be freed. */
static char *repeat(char c, size_t n)
{
    char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, c, n);
    text[n] = '\0';
    return text;
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(file_path("f"));
    unlink(file_path("g"));
    return rmdir(dir);
}

static hb_dataset_options asking(uint64_t n_samples, uint64_t seed)
{
    forget();
    return (hb_dataset_options){
        .n_samples = n_samples, .seed = seed, .on_broken = on_broken, .user = messages};
}

static hb_dataset *open_with(hb_dataset_options options)
{
    hb_dataset *dataset = NULL;
    hb_error err = {0};
    if (hb_dataset_open(path, &options, &dataset, &err) != HB_OK) fail_msg("%s", err.message);
    return dataset;
}

static hb_dataset *open_all(void)
{
    return open_with(asking(0, 0));
}

/* Opening fails with `status` and a message that contains `part`, and leaves the argument unset. */
static void refused(hb_dataset_options options, hb_status status, const char *part)
{
    hb_dataset *dataset = (hb_dataset *)dir;
    hb_error err = {0};
    assert_int_equal(hb_dataset_open(path, &options, &dataset, &err), status);
    assert_int_equal(err.status, status);
    if (!strstr(err.message, part)) fail_msg("\"%s\" lacks \"%s\"", err.message, part);
    assert_non_null(strstr(err.message, options.format && status == HB_ERR_ARGUMENT ? "known" : path));
    assert_null(strchr(err.message, '\n'));
    assert_ptr_equal(dataset, dir);
}

static void next_is(hb_dataset *dataset, uint64_t index, const char *id, int label, const char *prompt)
{
    hb_sample sample;
    bool found = false;
    hb_error err = {0};
    assert_int_equal(hb_dataset_next(dataset, &sample, &found, &err), HB_OK);
    assert_true(found);
    assert_int_equal(sample.index, index);
    assert_string_equal(sample.id, id);
    assert_int_equal(sample.label, label);
    if (prompt) assert_string_equal(sample.prompt, prompt);
}

static void at_end(hb_dataset *dataset)
{
    hb_sample sample;
    bool found = true;
    assert_int_equal(hb_dataset_next(dataset, &sample, &found, NULL), HB_OK);
    assert_false(found);
}

/* The ids of all samples, each followed by a blank. Closes the data set. */
static const char *ids(hb_dataset *dataset)
{
    static char list[65536];
    size_t used = 0;
    hb_sample sample;
    bool found;
    hb_error err = {0};
    list[0] = '\0';
    while (hb_dataset_next(dataset, &sample, &found, &err) == HB_OK && found)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s ", sample.id);
    if (err.status != HB_OK) fail_msg("%s", err.message);
    hb_dataset_close(dataset);
    return list;
}

/* Writes generic rows 0 ... n-1, or rows of pairs like HaluEval's. */
static void put_rows(int n, bool pairs)
{
    FILE *file = fopen(file_path("f"), "wb");
    assert_non_null(file);
    for (int i = 0; i < n; i++)
        if (pairs)
            fprintf(file,
                    "{\"document\":\"d%d\",\"right_summary\":\"r\",\"hallucinated_summary\":\"h\"}\n",
                    i);
        else fprintf(file, "{\"id\":%d,\"prompt\":\"p%d\",\"label\":%d}\n", i, i, i % 2);
    assert_int_equal(fclose(file), 0);
}

#define GOOD(id) "{\"id\":\"" id "\",\"prompt\":\"p\",\"label\":1}"

/* ---- Formats ----------------------------------------------------------------------------------- */

static void test_qa(void **state)
{
    (void)state;
    put("{\"knowledge\":\"K {} \\u00e9\",\"question\":\"Q?\",\"right_answer\":\"R\","
        "\"hallucinated_answer\":\"H\",\"more\":1}\n");
    hb_dataset *dataset = open_all();
    const hb_dataset_info *info = hb_dataset_get_info(dataset);
    assert_string_equal(info->path, path);
    assert_string_equal(info->format, "halueval_qa");
    assert_int_equal(info->n_rows, 1);
    assert_int_equal(info->n_broken, 0);
    assert_int_equal(info->n_samples, 2);
    assert_int_equal(info->n_selected, 2);
    next_is(dataset, 0, "qa_0_cor", 0,
            "Context: K {} \xC3\xA9\n\nQuestion: Q?\n\nProposed answer: R\n\n"
            "Is this answer faithful to the context? Answer 'Yes' or 'No':");
    next_is(dataset, 1, "qa_0_hal", 1,
            "Context: K {} \xC3\xA9\n\nQuestion: Q?\n\nProposed answer: H\n\n"
            "Is this answer faithful to the context? Answer 'Yes' or 'No':");
    at_end(dataset);
    at_end(dataset);
    hb_dataset_close(dataset);
}

static void test_dialogue(void **state)
{
    (void)state;
    put("{\"knowledge\":\"K\",\"dialogue_history\":\"D\",\"right_response\":\"R\","
        "\"hallucinated_response\":\"H\"}");
    hb_dataset *dataset = open_all();
    assert_string_equal(hb_dataset_get_info(dataset)->format, "halueval_dialogue");
    next_is(dataset, 0, "dialogue_0_cor", 0,
            "Context: K\n\nDialogue: D\n\nProposed response: R\n\n"
            "Is this response faithful to the context? Answer 'Yes' or 'No':");
    next_is(dataset, 1, "dialogue_0_hal", 1,
            "Context: K\n\nDialogue: D\n\nProposed response: H\n\n"
            "Is this response faithful to the context? Answer 'Yes' or 'No':");
    at_end(dataset);
    hb_dataset_close(dataset);
}

static void test_summarization(void **state)
{
    (void)state;
    put("{\"document\":\"D\",\"right_summary\":\"R\",\"hallucinated_summary\":\"H\"}\n");
    hb_dataset *dataset = open_all();
    assert_string_equal(hb_dataset_get_info(dataset)->format, "halueval_summarization");
    next_is(dataset, 0, "summarization_0_cor", 0,
            "Document: D\n\nProposed summary: R\n\n"
            "Is this summary faithful to the document? Answer 'Yes' or 'No':");
    next_is(dataset, 1, "summarization_0_hal", 1,
            "Document: D\n\nProposed summary: H\n\n"
            "Is this summary faithful to the document? Answer 'Yes' or 'No':");
    at_end(dataset);
    hb_dataset_close(dataset);
}

static void test_general(void **state)
{
    (void)state;
    put("{\"ID\":\"1\",\"user_query\":\"Q\",\"chatgpt_response\":\"A\",\"hallucination\":\"no\"}\n"
        "{\"ID\":\"2\",\"user_query\":\"Q\",\"chatgpt_response\":\"B\",\"hallucination\":\"yes\"}\n"
        "{\"ID\":\"3\",\"user_query\":\"Q\",\"chatgpt_response\":\"B\",\"hallucination\":\"maybe\"}\n");
    hb_dataset *dataset = open_all();
    assert_string_equal(hb_dataset_get_info(dataset)->format, "halueval_general");
    assert_string_equal(messages, "f:3: label 'maybe' is neither 0 nor 1\n");
    next_is(dataset, 0, "general_0", 0,
            "Question: Q\n\nProposed answer: A\n\nIs this answer truthful? Answer 'Yes' or 'No':");
    next_is(dataset, 1, "general_1", 1,
            "Question: Q\n\nProposed answer: B\n\nIs this answer truthful? Answer 'Yes' or 'No':");
    at_end(dataset);
    hb_dataset_close(dataset);
}

static void test_generic(void **state)
{
    (void)state;
    put("{\"id\":\"a\",\"prompt\":\"P\\n1\",\"label\":0}\n{\"id\":-7,\"prompt\":\"x\",\"label\":1}\n"
        "{\"prompt\":\"y\",\"label\":true}\n{\"prompt\":\"z\",\"label\":false}\n");
    hb_dataset *dataset = open_all();
    assert_string_equal(hb_dataset_get_info(dataset)->format, "generic");
    next_is(dataset, 0, "a", 0, "P\n1");
    next_is(dataset, 1, "-7", 1, "x");
    next_is(dataset, 2, "sample_2", 1, "y");
    next_is(dataset, 3, "sample_3", 0, "z");
    at_end(dataset);
    hb_dataset_close(dataset);
}

static void test_format_names(void **state)
{
    (void)state;
    static const char *const expected[] = {"halueval_qa", "halueval_dialogue", "halueval_summarization",
                                           "halueval_general"};
    size_t n = 0;
    for (; n < 4; n++) assert_string_equal(hb_dataset_format(n), expected[n]);
    while (hb_dataset_format(n)) n++;
    assert_string_equal(hb_dataset_format(n - 1), "responses");
    assert_string_equal(hb_dataset_format(n - 2), "answers");
    assert_string_equal(hb_dataset_format(n - 3), "generic");
}

static void test_forced_format(void **state)
{
    (void)state;
    put("{\"document\":\"D\",\"right_summary\":\"R\",\"hallucinated_summary\":\"H\"}\n" GOOD("a") "\n");
    hb_dataset_options options = asking(0, 0);
    options.format = "generic";
    hb_dataset *dataset = open_with(options);
    assert_string_equal(hb_dataset_get_info(dataset)->format, "generic");
    assert_string_equal(messages, "f:1: field 'label' is missing\n");
    next_is(dataset, 0, "a", 1, "p");
    hb_dataset_close(dataset);

    options.format = "halueval_qa";
    refused(options, HB_ERR_DATA, "no usable row");
    refused(options, HB_ERR_DATA, "(2 broken); the first: ");
    options.format = "halueval";
    for (size_t i = 0; i < 5; i++) refused(options, HB_ERR_ARGUMENT, hb_dataset_format(i));
}

/* The first record that fits a format determines it; records before it are broken. */
static void test_detection(void **state)
{
    (void)state;
    put("{\"a\":1}\nnonsense\n" GOOD("x") "\n{\"document\":\"\"}\n");
    hb_dataset *dataset = open_all();
    assert_string_equal(hb_dataset_get_info(dataset)->format, "generic");
    assert_int_equal(hb_dataset_get_info(dataset)->n_broken, 3);
    assert_int_equal(n_told, 3);
    assert_memory_equal(messages, "f:1: field 'label' is missing\nf:2: ", 35);
    assert_string_equal(ids(dataset), "x ");

    put("{\"first\":1,\"se\\ncond\":2}\n{\"third\":3}\n");
    refused(asking(0, 0), HB_ERR_FORMAT,
            "its fields (first, se cond) fit no known format; map them: --field prompt=");
    put("{\"document\":\"d\",\"right_summary\":\"r\"}\n");
    refused(asking(0, 0), HB_ERR_FORMAT,
            "nearest is halueval_summarization, which needs 'hallucinated_summary'");
    put("{\"question\":\"q\",\"reply\":\"r\"}\n");
    refused(asking(0, 0), HB_ERR_FORMAT, "nearest is qa, which needs 'answer|answers'");
    assert_int_equal(n_told, 0);
}

static void test_detection_limit(void **state)
{
    (void)state;
    char text[100 * 8 + 64] = "";
    for (int i = 0; i < 99; i++) strcat(text, "{\"a\":1}\n");
    strcat(text, GOOD("x"));
    put(text);
    assert_string_equal(ids(open_all()), "x ");
    memmove(text + 8, text, strlen(text) + 1); /* now it is the 101st */
    put(text);
    refused(asking(0, 0), HB_ERR_FORMAT, "fit no known format");
}

/* ---- Records ----------------------------------------------------------------------------------- */

/* The samples do not depend on the layout of the file. */
static void test_layouts(void **state)
{
    (void)state;
    static const char *const layouts[] = {
        GOOD("a") "\n" GOOD("b") "\n",
        GOOD("a") "\n" GOOD("b"),
        "\xEF\xBB\xBF" GOOD("a") "\r\n" GOOD("b") "\r\n",
        "\n \t\r\n" GOOD("a") "\n\n  \n  " GOOD("b") "  \n\n\n",
        "[" GOOD("a") "," GOOD("b") "]",
        "\xEF\xBB\xBF\r\n[\r\n  " GOOD("a") "\r\n ,\r\n  " GOOD("b") "\r\n]\r\n\r\n",
        "[\n  {\n    \"id\": \"a\",\n    \"prompt\": \"p\",\n    \"x\": [{}, \"]}\\\"]\"],\n    "
        "\"label\": 1\n"
        "  },\n  {\n    \"id\": \"b\",\n    \"prompt\": \"p\",\n    \"label\": 1\n  }\n]\n",
    };
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        put(layouts[i]);
        hb_dataset *dataset = open_all();
        assert_int_equal(hb_dataset_get_info(dataset)->n_rows, 2);
        assert_int_equal(hb_dataset_get_info(dataset)->n_broken, 0);
        next_is(dataset, 0, "a", 1, "p");
        next_is(dataset, 1, "b", 1, "p");
        at_end(dataset);
        hb_dataset_close(dataset);
    }
}

/* Records that cross the reader's blocks: 3000 rows as lines and as an array give the same samples. */
static void test_blocks(void **state)
{
    (void)state;
    put_rows(3000, false);
    char *lines = strdup(ids(open_all()));
    assert_non_null(lines);
    FILE *file = fopen(path, "rb+"), *array = fopen(file_path("g"), "wb");
    assert_true(file && array);
    char line[128];
    for (int i = 0; fgets(line, sizeof line, file); i++) fprintf(array, "%s  %s", i ? "," : "[", line);
    fputs("]", array);
    fclose(file);
    fclose(array);
    assert_string_equal(ids(open_all()), lines);
    assert_int_equal(strncmp(lines, "0 1 2 3 ", 8), 0);
    assert_non_null(strstr(lines, " 2998 2999 "));
    free(lines);
}

static void test_ids_count_broken_rows(void **state)
{
    (void)state;
    put("{\"prompt\":\"a\",\"label\":0}\n\nbroken\n{\"prompt\":\"b\",\"label\":1}\n");
    hb_dataset *dataset = open_all();
    next_is(dataset, 0, "sample_0", 0, "a");
    next_is(dataset, 1, "sample_2", 1, "b");
    at_end(dataset);
    hb_dataset_close(dataset);
    assert_int_equal(n_told, 1);
    assert_memory_equal(messages, "f:3: ", 5);
}

static const struct {
    const char *row, *reason;
} broken_rows[] = {
    {"{\"prompt\":\"p\"}", "field 'label' is missing"},
    {"{\"label\":1}", "field 'prompt' is missing"},
    {"{\"prompt\":{\"a\":1},\"label\":1}", "field 'prompt' is an object: name a field of it"},
    {"{\"prompt\":null,\"label\":1}", "field 'prompt' is missing"},
    {"{\"prompt\":\" \\n\",\"label\":1}", "the prompt is empty"},
    {"{\"prompt\":\"p\",\"label\":2}", "label '2' is neither 0 nor 1"},
    {"{\"prompt\":\"p\",\"label\":-1}", "label '-1' is neither 0 nor 1"},
    {"{\"prompt\":\"p\",\"label\":0.5}", "label '0.5' is neither 0 nor 1"},
    {"{\"prompt\":\"p\",\"label\":4294967296}", "label '4294967296' is neither 0 nor 1"},
    {"{\"prompt\":\"p\",\"label\":\"maybe\"}", "label 'maybe' is neither 0 nor 1"},
    {"{\"prompt\":\"p\",\"label\":null}", "field 'label' is missing"},
    {"{\"id\":[],\"prompt\":\"p\",\"label\":1}", "field 'id' is neither a string nor a number"},
    {"{\"id\":\"x\",\"prompt\":\"p\\u0000q\",\"label\":1}", "\\u0000 is not allowed"},
    {"{\"prompt\":\"p\",\"label\":1,\"label\":1}", "duplicate object key"},
    {"{\"prompt\":\"p\xC3\",\"label\":1}", "not UTF-8: byte 0xC3 at byte 13"},
    {"{\"prompt\":\"p\xED\xA0\x80\",\"label\":1}", "not UTF-8: byte 0xED at byte 13"},
    {"{\"prompt\":\"\\ud800\",\"label\":1}", "invalid Unicode"},
    {"{\"prompt\":\"p\",\"label\":tru}", "invalid token"},
    {"{\"prompt\":\"p\",\"label\":1]}", "expected near ']'"},
    {"{\"prompt\":\"p\",\"label\":[1}", "expected near '}'"},
    {"{\"prompt\":\"p\",\"label\":99999999999999999999}", "label '99999999999999999999' is"},
    {"17", "not an object"},
    {"\"text, with comma\"", "not an object"},
    {"nonsense", "invalid token"},
    {"[1, [2]]", "not an object"},
};

/* One broken row between two good ones. Only this row is reported, once, with its line and reason. */
static void test_broken_rows(void **state)
{
    (void)state;
    char text[512], expected[80];
    for (size_t i = 0; i < sizeof broken_rows / sizeof broken_rows[0]; i++) {
        for (int array = 0; array < 2; array++) {
            snprintf(text, sizeof text, array ? "[\n%s,\n%s,\n%s\n]" : "\n%s\n%s\n%s\n", GOOD("a"),
                     broken_rows[i].row, GOOD("b"));
            put(text);
            hb_dataset *dataset = open_all();
            assert_int_equal(hb_dataset_get_info(dataset)->n_rows, 2);
            assert_int_equal(hb_dataset_get_info(dataset)->n_broken, 1);
            assert_int_equal(strncmp(messages, "f:3: ", 5), 0);
            if (!strstr(messages, broken_rows[i].reason))
                fail_msg("\"%s\" lacks \"%s\"", messages, broken_rows[i].reason);
            assert_null(strstr(messages, "JSON_")); /* Jansson's flags mean nothing to a user */
            assert_string_equal(ids(dataset), "a b ");
            assert_int_equal(n_told, 1); /* not again in the second pass */

            hb_dataset_options options = asking(0, 0);
            options.strict = true;
            snprintf(expected, sizeof expected, "%s:3: ", path);
            refused(options, HB_ERR_FORMAT, expected);
            refused(options, HB_ERR_FORMAT, broken_rows[i].reason);
            assert_int_equal(n_told, 0);
        }
    }
}

static void test_broken_halueval(void **state)
{
    (void)state;
    put("{\"document\":\"D\",\"right_summary\":\"R\",\"hallucinated_summary\":\"H\"}\n"
        "{\"document\":\"D\",\"right_summary\":\"R\",\"hallucinated_summary\":{}}\n"
        "{\"document\":\"D\",\"hallucinated_summary\":\"H\"}\n"
        "{\"document\":\"E\",\"right_summary\":\"R\",\"hallucinated_summary\":\"H\"}\n");
    hb_dataset *dataset = open_all();
    assert_string_equal(messages,
                        "f:2: field 'hallucinated_summary' is an object: name a field of it, like "
                        "'hallucinated_summary.x'\n"
                        "f:3: field 'right_summary' is missing\n");
    assert_int_equal(hb_dataset_get_info(dataset)->n_samples, 4);
    next_is(dataset, 0, "summarization_0_cor", 0, NULL);
    next_is(dataset, 1, "summarization_0_hal", 1, NULL);
    next_is(dataset, 2, "summarization_3_cor", 0, NULL);
    next_is(dataset, 3, "summarization_3_hal", 1, NULL);
    hb_dataset_close(dataset);
}

static void test_nul_byte(void **state)
{
    (void)state;
    static const char rows[] =
        GOOD("a") "\n{\"prompt\":\"p\0q\",\"label\":1}\n" GOOD("b") "\0\n" GOOD("c");
    put_bytes(rows, sizeof rows - 1);
    assert_string_equal(ids(open_all()), "a c ");
    assert_int_equal(n_told, 2);
    assert_memory_equal(messages, "f:2: ", 5);
    assert_non_null(strstr(messages, "\nf:3: "));
    put_bytes("\0\0\0\0", 4);
    refused(asking(0, 0), HB_ERR_FORMAT, "f:1: is neither text nor JSON: it has zero bytes");
}

static void test_array_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[" GOOD("a") ",\n" GOOD("b"), "f:2: the array is not closed"},
        {"[" GOOD("a") ",\n", "f:2: the array is not closed"},
        {"[\n", "f:2: the array is not closed"},
        {"[" GOOD("a") ",\n{\"id\":\n", "f:2: the file ends inside the record that starts here"},
        {"[" GOOD("a") ",\n17", "f:2: the file ends inside the record"},
        {"[" GOOD("a") ",\n{\"id\":\"x},\n" GOOD("b") "]", "f:2: the file ends inside the record"},
        {"[" GOOD("a") "\n" GOOD("b") "]", "f:2: expected ',' or ']'"},
        {"[" GOOD("a") "]\n\n]", "f:3: text after the array's end"},
        {"[" GOOD("a") "]\n" GOOD("b"), "f:2: text after the array's end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put(cases[i].text);
        refused(asking(0, 0), HB_ERR_FORMAT, cases[i].message);
        assert_int_equal(n_told, 0);
    }
}

/* A broken element is skipped if its end can be found. */
static void test_array_resynchronises(void **state)
{
    (void)state;
    put("[,\n" GOOD("a") ",\n,{\"id\":\"raw\nnewline\"},{\"x\":[[[},\n" GOOD("b") ",\n]");
    assert_string_equal(ids(open_all()), "a b ");
    assert_int_equal(n_told, 5);
    assert_memory_equal(messages,
                        "f:1: a comma without a record\nf:3: a comma without a record\nf:3: ", 65);
    assert_non_null(strstr(messages, "\nf:4: "));
    assert_non_null(strstr(messages, "\nf:6: a comma without a record\n"));
}

static void test_truncated_line(void **state)
{
    (void)state;
    put(GOOD("a") "\n{\"id\":\"b\",\"prom");
    assert_string_equal(ids(open_all()), "a ");
    assert_int_equal(n_told, 1);
    assert_memory_equal(messages, "f:2: ", 5);
}

static void test_nothing_usable(void **state)
{
    (void)state;
    static const char *const empty[] = {"", "\xEF\xBB\xBF", "\n \r\n", "[]", " [ \n ] "};
    for (size_t i = 0; i < 5; i++) {
        put(empty[i]);
        refused(asking(0, 0), HB_ERR_DATA, "no record");
    }
    hb_dataset_options options = asking(0, 0);
    for (int forced = 0; forced < 2; forced++) {
        options.format = forced ? "generic" : NULL;
        put("score,label\n1,0\n");
        if (forced) refused(options, HB_ERR_DATA, "(1 broken); the first: ");
        else refused(options, HB_ERR_FORMAT, "nearest is generic, which needs 'prompt'");
        put("{broken\n");
        if (forced) refused(options, HB_ERR_DATA, "no usable row of format generic (1 broken)");
        else refused(options, HB_ERR_FORMAT, "no record of the file is a JSON object");
    }
    put("{\"prompt\":\"\",\"label\":1}\n");
    refused(asking(0, 0), HB_ERR_DATA, "no usable row");
}

static void test_not_a_file(void **state)
{
    (void)state;
    hb_score_table table;
    hb_error err;
    file_path(".");
    refused(asking(0, 0), HB_ERR_IO, "not a regular file");
    assert_int_equal(hb_table_read(path, NULL, &table, &err), HB_ERR_IO);
    file_path("missing");
    refused(asking(0, 0), HB_ERR_IO, "No such file");
    assert_int_equal(hb_table_read(path, NULL, &table, &err), HB_ERR_IO);
    assert_non_null(strstr(err.message, path));
    unlink(file_path("g"));
    assert_int_equal(mkfifo(path, 0600), 0);
    refused(asking(0, 0), HB_ERR_IO, "nothing was written to this pipe");
    unlink(path);
}

/* A file of the wrong kind is named by its kind. */
static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } cases[] = {
#define FILE_OF(text, says) {text, sizeof text - 1, says}
        FILE_OF("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n",
                "is a Git LFS pointer: the file itself was not downloaded"),
        FILE_OF("PAR1....PAR1", "is a Parquet file: convert it: python3 -c"),
        FILE_OF("PK\x03\x04....", "is a ZIP archive"),
        FILE_OF("GGUF\x03\0\0\0", "is a GGUF model: pass it with --model"),
        FILE_OF("\x20\0\0\0\0\0\0\0{\"a\":1}", "is a safetensors file"),
        FILE_OF("\n <!DOCTYPE html><html>", "is a web page"),
        FILE_OF("<HTML><body>", "is a web page"),
        FILE_OF("\x28\xB5\x2F\xFD....", "is a zstd file: unpack it with unzstd"),
#undef FILE_OF
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_score_table table;
        hb_error err;
        put_bytes(cases[i].bytes, cases[i].n);
        refused(asking(0, 0), HB_ERR_UNSUPPORTED, cases[i].says);
        assert_int_equal(hb_table_read(path, NULL, &table, &err), HB_ERR_UNSUPPORTED);
    }
}

/* Text in another encoding is reported with line and byte, whether one row has it or all. */
static void test_not_utf8(void **state)
{
    (void)state;
    put("{\"prompt\":\"O\xF9?\",\"label\":0}\n{\"prompt\":\"\xE9\",\"label\":1}\n");
    refused(asking(0, 0), HB_ERR_FORMAT,
            "f:1: not UTF-8: byte 0xF9 at byte 13 of the record; if it is Latin-1");
    put(GOOD("a") "\n{\"prompt\":\"caf\xE9\",\"label\":1}\n");
    assert_string_equal(ids(open_all()), "a ");
    assert_memory_equal(messages, "f:2: not UTF-8: byte 0xE9 at byte 15", 36);
}

/* Opens `path` as a user who may not read it, in a process of its own because root may read everything.
 */
static int open_as_stranger(void)
{
    hb_error err;
    hb_dataset *dataset;
    if (geteuid() == 0 && setuid(65534) != 0) return 1;
    hb_status status = hb_dataset_open(path, NULL, &dataset, &err);
    return status == HB_ERR_IO && strstr(err.message, "f: Permission denied") ? 0 : 2;
}

static void test_unreadable(void **state)
{
    (void)state;
    int result;
    put(GOOD("a"));
    assert_int_equal(chmod(dir, 0755) | chmod(path, 0), 0);
    pid_t child = fork();
    if (child == 0) _exit(open_as_stranger());
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    unlink(path);
}

static void test_deep_nesting(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *open = repeat('[', DEPTH), *close = repeat(']', DEPTH);
    for (int array = 0; array < 2; array++) {
        FILE *file = fopen(file_path("f"), "wb");
        assert_non_null(file);
        fprintf(file, array ? "[%s,\n{\"x\":%s%s},\n%s]" : "%s\n{\"x\":%s%s}\n%s\n", GOOD("a"), open,
                close, GOOD("b"));
        fclose(file);
        assert_string_equal(ids(open_all()), "a b ");
        assert_int_equal(strncmp(messages, "f:2: maximum parsing depth reached", 34), 0);
        assert_int_equal(n_told, 1);
    }
    free(open);
    free(close);
}

/* A record of exactly 16 MiB is read. With one byte more it is skipped, in little memory. */
static void test_huge_record(void **state)
{
    (void)state;
    size_t frame = strlen("{\"id\":\"big\",\"prompt\":\"\",\"label\":1}");
    for (int over = 0; over < 2; over++) {
        char *prompt = repeat('x', HB_RECORD_MAX - frame + (size_t)over);
        for (int array = 0; array < 2; array++) {
            FILE *file = fopen(file_path("f"), "wb");
            assert_non_null(file);
            fprintf(file,
                    array ? "[%s,\n{\"id\":\"big\",\"prompt\":\"%s\",\"label\":1},\n%s]"
                          : "%s\n{\"id\":\"big\",\"prompt\":\"%s\",\"label\":1}\n%s\n",
                    GOOD("a"), prompt, GOOD("b"));
            fclose(file);
            assert_string_equal(ids(open_all()), over ? "a b " : "a big b ");
            assert_string_equal(messages, over ? "f:2: the record is larger than 16 MiB\n" : "");
        }
        free(prompt);
    }
}

/* In a process without standard streams: a pipe is kept in a file, whose descriptor is none of theirs.
 */
static int read_without_streams(const char *path)
{
    hb_dataset *dataset;
    for (int fd = 0; fd < 3; fd++) close(fd);
    if (hb_dataset_open(path, NULL, &dataset, NULL)) return 1;
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) >= 0) return 2;
    return 0;
}

static void test_standard_descriptors_stay_closed(void **state)
{
    (void)state;
    static const char rows[] = GOOD("a") "\n" GOOD("b") "\n";
    char path[40];
    int ends[2], result;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], rows, sizeof rows - 1), sizeof rows - 1);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    pid_t child = fork();
    if (child == 0) _exit(read_without_streams(path));
    assert_int_equal(waitpid(child, &result, 0), child);
    close(ends[0]);
    assert_int_equal(result, 0);
}

/* 0 if this build's malloc keeps no count. */
static size_t heap_in_use(void)
{
    return UNDER_SLOW_CHECKER ? 0 : mallinfo2().uordblks;
}

/* The memory in use does not grow with the file. */
static void test_constant_memory(void **state)
{
    (void)state;
    size_t used[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        put_rows(i ? 40000 : 400, false);
        size_t before = heap_in_use();
        hb_dataset *dataset = open_all();
        hb_sample sample;
        bool found = true;
        while (hb_dataset_next(dataset, &sample, &found, NULL) == HB_OK && found)
            if (sample.index == (i ? 39000 : 390)) used[i] = heap_in_use() - before;
        hb_dataset_close(dataset);
    }
    if (!used[0]) skip_because("this build's malloc keeps no count");
    assert_in_range(used[1], 1, used[0] + 4096);
}

static void test_hash(void **state)
{
    (void)state;
    static const char *const files[] = {"\xEF\xBB\xBF" GOOD("a") "\r\n\n", "[" GOOD("a") "] \n",
                                        GOOD("a")};
    for (size_t i = 0; i < 3; i++) {
        char hex[65];
        put(files[i]);
        assert_int_equal(hb_file_sha256(path, hex, NULL), HB_OK);
        hb_dataset *dataset = open_all();
        assert_string_equal(hb_dataset_get_info(dataset)->sha256, hex);
        hb_dataset_close(dataset);
    }
    put_rows(3000, true); /* more than one block */
    char hex[65];
    assert_int_equal(hb_file_sha256(path, hex, NULL), HB_OK);
    hb_dataset *dataset = open_with(asking(1, 0));
    assert_string_equal(hb_dataset_get_info(dataset)->sha256, hex);
    hb_dataset_close(dataset);
}

/* ---- Drawing ----------------------------------------------------------------------------------- */

/* The expected rows were computed independently in Python. SplitMix64 follows its paper (state +=
 * 0x9E3779B97F4A7C15, then two xor-shift-multiply rounds). The seed's first value is the initial state
 * of a second stream, row i gets its value i, and the rows with the smallest values are drawn. */
static void test_draw_is_fixed(void **state)
{
    (void)state;
    put_rows(20, false);
    assert_string_equal(ids(open_with(asking(6, 42))), "3 5 6 8 11 19 ");
    assert_string_equal(ids(open_with(asking(6, 42))), "3 5 6 8 11 19 ");
    assert_string_equal(ids(open_with(asking(6, 43))), "1 3 10 12 16 19 ");
    put_rows(10, true);               /* rows 4 5 9 */
    for (uint64_t n = 5; n <= 6; n++) /* an odd number splits no pair */
        assert_string_equal(
            ids(open_with(asking(n, 7))),
            "summarization_4_cor summarization_4_hal summarization_5_cor summarization_5_hal "
            "summarization_9_cor summarization_9_hal ");
}

/* A larger draw with the same seed contains the smaller one, so that a run can be extended. */
static void test_draws_are_nested(void **state)
{
    (void)state;
    put_rows(50, false);
    char smaller[512] = " ", larger[512], id[16];
    for (uint64_t n = 1; n <= 50; n++) {
        snprintf(larger, sizeof larger, " %s", ids(open_with(asking(n, 3))));
        char *rest = smaller;
        for (char *one; (one = strsep(&rest, " "));) {
            snprintf(id, sizeof id, " %s ", one);
            if (*one) assert_non_null(strstr(larger, id));
        }
        strcpy(smaller, larger);
    }
}

/* Broken rows do not affect the draw: the same good rows are drawn with and without them. */
static void test_draw_skips_broken(void **state)
{
    (void)state;
    FILE *file = fopen(file_path("f"), "wb");
    assert_non_null(file);
    for (int i = 0; i < 20; i++)
        fprintf(file, "{\"id\":%d,\"prompt\":\"p\",\"label\":0}\n%s", i,
                i % 3 ? "" : "{\"prompt\":\"\"}\n");
    fclose(file);
    hb_dataset *dataset = open_with(asking(6, 42));
    next_is(dataset, 3, "3", 0, NULL);
    next_is(dataset, 5, "5", 0, NULL);
    assert_string_equal(ids(dataset), "6 8 11 19 ");
    assert_int_equal(n_told, 7);
}

/* For every size, the number of samples is as requested or one more, in ascending order, with whole and
 * balanced pairs. */
static void test_draw_sizes(void **state)
{
    (void)state;
    enum { ROWS = 9 };
    put_rows(ROWS, true);
    for (uint64_t n = 0; n <= 2 * ROWS + 3; n++) {
        uint64_t expected = n == 0 || n > 2 * ROWS ? 2 * ROWS : n + n % 2, got = 0, previous = 0;
        int64_t balance = 0;
        hb_dataset *dataset = open_with(asking(n, n));
        assert_int_equal(hb_dataset_get_info(dataset)->n_samples, 2 * ROWS);
        assert_int_equal(hb_dataset_get_info(dataset)->n_selected, expected);
        hb_sample sample;
        bool found;
        while (hb_dataset_next(dataset, &sample, &found, NULL) == HB_OK && found) {
            assert_true(got == 0 || sample.index > previous);
            assert_int_equal(sample.label, got % 2);
            if (got % 2) assert_int_equal(sample.index, previous + 1);
            else assert_int_equal(sample.index % 2, 0);
            char id[64];
            snprintf(id, sizeof id, "summarization_%d_%s", (int)(sample.index / 2),
                     sample.label ? "hal" : "cor");
            assert_string_equal(sample.id, id);
            previous = sample.index;
            balance += sample.label ? 1 : -1;
            got++;
        }
        assert_int_equal(got, expected);
        assert_int_equal(balance, 0);
        hb_dataset_close(dataset);
    }
}

/* With 2000 seeds, each of 10 rows is drawn in 3 of 10 cases: 600 +- 5 standard deviations of 20.5. */
static void test_draw_is_uniform(void **state)
{
    (void)state;
    int count[10] = {0};
    put_rows(10, false);
    for (uint64_t seed = 0; seed < 2000; seed++) {
        hb_dataset *dataset = open_with(asking(3, seed));
        hb_sample sample;
        bool found;
        while (hb_dataset_next(dataset, &sample, &found, NULL) == HB_OK && found) count[sample.index]++;
        hb_dataset_close(dataset);
    }
    for (int i = 0; i < 10; i++) assert_in_range(count[i], 498, 702);
}

/* ---- Change between the passes ----------------------------------------------------------------- */

static void fails_changed(hb_dataset *dataset)
{
    hb_sample sample;
    bool found;
    hb_error err = {0};
    assert_int_equal(hb_dataset_next(dataset, &sample, &found, &err), HB_ERR_IO);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, "changed while being read"));
}

static void touch(time_t seconds)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_changed(void **state)
{
    (void)state;
    put_rows(20, false);
    hb_dataset *dataset = open_all();
    put_rows(19, false); /* another size */
    fails_changed(dataset);
    hb_dataset_close(dataset);

    put_rows(20, false);
    dataset = open_all();
    touch(1000000000); /* the same size, written at another time */
    fails_changed(dataset);
    hb_dataset_close(dataset);

    put_rows(20, false);
    dataset = open_all();
    next_is(dataset, 0, "0", 0, "p0");
    touch(1100000000); /* in the middle of the second pass */
    fails_changed(dataset);
    hb_dataset_close(dataset);

    put_rows(20, false);
    dataset = open_all();
    unlink(path);
    hb_sample sample;
    bool found;
    assert_int_equal(hb_dataset_next(dataset, &sample, &found, NULL), HB_ERR_IO);
    hb_dataset_close(dataset);
}

/* The file has fewer rows but the same size and time, so it ends before the draw. */
static void test_changed_in_secret(void **state)
{
    (void)state;
    struct stat st;
    put(GOOD("a") "\n" GOOD("b") "\n");
    touch(1000000000);
    assert_int_equal(stat(path, &st), 0);
    hb_dataset *dataset = open_all();
    char text[256] = GOOD("a");
    memset(text + strlen(text), ' ', (size_t)st.st_size - strlen(text));
    put_bytes(text, (size_t)st.st_size);
    touch(1000000000);
    next_is(dataset, 0, "a", 1, "p");
    fails_changed(dataset);
    hb_dataset_close(dataset);
}

/* ---- Tables ------------------------------------------------------------------------------------ */

static hb_table_options columns(const char *score, const char *label)
{
    forget();
    static const char *name;
    name = score;
    return (hb_table_options){.score_columns = &name,
                              .n_scores = score != NULL,
                              .label_column = label,
                              .on_broken = on_broken,
                              .user = messages};
}

static hb_score_table read_table(hb_table_options options)
{
    hb_score_table table;
    hb_error err = {0};
    if (hb_table_read(path, &options, &table, &err) != HB_OK) fail_msg("%s", err.message);
    return table;
}

static void table_refused(hb_table_options options, hb_status status, const char *part)
{
    hb_score_table table = {.n = 77};
    hb_error err = {0};
    assert_int_equal(hb_table_read(path, &options, &table, &err), status);
    if (!strstr(err.message, part)) fail_msg("\"%s\" lacks \"%s\"", err.message, part);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(table.n, 77);
}

/* The file has 0.5 with label 0 and -2.25 with label 1, and no broken rows. */
static void holds_two(hb_table_options options)
{
    hb_score_table table = read_table(options);
    assert_string_equal(messages, "");
    assert_int_equal(table.n, 2);
    assert_int_equal(table.n_broken, 0);
    assert_true(table.scores[0] == 0.5 && table.scores[1] == -2.25);
    assert_int_equal(table.labels[0], 0);
    assert_int_equal(table.labels[1], 1);
    hb_score_table_free(&table);
    assert_null(table.scores);
    assert_int_equal(table.n, 0);
}

/* A score with tail5 is the column of its name or, without one, those of its two tails. */
static void test_table_tails(void **state)
{
    (void)state;
    static const char *const several[] = {"pri", "hbar_s", "mood"};
    put("mood,Hbar_s:Bottom5,pri:top5,pri,label,hbar_s:top5\n7,1,6,2,0,4\n8,2,5,3,1,5\n");
    hb_table_options o = columns(NULL, NULL);
    hb_score_table table = read_table(o); /* there is no column score, so hbar_s is used */
    assert_int_equal(table.n_scores, 1);
    assert_true(table.scores[0] == 4 && table.scores[1] == 5);
    assert_true(table.low[0] == 1 && table.low[1] == 2);
    hb_score_table_free(&table);
    assert_null(table.low);
    o.score_columns = several;
    o.n_scores = 3;
    table = read_table(o);
    static const double high[] = {2, 3, 4, 5, 7, 8}, low[] = {2, 3, 1, 2, 7, 8};
    assert_memory_equal(table.scores, high, sizeof high);
    assert_memory_equal(table.low, low, sizeof low);
    hb_score_table_free(&table);
    put("hbar_s:top5,label\n1,0\n2,1\n"); /* one tail is not enough */
    table_refused(columns("hbar_s", NULL), HB_ERR_FORMAT, "no column 'hbar_s'");
}

/* Rows belong together by a column that is named or, where that is empty or there is none, by their
 * ids. */
static void test_table_groups(void **state)
{
    (void)state;
    put("id,score,label,topic\nq_cor,1,0,\nq_hal,2,1,\nx,3,0,a\ny,4,1,a\nz,5,0,\n");
    hb_table_options o = columns(NULL, NULL);
    hb_score_table table = read_table(o);
    static const uint32_t by_id[] = {0, 0, 2, 3, 4}, by_topic[] = {0, 0, 2, 2, 4};
    assert_memory_equal(table.groups, by_id, sizeof by_id);
    hb_score_table_free(&table);
    o.group_column = "Topic"; /* letter case as for other columns */
    table = read_table(o);
    assert_memory_equal(table.groups, by_topic, sizeof by_topic);
    hb_score_table_free(&table);
    o.group_column = "tipoc";
    table_refused(o, HB_ERR_FORMAT, "no column 'tipoc'");
    put("{\"score\":1,\"label\":0,\"id\":7}\n{\"score\":2,\"label\":1,\"id\":null}\n"
        "{\"score\":3,\"label\":1}\n{\"score\":3,\"label\":1,\"id\":7}\n");
    table = read_table(columns(NULL, NULL));
    static const uint32_t by_number[] = {0, 1, 2, 0};
    assert_memory_equal(table.groups, by_number, sizeof by_number);
    hb_score_table_free(&table);
    put("score,label\n1,0\n1,0\n");
    table = read_table(columns(NULL, NULL));
    assert_null(table.groups);
    hb_score_table_free(&table);
}

static void test_table_layouts(void **state)
{
    (void)state;
    static const char *const layouts[] = {
        "score,label\n0.5,0\n-2.25,1\n",
        "score,label\n0.5,0\n-2.25,1",
        "\xEF\xBB\xBFscore,label\r\n0.5,0\r\n\r\n-2.25,1\r\n",
        "\n\nlabel , id, score \n 0 ,x, 0.5 \n\n1,y,\t-2.25\n   \n",
        "\"label\",\"score\"\n\"0\",\"0.5\"\n\"1\",\" -2.25 \"\n",
        "text,score,label\n\"a, \"\"b\"\"\nc\",0.5,0\n\"\r\n\",-2.25,1\n",
        "hbar_s,label\n5e-1,0\n-225E-2,1\n",
        "hbar_s,score,label\n7,+.5,0\n7,-2.25,1\n",
        "score,label\r0.5,0\r-2.25,1\r",
        "{\"score\":0.5,\"label\":0}\n{\"score\":-2.25,\"label\":1}\n",
        "\xEF\xBB\xBF[{\"score\":0.5,\"label\":0},\r\n{\"score\":-2.25,\"label\":1}]",
        "{\"hbar_s\":0.5,\"label\":false}\n\n{\"hbar_s\":-2.25,\"label\":true}\n",
        ("{\"hbar_s\":7,\"score\":\"0.5\",\"label\":\"No\"}\n"
         "{\"hbar_s\":7,\"score\":-2.25,\"label\":1.0}\n"),
    };
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        put(layouts[i]);
        holds_two(columns(NULL, NULL));
    }
    hb_score_table table;
    assert_int_equal(hb_table_read(path, NULL, &table, NULL), HB_OK);
    assert_int_equal(table.n, 2);
    hb_score_table_free(&table);
    hb_score_table_free(NULL);
}

static void test_table_columns(void **state)
{
    (void)state;
    put("score,label,\"Wert, roh\",wahr\n9,1,0.5,no\n9,1,-2.25,yes\n");
    holds_two(columns("Wert, roh", "wahr"));
    table_refused(columns("Wert", NULL), HB_ERR_FORMAT,
                  "no column 'Wert'; there are: score, label, Wert, roh");
    table_refused(columns(NULL, "wert"), HB_ERR_FORMAT, "no column 'wert'");
    put("{\"w\":0.5,\"t\":0}\n{\"w\":-2.25,\"t\":1}\n");
    holds_two(columns("w", "t"));
    table_refused(columns("w", NULL), HB_ERR_FORMAT, "no column 'label'; there are: w, t");
    table_refused(columns(NULL, "t"), HB_ERR_FORMAT, "no column 'score' or 'hbar_s'; there are: w, t");
    assert_int_equal(n_told, 0);
    put("a,label\n1,1\n");
    table_refused(columns(NULL, NULL), HB_ERR_FORMAT,
                  "no column 'score' or 'hbar_s'; there are: a, label");
    put("score,label,score\n1,1,2\n");
    table_refused(columns(NULL, NULL), HB_ERR_FORMAT, ":1: column 'score' appears twice");
    put("hbar_s,label,score,hbar_s\n1,1,2,3\n");
    table_refused(columns("hbar_s", NULL), HB_ERR_FORMAT, "column 'hbar_s' appears twice");
}

static void check_columns_and_hash(const hb_table_options *options)
{
    hb_error err;
    hb_table *file;
    hb_score_table table;
    char hex[65];
    size_t n;
    assert_int_equal(hb_table_open(path, &file, &err), HB_OK);
    const char *const *found = hb_table_columns(file, &n);
    assert_int_equal(n, 3);
    assert_string_equal(found[0], "a");
    assert_string_equal(found[1], "label");
    assert_string_equal(found[2], "b");
    assert_null(hb_table_sha256(file));
    assert_int_equal(hb_table_scores(file, options, &table, &err), HB_OK);
    assert_int_equal(hb_file_sha256(path, hex, &err), HB_OK);
    assert_string_equal(hb_table_sha256(file), hex);
    hb_score_table_free(&table);
    hb_table_close(file);
}

/* Several scores of the same rows. A row that lacks one of them is broken. */
static void test_table_of_several_scores(void **state)
{
    (void)state;
    static const char *const names[] = {"b", "a"};
    static const char *const layouts[] = {
        "a,label,b\n1,0,4\n2,1,5\n,1,6\n3,0,6\n",
        "{\"a\":1,\"label\":0,\"b\":4}\n{\"b\":5,\"label\":1,\"a\":2}\n"
        "{\"a\":null,\"label\":1,\"b\":6}\n{\"a\":3,\"label\":0,\"b\":6}\n"};
    for (int i = 0; i < 2; i++) {
        put(layouts[i]);
        hb_table_options options = columns(NULL, NULL);
        options.score_columns = names;
        options.n_scores = 2;
        hb_score_table table = read_table(options);
        assert_string_equal(messages, i ? "f:3: a is empty: the sample was not scored\n"
                                        : "f:4: a is empty: the sample was not scored\n");
        assert_int_equal(table.n, 3);
        assert_int_equal(table.n_scores, 2);
        assert_int_equal(table.n_broken, 1);
        const double expected[] = {4, 5, 6, 1, 2, 3};
        for (int k = 0; k < 6; k++) assert_true(table.scores[k] == expected[k]);
        assert_int_equal(table.labels[1], 1);
        hb_score_table_free(&table);
        check_columns_and_hash(&options);
    }
    table_refused((hb_table_options){.score_columns = (const char *const[]){"a", "c"}, .n_scores = 2},
                  HB_ERR_FORMAT, "no column 'c'; there are: a, label, b");
    put("");
    hb_error err;
    assert_int_equal(hb_table_open(path, NULL, &err), HB_ERR_FORMAT);
}

static void test_table_labels(void **state)
{
    (void)state;
    static const char *const words[2][10] = {
        {"0", "false", "FALSE", "False", "no", "No", "0.0", "nO", "-0", "0e5"},
        {"1", "true", "TRUE", "True", "yes", "Yes", "1.0", "yEs", "+1", "1.000"}};
    char text[64];
    for (int label = 0; label < 2; label++)
        for (int i = 0; i < 10; i++) {
            snprintf(text, sizeof text,
                     i % 2 ? "score,label\n1,%s\n" : "{\"score\":1,\"label\":\"%s\"}", words[label][i]);
            put(text);
            hb_score_table table = read_table(columns(NULL, NULL));
            assert_int_equal(table.n, 1);
            assert_int_equal(table.labels[0], label);
            hb_score_table_free(&table);
        }
}

/* One broken row after a good one and before another. */
static void broken_in_table(const char *format, const char *row, const char *reason)
{
    char text[512], expected[128];
    snprintf(text, sizeof text, format, row);
    put(text);
    hb_score_table table = read_table(columns(NULL, NULL));
    assert_int_equal(table.n, 2);
    assert_int_equal(table.n_broken, 1);
    assert_true(table.scores[0] == 0.5 && table.scores[1] == -2.25);
    hb_score_table_free(&table);
    assert_int_equal(n_told, 1);
    snprintf(expected, sizeof expected, "f:4: %s", reason);
    if (strncmp(messages, expected, strlen(expected)) != 0)
        fail_msg("\"%s\" is not \"%s\"", messages, expected);

    hb_table_options options = columns(NULL, NULL);
    options.strict = true;
    expected[strcspn(expected, "\n")] = '\0';
    table_refused(options, HB_ERR_FORMAT, expected);
    assert_int_equal(n_told, 0);
}

static void test_table_broken_csv(void **state)
{
    (void)state;
    static const struct {
        const char *row, *reason;
    } cases[] = {
        {"abc,1,x", "score 'abc' is not a finite number\n"},
        {"nan,1,x", "score 'nan' is not a finite number\n"},
        {"-inf,1,x", "score '-inf' is not a finite number\n"},
        {"1e999,1,x", "score '1e999' is not a finite number\n"},
        {"0x10,1,x", "score '0x10' is not a finite number\n"},
        {"1.5 2,1,x", "score '1.5 2' is not a finite number\n"},
        {"\"1,5\",1,x", "score '1,5' is not a finite number\n"},
        {"1e,1,x", "score '1e' is not a finite number\n"},
        {".,1,x", "score '.' is not a finite number\n"},
        {"\"a\nb\",1,x", "score 'a b' is not a finite number\n"},
        {",1,x", "score is empty"},
        {"\" \",1,x", "score is empty"},
        {"1,2,x", "label '2' is neither 0 nor 1\n"},
        {"1,,x", "label '' is neither 0 nor 1\n"},
        {"1,0.5,x", "label '0.5' is neither 0 nor 1\n"},
        {"1,truely,x", "label 'truely' is neither 0 nor 1\n"},
        {"1,y,x", "label 'y' is neither 0 nor 1\n"},
        {"1,nan,x", "label 'nan' is neither 0 nor 1\n"},
        {"1,1", "the row has 2 fields and the header 3\n"},
        {"1", "the row has 1 fields and the header 3\n"},
        {"1,5,1,x", "the row has 4 fields and the header 3\n"},
        {"1,1,x\"y", "a quote is out of place\n"},
        {"1,1,\"x\"y", "a quote is out of place\n"},
        {"\"1\"2,1,\"x\"", "a quote is out of place\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        broken_in_table("score,label,note\n0.5,0,\"two\nlines\"\n%s\n-2.25,1,z\n", cases[i].row,
                        cases[i].reason);
        broken_in_table("score,label,note\r\n\r\n0.5,0,x\r\n%s\r\n-2.25,1,z", cases[i].row,
                        cases[i].reason);
    }
}

static void test_table_broken_json(void **state)
{
    (void)state;
    static const struct {
        const char *row, *reason;
    } cases[] = {
        {"{\"score\":null,\"label\":1}", "score is empty"},
        {"{\"score\":\"\",\"label\":1}", "score is empty"},
        {"{\"label\":1}", "field 'score' is missing\n"},
        {"{\"score\":1}", "field 'label' is missing\n"},
        {"{\"score\":true,\"label\":1}", "score 'true' is not a finite number\n"},
        {"{\"score\":[1],\"label\":1}", "score '[1]' is not a finite number\n"},
        {"{\"score\":\"nan\",\"label\":1}", "score 'nan' is not a finite number\n"},
        {"{\"score\":NaN,\"label\":1}", "score is empty: the sample was not scored\n"},
        {"{\"score\":-Infinity,\"label\":1}", "score '-Infinity' is not a finite number\n"},
        {"{\"score\":NaNa,\"label\":1}", "invalid token"},
        {"{\"score\":1e999,\"label\":1}", "real number overflow"},
        {"{\"score\":1,\"label\":2}", "label '2' is neither 0 nor 1\n"},
        {"{\"score\":1,\"label\":null}", "label '' is neither 0 nor 1\n"},
        {"{\"score\":1,\"label\":{}}", "label '{}' is neither 0 nor 1\n"},
        {"{\"score\":1,\"label\":0.5}", "label '0.5' is neither 0 nor 1\n"},
        {"broken", "invalid token"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        broken_in_table("{\"score\":0.5,\"label\":0}\n\n\n%s\n{\"score\":-2.25,\"label\":1}\n",
                        cases[i].row, cases[i].reason);
        broken_in_table("[\n{\"score\":0.5,\n\"label\":0},\n%s,\n{\"score\":-2.25,\"label\":1}]",
                        cases[i].row, cases[i].reason);
    }
}

/* A sample without a score may come first. */
static void test_table_unscored_first(void **state)
{
    (void)state;
    put("{\"id\":1,\"label\":1}\n{\"hbar_s\":0.5,\"label\":0}\n");
    hb_score_table table = read_table(columns(NULL, NULL));
    assert_int_equal(table.n, 1);
    assert_int_equal(table.n_broken, 1);
    assert_string_equal(messages, "f:1: field 'hbar_s' is missing\n");
    hb_score_table_free(&table);
}

/* A lone CR ends the header. The rows after it are in the same piece of text. */
static void test_table_of_lone_crs(void **state)
{
    (void)state;
    static const char *const layouts[] = {"score,label\r0.5,0\r-2.25,1\r",
                                          "score,label\r0.5,0\n-2.25,1"};
    for (size_t i = 0; i < 2; i++) {
        hb_error err;
        hb_table *file;
        put(layouts[i]);
        assert_int_equal(hb_table_open(path, &file, &err), HB_OK);
        size_t n;
        assert_string_equal(hb_table_columns(file, &n)[1], "label");
        assert_int_equal(n, 2);
        hb_table_close(file);
        holds_two(columns(NULL, NULL));
    }
}

/* Rows of failed samples may be empty objects, in any number. */
static void test_table_of_empty_objects(void **state)
{
    (void)state;
    put("{}\n{}\n");
    table_refused(columns(NULL, NULL), HB_ERR_FORMAT, "no column 'score' or 'hbar_s'; there are: none");
    table_refused(columns("a", NULL), HB_ERR_FORMAT, "no column 'a'; there are: none");
    FILE *file = fopen(file_path("f"), "wb");
    assert_non_null(file);
    for (int i = 0; i < 150; i++) fputs("{}\n", file);
    fputs("{\"score\":0.5,\"label\":0}\n{\"score\":-2.25,\"label\":1}\n", file);
    fclose(file);
    hb_score_table table = read_table(columns(NULL, NULL));
    assert_int_equal(table.n, 2);
    assert_int_equal(table.n_broken, 150);
    assert_memory_equal(messages, "f:1: field 'score' is missing\n", 30);
    hb_score_table_free(&table);
}

/* Columns are found by look-up: reading 90,000 columns takes time linear in their bytes. */
static void test_table_of_many_columns(void **state)
{
    (void)state;
    enum { N = 90000 };
    for (int csv = 0; csv < 2; csv++) {
        FILE *file = fopen(file_path("f"), "wb");
        assert_non_null(file);
        for (int i = 0; i < N; i++) fprintf(file, csv ? "k%d," : i ? ",\"k%d\":0" : "{\"k%d\":0", i);
        fputs(csv ? "score,label\n" : ",\"score\":1,\"label\":1}\n", file);
        for (int i = 0; i < N && csv; i++) fputs(",", file);
        if (csv) fputs("1,1\n", file);
        fclose(file);
        clock_t start = clock();
        hb_score_table table = read_table(columns(NULL, NULL));
        assert_int_equal(table.n, 1);
        hb_score_table_free(&table);
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        if (seconds > 3) fail_msg("%d columns took %.1f s", N, seconds);
    }
}

static void test_table_file_errors(void **state)
{
    (void)state;
    put("");
    table_refused(columns(NULL, NULL), HB_ERR_FORMAT, "a header line or a record is needed");
    put("score,label\n1,1\n\"2,1\n3,1\n");
    table_refused(columns(NULL, NULL), HB_ERR_FORMAT, "f:3: a quoted field is not closed");
    put("score,\"la\"bel\n1,1\n");
    table_refused(columns(NULL, NULL), HB_ERR_FORMAT, "f:1: a quote is out of place");
    put("[{\"score\":1,\"label\":1},\n{\"score\":2");
    table_refused(columns(NULL, NULL), HB_ERR_FORMAT, "f:2: the file ends inside the record");
    put("score,label\n");
    hb_score_table table = read_table(columns(NULL, NULL));
    assert_int_equal(table.n, 0);
    hb_score_table_free(&table);
    put("{broken\n{\"score\":\n");
    table = read_table(columns(NULL, NULL));
    assert_int_equal(table.n, 0);
    assert_int_equal(table.n_broken, 2);
    assert_int_equal(n_told, 2);
    hb_score_table_free(&table);

    char *text = repeat('x', HB_RECORD_MAX + 200000);
    memcpy(text, "score,label\n\"", 13);
    put(text);
    table_refused(columns(NULL, NULL), HB_ERR_FORMAT, "f:2: a field is larger than 16 MiB");
    free(text);
}

/* More rows than the first allocation, and lines that cross the reader's blocks. */
static void test_table_many(void **state)
{
    (void)state;
    enum { N = 20000 };
    FILE *file = fopen(file_path("f"), "wb");
    assert_non_null(file);
    fputs("note,score,label\n", file);
    for (int i = 0; i < N; i++) fprintf(file, "\"a\n\"\"%d\",%d.25,%d\n", i, i, i % 3 == 0);
    fputs("x,y,1\n", file);
    fclose(file);
    hb_score_table table = read_table(columns(NULL, NULL));
    char expected[80];
    snprintf(expected, sizeof expected, "f:%d: score 'y' is not a finite number\n", 2 + 2 * N);
    assert_string_equal(messages, expected);
    assert_int_equal(table.n, N);
    for (int i = 0; i < N; i++) {
        assert_true(table.scores[i] == i + 0.25);
        assert_int_equal(table.labels[i], i % 3 == 0);
    }
    hb_score_table_free(&table);
}

/* Numbers are read alike where the locale has a decimal comma. */
static void test_table_locale(void **state)
{
    char command[160];
    setenv("LOCPATH", *state, 1);
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8", (char *)*state);
    if (system(command) != 0 || !setlocale(LC_ALL, "de_DE.UTF-8"))
        skip_because("localedef, of the package locales, cannot make a locale");
    assert_string_equal(localeconv()->decimal_point, ",");
    put("score,label\n0.5,0\n-2.25,1\n");
    holds_two(columns(NULL, NULL));
    put("{\"score\":0.5,\"label\":0}\n{\"score\":-2.25,\"label\":1.0}\n");
    holds_two(columns(NULL, NULL));
    setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
}

/* ---- Real data --------------------------------------------------------------------------------- */

static void test_shared(void **state)
{
    (void)state;
    static const struct {
        const char *name, *format;
        uint64_t n_rows, n_samples;
    } files[] = {{"halueval_qa_500.jsonl", "halueval_qa", 500, 1000},
                 {"halueval_general.jsonl", "halueval_general", 4507, 4507}};
    for (size_t i = 0; i < 2; i++) {
        char name[64], hex[65];
        hb_error err = {0};
        hb_dataset *dataset;
        snprintf(name, sizeof name, "data/%s", files[i].name);
        const char *file = shared_file(name);
        assert_int_equal(hb_dataset_open(file, NULL, &dataset, &err), HB_OK);
        const hb_dataset_info *info = hb_dataset_get_info(dataset);
        assert_string_equal(info->format, files[i].format);
        assert_int_equal(info->n_rows, files[i].n_rows);
        assert_int_equal(info->n_samples, files[i].n_samples);
        assert_int_equal(info->n_broken, 0);
        assert_int_equal(strlen(info->sha256), 64);
        assert_int_equal(strspn(info->sha256, "0123456789abcdef"), 64);
        assert_int_equal(hb_file_sha256(file, hex, NULL), HB_OK);
        assert_string_equal(info->sha256, hex);
        hb_sample sample;
        bool found;
        uint64_t n = 0;
        for (; hb_dataset_next(dataset, &sample, &found, &err) == HB_OK && found; n++)
            assert_int_equal(sample.index, n);
        assert_int_equal(n, files[i].n_samples);
        hb_dataset_close(dataset);
    }
}

/* The data sets that come with hbar. */
static void check_demo(const char *name, const char *format, int rows, int per_row)
{
    char file[512];
    snprintf(file, sizeof file, "%s/data/%s", HBAR_PROJECT, name);
    hb_error err = {0};
    hb_dataset *dataset;
    if (hb_dataset_open(file, NULL, &dataset, &err) != HB_OK) fail_msg("%s", err.message);
    const hb_dataset_info *info = hb_dataset_get_info(dataset);
    assert_string_equal(info->format, format);
    assert_int_equal(info->n_broken, 0);
    assert_int_equal(info->n_rows, rows);
    int seen = 0;
    hb_sample sample;
    bool found;
    for (; hb_dataset_next(dataset, &sample, &found, NULL) == HB_OK && found; seen++)
        assert_int_equal(sample.label, per_row == 2 ? seen % 2 : HB_LABEL_BY_GRADE);
    assert_int_equal(seen, rows * per_row);
    hb_dataset_close(dataset);
}

static void test_demo(void **state)
{
    (void)state;
    check_demo("demo_calibration.jsonl", "answers", 1200, 1);
    check_demo("demo_test.jsonl", "answers", 1200, 1);
    check_demo("demo_judgements.jsonl", "halueval_qa", 500, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qa),
        cmocka_unit_test(test_dialogue),
        cmocka_unit_test(test_summarization),
        cmocka_unit_test(test_general),
        cmocka_unit_test(test_generic),
        cmocka_unit_test(test_format_names),
        cmocka_unit_test(test_forced_format),
        cmocka_unit_test(test_detection),
        cmocka_unit_test(test_detection_limit),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_ids_count_broken_rows),
        cmocka_unit_test(test_broken_rows),
        cmocka_unit_test(test_broken_halueval),
        cmocka_unit_test(test_nul_byte),
        cmocka_unit_test(test_array_errors),
        cmocka_unit_test(test_array_resynchronises),
        cmocka_unit_test(test_truncated_line),
        cmocka_unit_test(test_nothing_usable),
        cmocka_unit_test(test_not_a_file),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_not_utf8),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_huge_record),
        cmocka_unit_test(test_standard_descriptors_stay_closed),
        cmocka_unit_test(test_constant_memory),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_draw_is_fixed),
        cmocka_unit_test(test_draws_are_nested),
        cmocka_unit_test(test_draw_skips_broken),
        cmocka_unit_test(test_draw_sizes),
        cmocka_unit_test(test_draw_is_uniform),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_changed_in_secret),
        cmocka_unit_test(test_table_layouts),
        cmocka_unit_test(test_table_tails),
        cmocka_unit_test(test_table_groups),
        cmocka_unit_test(test_table_columns),
        cmocka_unit_test(test_table_of_several_scores),
        cmocka_unit_test(test_table_labels),
        cmocka_unit_test(test_table_broken_csv),
        cmocka_unit_test(test_table_broken_json),
        cmocka_unit_test(test_table_unscored_first),
        cmocka_unit_test(test_table_of_lone_crs),
        cmocka_unit_test(test_table_of_empty_objects),
        cmocka_unit_test(test_table_of_many_columns),
        cmocka_unit_test(test_table_file_errors),
        cmocka_unit_test(test_table_many),
        cmocka_unit_test_setup_teardown(test_table_locale, make_scratch, remove_scratch),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_demo),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
