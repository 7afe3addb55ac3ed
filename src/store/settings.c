/* The settings of a run: a table of keys and values. Some of them must agree for a run to be continued.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/sha256.h"
#include "base/shard.h"
#include "base/text.h"
#include "base/utf8.h"
#include "measures/asks.h"
#include "signals/features.h"
#include "store/run.h"
#include "store/store.h"

typedef enum kind { KIND_TEXT, KIND_U64, KIND_I32, KIND_REAL, KIND_SIGNALS } kind;
typedef struct field {
    const char *key;
    kind kind;
    size_t offset;
    bool identity;   /* must agree for a run to be continued */
    bool of_shard;   /* only a run of a shard has it; in others it is 0 */
    bool if_set;     /* a text that a run has only if it is not empty */
    double min, max; /* the range of a number */
    hb_status (*check)(const char *text, hb_error *err); /* of a text that is not empty; NULL: any */
} field;

/* ---- Texts that must be known -------------------------------------------------------------------- */

static hb_status check_either(const char *text, const char *a, const char *b, hb_error *err)
{
    if (strcmp(text, a) == 0 || strcmp(text, b) == 0) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT, "'%.60s' is not %s or %s", text, a, b);
}

static hb_status check_read_as(const char *text, hb_error *err)
{
    return check_either(text, hb_read_as_name(HB_READ_JUDGEMENT), hb_read_as_name(HB_READ_RESPONSE),
                        err);
}

static hb_status check_engine(const char *text, hb_error *err)
{
    return check_either(text, hb_engine_name(HB_ENGINE_NATIVE), hb_engine_name(HB_ENGINE_LLAMA), err);
}

static hb_status check_kv_type(const char *text, hb_error *err)
{
    hb_kv_type type;
    if (hb_kv_type_find(text, &type) && type != HB_KV_AUTO) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT, "'%.60s' is not f16, f32 or q8_0", text);
}

static hb_status check_asks(const char *text, hb_error *err)
{
    unsigned asks;
    return hb_asks_parse(text, &asks, err);
}

static hb_status check_features(const char *text, hb_error *err)
{
    hb_feature_plan plan;
    hb_status status = hb_feature_plan_open(text, NULL, &plan, err);
    if (!status) hb_feature_plan_free(&plan);
    return status;
}

static hb_status check_grading(const char *text, hb_error *err)
{
    hb_grading grading;
    return hb_grading_parse(text, &grading, err);
}

/* ---- The table ----------------------------------------------------------------------------------- */

#define MOST_SAMPLES 1e15
#define MOST_TOKENS  (1 << 24)
#define TEXT(name, same)                                                                               \
    {                                                                                                  \
        .key = #name, .kind = KIND_TEXT, .offset = offsetof(hb_run_settings, name), .identity = same   \
    }
#define KNOWN(name, same, only_if_set)                                                                 \
    {                                                                                                  \
        .key = #name, .kind = KIND_TEXT, .offset = offsetof(hb_run_settings, name), .identity = same,  \
        .if_set = only_if_set, .check = check_##name                                                   \
    }
#define NUMBER(name, its_kind, same, least, most)                                                      \
    {                                                                                                  \
        .key = #name, .kind = its_kind, .offset = offsetof(hb_run_settings, name), .identity = same,   \
        .min = (double)(least), .max = (double)(most)                                                  \
    }
#define OF_SHARD(name, its_kind, same, most)                                                           \
    {                                                                                                  \
        .key = #name, .kind = its_kind, .offset = offsetof(hb_run_settings, name), .identity = same,   \
        .of_shard = true, .max = (double)(most)                                                        \
    }
