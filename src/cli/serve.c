#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/file.h"
#include "cli/cli.h"
#include "serve/log.h"

enum {
    KEYS_BYTES = 1 << 20, /* limit on the size of the file of keys */
    KEY_BYTES = 512,      /* limit on the length of a key */
};

typedef struct serving {
    const char *model_path, *keys_path;
    hb_session_options resources;
    cli_engine chosen;
    uint64_t kv_mem;
    int32_t kept;
    bool quiet, json;
    cli_chat chat;
    cli_monitor watch;
    hb_server_options server;
    hb_server_model served;
    hb_texts keys;
    hb_model *model;
    hb_session *session;
} serving;

/* ---- Options ------------------------------------------------------------------------------------- */

static void add_chat_options(cli_options *options, cli_chat *chat)
{
    static const char *const choices[] = {"auto", "on", "off", NULL};
    chat->on = true;
    cli_begin_group(options, CLI_GROUP_CHAT);
    cli_add_text(options, "chat-template", 0, "NAME|FILE", &chat->template_given,
                 "a format (chatml, llama3 ...) or a file with a template for conversations")
        ->standard = "the model's; without one, messages are joined by line breaks";
    cli_add_choice(options, "thinking", 0, NULL, &chat->thinking, choices,
                   "whether the model reasons before it answers");
}

static void add_generation_options(cli_options *options, hb_server_model *m)
{
    cli_begin_group(options, CLI_GROUP_GENERATION);
    cli_add_int(options, "max-tokens", 'n', "N", &m->max_tokens, 1, 1 << 24,
                "tokens of an answer where a request gives no limit")
        ->standard = "as many as fit the context";
    cli_add_real(options, "temperature", 0, "T", &m->sampling.temperature, 0, 100,
                 "temperature where a request gives none; parameters are calibrated at 0");
    cli_add_int(options, "top-k", 0, "K", &m->sampling.top_k, 0, 1 << 24,
                "sample from the K most probable tokens where a request does not say; 0 means all");
    cli_add_real(options, "top-p", 0, "P", &m->sampling.top_p, 1e-9, 1,
                 "top-p where a request gives none");
}

static void add_server_options(cli_options *options, serving *v)
{
    hb_server_options *o = &v->server;
    cli_begin_group(options, CLI_GROUP_SERVER);
    cli_add_text(options, "host", 0, "ADDRESS", &o->host, "listen on this address");
    cli_add_int(options, "port", 0, "N", &o->port, 0, 65535, "listen on this port; 0 takes a free one");
    cli_add_text(options, "api-key-file", 0, "FILE", &v->keys_path,
                 "require one of the keys in FILE, one a line; # begins a comment");
    cli_add_flag(options, "insecure", 0, &o->insecure,
                 "allow an address beyond this machine without keys");
    cli_add_text(options, "cors-origin", 0, "ORIGIN", &o->cors_origin,
                 "allow web pages of this origin to send requests; * allows all");
    cli_add_text(options, "alias", 0, "NAME", &v->served.name, "the model's name in answers")
        ->standard = "its own";
    cli_add_int(options, "queue", 0, "N", &o->n_queue, 0, 1 << 20,
                "requests that may wait; further ones get status 503");
    cli_add_int(options, "connections", 0, "N", &o->n_connections, 4, 65536,
                "open at most N connections");
    cli_add_bytes(options, "max-body", 0, "SIZE", &o->max_body, 1024, 1 << 30,
                  "largest body of a request, like 512K or 8M");
    cli_add_real(options, "request-seconds", 0, "S", &o->request_seconds, 0.1, 86400,
                 "time for a whole request to arrive");
    cli_add_real(options, "idle-seconds", 0, "S", &o->idle_seconds, 1, 86400,
                 "close connections without traffic after this time");
    cli_add_real(options, "ping-seconds", 0, "S", &o->ping_seconds, 0.1, 86400,
                 "send a comment in a stream that was silent for this time, to keep it open");
    cli_add_real(options, "drain-seconds", 0, "S", &o->drain_seconds, 0, 86400,
                 "after SIGTERM, time for running requests to finish");
    cli_add_flag(options, "log-prompts", 0, &o->log_prompts, "write the bodies of requests to the log");
}

