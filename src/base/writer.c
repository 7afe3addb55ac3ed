#include "base/writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/text.h"
#include "base/utf8.h"

void hb_write(hb_writer *writer, const char *format, ...)
{
    char line[256], *text = line;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n >= (int)sizeof line) {
        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
    }
    if (n < 0) {
        writer->failed = true;
        return;
    }
    hb_write_bytes(writer, text, (size_t)n);
    if (text != line) free(text);
}

void hb_write_bytes(hb_writer *writer, const char *bytes, size_t length)
{
    if (!hb_buffer_add(&writer->text, bytes, length)) writer->failed = true;
}

void hb_write_quoted(hb_writer *writer, const char *bytes, size_t length)
{
    hb_write_bytes(writer, "\"", 1);
    for (size_t i = 0; i < length;) {
        int n = hb_utf8_character(bytes + i, length - i);
        size_t size = n > 0 ? (size_t)n : 1;
        if (bytes[i] == '"' || bytes[i] == '\\') hb_write(writer, "\\%c", bytes[i]);
        else if (n > 0 && !hb_is_control(bytes + i, size)) hb_write_bytes(writer, bytes + i, size);
        else
            for (size_t k = 0; k < size; k++) hb_write(writer, "\\x%02X", (unsigned char)bytes[i + k]);
        i += size;
    }
    hb_write_bytes(writer, "\"", 1);
}

void hb_write_printable(hb_writer *writer, const char *text, size_t length)
{
    size_t size = length + 8;
    char *line = malloc(size);
    if (line) hb_write(writer, "%s", hb_printable(line, size, text, length));
    else writer->failed = true;
    free(line);
}

hb_status hb_writer_finish(hb_writer *writer, char **text, hb_error *err)
{
    hb_write_bytes(writer, "", 0);
    bool failed = writer->failed;
    if (failed) free(writer->text.data);
    else *text = writer->text.data;
    *writer = (hb_writer){0};
    return failed ? hb_fail_memory(err) : HB_OK;
}
