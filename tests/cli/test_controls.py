"""Controls beside every ranking, the choice within folds, and the score that ranks better."""
import json
import random

from harness import MODEL, Case
from test_calibration import auroc

FAST = ["--max-tokens", 4]


class Controls(Case):
    def table(self, n=200):
        """Answers are long where they are hallucinated; the score knows more than their length."""
        rng = random.Random(1)
        rows = []
        for i in range(n):
            label = i % 2
            length = round(rng.gauss(20 + 8 * label, 8))
            rows.append({"entropy": rng.gauss(3 * label, 1), "n_tokens": length, "n_prompt": 10 + i % 3,
                         "overlap": 0.5 - length / 100 if i % 4 < 2 else None, "label": label})
        return rows

    def judge(self, rows, *arguments):
        result = self.run_json("sweep", "--data", self.write_rows("t.jsonl", rows), *arguments, "--draws", 0)
        return result, {c["name"]: c for c in result["controls"]}

    def test_values(self):
        rows = self.table()
        result, controls = self.judge(rows, "--score", "entropy")
        self.assertEqual(list(controls), ["answer_length", "prompt_length", "overlap", "shuffled_labels"])
        length = controls["answer_length"]
        self.assertAlmostEqual(length["auroc"], auroc([r["n_tokens"] for r in rows], [r["label"] for r in rows]))
        self.assertEqual((length["n"], length["direction"]), (200, ">="))
        self.assertLess(length["p_difference"], 1e-3)
        self.assertTrue(length["interval"][0] < length["auroc"] < length["interval"][1])
        known = [r for r in rows if r["overlap"] is not None]
        overlap = controls["overlap"]
        self.assertEqual((overlap["n"], overlap["direction"]), (100, "<="))
        self.assertAlmostEqual(overlap["auroc"], 1 - auroc([r["overlap"] for r in known], [r["label"] for r in known]))
        shuffled = controls["shuffled_labels"]
        self.assertAlmostEqual(shuffled["auroc"], 0.5, delta=0.03)
        self.assertNotIn("p_difference", shuffled)
        self.assertTrue(0.35 < shuffled["interval"][0] < 0.5 < shuffled["interval"][1] < 0.65)
        self.assertGreater(result["auroc"], length["auroc"])

    def test_text(self):
        out, _ = self.run_hbar("sweep", "--data", self.write_rows("t.jsonl", self.table()), "--score", "entropy")
        for part in ("Controls [95 %]", "answer length ", "long answers are risky", "overlap with context ",
                     "low overlap is risky", "shuffled labels ", "must be 0.5"):
            self.assertIn(part, out)

    def test_columns_that_are_no_controls(self):
        rows = self.table()
        for i, row in enumerate(rows):
            row["n_tokens"] = "many" if i else 3  # 1 number is too few
            row["overlap"] = None
        _, controls = self.judge(rows, "--score", "entropy")
        self.assertEqual(list(controls), ["prompt_length", "shuffled_labels"])
        _, controls = self.judge([{"score": r["entropy"], "label": r["label"]} for r in rows])
        self.assertEqual(list(controls), ["shuffled_labels"])

    def labelled_by(self, column):
        """Data with labels that this score of the model separates fully."""
        rows = [{"prompt": f"Is {i} plus {i * i} even?", "label": i % 2} for i in range(80)]
        data = self.write_rows("d.jsonl", rows)
        self.run_hbar("score", "--model", MODEL, "--data", data, "--run", self.dir / "first.db", *FAST)
        out, _ = self.run_hbar("export", "--run", self.dir / "first.db", "--format", "jsonl")
        values = [json.loads(line)[column] for line in out.splitlines()]
        middle = sorted(values)[40]
        return self.write_rows("d.jsonl", [{**row, "label": int(v >= middle)} for row, v in zip(rows, values)])

    def test_a_better_score_is_named(self):
        data = self.labelled_by("entropy:top5")
        calibrate = ["calibrate", "--model", MODEL, "--data", data, "-o", self.dir / "out", *FAST]
        result = self.run_json(*calibrate)
        self.assertEqual(result["score"]["name"], "hbar_s")
        better = result["better"]
        self.assertEqual((better["name"], better["auroc"]), ("entropy", 1))
        self.assertLess(better["p_difference"], 0.05)
        self.assertLessEqual(better["p_difference"], better["p_difference_holm"])
        out, _ = self.run_hbar(*calibrate)
        self.assertIn(f"entropy ranks better: AUROC 1.0000 against {result['auroc']:.4f} (paired test, p ", out)
        self.assertIn("); --score entropy calibrates it\n", out)
        best = self.run_json(*calibrate, "--score", "entropy")
        self.assertIsNone(best["better"])
        self.assertNotIn("ranks better", self.run_hbar(*calibrate, "--score", "entropy")[0])
        self.assertEqual(self.read(result["parameters"])["better"], better)

    def test_a_run_and_its_export(self):
        rows = [{"prompt": f"{'Well, ' * (i % 5)}is {i} even?", "context": "no zero", "label": i % 2} for i in range(40)]
        result = self.run_json("calibrate", "--model", MODEL, "--data", self.write_rows("d.jsonl", rows), "-o",
                               self.dir / "out", *FAST, "--score", "entropy")
        names = [c["name"] for c in result["controls"]]
        self.assertEqual(names, ["answer_length", "prompt_length", "overlap", "shuffled_labels"])
        self.assertEqual(self.read(result["parameters"])["controls"], result["controls"])
        (run,) = (self.dir / "out").glob("*.db")
        self.assertEqual(self.run_json("sweep", "--run", run, "--score", "entropy")["controls"], result["controls"])
        out, _ = self.run_hbar("export", "--run", run, "--format", "jsonl")
        table = self.write("e.jsonl", out)
        self.assertEqual(self.run_json("sweep", "--data", table, "--score", "entropy")["controls"], result["controls"])
        judged = self.run_json("validate", "--params", result["parameters"], "--scores", table)
        measured = [c for c in result["controls"] if c["name"] != "shuffled_labels"]  # nothing is chosen here
        self.assertEqual([c["auroc"] for c in judged["controls"]], [c["auroc"] for c in measured])
        text, _ = self.run_hbar("validate", "--params", result["parameters"], "--scores", table)
        self.assertIn("Controls [95 %]", text)
        self.assertNotIn("shuffled labels", text)


