/* Defaults of options from files and from the environment. An option that is given on the command line
 * keeps its value; then come, from the highest priority, the variable HBAR_OPTION, the file of the
 * working folder and the user's file. All go through cli_set_option, so a value acts, and enters a
 * run's identity, as if it stood on the command line. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/toml.h"
#include "base/utf8.h"
#include "cli/cli.h"

#define FILE_NAME "hbar.toml"
enum { FILE_BYTES = 1 << 16 };

/* Texts that options point to, kept until the program ends. */
static hb_texts kept;

/* Returns a copy that is kept until the end; NULL when memory runs out. */
static const char *keep(const char *text)
{
    return hb_texts_add(&kept, text, strlen(text)) ? kept.list[kept.n - 1] : NULL;
}

/* Notes where an option's value stands, for a message and for --show-config. Returns an exit code. */
static int note_source(cli_option *o, const char *source)
{
    o->source = keep(source);
    return o->source ? CLI_DONE : cli_fail_memory();
}

/* Sets an option whose source is noted. */
static int apply(const cli_command *command, cli_option *o, const char *text)
{
    const char *value = keep(text);
    return value ? cli_set_option(command, o, value) : cli_fail_memory();
}

/* ---- The environment ----------------------------------------------------------------------------- */

/* HBAR_CTX_SIZE for "ctx-size". */
static void name_variable(const char *option, char *name, size_t size)
{
    size_t n = (size_t)snprintf(name, size, "HBAR_");
    for (; *option && n < size - 1; option++)
        name[n++] = *option == '-' ? '_' : (char)toupper((unsigned char)*option);
    name[n] = '\0';
}

/* Takes variables. An empty one counts as not set. */
static int take_variables(const cli_command *command, cli_options *options)
{
    int code = CLI_DONE;
    for (int i = 0; i < options->n && !code; i++) {
        char name[CLI_NAME_BYTES];
        name_variable(options->list[i].name, name, sizeof name);
        const char *value = getenv(name);
        if (options->list[i].source || !value || !*value) continue;
        code = note_source(&options->list[i], name);
        if (!code) code = apply(command, &options->list[i], value);
    }
    return code;
}

/* ---- Every command's options --------------------------------------------------------------------- */

/* An option of a command. */
typedef struct known {
    const cli_command *command;
    cli_option option; /* its target is not valid */
} known;

static struct {
    known *list; /* [n], owned */
    size_t n, room;
    bool failed; /* memory ran out */
} all;

static void collect(const cli_command *command, const cli_options *options)
{
    for (int i = 0; i < options->n && !all.failed; i++) {
        known *list = hb_grown(all.list, all.n, sizeof *list, &all.room);
        if (list) {
            all.list = list;
            all.list[all.n++] = (known){command, options->list[i]};
        } else all.failed = true;
    }
}

/* Lists the options of all commands, once. */
static int list_all(void)
{
    int code = all.n ? CLI_DONE : cli_show_commands(collect);
    return all.failed ? cli_fail_memory() : code;
}

/* ---- Files --------------------------------------------------------------------------------------- */

typedef struct file {
    const char *path;
    bool found; /* in the working folder, so whoever made the folder may have written it */
    hb_toml toml;
} file;

/* A file that hbar finds in the working folder may have come with the folder. So it cannot make hbar
 * write files or delete labels, or open the server to others. */
static bool is_guarded(const char *option)
{
    static const char *const names[] = {"output",   "output-dir",  "name",         "run",
                                        "report",   "svg",         "html",         "trajectory",
                                        "host",     "port",        "api-key-file", "cors-origin",
                                        "insecure", "log-prompts", "clear",        NULL};
    const char *const *n = names;
    while (*n && strcmp(*n, option) != 0) n++;
    return *n != NULL;
}

/* Reports what is wrong with an entry; returns CLI_USAGE. */
static int refuse(const file *f, const hb_toml_entry *e, const char *what)
{
    cli_message("%s:%zu: '%s' %s", f->path, e->line, *e->key ? e->key : e->table, what);
    return CLI_USAGE;
}

/* What the option takes in a file. */
static const char *expected(const cli_option *o)
{
    switch (o->kind) {
    case CLI_FLAG:
        return "takes true or false";
    case CLI_LIST:
        return "takes a string or an array of strings";
    case CLI_INT:
    case CLI_COUNT:
        return "takes an integer";
    case CLI_REAL:
        return "takes a number";
    case CLI_BYTES:
        return "takes an integer, or a string like \"2G\"";
    case CLI_TEXT:
    case CLI_CHOICE:
        break;
    }
    return "takes a string";
}

