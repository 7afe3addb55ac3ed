/* The engine as the rest of hbar sees it. Code outside src/engine/ and the folders of other engines
 * includes no other header of that folder, and knows nothing of files, tensors, caches and kernels.
 *
 * Two nouns: a model (tokens, shape, name) and a session (sequences of tokens, evaluated together). An
 * engine is a table of operations on them. The native engine is always there; others stand behind the
 * same functions by filling in the same table, such as the one over libllama (src/engine_llama/).
 * Callers use the functions of hbar.h and those below: they check their arguments once (engine.c) and
 * then call the operation. */
#ifndef HB_ENGINE_H
#define HB_ENGINE_H

#include "base/error.h"
#include "base/pool.h"
#include "base/text.h"

typedef struct hb_engine hb_engine;

/* ---- What models and sessions of all engines share ---------------------------------------------- */

/* Outputs of a tap beside the logits, as bits. */
enum {
    HB_OUTPUT_STATES = 1,
    HB_OUTPUT_LENS = 2, /* the lens, and the output head's rows */
    HB_OUTPUT_ATTENTION = 4,
    HB_OUTPUT_NORMED = 8
};

/* An engine's own struct for a model begins with this one. The operation that opens a model fills in
 * `info`, `warnings`, `n_warnings` and `lacks`; hb_engine_open fills in the rest. */
struct hb_model {
    const hb_engine *engine;
    unsigned lacks;  /* outputs that the engine cannot compute for this model, as bits */
    bool vocab_only; /* opened for its tokenizer only; no session can be opened */
    hb_model_info info;
    const char *const *warnings; /* [n_warnings], see hb_model_warning */
    size_t n_warnings;
};

/* An engine's own struct for a session begins with this one. The operation that opens a session fills
 * in everything except `engine`, `model` and `pool`. */
struct hb_session {
    const hb_engine *engine;
    const hb_model *model;
    int32_t n_ctx;       /* positions that a sequence may hold */
    int32_t n_threads;   /* threads that evaluate; results do not depend on this number */
    hb_pool *pool;       /* these threads */
    int32_t n_sequences; /* number of sequences; they are numbered from 0 */
    int32_t n_batch;     /* maximum number of tokens evaluated together; longer calls are split */
    int32_t page;        /* positions in a page; sequences get their positions in whole pages */
    bool exact;          /* as in hb_session_options */
    hb_kv_type kv_type;  /* the same, but never AUTO */
    const char *kernels; /* name of the kernels that do the arithmetic, for messages */
    /* The number of positions in use from which another sequence costs more time than it saves, for an
     * engine whose attention reads the positions of all sequences. 0: there is no such number. */
    int64_t crowd;
};

/* n positions rounded up to whole pages. */
static inline int64_t hb_session_paged(const hb_session *session, int32_t n)
{
    return ((int64_t)n + session->page - 1) / session->page * session->page;
}

/* ---- Functions beside those of hbar.h ----------------------------------------------------------- */

/* As hb_model_open or, with vocab_only, hb_model_open_vocab, but with the given engine. */
hb_status hb_engine_open(const hb_engine *engine, const char *path, bool vocab_only,
                         const hb_model_options *options, hb_model **model, hb_error *err);

/* HB_ERR_ARGUMENT, naming the token, unless all tokens [n] are in the model's vocabulary. */
hb_status hb_check_tokens(const hb_model *model, const int32_t *tokens, size_t n, hb_error *err);

/* A part of a text. It begins where the previous span ends (the first one at 0) and ends at byte `end`.
 */
typedef struct hb_text_span {
    size_t end;
    bool parse_special; /* whether control tokens are recognised in this span */
} hb_text_span;

/* Tokenizes a text that consists of n >= 1 spans in ascending order; the last span ends the text. The
 * text is tokenized as a whole, but a special token must lie within one span, and a control token is
 * recognised only in a span with parse_special. The BOS and EOS tokens are added if the model asks for
 * them and the caller allows it. With `continues`, the text continues an earlier one, so that no space
 * is put before it. Release *tokens with free(). */
hb_status hb_tokenize_spans(const hb_model *model, const char *text, const hb_text_span *spans,
                            size_t n, bool add_bos, bool add_eos, bool continues, int32_t **tokens,
                            size_t *n_tokens, hb_error *err);

/* The model's own chat template, in Jinja; NULL bytes when it has none. Valid as long as the model. */
hb_text hb_model_chat_template(const hb_model *model);

/* The tokens that begin and end a text; below 0 when there is none. */
int32_t hb_model_bos(const hb_model *model);
int32_t hb_model_eos(const hb_model *model);

/* The name of a tensor that has NaN or infinity; NULL bytes when there is none. The first call may read
 * the whole model, so it is for error messages. Valid as long as the model. */
hb_text hb_model_not_finite(const hb_model *model);

/* ---- What a model's file holds ------------------------------------------------------------------ */

/* A metadata value. Texts may hold any bytes; they are valid as long as the description. */
typedef struct hb_file_value {
    enum { HB_FILE_TEXT, HB_FILE_INTEGER, HB_FILE_REAL, HB_FILE_BOOLEAN } kind;
    union {
        hb_text text;
        int64_t integer;
        double real; /* also an integer above INT64_MAX */
        bool boolean;
    };
} hb_file_value;

