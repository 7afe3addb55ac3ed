#include "serve/headers.h"

#include <string.h>
#include <strings.h>

/* The numbers of some headers, and the last transfer encoding. */
typedef struct counts {
    int host, length, encoding, key;
    const char *encoded;
    bool odd; /* a header has a character that its place does not allow */
} counts;

/* Whether a name consists of the characters of tokens (RFC 9110, 5.6.2). libmicrohttpd takes others,
 * such as a space before the colon, as part of the name. */
static bool is_token(const char *name)
{
    size_t n = strspn(name, "!#$%&'*+-.^_`|~0123456789"
                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return n > 0 && !name[n];
}

/* Whether a value has no control character but tabs. */
static bool is_value(const char *value)
{
    for (const char *c = value ? value : ""; *c; c++)
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f) return false;
    return true;
}

static enum MHD_Result count(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    counts *c = user;
    (void)kind;
    if (!is_token(name) || !is_value(value)) c->odd = true;
    if (strcasecmp(name, "Host") == 0) c->host++;
    if (strcasecmp(name, "Authorization") == 0) c->key++;
    if (strcasecmp(name, "Content-Length") == 0) c->length++;
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        c->encoding++;
        c->encoded = value;
    }
    return MHD_YES;
}

bool hb_headers_check(struct MHD_Connection *connection, const char *method, const char *version,
                      hb_problem *problem)
{
    counts c = {0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count, &c);
    if (c.odd) return hb_refuse(problem, NULL, "a header has a character that is not allowed there");
    if (c.host > 1) return hb_refuse(problem, NULL, "the request has more than one Host header");
    if (c.host == 0 && strcmp(version, MHD_HTTP_VERSION_1_1) == 0)
        return hb_refuse(problem, NULL, "the request has no Host header");
    if (c.key > 1)
        return hb_refuse(problem, NULL, "the request has more than one Authorization header");
    if (c.length > 1)
        return hb_refuse(problem, NULL, "the request has more than one Content-Length header");
    if (c.encoding && c.length)
        return hb_refuse(problem, NULL, "the request has both Content-Length and Transfer-Encoding");
    if (c.encoding > 1 || (c.encoding && (!c.encoded || strcasecmp(c.encoded, "chunked") != 0)))
        return hb_refuse(problem, NULL, "the transfer encoding must be 'chunked'");
    if (!c.encoding && !c.length && strcmp(method, MHD_HTTP_METHOD_POST) == 0)
        return hb_refuse_as(problem, 411, "length_required", "the request has no Content-Length");
    return true;
}
