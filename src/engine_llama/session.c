#include "engine_llama/session.h"

#include <stdlib.h>
#include <unistd.h>
#include "engine/model_file.h"

/* Tokens evaluated together. libllama's buffers grow with it and with the cells: without flash
 * attention they hold the scores of all heads of all tokens. */
#define BATCH 256

/* Bytes that a position takes in the cache, if all blocks have attention. */
static int64_t position_bytes(const hb_llama_model *m, const hb_session_options *o)
{
    const hb_model_info *info = &m->base.info;
    double each = (double)info->n_embd / (info->n_heads > 0 ? info->n_heads : 1);
    double k = hb_model_file_number(m->file, "attention.key_length");
    double v = hb_model_file_number(m->file, "attention.value_length");
    return (int64_t)(((k > 0 ? k : each) + (v > 0 ? v : each)) * info->n_kv_heads * info->n_layers *
                     (o->kv_type == HB_KV_F32 ? 4 : 2)) +
           1;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int32_t sequences_of(const hb_session_options *o)
{
    return (int32_t)least(o->n_sequences, (int64_t)llama_max_parallel_sequences());
}

/* The number of cells. libllama chooses between the factors of longrope by this number, so a context
 * within the original length gets no more cells than that. */
static int64_t cells_of(const hb_llama_model *m, const hb_session_options *o)
{
    int64_t n_ctx = o->n_ctx, all = n_ctx * sequences_of(o), original;
    int64_t n = o->n_positions ? least(o->n_positions, all) : all;
    if (o->cache_bytes) n = least(n, o->cache_bytes / position_bytes(m, o));
    original = (int64_t)hb_model_file_number(m->file, "rope.scaling.original_context_length");
    if (original >= n_ctx) n = least(n, original);
    return least(n > n_ctx ? n : n_ctx, INT32_MAX / 2);
}

hb_status hb_llama_memory(const hb_model *model, const hb_session_options *options, hb_memory *memory,
                          hb_error *err)
{
    const hb_llama_model *m = hb_llama(model);
    const hb_model_info *info = &model->info;
    double cells = (double)cells_of(m, options), row = info->n_vocab + 16.0 * info->n_embd + cells;
    if (!m->recurrent) row += cells * info->n_heads;
    /* libllama has values of q8_0 only with flash attention. */
    if (options->kv_type == HB_KV_Q8_0)
        return hb_fail(err, HB_ERR_UNSUPPORTED,
                       "the engine llama has no cache of q8_0, but of f16 and f32");
    *memory = (hb_memory){.n_ctx = options->n_ctx,
                          .cache = (uint64_t)(cells * (double)position_bytes(m, options)),
                          .work = (uint64_t)(BATCH * row * (double)sizeof(float))};
    return HB_OK;
}

/* The number of positions for which attention makes an eighth of the multiplications that the weights
 * make. For one token, attention makes 2 n_embd of them for each position and block, and the weights
 * make one each. 0 with a GPU, where the best number was not measured. */
static int64_t crowd_of(const hb_llama_model *m)
{
    const hb_model_info *info = &m->base.info;
    int64_t each = 16 * (int64_t)info->n_embd * info->n_layers;
    return m->on_gpu ? 0 : (int64_t)(llama_model_n_params(m->model) / (uint64_t)each) + 1;
}

static hb_status check_machine(const hb_llama_model *m, const hb_session_options *o, hb_error *err)
{
    hb_memory memory;
    hb_status status = hb_llama_memory(&m->base, o, &memory, err);
    double gib = ((double)memory.cache + (double)memory.work) / (1 << 30);
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    if (status || gib <= machine || m->on_gpu) return status;
    return hb_fail(err, HB_ERR_MEMORY,
                   "a context of %lld positions needs %.2f GiB, but this machine has %.2f GiB",
                   (long long)cells_of(m, o), gib, machine);
}

static hb_status open_context(hb_llama_session *s, const hb_session_options *o, hb_error *err)
{
    const hb_llama_model *m = s->model;
    struct llama_context_params p =
        hb_llama_context_params(m, o->kv_type == HB_KV_F32 ? GGML_TYPE_F32 : GGML_TYPE_F16,
                                (int32_t)cells_of(m, o), BATCH, s->base.n_sequences);
    p.n_threads = p.n_threads_batch = o->n_threads;
    p.cb_eval = hb_llama_on_tensor;
    p.cb_eval_user_data = &s->tap;
    hb_llama_start();
    s->context = llama_init_from_model(m->model, p);
    if (s->context) return HB_OK;
    return hb_fail(err, HB_ERR_MEMORY, "%s: libllama cannot open a session: %s", m->base.info.path,
                   hb_llama_why());
}

static hb_status allocate(hb_llama_session *s, hb_error *err)
{
    const hb_model_info *info = &s->model->base.info;
    size_t rows = (size_t)s->base.n_threads * (size_t)(info->n_layers + 1);
    s->batch = llama_batch_init(BATCH, 0, 1);
    s->before = calloc((size_t)s->base.n_sequences, sizeof *s->before);
    if (s->model->head.output) s->room = calloc(rows * (size_t)info->n_embd, sizeof *s->room);
    if (!s->before || (s->model->head.output && !s->room)) return hb_fail_memory(err);
    return hb_cells_open(&s->cells, s->base.n_sequences, s->base.n_ctx,
                         (int32_t)llama_n_ctx(s->context), err);
}

hb_status hb_llama_open_session(const hb_model *model, const hb_session_options *options, hb_pool *pool,
                                hb_session **session, hb_error *err)
{
    const hb_llama_model *m = hb_llama(model);
    (void)pool;
    if (options->exact)
        return hb_fail(
            err, HB_ERR_UNSUPPORTED,
            "the engine llama has no exact sessions: libllama rounds activations as it does");
    hb_status status = check_machine(m, options, err);
    if (status) return status;
    hb_llama_session *s = calloc(1, sizeof *s);
    if (!s) return hb_fail_memory(err);
    s->model = m;
    s->tap = (hb_llama_tap){.n_layers = model->info.n_layers, .n_embd = model->info.n_embd};
    s->base = (hb_session){.n_ctx = options->n_ctx,
                           .n_threads = options->n_threads,
                           .n_sequences = sequences_of(options),
                           .n_batch = BATCH,
                           .page = 1,
                           .crowd = crowd_of(m),
                           .kernels = m->on_gpu ? "libllama, GPU" : "libllama"};
    status = open_context(s, options, err);
    if (!status) status = allocate(s, err);
    if (status) hb_llama_close_session(&s->base);
    else *session = &s->base;
    return status;
}

void hb_llama_close_session(hb_session *session)
{
    hb_llama_session *s = hb_llama_session_of(session);
    if (s->batch.token) llama_batch_free(s->batch);
    llama_free(s->context);
    hb_cells_close(&s->cells);
    free(s->before);
    free(s->room);
    free(s);
}

/* ---- Sequences ----------------------------------------------------------------------------------- */

static const hb_cells *cells(const hb_session *session)
{
    return &((const hb_llama_session *)(const void *)session)->cells;
}

int64_t hb_llama_n_free(const hb_session *session)
{
    return cells(session)->n_free;
}

int32_t hb_llama_n_past(const hb_session *session, int32_t sequence)
{
    return cells(session)->n[sequence];
}

void hb_llama_drop(hb_session *session, int32_t sequence)
{
    hb_llama_session *s = hb_llama_session_of(session);
    hb_cells_cut(&s->cells, sequence, 0);
    llama_memory_seq_rm(llama_get_memory(s->context), sequence, -1, -1);
}

hb_status hb_llama_fork(hb_session *session, int32_t from, int32_t n, int32_t to, hb_error *err)
{
    hb_llama_session *s = hb_llama_session_of(session);
    if (!n) return HB_OK;
    if (!s->model->recurrent || n == s->cells.n[from]) {
        llama_memory_seq_cp(llama_get_memory(s->context), from, to, 0, s->model->recurrent ? -1 : n);
        hb_cells_share(&s->cells, from, n, to);
        return HB_OK;
    }
    int32_t *sequences = calloc((size_t)n, sizeof *sequences);
    if (!sequences) return hb_fail_memory(err);
    for (int32_t i = 0; i < n; i++) sequences[i] = to;
    const hb_tap nothing = hb_tap_defaults();
    hb_status status =
        hb_llama_eval(session, hb_cells_tokens(&s->cells, from), sequences, n, &nothing, err);
    free(sequences);
    return status;
}
