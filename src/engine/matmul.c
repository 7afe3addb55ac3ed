/* Matrix products, computed in one of two ways. For a few tokens, each row of weights is read once,
 * directly from the mapped file. For many tokens, weights are unpacked into panels: a panel holds some
 * columns of some rows in an order that suits the registers, and serves all tokens while it is in the
 * processor's cache. Quantised weights are multiplied by activations quantised to bytes, unless the
 * workspace is exact. */
#include "engine/matmul.h"

#include <string.h>

/* With fewer multiplications, waking the other threads costs more time than it saves. */
#define PARALLEL_FROM (1 << 17)

/* The same for quantising or laying out activations. */
#define PREPARE_PARALLEL_FROM (1 << 15)

/* Rows that a thread takes at a time for a few tokens: few enough to divide a matrix evenly among
 * threads, and enough for a thread to use most of what the processor prefetches. */
#define DIRECT_ROWS 64

/* The state that the threads of one call share. */
typedef struct call {
    const hb_workspace *space;
    const hb_kernels *k;
    const hb_product *products;
    int count;
    const float *x; /* [n][cols] */
    int32_t n;
    size_t cols;
    bool bytes, floats; /* whether any product takes activations as bytes, as floats */
    bool panels;
    size_t rows_each; /* rows in a stripe */
    size_t depth;     /* columns in a panel, except the last of a row */
    size_t stride;    /* activations are laid out as [panels of a row][n][stride] */
} call;

static bool in_bytes(const hb_workspace *space, const hb_matrix *w)
{
    return !space->exact && space->kernels->dot[w->type];
}

/* The index of token t's columns in the laid-out activations, from column `at` on, a multiple of the
 * depth. */
static size_t place(const call *c, int32_t t, size_t at)
{
    return (at / c->depth * (size_t)c->n + (size_t)t) * c->stride;
}

static size_t width_at(const call *c, size_t at)
{
    return c->cols - at < c->depth ? c->cols - at : c->depth;
}

/* ---- Activations --------------------------------------------------------------------------------- */

/* Fills in scales and scaled sums for groups of 16 and of 32, from the scales and sums of the quantised
 * bytes. */
static void describe_groups(const hb_byte_space *b, size_t from, size_t n)
{
    for (size_t i = 0; i < n / 32; i++) {
        size_t g = from / 32 + i;
        float d = b->d[1][g];
        int32_t first = b->sums[0][2 * g], second = b->sums[0][2 * g + 1];
        b->sums[1][g] = first + second;
        b->scaled[1][g] = d * (float)(first + second);
        b->d[0][2 * g] = b->d[0][2 * g + 1] = d;
        b->scaled[0][2 * g] = d * (float)first;
        b->scaled[0][2 * g + 1] = d * (float)second;
    }
}

/* For weights with an offset: sets the value that each group's sum starts from, so that the offset
 * cancels. */
static void undo_offset(const hb_kernels *k, const hb_type_info *type, const hb_byte_space *b,
                        size_t from, size_t n, int32_t *start)
{
    const size_t group = type->group;
    if (!group) return;
    const int32_t offset = hb_panel_offset(k, type);
    if (k->pair_starts) {
        if (offset) k->pair_starts(b->q + from, n, type->bits, offset, start + from / group);
        return;
    }
    const int32_t *sums = b->sums[group / 32] + from / group;
    for (size_t g = 0; g < n / group; g++) start[from / group + g] = -offset * sums[g];
}

static void prepare_bytes(const call *c, int32_t t)
{
    const hb_byte_space *b = &c->space->bytes;
    for (size_t at = 0; at < c->cols; at += c->depth) {
        size_t width = width_at(c, at), to = place(c, t, at);
        c->k->quantise(c->x + (size_t)t * c->cols + at, width, b->q + to, b->d[1] + to / 32,
                       b->sums[0] + to / 16);
        describe_groups(b, to, width);
        if (c->panels && c->k->pair_columns) c->k->pair_columns(b->q + to, width);
        for (int p = 0; c->panels && p < c->count; p++)
            undo_offset(c->k, hb_type_get_info(c->products[p].w->type), b, to, width, b->start[p]);
    }
}

static void prepare_floats(const call *c, int32_t t)
{
    for (size_t at = 0; at < c->cols; at += c->depth) {
        size_t width = width_at(c, at);
        memcpy(c->space->laid_out + place(c, t, at), c->x + (size_t)t * c->cols + at,
               width * sizeof(float));
    }
}

/* ---- A few tokens -------------------------------------------------------------------------------- */

