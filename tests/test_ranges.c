/* Numbers out of range in the public functions: enums from other versions of the header, indices beyond
 * the last. Functions that can fail say HB_ERR_ARGUMENT; the others return what hbar.h defines. */
#include "check.h"

#include <limits.h>
#include <math.h>

static const int numbers[] = {99, -1, INT_MAX, INT_MIN};
#define N_NUMBERS (sizeof numbers / sizeof *numbers)

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NUMBERS; i++) {
        int n = numbers[i];
        assert_string_equal(hb_status_name((hb_status)n), "unknown");
        assert_string_equal(hb_direction_name((hb_direction)n), "unknown");
        assert_string_equal(hb_direction_sign((hb_direction)n), "unknown");
        assert_string_equal(hb_map_kind_name((hb_map_kind)n), "unknown");
        assert_string_equal(hb_aggregation_name((hb_aggregation)n), "unknown");
        assert_false(hb_aggregation_is_measured((hb_aggregation)n));
        assert_string_equal(hb_finish_name((hb_finish)n), "unknown");
        assert_string_equal(hb_grade_rule_name((hb_grade_rule)n), "unknown");
        assert_string_equal(hb_abstain_as_name((hb_abstain_as)n), "unknown");
        assert_string_equal(hb_read_as_name((hb_read_as)n), "unknown");
        assert_string_equal(hb_sample_status_name((hb_sample_status)n), "unknown");
        assert_string_equal(hb_grid_name((hb_grid)n), "unknown");
        assert_string_equal(hb_guarantee_kind_name((hb_guarantee_kind)n), "unknown");
        assert_string_equal(hb_selection_name((hb_selection)n), "unknown");
        assert_string_equal(hb_feature_name((hb_feature)n), "unknown");
        assert_string_equal(hb_similarity_name((hb_similarity)n), "unknown");
        assert_string_equal(hb_kv_type_name((hb_kv_type)n), "unknown");
        assert_string_equal(hb_result_kind_name((hb_result_kind)n), "unknown");
        assert_null(hb_engine_name((hb_engine_choice)n));
        assert_false(hb_engine_is_built((hb_engine_choice)n));
        assert_int_equal(hb_measure_risky((size_t)n), HB_DIRECTION_AUTO);
        assert_false(hb_measure_needs_samples((size_t)n));
        assert_false(hb_measure_needs_states((size_t)n));
        assert_null(hb_measure_name((size_t)n));
        assert_null(hb_measure_about((size_t)n));
        assert_null(hb_measure_question((size_t)n));
        assert_null(hb_probe_kind_name((size_t)n));
        assert_null(hb_probe_kind_features((size_t)n));
        assert_null(hb_chat_format_name((size_t)n));
        assert_null(hb_dataset_format((size_t)n));
        assert_null(hb_signal_at((size_t)n));
        assert_null(hb_signal_set_at(NULL, (size_t)n));
        assert_null(hb_scores_name(NULL, (size_t)n));
        assert_true(isnan(hb_scores_at(NULL, (size_t)n)));
    }
}

static void test_scores(void **state)
{
    (void)state;
    hb_score_id id;
    assert_false(hb_score_at(NULL, 99999, &id));
    for (size_t i = 0; i < N_NUMBERS; i++) {
        const hb_score_id odd = {.signal = hb_signal_at(0), .aggregation = (hb_aggregation)numbers[i]};
        assert_false(numbers[i] < 0 && hb_score_at(NULL, (size_t)numbers[i], &id));
        char *name = hb_score_name(odd);
        assert_string_equal(name, "hbar_s:unknown");
        free(name);
        assert_int_equal(hb_score_tail(odd, HB_DIRECTION_HIGH).aggregation, odd.aggregation);
        assert_true(isnan(hb_scores_get(NULL, odd)));
        assert_false(hb_is_flagged(1, 2, (hb_direction)numbers[i]));
        double p = hb_p_fail(1, 2, 3, (hb_direction)numbers[i]);
        assert_true(p >= 0 && p <= 1);
        const hb_map map = {.kind = (hb_map_kind)numbers[i], .lambda = 5};
        p = hb_map_p(&map, 1);
        assert_true(isnan(p) || (p >= 0 && p <= 1));
    }
}

