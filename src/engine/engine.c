/* The public functions of models and sessions. They check their arguments and call the operation of the
 * model's engine. */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>
#include "base/names.h"

#define MAX_CTX       (1 << 24)
#define MAX_THREADS   1024
#define MAX_SEQUENCES 4096
#define MAX_TEXT      (INT32_MAX / 16) /* bytes of a text to tokenize */

/* ---- Models -------------------------------------------------------------------------------------- */

hb_status hb_engine_open(const hb_engine *engine, const char *path, bool vocab_only,
                         const hb_model_options *options, hb_model **model, hb_error *err)
{
    hb_model *m;
    hb_status status = engine->open(path, vocab_only, options, &m, err);
    if (status) return status;
    m->engine = engine;
    m->vocab_only = vocab_only;
    *model = m;
    return HB_OK;
}

#ifdef HB_HAVE_LLAMA
static const hb_engine *const llama = &hb_engine_llama;
#else
static const hb_engine *const llama = NULL;
#endif

hb_model_options hb_model_defaults(void)
{
    return (hb_model_options){.engine = HB_ENGINE_AUTO};
}

const char *hb_engine_name(hb_engine_choice engine)
{
    static const char *const names[] = {"auto", "native", "llama"};
    return (unsigned)engine < sizeof names / sizeof *names ? names[engine] : NULL;
}

bool hb_engine_is_built(hb_engine_choice engine)
{
    return engine == HB_ENGINE_LLAMA ? llama != NULL : hb_engine_name(engine) != NULL;
}

static hb_status check_choice(const hb_model_options *o, hb_error *err)
{
    if (!hb_engine_name(o->engine))
        return hb_fail(err, HB_ERR_ARGUMENT, "there is no engine %d", (int)o->engine);
    if (o->n_gpu_layers < 0)
        return hb_fail(err, HB_ERR_ARGUMENT, "%d layers on a GPU are not possible", o->n_gpu_layers);
    if (o->n_gpu_layers && o->engine == HB_ENGINE_NATIVE)
        return hb_fail(err, HB_ERR_ARGUMENT, "the native engine uses no GPU; the engine llama does");
    if (!llama && (o->n_gpu_layers || o->engine == HB_ENGINE_LLAMA))
        return hb_fail(err, HB_ERR_UNSUPPORTED,
                       "this hbar is built without the engine llama, which %s; build it with "
                       "-DHBAR_LLAMA=ON (docs/engines.md)",
                       o->n_gpu_layers ? "uses GPUs" : "evaluates models with libllama");
    return HB_OK;
}

/* Opens a model with the native engine or, if that does not support it, with the other one. */
static hb_status open_auto(const char *path, bool vocab_only, const hb_model_options *o,
                           hb_model **model, hb_error *err)
{
    hb_error why, other;
    hb_status status = hb_engine_open(&hb_engine_native, path, vocab_only, o, model, &why);
    if (!status) return HB_OK;
    if (status != HB_ERR_UNSUPPORTED || !llama) return hb_fail(err, status, "%s", why.message);
    status = hb_engine_open(llama, path, vocab_only, o, model, &other);
    if (!status) return HB_OK;
    return hb_fail(err, status, "%s; %s", why.message, other.message);
}

hb_status hb_model_open_with(const char *path, const hb_model_options *options, hb_model **model,
                             hb_error *err)
{
    const hb_model_options o = options ? *options : hb_model_defaults();
    hb_status status = check_choice(&o, err);
    if (status) return status;
    if (o.engine == HB_ENGINE_LLAMA || o.n_gpu_layers)
        return hb_engine_open(llama, path, false, &o, model, err);
    if (o.engine == HB_ENGINE_NATIVE)
        return hb_engine_open(&hb_engine_native, path, false, &o, model, err);
    return open_auto(path, false, &o, model, err);
}

hb_status hb_model_open(const char *path, hb_model **model, hb_error *err)
{
    return hb_model_open_with(path, NULL, model, err);
}

hb_status hb_model_open_vocab(const char *path, hb_model **model, hb_error *err)
{
    const hb_model_options o = hb_model_defaults();
    return open_auto(path, true, &o, model, err);
}

const char *hb_model_engine(const hb_model *model)
{
    return model->engine->name;
}

void hb_model_close(hb_model *model)
{
    if (model) model->engine->close(model);
}

const hb_model_info *hb_model_get_info(const hb_model *model)
{
    return &model->info;
}

const char *hb_model_warning(const hb_model *model, size_t i)
{
    return i < model->n_warnings ? model->warnings[i] : NULL;
}

