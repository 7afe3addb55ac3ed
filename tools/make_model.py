#!/usr/bin/env python3
"""Writes a small GGUF model of any architecture with random weights.

It generates meaningless text, but its file format and arithmetic are those of a real model. So it can be used to try
every command and to test the engine on every tensor type. Needs only Python. The same options give the same file on
every machine.

    make_model.py OUT.gguf [--arch llama] [--type q8_0] [--embd 256] [--layers 4] ...
"""
import argparse
import math
import random
import struct

import gguf_writer as gguf
from gguf_writer import half

WORDS = """the of and to a in is it that was for on as with by at from this be are or an not but have has
had he she they we you his her its their our your who what which when where how many one two three first
last city country capital river mountain ocean sea island planet moon sun earth star water fire air ice
animal bird fish cat dog horse tree plant flower fruit food bread king queen war peace year day night
language music book film game number largest smallest longest highest oldest name called known made born
died wrote discovered invented statement question answer true false faithful context proposed response
document summary yes no can will may must than more most some all each other into over under between after
before because so if then there here now very well only also even new old good great long little own right
red green blue white black gold silver iron copper oxygen hydrogen carbon people man woman child world
life work time part place north south east west""".split()


def uniform(rng, n, std):
    bound = std * 3**0.5
    return [(2 * rng.random() - 1) * bound for _ in range(n)]


# Each writer below returns n random weights as stored bytes. Their standard deviation is about `std`. Quantised
# blocks are random bits with scales chosen for that deviation.


def f32(rng, n, std):
    return struct.pack(f"<{n}f", *uniform(rng, n, std))


def f16(rng, n, std):
    return struct.pack(f"<{n}e", *uniform(rng, n, std))


def bf16(rng, n, std):
    full = f32(rng, n, std)
    return b"".join(full[i + 2 : i + 4] for i in range(0, len(full), 4))


def blocks(weights, size, deviation, head):
    """Returns a writer of blocks of `weights` weights. A block has `size` random bytes. head(scale) returns the bytes
    before and after them. `deviation` is the standard deviation of the weights when the scale is 1."""

    def write(rng, n, std):
        before, after = head(std / deviation)
        return b"".join(before + rng.randbytes(size) + after for _ in range(n // weights))

    return write


def scale_first(d):
    return half(d), b""


def scale_last(d):
    return b"", half(d)


def with_minimum(times, first=True):
    """A head for types with a minimum, which centres the weights around 0."""

    def head(d):
        both = half(d) + half(times * d)
        return (both, b"") if first else (b"", both)

    return head


def power_first(d):
    return bytes([127 + round(math.log2(d))]), b""


WRITERS = {
    "f32": f32,
    "f16": f16,
    "bf16": bf16,
    "q8_0": blocks(32, 32, 73.9, scale_first),
    "q4_0": blocks(32, 16, 4.61, scale_first),
    "q4_1": blocks(32, 16, 4.61, with_minimum(-7.5)),
    "q5_0": blocks(32, 20, 9.23, scale_first),
    "q5_1": blocks(32, 20, 9.23, with_minimum(-15.5)),
    "q2_k": blocks(256, 80, 13.9, with_minimum(1.5, first=False)),
    "q3_k": blocks(256, 108, 43.3, scale_last),
    "q4_k": blocks(256, 140, 250, with_minimum(7.5)),
    "q5_k": blocks(256, 172, 526, with_minimum(15.5)),
    "q6_k": blocks(256, 208, 1366, scale_last),
    "iq4_nl": blocks(32, 16, 67.4, scale_first),
    "iq4_xs": blocks(256, 134, 1246, scale_first),
    "mxfp4": blocks(32, 16, 2.93, power_first),
}


# How each architecture differs from llama: the tensors of its blocks, and scaled embeddings.
ARCHITECTURES = {
    "llama": set(),
    "qwen2": {"bias"},
    "qwen3": {"qk_norm"},
    "phi3": {"fused_qkv", "fused_up"},
    "gemma2": {"post_norms", "scaled"},
    "gemma3": {"qk_norm", "post_norms", "scaled"},
    "smollm3": set(),
    "olmo2": {"qk_rows", "post_norms", "no_pre_norms"},
    "granite": {"factors"},
    "glm4": {"bias", "fused_up", "post_norms"},
    "exaone4": {"qk_norm", "post_norms", "no_pre_norms"},
    "mistral3": set(),
    "qwen2moe": {"bias", "experts", "shared_expert"},
    "qwen3moe": {"qk_norm", "experts"},
    "olmoe": {"qk_rows", "experts"},
    "gpt-oss": {"bias", "output_bias", "sinks", "late_ffn_norm", "experts", "expert_biases"},
}
# The factors of a granite model: its embeddings are smaller and its logits larger than those of other models.
FACTORS = {"embedding_scale": 8.0, "residual_scale": 0.4, "attention.scale": 0.2, "logit_scale": 2.0}


def vocabulary(chat):
    """Returns pieces, scores and types: three special tokens, all bytes, all prefixes of the words (SentencePiece's
    merges pass through them), characters, and with `chat` the two tokens of ChatML."""
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    types = [gguf.UNKNOWN, gguf.CONTROL, gguf.CONTROL] + [gguf.BYTE] * 256
    seen = set()
    characters = ["\u2581"] + [chr(c) for c in range(0x21, 0x7F)]
    prefixes = ["\u2581" + word[:k] for word in WORDS for k in range(1, len(word) + 1)]
    for piece in prefixes + characters:
        if piece not in seen:
            seen.add(piece)
            pieces.append(piece)
            types.append(gguf.NORMAL)
    for piece in ["<|im_start|>", "<|im_end|>"] if chat else []:
        pieces.append(piece)
        types.append(gguf.CONTROL)
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces) - 259)]
    return pieces, scores, types


