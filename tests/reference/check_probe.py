#!/usr/bin/env python3
"""Compares probes with NumPy: trains the chosen block and strength again on the features of a run, by Newton's method with
the whole matrix, and compares the log-odds and the validated AUROC. Computes the distances of densities again, with
scikit-learn's covariance if that is installed. Skips (77) without NumPy.

    check_probe.py HBAR MODEL.gguf
"""
import base64
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
except ModuleNotFoundError as missing:
    if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3") and os.path.exists("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print("skipped:", missing)
    sys.exit(77)

try:
    from sklearn.covariance import LedoitWolf
except ModuleNotFoundError:
    LedoitWolf = None

COLUMN = {"probe": "mean", "probe_first": "first", "probe_last": "last", "wepr": "topk", "lookback": "lookback",
          "mahalanobis": "mean", "relative_mahalanobis": "mean"}


def logistic(x, y, c):
    """Weights and intercept that minimise |w|^2 / 2 + c sum log-losses of standardised x, for x as it is."""
    mean, sd = x.mean(0), x.std(0)
    sd[sd == 0] = np.inf
    z = np.hstack([(x - mean) / sd, np.ones((len(x), 1))])
    penalty = np.ones(z.shape[1])
    penalty[-1] = 0
    w = np.zeros(z.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-z @ w))
        gradient = penalty * w + c * z.T @ (p - y)
        hessian = np.diag(penalty) + c * (z.T * (p * (1 - p))) @ z
        step = np.linalg.solve(hessian, gradient)
        w -= step
        if np.abs(step).max() < 1e-12:
            break
    return w[:-1] / sd, w[-1] - (w[:-1] / sd * mean).sum()


def auroc(z, y):
    ones, zeros = z[y == 1], z[y == 0]
    return ((ones[:, None] > zeros).sum() + (ones[:, None] == zeros).sum() / 2) / (len(ones) * len(zeros))


def shrunk(z):
    """The covariance of samples, shrunk as Ledoit and Wolf (2004) define it, and their mean."""
    n, p = z.shape
    mean = z.mean(0)
    off = z - mean
    s = off.T @ off / n
    level = np.trace(s) / p
    distance = np.sum((s - level * np.eye(p)) ** 2)
    error = min(distance, sum(np.sum((np.outer(row, row) - s) ** 2) for row in off) / n**2)
    covariance = error / distance * level * np.eye(p) + (1 - error / distance) * s
    if LedoitWolf:
        assert np.allclose(covariance, LedoitWolf().fit(z).covariance_, rtol=1e-9)
    return covariance, mean


def distances(z, fitted):
    covariance, mean = shrunk(fitted)
    return np.einsum("ij,jk,ik->i", z - mean, np.linalg.inv(covariance), z - mean)


def density(probe, x, y, relative):
    """The values of hbar's model and of ours, in the components that it found, which must be as good as the leading ones."""
    rows = np.frombuffer(base64.b64decode(probe["rows"]), "<f4").astype(float).reshape(len(probe["factors"]), -1)
    weights = np.frombuffer(base64.b64decode(probe["weights"]), "<f4").astype(float)
    values = probe["intercept"] + x @ weights + (x @ rows.T - probe["offsets"]) ** 2 @ probe["factors"]
    assert np.allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-5)
    variances = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2
    held = np.sum(((x - x.mean(0)) @ rows.T) ** 2) / variances[:len(rows)].sum()
    assert held > 0.999, held
    z = x @ rows.T
    return values, distances(z, z[y == 0]) - (distances(z, z) if relative else 0)


def check(hbar, model, folder, name):
    data, run = folder / "data.jsonl", folder / "run.db"
    data.write_text("".join(json.dumps({"id": f"{i}-{k}", "prompt": f"Is {i} plus {i} equal to {2 * i + k}?", "label": k}) + "\n"
                            for i in range(40) for k in (0, 1)))
    call = [hbar, "calibrate", "--model", model, "--data", data, "-n", "0", "--max-tokens", "5", "--features", "hidden,topk,attention",
            "--score", name, "--draws", "0", "--run", run, "-o", folder, "--quiet", "--json"]
    result = json.loads(subprocess.run(list(map(str, call)), check=True, stdout=subprocess.PIPE).stdout)
    probe = result["probes"][name]
    weights = np.frombuffer(base64.b64decode(probe["weights"]), "<f4").astype(float)
    rows = sqlite3.connect(run).execute(f'SELECT "{COLUMN[name]}", label FROM features JOIN samples USING (idx)').fetchall()
    x = np.stack([np.frombuffer(blob, "<f2") for blob, _ in rows]).astype(float)
    y = np.array([label for _, label in rows])
    if "block" in probe:
        x = x[:, len(weights) * (probe["block"] - 1):][:, :len(weights)]  # the model has three blocks, all kept
    if "rows" in probe:
        values, wanted = density(probe, x, y, name.startswith("relative"))
    else:
        expected, intercept = logistic(x, y, probe["c"])
        values, wanted = x @ weights + probe["intercept"], x @ expected + intercept
    off = np.abs(values - wanted).max() / max(1, np.abs(wanted).mean())
    judged = json.loads(subprocess.run([hbar, "validate", "--params", result["parameters"], "--run", run, "--draws", "0",
                                        "--quiet", "--json"], check=True, stdout=subprocess.PIPE).stdout)
    difference = abs(judged["scores"][name]["auroc"] - auroc(values, y))
    print(f"{name}: {len(weights)} weights; values differ by {off:.1e}, AUROC by {difference:.1e}")
    return off < 5e-3 and difference < 1e-3


def main():
    hbar, model = sys.argv[1:]
    ok = True
    for name in COLUMN:
        with tempfile.TemporaryDirectory() as folder:
            ok = check(hbar, model, Path(folder), name) and ok
    sys.exit(not ok)


if __name__ == "__main__":
    main()
