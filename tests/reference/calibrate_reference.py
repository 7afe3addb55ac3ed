#!/usr/bin/env python3
"""Writes calibrate_reference.h: curves and quantiles of small data sets by scikit-learn and NumPy
(Debian: python3-sklearn, python3-numpy), independently of hbar.

    /usr/bin/python3 tests/reference/calibrate_reference.py
"""
from pathlib import Path

import numpy as np
from sklearn.metrics import (average_precision_score, precision_recall_curve, precision_recall_fscore_support,
                             roc_auc_score)

rng = np.random.default_rng(7)


def datasets():
    labels = rng.integers(0, 2, 60)
    yield "random", rng.normal(0, 1, 60), labels
    yield "separated", rng.normal(0, 1, 60) + 1.5 * labels, labels
    yield "inverted", rng.normal(2.7, 0.3, 60) - 0.4 * labels, labels
    yield "tied", rng.integers(0, 4, 60).astype(float), labels
    yield "rare", rng.normal(0, 1, 80) + (rare := (np.arange(80) % 16 == 3)), rare.astype(int)
    yield "tiny", np.array([1.0, 2, 2, 3, 4, 4, 4, 5, 6, 6]), np.array([0, 1, 0, 0, 1, 1, 0, 1, 1, 0])


def best(scores, labels, low):
    """The documented choice of a threshold, by brute force over NumPy's quantiles of the oriented score, with the
    number of the grid (0 narrow, 1 wide) and whether best F1 decided."""
    oriented = -scores if low else scores
    for wide, (first, last) in enumerate(((60, 99), (1, 99))):
        points = []
        for k in range(last, first - 1, -1):
            tau = np.quantile(oriented, k / 100)
            p, r, f, _ = precision_recall_fscore_support(labels, oriented >= tau, average="binary",
                                                         zero_division=0)
            points.append((-tau if low else tau, p, r, f))
        reaching = [q for q in points if q[2] >= 0.9 - 1e-12]
        if reaching:
            return (*max(reaching, key=lambda q: (q[1], q[2])), wide, 0)
    return (*max(points, key=lambda q: (q[3], q[2])), 1, 1)


def curve(scores, labels):
    """Precision, recall and threshold in descending order of threshold, and their number."""
    precision, recall, tau = precision_recall_curve(labels, scores)
    return [str(len(tau)), *(numbers(v[len(tau) - 1::-1]) for v in (precision, recall, tau))]


def numbers(values):
    return "{" + ", ".join(f"{float(v):.17g}" for v in values) + "}"


def main():
    out = "/* Written by calibrate_reference.py; test_calibrate.c declares struct reference. */\n"
    out += "static const reference references[] = {\n"
    for name, scores, labels in datasets():
        groups = [scores[labels == k] for k in (0, 1)]
        out += "{" + ",\n".join([
            f'"{name}"', str(len(scores)), numbers(scores), "{" + ", ".join(map(str, labels)) + "}",
            repr(float(roc_auc_score(labels, scores))), repr(float(average_precision_score(labels, scores))),
            repr(float(average_precision_score(labels, -scores))), numbers(g.mean() for g in groups),
            numbers(g.std(ddof=1) for g in groups),
            numbers(np.quantile(scores, [0, 0.123, 0.5, 0.6, 1])), numbers(best(scores, labels, False)),
            numbers(best(scores, labels, True)), *curve(scores, labels)]) + "},\n"
    Path(__file__).with_suffix(".h").write_text(out + "};\n")


main()