static const field fields[] = {
    TEXT(model_path, false),
    TEXT(model_name, false),
    TEXT(model_architecture, false),
    TEXT(model_sha256, true),
    NUMBER(model_size, KIND_U64, true, 0, INT64_MAX),
    TEXT(data_path, false),
    TEXT(data_format, true),
    TEXT(data_sha256, true),
    NUMBER(data_rows, KIND_U64, false, 0, MOST_SAMPLES),
    NUMBER(data_broken, KIND_U64, false, 0, MOST_SAMPLES),
    NUMBER(n_samples, KIND_U64, false, 0, MOST_SAMPLES),
    NUMBER(seed, KIND_U64, true, INT64_MIN, INT64_MAX),
    NUMBER(max_tokens, KIND_I32, true, 0, MOST_TOKENS),
    NUMBER(n_ctx, KIND_I32, true, 1, MOST_TOKENS),
    NUMBER(alpha, KIND_REAL, true, 0, 1e100),
    {.key = "signals",
     .kind = KIND_SIGNALS,
     .offset = offsetof(hb_run_settings, signals),
     .identity = true},
    TEXT(chat, true),
    TEXT(system, true),
    NUMBER(answer_lines, KIND_I32, true, HB_ALL_LINES, MOST_TOKENS),
    TEXT(abstain_sha256, true),
    NUMBER(no_prompts, KIND_I32, true, 0, 1),
    KNOWN(read_as, true, false),
    NUMBER(exact, KIND_I32, true, 0, 1),
    KNOWN(kv_type, true, false),
    KNOWN(engine, true, true),
    NUMBER(no_steps, KIND_I32, true, 0, 1),
    NUMBER(samples, KIND_I32, true, 0, HB_MAX_SAMPLES),
    NUMBER(sample_temperature, KIND_REAL, true, 0, 100),
    NUMBER(sample_top_p, KIND_REAL, true, 0, 1),
    NUMBER(sample_max_tokens, KIND_I32, true, 0, MOST_TOKENS),
    KNOWN(asks, true, false),
    TEXT(judge_sha256, true),
    TEXT(questions_sha256, true),
    KNOWN(features, true, false),
    OF_SHARD(shard, KIND_I32, true, HB_SHARDS_MAX),
    OF_SHARD(shards, KIND_I32, true, HB_SHARDS_MAX),
    OF_SHARD(n_drawn, KIND_U64, false, MOST_SAMPLES),
    KNOWN(grading, false, true),
};
#undef TEXT
#undef KNOWN
#undef NUMBER
#undef OF_SHARD
#define N_FIELDS (sizeof fields / sizeof *fields)

static void *at(const hb_run_settings *s, const field *f)
{
    return (char *)(uintptr_t)s + f->offset;
}

/* A text setting; NULL counts as an empty text. */
static const char *text_at(const void *value)
{
    const char *text = *(char *const *)value;
    return text ? text : "";
}

/* A text setting for a reader: a run whose engine has no name was made by the native one. */
static const char *shown_text(const field *f, const void *value)
{
    const char *text = text_at(value);
    bool is_native = !*text && f->offset == offsetof(hb_run_settings, engine);
    return is_native ? hb_engine_name(HB_ENGINE_NATIVE) : text;
}

static char *signals_at(const void *value)
{
    return hb_signal_set_names(*(hb_signal_set *const *)value);
}

/* ---- In and out ---------------------------------------------------------------------------------- */

/* Returns false when memory runs out. */
static bool bind_value(sqlite3_stmt *q, int place, const field *f, const void *value)
{
    int code = SQLITE_OK;
    char *names;
    switch (f->kind) {
    case KIND_TEXT:
        code = sqlite3_bind_text(q, place, text_at(value), -1, SQLITE_STATIC);
        break;
    case KIND_U64:
        code = sqlite3_bind_int64(q, place, (int64_t) * (const uint64_t *)value);
        break;
    case KIND_I32:
        code = sqlite3_bind_int(q, place, *(const int32_t *)value);
        break;
    case KIND_REAL:
        code = sqlite3_bind_double(q, place, *(const double *)value);
        break;
    case KIND_SIGNALS:
        names = signals_at(value);
        code = names ? sqlite3_bind_text(q, place, names, -1, free) : SQLITE_NOMEM;
        break;
    }
    return code == SQLITE_OK;
}

