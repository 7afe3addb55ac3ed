#!/usr/bin/env python3
"""Writes statistics_reference.h: curves, tests and intervals by scikit-learn, SciPy and NumPy (Debian:
python3-sklearn, python3-scipy, python3-numpy), or from their definitions, independently of hbar.

    /usr/bin/python3 tests/reference/statistics_reference.py
"""
import warnings
from pathlib import Path

import numpy as np
from scipy.special import expit
from scipy.stats import norm, spearmanr
from sklearn.metrics import (average_precision_score, brier_score_loss, log_loss, precision_recall_curve,
                             roc_auc_score)

rng = np.random.default_rng(11)
QUANTILES = [0, 0.025, 0.25, 0.5, 0.777, 0.975, 1]
DRAWS, SEED, RECALL = 200, 42, 0.8
TAU, LAMBDA = 0.4, 3.0


def cases():
    """Yields a name, two scores of the same samples, and labels."""
    y = rng.integers(0, 2, 60)
    a = rng.normal(0, 1, 60) + 0.8 * y
    yield "random", a, 0.6 * a + rng.normal(0, 1, 60), y
    tied = rng.integers(0, 3, 60).astype(float)
    yield "tied", tied + y * rng.integers(0, 2, 60), tied, y
    yield "separated", y + rng.uniform(0, 0.9, 60), rng.normal(0, 1, 60), y
    yield "inverted", -a, a, y
    rare = (np.arange(60) % 20 == 7).astype(int)
    yield "rare", rng.normal(0, 1, 60) + rare, rng.normal(0, 1, 60) + 2 * rare, rare
    yield "huge", 1e300 * a, 1e-300 * a, y
    few = np.array([0, 1, 0, 1, 1, 0, 0, 1, 0, 1])
    yield "tiny", rng.normal(0, 1, 10), np.array([1.0, 1, 1, 1, 1, 1, 1, 1, 1, 2]), few
    single = np.zeros(10, int)
    single[4] = 1
    yield "single", rng.normal(0, 1, 10), rng.integers(0, 2, 10).astype(float), single
    yield "equal", np.full(10, 0.5), rng.normal(0, 1, 10), few


def placements(score, label):
    """DeLong's structural components by their definition: psi over all pairs."""
    ones, zeros = score[label == 1], score[label == 0]
    psi = (ones[:, None] > zeros) + 0.5 * (ones[:, None] == zeros)
    return psi.mean(1), psi.mean(0)


def compare(a, b, label):
    """Difference, standard error, z and p of DeLong's paired test. The variance is that of the differences of
    placements, which equals the sum of covariances but has no cancellation."""
    (a10, a01), (b10, b01) = placements(a, label), placements(b, label)
    with np.errstate(all="ignore"):
        se = np.sqrt(np.var(a10 - b10, ddof=1) / label.sum() + np.var(a01 - b01, ddof=1) / (1 - label).sum())
    difference = a10.mean() - b10.mean()
    if len(a10) > 1 and len(a01) > 1:
        covariance = np.cov([a10, b10], ddof=1) / len(a10) + np.cov([a01, b01], ddof=1) / len(a01)
        assert abs(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1] - se**2) < 1e-12
    if np.isnan(se):
        return difference, np.nan, np.nan
    return difference, se, 2 * norm.sf(abs(difference / se)) if se > 0 else float(difference == 0)


def rejection(score, label):
    """AURC and PRR. Samples with equal scores are accepted at the hallucination rate of their group."""
    def aurc(values):
        order = np.argsort(values, kind="stable")
        sorted_values, risk = values[order], label[order].astype(float)
        for value in np.unique(sorted_values):
            risk[sorted_values == value] = risk[sorted_values == value].mean()
        return np.mean(np.cumsum(risk) / np.arange(1, len(risk) + 1))
    found, oracle, rate = aurc(score), aurc(label.astype(float)), label.mean()
    return found, (rate - found) / (rate - oracle)


