"""Grading in the commands: results and messages. docs/grading.md has the rules."""
import contextlib
import json
import shutil
import sqlite3
import unittest

from harness import FAILED, PROJECT, USAGE, Case

QUESTIONS = [json.loads(line) for line in (PROJECT / "data" / "demo_test.jsonl").read_text().splitlines()]
YEARS = [q for q in QUESTIONS if q["prompt"].startswith("In which year")][:16]
MAKERS = [q for q in QUESTIONS if len(q["answers"]) == 2][:30]


class Grading(Case):
    def data(self, rows, name="data.jsonl"):
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))

    def score(self, data, *more):
        """The demo's model on all rows; returns the result, standard error, and the run's rows."""
        run = self.dir / f"{len(list(self.dir.glob('*.db')))}.db"
        out, err = self.run_hbar("score", "--data", data, "-n", 0, "--run", run, "--json", *more, cwd=self.dir)
        return json.loads(out), err, self.export(run), run

    def export(self, run, *more):
        out, _ = self.run_hbar("export", "--run", run, "--format", "jsonl", *more)
        return [json.loads(line) for line in out.splitlines()]

    def surnames(self):
        """Questions whose right answer is the last word of the model's answer."""
        _, _, rows, _ = self.score(self.data(MAKERS, "makers.jsonl"))
        said = [(q["prompt"], r["text"].split()) for q, r in zip(MAKERS, rows)]
        asked = [{"prompt": prompt, "answers": [words[-1]]} for prompt, words in said if len(words) > 1]
        self.assertGreater(len(asked), 10)
        return self.data(asked), len(asked)

    def test_a_rule_by_which_nothing_is_right(self):
        data, n = self.surnames()
        says = f"none of the {n} answers is right by --grade exact; right are {n} by contains, "
        result, err, _, run = self.score(data)
        self.assertEqual(result["accuracy"], 0)
        self.assertIn(says, err)
        self.assertIn('--system "Answer with the name only."', err)
        for command in (["sweep", "--run", run], ["calibrate", "--data", data, "-n", 0, "--run", run, "-o", self.dir]):
            self.fails(*command, says=says)
            self.fails(*command, "-q", says=says)
        _, err = self.run_hbar("score", "--data", data, "-n", 0, "--run", run, "--grade", "contains")
        self.assertNotIn("none of the", err)
        nothing = self.data([{"prompt": q["prompt"], "answers": ["zzz"]} for q in MAKERS], "nothing.jsonl")
        _, err, _, _ = self.score(nothing, "--grade", "f1")
        self.assertIn(f"none of the {len(MAKERS)} answers is right, by f1 or any other rule", err)

    def change(self, run, *statements):
        with contextlib.closing(sqlite3.connect(run)) as db:
            for statement in statements:
                db.execute(statement)
            db.commit()

    def graded_run(self):
        """A run and its data. The run is graded by `contains`: every second answer is right, and none is by another rule."""
        data = self.data(MAKERS)
        _, _, _, run = self.score(data, "--grade", "contains")
        self.change(run, "UPDATE samples SET grade_exact = 0, grade_contains = idx % 2, grade_f1 = 0.1, abstained = 0")
        return run, data

    def test_a_run_is_graded_as_it_says(self):
        """Without --grade, each command takes the rule of the run; an option is stronger."""
        run, data = self.graded_run()
        again = ["score", "--data", data, "-n", 0, "--run", run]
        swept = self.run_json("sweep", "--run", run, "--draws", 0)
        self.assertEqual((swept["settings"]["grade"], swept["score"]["hallucination_rate"]), ("contains", 0.5))
        self.assertEqual([r["label"] for r in self.export(run)], [1, 0] * (len(MAKERS) // 2))
        self.assertEqual({r["label"] for r in self.export(run, "--grade", "exact")}, {1})
        scored = self.run_json(*again)
        self.assertEqual((scored["grade"], scored["accuracy"]), ("contains", 0.5))
        page, _ = self.run_hbar("report", run, "-o", "-", "--score", "entropy", "-q")
        self.assertRegex(page, "Graded by</th><td>contains<")
        del swept["settings"]["grade"]  # as of data with labels
        judged = self.run_json("validate", "--params", self.write("p.json", json.dumps(swept)), "--run", run, "--draws", 0)
        self.assertEqual(judged["grade"], "contains")
        self.assertEqual(self.run_json("diff", run, run)["samples"]["shared"], len(MAKERS))
        self.assertEqual(self.run_json(*again, "--grade", "f1", "--min-f1", 0.1)["accuracy"], 1)
        self.assertEqual(self.run_json(*again, "--abstain-as", "wrong")["grade"], "f1")
        self.assertEqual(self.run_json("runs", self.dir)["results"][0]["grade"], "f1")

    def test_runs_that_are_graded_differently(self):
        run, _ = self.graded_run()
        other = self.dir / "other.db"
        shutil.copy(run, other)
        self.change(other, "UPDATE settings SET value = 'f1,wrong,0.5' WHERE key = 'grading'",
                    "UPDATE samples SET grade_f1 = 0.4 + 0.2 * (idx % 2)")
        differ = f"{run} is graded by contains, and {other} by f1, abstentions as wrong; --grade and --abstain-as grade"
        self.fails("diff", run, other, says=differ)
        self.fails("diff", run, other, "--grade", "contains", says="by contains, and")
        self.run_hbar("diff", run, other, "--grade", "contains", "--abstain-as", "out")
        _, err = self.run_hbar("report", run, other, "-o", self.dir / "page.html", "--score", "entropy")
        self.assertIn(f"warning: {differ}", err)
        self.run_hbar("sweep", "--run", run, "--draws", 0, "-o", self.dir / "params")
        (params,) = (self.dir / "params").iterdir()
        _, err = self.run_hbar("validate", "--params", params, "--run", other, "--draws", 0)
        self.assertIn(f"answers are graded by contains, as in the calibration, but {other} was graded by f1, abst", err)

    def test_abstentions_are_a_class_of_their_own(self):
        _, _, rows, _ = self.score(self.data(MAKERS, "makers.jsonl"))
        wrong = [r["text"].strip() for r in rows if not r["grade_exact"]]
        phrases = self.write("phrases.txt", f"# mine\n= {wrong[0]}\n")
        n = wrong.count(wrong[0])
        result, err, rows, run = self.score(self.dir / "makers.jsonl", "--abstain", phrases)
        self.assertEqual(result["abstained"], n)
        self.assertAlmostEqual(result["accuracy"], sum(r["grade_exact"] for r in rows) / (len(rows) - n))
        self.assertIn(f"{n} of {len(rows)} answers abstain and are left out", err)
        self.assertEqual([r["label"] for r in rows], [None if r["abstained"] else 1 - r["grade_exact"] for r in rows])
        for treatment, label in (("right", 0), ("wrong", 1)):
            labels = [r["label"] for r in self.export(run, "--abstain-as", treatment)]
            self.assertEqual(labels, [label if r["abstained"] else 1 - r["grade_exact"] for r in rows])
        self.assertEqual(self.run_json("sweep", "--run", run, "--draws", 0)["score"]["n"], len(rows) - n)
        swept = self.run_json("sweep", "--run", run, "--draws", 0, "--abstain-as", "wrong")
        self.assertEqual(swept["score"]["n"], len(rows))
        ranked = self.run_json("sweep", "--run", run, "--draws", 0, "--score", "all")
        alone = self.run_json("sweep", "--run", run, "--draws", 0, "--score", "entropy")
        ranking = {row["name"]: row["auroc"] for row in ranked["ranking"]}
        self.assertAlmostEqual(ranking["entropy"], alone["auroc"])
        self.fails("score", "--data", self.dir / "makers.jsonl", "-n", 0, "--run", run, says="abstain_sha256")

    def test_abstentions_beside_right_and_wrong(self):
        _, _, rows, _ = self.score(self.data(MAKERS, "makers.jsonl"))
        texts = [r["text"].strip() for r in rows]
        n = texts.count(texts[0])
        phrases = self.write("phrases.txt", f"= {texts[0]}\n")
        asked = self.data([{**q, "answers": ["zzz"] if t == texts[0] else q["answers"]} for q, t in zip(MAKERS, texts)],
                          "asked.jsonl")
        command = ["score", "--data", asked, "-n", 0, "-q", "--run", self.dir / "own.db", "--abstain", phrases]
        command += ["--grade", "contains"]
        out, _ = self.run_hbar(*command)
        self.assertRegex(out, rf"^{len(rows) - n} answers, .* % of them right \(contains\), .*; {n} more abstained\n$")
        out, _ = self.run_hbar(*command, "--abstain-as", "wrong")
        self.assertRegex(out, rf"^{len(rows)} answers, .*; {n} of them abstained, which counts as wrong\n$")
        out, _ = self.run_hbar("sweep", "-q", "--run", self.dir / "own.db", "--grade", "contains", "--abstain-as", "out", "--draws", 0)
        self.assertIn(f"; {n} more abstained\n", out)
        everything = self.write("all.txt", "".join(f"= {t}\n" for t in texts))
        none = self.data([{**q, "answers": ["zzz"]} for q in MAKERS], "none.jsonl")
        command = ["score", "--data", none, "-n", 0, "-q", "--run", self.dir / "all.db", "--abstain", everything]
        out, _ = self.run_hbar(*command)
        self.assertEqual(out, f"0 answers; {len(rows)} more abstained\n")

    def test_reasoning_before_answers(self):
        template = self.write("thinking.jinja", "{{ messages[0]['content'] }}<think>\n")
        data = self.data(YEARS)
        _, err, rows, run = self.score(data, "--chat", "--chat-template", template, "--max-tokens", 8)
        n = len(rows)
        self.assertIn(f"{n} of {n} texts end while the model still reasons", err)
        self.assertTrue(all(r["text"].startswith("<think>") for r in rows))
        for text, says in (("<think>x</think>Paris", f"{n} of {n} texts begin with reasoning (<think> ...)"),
                           ("<plan>\nx\n</plan>", "begin with a block that hbar does not know (<plan>)"),
                           ("[SCRATCH_PAD] x", "begin with a block that hbar does not know ([SCRATCH_PAD])"),
                           ("<b>Paris</b>", "none of the")):
            with sqlite3.connect(run) as db:
                db.execute("UPDATE samples SET text = ?", (text,))
            db.close()
            _, err = self.run_hbar("score", "--data", data, "-n", 0, "--run", run, "--chat", "--chat-template",
                                   template, "--max-tokens", 8)
            self.assertIn(says, err)
            self.assertEqual(err.count("begin with"), 0 if says == "none of the" else 1)

    def test_numbers(self):
        result, _, rows, run = self.score(self.data(YEARS), "--grade", "number")
        right = sum(r["grade_number"] == 0 for r in rows)
        self.assertGreater(right, 0)
        self.assertAlmostEqual(result["accuracy"], right / len(rows))
        _, err, _, _ = self.score(self.data(YEARS), "--grade", "number", "--max-tokens", 1)
        self.assertIn(f"{len(rows)} of {len(rows)} answers are cut off at 1 tokens; raise --max-tokens", err)
        near = self.export(run, "--grade", "number", "--tolerance", 0.1)
        self.assertEqual([r["label"] for r in near], [int(r["grade_number"] > 0.1) for r in rows])

    def test_answer_lines(self):
        data = self.data(YEARS)
        _, _, one, _ = self.score(data, "--max-tokens", 30)
        _, _, same, _ = self.score(data, "--max-tokens", 30, "--answer-lines", 1)
        _, _, two, run = self.score(data, "--max-tokens", 30, "--answer-lines", 2)
        self.assertEqual([r["text"] for r in one], [r["text"] for r in same])
        for shots, lines, other in ((2, 1, "all"), (0, -1, "1")):  # examples have answers of one line
            options = ["--max-tokens", 4, "--grade", "number", "--shots", shots]
            *_, own = self.score(data, *options)
            self.fails("score", "--data", data, "-n", 0, "--run", own, *options, "--answer-lines", other,
                       says=f"answer_lines is {lines}, not ")
        lines = [len([line for line in r["text"].split("\n") if line.strip()]) for r in two]
        self.assertLessEqual(max(lines), 2)
        self.fails("score", "--data", data, "-n", 0, "--run", run, "--max-tokens", 30, says="answer_lines is 2, not 1")

    def test_usage(self):
        for option, says in ((["--tolerance", 0.1], "--tolerance needs --grade number"),
                             (["--answer-lines", "0"], "--answer-lines: '0' is neither a number from 1 nor 'all'"),
                             (["--answer-lines", "2x"], "--answer-lines: '2x'"),
                             (["--abstain-as", "half"], "--abstain-as")):
            self.fails("score", *option, code=USAGE, says=says)
        self.fails("score", "--abstain", self.dir / "none.txt", code=FAILED, says="none.txt")
        self.fails("score", "--abstain", self.write("bad.txt", "?!\n"), says="bad.txt:1: the phrase has no word")


if __name__ == "__main__":
    unittest.main()
