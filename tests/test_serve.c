/* The server's request parser and guard, which need no model and no socket. */
#include "check.h"

#include <math.h>
#include "serve/ask.h"
#include "serve/call.h"
#include "serve/guard.h"
#include "serve/routes.h"

static const hb_ask_defaults defaults = {{.temperature = 0.5, .top_p = 1, .seed = 42}, -1};

static bool parse(hb_ask *ask, bool chat, const char *body, hb_problem *problem)
{
    return hb_ask_parse(ask, chat, &defaults, body, strlen(body), problem);
}

#define HELLO "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

/* ---- Good requests ------------------------------------------------------------------------------- */

static void test_chat(void **state)
{
    hb_ask a;
    hb_problem p;
    (void)state;
    assert_true(parse(&a, true, "{" HELLO ",\"unknown\":[1],\"temperature\":null}", &p));
    assert_int_equal(a.n_messages, 1);
    assert_memory_equal(a.messages[0].text, "hi", 2);
    assert_near(a.sampling.temperature, 0.5, 0);
    assert_int_equal(a.max_tokens, -1);
    assert_int_equal(a.n, 1);
    assert_true(isnan(a.cutoff) && a.mode == HB_RISK_HALT && !a.stream && !a.has_seed);
    hb_ask_free(&a);
    assert_true(
        parse(&a, true,
              "{\"messages\":[{\"role\":\"developer\",\"content\":\"be\"},{\"role\":\"user\","
              "\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}],"
              "\"temperature\":1,\"top_p\":0.5,\"top_k\":-1,\"seed\":-3,\"stop\":[\"x\",\"yz\"],"
              "\"n\":2,\"max_completion_tokens\":7,\"logprobs\":true,\"top_logprobs\":20,"
              "\"logit_bias\":{\"17\":-100,\"4\":2.5},\"presence_penalty\":-2,\"stream\":true,"
              "\"stream_options\":{\"include_usage\":true},\"response_format\":{\"type\":\"text\"},"
              "\"tools\":[],\"user\":\"u\",\"hbar\":{\"mode\":\"flag\",\"cutoff\":0.5,"
              "\"watch\":\"entropy\",\"on_halt\":\"I do not know.\",\"signals\":\"pri,entropy\"}}",
              &p));
    assert_int_equal(a.messages[0].role, HB_ROLE_SYSTEM);
    assert_int_equal(a.messages[1].length, 3);
    assert_memory_equal(a.messages[1].text, "a\nb", 3);
    assert_int_equal(a.n_stops, 2);
    assert_string_equal(a.stops[1], "yz");
    assert_true(a.n == 2 && a.max_tokens == 7 && a.logprobs && a.n_top == 20 && a.stream);
    assert_true(a.include_usage && a.has_seed && a.sampling.seed == (uint64_t)-3);
    assert_int_equal(a.sampling.top_k, 0);
    assert_int_equal(a.adjustment.n_biases, 2);
    assert_int_equal(a.biases[0].token, 17);
    assert_true(a.mode == HB_RISK_FLAG && a.cutoff == 0.5);
    assert_string_equal(a.watch, "entropy");
    assert_int_equal(hb_signal_set_count(a.signals), 2);
    assert_string_equal(a.on_halt, "I do not know.");
    hb_ask_free(&a);
}

