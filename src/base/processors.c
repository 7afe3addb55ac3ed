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

/* The smallest quota of the group at root + path and of the groups that contain it. Cuts path. */
static double smallest_quota(const char *root, char *path)
{
    double smallest = 0;
    for (;;) {
        char group[4320];
        snprintf(group, sizeof group, "%s%s", root, path);
        double quota = quota_of(group);
        if (quota > 0 && (!smallest || quota < smallest)) smallest = quota;
        char *slash = strrchr(path, '/');
        if (!slash) return smallest;
        *slash = 0;
    }
}

/* Whether the comma-separated list holds "cpu". */
static bool has_cpu(const char *list)
{
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, ",");
        if (n == 3 && !strncmp(at, "cpu", 3)) return true;
        at += n + (at[n] == ',');
    }
    return false;
}

/* The quota that a line of /proc/self/cgroup, "NUMBER:CONTROLLERS:PATH", leads to; 0 when it leads to
 * none. The line of version 2 has no controllers. Cuts the line. */
static double quota_of_line(char *line, const char *root)
{
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path) return 0;
    *controllers++ = 0;
    *path++ = 0;
    path[strcspn(path, "\n")] = 0;
    char hierarchy[4096];
    snprintf(hierarchy, sizeof hierarchy, "%s%s", root, *controllers ? "/cpu" : "");
    return !*controllers || has_cpu(controllers) ? smallest_quota(hierarchy, path) : 0;
}

double hb_cpu_quota(const char *groups, const char *root)
{
    FILE *f = fopen(groups, "re");
    char line[4200];
    double smallest = 0;
    while (f && fgets(line, sizeof line, f)) {
        double quota = quota_of_line(line, root);
        if (quota > 0 && (!smallest || quota < smallest)) smallest = quota;
    }
    if (f) fclose(f);
    return smallest;
}

int32_t hb_usable_processors(void)
{
    cpu_set_t set;
    int32_t n = (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (!sched_getaffinity(0, sizeof set, &set)) n = CPU_COUNT(&set); /* fails above 1,024 processors */
    double quota = hb_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (quota > 0 && quota < n) n = quota < 1 ? 1 : (int32_t)quota;
    return n < 1 ? 1 : n;
}
