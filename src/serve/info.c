/* Answers about the server itself. */
#include <string.h>
#include "engine/engine.h"
#include "report/values.h"
#include "serve/routes.h"

void hb_answer_health(hb_server *s, const char *body, size_t length, hb_reply *reply)
{
    static const char *const states[] = {"loading", "ok", "draining"};
    hb_json json = {0};
    (void)body;
    (void)length;
    pthread_mutex_lock(&s->lock);
    hb_server_state state = s->state;
    pthread_mutex_unlock(&s->lock);
    hb_json_row(&json, NULL);
    hb_json_text(&json, "status", states[state]);
    hb_json_end(&json);
    hb_reply_json(reply, state == HB_SERVER_READY ? 200 : 503, &json);
}

void hb_answer_models(hb_server *s, const char *body, size_t length, hb_reply *reply)
{
    const hb_model_info *m = hb_model_get_info(s->model);
    hb_json json = {0};
    (void)body;
    (void)length;
    hb_json_row(&json, NULL);
    hb_json_text(&json, "object", "list");
    hb_json_list(&json, "data");
    hb_json_row(&json, NULL);
    hb_json_text(&json, "id", s->name);
    hb_json_text(&json, "object", "model");
    hb_json_whole(&json, "created", s->created);
    hb_json_text(&json, "owned_by", "hbar");
    hb_json_row(&json, "meta");
    hb_json_text(&json, "architecture", m->architecture);
    hb_json_whole(&json, "n_params", (int64_t)m->n_params);
    hb_json_whole(&json, "n_vocab", m->n_vocab);
    hb_json_whole(&json, "n_embd", m->n_embd);
    hb_json_whole(&json, "n_layers", m->n_layers);
    hb_json_whole(&json, "n_ctx_train", m->n_ctx_train);
    hb_json_whole(&json, "size", (int64_t)m->file_size);
    hb_json_end(&json);
    hb_json_end(&json);
    hb_json_end(&json);
    hb_json_end(&json);
    hb_reply_json(reply, 200, &json);
}

static void write_generation(hb_json *json, const hb_server_model *m)
{
    hb_json_row(json, "default_generation_settings");
    hb_json_number(json, "temperature", m->sampling.temperature);
    hb_json_whole(json, "top_k", m->sampling.top_k);
    hb_json_number(json, "top_p", m->sampling.top_p);
    if (m->max_tokens > 0) hb_json_whole(json, "max_tokens", m->max_tokens);
    else hb_json_null(json, "max_tokens");
    hb_json_end(json);
}

void hb_answer_props(hb_server *s, const char *body, size_t length, hb_reply *reply)
{
    hb_json json = {0};
    (void)body;
    (void)length;
    hb_json_row(&json, NULL);
    hb_json_text(&json, "version", hb_version());
    hb_json_text(&json, "model", s->name);
    hb_json_whole(&json, "n_ctx", s->positions);
    hb_json_whole(&json, "total_slots", s->served.n_parallel);
    hb_json_whole(&json, "queue", s->options.n_queue);
    hb_json_text(&json, "engine", hb_model_engine(s->model));
    hb_json_text(&json, "kernels", s->session->kernels);
    hb_json_whole(&json, "threads", s->session->n_threads);
    hb_json_bool(&json, "exact", s->session->exact);
    hb_json_text(&json, "kv_type", hb_kv_type_name(s->session->kv_type));
    hb_json_text(&json, "chat", s->served.chat ? hb_chat_name(s->served.chat) : NULL);
    write_generation(&json, &s->served);
    hb_json_end(&json);
    hb_reply_json(reply, 200, &json);
}

static void write_scores(hb_json *json, const hb_params *p)
{
    hb_json_list(json, "scores");
    for (size_t i = 0; i < p->n_scores; i++) {
        const hb_calibrated_score *score = &p->scores[i];
        hb_json_row(json, NULL);
        hb_json_text(json, "name", score->name);
        hb_json_number(json, "tau", score->tau);
        hb_json_text(json, "direction", hb_direction_sign(score->direction));
        hb_json_number(json, "auroc", score->auroc);
        hb_json_number(json, "precision", score->precision);
        hb_json_number(json, "recall", score->recall);
        hb_json_end(json);
    }
    hb_json_end(json);
}

void hb_answer_params(hb_server *s, const char *body, size_t length, hb_reply *reply)
{
    const hb_monitor *m = &s->served.monitor;
    const hb_params *p = s->served.params;
    hb_json json = {0};
    (void)body;
    (void)length;
    hb_json_row(&json, NULL);
    hb_json_text(&json, "params", s->served.params_name);
    hb_json_bool(&json, "calibrated", p && !s->served.watch_given);
    hb_json_text(&json, "score", p ? p->score : NULL);
    hb_json_text(&json, "watched", m->joint ? "joint" : m->watched ? hb_signal_name(m->watched) : NULL);
    hb_json_number(&json, "tau", m->tau);
    hb_json_number(&json, "lambda", m->lambda);
    hb_json_text(&json, "map", hb_map_kind_name(m->map ? m->map->kind : HB_MAP_LAMBDA));
    hb_json_number(&json, "cutoff", m->cutoff);
    hb_json_text(&json, "direction", hb_direction_sign(m->direction));
    hb_json_halt(&json, "halt", m->halt);
    if (p) {
        hb_json_text(&json, "model", p->model_name);
        hb_json_bool(&json, "same_model", hb_params_same_model(p, hb_model_get_info(s->model)));
        hb_json_text(&json, "chat", *p->chat ? p->chat : NULL);
        write_scores(&json, p);
    }
    hb_json_end(&json);
    hb_reply_json(reply, 200, &json);
}

void hb_answer_metrics(hb_server *s, const char *body, size_t length, hb_reply *reply)
{
    hb_writer w = {0};
    (void)body;
    (void)length;
    pthread_mutex_lock(&s->lock);
    hb_metrics m = s->metrics;
    m.n_calls = s->n_calls;
    for (const hb_client *c = s->clients; c; c = c->next) m.n_clients++;
    pthread_mutex_unlock(&s->lock);
    hb_metrics_write(&w, &m);
    hb_reply_text(reply, "text/plain; version=0.0.4; charset=utf-8", &w);
}