class Nested(Case):
    def noise(self, n_scores, n=100):
        rng = random.Random(2)
        return [{"label": i % 2, **{f"s{k}": rng.gauss(0, 1) for k in range(n_scores)}} for i in range(n)]

    def test_the_best_of_noise_is_not_better_than_chance(self):
        path = self.write_rows("t.jsonl", self.noise(30))
        names = ",".join(f"s{k}" for k in range(30))
        result = self.run_json("sweep", "--data", path, "--score", names, "--draws", 0)
        self.assertGreater(result["ranking"][0]["auroc"], 0.6)
        nested = result["nested"]
        self.assertLess(nested["interval"][0], 0.5)
        self.assertLess(nested["auroc"], result["ranking"][0]["auroc"] - 0.04)
        self.assertEqual((nested["folds"], len(nested["winners"]), nested["changes"]), (5, 5, True))
        self.assertGreater(len(set(nested["winners"])), 1)
        out, _ = self.run_hbar("sweep", "--data", path, "--score", names, "--draws", 0)
        self.assertIn("Chosen on 4 of 5 folds and judged on the other, in turn: AUROC ", out)
        self.assertIn("  warning: the folds choose different scores: s", out)

    def test_a_winner_that_stays(self):
        rows = self.noise(3)
        for row in rows:
            row["good"] = row["s0"] + 4 * row["label"]
        path = self.write_rows("t.jsonl", rows)
        result = self.run_json("sweep", "--data", path, "--score", "s1,good,s2", "--draws", 0)
        nested = result["nested"]
        self.assertEqual((nested["winners"], nested["changes"]), (["good"] * 5, False))
        self.assertAlmostEqual(nested["auroc"], result["auroc"], delta=0.02)
        out, _ = self.run_hbar("sweep", "--data", path, "--score", "s1,good,s2", "--draws", 0)
        self.assertNotIn("warning: the folds", out)
        self.assertNotIn("nested", self.run_json("sweep", "--data", path, "--score", "good", "--draws", 0))

    def test_the_parameters_keep_it(self):
        rows = [{"prompt": f"Is {i} even?", "label": i % 2} for i in range(40)]
        result = self.run_json("calibrate", "--model", MODEL, "--data", self.write_rows("d.jsonl", rows), "-o",
                               self.dir / "out", *FAST, "--score", "all")
        self.assertEqual(self.read(result["parameters"])["nested"], result["nested"])
        self.assertEqual(set(result["nested"]["winners"]) - {r["name"] for r in result["ranking"]}, set())
