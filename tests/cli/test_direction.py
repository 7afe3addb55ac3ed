"""Labels that contradict the signal of a score probably have the opposite meaning."""
import sqlite3

from harness import MODEL, Case


class Direction(Case):
    def table(self, column, score):
        rows = [f"{0.5 + i / 100 if i % 2 else 0.1 + i / 200},{bool(i % 2)}" for i in range(40)]
        return self.write(f"{column}.csv", f"{score},{column}\n" + "\n".join(rows) + "\n")

    def test_warned_of(self):
        says = "warning: {} should be risky, but here {} is, beyond chance: do labels of 1 mean that the answer is right"
        sweep = ["sweep", "--draws", 0, "--data"]
        for score, high, low in (("entropy", "high entropy", "low entropy"), ("pri:mean", "high pri", "low pri")):
            table = self.table("is_correct", score)
            out, err = self.run_hbar(*sweep, table, "--score", score, "--label", "is_correct")
            self.assertNotIn("should be risky", out)  # labels in hbar's meaning
            self.assertIn("does it mean right there?", err)
            out, err = self.run_hbar(*sweep, table, "--score", score, "--correct", "is_correct")
            self.assertIn(says.format(high, low), out)
            self.assertNotIn("warning", err)
            self.assertTrue(self.run_json(*sweep, table, "--score", score, "--correct", "is_correct")["contradicts_signal"])
            out, _ = self.run_hbar(*sweep, table, "--score", score, "--correct", "is_correct", "--direction", "low")
            self.assertNotIn("should be risky", out)
        table = self.table("label", "mine")
        for more in ([], ["--positive", "False"]):
            result = self.run_json(*sweep, table, "--score", "mine", *more)
            self.assertFalse(result["contradicts_signal"])

    def test_grades_are_not_put_in_question(self):
        """Graded answers cannot have labels of the opposite meaning."""
        data = self.write_rows("d.jsonl", [{"prompt": f"What is {i}?", "answers": ["x"]} for i in range(30)])
        run = self.dir / "r.db"
        self.run_hbar("score", "--model", MODEL, "--data", data, "--run", run, "-n", 0, "--max-tokens", 4)
        with sqlite3.connect(run) as db:
            db.execute("UPDATE samples SET grade_exact = (SELECT [entropy:top5] > avg FROM scores JOIN"
                       " (SELECT avg([entropy:top5]) AS avg FROM scores) WHERE scores.idx = samples.idx)")
        db.close()
        out, _ = self.run_hbar("sweep", "--run", run, "--score", "entropy", "--draws", 0)
        self.assertIn("warning: high entropy should be risky, but here low entropy is, beyond chance\n", out)
