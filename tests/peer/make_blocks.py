#!/usr/bin/env python3
"""Writes tests/reference/blocks_reference.h: for each tensor type, blocks from the peer's own
quantiser and blocks of random bits, and the values that the peer's gguf package unpacks from them. Needs the peer.
Run it by hand: tests/peer/make_blocks.py"""
import json
import sys

import peer

INSIDE = """
import ctypes, json, numpy as np, gguf
from gguf.quants import dequantize
base = ctypes.CDLL("libggml-base.so")
base.ggml_quantize_chunk.restype = ctypes.c_size_t
base.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [
    ctypes.c_void_p]
rng = np.random.default_rng(5)
T = gguf.GGMLQuantizationType
half = lambda x: np.float16(x).tobytes()
# How to make a block of random bits with plausible scales, for types with scales in odd places.
random_block = {
    "Q4_0": lambda: half(-0.013) + rng.bytes(16),
    "Q4_1": lambda: half(0.021) + half(-0.17) + rng.bytes(16),
    "Q5_0": lambda: half(0.009) + rng.bytes(20),
    "Q5_1": lambda: half(0.017) + half(0.3) + rng.bytes(20),
    "Q8_0": lambda: half(0.004) + rng.bytes(32),
    "Q2_K": lambda: rng.bytes(80) + half(0.031) + half(-0.02),
    "Q3_K": lambda: rng.bytes(108) + half(0.0041),
    "Q4_K": lambda: half(0.003) + half(0.011) + rng.bytes(140),
    "Q5_K": lambda: half(-0.002) + half(0.05) + rng.bytes(172),
    "Q6_K": lambda: rng.bytes(208) + half(0.0007),
    "IQ4_NL": lambda: half(0.0021) + rng.bytes(16),
    "IQ4_XS": lambda: half(0.0003) + rng.bytes(134),
    "MXFP4": lambda: bytes([rng.integers(0, 250)]) + rng.bytes(16),
}
out = {}
for name in ("F16", "BF16", *random_block):
    block, size = gguf.GGML_QUANT_SIZES[T[name]]
    n = max(64, block)
    weights = rng.standard_normal(n).astype(np.float32)
    raw = ctypes.create_string_buffer(n // block * size)
    written = base.ggml_quantize_chunk(T[name], weights.ctypes.data, raw, 0, 1, n, None)
    assert written == len(raw)
    raw = raw.raw + b"".join(random_block[name]() for _ in range(n // block) if name in random_block)
    kind = np.float16 if name == "F16" else np.uint8
    values = dequantize(np.frombuffer(raw, kind), T[name]).astype(np.float32)
    out[name] = [list(raw), [float(v) for v in values.ravel()]]
print(json.dumps(out))
"""


def main():
    why = peer.missing()
    if why:
        sys.exit(why)
    text, cases = '/* Written by tests/peer/make_blocks.py. */\n#include "engine/types.h"\n', ""
    for name, (raw, values) in json.loads(peer.inside("python3", "-c", INSIDE)).items():
        low = name.lower()
        text += f"static const _Alignas(4) uint8_t {low}_bytes[] = {{{', '.join(map(str, raw))}}};\n"
        text += f"static const float {low}_values[] = {{{', '.join(f'{v:.9g}' for v in values)}}};\n"
        cases += f"{{HB_TYPE_{name}, {low}_bytes, {low}_values, {len(values)}}},"
    text += "static const struct block_case {hb_type type; const uint8_t *bytes; const float *values; size_t n;}"
    text += f"block_cases[] = {{{cases}}};\n"
    (peer.PROJECT / "tests" / "reference" / "blocks_reference.h").write_text(text)


main()
