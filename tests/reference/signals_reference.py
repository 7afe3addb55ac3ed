#!/usr/bin/env python3
"""Writes signals_reference.h: the signals of random inputs, computed from their formulas by NumPy and
SciPy (Debian: python3-numpy, python3-scipy) in double precision, independently of hbar.

    /usr/bin/python3 tests/reference/signals_reference.py
"""
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cosine, jensenshannon
from scipy.special import expit, softmax
from scipy.stats import entropy

rng = np.random.default_rng(20)


def c_array(name, values, kind="float"):
    numbers = ", ".join(f"{v:.9g}" if kind == "float" else f"{v:.17g}" for v in np.ravel(values))
    return f"static const {kind} {name}[] = {{{numbers}}};\n"


def distribution_signals(prefix, logits):
    """Each signal's values, from p alone."""
    names = ("entropy", "renyi", "tsallis", "fisher_rao", "rainproof_renyi", "rainproof_fisher_rao", "max_prob", "margin",
             "self_certainty")
    rows = []
    for x in logits:
        p = softmax(x.astype(np.float64))
        u = np.full_like(p, 1 / len(p))
        affinity = min(1, np.sum(np.sqrt(softmax(x.astype(np.float64) / 2) * u)))
        best = np.sort(p)[::-1]
        rows.append([entropy(p), np.log(np.sum(p**2 / u)), (np.sum(p**1.5 * u**-0.5) - 1) / 0.5,
                     2 / np.pi * np.arccos(min(1, np.sum(np.sqrt(p * u)))), -2 * np.log(affinity),
                     2 / np.pi * np.arccos(affinity), best[0], best[0] - best[1], entropy(u, p)])
    return "".join(c_array(prefix + name, column, "double") for name, column in zip(names, np.transpose(rows)))


def depth(rows):
    """The first block such that this and all later blocks have the last block's top token, divided by the number of
    blocks."""
    settled = [row.argmax() == rows[-1].argmax() for row in rows]
    return min(l + 1 for l in range(len(rows)) if all(settled[l:])) / len(rows)


def boosted(p, token):
    """The mass of the dominant tokens if `token` is one of them, else its own probability."""
    order = np.argsort(-p, kind="stable")
    gaps = p[order][:-1] - p[order][1:]
    jumps = np.flatnonzero((gaps > 0.3 * p[order][:-1]) & (gaps > 0.005))
    dominant = order[:jumps[-1] + 1] if len(jumps) else []
    return p[dominant].sum() if token in dominant else p[token]


def of_clusters():
    """Boosted probabilities of all tokens where several are about as probable, far apart, or all alike."""
    logits = np.float32([np.concatenate([rng.normal(high, 0.2, n), rng.normal(0, 0.3, 60 - n)])
                         for high, n in ((7, 3), (4, 9), (0.2, 40), (2, 1), (9, 1), (2.5, 60))])
    return c_array("ref_clusters", logits) + c_array(
        "ref_boosted", [[boosted(softmax(np.float64(x)), t) for t in range(60)] for x in logits], "double")


def of_changes():
    """The Fisher length of logits' changes, and the null ratio of a change of states, for sharp and flat distributions."""
    out, shifts, ratios = "", [], []
    logits, before = np.float32(rng.normal(0, 1, (4, 270))), np.float32(rng.normal(0, 2, (4, 270)))
    logits *= np.float32([[0.1], [1], [6], [25]])
    head = np.float32(rng.normal(0.3, 1, (4, 12, 21)))
    states = np.float32(rng.normal(0, 1, (4, 2, 21)))
    states[3, 1] = states[3, 0] + 0.25 * head[3, 0]  # along the likeliest token's row
    weights = softmax(np.sort(rng.normal(0, 1, (4, 12)) * [[0.1], [1], [3], [20]], axis=1)[:, ::-1], axis=1)
    for x, y, w, (now, then), p in zip(np.float64(logits), np.float64(before), np.float64(head), np.float64(states), weights):
        q, c = softmax(x), now - then
        shifts.append(np.sqrt(max(0, q @ (x - y) ** 2 - (q @ (x - y)) ** 2)))
        v = np.linalg.svd(np.sqrt(p)[:, None] * w)[2][0]
        ratios.append(np.linalg.norm(c - v * (v @ c)) / np.linalg.norm(c))
    for name, values in (("after", logits), ("before", before), ("head", head), ("changed", states)):
        out += c_array("ref_" + name, values)
    return out + "".join(c_array("ref_" + name, values, "double") for name, values in
                         (("weights", weights), ("fisher_shift", shifts), ("null_ratio", ratios)))


