#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

enum { SHOWN_TEXT = 160 }; /* bytes of a text that people are shown */

typedef struct inspect_options {
    int32_t n_ctx;
    bool quiet, json;
} inspect_options;

static void add_options(cli_options *options, inspect_options *o)
{
    cli_add_int(options, "ctx-size", 0, "N", &o->n_ctx, 1, 1 << 24,
                "context size, in tokens, to report the memory for")
        ->standard = CLI_CONTEXT_STANDARD;
    cli_add_common(options, &o->quiet, &o->json);
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static json_int_t int_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* Bytes as people read them; "unknown size" for null. */
static const char *size_text(const json_t *bytes, char out[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)json_integer_value(bytes);
    int unit = 0;
    while (size >= 1024 && unit < 4) size /= 1024, unit++;
    if (!json_is_integer(bytes)) return "unknown size";
    snprintf(out, 32, unit ? "%.2f %s" : "%.0f %s", size, units[unit]);
    return out;
}

static void print_text(const json_t *text)
{
    size_t length = json_string_length(text), shown = length < SHOWN_TEXT ? length : SHOWN_TEXT;
    const char *bytes = json_string_value(text);
    while (shown < length && shown > 0 && ((unsigned char)bytes[shown] & 0xC0) == 0x80) shown--;
    cli_print_quoted(bytes, shown);
    if (shown < length) printf("... (%zu bytes)", length);
}

static void print_value(const json_t *value)
{
    if (json_is_string(value)) print_text(value);
    else if (json_is_integer(value)) printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value)) printf("%.9g", json_real_value(value));
    else if (json_is_boolean(value)) printf(json_is_true(value) ? "true" : "false");
    else printf("not a number");
}

/* ---- Parts of the report ------------------------------------------------------------------------- */

static void print_file(const json_t *root)
{
    char size[32];
    const json_t *architecture = json_object_get(root, "architecture"),
                 *name = json_object_get(root, "name");
    cli_print_quoted(text_of(root, "path"), strlen(text_of(root, "path")));
    printf(": GGUF version %" JSON_INTEGER_FORMAT ", %s", int_of(root, "gguf_version"),
           size_text(json_object_get(root, "file_size"), size));
    if (int_of(root, "parts") > 1) printf(" in %" JSON_INTEGER_FORMAT " parts", int_of(root, "parts"));
    printf("\nArchitecture  ");
    if (json_is_string(architecture)) print_text(architecture);
    else printf("none told");
    if (json_is_string(name)) {
        printf(", name ");
        print_text(name);
    }
    printf("\nParameters    %" JSON_INTEGER_FORMAT " in %zu tensors\n", int_of(root, "parameters"),
           json_array_size(json_object_get(root, "tensors")));
}

static void print_verdict(const json_t *root)
{
    const char *chat = text_of(root, "chat_format");
    printf("Chat format   %s\n", chat ? chat : "none known");
    char file[32], cache[32], work[32], total[32];
    const json_t *memory = json_object_get(root, "memory"), *why = json_object_get(root, "why_not");
    if (json_is_true(json_object_get(root, "runs"))) puts("Runs          yes");
    else {
        printf("Runs          no: ");
        cli_print_quoted(json_string_value(why), json_string_length(why));
        putchar('\n');
    }
    size_t i;
    json_t *warning;
    json_array_foreach(json_object_get(root, "warnings"), i, warning)
    {
        printf("Warning       ");
        cli_print_quoted(json_string_value(warning), json_string_length(warning));
        putchar('\n');
    }
    if (!json_is_object(memory)) return;
    printf("Memory        %s for a context of %" JSON_INTEGER_FORMAT
           ": the file, mapped, %s, keys and values %s, work %s\n",
           size_text(json_object_get(memory, "total"), total), int_of(memory, "context"),
           size_text(json_object_get(memory, "file"), file),
           size_text(json_object_get(memory, "cache"), cache),
           size_text(json_object_get(memory, "work"), work));
}

static void print_types(json_t *types)
{
    const char *name;
    char size[32];
    json_t *type;
    puts("Types");
    json_object_foreach(types, name, type)
    {
        printf("  %-8s %5" JSON_INTEGER_FORMAT " tensors, %" JSON_INTEGER_FORMAT " weights, %s\n", name,
               int_of(type, "tensors"), int_of(type, "weights"),
               size_text(json_object_get(type, "bytes"), size));
    }
}

static void print_metadata(json_t *metadata)
{
    const char *key;
    json_t *value, *element;
    size_t i;
    printf("Metadata (%zu)\n", json_object_size(metadata));
    json_object_foreach(metadata, key, value)
    {
        json_t *first = json_object_get(value, "first");
        json_int_t count = int_of(value, "count");
        printf("  %s = ", key);
        if (!first) {
            print_value(json_object_get(value, "value"));
            printf(" (%s)\n", text_of(value, "type"));
            continue;
        }
        putchar('[');
        json_array_foreach(first, i, element)
        {
            if (i) printf(", ");
            print_value(element);
        }
        printf("%s] (%" JSON_INTEGER_FORMAT " of %s)\n",
               count > (json_int_t)json_array_size(first) ? ", ..." : "", count, text_of(value, "of"));
    }
}

static void print_tensors(const json_t *tensors)
{
    size_t i, k;
    json_t *tensor, *length;
    printf("Tensors (%zu)\n", json_array_size(tensors));
    json_array_foreach(tensors, i, tensor)
    {
        char size[32], shape[96] = "";
        json_array_foreach(json_object_get(tensor, "shape"), k, length)
        {
            size_t n = strlen(shape);
            snprintf(shape + n, sizeof shape - n, "%s%" JSON_INTEGER_FORMAT, k ? " x " : "",
                     json_integer_value(length));
        }
        printf("  %-32s %-7s %-18s %s\n", text_of(tensor, "name"), text_of(tensor, "type"), shape,
               size_text(json_object_get(tensor, "bytes"), size));
    }
}

static void print_report(const json_t *root)
{
    print_file(root);
    print_verdict(root);
    print_types(json_object_get(root, "types"));
    print_metadata(json_object_get(root, "metadata"));
    print_tensors(json_object_get(root, "tensors"));
}

/* ---- Running ------------------------------------------------------------------------------------- */

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    inspect_options o = {0};
    const char *path;
    char *json;
    int code;
    hb_error err;
    add_options(&options, &o);
    if (!cli_parse(command, &options, argc, argv, &path, &code)) return code;
    if (hb_inspect(path, o.n_ctx, &json, &err)) return cli_fail(&err);
    if (o.json) {
        puts(json);
    } else {
        json_t *root = json_loads(json, 0, NULL);
        if (root) print_report(root);
        else cli_message("out of memory"), code = CLI_FAILED;
        json_decref(root);
    }
    free(json);
    return code;
}

const cli_command cli_inspect = {
    .name = "inspect",
    .operand = "FILE",
    .summary = "show what a model file holds and whether hbar can run it",
    .details = "Prints a GGUF file's metadata, tensors and types, the memory that a context takes, and "
               "whether hbar can run the model, or why not. Of arrays it shows the first elements, and "
               "of long texts the beginning.",
    .run = run,
};
