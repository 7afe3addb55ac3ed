#!/usr/bin/env python3
"""Writes measures_reference.json and eigenscore_reference.json: measures over samples, computed from their definitions
with NumPy (Debian: python3-numpy), independently of hbar.

    /usr/bin/python3 tests/reference/measures_reference.py

Texts are plain ASCII words, so that reading them is simple: lower case, split at everything else, and for a match
without articles.
"""
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np

rng = np.random.default_rng(15)
WORDS = "red green blue the old river town of Paris London king 1969 moon a tree".split()


def words(text, articles=True):
    found = re.findall(r"[a-z0-9]+", text.lower())
    kept = [w for w in found if w not in ("a", "an", "the")]
    return found if articles or not kept else kept


def match(a, b):
    return float(words(a, False) == words(b, False))


def rouge_l(a, b):
    a, b = words(a), words(b)
    table = np.zeros((len(a) + 1, len(b) + 1))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    if not a and not b:
        return 1.0
    if not table[-1, -1]:
        return 0.0
    precision, recall = table[-1, -1] / len(b), table[-1, -1] / len(a)
    return 2 * precision * recall / (precision + recall)


def jaccard(a, b):
    a, b = set(words(a)), set(words(b))
    return len(a & b) / len(a | b) if a | b else 1.0


def matrix(texts, similarity):
    return np.array([[1.0 if a == b else similarity(a, b) for b in texts] for a in texts])


def clusters(s):
    """Each text joins the first cluster whose first member it is similar to in both directions."""
    found = []
    for i in range(len(s)):
        for members in found:
            if s[members[0], i] >= 0.5 and s[i, members[0]] >= 0.5:
                members.append(i)
                break
        else:
            found.append([i])
    return found


def entropy(p):
    p = np.array(p)[np.array(p) > 0]
    return float(-(p * np.log(p)).sum())


def of_clusters(found, texts, log_probs):
    shares = [len(c) / len(texts) for c in found]
    mass = []
    for members in found:
        different = {texts[i]: log_probs[i] for i in reversed(members)}  # the first of equal texts stays
        mass.append(np.logaddexp.reduce(list(different.values())))
    mass = np.array(mass)
    return {"n_distinct": len(found), "discrete_semantic_entropy": entropy(shares),
            "semantic_entropy": entropy(np.exp(mass - np.logaddexp.reduce(mass))),
            "semantic_entropy_mc": float(-np.mean([mass[c] for c, m in enumerate(found) for _ in m]))}


def of_graph(w):
    degrees = w.sum(axis=1)
    laplacian = np.eye(len(w)) - w / np.sqrt(np.outer(degrees, degrees))
    values, vectors = np.linalg.eigh(laplacian)
    kept = vectors[:, values < 0.9]  # row j holds the coordinates of answer j
    return {"eigv": float(np.maximum(0, 1 - values).sum()),
            "deg": float(np.trace(len(w) * np.eye(len(w)) - np.diag(degrees)) / len(w) ** 2),
            "ecc": float(np.linalg.norm(kept - kept.mean(axis=0)))}


def self_check(answer, samples):
    """One sentence ends with each full stop before a space."""
    counts = Counter(w for text in [answer, *samples] for w in words(text))
    total = sum(counts.values())
    surprises = [[-np.log(counts[w] / total) for w in words(s)] for s in re.split(r"(?<=\.) ", answer)]
    surprises = [s for s in surprises if s]
    if not surprises:
        return {"selfcheck_ngram": 0, "selfcheck_ngram_max": 0}
    return {"selfcheck_ngram": float(np.mean([x for s in surprises for x in s])),
            "selfcheck_ngram_max": float(np.mean([max(s) for s in surprises]))}


