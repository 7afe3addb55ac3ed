/* hbar: run a local language model, watch its uncertainty token by token, and calibrate when to stop.
 *
 * Conventions that hold for every function here:
 *  - A function that can fail returns an hb_status and, where `err` is not NULL, writes a message for
 *    people into it. On failure output arguments are left unset unless said otherwise.
 *  - Objects returned through a pointer belong to the caller and are released by the matching
 *    *_close or *_free, which accept NULL.
 *  - Every struct of options has a *_defaults() function. Start from it, so that fields of later
 *    versions have sensible values. NULL where options are expected means these defaults.
 *  - Text is UTF-8. Sizes are bytes unless said otherwise. Logarithms are natural, so information is
 *    in nats.
 *  - Nothing here exits the process, prints, or keeps global state, except that the first JSON that is
 *    read replaces Jansson's functions for memory by ones that note failures, and that libllama is
 *    started, which prints a line if it ends the program. A model may be shared by threads; a session,
 *    dataset or run is used by one thread at a time.
 */
#ifndef HBAR_H
#define HBAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HB_VERSION_MAJOR 0
#define HB_VERSION_MINOR 2
#define HB_VERSION_PATCH 0

#if defined(__GNUC__)
#define HB_API __attribute__((visibility("default")))
#else
#define HB_API
#endif

/* The library's version, "MAJOR.MINOR.PATCH". */
HB_API const char *hb_version(void);

/* ---- Errors ------------------------------------------------------------------------------------ */

typedef enum hb_status {
    HB_OK = 0,
    HB_ERR_ARGUMENT,    /* an argument is invalid */
    HB_ERR_MEMORY,      /* an allocation failed */
    HB_ERR_IO,          /* the operating system refused a read or a write */
    HB_ERR_FORMAT,      /* a file is truncated or contradicts its own format */
    HB_ERR_UNSUPPORTED, /* the file is valid, but hbar does not support it (yet) */
    HB_ERR_CONTEXT,     /* the tokens do not fit the context */
    HB_ERR_NUMERIC,     /* the model produced NaN or infinity */
    HB_ERR_MISMATCH,    /* a run or parameters file belongs to other settings, model or data */
    HB_ERR_BUSY,        /* another process is using the file */
    HB_ERR_DATA,        /* the data do not suffice for the request (one class, too few samples ...) */
    HB_ERR_CANCELLED,   /* the caller's cancel hook returned true */
    HB_ERR_CALLBACK     /* a visitor function of the caller failed */
} hb_status;

/* The status in a few words: "ok", "bad argument" ...; "unknown" for any other number. */
HB_API const char *hb_status_name(hb_status status);

typedef struct hb_error {
    hb_status status;
    char message[480]; /* one line, no trailing newline; names the file, tensor, line or option */
} hb_error;

/* ---- Engine: model, tokens --------------------------------------------------------------------- */

/* A GGUF model, memory-mapped read-only. The file must not be truncated while it is open. */
typedef struct hb_model hb_model;

typedef struct hb_model_info {
    const char *path;         /* as given to hb_model_open */
    const char *name;         /* general.name, or the file's base name without its suffix */
    const char *architecture; /* general.architecture */
    uint64_t file_size;       /* bytes; the sum for a model split into several files */
    uint64_t n_params;        /* weights in all tensors */
    int32_t n_vocab;
    int32_t n_embd;   /* width d of the residual stream */
    int32_t n_layers; /* blocks L */
    int32_t n_heads;
    int32_t n_kv_heads;
    int32_t n_ctx_train; /* positions the model was trained for */
} hb_model_info;

/* Opens a GGUF v2 or v3 file. For a model split into files NAME-00001-of-0000N.gguf, pass the path of
 * the first file; the function opens the others, too. Error messages name the file and, where possible,
 * the tensor or metadata key that caused the error. Errors: HB_ERR_IO, HB_ERR_FORMAT (truncated,
 * inconsistent), HB_ERR_UNSUPPORTED (architecture, tensor type, tokenizer), HB_ERR_MEMORY. */
HB_API hb_status hb_model_open(const char *path, hb_model **model, hb_error *err);
HB_API void hb_model_close(hb_model *model);

/* What evaluates a model (docs/engines.md). hbar's own engine is always there; the one over libllama
 * only in builds with it. */
typedef enum hb_engine_choice {
    HB_ENGINE_AUTO,   /* the native engine, or llama for a model that it does not support */
    HB_ENGINE_NATIVE, /* hbar's own */
    HB_ENGINE_LLAMA   /* libllama, which also uses GPUs */
} hb_engine_choice;
HB_API const char *hb_engine_name(hb_engine_choice engine); /* "auto", "native", "llama"; else NULL */
HB_API bool hb_engine_is_built(hb_engine_choice engine);    /* whether this build has it */

typedef struct hb_model_options {
    hb_engine_choice engine;
    int32_t n_gpu_layers; /* the number of blocks that a GPU evaluates; above 0, HB_ENGINE_AUTO is
                             llama; more than the model has: all */
    bool hash_ahead; /* a thread hashes the file while the model opens, unless the cache has the hash;
                        hb_model_sha256 then returns this hash as long as the model is open */
} hb_model_options;
HB_API hb_model_options hb_model_defaults(void); /* HB_ENGINE_AUTO, no GPU, no hash_ahead */

/* As hb_model_open, which has the default options. HB_ERR_UNSUPPORTED for an engine that is not built;
 * HB_ERR_ARGUMENT for a GPU with the native engine. */
HB_API hb_status hb_model_open_with(const char *path, const hb_model_options *options, hb_model **model,
                                    hb_error *err);

/* The engine of a model: "native" or "llama". */
HB_API const char *hb_model_engine(const hb_model *model);

/* Valid as long as the model. */
HB_API const hb_model_info *hb_model_get_info(const hb_model *model);

/* Warning number i, from 0; NULL beyond the last. A warning means that the file does not specify
 * something and hbar had to guess. It is one line that names the file and says what a wrong guess would
 * cause. Most models have no warnings. Valid as long as the model. */
HB_API const char *hb_model_warning(const hb_model *model, size_t i);

/* Computes the SHA-256 of the whole file, in lower-case hexadecimal. Reads the file once. */
HB_API hb_status hb_file_sha256(const char *path, char hex[65], hb_error *err);

/* Computes the SHA-256 of the model's file. For a split model it hashes all parts, concatenated in
 * order. Reads each file once and keeps the hash of a large model in $XDG_CACHE_HOME/hbar, or in
 * $HOME/.cache/hbar; until a file changes, later calls and processes take it from there. HB_ERR_IO when
 * a file cannot be read, or has changed since the model was opened. */
HB_API hb_status hb_model_sha256(const hb_model *model, char hex[65], hb_error *err);

/* Opens only the vocabulary of a file. Such a model can tokenize but cannot open a session. Its
 * hb_model_info has only path, name, architecture, file_size, n_params and n_vocab set. Accepts any
 * architecture and files without tensors. Same errors as hb_model_open. */
HB_API hb_status hb_model_open_vocab(const char *path, hb_model **model, hb_error *err);

/* Tokenizes `text`, which may hold any bytes. `add_special` adds the model's begin-of-text and
 * end-of-text tokens where the model wants them. `parse_special` turns text that spells a control token
 * into that token. Without it, text never becomes a control token, so a prompt cannot forge a chat
 * turn. Release *tokens with free(). */
HB_API hb_status hb_tokenize(const hb_model *model, const char *text, size_t length, bool add_special,
                             bool parse_special, int32_t **tokens, size_t *n_tokens, hb_error *err);

/* The bytes of one token, not zero-terminated. A character may be split between tokens. Control tokens
 * and unknown ids have no bytes. Valid as long as the model. */
HB_API const char *hb_token_bytes(const hb_model *model, int32_t token, size_t *length);

/* Like hb_token_bytes, but returns the spelling of the token in the vocabulary, also for control
 * tokens. */
HB_API const char *hb_token_piece(const hb_model *model, int32_t token, size_t *length);

/* Whether the token ends a text or a turn. */
HB_API bool hb_token_is_end(const hb_model *model, int32_t token);

/* ---- Chat: conversations in the format of a model ----------------------------------------------- */

typedef enum hb_role { HB_ROLE_SYSTEM, HB_ROLE_USER, HB_ROLE_ASSISTANT } hb_role;

typedef struct hb_message {
    hb_role role;
    const char *text;
    size_t length;
} hb_message;

/* Writes conversations as text: by a chat template, which is a program in Jinja, or by a built-in
 * format. A chat never changes, so threads may share it. */
typedef struct hb_chat hb_chat;

/* Whether the model reasons before it answers. For templates that have the option enable_thinking. */
typedef enum hb_thinking { HB_THINKING_DEFAULT, HB_THINKING_ON, HB_THINKING_OFF } hb_thinking;

typedef struct hb_chat_options {
    const char *format;        /* name of a built-in format; NULL: use a template */
    const char *template_text; /* the template; NULL: the model's own, tokenizer.chat_template */
    size_t template_length;
    hb_thinking thinking;
    const char *variables; /* further variables for the template, a JSON object; NULL: none */
    int64_t now; /* current time for the template, in seconds since 1970; 0: the time of hb_chat_open */
} hb_chat_options;
HB_API hb_chat_options hb_chat_defaults(void);

/* The name of built-in format number i, from 0: "chatml", "llama3" ...; NULL beyond the last. */
HB_API const char *hb_chat_format_name(size_t i);

/* Another format, for prompts that contain their markers already. A conversation is one message of the
 * user, which is not changed. Text in it that spells a control token becomes this token. */
#define HB_CHAT_PREPARED "prepared"

/* Recognises the built-in format that a chat template is similar to, by its markers. NULL if there is
 * none. Valid forever. */
HB_API const char *hb_chat_recognise(const char *chat_template, size_t length);

/* Opens the model's chat template, or the template or format of the options. The model must outlive the
 * chat; it may be NULL for a chat that only renders. `options` may be NULL; everything that they point
 * to is copied. HB_ERR_UNSUPPORTED when the model has no template, or the template has an unknown tag
 * or lacks the thinking option; HB_ERR_FORMAT, naming the line, for a syntax error; HB_ERR_ARGUMENT for
 * an unknown format. */
HB_API hb_status hb_chat_open(const hb_model *model, const hb_chat_options *options, hb_chat **chat,
                              hb_error *err);
HB_API void hb_chat_close(hb_chat *chat);

/* Identifies the chat in runs and parameters. It is the format's name, or "template-" with eight digits
 * of a hash of template and variables and the choice of thinking. Under 32 bytes; valid as long as the
 * chat. */
HB_API const char *hb_chat_name(const hb_chat *chat);

/* The markers around the model's reasoning before its answer. */
typedef struct hb_reasoning {
    const char *open, *close; /* such as "<think>" and "</think>"; NULL: the template contains none */
    bool opened; /* the rendered text opens a reasoning block, so the answer begins inside it */
} hb_reasoning;
HB_API hb_reasoning hb_chat_reasoning(const hb_chat *chat);

/* Writes a conversation of n messages as text. With `answer`, the text ends where the model's answer
 * begins. Release *text with free(). Built-in formats accept an optional system message, and then user
 * and assistant in turns; with `answer` the last message must be the user's. A template decides itself
 * which conversations it accepts. HB_ERR_ARGUMENT for a conversation that is refused;
 * HB_ERR_UNSUPPORTED when the template leaves out the system message; HB_ERR_FORMAT, naming the line,
 * when the template fails. */
HB_API hb_status hb_chat_render(const hb_chat *chat, const hb_message *messages, size_t n, bool answer,
                                char **text, size_t *length, hb_error *err);

/* Tokenizes the text of hb_chat_render. Adds the BOS token if the model wants it and the template has
 * not written it. Only text of the template or format itself becomes control tokens. Messages never do,
 * except in HB_CHAT_PREPARED. Formats that mark turns with ordinary text, such as "llama2" and
 * "vicuna", cannot prevent a message from spelling these marks. Release *tokens with free(). */
HB_API hb_status hb_chat_tokenize(const hb_chat *chat, const hb_message *messages, size_t n,
                                  bool answer, int32_t **tokens, size_t *n_tokens, hb_error *err);

/* Tokenizes a prompt. With a chat, the prompt is the user's message of a conversation, which has the
 * system message `system` unless that is NULL or empty, and the tokens end where the answer begins. If
 * `chat` is NULL, tokenizes the bare prompt like hb_tokenize, with special tokens added and none
 * parsed. */
HB_API hb_status hb_chat_prompt(const hb_model *model, const hb_chat *chat, const char *system,
                                const char *prompt, size_t length, int32_t **tokens, size_t *n_tokens,
                                hb_error *err);

/* Finds the first place where `text` spells a control token, and sets *length to the token's bytes.
 * NULL if there is none. Outside HB_CHAT_PREPARED, such text is taken literally, which often means that
 * the prompt was prepared for another use. */
HB_API const char *hb_find_control(const hb_model *model, const char *text, size_t n_text,
                                   size_t *length);

/* ---- Sessions ----------------------------------------------------------------------------------- */

/* A KV cache for one or more token sequences, with the buffers that evaluation needs. */
typedef struct hb_session hb_session;

/* The numbers of which the keys and values in a cache consist. A number takes 4 bytes in F32, 2 in F16
 * (IEEE 754 binary16), and 1.125 in Q8_0: a byte, and a scale for each 32 of them. */
typedef enum hb_kv_type { HB_KV_AUTO, HB_KV_F16, HB_KV_F32, HB_KV_Q8_0 } hb_kv_type;
HB_API const char *hb_kv_type_name(hb_kv_type type);             /* "auto", "f16", "f32", "q8_0" */
HB_API bool hb_kv_type_find(const char *name, hb_kv_type *type); /* false: unknown name */

typedef struct hb_session_options {
    int32_t n_ctx;       /* maximum positions per sequence; 0: the model's context length, at most
                            HB_DEFAULT_CTX */
    int32_t n_threads;   /* 0: one per available processor */
    int32_t n_sequences; /* 0: one */
    int64_t n_positions; /* positions in the cache for all sequences together; positions shared by
                            forked sequences count once; 0: n_ctx per sequence */
    int64_t cache_bytes; /* upper limit on the size of the cache, which always has room for one
                            sequence; 0: no limit */
    bool exact; /* multiply quantised weights by unrounded activations instead of 8-bit ones: slower,
                   but as float32 arithmetic on the same weights has it (docs/signals.md); native engine
                   only */
    hb_kv_type kv_type; /* AUTO: F16, but F32 in an exact session, which takes no other type */
    bool claim; /* commit all memory when the session opens, so that a long job cannot run out later and
                   peak memory does not depend on the workload; false: commit memory when it is first
                   used */
} hb_session_options;
HB_API hb_session_options
hb_session_defaults(void); /* all fields zero, with the meanings given above */

#define HB_DEFAULT_CTX 4096

/* Opens a session. Reserves all memory that the session will ever use, so a session too large for the
 * machine fails here. `model` must outlive the session. `options` may be NULL. */
HB_API hb_status hb_session_open(const hb_model *model, const hb_session_options *options,
                                 hb_session **session, hb_error *err);
HB_API void hb_session_close(hb_session *session);

/* The memory that a session would reserve. The memory-mapped model file is not included. */
typedef struct hb_memory {
    int32_t n_ctx;  /* positions a sequence may hold */
    uint64_t cache; /* bytes for keys and values */
    uint64_t work;  /* bytes for everything else */
} hb_memory;

/* Computes the memory that a session with these options needs. Same errors as hb_session_open, but does
 * not check whether the machine has that much memory. */
HB_API hb_status hb_session_memory(const hb_model *model, const hb_session_options *options,
                                   hb_memory *memory, hb_error *err);
HB_API void hb_session_reset(hb_session *session); /* empties every sequence */
HB_API const hb_model *hb_session_model(const hb_session *session);
HB_API int32_t hb_session_n_ctx(const hb_session *session);
HB_API int32_t hb_session_n_sequences(const hb_session *session);
HB_API bool hb_session_is_exact(const hb_session *session);      /* as in hb_session_options */
HB_API hb_kv_type hb_session_kv_type(const hb_session *session); /* never AUTO */
HB_API int32_t hb_session_n_past(const hb_session *session);     /* positions in sequence 0 */

/* Free positions in the cache. Sequences allocate them in pages of hb_session_page positions. */
HB_API int64_t hb_session_n_free(const hb_session *session);
HB_API int32_t hb_session_page(const hb_session *session);

/* Sequences are numbered from 0. They start empty and grow by evaluation. A number outside the
 * session's range is treated as an empty sequence: it has no positions, and dropping it does nothing.
 */
HB_API int32_t hb_sequence_n_past(const hb_session *session, int32_t sequence);
HB_API void hb_sequence_drop(hb_session *session, int32_t sequence); /* empties it */

/* Makes the empty sequence `to` hold the first n positions of `from`. Both sequences then share all
 * complete pages. If n ends within a page, that page is copied. HB_ERR_CONTEXT when no page is free for
 * the copy. */
HB_API hb_status hb_sequence_fork(hb_session *session, int32_t from, int32_t n, int32_t to,
                                  hb_error *err);

/* What a head of a block attends to at one position: weights of its attention row, which sum to 1 over
 * the positions that the row sees (to less in gpt-oss, whose heads also have a learned sink). */
typedef enum hb_attention_value {
    HB_ATTENTION_SINK,      /* the weight of the sequence's first position */
    HB_ATTENTION_CONTEXT,   /* the sum over the prompt's other positions */
    HB_ATTENTION_GENERATED, /* the sum over the positions after the prompt */
    HB_ATTENTION_PREVIOUS,  /* the weight of the position before; 0 at the first position */
    HB_ATTENTION_SELF,      /* the weight of the position itself */
    HB_ATTENTION_ENTROPY,   /* -sum a ln a over the row, in nats */
    HB_N_ATTENTION
} hb_attention_value;
#define HB_ATTENTION_LEAST 1e-30 /* weights below this count as this where their logarithm is taken */

/* A tap selects which outputs an evaluation returns and for which of its tokens (the rows). An output
 * that is NULL is neither computed nor copied. Later versions may add outputs at the end of the struct:
 * start from hb_tap_defaults, which requests nothing, and set fields by name. */
typedef struct hb_tap {
    const int32_t *rows; /* [n_rows], indices into the tokens of the call, ascending */
    int32_t n_rows;

    /* [n_rows][n_vocab]: logits of the next token, before softmax. */
    float *logits;

    /* [n_rows][n_blocks][n_embd]: the residual stream after each chosen block, before the final norm.
     * `blocks` [n_blocks] lists the block numbers from 0, ascending. NULL chooses all blocks of the
     * model and ignores n_blocks. */
    float *states;
    const int32_t *blocks;
    int32_t n_blocks;

    /* [n_rows][n_blocks][n_lens]: the logit lens (nostalgebraist, 2020). It applies the output head to
     * the state of each chosen block and returns the logits of the row's n_lens most probable tokens.
     * For the last block these equal the row's own logits. lens_tokens [n_rows][n_lens] receives those
     * tokens, most probable first; on ties the lower id comes first. The lens is computed from the
     * other outputs: it needs logits, states and lens_tokens, and n_lens from 1 to n_vocab. */
    float *lens;
    int32_t *lens_tokens;
    int32_t n_lens;

    /* [n_rows][n_layers][n_heads][HB_N_ATTENTION]: what every head of every block attends to, found
     * while attention is computed. A sliding window hides earlier positions; their weights are 0. It
     * needs prompts [n_rows]: the length of the prompt, at least 1, with which each row's sequence
     * begins. */
    float *attention;
    const int32_t *prompts;
    /* What the output head reads and multiplies: [n_rows][n_embd], the last block's state after the
     * final norm; and [n_rows][n_lens][n_embd], the head's rows of lens_tokens. `head` needs logits,
     * lens_tokens and n_lens, as the lens does. */
    float *normed;
    float *head;
} hb_tap;
HB_API hb_tap hb_tap_defaults(void);

/* Appends `n_tokens` tokens to sequence 0, evaluates them and fills the outputs of `tap` (NULL: no
 * outputs). HB_ERR_CONTEXT when the tokens do not fit; the session is then unchanged. HB_ERR_ARGUMENT
 * for a token, row or block that is out of range or out of order. Results do not depend on the number
 * of threads. With the portable kernels they are also bit-identical however a text is split into calls;
 * other kernels round differently for few and for many tokens. */
HB_API hb_status hb_eval(hb_session *session, const int32_t *tokens, int32_t n_tokens,
                         const hb_tap *tap, hb_error *err);

