#include "data/prompt_template.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"

/* A piece of text or a placeholder. */
typedef struct piece {
    hb_path *path; /* NULL: it is text */
    char *text;    /* NULL: it is a placeholder */
} piece;

struct hb_prompt_template {
    piece *pieces; /* [n] */
    size_t n, room;
};

static bool add_piece(hb_prompt_template *t, piece p)
{
    piece *pieces = hb_grown(t->pieces, t->n, sizeof *pieces, &t->room);
    if (!pieces) return false;
    t->pieces = pieces;
    pieces[t->n++] = p;
    return true;
}

/* Adds the collected text as a piece. */
static bool end_text(hb_prompt_template *t, hb_buffer *text)
{
    if (!text->length) return true;
    char *copy = strndup(text->data, text->length);
    hb_buffer_clear(text);
    if (copy && add_piece(t, (piece){.text = copy})) return true;
    free(copy);
    return false;
}

/* Adds the placeholder that begins after a brace, and moves *text past the closing brace. */
static hb_status add_placeholder(hb_prompt_template *t, const char **text, hb_error *err)
{
    const char *end = strchr(*text, '}');
    if (!end || end == *text)
        return hb_fail(
            err, HB_ERR_ARGUMENT,
            "the template's '{%.20s' is not a placeholder like {question}; write {{ for a brace",
            *text);
    char *name = strndup(*text, (size_t)(end - *text));
    piece p = {0};
    hb_status status = name ? hb_path_parse(name, &p.path, err) : hb_fail_memory(err);
    free(name);
    if (status == HB_OK && !add_piece(t, p)) {
        hb_path_free(p.path);
        status = hb_fail_memory(err);
    }
    *text = end + 1;
    return status;
}

static hb_status parse(hb_prompt_template *t, const char *text, hb_buffer *literal, hb_error *err)
{
    hb_status status = HB_OK;
    while (*text && status == HB_OK) {
        bool brace = *text == '{' || *text == '}', ok = true;
        if (brace && text[1] == *text) {
            ok = hb_buffer_add(literal, text, 1);
            text += 2;
        } else if (*text == '{') {
            text++;
            ok = end_text(t, literal);
            if (ok) status = add_placeholder(t, &text, err);
        } else {
            ok = hb_buffer_add(literal, text, 1);
            text++;
        }
        if (!ok) status = hb_fail_memory(err);
    }
    if (status == HB_OK && !end_text(t, literal)) status = hb_fail_memory(err);
    return status;
}

hb_status hb_prompt_template_parse(const char *text, hb_prompt_template **out, hb_error *err)
{
    hb_prompt_template *t = calloc(1, sizeof *t);
    if (!t) return hb_fail_memory(err);
    hb_buffer literal = {0};
    hb_status status = parse(t, text, &literal, err);
    hb_buffer_free(&literal);
    if (status == HB_OK) *out = t;
    else hb_prompt_template_free(t);
    return status;
}

void hb_prompt_template_free(hb_prompt_template *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->n; i++) {
        hb_path_free(t->pieces[i].path);
        free(t->pieces[i].text);
    }
    free(t->pieces);
    free(t);
}

bool hb_prompt_template_fill(const hb_prompt_template *t, hb_fill_placeholder *fill, void *user,
                             hb_buffer *out, hb_error *why)
{
    for (size_t i = 0; i < t->n; i++) {
        const piece *p = &t->pieces[i];
        if (p->path && !fill(user, p->path, out, why)) return false;
        if (p->text && !hb_buffer_add_text(out, p->text)) {
            hb_fail_memory(why);
            return false;
        }
    }
    return true;
}
