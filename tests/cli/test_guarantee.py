"""--guarantee: made by sweep, stored in the parameters, checked by validate; and refusals."""
import json
import random

from harness import FAILED, USAGE, Case


class Guarantee(Case):
    def scores(self, name, n, shift, seed):
        """Faithful scores are normal, hallucinated ones `shift` higher."""
        rng = random.Random(seed)
        rows = [{"label": label, "score": rng.gauss(shift * label, 1)}
                for label in (int(rng.random() < 0.4) for _ in range(n))]
        return self.write_rows(name, rows)

    def test_risk(self):
        data, test = self.scores("a.jsonl", 800, 2.5, 1), self.scores("b.jsonl", 800, 2.5, 2)
        arguments = ["sweep", "--data", data, "-o", self.dir, "--direction", "high"]
        out, _ = self.run_hbar(*arguments, "--guarantee", "risk=0.1")
        self.assertIn("guarantee: with probability 0.95, at most 0.1 of the accepted are hallucinated; here", out)
        result = self.run_json(*arguments, "--guarantee", "risk=0.1,delta=0.02")
        threshold, guarantee = result["threshold"], result["threshold"]["guarantee"]
        self.assertEqual(threshold["chosen_by"], "guarantee")
        self.assertEqual((guarantee["kind"], guarantee["target"], guarantee["delta"], guarantee["level"]),
                         ("risk", 0.1, 0.02, 0.02))
        self.assertEqual((guarantee["n"], guarantee["k"]), (threshold["fn"] + threshold["tn"], threshold["fn"]))
        self.assertLess(guarantee["p"], 0.02)
        judged = self.run_json("validate", "--params", result["parameters"], "--scores", test, "--draws", 0)
        check, at_tau = judged["scores"]["score"]["guarantee"], judged["scores"]["score"]["at_tau"]
        self.assertTrue(check["held"])
        self.assertEqual((check["n"], check["k"]), (at_tau["fn"] + at_tau["tn"], at_tau["fn"]))
        worse = self.scores("c.jsonl", 800, 0.5, 3)
        out, _ = self.run_hbar("validate", "--params", result["parameters"], "--scores", worse, "--draws", 0)
        self.assertIn("Guarantee: with probability 0.98, at most 0.1 of the accepted are hallucinated: not kept", out)

    def test_recall(self):
        data = self.scores("a.jsonl", 800, 2.5, 1)
        result = self.run_json("sweep", "--data", data, "-o", self.dir, "--guarantee", "recall=0.9,delta=0.1")
        guarantee = result["threshold"]["guarantee"]
        self.assertEqual((guarantee["level"], guarantee["k"]), (0.05, result["threshold"]["fn"]))
        out, _ = self.run_hbar("validate", "--params", result["parameters"], "--scores", data, "--draws", 0)
        self.assertIn("Guarantee: with probability 0.9, at least 0.9 of the hallucinated are flagged: kept", out)

    def test_without_one(self):
        data = self.scores("a.jsonl", 100, 2.5, 1)
        result = self.run_json("sweep", "--data", data, "-o", self.dir)
        self.assertIsNone(result["threshold"]["guarantee"])
        judged = self.run_json("validate", "--params", result["parameters"], "--scores", data, "--draws", 0)
        self.assertIsNone(judged["scores"]["score"]["guarantee"])

    def test_refusals(self):
        few, blind = self.scores("a.jsonl", 25, 2.5, 1), self.scores("b.jsonl", 400, 0, 1)
        self.fails("sweep", "--data", few, "--guarantee", "risk=0.1", code=FAILED, says="there are 25")
        self.fails("sweep", "--data", few, "--guarantee", "recall=0.9", code=FAILED, says="hallucinated samples, about")
        self.fails("sweep", "--data", blind, "--guarantee", "risk=0.1", code=FAILED, says="more samples cannot help")
        self.run_hbar("sweep", "--data", blind, "--guarantee", "risk=0.6", "--direction", "high")

    def test_usage(self):
        for bad in ("risk", "risk=", "risk=0", "risk=1", "risk=nan", "risk=0.1,delta=0", "risk=0.1,delta=0.6",
                    "risk=0.1,", "risk=0.1,delta", "loss=0.1", "recall=0.9,delta=0.1x", ""):
            self.fails("sweep", "--data", "x", "--guarantee", bad, code=USAGE, says="is not like risk=0.1")
        for other in (["--min-recall", 0.8], ["--tau-grid", "exact"],
                      ["--tau-start", 0, "--tau-stop", 1, "--tau-step", 0.1]):
            self.fails("calibrate", "--guarantee", "risk=0.1", *other, code=USAGE, says="chooses tau among all scores")
        self.fails("calibrate", "--guarantee", "risk=0.1", "--score", "all", code=USAGE, says="a single score chosen in advance")

    def test_version_2_says_promise(self):
        data = self.scores("a.jsonl", 800, 2.5, 1)
        result = self.run_json("sweep", "--data", data, "-o", self.dir, "--guarantee", "risk=0.1")
        old = self.read(result["parameters"])
        old["schema_version"] = 2
        old["threshold"]["promise"] = old["threshold"].pop("guarantee")
        path = self.write("old.json", json.dumps(old))
        new, same = (self.run_json("validate", "--params", p, "--scores", data, "--draws", 0)["scores"]
                     for p in (result["parameters"], path))
        self.assertIsNotNone(same["score"]["guarantee"])
        self.assertEqual(same, new)

    def test_bad_parameters(self):
        data = self.scores("a.jsonl", 800, 2.5, 1)
        result = self.run_json("sweep", "--data", data, "-o", self.dir, "--guarantee", "risk=0.1")
        good = self.read(result["parameters"])
        for key, value in (("kind", "luck"), ("target", 2), ("delta", "0.05"), ("level", 0.4), ("p", 0.5), ("k", -1),
                           ("n", 1.5), ("k", 10 ** 6), ("target", None)):
            bad = json.loads(json.dumps(good))
            bad["threshold"]["guarantee"][key] = value
            path = self.write("bad.json", json.dumps(bad))
            self.fails("validate", "--params", path, "--scores", data, code=FAILED, says="threshold.guarantee")
