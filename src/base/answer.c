#include "base/answer.h"

#include <string.h>
#include <strings.h>

/* Markers of reasoning. A block begins with `open` at the beginning of a line before the answer, and
 * ends with `close`. */
typedef struct hb_answer_block {
    const char *open, *close;
} hb_answer_block;

static const hb_answer_block blocks[] = {
    {"<think>", "</think>"},
    {"<thinking>", "</thinking>"},
    {"<thought>", "</thought>"},
    {"<reasoning>", "</reasoning>"},
    {"<reflection>", "</reflection>"},
    {"<analysis>", "</analysis>"},
    {"<scratchpad>", "</scratchpad>"},
    {"[THINK]", "[/THINK]"},
    {"<seed:think>", "</seed:think>"},
    {"<|begin_of_thought|>", "<|end_of_thought|>"},
    {"<|START_THINKING|>", "<|END_THINKING|>"},
    {"<|inner_prefix|>", "<|inner_suffix|>"},
    {"<unused94>", "<unused95>"},
    {"\u25C1think\u25B7", "\u25C1/think\u25B7"},
    {"<|channel|>analysis", "<|channel|>final<|message|>"},
    {"<|channel|>commentary", "<|channel|>final<|message|>"},
};
#define N_BLOCKS (sizeof blocks / sizeof *blocks)

/* Markers of the answer itself: before it, and after it. */
static const char *const begins[] = {"<answer>",
                                     "<final_answer>",
                                     "<response>",
                                     "<|begin_of_solution|>",
                                     "<|START_RESPONSE|>",
                                     "<|start|>assistant",
                                     "<|channel|>final<|message|>"};
static const char *const ends[] = {
    "</answer>",        "</final_answer>", "</response>", "<|end_of_solution|>",
    "<|END_RESPONSE|>", "<|return|>",      "<|end|>"};
#define N_BEGINS (sizeof begins / sizeof *begins)
#define N_ENDS   (sizeof ends / sizeof *ends)

/* ---- Lead-in lines ------------------------------------------------------------------------------ */

/* Words that announce an answer, on a line of their own or before a colon, in lower-case ASCII. */
static const char *const labels[] = {"answer",
                                     "the answer",
                                     "the answer is",
                                     "final answer",
                                     "the final answer is",
                                     "short answer",
                                     "correct answer",
                                     "the correct answer is",
                                     "the right answer is",
                                     "response",
                                     "result",
                                     "assistant",
                                     "antwort",
                                     "réponse",
                                     "respuesta",
                                     "risposta",
                                     "resposta",
                                     "antwoord",
                                     "Ответ",
                                     "ответ",
                                     "答案",
                                     "回答",
                                     "答え",
                                     "答",
                                     "정답",
                                     "답변",
                                     "답"};
#define N_LABELS (sizeof labels / sizeof *labels)

/* Lines without content. */
static const char *const openings[] = {
    "sure",           "sure thing",    "certainly",   "of course",  "okay",     "ok",
    "great question", "good question", "natürlich",   "gerne",      "bien sûr", "claro",
    "certo",          "claro que sí",  "com certeza", "natuurlijk", "Конечно",  "当然",
    "好的",           "もちろんです",  "물론입니다",  "물론이죠"};
#define N_OPENINGS (sizeof openings / sizeof *openings)

/* Marks that only format a text. */
static bool is_dress(char c)
{
    return c && strchr(" \t\r\f\v*_#>`\"'~", c);
}

static size_t skip_dress(const char *text, size_t length)
{
    size_t i = 0;
    while (i < length && is_dress(text[i])) i++;
    return i;
}

/* Whether a line consists only of such marks: a rule, a fence around code. */
static bool is_decoration(const char *line, size_t length)
{
    size_t i = 0;
    while (i < length && (is_dress(line[i]) || strchr("-=$\\[]|.", line[i]))) i++;
    return i == length;
}

/* The length of a colon at the beginning of text; 0 for none. */
static size_t colon(const char *text, size_t length)
{
    if (length && *text == ':') return 1;
    return length >= 3 && memcmp(text, "：", 3) == 0 ? 3 : 0; /* full width */
}

/* Whether the text is in a list of words. */
static bool is_among(const char *text, size_t length, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == length && strncasecmp(list[i], text, length) == 0) return true;
    return false;
}

static bool ends_with_colon(const char *text, size_t length)
{
    if (length && text[length - 1] == ':') return true;
    return length >= 3 && colon(text + length - 3, 3) == 3;
}

/* Whether a line announces an answer on a later line. `text` begins at the line's first byte that is
 * not blank. */
