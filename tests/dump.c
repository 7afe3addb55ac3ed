/* What hbar computes, in the formats of the peer's oracle and of tests/peer/peer_text.c: for comparing
 * them.
 *
 *   hbar_dump MODEL.gguf PROMPT N      a first line {"prompt":[ids]}, then for each greedy step
 *                                      {"step","token","logits","blocks","attention"}: logits
 *                                      and states, and what every head attends to (hbar.h);
 *                                      the cache holds floats, as the oracle's does
 *   hbar_dump follow MODEL.gguf N      the same steps for the last N of the token ids that standard
 *                                      input holds after their number, whatever is greedy; "exact" in
 *                                      place of "follow" keeps activations as they are
 *   hbar_dump tokens MODEL.gguf        token ids, a line for each text of standard input, which come
 *                                      after lines with a 1 to parse special tokens, else a 0, and
 *                                      the text's length
 *   hbar_dump chat [MODEL.gguf]        conversations in the format of a template, or in the one named,
 *                                      as lengths and texts (-1 for one that is not known); with a
 *                                      model, as token ids, a line for each
 *   hbar_dump formats                  the names of the chat formats */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hbar.h"

static void print_floats(const float *values, size_t n)
{
    putchar('[');
    for (size_t i = 0; i < n; i++) printf(i ? ",%.9g" : "%.9g", (double)values[i]);
    putchar(']');
}

/* Prints n arrays of `length` values. */
static void print_arrays(const float *values, int32_t n, size_t length)
{
    putchar('[');
    for (int32_t i = 0; i < n; i++) {
        if (i) putchar(',');
        print_floats(values + (size_t)i * length, length);
    }
    putchar(']');
}

static int print_step(const hb_model_info *m, int step, int32_t token, const float *logits,
                      const float *states, const float *attention)
{
    printf("{\"step\":%d,\"token\":%d,\"logits\":", step, token);
    print_floats(logits, (size_t)m->n_vocab);
    printf(",\"blocks\":");
    print_arrays(states, m->n_layers, (size_t)m->n_embd);
    printf(",\"attention\":[");
    for (int32_t l = 0; l < m->n_layers; l++) {
        if (l) putchar(',');
        print_arrays(attention + (size_t)l * (size_t)m->n_heads * HB_N_ATTENTION, m->n_heads,
                     HB_N_ATTENTION);
    }
    return printf("]}\n");
}

