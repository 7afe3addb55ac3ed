#!/usr/bin/env python3
"""Compares tokens with the peer's on random texts of many scripts, for each vocabulary in ../shared and each
pre-tokenizer:

    compare_tokens.py HBAR_DUMP

Exits with 77 if the peer is not installed."""
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import peer

PRE = ["default", "llama-bpe", "qwen2", "gpt-2", "phi-2", "smollm", "starcoder", "falcon", "deepseek-llm",
       "deepseek-coder", "deepseek-r1-qwen", "tekken", "gpt-4o", "dbrx"]
TEXTS = 1500
SCRIPTS = [(0x20, 0x7E), (0x20, 0x7E), (0x30, 0x39), (0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x52F), (0x5D0, 0x5EA),
           (0x620, 0x669), (0x900, 0x96F), (0xE01, 0xE59), (0x1E00, 0x1FFE), (0x2000, 0x206F), (0x2150, 0x218B),
           (0x2E80, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF01, 0xFFEE), (0x10400, 0x1044F),
           (0x1F300, 0x1F64F), (0x0, 0x2F)]
PHRASES = ["'s", "'RE", "'ll", "don't", "I'D", "  ", "   \n", "\r\n", "\n\n", "\t", " 2024", "12345678", " the", "HELLOworld",
           "</s>", "<|endoftext|>", "<s>", "<|user|>\n", "<|end|>", "<0x0A>", "[INST]", "x += 1;", "\u3000", "\u00a0", "caf\u00e9",
           " \u2581", "naïve", "\u0301", "１２３", "Ⅷ", "…", "$^`~|=+<>"]


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, 12)):
        if rng.random() < 0.4:
            parts.append(rng.choice(PHRASES))
        else:
            low, high = rng.choice(SCRIPTS)
            parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randrange(1, 8))))
        parts.append(rng.choice(["", " ", " ", ""]))
    return "".join(parts)


def with_pre(source, pre):
    """A copy of the GPT-2 vocabulary that names another pre-tokenizer."""
    raw = source.read_bytes()
    key = b"tokenizer.ggml.pre" + (8).to_bytes(4, "little")
    at = raw.index(key) + len(key)
    length = int.from_bytes(raw[at:at + 8], "little")
    return raw[:at] + len(pre).to_bytes(8, "little") + pre.encode() + raw[at + 8 + length:]


def compare(dump, model, title, texts):
    inside = peer.bring(model)
    differ = 0
    for parse in (False, True):
        feed = b"".join(b"%d %d\n%b" % (parse, len(t.encode()), t.encode()) for t in texts)
        theirs = peer.text("tokens", inside, feed=feed).decode().splitlines()
        ours = subprocess.run([dump, "tokens", model], input=feed, check=True, capture_output=True).stdout
        differ += peer.differences(title, texts, ours.decode().splitlines(), theirs)
    print(f"{title:24} {2 * len(texts)} texts, {differ} differ")
    return differ


def main():
    why = peer.missing()
    if why:
        print("skipped:", why)
        sys.exit(77)
    rng = random.Random(7)
    texts = [random_text(rng) for _ in range(TEXTS)]
    models = peer.SHARED / "models"
    differ = sum(compare(sys.argv[1], models / f"ggml-vocab-{name}.gguf", name, texts)
                 for name in ("llama-spm", "phi-3"))
    with tempfile.TemporaryDirectory() as scratch:
        for pre in PRE:
            model = Path(scratch) / f"vocab-{pre}.gguf"
            model.write_bytes(with_pre(models / "ggml-vocab-gpt-2.gguf", pre))
            differ += compare(sys.argv[1], model, f"gpt-2 as {pre}", texts)
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
