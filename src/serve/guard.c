#include "serve/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEY_MAX 1024 /* bytes of a key that a client sends */

static void hash(const void *bytes, size_t length, unsigned char out[32])
{
    SHA256(bytes, length, out);
}

bool hb_guard_open(hb_server *s, const char *const *keys, size_t n)
{
    s->keys = calloc(n + 1, sizeof *s->keys);
    for (size_t i = 0; s->keys && i < n; i++) hash(keys[i], strlen(keys[i]), s->keys[i]);
    return s->keys != NULL;
}

/* ---- Keys ---------------------------------------------------------------------------------------- */

/* Compares hashes, all of them and in constant time, so that the time says nothing about the keys. */
static bool is_key(const hb_server *s, const char *key, size_t length)
{
    unsigned char given[32];
    int found = 0;
    hash(key, length, given);
    for (size_t i = 0; i < s->options.n_api_keys; i++)
        found |= CRYPTO_memcmp(given, s->keys[i], sizeof given) == 0;
    return found;
}

/* The password of basic authentication, with which a browser opens the page, is a key, too. */
static bool is_basic_key(const hb_server *s, const char *text)
{
    unsigned char decoded[KEY_MAX + 4];
    size_t n = strlen(text);
    if (n == 0 || n % 4 || n / 4 * 3 > KEY_MAX) return false;
    int length = EVP_DecodeBlock(decoded, (const unsigned char *)text, (int)n);
    if (length < 0) return false;
    for (size_t i = n; i-- > n - 2 && text[i] == '=';) length--;
    const unsigned char *colon = memchr(decoded, ':', (size_t)length);
    if (!colon) return false;
    size_t before = (size_t)(colon - decoded) + 1;
    return is_key(s, (const char *)decoded + before, (size_t)length - before);
}

static bool has_key(const hb_server *s, const char *authorization)
{
    if (!s->options.n_api_keys) return true;
    if (!authorization) return false;
    if (strncasecmp(authorization, "Bearer ", 7) == 0) {
        const char *key = authorization + 7 + strspn(authorization + 7, " ");
        size_t length = strlen(key);
        return length <= KEY_MAX && is_key(s, key, length);
    }
    if (strncasecmp(authorization, "Basic ", 6) == 0) return is_basic_key(s, authorization + 6);
    return false;
}

/* ---- Origins ------------------------------------------------------------------------------------- */

/* The length of a host's name without its port. */
static size_t name_length(const char *host)
{
    const char *bracket = *host == '[' ? strchr(host, ']') : NULL;
    return bracket ? (size_t)(bracket + 1 - host) : strcspn(host, ":");
}

static bool is_name(const char *host, const char *name)
{
    size_t n = name_length(host);
    return strlen(name) == n && strncasecmp(host, name, n) == 0;
}

/* Whether a host is an address in 127.0.0.0/8, and not a name like 127.example.org. */
static bool is_loopback_v4(const char *host)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr address;
    size_t n = name_length(host);
    if (n >= sizeof text) return false;
    memcpy(text, host, n);
    text[n] = '\0';
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

static bool is_local_name(const hb_server *s, const char *host)
{
    return is_name(host, "localhost") || is_name(host, "[::1]") || is_loopback_v4(host) ||
           is_name(host, s->options.host);
}

/* Whether a page was loaded from this server, or from an origin that is allowed. */
static bool is_allowed_origin(const hb_server *s, const hb_visitor *v)
{
    const char *allowed = s->options.cors_origin, *origin = v->origin;
    if (allowed && (strcmp(allowed, "*") == 0 || strcasecmp(allowed, origin) == 0)) return true;
    const char *name = strncmp(origin, "http://", 7) == 0    ? origin + 7
                       : strncmp(origin, "https://", 8) == 0 ? origin + 8
                                                             : NULL;
    return name && v->host && strcasecmp(name, v->host) == 0;
}

bool hb_guard_admits(const hb_server *s, const hb_visitor *v, bool is_open, hb_problem *problem)
{
    if (s->is_local && v->host && !is_local_name(s, v->host))
        return hb_refuse_as(problem, 403, "host_not_allowed",
                            "the Host header must name this machine's loopback interface");
    if (v->origin && !is_allowed_origin(s, v))
        return hb_refuse_as(problem, 403, "origin_not_allowed",
                            "pages of other origins need --cors-origin");
    if (is_open || has_key(s, v->authorization)) return true;
    return hb_refuse_as(problem, 401, "invalid_api_key",
                        "a valid key is required: Authorization: Bearer KEY");
}