hb_status hb_model_sha256(const hb_model *model, char hex[65], hb_error *err)
{
    return model->engine->sha256(model, hex, err);
}

hb_text hb_model_chat_template(const hb_model *model)
{
    return model->engine->chat_template(model);
}

/* ---- Tokens -------------------------------------------------------------------------------------- */

hb_status hb_tokenize_spans(const hb_model *model, const char *text, const hb_text_span *spans,
                            size_t n, bool add_bos, bool add_eos, bool continues, int32_t **tokens,
                            size_t *n_tokens, hb_error *err)
{
    size_t length = spans[n - 1].end;
    if (length > MAX_TEXT)
        return hb_fail(err, HB_ERR_ARGUMENT, "a text of %zu bytes is too long to tokenize", length);
    return model->engine->tokenize(model, text, spans, n, add_bos, add_eos, continues, tokens, n_tokens,
                                   err);
}

hb_status hb_tokenize(const hb_model *model, const char *text, size_t length, bool add_special,
                      bool parse_special, int32_t **tokens, size_t *n_tokens, hb_error *err)
{
    const hb_text_span whole = {length, parse_special};
    return hb_tokenize_spans(model, text, &whole, 1, add_special, add_special, false, tokens, n_tokens,
                             err);
}

static bool is_token(const hb_model *model, int32_t token)
{
    return token >= 0 && token < model->info.n_vocab;
}

hb_status hb_check_tokens(const hb_model *model, const int32_t *tokens, size_t n, hb_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!is_token(model, tokens[i]))
            return hb_fail(err, HB_ERR_ARGUMENT, "token %d is outside the vocabulary of %d", tokens[i],
                           model->info.n_vocab);
    return HB_OK;
}

const char *hb_token_bytes(const hb_model *model, int32_t token, size_t *length)
{
    hb_text bytes = {"", 0};
    if (is_token(model, token)) bytes = model->engine->token_bytes(model, token);
    *length = bytes.length;
    return bytes.bytes;
}

const char *hb_token_piece(const hb_model *model, int32_t token, size_t *length)
{
    hb_text piece = {"", 0};
    if (is_token(model, token)) piece = model->engine->token_piece(model, token);
    *length = piece.length;
    return piece.bytes;
}

bool hb_token_is_end(const hb_model *model, int32_t token)
{
    return is_token(model, token) && model->engine->token_is_end(model, token);
}

int32_t hb_model_bos(const hb_model *model)
{
    return model->engine->token_bos(model);
}

int32_t hb_model_eos(const hb_model *model)
{
    return model->engine->token_eos(model);
}

const char *hb_find_control(const hb_model *model, const char *text, size_t n_text, size_t *length)
{
    hb_text found = model->engine->find_control(model, (hb_text){text, n_text});
    *length = found.length;
    return found.bytes;
}

hb_text hb_model_not_finite(const hb_model *model)
{
    return model->engine->not_finite(model);
}

/* ---- Sessions ------------------------------------------------------------------------------------ */

static const char *const kv_types[] = {"auto", "f16", "f32", "q8_0"}; /* by hb_kv_type */

const char *hb_kv_type_name(hb_kv_type type)
{
    return HB_NAME(kv_types, type);
}

bool hb_kv_type_find(const char *name, hb_kv_type *type)
{
    size_t found;
    if (!HB_FIND_NAME(kv_types, name, &found)) return false;
    *type = (hb_kv_type)found;
    return true;
}

static hb_status check_options(const hb_session_options *o, hb_error *err)
{
    if (o->n_ctx < 0 || o->n_ctx > MAX_CTX)
        return hb_fail(err, HB_ERR_ARGUMENT, "a context of %d positions is out of range (1 to %d)",
                       o->n_ctx, MAX_CTX);
    if (o->n_threads < 0 || o->n_threads > MAX_THREADS)
        return hb_fail(err, HB_ERR_ARGUMENT, "%d threads are out of range (1 to %d)", o->n_threads,
                       MAX_THREADS);
    if (o->n_sequences < 0 || o->n_sequences > MAX_SEQUENCES)
        return hb_fail(err, HB_ERR_ARGUMENT, "%d sequences are out of range (1 to %d)", o->n_sequences,
                       MAX_SEQUENCES);
    if (o->n_positions < 0)
        return hb_fail(err, HB_ERR_ARGUMENT, "a cache of %lld positions is not possible",
                       (long long)o->n_positions);
    if (o->cache_bytes < 0)
        return hb_fail(err, HB_ERR_ARGUMENT, "a cache of %lld bytes is not possible",
                       (long long)o->cache_bytes);
    if ((unsigned)o->kv_type > HB_KV_Q8_0)
        return hb_fail(err, HB_ERR_ARGUMENT, "a cache of type %d is not possible", (int)o->kv_type);
    if (o->exact && o->kv_type != HB_KV_AUTO && o->kv_type != HB_KV_F32)
        return hb_fail(err, HB_ERR_ARGUMENT, "the cache of an exact session is f32, not %s",
                       hb_kv_type_name(o->kv_type));
    return HB_OK;
}

