#include "engine/architecture.h"

#include <stdio.h>
#include <string.h>

/* llama: Touvron et al., LLaMA, 2023; Grattafiori et al., The Llama 3 Herd of Models, 2024; also
 * Mistral, SmolLM and TinyLlama. qwen2, qwen3: the technical reports, 2024 and 2025. phi3: Abdin et
 * al., Phi-3 Technical Report, 2024. gemma2: Gemma 2: Improving Open Language Models at a Practical
 * Size, 2024. gemma3: Gemma 3 Technical Report, 2025. */
static const hb_architecture architectures[] = {
    {.name = "llama"},
    {.name = "qwen2", .qkv_bias = true, .rotates_halves = true},
    {.name = "qwen3", .qk_norm = true, .rotates_halves = true},
    {.name = "phi3", .fused = true, .rotates_halves = true, .windows = true},
    {.name = "gemma2",
     .post_norms = true,
     .gelu = true,
     .scaled_embedding = true,
     .rotates_halves = true,
     .attention_cap = 50,
     .logit_cap = 30,
     .wide_layers = 46,
     .windows = true,
     .window = 4096,
     .full_every = 2},
    {.name = "gemma3",
     .qk_norm = true,
     .post_norms = true,
     .gelu = true,
     .scaled_embedding = true,
     .rotates_halves = true,
     .wide_layers = 62,
     .windows = true,
     .full_every = 6,
     .window_base = 10000},
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof *architectures };

const hb_architecture *hb_architecture_find(const char *name)
{
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (strcmp(architectures[i].name, name) == 0) return &architectures[i];
    return NULL;
}

void hb_architecture_names(char *names, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < N_ARCHITECTURES && used < size; i++)
        used += (size_t)snprintf(names + used, size - used, i ? ", %s" : "%s", architectures[i].name);
}
