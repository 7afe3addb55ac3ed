#!/usr/bin/env python3
"""Checks that the peer opens a model split by tools/gguf_writer.py, and that its results equal hbar's:

    compare_split.py HBAR_DUMP

Exits with 77 if the peer is not installed."""
import subprocess
import sys
import tempfile
from pathlib import Path

import peer

PARTS = 3
LIMIT = 1e-3


def main():
    why = peer.missing()
    if why:
        print("skipped:", why)
        sys.exit(77)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, peer.PROJECT / "tools" / "make_model.py", f"{scratch}/parts.gguf", "--type", "f32",
                        "--embd", "64", "--ff", "96", "--layers", "5", "--parts", str(PARTS)], check=True)
        files = sorted(Path(scratch).iterdir())
        inside = [peer.bring(part) for part in files]
        _, reference = peer.oracle(inside[0], peer.PROMPTS[0], 40)
        raw = subprocess.run([sys.argv[1], files[0], peer.PROMPTS[0], "40"], check=True, capture_output=True)
        _, ours = peer.parse(raw.stdout)
    same = len(files) == PARTS and [s["token"] for s in ours] == [s["token"] for s in reference]
    worst = max(abs(a - b) for x, y in zip(ours, reference) for a, b in zip(x["logits"], y["logits"]))
    print(f"{PARTS} parts: {len(reference)} tokens {'equal' if same else 'DIFFER'}, worst logit {worst:.2e}")
    sys.exit(not same or worst > LIMIT)


if __name__ == "__main__":
    main()