/* Like hb_eval, for many sequences at once: token i continues sequence sequences[i]. A sequence may
 * have any number of tokens in the call, in order. Adjacent tokens of one sequence are evaluated
 * faster. `sequences` NULL: all tokens belong to sequence 0. */
HB_API hb_status hb_eval_sequences(hb_session *session, const int32_t *tokens, const int32_t *sequences,
                                   int32_t n_tokens, const hb_tap *tap, hb_error *err);

/* ---- The machine, and how fast it is ------------------------------------------------------------- */

/* What this process may use. */
typedef struct hb_machine {
    char processor[96];    /* the processor's name as the system has it; empty: unknown */
    const char *kernels;   /* those that sessions use: "avx512vnni" ..., or HBAR_KERNELS */
    int32_t n_online;      /* processors of the machine */
    int32_t n_allowed;     /* processors that the affinity of this process allows */
    double quota;          /* processors that its control groups allow; 0: no limit */
    int32_t n_threads;     /* threads that a session uses by default */
    uint64_t memory;       /* bytes of the machine */
    uint64_t memory_free;  /* bytes that are free or can be freed, within memory_limit */
    uint64_t memory_limit; /* bytes that its control groups allow; 0: no limit */
} hb_machine;

/* HB_ERR_ARGUMENT for kernels that HBAR_KERNELS names and this processor cannot run. */
HB_API hb_status hb_machine_describe(hb_machine *machine, hb_error *err);

/* Measured speed of a session, in tokens per second. */
typedef struct hb_speed {
    double prefill;  /* a prompt, n_prefill tokens at once */
    double decode;   /* one sequence, token by token */
    double together; /* n_together sequences, one token each at a time */
    int32_t n_prefill, n_together;
    double measuring; /* seconds that choosing a token and measuring all its signals take */
    double seconds;   /* spent on measuring the speed */
} hb_speed;

/* Measures the speed in about `seconds`, but at least a few evaluations: a large model on a slow
 * machine takes longer. Resets the session, which should have at least 64 free positions. Errors as
 * hb_eval. */
HB_API hb_status hb_measure_speed(hb_session *session, double seconds, hb_speed *speed, hb_error *err);

/* How many bytes a second n_threads threads (0: one per available processor) read from memory, measured
 * in about `seconds`. Decoding reads a model's weights once for each token, so this divided by their
 * size bounds its speed. HB_ERR_MEMORY. */
HB_API hb_status hb_measure_reading(int32_t n_threads, double seconds, double *bytes_per_second,
                                    hb_error *err);

/* About how long pass 1 takes for n samples with prompts of n_prompt tokens and answers of n_answer
 * tokens, in seconds. */
HB_API double hb_score_seconds(const hb_speed *speed, uint64_t n, double n_prompt, double n_answer);

/* ---- Signals: pure functions ------------------------------------------------------------------- */

/* p = softmax(logits) at temperature 1, both [n], n >= 1. `p` may be `logits`. */
HB_API void hb_softmax(const float *logits, size_t n, float *p);

/* The sums over a next-token distribution p = softmax(logits) [n] from which its signals are computed.
 * Here x_i = logit_i - max, raised to at least HB_DISTRIBUTION_FLOOR. */
typedef struct hb_distribution {
    size_t n;
    double max;          /* the largest logit */
    double second;       /* x of the second largest logit; the floor when n is 1 */
    double exps;         /* sum e^x_i */
    double x;            /* sum x_i; this sum uses HB_DISTRIBUTION_MASKED as the floor */
    double x_exps;       /* sum x_i e^x_i */
    double roots;        /* sum e^(x_i / 2) */
    double quarters;     /* sum e^(x_i / 4) */
    double three_halves; /* sum e^(3 x_i / 2) */
    double squares;      /* sum e^(2 x_i) */
} hb_distribution;
#define HB_DISTRIBUTION_FLOOR  (-80.0)
#define HB_DISTRIBUTION_MASKED (-10000.0) /* the logit of a token that is masked out */

/* Computes the sums in two passes over the logits. Short blocks are summed as floats and the block sums
 * as doubles; the relative error is about 1e-6. Returns false and leaves *d unset unless all logits are
 * finite. */
HB_API bool hb_distribution_gather(const float *logits, size_t n, hb_distribution *d);

/* The probability of a token with this logit. */
HB_API double hb_probability(const hb_distribution *d, float logit);

/* Gini impurity 1 - sum p_i^2, in [0, 1) (Breiman et al., CART, 1984; also the complement of Simpson's
 * index, 1949). */
HB_API double hb_gini_impurity(const hb_distribution *d);

/* Shannon entropy -sum p_i ln p_i in nats, in [0, ln n] (Shannon, 1948; for language models: Malinin
 * and Gales, Uncertainty Estimation in Autoregressive Structured Prediction, 2021). */
HB_API double hb_entropy(const hb_distribution *d);

/* Renyi divergence of order 2 from the uniform distribution u, ln(n sum p_i^2) nats, in [0, ln n]
 * (Renyi, 1961; as a detector: Darrin et al., RAINPROOF, 2023). */
HB_API double hb_renyi_divergence(const hb_distribution *d);

/* Tsallis divergence of order 3/2 from the uniform distribution, 2 (sqrt(n) sum p_i^(3/2) - 1), in
 * [0, 2 (sqrt(n) - 1)] (Tsallis, 1988; Borland et al., 1998). */
HB_API double hb_tsallis_divergence(const hb_distribution *d);

/* Fisher-Rao distance from the uniform distribution, (2 / pi) arccos(sum sqrt(p_i / n)), in [0, 1)
 * (Rao, 1945; scaled as by Darrin et al., RAINPROOF, 2023). */
HB_API double hb_fisher_rao_distance(const hb_distribution *d);

/* Both with the parameters of Darrin et al. (RAINPROOF, 2023): temperature 2 and order 1/2. With q =
 * softmax(logits / 2): -2 ln(sum sqrt(q_i / n)) nats, at least 0, and (2 / pi) arccos(sum sqrt(q_i /
 * n)), in [0, 1). */
HB_API double hb_rainproof_renyi(const hb_distribution *d);
HB_API double hb_rainproof_fisher_rao(const hb_distribution *d);

/* The largest probability, in [1 / n, 1] (Hendrycks and Gimpel, 2017). */
HB_API double hb_max_probability(const hb_distribution *d);

/* The difference between the largest and the second largest probability, in [0, 1] (Scheffer et al.,
 * 2001). */
HB_API double hb_margin(const hb_distribution *d);

/* Self-certainty KL(u || p) = -ln n - (1 / n) sum ln p_i in nats, at least 0 (Kang et al., Scalable
 * Best-of-N Selection via Self-Certainty, 2025). */
HB_API double hb_self_certainty(const hb_distribution *d);

/* Boosted probability of a token, in [0, 1]: if the token is dominant, the sum of the dominant tokens'
 * probabilities, else its own. In descending order of probability, the dominant tokens are those up to
 * the last one whose probability exceeds the next by more than 0.005 and by more than 0.3 of itself. If
 * there is no such token, none is dominant (Dinh and Niehues, Are Generative Models Underconfident?
 * Better Quality Estimation with Boosted Model Probability, 2025). `logits` are those that were
 * gathered. */
HB_API double hb_boosted_probability(const hb_distribution *d, const float *logits, int32_t token);

/* The Fisher length of a change of the logits, sqrt(Var_p(logits - before)) in nats: the standard
 * deviation, under p, of each token's change (Fisher information of softmax: Amari, Natural Gradient
 * Works Efficiently in Learning, 1998). All [n]; NaN unless the logits are finite. A change that
 * differs from that of the most probable token by more than 10,000 counts as if it differed by 10,000.
 */
HB_API double hb_fisher_shift(const float *logits, const float *before, size_t n);

/* The null ratio in [0, 1]: the part of the state's change that hardly changes the likeliest tokens,
 * |c - v v'c| / |c|. Here c = state - before, both [n_embd] after the final norm, and v is the first
 * right singular vector of the matrix whose rows are those of the output head [n][n_embd], times the
 * square roots of their tokens' probabilities p [n]. 0 for a change of 0; NaN unless n is from 1 to
 * HB_LENS_TOKENS. Defined by hbar. (HARP: Hu et al., Hallucination Detection via Reasoning Subspace
 * Projection, 2025, uses a fixed subspace in place of v.) */
HB_API double hb_null_ratio(const float *head, const double *p, size_t n, const float *state,
                            const float *before, size_t n_embd);
#define HB_LENS_TOKENS 32

/* Jensen-Shannon divergence of softmax(a) and softmax(b), both [n], in nats, in [0, ln 2] (Lin, 1991;
 * between blocks of a model: Chuang et al., DoLa, 2024). */
HB_API double hb_jensen_shannon(const float *a, const float *b, size_t n);

/* Prediction depth in (0, 1]: the fraction of the blocks after which the first of n tokens has the
 * largest logit and keeps it through the last block (Baldock et al., Deep Learning Through the Lens of
 * Example Difficulty, 2021). `lens` is [n_layers][n]: each block's logits of the same tokens, sorted so
 * that the last block's logits descend. */
HB_API double hb_prediction_depth(const float *lens, size_t n_layers, size_t n);

/* Precision delta-mu = 1 / sqrt(I + 0.01) from the impurity I, in (0.99, 10]; defined by hbar. */
HB_API double hb_delta_mu(double impurity);

#define HB_MAX_LAYERS 4096 /* blocks in a model */

/* Flexibility delta-sigma in [0, 1]: the root mean square distance of the unit-normalised rows of
 * states [n_layers][n_embd] from their centroid; each row is divided by sqrt(sum h^2 + 1e-8). With R
 * the length of the mean direction it is sqrt(1 - R^2) (R: Mardia, Statistics of Directional Data,
 * 1972). NaN when n_layers is 0 or above HB_MAX_LAYERS. */
HB_API double hb_delta_sigma(const float *states, size_t n_layers, size_t n_embd);

/* Semantic uncertainty hbar_s = sqrt(delta-mu * delta-sigma); defined by hbar. */
HB_API double hb_hbar_s(double delta_mu, double delta_sigma);

/* Which side of the threshold is risky. */
typedef enum hb_direction {
    HB_DIRECTION_HIGH, /* score >= tau */
    HB_DIRECTION_LOW,  /* score <= tau */
    HB_DIRECTION_AUTO /* in options: choose from the data; of a signal: not settled; never in results */
} hb_direction;
HB_API const char *hb_direction_name(hb_direction direction); /* "high", "low", "auto" */
HB_API const char *hb_direction_sign(hb_direction direction); /* ">=" or "<=" */

/* Whether the threshold flags a score: score >= tau for HB_DIRECTION_HIGH, score <= tau for
 * HB_DIRECTION_LOW. */
HB_API bool hb_is_flagged(double score, double tau, hb_direction direction);

/* Failure probability 1 / (1 + exp(-lambda (value - tau))). HB_DIRECTION_LOW flips the sign of the
 * exponent. The exponent is clamped to [-50, 50]. */
HB_API double hb_p_fail(double value, double tau, double lambda, hb_direction direction);
#define HB_DEFAULT_LAMBDA 5.0

/* How a score is mapped to a failure probability. */
typedef enum hb_map_kind {
    HB_MAP_LAMBDA,     /* hb_p_fail with a given lambda */
    HB_MAP_FIT_LAMBDA, /* hb_p_fail with the maximum-likelihood lambda for tau */
    HB_MAP_PLATT,      /* 1 / (1 + exp(a score + b)) (Platt, Probabilistic Outputs for Support Vector
                          Machines, 1999) */
    HB_MAP_ISOTONIC /* the maximum-likelihood map that never decreases as risk increases (Zadrozny and
                       Elkan, Transforming Classifier Scores into Accurate Multiclass Probability
                       Estimates, 2002) */
} hb_map_kind;

typedef struct hb_map {
    hb_map_kind kind;
    double tau, lambda;
    hb_direction direction;
    double a, b; /* coefficients of the Platt map */
    double *scores,
        *p; /* [n_knots], isotonic map: linear between knots, constant outside; scores ascend */
    size_t n_knots;
} hb_map;

/* "lambda", "fit-lambda", "platt", "isotonic"; "unknown" for any other number. */
HB_API const char *hb_map_kind_name(hb_map_kind kind);
HB_API double hb_map_p(const hb_map *map, double score); /* in [0, 1] */
/* P_fail from the map. If `map` is NULL, P_fail is hb_p_fail of the other arguments. */
HB_API double hb_p_fail_by(const hb_map *map, double value, double tau, double lambda,
                           hb_direction direction);
HB_API void hb_map_free(hb_map *map); /* frees the members, not the struct */

/* Surprise -ln p of the chosen token in nats, with p clamped to [1e-10, 1] (self-information: Shannon,
 * A Mathematical Theory of Communication, 1948). */
HB_API double hb_surprise(double p);

/* Cosine distance 1 - a.b / (|a||b|) in [0, 2] between two vectors [n]; 0 when either is zero
 * (Salton, Wong and Yang, A Vector Space Model for Automatic Indexing, 1975). */
HB_API double hb_cosine_distance(const float *a, const float *b, size_t n);

/* Predictive rupture index: surprise * (1 + alpha * delta_h); defined by hbar. */
HB_API double hb_pri(double surprise, double delta_h, double alpha);

/* Running mean of the five largest values (of all values while there are fewer than five), in constant
 * memory. Start from a zeroed struct. The mean of no values is NaN. For the five smallest values, add
 * the negated values and negate the mean. */
typedef struct hb_top5 {
    double largest[5]; /* descending */
    int n;
} hb_top5;
HB_API void hb_top5_add(hb_top5 *top, double value);
HB_API double hb_top5_mean(const hb_top5 *top);

/* ---- Signals: what is measured at a step -------------------------------------------------------- */

/* How the per-step values of a sample are reduced to one score. A score should summarise the riskiest
 * steps. Which steps these are depends on the direction, so HB_AGGREGATION_TAIL5 stands for one of the
 * two aggregations after it: TOP5 where high values are risky, BOTTOM5 where low values are. */
typedef enum hb_aggregation {
    HB_AGGREGATION_TAIL5,
    HB_AGGREGATION_TOP5,    /* mean of the five largest values, or of all if there are fewer */
    HB_AGGREGATION_BOTTOM5, /* mean of the five smallest values, or of all if there are fewer */
    HB_AGGREGATION_MEAN,
    HB_AGGREGATION_MAX,
    HB_AGGREGATION_MIN,
    HB_AGGREGATION_LAST,
    HB_AGGREGATION_FIRST,
    HB_AGGREGATION_SUM
} hb_aggregation;

HB_API size_t hb_aggregation_count(void); /* aggregations are numbered from 0 */
/* Whether samples have a value of this aggregation. False for tail5, which stands for another one. */
HB_API bool hb_aggregation_is_measured(hb_aggregation aggregation);
/* "tail5", "top5", "mean" ...; "unknown" for any other number. */
HB_API const char *hb_aggregation_name(hb_aggregation aggregation);
HB_API bool hb_aggregation_find(const char *name, hb_aggregation *aggregation);

/* A signal: a value that is measured at each checked step. docs/signals.md has the formulas. A handle
 * is immutable and may be shared by threads. Handles of built-in signals are valid forever.
 *
 * The entropy production rate "epr" is the entropy of the HB_RANKS most probable tokens, -sum p ln p
 * (Moslonka et al., Learned Hallucination Detection in Black-Box LLMs using Token-level Entropy
 * Production Rate, 2025). "pri_fisher" is surprise + alpha hb_fisher_shift; defined by hbar.
 *
 * Perplexity and sequence log-probability cover the tokens up to the step (Fadeeva et al.,
 * LM-Polygraph, 2023). The lens signals apply the output head to the states of the blocks
 * (nostalgebraist, Interpreting GPT: the Logit Lens, 2020). They use only the HB_LENS_TOKENS most
 * probable tokens and renormalise their probabilities.
 *
 * Signals of attention are means over all heads: attention_entropy (Ghader and Monz, What does
 * Attention in Neural Machine Translation Pay Attention to?, 2017), attention_sink (Xiao et al.,
 * Efficient Streaming Language Models with Attention Sinks, 2024), and attention_self, the attention
 * score of LLM-Check (Sriramanan et al., LLM-Check: Investigating Detection of Hallucinations in Large
 * Language Models, 2024). rauq covers the tokens up to the step (Vazhentsev et al., Uncertainty-Aware
 * Attention Heads: Efficient Unsupervised Uncertainty Quantification for LLMs, 2025). */
typedef struct hb_signal hb_signal;

/* The built-in signals, by number from 0 ("hbar_s", "pri" ...) or by name; NULL beyond the last, or for
 * an unknown name. */
HB_API const hb_signal *hb_signal_at(size_t i);
HB_API const hb_signal *hb_signal_find(const char *name);

/* These texts are valid as long as the signal. */
HB_API const char *hb_signal_name(const hb_signal *signal);
HB_API const char *hb_signal_about(const hb_signal *signal); /* a short description */
HB_API const char *hb_signal_unit(const hb_signal *signal); /* "nats"; "" for a signal without a unit */
/* Which values are risky by the signal's definition; HB_DIRECTION_AUTO where that is not settled. */
HB_API hb_direction hb_signal_risky(const hb_signal *signal);
/* The aggregation used when a score name does not give one. */
HB_API hb_aggregation hb_signal_usual(const hb_signal *signal);

/* A set of signals of any size. Built-in signals come first, in the order of hb_signal_at; other
 * signals follow. Where a function expects a set, NULL means all built-in signals. */
typedef struct hb_signal_set hb_signal_set;

HB_API hb_status hb_signal_set_new(hb_signal_set **set, hb_error *err); /* creates an empty set */
/* Parses a comma-separated list of signal names, or "all". HB_ERR_ARGUMENT for an unknown name; the
 * message lists the known ones. */
HB_API hb_status hb_signal_set_parse(const char *list, hb_signal_set **set, hb_error *err);
HB_API hb_status hb_signal_set_copy(const hb_signal_set *from, hb_signal_set **set, hb_error *err);
HB_API void hb_signal_set_free(hb_signal_set *set);
/* Adds a signal, which must outlive the set. Adding a signal twice has no effect. */
HB_API hb_status hb_signal_set_add(hb_signal_set *set, const hb_signal *signal, hb_error *err);
HB_API size_t hb_signal_set_count(const hb_signal_set *set);
HB_API const hb_signal *hb_signal_set_at(const hb_signal_set *set, size_t i); /* NULL beyond the last */
HB_API bool hb_signal_set_has(const hb_signal_set *set, const hb_signal *signal);
/* The names, separated by commas. Release with free(). NULL when memory runs out. */
HB_API char *hb_signal_set_names(const hb_signal_set *set);

/* Whether the engine of the model gives what the signal reads (docs/engines.md), and the set of all
 * built-in signals of which this is true. The native engine measures every signal. */
HB_API bool hb_model_can_measure(const hb_model *model, const hb_signal *signal);
HB_API hb_status hb_signal_set_of_model(const hb_model *model, hb_signal_set **set, hb_error *err);

/* ---- Features: vectors of a sample, for detectors that are trained ------------------------------- */

/* A run may keep features of its samples beside their scores. They are collected in pass 1 from the
 * same evaluations, so they cost little. In pass 2, probes are trained on them. The state of a step is
 * that from which its token is chosen: the state at the position before the token. So the state of the
 * first step is that of the prompt's last token, before any token of the answer. */
typedef enum hb_feature {
    HB_FEATURE_FIRST, /* the chosen blocks' states at the first step, [n_blocks][n_embd] */
    HB_FEATURE_MEAN,  /* their mean over the steps */
    HB_FEATURE_LAST,  /* those at the last step */
    HB_FEATURE_TOPK,  /* -p ln p of the HB_RANKS most probable tokens, by descending p: the mean of each
                         over the steps, then the greatest value of each, [2][HB_RANKS] */
    HB_FEATURE_ATTENTION, /* what every head of every block attends to at the position from which a
                             step's token is chosen: the means over the steps,
                             [n_layers][n_heads][HB_N_ATTENTION] */
    HB_FEATURE_LOOKBACK,  /* the lookback ratio of every head, the mean over the steps: the mean weight
                             of a position of the prompt, divided by the sum of this and of the mean
                             weight of a generated position; at a first step 1. [n_layers][n_heads] */
    HB_FEATURE_STATES,    /* the state after one block at each step, [steps][n_embd] */
    HB_N_FEATURES
} hb_feature;
#define HB_RANKS 15

HB_API const char *hb_feature_name(hb_feature feature); /* "first", "mean", "last" ... */