hb_status hb_run_write_settings(hb_run *run, const hb_run_settings *s, hb_error *err)
{
    sqlite3_stmt *q;
    hb_status status = hb_run_prepare(run, "INSERT INTO settings VALUES (?, ?)", &q, err);
    for (size_t i = 0; i < N_FIELDS && !status; i++) {
        if (fields[i].of_shard && !s->shards) continue;
        if (fields[i].if_set && !*text_at(at(s, &fields[i]))) continue;
        sqlite3_bind_text(q, 1, fields[i].key, -1, SQLITE_STATIC);
        if (!bind_value(q, 2, &fields[i], at(s, &fields[i]))) status = hb_fail_memory(err);
        else if (sqlite3_step(q) != SQLITE_DONE) status = hb_run_sql_error(run, err);
        sqlite3_reset(q);
    }
    sqlite3_finalize(q);
    return status;
}

static hb_status read_signals(const hb_run *run, const char *list, hb_signal_set **signals,
                              hb_error *err)
{
    hb_error why;
    hb_status status = hb_signal_set_parse(list, signals, &why);
    if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
    return status ? hb_fail(err, HB_ERR_FORMAT, "%s: setting 'signals': %s", run->path, why.message)
                  : HB_OK;
}

/* The value of a setting that is a number. The file keeps unsigned ones as signed. */
static double number_at(const field *f, const void *value)
{
    if (f->kind == KIND_U64) return (double)*(const int64_t *)value;
    return f->kind == KIND_I32 ? *(const int32_t *)value : *(const double *)value;
}

static hb_status check_setting(const char *path, const field *f, const void *value, hb_status as,
                               hb_error *err)
{
    hb_error why;
    if (f->kind == KIND_TEXT) {
        const char *text = text_at(value);
        hb_status status = f->check && *text ? f->check(text, &why) : HB_OK;
        if (!status) return HB_OK;
        if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
        return hb_fail(err, as, "%s: setting '%s': %s", path, f->key, why.message);
    }
    if (f->kind == KIND_SIGNALS) return HB_OK;
    double x = number_at(f, value);
    if (x >= f->min && x <= f->max) return HB_OK;
    return hb_fail(err, as, "%s: setting '%s' is %.10g, not from %.10g to %.10g", path, f->key, x,
                   f->min, f->max);
}

hb_status hb_run_check_settings(const char *path, const hb_run_settings *s, hb_status as, hb_error *err)
{
    hb_status status = HB_OK;
    for (size_t i = 0; i < N_FIELDS && !status; i++)
        status = check_setting(path, &fields[i], at(s, &fields[i]), as, err);
    if (status || (!s->shard && !s->shards) || hb_is_shard(s->shard, s->shards)) return status;
    return hb_fail(err, as, "%s: setting 'shard': there is no shard %d of %d", path, s->shard,
                   s->shards);
}

/* Whether the value in column 0 has the type of the setting. */
static bool has_kind(sqlite3_stmt *q, kind kind)
{
    int type = sqlite3_column_type(q, 0);
    int64_t whole = type == SQLITE_INTEGER ? sqlite3_column_int64(q, 0) : 0;
    switch (kind) {
    case KIND_TEXT:
    case KIND_SIGNALS:
        return type == SQLITE_TEXT;
    case KIND_U64:
        return type == SQLITE_INTEGER;
    case KIND_I32:
        return type == SQLITE_INTEGER && whole >= INT32_MIN && whole <= INT32_MAX;
    case KIND_REAL:
        return type == SQLITE_INTEGER ||
               (type == SQLITE_FLOAT && isfinite(sqlite3_column_double(q, 0)));
    }
    return false;
}

