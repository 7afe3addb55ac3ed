/* The engine as the rest of hbar sees it. Code outside src/engine/ includes no other header of that
 * folder, and knows nothing of files, tensors, caches and kernels.
 *
 * Two nouns: a model (tokens, shape, name) and a session (sequences of tokens, evaluated together). An
 * engine is a table of operations on them. The native engine is always there; another one can stand
 * behind the same functions by filling in the same table. Callers use the functions of hbar.h and those
 * below: they check their arguments once (engine.c) and then call the operation. */
#ifndef HB_ENGINE_H
#define HB_ENGINE_H

#include "base/error.h"
#include "base/text.h"

typedef struct hb_engine hb_engine;

/* ---- What all engines' models and sessions have in common -----------------------------------------
 */

/* An engine's own struct for a model begins with this one. The operation that opens a model fills in
 * `info` and `warnings`; the rest is filled in for it. */
struct hb_model {
    const hb_engine *engine;
    bool vocab_only; /* it can tokenize; a session cannot be opened */
    hb_model_info info;
    const char *const *warnings; /* [n_warnings], see hb_model_warning */
    size_t n_warnings;
};

/* The same for a session. The operation that opens one fills in all but `engine` and `model`. */
struct hb_session {
    const hb_engine *engine;
    const hb_model *model;
    int32_t n_ctx;       /* positions that a sequence may hold */
    int32_t n_threads;   /* that evaluate; results do not depend on their number */
    int32_t n_sequences; /* numbered from 0 */
    int32_t n_batch;     /* tokens evaluated together: longer calls go in parts of so many */
    int32_t page;        /* positions are handed out to sequences in pages of so many */
    const char *kernels; /* what does the arithmetic, for people */
};

/* Positions that the pages of a sequence of n positions hold. */
static inline int64_t hb_session_paged(const hb_session *session, int32_t n)
{
    return ((int64_t)n + session->page - 1) / session->page * session->page;
}

/* ---- Verbs beside those of hbar.h ------------------------------------------------------------------
 */

/* hb_model_open and hb_model_open_vocab by an engine of the caller's choice. */
hb_status hb_engine_open(const hb_engine *engine, const char *path, bool vocab_only, hb_model **model,
                         hb_error *err);

/* A part of a text, from the end of the part before it (or the start) to `end`. */
typedef struct hb_text_span {
    size_t end;
    bool parse_special; /* whether control tokens are looked for in it */
} hb_text_span;

/* Tokens of a text of n >= 1 spans, ascending, the last of which ends the text. The text is tokenized
 * as a whole, but a special token is only found within one span, and a control token only in a span
 * that is parsed for them. The tokens that begin and end a text are added where the model wants them
 * and the caller allows it. *tokens is released with free(). */
hb_status hb_tokenize_spans(const hb_model *model, const char *text, const hb_text_span *spans,
                            size_t n, bool add_bos, bool add_eos, int32_t **tokens, size_t *n_tokens,
                            hb_error *err);

/* The model's own chat template, a program in Jinja; NULL bytes when it has none. Valid as long as the
 * model. */
hb_text hb_model_chat_template(const hb_model *model);

/* ---- What a model's file holds ---------------------------------------------------------------------
 */

/* A value of a file's metadata. Texts are bytes of any kind, valid as long as the description. */
typedef struct hb_file_value {
    enum { HB_FILE_TEXT, HB_FILE_INTEGER, HB_FILE_REAL, HB_FILE_BOOLEAN } kind;
    union {
        hb_text text;
        int64_t integer;
        double real; /* also an integer above INT64_MAX */
        bool boolean;
    };
} hb_file_value;

#define HB_FILE_SHOWN 8 /* elements of an array that a description holds */

typedef struct hb_file_entry {
    hb_text key;
    const char *type;            /* as the format calls it: "u32", "string", "array" ... */
    const char *element;         /* the type of an array's elements; NULL for anything else */
    uint64_t count;              /* elements of an array; 1 for anything else */
    const hb_file_value *values; /* [n_values]: the value, or an array's first HB_FILE_SHOWN elements */
    size_t n_values;
} hb_file_entry;

