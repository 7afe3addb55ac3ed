/* Measures llama.cpp decoding many sequences together, for which it has no program of its own. As in
 * `engine`, each of N_SEQUENCES sequences begins empty and grows by one random token in each of
 * N_DECODE batches, and logits are computed for all tokens. bench/compare_engine.py compiles and runs
 * this program if llama.cpp is installed. Prints the tokens per second of all sequences together, after
 * a warm-up run.
 *
 * peer_batched MODEL.gguf N_SEQUENCES N_DECODE N_THREADS */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void quiet(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static void need(int ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "peer_batched: %s failed\n", what);
    exit(1);
}

static struct llama_context *open_context(struct llama_model *model, int n_sequences, int n_decode,
                                          int n_threads)
{
    struct llama_context_params p = llama_context_default_params();
    p.n_seq_max = (uint32_t)n_sequences;
    p.n_ctx = (uint32_t)(n_sequences * n_decode);
    p.n_threads = p.n_threads_batch = n_threads;
    struct llama_context *context = llama_init_from_model(model, p);
    need(context != NULL, "opening a context");
    return context;
}

static double decode(struct llama_context *context, struct llama_batch *batch, int n_sequences, int n,
                     int n_vocab)
{
    llama_memory_clear(llama_get_memory(context), true);
    double start = now();
    for (int i = 0; i < n; i++) {
        batch->n_tokens = n_sequences;
        for (int s = 0; s < n_sequences; s++) {
            batch->token[s] = rand() % n_vocab;
            batch->pos[s] = i;
            batch->n_seq_id[s] = 1;
            batch->seq_id[s][0] = s;
            batch->logits[s] = 1;
        }
        need(llama_decode(context, *batch) == 0, "evaluating");
        llama_synchronize(context);
    }
    return n * n_sequences / (now() - start);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return fprintf(stderr, "usage: peer_batched MODEL N_SEQUENCES N_DECODE N_THREADS\n"), 2;
    int n_sequences = atoi(argv[2]), n_decode = atoi(argv[3]);
    llama_log_set(quiet, NULL);
    ggml_backend_load_all();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    need(model != NULL, "opening the model");
    struct llama_context *context = open_context(model, n_sequences, n_decode, atoi(argv[4]));
    struct llama_batch batch = llama_batch_init(n_sequences, 0, 1);
    int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    decode(context, &batch, n_sequences, 1, n_vocab);
    printf("%.6g\n", decode(context, &batch, n_sequences, n_decode, n_vocab));
    llama_batch_free(batch);
    llama_free(context);
    llama_model_free(model);
    return 0;
}