static hb_status read_value(hb_run *run, sqlite3_stmt *q, const field *f, hb_error *err)
{
    void *value = at(&run->settings, f);
    bool is_text = f->kind == KIND_TEXT || f->kind == KIND_SIGNALS;
    if (!has_kind(q, f->kind))
        return hb_fail(err, HB_ERR_FORMAT, "%s: setting '%s' is not %s", run->path, f->key,
                       is_text                ? "a text"
                       : f->kind == KIND_REAL ? "a number"
                                              : "a whole number in its range");
    const char *text = is_text ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (is_text && !text) return hb_fail_memory(err);
    switch (f->kind) {
    case KIND_TEXT:
        return (*(char **)value = strdup(text)) ? HB_OK : hb_fail_memory(err);
    case KIND_U64:
        *(uint64_t *)value = (uint64_t)sqlite3_column_int64(q, 0);
        return HB_OK;
    case KIND_I32:
        *(int32_t *)value = sqlite3_column_int(q, 0);
        return HB_OK;
    case KIND_REAL:
        *(double *)value = sqlite3_column_double(q, 0);
        return HB_OK;
    case KIND_SIGNALS:
        return read_signals(run, text, value, err);
    }
    return HB_OK;
}

/* A setting that the file lacks. It is zero or empty in a run of an earlier schema, in one that is not
 * of a shard, and if only a run that sets it has it. */
static hb_status lack_setting(hb_run *run, const field *f, hb_error *err)
{
    char **text = at(&run->settings, f);
    if (f->of_shard) return HB_OK;
    if (run->schema == HB_RUN_SCHEMA && !f->if_set)
        return hb_fail(err, HB_ERR_FORMAT, "%s: the run has no setting '%s'", run->path, f->key);
    if (f->kind != KIND_TEXT) return HB_OK;
    *text = strdup("");
    return *text ? HB_OK : hb_fail_memory(err);
}

static hb_status read_setting(hb_run *run, sqlite3_stmt *q, const field *f, hb_error *err)
{
    sqlite3_bind_text(q, 1, f->key, -1, SQLITE_STATIC);
    int code = sqlite3_step(q);
    if (code != SQLITE_ROW && code != SQLITE_DONE) return hb_run_sql_error(run, err);
    hb_status status = code == SQLITE_ROW ? read_value(run, q, f, err) : lack_setting(run, f, err);
    sqlite3_reset(q);
    return status;
}

static hb_status check_schema_and_tables(hb_run *run, hb_error *err)
{
    int64_t application = 0, version = 0, tables = 0;
    hb_status status = hb_run_query_int(run, "PRAGMA application_id", &application, err);
    if (!status) status = hb_run_query_int(run, "PRAGMA user_version", &version, err);
    if (!status) status = hb_run_query_int(run, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (status) return status;
    if (!application && !tables)
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: is empty: the run is just being created, or its creation was interrupted",
                       run->path);
    if (application != HB_RUN_APPLICATION_ID)
        return hb_fail(err, HB_ERR_FORMAT, "%s: a database, but not a run of hbar", run->path);
    if (version < HB_RUN_OLDEST || version > HB_RUN_SCHEMA)
        return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: run schema %lld is not supported (%d to %d are)",
                       run->path, (long long)version, HB_RUN_OLDEST, HB_RUN_SCHEMA);
    run->schema = (int)version;
    return hb_run_check_tables(run, err);
}

hb_status hb_run_read_settings(hb_run *run, hb_error *err)
{
    sqlite3_stmt *q;
    hb_status status = hb_run_prepare(run, "SELECT value FROM settings WHERE key = ?", &q, err);
    if (status) return status;
    for (size_t i = 0; i < N_FIELDS && !status; i++) status = read_setting(run, q, &fields[i], err);
    sqlite3_finalize(q);
    return status ? status : hb_run_check_settings(run->path, &run->settings, HB_ERR_FORMAT, err);
}

hb_status hb_run_check_and_read_settings(hb_run *run, hb_error *err)
{
    hb_status status = check_schema_and_tables(run, err);
    return status ? status : hb_run_read_settings(run, err);
}

hb_grading hb_run_grading(const hb_run *run)
{
    hb_grading grading = hb_grading_defaults();
    hb_grading_parse(run->settings.grading, &grading, NULL);
    return grading;
}

/* Runs are found by this hash, so the text must stay as it is. A zero byte, which no text contains,
 * separates the engine from the system message; otherwise two pairs of them could have one hash. */
