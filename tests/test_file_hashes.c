/* The cache of hashes of large files: what it keeps, and which entries it must not believe. */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file_hashes.h"
#include "base/sha256.h"
#include "clock.h"

#define LARGE (17 << 20) /* bytes; enough to be kept */

/* The file that changes while it is read, and its size afterwards; NULL: none. */
static const char *changing;
static off_t size_then;
ssize_t __real_read(int fd, void *bytes, size_t n);
ssize_t __wrap_read(int fd, void *bytes, size_t n);
ssize_t __wrap_read(int fd, void *bytes, size_t n)
{
    ssize_t got = __real_read(fd, bytes, n);
    const char *path = changing;
    changing = NULL;
    if (path) assert_int_equal(truncate(path, size_then), 0);
    return got;
}

typedef struct scratch {
    char dir[64], cache[96], file[96], other[96];
    char hex[65], entry[512]; /* the large file's hash and its entry */
} scratch;

/* Makes a file without blocks: zeros, and the text at the end. */
static void make_file(const char *path, off_t size, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), size), 0);
    fseek(file, -(long)strlen(text), SEEK_END);
    fputs(text, file);
    fclose(file);
}

static int count_entries(const char *dir, char *last, size_t size)
{
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && ++n) snprintf(last, size, "%s/%s", dir, e->d_name);
    if (d) closedir(d);
    return n;
}

static void hash_one(const char *path, char hex[65])
{
    hb_error err;
    assert_ok(hb_files_sha256(&path, 1, hex, &err));
}

static int set_up(void **state)
{
    scratch *s = calloc(1, sizeof *s);
    char dir[128];
    strcpy(s->dir, "/tmp/hbar-hashes-XXXXXX");
    if (!mkdtemp(s->dir)) return -1;
    snprintf(s->cache, sizeof s->cache, "%s/cache", s->dir);
    snprintf(s->file, sizeof s->file, "%s/large", s->dir);
    snprintf(s->other, sizeof s->other, "%s/other", s->dir);
    setenv("XDG_CACHE_HOME", s->cache, 1);
    make_file(s->file, LARGE, "a");
    make_file(s->other, LARGE, "b");
    later = 3600; /* so that the files look old enough */
    hash_one(s->file, s->hex);
    snprintf(dir, sizeof dir, "%s/hbar", s->cache);
    if (count_entries(dir, s->entry, sizeof s->entry) != 1) return -1;
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    scratch *s = *state;
    snprintf(command, sizeof command, "rm -rf %s", s->dir);
    int failed = system(command);
    free(s);
    return failed;
}

