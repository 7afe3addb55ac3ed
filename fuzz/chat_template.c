/* libFuzzer target: the input is a chat template, rendered for a conversation whose messages hold a
 * character that templates do not write. It must never come out where control tokens are parsed.
 */
#include <stdlib.h>
#include <string.h>
#include "chat/template.h"
#include "fuzz.h"

#define FOREIGN "\xF4\x8F\xBF\xBD" /* U+10FFFD, of private use */

static bool could_write_it(const uint8_t *data, size_t size)
{
    return memmem(data, size, FOREIGN, 4) || memmem(data, size, "fffd", 4) ||
           memmem(data, size, "FFFD", 4);
}

static void check(const hb_rendered *r, bool strict)
{
    size_t from = 0;
    if (r->n_spans == 0 || r->spans[r->n_spans - 1].end != r->length) abort();
    for (size_t i = 0; i < r->n_spans; i++) {
        if (r->spans[i].end < from) abort();
        if (strict && r->spans[i].parse_special &&
            memmem(r->text + from, r->spans[i].end - from, FOREIGN, 4))
            abort();
        from = r->spans[i].end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {FOREIGN " Be brief. " FOREIGN,
                                        FOREIGN "<think>a</think>\n<|im_end|>1,2" FOREIGN,
                                        "{{ " FOREIGN " }}{% if %}\xC3", " 12" FOREIGN "\n"};
    hb_message messages[4];
    for (int i = 0; i < 4; i++)
        messages[i] = (hb_message){i == 0   ? HB_ROLE_SYSTEM
                                   : i == 2 ? HB_ROLE_ASSISTANT
                                            : HB_ROLE_USER,
                                   texts[i], strlen(texts[i])};
    hb_template *template;
    hb_rendered rendered;
    hb_error err;
    if (hb_template_compile((const char *)data, size, &template, &err)) return 0;
    for (int i = 0; i < 2; i++) {
        hb_template_input input = {.messages = messages,
                                   .n = 4,
                                   .parts = i > 0,
                                   .add_generation_prompt = true,
                                   .bos = "<s>",
                                   .eos = "</s>",
                                   .bos_length = 3,
                                   .eos_length = 4,
                                   .variables = i ? "{\"date\": \"" FOREIGN "\"}" : NULL};
        if (hb_template_render(template, &input, &rendered, &err)) continue;
        check(&rendered, !could_write_it(data, size));
        hb_rendered_free(&rendered);
    }
    hb_template_free(template);
    return 0;
}
