/* What the two sides of a parameters file agree on; docs/parameters.md describes the rest. */
#ifndef HB_REPORT_PARAMS_H
#define HB_REPORT_PARAMS_H

#define HB_PARAMS_SCHEMA "hbar-params"
/* 2 names the guarantee "promise"; 1 has neither guarantees nor maps nor joint models. */
#define HB_PARAMS_VERSION 3

#endif
