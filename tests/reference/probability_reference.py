#!/usr/bin/env python3
"""Writes tails_reference.h, binomial tails by SciPy, and maps_reference.h and joint_reference.h, maps from score
to probability and joint models by scikit-learn (Debian: python3-scipy, python3-sklearn), independently of hbar.

    /usr/bin/python3 tests/reference/probability_reference.py
"""
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import binom
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(11)


def numbers(values):
    return "{" + ", ".join(f"{float(v):.17g}" for v in values) + "}"


def tails():
    out = "static const tail_reference tail_references[] = {\n"
    for n, q in ((1, 0.5), (10, 0.1), (29, 0.1), (30, 0.97), (200, 0.05), (1000, 0.37), (100000, 0.1), (1000000, 1e-4)):
        mean = n * q
        for k in sorted({0, int(mean / 2), int(mean), int(mean + 3 * (mean * (1 - q)) ** 0.5), n}):
            if k <= n:
                out += f"{{{k}, {n}, {q}, {binom.cdf(k, n, q):.17g}, {binom.sf(k - 1, n, q):.17g}}},\n"
    return out + "};\n"


def datasets():
    labels = rng.integers(0, 2, 60)
    yield "random", rng.normal(0, 1, 60), labels
    yield "informative", rng.normal(0, 1, 60) + 1.5 * labels, labels
    yield "inverted", rng.normal(2.7, 0.3, 60) - 0.4 * labels, labels
    yield "far off", 1e4 + 300 * (rng.normal(0, 1, 60) + labels), labels
    yield "tied", rng.integers(0, 4, 60) + (0.4 * labels).round(), labels
    yield "rare", rng.normal(0, 1, 80) + (rare := (np.arange(80) % 16 == 3)), rare.astype(int)
    yield "separated", rng.normal(0, 1, 20) + 9 * (apart := np.arange(20) % 2), apart
    yield "tiny", np.array([1.0, 3, 2]), np.array([0, 1, 1])
    yield "two", np.array([1.0, 2]), np.array([1, 0])
    yield "equal", np.full(12, 2.5), np.arange(12) % 3 // 2


def at(scores):
    """Points at which maps are evaluated: at scores, between them and beyond."""
    low, high = scores.min(), scores.max()
    return np.array([low, high]) if low == high else np.array(
        [low - 1, low, np.quantile(scores, 0.3), (low + high) / 2, np.quantile(scores, 0.9), high, high + 1])


def likeliest_lambda(scores, labels, tau, sign):
    """NaN if there is none above 0. Checks scikit-learn's result against SciPy's."""
    x = sign * (scores - tau)
    if np.all(x[labels == 1] >= 0) and np.all(x[labels == 0] <= 0) or np.sum((0.5 - labels) * x) >= 0:
        return np.nan
    value = LogisticRegression(penalty=None, fit_intercept=False, tol=1e-12, max_iter=10000).fit(
        x[:, None] / x.std(), labels).coef_[0, 0] / x.std()
    other = minimize_scalar(lambda s: np.logaddexp(0, np.where(labels == 1, -1, 1) * s * x / x.std()).sum(), tol=1e-12)
    assert abs(other.x / x.std() - value) < 1e-4 * max(1, abs(value)), (other.x, value)
    return value


def maps():
    out = "static const map_reference map_references[] = {\n"
    for name, scores, labels in datasets():
        points, tau = at(scores), float(np.median(scores))
        # The fit does not depend on units, but scikit-learn's search fails for values far from 0 and 1.
        unit = lambda values: (values - scores.mean()) / (scores.std() or 1)
        platt = _SigmoidCalibration().fit(unit(scores), labels).predict(unit(points))
        isotonic = [IsotonicRegression(y_min=0, y_max=1, increasing=up, out_of_bounds="clip").fit(scores, labels)
                    for up in (True, False)]
        lambdas = [likeliest_lambda(scores, labels, tau, sign) if len(set(scores)) > 1 else np.nan for sign in (1, -1)]
        out += "{" + ",\n".join([
            f'"{name}"', str(len(scores)), numbers(scores), "{" + ", ".join(map(str, labels)) + "}", str(len(points)),
            numbers(points), numbers(platt), numbers(isotonic[0].predict(points)),
            numbers(isotonic[1].predict(points)), repr(tau),
            "{" + ", ".join("NAN" if np.isnan(v) else f"{v:.17g}" for v in lambdas) + "}"]) + "},\n"
    return out + "};\n"


