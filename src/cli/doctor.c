/* hbar doctor: what the machine offers, how fast it is, and what a model needs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

/* How long the two measurements take, in seconds. */
#define READING_SECONDS 0.4
#define SPEED_SECONDS   1.6

/* Enough to show what evaluating samples together gains, and a small cache. */
enum { MEASURED_SEQUENCES = 32, MEASURED_CONTEXT = 1024, MEASURED_POSITIONS = 4096 };

typedef struct doctor {
    const char *model_path;
    uint64_t n;
    int32_t n_prompt, n_answer;
    hb_session_options resources;
    cli_engine engine;
    bool quiet, json;

    hb_machine machine;
    double reading;               /* bytes a second */
    hb_model *model;              /* NULL: none was given; then the rest is not set */
    hb_memory answering, scoring; /* of `generate`, and of pass 1 */
    hb_speed speed;
} doctor;

static uint64_t weights_of(const doctor *d)
{
    return hb_model_get_info(d->model)->file_size;
}

static uint64_t total_of(const doctor *d, const hb_memory *m)
{
    return weights_of(d) + m->cache + m->work;
}

static bool fits(const doctor *d, const hb_memory *m)
{
    return total_of(d, m) <= d->machine.memory_free;
}

/* ---- Text ---------------------------------------------------------------------------------------- */

static double gib(uint64_t bytes)
{
    return (double)bytes / (1 << 30);
}

static void print_machine(const doctor *d)
{
    const hb_machine *m = &d->machine;
    cli_print("Processor   %s, %d processors, kernels %s\n", *m->processor ? m->processor : "unknown",
              m->n_online, m->kernels);
    cli_print("Threads     %d by default: %d %s allowed to this process", m->n_threads, m->n_allowed,
              m->n_allowed == 1 ? "processor is" : "processors are");
    if (m->quota > 0) cli_print(", and its control group has a quota of %.2f", m->quota);
    if (d->resources.n_threads) cli_print("; %d are measured", d->resources.n_threads);
    cli_print("\n");
    cli_print("Memory      %.2f GiB, %.2f GiB of it free", gib(m->memory), gib(m->memory_free));
    if (m->memory_limit) cli_print(", limit of the control group %.2f GiB", gib(m->memory_limit));
    cli_print("; read at %.1f GB/s\n", d->reading / 1e9);
}

static void print_memory(const doctor *d, const char *name, const hb_memory *m)
{
    cli_print("  %-10s%.2f GiB: weights %.2f, KV cache %.2f, work %.2f%s\n", name, gib(total_of(d, m)),
              gib(weights_of(d)), gib(m->cache), gib(m->work), fits(d, m) ? "" : "; more than is free");
}

/* "3.2 s", "12 min" or "4.5 h". */
static void write_time(double seconds, char text[32])
{
    if (seconds < 120) snprintf(text, 32, "%.1f s", seconds);
    else if (seconds < 7200) snprintf(text, 32, "%.0f min", seconds / 60);
    else snprintf(text, 32, "%.1f h", seconds / 3600);
}

static double score_seconds(const doctor *d)
{
    return hb_score_seconds(&d->speed, d->n, d->n_prompt, d->n_answer);
}

