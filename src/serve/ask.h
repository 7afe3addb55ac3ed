/* A client's request for a completion, as its JSON body says. Parsing needs no model. */
#ifndef HB_SERVE_ASK_H
#define HB_SERVE_ASK_H

#include "base/texts.h"
#include "decode/decode.h"
#include "serve/fields.h"
#include "serve/samples.h"

enum { HB_ASK_CHOICES = 128, HB_ASK_STOPS = 16, HB_ASK_BIASES = 8192, HB_ASK_MESSAGES = 65536 };

/* What to do about risk. */
typedef enum hb_risk_mode {
    HB_RISK_HALT, /* halt before a risky token */
    HB_RISK_FLAG, /* measure and report, but do not halt */
    HB_RISK_OFF   /* measure nothing */
} hb_risk_mode;

/* One prompt of a text completion: a text, or tokens. */
typedef struct hb_ask_prompt {
    const char *text; /* [length]; NULL: tokens */
    size_t length;
    int32_t *tokens; /* [n]; for a text, set when it is tokenized */
    size_t n;
    bool has_bos; /* whether the first token was added in front of the text */
} hb_ask_prompt;

typedef struct hb_ask {
    bool chat;
    json_t *root;         /* texts below point into it */
    hb_message *messages; /* [n_messages], of a chat */
    size_t n_messages;
    hb_texts joined;        /* texts of messages that had several parts */
    hb_ask_prompt *prompts; /* [n_prompts]; for a chat one, which is tokenized from its messages */
    size_t n_prompts;
    hb_sampling sampling;
    bool has_seed;
    int32_t max_tokens; /* -1: as many as fit */
    int32_t n;          /* choices for each prompt */
    const char *stops[HB_ASK_STOPS];
    size_t n_stops;
    hb_adjustment adjustment;
    hb_bias *biases;
    bool logprobs, echo, stream, include_usage;
    int32_t n_top;
    hb_risk_mode mode;
    double cutoff;          /* NaN: the server's */
    const char *watch;      /* a signal; NULL: the server's */
    hb_signal_set *signals; /* further signals to report for each token; NULL: none */
    int32_t n_drawn;        /* samples to draw after the answer */
    const char *on_halt;    /* what a halted answer says instead; NULL: nothing */
} hb_ask;

/* What applies where a request says nothing. */
typedef struct hb_ask_defaults {
    hb_sampling sampling;
    int32_t max_tokens;
} hb_ask_defaults;

/* Parses the body of a chat completion or, with `chat` false, of a text completion. False, with the
 * problem and nothing to free, for a bad body. Release with hb_ask_free. */
bool hb_ask_parse(hb_ask *ask, bool chat, const hb_ask_defaults *defaults, const char *body,
                  size_t length, hb_problem *problem);
void hb_ask_free(hb_ask *ask);

/* Parse the members "messages" and "hbar" into an ask; other requests have them, too. */
bool hb_ask_parse_messages(hb_ask *ask, const hb_fields *fields);
bool hb_ask_parse_risk(hb_ask *ask, const hb_fields *fields);

#endif
