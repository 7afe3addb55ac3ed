/* What the two sides of a parameters file agree on; docs/parameters.md describes the rest. */
#ifndef HB_REPORT_PARAMS_H
#define HB_REPORT_PARAMS_H

#define HB_PARAMS_SCHEMA  "hbar-params"
#define HB_PARAMS_VERSION 2 /* 1 is the same without promises, maps and joint models */

#endif
