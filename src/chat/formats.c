#include "chat/formats.h"

#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"

enum { TRIM = 1, TRIM_ANSWERS = 2, SYSTEM_OPENS = 4 };

struct hb_chat_form {
    const char *name;
    const char *before[3], *after[3]; /* text before and after a message, by hb_role */
    const char *reply;                /* text before the model's answer */
    unsigned flags; /* TRIM: white space around messages is removed; TRIM_ANSWERS: only around the
                       assistant's messages; SYSTEM_OPENS: a system message opens the turn of the user's
                       message after it */
};

/* DeepSeek's tokens contain a full-width bar and SentencePiece's mark for a space. */
#define BAR           "\xEF\xBD\x9C"
#define DEEPSEEK_USER "<" BAR "User" BAR ">"
#define DEEPSEEK_BOT  "<" BAR "Assistant" BAR ">"
#define DEEPSEEK_END  "<" BAR "end\xE2\x96\x81of\xE2\x96\x81sentence" BAR ">"
#define COMMAND_R     "<|START_OF_TURN_TOKEN|>"

static const hb_chat_form formats[] = {
    {"chatml",
     {"<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n"},
     {"<|im_end|>\n", "<|im_end|>\n", "<|im_end|>\n"},
     "<|im_start|>assistant\n",
     0},
    {"llama2", {"[INST] ", "[INST] ", ""}, {"\n", " [/INST]", "</s>"}, "", SYSTEM_OPENS},
    {"llama2-sys",
     {"[INST] <<SYS>>\n", "[INST] ", ""},
     {"\n<</SYS>>\n\n", " [/INST]", "</s>"},
     "",
     SYSTEM_OPENS},
    {"llama2-sys-bos",
     {"[INST] <<SYS>>\n", "[INST] ", ""},
     {"\n<</SYS>>\n\n", " [/INST]", "</s><s>"},
     "",
     SYSTEM_OPENS},
    {"llama2-sys-strip",
     {"[INST] <<SYS>>\n", "[INST] ", ""},
     {"\n<</SYS>>\n\n", " [/INST]", "</s>"},
     "",
     SYSTEM_OPENS | TRIM},
    {"llama3",
     {"<|start_header_id|>system<|end_header_id|>\n\n", "<|start_header_id|>user<|end_header_id|>\n\n",
      "<|start_header_id|>assistant<|end_header_id|>\n\n"},
     {"<|eot_id|>", "<|eot_id|>", "<|eot_id|>"},
     "<|start_header_id|>assistant<|end_header_id|>\n\n",
     TRIM},
    {"llama4",
     {"<|header_start|>system<|header_end|>\n\n", "<|header_start|>user<|header_end|>\n\n",
      "<|header_start|>assistant<|header_end|>\n\n"},
     {"<|eot|>", "<|eot|>", "<|eot|>"},
     "<|header_start|>assistant<|header_end|>\n\n",
     TRIM},
    {"mistral-v1", {" [INST] ", " [INST] ", " "}, {"\n\n", " [/INST]", "</s>"}, "", SYSTEM_OPENS},
    {"mistral-v3",
     {"[INST] ", "[INST] ", " "},
     {"\n\n", "[/INST]", "</s>"},
     "",
     SYSTEM_OPENS | TRIM_ANSWERS},
    {"mistral-v3-tekken", {"[INST]", "[INST]", ""}, {"\n\n", "[/INST]", "</s>"}, "", SYSTEM_OPENS},
    {"mistral-v7",
     {"[SYSTEM_PROMPT] ", "[INST] ", " "},
     {"[/SYSTEM_PROMPT]", "[/INST]", "</s>"},
     "",
     0},
    {"mistral-v7-tekken",
     {"[SYSTEM_PROMPT]", "[INST]", ""},
     {"[/SYSTEM_PROMPT]", "[/INST]", "</s>"},
     "",
     0},
    {"phi3",
     {"<|system|>\n", "<|user|>\n", "<|assistant|>\n"},
     {"<|end|>\n", "<|end|>\n", "<|end|>\n"},
     "<|assistant|>\n",
     0},
    {"phi4",
     {"<|im_start|>system<|im_sep|>", "<|im_start|>user<|im_sep|>", "<|im_start|>assistant<|im_sep|>"},
     {"<|im_end|>", "<|im_end|>", "<|im_end|>"},
     "<|im_start|>assistant<|im_sep|>",
     0},
    {"gemma",
     {"<start_of_turn>user\n", "<start_of_turn>user\n", "<start_of_turn>model\n"},
     {"\n\n", "<end_of_turn>\n", "<end_of_turn>\n"},
     "<start_of_turn>model\n",
     SYSTEM_OPENS | TRIM},
    {"zephyr",
     {"<|system|>\n", "<|user|>\n", "<|assistant|>\n"},
     {"</s>\n", "</s>\n", "</s>\n"},
     "<|assistant|>\n",
     0},
    {"stablelm",
     {"<|system|>\n", "<|user|>\n", "<|assistant|>\n"},
     {"<|endoftext|>\n", "<|endoftext|>\n", "<|endoftext|>\n"},
     "<|assistant|>\n",
     0},
    {"falcon3",
     {"<|system|>\n", "<|user|>\n", "<|assistant|>\n"},
     {"\n", "\n", "\n"},
     "<|assistant|>\n",
     0},
    {"vicuna", {"", "USER: ", "ASSISTANT: "}, {"\n\n", "\n", "</s>\n"}, "ASSISTANT:", 0},
    {"vicuna-orca", {"SYSTEM: ", "USER: ", "ASSISTANT: "}, {"\n", "\n", "</s>\n"}, "ASSISTANT:", 0},
    {"openchat",
     {"", "GPT4 Correct User: ", "GPT4 Correct Assistant: "},
     {"<|end_of_turn|>", "<|end_of_turn|>", "<|end_of_turn|>"},
     "GPT4 Correct Assistant:",
     0},
    {"monarch",
     {"system\n", "user\n", "assistant\n"},
     {"</s>\n<s>", "</s>\n<s>", "</s>\n<s>"},
     "assistant\n",
     0},
    {"deepseek",
     {"", "### Instruction:\n", "### Response:\n"},
     {"", "\n", "\n<|EOT|>\n"},
     "### Response:\n",
     0},
    {"deepseek2", {"", "User: ", "Assistant: "}, {"\n\n", "\n\n", DEEPSEEK_END}, "Assistant:", 0},
    {"deepseek3", {"", DEEPSEEK_USER, DEEPSEEK_BOT}, {"\n\n", "", DEEPSEEK_END}, DEEPSEEK_BOT, 0},
    {"command-r",
     {COMMAND_R "<|SYSTEM_TOKEN|>", COMMAND_R "<|USER_TOKEN|>", COMMAND_R "<|CHATBOT_TOKEN|>"},
     {"<|END_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"},
     COMMAND_R "<|CHATBOT_TOKEN|>",
     TRIM},
    {"granite",
     {"<|start_of_role|>system<|end_of_role|>", "<|start_of_role|>user<|end_of_role|>",
      "<|start_of_role|>assistant<|end_of_role|>"},
     {"<|end_of_text|>\n", "<|end_of_text|>\n", "<|end_of_text|>\n"},
     "<|start_of_role|>assistant<|end_of_role|>",
     0},
    {"exaone3",
     {"[|system|]", "[|user|]", "[|assistant|]"},
     {"[|endofturn|]\n", "\n", "[|endofturn|]\n"},
     "[|assistant|]",
     TRIM},
};
#define N_FORMATS (sizeof formats / sizeof *formats)

