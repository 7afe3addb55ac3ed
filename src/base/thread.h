/* Threads that work for the library. */
#ifndef HB_BASE_THREAD_H
#define HB_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Starts a thread that blocks the signals which other threads or programs send, so that these reach the
 * program's own threads. False when the system refuses. */
bool hb_thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

#endif
