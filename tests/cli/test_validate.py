"""hbar validate: the numbers of a published run, and a calibration validated on another split."""
import contextlib
import hashlib
import json
import re
import sqlite3
from pathlib import Path

from harness import CHAT_MODEL, LABELLED, FAILED, MODEL, SHARED, USAGE, Case

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

    def test_long_names_of_scores(self):
        """A column may have a name of any length, and its parameters can be loaded again."""
        for names in (["uncertainty_by_the_mean_of_all_tokens"], ["first " * 20, "second " * 20]):
            table = self.write_rows("scores.jsonl", [
                {names[0]: i % 7 + i % 2, names[-1]: i % 5 + 3 * (i % 2), "label": i % 2} for i in range(40)])
            found = self.run_json("sweep", "--data", table, "--score", ",".join(names), "-o", self.dir, "--draws", 0)
            result = self.run_json("validate", "--params", found["parameters"], "--scores", table, "--draws", 0)
            self.assertEqual(set(result["scores"]), set(names))
            for name in names:
                self.assertEqual(result["scores"][name]["at_tau"]["tp"] > 0, True)
            joint = self.run_json("sweep", "--data", table, "--score", ",".join(names), "-o", self.dir, "--joint",
                                  "--draws", 0)
            self.run_hbar("validate", "--params", joint["parameters"], "--scores", table, "--draws", 0)

    def test_a_run(self):
        calibrated = self.run_json("calibrate", "--model", MODEL, "--data", LABELLED, "-o", self.dir / "out", *FAST)
        (run,) = (self.dir / "out").glob("*.db")
        arguments = ["validate", "--params", calibrated["parameters"], "--run", run, "--draws", 100]
        result = self.run_json(*arguments)
        self.assertEqual(result["shared_prompts"], 60)
        self.assertEqual(result["scores"]["hbar_s"]["at_tau"]["tp"], calibrated["threshold"]["tp"])
        self.assertAlmostEqual(result["scores"]["hbar_s"]["auroc"], calibrated["auroc"])
        self.assertIn("entropy", result["scores"])
        out, err = self.run_hbar(*arguments)
        self.assertIn("60 of 60 samples have prompts of the calibration", err)
        self.assertIn("AURC", out)
        other = json.loads(Path(calibrated["parameters"]).read_text())
        other["model"]["name"] = "other"
        path = self.write("other.json", json.dumps(other))
        self.fails("validate", "--params", path, "--run", run, says="calibrated on another model")
        self.run_hbar("validate", "--params", path, "--run", run, "--force", "--draws", 0)

    def params(self, scores, **more):
        """A file about the first of the scores, given as (name, tau, direction)."""
        (name, tau, direction), *others = scores
        return self.write("p.json", json.dumps({
            "schema": "hbar-params", "schema_version": 4, "threshold": {"tau": tau}, "lambda": 5,
            "direction": direction, "score": {"name": name},
            "scores": {n: {"tau": t, "direction": d} for n, t, d in others}, **more}))

    def test_what_is_not_there_is_said(self):
        params = self.params([("a", 3, ">="), ("b", 3, ">="), ("c", 1, "<="), ("same", 1, ">=")])
        rows = [{"label": i % 2, "a": i, "c": -i, "same": 2} for i in range(20)]
        table = self.write_rows("t.jsonl", [*rows, {"label": 1, "a": None, "c": 3, "same": 2}])
        out, err = self.run_hbar("validate", "--params", params, "--scores", table, "--draws", 0)
        self.assertIn("t.jsonl: lacks calibrated scores, which are not validated: b", err)
        self.assertIn("t.jsonl: same is not validated: all 20 scores are 2", err)
        self.assertIn("1 rows are broken and skipped, 20 are good", err)
        self.assertIn("Spearman", out)
        result = self.run_json("validate", "--params", params, "--scores", table, "--draws", 0)
        self.assertEqual(list(result["scores"]), ["a", "c"])
        (same, turned), _ = result["correlations"]["matrix"]
        self.assertEqual(same, 1)
        self.assertAlmostEqual(turned, -1)
        self.assertEqual(result["scores"]["c"]["p_difference"], 1)
        other = self.params([("b", 3, ">="), ("a", 3, ">=")])
        self.fails("validate", "--params", other, "--scores", table, says="no column 'b'; there are: label, a, c, same")

    def test_one_sample_of_a_class(self):
        """DeLong's interval needs two."""
        table = self.write_rows("t.jsonl", [{"label": int(i == 7), "a": i} for i in range(20)])
        out, _ = self.run_hbar("validate", "--params", self.params([("a", 3, ">=")]), "--scores", table)
        self.assertNotIn("nan", out)
        self.assertNotIn("DeLong", out)

    def rows(self, run):
        return [json.loads(line) for line in self.run_hbar("export", "--run", run, "--format", "jsonl")[0].splitlines()]

    def questions(self):
        """Questions. For every second one a word of the model's own text is the right answer: right by "contains",
        wrong by "exact"."""
        learn = self.dir / "learn.db"
        prompts = [f"{i} is" for i in range(40)]
        data = self.write_rows("d.jsonl", [{"prompt": p, "label": 0} for p in prompts])
        self.run_hbar("score", "--model", MODEL, "--data", data, "--run", learn, *FAST)
        words = [re.findall("[a-z]{2,}", r["text"].split("\n")[0]) for r in self.rows(learn)]
        return self.write_rows("e.jsonl", [{"prompt": p, "answers": [w[0] if len(w) > 1 and i % 2 else "never this"]}
                                         for i, (p, w) in enumerate(zip(prompts, words))])

    def test_graded_answers(self):
        data, run = self.questions(), self.dir / "r.db"
        self.run_hbar("score", "--model", MODEL, "--data", data, "--run", run, *FAST)
        params = self.params([("hbar_s", 2, ">=")], model=self.model_of(run))
        rates = []
        for rule, is_right in (("contains", lambda r: r["grade_contains"]), ("f1", lambda r: r["grade_f1"] >= 0.2)):
            wrong = [not is_right(r) for r in self.rows(run)]
            more = ["--min-f1", 0.2] if rule == "f1" else []
            result = self.run_json("validate", "--params", params, "--run", run, "--grade", rule, "--draws", 0, *more)
            rates.append(sum(wrong) / 40)
            self.assertAlmostEqual(result["scores"]["hbar_s"]["hallucination_rate"], rates[-1])
        self.assertTrue(0.4 < rates[0] < 1)
        self.fails("validate", "--params", params, "--run", run, says="all 40 samples have label 1")
        self.fails("validate", "--params", params, "--run", run, "--min-f1", 0.3, code=USAGE,
                   says="--min-f1 needs --grade f1")

    def test_grades_as_calibrated(self):
        """The parameters store the rule by which answers were graded."""
        data = self.questions()
        for rule in (["--grade", "contains"], ["--grade", "f1", "--min-f1", 0.2]):
            calibrated = self.run_json("calibrate", "--model", MODEL, "--data", data, "-o", self.dir / "o", "-n", 0,
                                       "--draws", 0, *FAST, *rule)
            rate = calibrated["score"]["hallucination_rate"]
            self.assertTrue(0.2 < rate < 1)
            (run,) = (self.dir / "o").glob("*.db")
            arguments = ["validate", "--params", calibrated["parameters"], "--draws", 0]
            for split in (["--run", run], ["--model", MODEL, "--data", data, "-o", self.dir / "o"]):
                out, err = self.run_hbar(*arguments, *split)
                self.assertIn(f"answers are graded by {rule[1]}, as in the calibration", err)
                self.assertIn(f"40 answers, {100 - 100 * rate:.1f} % of them right ({rule[1]})", out)
                result = self.run_json(*arguments, *split)
                self.assertAlmostEqual(result["scores"]["hbar_s"]["hallucination_rate"], rate)
                self.assertEqual((result["grade"], result.get("min_f1")), (rule[1], rule[3] if rule[3:] else None))
            other = ["--grade", "f1", "--min-f1", 0.25] if rule[1] == "f1" else ["--grade", "f1", "--min-f1", 0.2]
            _, err = self.run_hbar(*arguments, "--run", run, *other)
            limit = " from 0.2" if rule[1] == "f1" else ""
            self.assertIn(f"by f1 from {other[3]}, but those of the calibration by {rule[1]}{limit}\n", err)
            _, err = self.run_hbar(*arguments, "--run", run, "--abstain-as", "wrong")
            self.assertIn(f"by {rule[1]}{limit}, abstentions as wrong, but those of the calibration by {rule[1]}{limit}\n",
                          err)

    def test_abstentions_as_calibrated(self):
        """Parameters keep the hash of the file with phrases of abstentions; another file is refused."""
        phrases, others = self.write("a.txt", "= no such answer\n"), self.write("b.txt", "= another\n")
        data, runs = self.questions(), self.dir / "runs"
        calibrate = ["calibrate", "--model", MODEL, "--data", data, "-n", 0, "--draws", 0, "--grade", "contains", *FAST]
        with_phrases = self.run_json(*calibrate, "-o", self.dir / "a", "--abstain", phrases)
        without = self.run_json(*calibrate, "-o", self.dir / "b")
        self.assertEqual(with_phrases["settings"]["abstain_sha256"], hashlib.sha256(phrases.read_bytes()).hexdigest())
        self.assertIsNone(without["settings"]["abstain_sha256"])
        split = ["--model", MODEL, "--data", data, "-o", runs, "--draws", 0]
        for params, good, bad, says in ((with_phrases, ["--abstain", phrases], ["--abstain", others], "of another file"),
                                        (without, [], ["--abstain", others], "without more phrases")):
            validate = ["validate", "--params", params["parameters"], *split]
            before = len(list(runs.glob("*.db")))
            self.fails(*validate, *bad, "-q", says=says)
            self.assertEqual(len(list(runs.glob("*.db"))), before)  # refused before pass 1
            self.assertNotIn("was calibrated", self.run_hbar(*validate, *good)[1])
            self.assertIn("warning: ", self.run_hbar(*validate, *bad, "--force")[1])
        (run,) = (self.dir / "b").glob("*.db")
        by_run = ["validate", "--draws", 0, "--run", run, "--params"]
        self.run_hbar(*by_run, without["parameters"])
        self.fails(*by_run, with_phrases["parameters"], says="with the phrases of another file (--abstain); --force accepts it")
        unknown = json.loads(Path(with_phrases["parameters"]).read_text())
        del unknown["settings"]["abstain_sha256"]  # as in earlier versions
        self.run_hbar(*by_run, self.write("old.json", json.dumps(unknown)))

    def test_misfits_are_refused_before_generating(self):
        """With another model, chat format or system message no run is started, unless --force is given."""
        out = self.dir / "o"
        data = self.write_rows("d.jsonl", [{"prompt": f"Is {i} odd?", "label": i % 2} for i in range(40)])
        params = {chat: self.run_json("calibrate", "--model", CHAT_MODEL, "--data", data, "-o", out, "--draws", 0, *FAST,
                                      *chat)["parameters"] for chat in ((), ("--chat", "--system", "A"))}
        runs = set(out.glob("*.db"))
        for calibrated, here, says in [
            ((), ["--model", CHAT_MODEL, "--chat"], "on bare prompts, not on chat format template-"),
            (("--chat", "--system", "A"), ["--model", CHAT_MODEL], "on chat format template-"),
            (("--chat", "--system", "A"), ["--model", CHAT_MODEL, "--chat"], "with another system message"),
            (("--chat", "--system", "A"), ["--model", CHAT_MODEL, "--chat", "--chat-template", "phi3"],
             "on chat format template-"),
            ((), ["--model", MODEL], "on another model (random-llama, "),
        ]:
            with self.subTest(here):
                arguments = ["validate", "--params", params[calibrated], "--data", data, "--draws", 0, *here]
                self.fails(*arguments, "-o", out, says=f"{params[calibrated]} was calibrated {says}")
                self.assertEqual(set(out.glob("*.db")), runs)
                _, err = self.run_hbar(*arguments, "-o", self.dir / "forced", "--force")
                self.assertIn(f"warning: {params[calibrated]} was calibrated {says}", err)

    def settings(self, run):
        with contextlib.closing(sqlite3.connect(run)) as db:
            return dict(db.execute("SELECT key, value FROM settings"))

    def model_of(self, run):
        settings = self.settings(run)
        return {"name": settings["model_name"], "architecture": settings["model_architecture"],
                "file_size": int(settings["model_size"])}

    def test_labels_are_not_graded(self):
        run = self.dir / "r.db"
        self.run_hbar("score", "--model", MODEL, "--data", LABELLED, "--run", run, *FAST)
        params = self.params([("hbar_s", 2, ">=")], model=self.model_of(run))
        self.fails("validate", "--params", params, "--run", run, "--grade", "f1",
                   says="r.db: --grade: the run has labels, not answers")
        self.fails("validate", "--params", params, "--scores", run, "--grade", "f1", code=USAGE, says="--grade cannot be used with --scores")

    def test_a_split_is_scored_as_calibrated(self):
        """The default token limit is that of the calibration."""
        rows = [{k: row[k] for k in ("prompt", "label")} for row in map(json.loads, LABELLED.read_text().splitlines())]
        other = [{**row, "prompt": row["prompt"].replace("plus", "times")} for row in rows]
        data, split = self.write_rows("d.jsonl", rows), self.write_rows("s.jsonl", [*other, other[0]])
        calibrated = self.run_json("calibrate", "--model", MODEL, "--data", data, "-o", self.dir, "--max-tokens", 3)
        arguments = ["validate", "--params", calibrated["parameters"], "--model", MODEL, "--draws", 0, "--data"]
        run = ["--run", self.dir / "v.db"]
        out, err = self.run_hbar(*arguments, split, *run)
        self.assertIn("61 samples, ", out)
        self.no_warning(err)
        self.assertEqual(self.settings(self.dir / "v.db")["max_tokens"], 3)
        _, err = self.run_hbar(*arguments, split, "-o", self.dir, "--max-tokens", 2)
        self.assertIn("warning: samples have up to 2 tokens, but those of the calibration had up to 3", err)

    def test_samples_that_were_calibrated_on(self):
        """Shared samples are found by prompts, not ids, also with examples before a prompt and in other files. With
        parameters without hashes, hbar says that it cannot tell."""
        def rows(name, numbers, ids):
            return self.write_rows(name, [{"id": f"{ids}{k}", "prompt": f"What is {i} squared?", "label": i % 2}
                                          for k, i in enumerate(numbers)])
        first = rows("a.jsonl", range(30), "q")
        path = self.run_json("calibrate", "--model", MODEL, "--data", first, "-o", self.dir, *FAST)["parameters"]
        arguments = ["validate", "--params", path, "--model", MODEL, "-o", self.dir, "--draws", 0, "--data"]
        warning = "warning: {} of {} samples have prompts of the calibration"
        for data, n, shared in [(rows("b.jsonl", range(100, 130), "q"), 30, 0), (rows("c.jsonl", range(30), "t"), 30, 30),
                                (rows("d.jsonl", range(15, 55), "q"), 40, 15)]:
            _, err = self.run_hbar(*arguments, data)
            self.assertEqual(warning.format(shared, n) in err, shared > 0, err)
            self.assertNotIn("cannot tell", err)
            self.assertEqual(self.run_json(*arguments, data)["shared_prompts"], shared)
        answers = [{"prompt": f"What is {i} squared?", "answers": [str(i * i) if i % 2 else "x"]} for i in range(30)]
        shown = self.write_rows("e.jsonl", [{"prompt": f"Say {i}:", "answers": [str(i)]} for i in range(9)])
        learn = self.write_rows("f.jsonl", [{**row, "answers": ["x"] if i % 2 else ["y"]} for i, row in enumerate(answers)])
        run = self.dir / "shots.db"
        self.run_hbar("score", "--model", MODEL, "--data", learn, "--shots", 2, "--shots-data", shown, "--run", run, *FAST)
        with contextlib.closing(sqlite3.connect(run)) as db:  # labels of both classes
            db.execute("UPDATE samples SET grade_exact = idx % 2")
            db.commit()
        _, err = self.run_hbar("validate", "--params", path, "--run", run, "--draws", 0, "--force")
        self.assertIn(warning.format(30, 30), err)
        self.assertTrue(all(row["prompt"].endswith("squared?") and row["prompt"].startswith("Say ") for row in self.rows(run)))

        old = json.loads(Path(path).read_text())
        del old["prompt_hashes"]
        old["sample_ids"] = ["q1"]
        arguments[2] = self.write("old.json", json.dumps(old))
        _, err = self.run_hbar(*arguments, first)
        self.assertIn("old.json has no hashes of prompts, so hbar cannot tell", err)
        self.no_warning(err)
        self.assertIsNone(self.run_json(*arguments, first)["shared_prompts"])
        self.assertNotIn("cannot tell", self.run_hbar(*arguments, first, "-q")[1])

    def test_help(self):
        out = " ".join(self.run_hbar("validate", "--help")[0].split())
        for part in ("draw N samples; 0 means all (default: 0)", "a run to validate", "parameters to validate (required)",
                     "generate at most N tokens for a sample (default: as calibrated)",
                     "by which the model's answer is right (default: as calibrated, or else as in the run)"):
            self.assertIn(part, out)

    def test_usage(self):
        self.fails("validate", "--run", "x", code=USAGE, says="--params is required")
        for split in (["--run", "r", "--data", "d"], ["--run", "r", "--model", "m"],
                      ["--scores", "s", "--run", "r"], ["--scores", "s", "--model", "m", "--data", "d"]):
            self.fails("validate", "--params", "x", *split, code=USAGE,
                       says="give --model and --data, or --run, or --scores")
        self.fails("validate", "--params", "/no/such.json", "--run", "x", code=FAILED, says="/no/such.json")
