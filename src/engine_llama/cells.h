/* The cells of a cache that sequences share: which cell holds each position of a sequence, and its
 * token. libllama assigns its cells itself and does not say how many are free; these counts do. */
#ifndef HB_ENGINE_LLAMA_CELLS_H
#define HB_ENGINE_LLAMA_CELLS_H

#include "base/error.h"

typedef struct hb_cells {
    int32_t n_sequences, n_ctx; /* positions that a sequence may hold */
    int32_t n_cells, n_free;
    int32_t *n;      /* [n_sequences], positions that each holds */
    int32_t *cell;   /* [n_sequences][n_ctx], the cell of each position */
    int32_t *tokens; /* [n_sequences][n_ctx], the token of each position */
    int32_t *users;  /* [n_cells], sequences that have a position in each cell */
    int32_t *free;   /* [n_free], the free cells */
} hb_cells;

/* Start from a zeroed struct; call hb_cells_close also after a failure. */
hb_status hb_cells_open(hb_cells *cells, int32_t n_sequences, int32_t n_ctx, int32_t n_cells,
                        hb_error *err);
void hb_cells_close(hb_cells *cells);

/* Appends a token to a sequence that holds less than n_ctx, while a cell is free. Returns its position.
 */
int32_t hb_cells_add(hb_cells *cells, int32_t sequence, int32_t token);

/* Reduces a sequence to its first n positions. */
void hb_cells_cut(hb_cells *cells, int32_t sequence, int32_t n);

/* Gives the first n positions of `from` to the empty sequence `to`. */
void hb_cells_share(hb_cells *cells, int32_t from, int32_t n, int32_t to);

/* The tokens of a sequence. */
const int32_t *hb_cells_tokens(const hb_cells *cells, int32_t sequence);

#endif
