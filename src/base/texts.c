#include "base/texts.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/names.h"

bool hb_texts_has(const hb_texts *texts, const char *text)
{
    return hb_name_place((const char *const *)texts->list, texts->n, text) < texts->n;
}

bool hb_texts_add(hb_texts *texts, const char *text, size_t length)
{
    char **list = hb_grown(texts->list, texts->n, sizeof *list, &texts->room);
    if (!list) return false;
    texts->list = list;
    list[texts->n] = strndup(text, length);
    return list[texts->n] && ++texts->n;
}

bool hb_texts_add_once(hb_texts *texts, const char *text)
{
    return hb_texts_has(texts, text) || hb_texts_add(texts, text, strlen(text));
}

void hb_texts_clear(hb_texts *texts)
{
    for (size_t i = 0; i < texts->n; i++) free(texts->list[i]);
    texts->n = 0;
}

void hb_texts_free(hb_texts *texts)
{
    hb_texts_clear(texts);
    free(texts->list);
    *texts = (hb_texts){0};
}