hb_status hb_run_identity(const hb_run_settings *s, char hex[65], hb_error *err)
{
    hb_sha256 hash;
    const char *engine = text_at(&s->engine);
    char *text, *signals = hb_signal_set_names(s->signals);
    int length = signals
                     ? asprintf(&text,
                                "%d %s %s %s %llu %d %d %.17g %s %s %d %s %d %d %d %d %.17g %.17g "
                                "%d %s %s %s %s %s %s",
                                HB_RUN_SCHEMA, s->model_sha256, s->data_sha256, s->data_format,
                                (unsigned long long)s->seed, s->max_tokens, s->n_ctx, s->alpha, signals,
                                text_at(&s->chat), s->answer_lines, text_at(&s->abstain_sha256),
                                s->no_prompts, s->no_steps, s->exact, s->samples, s->sample_temperature,
                                s->sample_top_p, s->sample_max_tokens, text_at(&s->asks),
                                text_at(&s->judge_sha256), text_at(&s->questions_sha256),
                                text_at(&s->features), text_at(&s->kv_type), text_at(&s->system))
                     : -1;
    free(signals);
    if (length < 0) return hb_fail_memory(err);
    bool ok = hb_sha256_init(&hash);
    if (ok) {
        hb_sha256_add(&hash, text, (size_t)length + (*engine != '\0'));
        hb_sha256_add(&hash, engine, strlen(engine));
        hb_sha256_finish(&hash, hex);
    }
    free(text);
    return ok ? HB_OK : hb_fail_memory(err);
}

void hb_run_free_settings(hb_run_settings *s)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        void *value = at(s, &fields[i]);
        if (fields[i].kind == KIND_TEXT) free(*(char **)value);
        if (fields[i].kind == KIND_SIGNALS) hb_signal_set_free(*(hb_signal_set **)value);
    }
}

/* ---- Differences --------------------------------------------------------------------------------- */

/* A message shows SHOWN bytes of a text. It shows the beginning if that includes the difference and
 * AFTER more bytes; otherwise it begins BEFORE bytes before the difference. */
enum { SHOWN = 40, BEFORE = 16, AFTER = 8 };

/* Appends the first character of the text, escaped if necessary. *length becomes the number of bytes
 * read. */
static bool add_character(hb_buffer *out, const char *text, size_t *length)
{
    int n = hb_utf8_character(text, strlen(text));
    unsigned char c = (unsigned char)*text;
    char escaped[8];
    *length = n > 0 ? (size_t)n : 1;
    if (n > 0 && !hb_is_control(text, (size_t)n) && c != '"' && c != '\\')
        return hb_buffer_add(out, text, *length);
    *length = 1;
    if (c == '\n') return hb_buffer_add_text(out, "\\n");
    snprintf(escaped, sizeof escaped, c == '"' || c == '\\' ? "\\%c" : "\\x%02X", c);
    return hb_buffer_add_text(out, escaped);
}

/* Appends the part of a text around byte `around`, in quotes, with "..." where it is cut. Appends
 * "none" for an empty text. */
static bool add_excerpt(hb_buffer *out, const char *text, size_t around)
{
    size_t begin = around + AFTER > SHOWN ? around - BEFORE : 0, end, length;
    if (!*text) return hb_buffer_add_text(out, "none");
    while (begin > 0 && ((unsigned char)text[begin] & 0xC0) == 0x80) begin--;
    bool ok = hb_buffer_add_text(out, begin ? "\"..." : "\"");
    for (end = begin; ok && text[end] && end - begin < SHOWN; end += length)
        ok = add_character(out, text + end, &length);
    return ok && hb_buffer_add_text(out, text[end] ? "...\"" : "\"");
}

/* Appends both texts around the first byte where they differ. */
static bool add_texts(hb_buffer *out, const char *a, const char *b)
{
    size_t same = 0;
    while (a[same] && a[same] == b[same]) same++;
    return add_excerpt(out, a, same) && hb_buffer_add_text(out, ", not ") && add_excerpt(out, b, same);
}

static bool add_signals(hb_buffer *out, const void *a, const void *b)
{
    char *have = signals_at(a), *want = signals_at(b);
    bool ok = have && want && add_texts(out, have, want);
    free(have);
    free(want);
    return ok;
}

