/* Headers that say where a request ends and for whom it is. */
#ifndef HB_SERVE_HEADERS_H
#define HB_SERVE_HEADERS_H

#include <microhttpd.h>
#include "serve/problem.h"

/* Whether the headers can be read in one way only. A proxy in front of the server might read others
 * differently and take the rest of one client's body for the request of another (RFC 9112, 3.2, 6.1 and
 * 6.3). False, with the problem: answer and close the connection. */
bool hb_headers_check(struct MHD_Connection *connection, const char *version, hb_problem *problem);

#endif
