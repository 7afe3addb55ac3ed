/* Files of this folder that are part of the program: styles of figures, styles and script of the page.
 */
#ifndef HB_REPORT_STYLES_H
#define HB_REPORT_STYLES_H

#include <stddef.h>

extern const unsigned char hb_figure_css[], hb_report_css[], hb_report_js[];
extern const size_t hb_figure_css_length, hb_report_css_length, hb_report_js_length;

#endif
