"""Shards: parts of the samples that are scored apart, and the runs merged into one."""
import contextlib
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

from harness import HBAR, LABELLED, MODEL, USAGE, Runs, environment


class Shards(Runs):
    def score_shards(self, shards, *more, **options):
        runs = [self.dir / f"{i}of{shards}.db" for i in range(1, shards + 1)]
        for i, run in enumerate(runs, 1):
            self.score(run, "--shard", f"{i}/{shards}", *more, **options)
        return runs

    def test_equal_to_the_whole(self):
        more = "--samples", 2, "--features", "hidden,topk"
        self.score("whole.db", *more)
        runs = self.score_shards(3, *more)
        self.assertTrue(all(self.exported(run) for run in runs))
        merged = self.run_json("merge", runs[2], runs[0], runs[1], "-o", self.dir / "all.db")
        self.assertEqual(merged, {"run": str(self.dir / "all.db"), "merged": 3, "samples": 60, "missing": 0, "repeated": 0})
        self.check_equal("all.db", "whole.db")
        sweeps = [self.run_json("sweep", "--run", self.dir / run, "--draws", 0) for run in ("all.db", "whole.db")]
        self.assert_alike(*(s["threshold"] for s in sweeps))
        out = json.loads(self.score("all.db", *more, "--json")[0])  # the command without shards finds all samples
        self.assertEqual((out["scored"], out["tokens_evaluated"]), (60, 0))

    def groups(self, rows, key, n=4, *more):
        """For each value of `key`, the shards that have it. All shards together have each sample once."""
        data = self.write_rows("d.jsonl", rows)
        shards, seen = {}, []
        for i, run in enumerate(self.score_shards(n, *more, data=data)):
            for row in self.exported(run):
                shards.setdefault(key(rows[int(row["id"])]), set()).add(i)
                seen.append(row["index"])
        self.assertEqual(sorted(seen), list(range(len(rows))))
        self.assertGreater(len(set.union(*shards.values())), 1)
        return shards

    def test_what_belongs_together_stays_together(self):
        rows = [{"id": str(i), "prompt": f"Is it {i}?", "label": i % 2, "topic": f"t{i % 8}"} for i in range(32)]
        together = self.groups(rows, lambda r: r["topic"], 4, "--group", "topic")
        self.assertEqual({len(s) for s in together.values()}, {1})
        self.assertNotEqual({len(s) for s in self.groups(rows, lambda r: r["topic"], 5).values()}, {1})

    def test_shared_prefixes_stay_together(self):
        """An instruction before all prompts does not count as a prefix."""
        story = "Instruction. " * 20 + "{} " * 120 + "Question {}?"
        rows = [{"id": str(i), "prompt": story.format(*[f"s{i % 8}"] * 120, i), "label": i % 2, "story": i % 8}
                for i in range(32)]
        together = self.groups(rows, lambda r: r["story"], 3, "--ctx-size", 4096)
        self.assertEqual({len(s) for s in together.values()}, {1})

    def test_pairs_stay_together(self):
        data = self.write_rows("p.jsonl", [{"knowledge": f"K{i}.", "question": f"Q{i}?", "right_answer": "A",
                                            "hallucinated_answer": "B"} for i in range(15)])
        for run in self.score_shards(2, data=data):
            indices = {r["index"] for r in self.exported(run)}
            self.assertEqual({i ^ 1 for i in indices}, indices)

    def test_a_larger_draw_extends_the_shards(self):
        small = self.score_shards(2, n=20)
        before = [self.exported(run) for run in small]
        self.fails("merge", small[0], small[1], self.dir / "none.db", "-o", self.dir / "x.db", says="none.db")
        self.score(small[0], "--shard", "1/2")
        self.fails("merge", *small, "-o", self.dir / "x.db", says="belongs to 20 samples drawn")
        self.score(small[1], "--shard", "2/2")
        for rows, run in zip(before, small):
            self.assertEqual([r for r in self.exported(run) if r in rows], rows)
        self.run_hbar("merge", *small, "-o", self.dir / "all.db")
        self.score("whole.db")
        self.check_equal("all.db", "whole.db")

    def test_empty_shards(self):
        data = self.write_rows("d.jsonl", [{"prompt": "One?", "label": 1}])
        runs = self.score_shards(3, data=data)
        self.assertEqual(sorted(len(self.exported(run)) for run in runs), [0, 0, 1])
        self.run_hbar("merge", *runs, "-o", self.dir / "all.db")
        self.score("whole.db", data=data)
        self.check_equal("all.db", "whole.db")

    def test_killed_and_continued(self):
        data = self.write_rows("many.jsonl", [{"id": str(i), "prompt": f"Tell me about {i}.", "label": i % 2}
                                              for i in range(300)])
        run = self.dir / "1of2.db"
        slow = {"data": data, "max_tokens": 40}
        command = [HBAR, "score", "--model", MODEL, "--data", data, "--run", run, "-n", 0, "--max-tokens", 40]
        process = subprocess.Popen([*map(str, command), "--shard", "1/2", "--sequences", "1"], env=environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            with contextlib.suppress(sqlite3.Error):
                if self.rows(run, "SELECT count(*) FROM samples")[0][0]:
                    break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL)
        other = self.dir / "2of2.db"
        self.score(other, "--shard", "2/2", **slow)
        self.fails("merge", run, other, "-o", self.dir / "all.db", says="shard 1/2 is unfinished")
        self.run_hbar("merge", run, other, "-o", self.dir / "part.db", "--partial")
        self.fails(*command[1:], says="shard is 1, not 0")
        self.score(run, "--shard", "1/2", **slow)
        self.run_hbar("merge", run, other, "-o", self.dir / "all.db")
        self.score("whole.db", **slow)
        self.check_equal("all.db", "whole.db")
        self.score("part.db", **slow)  # the command without shards completes a partial run
        self.check_equal("part.db", "whole.db")

    def test_partial(self):
        runs = self.score_shards(3)
        self.fails("merge", runs[0], runs[2], "-o", self.dir / "x.db", says="the run of shard 2/3 is missing")
        out, err = self.run_hbar("merge", runs[0], runs[2], runs[0], "-o", self.dir / "x.db", "--partial")
        has, lacks = (sum(len(self.exported(runs[i])) for i in which) for which in ((0, 2), (1,)))
        self.assertEqual(out, f"{has} samples of 3 runs merged into {self.dir / 'x.db'}\n")
        self.assertIn(f"lacks {lacks} of the 60 samples drawn", err)
        self.assertIn("samples are in several runs", err)
        self.assertEqual(len(self.exported("x.db")), has)

    def test_grading(self):
        """A merged run has the rule of its shards if it is the same in all of them."""
        data = self.write_rows("d.jsonl", [{"question": f"Is it {i}?", "answer": str(i)} for i in range(12)])
        runs = self.score_shards(2, "--grade", "f1", data=data)
        _, err = self.run_hbar("merge", *runs, "-o", self.dir / "same.db")
        self.assertNotIn("graded", err)
        self.score(runs[1], "--shard", "2/2", "--grade", "contains", data=data)
        for name, order in (("a.db", runs), ("b.db", runs[::-1])):
            _, err = self.run_hbar("merge", *order, "-o", self.dir / name)
            self.assertIn(f"graded by different rules, so {self.dir / name} names none, and hbar grades it by exact", err)
        grades = {Path(r["path"]).name: r["grade"] for r in self.run_json("runs", self.dir)["results"]}
        self.assertEqual(grades, {"1of2.db": "f1", "2of2.db": "contains", "same.db": "f1", "a.db": None, "b.db": None})

    def test_default_names(self):
        for i in (1, 2):
            self.run_hbar("score", "--model", MODEL, "--data", LABELLED, "-n", 0, "-o", self.dir / "o", "--shard", f"{i}/2")
        runs = sorted((self.dir / "o").glob("*of2.db"))
        self.assertEqual(len(runs), 2)
        self.run_hbar("merge", *runs, "-o", self.dir / "all.db")

    def test_usage(self):
        for text in "0/3", "4/3", "1", "1/", "/3", "1/3x", "-1/3", "1/+3", "1/100001", "99999999999999999999/3", "":
            self.fails("score", "--model", MODEL, "--data", LABELLED, "--shard", text, code=USAGE, says="--shard")
        self.fails("merge", "a.db", code=USAGE, says="--output")
        self.fails("merge", "-o", "x.db", code=USAGE, says="RUN")
        runs = self.score_shards(2)
        self.fails("merge", *runs, "-o", runs[0], code=USAGE, says="is one of the runs")
        self.fails("merge", *runs, "-o", LABELLED, says="exists already")
        self.fails("merge", *runs, "-o", self.dir, says="exists already")
        self.assertEqual(len(list(self.dir.glob("*"))), 2)

    def test_what_a_killed_merge_left_is_removed(self):
        runs = self.score_shards(2)
        old, young, locked, other = (self.dir / name for name in ("x.db.part1", "x.db.part2", "x.db.part3", "x.db.parts"))
        for path in old, young, locked, other:
            for suffix in "", "-wal", "-lock":
                Path(f"{path}{suffix}").write_text("")
        for path in old, locked, other:
            os.utime(path, (1, 1))
        with open(f"{locked}-lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.run_hbar("merge", *runs, "-o", "x.db")
        left = {p.name for p in self.dir.glob("x.db*")}
        self.assertEqual(left, {"x.db"} | {f"{p.name}{s}" for p in (young, locked, other) for s in ("", "-wal", "-lock")})