static bool fits(const cli_option *o, hb_toml_kind kind)
{
    switch (o->kind) {
    case CLI_FLAG:
        return kind == HB_TOML_BOOLEAN;
    case CLI_LIST:
        return kind == HB_TOML_STRING || kind == HB_TOML_STRINGS;
    case CLI_INT:
    case CLI_COUNT:
        return kind == HB_TOML_INTEGER;
    case CLI_REAL:
        return kind == HB_TOML_INTEGER || kind == HB_TOML_FLOAT;
    case CLI_BYTES:
        return kind == HB_TOML_INTEGER || kind == HB_TOML_STRING;
    case CLI_TEXT:
    case CLI_CHOICE:
        break;
    }
    return kind == HB_TOML_STRING;
}

/* Checks an entry for whatever command: the table, the name and the type. */
static int check_entry(const file *f, const hb_toml_entry *e)
{
    const known *found = NULL;
    if (f->found && is_guarded(e->key))
        return refuse(f, e,
                      "cannot be set by a file that is found in the working folder, because it changes "
                      "files or opens the server; use --config, a variable or the user's file");
    if (*e->table && !cli_find_command(e->table)) {
        cli_message("%s:%zu: '%s' is not a command of hbar", f->path, e->line, e->table);
        return CLI_USAGE;
    }
    if (e->kind == HB_TOML_TABLE) return CLI_DONE;
    if (list_all()) return CLI_FAILED;
    for (size_t i = 0; i < all.n; i++) {
        const known *k = &all.list[i];
        if (strcmp(k->option.name, e->key) != 0) continue;
        if (*e->table && strcmp(k->command->name, e->table) != 0) continue;
        if (fits(&k->option, e->kind)) return CLI_DONE;
        found = k;
    }
    if (found) return refuse(f, e, expected(&found->option));
    return refuse(f, e, *e->table ? "is not an option of this command" : "is not an option of hbar");
}

static int check_entries(const file *f)
{
    int code = CLI_DONE;
    for (size_t i = 0; i < f->toml.n && !code; i++) code = check_entry(f, &f->toml.entries[i]);
    return code;
}

/* Sets an option to the entry's value. */
static int apply_entry(const cli_command *command, const file *f, const hb_toml_entry *e, cli_option *o)
{
    char source[PATH_MAX + 32];
    if (!fits(o, e->kind)) return refuse(f, e, expected(o));
    snprintf(source, sizeof source, "%s:%zu", f->path, e->line);
    int code = note_source(o, source);
    for (size_t i = 0; i < e->values.n && !code; i++) code = apply(command, o, e->values.list[i]);
    return code;
}

/* Applies the entries of a table to the options that have no value yet. */
static int apply_table(const cli_command *command, cli_options *options, const file *f,
                       const char *table)
{
    int code = CLI_DONE;
    for (size_t i = 0; i < f->toml.n && !code; i++) {
        const hb_toml_entry *e = &f->toml.entries[i];
        if (strcmp(e->table, table) != 0) continue;
        for (int k = 0; k < options->n && !code; k++)
            if (!options->list[k].source && strcmp(options->list[k].name, e->key) == 0)
                code = apply_entry(command, f, e, &options->list[k]);
    }
    return code;
}

/* Reads a regular file, which may be empty. */
static hb_status read_text(int fd, const char *path, char text[FILE_BYTES + 1], size_t *length,
                           hb_error *err)
{
    ssize_t n;
    *length = 0;
    do {
        n = read(fd, text + *length, FILE_BYTES + 1 - *length);
        if (n > 0) *length += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    if (*length <= FILE_BYTES) return HB_OK;
    return hb_fail(err, HB_ERR_IO, "%s: has more than %d bytes", path, FILE_BYTES);
}

/* Refuses a found file that another user can have written. */
static hb_status check_owner(int fd, const char *path, hb_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    if ((st.st_uid == geteuid() || st.st_uid == 0) && !(st.st_mode & S_IWOTH)) return HB_OK;
    return hb_fail(
        err, HB_ERR_IO,
        "%s: another user can write this file, so it is not used; --config with its path uses it, "
        "and --config none ignores it",
        path);
}

static hb_status read_file(file *f, hb_error *err)
{
    char text[FILE_BYTES + 1];
    size_t length;
    int fd;
    hb_status status = hb_open_regular(f->path, &fd, err);
    if (status) return status;
    if (f->found) status = check_owner(fd, f->path, err);
    if (!status) status = read_text(fd, f->path, text, &length, err);
    if (!status) status = hb_toml_parse(f->path, text, length, &f->toml, err);
    close(fd);
    return status;
}

static int take_file(const cli_command *command, cli_options *options, file f)
{
    hb_error err;
    if (read_file(&f, &err)) {
        int failed = cli_fail(&err);
        return err.status == HB_ERR_MEMORY ? failed : CLI_USAGE;
    }
    int code = check_entries(&f);
    if (!code) code = apply_table(command, options, &f, command->name);
    if (!code) code = apply_table(command, options, &f, "");
    hb_toml_free(&f.toml);
    return code;
}

/* Sets *path to the user's file, which release with free(), or to NULL if there is no folder for it. As
 * the XDG specification says, relative paths are ignored. */
static int find_user_file(char **path)
{
    const char *config = secure_getenv("XDG_CONFIG_HOME"), *home = secure_getenv("HOME");
    int length = 0;
    *path = NULL;
    if (config && *config == '/') length = asprintf(path, "%s/hbar/" FILE_NAME, config);
    else if (home && *home == '/') length = asprintf(path, "%s/.config/hbar/" FILE_NAME, home);
    return length < 0 ? cli_fail_memory() : CLI_DONE;
}

/* Whether there is something at a path. A folder that this user cannot look into has nothing. */
static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR && errno != EACCES);
}

