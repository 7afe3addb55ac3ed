#include "data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include "base/error.h"
#include "base/kind.h"

#define GZIP_WINDOW (15 + 16) /* zlib's largest window; 16 means a gzip header */

struct hb_unpacker {
    z_stream stream;
    bool ended;
    unsigned char packed[HB_SOURCE_BLOCK];
};

/* ---- The file's bytes ---------------------------------------------------------------------------- */

/* Reads n bytes; fewer only at the end of the file or after an error. */
static size_t read_file(hb_source *source, void *bytes, size_t n)
{
    size_t got = 0;
    while (got < n && !source->failure.status) {
        ssize_t step = pread(source->fd, (char *)bytes + got, n - got, source->offset);
        if (step < 0 && errno == EINTR) continue;
        if (step == 0) break;
        if (step < 0) {
            hb_fail(&source->failure, HB_ERR_IO, "%s: %s", source->path, strerror(errno));
            return 0;
        }
        got += (size_t)step;
        source->offset += step;
    }
    if (source->hash) hb_sha256_add(source->hash, bytes, got);
    return got;
}

/* ---- gzip ---------------------------------------------------------------------------------------- */

static bool start_unpacking(hb_source *source)
{
    source->zip = calloc(1, sizeof *source->zip);
    if (source->zip && inflateInit2(&source->zip->stream, GZIP_WINDOW) == Z_OK) return true;
    free(source->zip);
    source->zip = NULL;
    return false;
}

static void fail_unpacking(hb_source *source, const char *reason)
{
    hb_fail(&source->failure, HB_ERR_FORMAT, "%s: %s", source->path, reason);
}

/* Makes sure that there are packed bytes. False at the end of the file. */
static bool refill(hb_source *source)
{
    z_stream *s = &source->zip->stream;
    if (s->avail_in) return true;
    s->next_in = source->zip->packed;
    s->avail_in = (uInt)read_file(source, source->zip->packed, sizeof source->zip->packed);
    return s->avail_in > 0;
}

/* Ends a member of the gzip file. Another member may follow; like gzip, ignores anything else. */
static void end_member(hb_source *source)
{
    hb_unpacker *zip = source->zip;
    zip->ended =
        !refill(source) || zip->stream.next_in[0] != 0x1F || inflateReset(&zip->stream) != Z_OK;
}

/* Unpacks n bytes; fewer only at the end or after an error. */
static size_t read_zip(hb_source *source, void *bytes, size_t n)
{
    hb_unpacker *zip = source->zip;
    z_stream *s = &zip->stream;
    s->next_out = bytes;
    s->avail_out = (uInt)n;
    while (s->avail_out && !zip->ended && !source->failure.status) {
        int code = refill(source) ? inflate(s, Z_NO_FLUSH) : Z_BUF_ERROR;
        if (source->failure.status) break;
        if (code == Z_STREAM_END) end_member(source);
        else if (code == Z_BUF_ERROR)
            fail_unpacking(source, "the gzip data end too early: the file is truncated");
        else if (code != Z_OK) fail_unpacking(source, "the gzip data are damaged");
    }
    return source->failure.status ? 0 : n - s->avail_out;
}

static size_t read_plain(hb_source *source, void *bytes, size_t n)
{
    return source->zip ? read_zip(source, bytes, n) : read_file(source, bytes, n);
}

/* ---- UTF-16 -------------------------------------------------------------------------------------- */

static void put_character(hb_source *source, uint32_t c)
{
    unsigned char *out = (unsigned char *)source->block + source->end;
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char leads[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; c >>= 6) out[i] = (unsigned char)(0x80 | (c & 0x3F));
    out[0] = (unsigned char)(leads[n] | c);
    source->end += n;
}

/* Converts n bytes to UTF-8 and appends them to the block. Unpaired surrogates and an odd last byte
 * become U+FFFD. */
static void convert(hb_source *source, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i += 2) {
        unsigned first = bytes[i], second = i + 1 < n ? bytes[i + 1] : 0;
        uint32_t unit = source->big ? first << 8 | second : second << 8 | first;
        bool high = unit >= 0xD800 && unit < 0xDC00, low = unit >= 0xDC00 && unit < 0xE000;
        if (source->surrogate && low) {
            put_character(source, 0x10000 + ((source->surrogate - 0xD800u) << 10) + (unit - 0xDC00));
            source->surrogate = 0;
            continue;
        }
        if (source->surrogate) put_character(source, 0xFFFD);
        source->surrogate = high ? (uint16_t)unit : 0;
        if (!high) put_character(source, low || i + 1 == n ? 0xFFFD : unit);
    }
    if (n == 0 && source->surrogate) {
        put_character(source, 0xFFFD);
        source->surrogate = 0;
    }
}