/* Completes a list of features for hb_run_settings. "hidden" keeps states (FIRST, MEAN and LAST) after
 * the blocks a quarter, a half, three quarters and all of the way through the model;
 * "hidden:8+15+30" after these blocks, numbered from 1. "topk" keeps TOPK. "attention" keeps ATTENTION
 * and LOOKBACK. "states" keeps STATES of the block half way through the model, "states:15" of that
 * block. Release *features with free(). HB_ERR_ARGUMENT for an unknown feature or block. */
HB_API hb_status hb_features_parse(const char *list, const hb_model_info *model, char **features,
                                   hb_error *err);
/* The bytes by which such features make a run grow with each sample, STATES aside. */
HB_API hb_status hb_features_size(const char *features, const hb_model_info *model, size_t *bytes,
                                  hb_error *err);
/* The bytes by which STATES make it grow with each step; 0 without them. */
HB_API hb_status hb_features_step_size(const char *features, const hb_model_info *model, size_t *bytes,
                                       hb_error *err);

/* ---- Scores: signals aggregated over a sample's steps ------------------------------------------- */

/* A signal with one aggregation. */
typedef struct hb_score_id {
    const hb_signal *signal;
    hb_aggregation aggregation;
} hb_score_id;

/* Parses a score name. "entropy" is the signal with its usual aggregation, which is tail5 for most
 * signals; "entropy:mean" names the aggregation. Returns false and leaves *id unset for any other text.
 */
HB_API bool hb_score_find(const char *name, hb_score_id *id);
/* The measured score that stands for `id` in this direction: a score with tail5 becomes the one with
 * top5 or bottom5, any other score stays as it is. `direction` is HIGH or LOW. */
HB_API hb_score_id hb_score_tail(hb_score_id id, hb_direction direction);
/* The score's name; the usual aggregation is omitted. Release with free(). NULL when memory runs out.
 */
HB_API char *hb_score_name(hb_score_id id);
/* Score number i, from 0, of a set. Scores are ordered by signal, then by aggregation. False beyond the
 * last. */
HB_API bool hb_score_at(const hb_signal_set *set, size_t i, hb_score_id *id);

/* The scores of one sample, as names and values. A value is NaN when there were no step values to
 * aggregate. NULL means a sample without scores. */
typedef struct hb_scores hb_scores;
HB_API size_t hb_scores_count(const hb_scores *scores);
HB_API const char *hb_scores_name(const hb_scores *scores, size_t i); /* NULL beyond the last */
HB_API double hb_scores_at(const hb_scores *scores, size_t i);        /* NaN beyond the last */
/* A score's value, by name or by signal and aggregation; NaN when there is no such score. A score with
 * tail5 has no value of its own: ask for that of hb_score_tail. */
HB_API double hb_scores_value(const hb_scores *scores, const char *name);
HB_API double hb_scores_get(const hb_scores *scores, hb_score_id id);

/* A joint model combines several scores into one: the log-odds of label 1 from a logistic regression.
 */
#define HB_JOINT_MAX_SAMPLES 10000000

typedef struct hb_joint_feature {
    char *score;             /* its name */
    double mean, sd, weight; /* the weight multiplies (value - mean) / sd */
} hb_joint_feature;

typedef struct hb_joint_options {
    size_t n_folds;         /* 2 to 100; 5 */
    uint64_t seed;          /* seed for assigning samples to folds; 42 */
    const uint32_t *groups; /* [n], as in hb_score_table: a group's samples share a fold; NULL */
} hb_joint_options;

/* The out-of-fold performance of one regularisation strength. */
typedef struct hb_joint_trial {
    double c, log_loss, auroc;
} hb_joint_trial;

/* Release with hb_joint_free. A joint model loaded from parameters has no trials and options. */
typedef struct hb_joint {
    hb_joint_feature *features; /* [n_features] */
    size_t n_features;          /* 0: there is no joint model */
    double intercept;
    hb_joint_options options;
    hb_joint_trial *trials; /* [n_trials], the regularisation strengths tried: c = 1e-4, 1e-3 ... 1e4 */
    size_t n_trials;
    size_t best; /* index of the chosen trial */
} hb_joint;
HB_API void hb_joint_free(hb_joint *joint); /* frees the members, not the struct */

/* The log-odds of label 1 for score values [n_features]. */
HB_API double hb_joint_log_odds(const hb_joint *joint, const double *values);

/* ---- Halting: the running statistic that decides ------------------------------------------------ */

/* What is computed, step by step, from a value x that is measured at each step, rounded to a float. */
typedef enum hb_halt_kind {
    HB_HALT_NONE,
    HB_HALT_TOKEN,  /* x itself */
    HB_HALT_WINDOW, /* the mean of the last `window` values, or of all while there are fewer (Fu et al.,
                       Deep Think with Confidence, 2025) */
    HB_HALT_EWMA,   /* weight x + (1 - weight) times the statistic before; x at the first step (Roberts,
                       Control Chart Tests Based on Geometric Moving Averages, 1959) */
    HB_HALT_CUSUM   /* the sum of the log-likelihood ratios l(x) since it was last below 0, at least 0
                       (Page, Continuous Inspection Schemes, 1954). The values at tokens of answers with
                       label 0 and 1 are taken as normal with these means and one standard deviation, so
                       l(x) = (mean[1] - mean[0]) (x - (mean[0] + mean[1]) / 2) / sd^2 */
} hb_halt_kind;

typedef struct hb_halt_rule {
    hb_halt_kind kind;
    int32_t window;     /* 1 to HB_HALT_WINDOW_MAX */
    double weight;      /* above 0 and at most 1 */
    double mean[2], sd; /* of a cusum; a calibration finds them where sd is 0 */
} hb_halt_rule;
#define HB_HALT_WINDOW_MAX 4096

/* Parses "none", "token", "window:K", "ewma:A" or "cusum". False, with *rule unset, for anything else.
 */
HB_API bool hb_halt_rule_parse(const char *text, hb_halt_rule *rule);
/* The rule as such a text. */
#define HB_HALT_RULE_BYTES 40
HB_API void hb_halt_rule_text(const hb_halt_rule *rule, char text[HB_HALT_RULE_BYTES]);

typedef struct hb_halt_model hb_halt_model; /* a trained model that halts, see below */

/* Halt before the token at whose step the statistic is beyond tau (hb_is_flagged). */
typedef struct hb_halt {
    hb_halt_rule rule;
    hb_direction direction; /* HIGH or LOW; of a cusum HIGH */
    double tau;
    const hb_halt_model *model; /* gives the values at the steps; NULL: the watched signal or joint
                                   model gives them */
} hb_halt;

/* Whether the halt stops every answer at its first step, whatever the values are: a cusum is never
 * below 0. */
HB_API bool hb_halt_stops_all(const hb_halt *halt);

/* Computes the statistic at each step from the values [n]. `statistics` is [n] and may be `values`.
 * HB_ERR_ARGUMENT for a bad rule and for HB_HALT_NONE; HB_ERR_MEMORY. */
HB_API hb_status hb_halt_statistics(const hb_halt_rule *rule, const double *values, size_t n,
                                    double *statistics, hb_error *err);

/* ---- Probes: models of features ------------------------------------------------------------------ */

/* A probe gives the log-odds of label 1: an intercept and the weighted sum of a feature's numbers. It
 * is trained in pass 2 (hb_probe_fit, hb_calibrate_run) and kept in parameters. Its kind is its name:
 *
 *  - "probe": the mean state after one block (Azaria and Mitchell, The Internal State of an LLM Knows
 *    When It's Lying, 2023: SAPLMA; linear as by Marks and Tegmark, The Geometry of Truth, 2023). The
 *    mean's log-odds are the mean of the steps' log-odds, so the same weights judge an answer and each
 *    of its tokens.
 *  - "probe_first": the state at the prompt's last token, before the answer.
 *  - "probe_last": the state at the answer's last step.
 *  - "wepr": HB_FEATURE_TOPK (weighted entropy production rate: Moslonka et al., Learned Hallucination
 *    Detection in Black-Box LLMs using Token-level Entropy Production Rate, 2025).
 *  - "lookback": HB_FEATURE_LOOKBACK (Chuang et al., Lookback Lens: Detecting and Mitigating Contextual
 *    Hallucinations in Large Language Models Using Only Attention Maps, 2024).
 *
 * Two kinds are densities. They give a squared distance instead of log-odds: a quadratic function of
 * the mean state after one block, in its HB_DENSITY_RANK leading principal components.
 *
 *  - "mahalanobis": (x - m)' S^-1 (x - m), where m and S are the mean and the covariance of the answers
 *    with label 0, shrunk as by Ledoit and Wolf (A Well-Conditioned Estimator for Large-Dimensional
 *    Covariance Matrices, 2004). The distance as a detector: Lee et al., A Simple Unified Framework for
 *    Detecting Out-of-Distribution Samples and Adversarial Attacks, 2018.
 *  - "relative_mahalanobis": this distance less that from all answers (Ren et al., A Simple Fix to
 *    Mahalanobis Distance for Improving Near-OOD Detection, 2021; of states of language models: Ren et
 *    al., Out-of-Distribution Detection and Selective Generation for Conditional Language Models,
 * 2023).
 */
typedef struct hb_probe hb_probe;
#define HB_DENSITY_RANK 64

/* The name of kind i, from 0; NULL beyond the last. */
HB_API const char *hb_probe_kind_name(size_t i);
/* What hb_features_parse must list for it: "hidden", "topk" or "attention"; NULL beyond the last. */
HB_API const char *hb_probe_kind_features(size_t i);

HB_API const char *hb_probe_name(const hb_probe *probe);
/* The block that it reads, numbered from 0; -1 for a kind that reads no state. */
HB_API int32_t hb_probe_block(const hb_probe *probe);
/* The weights [*n] of the feature's numbers as they are, valid as long as the probe; of a density,
 * those of its linear part. */
HB_API const float *hb_probe_weights(const hb_probe *probe, size_t *n, double *intercept);
/* The log-odds of label 1 for a feature [n]; of a density, the distance. */
HB_API double hb_probe_log_odds(const hb_probe *probe, const float *x);
/* The probe as a signal, valid as long as the probe. Its value at a step is the log-odds of the step;
 * of wepr and densities, of the steps up to this one. Its usual aggregation gives the sample's
 * log-odds.
 */
HB_API const hb_signal *hb_probe_signal(const hb_probe *probe);

/* The out-of-fold performance of one block and regularisation strength; of a density, c is 0 and the
 * log-loss NaN. */
typedef struct hb_probe_trial {
    int32_t block; /* as in hb_probe_block */
    double c, log_loss, auroc;
} hb_probe_trial;

/* The trials [*n] of its training, and the index of the chosen one; *n is 0 for a loaded probe. Valid
 * as long as the probe. */
HB_API const hb_probe_trial *hb_probe_trials(const hb_probe *probe, size_t *n, size_t *best);
HB_API void hb_probe_free(hb_probe *probe);

/* ---- Trained models that halt ------------------------------------------------------------------- */

/* An hb_halt_model gives log-odds at each step, from which a halt's statistic is computed: a probe, or
 * a joint model of values at the step. The model is linear, so the mean of its log-odds over the steps
 * is its log-odds of the mean values. A calibration fits it to one part of the answers and chooses the
 * halt's threshold on the rest, so it is not the probe or joint model that judges whole answers. */

/* Whether a halt can run over a score. A score alone must be one of a signal, or "probe". A feature of
 * a joint model must be the mean of a signal over the steps, such as "entropy:mean", or "probe". */
HB_API bool hb_score_can_halt(const char *score, bool in_joint);
/* Its probe, of the kind "probe", and its joint model; NULL if it has none. Valid as long as the model.
 */
HB_API const hb_probe *hb_halt_model_probe(const hb_halt_model *model);
HB_API const hb_joint *hb_halt_model_joint(const hb_halt_model *model);
HB_API void hb_halt_model_free(hb_halt_model *model);

/* ---- Monitor: generate, watch, halt ------------------------------------------------------------ */

typedef struct hb_monitor {
    /* The signal that decides when to halt; default hbar_s. With NULL nothing halts and P_fail is NaN.
     */
    const hb_signal *watched;
    /* A joint model of the scores over the steps so far. If set, it decides instead of `watched`;
     * default NULL. */
    const hb_joint *joint;
    /* The signals to measure; default NULL, which means all. The signals that decide are always
     * measured. */
    const hb_signal_set *signals;
    double tau;    /* threshold on the deciding value; 2.0 */
    double lambda; /* steepness of P_fail; 5.0 */
    double cutoff; /* halt when P_fail >= cutoff; 0.85; a cutoff above 1, such as INFINITY, never halts.
                      Not used with `halt`. No guarantee covers it, so with parameters that have no
                      calibrated halt, set INFINITY */
    double alpha;  /* weight of delta-h in PRI; 0.1 */
    hb_direction direction; /* HB_DIRECTION_HIGH */
    const hb_map *map;      /* if set, gives P_fail instead of tau, lambda and direction; NULL */
    int32_t check_every;    /* check steps 0, k, 2k ...; 1: every token */
    const hb_halt *halt; /* if set, decides about halting, by the deciding value of each checked step;
                            default NULL */
} hb_monitor;
HB_API hb_monitor hb_monitor_defaults(void); /* those named above */

typedef struct hb_sampling {
    double temperature; /* 0: greedy, the most probable token (the lowest id among equals) */
    int32_t top_k;      /* keep the k most probable tokens; 0: all */
    double top_p;  /* then keep the smallest set of most probable tokens whose total probability reaches
                      top_p; 1: all */
    uint64_t seed; /* 42 */
} hb_sampling;
HB_API hb_sampling hb_sampling_defaults(void); /* greedy */

/* One checked step: the measurements taken when a token was chosen. */
typedef struct hb_step {
    int32_t step;    /* 0 for the first token after the prompt */
    int32_t token;   /* the chosen token, even if it was not appended */
    double impurity; /* NaN when no signal needs the distribution */
    double p_fail;   /* NaN when nothing is watched */
    double watched;  /* the value that P_fail is computed from: the watched signal or the joint model's
                        log-odds */
    const hb_signal_set *signals; /* the measured signals */
    const double *values;         /* their values, in the order of the set */
    double halt;                  /* the statistic of the monitor's halt; NaN without one */
    bool halts; /* the step reached the threshold: of the monitor's halt or, without one, the cutoff */
} hb_step;

/* A signal's value at the step; NaN when it was not measured. */
HB_API double hb_step_value(const hb_step *step, const hb_signal *signal);

typedef enum hb_finish {
    HB_FINISH_HALTED,     /* a step reached the threshold (hb_step.halts) */
    HB_FINISH_END,        /* the model produced an end-of-text token */
    HB_FINISH_LINE,       /* the last line of the answer ended */
    HB_FINISH_STOP,       /* a stop text was generated */
    HB_FINISH_MAX_TOKENS, /* max_tokens tokens were appended */
    HB_FINISH_CONTEXT,    /* the context is full */
    HB_FINISH_CANCELLED,  /* the cancel hook returned true */
    HB_FINISH_GIVEN       /* the end of a given continuation was reached */
} hb_finish;

/* "halted", "end of text", "end of line", "stop text", "max tokens", "context full", "cancelled", "end
 * of given text"; "unknown" for any other number. */
HB_API const char *hb_finish_name(hb_finish finish);

typedef enum hb_mode {
    HB_MODE_FULL,      /* keep text, tokens and trajectory */
    HB_MODE_SCORE_ONLY /* keep only scores, in constant memory; check every token */
} hb_mode;

typedef struct hb_generate_options {
    hb_monitor monitor;
    hb_sampling sampling;
    int32_t max_tokens; /* 512 */
    bool one_line;      /* stop after the token that ends an answer of one line (hb_answer_length);
                           false */
    /* Stop at the first occurrence of any of these texts. The output ends before it. */
    const char *const *stops; /* [n_stops] */
    size_t n_stops;           /* 0 */
    hb_mode mode;
    /* Called for each appended token with the bytes it adds to the text and the latest step checked
     * before it. A character may be split between calls. `step` is valid during the call. Bytes that
     * may begin a stop text are held back and delivered with a later token or in one more call at the
     * end. May be NULL. */
    void (*on_token)(void *user, const hb_step *step, const char *bytes, size_t length);
    /* Called before each evaluation (of one token, or of up to 512 prompt tokens). Returning true
     * cancels the generation. May be NULL. */
    bool (*cancelled)(void *user);
    void *user;
} hb_generate_options;

/* The defaults named above, mode HB_MODE_FULL, no hooks. */
HB_API hb_generate_options hb_generate_defaults(void);

typedef struct hb_generation {
    char *text;          /* generated text, valid UTF-8, zero-terminated; NULL when score-only */
    int32_t *tokens;     /* [n_tokens], including the tokens of a stop text; NULL when score-only */
    hb_step *trajectory; /* [n_steps], the checked steps; NULL when score-only */
    size_t n_steps;      /* number of checked steps, in both modes */
    int32_t n_tokens;    /* tokens appended, without the end-of-text token or a halted token */
    int32_t n_prompt;    /* tokens of the prompt */
    hb_finish finish;
    hb_step last;           /* the last checked step, if any; after a halt, the step that caused it */
    double cutoff;          /* the cutoff used */
    int32_t alarm;          /* the first checked step that reached the threshold; -1: none */
    hb_signal_set *signals; /* the measured signals */
    double *values;         /* storage for the values of the steps above */
    hb_scores *scores;      /* the scores of `signals` with every measured aggregation */
    double prompt_seconds, decode_seconds;
} hb_generation;

/* Resets the session, evaluates `prompt` and generates token by token. At each checked step it measures
 * the next-token distribution and the block states, and it halts before a risky token is appended. A
 * cancelled generation returns HB_OK with HB_FINISH_CANCELLED; its scores are NaN if it was cancelled
 * before the first step. HB_ERR_CONTEXT when the prompt leaves no room for a token. */
HB_API hb_status hb_generate(hb_session *session, const char *prompt, size_t length,
                             const hb_generate_options *options, hb_generation *generation,
                             hb_error *err);

/* Like hb_generate, from the tokens of a prompt, at least one. prompt_seconds excludes tokenization. */
HB_API hb_status hb_generate_tokens(hb_session *session, const int32_t *prompt, size_t n_prompt,
                                    const hb_generate_options *options, hb_generation *generation,
                                    hb_error *err);
HB_API void hb_generation_free(hb_generation *generation);

/* ---- Grading: labels from a model's own answer -------------------------------------------------- */

/* docs/grading.md defines how texts are compared, with examples. In short: a text becomes a list of
 * words, after Unicode's NFKC and full case folding, without punctuation, emoji, accents and articles.
 * A number is one word, with or without digit groups. A date becomes day, month and year in this order.
 * In scripts without blanks between words, each character is a word. Texts are compared twice, with
 * punctuation as a separator and with punctuation deleted; the better result counts. */
typedef enum hb_grade_rule {
    HB_GRADE_EXACT,    /* the answer equals a right one */
    HB_GRADE_CONTAINS, /* the answer contains the words of a right one side by side */
    HB_GRADE_F1,       /* the overlap of their words has an F1 of at least min_f1 */
    HB_GRADE_NUMBER, /* its last number, or the number after GSM8K's ####, equals that of a right one */
    HB_GRADE_CHOICE, /* it chooses the same letter, A to J, as a right one */
    HB_N_GRADE_RULES
} hb_grade_rule;

/* How an abstention counts, which is an answer like "I don't know". */
typedef enum hb_abstain_as {
    HB_ABSTAIN_OUT,   /* no label, so calibration leaves it out */
    HB_ABSTAIN_RIGHT, /* label 0 */
    HB_ABSTAIN_WRONG, /* label 1 */
    HB_N_ABSTAIN_AS
} hb_abstain_as;

/* Phrases by which abstentions are recognised. Immutable, so threads may share it. */
typedef struct hb_abstain_list hb_abstain_list;

/* Opens the built-in phrases (data/abstain, in eleven languages) and, unless `path` is NULL, adds those
 * of a file in the same format (docs/grading.md). HB_ERR_IO; HB_ERR_FORMAT, naming the line, for a
 * phrase without a word and for a file that is not UTF-8. */
HB_API hb_status hb_abstain_list_open(const char *path, hb_abstain_list **list, hb_error *err);
HB_API void hb_abstain_list_free(hb_abstain_list *list);

#define HB_ALL_LINES (-1) /* a number of lines: up to the end of the text */