static void print_model(const doctor *d)
{
    const hb_model_info *m = hb_model_get_info(d->model);
    const hb_speed *s = &d->speed;
    char time[32];
    cli_print("Model       %s, %s, %.2f GiB\n", m->name, m->architecture, gib(m->file_size));
    cli_print("Memory for a context of %d\n", d->answering.n_ctx);
    print_memory(d, "generate", &d->answering);
    print_memory(d, "calibrate", &d->scoring);
    cli_print("Speed, measured in %.1f s\n", s->seconds);
    cli_print("  prefill   %.1f tokens/s (%d at once)\n", s->prefill, s->n_prefill);
    cli_print("  decode    %.1f tokens/s, and %.2f ms for a token's signals\n", s->decode,
              1000 * s->measuring);
    cli_print("  together  %.1f tokens/s (%d answers at once)\n", s->together, s->n_together);
    write_time(score_seconds(d), time);
    cli_print("Calibration of %llu samples: about %s, for prompts of %d and answers of %d tokens\n",
              (unsigned long long)d->n, time, d->n_prompt, d->n_answer);
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static void write_machine(hb_json *json, const doctor *d)
{
    const hb_machine *m = &d->machine;
    hb_json_object(json, "machine");
    hb_json_text(json, "processor", *m->processor ? m->processor : NULL);
    hb_json_text(json, "kernels", m->kernels);
    hb_json_whole(json, "processors", m->n_online);
    hb_json_whole(json, "allowed", m->n_allowed);
    hb_json_number(json, "quota", m->quota > 0 ? m->quota : NAN);
    hb_json_whole(json, "threads", m->n_threads);
    hb_json_whole(json, "memory", (int64_t)m->memory);
    hb_json_whole(json, "memory_free", (int64_t)m->memory_free);
    if (m->memory_limit) hb_json_whole(json, "memory_limit", (int64_t)m->memory_limit);
    else hb_json_null(json, "memory_limit");
    hb_json_number(json, "bytes_read_per_second", d->reading);
    hb_json_end(json);
}

static void write_memory(hb_json *json, const char *key, const doctor *d, const hb_memory *m)
{
    hb_json_row(json, key);
    hb_json_whole(json, "weights", (int64_t)weights_of(d));
    hb_json_whole(json, "cache", (int64_t)m->cache);
    hb_json_whole(json, "work", (int64_t)m->work);
    hb_json_whole(json, "total", (int64_t)total_of(d, m));
    hb_json_bool(json, "fits", fits(d, m));
    hb_json_end(json);
}

static void write_model(hb_json *json, const doctor *d)
{
    const hb_model_info *m = hb_model_get_info(d->model);
    const hb_speed *s = &d->speed;
    hb_json_object(json, "model");
    hb_json_text(json, "path", m->path);
    hb_json_text(json, "name", m->name);
    hb_json_text(json, "architecture", m->architecture);
    hb_json_whole(json, "context", d->answering.n_ctx);
    hb_json_end(json);
    hb_json_object(json, "memory");
    write_memory(json, "generate", d, &d->answering);
    write_memory(json, "calibrate", d, &d->scoring);
    hb_json_end(json);
    hb_json_object(json, "speed");
    hb_json_number(json, "prefill", s->prefill);
    hb_json_whole(json, "prefill_tokens", s->n_prefill);
    hb_json_number(json, "decode", s->decode);
    hb_json_number(json, "together", s->together);
    hb_json_whole(json, "sequences", s->n_together);
    hb_json_number(json, "measuring_seconds", s->measuring);
    hb_json_number(json, "seconds", s->seconds);
    hb_json_end(json);
    hb_json_object(json, "calibration");
    hb_json_whole(json, "samples", (int64_t)d->n);
    hb_json_whole(json, "prompt_tokens", d->n_prompt);
    hb_json_whole(json, "answer_tokens", d->n_answer);
    hb_json_number(json, "seconds", score_seconds(d));
    hb_json_end(json);
}

static int print(const doctor *d)
{
    hb_json json = {0};
    if (!d->json) {
        print_machine(d);
        if (d->model) print_model(d);
        return CLI_DONE;
    }
    hb_json_object(&json, NULL);
    write_machine(&json, d);
    if (d->model) write_model(&json, d);
    hb_json_end(&json);
    return cli_print_json(&json);
}

/* ---- Running ------------------------------------------------------------------------------------- */

/* Measures with a small session, which needs little memory beside the weights. */
static hb_status measure_model(doctor *d, hb_error *err)
{
    hb_session *session;
    hb_session_options o = d->resources;
    int32_t trained = hb_model_get_info(d->model)->n_ctx_train;
    o.n_ctx = trained < MEASURED_CONTEXT ? trained : MEASURED_CONTEXT;
    o.n_sequences = MEASURED_SEQUENCES;
    o.n_positions = MEASURED_POSITIONS;
    hb_status status = hb_session_open(d->model, &o, &session, err);
    if (status) return status;
    status = hb_measure_speed(session, SPEED_SECONDS, &d->speed, err);
    hb_session_close(session);
    return status;
}

static hb_status examine_model(doctor *d, hb_error *err)
{
    hb_status status = hb_session_memory(d->model, &d->resources, &d->answering, err);
    if (status) return status;
    hb_session_options o = cli_pass1_session(&d->resources, d->model, CLI_SEQUENCES, 0);
    status = hb_session_memory(d->model, &o, &d->scoring, err);
    return status ? status : measure_model(d, err);
}

static int examine(doctor *d)
{
    hb_error err;
    hb_status status = hb_machine_describe(&d->machine, &err);
    if (!status && d->model_path) status = cli_open_model(d->model_path, &d->engine, &d->model, &err);
    if (!status)
        status = hb_measure_reading(d->resources.n_threads, READING_SECONDS, &d->reading, &err);
    if (!status && d->model) {
        if (!d->quiet) cli_show_warnings(d->model);
        status = examine_model(d, &err);
    }
    int code = status ? cli_fail(&err) : print(d);
    hb_model_close(d->model);
    return code;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    doctor d = {.n = 100, .n_prompt = 100, .n_answer = CLI_MAX_TOKENS};
    const char *operand;
    bool given[3] = {false, false, false};
    int code;
    cli_add_text(&options, "model", 'm', "FILE", &d.model_path,
                 "also measure this model, a GGUF file, and say what it needs");
    cli_add_count(&options, "n-samples", 'n', "N", &d.n, 1, 1e15,
                  "say how long a calibration of N samples takes")
        ->given = &given[0];
    cli_add_int(&options, "prompt-tokens", 0, "N", &d.n_prompt, 1, 1 << 24,
                "tokens of a prompt in that calibration")
        ->given = &given[1];
    cli_add_int(&options, "max-tokens", 0, "N", &d.n_answer, 1, 1 << 24,
                "tokens of an answer in that calibration")
        ->given = &given[2];
    cli_add_session(&options, &d.resources, &d.engine);
    cli_add_common(&options, &d.quiet, &d.json);
    if (!cli_parse(command, &options, argc, argv, &operand, &code)) return code;
    if (!d.model_path && (given[0] || given[1] || given[2]))
        return cli_usage(command, "an estimate of a calibration goes with --model");
    return examine(&d);
}

const cli_command cli_doctor = {
    .name = "doctor",
    .summary = "show what this machine offers, and what a model needs",
    .details =
        "Shows the processor, the kernels chosen, threads and memory, with the limits of affinity and "
        "control groups, and measures in about two seconds how fast memory is read. With --model, also "
        "measures the model's speed, and says how much memory it needs and how long a calibration "
        "takes. The estimate counts the tokens given; samples beside answers and questions to a model "
        "take longer.",
    .run = run,
};
