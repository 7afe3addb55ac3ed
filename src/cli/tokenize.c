#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

typedef struct tokenize_options {
    const char *model_path;
    bool no_special, decode, quiet, json;
    cli_chat chat;
} tokenize_options;

static void add_options(cli_options *options, tokenize_options *o)
{
    cli_add_text(options, "model", 'm', "FILE", &o->model_path, "the model, a GGUF file")->required =
        true;
    cli_add_flag(options, "no-special", 0, &o->no_special,
                 "leave out the tokens that the model wants at the beginning and end");
    cli_add_flag(options, "decode", 'd', &o->decode, "take TEXT as token ids, and print their text");
    cli_chat_add(options, &o->chat);
    cli_explain(options, "parse-special",
                "turn text that spells a control token into that token, and back", NULL);
    cli_add_common(options, &o->quiet, &o->json);
}

/* A token's bytes; for a control token, which has none, its name. */
static const char *shown(const hb_model *model, int32_t token, size_t *length)
{
    const char *bytes = hb_token_bytes(model, token, length);
    return *length ? bytes : hb_token_piece(model, token, length);
}

/* ---- Text to tokens ------------------------------------------------------------------------------ */

static int print_tokens_json(const hb_model *model, const int32_t *tokens, size_t n)
{
    hb_json json = {0};
    hb_json_row(&json, NULL);
    hb_json_whole(&json, "n_tokens", (int64_t)n);
    hb_json_list(&json, "tokens");
    for (size_t i = 0; i < n; i++) hb_json_whole(&json, NULL, tokens[i]);
    hb_json_end(&json);
    hb_json_list(&json, "pieces");
    for (size_t i = 0; i < n; i++) {
        size_t length;
        const char *piece = shown(model, tokens[i], &length);
        hb_json_bytes(&json, NULL, piece, length);
    }
    hb_json_end(&json);
    hb_json_end(&json);
    return cli_print_json(&json);
}

/* Prints a token's line: its id and its bytes. */
static void print_token(const hb_model *model, int32_t token)
{
    size_t length;
    const char *piece = shown(model, token, &length);
    cli_print("%d", token);
    cli_write("\t", 1);
    cli_print_quoted(piece, length);
    cli_write("\n", 1);
}

static int encode(const tokenize_options *o, const hb_model *model, const hb_buffer *text)
{
    int32_t *tokens;
    size_t n;
    hb_error err;
    hb_status status = o->no_special ? hb_tokenize(model, text->data, text->length, false,
                                                   o->chat.prepared, &tokens, &n, &err)
                                     : hb_chat_prompt(model, o->chat.chat, o->chat.system, text->data,
                                                      text->length, &tokens, &n, &err);
    if (status) return cli_fail(&err);
    int code = CLI_DONE;
    if (o->json) code = print_tokens_json(model, tokens, n);
    else
        for (size_t i = 0; i < n; i++) print_token(model, tokens[i]);
    free(tokens);
    return code;
}

/* ---- Tokens to text ------------------------------------------------------------------------------ */

/* The bytes of all ids in a text. Ids may be separated by white space or commas, and stand in brackets.
 * Returns an exit code. */
static int join_tokens(const tokenize_options *o, const hb_model *model, const char *text,
                       hb_buffer *bytes)
{
    int32_t n_vocab = hb_model_get_info(model)->n_vocab;
    bool ok = hb_buffer_add(bytes, "", 0);
    while (ok && *(text += strspn(text, " \t\r\n,[]"))) {
        char *end;
        errno = 0;
        long id = strtol(text, &end, 10);
        if (end == text || errno || id < 0 || id >= n_vocab) {
            cli_message("'%.20s' is not a token id from 0 to %d", text, n_vocab - 1);
            return CLI_FAILED;
        }
        size_t length;
        const char *piece = o->chat.prepared ? shown(model, (int32_t)id, &length)
                                             : hb_token_bytes(model, (int32_t)id, &length);
        ok = hb_buffer_add(bytes, piece, length);
        text = end;
    }
    return ok ? CLI_DONE : cli_fail_memory();
}

static int print_text_json(const hb_buffer *bytes)
{
    hb_json json = {0};
    hb_json_row(&json, NULL);
    hb_json_bytes(&json, "text", bytes->data, bytes->length);
    hb_json_end(&json);
    return cli_print_json(&json);
}

static int decode(const tokenize_options *o, const hb_model *model, const hb_buffer *text)
{
    hb_buffer bytes = {0};
    int code = join_tokens(o, model, text->data, &bytes);
    if (!code && o->json) code = print_text_json(&bytes);
    else if (!code) cli_write_text(bytes.data, bytes.length);
    hb_buffer_free(&bytes);
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
    if (!cli_chat_check(command, &o.chat, &code)) return code;
    if (o.chat.on && (o.no_special || o.decode))
        return cli_usage(command, "--chat excludes --no-special and --decode");
    if (hb_model_open_vocab(o.model_path, &model, &err)) return cli_fail(&err);
    cli_show_warnings(model);
    hb_buffer text = {0};
    code = cli_chat_find(&o.chat, model, &err) ? cli_fail(&err) : CLI_DONE;
    if (!code) code = cli_read_operand(operand, &text);
    if (!code) code = o.decode ? decode(&o, model, &text) : encode(&o, model, &text);
    hb_buffer_free(&text);
    cli_chat_close(&o.chat);
    hb_model_close(model);
    return code;
}

const cli_command cli_tokenize = {
    .name = "tokenize",
    .operand = "TEXT",
    .summary = "convert text to tokens and back",
    .details = "Prints the tokens of TEXT (- reads it from standard input), one per line: the id, then "
               "the token in quotes. --decode turns ids into text. The model file needs a vocabulary, "
               "but no weights.",
    .run = run,
};
