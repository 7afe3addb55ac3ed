#!/usr/bin/env python3
"""Writes signals_reference.h: the signals of random inputs, computed from their formulas by NumPy and
SciPy (Debian: python3-numpy, python3-scipy) in double precision, independently of hbar.

    /usr/bin/python3 tests/reference/signals_reference.py
"""
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cosine
from scipy.special import expit, softmax

rng = np.random.default_rng(20)


def c_array(name, values, kind="float"):
    numbers = ", ".join(f"{v:.9g}" if kind == "float" else f"{v:.17g}" for v in np.ravel(values))
    return f"static const {kind} {name}[] = {{{numbers}}};\n"


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
    Path(__file__).with_suffix(".h").write_text(out)


main()