static int tokens_of_texts(const char *path)
{
    hb_error err;
    hb_model *model;
    int parse;
    size_t length;
    if (hb_model_open_vocab(path, &model, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    while (scanf("%d %zu", &parse, &length) == 2) {
        char *text = malloc(length + 1);
        int32_t *tokens;
        size_t n;
        getchar();
        if (fread(text, 1, length, stdin) != length ||
            hb_tokenize(model, text, length, true, parse != 0, &tokens, &n, &err))
            return 1;
        for (size_t i = 0; i < n; i++) printf(i ? " %d" : "%d", tokens[i]);
        putchar('\n');
        free(tokens);
        free(text);
    }
    hb_model_close(model);
    return 0;
}

/* Reads a length and a text of this length. */
static char *read_measured(size_t *length)
{
    if (scanf("%zu", length) != 1) return NULL;
    getchar();
    char *text = calloc(1, *length + 1);
    if (text && fread(text, 1, *length, stdin) == *length) return text;
    free(text);
    return NULL;
}

static const char *find_format(const char *template, size_t length)
{
    const char *name;
    for (size_t i = 0; (name = hb_chat_format_name(i)); i++)
        if (strcmp(name, template) == 0) return name;
    return hb_chat_recognise(template, length);
}

static hb_role role_of(const char *name)
{
    if (strcmp(name, "system") == 0) return HB_ROLE_SYSTEM;
    return strcmp(name, "user") == 0 ? HB_ROLE_USER : HB_ROLE_ASSISTANT;
}

static void print_chat(const hb_model *model, const char *format, const hb_message *messages, size_t n)
{
    hb_error err = {HB_OK, ""};
    hb_chat_options options = {.format = format};
    hb_chat *chat = NULL;
    char *text = NULL;
    int32_t *tokens = NULL;
    size_t length;
    if (!format) {
        puts("-1");
        return;
    }
    if (hb_chat_open(model, &options, &chat, &err) ||
        (model ? hb_chat_tokenize(chat, messages, n, true, &tokens, &length, &err)
               : hb_chat_render(chat, messages, n, true, &text, &length, &err)))
        fprintf(stderr, "%s\n", err.message);
    for (size_t i = 0; tokens && i < length; i++) printf(i ? " %d" : "%d", tokens[i]);
    if (tokens) putchar('\n');
    if (text) printf("%zu\n", length);
    if (text) fwrite(text, 1, length, stdout);
    hb_chat_close(chat);
    free(tokens);
    free(text);
}

static int chats(const char *path)
{
    hb_error err;
    hb_model *model = NULL;
    hb_message messages[16];
    size_t length, n;
    char *template;
    int code = path ? (int)hb_model_open_vocab(path, &model, &err) : 0;
    while (!code && (template = read_measured(&length))) {
        if (scanf("%zu", &n) != 1 || n > 16) return 1;
        for (size_t i = 0; i < n; i++) {
            char *role = read_measured(&messages[i].length);
            if (!role) return 1;
            messages[i].role = role_of(role);
            messages[i].text = read_measured(&messages[i].length);
            free(role);
        }
        print_chat(model, find_format(template, length), messages, n);
        for (size_t i = 0; i < n; i++) free((char *)messages[i].text);
        free(template);
    }
    hb_model_close(model);
    return code;
}

static int formats(void)
{
    for (size_t i = 0; hb_chat_format_name(i); i++) puts(hb_chat_format_name(i));
    return 0;
}

/* An open model. The last token of each evaluation is printed as a step. */
typedef struct walk {
    hb_model *model;
    hb_session *session;
    float *logits, *states, *attention;
    int32_t n_prompt; /* tokens of the first evaluation */
} walk;

static bool open_walk(walk *w, const char *path, hb_session_options options, hb_error *err)
{
    if (hb_model_open(path, &w->model, err) || hb_session_open(w->model, &options, &w->session, err))
        return false;
    const hb_model_info *m = hb_model_get_info(w->model);
    w->logits = malloc(sizeof *w->logits * (size_t)m->n_vocab);
    w->states = malloc(sizeof *w->states * (size_t)m->n_layers * (size_t)m->n_embd);
    w->attention =
        malloc(sizeof *w->attention * (size_t)m->n_layers * (size_t)m->n_heads * HB_N_ATTENTION);
    return true;
}

static void close_walk(walk *w)
{
    free(w->logits);
    free(w->states);
    free(w->attention);
    hb_session_close(w->session);
    hb_model_close(w->model);
}

/* Evaluates tokens and prints a step; returns the greedy token, -1 on failure. */
static int32_t take_step(walk *w, int step, const int32_t *tokens, int32_t n, hb_error *err)
{
    const hb_model_info *m = hb_model_get_info(w->model);
    int32_t last = n - 1, token = 0;
    hb_tap tap = {.rows = &last,
                  .n_rows = 1,
                  .logits = w->logits,
                  .states = w->states,
                  .attention = w->attention,
                  .prompts = &w->n_prompt};
    if (!w->n_prompt) w->n_prompt = n;
    if (hb_eval(w->session, tokens, n, &tap, err)) return -1;
    for (int32_t i = 1; i < m->n_vocab; i++)
        if (w->logits[i] > w->logits[token]) token = i;
    print_step(m, step, token, w->logits, w->states, w->attention);
    return token;
}

static bool follow(const char *path, bool exact, int32_t n_steps, hb_error *err)
{
    walk w = {0};
    int32_t n, ids[4096], step = 0;
    if (scanf("%d", &n) != 1 || n > 4096 || n_steps > n ||
        !open_walk(&w, path, (hb_session_options){.exact = exact}, err))
        return false;
    for (int32_t i = 0; i < n; i++)
        if (scanf("%d", &ids[i]) != 1) return false;
    for (int32_t at = 0, count = n - n_steps + 1; at < n; at += count, count = 1)
        if (take_step(&w, step++, ids + at, count, err) < 0) return false;
    close_walk(&w);
    return true;
}

static bool greedy(const char *path, const char *prompt, int steps, hb_error *err)
{
    walk w = {0};
    int32_t *tokens, token;
    size_t n;
    if (!open_walk(&w, path, (hb_session_options){.kv_type = HB_KV_F32}, err) ||
        hb_tokenize(w.model, prompt, strlen(prompt), true, true, &tokens, &n, err))
        return false;
    printf("{\"prompt\":[");
    for (size_t i = 0; i < n; i++) printf(i ? ",%d" : "%d", tokens[i]);
    printf("]}\n");
    for (int step = 0; step < steps; step++, tokens[0] = token, n = 1) {
        token = take_step(&w, step, tokens, (int32_t)n, err);
        if (token < 0) return false;
        if (hb_token_is_end(w.model, token)) break;
    }
    free(tokens);
    close_walk(&w);
    return true;
}

int main(int argc, char **argv)
{
    hb_error err = {.message = "bad input"};
    bool exact = argc == 4 && strcmp(argv[1], "exact") == 0;
    if (argc > 1 && argc < 4 && strcmp(argv[1], "chat") == 0) return chats(argv[2]);
    if (argc == 2 && strcmp(argv[1], "formats") == 0) return formats();
    if (argc == 3 && strcmp(argv[1], "tokens") == 0) return tokens_of_texts(argv[2]);
    if (argc != 4) return 2;
    bool done = exact || strcmp(argv[1], "follow") == 0 ? follow(argv[2], exact, atoi(argv[3]), &err)
                                                        : greedy(argv[1], argv[2], atoi(argv[3]), &err);
    if (!done) fprintf(stderr, "%s\n", err.message);
    return !done;
}