/* ---- Blocks -------------------------------------------------------------------------------------- */

bool hb_source_fill(hb_source *source)
{
    /* Half a block of UTF-16 becomes at most three quarters of a block of UTF-8. */
    unsigned char units[HB_SOURCE_BLOCK / 2];
    if (source->at < source->end) return true;
    if (source->failure.status) return false;
    source->at = source->end = 0;
    if (source->wide) convert(source, units, read_plain(source, units, sizeof units));
    else source->end = read_plain(source, source->block, HB_SOURCE_BLOCK);
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

/* ---- Opening ------------------------------------------------------------------------------------- */

/* All readers of a pipe share its temporary file. */
static hb_status open_file(hb_source *source, const hb_input *input, hb_error *err)
{
    struct stat st;
    hb_status status = HB_OK;
    if (input->fd < 0) status = hb_open_regular(input->path, &source->fd, err);
    else source->fd = fcntl(input->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (status) return status;
    if (source->fd < 0 || fstat(source->fd, &st) != 0)
        return hb_fail(err, HB_ERR_IO, "%s: %s", input->path, strerror(errno));
    source->stamp = hb_stamp_of(&st);
    return HB_OK;
}

static hb_status not_text(const hb_source *source, const hb_kind *kind, hb_error *err)
{
    return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: is %s%s%s", source->path, kind->name,
                   kind->as_data ? ": " : "", kind->as_data ? kind->as_data : "");
}

/* Whether the text begins with UTF-16's byte order mark. UTF-32's mark begins with the same bytes but
 * does not count. */
static bool is_wide(const unsigned char *bytes, size_t n, bool *big)
{
    if (n < 2 || (n >= 4 && bytes[0] == 0xFF && bytes[2] == 0 && bytes[3] == 0)) return false;
    *big = bytes[0] == 0xFE && bytes[1] == 0xFF;
    return *big || (bytes[0] == 0xFF && bytes[1] == 0xFE);
}

/* Reads the first block, detects the encoding, and moves past the byte order mark. */
static hb_status begin(hb_source *source, hb_error *err)
{
    unsigned char first[HB_SOURCE_BLOCK / 2];
    ssize_t peeked = pread(source->fd, first, 2, 0);
    if (peeked == 2 && first[0] == 0x1F && first[1] == 0x8B && !start_unpacking(source))
        return hb_fail_memory(err);
    size_t n = read_plain(source, first, sizeof first);
    if (source->failure.status) return hb_source_failed(source, err);
    source->wide = is_wide(first, n, &source->big);
    if (source->wide) {
        convert(source, first + 2, n - 2);
        return HB_OK;
    }
    const hb_kind *kind = hb_kind_of(first, n);
    if (kind) return not_text(source, kind, err);
    memcpy(source->block, first, n);
    source->end = n;
    source->at = n >= 3 && memcmp(first, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    return HB_OK;
}

hb_status hb_source_open(const hb_input *input, hb_sha256 *hash, hb_source **out, hb_error *err)
{
    hb_source *source = malloc(sizeof *source);
    if (!source) return hb_fail_memory(err);
    *source = (hb_source){.path = input->path, .fd = -1, .hash = hash, .line = 1};
    hb_status status = open_file(source, input, err);
    if (status == HB_OK) status = begin(source, err);
    if (status == HB_OK) *out = source;
    else hb_source_close(source);
    return status;
}

void hb_source_close(hb_source *source)
{
    if (!source) return;
    if (source->fd >= 0) close(source->fd);
    if (source->zip) inflateEnd(&source->zip->stream);
    free(source->zip);
    free(source);
}

hb_status hb_source_failed(const hb_source *source, hb_error *err)
{
    return hb_fail(err, source->failure.status, "%s", source->failure.message);
}

bool hb_source_changed(const hb_source *source, const hb_stamp *stamp)
{
    struct stat st;
    if (fstat(source->fd, &st) != 0) return true;
    const hb_stamp now = hb_stamp_of(&st);
    return !hb_stamp_same(&now, stamp);
}

hb_status hb_source_finish(hb_source *source, hb_error *err)
{
    char rest[4096];
    while (read_file(source, rest, sizeof rest) == sizeof rest) {
    }
    return source->failure.status ? hb_source_failed(source, err) : HB_OK;
}