typedef struct hb_grading {
    hb_grade_rule rule;       /* HB_GRADE_EXACT */
    double min_f1;            /* for HB_GRADE_F1: smallest F1 of a right answer; 0.5 */
    double tolerance;         /* for HB_GRADE_NUMBER: largest relative error of a right answer; 0 */
    hb_abstain_as abstain_as; /* HB_ABSTAIN_OUT */
    int32_t answer_lines;     /* maximum number of lines of an answer; 0: one */
    const hb_abstain_list *abstains; /* NULL: the built-in phrases, which each call then prepares again
                                        in about a millisecond */
} hb_grading;
HB_API hb_grading hb_grading_defaults(void);
HB_API const char *hb_grade_rule_name(hb_grade_rule rule);      /* "exact", "contains", "f1" ... */
HB_API const char *hb_abstain_as_name(hb_abstain_as treatment); /* "out", "right", "wrong" */

/* HB_ERR_ARGUMENT, naming the field, for an unknown rule or treatment of abstentions, for min_f1
 * outside of 0 to 1 and, with HB_GRADE_F1, for 0, and for a tolerance that is negative or not finite.
 * Functions that read a run and return a status check this, too. */
HB_API hb_status hb_grading_check(const hb_grading *grading, hb_error *err);

/* Whether both give the same labels for the same grades: rule, the rule's limit and abstain_as are
 * equal. */
HB_API bool hb_grading_same(const hb_grading *a, const hb_grading *b);

/* The rule, abstain_as and the rule's limit as a text, such as "contains,out" and "f1,wrong,0.6"; and
 * back, with the defaults for the other fields. A text that hb_grading_text does not write fails with
 * HB_ERR_FORMAT. */
#define HB_GRADING_TEXT_BYTES 64
HB_API void hb_grading_text(const hb_grading *grading, char text[HB_GRADING_TEXT_BYTES]);
HB_API hb_status hb_grading_parse(const char *text, hb_grading *grading, hb_error *err);

/* The result by every rule; the best result over all right answers counts. */
typedef struct hb_grade {
    bool exact, contains;
    double f1;           /* in [0, 1], of words with their counts (Rajpurkar et al., SQuAD, 2016) */
    double number_error; /* relative error |given - right| / |right|; NaN where either has no number */
    bool choice;
    bool abstained; /* it contains a phrase of the list and is not exact */
} hb_grade;

/* Grades the answer in `text` against right answers [n]. `text` may have any bytes. A right answer
 * without a word matches nothing. Only answer_lines and abstains of `grading` are used; NULL means
 * hb_grading_defaults(). Memory and time are O(n log n) in the length of the texts. HB_ERR_MEMORY. */
HB_API hb_status hb_grade_answer(const char *text, const char *const *answers, size_t n,
                                 const hb_grading *grading, hb_grade *grade, hb_error *err);

/* The label of a grade: 0 if the answer is right by the rule, 1 (hallucinated) if it is not, and
 * HB_LABEL_NONE for an abstention that is left out. NULL for `grading` means hb_grading_defaults(). */
#define HB_LABEL_NONE (-2)
HB_API int hb_grade_label(const hb_grade *grade, const hb_grading *grading);

/* Adds 1 to right[rule] for every rule below n_rules by which the label is 0. */
HB_API void hb_grade_count(const hb_grade *grade, const hb_grading *grading, size_t *right,
                           size_t n_rules);

/* Whether a right answer has a word; without one, nothing can match it. HB_ERR_MEMORY. */
HB_API hb_status hb_answer_is_gradable(const char *answer, bool *gradable, hb_error *err);

/* The fraction of the answer's words that occur in the context; NaN for an answer without a word. Words
 * are compared as for grading. HB_ERR_MEMORY. */
HB_API hb_status hb_word_overlap(const char *answer, size_t length, const char *context,
                                 double *overlap, hb_error *err);

/* The position of the answer in a model's text. Blank lines, reasoning blocks (<think> ... </think> and
 * the like) and lead-in lines ("Sure! Here is the answer:") before the answer are skipped, and so is a
 * label such as "Answer:" at its beginning. */
typedef struct hb_answer {
    size_t start, end;  /* in bytes; equal if there is no answer */
    size_t lead;        /* start of the lead-in lines, at or before `start` */
    bool has_block;     /* a reasoning block comes before the answer */
    bool in_block;      /* the text ends inside this block */
    bool unknown_block; /* the text begins with an unknown marker in brackets, such as <plan> */
} hb_answer;

/* Finds the answer of at most `lines` lines that are not blank; 0 means one. */
HB_API hb_answer hb_answer_find(const char *text, size_t length, int32_t lines);

/* The number of bytes up to the end of the answer, where pass 1 may stop; `length` if the answer has
 * not ended. */
HB_API size_t hb_answer_length(const char *text, size_t length, int32_t lines);

/* ---- Samples: several answers to one prompt ------------------------------------------------------ */

typedef struct hb_draw_options {
    int32_t n;            /* 10; at most HB_MAX_SAMPLES */
    hb_sampling sampling; /* temperature 1; sample 0 uses the seed, the others seeds derived from it */
    int32_t max_tokens;   /* 512, of each sample */
    bool one_line;        /* as in hb_generate_options; false */
    const char *const *stops;      /* [n_stops], as in hb_generate_options */
    size_t n_stops;                /* 0 */
    bool (*cancelled)(void *user); /* called before each evaluation; true cancels. May be NULL */
    void *user;
} hb_draw_options;
HB_API hb_draw_options hb_draw_defaults(void); /* those named above */
#define HB_MAX_SAMPLES 1000

typedef struct hb_drawn_sample {
    char *text;      /* valid UTF-8 */
    double log_prob; /* sum of the log-probabilities of its tokens, at temperature 1 */
    int32_t n_tokens,
        n_measured; /* tokens of the text; tokens in log_prob, with an end-of-text token */
    hb_finish finish;
} hb_drawn_sample;

/* Resets the session and draws n samples of a prompt, which is evaluated once. As many are evaluated
 * together as the session has sequences. Release *samples with hb_drawn_samples_free. HB_ERR_CANCELLED
 * when the hook cancels; else as hb_generate_tokens. */
HB_API hb_status hb_draw_samples(hb_session *session, const int32_t *prompt, size_t n_prompt,
                                 const hb_draw_options *options, hb_drawn_sample **samples,
                                 hb_error *err);
/* As hb_generate_tokens and hb_draw_samples of one prompt, but evaluates the prompt once and decodes
 * the answer and the samples together. The texts equal those of the two calls, within rounding. With 1
 * + n sequences in the session, all are decoded at once. decode_seconds covers the answer and the
 * samples. The hook of `options` cancels all; that of `draw` is not called. If the answer is cancelled,
 * *samples is NULL. HB_ERR_CANCELLED if only samples are cancelled. */
HB_API hb_status hb_generate_samples(hb_session *session, const int32_t *prompt, size_t n_prompt,
                                     const hb_generate_options *options, const hb_draw_options *draw,
                                     hb_generation *generation, hb_drawn_sample **samples,
                                     hb_error *err);
HB_API void hb_drawn_samples_free(hb_drawn_sample *samples, size_t n);

/* ---- Measures: scores of several samples of one prompt ------------------------------------------ */

/* An answer to a prompt. */
typedef struct hb_sampled {
    const char *text; /* the answer alone (hb_answer_find), zero-terminated UTF-8 */
    double log_prob;  /* sum of the log-probabilities of its tokens, at temperature 1 */
    int32_t n_tokens; /* tokens in this sum, at least 1; with an end-of-text token */
} hb_sampled;

/* How alike two answers are, in [0, 1]. Identical texts have 1. docs/signals.md has the formulas. */
typedef enum hb_similarity {
    HB_SIMILARITY_MATCH,      /* 1 if they are equal as grading compares them, else 0 */
    HB_SIMILARITY_ROUGE_L,    /* F1 of the longest common subsequence of words */
    HB_SIMILARITY_JACCARD,    /* common words divided by all words */
    HB_SIMILARITY_ENTAILMENT, /* the probability that one follows from the other, as a model judges it
                               */
    HB_N_SIMILARITIES
} hb_similarity;
HB_API const char *hb_similarity_name(hb_similarity similarity); /* "match", "rouge", "jaccard" ... */

/* Measures by number, from 0: "n_distinct", "semantic_entropy", "eigv:rouge" ...; NULL beyond the last.
 * A name with a similarity after the colon is the same measure with another similarity. */
HB_API const char *hb_measure_name(size_t i);
HB_API const char *hb_measure_about(size_t i); /* a short description */
/* Which values are risky by the measure's definition. */
HB_API hb_direction hb_measure_risky(size_t i);
/* The question to a model that the measure needs, as in hb_run_settings: "entailment", "p_true" ...;
 * NULL for none. */
HB_API const char *hb_measure_question(size_t i);
HB_API bool hb_measure_needs_samples(size_t i); /* false: the answer alone is asked about */
HB_API bool hb_measure_needs_states(size_t i);  /* true: the run must keep features with "hidden" */
HB_API bool hb_measure_find(const char *name, size_t *i);

/* The measure "eigenscore", (1/n) ln det(S + 0.001 I) of n >= 1 samples: S [n][n] is the covariance of
 * their states [n][length], not divided by the length. HB_ERR_ARGUMENT for states that are not finite;
 * HB_ERR_MEMORY. */
HB_API hb_status hb_eigen_score(const float *states, size_t n, size_t length, double *score,
                                hb_error *err);

/* Computes every measure of an answer and n >= 1 samples that needs no question but entailment, and no
 * states:
 * `answers` [1 + n], of which the first is the answer. `entailment` [1 + n][1 + n] has in row i and
 * column j how far answer i entails answer j; NULL: the measures that need it are left out. All values
 * are finite. Release with hb_scores_free. HB_ERR_MEMORY; HB_ERR_ARGUMENT for no samples or a
 * log-probability that is not finite. */
HB_API hb_status hb_measure_samples(const hb_sampled *answers, size_t n, const double *entailment,
                                    hb_scores **scores, hb_error *err);
HB_API void hb_scores_free(hb_scores *scores);

/* Divides the samples into clusters of one meaning, by HB_SIMILARITY_MATCH or by `entailment`, in both
 * directions. cluster[1 + k] becomes the number of sample k's cluster, from 0 in the order of the first
 * samples, and cluster[0] the number of the cluster that the answer would join, or *n_clusters for
 * none. HB_ERR_MEMORY. */
HB_API hb_status hb_cluster_samples(const hb_sampled *answers, size_t n, const double *entailment,
                                    size_t *cluster, size_t *n_clusters, hb_error *err);

/* The texts of the questions that a model is asked about its answers (docs/signals.md). Immutable. */
typedef struct hb_questions hb_questions;

/* Opens the built-in texts (data/prompts). With `dir`, a file there of the same name replaces one.
 * HB_ERR_ARGUMENT for a text that lacks a placeholder or has an unknown one, and for a folder without
 * any such file; HB_ERR_IO; HB_ERR_FORMAT for a text that is not UTF-8. */
HB_API hb_status hb_questions_open(const char *dir, hb_questions **questions, hb_error *err);
HB_API void hb_questions_free(hb_questions *questions);
HB_API const char *hb_questions_sha256(const hb_questions *questions); /* of all texts */

/* ---- Data: labelled prompts -------------------------------------------------------------------- */

#define HB_LABEL_BY_GRADE (-1) /* instead of a label: the model's answer is graded */

/* Characters [start, end) of a text, in code points. */
typedef struct hb_response_span {
    uint64_t start, end;
} hb_response_span;

/* A sample. Its pointers are valid until the next call on the dataset. */
typedef struct hb_sample {
    uint64_t index; /* index among all samples of the data, from 0 */
    const char *id;
    const char *prompt;
    const char *prompt_sha256;  /* hash of the prompt without the examples, 64 hexadecimal digits */
    int label;                  /* 1: hallucinated, 0: not; HB_LABEL_BY_GRADE; HB_LABEL_NONE */
    const char *const *answers; /* [n_answers], right answers for HB_LABEL_BY_GRADE; otherwise NULL */
    size_t n_answers;
    const hb_message *messages; /* [n_messages], if the row is a conversation; `prompt` then has its
                                   text, as hb_score uses it without a chat. Otherwise NULL */
    size_t n_messages;
    const char *response; /* with HB_READ_RESPONSE, the answer to evaluate, which the label or grade is
                             about; otherwise NULL */
    const hb_response_span *spans; /* [n_spans], hallucinated parts of the response; NULL: unknown */
    size_t n_spans;
    const char *context; /* text that the answer should be based on; NULL: none */
    const char *group;   /* the value of the row's group field; NULL without such a field */
} hb_sample;

typedef struct hb_dataset hb_dataset;

/* How rows with a response are used. */
typedef enum hb_read_as {
    HB_READ_USUAL,     /* as usual for the format: HaluEval's responses are judged, others evaluated; a
                          prompt_template that shows {response} makes judgements */
    HB_READ_JUDGEMENT, /* the prompt shows the response and asks whether it is right */
    HB_READ_RESPONSE   /* the prompt is the task's, and the sample has the response */
} hb_read_as;
HB_API const char *hb_read_as_name(hb_read_as read_as); /* "", "judgement", "response" */

/* Paths name fields: "question", "answer.aliases", "choices[0]", and "a|b" for b if there is no a. A
 * name applied to a list is applied to each element. */
typedef struct hb_dataset_options {
    const char
        *format; /* a name from hb_dataset_format(); NULL: detected from the fields of the first rows */
    /* Paths of a row's fields; NULL: the format's. With the paths of prompt and answers, or of prompt
     * and label, any rows can be read. */
    const char *prompt, *answers, *id, *label, *response, *context, *spans;
    const char *group; /* path of the field that is the same in rows that belong together; NULL: none */
    const char *answers_separator; /* separator between answers in one string; NULL: the format's */
    const char *prompt_template; /* text with placeholders such as {question}; {prompt} is the format's
                                    prompt, and {{ is a brace; NULL: the format's */
    const char *where;           /* "FIELD=WORD": leaves out all other rows; NULL: the format's */
    const char *join; /* second file of a format that is published in two files; NULL: the one beside
                         the data */
    bool label_is_correct; /* the labels 1, true and yes mean that the answer is right */
    const char
        *positive; /* the label that means hallucinated; all others mean faithful; NULL: known words */
    hb_read_as read_as;
    bool unlabelled;        /* also read rows of a prompt and a response, or of a conversation, without
                               a label, for hb_judge; hb_score needs labels */
    size_t shots;           /* examples shown before each prompt, at most HB_SHOTS_MAX */
    const char *shots_path; /* file from which the examples are drawn; NULL: the data. A row is never an
                               example in its own prompt */
    uint64_t n_samples;     /* number of samples to draw; 0: all */
    uint64_t seed;          /* seed of the draws, which are the same on every platform */
    bool strict;            /* a broken row is an error */
    /* Called for each broken row; the message names file and line. May be NULL. */
    void (*on_broken)(void *user, const char *message);
    /* Called for a likely mistake in the options. May be NULL. */
    void (*on_warning)(void *user, const char *message);
    void *user;
    /* Take only shard number `shard`, from 1 to `shards`, of the drawn samples; 0 and 0: all. */
    int32_t shard, shards;
} hb_dataset_options;
HB_API hb_dataset_options hb_dataset_defaults(void);

#define HB_SHOTS_MAX 64

#define HB_SHARDS_MAX 100000

/* Strings are valid as long as the dataset. */
typedef struct hb_dataset_info {
    const char *path;    /* paths of several files are separated by commas */
    const char *format;  /* formats of several files are separated by '+' */
    const char *recipe;  /* format and options that decide which samples are made from the rows */
    hb_read_as read_as;  /* how responses are used; HB_READ_USUAL if the format has none */
    char sha256[65];     /* of the file, or of several files concatenated */
    uint64_t n_rows;     /* good rows */
    uint64_t n_broken;   /* rows that cannot be used */
    uint64_t n_left_out; /* rows that `where` or the format leaves out */
    uint64_t n_samples;  /* samples in the good rows */
    uint64_t n_selected; /* samples drawn; of a shard, only its own */
    bool is_graded;      /* answers are graded against right ones; otherwise the data have labels */
    uint64_t n_drawn;    /* samples drawn, of all shards */

    int32_t shard, shards; /* as in hb_dataset_options */
} hb_dataset_info;

/* The name of format number i, from 0: "halueval_qa", "nq_open" ...; NULL beyond the last. */
HB_API const char *hb_dataset_format(size_t i);

/* Opens JSON Lines, a JSON array of objects, a sequence of objects, or CSV with a header, separated by
 * commas, semicolons or tabs. The text is UTF-8, or UTF-16 with a byte order mark, and may be packed by
 * gzip. `path` may be a pipe, or "-" for standard input; their contents are kept in a temporary file.
 * Reads the whole file once to check every row, hash the file and count.
 *
 * Rows are drawn without replacement and come in the order of the file. A row that makes two samples
 * (the right and the hallucinated answer) is drawn whole. So classes stay balanced, and an odd
 * n_samples gives one sample more. A larger draw with the same seed contains the smaller one. Memory
 * does not grow with the file, except with a joined file.
 *
 * The row alone and the number of shards decide its shard, not the draw. Rows of a group are in one
 * shard, rows with the same context, and rows whose prompts share 256 bytes or more after what all
 * prompts of the file share. A shard may have no samples.
 *
 * `options` may be NULL. HB_ERR_ARGUMENT for options that contradict each other or the format;
 * HB_ERR_UNSUPPORTED for a file that is not text, naming its kind; HB_ERR_FORMAT for a file whose
 * records cannot be read or fit no format and, with `strict`, for the first broken row; HB_ERR_DATA
 * when there are no usable rows, or too few for the examples. */
HB_API hb_status hb_dataset_open(const char *path, const hb_dataset_options *options,
                                 hb_dataset **dataset, hb_error *err);

/* The same for n >= 1 files, which are read one after the other. */
HB_API hb_status hb_dataset_open_files(const char *const *paths, size_t n,
                                       const hb_dataset_options *options, hb_dataset **dataset,
                                       hb_error *err);
HB_API void hb_dataset_close(hb_dataset *dataset);
HB_API const hb_dataset_info *hb_dataset_get_info(const hb_dataset *dataset);

/* Reads the next drawn sample. *found is false at the end. HB_ERR_IO when a file changed since it was
 * opened. */
HB_API hb_status hb_dataset_next(hb_dataset *dataset, hb_sample *sample, bool *found, hb_error *err);

/* ---- Given answers ------------------------------------------------------------------------------ */

/* The tokens of a prompt and of an answer that is given, not generated (teacher forcing). */
typedef struct hb_given {
    int32_t *tokens; /* [n_prompt + n_answer], of the prompt, then of the answer */
    size_t n_prompt, n_answer;
    hb_response_span *characters; /* [n_answer], the characters of the answer that each token has a part
                                     of; empty for a token that has none */
} hb_given;

/* Tokenizes a prompt as hb_chat_prompt does, and a given answer as the model would have generated it.
 * Text of the answer never becomes a control token.
 *
 * Without a chat, and in HB_CHAT_PREPARED, one space is inserted between them if neither has white
 * space there and the answer begins neither with closing punctuation nor in a script without spaces.
 * With a chat, the template's text is inserted: its white space becomes part of the answer, unless the
 * answer begins with white space, and other text part of the prompt. If the template opens a block of
 * reasoning, it is closed, unless the answer closes it. If the template ends a turn with a token that
 * ends a turn (hb_token_is_end), this is the answer's last token; without a chat there is none.
 *
 * HB_ERR_ARGUMENT for an answer without a token; else as hb_chat_prompt. Release with hb_given_free. */
HB_API hb_status hb_given_tokenize(const hb_model *model, const hb_chat *chat, const char *system,
                                   const char *prompt, size_t n_prompt, const char *answer,
                                   size_t n_answer, hb_given *given, hb_error *err);

/* The same for an answer after a conversation of n >= 1 messages, of which `chat` writes the tokens as
 * hb_chat_tokenize does. `chat` must not be NULL. */
HB_API hb_status hb_given_tokenize_chat(const hb_model *model, const hb_chat *chat,
                                        const hb_message *messages, size_t n, const char *answer,
                                        size_t n_answer, hb_given *given, hb_error *err);

/* Tokenizes a sample as hb_score does: its prompt and, if it has one, its response. Without a response,
 * n_answer is 0.
 *
 * With a chat, a sample of several messages is a conversation of these turns. It has the system message
 * `system` if it has no system message of its own. Any other sample, and every sample without a chat
 * and in HB_CHAT_PREPARED, has the sample's `prompt`, as for hb_chat_prompt and hb_given_tokenize. */
HB_API hb_status hb_sample_tokenize(const hb_model *model, const hb_chat *chat, const char *system,
                                    const hb_sample *sample, hb_given *given, hb_error *err);
HB_API void hb_given_free(hb_given *given);

