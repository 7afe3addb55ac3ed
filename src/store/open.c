/* Opening, locking and closing a run.
 *
 * A run is an SQLite file. While it is written, it is in WAL mode, so that others can read it. The
 * writer switches it to DELETE mode when it closes it. So a finished run is a single file, which can
 * also be read in a read-only folder.
 *
 * Only one writer is allowed at a time. It locks a separate file beside the run. A lock on the run
 * itself would be unsafe: when a process closes any descriptor of a file, it loses all POSIX locks on
 * that file, including SQLite's. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "store/store.h"

static hb_run *new_run(const char *path)
{
    hb_run *run = calloc(1, sizeof *run);
    if (!run) return NULL;
    run->lock = run->guard = -1;
    run->path = strdup(path);
    if (run->path) return run;
    free(run);
    return NULL;
}

/* How long SQLite waits for another process. */
#define BUSY_MS 5000
/* Longer than any row, whose texts come from records of at most 16 MiB. */
#define MAX_ROW_BYTES (1 << 28)

/* Files are hostile: no view or trigger of theirs runs, and no expression of theirs makes a value that
 * fills the memory. hb_run_check_tables refuses other expressions. */
static void distrust(sqlite3 *db)
{
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES);
}

/* Opens the database. `name` is a path or, with SQLITE_OPEN_URI, a URI. SQLite takes ":memory:", an
 * empty name and one that begins with "file:" for something else than a path; "./" before a path
 * prevents that. */
static hb_status open_db(hb_run *run, const char *name, int flags, hb_error *err)
{
    char *path;
    bool relative = !(flags & SQLITE_OPEN_URI) && *name != '/';
    if (asprintf(&path, "%s%s", relative ? "./" : "", name) < 0) return hb_fail_memory(err);
    int code = sqlite3_open_v2(path, &run->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    free(path);
    if (code != SQLITE_OK) return run->db ? hb_run_sql_error(run, err) : hb_fail_memory(err);
    distrust(run->db);
    sqlite3_extended_result_codes(run->db, 0);
    sqlite3_busy_timeout(run->db, BUSY_MS);
    /* A small page cache, so that memory does not grow with the run. CHECK constraints are for other
     * programs; those of a hostile file could take for ever. */
    return hb_run_execute(run, "PRAGMA cache_size = -256; PRAGMA ignore_check_constraints = 1;", err);
}

/* ---- The writer's lock --------------------------------------------------------------------------- */

/* Whether the locked file still exists under its name. Another writer may have removed it between open
 * and flock, while closing its run; then the lock is useless. */
static bool is_current(const hb_run *run)
{
    struct stat named, locked;
    return stat(run->lock_path, &named) == 0 && fstat(run->lock, &locked) == 0 &&
           named.st_dev == locked.st_dev && named.st_ino == locked.st_ino;
}

/* Takes the writer's lock. The lock file is named after the file that SQLite opened, with links
 * resolved. A lock file left by a killed process is not locked, so it is reused. */
static hb_status lock_run(hb_run *run, hb_error *err)
{
    if (asprintf(&run->lock_path, "%s-lock", sqlite3_db_filename(run->db, "main")) < 0) {
        run->lock_path = NULL;
        return hb_fail_memory(err);
    }
    do {
        if (run->lock >= 0) close(run->lock);
        run->lock = hb_open(run->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);
        if (run->lock < 0) return hb_fail(err, HB_ERR_IO, "%s: %s", run->lock_path, strerror(errno));
        if (flock(run->lock, LOCK_EX | LOCK_NB) != 0) {
            int why = errno;
            close(run->lock);
            run->lock = -1;
            if (why == EWOULDBLOCK)
                return hb_fail(err, HB_ERR_BUSY, "%s: this or another process is writing this run",
                               run->path);
            return hb_fail(err, HB_ERR_IO, "%s: cannot lock: %s", run->lock_path, strerror(why));
        }
    } while (!is_current(run));
    return HB_OK;
}

/* Removes the lock file while it is still locked, so that a writer that has just opened it can notice
 * (is_current). A lock file is empty; a file with contents belongs to somebody else and is not removed.
 */
static void unlock_run(hb_run *run)
{
    struct stat locked;
    if (run->lock >= 0) {
        if (fstat(run->lock, &locked) == 0 && S_ISREG(locked.st_mode) && locked.st_size == 0)
            unlink(run->lock_path);
        close(run->lock);
    }
    free(run->lock_path);
}

/* The byte range that SQLite locks while a database is open ("lock-byte page" in its file format). */
static struct flock shared_bytes(short type)
{
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = 0x40000000 + 2, .l_len = 510};
}

