"""--joint: fitted by calibrate and sweep, stored in the parameters, used by generate and validate."""
import json
import math
import random

from harness import LABELLED, FAILED, MODEL, USAGE, Case

FAST = ["--max-tokens", 5]


def log_odds(model, values):
    return model["intercept"] + sum(f["weight"] * (values[f["score"]] - f["mean"]) / f["sd"]
                                    for f in model["features"])


def auroc(pairs):
    ones, zeros = ([z for z, label in pairs if label == k] for k in (1, 0))
    return sum((a > b) + (a == b) / 2 for a in ones for b in zeros) / (len(ones) * len(zeros))


class Table(Case):
    def rows(self, name, seed):
        """Two weak scores that are good together, and one uninformative score."""
        rng = random.Random(seed)
        rows = []
        for i in range(300):
            label, common = i % 2, rng.gauss(0, 2)
            rows.append({"label": label, "a": common + rng.gauss(label, 0.5), "b": common - rng.gauss(label, 0.5),
                         "noise": rng.gauss(0, 1)})
        return rows, self.write_rows(name, rows)

    def test_joint_is_better_and_held_out(self):
        rows, data = self.rows("a.jsonl", 1)
        alone = self.run_json("sweep", "--data", data, "--score", "a")
        result = self.run_json("sweep", "--data", data, "--joint", "--score", "a,b,noise", "-o", self.dir)
        model = result["joint"]
        self.assertLess(alone["auroc"], 0.75)
        self.assertGreater(result["auroc"], 0.8)
        self.assertEqual((result["score"]["name"], result["map"]["kind"], result["direction"]), ("joint", "platt", ">="))
        self.assertEqual([f["score"] for f in model["features"]], ["a", "b", "noise"])
        self.assertIn(model["c"], [t["c"] for t in model["trials"]])
        (chosen,) = (t for t in model["trials"] if t["c"] == model["c"])
        self.assertAlmostEqual(result["auroc"], chosen["auroc"], places=12)
        self.assertEqual(chosen["log_loss"], min(t["log_loss"] for t in model["trials"]))
        fitted = auroc([(log_odds(model, row), row["label"]) for row in rows])
        self.assertLess(result["auroc"], fitted)  # the in-sample AUROC, which must not be reported

        (shuffled,) = (c for c in result["controls"] if c["name"] == "shuffled_labels")
        self.assertAlmostEqual(shuffled["auroc"], 0.5, delta=0.03)
        self.assertTrue(10 <= shuffled["n"] <= 100 and shuffled["interval"][0] < 0.5 < shuffled["interval"][1] < 0.65, shuffled)

        test, path = self.rows("b.jsonl", 2)
        judged = self.run_json("validate", "--params", result["parameters"], "--scores", path, "--draws", 0)
        score = judged["scores"]["joint"]
        self.assertAlmostEqual(score["auroc"], auroc([(log_odds(model, r), r["label"]) for r in test]), places=9)
        self.assertEqual(score["map"], "platt")
        p = [(1 / (1 + math.exp(result["map"]["a"] * log_odds(model, r) + result["map"]["b"])), r["label"]) for r in test]
        self.assertAlmostEqual(score["brier"], sum((q - y) ** 2 for q, y in p) / len(p), places=9)
        self.assertGreater(score["auroc"], 0.8)

    def test_text(self):
        _, data = self.rows("a.jsonl", 1)
        out, _ = self.run_hbar("sweep", "--data", data, "--joint", "--score", "a,b")
        self.assertRegex(out, "Joint model of 2 scores, c [0-9.e+-]+ chosen by 5 folds: out of fold AUROC 0.[0-9]+")
        self.assertIn("P_fail by platt", out)
        self.assertRegex(out, r"shuffled labels +0\.[45]\d\d \[0\.4\d\d, 0\.5\d\d\] +must be 0\.5")
        self.assertIn("high scores are risky (as log-odds are)", out)

    def test_a_table_s_scores_are_not_for_generate(self):
        _, data = self.rows("a.jsonl", 1)
        result = self.run_json("sweep", "--data", data, "--joint", "--score", "a,b", "-o", self.dir)
        self.fails("generate", "--model", MODEL, "--params", result["parameters"], "x", code=FAILED,
                   says="the joint model has the score 'a', which hbar does not measure")

    def test_broken_rows_and_columns(self):
        rows, data = self.rows("a.jsonl", 1)
        self.fails("sweep", "--data", data, "--joint", "--score", "a,c", code=FAILED, says="'c'")
        rows[7]["b"] = "?"
        broken = self.write_rows("b.jsonl", rows)
        out, err = self.run_hbar("sweep", "--data", broken, "--joint", "--score", "a,b")
        self.assertIn("1 rows are broken and skipped, 299 are good", err)
        self.assertIn("299 samples, 49.8 % of them hallucinated\nScore joint\n", out)
        rows[7]["b"] = 0
        few = self.write_rows("c.jsonl", rows[:4] + [{**r, "label": 0} for r in rows[10:30]])
        self.fails("sweep", "--data", few, "--joint", "--score", "a,noise", code=FAILED, says="5 folds need as many samples")

    def test_usage(self):
        _, data = self.rows("a.jsonl", 1)
        for arguments, says in ((["--guarantee", "risk=0.1"], "exclude each other"),
                                (["--direction", "low"], "requires that high values are risky")):
            self.fails("sweep", "--data", data, "--joint", "--score", "a,b", *arguments, code=USAGE, says=says)
        self.fails("sweep", "--data", data, "--joint", code=FAILED, says="no column is named like a score of hbar")
        self.fails("calibrate", "--joint", "--score", "hbar_s,mood", code=USAGE, says="there is no score 'mood'")


