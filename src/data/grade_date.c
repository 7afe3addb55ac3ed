/* Dates: names of months, and dates in digits. */
#include <string.h>
#include "data/grade_number.h"

/* Names and abbreviations, case folded and without accents: English ones, then German, French, Spanish,
 * Italian, Portuguese, Dutch and Russian ones, then those that also have another meaning. */
static const char *const months[12] = {
    "january jan|januar janner janvier janv enero ene gennaio janeiro januari января январь янв|",
    "february feb|februar fevrier fevr febrero febbraio fevereiro februari февраля февраль фев|",
    "march mar|marz marzo marco maart mrt марта март мар|mars",
    "april apr|avril avr abril abr aprile апреля апрель апр|",
    "may|mai mayo maggio maio mei мая май|",
    "june jun|juni juin junio giugno junho июня июнь июн|",
    "july jul|juli juillet juil julio luglio julho июля июль июл|",
    "august aug|aout agosto августа август авг|augustus",
    "september sep sept|septembre septiembre settembre setembro сентября сентябрь сен сент|",
    "october oct|oktober okt octobre octubre ottobre outubro октября октябрь окт|",
    "november nov|novembre noviembre novembro ноября ноябрь нояб|",
    "december dec|dezember dez decembre diciembre dicembre dezembro декабря декабрь дек|"};

int hb_month_find(const char *word, size_t length, hb_month_kind *kind)
{
    for (int m = 0; m < 12 && length; m++) {
        *kind = HB_MONTH_ENGLISH;
        for (const char *name = months[m]; *name;) {
            size_t n = strcspn(name, " |");
            if (n == length && memcmp(name, word, n) == 0) return m + 1;
            if (name[n] == '|') ++*kind;
            name += n + (name[n] != '\0');
        }
    }
    return 0;
}

const char *hb_month_name(int month)
{
    static const char *const names[] = {"january",   "february", "march",    "april",
                                        "may",       "june",     "july",     "august",
                                        "september", "october",  "november", "december"};
    return names[month - 1];
}

/* Reads a whole number of one to four digits at *i and moves *i past it; -1 for none. */
static int read_part(const int32_t *c, size_t n, size_t *i, size_t *n_digits)
{
    int value = 0;
    size_t k = *i;
    while (k < n && hb_is_digit(c[k]) && k - *i <= 4) value = value * 10 + (int)(c[k++] - '0');
    *n_digits = k - *i;
    *i = k;
    return *n_digits >= 1 && *n_digits <= 4 ? value : -1;
}

static bool is_day(int day, int month)
{
    return day >= 1 && day <= 31 && month >= 1 && month <= 12;
}

/* Finds the order of the three numbers of a date, which have these numbers of digits and `mark` between
 * them. After a year come month and day. Before a year, points mean that the day comes first; with
 * other marks the order is clear only if one number is above 12, or if both are equal. */
static bool order(const int part[3], const size_t digits[3], int32_t mark, hb_date *date)
{
    if (digits[0] == 4 && digits[1] <= 2 && digits[2] <= 2) {
        *date = (hb_date){part[2], part[1], part[0]};
        return is_day(date->day, date->month);
    }
    if (digits[0] > 2 || digits[1] > 2 || digits[2] != 4) return false;
    bool day_first = is_day(part[0], part[1]), month_first = is_day(part[1], part[0]);
    if (day_first && month_first && mark != '.' && part[0] != part[1]) return false;
    if (day_first) *date = (hb_date){part[0], part[1], part[2]};
    else *date = (hb_date){part[1], part[0], part[2]};
    return day_first || month_first;
}

size_t hb_date_read(const int32_t *c, size_t n, hb_date *date)
{
    int part[3];
    size_t digits[3], i = 0;
    int32_t mark = 0;
    for (int k = 0; k < 3; k++) {
        if (k && (i >= n || (mark && c[i] != mark))) return 0;
        if (k) mark = c[i++];
        part[k] = read_part(c, n, &i, &digits[k]);
        if (part[k] < 0) return 0;
    }
    if (mark != '-' && mark != '/' && mark != '.' && mark != 0x2010 && mark != 0x2011) return 0;
    if (i + 1 < n && c[i] == mark && hb_is_digit(c[i + 1])) return 0;
    return order(part, digits, mark, date) ? i : 0;
}