/* Says that a file that nobody named changes something. */
static void say_found(const cli_options *options)
{
    bool used = false, quiet = false;
    for (int i = 0; i < options->n; i++) {
        const cli_option *o = &options->list[i];
        bool from_it = o->source && strncmp(o->source, FILE_NAME ":", sizeof FILE_NAME) == 0;
        used = used || from_it;
        quiet = quiet || (strcmp(o->name, "quiet") == 0 && *(bool *)o->target && !from_it);
    }
    if (used && !quiet) cli_message("options from " FILE_NAME "; --show-config prints them");
}

static int take_found_files(const cli_command *command, cli_options *options, bool show)
{
    char *user;
    int code = CLI_DONE;
    if (exists(FILE_NAME)) code = take_file(command, options, (file){.path = FILE_NAME, .found = true});
    if (code) return code;
    if (!show) say_found(options);
    code = find_user_file(&user);
    if (code) return code;
    if (user && exists(user)) code = take_file(command, options, (file){.path = user});
    free(user);
    return code;
}

int cli_configure(const cli_command *command, cli_options *options, const char *path, bool show)
{
    const char *variable = getenv("HBAR_CONFIG");
    int code = take_variables(command, options);
    if (code) return code;
    if (!path && variable && *variable) path = variable;
    if (!path) return take_found_files(command, options, show);
    return strcmp(path, "none") == 0 ? CLI_DONE : take_file(command, options, (file){.path = path});
}

/* ---- --show-config ------------------------------------------------------------------------------- */

/* Prints a text as a string of a file. Escapes what acts on a terminal; a malformed byte becomes
 * U+FFFD. */
static void print_string(const char *text)
{
    cli_put("\"");
    for (size_t left = strlen(text), size; left > 0; text += size, left -= size) {
        int n = hb_utf8_character(text, left);
        int32_t code = 0xFFFD;
        size = n > 0 ? (size_t)n : 1;
        bool shown = n > 0 && !hb_is_control(text, size);
        if (n > 0) utf8proc_iterate((const uint8_t *)text, n, &code);
        if (*text == '"' || *text == '\\') cli_print("\\%c", *text);
        else if (shown) cli_write(text, size);
        else cli_print("\\U%08x", (unsigned)code);
    }
    cli_put("\"");
}

static void print_list(const cli_list *list)
{
    cli_put("[");
    for (size_t i = 0; i < list->n; i++) {
        cli_put(i ? ", " : "");
        print_string(list->texts[i]);
    }
    cli_put("]");
}

static void print_value(const cli_option *o)
{
    switch (o->kind) {
    case CLI_FLAG:
        cli_put(*(bool *)o->target ? "true" : "false");
        break;
    case CLI_TEXT:
        print_string(*(const char **)o->target);
        break;
    case CLI_LIST:
        print_list(o->target);
        break;
    case CLI_CHOICE:
        print_string(o->choices[*(int *)o->target]);
        break;
    case CLI_INT:
        cli_print("%d", *(int32_t *)o->target);
        break;
    case CLI_COUNT:
    case CLI_BYTES:
        cli_print("%llu", (unsigned long long)*(uint64_t *)o->target);
        break;
    case CLI_REAL:
        cli_print("%.17g", *(double *)o->target);
        break;
    }
}

void cli_show_config(const cli_command *command, const cli_options *options)
{
    char text[CLI_OPTION_TEXT];
    cli_print("[%s]\n", command->name);
    for (int i = 0; i < options->n; i++) {
        const cli_option *o = &options->list[i];
        if (o->source) {
            cli_print("%s = ", o->name);
            print_value(o);
            cli_print("  # %s\n", o->source);
        } else {
            cli_option_default(o, text, sizeof text);
            cli_print("# %s: %s\n", o->name, text);
        }
    }
}