def experts(o, b, matrix, vector, rng):
    """Yields the tensors of a mixture of experts in the block with the prefix b. Routers are never quantised."""
    has, n = ARCHITECTURES[o.arch], o.experts
    cases = ("gate", o.embd, o.ff), ("up", o.embd, o.ff), ("down", o.ff, o.embd)

    def floats(name, dims, std):
        values = uniform(rng, math.prod(dims), std)
        return name, dims, "f32", struct.pack(f"<{len(values)}f", *values)

    yield floats(b + "ffn_gate_inp.weight", [o.embd, n], 2 / o.embd**0.5)
    for name, cols, rows in cases:
        all_name, _, kind, raw = matrix(f"{b}ffn_{name}_exps", cols, n * rows)
        yield all_name, [cols, rows, n], kind, raw
    if "expert_biases" in has:
        yield floats(b + "ffn_gate_inp.bias", [n], 0.5)
        for name, _, rows in cases:
            yield floats(f"{b}ffn_{name}_exps.bias", [rows, n], 0.5)
    if "shared_expert" in has:
        yield vector(b + "ffn_gate_inp_shexp.weight", uniform(rng, o.embd, 1 / o.embd**0.5))
        for name, cols, rows in cases:
            yield matrix(f"{b}ffn_{name}_shexp", cols, rows)


def tensors(o, n_vocab):
    """Yields (name, [cols, rows], type, bytes) of each tensor. The norms of a llama are ones, because reference
    vectors depend on them; in the other architectures they are random."""
    rng = random.Random(o.seed)
    write = WRITERS[o.type]
    has = ARCHITECTURES[o.arch]
    q, kv = o.head_dim * o.heads, o.head_dim * o.kv_heads

    def matrix(name, cols, rows, gain=1.0):
        return name + ".weight", [cols, rows], o.type, write(rng, cols * rows, gain / cols**0.5)

    def vector(name, values):
        return name, [len(values)], "f32", struct.pack(f"<{len(values)}f", *values)

    def norm(name, n=o.embd, mean=1.0):
        ones = o.arch == "llama"
        return vector(name + ".weight", [1.0] * n if ones else [mean + u for u in uniform(rng, n, 0.25)])

    # Embeddings have a deviation of 1 at the first block, whether or not the architecture scales them.
    scale = FACTORS["embedding_scale"] if "factors" in has else o.embd**0.5 if "scaled" in has else 1
    yield matrix("token_embd", o.embd, n_vocab, o.embd**0.5 / scale)
    yield norm("output_norm", mean=4.0 if o.tied else 1.0)
    if not o.tied:
        yield matrix("output", o.embd, n_vocab, 4.0)
    yield from rope_factors(o, vector)
    for i in range(o.layers):
        b = f"blk.{i}."
        if "no_pre_norms" not in has:
            yield norm(b + "attn_norm")
        if "fused_qkv" in has:
            yield matrix(b + "attn_qkv", o.embd, q + 2 * kv)
        else:
            yield matrix(b + "attn_q", o.embd, q)
            yield matrix(b + "attn_k", o.embd, kv)
            yield matrix(b + "attn_v", o.embd, kv)
        if "bias" in has:
            for name, n in ("q", q), ("k", kv), ("v", kv):
                yield vector(f"{b}attn_{name}.bias", uniform(rng, n, 0.5))
        if "qk_norm" in has:
            yield norm(b + "attn_q_norm", o.head_dim, 1.5)
            yield norm(b + "attn_k_norm", o.head_dim, 1.5)
        if "qk_rows" in has:
            yield norm(b + "attn_q_norm", q, 1.5)
            yield norm(b + "attn_k_norm", kv, 1.5)
        yield matrix(b + "attn_output", q, o.embd)
        if "output_bias" in has:
            yield vector(b + "attn_output.bias", uniform(rng, o.embd, 0.5))
        if "sinks" in has:
            yield vector(b + "attn_sinks.weight", uniform(rng, o.heads, 1))
        if "post_norms" in has:
            yield norm(b + "post_attention_norm", mean=3.0)
            yield norm(b + "post_ffw_norm", mean=3.0)
        if "no_pre_norms" not in has:
            yield norm(b + ("post_attention_norm" if "late_ffn_norm" in has else "ffn_norm"))
        if o.experts:
            yield from experts(o, b, matrix, vector, rng)
            continue
        if "fused_up" in has:
            yield matrix(b + "ffn_up", o.embd, 2 * o.ff)
        else:
            yield matrix(b + "ffn_gate", o.embd, o.ff)
            yield matrix(b + "ffn_up", o.embd, o.ff)
        yield matrix(b + "ffn_down", o.ff, o.embd)