static void test_text(void **state)
{
    hb_ask a;
    hb_problem p;
    (void)state;
    assert_true(
        parse(&a, false, "{\"prompt\":\"abc\",\"echo\":true,\"max_tokens\":0,\"logprobs\":3}", &p));
    assert_true(a.n_prompts == 1 && a.echo && a.max_tokens == 0 && a.logprobs && a.n_top == 3);
    assert_int_equal(a.prompts[0].length, 3);
    hb_ask_free(&a);
    assert_true(parse(&a, false, "{\"prompt\":[5,6,7],\"logprobs\":0}", &p));
    assert_true(a.n_prompts == 1 && a.prompts[0].n == 3 && a.prompts[0].tokens[2] == 7);
    assert_true(a.logprobs && a.n_top == 0);
    hb_ask_free(&a);
    assert_true(parse(&a, false, "{\"prompt\":[[5],[6,7]],\"n\":3}", &p));
    assert_true(a.n_prompts == 2 && a.prompts[1].n == 2 && !a.logprobs);
    hb_ask_free(&a);
    assert_true(parse(&a, false, "{\"prompt\":[\"a\\u0000b\",\"c\"]}", &p));
    assert_true(a.n_prompts == 2 && a.prompts[0].length == 3);
    hb_ask_free(&a);
}

/* ---- Bad requests -------------------------------------------------------------------------------- */

/* A chat with one more member, and the field that the problem names. */
static const struct {
    const char *member, *param;
} bad_members[] = {
    {"\"temperature\":\"1\"", "temperature"},
    {"\"temperature\":-0.1", "temperature"},
    {"\"top_p\":1.5", "top_p"},
    {"\"top_k\":1.5", "top_k"},
    {"\"top_k\":1e300", "top_k"},
    {"\"seed\":1.5", "seed"},
    {"\"n\":0", "n"},
    {"\"n\":129", "n"},
    {"\"n\":true", "n"},
    {"\"max_tokens\":0", "max_tokens"},
    {"\"max_completion_tokens\":\"a\"", "max_completion_tokens"},
    {"\"stop\":\"\"", "stop"},
    {"\"stop\":[1]", "stop"},
    {"\"stop\":{}", "stop"},
    {"\"stop\":\"a\\u0000\"", "stop"},
    {"\"stop\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
     "\"a\",\"a\",\"a\"]",
     "stop"},
    {"\"logprobs\":1", "logprobs"},
    {"\"top_logprobs\":3", "top_logprobs"},
    {"\"logprobs\":true,\"top_logprobs\":21", "top_logprobs"},
    {"\"logit_bias\":[]", "logit_bias"},
    {"\"logit_bias\":{\"a\":1}", "logit_bias"},
    {"\"logit_bias\":{\"-1\":1}", "logit_bias"},
    {"\"logit_bias\":{\"99999999999999999999\":1}", "logit_bias"},
    {"\"logit_bias\":{\"1\":101}", "logit_bias"},
    {"\"frequency_penalty\":2.1", "frequency_penalty"},
    {"\"presence_penalty\":\"0\"", "presence_penalty"},
    {"\"stream\":1", "stream"},
    {"\"stream_options\":{\"include_usage\":true}", "stream_options"},
    {"\"stream\":true,\"stream_options\":{\"include_usage\":1}", "stream_options.include_usage"},
    {"\"stream\":true,\"stream_options\":7", "stream_options"},
    {"\"response_format\":{\"type\":\"json_object\"}", "response_format.type"},
    {"\"response_format\":\"text\"", "response_format"},
    {"\"tools\":[{}]", "tools"},
    {"\"functions\":[{}]", "functions"},
    {"\"modalities\":[\"audio\"]", "modalities"},
    {"\"user\":1", "user"},
    {"\"model\":1", "model"},
    {"\"hbar\":1", "hbar"},
    {"\"hbar\":{\"mode\":\"stop\"}", "hbar.mode"},
    {"\"hbar\":{\"cutoff\":0}", "hbar.cutoff"},
    {"\"hbar\":{\"watch\":\"nothing\"}", "hbar.watch"},
    {"\"hbar\":{\"signals\":\"nothing\"}", "hbar.signals"},
    {"\"hbar\":{\"on_halt\":1}", "hbar.on_halt"},
    {"\"hbar\":{\"samples\":65}", "hbar.samples"},
    {"\"n\":2,\"hbar\":{\"samples\":5}", "hbar.samples"},
};

