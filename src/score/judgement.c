/* The tokens by which a model begins to say Yes or No, True or False, or a letter. */
#include <stdlib.h>
#include <string.h>
#include "engine/engine.h"
#include "score/scorer.h"

static bool has(const hb_word_tokens *word, int32_t token)
{
    for (int i = 0; i < word->n; i++)
        if (word->list[i] == token) return true;
    return false;
}

static void add(hb_word_tokens *word, int32_t token)
{
    if (word->n < HB_P_YES_TOKENS && !has(word, token)) word->list[word->n++] = token;
}

/* Adds the tokens that begin these forms of a word, and those that are a whole form. */
static hb_status find_tokens(const hb_model *model, const char *const *forms, size_t n_forms,
                             hb_word_tokens *begin, hb_word_tokens *whole, hb_error *err)
{
    hb_status status = HB_OK;
    for (size_t i = 0; i < n_forms && !status; i++) {
        const hb_text_span span = {strlen(forms[i]), false};
        int32_t *tokens;
        size_t n;
        status = hb_tokenize_spans(model, forms[i], &span, 1, false, false, true, &tokens, &n, err);
        if (status) break;
        if (n > 0) add(begin, tokens[0]);
        if (n == 1) add(whole, tokens[0]);
        free(tokens);
    }
    return status;
}

/* Removes the tokens that begin the other word, too. */
static hb_word_tokens without(const hb_word_tokens *word, const hb_word_tokens *other)
{
    hb_word_tokens own = {.n = 0};
    for (int i = 0; i < word->n; i++)
        if (!has(other, word->list[i])) add(&own, word->list[i]);
    return own;
}

#define N_FORMS 6

/* Makes a signal that compares two words, each in its forms. */
static hb_status open_words(const hb_model *model, const char *const yes[N_FORMS],
                            const char *const no[N_FORMS], hb_p_yes *p, hb_error *err)
{
    hb_word_tokens begin[2] = {0}, whole[2] = {0};
    hb_status status = find_tokens(model, yes, N_FORMS, &begin[0], &whole[0], err);
    if (!status) status = find_tokens(model, no, N_FORMS, &begin[1], &whole[1], err);
    if (status) return status;
    if (!whole[0].n || !whole[1].n) {
        whole[0] = without(&begin[0], &begin[1]);
        whole[1] = without(&begin[1], &begin[0]);
    }
    hb_p_yes_init(p, &whole[0], &whole[1]);
    return HB_OK;
}

hb_status hb_p_yes_open(const hb_model *model, hb_p_yes *p, hb_error *err)
{
    static const char *const yes[N_FORMS] = {"Yes", "yes", "YES", " Yes", " yes", " YES"};
    static const char *const no[N_FORMS] = {"No", "no", "NO", " No", " no", " NO"};
    return open_words(model, yes, no, p, err);
}

hb_status hb_p_true_open(const hb_model *model, hb_p_yes *p, hb_error *err)
{
    static const char *const yes[N_FORMS] = {"True", "true", "TRUE", " True", " true", " TRUE"};
    static const char *const no[N_FORMS] = {"False", "false", "FALSE", " False", " false", " FALSE"};
    return open_words(model, yes, no, p, err);
}

hb_status hb_p_letter_open(const hb_model *model, int letter, int n, hb_p_yes *p, hb_error *err)
{
    hb_word_tokens begin = {0}, own = {0}, others = {0};
    hb_status status = HB_OK;
    for (int i = 0; i < n && !status; i++) {
        const char spaced[] = {' ', (char)('A' + i), '\0'};
        const char *const forms[] = {spaced + 1, spaced};
        status = find_tokens(model, forms, 2, &begin, i == letter ? &own : &others, err);
    }
    if (!status) hb_p_yes_init(p, &own, &others);
    return status;
}