def rope_factors(o, vector):
    """The divisors of the RoPE frequencies. Lower frequencies have larger divisors."""
    n = o.rot // 2
    if o.rope == "llama3":
        yield vector("rope_freqs.weight", [1 + 7 * i / n for i in range(n)])
    if o.rope == "longrope":
        yield vector("rope_factors_long.weight", [1 + 15 * i / n for i in range(n)])
        yield vector("rope_factors_short.weight", [1 + i / n for i in range(n)])


def metadata(o, n_vocab):
    def key(name):
        return f"{o.arch}.{name}"

    pairs = gguf.model_metadata(o.arch, o.name, o.context, o.embd, o.layers, o.ff, o.heads,
                                o.kv_heads, n_vocab, n_rot=o.rot)
    if o.head_dim * o.heads != o.embd:
        pairs += [gguf.number(key("attention.key_length"), o.head_dim),
                  gguf.number(key("attention.value_length"), o.head_dim)]
    if o.window:
        pairs.append(gguf.number(key("attention.sliding_window"), o.window))
    if o.rope in ("linear", "yarn", "longrope"):
        pairs.append(gguf.pair(key("rope.scaling.type"), gguf.STRING, o.rope))
    if o.rope in ("linear", "yarn"):
        pairs.append(gguf.pair(key("rope.scaling.factor"), gguf.FLOAT32, 4.0))
    if o.rope in ("yarn", "longrope"):
        pairs.append(gguf.number(key("rope.scaling.original_context_length"), o.original))
    if o.rope == "longrope":
        pairs.append(gguf.pair(key("rope.scaling.attn_factor"), gguf.FLOAT32, 1.19))
    if o.experts:
        pairs += [gguf.number(key("expert_count"), o.experts), gguf.number(key("expert_used_count"), o.used)]
    if "experts" in ARCHITECTURES[o.arch]:
        pairs.append(gguf.number(key("expert_feed_forward_length"), o.ff))
    if "shared_expert" in ARCHITECTURES[o.arch]:
        pairs.append(gguf.number(key("expert_shared_feed_forward_length"), o.ff))
    if o.log_multiplier:
        pairs.append(gguf.pair(key("rope.scaling.yarn_log_multiplier"), gguf.FLOAT32, o.log_multiplier))
    if o.temperature:
        pairs.append(gguf.pair(key("attention.temperature_scale"), gguf.FLOAT32, o.temperature))
    if o.window_flags:
        flags = [i % 2 == 0 for i in range(o.layers)]
        pairs.append(gguf.array(key("attention.sliding_window_pattern"), gguf.BOOL, flags))
    if "factors" in ARCHITECTURES[o.arch]:
        pairs += [gguf.pair(key(name), gguf.FLOAT32, value) for name, value in FACTORS.items()]
    if o.softcap:
        pairs += [gguf.pair(key("attn_logit_softcapping"), gguf.FLOAT32, o.softcap),
                  gguf.pair(key("final_logit_softcapping"), gguf.FLOAT32, 3 * o.softcap)]
    return pairs


