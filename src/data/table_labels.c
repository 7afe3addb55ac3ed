/* Reads labels of samples from a table. */
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "data/path.h"
#include "data/table.h"

typedef struct reading {
    const hb_table *table;
    const char *columns[2]; /* of the ids and of the labels */
    hb_label_rule rule;
    hb_breakages breakages;
    hb_labels labels;
    size_t room;
    hb_error *err;
} reading;

hb_label_options hb_label_defaults(void)
{
    return (hb_label_options){0};
}

static bool grow(reading *r)
{
    hb_labels *l = &r->labels;
    hb_given_label *list = hb_grown(l->list, l->n, sizeof *list, &r->room);
    if (list) l->list = list;
    return list != NULL;
}

/* A row without a label: its sample was not judged. */
static bool is_empty(const json_t *value)
{
    const char *text = json_string_value(value);
    return json_is_null(value) || (text && !text[strspn(text, " \t\r\n")]);
}

static void read_id(const json_t *object, const char *column, hb_buffer *id, hb_error *why)
{
    const json_t *value = json_object_get(object, column);
    if (!value) hb_fail(why, HB_ERR_FORMAT, "field '%.80s' is missing", column);
    else if (json_is_null(value) || json_is_array(value) || json_is_object(value))
        hb_fail(why, HB_ERR_FORMAT, "%.80s is not a text or a number", column);
    else if (!hb_buffer_add_text(id, "") || !hb_value_text(id, value)) hb_fail_memory(why);
    else if (!id->length) hb_fail(why, HB_ERR_FORMAT, "%.80s is empty", column);
}

static hb_status add_row(void *user, const hb_record *record)
{
    reading *r = user;
    hb_error why = {HB_OK, ""};
    hb_buffer id = {0};
    int label = 0;
    bool empty = record->object && is_empty(json_object_get(record->object, r->columns[1]));
    if (!grow(r)) return hb_fail_memory(r->err);
    if (!record->object) hb_fail(&why, HB_ERR_FORMAT, "%s", record->reason);
    else read_id(record->object, r->columns[0], &id, &why);
    if (!why.status && !empty) hb_table_label(&r->rule, record->object, r->columns[1], &label, &why);
    if (!why.status && !empty) {
        r->labels.list[r->labels.n++] = (hb_given_label){id.data, label, record->line};
        return HB_OK;
    }
    hb_buffer_free(&id);
    if (why.status == HB_ERR_MEMORY) return hb_fail_memory(r->err);
    if (why.status)
        return hb_breakage(&r->breakages, r->table->input.path, record->line, why.message, r->err);
    r->labels.n_empty++;
    return HB_OK;
}

static hb_status choose_column(reading *r, int k, const char *name)
{
    char what[100];
    snprintf(what, sizeof what, "'%.90s'", name);
    r->columns[k] = hb_table_column(r->table, name);
    return r->columns[k] ? HB_OK : hb_table_fail_column(r->table, what, r->err);
}

static hb_status read_labels(reading *r, hb_table *table, const hb_label_options *o)
{
    hb_status status = choose_column(r, 0, o->id_column ? o->id_column : "id");
    if (!status) status = choose_column(r, 1, o->label_column ? o->label_column : "label");
    if (!status) status = hb_label_rule_open(o->positive, o->label_is_correct, &r->rule, r->err);
    if (!status) status = hb_table_each(table, r->columns, 2, add_row, r, r->err);
    hb_label_rule_close(&r->rule);
    if (status) return status;
    r->labels.n_broken = (size_t)r->breakages.n;
    r->labels.path = strdup(table->input.path);
    if (!r->labels.path) return hb_fail_memory(r->err);
    if (!r->labels.n) return hb_fail(r->err, HB_ERR_DATA, "%s: no row has a label", table->input.path);
    return HB_OK;
}

hb_status hb_table_labels(hb_table *table, const hb_label_options *options, hb_labels *labels,
                          hb_error *err)
{
    static const hb_label_options none = {0};
    const hb_label_options *o = options ? options : &none;
    reading r = {.table = table, .breakages = {o->strict, o->on_broken, o->user, 0}, .err = err};
    if (o->label_is_correct && o->positive)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "labels mean right, or a word means hallucinated: not both");
    hb_status status = read_labels(&r, table, o);
    if (status) {
        hb_labels_free(&r.labels);
        return status;
    }
    if (!o->label_is_correct && !o->positive)
        hb_warn_of_label(table->input.path, o->label_column, o->on_warning, o->user);
    *labels = r.labels;
    return HB_OK;
}

void hb_labels_free(hb_labels *labels)
{
    if (!labels) return;
    for (size_t i = 0; i < labels->n; i++) free(labels->list[i].id);
    free(labels->list);
    free(labels->path);
    *labels = (hb_labels){0};
}
