#!/usr/bin/env python3
"""Writes tests/reference/blocks_reference.h: blocks of each tensor type, quantised from random numbers
or made of random bits, and what the peer's gguf package unpacks from them. Run by hand, where the peer is
installed: tests/peer/make_blocks.py"""
import json
import sys

import peer

INSIDE = """
import json, numpy as np, gguf
from gguf.quants import dequantize, quantize
rng = np.random.default_rng(5)
T = gguf.GGMLQuantizationType
weights = rng.standard_normal(64).astype(np.float32)
raw = {}
for name in ("F16", "BF16", "Q8_0", "Q4_0"):
    raw[name] = quantize(weights, T[name]).tobytes()
half = lambda x: np.float16(x).tobytes()
raw["Q4_K"] = half(0.003) + half(0.011) + rng.bytes(140) + half(-0.2) + half(0.5) + rng.bytes(140)
raw["Q6_K"] = rng.bytes(208) + half(0.0007) + rng.bytes(208) + half(-0.01)
out = {}
for name, bytes_ in raw.items():
    kind = {"F16": np.float16}.get(name, np.uint8)
    values = dequantize(np.frombuffer(bytes_, kind), T[name]).astype(np.float32)
    out[name] = [list(bytes_), [float(v) for v in values.ravel()]]
print(json.dumps(out))
"""


def main():
    why = peer.missing()
    if why:
        sys.exit(why)
    text = "/* Written by tests/peer/make_blocks.py. */\n#include <stdint.h>\n"
    for name, (raw, values) in json.loads(peer.inside("python3", "-c", INSIDE)).items():
        low = name.lower()
        text += f"static const _Alignas(4) uint8_t {low}_bytes[] = {{{', '.join(map(str, raw))}}};\n"
        text += f"static const float {low}_values[] = {{{', '.join(f'{v:.9g}' for v in values)}}};\n"
    (peer.PROJECT / "tests" / "reference" / "blocks_reference.h").write_text(text)


main()