def byte_alphabet():
    """The character for each byte in byte-level vocabularies (Radford et al., GPT-2, 2019)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(b if b in plain else next(others)) for b in range(256)]


def byte_level_metadata():
    """The number of tokens and the metadata of a vocabulary of the 256 bytes, "the" with the pieces of its merges,
    and an end-of-text token."""
    pieces = byte_alphabet() + ["th", "the", "\u0120the", "<|endoftext|>"]
    types = [gguf.NORMAL] * (len(pieces) - 1) + [gguf.CONTROL]
    return len(pieces), [gguf.pair("tokenizer.ggml.model", gguf.STRING, "gpt2"),
                         gguf.pair("tokenizer.ggml.pre", gguf.STRING, "gpt-2"),
                         gguf.array("tokenizer.ggml.tokens", gguf.STRING, pieces),
                         gguf.array("tokenizer.ggml.token_type", gguf.INT32, types),
                         gguf.array("tokenizer.ggml.merges", gguf.STRING, ["t h", "th e", "\u0120 the"]),
                         gguf.number("tokenizer.ggml.eos_token_id", len(pieces) - 1)]


def tokenizer_metadata(o):
    """The number of tokens and the metadata pairs of the tokenizer."""
    if o.byte_level:
        return byte_level_metadata()
    pieces, scores, types = vocabulary(o.chat_template is not None)
    return len(pieces), gguf.spm_metadata(pieces, scores, types)


def write_model(o):
    n_vocab, tokenizer = tokenizer_metadata(o)
    pairs = metadata(o, n_vocab) + tokenizer
    if o.chat_template is not None:
        pairs.append(gguf.pair("tokenizer.chat_template", gguf.STRING, o.chat_template))
    if o.parts:
        gguf.write_parts(o.out, pairs, tensors(o, n_vocab), o.parts, o.version)
    else:
        gguf.write(o.out, pairs, tensors(o, n_vocab), o.version)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", metavar="OUT.gguf")
    p.add_argument("--arch", choices=sorted(ARCHITECTURES), default="llama")
    p.add_argument("--type", choices=sorted(WRITERS), default="q8_0", help="of the matrices; q8_0")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--name", default="random-llama")
    p.add_argument("--embd", type=int, default=256, help="width; 256")
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--heads", type=int, default=4)
    p.add_argument("--kv-heads", type=int, default=2)
    p.add_argument("--head-dim", type=int, help="length of a head; width / heads")
    p.add_argument("--rot", type=int, help="dimensions of a head that are rotated; all")
    p.add_argument("--ff", type=int, default=768, help="width of the feed-forward part; 768")
    p.add_argument("--experts", type=int, default=0, help="number of experts in each block; the width is that of one")
    p.add_argument("--used", type=int, default=2, help="experts that a token uses; 2")
    p.add_argument("--context", type=int, default=1024)
    p.add_argument("--window", type=int, help="positions that blocks with a sliding window see")
    p.add_argument("--rope", choices=["llama3", "linear", "yarn", "longrope"], help="how its rotation is scaled")
    p.add_argument("--log-multiplier", type=float, help="of YaRN: how much of its larger scores is taken back")
    p.add_argument("--temperature", type=float, help="by which queries grow with their position")
    p.add_argument("--window-flags", action="store_true", help="a window in every second block, told by a list of flags")
    p.add_argument("--original", type=int, default=64, help="context before scaling; 64")
    p.add_argument("--softcap", type=float, help="of attention scores; the logits' is three times that")
    p.add_argument("--tied", action="store_true", help="no output head of its own")
    p.add_argument("--byte-level", action="store_true", help="a byte-level vocabulary of 260 tokens")
    p.add_argument("--chat-template", metavar="JINJA", help="put into the file, with the tokens of ChatML")
    p.add_argument("--parts", type=int, metavar="N", help="split it into OUT-00001-of-0000N.gguf ...")
    p.add_argument("--version", type=int, choices=[2, 3], default=3, help="of GGUF; 3")
    o = p.parse_args()
    block = 256 if o.type.endswith("_k") or o.type == "iq4_xs" else 32
    if o.embd % block or o.ff % block or o.embd % o.heads or o.heads % o.kv_heads:
        p.error(f"--embd and --ff must be multiples of {block}, and heads must divide")
    if "experts" in ARCHITECTURES[o.arch] and not o.experts:
        p.error(f"--arch {o.arch} needs --experts")
    o.head_dim = o.head_dim or o.embd // o.heads
    o.rot = o.rot or o.head_dim
    write_model(o)


if __name__ == "__main__":
    main()
