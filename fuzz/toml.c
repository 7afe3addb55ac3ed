/* The input is a file of settings. What is read has names, values and lines as promised. */
#include "base/toml.h"
#include <math.h>
#include "base/utf8.h"
#include "fuzz.h"

static void check_values(const hb_toml_entry *e)
{
    char *end;
    const char *text = e->values.n ? e->values.list[0] : "";
    require(e->kind == HB_TOML_STRINGS || e->values.n == (e->kind != HB_TOML_TABLE));
    for (size_t i = 0; i < e->values.n; i++)
        require(hb_utf8_valid(e->values.list[i], strlen(e->values.list[i])));
    if (e->kind == HB_TOML_INTEGER || e->kind == HB_TOML_FLOAT)
        require(!isnan(strtod(text, &end)) && *text && !*end);
    if (e->kind == HB_TOML_BOOLEAN) require(!strcmp(text, "true") || !strcmp(text, "false"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hb_error err;
    hb_toml toml;
    size_t line = 0;
    if (hb_toml_parse("f", (const char *)data, size, &toml, &err)) {
        require(strncmp(err.message, "f:", 2) == 0 && strtoul(err.message + 2, NULL, 10) > 0);
        return 0;
    }
    for (size_t i = 0; i < toml.n; i++) {
        const hb_toml_entry *e = &toml.entries[i];
        require((e->kind == HB_TOML_TABLE) == !*e->key && (*e->table || *e->key));
        require(e->line > line && e->line <= size + 1);
        line = e->line;
        check_values(e);
    }
    hb_toml_free(&toml);
    return 0;
}