/* Takes a second, shared lock on these bytes, which belongs to an open file description. SQLite loses
 * its own lock when anything in this process opens and closes the run's file, for example to hash it.
 * Another program could then assume that the database is unused and remove its log. On file systems
 * without such locks there is no guard. */
static void set_guard(hb_run *run)
{
    struct flock bytes = shared_bytes(F_RDLCK);
    run->guard = hb_open(sqlite3_db_filename(run->db, "main"), O_RDONLY, 0);
    if (run->guard >= 0) fcntl(run->guard, F_OFD_SETLK, &bytes);
}

/* Unlocks the guard, because SQLite cannot remove the log while it is held. The descriptor stays open
 * until SQLite has released its locks, since closing it would drop them. */
static void release_guard(const hb_run *run)
{
    struct flock bytes = shared_bytes(F_UNLCK);
    if (run->guard >= 0) fcntl(run->guard, F_OFD_SETLK, &bytes);
}

/* Whether the run's path still names the file that is written. Samples written to a removed file would
 * be lost. */
hb_status hb_run_check_place(const hb_run *run, hb_error *err)
{
    struct stat named, written;
    if (run->guard < 0 || fstat(run->guard, &written) != 0) return HB_OK;
    if (stat(sqlite3_db_filename(run->db, "main"), &named) == 0 && named.st_dev == written.st_dev &&
        named.st_ino == written.st_ino)
        return HB_OK;
    return hb_fail(err, HB_ERR_IO, "%s: the run was removed or replaced while it was written",
                   run->path);
}

/* ---- Writing ------------------------------------------------------------------------------------- */

static hb_status create_run(hb_run *run, const hb_run_settings *settings, hb_error *err)
{
    run->schema = HB_RUN_SCHEMA;
    hb_status status = hb_run_execute(run, "PRAGMA journal_mode = WAL; BEGIN;", err);
    if (!status) status = hb_run_create_tables(run, err);
    if (!status) status = hb_run_write_settings(run, settings, err);
    if (!status) status = hb_run_read_settings(run, err);
    if (!status) status = hb_run_create_scores(run, err);
    if (!status) status = hb_run_create_tokens(run, err);
    if (!status) status = hb_run_create_generations(run, err);
    if (!status) status = hb_run_create_features(run, err);
    return status ? status : hb_run_execute(run, "COMMIT;", err);
}

/* Changes the number of samples. A larger draw with the same seed contains the smaller one. So a run of
 * fewer samples is extended; of a run of more samples only those drawn are used. */
static hb_status change_draw(hb_run *run, const hb_run_settings *wanted, hb_error *err)
{
    uint64_t before = run->settings.n_samples, drawn_before = run->settings.n_drawn;
    char sql[160];
    run->settings.n_samples = wanted->n_samples;
    run->settings.n_drawn = wanted->n_drawn;
    if (wanted->n_samples < before) return hb_run_restrict(run, err);
    if (wanted->n_samples == before && wanted->n_drawn <= drawn_before) return HB_OK;
    snprintf(sql, sizeof sql,
             "UPDATE settings SET value = CASE key WHEN 'n_samples' THEN %" PRId64 " ELSE %" PRId64
             " END WHERE key IN ('n_samples', 'n_drawn')",
             (int64_t)wanted->n_samples, (int64_t)wanted->n_drawn);
    return hb_run_execute(run, sql, err);
}

