/* A program that knows hbar only through its installed header and pkg-config file. */
#include <hbar.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    hb_error err;
    hb_model *model;
    hb_session *session;
    hb_generation g;
    hb_generate_options o = hb_generate_defaults();
    const char *prompt = "What is the capital";
    o.max_tokens = 5;
    o.monitor.cutoff = 1.1;
    if (argc != 2) return 2;
    if (hb_model_open(argv[1], &model, &err) || hb_session_open(model, NULL, &session, &err) ||
        hb_generate(session, prompt, strlen(prompt), &o, &g, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%s [%s] %s\n", g.text, hb_finish_name(g.finish), hb_version());
    hb_generation_free(&g);
    hb_session_close(session);
    hb_model_close(model);
    return 0;
}
