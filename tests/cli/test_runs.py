"""What a run keeps, and runs that grow: other numbers of samples."""
import contextlib
import hashlib
import json
import os
import sqlite3
import unittest.mock

from harness import CHAT_MODEL, LABELLED, MODEL, USAGE, Case, without_numbers

FAST = ["--max-tokens", 5]


class Runs(Case):
    def rows(self, run):
        out, _ = self.run_hbar("export", "--run", run, "--format", "jsonl")
        return [json.loads(line) for line in out.splitlines()]

    def results(self, run):
        return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in self.rows(run)]


    def settings(self, run):
        with contextlib.closing(sqlite3.connect(run)) as db:
            return db.execute("SELECT * FROM settings ORDER BY key").fetchall()


class Prompts(Runs):
    def test_kept_with_the_samples(self):
        """Skipped samples also keep their prompts. The prompt is the chat message, before the template is applied."""
        rows = [*map(json.loads, LABELLED.read_text().splitlines()[:8]), {"prompt": "long " * 3000, "label": 1}]
        data = self.write_rows("d.jsonl", rows)
        for model, more in ((MODEL, []), (CHAT_MODEL, ["--chat"])):
            run = self.dir / f"r{len(more)}.db"
            self.run_hbar("score", "--model", model, "--data", data, "-n", 0, "--run", run, *more, *FAST)
            got = self.rows(run)
            self.assertEqual([r["prompt"] for r in got], [r["prompt"] for r in rows])
            self.assertEqual(got[8]["status"], "skipped")
            for row in got:
                self.assertEqual(row["prompt_sha256"], hashlib.sha256(row["prompt"].encode()).hexdigest())

    def test_hashes_alone(self):
        """The file contains no text of a prompt, also after the run was continued."""
        secret = "Xyzzyplugh"
        data = self.write_rows("d.jsonl", [{"prompt": f"{secret} {i}?", "label": i % 2} for i in range(20)])
        run, arguments = self.dir / "r.db", ["score", "--model", MODEL, "--data", data, *FAST]
        self.run_hbar(*arguments, "--no-prompts", "-n", 8, "--run", run)
        self.fails(*arguments, "-n", 20, "--run", run, says="no_prompts is 1, not 0")
        self.run_hbar(*arguments, "--no-prompts", "-n", 20, "--run", run)
        self.assertNotIn(secret.encode(), run.read_bytes())
        for i, row in enumerate(self.rows(run)):
            self.assertIsNone(row["prompt"])
            self.assertEqual(row["prompt_sha256"], hashlib.sha256(f"{secret} {i}?".encode()).hexdigest())
        calibrated = self.run_json("calibrate", "--model", MODEL, "--data", data, "-o", self.dir / "o", "--no-prompts", *FAST)
        judged = self.run_json("validate", "--params", calibrated["parameters"], "--run", run, "--draws", 0)
        self.assertEqual(judged["shared_prompts"], 20)


    def test_run_without_hashes(self):
        """A run from before there were hashes is validated; nothing is said about the calibration's samples."""
        run = self.dir / "r.db"
        common = "--model", MODEL, "--data", LABELLED, "-n", 0, *FAST
        calibrated = self.run_json("calibrate", *common, "--run", run, "-o", self.dir / "o")
        with contextlib.closing(sqlite3.connect(run)) as db:
            db.execute("PRAGMA user_version = 6")
        command = "validate", "--params", calibrated["parameters"], "--run", run, "--draws", 0
        self.assertIsNone(self.run_json(*command, "--min-recall", 0.5)["shared_prompts"])
        _, err = self.run_hbar(*command)
        self.assertIn(f"{run} has no hashes of prompts", err)