/* Takes the grading of a run that is continued. None leaves the one that the run has. */
static hb_status change_grading(hb_run *run, const char *wanted, hb_error *err)
{
    sqlite3_stmt *q = NULL;
    if (!wanted || !*wanted || strcmp(wanted, run->settings.grading) == 0) return HB_OK;
    hb_status status =
        hb_run_prepare(run, "INSERT OR REPLACE INTO settings VALUES ('grading', ?)", &q, err);
    char *copy = status ? NULL : strdup(wanted);
    if (!status && !copy) status = hb_fail_memory(err);
    if (!status) {
        free((char *)(uintptr_t)run->settings.grading);
        run->settings.grading = copy;
        sqlite3_bind_text(q, 1, copy, -1, SQLITE_STATIC);
        if (sqlite3_step(q) != SQLITE_DONE) status = hb_run_sql_error(run, err);
    }
    sqlite3_finalize(q);
    return status;
}

/* Creates the tables in an empty file. Otherwise checks that the run may be continued with these
 * settings. */
static hb_status enter(hb_run *run, const hb_run_settings *settings, hb_error *err)
{
    int64_t tables = 0;
    hb_status status = hb_run_query_int(run, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (status) return status;
    status = tables ? hb_run_check_and_read_settings(run, err) : create_run(run, settings, err);
    if (!status) status = hb_run_compare_settings(run, settings, err);
    if (!status)
        status = hb_run_execute(run, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", err);
    if (!status) status = hb_run_read_columns(run, err);
    if (!status) status = hb_run_prepare_writing(run, err);
    if (!status) status = change_grading(run, settings->grading, err);
    return status ? status : change_draw(run, settings, err);
}

/* Whether a journal names another one, as in a transaction over several databases. SQLite would remove
 * the file of that name, whatever it is. */
static bool names_another(const char *journal)
{
    static const uint8_t mark[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
    uint8_t end[sizeof mark] = {0};
    int fd = hb_open(journal, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    bool found = size >= (off_t)sizeof end &&
                 pread(fd, end, sizeof end, size - (off_t)sizeof end) == (ssize_t)sizeof end &&
                 memcmp(end, mark, sizeof end) == 0;
    if (fd >= 0) close(fd);
    return found;
}

/* A file that SQLite would use beside the run. It would wait for a pipe. */
static hb_status check_one_beside(const char *name, hb_error *err)
{
    struct stat info;
    if (lstat(name, &info) != 0) return HB_OK;
    if (!S_ISREG(info.st_mode))
        return hb_fail(err, HB_ERR_IO, "%s: is %s, not a regular file", name,
                       hb_file_kind(info.st_mode));
    if (names_another(name))
        return hb_fail(err, HB_ERR_FORMAT, "%s: names another journal; that of a run does not", name);
    return HB_OK;
}

static hb_status check_beside(const char *path, hb_error *err)
{
    static const char *const suffixes[] = {"-journal", "-wal", "-shm"};
    char *real = realpath(path, NULL);
    hb_status status = HB_OK;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes && !status; i++) {
        char *name;
        if (asprintf(&name, "%s%s", real ? real : path, suffixes[i]) < 0) name = NULL;
        status = name ? check_one_beside(name, err) : hb_fail_memory(err);
        free(name);
    }
    free(real);
    return status;
}

/* A run is a file that does not exist yet, or a regular one, and can be written. SQLite would say less
 * about why not. */
static hb_status check_place(const char *path, hb_error *err)
{
    struct stat info;
    if (!*path) return hb_fail(err, HB_ERR_ARGUMENT, "the path of a run is empty");
    bool there = stat(path, &info) == 0;
    if (there && !S_ISREG(info.st_mode))
        return hb_fail(err, HB_ERR_IO, "%s: is %s, not a regular file", path,
                       hb_file_kind(info.st_mode));
    bool ok = there ? access(path, R_OK | W_OK) == 0 : errno == ENOENT && hb_folder_takes_files(path);
    if (!ok && errno == ENOMEM) return hb_fail_memory(err);
    return ok ? check_beside(path, err) : hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
}

/* The settings as a run keeps them: without those of samples if there are none, and without the name of
 * the native engine. */
static hb_run_settings as_kept(hb_run_settings settings)
{
    if (settings.samples < 1) {
        settings.samples = settings.sample_max_tokens = 0;
        settings.sample_temperature = settings.sample_top_p = 0;
    }
    if (settings.engine && strcmp(settings.engine, hb_engine_name(HB_ENGINE_NATIVE)) == 0)
        settings.engine = NULL;
    return settings;
}

hb_status hb_run_create(const char *path, const hb_run_settings *settings, hb_run **run, hb_error *err)
{
    const hb_run_settings kept = as_kept(*settings);
    hb_status status = hb_run_check_settings(path, &kept, HB_ERR_ARGUMENT, err);
    if (!status) status = check_place(path, err);
    if (status) return status;
    hb_run *r = new_run(path);
    if (!r) return hb_fail_memory(err);
    status = open_db(r, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err);
    if (!status) status = lock_run(r, err);
    if (!status) status = enter(r, &kept, err);
    r->writing = !status;
    if (r->writing) set_guard(r);
    if (status) hb_run_close(r);
    else *run = r;
    return status;
}

hb_status hb_run_finish(hb_run *run, hb_error *err)
{
    sqlite3_busy_timeout(run->db, 0);
    int code = sqlite3_wal_checkpoint_v2(run->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(run->db, BUSY_MS);
    if (code == SQLITE_OK || code == SQLITE_BUSY) return HB_OK;
    hb_error why;
    hb_status status = hb_run_sql_error(run, &why);
    if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
    return hb_fail(err, status,
                   "%s; nothing is lost: what is missing in the file is in %s-wal, and the "
                   "same command moves it when there is room",
                   why.message, run->path);
}

/* Makes the run a single file, unless another process is reading it. */
static void end_writing(hb_run *run)
{
    release_guard(run);
    if (!sqlite3_get_autocommit(run->db)) sqlite3_exec(run->db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_busy_timeout(run->db, 0);
    sqlite3_exec(run->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
}

void hb_run_close(hb_run *run)
{
    if (!run) return;
    sqlite3_finalize(run->has);
    sqlite3_finalize(run->add);
    sqlite3_finalize(run->add_scores);
    sqlite3_finalize(run->add_tokens);
    sqlite3_finalize(run->add_generation);
    sqlite3_finalize(run->add_features);
    sqlite3_finalize(run->draw);
    if (run->writing) end_writing(run);
    sqlite3_close(run->db);
    if (run->guard >= 0) close(run->guard);
    unlock_run(run);
    hb_run_free_settings(&run->settings);
    hb_scores_free(run->scores);
    free(run->path);
    free(run);
}

/* ---- Reading ------------------------------------------------------------------------------------- */

/* Whether the file PATH + suffix exists. Returns true when memory runs out. */
static bool has_beside(const char *path, const char *suffix)
{
    char *name;
    if (asprintf(&name, "%s%s", path, suffix) < 0) return true;
    bool there = access(name, F_OK) == 0;
    free(name);
    return there;
}

/* Returns true when memory runs out. */
static bool folder_is_writable(const char *path)
{
    char *copy = strdup(path);
    bool writable = !copy || access(dirname(copy), W_OK) == 0;
    free(copy);
    return writable;
}

/* Whether the run is a single file in a read-only folder. There, SQLite cannot create the files for
 * reading in WAL mode, and does not need them. */
static bool is_fixed(const char *path)
{
    return !folder_is_writable(path) && !has_beside(path, "-wal") && !has_beside(path, "-journal");
}

/* The path as a URI that declares the file immutable; release it with free(). NULL when memory runs
 * out. */
static char *fixed_uri(const char *path)
{
    hb_buffer uri = {0};
    bool ok = hb_buffer_add_text(&uri, "file:");
    for (const char *c = path; ok && *c; c++) {
        char escaped[4] = {*c};
        if (strchr("?#%", *c)) snprintf(escaped, sizeof escaped, "%%%02X", (unsigned char)*c);
        ok = hb_buffer_add_text(&uri, escaped);
    }
    if (ok && hb_buffer_add_text(&uri, "?immutable=1")) return uri.data;
    hb_buffer_free(&uri);
    return NULL;
}

/* Takes back what a killed process had begun outside the log, when it switched to the log or from it.
 * Only a writer can do that. Another writer may do it now. */
static hb_status roll_back(const char *path, hb_error *err)
{
    int64_t tables;
    hb_run *run = new_run(path);
    if (!run) return hb_fail_memory(err);
    hb_status status = open_db(run, path, SQLITE_OPEN_READWRITE, err);
    if (!status) status = lock_run(run, err);
    if (!status) status = hb_run_query_int(run, "SELECT count(*) FROM sqlite_master", &tables, err);
    hb_run_close(run);
    return status == HB_ERR_BUSY ? HB_OK : status;
}

/* The log of an interrupted run can only be read through a file that SQLite creates beside it, and its
 * journal by writing to the run. */
static hb_status prepare_reading(const hb_run *run, const char *real, hb_error *err)
{
    const bool writable = folder_is_writable(real), journal = has_beside(real, "-journal");
    if (journal && writable && access(real, W_OK) == 0) return roll_back(real, err);
    if (!journal && (writable || !has_beside(real, "-wal") || has_beside(real, "-shm"))) return HB_OK;
    return hb_fail(err, HB_ERR_IO,
                   "%s: the run was interrupted, and its log, %s%s, cannot be read in a read-only "
                   "folder; copy both files to a folder that can be written",
                   run->path, run->path, journal ? "-journal" : "-wal");
}

static hb_status open_to_read(hb_run *run, hb_error *err)
{
    char *real = realpath(run->path, NULL);
    if (!real) return hb_fail(err, HB_ERR_IO, "%s: %s", run->path, strerror(errno));
    bool fixed = is_fixed(real);
    char *uri = fixed ? fixed_uri(real) : NULL;
    hb_status status = fixed && !uri ? hb_fail_memory(err) : prepare_reading(run, real, err);
    if (!status)
        status = open_db(run, fixed ? uri : run->path,
                         SQLITE_OPEN_READONLY | (fixed ? SQLITE_OPEN_URI : 0), err);
    free(uri);
    free(real);
    return status;
}

static hb_status check_file(const char *path, hb_error *err)
{
    struct stat info;
    if (access(path, R_OK) != 0 || stat(path, &info) != 0)
        return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    return S_ISREG(info.st_mode) ? check_beside(path, err)
                                 : hb_fail(err, HB_ERR_IO, "%s: not a regular file", path);
}

hb_status hb_run_open(const char *path, hb_run **run, hb_error *err)
{
    hb_status status = check_file(path, err);
    if (status) return status;
    hb_run *r = new_run(path);
    if (!r) return hb_fail_memory(err);
    status = open_to_read(r, err);
    if (!status) status = hb_run_check_and_read_settings(r, err);
    if (!status) status = hb_run_adapt(r, err);
    if (!status) status = hb_run_read_columns(r, err);
    if (status) hb_run_close(r);
    else *run = r;
    return status;
}

/* Checks that an existing file is a run that can be continued, or a database without tables, which the
 * start of an interrupted pass 1 leaves. */
static hb_status try_file(hb_run *run, hb_error *err)
{
    int64_t tables = 0;
    hb_status status = open_to_read(run, err);
    if (!status) status = hb_run_query_int(run, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (status || !tables) return status;
    status = hb_run_check_and_read_settings(run, err);
    return status ? status : hb_run_refuse_old(run, err);
}

hb_status hb_run_try(const char *path, hb_error *err)
{
    struct stat info;
    hb_status status = check_place(path, err);
    if (status || stat(path, &info) != 0) return status;
    hb_run *run = new_run(path);
    if (!run) return hb_fail_memory(err);
    status = try_file(run, err);
    hb_run_close(run);
    return status;
}

hb_status hb_run_edit(const char *path, hb_run **run, hb_error *err)
{
    hb_status status = check_file(path, err);
    if (status) return status;
    hb_run *r = new_run(path);
    if (!r) return hb_fail_memory(err);
    status = open_db(r, path, SQLITE_OPEN_READWRITE, err);
    if (!status) status = lock_run(r, err);
    if (!status) status = hb_run_check_and_read_settings(r, err);
    if (!status) status = hb_run_refuse_old(r, err);
    if (!status) status = hb_run_execute(r, "PRAGMA journal_mode = WAL;", err);
    r->writing = !status;
    if (r->writing) set_guard(r);
    if (status) hb_run_close(r);
    else *run = r;
    return status;
}

const hb_run_settings *hb_run_get_settings(const hb_run *run)
{
    return &run->settings;
}