static void add_options(cli_options *options, serving *v)
{
    v->server = hb_server_defaults();
    v->served = hb_server_model_defaults();
    cli_begin_group(options, CLI_GROUP_MODEL);
    cli_add_text(options, "model", 'm', "FILE", &v->model_path, "the model, a GGUF file")->standard =
        "the demo model";
    add_chat_options(options, &v->chat);
    cli_monitor_add(options, &v->watch);
    add_generation_options(options, &v->served);
    add_server_options(options, v);
    cli_add_session(options, &v->resources, &v->chosen);
    cli_add_int(options, "parallel", 0, "N", &v->served.n_parallel, 1, 256,
                "generate up to N answers at once");
    cli_add_int(options, "kept", 0, "N", &v->kept, 0, 1024,
                "keep up to N finished conversations in the cache")
        ->standard = "twice --parallel, at least 8";
    cli_add_int(options, "prefill", 0, "N", &v->served.prefill, 1, 4096,
                "prompt tokens evaluated at a time while other answers are generated");
    cli_add_bytes(options, "kv-mem", 0, "SIZE", &v->kv_mem, 1 << 20, 1e15, "largest size of the cache")
        ->standard = "the context for each of --parallel";
    cli_add_common(options, &v->quiet, &v->json);
    cli_explain(options, "json", "print the address as a JSON object", NULL);
}

/* ---- Keys ---------------------------------------------------------------------------------------- */

/* Whether an Authorization header can have the key. */
static bool is_sendable(const char *key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (key[i] <= ' ' || key[i] >= 0x7f) return false;
    return n <= KEY_BYTES;
}

static hb_status add_keys(serving *v, const hb_buffer *text, hb_error *err)
{
    const char *line = text->data, *end = text->data + text->length;
    for (size_t number = 1; line < end; number++) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        size_t n = (size_t)((line_end ? line_end : end) - line), length = n;
        if (n && line[n - 1] == '\r') n--;
        if (n && *line != '#') {
            if (!is_sendable(line, n))
                return hb_fail(err, HB_ERR_DATA,
                               "%s: line %zu: a key has 1 to %d ASCII characters, without spaces and "
                               "control characters",
                               v->keys_path, number, KEY_BYTES);
            if (!hb_texts_add(&v->keys, line, n)) return hb_fail_memory(err);
        }
        line += length + 1;
    }
    if (!v->keys.n) return hb_fail(err, HB_ERR_DATA, "%s: has no key", v->keys_path);
    v->server.api_keys = (const char *const *)v->keys.list;
    v->server.n_api_keys = v->keys.n;
    return HB_OK;
}

static int read_keys(serving *v)
{
    hb_buffer text = {0};
    struct stat st;
    hb_error err;
    if (!v->keys_path) return CLI_DONE;
    hb_status status = hb_read_file(v->keys_path, KEYS_BYTES, &text, &err);
    if (!status) status = add_keys(v, &text, &err);
    hb_buffer_free(&text);
    if (status) return cli_fail(&err);
    if (stat(v->keys_path, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)))
        cli_message("warning: %s: other users may read the keys; chmod 600 prevents that",
                    v->keys_path);
    return CLI_DONE;
}

/* ---- Running ------------------------------------------------------------------------------------- */

static void write_log(void *unused, const char *line, size_t length)
{
    (void)unused;
    fprintf(stderr, "%.*s\n", (int)length, line);
}

/* Writes a message as a line of the log, {"time", "event": "message", "message"}. */
static void log_message(const char *message)
{
    static const char no_memory[] = "{\"event\": \"message\", \"message\": \"out of memory\"}";
    char *line;
    hb_json json = {0};
    hb_log_begin(&json, "message");
    hb_json_text(&json, "message", message);
    hb_json_end(&json);
    bool ok = !hb_json_finish(&json, &line, NULL);
    write_log(NULL, ok ? line : no_memory, ok ? strlen(line) : sizeof no_memory - 1);
    if (ok) free(line);
}

/* Without a template of its own, a model gets messages as plain text. */
static hb_status find_chat(serving *v, hb_error *err)
{
    hb_status status = cli_chat_find(&v->chat, v->model, err);
    if (status != HB_ERR_UNSUPPORTED || v->chat.template_given || v->chat.thinking) return status;
    if (!v->quiet) cli_message("the model has no chat template: messages are joined by line breaks");
    return HB_OK;
}

