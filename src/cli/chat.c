/* Prompts as a user's message of a chat, as several commands ask for it. */
#include "base/error.h"
#include "cli/cli.h"

void cli_chat_add(cli_options *options, cli_chat *chat)
{
    static const char *choices[64] = {"auto"};
    for (size_t i = 0; i < 62; i++) choices[i + 1] = hb_chat_format_name(i);
    const cli_option own[] = {
        {"chat", 0, CLI_FLAG, &chat->on, NULL,
         "put a prompt as a message, as the model's template does", 0, 0, NULL, NULL},
        {"system", 0, CLI_TEXT, &chat->system, "TEXT", "with --chat, the system message before it", 0,
         0, NULL, NULL},
        {"chat-template", 0, CLI_CHOICE, &chat->template_given, "NAME",
         "with --chat, a format to use instead: chatml, llama3 ...; auto", 0, 0, choices, NULL},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) cli_add(options, own[i]);
}

bool cli_chat_check(const cli_command *command, const cli_chat *chat, int *code)
{
    if (chat->on || (!chat->system && !chat->template_given)) return true;
    *code = cli_usage(command, "%s goes with --chat", chat->system ? "--system" : "--chat-template");
    return false;
}

hb_status cli_chat_find(cli_chat *chat, const hb_model *model, hb_error *err)
{
    hb_error why;
    if (!chat->on) return HB_OK;
    if (chat->template_given) chat->format = hb_chat_format_name((size_t)chat->template_given - 1);
    else if (hb_chat_format(model, &chat->format, &why))
        return hb_fail(err, why.status,
                       "%s; --chat-template names a format to use, and without --chat "
                       "a prompt is taken as it is",
                       why.message);
    return HB_OK;
}
