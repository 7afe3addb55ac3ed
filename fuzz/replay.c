/* Runs a target on files and folders of files, without libFuzzer. */
#include <dirent.h>
#include <sys/stat.h>
#include "base/file.h"
#include "fuzz.h"

static int replay(const char *path)
{
    hb_error err;
    struct stat st;
    hb_buffer input = {0};
    if (stat(path, &st) == 0 && st.st_size > 0 && hb_read_file(path, 1 << 26, &input, &err)) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    LLVMFuzzerTestOneInput((const uint8_t *)(input.data ? input.data : ""), input.length);
    hb_buffer_free(&input);
    return 1;
}

static int replay_all(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    int n = 0;
    if (!folder) return replay(path);
    while ((entry = readdir(folder))) {
        char file[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        n += replay(file);
    }
    closedir(folder);
    return n;
}

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++) n += replay_all(argv[i]);
    printf("%d inputs\n", n);
    return n == 0;
}
