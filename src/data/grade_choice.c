/* Finds the letter chosen by an answer to a multiple-choice question: "B", "(B)", "B) Paris", "The
 * answer is B." Only A to J count. */
#include <string.h>
#include "data/grade.h"

static int32_t at(const hb_characters *text, size_t i)
{
    return hb_character_at(text, i);
}

static size_t skip_blanks(const hb_characters *text, size_t i)
{
    while (i < text->n && at(text, i) == ' ') i++;
    return i;
}

/* Whether the characters at i are this text, in lower case, and a word ends after them. */
static bool is_word(const hb_characters *text, size_t i, const char *word)
{
    for (; *word; word++, i++)
        if ((at(text, i) | 0x20) != *word) return false;
    return !hb_is_word_at(text, i);
}

/* The letter at i, in upper case, if it stands by itself and not after "not"; else 0. */
static int letter_at(const hb_characters *text, size_t i)
{
    int32_t c = at(text, i), upper = c >= 'a' && c <= 'j' ? c - 'a' + 'A' : c, next = at(text, i + 1);
    if (upper < 'A' || upper > 'J' || hb_is_word_at(text, i + 1) || (i && hb_is_word_at(text, i - 1)))
        return 0;
    if (next == '+' || next == '#') return 0;                                  /* C++ */
    if (hb_is_word_at(text, i + 2) && (next == '\'' || next == '.')) return 0; /* I'm, e.g. */
    if (i >= 4 && is_word(text, i - 4, "not")) return 0;
    bool behind = i > 1 && hb_is_word_at(text, i - 2);
    return behind && (at(text, i - 1) == '\'' || at(text, i - 1) == '.') ? 0 : upper;
}

/* Whether the letter at i is a capital letter, but not the article "A" or the pronoun "I". */
static bool is_choice_at(const hb_characters *text, size_t i)
{
    static const char *const not_after_article[] = {"is", "and", "or", "because"};
    int letter = letter_at(text, i);
    if (!letter || at(text, i) != letter) return false;
    if (letter != 'A' && letter != 'I') return true;
    size_t next = skip_blanks(text, i + 1);
    for (size_t k = 0; letter == 'A' && k < sizeof not_after_article / sizeof *not_after_article; k++)
        if (is_word(text, next, not_after_article[k])) return true;
    return next == i + 1 || !hb_is_word_at(text, next);
}

/* Whether another letter is joined to the one at i: "B or C", "B/C". */
static bool is_one_of_several(const hb_characters *text, size_t i)
{
    size_t next = skip_blanks(text, i + 1);
    bool joined = at(text, next) == '/' || is_word(text, next, "or") || is_word(text, next, "and");
    while (joined && next < text->n && at(text, next) != ' ' && at(text, next) != '/') next++;
    return joined && is_choice_at(text, skip_blanks(text, next + (at(text, next) == '/')));
}

/* ---- Where the letter stands -------------------------------------------------------------------- */

/* The beginning of the text's first word. */
static size_t first_word(const hb_characters *text)
{
    size_t i = 0;
    while (i < text->n && !hb_is_word_at(text, i)) i++;
    return i;
}

/* The letter of a text that is only a letter or begins with the label of an option: "B", "(b)", "B)
 * Paris". */
static int find_label(const hb_characters *text, bool *alone)
{
    size_t i = first_word(text), next = i + 1;
    int letter = letter_at(text, i);
    while (next < text->n && !hb_is_word_at(text, next)) next++;
    *alone = next >= text->n;
    if (!letter || *alone) return letter;
    int32_t mark = at(text, i + 1);
    if (mark == ' ' && at(text, i) == letter) mark = at(text, i + 2) == '-' ? '-' : ' ';
    return mark > ' ' && mark < 0x80 && strchr(").:]*,-", (int)mark) ? letter : 0;
}

/* The letter at the beginning of the text, regardless of what follows. */
static int find_first(const hb_characters *text)
{
    size_t i = first_word(text);
    return is_choice_at(text, i) && !is_one_of_several(text, i) ? letter_at(text, i) : 0;
}

/* Whether a word of the list begins at i. The list has lower-case words with '|' around each. *length
 * becomes the length of the word. */
static bool is_cue(const hb_characters *text, size_t i, const char *list, size_t *length)
{
    char word[16] = "|";
    size_t n = 0;
    if (i && hb_is_word_at(text, i - 1)) return false;
    for (; n < 13 && hb_is_word_at(text, i + n) && at(text, i + n) < 0x80; n++)
        word[n + 1] = (char)(at(text, i + n) | 0x20);
    memcpy(word + n + 1, "|", 2);
    *length = n;
    return n > 1 && strstr(list, word);
}

/* Whether a cue before i refers to the letter at i. A small letter counts only at the end of a phrase.
 */
static bool is_announced(const hb_characters *text, size_t i)
{
    if (!letter_at(text, i)) return false;
    int32_t next = at(text, i + 1);
    return is_choice_at(text, i) || next == 0 || next == ')' || next == ']' || next == '.';
}

/* The letter after the last cue that has one in its sentence; 0 for none. */
static int find_behind(const hb_characters *text, const char *cues)
{
    int found = 0;
    size_t length;
    for (size_t i = 0; i < text->n; i++) {
        if (!is_cue(text, i, cues, &length)) continue;
        for (i += length; i < text->n && !is_cue(text, i, cues, &length); i++) {
            if (is_announced(text, i)) {
                found = is_one_of_several(text, i) ? 0 : letter_at(text, i);
                break;
            }
            if (at(text, i) == '.' || at(text, i) == '!' || at(text, i) == '?') break;
        }
        i--;
    }
    return found;
}

static int find_answer(const hb_characters *text)
{
    return find_behind(text, "|answer|answers|correct|choose|select|boxed|antwort|antwoord|respuesta|"
                             "risposta|resposta|");
}

/* The only letter that stands by itself, once or repeatedly; 0 for none or for different letters. */
static int find_only(const hb_characters *text)
{
    int found = 0;
    for (size_t i = 0; i < text->n; i++) {
        if (!is_choice_at(text, i) || letter_at(text, i) == found) continue;
        if (found) return 0;
        found = letter_at(text, i);
    }
    return found;
}

int hb_choice_find(const hb_characters *text)
{
    bool alone;
    int letter = find_label(text, &alone);
    if (!letter) letter = find_answer(text);
    if (!letter) letter = find_behind(text, "|option|choice|letter|");
    if (!letter) letter = find_first(text);
    return letter ? letter : find_only(text);
}

int hb_choice_label(const hb_characters *text, bool *alone)
{
    int letter = find_label(text, alone);
    return letter ? letter : find_answer(text);
}