class Run(Case):
    def test_calibrate_generate_validate(self):
        calibrate = ["calibrate", "--model", MODEL, "--data", LABELLED, "-o", self.dir, *FAST]
        result = self.run_json(*calibrate, "--joint", "--signals", "hbar_s,pri,entropy")
        self.assertEqual([f["score"] for f in result["joint"]["features"]],
                         [f"{signal}:{tail}5" for signal in ("hbar_s", "pri", "entropy") for tail in ("top", "bottom")])
        self.assertIn("hbar_s", result["scores"])
        run = self.dir / "all.db"
        model = self.run_json(*calibrate, "--run", run, "--joint", "--score", "entropy:bottom5,hbar_s:mean,pri:max")
        features = [f["score"] for f in model["joint"]["features"]]
        self.assertEqual(features, ["entropy:bottom5", "hbar_s:mean", "pri:max"])
        generated = self.run_json("generate", "--model", MODEL, "--params", model["parameters"], "--cutoff", 1.1,
                                  "-n", 6, "Hello")
        self.assertEqual(generated["monitor"]["watched"], "joint")
        steps = generated["trajectory"]
        for i, step in enumerate(steps):
            least = sorted(s["entropy"] for s in steps[:i + 1])[:5]
            z = log_odds(model["joint"], {"entropy:bottom5": sum(least) / len(least),
                                          "hbar_s:mean": sum(s["hbar_s"] for s in steps[:i + 1]) / (i + 1),
                                          "pri:max": max(s["pri"] for s in steps[:i + 1])})
            self.assertAlmostEqual(step["watched"], z, places=6)
            a, b = model["map"]["a"], model["map"]["b"]
            self.assertAlmostEqual(step["p_fail"], 1 / (1 + math.exp(a * step["watched"] + b)), places=9)
        answer = generated["answer"]
        self.assertEqual((answer["score"], answer["value"]), ("joint", steps[-1]["watched"]))
        self.assertEqual(answer["risky"], answer["value"] >= model["threshold"]["tau"])
        one = self.run_json("generate", "--model", MODEL, "--params", model["parameters"], "--watch", "pri", "x")
        self.assertEqual((one["monitor"]["watched"], one["answer"]), ("pri", None))

        judged = self.run_json("validate", "--params", model["parameters"], "--run", run, "--draws", 0)
        out, _ = self.run_hbar("export", "--run", run, "--format", "jsonl")
        rows = [json.loads(line) for line in out.splitlines()]
        pairs = [(log_odds(model["joint"], {name: row[name] for name in features}), row["label"]) for row in rows]
        self.assertAlmostEqual(judged["scores"]["joint"]["auroc"], auroc(pairs), places=9)
        swept = self.run_json("sweep", "--run", run, "--joint", "--score", "entropy:bottom5,hbar_s:mean,pri:max")
        self.assertEqual(swept["joint"], model["joint"])