class Sizes(Runs):
    """Draws of other sizes with the same seed. With the portable kernels, results do not depend on the batch."""

    def setUp(self):
        super().setUp()
        kernels = unittest.mock.patch.dict(os.environ, HBAR_KERNELS="portable")
        kernels.start()
        self.addCleanup(kernels.stop)

    def score(self, n, run, data=LABELLED, more=()):
        return self.run_hbar("score", "--model", MODEL, "--data", data, "-n", n, "--run", self.dir / run, *FAST, *more)

    def check_extended(self, small, large, data=LABELLED, more=()):
        """Scores `small` samples and then `large`. Returns the run, which must equal a run of `large` samples at
        once."""
        out, err = self.score(small, "grown.db", data, more)
        self.assertNotIn("the run had", err)
        few = self.results(self.dir / "grown.db")
        out, err = self.score(large, "grown.db", data, more)
        many = self.results(self.dir / "grown.db")
        self.assertIn(f"the run had {len(few)} of these samples, and {len(many) - len(few)} were added", err)
        whole, _ = self.score(large, "whole.db", data, more)
        self.assertEqual(out, whole)
        self.assert_alike(many, self.results(self.dir / "whole.db"))
        self.assertEqual([r for r in many if r["index"] in {f["index"] for f in few}], few)
        self.assertEqual(*(self.settings(self.dir / name) for name in ("grown.db", "whole.db")))
        return self.dir / "grown.db"

    def test_extended(self):
        run = self.check_extended(7, 40)
        self.assertEqual(len(self.rows(run)), 40)
        self.assertEqual(self.run_json("sweep", "--run", run, "--draws", 0)["data"]["samples"], 40)

    def test_extended_to_all(self):
        self.assertEqual(len(self.rows(self.check_extended(20, 0))), 60)

    def test_extended_with_examples(self):
        self.check_extended(6, 24, more=["--shots", 2, "--prompt-template", "Q: {prompt} A:", "--field", "answers=id"])

    def test_pairs_stay_together(self):
        data = self.write_rows("p.jsonl", [{"knowledge": f"K{i}.", "question": f"Q{i}?", "right_answer": "A",
                                            "hallucinated_answer": "B"} for i in range(15)])
        for small, large in ((1, 3), (3, 13), (5, 29)):
            run = self.check_extended(small, large, data)
            rows = self.rows(run)
            self.assertEqual(len(rows), large + 1)
            self.assertEqual(sum(r["label"] for r in rows), len(rows) // 2)
            for name in ("grown.db", "whole.db"):
                (self.dir / name).unlink()

    def test_smaller(self):
        """A draw of fewer samples uses stored ones and generates none. The file keeps the others."""
        self.score(40, "r.db")
        before = self.results(self.dir / "r.db")
        out, err = self.score(14, "r.db")
        self.assertIn("14 of 14 samples scored", err)
        self.assertIn("the run has 26 more samples; -n 14 leaves them out", err)
        self.assertNotIn("tokens evaluated", err)
        self.assertEqual(without_numbers(out), without_numbers(self.score(14, "few.db")[0]))
        self.assertEqual(self.results(self.dir / "r.db"), before)
        arguments = ["calibrate", "--model", MODEL, "--data", LABELLED, "-n", 14, "-o", self.dir / "o", *FAST]
        of_part, of_few = (self.run_json(*arguments, "--run", self.dir / run) for run in ("r.db", "few.db"))
        for key in ("data", "settings", "score", "threshold", "scores", "prompt_hashes", "sweep"):
            self.assert_alike(of_part[key], of_few[key])
        self.assertIn("_n14.json", of_part["parameters"])
        self.assertEqual(self.run_json("sweep", "--run", self.dir / "r.db", "--draws", 0)["data"]["samples"], 40)

    def test_default_run_grows(self):
        """The default name does not depend on the number of samples, but on the other settings."""
        arguments = ["score", "--model", MODEL, "--data", LABELLED, "-o", self.dir / "o", *FAST]
        for n, evaluates in ((6, True), (18, True), (12, False)):
            self.assertEqual(self.run_json(*arguments, "-n", n)["tokens_evaluated"] > 0, evaluates)
            self.assertEqual(len(list((self.dir / "o").glob("*.db"))), 1)
        for k, more in enumerate((["--seed", 1], ["--no-prompts"])):
            self.assertGreater(self.run_json(*arguments, "-n", 6, *more)["tokens_evaluated"], 0)
            self.assertEqual(len(list((self.dir / "o").glob("*.db"))), 2 + k)

    def test_not_negative(self):
        self.fails("score", "--model", MODEL, "--data", LABELLED, "-n", -3, code=USAGE, says="--n-samples")
