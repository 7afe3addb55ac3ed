/* The input is a file of parameters or of a validation: shown as a page and as figures. */
#include "base/utf8.h"
#include "fuzz.h"

/* A page is UTF-8, and the only script is its own. */
static void check_page(const hb_report *report)
{
    hb_error err;
    char *html;
    require(hb_report_html(report, &html, &err) == HB_OK);
    const char *script = strstr(html, "<script");
    require(hb_utf8_valid(html, strlen(html)));
    require(script && !strstr(script + 1, "<script"));
    free(html);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hb_error err;
    hb_report *report;
    char name[HB_FIGURE_NAME_BYTES], *svg;
    require(hb_report_open(NULL, &report, &err) == HB_OK);
    hb_status status = hb_report_add_file(report, file_of(data, size), &err);
    require(!status || (err.message[0] && !strchr(err.message, '\n')));
    if (!status) check_page(report);
    for (size_t i = 0; !status; i++) {
        require(hb_report_figure(report, i, name, &svg, &err) == HB_OK);
        if (!svg) break;
        require(name[0] && !strchr(name, '/') && hb_utf8_valid(svg, strlen(svg)));
        free(svg);
    }
    hb_report_close(report);
    return 0;
}
