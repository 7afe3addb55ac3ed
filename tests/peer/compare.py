#!/usr/bin/env python3
"""Compares every logit and every block's state with the peer's, over greedy tokens from several prompts:

    compare.py HBAR_DUMP

Exits with 77 if the peer is not installed."""
import subprocess
import sys

import peer

LIMIT = 1e-3


def norm(values):
    return sum(v * v for v in values) ** 0.5


def relative(ours, theirs):
    return norm([a - b for a, b in zip(ours, theirs)]) / norm(theirs)


def compare(dump, prompt, model_inside):
    reference_prompt, reference = peer.oracle(model_inside, prompt, peer.STEPS)
    raw = subprocess.run([dump, str(peer.STORIES), prompt, str(peer.STEPS)], check=True, capture_output=True)
    our_prompt, ours = peer.parse(raw.stdout)
    tokens = ([s["token"] for s in ours] == [s["token"] for s in reference]) and our_prompt == reference_prompt
    logits = max(max(abs(a - b) for a, b in zip(x["logits"], y["logits"])) for x, y in zip(ours, reference))
    states = max(max(relative(a, b) for a, b in zip(x["blocks"], y["blocks"])) for x, y in zip(ours, reference))
    print(f"{len(reference):4} tokens {'equal' if tokens else 'DIFFER'}  worst logit {logits:.2e}"
          f"  worst block state {states:.2e}  {prompt!r}")
    return tokens and logits < LIMIT and states < LIMIT, len(reference)


def main():
    why = peer.missing()
    if why:
        print("skipped:", why)
        sys.exit(77)
    model_inside = peer.bring(peer.STORIES)
    results = [compare(sys.argv[1], prompt, model_inside) for prompt in peer.PROMPTS]
    total = sum(n for _, n in results)
    print(total, "tokens in all")
    sys.exit(0 if all(ok for ok, _ in results) and total >= 200 else 1)


if __name__ == "__main__":
    main()