static hb_status open_session(serving *v, hb_error *err)
{
    hb_server_model *m = &v->served;
    hb_session_options *r = &v->resources;
    hb_memory memory;
    if (v->kept < 0) v->kept = m->n_parallel < 4 ? 8 : 2 * m->n_parallel;
    r->n_sequences = m->n_parallel + v->kept;
    hb_status status = hb_session_memory(v->model, r, &memory, err);
    if (status) return status;
    r->n_positions = (int64_t)memory.n_ctx * m->n_parallel;
    r->cache_bytes = (int64_t)v->kv_mem;
    return hb_session_open(v->model, r, &v->session, err);
}

static int open_all(const cli_command *command, serving *v)
{
    hb_error err;
    hb_server_model *m = &v->served;
    if (cli_open_model(v->model_path, &v->chosen, &v->model, &err)) return cli_fail(&err);
    cli_show_warnings(v->model);
    if (find_chat(v, &err)) return cli_fail(&err);
    int code = cli_monitor_open(command, &v->watch, v->model, &v->chat, &v->resources, v->quiet);
    if (code) return code;
    if (open_session(v, &err)) return cli_fail(&err);
    m->session = v->session;
    m->chat = v->chat.chat;
    m->monitor = v->watch.monitor;
    m->params = v->watch.params;
    m->params_name = v->watch.params ? hb_base_name(v->watch.params_path) : NULL;
    m->watch_given = v->watch.watched != NULL;
    return CLI_DONE;
}

/* Says where the server listens, on standard output, so that a program that started it can read it. */
static int print_address(const serving *v, const hb_server *server)
{
    const char *host = v->server.host;
    bool v6 = strchr(host, ':') != NULL;
    hb_json json = {0};
    if (!v->json) {
        cli_print("http://%s%s%s:%d\n", v6 ? "[" : "", host, v6 ? "]" : "", hb_server_port(server));
        cli_flush();
        return CLI_DONE;
    }
    hb_json_row(&json, NULL);
    hb_json_text(&json, "host", host);
    hb_json_whole(&json, "port", hb_server_port(server));
    hb_json_end(&json);
    int code = cli_print_json(&json);
    cli_flush();
    return code;
}

static int serve(const cli_command *command, serving *v)
{
    hb_server *server;
    hb_error err;
    int code = read_keys(v);
    if (code) return code;
    v->server.log = v->quiet ? NULL : write_log;
    v->server.stopped = cli_interrupted;
    cli_catch_interrupts();
    if (hb_server_open(&v->server, &server, &err)) return cli_fail(&err);
    code = print_address(v, server);
    if (!code) code = open_all(command, v);
    if (!code && hb_server_run(server, &v->served, &err)) code = cli_fail(&err);
    hb_server_close(server);
    return code;
}

static int run(const cli_command *command, int argc, char **argv)
{
    cli_options options = {0};
    serving v = {.kept = -1};
    const char *operand;
    char *own_model = NULL;
    int code = CLI_DONE;
    add_options(&options, &v);
    cli_messenger *before = cli_send_messages(isatty(STDERR_FILENO) ? NULL : log_message);
    bool ready = cli_parse(command, &options, argc, argv, &operand, &code);
    if (!ready) cli_send_messages(before); /* every command runs this to learn the options */
    if (ready) cli_monitor_check(command, &v.watch, &code);
    if (ready && !code)
        code = cli_monitor_embedded(command, &v.watch, v.quiet, &v.model_path, &own_model);
    if (ready && !code) code = serve(command, &v);
    hb_session_close(v.session);
    cli_chat_close(&v.chat);
    hb_model_close(v.model);
    cli_monitor_close(&v.watch);
    hb_texts_free(&v.keys);
    free(own_model);
    return code;
}

const cli_command cli_serve = {
    .name = "serve",
    .summary = "answer over HTTP, and say how risky each answer is",
    .details = "Serves the model with OpenAI's interface (/v1/chat/completions, /v1/completions). Each "
               "answer says how risky it is, and risky ones are halted. GET / is a page to chat "
               "with. Listens on this machine only, unless --host says otherwise. SIGTERM and "
               "Ctrl-C finish the running requests and end the server.",
    .run = run,
};
