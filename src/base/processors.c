#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/pool.h"

/* Reads the file's one line; false when there is no such file. */
static bool read_line(const char *path, char *line, size_t size)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool found = fgets(line, (int)size, f);
    fclose(f);
    return found;
}

/* The quota of one group in processors, 0 when it has none. Version 2 keeps "MAX PERIOD" in cpu.max,
 * version 1 keeps both numbers in files of their own; both are in microseconds. */
static double quota_of(const char *group)
{
    char path[4352], line[64], period_line[64];
    double quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max", group);
    if (read_line(path, line, sizeof line)) {
        if (sscanf(line, "%lf %lf", &quota, &period) != 2) return 0; /* "max" */
    } else {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", group);
        if (!read_line(path, line, sizeof line)) return 0;
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", group);
        if (!read_line(path, period_line, sizeof period_line)) return 0;
        quota = strtod(line, NULL);
        period = strtod(period_line, NULL);
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* The limit of one group in bytes, 0 when it has none: "max" in version 2, a number near 2^63 in
 * version 1. */
static double memory_of(const char *group)
{
    char path[4352], line[64];
    snprintf(path, sizeof path, "%s/memory.max", group);
    bool found = read_line(path, line, sizeof line);
    if (!found) {
        snprintf(path, sizeof path, "%s/memory.limit_in_bytes", group);
        found = read_line(path, line, sizeof line);
    }
    double bytes = found ? strtod(line, NULL) : 0;
    return bytes > 0 && bytes < 0x1p62 ? bytes : 0;
}

/* What the groups limit. */
typedef struct limited {
    const char *controller;                /* its name in version 1 */
    double (*limit_of)(const char *group); /* 0: none */
} limited;

/* The smallest limit of the group at root + path and of the groups that contain it. Cuts path. */
static double smallest_limit(const limited *what, const char *root, char *path)
{
    double smallest = 0;
    for (;;) {
        char group[4320];
        snprintf(group, sizeof group, "%s%s", root, path);
        double limit = what->limit_of(group);
        if (limit > 0 && (!smallest || limit < smallest)) smallest = limit;
        char *slash = strrchr(path, '/');
        if (!slash) return smallest;
        *slash = 0;
    }
}

/* Whether the comma-separated list holds the name. */
static bool has_name(const char *list, const char *name)
{
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, ",");
        if (n == strlen(name) && !strncmp(at, name, n)) return true;
        at += n + (at[n] == ',');
    }
    return false;
}

/* The limit that a line of /proc/self/cgroup, "NUMBER:CONTROLLERS:PATH", leads to; 0 when it leads to
 * none. The line of version 2 has no controllers. Cuts the line. */
static double limit_of_line(const limited *what, char *line, const char *root)
{
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path) return 0;
    *controllers++ = 0;
    *path++ = 0;
    path[strcspn(path, "\n")] = 0;
    char hierarchy[4096];
    bool second = !*controllers;
    snprintf(hierarchy, sizeof hierarchy, "%s%s%s", root, second ? "" : "/",
             second ? "" : what->controller);
    return second || has_name(controllers, what->controller) ? smallest_limit(what, hierarchy, path)
                                                             : 0;
}

static double find_limit(const limited *what, const char *groups, const char *root)
{
    FILE *f = fopen(groups, "re");
    char line[4200];
    double smallest = 0;
    while (f && fgets(line, sizeof line, f)) {
        double limit = limit_of_line(what, line, root);
        if (limit > 0 && (!smallest || limit < smallest)) smallest = limit;
    }
    if (f) fclose(f);
    return smallest;
}

double hb_cpu_quota(const char *groups, const char *root)
{
    return find_limit(&(limited){"cpu", quota_of}, groups, root);
}

double hb_memory_limit(const char *groups, const char *root)
{
    return find_limit(&(limited){"memory", memory_of}, groups, root);
}

int32_t hb_allowed_processors(void)
{
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
    return (int32_t)sysconf(_SC_NPROCESSORS_ONLN); /* it fails above 1,024 processors */
}

int32_t hb_usable_processors(void)
{
    int32_t n = hb_allowed_processors();
    double quota = hb_cpu_quota(HB_OWN_GROUPS, HB_GROUPS_ROOT);
    if (quota > 0 && quota < n) n = quota < 1 ? 1 : (int32_t)quota;
    return n < 1 ? 1 : n;
}
