/* The input chooses the shape, types and faults of a GGUF file, which is then evaluated. */
#include "build_gguf.h"
#include "engine/types.h"
#include "run_model.h"

static const char *const architectures[] = {"llama", "qwen2", "qwen3", "phi3", "gemma2", "gemma3"};
static const uint32_t types[] = {HB_TYPE_F32,    HB_TYPE_F16,  HB_TYPE_BF16, HB_TYPE_Q8_0,
                                 HB_TYPE_Q4_0,   HB_TYPE_Q4_1, HB_TYPE_Q5_0, HB_TYPE_Q5_1,
                                 HB_TYPE_IQ4_NL, HB_TYPE_MXFP4};

typedef struct shape {
    int arch;
    char prefix[16];
    uint32_t width, heads, kv_heads, head, ff, layers, vocab;
    uint32_t type;
} shape;

static shape choose_shape(choices *c)
{
    shape s = {.arch = (int)choose_below(c, 6), .heads = 1 + choose_below(c, 4)};
    snprintf(s.prefix, sizeof s.prefix, "%s.", architectures[s.arch]);
    s.kv_heads = s.heads % 2 == 0 && choose_below(c, 2) ? s.heads / 2 : s.heads;
    s.head = 8 * (1 + choose_below(c, 4));
    s.width = 32 * (1 + choose_below(c, 3));
    s.ff = 32 * (1 + choose_below(c, 3));
    s.layers = 1 + choose_below(c, 2);
    s.vocab = 32 + choose_below(c, 16);
    s.type = types[choose_below(c, sizeof types / sizeof *types)];
    return s;
}

static void add_shape(built *b, const shape *s)
{
    add_string(b, "general.architecture", architectures[s->arch], strlen(architectures[s->arch]));
    add_number(b, s->prefix, "context_length", 64);
    add_number(b, s->prefix, "embedding_length", s->width);
    add_number(b, s->prefix, "block_count", s->layers);
    add_number(b, s->prefix, "feed_forward_length", s->ff);
    add_number(b, s->prefix, "attention.head_count", s->heads);
    add_number(b, s->prefix, "attention.head_count_kv", s->kv_heads);
    add_number(b, s->prefix, "attention.key_length", s->head);
    add_number(b, s->prefix, "attention.value_length", s->head);
    add_number(b, s->prefix, "rope.dimension_count", s->head);
    add_number(b, s->prefix, "vocab_size", s->vocab);
    add_float(b, s->prefix, "attention.layer_norm_rms_epsilon", 1e-5f);
    if (choose_below(b->choices, 4) == 1) add_number(b, s->prefix, "attention.sliding_window", 5);
    if (choose_below(b->choices, 4) == 1) add_float(b, s->prefix, "rope.scaling.factor", 4);
    if (choose_below(b->choices, 4) == 1) add_float(b, s->prefix, "attn_logit_softcapping", 30);
}

static void add_vocabulary(built *b, const shape *s)
{
    add_string(b, "tokenizer.ggml.model", "llama", 5);
    begin_array(b, "tokenizer.ggml.tokens", GGUF_STRING, s->vocab);
    for (uint32_t i = 0; i < s->vocab; i++) {
        char piece[8];
        put_text(&b->pairs, piece, (size_t)snprintf(piece, sizeof piece, "%c%u", 'a' + i % 26, i));
    }
    begin_array(b, "tokenizer.ggml.scores", GGUF_FLOAT32, s->vocab);
    for (uint32_t i = 0; i < s->vocab; i++) put32(&b->pairs, 0);
    begin_array(b, "tokenizer.ggml.token_type", GGUF_INT32, s->vocab);
    for (uint32_t i = 0; i < s->vocab; i++) put32(&b->pairs, i == 0 ? 2 : i < 3 ? 3 : 1);
}

static void add_matrix(built *b, const shape *s, const char *name, uint32_t columns, uint32_t rows)
{
    const hb_type_info *type = hb_type_get_info(s->type);
    bool fits = columns % type->block == 0;
    uint64_t row = fits ? columns / type->block * type->block_bytes : columns * 4;
    add_tensor(b, name, fits ? s->type : HB_TYPE_F32, columns, rows, row * rows);
}

static void add_vector(built *b, const char *name, uint32_t n)
{
    add_tensor(b, name, HB_TYPE_F32, n, 0, n * 4);
}

static const char *in_block(uint32_t block, const char *name)
{
    static char full[64];
    snprintf(full, sizeof full, "blk.%u.%s", block, name);
    return full;
}

static void add_attention(built *b, const shape *s, uint32_t i)
{
    uint32_t q = s->heads * s->head, kv = s->kv_heads * s->head;
    if (s->arch == 3) {
        add_matrix(b, s, in_block(i, "attn_qkv.weight"), s->width, q + 2 * kv);
    } else {
        add_matrix(b, s, in_block(i, "attn_q.weight"), s->width, q);
        add_matrix(b, s, in_block(i, "attn_k.weight"), s->width, kv);
        add_matrix(b, s, in_block(i, "attn_v.weight"), s->width, kv);
    }
    if (s->arch == 1) {
        add_vector(b, in_block(i, "attn_q.bias"), q);
        add_vector(b, in_block(i, "attn_k.bias"), kv);
        add_vector(b, in_block(i, "attn_v.bias"), kv);
    }
    if (s->arch == 2 || s->arch == 5) {
        add_vector(b, in_block(i, "attn_q_norm.weight"), s->head);
        add_vector(b, in_block(i, "attn_k_norm.weight"), s->head);
    }
    add_matrix(b, s, in_block(i, "attn_output.weight"), q, s->width);
}

static void add_block(built *b, const shape *s, uint32_t i)
{
    add_vector(b, in_block(i, "attn_norm.weight"), s->width);
    add_attention(b, s, i);
    if (s->arch >= 4) {
        add_vector(b, in_block(i, "post_attention_norm.weight"), s->width);
        add_vector(b, in_block(i, "post_ffw_norm.weight"), s->width);
    }
    add_vector(b, in_block(i, "ffn_norm.weight"), s->width);
    if (s->arch != 3) add_matrix(b, s, in_block(i, "ffn_gate.weight"), s->width, s->ff);
    add_matrix(b, s, in_block(i, "ffn_up.weight"), s->width, s->arch == 3 ? 2 * s->ff : s->ff);
    add_matrix(b, s, in_block(i, "ffn_down.weight"), s->ff, s->width);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    choices c = {data, size};
    built b = {.choices = &c};
    const shape s = choose_shape(&c);
    add_shape(&b, &s);
    add_vocabulary(&b, &s);
    add_matrix(&b, &s, "token_embd.weight", s.width, s.vocab);
    add_vector(&b, "output_norm.weight", s.width);
    if (choose_below(&c, 2)) add_matrix(&b, &s, "output.weight", s.width, s.vocab);
    for (uint32_t i = 0; i < s.layers; i++) add_block(&b, &s, i);
    hb_buffer file = finish_gguf(&b);
    run_model(file_of(file.data, file.length));
    hb_buffer_free(&file);
    return 0;
}
