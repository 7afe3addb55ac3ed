/* Texts to tokens and back, in the forms of llama-server and, as lm-evaluation-harness needs, of vLLM.
 */
#include <stdlib.h>
#include <string.h>
#include "engine/engine.h"
#include "serve/prepare.h"
#include "serve/routes.h"

#define TOKENIZE_BYTES (1 << 20) /* more would keep other connections waiting */

/* ---- /tokenize ----------------------------------------------------------------------------------- */

static void write_tokens(hb_json *json, const hb_server *s, const int32_t *tokens, size_t n,
                         bool pieces)
{
    hb_json_row(json, NULL);
    hb_json_list(json, "tokens");
    for (size_t i = 0; i < n; i++) {
        size_t length;
        const char *bytes = hb_token_piece(s->model, tokens[i], &length);
        if (!pieces) {
            hb_json_whole(json, NULL, tokens[i]);
            continue;
        }
        hb_json_row(json, NULL);
        hb_json_whole(json, "id", tokens[i]);
        hb_json_bytes(json, "piece", bytes, length);
        hb_json_end(json);
    }
    hb_json_end(json);
    hb_json_whole(json, "count", (int64_t)n);
    hb_json_end(json);
}

/* vLLM's form has a prompt, in which special tokens are recognised. */
static bool read_prompt(const hb_fields *f, const char **content, size_t *length, bool *special,
                        bool *parse)
{
    if (!hb_field(f, "prompt")) return hb_field_refuse(f, "content", "is required");
    *parse = true;
    return hb_field_text(f, "prompt", content, length) &&
           hb_field_bool(f, "add_special_tokens", special);
}

static bool tokenize(hb_server *s, const hb_fields *f, hb_json *json)
{
    const char *content = NULL;
    size_t length = 0, n;
    bool special = false, parse = false, pieces = false;
    int32_t *tokens;
    hb_error err;
    if (!hb_field_text(f, "content", &content, &length) || !hb_field_bool(f, "add_special", &special) ||
        !hb_field_bool(f, "parse_special", &parse) || !hb_field_bool(f, "with_pieces", &pieces))
        return false;
    if (!content && !read_prompt(f, &content, &length, &special, &parse)) return false;
    if (length > TOKENIZE_BYTES)
        return hb_field_refuse(f, "content", "must have at most %d bytes", TOKENIZE_BYTES);
    if (hb_tokenize(s->model, content, length, special, parse, &tokens, &n, &err))
        return hb_refuse_error(f->problem, "content", &err);
    write_tokens(json, s, tokens, n, pieces);
    free(tokens);
    return true;
}

/* ---- /detokenize --------------------------------------------------------------------------------- */

static bool add_token(hb_buffer *text, const hb_server *s, const json_t *token, const hb_fields *f)
{
    size_t length;
    json_int_t id = json_integer_value(token);
    if (!json_is_integer(token) || id < 0 || id >= s->model->info.n_vocab)
        return hb_field_refuse(f, "tokens", "must be tokens of the vocabulary of %d",
                               s->model->info.n_vocab);
    const char *bytes = hb_token_bytes(s->model, (int32_t)id, &length);
    return hb_buffer_add(text, bytes, length) || hb_refuse_memory(f->problem);
}

static bool detokenize(hb_server *s, const hb_fields *f, hb_json *json)
{
    const json_t *tokens = hb_field(f, "tokens");
    hb_buffer text = {0};
    bool ok = true;
    if (!json_is_array(tokens)) return hb_field_refuse(f, "tokens", "must be a list of tokens");
    for (size_t i = 0; i < json_array_size(tokens) && ok; i++)
        ok = add_token(&text, s, json_array_get(tokens, i), f);
    if (ok) {
        hb_json_row(json, NULL);
        hb_json_bytes(json, "content", text.length ? text.data : "", text.length);
        hb_json_bytes(json, "prompt", text.length ? text.data : "", text.length);
        hb_json_end(json);
    }
    hb_buffer_free(&text);
    return ok;
}

/* ---- /apply-template ----------------------------------------------------------------------------- */

static bool apply_template(hb_server *s, const hb_fields *f, hb_json *json)
{
    hb_ask ask = {0};
    char *text;
    size_t length;
    bool ok = hb_ask_parse_messages(&ask, f) &&
              hb_prepare_chat(s, ask.messages, ask.n_messages, NULL, &text, &length, f->problem);
    if (ok) {
        hb_json_row(json, NULL);
        hb_json_bytes(json, "prompt", text, length);
        hb_json_end(json);
        free(text);
    }
    hb_ask_free(&ask);
    return ok;
}

/* ---- /tokenizer_info ----------------------------------------------------------------------------- */

static void write_special(hb_json *json, const hb_server *s, const char *name, int32_t token)
{
    size_t length;
    if (token < 0) {
        hb_json_null(json, name);
        return;
    }
    const char *piece = hb_token_piece(s->model, token, &length);
    hb_json_bytes(json, name, piece, length);
}

void hb_answer_tokenizer(hb_server *s, const char *body, size_t length, hb_reply *reply)
{
    const hb_text template = hb_model_chat_template(s->model);
    hb_json json = {0};
    (void)body;
    (void)length;
    hb_json_row(&json, NULL);
    write_special(&json, s, "bos_token", hb_model_bos(s->model));
    write_special(&json, s, "eos_token", hb_model_eos(s->model));
    if (template.bytes) hb_json_bytes(&json, "chat_template", template.bytes, template.length);
    else hb_json_null(&json, "chat_template");
    hb_json_end(&json);
    hb_reply_json(reply, 200, &json);
}

/* ---- All three ----------------------------------------------------------------------------------- */

static void answer(hb_server *s, const char *body, size_t length, hb_reply *reply,
                   bool (*write)(hb_server *s, const hb_fields *f, hb_json *json))
{
    hb_problem problem;
    hb_json json = {0};
    json_t *root = hb_fields_parse(body, length, &problem);
    const hb_fields f = {root, "", &problem};
    if (root && write(s, &f, &json)) hb_reply_json(reply, 200, &json);
    else hb_reply_problem(reply, &problem);
    json_decref(root);
}

void hb_answer_tokenize(hb_server *s, const char *body, size_t length, hb_reply *reply)
{
    answer(s, body, length, reply, tokenize);
}

void hb_answer_detokenize(hb_server *s, const char *body, size_t length, hb_reply *reply)
{
    answer(s, body, length, reply, detokenize);
}

void hb_answer_template(hb_server *s, const char *body, size_t length, hb_reply *reply)
{
    answer(s, body, length, reply, apply_template);
}