static void direct_bytes(const call *c, const hb_product *p, size_t first, size_t count)
{
    const hb_byte_space *b = &c->space->bytes;
    const size_t rows = (size_t)p->w->rows;
    const uint8_t *weights = p->w->data + first * p->w->row_bytes;
    for (int32_t t = 0; t < c->n; t += HB_DIRECT) {
        size_t from = (size_t)t * c->cols;
        hb_bytes x = {.n = c->n - t < HB_DIRECT ? c->n - t : HB_DIRECT,
                      .cols = c->cols,
                      .q = b->q + from,
                      .d = {b->d[0] + from / 16, b->d[1] + from / 32},
                      .scaled = {b->scaled[0] + from / 16, b->scaled[1] + from / 32}};
        c->k->dot[p->w->type](weights, p->w->row_bytes, (int)count, &x, p->y + (size_t)t * rows + first,
                              rows);
    }
}

static void direct_floats(const call *c, const hb_product *p, size_t first, size_t count,
                          int32_t thread)
{
    hb_tile *tile = c->k->tile[p->w->type];
    hb_to_f32 *to_f32 = c->k->to_f32[p->w->type];
    float *scratch = c->space->thread_rows + (size_t)thread * HB_TILE_ROWS * c->space->row_length;
    for (size_t r = first, rows; r < first + count; r += rows) {
        rows = first + count - r < HB_TILE_ROWS ? first + count - r : HB_TILE_ROWS;
        const uint8_t *weights = p->w->data + r * p->w->row_bytes;
        float *y = p->y + r;
        if (tile) {
            tile(weights, p->w->row_bytes, (int)rows, c->x, c->cols, c->n, c->cols, y,
                 (size_t)p->w->rows);
            continue;
        }
        for (size_t i = 0; i < rows; i++)
            to_f32(weights + i * p->w->row_bytes, scratch + i * c->space->row_length, c->cols);
        c->k->tile[HB_TYPE_F32](scratch, c->space->row_length * sizeof *scratch, (int)rows, c->x,
                                c->cols, c->n, c->cols, y, (size_t)p->w->rows);
    }
}

/* ---- Panels -------------------------------------------------------------------------------------- */

/* Bytes of a row before column `at`. */
static size_t row_offset(const hb_matrix *w, size_t at)
{
    const hb_type_info *type = hb_type_get_info(w->type);
    return at / type->block * type->block_bytes;
}

/* What the thread is likely to unpack after this panel: the next columns of the same rows, or the first
 * columns of the next rows. */
static const uint8_t *next_weights(const call *c, const hb_matrix *w, size_t first, size_t at)
{
    bool same = at + c->depth < c->cols;
    size_t row = same ? first : first + c->rows_each;
    return w->data + row * w->row_bytes + row_offset(w, same ? at + c->depth : 0);
}

/* Multiplies columns [at, at + width) of up to panel_rows rows by all tokens and adds the results to
 * space->acc. */
static void panel_bytes(const call *c, int number, size_t first, size_t count, size_t at, size_t width,
                        hb_panel_space *space)
{
    const hb_matrix *w = c->products[number].w;
    const hb_type_info *type = hb_type_get_info(w->type);
    const hb_byte_space *b = &c->space->bytes;
    size_t group = type->group, from = place(c, 0, at);
    const uint8_t *stored = w->data + first * w->row_bytes + row_offset(w, at);
    c->k->fill[w->type](stored, w->row_bytes, (int)count, width, (uint8_t *)space->panel, space->d,
                        space->m);
    const hb_panel panel = {.depth = width,
                            .group = group,
                            .block = type->block,
                            .bits = type->bits,
                            .u = (const uint8_t *)space->panel,
                            .d = space->d,
                            .m = type->offset ? NULL : space->m,
                            .n = c->n,
                            .q = b->q + from,
                            .dx = b->d[group / 32] + from / group,
                            .scaled = b->scaled[group / 32] + from / group,
                            .start = b->start[number] + from / group,
                            .acc = space->acc,
                            .add = at > 0,
                            .next = next_weights(c, w, first, at),
                            .next_stride = w->row_bytes,
                            .next_bytes = row_offset(w, c->depth)};
    c->k->panel(&panel);
}