/* Checks the options and replaces each 0 by its default. */
static hb_status resolve(const hb_model *model, const hb_session_options *options,
                         hb_session_options *out, hb_error *err)
{
    hb_session_options o = options ? *options : hb_session_defaults();
    hb_status status = check_options(&o, err);
    if (status) return status;
    if (model->vocab_only)
        return hb_fail(err, HB_ERR_ARGUMENT, "%s: opened for its vocabulary only", model->info.path);
    int32_t trained = model->info.n_ctx_train;
    if (!o.n_ctx) o.n_ctx = trained < HB_DEFAULT_CTX ? trained : HB_DEFAULT_CTX;
    if (!o.n_threads) o.n_threads = hb_usable_processors();
    if (!o.n_sequences) o.n_sequences = 1;
    if (o.kv_type == HB_KV_AUTO) o.kv_type = o.exact ? HB_KV_F32 : HB_KV_F16;
    *out = o;
    return HB_OK;
}

hb_session_options hb_session_defaults(void)
{
    return (hb_session_options){0};
}

hb_status hb_session_open(const hb_model *model, const hb_session_options *options,
                          hb_session **session, hb_error *err)
{
    hb_session_options o;
    hb_pool *pool = NULL;
    hb_session *s;
    hb_status status = resolve(model, options, &o, err);
    if (!status) status = hb_pool_open(&pool, o.n_threads, err);
    if (!status) status = model->engine->open_session(model, &o, pool, &s, err);
    if (status) {
        hb_pool_close(pool);
        return status;
    }
    s->engine = model->engine;
    s->model = model;
    s->pool = pool;
    s->exact = o.exact;
    s->kv_type = o.kv_type;
    *session = s;
    return HB_OK;
}

hb_status hb_session_memory(const hb_model *model, const hb_session_options *options, hb_memory *memory,
                            hb_error *err)
{
    hb_session_options o;
    hb_status status = resolve(model, options, &o, err);
    return status ? status : model->engine->memory(model, &o, memory, err);
}

void hb_session_close(hb_session *session)
{
    if (!session) return;
    hb_pool *pool = session->pool;
    session->engine->close_session(session);
    hb_pool_close(pool);
}

const hb_model *hb_session_model(const hb_session *session)
{
    return session->model;
}

int32_t hb_session_n_ctx(const hb_session *session)
{
    return session->n_ctx;
}

int32_t hb_session_n_sequences(const hb_session *session)
{
    return session->n_sequences;
}

bool hb_session_is_exact(const hb_session *session)
{
    return session->exact;
}

hb_kv_type hb_session_kv_type(const hb_session *session)
{
    return session->kv_type;
}

int32_t hb_session_page(const hb_session *session)
{
    return session->page;
}

int64_t hb_session_n_free(const hb_session *session)
{
    return session->engine->n_free(session);
}

void hb_session_reset(hb_session *session)
{
    for (int32_t q = 0; q < session->n_sequences; q++) session->engine->drop(session, q);
}

/* ---- Sequences ----------------------------------------------------------------------------------- */

static bool is_sequence(const hb_session *session, int32_t sequence)
{
    return sequence >= 0 && sequence < session->n_sequences;
}

int32_t hb_sequence_n_past(const hb_session *session, int32_t sequence)
{
    return is_sequence(session, sequence) ? session->engine->n_past(session, sequence) : 0;
}

int32_t hb_session_n_past(const hb_session *session)
{
    return hb_sequence_n_past(session, 0);
}

void hb_sequence_drop(hb_session *session, int32_t sequence)
{
    if (is_sequence(session, sequence)) session->engine->drop(session, sequence);
}

hb_status hb_sequence_fork(hb_session *session, int32_t from, int32_t n, int32_t to, hb_error *err)
{
    if (!is_sequence(session, from) || !is_sequence(session, to) || from == to)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "sequence %d cannot be forked to %d: there are %d sequences", from, to,
                       session->n_sequences);
    int32_t has = hb_sequence_n_past(session, from), there = hb_sequence_n_past(session, to);
    if (n < 0 || n > has || there)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "cannot fork %d positions of sequence %d's %d to sequence %d, which has %d", n,
                       from, has, to, there);
    return session->engine->fork(session, from, n, to, err);
}

