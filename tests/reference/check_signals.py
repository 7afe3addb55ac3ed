#!/usr/bin/env python3
"""Checks all signals and aggregations of a monitored generation, independently of hbar. Computes them in double
precision with NumPy and SciPy from the weights of the output head and from the logits, block states and attention that
hbar_dump prints for the same tokens (check_attention.py checks the attention).

    check_signals.py HBAR HBAR_DUMP MODEL     MODEL must have F32 tensors

Exits with 77 if NumPy or SciPy is not installed (Debian: python3-numpy, python3-scipy)."""
import json
import os
import subprocess
import sys

try:
    import numpy as np
    from scipy.spatial.distance import cosine, jensenshannon
    from scipy.special import log_softmax, softmax
    from scipy.stats import entropy
except ModuleNotFoundError as missing:
    if os.path.realpath(sys.executable) != os.path.realpath("/usr/bin/python3") and os.path.exists("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print("skipped:", missing)
    sys.exit(77)

from model_file import read_model  # noqa: E402

PROMPT, STEPS, LENS, ALPHA = "Hello world, once upon a time", 16, 32, 0.1
USUAL = {"perplexity": ["last"], "sequence_logprob": ["last"], "rauq": ["last"], "attention_self": ["mean"],
         "epr": ["mean"], "boosted_prob": ["mean"]}
SINK, PREVIOUS, SELF, ENTROPY = 0, 3, 4, 5  # of a head's attention


def of_distribution(logits):
    """Signals of a next-token distribution alone."""
    p = softmax(logits)
    u, best = np.full_like(p, 1 / len(p)), np.sort(p)[::-1]
    affinity = np.sum(np.sqrt(softmax(logits / 2) * u))
    return {"delta_mu": 1 / np.sqrt(1 - np.sum(p**2) + 0.01), "entropy": entropy(p),
            "renyi": np.log(np.sum(p**2 / u)), "tsallis": (np.sum(p**1.5 * u**-0.5) - 1) / 0.5,
            "fisher_rao": 2 / np.pi * np.arccos(min(1, np.sum(np.sqrt(p * u)))), "max_prob": best[0],
            "rainproof_renyi": -2 * np.log(affinity), "rainproof_fisher_rao": 2 / np.pi * np.arccos(affinity),
            "margin": best[0] - best[1], "self_certainty": entropy(u, p),
            "epr": -np.sum(best[:15] * np.log(best[:15]))}


def boosted(p, token):
    """The mass of the dominant tokens if `token` is one of them, else its own probability."""
    order = np.argsort(-p, kind="stable")
    gaps = p[order][:-1] - p[order][1:]
    jumps = np.flatnonzero((gaps > 0.3 * p[order][:-1]) & (gaps > 0.005))
    dominant = order[:jumps[-1] + 1] if len(jumps) else []
    return p[dominant].sum() if token in dominant else p[token]


def of_change(logits, z, before, head):
    """From the head's input z at this step, and the one before."""
    if before is None:
        return {"fisher_shift": 0, "null_ratio": 0}
    p, change = softmax(logits), z - before
    shift = head @ change
    top = np.argsort(-p, kind="stable")[:LENS]
    v = np.linalg.svd(np.sqrt(p[top])[:, None] * head[top], full_matrices=False)[2][0]
    return {"fisher_shift": np.sqrt(p @ shift**2 - (p @ shift)**2),
            "null_ratio": np.linalg.norm(change - v * (v @ change)) / np.linalg.norm(change)}


def of_states(h, before):
    unit = h / np.sqrt(np.sum(h**2, axis=1, keepdims=True) + 1e-8)
    return {"delta_sigma": np.sqrt(np.mean(np.sum((unit - unit.mean(axis=0)) ** 2, axis=1))),
            "delta_h": 0 if before is None else cosine(h[-1], before[-1])}


def of_lens(logits, h, head, norm, eps):
    """The final norm and the head applied to every block, for the most probable tokens."""
    top = np.argsort(-logits, kind="stable")[:LENS]
    lens = (h / np.sqrt(np.mean(h**2, axis=1, keepdims=True) + eps) * norm) @ head[top].T
    assert np.allclose(lens[-1], logits[top], atol=1e-4)
    middle = -(-len(h) // 2) - 1
    settled = [row.argmax() == 0 for row in lens]
    depth = min(l + 1 for l in range(len(h)) if all(settled[l:])) / len(h)
    return {"lens_jsd": jensenshannon(softmax(lens[-1]), softmax(lens[middle])) ** 2, "lens_depth": depth}


def of_attention(heads):
    """Means over [layers][heads]."""
    return {"attention_entropy": heads[..., ENTROPY].mean(), "attention_sink": heads[..., SINK].mean(),
            "attention_self": np.log(heads[..., SELF]).mean()}


def rauq(p, weights, alpha=0.2):
    """Algorithm 1 of the paper. p [n] are the tokens' probabilities; weights [n][layers][heads] are those with which each
    token attends to the token before it. The last token's are not known; those of the one before stand for them, and do not
    count when a head is chosen."""
    n_layers = weights.shape[1]
    uncertainties = []
    for layer in range(n_layers // 3, min(-(-2 * n_layers // 3) + 1, n_layers)):
        a = weights[:, layer]
        # For two tokens, the head is chosen by the first one's attention to the prompt.
        known = a[1:-1] if len(p) > 2 else a[:1]
        head, c = known.mean(0).argmax(), [p[0]]
        for i in range(1, len(p)):
            c.append(alpha * p[i] + (1 - alpha) * a[i, head] * c[-1])
        uncertainties.append(-np.mean(np.log(c)))
    return max(uncertainties)


def expected_steps(steps, pairs, tensors):
    head, norm = tensors["output.weight"], tensors["output_norm.weight"]
    eps, before, z_before, surprises, attended = pairs["llama.attention.layer_norm_rms_epsilon"], None, None, [], []
    for step in steps:
        logits, h = np.float64(step["logits"]), np.float64(step["blocks"])
        s = {**of_distribution(logits), **of_states(h, before), **of_lens(logits, h, head, norm, eps)}
        s["hbar_s"] = np.sqrt(s["delta_mu"] * s["delta_sigma"])
        s["surprise"] = -log_softmax(logits)[step["token"]]
        s["pri"] = s["surprise"] * (1 + ALPHA * s["delta_h"])
        z = h[-1] / np.sqrt(np.mean(h[-1]**2) + eps) * norm
        s |= of_change(logits, z, z_before, head)
        s["pri_fisher"] = s["surprise"] + ALPHA * s["fisher_shift"]
        s["boosted_prob"] = boosted(softmax(logits), step["token"])
        surprises.append(s["surprise"])
        heads = np.float64(step["attention"])
        s |= of_attention(heads)
        attended.append(heads[..., PREVIOUS])  # of the token before this step's
        s["rauq"] = rauq(np.exp(-np.array(surprises)), np.array([*attended[1:], attended[-1]]))
        s["perplexity"], s["sequence_logprob"] = np.exp(np.mean(surprises)), -np.sum(surprises)
        before, z_before = h, z
        yield s


def aggregate(values, how):
    values = np.array(values)
    return {"top5": np.sort(values)[-5:].mean(), "bottom5": np.sort(values)[:5].mean(), "mean": values.mean(),
            "max": values.max(), "min": values.min(), "last": values[-1], "first": values[0], "sum": values.sum()}[how]


def main():
    hbar, dump, model = sys.argv[1:]
    shown = subprocess.run([dump, model, PROMPT, str(STEPS)], check=True, capture_output=True).stdout.splitlines()
    steps = [json.loads(line) for line in shown[1:]]
    watched = json.loads(subprocess.run([hbar, "generate", "--model", model, "--kv-type", "f32", "--cutoff", "1.1", "--max-tokens",
                                         str(STEPS), "--json", PROMPT], check=True, capture_output=True).stdout)
    trajectory = watched["trajectory"]
    assert [s["token"] for s in trajectory] == [s["token"] for s in steps][:len(trajectory)], "other tokens"
    expected = list(expected_steps(steps[:len(trajectory)], *read_model(model)))
    assert len(expected) >= 8 and len(expected[0]) == 28
    failed = 0
    for name in sorted(expected[0]):
        wanted = [e[name] for e in expected]
        worst = max(abs(t[name] - w) / max(1, abs(w)) for t, w in zip(trajectory, wanted))
        score = 0
        for how in USUAL.get(name, ["top5", "bottom5"]):
            known, value = watched["scores"][name if name in USUAL else f"{name}:{how}"], aggregate(wanted, how)
            score = max(score, abs(known - value) / max(1, abs(value)))
        ok = worst < 2e-5 and score < 2e-5
        failed += not ok
        print(f"{name:20} worst difference {worst:.1e}, of the score {score:.1e}{'' if ok else '  FAILED'}")
    sys.exit(1 if failed else 0)


main()