/* Measures a given answer as hb_generate_tokens measures the same answer while it generates it. All
 * tokens are measured: a step that reaches the threshold does not end the answer, but is its `alarm`.
 * The result ends with HB_FINISH_GIVEN or, if the last token ends the turn, with HB_FINISH_END. Of the
 * options, the sampling and the limits of the text (max_tokens, one_line, stops) are not used. Resets
 * the session. HB_ERR_CONTEXT when the tokens do not fit the context. Release with hb_generation_free.
 */
HB_API hb_status hb_judge(hb_session *session, const hb_given *given,
                          const hb_generate_options *options, hb_generation *generation, hb_error *err);

/* ---- Score: pass 1 ----------------------------------------------------------------------------- */

/* The settings that a run was created with. A run can be continued only with the same settings; paths
 * and the number of samples may differ. */
typedef struct hb_run_settings {
    const char *model_path, *model_name, *model_architecture, *model_sha256;
    uint64_t model_size;
    const char *data_path, *data_format, *data_sha256;
    uint64_t data_rows, data_broken;
    uint64_t n_samples; /* samples drawn; of a shard, only its own */
    uint64_t seed;
    int32_t max_tokens;
    int32_t n_ctx; /* at least 1 */
    double alpha;
    const hb_signal_set *signals; /* the signals that are measured and stored; NULL: all */
    const char *chat; /* the chat format that wraps each prompt as one user message; "" or NULL: none */
    const char *system;         /* the system message, used with a chat format; "" or NULL: none */
    int32_t answer_lines;       /* as in hb_grading: where generation of an answer to be graded stops */
    const char *abstain_sha256; /* of the file that added phrases of abstentions; "" or NULL: none */
    int32_t no_prompts;         /* 1: the run keeps the prompts' hashes only; 0: their texts, too */
    const char *read_as; /* how responses of the data are used, as hb_read_as_name has it; NULL or "":
                            the data have none */
    int32_t exact;       /* 1: the session is exact (hb_session_options) */
    const char *kv_type; /* of the session, as hb_kv_type_name has it; NULL or "": the usual one. Runs
                            of schemas before 17 lack it; it was f32 */
    const char *engine;  /* of the model, as hb_model_engine has it; "" or NULL: native */
    int32_t no_steps;    /* 1: the run does not keep the signals' values at each step; 0: it does */
    /* Samples drawn for each prompt beside its answer; 0: none, and the next three are ignored. The run
     * then has the scores of hb_measure_name. */
    int32_t samples;
    double sample_temperature, sample_top_p; /* as in hb_sampling */
    int32_t sample_max_tokens;               /* limit for each of them */
    /* Questions to ask about each answer and its samples, separated by commas: "entailment", "p_true",
     * "verbalised", "self_assessment", "selfcheck"; "" or NULL: none. */
    const char *asks;
    const char *judge_sha256;     /* of the model that judges entailment; "" or NULL: the same model */
    const char *questions_sha256; /* hb_questions_sha256, if there are questions */
    const char
        *features; /* the features that are kept, as hb_features_parse has them; "" or NULL: none */
    /* The run has only shard number `shard` of `shards` (hb_dataset_options), and n_drawn samples are
     * drawn in all shards together. 0, 0 and 0: it has all samples. */
    int32_t shard, shards;
    uint64_t n_drawn;
    const char *grading; /* how the labels come from grades, as hb_grading_text has it; "" or NULL: the
                            data have labels, or any rule may be used. A run that is continued with
                            another one has that from then on */
} hb_run_settings;

/* The version of a run's schema that this version of hbar writes (docs/run-store.md). It reads earlier
 * ones, too. */
#define HB_RUN_SCHEMA 17

/* The score of a judgement: P(Yes) / (P(Yes) + P(No)) at its first token (docs/signals.md). A run whose
 * settings read responses as judgements has it beside those of signals. */
#define HB_SCORE_P_YES "p_yes"

/* A run: one SQLite file with the settings and one row per finished sample. */
typedef struct hb_run hb_run;

typedef struct hb_run_counts {
    uint64_t total;     /* samples drawn */
    uint64_t scored;    /* samples with scores */
    uint64_t skipped;   /* the prompt does not fit the context */
    uint64_t failed;    /* any other failure; the run stores the reason */
    uint64_t graded;    /* scored samples whose label comes from their grade */
    uint64_t abstained; /* graded samples whose answer abstains */
    uint64_t labelled;  /* scored samples whose label was set later (hb_run_set_labels) */
    uint64_t not_drawn; /* finished samples that the run holds beyond those drawn (hb_run_create); the
                           other counts do not include them */
} hb_run_counts;

/* Creates the run, or opens an existing run to continue it. A larger n_samples extends the run:
 * hb_score then generates the missing samples. With a smaller one, hb_score, hb_run_count and
 * everything that reads this hb_run use only the samples that hb_score has found in its dataset; the
 * file keeps the others. HB_ERR_ARGUMENT, naming the setting, when a number is out of range or
 * `grading` is not valid. HB_ERR_MISMATCH when the run was created with different settings; the message
 * says which. HB_ERR_BUSY when this or another process has it open for writing. HB_ERR_FORMAT when the
 * file is not a run. While the run is open, a lock file PATH-lock exists beside it. */
HB_API hb_status hb_run_create(const char *path, const hb_run_settings *settings, hb_run **run,
                               hb_error *err);
/* Checks the path of a run before its settings are known. HB_ERR_ARGUMENT for an empty path, HB_ERR_IO
 * for a folder that is missing or not writable, and for a directory or special file, HB_ERR_FORMAT for
 * a file that is not a run, HB_ERR_MISMATCH for a run of an earlier schema. Changes nothing. */
HB_API hb_status hb_run_try(const char *path, hb_error *err);
/* Opens an existing run for reading. The run may still be written to by another process, and its folder
 * may be read-only. */
HB_API hb_status hb_run_open(const char *path, hb_run **run, hb_error *err);
HB_API void hb_run_close(hb_run *run);

/* Options of hb_run_merge. */
typedef struct hb_merge_options {
    bool partial; /* accepts missing shards, unfinished shards and shards given more than once */
    bool (*cancelled)(void *user); /* returning true ends the merge; may be NULL */
    void *user;
} hb_merge_options;
HB_API hb_merge_options hb_merge_defaults(void);

typedef struct hb_merge_counts {
    uint64_t n_samples;  /* samples of the new run */
    uint64_t n_missing;  /* samples drawn that no run has; 0 unless `partial` */
    uint64_t n_repeated; /* samples that several runs have; 0 unless `partial` */
    bool grades_differ;  /* the runs grade answers by different rules, so the new run names none */
} hb_merge_counts;

/* Makes one run of the n >= 1 runs of shards, in any order. The new run has the settings, samples,
 * scores, steps, generations, features and set labels of one run without shards; the paths and names of
 * model and data are those of the first run. With `partial` it can lack samples, and hb_score without
 * shards then continues it. Of a sample that several runs have, the first of these runs counts. The
 * runs are only read. `output` must not exist; it appears when all is done.
 *
 * `options` and `counts` may be NULL. HB_ERR_MISMATCH when a run is not a shard, its settings or its
 * draw differ from those of the first run, or shards are missing or given twice; HB_ERR_DATA when a
 * shard is unfinished, or a sample is in two runs; HB_ERR_FORMAT when a run is damaged or is no run;
 * HB_ERR_CANCELLED. */
HB_API hb_status hb_run_merge(const char *const *paths, size_t n, const char *output,
                              const hb_merge_options *options, hb_merge_counts *counts, hb_error *err);
/* Valid as long as the run. */
HB_API const hb_run_settings *hb_run_get_settings(const hb_run *run);
/* The name of the run's score number i, from 0; NULL beyond the last. */
HB_API const char *hb_run_score_name(const hb_run *run, size_t i);
/* Whether the run has a score of that name. A score with tail5 ("entropy", "entropy:tail5") needs the
 * scores with top5 and bottom5. Runs before schema 8 have no bottom5, so they do not have it. */
HB_API bool hb_run_has_score(const hb_run *run, const char *name);
HB_API hb_status hb_run_count(hb_run *run, hb_run_counts *counts, hb_error *err);

typedef enum hb_sample_status {
    HB_SAMPLE_SCORED,
    HB_SAMPLE_SKIPPED, /* the prompt does not fit the context */
    HB_SAMPLE_FAILED
} hb_sample_status;

/* "scored", "skipped", "failed"; "unknown" for any other number. */
HB_API const char *hb_sample_status_name(hb_sample_status status);

/* One finished sample. Texts and scores are valid during the visitor's call. */
typedef struct hb_run_sample {
    uint64_t index;
    const char *id;
    int label;           /* as in hb_sample */
    const char *answers; /* the right answers as a JSON array, for HB_LABEL_BY_GRADE; else NULL */
    hb_grade grade;      /* set for a scored sample with answers */
    hb_sample_status status;
    const char *reason;      /* why the sample was not scored; NULL when scored */
    const hb_scores *scores; /* NULL when not scored */
    const char *text;        /* the generated text; NULL when not scored */
    hb_finish finish;        /* set for a scored sample */
    int32_t n_prompt, n_tokens;
    double prompt_seconds, decode_seconds;
    const char *prompt;        /* as in hb_sample; NULL in a run without the prompts' texts */
    const char *prompt_sha256; /* as in hb_sample */
    const char *set_by;        /* who set the label later (hb_run_set_labels); NULL: nobody */
    int set_label;             /* the label set, 0 or 1; valid unless set_by is NULL */
    const char *group;         /* as in hb_sample */
    double overlap;            /* hb_word_overlap of the answer; NaN without a context */
} hb_run_sample;

/* The steps of a sample; those of a given response belong to its tokens. Valid during the visitor's
 * call. */
typedef struct hb_run_tokens {
    uint64_t index;                     /* of the sample */
    size_t n;                           /* measured steps */
    const hb_response_span *characters; /* [n], as in hb_given; NULL: unknown, in earlier runs */
    const float *values;                /* [n][signals of the run], in the order of its settings */
    const hb_response_span *spans; /* [n_spans], hallucinated parts of the response; NULL: unknown */
    size_t n_spans;
} hb_run_tokens;

/* The features of a sample. A vector that the run does not keep has length 0. Valid during the
 * visitor's call. */
typedef struct hb_run_features {
    uint64_t index; /* of the sample */
    size_t n[HB_N_FEATURES];
    const float *values[HB_N_FEATURES];
} hb_run_features;

/* The length of a feature's vectors in a run; 0 when it keeps none. */
HB_API hb_status hb_run_feature_length(hb_run *run, hb_feature feature, size_t *length, hb_error *err);

/* Whether the run keeps the features that a probe of this kind (hb_probe_kind_name) reads. */
HB_API bool hb_run_has_probe(const hb_run *run, const char *kind);

/* Calls `visit` for each sample of which the run has features, in order of index. Reads only the
 * features whose bits (1 << feature) are set in `which`; of the others the length is 0. Errors as
 * hb_run_each. */
HB_API hb_status hb_run_each_features(hb_run *run, unsigned which,
                                      hb_status (*visit)(void *user, const hb_run_features *features),
                                      void *user, hb_error *err);

/* Calls `visit` for each sample of which the run keeps steps, in order of index. Errors as hb_run_each.
 */
HB_API hb_status hb_run_each_steps(hb_run *run,
                                   hb_status (*visit)(void *user, const hb_run_tokens *steps),
                                   void *user, hb_error *err);

/* The same for the given responses whose hallucinated spans are known. */
HB_API hb_status hb_run_each_tokens(hb_run *run,
                                    hb_status (*visit)(void *user, const hb_run_tokens *tokens),
                                    void *user, hb_error *err);

/* A sample that was drawn for a prompt beside its answer. Valid during the visitor's call. */
typedef struct hb_run_generation {
    uint64_t index;     /* of the dataset's sample */
    int32_t k;          /* number of this one, from 0 */
    const char *text;   /* the generated text, valid UTF-8 */
    double log_prob;    /* sum of the log-probabilities of its tokens, at temperature 1 */
    int32_t n_tokens;   /* tokens of the text */
    int32_t n_measured; /* tokens in log_prob: with the end-of-text token, if that was generated */
    hb_finish finish;
} hb_run_generation;

/* Calls `visit` for each of them, in order of index and k. Errors as hb_run_each. */
HB_API hb_status hb_run_each_generation(hb_run *run,
                                        hb_status (*visit)(void *user,
                                                           const hb_run_generation *generation),
                                        void *user, hb_error *err);

/* Calls `visit` for each finished sample in order of index. When `visit` returns a status other than
 * HB_OK, hb_run_each stops and returns HB_ERR_CALLBACK; the message names the sample and that status.
 */
HB_API hb_status hb_run_each(hb_run *run, hb_status (*visit)(void *user, const hb_run_sample *sample),
                             void *user, hb_error *err);

/* The label of a scored sample: the label set by hb_run_set_labels, or else hb_run_own_label. */
HB_API int hb_run_label(const hb_run_sample *sample, const hb_grading *grading);
/* The label that the data give or, if they give none, hb_grade_label. */
HB_API int hb_run_own_label(const hb_run_sample *sample, const hb_grading *grading);

/* A team: the processes that a launcher such as mpirun started together. They score one dataset into
 * one run, which does not depend on their number but for rounding and times. Rank 0 calls hb_score with
 * hb_score_options.team, and all others call hb_score_join. Rank 0 reads the dataset, hands out groups
 * of samples that share a prefix, and alone writes the run. It evaluates, too. */
typedef struct hb_team hb_team;

/* Finds the team of this process. *team is NULL if the process is alone, and always in a library that
 * was built without MPI. HB_ERR_IO and HB_ERR_UNSUPPORTED for failures of MPI. To be called once. */
HB_API hb_status hb_team_open(hb_team **team, hb_error *err);
/* These also take NULL, which is a team of one. */
HB_API int32_t hb_team_rank(const hb_team *team);
HB_API int32_t hb_team_size(const hb_team *team);
HB_API int32_t hb_team_local_size(const hb_team *team); /* its processes on this machine */
HB_API const char *hb_team_host(const hb_team *team);   /* the machine's name */
/* Waits until all processes of the team call it. A process that does not get so far calls
 * hb_team_abort, which ends all of them with this exit code and does not return. */
HB_API void hb_team_close(hb_team *team);
HB_API void hb_team_abort(hb_team *team, int code);

/* The work done by one call of hb_score. The time of an evaluation is divided evenly among its tokens.
 * What the four parts leave of `seconds` is spent on everything else: choosing tokens, measuring,
 * grading and storing. */
typedef struct hb_score_work {
    uint64_t tokens_evaluated;
    uint64_t tokens_shared;  /* prompt tokens shared with another sample's prompt instead of being
                                evaluated again */
    uint64_t literal;        /* prompts that contain the text of a control token, taken as plain text */
    uint64_t unstated;       /* answers to "verbalised" without a number, which count as 0.5 */
    double seconds;          /* since the call */
    double prompt_seconds;   /* evaluating the prompts of answers and of samples drawn beside them */
    double answer_seconds;   /* evaluating answers, generated and given */
    double sample_seconds;   /* evaluating samples drawn beside answers */
    double question_seconds; /* evaluating questions about answers, and the replies */
    double seconds_left; /* estimate for the samples that the run lacks, from the tokens that a finished
                            sample took; NaN until this call has finished two */
} hb_score_work;

typedef struct hb_score_options {
    /* Called after each sample with the counts so far and the number of samples that this call
     * finished. */
    void (*on_progress)(void *user, const hb_run_counts *counts, uint64_t done_now);
    /* Called before each sample is read and before each evaluation of up to 512 tokens. Returning true
     * cancels. */
    bool (*cancelled)(void *user);
    void *user;
    hb_score_work *work; /* filled in before each call of on_progress, and at the end; may be NULL */
    const hb_chat *chat; /* the chat of the run's settings; NULL: the format of that name, or none */
    const hb_abstain_list
        *abstains;                 /* for grading, as in the run's settings; NULL: the built-in list */
    const hb_questions *questions; /* needed if the run's settings have questions */
    hb_session *judge;             /* of the model that judges entailment; NULL: the same model */
    const hb_chat *judge_chat;     /* wraps its questions; NULL: none */
    hb_team *team;                 /* whose processes share the work; NULL: this process is alone */
} hb_score_options;
HB_API hb_score_options hb_score_defaults(void); /* no hooks */

/* Pass 1: for each sample that the run lacks, evaluates the given response (hb_sample_tokenize) or,
 * without one, generates one greedy answer, without halting. If the run's settings ask for samples,
 * draws them for the same prompt, which is evaluated once; sample k of a prompt depends only on the
 * settings, the prompt's index and k. Given responses are evaluated whole, regardless of max_tokens.
 * Each sample's scores are stored at the end of the evaluation in which it finishes. When the label
 * comes from grading the answer, generation stops at the end of the answer's line. Samples are
 * evaluated in batches, limited by the session's number of sequences and its cache; tokens that prompts
 * share are evaluated once. The results equal those of evaluating each sample alone, to the precision
 * that hb_eval guarantees. After HB_ERR_CANCELLED the run can be continued. HB_ERR_IO when the disk is
 * full, also when all samples are done and only the run's log remains; the same call finishes the run
 * later. `session` and `dataset` must match the run's settings. */
HB_API hb_status hb_score(hb_session *session, hb_dataset *dataset, hb_run *run,
                          const hb_score_options *options, hb_error *err);

/* Evaluates samples for rank 0 until all are finished. Of the settings, those of the data are not used,
 * and `signals` is not NULL. The others, the model and its hash must be those of rank 0, which
 * otherwise fails with HB_ERR_MISMATCH. Any failure here also makes hb_score of rank 0 fail, with the
 * same message. HB_ERR_CANCELLED when rank 0 failed. Of the options, `on_progress`, `work` and `team`
 * are not used.
 */
HB_API hb_status hb_score_join(hb_team *team, hb_session *session, const hb_run_settings *settings,
                               const hb_score_options *options, hb_error *err);

/* Controls: properties of a sample that may tell hallucinations apart without any score. */
typedef enum hb_control_column {
    HB_CONTROL_ANSWER_LENGTH, /* tokens of the answer */
    HB_CONTROL_PROMPT_LENGTH, /* tokens of the prompt */
    HB_CONTROL_OVERLAP,       /* hb_word_overlap of the answer with its context */
    HB_N_CONTROLS
} hb_control_column;

/* Scores and labels, the input of pass 2. A score with tail5 has two values for each sample, because
 * its direction may not be known yet: one for each direction. */
typedef struct hb_score_table {
    double *scores; /* [n_scores][n], in the order requested; of tail5: top5, which counts where high
                       values are risky */
    double *low;    /* [n_scores][n], the values that count where low ones are risky; of tail5: bottom5;
                       of other scores: the same as in `scores`. NULL: all are the same */
    uint8_t *labels; /* [n], 0 or 1 */
    size_t n, n_scores;
    size_t n_broken;   /* rows that were reported and skipped; they never count as score 0 */
    char **ids;        /* [n], the ids of a run's samples; NULL for a table from a file */
    uint64_t *prompts; /* [n], the first 64 bits of the SHA-256 of their prompts; NULL likewise */
    uint32_t *groups; /* [n], numbers below n. Samples with the same number belong together, such as the
                         right and the hallucinated answer to one question. They are not independent, so
                         they are resampled together and share a fold. NULL: all are independent */
    double *controls; /* [HB_N_CONTROLS][n]; NaN where a sample has none; NULL: none has any */
    uint64_t *indices; /* [n], hb_run_sample.index of a run's samples, ascending; NULL for a table */
} hb_score_table;
HB_API void hb_score_table_free(hb_score_table *table);

/* Returns how the grades of a run's samples become labels: the setting `grading` or, if the run has
 * none, hb_grading_defaults(). */
HB_API hb_grading hb_run_grading(const hb_run *run);

/* Reads the named scores (as for hb_run_has_score) of all scored samples. `grading` determines the
 * labels that come from grades; NULL means hb_run_grading(run). HB_ERR_ARGUMENT when the run lacks a
 * score; for a run without bottom5 the message says what it has instead of tail5. */
HB_API hb_status hb_run_table(hb_run *run, const char *const *scores, size_t n_scores,
                              const hb_grading *grading, hb_score_table *table, hb_error *err);
/* Like hb_run_table, for one score. */
HB_API hb_status hb_run_scores(hb_run *run, const char *score, const hb_grading *grading,
                               hb_score_table *table, hb_error *err);

/* The effect that halting would have had on samples that were generated without it. */
typedef struct hb_halting {
    double cutoff;
    size_t n[2], halted[2]; /* samples by label, and how many of them reached the cutoff at some step */
} hb_halting;