static void test_halts(void **state)
{
    (void)state;
    hb_error err;
    double values[] = {1, 2, 3};
    char text[HB_HALT_RULE_BYTES];
    for (size_t i = 0; i < N_NUMBERS; i++) {
        const hb_halt_rule odd = {.kind = (hb_halt_kind)numbers[i]};
        const hb_halt_rule window = {.kind = HB_HALT_WINDOW, .window = numbers[i]};
        hb_halt_rule_text(&odd, text);
        assert_string_equal(text, "unknown");
        assert_fails(hb_halt_statistics(&odd, values, 3, values, &err), HB_ERR_ARGUMENT, "no rule");
        if (numbers[i] == 99) continue; /* a window of 99 is one */
        assert_fails(hb_halt_statistics(&window, values, 3, values, &err), HB_ERR_ARGUMENT, "window");
    }
    const hb_halt_rule bad[] = {{.kind = HB_HALT_EWMA, .weight = NAN},
                                {.kind = HB_HALT_EWMA, .weight = 0},
                                {.kind = HB_HALT_CUSUM},
                                {.kind = HB_HALT_CUSUM, .mean = {0, NAN}, .sd = 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(hb_halt_statistics(&bad[i], values, 3, values, &err), HB_ERR_ARGUMENT);
}

static void test_grades(void **state)
{
    (void)state;
    hb_error err;
    hb_grade grade;
    static const char *const right[] = {"four"};
    for (size_t i = 0; i < N_NUMBERS; i++) {
        size_t n_right[HB_N_GRADE_RULES] = {0};
        hb_grading g = hb_grading_defaults();
        g.rule = (hb_grade_rule)numbers[i];
        g.abstain_as = (hb_abstain_as)numbers[i];
        g.answer_lines = numbers[i];
        assert_ok(hb_grade_answer("four", right, 1, &g, &grade, &err));
        int label = hb_grade_label(&grade, &g);
        assert_true(label >= HB_LABEL_NONE && label <= 1);
        hb_grade_count(&grade, &g, n_right, HB_N_GRADE_RULES);
        hb_answer answer = hb_answer_find("four\nfive", 9, numbers[i]);
        assert_true(answer.end <= 9);
        assert_true(hb_answer_length("four\nfive", 9, numbers[i]) <= 9);
    }
}

static void test_chats(void **state)
{
    (void)state;
    hb_error err;
    hb_chat *chat;
    char *text;
    size_t length;
    for (size_t i = 0; i < N_NUMBERS; i++) {
        const hb_message message = {.role = (hb_role)numbers[i], .text = "x", .length = 1};
        hb_chat_options o = hb_chat_defaults();
        o.format = "chatml";
        assert_ok(hb_chat_open(NULL, &o, &chat, &err));
        assert_fails(hb_chat_render(chat, &message, 1, true, &text, &length, &err), HB_ERR_ARGUMENT,
                     "role");
        hb_chat_close(chat);
        o.format = NULL;
        o.template_text = "{{ enable_thinking }}{{ messages[0].role }}";
        o.template_length = strlen(o.template_text);
        assert_ok(hb_chat_open(NULL, &o, &chat, &err));
        assert_fails(hb_chat_render(chat, &message, 1, true, &text, &length, &err), HB_ERR_ARGUMENT,
                     "role");
        hb_chat_close(chat);
        o.thinking = (hb_thinking)numbers[i];
        assert_fails(hb_chat_open(NULL, &o, &chat, &err), HB_ERR_ARGUMENT, "thinking");
    }
}

static void test_engine(void **state)
{
    (void)state;
    hb_error err;
    hb_model *model;
    hb_session *session;
    hb_generation g;
    size_t length;
    assert_ok(hb_model_open(tiny_model("f32"), &model, &err));
    assert_ok(hb_session_open(model, NULL, &session, &err));
    for (size_t i = 0; i < N_NUMBERS; i++) {
        int32_t n = i == 0 ? hb_model_get_info(model)->n_vocab : numbers[i];
        if (i) assert_null(hb_model_warning(model, (size_t)n));
        hb_token_bytes(model, n, &length);
        assert_int_equal(length, 0);
        hb_token_piece(model, n, &length);
        assert_int_equal(length, 0);
        assert_false(hb_token_is_end(model, n));
        assert_int_equal(hb_sequence_n_past(session, n), 0);
        hb_sequence_drop(session, n);
        assert_int_equal(hb_sequence_fork(session, n, 0, 0, &err), HB_ERR_ARGUMENT);
        assert_int_equal(hb_sequence_fork(session, 0, n, 0, &err), HB_ERR_ARGUMENT);
        assert_int_equal(hb_sequence_fork(session, 0, 0, n, &err), HB_ERR_ARGUMENT);
        assert_int_equal(hb_eval(session, &n, 1, NULL, &err), HB_ERR_ARGUMENT);
        const int32_t token = 7;
        assert_int_equal(hb_eval_sequences(session, &token, &n, 1, NULL, &err), HB_ERR_ARGUMENT);
        hb_generate_options o = hb_generate_defaults();
        o.max_tokens = 2;
        o.mode = (hb_mode)numbers[i];
        assert_fails(hb_generate(session, "x", 1, &o, &g, &err), HB_ERR_ARGUMENT, "mode");
        o.mode = HB_MODE_FULL;
        o.monitor.direction = (hb_direction)numbers[i];
        assert_fails(hb_generate(session, "x", 1, &o, &g, &err), HB_ERR_ARGUMENT, "direction");
        o.monitor.direction = HB_DIRECTION_HIGH;
        const hb_map map = {.kind = (hb_map_kind)numbers[i]};
        o.monitor.map = &map;
        assert_fails(hb_generate(session, "x", 1, &o, &g, &err), HB_ERR_ARGUMENT, "map");
    }
    hb_session_close(session);
    hb_model_close(model);
}

enum { N = 40 };

static void test_calibration(void **state)
{
    (void)state;
    hb_error err;
    double scores[N];
    uint8_t labels[N];
    static const char *const name[] = {"score"};
    for (int i = 0; i < N; i++) scores[i] = i * 7 % 11, labels[i] = i % 3 == 0;
    const hb_score_table table = {.scores = scores, .labels = labels, .n = N, .n_scores = 1};
    for (size_t i = 0; i < N_NUMBERS; i++) {
        int n = numbers[i];
        hb_calibration_result r;
        hb_map map;
        hb_uncertainty u;
        hb_calibrate_options o = hb_calibrate_defaults();
        o.bootstrap.n_draws = 100;
        o.sweep.grid = (hb_grid)n;
        assert_fails(hb_calibrate(&table, name, &o, &r, &err), HB_ERR_ARGUMENT, "grid");
        o.sweep.grid = HB_GRID_QUANTILES;
        o.sweep.direction = (hb_direction)n;
        assert_fails(hb_calibrate(&table, name, &o, &r, &err), HB_ERR_ARGUMENT, "direction");
        o.sweep.direction = HB_DIRECTION_AUTO;
        o.sweep.guarantee = (hb_guarantee){.kind = (hb_guarantee_kind)n, .target = 0.5, .delta = 0.1};
        assert_fails(hb_calibrate(&table, name, &o, &r, &err), HB_ERR_ARGUMENT, "guarantee");
        o.sweep.guarantee.kind = HB_GUARANTEE_NONE;
        o.map = (hb_map_kind)n;
        assert_fails(hb_calibrate(&table, name, &o, &r, &err), HB_ERR_ARGUMENT, "map");
        assert_int_equal(
            hb_map_fit(scores, labels, N, (hb_map_kind)n, 2, HB_DIRECTION_HIGH, &map, &err),
            HB_ERR_ARGUMENT);
        assert_int_equal(hb_map_fit(scores, labels, N, HB_MAP_PLATT, 2, (hb_direction)n, &map, &err),
                         HB_ERR_ARGUMENT);
        assert_int_equal(
            hb_find_uncertainty(scores, labels, N, (hb_direction)n, &o.bootstrap, &u, &err),
            HB_ERR_ARGUMENT);
    }
}

static void test_datasets(void **state)
{
    (void)state;
    hb_error err;
    hb_dataset *dataset;
    for (size_t i = 0; i < N_NUMBERS; i++) {
        hb_dataset_options o = hb_dataset_defaults();
        o.read_as = (hb_read_as)numbers[i];
        assert_fails(hb_dataset_open(HBAR_PROJECT "/data/demo_test.jsonl", &o, &dataset, &err),
                     HB_ERR_ARGUMENT, "read_as");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),       cmocka_unit_test(test_scores),
        cmocka_unit_test(test_halts),       cmocka_unit_test(test_grades),
        cmocka_unit_test(test_chats),       cmocka_unit_test(test_engine),
        cmocka_unit_test(test_calibration), cmocka_unit_test(test_datasets),
    };
    return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
