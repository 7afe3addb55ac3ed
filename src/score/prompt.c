/* The tokens of a sample: of its prompt or conversation, and of its response. */
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "hbar.h"

/* Whether the sample is written as turns. One message alone is the same as the prompt. */
static bool has_turns(const hb_chat *chat, const hb_sample *sample)
{
    return chat && sample->n_messages > 1 && strcmp(hb_chat_name(chat), HB_CHAT_PREPARED) != 0;
}

static bool has_system(const hb_sample *sample)
{
    bool has = false;
    for (size_t i = 0; i < sample->n_messages; i++) has |= sample->messages[i].role == HB_ROLE_SYSTEM;
    return has;
}

static hb_status tokenize(const hb_model *model, const hb_chat *chat, const hb_message *messages,
                          size_t n, const char *response, hb_given *given, hb_error *err)
{
    if (response)
        return hb_given_tokenize_chat(model, chat, messages, n, response, strlen(response), given, err);
    return hb_chat_tokenize(chat, messages, n, true, &given->tokens, &given->n_prompt, err);
}

/* Tokenizes the sample's messages, with the system message before them if they have none. */
static hb_status tokenize_turns(const hb_model *model, const hb_chat *chat, const char *system,
                                const hb_sample *sample, hb_given *given, hb_error *err)
{
    size_t n = sample->n_messages;
    if (!system || !*system || has_system(sample))
        return tokenize(model, chat, sample->messages, n, sample->response, given, err);
    hb_message *messages = calloc(n + 1, sizeof *messages);
    if (!messages) return hb_fail_memory(err);
    messages[0] = (hb_message){HB_ROLE_SYSTEM, system, strlen(system)};
    memcpy(messages + 1, sample->messages, n * sizeof *messages);
    hb_status status = tokenize(model, chat, messages, n + 1, sample->response, given, err);
    free(messages);
    return status;
}

hb_status hb_sample_tokenize(const hb_model *model, const hb_chat *chat, const char *system,
                             const hb_sample *sample, hb_given *given, hb_error *err)
{
    const char *prompt = sample->prompt, *response = sample->response;
    hb_given g = {0};
    hb_status status;
    if (has_turns(chat, sample)) status = tokenize_turns(model, chat, system, sample, &g, err);
    else if (response)
        status = hb_given_tokenize(model, chat, system, prompt, strlen(prompt), response,
                                   strlen(response), &g, err);
    else
        status =
            hb_chat_prompt(model, chat, system, prompt, strlen(prompt), &g.tokens, &g.n_prompt, err);
    if (!status) *given = g;
    return status;
}
