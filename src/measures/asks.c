#include "measures/asks.h"

#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"

static const struct {
    const char *name;
    hb_asks bit;
} all[] = {{"entailment", HB_ASKS_ENTAILMENT},
           {"p_true", HB_ASKS_P_TRUE},
           {"verbalised", HB_ASKS_VERBALISED},
           {"self_assessment", HB_ASKS_SELF_ASSESSMENT},
           {"selfcheck", HB_ASKS_SELFCHECK}};
#define N_ASKS (sizeof all / sizeof *all)

/* The set that one name [length] means; 0 for an unknown name. */
static unsigned find(const char *name, size_t length)
{
    unsigned every = 0;
    for (size_t i = 0; i < N_ASKS; i++) {
        if (strlen(all[i].name) == length && memcmp(all[i].name, name, length) == 0) return all[i].bit;
        if (all[i].bit != HB_ASKS_ENTAILMENT) every |= (unsigned)all[i].bit;
    }
    return length == 3 && memcmp(name, "all", 3) == 0 ? every : 0;
}

hb_status hb_asks_parse(const char *list, unsigned *asks, hb_error *err)
{
    unsigned found = 0;
    for (const char *item = list; item && *item;) {
        size_t length = strcspn(item, ",");
        unsigned one = find(item, length);
        if (!one)
            return hb_fail(err, HB_ERR_ARGUMENT,
                           "no question '%.*s'; there are p_true, verbalised, self_assessment, "
                           "selfcheck and all",
                           length < 60 ? (int)length : 60, item);
        found |= one;
        item += length + (item[length] != '\0');
    }
    *asks = found;
    return HB_OK;
}

char *hb_asks_text(unsigned asks)
{
    hb_buffer text = {0};
    bool ok = hb_buffer_add_text(&text, "");
    for (size_t i = 0; i < N_ASKS && ok; i++)
        if (asks & (unsigned)all[i].bit)
            ok = hb_buffer_add_text(&text, text.length ? "," : "") &&
                 hb_buffer_add_text(&text, all[i].name);
    if (!ok) hb_buffer_free(&text);
    return text.data;
}

bool hb_measure_is_kept(size_t i, int32_t samples, unsigned asks, bool states)
{
    const char *question = hb_measure_question(i);
    if (!hb_measure_name(i) || (hb_measure_needs_samples(i) && samples < 1)) return false;
    if (hb_measure_needs_states(i) && !states) return false;
    return !question || (find(question, strlen(question)) & asks);
}
