/* --chat and its options, which several commands have. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"
#include "base/file.h"
#include "cli/cli.h"

void cli_chat_add(cli_options *options, cli_chat *chat)
{
    static const char *const choices[] = {"auto", "on", "off", NULL};
    cli_begin_group(options, CLI_GROUP_CHAT);
    cli_add_flag(options, "chat", 0, &chat->on,
                 "wrap each prompt in the model's chat template, as a user's message");
    cli_add_text(options, "system", 0, "TEXT", &chat->system,
                 "with --chat, a system message before the prompt");
    cli_add_text(
        options, "chat-template", 0, "NAME|FILE", &chat->template_given,
        "with --chat, a format (chatml, llama3 ...) or a file with a template to use instead of "
        "the model's");
    cli_add_choice(options, "thinking", 0, NULL, &chat->thinking, choices,
                   "with --chat, whether the model reasons before it answers");
    cli_add_flag(
        options, "parse-special", 0, &chat->prepared,
        "for prompts that contain their markers already: text that spells a control token becomes "
        "that token");
}

bool cli_chat_check(const cli_command *command, const cli_chat *chat, int *code)
{
    const char *lonely = chat->system           ? "--system"
                         : chat->template_given ? "--chat-template"
                         : chat->thinking       ? "--thinking"
                                                : NULL;
    if (chat->on && chat->prepared) *code = cli_usage(command, "--chat excludes --parse-special");
    else if (!chat->on && lonely) *code = cli_usage(command, "%s needs --chat", lonely);
    else return true;
    return false;
}

/* ---- Opening ------------------------------------------------------------------------------------- */

static bool is_format(const char *name)
{
    const char *known;
    for (size_t i = 0; (known = hb_chat_format_name(i)) != NULL; i++)
        if (strcmp(known, name) == 0) return true;
    return false;
}

/* Resolves --chat-template: the name of a format, or a file, which is read into `text`. */
static hb_status read_choice(const char *given, hb_chat_options *o, hb_buffer *text, hb_error *err)
{
    hb_error why;
    if (!given || strcmp(given, "auto") == 0) return HB_OK;
    if (is_format(given)) {
        o->format = given;
        return HB_OK;
    }
    if (!strchr(given, '/') && access(given, F_OK) != 0)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "--chat-template: '%s' is neither a file nor a format (chatml, llama2 ... see "
                       "docs/usage.md)",
                       given);
    hb_status status = hb_read_file(given, CLI_TEMPLATE_BYTES, text, &why);
    if (status) return hb_fail(err, status, "--chat-template: %s", why.message);
    o->template_text = text->data;
    o->template_length = text->length;
    return HB_OK;
}

/* Opens the chat and checks that its template accepts the system message. */
static hb_status open_chat(cli_chat *chat, const hb_model *model, const hb_chat_options *o,
                           hb_error *err)
{
    int32_t *tokens;
    size_t n;
    hb_status status = hb_chat_open(model, o, &chat->chat, err);
    if (status || !chat->system) return status;
    status = hb_chat_prompt(model, chat->chat, chat->system, "Hello", 5, &tokens, &n, err);
    if (!status) free(tokens);
    return status;
}

hb_status cli_chat_find(cli_chat *chat, const hb_model *model, hb_error *err)
{
    hb_chat_options o = hb_chat_defaults();
    hb_buffer text = {0};
    hb_error why;
    hb_status status = HB_OK;
    if (!chat->on && !chat->prepared) return HB_OK;
    o.thinking = (hb_thinking)chat->thinking;
    if (chat->prepared) o.format = HB_CHAT_PREPARED;
    else status = read_choice(chat->template_given, &o, &text, err);
    if (!status) {
        status = open_chat(chat, model, &o, &why);
        bool own = !o.format && !o.template_text && !o.thinking;
        if (status)
            hb_fail(err, status,
                    own ? "%s; name a format with --chat-template, or leave out --chat to use "
                          "prompts as they are"
                        : "%s",
                    why.message);
    }
    hb_buffer_free(&text);
    if (!status) chat->format = hb_chat_name(chat->chat);
    return status;
}

void cli_chat_close(cli_chat *chat)
{
    hb_chat_close(chat->chat);
    chat->chat = NULL;
}

void cli_chat_warn(const cli_chat *chat, const hb_model *model, const hb_buffer *prompt)
{
    size_t length;
    const char *found =
        chat->prepared ? NULL : hb_find_control(model, prompt->data, prompt->length, &length);
    if (found)
        cli_message("warning: the prompt spells the control token %.*s, which is taken as plain text; "
                    "see --parse-special",
                    (int)length, found);
}
