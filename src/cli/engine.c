/* The options that choose what evaluates a model, and what it can measure. */
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "cli/cli.h"

void cli_add_engine(cli_options *options, cli_engine *engine)
{
    static const char *const choices[] = {"auto", "native", "llama", NULL};
    cli_begin_group(options, CLI_GROUP_RESOURCES);
    cli_add_choice(
        options, "engine", 0, NULL, &engine->choice, choices,
        "what evaluates the model: hbar's own engine (native), libllama (in builds with it), "
        "or libllama only for models that the native engine does not support (auto)");
    cli_add_int(options, "gpu-layers", 0, "N", &engine->n_gpu_layers, 0, 1 << 20,
                "blocks that a GPU evaluates, with libllama; a large number means all");
}

hb_status cli_open_model(const char *path, const cli_engine *engine, hb_model **model, hb_error *err)
{
    hb_model_options o = hb_model_defaults();
    o.engine = (hb_engine_choice)engine->choice;
    o.n_gpu_layers = engine->n_gpu_layers;
    o.hash_ahead = engine->hash_ahead;
    return hb_model_open_with(path, &o, model, err);
}

const char *cli_engine_setting(const hb_model *model)
{
    const char *name = hb_model_engine(model);
    return strcmp(name, hb_engine_name(HB_ENGINE_NATIVE)) == 0 ? "" : name;
}

const char *cli_engine_name(const char *setting)
{
    return *setting ? setting : hb_engine_name(HB_ENGINE_NATIVE);
}

/* Says which signals are not measured because the engine cannot. */
static int say_missing(const hb_model *model)
{
    hb_buffer names = {0};
    const hb_signal *signal;
    bool ok = true;
    for (size_t i = 0; ok && (signal = hb_signal_at(i)) != NULL; i++) {
        if (hb_model_can_measure(model, signal)) continue;
        ok = hb_buffer_add_text(&names, names.length ? ", " : "") &&
             hb_buffer_add_text(&names, hb_signal_name(signal));
    }
    if (names.length)
        cli_message("the engine %s does not measure %s", hb_model_engine(model), names.data);
    hb_buffer_free(&names);
    return ok ? CLI_DONE : cli_fail_memory();
}

int cli_choose_signals(const hb_model *model, const char *list, bool quiet, hb_signal_set **signals)
{
    hb_error err;
    const hb_signal *signal;
    if (strcmp(list, "all") == 0) {
        hb_signal_set_free(*signals);
        *signals = NULL;
        if (hb_signal_set_of_model(model, signals, &err)) return cli_fail(&err);
        return quiet ? CLI_DONE : say_missing(model);
    }
    for (size_t i = 0; (signal = hb_signal_set_at(*signals, i)) != NULL; i++) {
        if (hb_model_can_measure(model, signal)) continue;
        cli_message("--signals: the signal '%s' is not available with the engine %s",
                    hb_signal_name(signal), hb_model_engine(model));
        return CLI_FAILED;
    }
    return CLI_DONE;
}