def calibration_error(p, label):
    """ECE in ten equal bins."""
    bins = np.minimum((p * 10).astype(int), 9)
    return sum((bins == b).mean() * abs(p[bins == b].mean() - label[bins == b].mean()) for b in np.unique(bins))


class SplitMix:
    """The generator of Steele, Lea and Flood, with unbiased whole numbers below a bound."""
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    def below(self, bound):
        while (value := self.next()) < 2**64 % bound:
            pass
        return value % bound


def best_precision(score, label):
    precision, recall, _ = precision_recall_curve(label, score)
    return precision[:-1][recall[:-1] >= RECALL - 1e-12].max()


def bootstrap(score, label):
    """Percentile intervals of AUROC, average precision and the best precision. Each draw resamples the samples in
    descending order of score, label 0 first; scikit-learn computes the metrics."""
    order = np.argsort(-score, kind="stable")
    score, label = score[order], label[order]
    draws, source = [], SplitMix(SEED)
    for _ in range(DRAWS):
        chosen = np.concatenate([[members[source.below(len(members))] for _ in members]
                                 for members in (np.flatnonzero(label == c) for c in (0, 1))])
        s, y = score[chosen], label[chosen]
        draws.append((roc_auc_score(y, s), average_precision_score(y, s), best_precision(s, y)))
    return np.quantile(draws, [0.025, 0.975], axis=0).T.ravel()


def curve(score, label):
    """scikit-learn's precision-recall curve in ascending order of flagged samples: threshold, precision, recall."""
    precision, recall, tau = precision_recall_curve(label, score)
    return np.stack([tau, precision[:-1], recall[:-1]], 1)[::-1]


def holm(p):
    """Adjusted p values by the definition: the largest multiple among the smaller p values."""
    return [max(min(1, sum(q >= r for q in p) * r) for r in p if r <= x) for x in p]


def numbers(values):
    def text(v):
        return "NAN" if np.isnan(v) else f"{float(v):.17g}"
    return "{" + ", ".join(map(text, np.ravel(values))) + "}"


def row(name, a, b, y):
    p = expit(np.clip(LAMBDA * (a - TAU), -50, 50))
    with np.errstate(all="ignore"):
        v10, v01 = placements(a, y)
        assert abs(v10.mean() - roc_auc_score(y, a)) < 1e-12
        se = np.sqrt(np.var(v10, ddof=1) / len(v10) + np.var(v01, ddof=1) / len(v01))
        rho = spearmanr(a, b).correlation
    points = curve(a, y)
    fields = [f'"{name}"', str(len(a)), numbers(a), numbers(b), "{" + ", ".join(map(str, y)) + "}",
              *(repr(float(v)) for v in (roc_auc_score(y, a), average_precision_score(y, a))), numbers([se]),
              numbers(compare(a, b, y)), numbers([rho]), numbers(np.quantile(a, QUANTILES)), str(len(points)),
              "{" + ", ".join(map(numbers, points)) + "}", *(repr(float(v)) for v in (*rejection(a, y), calibration_error(p, y),
                                                           brier_score_loss(y, p), log_loss(y, p))),
              repr(float(best_precision(a, y))), numbers(bootstrap(a, y))]
    return "{" + ",\n".join(fields) + "},\n"


def main():
    warnings.simplefilter("ignore")  # the correlation of constants is undefined
    out = "/* Written by statistics_reference.py; test_statistics.c declares struct reference. */\n"
    out += "static const reference references[] = {\n" + "".join(row(*case) for case in cases()) + "};\n"
    p = [0.01, 0.04, 0.03, 0.005, 0.04, 1, 0.2, 0]
    out += f"static const double holm_p[] = {numbers(p)};\nstatic const double holm_adjusted[] = {numbers(holm(p))};\n"
    Path(__file__).with_suffix(".h").write_text(out)


main()