typedef struct hb_file_tensor {
    hb_text name;
    const char *type; /* "Q4_K" ...; NULL for a number without a name */
    uint32_t type_number;
    uint32_t n_dims;
    uint64_t dims[4]; /* a row's length first */
    int64_t n_weights;
    int64_t bytes;   /* -1 where the size of the type is not known */
    uint64_t offset; /* in the data section of its part */
    uint32_t part;   /* the file it is in, from 0 */
} hb_file_tensor;

/* What a GGUF file says of itself, whether hbar can run it or not. Sums of weights and of bytes over
 * all tensors fit an int64_t. */
typedef struct hb_file_description {
    const char *path;
    uint64_t size;    /* bytes of all parts */
    uint32_t n_parts; /* 1 for a model in one file */
    uint32_t version; /* of the format */
    int64_t n_weights;
    hb_text architecture, name, chat_template; /* NULL bytes: it says none */
    const hb_file_entry *entries;              /* [n_entries], sorted by key */
    const hb_file_tensor *tensors;             /* [n_tensors], sorted by name */
    size_t n_entries, n_tensors;
} hb_file_description;

/* Errors as hb_model_open, but for those of models that cannot be run. */
hb_status hb_describe_file(const char *path, hb_file_description **description, hb_error *err);
void hb_describe_free(hb_file_description *description);

/* ---- The table -------------------------------------------------------------------------------------
 */

/* Arguments are checked before an operation is called: pointers to results are not NULL, numbers are in
 * the range that is told here. An operation that fails fills in err and leaves its results unset. */
struct hb_engine {
    const char *name;

    /* Models. `close` takes whatever `open` gave. */
    hb_status (*open)(const char *path, bool vocab_only, hb_model **model, hb_error *err);
    void (*close)(hb_model *model);
    hb_status (*sha256)(const hb_model *model, char hex[65], hb_error *err);
    hb_text (*chat_template)(const hb_model *model);

    /* Tokens, 0 <= token < n_vocab. */
    hb_status (*tokenize)(const hb_model *model, const char *text, const hb_text_span *spans, size_t n,
                          bool add_bos, bool add_eos, int32_t **tokens, size_t *n_tokens,
                          hb_error *err);
    hb_text (*token_bytes)(const hb_model *model, int32_t token);
    hb_text (*token_piece)(const hb_model *model, int32_t token);
    bool (*token_is_end)(const hb_model *model, int32_t token);

    /* Sessions, of models that are not vocab_only. In the options n_ctx, n_threads and n_sequences are
     * at least 1; n_positions and cache_bytes may be 0. */
    hb_status (*memory)(const hb_model *model, const hb_session_options *options, hb_memory *memory,
                        hb_error *err);
    hb_status (*open_session)(const hb_model *model, const hb_session_options *options,
                              hb_session **session, hb_error *err);
    void (*close_session)(hb_session *session);

    /* Sequences, 0 <= sequence < n_sequences. `fork` has 0 <= n <= n_past(from), and another sequence
     * `to` that is empty; it fails only for want of room. */
    int64_t (*n_free)(const hb_session *session);
    int32_t (*n_past)(const hb_session *session, int32_t sequence);
    void (*drop)(hb_session *session, int32_t sequence);
    hb_status (*fork)(hb_session *session, int32_t from, int32_t n, int32_t to, hb_error *err);

    /* Evaluates tokens, at least one, and fills the tap. `sequences` may be NULL, which is all of
     * sequence 0. `tap` is not NULL and in order; where all blocks are chosen its n_blocks is the
     * model's. HB_ERR_CONTEXT, with the session unchanged, when the tokens do not fit;
     * HB_ERR_UNSUPPORTED for an output that the engine cannot give. */
    hb_status (*eval)(hb_session *session, const int32_t *tokens, const int32_t *sequences,
                      int32_t n_tokens, const hb_tap *tap, hb_error *err);
};

/* The engine in src/engine/. */
extern const hb_engine hb_engine_native;

#endif
