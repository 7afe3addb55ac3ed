/* The letter that an answer to a multiple-choice question chooses: "B", "(B)", "B) Paris", "The answer
 * is B." Only A to J count. */
#include <string.h>
#include "data/grade.h"

/* The letter that stands at i by itself, in upper case; 0 for none. */
static int letter_at(const hb_characters *text, size_t i)
{
    int32_t c = hb_character_at(text, i), upper = c >= 'a' && c <= 'j' ? c - 'a' + 'A' : c;
    if (upper < 'A' || upper > 'J' || hb_is_word_at(text, i + 1) || (i && hb_is_word_at(text, i - 1)))
        return 0;
    bool apostrophe = hb_character_at(text, i + 1) == '\'' && hb_is_word_at(text, i + 2);
    return apostrophe ||
                   (i && hb_character_at(text, i - 1) == '\'' && i > 1 && hb_is_word_at(text, i - 2))
               ? 0
               : upper;
}

/* Whether the letter at i is a capital, and neither the article "A" nor the pronoun "I". */
static bool is_choice_at(const hb_characters *text, size_t i)
{
    int letter = letter_at(text, i);
    if (!letter || hb_character_at(text, i) != letter) return false;
    if (letter != 'A' && letter != 'I') return true;
    size_t next = i + 1;
    while (hb_character_at(text, next) == ' ') next++;
    return next == i + 1 || !hb_is_word_at(text, next);
}

/* ---- Where the letter stands -------------------------------------------------------------------- */

/* The letter that the text begins with, as the label of an option or alone; 0 for none. */
static int find_first(const hb_characters *text)
{
    size_t i = 0;
    while (i < text->n && !hb_is_word_at(text, i)) i++;
    int letter = letter_at(text, i);
    if (!letter || is_choice_at(text, i)) return letter;
    size_t next = i + 1;
    while (next < text->n && hb_character_at(text, next) == ' ') next++;
    if (next == text->n) return letter; /* nothing else */
    bool label =
        next == i + 1 &&
        strchr(").:]*\n", hb_character_at(text, next) < 0x80 ? (int)hb_character_at(text, next) : ' ');
    return label ? letter : 0;
}

/* Whether a word of the list, in small letters with '|' around each, begins at i; *length is its. */
static bool is_cue(const hb_characters *text, size_t i, const char *list, size_t *length)
{
    char word[16] = "|";
    size_t n = 0;
    if (i && hb_is_word_at(text, i - 1)) return false;
    for (; n < 13 && hb_is_word_at(text, i + n) && hb_character_at(text, i + n) < 0x80; n++)
        word[n + 1] = (char)(hb_character_at(text, i + n) | 0x20);
    memcpy(word + n + 1, "|", 2);
    *length = n;
    return n > 1 && strstr(list, word);
}

/* The letter behind the last cue that has one in its sentence; 0 for none. */
static int find_behind(const hb_characters *text, const char *cues)
{
    int found = 0;
    size_t length;
    for (size_t i = 0; i < text->n; i++) {
        if (!is_cue(text, i, cues, &length)) continue;
        for (i += length; i < text->n && !is_cue(text, i, cues, &length); i++) {
            if (is_choice_at(text, i)) {
                found = letter_at(text, i);
                break;
            }
            if (hb_character_at(text, i) == '.' || hb_character_at(text, i) == '!' ||
                hb_character_at(text, i) == '?')
                break;
        }
        i--;
    }
    return found;
}

/* The only letter that stands by itself, however often; 0 for none or several. */
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
    int letter = find_first(text);
    if (!letter)
        letter =
            find_behind(text, "|answer|answers|correct|choose|select|boxed|antwort|antwoord|respuesta|"
                              "risposta|resposta|");
    if (!letter) letter = find_behind(text, "|option|choice|letter|");
    return letter ? letter : find_only(text);
}
