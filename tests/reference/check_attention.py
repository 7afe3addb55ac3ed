#!/usr/bin/env python3
"""Checks what hbar finds about attention against whole attention matrices, which NumPy computes in double precision from a
model's weights (tests/peer/exact.py). hbar_dump prints what hbar finds for each step of a greedy generation.

    check_attention.py HBAR_DUMP MODEL ...     models must have F32 tensors

Exits with 77 if NumPy is not installed (Debian: python3-numpy)."""
import json
import os
import subprocess
import sys
from pathlib import Path

try:
    import numpy as np
except ModuleNotFoundError as missing:
    if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3") and os.path.exists("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print("skipped:", missing)
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peer"))
from exact import Model  # noqa: E402
from model_file import read_model  # noqa: E402

PROMPT, STEPS = "Hello world, once upon a time there was a small dog who lived near the sea with", 24
NAMES = ["sink", "context", "generated", "previous", "self", "entropy"]


class Watched(Model):
    """Keeps the attention of each layer."""

    def attention_rows(self, x, layer):
        weights, v = super().attention_rows(x, layer)
        learned = weights.shape[-1] > len(x)  # the last column is then that of a score without a position
        self.kept = (self.kept if layer else []) + [weights]
        self.n_positions = weights.shape[-1] - learned
        return weights, v


def reductions(whole, n_positions, at, n_prompt):
    """whole [layers][heads][positions, and a learned score's weight where there is one] of position `at`; only the entropy
    includes the learned score's weight"""
    rows = whole[..., :n_positions]
    before = rows[..., at - 1] if at else np.zeros(rows.shape[:2])
    logs = np.log(np.where(whole > 0, whole, 1))
    return np.stack([rows[..., 0], rows[..., 1:n_prompt].sum(-1), rows[..., n_prompt:].sum(-1), before, rows[..., at],
                     -(whole * logs).sum(-1)], axis=-1)


def check(dump, path):
    shown = subprocess.run([dump, path, PROMPT, str(STEPS)], check=True, capture_output=True).stdout.splitlines()
    prompt, steps = json.loads(shown[0])["prompt"], [json.loads(line) for line in shown[1:]]
    model = Watched(*read_model(path))
    model.run(prompt + [step["token"] for step in steps[:-1]])
    rows = np.stack(model.kept)
    assert len(steps) >= 8 and (rows.shape[1] == model.heads)
    found = np.array([step["attention"] for step in steps])
    expected = np.stack([reductions(rows[:, :, at], model.n_positions, at, len(prompt))
                         for at in range(len(prompt) - 1, rows.shape[2])])
    worst = np.abs(found - expected).reshape(-1, len(NAMES)).max(0)
    print(Path(path).name, ", ".join(f"{name} {off:.1e}" for name, off in zip(NAMES, worst)))
    return bool((worst < [2e-5] * 5 + [1e-4]).all())


def main():
    dump, *models = sys.argv[1:]
    ok = [check(dump, model) for model in models]
    sys.exit(not all(ok))


if __name__ == "__main__":
    main()
