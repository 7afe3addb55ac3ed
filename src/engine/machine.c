/* What the machine offers to this process. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/memory.h"
#include "engine/engine.h"
#include "engine/kernels/kernels.h"

/* Finds the processor's name in /proc/cpuinfo: "model name" on x86, "Model" or "Hardware" on ARM. */
static void find_processor(char *name, size_t size)
{
    static const char *const keys[] = {"model name", "Model", "Hardware"};
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];
    *name = '\0';
    while (file && !*name && fgets(line, sizeof line, file)) {
        const char *value = strchr(line, ':');
        for (size_t i = 0; value && i < sizeof keys / sizeof *keys; i++) {
            size_t n = strlen(keys[i]);
            if (strncmp(line, keys[i], n) != 0 || !strchr("\t :", line[n])) continue;
            value += 1 + strspn(value + 1, " \t");
            snprintf(name, size, "%.*s", (int)strcspn(value, "\n"), value);
            break;
        }
    }
    if (file) fclose(file);
}

hb_status hb_machine_describe(hb_machine *machine, hb_error *err)
{
    const hb_kernels *kernels;
    hb_status status = hb_kernels_choose(&kernels, err);
    if (status) return status;
    hb_machine m = {.kernels = kernels->name,
                    .n_online = (int32_t)sysconf(_SC_NPROCESSORS_ONLN),
                    .n_allowed = hb_allowed_processors(),
                    .quota = hb_cpu_quota(HB_OWN_GROUPS, HB_GROUPS_ROOT),
                    .n_threads = hb_usable_processors(),
                    .memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE),
                    .memory_free = hb_available_memory(),
                    .memory_limit = (uint64_t)hb_memory_limit(HB_OWN_GROUPS, HB_GROUPS_ROOT)};
    if (m.memory_limit && m.memory_free > m.memory_limit) m.memory_free = m.memory_limit;
    find_processor(m.processor, sizeof m.processor);
    *machine = m;
    return HB_OK;
}
