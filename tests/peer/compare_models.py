#!/usr/bin/env python3
"""Measures how closely the engine and the peer agree, for each architecture and tensor type. Prints a
Markdown table.

    compare_models.py HBAR_DUMP           every architecture in F32 and Q4_K, a llama in every type, no large models
    compare_models.py HBAR_DUMP --all     every architecture in every type

Models have random weights in small realistic shapes, with every feature of their architecture. The peer's
llama-quantize converts them to each type. The peer evaluates a prompt and 64 greedy tokens; the engine evaluates the
same tokens, once by default (activations rounded to bytes, a cache of halves) and once exactly. Because the peer
rounds too (activations, and within GELU), both are compared with exact.py, which computes in double precision with
the same weights. Exits with 1 if the engine is further from the exact result than the peer, and with 77 if the peer
is not installed."""
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import peer
from compare import relative

PROMPT = "The capital city of the country was known for the river and mountain and the people of the island"
STEPS = 64
SHAPE = ["--type", "f32", "--embd", "256", "--heads", "4", "--kv-heads", "2", "--ff", "512", "--context", "512",
         "--layers", "4"]
ARCHITECTURES = {
    "llama": ["--rope", "llama3"],
    "qwen2": ["--arch", "qwen2"],
    "qwen3": ["--arch", "qwen3", "--head-dim", "128"],
    "phi3": ["--arch", "phi3", "--rope", "longrope", "--rot", "48"],
    "gemma2": ["--arch", "gemma2", "--tied", "--head-dim", "128", "--softcap", "4", "--window", "32"],
    "gemma3": ["--arch", "gemma3", "--tied", "--head-dim", "128", "--rope", "linear", "--window", "32", "--layers",
               "6"],
    "smollm3": ["--arch", "smollm3"],
    "olmo2": ["--arch", "olmo2"],
    "granite": ["--arch", "granite", "--tied"],
    "glm4": ["--arch", "glm4", "--rot", "32"],
    "exaone4": ["--arch", "exaone4", "--rope", "llama3"],
    "mistral3": ["--arch", "mistral3", "--rope", "yarn", "--log-multiplier", "0.5", "--temperature", "0.3"],
}
MIXTURES = {
    "llama, experts": ["--experts", "8", "--used", "2"],
    "qwen2moe": ["--arch", "qwen2moe", "--experts", "8", "--used", "4"],
    "qwen3moe": ["--arch", "qwen3moe", "--head-dim", "128", "--experts", "16", "--used", "4"],
    "olmoe": ["--arch", "olmoe", "--kv-heads", "4", "--experts", "16", "--used", "4"],
    "gpt-oss": ["--arch", "gpt-oss", "--experts", "8", "--used", "4", "--window", "32", "--rope", "yarn"],
}
VARIANTS = {"llama, linear": ["--rope", "linear"], "llama, YaRN": ["--rope", "yarn"],
            "olmo2, windows": ["--arch", "olmo2", "--window", "32", "--rope", "yarn"]}
# The peer uses windows of exaone4 only in models with 64 blocks.
LARGE = {"exaone4, windows": ["--arch", "exaone4", "--window", "32", "--layers", "64"]}
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
         "IQ4_NL", "IQ4_XS", "MXFP4"]
# Errors of float arithmetic; no type can have smaller ones. By default, those of a cache of halves are added; the
# peer's oracle has one of floats.
FLOAT, HALVES = 1e-5, 1.2e-3


def make(scratch, options):
    target = Path(scratch) / "agreement.gguf"
    maker = peer.PROJECT / "tools" / "make_model.py"
    subprocess.run([sys.executable, maker, target, *SHAPE, *options], check=True)
    return target


def quantised(scratch, source, name):
    """Makes a copy with every matrix of that type. Returns its path, here and in the peer's root."""
    inside = peer.bring(source)
    target = inside.replace(".gguf", f"-{name}.gguf")
    ftype = "MXFP4_MOE" if name == "MXFP4" else name
    peer.inside("llama-quantize", "--pure", "--tensor-type", f".*={name}", inside, target, ftype)
    return peer.ROOT / target.lstrip("/"), target


def follow(dump, mode, model, tokens, steps):
    feed = " ".join(map(str, [len(tokens), *tokens])).encode()
    raw = subprocess.run([dump, mode, model, str(steps)], check=True, capture_output=True, input=feed).stdout
    return [json.loads(line) for line in raw.splitlines()]


def distance(walk, reference, experts):
    """The distance of all logits, relative to their norm. With experts it is the median of the steps: where two experts
    are almost equally good, any rounding can choose the other one, and that step says nothing about precision."""
    steps = [relative(a["logits"], b["logits"]) for a, b in zip(walk, reference)]
    return statistics.median(steps) if experts else (sum(d**2 for d in steps) / len(steps)) ** 0.5


def worst(walk, reference):
    pairs = list(zip(walk, reference))
    return (sum(a["token"] == b["token"] for a, b in pairs),
            max(max(abs(x - y) for x, y in zip(a["logits"], b["logits"])) for a, b in pairs),
            max(max(relative(x, y) for x, y in zip(a["blocks"], b["blocks"])) for a, b in pairs))


def compare(dump, title, name, here, inside):
    prompt, theirs = peer.oracle(inside, PROMPT, STEPS)
    tokens = prompt + [s["token"] for s in theirs[:-1]]
    truth = peer.exact(inside, tokens, steps=len(theirs))
    ours = {mode: follow(dump, mode, here, tokens, len(theirs)) for mode in ("follow", "exact")}
    experts = title in MIXTURES
    by_default, exactly, peers = (distance(w, truth, experts) for w in (ours["follow"], ours["exact"], theirs))
    cells = [title, name]
    for mode in ("follow", "exact"):
        equal, logit, state = worst(ours[mode], theirs)
        cells += [f"{equal}/{len(theirs)}", f"{logit:.1e}", f"{state:.1e}"]
    print("|", " | ".join(cells + [f"{d:.1e}" for d in (by_default, exactly, peers)]), "|", flush=True)
    return exactly <= max(peers, FLOAT) and by_default <= max(1.1 * peers, HALVES)


def main():
    why = peer.missing()
    if why:
        print("skipped:", why)
        sys.exit(77)
    dump, whole = sys.argv[1], sys.argv[2:] == ["--all"]
    print(f"{datetime.date.today()}, {peer.version()}\n")
    print("| | type | tokens | logit | state | exact: tokens | logit | state | error | exact: error | peer: error |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        for title, options in (ARCHITECTURES | MIXTURES | VARIANTS | (LARGE if whole else {})).items():
            source = make(scratch, options)
            some = ["F32"] if title in VARIANTS | LARGE else TYPES if whole or title == "llama" else ["F32", "Q4_K"]
            for name in some:
                if not compare(dump, title, name, *quantised(scratch, source, name)):
                    failed.append(f"{title} {name}")
    if failed:
        print("\nfurther from the truth than the peer:", ", ".join(failed))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
