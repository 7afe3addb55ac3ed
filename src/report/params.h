/* Constants shared by writing and loading parameters files. docs/parameters.md describes the format. */
#ifndef HB_REPORT_PARAMS_H
#define HB_REPORT_PARAMS_H

#define HB_PARAMS_SCHEMA "hbar-params"
/* Version 2 calls the guarantee "promise". Version 1 has no guarantees, maps or joint models. */
#define HB_PARAMS_VERSION 3

#endif
