"""--score with several scores: ranked, compared and correlated; and the intervals of one."""
import json
import random
from pathlib import Path

from harness import LABELLED, FAILED, MODEL, USAGE, Case
from test_calibration import auroc


def ranks(values):
    """Mean ranks of equal values."""
    return [sum((w < v) + 0.5 * (w == v) for w in values) for v in values]


def correlation(a, b):
    a, b = ranks(a), ranks(b)
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    return (sum((x - ma) * (y - mb) for x, y in zip(a, b)) /
            (sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b)) ** 0.5)


class Ranking(Case):
    def table(self):
        rng = random.Random(3)
        rows = []
        for i in range(80):
            label = i % 2
            x = rng.gauss(label, 1)
            rows.append({"index": i, "label": label, "entropy": x, "pri:mean": -x + rng.gauss(0, 1),
                         "mine": round(rng.gauss(3 * label, 1)), "hbar_s": 4.5})
        return rows

    def test_all_of_a_table(self):
        rows = self.table()
        path = self.write_rows("t.jsonl", rows)
        result = self.run_json("sweep", "--data", path, "--score", "all,mine", "--draws", 200)
        shown = [r["name"] for r in result["ranking"]]
        self.assertEqual(set(shown), {"entropy", "mine"})  # pri:mean is another aggregation, hbar_s constant
        result = self.run_json("sweep", "--data", path, "--score", "all:all,mine", "--draws", 200)
        shown = [r["name"] for r in result["ranking"]]
        self.assertEqual(set(shown), {"entropy", "mine", "pri:mean"})
        labels = [r["label"] for r in rows]
        for r in result["ranking"]:
            values = [row[r["name"]] for row in rows]
            high = auroc(values, labels)
            self.assertAlmostEqual(r["auroc"], max(high, 1 - high))
            low, up = r["uncertainty"]["auroc_delong"]
            self.assertTrue(low < r["auroc"] < up)
            low, up = r["uncertainty"]["bootstrap"]["precision_at_recall"]
            self.assertTrue(low <= r["uncertainty"]["bootstrap"]["precision"] <= up)
            self.assertGreaterEqual(r["uncertainty"]["bootstrap"]["precision"], r["precision"])
        self.assertEqual([r["auroc"] for r in result["ranking"]],
                         sorted((r["auroc"] for r in result["ranking"]), reverse=True))
        self.assertIsNone(result["ranking"][0]["p_difference"])
        for r in result["ranking"][1:]:
            self.assertTrue(0 <= r["p_difference"] <= r["p_difference_holm"] <= 1)
        correlations = result["correlations"]
        self.assertEqual((correlations["method"], correlations["scores"]), ("spearman", shown))
        for a, line in zip(shown, correlations["matrix"]):
            for b, value in zip(shown, line):
                self.assertAlmostEqual(value, correlation([r[a] for r in rows], [r[b] for r in rows]))
        self.assertEqual(result["score"]["name"], shown[0])
        self.assertEqual(set(result["scores"]), set(shown))

    def test_text(self):
        out, _ = self.run_hbar("sweep", "--data", self.write_rows("t.jsonl", self.table()), "--score", "all:all,mine")
        for part in ("1 mine ", "1 scores are left out", "p (Holm)", "Spearman", "the best of 3 on these data", "DeLong's interval"):
            self.assertIn(part, out)
        without, _ = self.run_hbar("sweep", "--data", self.dir / "t.jsonl", "--score", "mine", "--draws", 0)
        self.assertNotIn("of every tau", without)
        self.assertIn("DeLong", without)

    def test_intervals_are_seeded(self):
        path = self.write_rows("t.jsonl", self.table())
        arguments = ["sweep", "--data", path, "--score", "entropy"]
        one, two = (self.run_json(*arguments)["uncertainty"] for _ in range(2))
        self.assertEqual(one, two)
        self.assertEqual((one["bootstrap"]["draws"], one["bootstrap"]["seed"]), (2000, 42))
        self.assertIsNone(self.run_json(*arguments, "--draws", 0)["uncertainty"]["bootstrap"])

    def test_a_run(self):
        result = self.run_json("calibrate", "--model", MODEL, "--data", LABELLED, "--max-tokens", 5, "-o", self.dir / "out",
                               "--signals", "entropy,margin,pri", "--score", "all:max", "--draws", 100)
        names = {"entropy:max", "margin:max", "pri:max"}
        self.assertEqual({r["name"] for r in result["ranking"]}, names)
        self.assertEqual(result["score"]["name"], result["ranking"][0]["name"])
        self.assertTrue(names < set(result["scores"]))  # which also includes the usual aggregations
        saved = json.loads(Path(result["parameters"]).read_text())
        self.assertEqual(saved["ranking"], result["ranking"])
        (run,) = (self.dir / "out").glob("*.db")
        again = self.run_json("sweep", "--run", run, "--score", "all:max", "--draws", 100)
        self.assertEqual(again["ranking"], result["ranking"])
        self.assertEqual(len(self.run_json("sweep", "--run", run, "--score", "all:all", "--draws", 0)["ranking"]), 27)
        self.fails("sweep", "--run", run, "--score", "hbar_s", says="no score 'hbar_s'")

    def test_bad_lists(self):
        path = self.write_rows("t.jsonl", self.table())
        self.fails("sweep", "--data", path, "--score", "mine,nothing", says="no column 'nothing'")
        self.fails("sweep", "--data", self.write("n.csv", "x,label\n1,0\n"), "--score", "all", code=FAILED,
                   says="no column is named like a score of hbar")
        for score in ("entrapy", "entropy,", "entropy:median", "all:"):
            self.fails("calibrate", "--score", score, code=USAGE, says="--score: there is no score '")
        self.fails("calibrate", "--score", "entropy,pri", "--signals", "pri", code=USAGE, says="lacks a signal that --score names")
        self.fails("sweep", "--data", path, "--score", "entropy,mine", "--tau-start", 0, "--tau-stop", 1, "--tau-step",
                   0.5, says="a range of tau requires a single score, not 2")
        self.fails("sweep", "--data", path, "--draws", 50, code=USAGE, says="--draws: 0, or 100 and more")
