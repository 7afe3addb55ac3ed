#include "engine/architecture.h"

#include <stdio.h>
#include <string.h>

/* llama: Touvron et al., LLaMA, 2023; Grattafiori et al., The Llama 3 Herd of Models, 2024; also
 * Mistral, SmolLM and TinyLlama. qwen2, qwen3: the technical reports, 2024 and 2025. phi3: Abdin et
 * al., Phi-3 Technical Report, 2024. gemma2: Gemma 2: Improving Open Language Models at a Practical
 * Size, 2024. gemma3: Gemma 3 Technical Report, 2025. smollm3: Hugging Face, SmolLM3, 2025; Yang et
 * al., Rope to Nope and Back Again, 2025. olmo2: 2 OLMo 2 Furious, 2025; also Olmo 3. granite: Granite
 * 3.0 Language Models, 2024; its factors are those of muP (Yang et al., Tensor Programs V, 2022). glm4:
 * ChatGLM: A Family of Large Language Models, 2024, in the form of GLM-4-0414. exaone4: EXAONE 4.0,
 * 2025. mistral3: Mistral AI, Ministral 3, 2025. Mixtures of experts: llama as in Jiang et al., Mixtral
 * of Experts, 2024; qwen2moe: Qwen1.5-MoE, 2024; qwen3moe: Qwen3 Technical Report, 2025; olmoe:
 * Muennighoff et al., OLMoE, 2024; gpt-oss: OpenAI, gpt-oss Model Card, 2025, with attention sinks. */
static const hb_architecture architectures[] = {
    {.name = "llama", .routing = HB_ROUTING_AMONG_CHOSEN, .optional_experts = true},
    {.name = "qwen2", .qkv_bias = true, .rotates_halves = true},
    {.name = "qwen3", .qk_norm = HB_QK_HEADS, .rotates_halves = true},
    {.name = "phi3", .fused_qkv = true, .fused_up = true, .rotates_halves = true, .windows = true},
    {.name = "gemma2",
     .norms = HB_NORMS_AROUND,
     .activation = HB_GELU,
     .scaled_embedding = true,
     .rotates_halves = true,
     .attention_cap = 50,
     .logit_cap = 30,
     .wide_layers = 46,
     .windows = true,
     .window = 4096,
     .full_every = 2},
    {.name = "gemma3",
     .qk_norm = HB_QK_HEADS,
     .norms = HB_NORMS_AROUND,
     .activation = HB_GELU,
     .scaled_embedding = true,
     .rotates_halves = true,
     .wide_layers = 62,
     .windows = true,
     .full_every = 6,
     .window_unscaled = true,
     .window_base = 10000},
    {.name = "smollm3", .plain_every = 4},
    {.name = "olmo2",
     .qk_norm = HB_QK_ROWS,
     .norms = HB_NORMS_AFTER,
     .rotates_halves = true,
     .windows = true,
     .full_every = 4,
     .window_unscaled = true},
    {.name = "granite", .file_scales = true},
    {.name = "glm4", .fused_up = true, .norms = HB_NORMS_AROUND},
    {.name = "exaone4",
     .qk_norm = HB_QK_HEADS,
     .norms = HB_NORMS_AFTER,
     .rotates_halves = true,
     .windows = true,
     .full_every = 4,
     .plain_full = true},
    {.name = "mistral3",
     .temperature = true,
     .routing = HB_ROUTING_AMONG_CHOSEN,
     .optional_experts = true},
    {.name = "qwen2moe",
     .qkv_bias = true,
     .rotates_halves = true,
     .routing = HB_ROUTING_AMONG_ALL,
     .shared_expert = true},
    {.name = "qwen3moe",
     .qk_norm = HB_QK_HEADS,
     .rotates_halves = true,
     .routing = HB_ROUTING_AMONG_CHOSEN},
    {.name = "olmoe", .qk_norm = HB_QK_ROWS, .rotates_halves = true, .routing = HB_ROUTING_AMONG_ALL},
    {.name = "gpt-oss",
     .qkv_bias = true,
     .output_bias = true,
     .sinks = true,
     .ffn_norm = "post_attention_norm",
     .rotates_halves = true,
     .activation = HB_CLAMPED_SILU,
     .windows = true,
     .full_every = 2,
     .routing = HB_ROUTING_AMONG_CHOSEN,
     .expert_biases = true},
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
