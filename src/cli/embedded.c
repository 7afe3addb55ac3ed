/* Finds the demo model and its data, which are installed with the program. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"

/* The path of a file in a folder if it can be read, else NULL. Released with free(). */
static char *readable(const char *folder, const char *inside, const char *name)
{
    char *path;
    if (asprintf(&path, "%s%s/%s", folder, inside, name) < 0) return NULL;
    if (access(path, R_OK) == 0) return path;
    free(path);
    return NULL;
}

/* The folder of the program. False when the system cannot provide it. */
static bool program_folder(char folder[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (n < 1) return false;
    folder[n] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    return slash != NULL;
}

static char *find(const char *name)
{
    char folder[PATH_MAX];
    const char *given = getenv("HBAR_DATA_DIR");
    if (given && *given) return readable(given, "", name);
    if (!program_folder(folder)) return NULL;
    char *path = readable(folder, "/share/hbar", name);
    return path ? path : readable(folder, "/../share/hbar", name);
}

int cli_embedded(const cli_command *command, const char *option, const char *name, bool quiet,
                 const char **path, char **own)
{
    if (*path) return CLI_DONE;
    *path = *own = find(name);
    if (!*own)
        return cli_usage(
            command, "%s is required: the demo's %s was not found (set HBAR_DATA_DIR to its folder)",
            option, name);
    if (!quiet) cli_message("no %s given: using the demo's, %s", option, *path);
    return CLI_DONE;
}