/* Counts the scored samples that hb_generate would have halted with this monitor, checking every token.
 * The watched signal must be stored in the run. A joint model is refused (HB_ERR_ARGUMENT), because a
 * run does not store its scores at each step. `grading` as for hb_run_scores. */
HB_API hb_status hb_run_halting(hb_run *run, const hb_monitor *monitor, const hb_grading *grading,
                                hb_halting *halting, hb_error *err);

typedef struct hb_table_options {
    const char *const *score_columns; /* [n_scores] */
    size_t n_scores;                  /* 0: one, "score", else "hbar_s" */
    const char *label_column;         /* NULL: "label" */
    const char *group_column; /* column that is the same in rows that belong together; NULL: the ids
                                 in the column "id", if there is one, determine the groups */
    bool label_is_correct;    /* 1, true and yes mean that the answer is right */
    const char
        *positive; /* the label that means hallucinated; all others mean faithful; NULL: known words */
    bool strict;
    void (*on_broken)(void *user, const char *message);
    void (*on_warning)(void *user, const char *message); /* as hb_dataset_options has it */
    void *user;
} hb_table_options;
HB_API hb_table_options hb_table_defaults(void); /* those named above, not strict, no hook */

/* A file of scores and labels: CSV with a header line and commas, semicolons or tabs, or JSON, in all
 * variants that hb_dataset_open reads. */
typedef struct hb_table hb_table;

/* Opens a table and reads its columns' names. Errors as hb_dataset_open. */
HB_API hb_status hb_table_open(const char *path, hb_table **table, hb_error *err);
HB_API void hb_table_close(hb_table *table);

/* The names of the columns [*n]; for JSON, those of the first 100 objects that have any. Valid as long
 * as the table. */
HB_API const char *const *hb_table_columns(const hb_table *table, size_t *n);

/* Reads scores and labels. The case of letters in columns' names matters only if two names differ in
 * nothing else. A score with tail5 ("entropy") is the column of that name or, if there is none, the
 * columns of the scores with top5 and bottom5. A label is 0 or 1, true or false, yes or no, or an
 * unambiguous word: hallucinated, faithful, pass, fail, correct, wrong ... A score is a finite number.
 * A row with an empty score, which marks a sample that was not scored, is skipped as broken. A row
 * needs all of several scores, so that they belong to the same samples. */
HB_API hb_status hb_table_scores(hb_table *table, const hb_table_options *options,
                                 hb_score_table *scores, hb_error *err);

/* SHA-256 of the file as it was read last; NULL before that. */
HB_API const char *hb_table_sha256(const hb_table *table);

/* Opens a table, reads its scores and closes it. */
HB_API hb_status hb_table_read(const char *path, const hb_table_options *options,
                               hb_score_table *scores, hb_error *err);

/* ---- Labels from a judge or a person ------------------------------------------------------------- */

typedef struct hb_given_label {
    char *id;
    int label;     /* 0 or 1 */
    uint64_t line; /* in the file; for messages */
} hb_given_label;

typedef struct hb_labels {
    hb_given_label *list; /* [n] */
    size_t n;
    size_t n_empty, n_broken; /* rows without a label, and rows that could not be used */
    char *path;               /* for messages; NULL: not from a file */
} hb_labels;
HB_API void hb_labels_free(hb_labels *labels); /* frees the members, not the struct */

typedef struct hb_label_options {
    const char *id_column;    /* NULL: "id" */
    const char *label_column; /* NULL: "label" */
    bool label_is_correct;    /* this and the rest as in hb_table_options */
    const char *positive;
    bool strict;
    void (*on_broken)(void *user, const char *message);
    void (*on_warning)(void *user, const char *message);
    void *user;
} hb_label_options;
HB_API hb_label_options hb_label_defaults(void); /* those named above, not strict, no hook */

/* Reads labels of samples from a table. Ids are read as by hb_dataset_open, labels as by
 * hb_table_scores. A row with an empty label is skipped. HB_ERR_DATA when no row has a label; other
 * errors as for hb_table_scores. Release with hb_labels_free. */
HB_API hb_status hb_table_labels(hb_table *table, const hb_label_options *options, hb_labels *labels,
                                 hb_error *err);

typedef struct hb_set_labels_options {
    bool by_index;      /* ids are hb_run_sample.index */
    const char *source; /* who gave the labels, 1 to HB_SOURCE_BYTES bytes of UTF-8; NULL: "label" */
    bool dry_run;       /* count only; the run is then opened for reading */
} hb_set_labels_options;
HB_API hb_set_labels_options hb_set_labels_defaults(void); /* those named above, by id */
#define HB_SOURCE_BYTES 255

typedef struct hb_set_labels_counts {
    size_t set[2];     /* samples that got label 0 and 1 */
    size_t n_repeated; /* labels that repeat an id with the same label */
    size_t n_unknown;  /* ids that no sample has */
    size_t n_missing;  /* scored samples that got no label */
    char unknown[64];  /* one of the unknown ids, as one line; empty if there is none */
} hb_set_labels_counts;

/* Sets labels of a run's finished samples, all or none. A label that is set replaces the label of the
 * data or of the grade, which the run keeps. HB_ERR_DATA, and nothing is changed, when an id has two
 * different labels, when several samples have one of the given ids, or when no sample has any of them.
 * HB_ERR_BUSY when this or another process has the run open for writing. HB_ERR_IO that names the run's
 * log: the labels are set, but the disk is full and the log remains. `options` may be NULL. */
HB_API hb_status hb_run_set_labels(const char *path, const hb_labels *labels,
                                   const hb_set_labels_options *options, hb_set_labels_counts *counts,
                                   hb_error *err);
/* Removes all labels that were set; *n is their number. Errors as hb_run_set_labels. */
HB_API hb_status hb_run_clear_labels(const char *path, uint64_t *n, hb_error *err);

/* ---- Calibrate: pass 2 ------------------------------------------------------------------------- */

/* Area under the ROC curve of the score as a predictor of label 1: the probability that a random sample
 * with label 1 scores higher than a random sample with label 0, where ties count half (Mann and
 * Whitney, 1947; Hanley and McNeil, 1982). O(n log n). HB_ERR_DATA when a class is missing or a score
 * is not finite; HB_ERR_MEMORY. */
HB_API hb_status hb_auroc(const double *scores, const uint8_t *labels, size_t n, double *auroc,
                          hb_error *err);

/* Average precision: the sum of (R_k - R_{k-1}) P_k over descending thresholds, with one threshold for
 * equal scores. It is the area under the precision-recall curve without interpolation. O(n log n).
 * Errors as hb_auroc. */
HB_API hb_status hb_average_precision(const double *scores, const uint8_t *labels, size_t n,
                                      double *average_precision, hb_error *err);

/* Mean log-loss (Good, 1952): the mean of -ln p for label 1 and -ln (1 - p) for label 0. p is the
 * probability of label 1, clamped to [2^-52, 1 - 2^-52]. n >= 1. */
HB_API double hb_log_loss(const double *p, const uint8_t *labels, size_t n);

/* Quantile q in [0, 1] of sorted values [n], n >= 1, by linear interpolation (Hyndman and Fan's type
 * 7, NumPy's default). */
HB_API double hb_quantile(const double *sorted, size_t n, double q);

typedef struct hb_class_summary {
    size_t n;
    double mean, sd; /* sd divides by n - 1; 0 when n is 1 */
} hb_class_summary;

typedef enum hb_grid {
    HB_GRID_QUANTILES, /* the 40 quantiles 0.60 to 0.99; if none reaches the recall, the 99 quantiles
                          0.01 to 0.99 */
    HB_GRID_RANGE,     /* start, start + step ... up to stop */
    HB_GRID_EXACT      /* every distinct score */
} hb_grid;
HB_API const char *hb_grid_name(hb_grid grid); /* "quantiles", "range", "exact" */

/* A guarantee holds with probability 1 - delta, for samples drawn from the same distribution as the
 * calibration samples. */
typedef enum hb_guarantee_kind {
    HB_GUARANTEE_NONE,
    HB_GUARANTEE_RISK,        /* at most a fraction `target` of the accepted (not flagged) samples is
                                 hallucinated */
    HB_GUARANTEE_RECALL,      /* at least a fraction `target` of the hallucinated samples is flagged */
    HB_GUARANTEE_FALSE_HALTS, /* of halting: at most a fraction `target` of the answers with label 0 is
                                 stopped */
    HB_GUARANTEE_HALTS        /* of halting: at least a fraction `target` of the hallucinated answers is
                                 stopped */
} hb_guarantee_kind;
/* "none", "risk", "recall", "false-halts", "halts" */
HB_API const char *hb_guarantee_kind_name(hb_guarantee_kind kind);

typedef struct hb_guarantee {
    hb_guarantee_kind kind;
    double target; /* between 0 and 1 */
    double delta;  /* upper bound on the probability that the guarantee fails; 1e-6 to 0.5 */
    double level;  /* level of the tests: delta, or delta / 2 if the direction was chosen from the same
                      data; of halting, also divided by the number of scores from which one was chosen */
    size_t n, k; /* risk: n accepted samples, k of them hallucinated; recall: n hallucinated samples, k
                    of them missed; false halts: n answers with label 0, k of them stopped; halts: n
                    hallucinated answers, k of them not stopped */
    double
        p; /* exact binomial p-value of the null hypothesis that the threshold violates the guarantee */
} hb_guarantee;

typedef struct hb_sweep_options {
    hb_grid grid;
    double start, stop, step; /* for HB_GRID_RANGE */
    double min_recall;        /* in (0, 1]; 0.9 */
    hb_direction direction;   /* HB_DIRECTION_AUTO */
    hb_guarantee guarantee;   /* default none; otherwise kind, target and delta determine tau, chosen
                                 among all scores */
} hb_sweep_options;

HB_API hb_sweep_options hb_sweep_defaults(void);

typedef struct hb_sweep_point {
    double tau;
    double precision, recall, f1; /* 0 where undefined */
    size_t tp, fp, fn, tn;
} hb_sweep_point;

typedef enum hb_selection {
    HB_SELECT_PRECISION_AT_RECALL, /* the highest precision at recall >= min_recall */
    HB_SELECT_BEST_F1,             /* no tau reached the recall, so the best F1 was chosen */
    HB_SELECT_GUARANTEE /* the most accepted or the fewest flagged samples that the guarantee allows */
} hb_selection;
HB_API const char *hb_selection_name(hb_selection selection); /* "precision at recall", "best F1",
                                                                 "guarantee" */

typedef struct hb_sweep_result {
    size_t n;
    double score_min, score_max;
    double hallucination_rate; /* fraction of samples with label 1 */
    hb_class_summary by_label[2];
    double cohens_d;              /* (mean_1 - mean_0) / pooled sd */
    double auroc_high, auroc_low; /* AUROC for each direction; they sum to 1 unless the score is a
                                     tail5, which has other values for each direction */
    double auroc, pr_auc;         /* in `direction`; independent of tau */
    double auroc_null_se;   /* standard error of AUROC for an uninformative score, corrected for ties */
    bool within_noise;      /* |auroc - 0.5| < 1.96 auroc_null_se */
    hb_direction direction; /* HIGH or LOW */
    hb_grid grid;
    bool wide_grid; /* no quantile from 0.60 to 0.99 reached the recall, so 0.01 to 0.99 were used */
    hb_selection selection;
    double min_recall;
    hb_guarantee guarantee;
    hb_sweep_point best;
    hb_sweep_point *points; /* [n_points], the whole sweep, from fewest to most flagged samples */
    size_t n_points;
} hb_sweep_result;

/* Pass 2: finds the direction, the curves and the threshold, in O(n log n). Scores are oriented by the
 * direction before quantiles are taken, so negating all scores and reversing the direction flags the
 * same samples. A guarantee uses Learn then Test (Angelopoulos et al., 2021) with exact binomial
 * p-values in a fixed sequence of thresholds. HB_ERR_DATA, with the reason, for data that cannot be
 * calibrated: fewer than 10 samples, only one class, all scores equal, or a score that is not finite.
 * HB_ERR_DATA also for data that cannot support the guarantee; the message says how many samples would
 * suffice. HB_ERR_ARGUMENT for invalid options. */
HB_API hb_status hb_sweep(const double *scores, const uint8_t *labels, size_t n,
                          const hb_sweep_options *options, hb_sweep_result *result, hb_error *err);
HB_API void hb_sweep_free(hb_sweep_result *result);

/* Fits a map to labels. Platt scaling uses the targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) and
 * Newton's method (Lin, Lin and Weng, 2007). The isotonic map pools adjacent violators (Ayer et al.,
 * 1955). Lambda is the maximum-likelihood value for the given tau. HB_ERR_DATA as for hb_auroc, when
 * tau makes no error (the likelihood then has no maximum) and when the best lambda is not above 0. O(n
 * log n). Release with hb_map_free. */
HB_API hb_status hb_map_fit(const double *scores, const uint8_t *labels, size_t n, hb_map_kind kind,
                            double tau, hb_direction direction, hb_map *map, hb_error *err);

/* ---- Joint models -------------------------------------------------------------------------------- */

/* L2-regularised logistic regression (Hastie, Tibshirani and Friedman, The Elements of Statistical
 * Learning, 2009, 4.4): minimises |weights|^2 / 2 + c * (sum of the log-losses) over samples x [d][n],
 * without a penalty on the intercept. Uses liblinear (Fan et al., 2008); its penalty on the intercept
 * is made negligible. Accurate to about 1e-6. c must be from 1e-9 to 1e9. HB_ERR_DATA as for hb_auroc,
 * and for more than HB_JOINT_MAX_SAMPLES samples. Side effect: this turns off liblinear's output, a
 * setting of the whole process. */
HB_API hb_status hb_logistic_fit(const double *x, const uint8_t *labels, size_t n, size_t d, double c,
                                 double *weights, double *intercept, hb_error *err);

HB_API hb_joint_options hb_joint_defaults(void);

/* Fits a joint model of the named scores x [d][n] to labels. Scores are standardised with the mean and
 * standard deviation of the training samples. Cross-validation chooses the regularisation strength with
 * the lowest out-of-fold log-loss; folds are stratified by label and equal on every platform.
 * out_of_fold [n] receives each sample's log-odds from the model trained without its fold: compute
 * AUROC and thresholds from these. Their only optimistic bias comes from choosing the strength on them.
 * HB_ERR_DATA as for hb_auroc, and when a label has fewer samples than there are folds. */
HB_API hb_status hb_joint_fit(const double *x, const uint8_t *labels, size_t n, size_t d,
                              const char *const *names, const hb_joint_options *options,
                              hb_joint *joint, double *out_of_fold, hb_error *err);

/* ---- Training probes ----------------------------------------------------------------------------- */

/* Features of samples, one block at a time, so that only one block's features are in memory. */
typedef struct hb_probe_samples {
    size_t n, d;           /* samples, and numbers of a sample for one block */
    const uint8_t *labels; /* [n], 0 or 1 */
    const int32_t *blocks; /* [n_blocks], numbered from 0; for a kind without states one entry, -1 */
    size_t n_blocks;
    /* Writes the features for blocks[i] to x [n][d]. */
    hb_status (*load)(void *user, size_t i, float *x, hb_error *err);
    void *user;
} hb_probe_samples;

/* Trains a probe of a kind: an L2-regularised logistic regression as hb_logistic_fit minimises it, on
 * features that are standardised with the mean and standard deviation of the training samples. Block
 * and strength are chosen by cross-validation, by the lowest out-of-fold log-loss. The strengths are c
 * = 0.01 / d, 0.1 / d ... 100 / d. out_of_fold [n] receives each sample's log-odds from training
 * without its fold; for it, block and strength are chosen by cross-validation within the other folds
 * (nested), so these log-odds are not optimistic. Uses all processors; the result does not depend on
 * their number. Memory: n d + O(n + d) floats. `options` may be NULL. HB_ERR_ARGUMENT for an unknown
 * kind and for other than 3 to 20 folds. HB_ERR_DATA when a label has fewer samples than there are
 * folds or a number is not finite. Release *probe with hb_probe_free.
 *
 * A density is fitted in the leading principal components of all samples, which are found without
 * labels (randomised subspace iteration: Halko, Martinsson and Tropp, Finding Structure with
 * Randomness, 2011). Its block is chosen in the same way, by the highest AUROC out of fold. */
HB_API hb_status hb_probe_fit(const char *kind, const hb_probe_samples *samples,
                              const hb_joint_options *options, hb_probe **probe, double *out_of_fold,
                              hb_error *err);

/* ---- Uncertainty -------------------------------------------------------------------------------- */

typedef struct hb_interval {
    double lower, upper;
} hb_interval; /* 95 % confidence interval */

/* AUROC and its standard error (DeLong, DeLong and Clarke-Pearson, 1988). The standard error is NaN
 * when a class has only one sample. O(n log n). Errors as hb_auroc. */
HB_API hb_status hb_delong(const double *scores, const uint8_t *labels, size_t n, double *auroc,
                           double *se, hb_error *err);

typedef struct hb_auroc_difference {
    double difference, se, z;
    double p; /* two-sided p-value of the hypothesis that the AUROCs are equal */
} hb_auroc_difference;

/* DeLong's test of AUROC(a) - AUROC(b) for two scores of the same samples. When a class has only one
 * sample, all results except the difference are NaN. Same errors as hb_auroc. */
HB_API hb_status hb_delong_compare(const double *a, const double *b, const uint8_t *labels, size_t n,
                                   hb_auroc_difference *out, hb_error *err);

/* Tests each of scores [n_scores][n] against the first one. `out` [n_scores] receives the tests and
 * `p_holm` [n_scores] their p-values with Holm's adjustment. The entries of the first score are NaN. */
HB_API hb_status hb_delong_compare_all(const double *scores, size_t n_scores, const uint8_t *labels,
                                       size_t n, hb_auroc_difference *out, double *p_holm,
                                       hb_error *err);

/* Adjusts p-values [n] for multiple testing (Holm, A Simple Sequentially Rejective Multiple Test
 * Procedure, 1979). NaN marks a missing test: it stays NaN and does not count. `adjusted` may be `p`.
 */
HB_API hb_status hb_holm(const double *p, size_t n, double *adjusted, hb_error *err);

/* Rank correlations [n_scores][n_scores] of scores [n_scores][n] (Spearman, The Proof and Measurement
 * of Association between Two Things, 1904). Equal values get their mean rank. Correlations with a
 * constant score are NaN. O(n_scores n log n + n_scores^2 n). HB_ERR_DATA when a score is not finite.
 */
HB_API hb_status hb_spearman(const double *scores, size_t n_scores, size_t n, double *correlations,
                             hb_error *err);

typedef struct hb_bootstrap_options {
    size_t n_draws; /* 100 to 1,000,000; 2000 */
    uint64_t seed;  /* 42; the same draws on every platform */
    double min_recall;
    const uint32_t *groups; /* [n], as in hb_score_table: a group's samples are drawn together; NULL */
} hb_bootstrap_options;
HB_API hb_bootstrap_options hb_bootstrap_defaults(void);

typedef struct hb_bootstrap {
    hb_interval auroc, pr_auc, precision_at_recall;
    double precision; /* on the samples themselves: the highest precision at recall >= min_recall */
} hb_bootstrap;

/* Percentile bootstrap intervals for the score as a predictor of label 1, where high scores are risky.
 * Each class is resampled separately; with groups, whole groups are resampled instead (Davison and
 * Hinkley, Bootstrap Methods and their Application, 1997, 3.8). The precision of a draw is its highest
 * at recall >= min_recall. O(n n_draws). Errors as hb_auroc, HB_ERR_ARGUMENT for invalid options, and
 * HB_ERR_DATA for too few groups. */
HB_API hb_status hb_bootstrap_intervals(const double *scores, const uint8_t *labels, size_t n,
                                        const hb_bootstrap_options *options, hb_bootstrap *out,
                                        hb_error *err);

/* Standard error and confidence intervals of one score's metrics. */
typedef struct hb_uncertainty {
    double auroc_se; /* DeLong's */
    hb_interval auroc_delong;
    hb_bootstrap_options options;
    hb_bootstrap bootstrap; /* unset when options.n_draws is 0 */
} hb_uncertainty;

/* Computes the uncertainty of a score in `direction`, HIGH or LOW. 0 draws skip the bootstrap. With
 * groups, the standard error is Obuchowski's for clustered data (Nonparametric Analysis of Clustered
 * ROC Curve Data, 1997). Errors as hb_bootstrap_intervals. */
