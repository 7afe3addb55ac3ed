#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "cli/cli.h"

typedef struct tokenize_options {
    const char *model_path;
    bool no_special, parse_special, decode, quiet, json;
    cli_chat chat;
} tokenize_options;

static void add_options(cli_options *options, tokenize_options *o)
{
    const cli_option own[] = {
        {"model", 'm', CLI_TEXT, &o->model_path, "FILE", "the model, GGUF (required)", 0, 0, NULL,
         NULL},
        {"no-special", 0, CLI_FLAG, &o->no_special, NULL,
         "no tokens of the model's own at the beginning and end", 0, 0, NULL, NULL},
        {"parse-special", 0, CLI_FLAG, &o->parse_special, NULL,
         "text that spells a control token becomes it, and the reverse", 0, 0, NULL, NULL},
        {"decode", 'd', CLI_FLAG, &o->decode, NULL, "TEXT is token ids; print the text", 0, 0, NULL,
         NULL},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) cli_add(options, own[i]);
    cli_chat_add(options, &o->chat);
    cli_add_common(options, &o->quiet, &o->json);
}

/* What a token shows as: its bytes, or for a control token its name. */
static const char *shown(const hb_model *model, int32_t token, size_t *length)
{
    const char *bytes = hb_token_bytes(model, token, length);
    return *length ? bytes : hb_token_piece(model, token, length);
}

/* ---- Text to tokens ------------------------------------------------------------------------------ */

static json_t *tokens_json(const hb_model *model, const int32_t *tokens, size_t n)
{
    json_t *ids = json_array(), *pieces = json_array();
    hb_buffer clean = {0};
    bool ok = ids && pieces;
    for (size_t i = 0; i < n && ok; i++) {
        size_t length;
        const char *piece = shown(model, tokens[i], &length);
        hb_buffer_clear(&clean);
        hb_utf8_clean(&clean, piece, length, true, &ok);
        ok = ok && !json_array_append_new(ids, json_integer(tokens[i])) &&
             !json_array_append_new(pieces, json_stringn(clean.data ? clean.data : "", clean.length));
    }
    hb_buffer_free(&clean);
    json_t *root =
        ok ? json_pack("{s:I, s:O, s:O}", "n_tokens", (json_int_t)n, "tokens", ids, "pieces", pieces)
           : NULL;
    json_decref(ids);
    json_decref(pieces);
    return root;
}

/* A line for each token: its id and its bytes. */
static void print_token(const hb_model *model, int32_t token)
{
    size_t length;
    const char *piece = shown(model, token, &length);
    printf("%d\t", token);
    cli_print_quoted(piece, length);
    putchar('\n');
}

static int encode(const tokenize_options *o, const hb_model *model, const hb_buffer *text)
{
    int32_t *tokens;
    size_t n;
    hb_error err;
    hb_status status = o->chat.on ? hb_prompt_tokenize(model, o->chat.format, o->chat.system,
                                                       text->data, text->length, &tokens, &n, &err)
                                  : hb_tokenize(model, text->data, text->length, !o->no_special,
                                                o->parse_special, &tokens, &n, &err);
    if (status) return cli_fail(&err);
    int code = CLI_DONE;
    if (o->json) code = cli_print_json(tokens_json(model, tokens, n), 0);
    else
        for (size_t i = 0; i < n; i++) print_token(model, tokens[i]);
    free(tokens);
    return code;
}

/* ---- Tokens to text ------------------------------------------------------------------------------ */

/* Ids may be separated by white space or commas, and stand in brackets. */
static int decode(const tokenize_options *o, const hb_model *model, const hb_buffer *text)
{
    hb_buffer bytes = {0}, clean = {0};
    bool ok = hb_buffer_add(&bytes, "", 0);
    int32_t n_vocab = hb_model_get_info(model)->n_vocab;
    for (const char *at = text->data; ok;) {
        char *end;
        at += strspn(at, " \t\r\n,[]");
        if (!*at) break;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (end == at || errno || id < 0 || id >= n_vocab) {
            cli_message("'%.20s' is not a token id from 0 to %d", at, n_vocab - 1);
            hb_buffer_free(&bytes);
            return CLI_FAILED;
        }
        size_t length;
        const char *piece = o->parse_special ? shown(model, (int32_t)id, &length)
                                             : hb_token_bytes(model, (int32_t)id, &length);
        ok = hb_buffer_add(&bytes, piece, length);
        at = end;
    }
    int code = CLI_DONE;
    if (ok && o->json) hb_utf8_clean(&clean, bytes.data, bytes.length, true, &ok);
    if (!ok) cli_message("out of memory"), code = CLI_FAILED;
    else if (o->json)
        code = cli_print_json(json_pack("{s:s}", "text", clean.data ? clean.data : ""), 0);
    else fwrite(bytes.data, 1, bytes.length, stdout);
    hb_buffer_free(&bytes);
    hb_buffer_free(&clean);
    return code;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    tokenize_options o = {0};
    const char *operand;
    int code;
    hb_model *model;
    hb_error err;
    add_options(&options, &o);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    if (!o.model_path) return cli_usage(command, "--model is required");
    if (!operand) return cli_usage(command, "a text is required");
    if (!cli_chat_check(command, &o.chat, &code)) return code;
    if (o.chat.on && (o.no_special || o.parse_special || o.decode))
        return cli_usage(command, "--chat goes without --no-special, --parse-special and --decode");
    if (hb_model_open_vocab(o.model_path, &model, &err)) return cli_fail(&err);
    cli_show_warnings(model);
    hb_buffer text = {0};
    code = cli_chat_find(&o.chat, model, &err) ? cli_fail(&err) : CLI_DONE;
    if (!code) code = cli_read_operand(operand, &text);
    if (!code) code = o.decode ? decode(&o, model, &text) : encode(&o, model, &text);
    hb_buffer_free(&text);
    hb_model_close(model);
    return code;
}

const cli_command cli_tokenize = {
    .name = "tokenize",
    .operand = "TEXT",
    .summary = "text to tokens and back",
    .details =
        "Prints the tokens of TEXT (- reads it from standard input), one to a line: the id, then the\n"
        "token in quotes. --decode turns ids into text. The file needs a vocabulary, and no weights.",
    .run = run,
};