def main():
    out = "/* Written by signals_reference.py. */\n"
    logits = [np.float32(rng.normal(0, scale, 17)) for scale in (0.01, 1, 8, 40)]
    out += c_array("ref_logits", logits)
    p = [softmax(x.astype(np.float64)) for x in logits]
    out += c_array("ref_p", p, "double")
    impurity = [1 - np.sum(q**2) for q in p]
    out += c_array("ref_impurity", impurity, "double")
    mu = [1 / np.sqrt(i + 0.01) for i in impurity]
    out += c_array("ref_delta_mu", mu, "double")

    # A distribution long enough for sums in stretches. test_signals.c generates the same one.
    spread = (np.arange(5003) * 2654435761 % 2**32) / 2**32 - 0.5
    big = [np.float32(scale * spread) for scale in (1, 30)]
    out += distribution_signals("ref_small_", logits) + distribution_signals("ref_big_", big)

    lens = [np.float32(rng.normal(0, scale, (6, 9))) for scale in (0.3, 3)]
    for rows in lens:  # the top token of the last block; in the second case also of block 4 and later
        rows[-1, 0] = rows[-1].max() + 1
    lens[1][3:, 0] = lens[1][3:].max(axis=1) + 0.5
    lens[1][2, 0] = lens[1][2].min() - 1
    out += c_array("ref_lens", lens)
    out += c_array("ref_lens_jsd", [jensenshannon(*softmax(np.float64(rows[[-1, 2]]), axis=1)) ** 2
                                    for rows in lens], "double")
    out += c_array("ref_lens_depth", [depth(rows) for rows in lens], "double")

    # States: random; nearly parallel; small enough for the 1e-8 to matter.
    base = rng.normal(0, 1, 11)
    states = [np.float32(rng.normal(0, 3, (5, 11))), np.float32(base + rng.normal(0, 1e-3, (5, 11))),
              np.float32(rng.normal(0, 3e-5, (5, 11)))]
    out += c_array("ref_states", states)
    sigma = []
    for h in states:
        h = h.astype(np.float64)
        unit = h / np.sqrt(np.sum(h**2, axis=1, keepdims=True) + 1e-8)
        sigma.append(np.sqrt(np.mean(np.sum((unit - unit.mean(axis=0)) ** 2, axis=1))))
    out += c_array("ref_delta_sigma", sigma, "double")
    hbar = [np.sqrt(m * s) for m, s in zip(mu, sigma)]
    out += c_array("ref_hbar_s", hbar, "double")
    out += c_array("ref_p_fail_high", [expit(5 * (h - 1.2)) for h in hbar], "double")
    out += c_array("ref_p_fail_low", [expit(-5 * (h - 1.2)) for h in hbar], "double")
    surprise = [-np.log(np.clip(q[3], 1e-10, 1)) for q in p]
    out += c_array("ref_surprise", surprise, "double")
    pairs = [(states[0][i].astype(np.float64), states[0][i + 1].astype(np.float64)) for i in range(4)]
    distance = [cosine(a, b) for a, b in pairs]
    out += c_array("ref_delta_h", distance, "double")
    out += c_array("ref_pri", [s * (1 + 0.1 * d) for s, d in zip(surprise, distance)], "double")
    out += of_clusters() + of_changes()
    Path(__file__).with_suffix(".h").write_text(out)


main()
