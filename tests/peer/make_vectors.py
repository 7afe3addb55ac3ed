#!/usr/bin/env python3
"""Writes the reference vectors in tests/vectors/ from the peer's oracle. Run by hand, where the peer is
installed: tests/peer/make_vectors.py

A vector file holds, for each prompt, the prompt's tokens, the greedy tokens, and at some steps a sample
of the logits and of each block's state with its norm. The tiny models are those of tools/make_model.py,
unpacked to F32 by the peer, so that what is compared is our unpacking and arithmetic with exact ones.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import peer

# Name in tests/vectors: options of make_model.py. tests/CMakeLists.txt makes the same models.
TINY = {
    "f32": ["--type", "f32", "--embd", "96", "--heads", "6", "--kv-heads", "3", "--ff", "160"],
    "f16": ["--type", "f16", "--embd", "96", "--heads", "6", "--kv-heads", "3", "--ff", "160", "--tied"],
    "bf16": ["--type", "bf16", "--embd", "96", "--heads", "6", "--kv-heads", "2", "--ff", "160"],
    "q8_0": ["--type", "q8_0", "--embd", "128", "--ff", "224", "--version", "2"],
    "q4_0": ["--type", "q4_0", "--embd", "128", "--ff", "224"],
    "q4_k": ["--type", "q4_k", "--embd", "256", "--ff", "256"],
    "q6_k": ["--type", "q6_k", "--embd", "256", "--ff", "256"],
}
LAYERS = ["--layers", "3"]


def rounded(values):
    return [float(f"{v:.7g}") for v in values]


def norm(values):
    return sum(v * v for v in values) ** 0.5


def sample(step):
    logits, blocks = step["logits"], step["blocks"]
    return {
        "step": step["step"],
        "logits_at": (at := list(range(0, len(logits), max(1, len(logits) // 12)))),
        "logits": rounded(logits[i] for i in at),
        "logits_norm": norm(logits),
        "states_at": (at := list(range(0, len(blocks[0]), max(1, len(blocks[0]) // 6)))),
        "states": [rounded(b[i] for i in at) for b in blocks],
        "norms": rounded(norm(b) for b in blocks),
    }


def vectors(model_inside, prompts, steps, every):
    out = []
    for prompt in prompts:
        tokens, walk = peer.oracle(model_inside, prompt, steps)
        kept = [s for s in walk if s["step"] % every == 0 or s is walk[-1]]
        out.append({"prompt": prompt, "prompt_tokens": tokens, "tokens": [s["token"] for s in walk],
                    "samples": [sample(s) for s in kept]})
    return out


def write(name, content):
    target = peer.PROJECT / "tests" / "vectors" / (name + ".json")
    target.write_text(json.dumps(content, separators=(",", ":")).replace("},", "},\n") + "\n")
    print(target.name, target.stat().st_size, "bytes")


def main():
    why = peer.missing()
    if why:
        sys.exit(why)
    write("stories260K", vectors(peer.bring(peer.STORIES), peer.PROMPTS, peer.STEPS, 50))
    with tempfile.TemporaryDirectory() as scratch:
        for name, options in TINY.items():
            model = Path(scratch) / f"tiny-{name}.gguf"
            make = peer.PROJECT / "tools" / "make_model.py"
            subprocess.run([sys.executable, make, model, *options, *LAYERS], check=True)
            write(f"tiny-{name}",
                  vectors(peer.dequantized(peer.bring(model)), ["What is the capital city"], 24, 12))


if __name__ == "__main__":
    main()
