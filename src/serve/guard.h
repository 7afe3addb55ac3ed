/* Who may ask: keys, and pages of other origins. */
#ifndef HB_SERVE_GUARD_H
#define HB_SERVE_GUARD_H

#include "serve/server.h"

/* What the headers of a request say; NULL: absent. */
typedef struct hb_visitor {
    const char *host, *origin, *authorization;
} hb_visitor;

/* Stores the hashes of the keys. False when memory runs out. */
bool hb_guard_open(hb_server *server, const char *const *keys, size_t n);

/* Whether the visitor may use a route. `is_open`: without a key. A page of another origin may only with
 * the server's permission (cors_origin), because a browser would let any page of the web use a server
 * on the same machine. For the same reason a local server accepts only local names as its host. */
bool hb_guard_admits(const hb_server *server, const hb_visitor *visitor, bool is_open,
                     hb_problem *problem);

#endif
