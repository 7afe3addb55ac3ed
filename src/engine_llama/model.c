#include "engine_llama/model.h"

#include <stdlib.h>
#include "engine/model_file.h"

struct llama_context_params hb_llama_context_params(const hb_llama_model *m, enum ggml_type cache,
                                                    int32_t n_cells, int32_t n_batch,
                                                    int32_t n_sequences)
{
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = (uint32_t)n_cells;
    p.n_batch = p.n_ubatch = (uint32_t)n_batch;
    p.n_seq_max = (uint32_t)n_sequences;
    p.type_k = p.type_v = cache;
    p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    p.offload_kqv = p.op_offload = m->on_gpu;
    p.kv_unified = true; /* sequences share cells */
    p.swa_full = true;   /* forks need positions that a window no longer sees */
    p.no_perf = true;
    return p;
}

/* LLAMA_MAX_LAYERS of libllama, which ends the program above it. */
#define MAX_BLOCKS 512

static hb_status load(hb_llama_model *m, bool vocab_only, int32_t n_gpu_layers, hb_error *err)
{
    static ggml_backend_dev_t no_device[] = {NULL};
    const char *path = m->file->info.path;
    hb_llama_start();
    if (n_gpu_layers && !llama_supports_gpu_offload())
        return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: libllama finds no GPU here", path);
    struct llama_model_params p = llama_model_default_params();
    p.n_gpu_layers = n_gpu_layers;
    if (!n_gpu_layers) p.devices = no_device;
    p.vocab_only = vocab_only;
    m->on_gpu = n_gpu_layers > 0;
    m->model = llama_model_load_from_file(path, p);
    if (m->model) return HB_OK;
    return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: libllama cannot open it: %s", path, hb_llama_why());
}

/* Refuses models that do not continue texts token by token. */
static hb_status check_kind(const hb_llama_model *m, hb_error *err)
{
    const char *why = NULL;
    if (llama_model_has_encoder(m->model)) why = "has an encoder";
    else if (!llama_model_has_decoder(m->model)) why = "has no decoder";
    else if (llama_model_is_diffusion(m->model)) why = "generates by diffusion";
    if (!why) return HB_OK;
    return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: the model %s; hbar needs one that continues a text",
                   m->file->info.path, why);
}

/* hbar's tokenizer gives the tokens that it gives to the native engine. Where hbar has none for the
 * file, or counts other tokens, libllama's is used. */
static hb_status open_tokens(hb_llama_model *m, bool has_tokens, hb_error *err)
{
    const struct llama_vocab *vocab = llama_model_get_vocab(m->model);
    m->base.info.n_vocab = llama_vocab_n_tokens(vocab);
    if (has_tokens && m->file->info.n_vocab == m->base.info.n_vocab) {
        m->base.warnings = m->file->warnings;
        m->base.n_warnings = m->file->n_warnings;
        return HB_OK;
    }
    return hb_llama_vocabulary_open(vocab, m->file->info.path, &m->vocabulary, err);
}

static void read_shape(hb_llama_model *m)
{
    hb_model_info *info = &m->base.info;
    info->n_embd = llama_model_n_embd(m->model);
    info->n_layers = llama_model_n_layer(m->model);
    info->n_heads = llama_model_n_head(m->model);
    info->n_kv_heads = llama_model_n_head_kv(m->model);
    info->n_ctx_train = llama_model_n_ctx_train(m->model);
    m->recurrent = llama_model_is_recurrent(m->model) || llama_model_is_hybrid(m->model);
}

hb_status hb_llama_open(const char *path, bool vocab_only, const hb_model_options *options,
                        hb_model **model, hb_error *err)
{
    bool has_tokens;
    hb_llama_model *m = calloc(1, sizeof *m);
    if (!m) return hb_fail_memory(err);
    hb_status status = hb_model_file_open(path, options, &has_tokens, &m->file, err);
    if (!status) {
        m->base.info = m->file->info;
        status = hb_model_file_check(m->file, vocab_only, MAX_BLOCKS, err);
    }
    if (!status) status = load(m, vocab_only, options->n_gpu_layers, err);
    if (!status) status = open_tokens(m, has_tokens, err);
    if (!status && !vocab_only) status = check_kind(m, err);
    if (!status && !vocab_only) {
        read_shape(m);
        status = hb_llama_try(m, err);
    }
    if (status) hb_llama_close(&m->base);
    else *model = &m->base;
    return status;
}

void hb_llama_close(hb_model *model)
{
    hb_llama_model *m = (hb_llama_model *)(void *)model;
    hb_llama_head_close(&m->head);
    hb_llama_vocabulary_close(m->vocabulary);
    llama_model_free(m->model);
    hb_model_close(m->file);
    free(m);
}