/* A template has the first format in this list whose markers it all contains. A NULL name stands for
 * unknown formats that look like a known one. */
static const struct {
    const char *name, *markers[3];
} signs[] = {
    {NULL, {"<end_of_utterance>"}},
    {"phi4", {"<|im_start|>", "<|im_sep|>"}},
    {"chatml", {"<|im_start|>"}},
    {"mistral-v7", {"[SYSTEM_PROMPT]", "[INST] "}},
    {"mistral-v7-tekken", {"[SYSTEM_PROMPT]", "[INST]"}},
    {"mistral-v1", {"' [INST] ' + system_message"}},
    {"mistral-v1", {"[AVAILABLE_TOOLS]", " [INST]"}},
    {"mistral-v3-tekken", {"[AVAILABLE_TOOLS]", "\"[INST]\""}},
    {"mistral-v3", {"[AVAILABLE_TOOLS]", "[INST]"}},
    {"llama2-sys-strip", {"[INST]", "content.strip()"}},
    {"llama2-sys-bos", {"[INST]", "bos_token + '[INST]"}},
    {"llama2-sys", {"[INST]", "<<SYS>>"}},
    {"llama2", {"[INST]"}},
    {NULL, {"[gMASK]"}},
    {"phi3", {"<|assistant|>", "<|end|>"}},
    {"falcon3", {"<|assistant|>", "<|user|>", "</s>"}},
    {"zephyr", {"<|assistant|>", "<|user|>", "eos_token"}},
    {"stablelm", {"<|user|>", "<|endoftext|>"}},
    {"monarch", {"bos_token + message['role']"}},
    {"gemma", {"<start_of_turn>"}},
    {"openchat", {"GPT4 Correct "}},
    {"vicuna-orca", {"USER: ", "ASSISTANT: ", "SYSTEM: "}},
    {"vicuna", {"USER: ", "ASSISTANT: "}},
    {"deepseek", {"### Instruction:", "<|EOT|>"}},
    {"command-r", {COMMAND_R, "<|USER_TOKEN|>"}},
    {"llama3", {"<|start_header_id|>", "<|end_header_id|>"}},
    {"deepseek2", {"'Assistant: ' + message['content'] + eos_token"}},
    {"deepseek3", {DEEPSEEK_BOT, DEEPSEEK_USER, DEEPSEEK_END}},
    {"exaone3", {"[|system|]", "[|assistant|]", "[|endofturn|]"}},
    {"granite", {"<|start_of_role|>"}},
    {"llama4", {"<|header_start|>", "<|header_end|>"}},
};

