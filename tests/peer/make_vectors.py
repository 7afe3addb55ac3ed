#!/usr/bin/env python3
"""Writes the reference vectors in tests/vectors/ from the peer's results. Needs the peer. Run it by hand:
tests/peer/make_vectors.py

A vector file holds, for each prompt, the prompt's tokens, the greedy tokens, and at some steps a sample
of the logits and of each block's state with its norm. The tiny models are those of tools/make_model.py, unpacked to
F32 by the peer, so the vectors test both unpacking and arithmetic. The vectors of architectures come from exact.py,
because the peer rounds within GELU and ignores phi3's window.
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
    "q4_1": ["--type", "q4_1", "--embd", "128", "--ff", "224"],
    "q5_0": ["--type", "q5_0", "--embd", "128", "--ff", "224"],
    "q5_1": ["--type", "q5_1", "--embd", "128", "--ff", "224"],
    "iq4_nl": ["--type", "iq4_nl", "--embd", "128", "--ff", "224"],
    "mxfp4": ["--type", "mxfp4", "--embd", "128", "--ff", "224"],
    "q2_k": ["--type", "q2_k", "--embd", "256", "--ff", "256"],
    "q3_k": ["--type", "q3_k", "--embd", "256", "--ff", "256"],
    "q5_k": ["--type", "q5_k", "--embd", "256", "--ff", "256"],
    "iq4_xs": ["--type", "iq4_xs", "--embd", "256", "--ff", "256"],
}
LAYERS = ["--layers", "3"]
SMALL = ["--type", "f32", "--embd", "64", "--heads", "4", "--ff", "96", "--context", "512"]
ARCHITECTURES = {
    "llama3": ["--rope", "llama3"],
    "linear": ["--rope", "linear"],
    "yarn": ["--rope", "yarn"],
    "qwen2": ["--arch", "qwen2"],
    "qwen3": ["--arch", "qwen3", "--head-dim", "24"],
    "phi3": ["--arch", "phi3", "--rope", "longrope", "--rot", "12"],
    "phi3-window": ["--arch", "phi3", "--rope", "longrope", "--original", "4096", "--window", "70"],
    "gemma2": ["--arch", "gemma2", "--tied", "--softcap", "4", "--window", "12"],
    "gemma3": ["--arch", "gemma3", "--tied", "--head-dim", "24", "--rope", "linear", "--window", "70", "--layers",
               "7"],
    "smollm3": ["--arch", "smollm3", "--layers", "5"],
    "olmo2": ["--arch", "olmo2", "--rope", "yarn", "--window", "12", "--layers", "5"],
    "granite": ["--arch", "granite", "--tied"],
    "glm4": ["--arch", "glm4", "--rot", "8"],
    "exaone4": ["--arch", "exaone4", "--rope", "llama3", "--window", "12", "--layers", "5"],
    "exaone4-flags": ["--arch", "exaone4", "--window", "12", "--window-flags", "--layers", "4"],
    "mistral3": ["--arch", "mistral3", "--rope", "yarn", "--log-multiplier", "0.5", "--temperature", "0.3"],
    "experts": ["--experts", "4"],
    "qwen2moe": ["--arch", "qwen2moe", "--experts", "4"],
    "qwen3moe": ["--arch", "qwen3moe", "--experts", "6", "--used", "3"],
    "olmoe": ["--arch", "olmoe", "--kv-heads", "4", "--experts", "6", "--used", "3"],
    "gpt-oss": ["--arch", "gpt-oss", "--experts", "4", "--rope", "yarn", "--window", "12"],
}


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


def exact_vectors(model_inside, prompt, steps, every):
    tokens, _ = peer.oracle(model_inside, prompt, 1)
    walk = peer.exact(model_inside, tokens, greedy=steps - 1)
    kept = [s for s in walk if s["step"] % every == 0 or s is walk[-1]]
    return [{"prompt": prompt, "prompt_tokens": tokens, "tokens": [s["token"] for s in walk],
             "samples": [sample(s) for s in kept]}]


def write(name, content):
    target = peer.PROJECT / "tests" / "vectors" / (name + ".json")
    target.write_text(json.dumps(content, separators=(",", ":")).replace("},", "},\n") + "\n")
    print(target.name, target.stat().st_size, "bytes")


def make(scratch, name, options):
    """A model's path in the peer's root."""
    model = Path(scratch) / f"tiny-{name}.gguf"
    maker = peer.PROJECT / "tools" / "make_model.py"
    subprocess.run([sys.executable, maker, model, *LAYERS, *options], check=True)
    return peer.bring(model)


def main():
    why = peer.missing()
    if why:
        sys.exit(why)
    prompt = "What is the capital city"
    write("stories260K", vectors(peer.bring(peer.STORIES), peer.PROMPTS, peer.STEPS, 50))
    with tempfile.TemporaryDirectory() as scratch:
        for name, options in TINY.items():
            write(f"tiny-{name}", vectors(peer.dequantized(make(scratch, name, options)), [prompt], 24, 12))
        for name, options in ARCHITECTURES.items():
            write(f"tiny-{name}", exact_vectors(make(scratch, name, SMALL + options), prompt, 100, 50))


if __name__ == "__main__":
    main()
