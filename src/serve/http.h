/* The HTTP side of a server. */
#ifndef HB_SERVE_HTTP_H
#define HB_SERVE_HTTP_H

#include <sys/socket.h>
#include "serve/server.h"

/* Listens, and answers in threads of its own. HB_ERR_IO when the address is taken or not allowed. */
hb_status hb_http_start(hb_server *server, const struct sockaddr *address, hb_error *err);

/* Takes no more connections; those that are open go on. */
void hb_http_stop_listening(hb_server *server);

/* Closes all connections. No connection may be asleep: every call is finished. */
void hb_http_stop(hb_server *server);

#endif
