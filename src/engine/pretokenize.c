#include "engine/pretokenize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "base/utf8.h"

/* ---- The expressions ----------------------------------------------------------------------------- */

/* White space as Unicode defines it, for use inside brackets. PCRE2's own \s has one more character. */
#define SPACE                                                                                          \
    "\\t-\\r \\x{85}\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define IN_SPACE  "[" SPACE "]"
#define NOT_SPACE "[^" SPACE "]"

#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define ANY_CASE     "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"

/* A run of spaces without the last one, which belongs to the next word. */
#define SPACES_BEFORE IN_SPACE "+(?!" NOT_SPACE ")"

/* Radford et al., GPT-2, 2019. */
#define GPT2                                                                                           \
    CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|" SPACES_BEFORE "|" IN_SPACE "+"

/* As in GPT-4: a word includes one sign before it, signs include the line ends after them, and numbers
 * are split. */
#define GPT4(contractions, number)                                                                     \
    contractions "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" number "| ?[^" SPACE                                \
                 "\\p{L}\\p{N}]+[\\r\\n]*|" IN_SPACE "*[\\r\\n]+|" SPACES_BEFORE "|" IN_SPACE "+"

/* As in GPT-4o: words are also split where lower case is followed by upper case. As in llama.cpp, this
 * applies to ASCII letters only. */
#define UPPER "(?:(?=\\p{L})[^a-z])"
#define LOWER "(?:(?=\\p{L})[^A-Z])"
#define GPT4O(ending, number)                                                                          \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" ending "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER      \
    "*" ending "|" number "| ?[^" SPACE "\\p{L}\\p{N}]+[\\r\\n/]*|" IN_SPACE                           \
    "*[\\r\\n]+|" SPACES_BEFORE "|" IN_SPACE "+"

/* DeepSeek LLM's letters: those of scripts that have two cases. */
#define CASED_LETTERS                                                                                  \
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}"                     \
    "\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}"             \
    "\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}"                      \
    "\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}"                           \
    "\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"                     \
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}"                     \
    "\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}"            \
    "\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}"             \
    "\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}"                     \
    "\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}"                      \
    "\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}"                       \
    "\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}"            \
    "\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}"             \
    "\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}"                      \
    "\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}"                     \
    "\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}"                   \
    "\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}"             \
    "\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"
#define DEEPSEEK_SIGNS                                                                                 \
    "!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3001}\\x{3002}"

/* White space within the range is left out, as llama.cpp does. */
#define DEEPSEEK_CJK                                                                                   \
    "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}"  \
    "\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"

#define MAX_PATTERNS 6

/* Each expression splits every piece that the previous expressions made into its matches and the text
 * between them. */
static const struct recipe {
    const char *names; /* values of tokenizer.ggml.pre, with a space after each */
    const char *patterns[MAX_PATTERNS];
    bool whole_words, add_bos;
} recipes[] = {
    {"default ", {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, false, false},
    {"llama-bpe llama3 llama-v3 falcon3 pixtral ", {GPT4(ANY_CASE, "\\p{N}{1,3}")}, true, true},
    {"qwen2 deepseek-r1-qwen megrez hunyuan stablelm2 ", {GPT4(ANY_CASE, "\\p{N}")}, false, false},
    {"gpt-2 phi-2 mpt olmo jais gigachat mellum exaone4 ", {GPT2}, false, false},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b ", {"\\p{N}", GPT2}, false, false},
    {"falcon ", {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}, false, false},
    {"deepseek-llm ",
     {"[\\r\\n]", IN_SPACE "?[" CASED_LETTERS "]+", IN_SPACE "?[" DEEPSEEK_SIGNS "]+",
      /* Spaces at the end. Elsewhere a run of spaces is tried only from its first space. */
      "(?<!" IN_SPACE ")" IN_SPACE "++\\z", DEEPSEEK_CJK, "\\p{N}+"},
     false,
     false},
    {"deepseek-coder ",
     {"[\\r\\n]", IN_SPACE "?\\p{L}+", IN_SPACE "?\\p{P}+", DEEPSEEK_CJK, "\\p{N}"},
     false,
     false},
    {"tekken ", {GPT4O("", "\\p{N}")}, true, true},
    {"gpt-4o llama4 ", {GPT4O(ANY_CASE "?", "\\p{N}{1,3}")}, false, false},
    {"dbrx smaug-bpe glm4 chatglm-bpe ", {GPT4(ANY_CASE, "\\p{N}{1,3}")}, false, false},
};
#define N_RECIPES (sizeof recipes / sizeof *recipes)

struct hb_pretokenizer {
    const struct recipe *recipe;
    pcre2_code *codes[MAX_PATTERNS];
    int n;
};

/* ---- Opening ------------------------------------------------------------------------------------ */

/* Whether the list, which has a space after each name, holds this name. */
static bool lists(const char *names, hb_text name)
{
    for (const char *at = names; *at; at = strchr(at, ' ') + 1) {
        size_t length = (size_t)(strchr(at, ' ') - at);
        if (length == name.length && memcmp(at, name.bytes, length) == 0) return true;
    }
    return false;
}

static const struct recipe *find_recipe(hb_text name)
{
    if (!name.bytes) return &recipes[0];
    for (size_t i = 0; i < N_RECIPES; i++)
        if (lists(recipes[i].names, name)) return &recipes[i];
    return NULL;
}

static hb_status unknown(hb_text name, const char *path, hb_error *err)
{
    char known[320] = "", shown[48];
    for (size_t i = 0; i < N_RECIPES; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s", recipes[i].names);
    }
    known[strlen(known) - 1] = '\0';
    return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: pre-tokenizer '%s' is not supported (supported: %s)",
                   path, hb_printable(shown, sizeof shown, name.bytes, name.length), known);
}

