/* What the peer makes of texts, for the scripts beside this file, which compile it in the peer's root.
 *
 *   peer_text tokens MODEL.gguf   texts to token ids, a line for each
 *   peer_text chat                conversations to text
 *
 * Standard input holds texts, each after its length. `tokens`: before the length stands a 1 where
 * special tokens are to be parsed, else a 0. `chat`: the template's text or name, then a line with the
 * number of messages, then each message's role and text; the answer is a length and a text, -1 where
 * the peer knows no such template. */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_text(size_t length)
{
    char *text = calloc(1, length + 1);
    if (fread(text, 1, length, stdin) != length) exit(1);
    return text;
}

static void quiet(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static int tokens(const char *path)
{
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    struct llama_model *model = llama_model_load_from_file(path, params);
    if (!model) return 1;
    const struct llama_vocab *vocab = llama_model_get_vocab(model);
    int parse;
    size_t length;
    while (scanf("%d %zu", &parse, &length) == 2) {
        getchar();
        char *text = read_text(length);
        llama_token *ids = malloc(sizeof *ids * (length + 16));
        int n = llama_tokenize(vocab, text, (int)length, ids, (int)length + 16, true, parse != 0);
        for (int i = 0; i < n; i++) printf(i ? " %d" : "%d", ids[i]);
        putchar('\n');
        free(ids);
        free(text);
    }
    return 0;
}

static char *read_measured(void)
{
    size_t length;
    if (scanf("%zu", &length) != 1) return NULL;
    getchar();
    return read_text(length);
}

static int chat(void)
{
    static char out[1 << 20];
    struct llama_chat_message messages[16];
    char *template;
    while ((template = read_measured())) {
        size_t count;
        if (scanf("%zu", &count) != 1 || count > 16) return 1;
        for (size_t i = 0; i < count; i++) {
            messages[i].role = read_measured();
            messages[i].content = read_measured();
        }
        int n = llama_chat_apply_template(template, messages, count, true, out, sizeof out);
        printf("%d\n", n);
        if (n > 0) fwrite(out, 1, (size_t)n, stdout);
        for (size_t i = 0; i < count; i++) {
            free((char *)messages[i].role);
            free((char *)messages[i].content);
        }
        free(template);
    }
    return 0;
}

int main(int argc, char **argv)
{
    llama_log_set(quiet, NULL);
    if (argc == 3 && strcmp(argv[1], "tokens") == 0) return tokens(argv[2]);
    if (argc == 2 && strcmp(argv[1], "chat") == 0) return chat();
    return 2;
}
