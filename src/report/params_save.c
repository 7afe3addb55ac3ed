/* Saves parameters files: writes the whole file or none, and never overwrites a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"

enum { NAME_BYTES = 128 }; /* leaves room for the suffix within the 255 bytes of a file name */

static hb_status check_name(const char *name, hb_error *err)
{
    if (*name && *name != '.' && !strchr(name, '/') && strlen(name) <= NAME_BYTES) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT, "'%.160s' cannot begin the name of a file", name);
}

/* Gives the finished file its name, which contains the time in seconds. If the name is taken, tries the
 * next second. */
static hb_status give_name(const char *temporary, const char *dir, const char *name, uint64_t n,
                           char **path, hb_error *err)
{
    for (int attempt = 0; attempt < 5; attempt++) {
        char stamp[32], *given;
        time_t now = time(NULL);
        struct tm local;
        strftime(stamp, sizeof stamp, "%Y%m%d_%H%M%S", localtime_r(&now, &local));
        if (asprintf(&given, "%s/%s_%s_n%llu.json", dir, name, stamp, (unsigned long long)n) < 0)
            return hb_fail_memory(err);
        if (hb_rename_new(temporary, given)) {
            *path = given;
            return HB_OK;
        }
        int reason = errno;
        free(given);
        if (reason != EEXIST)
            return hb_fail(err, HB_ERR_IO, "%s: cannot name the file: %s", dir, strerror(reason));
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
    return hb_fail(err, HB_ERR_IO, "%s: no free file name for '%s'", dir, name);
}

/* Checks the name, creates the folder if it is missing, and a temporary file in it. */
static hb_status begin(const char *dir, const char *name, char **temporary, int *fd, hb_error *err)
{
    hb_status status = check_name(name, err);
    if (!status) status = hb_make_directory(dir, err);
    if (status) return status;
    *fd = hb_create_temporary(dir, temporary);
    if (*fd >= 0) return HB_OK;
    if (errno == ENOMEM) return hb_fail_memory(err);
    return hb_fail(err, HB_ERR_IO, "%s: cannot write there: %s", dir, strerror(errno));
}

hb_status hb_params_try(const char *dir, const char *name, hb_error *err)
{
    char *temporary;
    int fd;
    hb_status status = begin(dir, name, &temporary, &fd, err);
    if (status) return status;
    close(fd);
    unlink(temporary);
    free(temporary);
    return HB_OK;
}

hb_status hb_params_save(const char *dir, const char *name, uint64_t n_samples, const char *json,
                         char **path, hb_error *err)
{
    char *temporary;
    int fd;
    hb_status status = begin(dir, name, &temporary, &fd, err);
    if (status) return status;
    bool ok = hb_write_all(fd, json, strlen(json)) && fsync(fd) == 0;
    int reason = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        reason = errno;
    }
    if (!ok) status = hb_fail(err, HB_ERR_IO, "%s: %s", temporary, strerror(reason));
    if (!status) status = give_name(temporary, dir, name, n_samples, path, err);
    unlink(temporary);
    free(temporary);
    return status;
}