def measure(answers, log_probs, lengths, entailment):
    texts, samples = answers, answers[1:]
    log_probs, lengths = np.array(log_probs), np.array(lengths)
    s = {"match": matrix(texts, match), "rouge": matrix(texts, rouge_l), "jaccard": matrix(texts, jaccard)}
    first = [texts.index(t) for t in texts]
    directed = None
    if entailment is not None:
        directed = np.array(entailment)[np.ix_(first, first)]
        directed[np.equal.outer(first, first)] = 1
        s["entailment"] = (directed + directed.T) / 2
    own = of_clusters(clusters(s["match"][1:, 1:]), samples, log_probs[1:])
    pairs = np.triu_indices(len(samples), 1)
    own["lexical_similarity"] = float(s["rouge"][1:, 1:][pairs].mean()) if len(samples) > 1 else 1.0
    own.update(of_graph(s["jaccard"][1:, 1:]))
    own.update({f"{k}:rouge": v for k, v in of_graph(s["rouge"][1:, 1:]).items()})
    own["deg:match"] = of_graph(s["match"][1:, 1:])["deg"]
    agrees = {by: float(w[0, 1:].mean()) for by, w in s.items()}
    own["consistency"], own["consistency:rouge"] = agrees["match"], agrees["rouge"]
    surprise = -log_probs
    for name, value in (("cocoa", surprise[0]), ("cocoa_ppl", surprise[0] / lengths[0])):
        own[name] = float(value * np.mean(1 - s["rouge"][0, 1:]))
        own[name + ":match"] = float(value * np.mean(1 - s["match"][0, 1:]))
        if entailment is not None:
            own[name + ":entailment"] = float(value * np.mean(1 - s["entailment"][0, 1:]))
    own["predictive_entropy"] = float(surprise[1:].mean())
    own["normalised_entropy"] = float((surprise[1:] / lengths[1:]).mean())
    own.update(self_check(answers[0], samples))
    if entailment is not None:
        own.update({f"{k}:entailment": v for k, v in
                    {**of_clusters(clusters(directed[1:, 1:]), samples, log_probs[1:]),
                     **of_graph(s["entailment"][1:, 1:]), "consistency": agrees["entailment"]}.items()})
    return own


def sentence(n):
    return " ".join(rng.choice(WORDS, n))


def cases():
    """Yields a name and the texts of the answer and its samples."""
    yield "random", [sentence(rng.integers(1, 8)) for _ in range(11)]
    yield "tied", ["The old town.", "old town", "an old town", "the old river", "Old Town", "a tree", "old river"]
    yield "identical", ["Paris"] * 6
    yield "distinct", ["red", "green", "blue", "moon", "tree", "king"]
    yield "empty", ["", "", "the moon", "", "..."]
    yield "all empty", ["", "", "", ""]
    yield "one sample", ["red moon", "red king of Paris"]
    yield "sentences", ["The king of Paris is old. The moon is red. A tree.", "The king of Paris is old. Red.",
                        "Is the moon red. The tree is green."]
    yield "long", [sentence(40) for _ in range(8)]


def eigenscore(states):
    """(1/K) ln det(Z' J Z + 0.001 I): the columns of Z are the states, and J = I - 11'/d centres each of them."""
    z = np.array(states, dtype=np.float32).astype(float).T
    d, k = z.shape
    covariance = z.T @ (np.eye(d) - np.ones((d, d)) / d) @ z
    sign, log_determinant = np.linalg.slogdet(covariance + 1e-3 * np.eye(k))
    assert sign == 1
    return float(log_determinant / k)


def spreads():
    """Yields a name and the states of samples."""
    states = np.round(np.random.default_rng(16).normal(0, 3, (10, 24)), 3)
    yield "random", states
    yield "small", np.round(states / 500, 5)
    yield "identical", np.tile(states[0], (6, 1))
    yield "tied", states[[0, 1, 0, 2, 1, 0]]
    yield "one sample", states[:1]
    yield "constant", np.full((4, 24), 2.5)
    yield "more samples than dimensions", states[:, :4]


def main():
    spread = [{"name": name, "states": s.tolist(), "eigenscore": eigenscore(s)} for name, s in spreads()]
    Path(__file__).with_name("eigenscore_reference.json").write_text(json.dumps(spread) + "\n")
    written = []
    for name, texts in cases():
        n = len(texts)
        log_probs = (-rng.exponential(4, n)).tolist()
        if name == "identical":
            log_probs = [log_probs[0]] * n
        lengths = rng.integers(1, 12, n).tolist()
        for judged in (False, True):
            entailment = rng.uniform(0, 1, (n, n)).tolist() if judged else None
            written.append({"name": name, "texts": texts, "log_probs": log_probs, "lengths": lengths,
                            "entailment": entailment, "measures": measure(texts, log_probs, lengths, entailment)})
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