static bool same_signals(const hb_signal_set *a, const hb_signal_set *b)
{
    const hb_signal *signal, *other;
    size_t i = 0;
    do {
        signal = hb_signal_set_at(a, i);
        other = hb_signal_set_at(b, i);
        i++;
    } while (signal && other && strcmp(hb_signal_name(signal), hb_signal_name(other)) == 0);
    return !signal && !other;
}

static bool is_same(const field *f, const void *a, const void *b)
{
    switch (f->kind) {
    case KIND_TEXT:
        return strcmp(text_at(a), text_at(b)) == 0;
    case KIND_U64:
        return *(const uint64_t *)a == *(const uint64_t *)b;
    case KIND_I32:
        return *(const int32_t *)a == *(const int32_t *)b;
    case KIND_REAL:
        return *(const double *)a == *(const double *)b;
    case KIND_SIGNALS:
        return same_signals(*(hb_signal_set *const *)a, *(hb_signal_set *const *)b);
    }
    return false;
}

/* A setting as a text; NULL when memory runs out. */
static char *value_text(const field *f, const void *value)
{
    char text[40] = "";
    switch (f->kind) {
    case KIND_TEXT:
        return strdup(shown_text(f, value));
    case KIND_SIGNALS:
        return signals_at(value);
    case KIND_U64:
        snprintf(text, sizeof text, "%llu", (unsigned long long)*(const uint64_t *)value);
        break;
    case KIND_I32:
        snprintf(text, sizeof text, "%d", *(const int32_t *)value);
        break;
    case KIND_REAL:
        snprintf(text, sizeof text, "%.10g", *(const double *)value);
        break;
    }
    return strdup(text);
}

hb_status hb_run_setting_at(const hb_run_settings *s, size_t i, const char **name, char **text,
                            hb_error *err)
{
    *name = NULL;
    if (i >= N_FIELDS) return HB_OK;
    *text = value_text(&fields[i], at(s, &fields[i]));
    if (!*text) return hb_fail_memory(err);
    *name = fields[i].key;
    return HB_OK;
}

/* Appends "KEY is A, not B". */
static bool describe(hb_buffer *out, const field *f, const void *a, const void *b)
{
    char text[80] = "";
    if ((out->length && !hb_buffer_add_text(out, "; ")) || !hb_buffer_add_text(out, f->key) ||
        !hb_buffer_add_text(out, " is "))
        return false;
    switch (f->kind) {
    case KIND_TEXT:
        return add_texts(out, shown_text(f, a), shown_text(f, b));
    case KIND_U64:
        snprintf(text, sizeof text, "%llu, not %llu", (unsigned long long)*(const uint64_t *)a,
                 (unsigned long long)*(const uint64_t *)b);
        break;
    case KIND_I32:
        snprintf(text, sizeof text, "%d, not %d", *(const int32_t *)a, *(const int32_t *)b);
        break;
    case KIND_REAL:
        snprintf(text, sizeof text, "%g, not %g", *(const double *)a, *(const double *)b);
        break;
    case KIND_SIGNALS:
        return add_signals(out, a, b);
    }
    return hb_buffer_add_text(out, text);
}

hb_status hb_run_compare_settings(const hb_run *run, const hb_run_settings *wanted, hb_error *err)
{
    hb_buffer differences = {0};
    bool ok = true;
    hb_status old = hb_run_refuse_old(run, err);
    if (old) return old;
    for (size_t i = 0; i < N_FIELDS && ok; i++) {
        const void *a = at(&run->settings, &fields[i]), *b = at(wanted, &fields[i]);
        if (fields[i].identity && !is_same(&fields[i], a, b))
            ok = describe(&differences, &fields[i], a, b);
    }
    hb_status status = HB_OK;
    if (!ok) status = hb_fail_memory(err);
    else if (differences.length)
        status = hb_fail(err, HB_ERR_MISMATCH, "%s: the run was created with different settings: %s",
                         run->path, differences.data);
    hb_buffer_free(&differences);
    return status;
}
