/* The tokens of a given answer: those that the model would have generated for this answer. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "base/buffer.h"
#include "chat/writing.h"

/* A prompt and an answer while they are joined. */
typedef struct joining {
    const hb_model *model;
    const hb_chat *chat; /* NULL: the prompt is bare */
    hb_rendered before;  /* the text before the answer */
    bool add_bos;
    hb_buffer text;  /* the answer, after the white space before it */
    size_t blank;    /* bytes of that white space */
    int32_t end;     /* the token that ends the answer's turn; -1: none */
    int32_t *prompt; /* [n_prompt], tokens of `before` */
    int32_t *tokens; /* [n], tokens of `text` after n_skipped others */
    size_t n_prompt, n, n_skipped;
} joining;

/* ---- Between prompt and answer ------------------------------------------------------------------- */

/* Appends a part to a text in spans. False when memory runs out. */
static bool extend(hb_rendered *r, const char *bytes, size_t n, bool parse_special)
{
    char *text = realloc(r->text, r->length + n + 1);
    if (text) r->text = text;
    hb_text_span *spans = reallocarray(r->spans, r->n_spans + 1, sizeof *spans);
    if (spans) r->spans = spans;
    if (!text || !spans) return false;
    if (n) memcpy(text + r->length, bytes, n);
    r->length += n;
    text[r->length] = '\0';
    spans[r->n_spans++] = (hb_text_span){r->length, parse_special};
    return true;
}