/* ---- Evaluation ---------------------------------------------------------------------------------- */

hb_tap hb_tap_defaults(void)
{
    return (hb_tap){0};
}

/* Whether the numbers ascend strictly and lie in 0 <= number < end. *bad becomes the first number that
 * breaks this. */
static bool ascends(const int32_t *numbers, int32_t n, int32_t end, int32_t *bad)
{
    for (int32_t i = 0, least = 0; i < n; i++) {
        *bad = numbers[i];
        if (numbers[i] < least || numbers[i] >= end) return false;
        least = numbers[i] + 1;
    }
    return true;
}

/* Refuses a tap that asks for an output that the engine cannot compute. */
static hb_status check_outputs(const hb_model *model, const hb_tap *t, hb_error *err)
{
    unsigned lacks = model->lacks;
    const char *what = (lacks & HB_OUTPUT_STATES) && t->states            ? "states of blocks"
                       : (lacks & HB_OUTPUT_LENS) && (t->lens || t->head) ? "lens"
                       : (lacks & HB_OUTPUT_ATTENTION) && t->attention    ? "attention"
                       : (lacks & HB_OUTPUT_NORMED) && t->normed          ? "states after the norm"
                                                                          : NULL;
    if (!what) return HB_OK;
    return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: the engine %s has no %s", model->info.path,
                   model->engine->name, what);
}

static hb_status check_tap(const hb_session *s, int32_t n_tokens, const hb_tap *t, hb_error *err)
{
    const hb_model_info *m = &s->model->info;
    int32_t bad;
    if (!ascends(t->rows, t->n_rows, n_tokens, &bad))
        return hb_fail(err, HB_ERR_ARGUMENT, "tapped row %d is out of range or out of order", bad);
    if (t->blocks && !ascends(t->blocks, t->n_blocks, m->n_layers, &bad))
        return hb_fail(err, HB_ERR_ARGUMENT, "tapped block %d is out of range or out of order", bad);
    if (t->lens && !(t->logits && t->states && t->lens_tokens))
        return hb_fail(err, HB_ERR_ARGUMENT, "the lens needs logits, states and lens_tokens");
    if (t->head && !(t->logits && t->lens_tokens))
        return hb_fail(err, HB_ERR_ARGUMENT, "the head's rows need logits and lens_tokens");
    if ((t->lens || t->head) && (t->n_lens < 1 || t->n_lens > m->n_vocab))
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "a lens of %d tokens is out of range for a vocabulary of %d", t->n_lens,
                       m->n_vocab);
    if (t->attention && !t->prompts)
        return hb_fail(err, HB_ERR_ARGUMENT, "attention needs the lengths of the prompts");
    for (int32_t i = 0; t->attention && i < t->n_rows; i++)
        if (t->prompts[i] < 1)
            return hb_fail(err, HB_ERR_ARGUMENT, "the prompt of tapped row %d has %d tokens",
                           t->rows[i], t->prompts[i]);
    return HB_OK;
}

static hb_status check_tokens(const hb_session *s, const int32_t *tokens, const int32_t *sequences,
                              int32_t n, hb_error *err)
{
    if (n < 1) return hb_fail(err, HB_ERR_ARGUMENT, "no tokens to evaluate");
    hb_status status = hb_check_tokens(s->model, tokens, (size_t)n, err);
    if (status) return status;
    for (int32_t i = 0; sequences && i < n; i++)
        if (!is_sequence(s, sequences[i]))
            return hb_fail(err, HB_ERR_ARGUMENT, "sequence %d is out of range: the session has %d",
                           sequences[i], s->n_sequences);
    return HB_OK;
}

hb_status hb_eval_sequences(hb_session *session, const int32_t *tokens, const int32_t *sequences,
                            int32_t n_tokens, const hb_tap *tap, hb_error *err)
{
    hb_tap t = tap ? *tap : hb_tap_defaults();
    hb_status status = check_tokens(session, tokens, sequences, n_tokens, err);
    if (!status) status = check_tap(session, n_tokens, &t, err);
    if (!status) status = check_outputs(session->model, &t, err);
    if (status) return status;
    if (!t.blocks) t.n_blocks = session->model->info.n_layers;
    return session->engine->eval(session, tokens, sequences, n_tokens, &t, err);
}

hb_status hb_eval(hb_session *session, const int32_t *tokens, int32_t n_tokens, const hb_tap *tap,
                  hb_error *err)
{
    return hb_eval_sequences(session, tokens, NULL, n_tokens, tap, err);
}
