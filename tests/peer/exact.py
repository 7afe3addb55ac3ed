#!/usr/bin/env python3
"""A transformer in double precision, the reference for both the engine and the peer. It follows the notation of the
papers and is not optimised for speed. The peer's gguf package unpacks weights of any type, so this runs in the
peer's root:

    exact.py MODEL.gguf N GREEDY < TOKENS

Evaluates the tokens (a JSON list of ids), then GREEDY greedy tokens. Writes a JSON line for each of the last N
given tokens and each greedy token: {"step", "token": the greedy token that follows, "logits": [n_vocab],
"blocks": [n_layers][n_embd]}."""
import json
import sys

import numpy as np

# The last block of each such group has no window.
PERIODS = {"phi3": None, "gemma2": 2, "gemma3": 6, "olmo2": 4, "exaone4": 4, "gpt-oss": 2}
# Architectures that rotate pairs of neighbours; the others rotate pairs of halves.
NEIGHBOURS = {"llama", "smollm3", "granite", "glm4", "mistral3"}
# Architectures that norm all heads of queries and keys together.
WHOLE_NORMS = {"olmo2", "olmoe"}


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def limited(gate, up):
    """The gate of gpt-oss: silu with slope 1.702, times up + 1, both limited to 7."""
    gate, up = np.minimum(gate, 7), np.clip(up, -7, 7)
    return gate / (1 + np.exp(-1.702 * gate)) * (up + 1)


