#include "engine_llama/tap.h"

#include <stdlib.h>
#include <string.h>

/* The place of a block among those of the tap; -1 if it is not chosen. */
static int32_t place_of(const hb_llama_tap *t, int32_t block)
{
    const hb_tap *tap = t->tap;
    if (!tap->blocks) return block < t->n_layers ? block : -1;
    for (int32_t b = 0; b < tap->n_blocks && tap->blocks[b] <= block; b++)
        if (tap->blocks[b] == block) return b;
    return -1;
}

/* The block whose output the tensor is; -1 for any other tensor. */
static int32_t block_of(const char *name)
{
    static const char output[] = "l_out-";
    char *end;
    if (strncmp(name, output, sizeof output - 1) != 0) return -1;
    long block = strtol(name + sizeof output - 1, &end, 10);
    return end == name + sizeof output - 1 || *end || block < 0 || block > INT32_MAX ? -1
                                                                                     : (int32_t)block;
}

/* Copies the tensor's rows of the tap to `to`, `stride` floats apart. A tensor has a row for each token
 * or, where libllama leaves out the others, for each row of the tap. */
static void copy_rows(hb_llama_tap *t, const struct ggml_tensor *tensor, float *to, size_t stride)
{
    int32_t n = t->to - t->from;
    bool each_token = tensor->ne[1] == t->n;
    size_t bytes = (size_t)t->n_embd * sizeof *to;
    if (tensor->type != GGML_TYPE_F32 || tensor->ne[0] != t->n_embd ||
        (!each_token && tensor->ne[1] != n) || tensor->ne[2] != 1 || tensor->ne[3] != 1) {
        t->odd = true;
        return;
    }
    for (int32_t r = 0; r < n; r++) {
        size_t row = (size_t)(each_token ? t->tap->rows[t->from + r] - t->first : r);
        ggml_backend_tensor_get(tensor, to + (size_t)r * stride, row * tensor->nb[1], bytes);
    }
}

bool hb_llama_on_tensor(struct ggml_tensor *tensor, bool ask, void *user)
{
    hb_llama_tap *t = user;
    const hb_tap *tap = t->tap;
    size_t d = (size_t)t->n_embd;
    if (!tap || t->from == t->to) return false;
    if (tap->normed && strcmp(tensor->name, "result_norm") == 0) {
        if (ask) return true;
        t->n_normed++;
        copy_rows(t, tensor, tap->normed + (size_t)t->from * d, d);
        return true;
    }
    int32_t block = tap->states ? block_of(tensor->name) : -1, b = block < 0 ? -1 : place_of(t, block);
    if (b < 0) return false;
    if (ask) return true;
    size_t stride = (size_t)tap->n_blocks * d;
    t->n_states++;
    copy_rows(t, tensor, tap->states + (size_t)t->from * stride + (size_t)b * d, stride);
    return true;
}

bool hb_llama_tap_is_whole(const hb_llama_tap *t)
{
    const hb_tap *tap = t->tap;
    if (!tap || t->from == t->to) return true;
    return !t->odd && (!tap->states || t->n_states == tap->n_blocks) &&
           (!tap->normed || t->n_normed == 1);
}
