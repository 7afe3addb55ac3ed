"""--map: fitted by sweep, stored in the parameters, used by generate and validate."""
import json
import math
import random

from harness import FAILED, MODEL, USAGE, Case


class Maps(Case):
    def setUp(self):
        super().setUp()
        rng = random.Random(5)
        labels = [int(rng.random() < 0.5) for _ in range(400)]
        self.rows = [{"label": label, "hbar_s": 1 + 0.2 * rng.gauss(-label, 1)} for label in labels]
        self.data = self.write_rows("scores.jsonl", self.rows)

    def sweep(self, kind):
        return self.run_json("sweep", "--data", self.data, "--score", "hbar_s", "-o", self.dir, "--map", kind)

    def brier(self, p):
        return sum((p(row["hbar_s"]) - row["label"]) ** 2 for row in self.rows) / len(self.rows)

    def judged(self, parameters):
        result = self.run_json("validate", "--params", parameters, "--scores", self.data, "--draws", 0)
        return result["scores"]["hbar_s"]

    def test_kinds(self):
        given = self.judged(self.sweep("lambda")["parameters"])
        self.assertEqual(given["map"], "lambda")
        for kind in ("fit-lambda", "platt", "isotonic"):
            result = self.sweep(kind)
            self.assertEqual(result["map"]["kind"], kind)
            judged = self.judged(result["parameters"])
            self.assertEqual(judged["map"], kind)
            self.assertLess(judged["brier"], given["brier"])
            out, _ = self.run_hbar("sweep", "--data", self.data, "--score", "hbar_s", "--map", kind)
            self.assertIn(f"P_fail by {kind}", out)
            self.assertIn(f"Brier {judged['brier']:.4f}", out)

    def test_platt_is_what_it_says(self):
        result = self.sweep("platt")
        a, b = result["map"]["a"], result["map"]["b"]
        self.assertGreater(a, 0)
        self.assertAlmostEqual(self.judged(result["parameters"])["brier"],
                               self.brier(lambda s: 1 / (1 + math.exp(a * s + b))), places=12)

    def test_generate(self):
        for kind in ("platt", "isotonic", "fit-lambda"):
            result = self.sweep(kind)
            watched = ["generate", "--model", MODEL, "--params", result["parameters"], "--cutoff", 1.1, "-n", 8, "Hello"]
            generated = self.run_json(*watched)
            self.assertEqual(generated["monitor"]["map"], kind)
            for step in generated["trajectory"]:
                self.assertAlmostEqual(step["p_fail"], self.probability(result, step["hbar_s"]), places=9)
            by_hand = self.run_json(*watched, "--tau", 1)
            self.assertEqual(by_hand["monitor"]["map"], "lambda")

    @staticmethod
    def probability(result, score):
        fitted = result["map"]
        if fitted["kind"] == "platt":
            return 1 / (1 + math.exp(fitted["a"] * score + fitted["b"]))
        if fitted["kind"] == "fit-lambda":
            return 1 / (1 + math.exp(result["lambda"] * (score - result["threshold"]["tau"])))
        knots = list(zip(fitted["scores"], fitted["p"]))
        if score <= knots[0][0] or score >= knots[-1][0]:
            return knots[0 if score <= knots[0][0] else -1][1]
        (s0, p0), (s1, p1) = next((a, b) for a, b in zip(knots, knots[1:]) if a[0] <= score < b[0])
        return p0 + (p1 - p0) * (score - s0) / (s1 - s0)

    def test_bad_maps(self):
        good = self.read(self.sweep("isotonic")["parameters"])
        n = len(good["map"]["scores"])
        for bad, says in (({"kind": "magic"}, "map.kind"), ({}, "map.kind"), ("platt", "map.kind"),
                          ({"kind": "platt", "a": 1}, "map.b"), ({"kind": "platt", "a": "1", "b": 2}, "map.a"),
                          ({"kind": "isotonic", "scores": [], "p": []}, "map.scores"),
                          ({"kind": "isotonic", "scores": [1, 2], "p": [1]}, "map.p"),
                          ({"kind": "isotonic", "scores": [1, 1], "p": [1, 0]}, "map.scores"),
                          ({"kind": "isotonic", "scores": [1, 2], "p": [0, 1]}, "rising with the risk"),
                          ({"kind": "isotonic", "scores": [1, 2], "p": [1.5, 1]}, "map.p"),
                          ({"kind": "isotonic", "scores": [1, None], "p": [1, 0]}, "map.scores"),
                          ({"kind": "isotonic", "scores": 1, "p": [0] * n}, "map.scores")):
            path = self.write("bad.json", json.dumps({**good, "map": bad}))
            self.fails("generate", "--model", MODEL, "--params", path, "x", code=FAILED, says=says)

    def test_refusals(self):
        apart = self.write_rows("apart.jsonl", [{"label": k % 2, "score": 100 * (k % 2) + k} for k in range(40)])
        self.fails("sweep", "--data", apart, "--map", "fit-lambda", code=FAILED, says="makes no error")
        self.run_hbar("sweep", "--data", apart, "--map", "platt")
        self.fails("sweep", "--data", apart, "--map", "magic", code=USAGE, says="not one of lambda, fit-lambda")