static bool is_lead_in(const char *line, size_t length)
{
    if (length >= 3 && memcmp(line, "```", 3) == 0) return true;
    size_t begin = skip_dress(line, length);
    while (length > begin && is_dress(line[length - 1])) length--;
    if (ends_with_colon(line + begin, length - begin)) return true;
    while (length > begin && strchr("!.,", line[length - 1])) length--;
    if (length >= begin + 3 && memcmp(line + length - 3, "！", 3) == 0) length -= 3;
    while (length > begin && line[length - 1] == ' ') length--;
    return is_among(line + begin, length - begin, labels, N_LABELS) ||
           is_among(line + begin, length - begin, openings, N_OPENINGS);
}

/* The number of bytes of a label like "**Answer:** " at the beginning of an answer. */
static size_t label_length(const char *text, size_t length)
{
    size_t begin = skip_dress(text, length);
    for (size_t i = 0; i < N_LABELS; i++) {
        size_t at = begin + strlen(labels[i]);
        if (at > length || strncasecmp(text + begin, labels[i], at - begin) != 0) continue;
        at += skip_dress(text + at, length - at);
        size_t mark = colon(text + at, length - at);
        if (!mark) continue;
        at += mark;
        return at + skip_dress(text + at, length - at);
    }
    return 0;
}

/* ---- The scan ----------------------------------------------------------------------------------- */

void hb_answer_scan_start(hb_answer_scan *scan, int32_t lines)
{
    *scan = (hb_answer_scan){.lines = lines ? lines : 1};
}

/* Whether the last bytes of the text spell the marker. */
static bool ends_with(const hb_answer_scan *s, const char *marker)
{
    size_t n = strlen(marker);
    return n <= s->at && strncasecmp(s->tail + HB_ANSWER_MARKER - n, marker, n) == 0;
}

/* Whether the current line is the marker. */
static bool line_is(const hb_answer_scan *s, const char *marker)
{
    return s->line_length == strlen(marker) && strncasecmp(s->line, marker, s->line_length) == 0;
}

static void begin_line(hb_answer_scan *s)
{
    s->line_length = 0;
}

static void end_answer(hb_answer_scan *s, size_t end)
{
    s->ended = true;
    s->end = end;
}

/* Whether the answer is in the current line, which is complete. */
static bool is_answer_line(const hb_answer_scan *s)
{
    size_t length = s->line_length < HB_ANSWER_LINE ? s->line_length : HB_ANSWER_LINE;
    if (s->n_lines || s->line_length > HB_ANSWER_LINE) return s->line_length > 0;
    return !is_decoration(s->line, length) && !is_lead_in(s->line, length);
}

/* Ends the current line, which ends before `end`. */
static void end_line(hb_answer_scan *s, size_t end)
{
    if (is_answer_line(s)) {
        if (s->n_lines++ == 0) s->start = s->line_start;
        if (s->n_lines == s->lines) end_answer(s, end);
    } else if (s->line_length && !s->has_skipped) {
        s->has_skipped = true;
        s->skipped = s->line_start;
    }
    begin_line(s);
}

/* Handles a marker that the last byte completes before the answer: the beginning of a block or of the
 * answer. */
static void find_begin(hb_answer_scan *s)
{
    for (size_t i = 0; i < N_BLOCKS; i++)
        if (line_is(s, blocks[i].open)) {
            s->in = &blocks[i];
            s->has_block = true;
            s->has_skipped = false;
            begin_line(s);
            return;
        }
    for (size_t i = 0; i < N_BEGINS; i++)
        if (line_is(s, begins[i])) {
            s->has_skipped = false;
            begin_line(s);
        }
}

static void find_end(hb_answer_scan *s)
{
    for (size_t i = 0; i < N_ENDS; i++) {
        if (!ends_with(s, ends[i])) continue;
        size_t end = s->at - strlen(ends[i]);
        if (!s->n_lines) s->start = s->line_start < end ? s->line_start : end;
        end_answer(s, end);
        return;
    }
}

static void add_byte(hb_answer_scan *s, char c)
{
    memmove(s->tail, s->tail + 1, HB_ANSWER_MARKER - 1);
    s->tail[HB_ANSWER_MARKER - 1] = c;
    s->at++;
    if (s->in) {
        if (ends_with(s, s->in->close)) s->in = NULL;
        return;
    }
    if (c == '\n') {
        end_line(s, s->at - 1);
        return;
    }
    if (s->line_length == 0 && memchr(" \t\r\f\v", c, 5)) return;
    if (s->line_length == 0) s->line_start = s->at - 1;
    if (s->line_length < HB_ANSWER_LINE) s->line[s->line_length] = c;
    s->line_length++;
    if (!s->n_lines && s->line_length <= HB_ANSWER_MARKER) find_begin(s);
    if (c == '>') find_end(s);
}