hb_status hb_pretokenizer_open(hb_text name, const char *path, hb_pretokenizer **pretokenizer,
                               hb_error *err)
{
    const struct recipe *recipe = find_recipe(name);
    if (!recipe) return unknown(name, path, err);
    hb_pretokenizer *p = calloc(1, sizeof *p);
    if (!p) return hb_fail_memory(err);
    p->recipe = recipe;
    for (; p->n < MAX_PATTERNS && recipe->patterns[p->n]; p->n++) {
        int error;
        PCRE2_SIZE at;
        p->codes[p->n] = pcre2_compile((PCRE2_SPTR)recipe->patterns[p->n], PCRE2_ZERO_TERMINATED,
                                       PCRE2_UTF | PCRE2_UCP, &error, &at, NULL);
        if (p->codes[p->n]) continue;
        hb_pretokenizer_close(p);
        if (error == PCRE2_ERROR_HEAP_FAILED) return hb_fail_memory(err);
        return hb_fail(err, HB_ERR_UNSUPPORTED,
                       "%s: the installed PCRE2 cannot compile the pre-tokenizer (error %d at %zu)",
                       path, error, (size_t)at);
    }
    *pretokenizer = p;
    return HB_OK;
}

void hb_pretokenizer_close(hb_pretokenizer *pretokenizer)
{
    if (!pretokenizer) return;
    for (int i = 0; i < pretokenizer->n; i++) pcre2_code_free(pretokenizer->codes[i]);
    free(pretokenizer);
}

bool hb_pretokenizer_whole_words(const hb_pretokenizer *pretokenizer)
{
    return pretokenizer->recipe->whole_words;
}

bool hb_pretokenizer_add_bos(const hb_pretokenizer *pretokenizer)
{
    return pretokenizer->recipe->add_bos;
}

/* ---- Cutting ------------------------------------------------------------------------------------ */

typedef struct cutter {
    const hb_pretokenizer *pretokenizer;
    pcre2_match_data *matches[MAX_PATTERNS];
    pcre2_match_context *context;
    hb_on_word *on_word;
    void *user;
    hb_error *err;
} cutter;

/* Splits a piece of valid text by the expressions from number `level` on. */
static hb_status cut(cutter *c, int level, const char *text, size_t length)
{
    if (length == 0) return HB_OK;
    if (level == c->pretokenizer->n) return c->on_word(c->user, text, length, c->err);
    size_t at = 0;
    hb_status status = HB_OK;
    while (at < length && !status) {
        int n = pcre2_match(c->pretokenizer->codes[level], (PCRE2_SPTR)text, length, at,
                            PCRE2_NO_UTF_CHECK, c->matches[level], c->context);
        if (n == PCRE2_ERROR_NOMATCH) break;
        if (n == PCRE2_ERROR_NOMEMORY) return hb_fail_memory(c->err);
        if (n < 0)
            return hb_fail(c->err, HB_ERR_ARGUMENT,
                           "cannot split a text of %zu bytes into words: PCRE2 error %d", length, n);
        const PCRE2_SIZE *found = pcre2_get_ovector_pointer(c->matches[level]);
        size_t start = found[0], end = found[1];
        status = cut(c, level + 1, text + at, start - at);
        if (!status) status = cut(c, level + 1, text + start, end - start);
        at = end;
    }
    return status ? status : cut(c, level + 1, text + at, length - at);
}

/* Splits the runs of valid UTF-8 with the expressions, and passes the bytes between them to on_word. */
static hb_status cut_valid(cutter *c, const char *text, size_t length)
{
    hb_status status = HB_OK;
    for (size_t at = 0; at < length && !status;) {
        size_t good = at, bad;
        int size;
        while (good < length && (size = hb_utf8_character(text + good, length - good)) > 0)
            good += (size_t)size;
        for (bad = good; bad < length && hb_utf8_character(text + bad, length - bad) <= 0;) bad++;
        status = cut(c, 0, text + at, good - at);
        if (!status && bad > good) status = c->on_word(c->user, text + good, bad - good, c->err);
        at = bad;
    }
    return status;
}

hb_status hb_pretokenize(const hb_pretokenizer *pretokenizer, const char *text, size_t length,
                         hb_on_word *on_word, void *user, hb_error *err)
{
    cutter c = {.pretokenizer = pretokenizer, .on_word = on_word, .user = user, .err = err};
    bool ok = (c.context = pcre2_match_context_create(NULL)) != NULL;
    for (int i = 0; i < pretokenizer->n && ok; i++)
        ok = (c.matches[i] = pcre2_match_data_create(1, NULL)) != NULL;
    /* PCRE2's default limit is for hostile patterns. These patterns take time linear in the text. */
    if (ok) pcre2_set_match_limit(c.context, UINT32_MAX);
    hb_status status = ok ? cut_valid(&c, text, length) : hb_fail_memory(err);
    for (int i = 0; i < pretokenizer->n; i++) pcre2_match_data_free(c.matches[i]);
    pcre2_match_context_free(c.context);
    return status;
}
