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

/* A regular file is replaced, so its folder must be writable. */
int cli_check_output(const char *path)
{
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (!exists && errno != ENOENT) return fail_at(path, errno);
    if (exists && S_ISDIR(st.st_mode)) return fail_at(path, EISDIR);
    if (exists && access(path, W_OK) != 0) return fail_at(path, errno);
    if (exists && !S_ISREG(st.st_mode)) return CLI_DONE;
    char *copy = strdup(path);
    if (!copy) return cli_fail_memory();
    int code = access(dirname(copy), W_OK) == 0 ? CLI_DONE : fail_at(path, errno);
    free(copy);
    return code;
}

/* Writes all the bytes and closes the file. False, with errno set. */
static bool write_all(int fd, const char *text, size_t length)
{
    int reason = 0;
    while (length > 0 && !reason) {
        ssize_t n = write(fd, text, length);
        if (n < 0 && errno != EINTR) reason = errno;
        if (n > 0) text += n, length -= (size_t)n;
    }
    if (close(fd) != 0 && !reason) reason = errno;
    errno = reason;
    return !reason;
}

/* Writes into a pipe or a device, which cannot be replaced. */
static int write_into(const char *path, const char *text, size_t length)
{
    int fd = hb_open(path, O_WRONLY | O_NOCTTY, 0);
    if (fd < 0 || !write_all(fd, text, length)) return fail_at(path, errno);
    return CLI_DONE;
}

int cli_save(const char *path, const char *text, size_t length)
{
    struct stat st;
    char *own;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) return write_into(path, text, length);
    if (asprintf(&own, "%s.part%ld", path, (long)getpid()) < 0) return cli_fail_memory();
    int fd = hb_open(own, O_WRONLY | O_CREAT | O_TRUNC, 0666), code = CLI_DONE;
    if (fd < 0) code = fail_at(own, errno);
    else if (!write_all(fd, text, length) || rename(own, path) != 0) {
        code = fail_at(path, errno);
        unlink(own);
    }
    free(own);
    return code;
}