static void panel_floats(const call *c, int number, size_t first, size_t count, size_t at, size_t width,
                         hb_panel_space *space)
{
    const hb_matrix *w = c->products[number].w;
    hb_to_f32 *to_f32 = c->k->to_f32[w->type];
    size_t lanes = (size_t)c->k->panel_rows;
    const uint8_t *stored = w->data + first * w->row_bytes + row_offset(w, at);
    for (size_t r = 0; r < count; r++) {
        float *row = space->rows + r * HB_PANEL_DEPTH;
        if (to_f32) to_f32(stored + r * w->row_bytes, row, width);
        else memcpy(row, stored + r * w->row_bytes, width * sizeof *row);
    }
    c->k->transpose(space->rows, HB_PANEL_DEPTH, width, space->panel);
    c->k->outer(c->space->laid_out + place(c, 0, at), c->stride, c->n, space->panel, lanes, width,
                lanes, at > 0, space->acc, lanes);
}

static void panel(const call *c, int number, size_t first, size_t count, int32_t thread)
{
    const hb_product *p = &c->products[number];
    size_t lanes = (size_t)c->k->panel_rows;
    hb_panel_space *space = &c->space->panel_space[thread];
    bool bytes = in_bytes(c->space, p->w);
    for (size_t at = 0; at < c->cols; at += c->depth)
        (bytes ? panel_bytes : panel_floats)(c, number, first, count, at, width_at(c, at), space);
    for (int32_t t = 0; t < c->n; t++)
        memcpy(p->y + (size_t)t * (size_t)p->w->rows + first, space->acc + (size_t)t * lanes,
               count * sizeof(float));
}

/* The number of columns in a panel, at most HB_PANEL_DEPTH: as equal as the types' blocks allow,
 * because the next panel is prefetched while one is multiplied, and a narrow one would leave no time
 * for it. */
static size_t panel_depth(const call *c)
{
    size_t pieces = (c->cols + HB_PANEL_DEPTH - 1) / HB_PANEL_DEPTH, unit = 32;
    for (int p = 0; p < c->count; p++) {
        size_t block = hb_type_get_info(c->products[p].w->type)->block;
        if (block > unit) unit = block;
    }
    return (c->cols + pieces * unit - 1) / (pieces * unit) * unit;
}

/* ---- The call ------------------------------------------------------------------------------------ */

/* Quantises or lays out one token's activations. */
static void prepare(const void *context, int32_t t, int32_t thread)
{
    const call *c = context;
    (void)thread;
    if (c->bytes) prepare_bytes(c, t);
    if (c->floats && c->panels) prepare_floats(c, t);
}

static size_t stripes_of(const call *c, int product)
{
    return ((size_t)c->products[product].w->rows + c->rows_each - 1) / c->rows_each;
}

/* Computes one stripe, a run of rows of one product. The stripes of all products are numbered one after
 * the other. */
static void stripe(const void *context, int32_t item, int32_t thread)
{
    const call *c = context;
    size_t number = (size_t)item, each;
    int p = 0;
    while (number >= (each = stripes_of(c, p))) {
        number -= each;
        p++;
    }
    size_t first = number * c->rows_each, left = (size_t)c->products[p].w->rows - first;
    size_t count = left < c->rows_each ? left : c->rows_each;
    if (c->panels) panel(c, p, first, count, thread);
    else if (in_bytes(c->space, c->products[p].w)) direct_bytes(c, &c->products[p], first, count);
    else direct_floats(c, &c->products[p], first, count, thread);
}

void hb_matmul(const hb_workspace *space, const float *x, int32_t n, const hb_product *products,
               int count)
{
    call c = {
        .space = space, .k = space->kernels, .products = products, .count = count, .x = x, .n = n};
    c.cols = (size_t)products[0].w->cols;
    for (int p = 0; p < count; p++) *(in_bytes(space, products[p].w) ? &c.bytes : &c.floats) = true;
    c.panels = c.k->panel_rows && n > (c.bytes ? c.k->direct : c.k->direct_floats);
    c.depth = c.panels ? panel_depth(&c) : c.cols;
    c.stride = c.panels ? HB_PANEL_DEPTH : c.cols;
    c.rows_each = c.panels ? (size_t)c.k->panel_rows : DIRECT_ROWS;
    size_t stripes = 0, rows = 0;
    for (int p = 0; p < count; p++) {
        rows += (size_t)products[p].w->rows;
        stripes += stripes_of(&c, p);
    }
    double activations = (double)c.cols * n;
    hb_pool_each(activations > PREPARE_PARALLEL_FROM ? space->pool : NULL, n, prepare, &c);
    hb_pool_each(activations * (double)rows > PARALLEL_FROM ? space->pool : NULL, (int32_t)stripes,
                 stripe, &c);
}