/* Whether a text in this character's script has no spaces between words. */
static bool has_no_spaces(utf8proc_int32_t c)
{
    static const utf8proc_int32_t ranges[][2] = {
        {0x0E00, 0x0EFF},   /* Thai, Lao */
        {0x1000, 0x109F},   /* Myanmar */
        {0x1780, 0x17FF},   /* Khmer */
        {0x2E80, 0xA4CF},   /* Chinese and Japanese */
        {0xF900, 0xFAFF},   /* more Chinese */
        {0xFF00, 0xFFEF},   /* full-width forms */
        {0x20000, 0x3FFFF}, /* rare Chinese */
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

/* Whether one space belongs between a bare prompt and an answer. */
static bool needs_space(const char *prompt, size_t n_prompt, const char *answer, size_t n_answer)
{
    utf8proc_int32_t c;
    if (!n_prompt || hb_is_space(prompt[n_prompt - 1]) || hb_is_space(answer[0])) return false;
    if (memchr(".,;:!?)]}%", answer[0], 10)) return false;
    return utf8proc_iterate((const utf8proc_uint8_t *)answer, (utf8proc_ssize_t)n_answer, &c) < 0 ||
           !has_no_spaces(c);
}

static bool is_blank(const char *bytes, size_t n)
{
    size_t i = 0;
    while (i < n && hb_is_space(bytes[i])) i++;
    return i == n;
}

/* Adds the chat's text before an answer. Its part `lead` [n] comes after the prompt. An answer that
 * contains its reasoning begins right after the prompt. */
static bool add_lead(joining *j, const char *lead, size_t n, const char *answer, size_t n_answer)
{
    hb_reasoning r = hb_chat_reasoning(j->chat);
    if (r.close && memmem(answer, n_answer, r.close, strlen(r.close))) return true;
    if (!is_blank(lead, n)) return extend(&j->before, lead, n, true);
    if (r.opened)
        return extend(&j->before, "\n", 1, true) &&
               extend(&j->before, r.close, strlen(r.close), true) &&
               extend(&j->before, "\n\n", 2, true);
    if (hb_is_space(answer[0])) return true;
    j->blank = n;
    return hb_buffer_add(&j->text, lead, n);
}

/* ---- What a chat writes around an answer --------------------------------------------------------- */

/* Finds where, after byte `from`, the first text of a message begins. False when there is none. */
static bool find_message(const hb_rendered *r, size_t from, size_t *at)
{
    for (size_t k = 0, start = 0; k < r->n_spans; start = r->spans[k++].end) {
        if (r->spans[k].parse_special || r->spans[k].end <= from || r->spans[k].end == start) continue;
        *at = start > from ? start : from;
        return true;
    }
    return false;
}

/* The first token after the last message that ends a turn; -1: none. */
static hb_status find_end(const hb_model *model, const hb_rendered *r, int32_t *end, hb_error *err)
{
    size_t from = 0, n;
    int32_t *tokens;
    for (size_t k = 0; k < r->n_spans; k++)
        if (!r->spans[k].parse_special) from = r->spans[k].end;
    const hb_text_span rest = {r->length - from, true};
    hb_status status =
        hb_tokenize_spans(model, r->text + from, &rest, 1, false, false, true, &tokens, &n, err);
    if (status) return status;
    *end = -1;
    for (size_t i = n; i > 0; i--)
        if (hb_token_is_end(model, tokens[i - 1])) *end = tokens[i - 1];
    free(tokens);
    return HB_OK;
}

/* Renders a short conversation to find the chat's text between prompt and answer, and the token that
 * ends the answer. Finds nothing if the template refuses the conversation, or if its prompt is not the
 * beginning of its conversation. */
static hb_status look_at(joining *j, hb_rendered *answered, size_t *lead, size_t *n_lead, hb_error *err)
{
    static const hb_message talk[] = {{HB_ROLE_USER, "Hello", 5}, {HB_ROLE_ASSISTANT, "x", 1}};
    hb_rendered asked;
    hb_error why;
    size_t at;
    *lead = *n_lead = 0;
    if (hb_chat_write(j->chat, talk, 1, true, &asked, &why))
        return why.status == HB_ERR_MEMORY ? hb_fail_memory(err) : HB_OK;
    hb_status status = hb_chat_write(j->chat, talk, 2, false, answered, &why);
    if (status) {
        hb_rendered_free(&asked);
        return status == HB_ERR_MEMORY ? hb_fail_memory(err) : HB_OK;
    }
    bool begins =
        answered->length > asked.length && memcmp(answered->text, asked.text, asked.length) == 0;
    if (begins && find_message(answered, asked.length, &at)) {
        *lead = asked.length;
        *n_lead = at - asked.length;
    }
    hb_rendered_free(&asked);
    return find_end(j->model, answered, &j->end, err);
}

static hb_status add_chat_lead(joining *j, const char *answer, size_t n_answer, hb_error *err)
{
    hb_rendered answered = {0};
    size_t lead, n;
    hb_status status = look_at(j, &answered, &lead, &n, err);
    if (!status && !add_lead(j, answered.text ? answered.text + lead : "", n, answer, n_answer))
        status = hb_fail_memory(err);
    hb_rendered_free(&answered);
    return status;
}

/* ---- Tokens -------------------------------------------------------------------------------------- */

/* Writes the messages before the answer. Without a chat, the last one is a bare prompt. */
static hb_status write_prompt(joining *j, const hb_message *messages, size_t n, hb_error *err)
{
    const hb_message *last = &messages[n - 1];
    j->add_bos = true;
    if (!j->chat)
        return extend(&j->before, last->text, last->length, false) ? HB_OK : hb_fail_memory(err);
    hb_status status = hb_chat_write(j->chat, messages, n, true, &j->before, err);
    if (!status) j->add_bos = !hb_chat_has_bos(j->chat, &j->before);
    return status;
}

/* The tokens before the answer, as hb_chat_prompt gives them. */
static hb_status tokenize_before(joining *j, hb_error *err)
{
    const hb_rendered *b = &j->before;
    free(j->prompt);
    j->prompt = NULL;
    return hb_tokenize_spans(j->model, b->text, b->spans, b->n_spans, j->add_bos, !j->chat, false,
                             &j->prompt, &j->n_prompt, err);
}

/* Puts white space before an answer that no template surrounds. No space follows a control token. */
static hb_status add_space(joining *j, const char *answer, size_t n_answer, hb_error *err)
{
    const hb_rendered *prompt = &j->before;
    size_t length = 1;
    if (j->n_prompt) hb_token_bytes(j->model, j->prompt[j->n_prompt - 1], &length);
    j->blank = length > 0 && needs_space(prompt->text, prompt->length, answer, n_answer);
    return hb_buffer_add(&j->text, " ", j->blank) ? HB_OK : hb_fail_memory(err);
}

/* Tokenizes prompt and answer as one text. If its tokens do not begin with those of the prompt, no
 * model that was given the prompt would write them; then tokenizes the answer alone. */
static hb_status tokenize_answer(joining *j, hb_error *err)
{
    size_t n = j->n_prompt;
    const hb_text_span alone = {j->text.length, false};
    if (!extend(&j->before, j->text.data, j->text.length, false)) return hb_fail_memory(err);
    const hb_rendered *b = &j->before;
    hb_status status = hb_tokenize_spans(j->model, b->text, b->spans, b->n_spans, j->add_bos, false,
                                         false, &j->tokens, &j->n, err);
    if (status) return status;
    j->n_skipped = n;
    if (j->n >= n && (n == 0 || memcmp(j->tokens, j->prompt, n * sizeof *j->prompt) == 0)) return HB_OK;
    free(j->tokens);
    j->tokens = NULL;
    j->n_skipped = 0;
    return hb_tokenize_spans(j->model, j->text.data, &alone, 1, false, false, true, &j->tokens, &j->n,
                             err);
}

/* ---- Characters ---------------------------------------------------------------------------------- */

/* Counts characters of a text up to places that never go back. */
typedef struct counter {
    const char *text;
    size_t at, characters; /* characters that begin before byte `at` */
} counter;

static size_t count_to(counter *c, size_t place)
{
    for (; c->at < place; c->at++) c->characters += ((unsigned char)c->text[c->at] & 0xC0) != 0x80;
    return c->characters;
}

#define WINDOW 4096 /* bytes that may belong to tokens of unknown characters */

/* The bytes [*at, *end) of the text that a token stands for. They begin at *at or, after tokens of
 * unknown characters, which stand for none, somewhat later. */
static void find_bytes(const joining *j, int32_t token, size_t *at, size_t *end)
{
    const hb_buffer *t = &j->text;
    size_t n, left = t->length - *at;
    const char *bytes = hb_token_bytes(j->model, token, &n);
    *end = *at;
    if (!n) return;
    bool added = *at == 0 && bytes[0] == ' ' && t->data[0] != ' '; /* the tokenizer's own space */
    const char *found = memmem(t->data + *at, left < WINDOW ? left : WINDOW, bytes + added, n - added);
    if (!found) return;
    *at = (size_t)(found - t->data);
    *end = *at + n - added;
}

/* The answer's characters in each of its tokens. */
static void find_characters(const joining *j, hb_given *given)
{
    counter first = {.text = j->text.data + j->blank}, last = first;
    size_t at = 0, end;
    for (size_t i = 0; i < given->n_answer; i++, at = end) {
        find_bytes(j, given->tokens[given->n_prompt + i], &at, &end);
        hb_response_span *s = &given->characters[i];
        if (end <= j->blank || end == at) {
            s->start = s->end = count_to(&last, at > j->blank ? at - j->blank : 0);
            continue;
        }
        size_t from = at > j->blank ? at - j->blank : 0;
        size_t begun = count_to(&first, from + 1); /* 0 where malformed text begins */
        s->start = begun ? begun - 1 : 0;
        s->end = count_to(&last, end - j->blank);
    }
}

/* ---- Joining ------------------------------------------------------------------------------------- */

static hb_status make_given(const joining *j, hb_given *given, hb_error *err)
{
    size_t n = j->n - j->n_skipped, ends = j->end >= 0;
    if (!n) return hb_fail(err, HB_ERR_ARGUMENT, "the answer has no tokens");
    hb_given g = {.n_prompt = j->n_prompt, .n_answer = n + ends};
    g.tokens = malloc((g.n_prompt + g.n_answer) * sizeof *g.tokens);
    g.characters = calloc(g.n_answer, sizeof *g.characters);
    if (!g.tokens || !g.characters) {
        hb_given_free(&g);
        return hb_fail_memory(err);
    }
    if (g.n_prompt) memcpy(g.tokens, j->prompt, g.n_prompt * sizeof *g.tokens);
    memcpy(g.tokens + g.n_prompt, j->tokens + j->n_skipped, n * sizeof *g.tokens);
    if (ends) g.tokens[g.n_prompt + n] = j->end;
    find_characters(j, &g);
    *given = g;
    return HB_OK;
}

static hb_status tokenize(const hb_model *model, const hb_chat *chat, const hb_message *messages,
                          size_t n, const char *answer, size_t n_answer, hb_given *given, hb_error *err)
{
    joining j = {.model = model, .chat = chat, .end = -1};
    if (!n_answer) return hb_fail(err, HB_ERR_ARGUMENT, "the answer is empty");
    hb_status status = write_prompt(&j, messages, n, err);
    if (!status && chat && !hb_chat_is_prepared(chat))
        status = add_chat_lead(&j, answer, n_answer, err);
    if (!status) status = tokenize_before(&j, err);
    if (!status && (!chat || hb_chat_is_prepared(chat))) status = add_space(&j, answer, n_answer, err);
    if (!status && !hb_buffer_add(&j.text, answer, n_answer)) status = hb_fail_memory(err);
    if (!status) status = tokenize_answer(&j, err);
    if (!status) status = make_given(&j, given, err);
    hb_rendered_free(&j.before);
    hb_buffer_free(&j.text);
    free(j.prompt);
    free(j.tokens);
    return status;
}

hb_status hb_given_tokenize(const hb_model *model, const hb_chat *chat, const char *system,
                            const char *prompt, size_t n_prompt, const char *answer, size_t n_answer,
                            hb_given *given, hb_error *err)
{
    const hb_message messages[] = {{HB_ROLE_SYSTEM, system, system ? strlen(system) : 0},
                                   {HB_ROLE_USER, prompt, n_prompt}};
    size_t from = system && *system ? 0 : 1;
    return tokenize(model, chat, messages + from, 2 - from, answer, n_answer, given, err);
}

hb_status hb_given_tokenize_chat(const hb_model *model, const hb_chat *chat, const hb_message *messages,
                                 size_t n, const char *answer, size_t n_answer, hb_given *given,
                                 hb_error *err)
{
    if (!chat || !n)
        return hb_fail(err, HB_ERR_ARGUMENT, chat ? "the conversation is empty" : "no chat is given");
    return tokenize(model, chat, messages, n, answer, n_answer, given, err);
}

void hb_given_free(hb_given *given)
{
    if (!given) return;
    free(given->tokens);
    free(given->characters);
    *given = (hb_given){0};
}