class Model:
    def __init__(self, fields, weights):
        """Metadata and tensors in double precision, by name."""
        self.fields, self.weights = fields, weights
        self.arch = self.fields["general.architecture"]
        self.n_layers, self.n_embd = self.metadata("block_count"), self.metadata("embedding_length")
        self.heads = self.metadata("attention.head_count")
        self.kv_heads = self.metadata("attention.head_count_kv", self.heads)
        self.head = self.metadata("attention.key_length", self.n_embd // self.heads)
        self.gemma = self.arch.startswith("gemma")

    def metadata(self, name, default=None):
        return self.fields.get(f"{self.arch}.{name}", default)

    def norm(self, x, name):
        eps = self.metadata("attention.layer_norm_rms_epsilon")
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * self.weights[name + ".weight"]

    def norm_if(self, x, name):
        """x, normed if the model has that norm"""
        return self.norm(x, name) if name + ".weight" in self.weights else x

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights.get(name + ".bias", 0)

    def frequencies(self, windowed):
        """Radians per position for each pair, and the factor of cosines and sines."""
        n = self.metadata("rope.dimension_count", self.head)
        pair = np.arange(n // 2)
        magnitude = self.metadata("rope.scaling.attn_factor", 1.0)
        base, kind = self.metadata("rope.freq_base", 10000.0), self.metadata("rope.scaling.type")
        if windowed and self.arch in ("gemma3", "olmo2"):
            return (10000.0 if self.arch == "gemma3" else base) ** (-2 * pair / n), magnitude
        factor = self.metadata("rope.scaling.factor", 1.0)
        original = self.metadata("rope.scaling.original_context_length")
        plain = base ** (-2 * pair / n)
        divisor = self.weights.get("rope_freqs.weight", 1.0)
        if kind == "longrope":
            long = self.metadata("context_length") > original
            divisor = self.weights[f"rope_factors_{'long' if long else 'short'}.weight"]
        if kind != "yarn":
            return plain / divisor / factor, magnitude
        # Pairs that turn at least 32 times in the original context are not scaled, pairs that turn less than once are
        # scaled by the whole factor. In between, the share is linear in the number of the pair.
        at = [n * np.log(original / (turns * 2 * np.pi)) / (2 * np.log(base)) for turns in (32, 1)]
        low, high = max(0, np.floor(at[0])), min(n - 1, np.ceil(at[1]))
        kept = 1 - np.clip((pair - low) / max(0.001, high - low), 0, 1)
        grown = 0.1 * np.log(factor)
        magnitude *= (1 + grown) / (1 + self.metadata("rope.scaling.yarn_log_multiplier", 0.0) * grown)
        return plain / divisor * (kept + (1 - kept) / factor), magnitude

    def rotated(self, heads, layer):
        """heads [positions][heads][head]"""
        windowed = self.window(layer) is not None
        if self.arch == "smollm3" and layer % 4 == 3:
            return heads
        if self.arch == "exaone4" and self.metadata("attention.sliding_window") and not windowed:
            return heads
        rates, magnitude = self.frequencies(windowed)
        turn = magnitude * np.exp(1j * np.arange(len(heads))[:, None] * rates)[:, None, :]
        n = 2 * len(rates)
        first, second = ((slice(0, n, 2), slice(1, n, 2)) if self.arch in NEIGHBOURS
                         else (slice(0, n // 2), slice(n // 2, n)))
        turned = (heads[..., first] + 1j * heads[..., second]) * turn
        out = heads.copy()
        out[..., first], out[..., second] = turned.real, turned.imag
        return out

    def window(self, layer):
        """The number of positions that a token attends to, or None for all."""
        if self.arch not in PERIODS:
            return None
        period = PERIODS[self.arch]
        flags = self.metadata("attention.sliding_window_pattern")
        full = not flags[layer] if flags else period and layer % period == period - 1
        return None if full else self.metadata("attention.sliding_window") or None

    def attention_rows(self, x, layer):
        """What each position attends to, [heads][positions][positions], and the values."""
        b, n, window = f"blk.{layer}.", len(x), self.window(layer)
        sizes = np.cumsum([self.heads * self.head, self.kv_heads * self.head])
        if b + "attn_qkv.weight" in self.weights:
            q, k, v = np.split(self.linear(x, b + "attn_qkv"), sizes, axis=1)
        else:
            q, k, v = (self.linear(x, b + name) for name in ("attn_q", "attn_k", "attn_v"))
        if self.arch in WHOLE_NORMS:
            q, k = self.norm(q, b + "attn_q_norm"), self.norm(k, b + "attn_k_norm")
        q, k, v = (each.reshape(n, -1, self.head) for each in (q, k, v))
        if self.arch not in WHOLE_NORMS and b + "attn_q_norm.weight" in self.weights:
            q, k = self.norm(q, b + "attn_q_norm"), self.norm(k, b + "attn_k_norm")
        q, k = self.rotated(q, layer), self.rotated(k, layer)
        if heat := self.metadata("attention.temperature_scale"):
            original = self.metadata("rope.scaling.original_context_length")
            q = q * (1 + heat * np.log(1 + np.arange(n) // original))[:, None, None]
        k, v = (each.repeat(self.heads // self.kv_heads, axis=1) for each in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) * (self.metadata("attention.scale") or self.head**-0.5)
        if self.arch == "gemma2":
            cap = self.metadata("attn_logit_softcapping", 50.0)
            scores = cap * np.tanh(scores / cap)
        behind = np.arange(n)[:, None] - np.arange(n)[None, :]
        scores[:, (behind < 0) | (behind >= (window or n))] = -np.inf
        if b + "attn_sinks.weight" in self.weights:
            sinks = self.weights[b + "attn_sinks.weight"].reshape(-1, 1, 1)
            scores = np.concatenate([scores, np.broadcast_to(sinks, (*scores.shape[:2], 1))], axis=-1)
            v = np.concatenate([v, np.zeros((1, *v.shape[1:]))])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True), v

    def attention(self, x, layer):
        b, n = f"blk.{layer}.", len(x)
        weights, v = self.attention_rows(x, layer)
        return self.linear(np.einsum("hij,jhd->ihd", weights, v).reshape(n, -1), b + "attn_output")

    def gated(self, gate, up):
        if self.arch == "gpt-oss":
            return limited(gate, up)
        return (gelu if self.gemma else silu)(gate) * up

    def experts(self, x, layer):
        b, used = f"blk.{layer}.", self.metadata("expert_used_count")

        def parts(name, vector, expert):
            return self.weights[f"{b}{name}.weight"][expert] @ vector + self.weights.get(f"{b}{name}.bias", {expert: 0})[expert]

        out = np.zeros_like(x)
        for at, (vector, logits) in enumerate(zip(x, self.linear(x, b + "ffn_gate_inp"))):
            chosen = np.argsort(-logits, kind="stable")[:used]
            total = logits if self.arch in ("qwen2moe", "olmoe") else logits[chosen]
            for expert in chosen:
                inner = self.gated(parts("ffn_gate_exps", vector, expert), parts("ffn_up_exps", vector, expert))
                out[at] += parts("ffn_down_exps", inner, expert) / np.exp(total - logits[expert]).sum()
        if b + "ffn_gate_inp_shexp.weight" in self.weights:
            shared = self.gated(self.linear(x, b + "ffn_gate_shexp"), self.linear(x, b + "ffn_up_shexp"))
            share = 1 / (1 + np.exp(-x @ self.weights[b + "ffn_gate_inp_shexp.weight"].reshape(-1, 1)))
            out += share * self.linear(shared, b + "ffn_down_shexp")
        return out

    def feed_forward(self, x, layer):
        b = f"blk.{layer}."
        if b + "ffn_gate_inp.weight" in self.weights:
            return self.experts(x, layer)
        up = self.linear(x, b + "ffn_up")
        gate, up = (self.linear(x, b + "ffn_gate"), up) if b + "ffn_gate.weight" in self.weights else np.split(up, 2, axis=1)
        return self.linear(self.gated(gate, up), b + "ffn_down")

    def run(self, tokens):
        """logits [positions][n_vocab], states [positions][n_layers][n_embd]"""
        scale = self.n_embd**0.5 if self.gemma else self.metadata("embedding_scale", 1)
        residual = self.metadata("residual_scale", 1)
        x = self.weights["token_embd.weight"][tokens] * scale
        states = []
        for layer in range(self.n_layers):
            b = f"blk.{layer}."
            # gpt-oss gives the norm before feed-forward the name that others give the norm after attention.
            after, before = (("", "post_attention_norm") if self.arch == "gpt-oss" else
                             ("post_attention_norm", "ffn_norm"))
            added = self.attention(self.norm_if(x, b + "attn_norm"), layer)
            x = x + self.norm_if(added, b + after) * residual
            added = self.feed_forward(self.norm_if(x, b + before), layer)
            x = x + self.norm_if(added, b + "post_ffw_norm") * residual
            states.append(x)
        head = self.weights.get("output.weight", self.weights["token_embd.weight"])
        logits = self.norm(x, "output_norm") @ head.T / self.metadata("logit_scale", 1)
        cap = self.metadata("final_logit_softcapping", 30.0 if self.arch == "gemma2" else None)
        return cap * np.tanh(logits / cap) if cap else logits, np.stack(states, axis=1)


def read_model(path):
    from gguf import GGUFReader, dequantize  # of the peer
    file = GGUFReader(path)
    return Model({name: field.contents() for name, field in file.fields.items()},
                 {t.name: dequantize(t.data, t.tensor_type).astype(np.float64).reshape(t.shape[::-1]) for t in file.tensors})


def main():
    tokens, n, greedy = json.load(sys.stdin), int(sys.argv[2]), int(sys.argv[3])
    model = read_model(sys.argv[1])
    for _ in range(greedy):
        tokens.append(int(model.run(tokens)[0][-1].argmax()))
    logits, states = model.run(tokens)
    for step, at in enumerate(range(len(tokens) - greedy - n, len(tokens))):
        print(json.dumps({"step": step, "token": int(logits[at].argmax()), "logits": logits[at].tolist(),
                          "blocks": states[at].tolist()}))


if __name__ == "__main__":
    main()
