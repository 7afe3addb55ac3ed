#include "score/messages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "signals/scores.h"

/* ---- Packing ------------------------------------------------------------------------------------- */

void hb_pack(hb_writer *out, const void *bytes, size_t length)
{
    hb_write_bytes(out, bytes, length);
}

static void pack_bytes(hb_writer *out, const char *bytes, size_t length)
{
    const uint64_t size = length;
    hb_pack(out, &size, sizeof size);
    hb_pack(out, bytes, length);
    hb_pack(out, "", 1);
}

void hb_pack_text(hb_writer *out, const char *text)
{
    pack_bytes(out, text, strlen(text));
}

/* A text that may be NULL, as the pointer in the struct before it says. */
static void pack_optional(hb_writer *out, const char *text)
{
    if (text) hb_pack_text(out, text);
}

void hb_pack_sample(hb_writer *out, const hb_sample *s)
{
    hb_pack(out, s, sizeof *s);
    hb_pack_text(out, s->id);
    hb_pack_text(out, s->prompt);
    hb_pack_text(out, s->prompt_sha256);
    pack_optional(out, s->response);
    pack_optional(out, s->context);
    pack_optional(out, s->group);
    for (size_t i = 0; s->answers && i < s->n_answers; i++) hb_pack_text(out, s->answers[i]);
    for (size_t i = 0; s->messages && i < s->n_messages; i++) {
        hb_pack(out, &s->messages[i], sizeof s->messages[i]);
        pack_bytes(out, s->messages[i].text, s->messages[i].length);
    }
    if (s->spans) hb_pack(out, s->spans, s->n_spans * sizeof *s->spans);
}

static void pack_scores(hb_writer *out, const hb_scores *scores, const hb_scores *columns)
{
    for (size_t i = 0; i < hb_scores_count(columns); i++) {
        const char *name = hb_scores_name(columns, i), *same_place = hb_scores_name(scores, i);
        bool same = same_place && strcmp(name, same_place) == 0;
        double value = same ? hb_scores_at(scores, i) : hb_scores_value(scores, name);
        hb_pack(out, &value, sizeof value);
    }
}

static void pack_tokens(hb_writer *out, const hb_run_tokens *t, size_t n_signals)
{
    hb_pack(out, t, sizeof *t);
    hb_pack(out, t->values, t->n * n_signals * sizeof *t->values);
    if (t->characters) hb_pack(out, t->characters, t->n * sizeof *t->characters);
    if (t->spans) hb_pack(out, t->spans, t->n_spans * sizeof *t->spans);
}

static void pack_features(hb_writer *out, const hb_run_features *f)
{
    hb_pack(out, f, sizeof *f);
    for (int i = 0; i < HB_N_FEATURES; i++)
        if (f->n[i]) hb_pack(out, f->values[i], f->n[i] * sizeof(float));
}

void hb_pack_finished(hb_writer *out, const hb_finished *f, const hb_scores *columns, size_t n_signals)
{
    const hb_run_sample *s = &f->sample;
    hb_pack(out, f, sizeof *f);
    hb_pack_text(out, s->id);
    hb_pack_text(out, s->prompt_sha256);
    pack_optional(out, s->answers);
    pack_optional(out, s->reason);
    pack_optional(out, s->text);
    pack_optional(out, s->prompt);
    pack_optional(out, s->group);
    if (s->scores) pack_scores(out, s->scores, columns);
    if (f->tokens) pack_tokens(out, f->tokens, n_signals);
    if (f->features) pack_features(out, f->features);
    for (size_t i = 0; i < f->n_generations; i++) {
        hb_pack(out, &f->generations[i], sizeof f->generations[i]);
        hb_pack_text(out, f->generations[i].text);
    }
}

/* ---- Unpacking ----------------------------------------------------------------------------------- */

/* Moves past `length` bytes; NULL if there are fewer. */
static const char *take(hb_unpacker *in, size_t length)
{
    const char *bytes = in->at;
    in->broken = in->broken || length > in->left;
    if (in->broken) return NULL;
    in->at += length;
    in->left -= length;
    return bytes;
}

void hb_unpack(hb_unpacker *in, void *bytes, size_t length)
{
    const char *from = take(in, length);
    if (from) memcpy(bytes, from, length);
    else memset(bytes, 0, length);
}

hb_unpacker hb_unpack_begin(const hb_buffer *message, hb_message_head *head)
{
    hb_unpacker in = {.at = message->data, .left = message->length};
    hb_unpack(&in, head, sizeof *head);
    return in;
}

