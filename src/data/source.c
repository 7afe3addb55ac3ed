#include "data/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"
#include "base/file.h"
#include "base/kind.h"

static hb_stamp stamp_of(const struct stat *st)
{
    return (hb_stamp){st->st_dev, st->st_ino, st->st_size, st->st_mtim};
}

static hb_status open_file(hb_source *source, const char *path, hb_error *err)
{
    struct stat st;
    hb_status status = hb_open_regular(path, &source->fd, err);
    if (status) return status;
    if (fstat(source->fd, &st) != 0) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    source->stamp = stamp_of(&st);
    return HB_OK;
}

/* Fills the first block, which shows files that hold no text. */
static hb_status begin(hb_source *source, hb_error *err)
{
    hb_source_fill(source);
    if (source->error) return hb_source_failed(source, err);
    const hb_kind *kind = hb_kind_of(source->block, source->end);
    if (kind)
        return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: is %s%s%s", source->path, kind->name,
                       kind->as_data ? ": " : "", kind->as_data ? kind->as_data : "");
    if (source->end >= 3 && memcmp(source->block, "\xEF\xBB\xBF", 3) == 0) source->at = 3;
    return HB_OK;
}

hb_status hb_source_open(const char *path, bool hash, hb_source **out, hb_error *err)
{
    hb_source *source = malloc(sizeof *source);
    if (!source) return hb_fail_memory(err);
    *source = (hb_source){.fd = -1, .line = 1};
    hb_status status = open_file(source, path, err);
    if (status == HB_OK && !(source->path = strdup(path))) status = hb_fail_memory(err);
    if (status == HB_OK && hash) {
        source->hashing = hb_sha256_init(&source->hash);
        if (!source->hashing) status = hb_fail_memory(err);
    }
    if (status == HB_OK) status = begin(source, err);
    if (status == HB_OK) *out = source;
    else hb_source_close(source);
    return status;
}

void hb_source_close(hb_source *source)
{
    if (!source) return;
    if (source->fd >= 0) close(source->fd);
    if (source->hashing) hb_sha256_free(&source->hash);
    free(source->path);
    free(source);
}

/* Reads until the block is full or the file ends, so that the byte order mark is never split. */
bool hb_source_fill(hb_source *source)
{
    if (source->at < source->end) return true;
    if (source->error) return false;
    source->at = source->end = 0;
    while (source->end < HB_SOURCE_BLOCK) {
        ssize_t n = read(source->fd, source->block + source->end, HB_SOURCE_BLOCK - source->end);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            source->error = errno;
            source->end = 0;
            return false;
        }
        if (n == 0) break;
        source->end += (size_t)n;
    }
    if (source->hashing) hb_sha256_add(&source->hash, source->block, source->end);
    return source->end > 0;
}

void hb_source_take(hb_source *source, size_t n)
{
    const char *from = source->block + source->at, *to = from + n;
    while (from < to && (from = memchr(from, '\n', (size_t)(to - from)))) {
        source->line++;
        from++;
    }
    source->at += n;
}

int hb_source_skip_blanks(hb_source *source)
{
    while (hb_source_fill(source)) {
        char c = source->block[source->at];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return (unsigned char)c;
        source->line += c == '\n';
        source->at++;
    }
    return -1;
}

hb_status hb_source_failed(const hb_source *source, hb_error *err)
{
    return hb_fail(err, HB_ERR_IO, "%s: %s", source->path, strerror(source->error));
}

bool hb_source_changed(const hb_source *source, const hb_stamp *stamp)
{
    struct stat st;
    if (fstat(source->fd, &st) != 0) return true;
    hb_stamp now = stamp_of(&st);
    return now.device != stamp->device || now.inode != stamp->inode || now.size != stamp->size ||
           now.changed.tv_sec != stamp->changed.tv_sec || now.changed.tv_nsec != stamp->changed.tv_nsec;
}

void hb_source_finish_hash(hb_source *source, char hex[65])
{
    hb_sha256_finish(&source->hash, hex);
    source->hashing = false;
}
