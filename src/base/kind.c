#include "base/kind.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define NOT_DOWNLOADED "the file itself was not downloaded; git lfs pull fetches it"
#define WEB_PAGE       "the download gave a page instead of the file"
#define TO_GGUF        "convert the model's folder to GGUF with llama.cpp's convert_hf_to_gguf.py"
#define TO_TEXT        "save it as UTF-8"

/* A kind of file, recognised by the bytes at a place. */
typedef struct signature {
    size_t at, length;
    const char *bytes;
    hb_kind kind;
} signature;

/* In the order in which they are tried. */
static const signature signatures[] = {
    {0, 23, "version https://git-lfs", {"a Git LFS pointer", NOT_DOWNLOADED, NOT_DOWNLOADED}},
    {0, 4, "GGUF", {"a GGUF model", "pass it with --model", NULL}},
    {0, 2, "\x1F\x8B", {"a gzip file", "unpack it with gunzip", "unpack it with gunzip"}},
    {0,
     4,
     "PAR1",
     {"a Parquet file",
      "convert it: python3 -c \"import pandas; pandas.read_parquet('IN.parquet')"
      ".to_json('OUT.jsonl', orient='records', lines=True)\"",
      NULL}},
    {0, 6, "ARROW1", {"an Arrow file", "convert it to JSON Lines with pandas.read_feather", NULL}},
    {0,
     4,
     "PK\x03\x04",
     {"a ZIP archive", "unpack it, or save a workbook (.xlsx) as CSV", "a PyTorch file? " TO_GGUF}},
    {0, 4, "\x28\xB5\x2F\xFD", {"a zstd file", "unpack it with unzstd", "unpack it with unzstd"}},
    {0, 3, "BZh", {"a bzip2 file", "unpack it with bunzip2", "unpack it with bunzip2"}},
    {0,
     6,
     "\xFD"
     "7zXZ\0",
     {"an xz file", "unpack it with unxz", "unpack it with unxz"}},
    {0, 8, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", {"an old Office file", "save it as CSV", NULL}},
    {0, 15, "SQLite format 3", {"an SQLite database", "pass a run with --run", NULL}},
    {0, 5, "%PDF-", {"a PDF file", NULL, NULL}},
    {0, 8, "\x89HDF\r\n\x1A\n", {"an HDF5 file", NULL, TO_GGUF}},
    {0, 4, "ggml", {"a GGML model", NULL, "an old format; convert the model again"}},
    {0, 4, "lmgg", {"a GGML model", NULL, "an old format; convert the model again"}},
    {0, 4, "tjgg", {"a GGML model", NULL, "an old format; convert the model again"}},
    {0, 4, "\xFF\xFE\0\0", {"UTF-32 text", TO_TEXT, NULL}},
    {0, 4, "\0\0\xFE\xFF", {"UTF-32 text", TO_TEXT, NULL}},
    {0, 2, "\xFF\xFE", {"UTF-16 text", TO_TEXT, NULL}},
    {0, 2, "\xFE\xFF", {"UTF-16 text", TO_TEXT, NULL}},
    {257, 5, "ustar", {"a tar archive", "unpack it", "unpack it"}},
};

static const hb_kind safetensors = {"a safetensors file", "it is part of a model", TO_GGUF};
static const hb_kind unmarked = {"UTF-16 text without a byte order mark", TO_TEXT, NULL};
static const hb_kind web_page = {"a web page", WEB_PAGE, WEB_PAGE};

/* The length of a JSON object in 8 bytes, and its brace. No file has a header of 4 GiB. */
static bool is_safetensors(const char *bytes, size_t n)
{
    static const char zeros[4] = {0};
    return n > 8 && bytes[8] == '{' && memcmp(bytes + 4, zeros, 4) == 0 && memcmp(bytes, zeros, 4) != 0;
}

/* Two characters of ASCII as UTF-16. */
static bool is_unmarked_utf16(const char *bytes, size_t n)
{
    if (n < 4 || !bytes[0] == !bytes[1] || !bytes[0] != !bytes[2] || !bytes[1] != !bytes[3])
        return false;
    char a = bytes[0] | bytes[1], b = bytes[2] | bytes[3];
    return a >= '\t' && a <= '~' && b >= '\t' && b <= '~';
}

static bool is_web_page(const char *bytes, size_t n)
{
    size_t i = 0;
    while (i < n && strchr(" \t\r\n", bytes[i]) && bytes[i]) i++;
    return (n - i >= 9 && strncasecmp(bytes + i, "<!doctype", 9) == 0) ||
           (n - i >= 5 && strncasecmp(bytes + i, "<html", 5) == 0);
}

const hb_kind *hb_kind_of(const void *bytes, size_t n)
{
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const signature *s = &signatures[i];
        if (n >= s->at + s->length && memcmp((const char *)bytes + s->at, s->bytes, s->length) == 0)
            return &s->kind;
    }
    if (is_safetensors(bytes, n)) return &safetensors;
    if (is_unmarked_utf16(bytes, n)) return &unmarked;
    if (is_web_page(bytes, n)) return &web_page;
    return NULL;
}