static const char *unpack_bytes(hb_unpacker *in, size_t *length)
{
    uint64_t size;
    hb_unpack(in, &size, sizeof size);
    if (size >= in->left) in->broken = true;
    const char *bytes = take(in, (size_t)size + 1);
    *length = bytes ? (size_t)size : 0;
    return bytes;
}

const char *hb_unpack_text(hb_unpacker *in)
{
    size_t length;
    return unpack_bytes(in, &length);
}

static void unpack_optional(hb_unpacker *in, const char **text)
{
    if (*text) *text = hb_unpack_text(in);
}

hb_status hb_unpack_status(const hb_unpacker *in, hb_error *err)
{
    if (in->no_memory) return hb_fail_memory(err);
    return in->broken ? hb_fail(err, HB_ERR_FORMAT, "a message between processes is damaged") : HB_OK;
}

/* Memory for n elements, which `out` owns. NULL, and the message is broken, if there is none. `size` is
 * that of an element, of which the message has at least as many bytes. */
static void *own(hb_unpacker *in, hb_unpacked *out, size_t n, size_t size)
{
    in->broken = in->broken || n > in->left / size;
    void *memory = in->broken ? NULL : calloc(n + 1, size);
    if (!in->broken && !memory) in->broken = in->no_memory = true;
    if (memory) out->owned[out->n_owned++] = memory;
    return memory;
}

static void *unpack_array(hb_unpacker *in, hb_unpacked *out, size_t n, size_t size)
{
    void *array = own(in, out, n, size);
    if (array) hb_unpack(in, array, n * size);
    return array;
}

static void unpack_answers(hb_unpacker *in, hb_unpacked *out)
{
    hb_sample *s = &out->sample;
    const char **answers = own(in, out, s->n_answers, sizeof *answers);
    for (size_t i = 0; answers && i < s->n_answers; i++) answers[i] = hb_unpack_text(in);
    s->answers = answers;
}

static void unpack_conversation(hb_unpacker *in, hb_unpacked *out)
{
    hb_sample *s = &out->sample;
    hb_message *messages = own(in, out, s->n_messages, sizeof *messages);
    for (size_t i = 0; messages && i < s->n_messages; i++) {
        hb_unpack(in, &messages[i], sizeof messages[i]);
        messages[i].text = unpack_bytes(in, &messages[i].length);
    }
    s->messages = messages;
}

void hb_unpack_sample(hb_unpacker *in, hb_unpacked *out)
{
    hb_sample *s = &out->sample;
    *out = (hb_unpacked){0};
    hb_unpack(in, s, sizeof *s);
    s->id = hb_unpack_text(in);
    s->prompt = hb_unpack_text(in);
    s->prompt_sha256 = hb_unpack_text(in);
    unpack_optional(in, &s->response);
    unpack_optional(in, &s->context);
    unpack_optional(in, &s->group);
    if (s->answers) unpack_answers(in, out);
    if (s->messages) unpack_conversation(in, out);
    if (s->spans) s->spans = unpack_array(in, out, s->n_spans, sizeof *s->spans);
}

static void unpack_scores(hb_unpacker *in, hb_scores *columns)
{
    double value;
    for (size_t i = 0; i < hb_scores_count(columns); i++) {
        hb_unpack(in, &value, sizeof value);
        hb_scores_set(columns, i, value);
    }
}

static void unpack_tokens(hb_unpacker *in, size_t n_signals, hb_unpacked *out)
{
    hb_run_tokens *t = &out->tokens;
    hb_unpack(in, t, sizeof *t);
    in->broken = in->broken || t->n > in->left;
    if (in->broken) return;
    t->values = unpack_array(in, out, t->n * n_signals, sizeof *t->values);
    if (t->characters) t->characters = unpack_array(in, out, t->n, sizeof *t->characters);
    if (t->spans) t->spans = unpack_array(in, out, t->n_spans, sizeof *t->spans);
    out->finished.tokens = t;
}

static void unpack_features(hb_unpacker *in, hb_unpacked *out)
{
    hb_run_features *f = &out->features;
    hb_unpack(in, f, sizeof *f);
    for (int i = 0; i < HB_N_FEATURES; i++)
        if (f->n[i]) f->values[i] = unpack_array(in, out, f->n[i], sizeof(float));
    out->finished.features = f;
}