def columns():
    """Yields columns of scores, labels and c."""
    labels = rng.integers(0, 2, 60)
    signal = rng.normal(0, 1, (60, 4)) + labels[:, None] * [0.5, 1, 0, -1]
    yield "random", signal, labels, 1
    yield "strong", signal, labels, 1e-3
    yield "weak", signal, labels, 1e4
    yield "units", signal * [1e-2, 1, 10, 3] + [0, 5, 20, 0], labels, 0.5
    yield "collinear", np.column_stack([signal[:, :2], signal[:, 1], signal[:, 0] - signal[:, 1]]), labels, 1
    yield "constant", np.column_stack([signal[:, :2], np.full(60, 2.0)]), labels, 1
    yield "tied", rng.integers(0, 3, (60, 3)) + labels[:, None] * [0, 1, 0], labels, 10
    yield "rare", rng.normal(0, 1, (80, 2)) + (rare := (np.arange(80) % 16 == 3))[:, None], rare.astype(int), 1
    yield "separated", np.column_stack([9 * labels + rng.normal(0, 1, 60), rng.normal(0, 1, 60)]), labels, 1
    yield "one", signal[:, :1], labels, 1
    yield "tiny", np.array([[1.0, 0], [2, 1], [3, 0], [2.5, 1], [0, 0], [1, 2]]), np.array([0, 1, 1, 0, 0, 1]), 1


def regression(c):
    return LogisticRegression(C=c, solver="newton-cg", tol=1e-7, max_iter=1000)


def fits():
    out = "static const fit_reference fit_references[] = {\n"
    for name, x, labels, c in columns():
        model = regression(c).fit(x, labels)
        out += "{" + ",\n".join([
            f'"{name}"', str(len(x)), str(x.shape[1]), numbers(x.T.ravel()), "{" + ", ".join(map(str, labels)) + "}",
            str(c), numbers(model.coef_[0]), f"{model.intercept_[0]:.17g}"]) + "},\n"
    return out + "};\n"


class SplitMix:
    """hbar's random generator for folds (Steele, Lea and Flood 2014)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        while True:
            self.state = (self.state + 0x9E3779B97F4A7C15) % 2 ** 64
            z = self.state
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2 ** 64
            z = (z ^ z >> 27) * 0x94D049BB133111EB % 2 ** 64
            z ^= z >> 31
            if z >= 2 ** 64 % bound:
                return z % bound


def deal(labels, n_folds, seed):
    """Shuffles each class (Fisher and Yates) and assigns it to the folds in turn."""
    random, fold, dealt = SplitMix(seed), np.zeros(len(labels), int), 0
    for label in (0, 1):
        members = list(np.flatnonzero(labels == label))
        for i in range(len(members), 1, -1):
            j = random.below(i)
            members[i - 1], members[j] = members[j], members[i - 1]
        for member in members:
            fold[member] = dealt % n_folds
            dealt += 1
    return fold


def joint():
    """A whole cross-validation: the log-loss and AUROC of each strength, the model, and its log-odds out of fold."""
    labels = rng.integers(0, 2, 60)
    x = rng.normal(0, 1, (60, 3)) * [1, 10, 0.1] + labels[:, None] * [0.8, 0, 0.05] + [0, 100, 0]
    fold, strengths = deal(labels, 5, 42), [10.0 ** k for k in range(-4, 5)]
    z = np.zeros((len(strengths), 60))
    for k in range(5):
        scaler = StandardScaler().fit(x[fold != k])
        for t, c in enumerate(strengths):
            model = regression(c).fit(scaler.transform(x[fold != k]), labels[fold != k])
            z[t, fold == k] = model.decision_function(scaler.transform(x[fold == k]))
    losses = [log_loss(labels, 1 / (1 + np.exp(-row))) for row in z]
    best, scaler = int(np.argmin(losses)), StandardScaler().fit(x)
    model = regression(strengths[best]).fit(scaler.transform(x), labels)
    return "static const joint_reference joint_cv = {" + ",\n".join([
        "60", "3", numbers(x.T.ravel()), "{" + ", ".join(map(str, labels)) + "}", numbers(losses),
        numbers(roc_auc_score(labels, row) for row in z), str(best), numbers(scaler.mean_), numbers(scaler.scale_),
        numbers(model.coef_[0]), f"{model.intercept_[0]:.17g}", numbers(z[best])]) + "};\n"


def main():
    out = "/* Written by probability_reference.py; the tests declare the structs. */\n"
    here = Path(__file__)
    (here.parent / "tails_reference.h").write_text(out + tails())
    (here.parent / "maps_reference.h").write_text(out + maps())
    (here.parent / "joint_reference.h").write_text(out + fits() + joint())


main()
