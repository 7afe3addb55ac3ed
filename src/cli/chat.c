/* --chat, --system and --chat-template, which several commands have. */
#include "base/error.h"
#include "cli/cli.h"

void cli_chat_add(cli_options *options, cli_chat *chat)
{
    static const char *choices[64] = {"auto"};
    for (size_t i = 0; i < 62; i++) choices[i + 1] = hb_chat_format_name(i);
    cli_begin_group(options, CLI_GROUP_CHAT);
    cli_add_flag(options, "chat", 0, &chat->on,
                 "wrap each prompt in the model's chat template, as a user's message");
    cli_add_text(options, "system", 0, "TEXT", &chat->system,
                 "with --chat, a system message to come first");
    cli_add_choice(options, "chat-template", 0, "NAME", &chat->template_given, choices,
                   "with --chat, the format to use instead of the model's");
}

bool cli_chat_check(const cli_command *command, const cli_chat *chat, int *code)
{
    if (chat->on || (!chat->system && !chat->template_given)) return true;
    *code = cli_usage(command, "%s needs --chat", chat->system ? "--system" : "--chat-template");
    return false;
}

hb_status cli_chat_find(cli_chat *chat, const hb_model *model, hb_error *err)
{
    hb_error why;
    if (!chat->on) return HB_OK;
    if (chat->template_given) chat->format = hb_chat_format_name((size_t)chat->template_given - 1);
    else if (hb_chat_format(model, &chat->format, &why))
        return hb_fail(err, why.status,
                       "%s; name a format with --chat-template, or leave out --chat to use prompts "
                       "as they are",
                       why.message);
    return HB_OK;
}