static void unpack_generations(hb_unpacker *in, hb_unpacked *out)
{
    hb_finished *f = &out->finished;
    hb_run_generation *list = own(in, out, f->n_generations, sizeof *list);
    for (size_t i = 0; list && i < f->n_generations; i++) {
        hb_unpack(in, &list[i], sizeof list[i]);
        list[i].text = hb_unpack_text(in);
    }
    f->generations = list;
}

void hb_unpack_finished(hb_unpacker *in, hb_scores *columns, size_t n_signals, hb_unpacked *out)
{
    hb_finished *f = &out->finished;
    hb_run_sample *s = &f->sample;
    *out = (hb_unpacked){0};
    hb_unpack(in, f, sizeof *f);
    s->id = hb_unpack_text(in);
    s->prompt_sha256 = hb_unpack_text(in);
    unpack_optional(in, &s->answers);
    unpack_optional(in, &s->reason);
    unpack_optional(in, &s->text);
    unpack_optional(in, &s->prompt);
    unpack_optional(in, &s->group);
    if (s->scores) {
        unpack_scores(in, columns);
        s->scores = columns;
    }
    if (f->tokens) unpack_tokens(in, n_signals, out);
    if (f->features) unpack_features(in, out);
    unpack_generations(in, out);
}

void hb_unpacked_free(hb_unpacked *unpacked)
{
    for (size_t i = 0; i < unpacked->n_owned; i++) free(unpacked->owned[i]);
    *unpacked = (hb_unpacked){0};
}

/* ---- Identity ------------------------------------------------------------------------------------ */

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

void hb_write_identity(hb_writer *out, const hb_run_settings *s, const char *model_sha256)
{
    const char *usual = hb_kv_type_name(s->exact ? HB_KV_F32 : HB_KV_F16);
    hb_write(out, "version %s\n", hb_version());
    hb_write(out, "layout %zu %zu %zu\n", sizeof(hb_sample), sizeof(hb_finished),
             sizeof(hb_run_generation));
    hb_write(out, "model_sha256 %s\n", model_sha256);
    hb_write(out, "n_ctx %d\nmax_tokens %d\nexact %d\n", s->n_ctx, s->max_tokens, s->exact != 0);
    hb_write(out, "kv_type %s\n", s->kv_type && *s->kv_type ? s->kv_type : usual);
    hb_write(out, "engine %s\n", or_empty(s->engine));
    hb_write(out, "no_prompts %d\nno_steps %d\n", s->no_prompts != 0, s->no_steps != 0);
    hb_write(out, "answer_lines %d\nseed %llu\nalpha %.17g\n", s->answer_lines,
             (unsigned long long)s->seed, s->alpha);
    char *signals = hb_signal_set_names(s->signals);
    out->failed = out->failed || !signals;
    hb_write(out, "signals %s\n", or_empty(signals));
    free(signals);
    hb_write(out, "features %s\n", or_empty(s->features));
    hb_write(out, "abstain_sha256 %s\n", or_empty(s->abstain_sha256));
    hb_write(out, "samples %d\n", s->samples);
    if (s->samples)
        hb_write(out, "sample_temperature %.17g\nsample_top_p %.17g\nsample_max_tokens %d\n",
                 s->sample_temperature, s->sample_top_p, s->sample_max_tokens);
    hb_write(out, "asks %s\n", or_empty(s->asks));
    hb_write(out, "judge_sha256 %s\n", or_empty(s->judge_sha256));
    hb_write(out, "questions_sha256 %s\n", or_empty(s->questions_sha256));
    hb_write(out, "chat %s\nsystem %s\n", or_empty(s->chat), or_empty(s->system));
}

hb_status hb_compare_identity(const char *ours, const char *theirs, const char *who, hb_error *err)
{
    while (*ours && *theirs) {
        size_t n = strcspn(ours, "\n"), m = strcspn(theirs, "\n"), name = strcspn(ours, " ");
        if (n != m || memcmp(ours, theirs, n) != 0)
            return hb_fail(err, HB_ERR_MISMATCH,
                           "%s differs from rank 0: its %.*s is '%.*s' instead of '%.*s'", who,
                           (int)(name < n ? name : n), ours, (int)(m > 200 ? 200 : m), theirs,
                           (int)(n > 200 ? 200 : n), ours);
        ours += n + (ours[n] == '\n');
        theirs += m + (theirs[m] == '\n');
    }
    if (!*ours && !*theirs) return HB_OK;
    return hb_fail(err, HB_ERR_MISMATCH, "%s differs from rank 0: it runs another program", who);
}
