/* Files that a command writes as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "cli/cli.h"

static int fail_at(const char *path, int reason)
{
    cli_message("%s: %s", path, strerror(reason));
    return CLI_FAILED;
}

bool cli_is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

bool cli_is_run(const char *path)
{
    static const char magic[] = "SQLite format 3";
    char begin[sizeof magic] = "";
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return false;
    FILE *file = fopen(path, "rbe");
    if (!file) return false;
    size_t n = fread(begin, 1, sizeof begin, file);
    fclose(file);
    return n == sizeof begin && memcmp(begin, magic, sizeof magic) == 0;
}

/* Whether both paths lead to one file, which need not exist yet. */
static bool is_same_place(const char *a, const char *b)
{
    if (strcmp(a, b) == 0 || cli_is_same_file(a, b)) return true;
    char *x = strdup(a), *y = strdup(b);
    const char *name_a = strrchr(a, '/') ? strrchr(a, '/') + 1 : a;
    const char *name_b = strrchr(b, '/') ? strrchr(b, '/') + 1 : b;
    bool same = x && y && strcmp(name_a, name_b) == 0 && cli_is_same_file(dirname(x), dirname(y));
    free(x);
    free(y);
    return same;
}

/* Whether the option names this file. Its placeholder says whether it takes a file. */
static bool names_file(const cli_option *o, const char *path)
{
    if (!o->argument || !strstr(o->argument, "FILE")) return false;
    if (o->kind == CLI_TEXT) {
        const char *value = *(const char **)o->target;
        return value && is_same_place(value, path);
    }
    const cli_list *list = o->kind == CLI_LIST ? o->target : NULL;
    for (size_t i = 0; list && i < list->n; i++)
        if (is_same_place(list->texts[i], path)) return true;
    return false;
}

int cli_check_apart(const cli_command *command, const cli_options *options, const char *name)
{
    const char *path = NULL;
    for (int i = 0; i < options->n; i++)
        if (strcmp(options->list[i].name, name) == 0) path = *(const char **)options->list[i].target;
    if (path && strcmp(path, "-") == 0)
        return cli_usage(command, "--%s: - is standard output, which has the result; name a file",
                         name);
    for (int i = 0; path && i < options->n; i++) {
        const cli_option *o = &options->list[i];
        if (strcmp(o->name, name) != 0 && names_file(o, path))
            return cli_usage(command, "--%s: %s is also the file of --%s, and would be replaced", name,
                             path, o->name);
    }
    return CLI_DONE;
}

int cli_open_output(const char *path)
{
    struct stat st;
    const int flags = O_WRONLY | O_NONBLOCK | O_NOCTTY;
    int fd = hb_open(path, flags, 0);
    if (fd < 0 && errno == ENOENT) fd = hb_open(path, flags | O_CREAT, 0666);
    if (fd >= 0 && fcntl(fd, F_SETFL, 0) == 0) return fd;
    int reason = errno;
    bool unread = reason == ENXIO && stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
    cli_message("%s: %s", path, unread ? "is a pipe without a reader" : strerror(reason));
    if (fd >= 0) close(fd);
    return -1;
}

/* ---- Replacing ----------------------------------------------------------------------------------- */

/* A temporary file in the folder of the file that it will replace. */
typedef struct replacement {
    char *path; /* of the file to replace, with links resolved */
    char *temporary;
    int fd;
} replacement;

/* The path with links resolved, or as it is if there is no such file. NULL, with errno set, for a link
 * to nothing, and when memory runs out. */
static char *resolve(const char *path)
{
    struct stat st;
    char *real = realpath(path, NULL);
    if (real || errno != ENOENT || lstat(path, &st) == 0) return real;
    return strdup(path);
}

static int begin_replacement(const char *path, replacement *r)
{
    *r = (replacement){.path = resolve(path), .fd = -1};
    char *copy = r->path ? strdup(r->path) : NULL;
    if (copy) r->fd = hb_create_temporary(dirname(copy), &r->temporary);
    int code = r->fd < 0 ? fail_at(path, errno) : CLI_DONE;
    free(copy);
    if (code) free(r->path);
    return code;
}

static void end_replacement(replacement *r)
{
    unlink(r->temporary); /* if it did not become the file */
    free(r->temporary);
    free(r->path);
}

/* ---- Checking and saving ------------------------------------------------------------------------- */

/* A pipe stays open, so that its reader waits for what is saved. */
static int check_special(const char *path, const struct stat *st)
{
    int fd = cli_open_output(path);
    if (fd < 0) return CLI_FAILED;
    if (!S_ISFIFO(st->st_mode)) close(fd);
    return CLI_DONE;
}

/* Whether it is the file that standard output or error writes to. */
static bool is_standard(const struct stat *st)
{
    struct stat standard;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (fstat(fd, &standard) == 0 && standard.st_dev == st->st_dev && standard.st_ino == st->st_ino)
            return true;
    return false;
}

static int check_existing(const char *path, const struct stat *st)
{
    if (S_ISDIR(st->st_mode)) return fail_at(path, EISDIR);
    if (access(path, W_OK) != 0) return fail_at(path, errno);
    if (!S_ISREG(st->st_mode)) return check_special(path, st);
    if (!is_standard(st)) return CLI_DONE;
    cli_message("%s: standard output or error goes there, and would be lost; name another file", path);
    return CLI_FAILED;
}

int cli_check_output(const char *path)
{
    struct stat st;
    replacement r;
    bool exists = stat(path, &st) == 0;
    if (!exists && errno != ENOENT) return fail_at(path, errno);
    if (!exists && *path && path[strlen(path) - 1] == '/') return fail_at(path, EISDIR);
    int code = exists ? check_existing(path, &st) : CLI_DONE;
    if (code || (exists && !S_ISREG(st.st_mode))) return code;
    code = begin_replacement(path, &r);
    if (code) return code;
    close(r.fd);
    end_replacement(&r);
    return CLI_DONE;
}

/* Writes all the bytes and closes the file. False, with errno set. */
static bool write_and_close(int fd, const char *text, size_t length)
{
    int reason = hb_write_all(fd, text, length) ? 0 : errno;
    if (close(fd) != 0 && !reason) reason = errno;
    errno = reason;
    return !reason;
}

/* Writes into what cannot be replaced: a pipe, a device, or a file whose folder does not allow it. */
static int write_into(const char *path, const char *text, size_t length)
{
    int fd = cli_open_output(path);
    if (fd < 0) return CLI_FAILED;
    if (ftruncate(fd, 0) != 0 && errno != EINVAL) {
        int reason = errno;
        close(fd);
        return fail_at(path, reason);
    }
    return write_and_close(fd, text, length) ? CLI_DONE : fail_at(path, errno);
}

/* Whether a file exists that its folder does not let us replace: another user's in a folder like /tmp,
 * or one on which a file system is mounted. */
static bool cannot_be_replaced(const char *path, int reason)
{
    return (reason == EPERM || reason == EBUSY || reason == EXDEV) && access(path, W_OK) == 0;
}

int cli_save(const char *path, const char *text, size_t length)
{
    struct stat st;
    replacement r;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) return write_into(path, text, length);
    int code = begin_replacement(path, &r);
    if (code) return code;
    if (!write_and_close(r.fd, text, length)) code = fail_at(path, errno);
    else if (rename(r.temporary, r.path) != 0)
        code = cannot_be_replaced(path, errno) ? write_into(path, text, length) : fail_at(path, errno);
    end_replacement(&r);
    return code;
}
