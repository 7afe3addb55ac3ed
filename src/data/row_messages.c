/* Reads rows that are conversations. */
#include "data/row_parts.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/text.h"

#define MAX_MESSAGES 1024

static bool role_of(const char *name, hb_role *role)
{
    static const struct {
        const char *name;
        hb_role role;
    } roles[] = {{"system", HB_ROLE_SYSTEM},       {"developer", HB_ROLE_SYSTEM},
                 {"user", HB_ROLE_USER},           {"human", HB_ROLE_USER},
                 {"assistant", HB_ROLE_ASSISTANT}, {"model", HB_ROLE_ASSISTANT}};
    for (size_t i = 0; name && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(name, roles[i].name) == 0) {
            *role = roles[i].role;
            return true;
        }
    return false;
}

static bool refuse(const char *what, const json_t *name, hb_error *why)
{
    char shown[40];
    const char *text = json_is_string(name) ? json_string_value(name) : "";
    hb_fail(why, HB_ERR_FORMAT, what, hb_printable(shown, sizeof shown, text, strlen(text)));
    return false;
}

/* Appends a part of a message: a text, or an object with a text. Without an image the message would be
 * another one, so any other part is refused. */
static bool add_part(hb_buffer *text, const json_t *part, hb_error *why)
{
    const json_t *own = json_is_string(part) ? part : json_object_get(part, "text");
    if (!json_is_string(own))
        return refuse("a part of a message (type '%s') is no text", json_object_get(part, "type"), why);
    return ((!text->length || hb_buffer_add_text(text, "\n")) && hb_value_text(text, own)) ||
           hb_row_no_memory(why);
}

/* Adds a message's text: a string, or a list of parts. */
static bool add_content(hb_texts *contents, const json_t *content, hb_error *why)
{
    hb_buffer text = {0};
    bool ok = hb_buffer_add_text(&text, "") || hb_row_no_memory(why);
    if (ok && !json_is_array(content)) ok = add_part(&text, content, why);
    for (size_t i = 0; i < json_array_size(content) && ok; i++)
        ok = add_part(&text, json_array_get(content, i), why);
    if (ok) ok = hb_texts_add(contents, text.data, text.length) || hb_row_no_memory(why);
    hb_buffer_free(&text);
    return ok;
}

static bool add_message(hb_row *row, const json_t *message, hb_error *why)
{
    hb_role role;
    const json_t *name = json_object_get(message, "role");
    if (!role_of(json_string_value(name), &role))
        return refuse("a message's role '%s' is not system, user or assistant", name, why);
    hb_message *messages =
        hb_grown(row->messages, row->n_messages, sizeof *messages, &row->messages_room);
    if (!messages) return hb_row_no_memory(why);
    row->messages = messages;
    if (!add_content(&row->contents, json_object_get(message, "content"), why)) return false;
    row->messages[row->n_messages++] = (hb_message){.role = role};
    return true;
}

/* Writes the conversation as a prompt without a chat format. A single question is written alone. */
static bool write_conversation(hb_row *row, hb_error *why)
{
    static const char *const names[] = {[HB_ROLE_USER] = "User: ", [HB_ROLE_ASSISTANT] = "Assistant: "};
    hb_buffer *out = &row->conversation;
    bool single = row->n_messages == 1, ok = hb_buffer_add_text(out, "");
    for (size_t i = 0; i < row->n_messages && ok; i++) {
        const hb_message *m = &row->messages[i];
        if (m->role != HB_ROLE_SYSTEM && !single) ok = hb_buffer_add_text(out, names[m->role]);
        ok =
            ok && hb_buffer_add(out, m->text, m->length) && (single || hb_buffer_add_text(out, "\n\n"));
    }
    ok = ok && (single || hb_buffer_add_text(out, "Assistant:"));
    return ok || hb_row_no_memory(why);
}

bool hb_row_read_messages(const hb_mapping *m, hb_row *row, hb_error *why)
{
    hb_values values = {0};
    bool ok = hb_row_find(m->messages, row, &values, why);
    const json_t *list = ok && values.n ? values.list[0] : NULL;
    hb_values_free(&values);
    if (ok && !json_array_size(list)) {
        hb_fail(why, HB_ERR_FORMAT, "field '%.80s' is no list of messages", hb_path_text(m->messages));
        return false;
    }
    if (ok && json_array_size(list) > MAX_MESSAGES) {
        hb_fail(why, HB_ERR_FORMAT, "it has more than %d messages", MAX_MESSAGES);
        return false;
    }
    for (size_t i = 0; i < json_array_size(list) && ok; i++)
        ok = add_message(row, json_array_get(list, i), why);
    if (!ok) return false;
    for (size_t i = 0; i < row->n_messages; i++) {
        row->messages[i].text = row->contents.list[i];
        row->messages[i].length = strlen(row->contents.list[i]);
    }
    size_t n = row->n_messages;
    row->has_response = n > 1 && row->messages[n - 1].role == HB_ROLE_ASSISTANT;
    if (row->has_response) {
        row->n_messages = --n;
        if (!hb_buffer_add_text(&row->responses[0], row->contents.list[n]))
            return hb_row_no_memory(why);
        if (!hb_row_check_response(m, row, 0, why)) return false;
    }
    if (n && row->messages[n - 1].role == HB_ROLE_USER) return write_conversation(row, why);
    hb_fail(why, HB_ERR_FORMAT, "the last message before an answer is not the user's");
    return false;
}