HB_API hb_status hb_find_uncertainty(const double *scores, const uint8_t *labels, size_t n,
                                     hb_direction direction, const hb_bootstrap_options *options,
                                     hb_uncertainty *out, hb_error *err);

/* ---- Comparison of scores ------------------------------------------------------------------------ */

typedef struct hb_compared_score {
    const char *name;
    size_t place;          /* index in the table */
    hb_sweep_result sweep; /* points is NULL */
    hb_uncertainty uncertainty;
    hb_auroc_difference
        difference; /* from the first score's AUROC, by DeLong's test; NaN for the first score */
    double p_holm;  /* its p, adjusted for all of these tests */
} hb_compared_score;

typedef struct hb_comparison {
    hb_compared_score *scores; /* [n], from the highest AUROC down */
    size_t n;
    double *correlations; /* [n][n], Spearman rank correlations, in the order of `scores` */
    size_t n_constant;    /* scores left out because all their values are equal */
} hb_comparison;

/* Ranks the scores of a table by AUROC and compares them. `names` [table->n_scores] must outlive the
 * result. HB_GRID_RANGE is an error, because a range of tau has the units of one score. The best score
 * is chosen on the same data, so its AUROC is optimistic and the tests against it are approximate.
 * Errors as hb_sweep and hb_bootstrap_intervals. */
HB_API hb_status hb_compare_scores(const hb_score_table *table, const char *const *names,
                                   const hb_sweep_options *sweep, const hb_bootstrap_options *bootstrap,
                                   hb_comparison *out, hb_error *err);
HB_API void hb_comparison_free(hb_comparison *comparison);

/* ---- Validation --------------------------------------------------------------------------------- */

typedef struct hb_validation_options {
    double tau, lambda;
    hb_direction direction;         /* HIGH or LOW, as calibrated */
    hb_bootstrap_options bootstrap; /* its min_recall also selects sweep.best */
    hb_guarantee guarantee;         /* the guarantee of tau; only kind, target and delta are read */
    const hb_map *map; /* gives P_fail; NULL: P_fail comes from tau, lambda and direction */
} hb_validation_options;
/* tau, lambda and direction of hb_monitor_defaults(), hb_bootstrap_defaults(), no guarantee, no map. */
HB_API hb_validation_options hb_validation_defaults(void);

/* The check of a guarantee on other samples. */
typedef struct hb_guarantee_check {
    size_t n, k;  /* as in hb_guarantee, on these samples */
    double value; /* the risk or the recall; NaN when n is 0 */
    bool held;
    double p; /* probability of a value at least this bad if the true value were exactly the target */
} hb_guarantee_check;

#define HB_RISK_POINTS 20

typedef struct hb_validation {
    hb_validation_options options;
    hb_sweep_result sweep; /* the exact sweep of this split; sweep.best is the best point on it */
    hb_sweep_point at_tau; /* the point of the calibrated threshold */
    hb_uncertainty uncertainty;
    double
        risks[HB_RISK_POINTS]; /* hallucination rate among accepted samples at coverages 0.05 ... 1 */
    double aurc; /* area under the risk-coverage curve: the mean risk over coverages 1/n ... 1 (Geifman
                    and El-Yaniv, 2017; Geifman et al., 2019) */
    double prr;  /* prediction-rejection ratio: the gain of the score over random rejection, divided by
                    the gain of an oracle (Malinin and Gales, 2021) */
    double log_loss; /* hb_log_loss of P_fail */
    double ece;      /* expected calibration error of P_fail in ten equal bins (Guo et al., 2017) */
    double brier;    /* mean (P_fail - label)^2 (Brier, 1950) */
    hb_guarantee_check guarantee; /* set if the options have a guarantee */
} hb_validation;

/* Evaluates a calibrated threshold on other samples. O(n log n) without the bootstrap. Errors as
 * hb_sweep. */
HB_API hb_status hb_validate(const double *scores, const uint8_t *labels, size_t n,
                             const hb_validation_options *options, hb_validation *out, hb_error *err);
HB_API void hb_validation_free(hb_validation *validation);

/* ---- Curves for figures -------------------------------------------------------------------------- */

/* Points of a curve, x ascending. The interval is the 95 % interval of y at each x, one point at a
 * time; NaN without bootstrap draws. */
typedef struct hb_curve {
    size_t n;
    double *x, *y, *lower, *upper; /* [n] */
} hb_curve;

/* What figures of a score and its threshold show. */
typedef struct hb_curves {
    double lower,
        upper;       /* the histogram's range, from the 0.5 % to the 99.5 % quantile of the scores */
    size_t n_bars;   /* bars of equal width */
    size_t *bars[2]; /* [n_bars], samples by label; those beyond the range are in the outermost */
    hb_curve roc;    /* x: false positive rate; y: true positive rate, linear between scores */
    hb_curve precision_recall; /* x: recall; y: precision of the first threshold that reaches it */
    hb_curve risk_coverage;    /* x: coverage; y: as hb_validation.risks */
    hb_curve reliability; /* x: mean P_fail of the samples in one of ten equal bins of P_fail; y: the
                             share of them that is hallucinated, with the interval of Clopper and
                             Pearson. Empty bins are left out */
    size_t *n_in_bin;     /* [reliability.n], their samples */
    double aurc, ece;     /* as in hb_validation */
} hb_curves;

/* Computes the curves of a score, from as many bootstrap draws as the options say, but at most 1000.
 * Errors as hb_validate. Release *curves with hb_curves_free. */
HB_API hb_status hb_find_curves(const double *scores, const uint8_t *labels, size_t n,
                                const hb_validation_options *options, hb_curves **curves,
                                hb_error *err);
HB_API void hb_curves_free(hb_curves *curves);

/* A sample of a run as the calibrated score judges it. */
typedef struct hb_judged_sample {
    uint64_t index; /* hb_run_sample.index */
    double score, p_fail;
    uint8_t label;
} hb_judged_sample;

/* ---- Calibration of halting ---------------------------------------------------------------------- */

/* Values at each step of labelled answers: of a signal, or of anything else that judges tokens. */
typedef struct hb_series {
    float *values;    /* [starts[n]] */
    size_t *starts;   /* [n + 1], where each answer's values begin */
    uint8_t *labels;  /* [n], 0 or 1 */
    uint32_t *groups; /* [n], as in hb_score_table; NULL: all are independent */
    size_t n;
    bool extremes; /* steps are unknown: each answer has one value, its riskiest */
} hb_series;

/* Reads a signal's values at each step of the run's labelled answers. `grading` as for hb_run_table.
 * From a run without steps, it reads the extremes in `direction`. HB_ERR_ARGUMENT when the run lacks
 * the signal. Release with hb_series_free. */
HB_API hb_status hb_run_series(hb_run *run, const hb_signal *signal, hb_direction direction,
                               const hb_grading *grading, hb_series *series, hb_error *err);
HB_API void hb_series_free(hb_series *series); /* frees the members, not the struct */

typedef struct hb_halt_options {
    hb_halt_rule rule;      /* HB_HALT_TOKEN */
    hb_guarantee guarantee; /* kind, target and delta; HB_GUARANTEE_FALSE_HALTS, 0.05 and 0.05 */
    hb_direction direction; /* HIGH or LOW: which values are risky; HIGH */
    size_t n_choices;       /* from how many candidates these values and this direction were chosen on
                               the same answers: the level of the test is delta / n_choices; 1 */
    uint64_t seed;          /* of the draws from groups and of the halves for a cusum; 42 */
} hb_halt_options;
HB_API hb_halt_options hb_halt_defaults(void); /* those named above */

/* What a halt does to labelled answers. Of each group, one answer of each label counts, drawn at
 * random, so that the answers that count are independent. */
typedef struct hb_halt_report {
    size_t n[2], halted[2]; /* answers that count, by label, and those of them that the halt stops */
    hb_interval share[2];   /* 95 % interval of halted / n (Clopper and Pearson, The Use of Confidence
                               or Fiducial Limits Illustrated in the Case of the Binomial, 1934) */
    size_t n_left_out;      /* answers that do not count */
    /* Tokens printed before the halt in hallucinated answers that it stops: the median and the 90 %
     * quantile, with 95 % intervals from order statistics (infinite where there are too few); NaN when
     * steps are unknown or none is stopped. */
    double printed[2];
    hb_interval printed_interval[2];
} hb_halt_report;

typedef struct hb_halt_calibration {
    hb_halt halt;           /* rule.kind is HB_HALT_NONE if there is none */
    hb_guarantee guarantee; /* of halt.tau */
    hb_halt_report report;  /* on the answers that tau was chosen on */
    size_t n_fitted;        /* further answers, to which a cusum was fitted */
} hb_halt_calibration;

/* Chooses tau so that the guarantee holds, and so that a halt stops as many hallucinated answers or,
 * for HB_GUARANTEE_HALTS, as few others as that allows. The guarantee is exact: it is a tolerance limit
 * of the answers' largest statistics (Wilks, 1941). It holds for answers that were drawn, generated and
 * limited like these. A cusum is fitted to one half of the answers, and tau chosen on the other half.
 * HB_ERR_DATA, saying how many answers are needed, when there are too few; HB_ERR_ARGUMENT for bad
 * options, and for another rule than HB_HALT_TOKEN when steps are unknown. */
HB_API hb_status hb_calibrate_halt(const hb_series *series, const hb_halt_options *options,
                                   hb_halt_calibration *out, hb_error *err);

/* What a calibrated halt does to other answers. Errors as hb_calibrate_halt. */
HB_API hb_status hb_validate_halt(const hb_series *series, const hb_halt *halt, uint64_t seed,
                                  hb_halt_report *report, hb_error *err);

/* ---- Pass 2 as a whole --------------------------------------------------------------------------- */

/* The calibration of one score. */
typedef struct hb_calibrated_score {
    char *name;
    char *tail; /* the measured score in its direction: for a tail5 such as "hbar_s", the name of the
                   score with top5 or bottom5; for other scores the same as `name` */
    double tau;
    hb_direction direction;
    double auroc, pr_auc, precision, recall, f1; /* NaN when a parameters file lacks them */
    hb_class_summary by_label[2];
} hb_calibrated_score;

/* How well a signal separates the hallucinated tokens of given responses from the others. */
typedef struct hb_token_score {
    const hb_signal *signal;
    hb_direction direction; /* of the signal's calibrated score, else as hb_signal_risky, else HIGH */
    double auroc, average_precision; /* of the tokens of all responses; NaN when a class is missing */
} hb_token_score;

/* Alarms in hallucinated spans, and elsewhere. */
typedef struct hb_alarms {
    size_t n_alarmed;          /* spans in which a token raises an alarm */
    double median_delay;       /* tokens from a span's first token to its first alarm; NaN: no alarm */
    size_t n_outside, n_false; /* tokens outside of spans, and those of them that raise an alarm */
} hb_alarms;

/* The evaluation of a run's tokens (hb_run_each_tokens). A token is hallucinated if one of its
 * characters lies in a hallucinated span; tokens without characters do not count. */
typedef struct hb_token_report {
    size_t n_answers, n_tokens, n_hallucinated; /* 0: the run has no tokens */
    size_t n_spans;                             /* spans with a token */
    hb_token_score *scores;                     /* [n_scores], the highest AUROC first */
    size_t n_scores;
    const hb_signal *watched;    /* decides alarms; NULL: there are none */
    double tau, cutoff;          /* of the monitor */
    hb_alarms at_tau, at_cutoff; /* alarms where the watched signal is beyond tau, and where P_fail
                                    reaches the cutoff */
} hb_token_report;

/* Evaluates the tokens of a run. The monitor decides alarms, as in hb_run_halting; a joint model raises
 * none. `scores` [n_scores] give the directions of signals and may be NULL for 0. Holds the signals of
 * all tokens in memory, 4 bytes each. Release with hb_token_report_free. */
HB_API hb_status hb_run_report_tokens(hb_run *run, const hb_monitor *monitor,
                                      const hb_calibrated_score *scores, size_t n_scores,
                                      hb_token_report *report, hb_error *err);
HB_API void hb_token_report_free(hb_token_report *report);

typedef struct hb_calibrate_options {
    hb_sweep_options sweep;         /* hb_sweep_defaults() */
    hb_bootstrap_options bootstrap; /* hb_bootstrap_defaults(); min_recall comes from `sweep`. 0 draws:
                                       only DeLong's interval, and no control of a joint model */
    hb_map_kind map;                /* HB_MAP_LAMBDA */
    bool joint; /* calibrate a joint model of the scores; false: the score with the highest AUROC */
    hb_joint_options joint_options; /* hb_joint_defaults() */
    double cutoff;                  /* cutoff for counting halted samples; default as hb_monitor */
    hb_halt_options halt; /* hb_halt_defaults(); direction and n_choices come from the calibration. With
                             the rule HB_HALT_NONE no halt is calibrated */
    bool needs_halt;      /* it is an error if no halt can be calibrated; false */
} hb_calibrate_options;
HB_API hb_calibrate_options hb_calibrate_defaults(void);
/* Whether n samples can be enough for a calibration and, if it must find a halt, for the halt's
 * guarantee. Ask before the answers are generated. Not enough: HB_ERR_DATA. */
HB_API hb_status hb_calibrate_check(uint64_t n, const hb_calibrate_options *options, hb_error *err);

/* A baseline that every ranking shows beside its scores: what a control tells of the labels. The last
 * one is "shuffled_labels": what the choice of a score finds where there is nothing to find, which must
 * be 0.5. */
typedef struct hb_control {
    const char *name; /* "answer_length", "prompt_length", "overlap", "shuffled_labels" */
    size_t n;         /* samples that have the control; of shuffled labels: the number of shuffles */
    hb_direction direction;         /* the better one on these samples; not set for shuffled labels */
    double auroc;                   /* in that direction; of shuffled labels: the mean */
    hb_interval interval;           /* DeLong's; of shuffled labels: the middle 95 % of the shuffles */
    hb_auroc_difference difference; /* the calibrated score's AUROC minus this one, on the same samples;
                                       NaN for shuffled labels */
} hb_control;

/* The choice of the best score, repeated within cross-validation (Varma and Simon, Bias in Error
 * Estimation when Using Cross-validation for Model Selection, 2006). In each fold, the score and its
 * direction are those with the highest AUROC on the other folds. So the choice does not flatter this
 * AUROC, which is the mean of the folds' AUROCs, weighted by their numbers of pairs. */
typedef struct hb_nested {
    size_t n_folds; /* 5; 0: too few samples or groups, and nothing else is set; also 0 for a joint
                       model, of which only the shuffles are set */
    uint64_t seed;
    size_t *winners; /* [n_folds], the score chosen for each fold; in a calibration's result its index
                        in comparison.scores, or 0 for a single score */
    bool changes;    /* the folds choose different scores */
    double auroc;
    hb_interval interval; /* from the folds' standard errors */
    size_t n_shuffles; /* the same with labels that are shuffled, 10 to 100 times; of a joint model, its
                          AUROC out of fold when it is fitted to them */
    double shuffled_auroc;
    hb_interval shuffled;
} hb_nested;

/* Another score of the run that ranks better than the calibrated one. */
typedef struct hb_better_score {
    char *name;
    double auroc; /* in its own direction */
    hb_auroc_difference
        difference; /* its AUROC minus the calibrated score's, by DeLong's paired test */
    double p_holm;  /* its p, adjusted for the tests of all the run's other signals */
} hb_better_score;

/* All results of pass 2. Reports are written from this struct and compute nothing. */
typedef struct hb_calibration_result {
    hb_calibrate_options options;
    hb_calibrated_score *scores; /* [n_scores]: the calibrated score, then the compared scores by
                                    descending AUROC, then the run's other signals */
    size_t n_scores;
    hb_sweep_result sweep; /* for the calibrated score, like the next four fields */
    hb_uncertainty uncertainty;
    hb_map map;
    bool contradicts_signal;  /* these labels contradict the score's signal (hb_signal_risky), beyond
                                 chance, and options->sweep did not ask for their direction */
    double brier;             /* mean (P_fail - label)^2 on these samples, with P_fail from the map */
    hb_halting halting;       /* set if has_halting: halting on the run by the score's signal */
    bool has_halting;         /* false for a table or a joint model */
    hb_halt_calibration halt; /* of a run, by the values of the score's signal or of halt_model */
    char *no_halt;            /* why there is no halt; NULL if there is one or none was wanted */
    hb_token_report tokens;   /* of a run with tokens, with alarms of the score's signal and the map */
    hb_comparison comparison; /* n is 0 for a single score and for a joint model */
    hb_nested nested;
    hb_control *controls; /* [n_controls] */
    size_t n_controls;
    hb_better_score better; /* for a single score of a run: the signal with the highest AUROC among
                               those whose usual score ranks significantly better (p_holm < 0.05); name
                               is NULL if there is none */
    hb_joint joint;         /* n_features is 0 if there is none */
    hb_probe **probes;      /* [n_probes], trained for the scores that are named like them */
    size_t n_probes;
    hb_halt_model *halt_model; /* what `halt` runs over, if the score is a probe or a joint model */
    uint64_t *prompts;         /* [n_prompts], the first 64 bits of the SHA-256 of the samples' prompts,
                                  ascending, each once; n_prompts is 0 for a table */
    size_t n_prompts;
    hb_curves *curves;        /* of the calibrated score on these samples */
    hb_judged_sample *judged; /* [n_judged], of a run; n_judged is 0 for a table */
    size_t n_judged;
} hb_calibration_result;

#define HB_NAME_BYTES 65535 /* maximum length of a score's name */

/* Calibrates one score of a table. If the table has several scores, calibrates the one with the highest
 * AUROC or, with options->joint, their joint model. `names` [table->n_scores] are the names of the
 * scores. `options` may be NULL. HB_ERR_ARGUMENT for conflicting options: a guarantee requires a single
 * score and no joint model; a joint model requires that high values are risky. HB_ERR_DATA as for
 * hb_sweep, hb_map_fit and hb_joint_fit. Release with hb_calibration_result_free. */
HB_API hb_status hb_calibrate(const hb_score_table *table, const char *const *names,
                              const hb_calibrate_options *options, hb_calibration_result *result,
                              hb_error *err);

/* Like hb_calibrate, for scores of a run. A score with the name of a probe (hb_run_has_probe) is
 * trained on the run's features; its values are the log-odds out of fold, and a guarantee is refused.
 * Also adds the thresholds of the run's other signals with their usual aggregations, the effect of
 * halting, and the prompts' hashes. `grading` as for hb_run_table. Errors as hb_calibrate and
 * hb_run_table. */
HB_API hb_status hb_calibrate_run(hb_run *run, const char *const *scores, size_t n_scores,
                                  const hb_grading *grading, const hb_calibrate_options *options,
                                  hb_calibration_result *result, hb_error *err);
HB_API void hb_calibration_result_free(hb_calibration_result *result);

/* ---- Comparison of two results ------------------------------------------------------------------- */

/* A setting that two results do not share. */
typedef struct hb_changed_setting {
    char *name;      /* as in hb_run_settings, or its path in a document, such as "settings.seed" */
    char *values[2]; /* of each result; NULL: none */
} hb_changed_setting;

/* A score that both results have. Each result's numbers are in its own direction, the better one on its
 * samples. NaN: unknown. */
typedef struct hb_compared_result {
    char *name;
    double auroc[2];
    hb_interval interval[2];
    hb_direction direction[2];      /* HB_DIRECTION_AUTO: unknown */
    hb_auroc_difference difference; /* AUROC of the first result minus that of the second, on the shared
                                       samples alone, by a paired test; NaN without one */
    double p_holm;                  /* its p, adjusted for the tests of all scores */
} hb_compared_result;

typedef struct hb_diff {
    hb_changed_setting *settings; /* [n_settings] */
    size_t n_settings;
    hb_compared_result *scores; /* [n_scores] */
    size_t n_scores;
    size_t n[2];         /* labelled samples of each result */
    size_t n_shared;     /* labelled samples that both have; 0 for documents */
    size_t n_relabelled; /* shared samples whose two labels differ, because the answers do */
    char *untested;      /* why there is no paired test, one line; NULL: there is one */
} hb_diff;

/* Compares two runs: their settings, and the AUROC of each score that both have. Of signals, only the
 * scores with the usual aggregation are compared. Samples of the same data (equal hash and recipe) are
 * the same if their index is; of other data, if their prompt occurs once in each run.
 *
 * The paired test is DeLong's where both runs label all shared samples alike, as they do given
 * responses. Where models answer themselves, the labels of a sample can differ; then each sample's
 * deviations in both AUROCs are subtracted, as for a cluster with a member in each run (Obuchowski,
 * Nonparametric Analysis of Clustered ROC Curve Data, 1997).
 *
 * `grading` as for hb_run_table; with NULL, HB_ERR_MISMATCH when both runs have answers to grade and
 * their settings grade them differently. Errors as hb_run_table; scores and samples that allow no AUROC
 * or test are not errors. Release with hb_diff_free. */
