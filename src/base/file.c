#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

hb_status hb_make_directory(const char *dir, hb_error *err)
{
    char *path = strdup(dir);
    if (!path) return hb_fail_memory(err);
    bool ok = true;
    for (char *slash = path + 1; *slash && ok; slash++) {
        if (*slash != '/') continue;
        *slash = '\0';
        ok = mkdir(path, 0777) == 0 || errno == EEXIST;
        *slash = '/';
    }
    if (ok) ok = mkdir(path, 0777) == 0 || errno == EEXIST;
    int reason = errno;
    struct stat st;
    if (ok && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))) {
        ok = false;
        reason = ENOTDIR;
    }
    free(path);
    return ok ? HB_OK : hb_fail(err, HB_ERR_IO, "%s: %s", dir, strerror(reason));
}
