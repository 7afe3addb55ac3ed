#include "engine_llama/cells.h"

#include <stdlib.h>
#include <string.h>

hb_status hb_cells_open(hb_cells *c, int32_t n_sequences, int32_t n_ctx, int32_t n_cells, hb_error *err)
{
    size_t positions = (size_t)n_sequences * (size_t)n_ctx;
    *c = (hb_cells){.n_sequences = n_sequences, .n_ctx = n_ctx, .n_cells = n_cells, .n_free = n_cells};
    c->n = calloc((size_t)n_sequences, sizeof *c->n);
    c->cell = calloc(positions, sizeof *c->cell);
    c->tokens = calloc(positions, sizeof *c->tokens);
    c->users = calloc((size_t)n_cells, sizeof *c->users);
    c->free = calloc((size_t)n_cells, sizeof *c->free);
    if (!c->n || !c->cell || !c->tokens || !c->users || !c->free) return hb_fail_memory(err);
    for (int32_t i = 0; i < n_cells; i++) c->free[i] = i;
    return HB_OK;
}

void hb_cells_close(hb_cells *c)
{
    free(c->n);
    free(c->cell);
    free(c->tokens);
    free(c->users);
    free(c->free);
}

static size_t at(const hb_cells *c, int32_t sequence, int32_t position)
{
    return (size_t)sequence * (size_t)c->n_ctx + (size_t)position;
}

int32_t hb_cells_add(hb_cells *c, int32_t sequence, int32_t token)
{
    int32_t position = c->n[sequence]++, cell = c->free[--c->n_free];
    c->users[cell] = 1;
    c->cell[at(c, sequence, position)] = cell;
    c->tokens[at(c, sequence, position)] = token;
    return position;
}

void hb_cells_cut(hb_cells *c, int32_t sequence, int32_t n)
{
    while (c->n[sequence] > n) {
        int32_t cell = c->cell[at(c, sequence, --c->n[sequence])];
        if (--c->users[cell] == 0) c->free[c->n_free++] = cell;
    }
}

void hb_cells_share(hb_cells *c, int32_t from, int32_t n, int32_t to)
{
    size_t bytes = (size_t)n * sizeof *c->cell;
    memcpy(c->cell + at(c, to, 0), c->cell + at(c, from, 0), bytes);
    memcpy(c->tokens + at(c, to, 0), c->tokens + at(c, from, 0), bytes);
    for (int32_t i = 0; i < n; i++) c->users[c->cell[at(c, to, i)]]++;
    c->n[to] = n;
}

const int32_t *hb_cells_tokens(const hb_cells *c, int32_t sequence)
{
    return c->tokens + at(c, sequence, 0);
}