static void test_bad_members(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_members / sizeof *bad_members; i++) {
        char body[1024];
        hb_ask a;
        hb_problem p;
        snprintf(body, sizeof body, "{" HELLO ",%s}", bad_members[i].member);
        if (parse(&a, true, body, &p)) fail_msg("accepted: %s", body);
        assert_int_equal(p.status, 400);
        assert_string_equal(p.param, bad_members[i].param);
        assert_non_null(strstr(p.message, bad_members[i].param));
    }
}

static void test_bad_bodies(void **state)
{
    static const struct {
        bool chat;
        const char *body, *param;
    } bad[] = {
        {true, "", ""},
        {true, "{", ""},
        {true, "[]", ""},
        {true, "{\"a\":1,\"a\":1}", ""},
        {true, "{\"messages\":[]}", "messages"},
        {true, "{\"messages\":\"hi\"}", "messages"},
        {true, "{}", "messages"},
        {true, "{\"messages\":[1]}", "messages[0]"},
        {true, "{\"messages\":[{\"role\":\"tool\",\"content\":\"\"}]}", "messages[0].role"},
        {true, "{\"messages\":[{\"content\":\"\"}]}", "messages[0].role"},
        {true, "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
        {true, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
         "messages[0].content[0]"},
        {true,
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\u0000\"}]}]}",
         "messages[0].content[0]"},
        {false, "{}", "prompt"},
        {false, "{\"prompt\":1}", "prompt"},
        {false, "{\"prompt\":[]}", "prompt"},
        {false, "{\"prompt\":[1,\"a\"]}", "prompt"},
        {false, "{\"prompt\":[-1]}", "prompt"},
        {false, "{\"prompt\":[1.5]}", "prompt"},
        {false, "{\"prompt\":[[]]}", "prompt"},
        {false, "{\"prompt\":[{}]}", "prompt"},
        {false, "{\"prompt\":\"a\",\"max_tokens\":0}", "max_tokens"},
        {false, "{\"prompt\":\"a\",\"logprobs\":21}", "logprobs"},
        {false, "{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix"},
        {false, "{\"prompt\":\"a\",\"best_of\":2}", "best_of"},
        {false, "{\"prompt\":[\"a\",\"b\"],\"n\":65}", "n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hb_ask a;
        hb_problem p;
        if (parse(&a, bad[i].chat, bad[i].body, &p)) fail_msg("accepted: %s", bad[i].body);
        assert_int_equal(p.status, 400);
        assert_string_equal(p.param, bad[i].param);
        assert_true(*p.message);
    }
}

/* Every prefix of a request, and every change of one byte, is parsed or refused. */
static void test_broken_bodies(void **state)
{
    static const char body[] =
        "{" HELLO ",\"stop\":[\"a\"],\"n\":2,\"logit_bias\":{\"5\":1},\"hbar\":{\"mode\":\"flag\"}}";
    (void)state;
    for (size_t n = 0; n < sizeof body - 1; n++) {
        static const char changes[] = "\0\"{}[]:,0-e\\\x80\xff";
        for (size_t k = 0; k < sizeof changes; k++) {
            char *copy = malloc(n + 1); /* so that reading beyond the end is found */
            hb_ask a;
            hb_problem p = {0};
            memcpy(copy, body, n);
            if (n) copy[n / 2] = changes[k];
            if (hb_ask_parse(&a, true, &defaults, copy, n, &p)) hb_ask_free(&a);
            else assert_int_equal(p.status, 400);
            free(copy);
        }
    }
}

/* ---- Who may ask --------------------------------------------------------------------------------- */

static int admit(const hb_server *s, const char *host, const char *origin, const char *authorization)
{
    const hb_visitor v = {host, origin, authorization};
    hb_problem p;
    return hb_guard_admits(s, &v, false, &p) ? 200 : p.status;
}

static void test_keys(void **state)
{
    static const char *const keys[] = {"first", "second key"};
    hb_server s = {.options = {.host = "0.0.0.0", .n_api_keys = 2}};
    hb_problem p;
    (void)state;
    assert_true(hb_guard_open(&s, keys, 2));
    assert_int_equal(admit(&s, "h", NULL, NULL), 401);
    assert_int_equal(admit(&s, "h", NULL, "Bearer first"), 200);
    assert_int_equal(admit(&s, "h", NULL, "bearer second key"), 200);
    assert_int_equal(admit(&s, "h", NULL, "Bearer firs"), 401);
    assert_int_equal(admit(&s, "h", NULL, "Bearer first "), 401);
    assert_int_equal(admit(&s, "h", NULL, "Bearer "), 401);
    assert_int_equal(admit(&s, "h", NULL, "first"), 401);
    assert_int_equal(admit(&s, "h", NULL, "Basic aGJhcjpmaXJzdA=="), 200); /* hbar:first */
    assert_int_equal(admit(&s, "h", NULL, "Basic aGJhcjpmaXJz"), 401);
    assert_int_equal(admit(&s, "h", NULL, "Basic ===="), 401);
    assert_int_equal(admit(&s, "h", NULL, "Basic a"), 401);
    assert_int_equal(admit(&s, "h", NULL, "Basic "), 401);
    const hb_visitor nobody = {"h", NULL, NULL};
    assert_true(hb_guard_admits(&s, &nobody, true, &p));
    free(s.keys);
}

static void test_origins(void **state)
{
    hb_server s = {.options = {.host = "127.0.0.1"}, .is_local = true};
    (void)state;
    assert_int_equal(admit(&s, "localhost:8080", NULL, NULL), 200);
    assert_int_equal(admit(&s, "[::1]:8080", NULL, NULL), 200);
    assert_int_equal(admit(&s, "127.0.0.1", "http://127.0.0.1", NULL), 200);
    assert_int_equal(admit(&s, "evil.example", NULL, NULL), 403); /* DNS rebinding */
    assert_int_equal(admit(&s, "localhost.evil.example", NULL, NULL), 403);
    assert_int_equal(admit(&s, "localhost:8080", "http://evil.example", NULL), 403);
    assert_int_equal(admit(&s, "localhost:8080", "http://localhost:9999", NULL), 403);
    assert_int_equal(admit(&s, "localhost:8080", "null", NULL), 403);
    s.options.cors_origin = "https://app.example";
    assert_int_equal(admit(&s, "localhost:8080", "https://app.example", NULL), 200);
    assert_int_equal(admit(&s, "localhost:8080", "https://app.example.evil", NULL), 403);
    s.options.cors_origin = "*";
    assert_int_equal(admit(&s, "localhost:8080", "http://any.example", NULL), 200);
    s.is_local = false;
    assert_int_equal(admit(&s, "any.example", NULL, NULL), 200);
}

static void test_routes(void **state)
{
    hb_problem p;
    (void)state;
    assert_true(hb_route_find("GET", "/health", &p)->is_open);
    assert_false(hb_route_find("HEAD", "/", &p)->is_open);
    assert_non_null(hb_route_find("POST", "/v1/completions", &p)->call);
    assert_null(hb_route_find("GET", "/v1/completions", &p));
    assert_int_equal(p.status, 405);
    assert_null(hb_route_find("GET", "/v1/completions/", &p));
    assert_int_equal(p.status, 404);
    assert_null(hb_route_find("GET", "/../etc/passwd", &p));
    assert_int_equal(p.status, 404);
}

/* ---- Streams ------------------------------------------------------------------------------------- */

/* A client gets every byte in order, and one that is far behind is given up. */
static void test_output(void **state)
{
    enum { BLOCK = 1 << 16, BLOCKS = 300 };
    static char block[BLOCK], got[BLOCK];
    hb_server s = {.lock = PTHREAD_MUTEX_INITIALIZER};
    hb_call c = {.server = &s};
    uint64_t written = 0, taken = 0;
    (void)state;
    for (int i = 0; i < BLOCKS; i++) {
        for (int k = 0; k < BLOCK; k++) block[k] = (char)(written++ % 251);
        hb_call_write(&c, block, BLOCK);
        for (size_t n = 1 + (size_t)i * 997 % BLOCK; c.output.length - c.sent > 2 * BLOCK;) {
            hb_call_take(&c, got, n);
            for (size_t k = 0; k < n; k++) assert_int_equal((unsigned char)got[k], taken++ % 251);
        }
        assert_in_range(c.output.length, 0, 8 * BLOCK);
    }
    assert_false(c.unwanted || c.broken);
    for (int i = 0; i < BLOCKS && !c.unwanted; i++) hb_call_write(&c, block, BLOCK);
    assert_true(c.unwanted && c.broken);
    size_t most = c.output.length;
    assert_in_range(most, 15 << 20, 17 << 20);
    hb_call_write(&c, block, BLOCK);
    assert_int_equal(c.output.length, most);
    hb_buffer_free(&c.output);
}

/* ---- Options ------------------------------------------------------------------------------------- */

static void test_options(void **state)
{
    hb_server_options o = hb_server_defaults();
    hb_server *server;
    hb_error err;
    (void)state;
    o.host = "0.0.0.0";
    o.port = 0;
    assert_fails(hb_server_open(&o, &server, &err), HB_ERR_ARGUMENT, "--api-key-file");
    o.insecure = true;
    assert_ok(hb_server_open(&o, &server, &err));
    assert_true(hb_server_port(server) > 0);
    o.port = hb_server_port(server);
    hb_server *second;
    assert_fails(hb_server_open(&o, &second, &err), HB_ERR_IO, "port");
    hb_server_close(server);
    o = hb_server_defaults();
    o.port = 65536;
    assert_fails(hb_server_open(&o, &server, &err), HB_ERR_ARGUMENT, "port 65536");
    o = hb_server_defaults();
    o.idle_seconds = NAN;
    assert_fails(hb_server_open(&o, &server, &err), HB_ERR_ARGUMENT, "idle-seconds");
    o = hb_server_defaults();
    o.host = "";
    assert_fails(hb_server_open(&o, &server, &err), HB_ERR_ARGUMENT, "host");
    hb_server_close(NULL);
}

static void test_model_settings(void **state)
{
    hb_server_options o = hb_server_defaults();
    hb_server_model m = hb_server_model_defaults();
    hb_server *server;
    hb_model *model;
    hb_error err;
    (void)state;
    o.port = 0;
    assert_ok(hb_server_open(&o, &server, &err));
    assert_fails(hb_server_run(server, NULL, &err), HB_ERR_ARGUMENT, "session");
    assert_ok(hb_model_open(tiny_model("f32"), &model, &err));
    const hb_session_options two = {.n_ctx = 64, .n_sequences = 2, .n_threads = 1};
    assert_ok(hb_session_open(model, &two, &m.session, &err));
    assert_fails(hb_server_run(server, &m, &err), HB_ERR_ARGUMENT, "parallel 4");
    m.n_parallel = 2;
    m.prefill = 0;
    assert_fails(hb_server_run(server, &m, &err), HB_ERR_ARGUMENT, "prefill 0");
    m.prefill = 1;
    m.max_tokens = 0;
    assert_fails(hb_server_run(server, &m, &err), HB_ERR_ARGUMENT, "max-tokens 0");
    hb_server_close(server);
    hb_session_close(m.session);
    hb_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat),           cmocka_unit_test(test_text),
        cmocka_unit_test(test_bad_members),    cmocka_unit_test(test_bad_bodies),
        cmocka_unit_test(test_broken_bodies),  cmocka_unit_test(test_keys),
        cmocka_unit_test(test_origins),        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_output),         cmocka_unit_test(test_options),
        cmocka_unit_test(test_model_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
