/* The first byte chooses a chat or a text completion, the rest is the body of the request. */
#include <math.h>
#include "base/utf8.h"
#include "decode/sampler.h"
#include "fuzz.h"
#include "serve/ask.h"

static void check_texts(const hb_ask *a)
{
    require(a->n_messages <= HB_ASK_MESSAGES && a->n_stops <= HB_ASK_STOPS);
    for (size_t i = 0; i < a->n_messages; i++)
        require(hb_utf8_valid(a->messages[i].text, a->messages[i].length));
    for (size_t i = 0; !a->chat && i < a->n_prompts; i++) {
        const hb_ask_prompt *p = &a->prompts[i];
        require(p->text ? hb_utf8_valid(p->text, p->length) : p->n > 0);
    }
    for (size_t i = 0; i < a->n_stops; i++) require(a->stops[i][0]);
}

static void check(const hb_ask *a)
{
    hb_error err;
    require(a->chat ? a->n_messages > 0 : a->n_prompts > 0);
    require(a->n >= 1 && a->n <= HB_ASK_CHOICES && a->max_tokens >= -1);
    require(a->n_top >= 0 && a->n_top <= HB_MAX_LOGPROBS && a->n_drawn >= 0);
    require(a->adjustment.n_biases <= HB_ASK_BIASES && !isinf(a->cutoff));
    require(!hb_sampling_check(&a->sampling, &err));
    check_texts(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const hb_ask_defaults defaults = {.sampling = {.top_p = 1, .seed = 42}, .max_tokens = -1};
    hb_problem problem = {0};
    hb_ask ask;
    if (!size) return 0;
    if (hb_ask_parse(&ask, data[0] % 2, &defaults, (const char *)data + 1, size - 1, &problem)) {
        check(&ask);
        hb_ask_free(&ask);
    } else {
        require(problem.status >= 400 && problem.message[0] && !strchr(problem.message, '\n'));
    }
    return 0;
}