bool hb_answer_scan_add(hb_answer_scan *scan, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length && !scan->ended; i++) add_byte(scan, bytes[i]);
    return scan->ended;
}

const char *hb_answer_opened_block(const char *prompt, size_t length)
{
    while (length && strchr(" \t\r\n", prompt[length - 1])) length--;
    for (size_t i = 0; i < N_BLOCKS; i++) {
        size_t n = strlen(blocks[i].open);
        if (n <= length && memcmp(prompt + length - n, blocks[i].open, n) == 0) return blocks[i].open;
    }
    return NULL;
}

static bool is_in(const char *marker, const char *piece, size_t length)
{
    return memmem(marker, strlen(marker), piece, length) != NULL;
}

bool hb_answer_is_marker(const char *piece, size_t length)
{
    bool found = false;
    if (length < 3 || !strchr("<[\xE2", *piece)) return false;
    for (size_t i = 0; i < N_BLOCKS; i++)
        found = found || is_in(blocks[i].open, piece, length) || is_in(blocks[i].close, piece, length);
    for (size_t i = 0; i < N_BEGINS; i++) found = found || is_in(begins[i], piece, length);
    for (size_t i = 0; i < N_ENDS; i++) found = found || is_in(ends[i], piece, length);
    return found;
}

/* ---- Whole texts -------------------------------------------------------------------------------- */

/* The place after the first marker that closes a block which the text did not open; 0 without one. */
static size_t find_close(const char *text, size_t length)
{
    size_t first = 0;
    for (size_t i = 0; i < N_BLOCKS; i++) {
        const hb_answer_block *block = &blocks[i];
        const char *close = memmem(text, length, block->close, strlen(block->close));
        if (!close || memmem(text, (size_t)(close - text), block->open, strlen(block->open))) continue;
        size_t end = (size_t)(close - text) + strlen(block->close);
        if (!first || end < first) first = end;
    }
    return first;
}

/* Whether the character occurs in markers of blocks: <plan>, <|plan|>, [PLAN]. */
static bool is_of_marker(char c, bool angle)
{
    bool small = c >= 'a' && c <= 'z', large = c >= 'A' && c <= 'Z';
    return large || c == '_' || (angle && (small || c == '|' || c == '-' || c == ':'));
}

/* Whether the text begins with the marker of an unknown block. HTML tags that models write around an
 * answer do not count. */
static bool begins_unknown(const char *text, size_t length)
{
    static const char html[] =
        " a b i p s u br em hr li ol td th tr ul code div pre span strong table ";
    char name[HB_ANSWER_MARKER] = " ";
    bool angle = length && *text == '<';
    if (!angle && !(length && *text == '[')) return false;
    for (size_t i = 1; i < length && i < sizeof name - 2; i++) {
        if (text[i] == (angle ? '>' : ']')) {
            memcpy(name + i, " ", 2);
            return i > 2 && !strstr(html, name);
        }
        if (!is_of_marker(text[i], angle)) return false;
        name[i] = (char)(text[i] | 0x20);
    }
    return false;
}

/* Ends the scan of a whole text. If every line was skipped, these lines are the answer. */
static void finish(hb_answer_scan *s)
{
    if (s->ended || s->in) return;
    end_line(s, s->at);
    if (!s->n_lines) s->start = s->has_skipped ? s->skipped : s->at;
}

hb_answer hb_answer_find(const char *text, size_t length, int32_t lines)
{
    hb_answer_scan s;
    hb_answer_scan_start(&s, lines);
    hb_answer_scan_add(&s, text, length);
    size_t from = s.has_block ? 0 : find_close(text, length);
    if (from) {
        hb_answer_scan_start(&s, lines);
        hb_answer_scan_add(&s, text + from, length - from);
    }
    finish(&s);
    hb_answer place = {.end = s.ended ? s.end : s.at, .start = s.start};
    place.has_block = s.has_block || from;
    place.in_block = s.in != NULL;
    if (s.in) place.start = place.end;
    place.lead = s.has_skipped && !s.in ? s.skipped : place.start;
    place.start += from;
    place.end += from;
    place.lead += from;
    bool led = place.lead < place.start;
    place.start += label_length(text + place.start, place.end - place.start);
    if (!led) place.lead = place.start;
    place.unknown_block =
        !place.has_block && begins_unknown(text + place.start, place.end - place.start);
    return place;
}

size_t hb_answer_length(const char *text, size_t length, int32_t lines)
{
    return hb_answer_find(text, length, lines).end;
}
