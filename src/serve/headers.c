#include "serve/headers.h"

#include <string.h>
#include <strings.h>

/* The numbers of some headers, and the last transfer encoding. */
typedef struct counts {
    int host, length, encoding;
    const char *encoded;
} counts;

static enum MHD_Result count(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    counts *c = user;
    (void)kind;
    if (strcasecmp(name, "Host") == 0) c->host++;
    if (strcasecmp(name, "Content-Length") == 0) c->length++;
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        c->encoding++;
        c->encoded = value;
    }
    return MHD_YES;
}

bool hb_headers_check(struct MHD_Connection *connection, const char *version, hb_problem *problem)
{
    counts c = {0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count, &c);
    if (c.host > 1) return hb_refuse(problem, NULL, "the request has more than one Host header");
    if (c.host == 0 && strcmp(version, MHD_HTTP_VERSION_1_1) == 0)
        return hb_refuse(problem, NULL, "the request has no Host header");
    if (c.length > 1)
        return hb_refuse(problem, NULL, "the request has more than one Content-Length header");
    if (c.encoding && c.length)
        return hb_refuse(problem, NULL, "the request has both Content-Length and Transfer-Encoding");
    if (c.encoding > 1 || (c.encoding && (!c.encoded || strcasecmp(c.encoded, "chunked") != 0)))
        return hb_refuse(problem, NULL, "the transfer encoding must be 'chunked'");
    return true;
}
