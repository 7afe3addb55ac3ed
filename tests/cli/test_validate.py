"""hbar validate: a published run's own numbers, and a calibration judged on another split."""
import json

from harness import DEMO, FAILED, MODEL, SHARED, USAGE, Case

PUBLISHED = SHARED / "data" / "reference_llama32_3b_halueval_n500.json"
FAST = ["--max-tokens", 5]


class Validate(Case):
    def test_published_numbers(self):
        if not PUBLISHED.exists():
            self.skipTest(f"{PUBLISHED} is not there")
        published = json.loads(PUBLISHED.read_text())
        table = self.write_rows("scores.jsonl", published["scores_by_sample"])
        taus = published["calibrated_thresholds"]
        params = self.write("p.json", json.dumps({
            "schema": "hbar-params", "schema_version": 1, "threshold": {"tau": taus["tau_hbar"]}, "lambda": 5,
            "direction": "<=", "score": {"name": "hbar_s"},
            "scores": {"pri": {"tau": taus["tau_pri"], "direction": ">="}}}))
        result = self.run_json("validate", "--params", params, "--scores", table, "--draws", 100)
        for name, key in (("hbar_s", "hbar_alone"), ("pri", "pri_alone")):
            score = result["scores"][name]
            curves, at_tau = published["auroc_and_prauc"][key], published["performance_at_calibrated_thresholds"][key]
            best = published["best_on_test_sweep"][key]
            self.assertAlmostEqual(score["auroc"], curves["auroc"], places=12)
            self.assertAlmostEqual(score["pr_auc"], curves["pr_auc"], places=12)
            self.assertEqual([[score["at_tau"][k] for k in ("tn", "fp")], [score["at_tau"][k] for k in ("fn", "tp")]],
                             at_tau["confusion_matrix"])
            self.assertAlmostEqual(score["at_tau"]["precision"], at_tau["precision"], places=12)
            self.assertAlmostEqual(score["at_tau"]["recall"], at_tau["recall"], places=12)
            self.assertEqual(score["best"]["tau"], best["best_tau_test"])
            self.assertAlmostEqual(score["best"]["precision"], best["best_precision_test"], places=12)
            low, high = score["bootstrap"]["auroc"]
            self.assertTrue(low < score["auroc"] < high)
        quadrants = {(q["hbar_s"], q["pri"]): q for q in result["quadrants"]}
        for key, place in (("q1", (0, 0)), ("q2", (1, 1)), ("q3", (0, 1)), ("q4", (1, 0))):
            self.assertEqual(quadrants[place]["count"], published["quadrant_analysis"][key]["count"])
            self.assertAlmostEqual(quadrants[place]["hallucination_rate"],
                                   published["quadrant_analysis"][key]["hallucination_rate"], places=12)

    def test_a_run(self):
        calibrated = self.run_json("calibrate", "--model", MODEL, "--data", DEMO, "-o", self.dir / "out", *FAST)
        (run,) = (self.dir / "out").glob("*.db")
        arguments = ["validate", "--params", calibrated["parameters"], "--run", run, "--draws", 100]
        result = self.run_json(*arguments)
        self.assertEqual(result["shared_ids"], 60)
        self.assertEqual(result["scores"]["hbar_s"]["at_tau"]["tp"], calibrated["threshold"]["tp"])
        self.assertAlmostEqual(result["scores"]["hbar_s"]["auroc"], calibrated["auroc"])
        self.assertIn("entropy", result["scores"])
        out, err = self.run_hbar(*arguments)
        self.assertIn("60 of 60 samples have ids that the calibration had", err)
        self.assertIn("AURC", out)
        other = json.loads(open(calibrated["parameters"]).read())
        other["model"]["name"] = "other"
        path = self.write("other.json", json.dumps(other))
        self.fails("validate", "--params", path, "--run", run, says="calibrated on another model")
        self.run_hbar("validate", "--params", path, "--run", run, "--force", "--draws", 0)

    def test_usage(self):
        self.fails("validate", "--run", "x", code=USAGE, says="--params is required")
        self.fails("validate", "--params", "x", code=USAGE, says="give --model and --data, or --run, or --scores")
        self.fails("validate", "--params", "/no/such.json", "--run", "x", code=FAILED, says="/no/such.json")