#define HB_FILE_SHOWN 8 /* maximum number of array elements that a description holds */

typedef struct hb_file_entry {
    hb_text key;
    const char *type;            /* name of the type: "u32", "string", "array" ... */
    const char *element;         /* type of an array's elements; NULL for other types */
    uint64_t count;              /* number of elements of an array; 1 for other types */
    const hb_file_value *values; /* [n_values]: the value, or an array's first HB_FILE_SHOWN elements */
    size_t n_values;
} hb_file_entry;

typedef struct hb_file_tensor {
    hb_text name;
    const char *type; /* "Q4_K" ...; NULL for an unknown type */
    uint32_t type_number;
    uint32_t n_dims;
    uint64_t dims[4]; /* dims[0] is the length of a row */
    int64_t n_weights;
    int64_t bytes;   /* -1 if the size of the type is unknown */
    uint64_t offset; /* in the data section of its part */
    uint32_t part;   /* index of the file that holds it, from 0 */
} hb_file_tensor;

/* What a GGUF file contains, whether or not hbar can run it. The sums of weights and bytes over all
 * tensors fit in an int64_t. */
typedef struct hb_file_description {
    const char *path;
    uint64_t size;    /* bytes of all parts together */
    uint32_t n_parts; /* 1 for a model that is not split */
    uint32_t version; /* version of the format */
    int64_t n_weights;
    hb_text architecture, name, chat_template; /* NULL bytes if absent */
    const hb_file_entry *entries;              /* [n_entries], sorted by key */
    const hb_file_tensor *tensors;             /* [n_tensors], sorted by name */
    size_t n_entries, n_tensors;
} hb_file_description;

/* Describes a file; release *description with hb_describe_free. Errors as hb_model_open, except that
 * models which hbar cannot run are accepted. */
hb_status hb_describe_file(const char *path, hb_file_description **description, hb_error *err);
void hb_describe_free(hb_file_description *description);

/* ---- The table ---------------------------------------------------------------------------------- */

/* engine.c checks arguments before it calls an operation: pointers to results are not NULL, and numbers
 * are in the ranges given here. An operation that fails fills in err and leaves its results unset. */
struct hb_engine {
    const char *name;

    /* Models. `close` releases a model that `open` returned. In the options, n_gpu_layers is not
     * negative, and 0 for an engine without GPUs; `engine` is not for the engine to read. */
    hb_status (*open)(const char *path, bool vocab_only, const hb_model_options *options,
                      hb_model **model, hb_error *err);
    void (*close)(hb_model *model);
    hb_status (*sha256)(const hb_model *model, char hex[65], hb_error *err);
    hb_text (*chat_template)(const hb_model *model);

    /* Tokens. 0 <= token < n_vocab. */
    hb_status (*tokenize)(const hb_model *model, const char *text, const hb_text_span *spans, size_t n,
                          bool add_bos, bool add_eos, bool continues, int32_t **tokens,
                          size_t *n_tokens, hb_error *err);
    hb_text (*token_bytes)(const hb_model *model, int32_t token);
    hb_text (*token_piece)(const hb_model *model, int32_t token);
    bool (*token_is_end)(const hb_model *model, int32_t token);
    int32_t (*token_bos)(const hb_model *model); /* see hb_model_bos */
    int32_t (*token_eos)(const hb_model *model);
    hb_text (*find_control)(const hb_model *model, hb_text text); /* see hb_find_control */
    hb_text (*not_finite)(const hb_model *model);                 /* see hb_model_not_finite */

    /* Sessions. The model is not vocab_only. In the options, n_ctx, n_threads and n_sequences are at
     * least 1; n_positions and cache_bytes may be 0. `pool` has n_threads threads and lives as long as
     * the session; an engine with threads of its own does not use it. */
    hb_status (*memory)(const hb_model *model, const hb_session_options *options, hb_memory *memory,
                        hb_error *err);
    hb_status (*open_session)(const hb_model *model, const hb_session_options *options, hb_pool *pool,
                              hb_session **session, hb_error *err);
    void (*close_session)(hb_session *session);

    /* Sequences. 0 <= sequence < n_sequences. For `fork`, 0 <= n <= n_past(from), and `to` is another
     * sequence that is empty; `fork` fails only when the cache is full. */
    int64_t (*n_free)(const hb_session *session);
    int32_t (*n_past)(const hb_session *session, int32_t sequence);
    void (*drop)(hb_session *session, int32_t sequence);
    hb_status (*fork)(hb_session *session, int32_t from, int32_t n, int32_t to, hb_error *err);

    /* Evaluates at least one token and fills the tap. sequences[i] is the sequence of token i; NULL
     * means that all belong to sequence 0. `tap` is not NULL and was checked: it asks for no output
     * that the model lacks; if its `blocks` is NULL, its n_blocks is the model's. Returns
     * HB_ERR_CONTEXT, with the session unchanged, when the tokens do not fit. */
    hb_status (*eval)(hb_session *session, const int32_t *tokens, const int32_t *sequences,
                      int32_t n_tokens, const hb_tap *tap, hb_error *err);
};

/* The engine in src/engine/. */
extern const hb_engine hb_engine_native;

/* The engine in src/engine_llama/; only in builds with HB_HAVE_LLAMA. */
extern const hb_engine hb_engine_llama;

#endif
