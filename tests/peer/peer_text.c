/* What the peer makes of texts, for the scripts beside this file, which compile it in the peer's root.
 *
 *   peer_text tokens MODEL.gguf   texts to token ids, a line for each
 *   peer_text chat                conversations to text
 *
 * Standard input holds texts, each after a line with its length. `tokens`: the line has a 1 before the
 * length where special tokens are to be parsed, else a 0. `chat`: template, system, user. */
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

static int chat(void)
{
    size_t template_length, system_length, user_length;
    while (scanf("%zu %zu %zu", &template_length, &system_length, &user_length) == 3) {
        getchar();
        char *template = read_text(template_length), *system = read_text(system_length),
             *user = read_text(user_length), out[65536];
        struct llama_chat_message messages[2] = {{"system", system}, {"user", user}};
        int skip = system_length == 0;
        int n = llama_chat_apply_template(template, messages + skip, 2 - (size_t)skip, true, out,
                                          sizeof out);
        printf("%d\n", n);
        if (n > 0) fwrite(out, 1, (size_t)n, stdout);
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
