/* Checks the headers that give a request's host and its end. */
#ifndef HB_SERVE_HEADERS_H
#define HB_SERVE_HEADERS_H

#include <microhttpd.h>
#include "serve/problem.h"

/* Whether the headers are unambiguous, and a POST says how long its body is. A proxy in front of the
 * server might read ambiguous ones differently and take the rest of one client's body for another
 * client's request (RFC 9112, 3.2, 6.1 and 6.3). If false, sets *problem: answer with it and close the
 * connection. */
bool hb_headers_check(struct MHD_Connection *connection, const char *method, const char *version,
                      hb_problem *problem);

#endif