static void write_entry(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Writes a valid entry that gives a hash of zeros. Where hash_one returns zeros, it believed the entry.
 */
static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
static void forge(const scratch *s, const char *key)
{
    char both[129], check[65], entry[132];
    hb_sha256 hash;
    snprintf(both, sizeof both, "%.64s%s", key, zeros);
    assert_true(hb_sha256_init(&hash));
    hb_sha256_add(&hash, both, 128);
    hb_sha256_finish(&hash, check);
    snprintf(entry, sizeof entry, "%s %s\n", zeros, check);
    unlink(s->entry);
    write_entry(s->entry, entry);
}

static const char *key_of(const scratch *s)
{
    return strrchr(s->entry, '/') + 1;
}

static void test_kept_hash_is_used(void **state)
{
    scratch *s = *state;
    char hex[65], expected[65];
    struct stat st;
    hb_error err;
    assert_ok(hb_file_sha256(s->file, expected, &err));
    assert_string_equal(s->hex, expected);
    assert_int_equal(stat(s->entry, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    hash_one(s->file, hex);
    assert_string_equal(hex, expected);
    forge(s, key_of(s));
    hash_one(s->file, hex);
    assert_string_equal(hex, zeros);
}

/* Each of these entries is ignored, and the next writer replaces it. */
static void test_bad_entries_are_ignored(void **state)
{
    scratch *s = *state;
    char hex[65], good[200], path[200];
    forge(s, key_of(s));
    FILE *file = fopen(s->entry, "rb");
    size_t n = fread(good, 1, sizeof good - 1, file);
    fclose(file);
    good[n] = '\0';
    for (int kind = 0; kind < 7; kind++) {
        char text[200];
        strcpy(text, good);
        if (kind == 0) text[n - 1] = '\0'; /* too short */
        if (kind == 1) strcat(text, "x");
        if (kind == 2) text[3] = '1'; /* damaged */
        if (kind == 3) text[100] = text[100] == '1' ? '2' : '1';
        unlink(s->entry);
        write_entry(s->entry, text);
        if (kind == 4) chmod(s->entry, 0666);
        if (kind == 5) { /* a link */
            snprintf(path, sizeof path, "%s/elsewhere", s->dir);
            assert_int_equal(rename(s->entry, path), 0);
            assert_int_equal(symlink(path, s->entry), 0);
        }
        if (kind == 6) forge(s, s->hex); /* another key's */
        hash_one(s->file, hex);
        assert_string_equal(hex, s->hex);
        forge(s, key_of(s)); /* the entry can be replaced */
        hash_one(s->file, hex);
        assert_string_equal(hex, zeros);
    }
}

static void test_entries_of_other_users_are_ignored(void **state)
{
    scratch *s = *state;
    char hex[65];
    forge(s, key_of(s));
    if (chown(s->entry, 12345, 12345) != 0) skip_because("only root can give files away");
    hash_one(s->file, hex);
    assert_string_equal(hex, s->hex);
}

/* Another file, other contents with the same size and time, and a replaced file are hashed anew. */
static void test_changed_files_are_hashed_again(void **state)
{
    scratch *s = *state;
    char hex[65], expected[65];
    struct stat before;
    hb_error err;
    forge(s, key_of(s));
    assert_int_equal(stat(s->file, &before), 0);
    make_file(s->file, LARGE, "c");
    const struct timespec times[2] = {before.st_atim, before.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, s->file, times, 0), 0);
    assert_ok(hb_file_sha256(s->file, expected, &err));
    hash_one(s->file, hex);
    assert_string_equal(hex, expected);
    assert_int_equal(rename(s->other, s->file), 0);
    assert_ok(hb_file_sha256(s->file, expected, &err));
    hash_one(s->file, hex);
    assert_string_equal(hex, expected);
}

/* Such a hash would be that of no file. It is neither given nor kept. */
static void test_files_that_change_while_they_are_read(void **state)
{
    scratch *s = *state;
    static const off_t sizes[] = {LARGE / 2, LARGE + 1, 0};
    char hex[65] = "", dir[128], last[512];
    const char *path = s->other;
    hb_error err;
    snprintf(dir, sizeof dir, "%s/hbar", s->cache);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        make_file(path, LARGE, "b");
        changing = path;
        size_then = sizes[i];
        assert_fails(hb_files_sha256(&path, 1, hex, &err), HB_ERR_IO,
                     "other: changed while it was read");
        make_file(path, LARGE, "b");
        changing = path;
        assert_fails(hb_file_sha256(path, hex, &err), HB_ERR_IO, "other: changed while it was read");
        assert_string_equal(hex, "");
        assert_int_equal(count_entries(dir, last, sizeof last), 1);
    }
}

/* Several files are one text; their order counts. */
static void test_several_files(void **state)
{
    scratch *s = *state;
    const char *const forward[] = {s->file, s->other}, *const back[] = {s->other, s->file};
    char hex[65], again[65], expected[65];
    hb_error err;
    hb_sha256 hash;
    assert_true(hb_sha256_init(&hash));
    assert_ok(hb_sha256_add_file(&hash, s->file, &err));
    assert_ok(hb_sha256_add_file(&hash, s->other, &err));
    hb_sha256_finish(&hash, expected);
    for (int i = 0; i < 2; i++) {
        assert_ok(hb_files_sha256(forward, 2, hex, &err));
        assert_string_equal(hex, expected);
        assert_ok(hb_files_sha256(back, 2, again, &err));
        assert_string_not_equal(again, expected);
    }
}

/* Small files and those that changed a moment ago are not kept. */
static void test_what_is_not_kept(void **state)
{
    scratch *s = *state;
    char hex[65], dir[128], last[512];
    snprintf(dir, sizeof dir, "%s/hbar", s->cache);
    make_file(s->other, 1 << 20, "small");
    hash_one(s->other, hex);
    assert_int_equal(count_entries(dir, last, sizeof last), 1);
    make_file(s->other, LARGE, "new");
    later = 0;
    hash_one(s->other, hex);
    assert_int_equal(count_entries(dir, last, sizeof last), 1);
    later = 3600;
    hash_one(s->other, hex);
    assert_int_equal(count_entries(dir, last, sizeof last), 2);
}

/* A cache that cannot be written changes nothing; a relative one is not used. */
static void test_caches_that_cannot_be_used(void **state)
{
    scratch *s = *state;
    char hex[65], path[160], last[512];
    hb_error err;
    setenv("XDG_CACHE_HOME", s->other, 1); /* a file */
    hash_one(s->file, hex);
    assert_string_equal(hex, s->hex);
    setenv("XDG_CACHE_HOME", "/proc/nothing", 1);
    hash_one(s->file, hex);
    assert_string_equal(hex, s->hex);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", s->dir, 1);
    hash_one(s->file, hex);
    assert_int_not_equal(access("relative", F_OK), 0);
    snprintf(path, sizeof path, "%s/.cache/hbar", s->dir);
    assert_int_equal(count_entries(path, last, sizeof last), 1);
    unsetenv("HOME");
    hash_one(s->other, hex);
    assert_int_equal(count_entries(path, last, sizeof last), 1);
    const char *missing = "/no/such/file";
    assert_fails(hb_files_sha256(&missing, 1, hex, &err), HB_ERR_IO, "/no/such/file");
}

/* A thread computes the same hash and keeps it; then there is nothing left to start for. */
static void test_hashing_beside(void **state)
{
    scratch *s = *state;
    const char *path = s->other;
    char hex[65], expected[65];
    hb_error err;
    assert_ok(hb_file_sha256(path, expected, &err));
    hb_hashing *hashing = hb_hashing_start(&path, 1);
    assert_non_null(hashing);
    for (int i = 0; i < 2; i++) {
        memset(hex, 0, sizeof hex);
        assert_ok(hb_hashing_wait(hashing, hex, &err));
        assert_string_equal(hex, expected);
    }
    hb_hashing_end(hashing);
    assert_null(hb_hashing_start(&path, 1));
    hash_one(path, hex);
    assert_string_equal(hex, expected);
    const char *missing = "/no/such/file";
    hashing = hb_hashing_start(&missing, 1);
    assert_non_null(hashing);
    assert_fails(hb_hashing_wait(hashing, hex, &err), HB_ERR_IO, "/no/such/file");
    hb_hashing_end(hashing);
    hb_hashing_end(NULL);
}

/* A hashing that is not needed any more ends at once and keeps nothing: it would take minutes. */
static void test_hashing_that_is_stopped(void **state)
{
    scratch *s = *state;
    const char *path = s->other;
    char dir[128], last[512];
    snprintf(dir, sizeof dir, "%s/hbar", s->cache);
    make_file(path, (off_t)1 << 37, "long");
    hb_hashing *hashing = hb_hashing_start(&path, 1);
    assert_non_null(hashing);
    hb_hashing_end(hashing);
    assert_int_equal(count_entries(dir, last, sizeof last), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept_hash_is_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_entries_are_ignored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_entries_of_other_users_are_ignored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changed_files_are_hashed_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_that_change_while_they_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_caches_that_cannot_be_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hashing_beside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hashing_that_is_stopped, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
