/* Abstentions: reads lists of phrases and finds them in answers. */
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "data/grade.h"

#define BEGINNING 200 /* only these first words of an answer are searched; abstentions come early */

#define FILE_BYTES ((size_t)64 << 20) /* the most bytes of a file of phrases */

/* The concatenated files of data/abstain, which the build embeds. */
extern const unsigned char hb_abstain_text[];
extern const size_t hb_abstain_text_length;

typedef enum phrase_kind {
    ANYWHERE, /* an answer with this phrase is an abstention */
    WHOLE,    /* an answer of this phrase alone is an abstention; marked "=" */
    NOT       /* an answer with this phrase is not an abstention; marked "!" */
} phrase_kind;

typedef struct phrase {
    phrase_kind kind;
    hb_words words;
} phrase;

struct hb_abstain_list {
    phrase *phrases; /* [n] */
    size_t n, room;
};

/* ---- Reading lists ------------------------------------------------------------------------------ */

static hb_status add_phrase(hb_abstain_list *list, phrase_kind kind, const char *text, size_t length,
                            hb_error *err)
{
    hb_characters characters;
    phrase *phrases = hb_grown(list->phrases, list->n, sizeof *phrases, &list->room);
    if (!phrases) return hb_fail_memory(err);
    list->phrases = phrases;
    hb_status status = hb_characters_read(text, length, &characters, err);
    if (status) return status;
    phrase *p = &list->phrases[list->n];
    p->kind = kind;
    status = hb_words_read(&characters, (hb_reading){.articles = true}, &p->words, err);
    hb_characters_free(&characters);
    if (status) return status;
    if (p->words.n) {
        list->n++;
        return HB_OK;
    }
    hb_words_free(&p->words);
    return hb_fail(err, HB_ERR_FORMAT, "the phrase has no word");
}

/* Reads a line: it is blank, or a comment after #, or a phrase with its mark. */
static hb_status add_line(hb_abstain_list *list, const char *line, size_t length, hb_error *err)
{
    while (length && strchr(" \t\r", *line)) line++, length--;
    while (length && strchr(" \t\r", line[length - 1])) length--;
    if (!length || *line == '#') return HB_OK;
    phrase_kind kind = *line == '=' ? WHOLE : *line == '!' ? NOT : ANYWHERE;
    size_t mark = kind != ANYWHERE;
    return add_phrase(list, kind, line + mark, length - mark, err);
}

static bool is_utf8(const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        int n = hb_utf8_character(text + i, length - i);
        if (n < 1 || !text[i]) return false;
        i += (size_t)n;
    }
    return true;
}

static hb_status add_text(hb_abstain_list *list, const char *name, const char *text, size_t length,
                          hb_error *err)
{
    hb_status status = HB_OK;
    const char *end = text + length;
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3;
    for (size_t n = 1; text < end && !status; n++) {
        hb_error why;
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (!stop) stop = end;
        if (!is_utf8(text, (size_t)(stop - text)))
            return hb_fail(err, HB_ERR_FORMAT, "%s:%zu: the line is not UTF-8 text", name, n);
        status = add_line(list, text, (size_t)(stop - text), &why);
        if (status) hb_fail(err, status, "%s:%zu: %s", name, n, why.message);
        text = stop + (stop < end);
    }
    return status;
}

hb_status hb_abstain_list_open(const char *path, hb_abstain_list **list, hb_error *err)
{
    hb_buffer text = {0};
    hb_abstain_list *l = calloc(1, sizeof *l);
    if (!l) return hb_fail_memory(err);
    hb_status status =
        add_text(l, "data/abstain", (const char *)hb_abstain_text, hb_abstain_text_length, err);
    if (!status && path) status = hb_read_file(path, FILE_BYTES, &text, err);
    if (!status && path) status = add_text(l, path, text.data, text.length, err);
    hb_buffer_free(&text);
    if (status) hb_abstain_list_free(l);
    else *list = l;
    return status;
}

void hb_abstain_list_free(hb_abstain_list *list)
{
    if (!list) return;
    for (size_t i = 0; i < list->n; i++) hb_words_free(&list->phrases[i].words);
    free(list->phrases);
    free(list);
}

/* ---- Finding phrases ---------------------------------------------------------------------------- */

static hb_status has_phrase(const phrase *p, const hb_words *answer, bool *found, hb_error *err)
{
    *found = false;
    if (p->kind == WHOLE && p->words.n != answer->n) return HB_OK;
    return hb_words_find(answer, &p->words, found, err);
}

hb_status hb_abstain_find(const hb_abstain_list *list, const hb_words *answer, bool *found,
                          hb_error *err)
{
    hb_words beginning = *answer;
    bool abstains = false, answers = false, has;
    hb_status status = HB_OK;
    if (beginning.n > BEGINNING) beginning.n = BEGINNING;
    for (size_t i = 0; i < list->n && !answers; i++) {
        status = has_phrase(&list->phrases[i], &beginning, &has, err);
        if (status) return status;
        if (list->phrases[i].kind == NOT) answers = answers || has;
        else abstains = abstains || has;
    }
    *found = abstains && !answers;
    return HB_OK;
}