/* ---- Recognising -------------------------------------------------------------------------------- */

const char *hb_chat_format_name(size_t i)
{
    return i < N_FORMATS ? formats[i].name : NULL;
}

static bool has_all(const char *template, size_t length, const char *const *markers, size_t n)
{
    for (size_t i = 0; i < n && markers[i]; i++)
        if (!memmem(template, length, markers[i], strlen(markers[i]))) return false;
    return true;
}

const char *hb_chat_recognise(const char *template, size_t length)
{
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (has_all(template, length, signs[i].markers, sizeof signs[i].markers / sizeof(char *)))
            return signs[i].name;
    return NULL;
}

/* ---- Applying ----------------------------------------------------------------------------------- */

const hb_chat_form *hb_chat_form_find(const char *name)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    return NULL;
}

static hb_status check_messages(const hb_message *messages, size_t n, bool reply, hb_error *err)
{
    size_t first = n > 0 && messages[0].role == HB_ROLE_SYSTEM;
    for (size_t i = first; i < n; i++)
        if (messages[i].role != ((i - first) % 2 ? HB_ROLE_ASSISTANT : HB_ROLE_USER))
            return hb_fail(
                err, HB_ERR_ARGUMENT,
                "message %zu: user and assistant must take turns, after an optional system message", i);
    if (n == first || (reply && (n - first) % 2 == 0))
        return hb_fail(err, HB_ERR_ARGUMENT, "a conversation must end with the user's message");
    return HB_OK;
}

/* Adds a message, trimmed if the format requires it. */
static bool add_kept(hb_buffer *text, const hb_chat_form *f, const hb_message *m)
{
    const char *bytes = m->text;
    size_t length = m->length;
    if (f->flags & TRIM || (f->flags & TRIM_ANSWERS && m->role == HB_ROLE_ASSISTANT)) {
        while (length && hb_is_space(bytes[0])) bytes++, length--;
        while (length && hb_is_space(bytes[length - 1])) length--;
    }
    return hb_buffer_add(text, bytes, length);
}

static void end_span(hb_rendered *out, const hb_buffer *text, bool of_format)
{
    out->spans[out->n_spans++] = (hb_text_span){text->length, of_format};
}

static bool add_messages(const hb_chat_form *f, const hb_message *messages, size_t n, bool reply,
                         hb_rendered *out, hb_buffer *text)
{
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        const hb_message *m = &messages[i];
        bool opened = i > 0 && m[-1].role == HB_ROLE_SYSTEM && f->flags & SYSTEM_OPENS;
        ok = opened || hb_buffer_add_text(text, f->before[m->role]);
        end_span(out, text, true);
        ok = ok && add_kept(text, f, m);
        end_span(out, text, false);
        ok = ok && hb_buffer_add_text(text, f->after[m->role]);
        *(m->role == HB_ROLE_SYSTEM ? &out->shows_system : &out->shows_messages) = true;
    }
    ok = ok && hb_buffer_add_text(text, reply ? f->reply : "");
    end_span(out, text, true);
    return ok;
}

/* Text of the format and text of messages alternate. Each gets its own span. */
hb_status hb_chat_form_write(const hb_chat_form *form, const hb_message *messages, size_t n, bool reply,
                             hb_rendered *rendered, hb_error *err)
{
    hb_status status = check_messages(messages, n, reply, err);
    if (status) return status;
    hb_buffer text = {0};
    hb_rendered out = {.spans = calloc(2 * n + 1, sizeof *out.spans)};
    bool ok = out.spans && add_messages(form, messages, n, reply, &out, &text);
    out.text = text.data;
    out.length = text.length;
    if (ok) *rendered = out;
    else hb_rendered_free(&out);
    return ok ? HB_OK : hb_fail_memory(err);
}