HB_API hb_status hb_diff_runs(hb_run *a, hb_run *b, const hb_grading *grading, hb_diff *diff,
                              hb_error *err);

/* Compares two documents, each parameters (hb_params_json) or a validation (hb_validation_json): what
 * they say of model, data and settings, and their AUROCs. Documents have no samples, so there is no
 * paired test. Errors as hb_report_add_file. */
HB_API hb_status hb_diff_files(const char *a, const char *b, hb_diff *diff, hb_error *err);
HB_API void hb_diff_free(hb_diff *diff); /* frees the members, not the struct */

/* ---- Calibrated parameters: what a file of them holds ------------------------------------------- */

/* The contents of a parameters file that a monitor and a validation need. Only hb_params_load creates
 * this struct, so later versions can add fields at its end. Texts that the file lacks are empty. */
typedef struct hb_params {
    double tau, lambda, alpha;
    hb_direction direction;
    hb_map map;
    hb_guarantee guarantee; /* of tau */
    hb_joint joint;         /* n_features is 0 if there is none */
    char *score;            /* the name of the score that tau applies to; "joint" for a joint model */
    char *model_name, *model_architecture;
    uint64_t model_size;    /* 0 when unknown */
    char *chat;             /* chat format of the prompts; empty: none */
    char system_sha256[65]; /* hash of the system message; empty: none */
    double min_recall;
    int32_t max_tokens; /* limit per sample; 0 when unknown */
    hb_grading grading; /* set if is_graded: how the answers were graded */
    bool is_graded;
    char data_sha256[65];        /* empty when unknown */
    hb_calibrated_score *scores; /* [n_scores]; the first is `score` */
    size_t n_scores;
    uint64_t *prompts; /* [n_prompts], as in hb_calibration_result; n_prompts is 0 if the calibration
                          used a table or the file is of an earlier version */
    size_t n_prompts;
    char *read_as; /* how responses of the data were used, as hb_read_as_name has it; NULL: unknown */
    bool exact, knows_exact; /* whether the sessions were exact; set if knows_exact */
    hb_kv_type kv_type;      /* of the sessions; AUTO when unknown */
    char
        *abstain_sha256; /* of the file that added phrases of abstentions; empty: none; NULL: unknown */
    char model_sha256[65]; /* empty when unknown */
    char created[32];      /* the time in UTC, such as 2026-01-31T12:00:00Z; empty when unknown */
    hb_halt halt; /* by the values of the score's signal or of halt_model; rule.kind is HB_HALT_NONE if
                     there is none: then nothing should halt (hb_monitor.cutoff) */
    hb_guarantee halt_guarantee; /* of halt.tau */
    int32_t samples;             /* drawn for each prompt beside its answer; 0: none, or unknown */
    double sample_temperature, sample_top_p; /* set, with the next one, if there are samples */
    int32_t sample_max_tokens;
    char *asks;        /* questions to a model, as in hb_run_settings; empty: none, or unknown */
    char *engine;      /* of the model, if it was not the native one; empty: native */
    hb_probe **probes; /* [n_probes], of the scores that are named like them */
    size_t n_probes;
    hb_halt_model *halt_model; /* what `halt` runs over instead of the score's signal; NULL: none */
} hb_params;

/* Reads a parameters file of at most HB_PARAMS_BYTES from a regular file or a pipe. HB_ERR_FORMAT names
 * the file and the field. HB_ERR_UNSUPPORTED for a newer schema. Release with hb_params_free. */
HB_API hb_status hb_params_load(const char *path, hb_params **params, hb_error *err);
HB_API void hb_params_free(hb_params *params);
#define HB_PARAMS_BYTES ((size_t)1 << 30)

/* Finds the parameters of a model in a folder: the files NAME.json whose model has the same SHA-256 and
 * whose score hbar measures. Of several it takes those with this chat format and this system message
 * (as hb_params_same_chat), then the newest by their time of creation, then the last by name. Files
 * that cannot be loaded are passed over, and `skipped`, which may be NULL, is called for each of them
 * with the error. *path is NULL if there are none or there is no such folder; release it with free().
 * Reads the whole model file if parameters have its name and size. HB_ERR_IO when the folder or the
 * model cannot be read. */
HB_API hb_status hb_params_find(const char *dir, const hb_model *model, const char *chat,
                                const char *system, void (*skipped)(void *user, const hb_error *why),
                                void *user, char **path, hb_error *err);

/* Whether the parameters were calibrated on this model. Compares name, architecture and file size. */
HB_API bool hb_params_same_model(const hb_params *params, const hb_model_info *model);

/* Whether the parameters were calibrated with this chat format and this system message. NULL or empty
 * means none. */
HB_API bool hb_params_same_chat(const hb_params *params, const char *chat, const char *system);

/* ---- Validation as a whole ----------------------------------------------------------------------- */

/* The validation of one calibrated score. */
typedef struct hb_judged_score {
    const hb_calibrated_score *calibrated; /* of the parameters */
    hb_validation validation;
    hb_auroc_difference
        difference; /* from the first score's AUROC, by DeLong's test; NaN for the first score */
    double p_holm;  /* its p, adjusted for all of these tests */
} hb_judged_score;

/* A calibrated score that could not be validated. */
typedef struct hb_unjudged_score {
    const hb_calibrated_score *calibrated;
    char *reason; /* one line; NULL: the data do not contain the score */
} hb_unjudged_score;

/* Samples by the flags of two thresholds: [flagged by the first][flagged by the second]. */
typedef struct hb_quadrants {
    size_t count[2][2], hallucinated[2][2];
} hb_quadrants;

/* All results of a validation. */
typedef struct hb_validation_result {
    hb_judged_score *scores; /* [n_scores]; the first is the calibrated score */
    size_t n_scores;
    hb_unjudged_score *unjudged; /* [n_unjudged] */
    size_t n_unjudged;
    double *correlations;   /* [n_scores][n_scores], Spearman rank correlations */
    hb_quadrants quadrants; /* set if has_quadrants: for hbar_s and pri, when both were validated */
    hb_halting halting; /* set if has_halting: halting on the run by the first score's signal and map */
    bool has_quadrants, has_halting;
    const hb_params *params;
    hb_halt_report halt; /* set if has_halt: what the parameters' halt does to a run's answers */
    hb_guarantee_check halt_guarantee; /* set if has_halt */
    bool has_halt;
    char *no_halt; /* why the parameters' halt is not validated; NULL: it is, or they have none */
    hb_token_report tokens; /* as in hb_calibration_result */
    hb_control *controls;   /* [n_controls], on these samples, compared with the first score */
    size_t n_controls;
    size_t n;          /* samples */
    size_t n_shared;   /* set if knows_shared: samples whose prompts were also in the calibration */
    bool knows_shared; /* false for a table, and if the parameters or the run have no prompts */
    hb_curves *curves; /* of the first score on these samples */
    hb_judged_sample *judged; /* [n_judged], of a run; n_judged is 0 for a table */
    size_t n_judged;
} hb_validation_result;

/* Lists the scores that a validation reads. First come the scores of the joint model or, without one,
 * the calibrated score, whether available or not. Then comes every other calibrated score that is in
 * `available` [n_available]. A score whose name is not there is read by the name of its tail. Release
 * *names [*n] with free(); its texts belong to the parameters. HB_ERR_MEMORY. */
HB_API hb_status hb_params_columns(const hb_params *params, const char *const *available,
                                   size_t n_available, const char ***names, size_t *n, hb_error *err);

/* Validates calibrated thresholds on a table of other samples. `names` are the names of the table's
 * scores. Fails if the calibrated score cannot be validated; other scores that cannot be validated are
 * listed in result->unjudged. `bootstrap` may be NULL; min_recall 0 means the min_recall of the
 * parameters. HB_ERR_DATA as for hb_validate, and for a table that lacks the calibrated score. `params`
 * must outlive the result. Release with hb_validation_result_free. */
HB_API hb_status hb_validate_scores(const hb_params *params, const hb_score_table *table,
                                    const char *const *names, const hb_bootstrap_options *bootstrap,
                                    hb_validation_result *result, hb_error *err);

/* Like hb_validate_scores, for a run. Reads the run once. Also adds the effect of halting and the
 * number of samples whose prompts were also in the calibration. Prompts are compared by the first 64
 * bits of their SHA-256, without examples. With NULL for `grading`, answers are graded as in the
 * calibration or, if the parameters do not say how, as for hb_run_table. */
HB_API hb_status hb_validate_run(const hb_params *params, hb_run *run, const hb_grading *grading,
                                 const hb_bootstrap_options *bootstrap, hb_validation_result *result,
                                 hb_error *err);
HB_API void hb_validation_result_free(hb_validation_result *result);

/* ---- Reports: results as text ------------------------------------------------------------------- */

/* Each function returns one report as text: indented JSON or human-readable lines. Both are written
 * from the same struct. Release the text with free(). Errors: HB_ERR_MEMORY. */

/* The origin of a calibration's samples. */
typedef struct hb_params_source {
    const hb_run_settings *run; /* settings of the run; NULL: the scores come from a table */
    hb_run_counts counts;       /* of the run */
    const char *data_path;      /* of the table */
    const char *data_sha256;
    size_t n_broken;           /* of the table */
    const hb_grading *grading; /* of the run's answers; NULL: labels were given */
} hb_params_source;

/* The parameters file (docs/parameters.md). */
HB_API hb_status hb_params_json(const hb_params_source *source, const hb_calibration_result *result,
                                char **json, hb_error *err);
/* The calibration as human-readable text. */
HB_API hb_status hb_params_text(const hb_params_source *source, const hb_calibration_result *result,
                                char **text, hb_error *err);

/* Checks early that parameters can be saved under this name. Creates `dir` if needed, then creates and
 * removes a file in it. HB_ERR_ARGUMENT for a name that cannot begin a file name: an empty name, one of
 * more than 128 bytes, one with a '/' or one with a leading '.'. HB_ERR_IO when `dir` is not writable.
 */
HB_API hb_status hb_params_try(const char *dir, const char *name, hb_error *err);

/* Saves the text of hb_params_json as DIR/<name>_<YYYYMMDD_HHMMSS>_n<N>.json (local time; N is
 * n_samples, the samples drawn). Creates DIR if needed. Writes the whole file or none, and never
 * overwrites a file. Release *path with free(). Errors as hb_params_try. */
HB_API hb_status hb_params_save(const char *dir, const char *name, uint64_t n_samples, const char *json,
                                char **path, hb_error *err);

/* The origin of a validation's samples. */
typedef struct hb_validation_source {
    const char *params;         /* path of the parameters */
    const char *scores;         /* path of the run or the table */
    const hb_grading *grading;  /* of the run's answers; NULL: labels were given */
    uint64_t n_abstained;       /* of the run's answers */
    const hb_run_settings *run; /* settings of the run; NULL: the scores come from a table */
    hb_run_counts counts;       /* of the run; n_abstained is its `abstained` */
} hb_validation_source;

/* The validation (docs/statistics.md). */
HB_API hb_status hb_validation_json(const hb_validation_source *source,
                                    const hb_validation_result *result, char **json, hb_error *err);
HB_API hb_status hb_validation_text(const hb_validation_source *source,
                                    const hb_validation_result *result, char **text, hb_error *err);

/* One line with the number of hallucinated samples among n and, if the answers were graded, the number
 * of right answers and of those that abstained. */
HB_API hb_status hb_rate_text(size_t n, double hallucination_rate, const hb_grading *grading,
                              uint64_t n_abstained, char **text, hb_error *err);

/* Describes the contents of a GGUF file (docs/usage.md), even if hbar cannot run it: metadata, tensors,
 * types, the memory for a context of n_ctx positions (0: the default of hb_session_open), and the
 * reason if hbar cannot run it. Plain ASCII. HB_ERR_IO, HB_ERR_FORMAT or HB_ERR_MEMORY when the file
 * cannot be read. */
HB_API hb_status hb_inspect(const char *path, int32_t n_ctx, char **json, hb_error *err);
HB_API hb_status hb_inspect_text(const char *path, int32_t n_ctx, char **text, hb_error *err);

/* ---- What a folder holds --------------------------------------------------------------------------
 */

typedef enum hb_result_kind {
    HB_RESULT_RUN,
    HB_RESULT_PARAMS,
    HB_RESULT_VALIDATION,
    HB_RESULT_DAMAGED /* named or beginning like one of them, but unreadable */
} hb_result_kind;
/* "run", "parameters", "validation", "damaged"; "unknown" for any other number. */
HB_API const char *hb_result_kind_name(hb_result_kind kind);

/* One result. Texts are NULL and numbers NaN or 0 where unknown. */
typedef struct hb_result {
    hb_result_kind kind;
    char *path;
    char *reason;               /* why it is damaged, one line */
    char *model, *data;         /* the model's name; the path of the data */
    uint64_t n_drawn, n_scored; /* samples drawn, and those of them with scores */
    int32_t shard, shards;      /* of a run, as in hb_run_settings */
    /* Of a run whose labels come from grades, by the grading of its settings; NaN if they have none. */
    double hallucination_rate;
    char *grade; /* the rule's name; NULL if the data have labels, or the rule is unknown */
    char *score; /* the calibrated score; a run has none */
    double auroc;
    hb_interval interval; /* DeLong's */
    double tau;
    hb_direction direction; /* HB_DIRECTION_AUTO: unknown */
    char *created;          /* of parameters: the time in UTC */
} hb_result;

typedef struct hb_result_list {
    hb_result *list; /* [n], in the order of their paths */
    size_t n;
} hb_result_list;

/* Lists the runs, parameters and validations of a folder, but not of folders in it. A run is any SQLite
 * file and any file named *.db; parameters and validations are files named *.json that begin with their
 * schema. Other files are passed over. Each file is read, and may be hostile. HB_ERR_IO when the folder
 * cannot be read; HB_ERR_MEMORY. Release with hb_result_list_free. */
HB_API hb_status hb_results_list(const char *dir, hb_result_list *list, hb_error *err);
HB_API void hb_result_list_free(hb_result_list *list); /* frees the members, not the struct */

/* ---- Reports for people: one page, figures ------------------------------------------------------- */

/* A report shows one or several results as one HTML file that needs nothing from elsewhere
 * (docs/report.md). It computes nothing: it shows what parameters and validations have. */
typedef struct hb_report hb_report;

typedef struct hb_report_options {
    const char *title; /* NULL: made from the results' names */
    size_t max_bytes;  /* of the page, at least 200,000; 1,000,000. Samples beyond it are left out, the
                          least wrong ones first. With many results, the tables of the figures' numbers
                          are left out, then the figures of single results */
} hb_report_options;
HB_API hb_report_options hb_report_defaults(void); /* those named above */

/* Opens an empty report. `options` may be NULL. HB_ERR_ARGUMENT for a smaller max_bytes. */
HB_API hb_status hb_report_open(const hb_report_options *options, hb_report **report, hb_error *err);
HB_API void hb_report_close(hb_report *report);

#define HB_REPORT_RESULTS 64 /* the most results of a report */

/* Adds a file of parameters (hb_params_json) or of a validation (hb_validation_json). HB_ERR_IO;
 * HB_ERR_FORMAT for any other file and a damaged one; HB_ERR_UNSUPPORTED for a newer version;
 * HB_ERR_ARGUMENT for more than HB_REPORT_RESULTS. Refused results leave the report as it was, also by
 * the next two functions. */
HB_API hb_status hb_report_add_file(hb_report *report, const char *path, hb_error *err);

/* Adds a calibration under a name. With `run`, from which it was made, the page shows its samples, the
 * most wrong first: those whose P_fail is farthest from their label. `run` may be NULL; it is read now.
 */
HB_API hb_status hb_report_add_calibration(hb_report *report, const char *name,
                                           const hb_params_source *source,
                                           const hb_calibration_result *result, hb_run *run,
                                           hb_error *err);
/* The same for a validation. */
HB_API hb_status hb_report_add_validation(hb_report *report, const char *name,
                                          const hb_validation_source *source,
                                          const hb_validation_result *result, hb_run *run,
                                          hb_error *err);

/* Writes the page. Release *html with free(). HB_ERR_ARGUMENT for an empty report. */
HB_API hb_status hb_report_html(const hb_report *report, char **html, hb_error *err);

/* Writes figure number i, from 0, as an SVG document, and the beginning of a name for its file. *svg is
 * NULL beyond the last figure. Release *svg with free(). */
#define HB_FIGURE_NAME_BYTES 128
HB_API hb_status hb_report_figure(const hb_report *report, size_t i, char name[HB_FIGURE_NAME_BYTES],
                                  char **svg, hb_error *err);

/* Writes one generation as an HTML page: its text, each token with the colour of its P_fail, and a
 * table of the steps. `prompt` is shown above it. HB_ERR_ARGUMENT for a generation that was only
 * scored. Release *html with free(). */
HB_API hb_status hb_generation_html(const hb_model *model, const hb_generation *generation,
                                    const char *prompt, size_t length, char **html, hb_error *err);

/* ---- Server -------------------------------------------------------------------------------------- */

/* An HTTP server with OpenAI's interface that says how risky its answers are (docs/server.md). */
typedef struct hb_server hb_server;

typedef struct hb_server_options {
    const char *host; /* the address to listen on, or "localhost"; "127.0.0.1" */
    int32_t port;     /* 8080; 0: any free port */
    /* Keys, one of which a request must have as its bearer token. NULL: none is needed. */
    const char *const *api_keys; /* [n_api_keys] */
    size_t n_api_keys;
    bool insecure; /* allow an address beyond loopback without keys; false */
    const char
        *cors_origin;       /* the origin of web pages that may call the server; "*": any; NULL: none */
    int32_t n_connections;  /* maximum number of connections; 512 */
    int32_t n_queue;        /* maximum number of requests that wait; 64 */
    uint64_t max_body;      /* maximum size of a request's body in bytes; 8 MiB */
    double request_seconds; /* time for a whole request to arrive; 30 */
    double idle_seconds;    /* time without traffic after which a connection is closed; 60 */
    double ping_seconds;    /* a stream without output gets a comment after this time; 15 */
    double drain_seconds;   /* time for running requests after `stopped` becomes true; 30 */
    bool log_prompts;       /* whether the log has request bodies; false */
    /* Receives the log, one JSON object without a line end at a time. Called by one thread at a time.
     * NULL: no log. */
    void (*log)(void *user, const char *line, size_t length);
    /* Asked several times a second; returning true ends hb_server_run. May be NULL. */
    bool (*stopped)(void *user);
    void *user;
} hb_server_options;
HB_API hb_server_options hb_server_defaults(void); /* those named above */

/* What a server answers with. */
typedef struct hb_server_model {
    /* Used by hb_server_run alone. Has at least n_parallel sequences; further ones keep finished
     * conversations, for later requests that continue them. */
    hb_session *session;
    const hb_chat *chat; /* NULL: the messages of a chat are joined by line breaks */
    const char *name;    /* the model's name in answers; NULL: its own */
    hb_monitor monitor;
    const hb_params *params; /* from which the monitor was set; NULL: the answers are not calibrated */
    const char *params_name; /* their name in answers; NULL: null */
    bool watch_given;        /* the monitor watches another signal than the parameters' */
    hb_sampling sampling;    /* where a request says nothing; a seed is then drawn */
    int32_t max_tokens;      /* where a request says nothing; -1: as many as fit the context */
    int32_t n_parallel;      /* maximum number of answers that are generated at once; 4 */
    int32_t prefill; /* maximum number of prompt tokens in an evaluation while others generate; 64 */
} hb_server_model;
HB_API hb_server_model hb_server_model_defaults(void); /* those named above; no session */

/* Opens a server that listens. Until hb_server_run, it answers that it is loading. HB_ERR_ARGUMENT for
 * bad options, and for an address beyond loopback without keys; HB_ERR_IO when it cannot listen. */
HB_API hb_status hb_server_open(const hb_server_options *options, hb_server **server, hb_error *err);
HB_API int32_t hb_server_port(const hb_server *server);

/* Serves until `stopped` returns true; then takes no more requests, and finishes the running ones or,
 * after drain_seconds, cancels them. To be called once; the calling thread evaluates the model. What
 * `model` points to must outlive the server. HB_ERR_ARGUMENT for bad settings. */
HB_API hb_status hb_server_run(hb_server *server, const hb_server_model *model, hb_error *err);
HB_API void hb_server_close(hb_server *server);

#ifdef __cplusplus
}
#endif

#endif
