"""Samples that belong together: intervals and folds take them as one."""
import json
import random
import sqlite3

from harness import MODEL, USAGE, Case

FAST = ["--max-tokens", 4]


class Groups(Case):
    def rows(self, n, copies):
        rng = random.Random(5)
        rows = []
        for i in range(n):
            label = i % 3 == 0
            row = {"score": rng.gauss(label, 1), "label": int(label), "topic": f"t{i}"}
            rows += [{"id": f"{i}_{k}", **row} for k in range(copies)]
        return rows

    def interval(self, rows, *arguments):
        table = self.write_rows("t.jsonl", rows)
        return self.run_json("sweep", "--data", table, *arguments)["uncertainty"]

    def test_copies_in_a_group_change_no_interval(self):
        one, copies = self.rows(60, 1), self.rows(60, 4)
        expected = self.interval(one, "--draws", 0)["auroc_delong"]
        naive = self.interval(copies, "--draws", 0)["auroc_delong"]
        self.assertLess(naive[1] - naive[0], 0.6 * (expected[1] - expected[0]))
        grouped = self.interval(copies, "--group", "topic")
        for a, b in zip(grouped["auroc_delong"], expected):
            self.assertAlmostEqual(a, b)
        low, high = grouped["bootstrap"]["auroc"]
        self.assertAlmostEqual(high - low, expected[1] - expected[0], delta=0.05)

    def test_ids_tell_pairs(self):
        rows = self.rows(60, 2)
        naive = self.interval(rows)
        for i, row in enumerate(rows):
            row["id"] = f"q_{i // 2}_{('cor', 'hal')[i % 2]}"
        by_id = self.interval(rows)
        self.assertEqual(by_id, self.interval(rows, "--group", "topic"))
        self.assertNotEqual(by_id, naive)

    def test_a_run_keeps_its_groups(self):
        rows = [{"prompt": f"Is {i} even?", "label": i % 2, "id": f"n{i}", "of": {"topic": f"t{i // 8}"}} for i in range(48)]
        data = self.write_rows("d.jsonl", rows)
        calibrate = ["calibrate", "--model", MODEL, "--data", data, "-o", self.dir / "out", *FAST, "--signals", "entropy",
                     "--score", "entropy"]
        plain = self.run_json(*calibrate)
        grouped = self.run_json(*calibrate, "--group", "of.topic")
        self.assertEqual(plain["auroc"], grouped["auroc"])
        self.assertNotEqual(plain["uncertainty"], grouped["uncertainty"])
        self.assertIn("group=of.topic", grouped["data"]["format"])
        runs = sorted((self.dir / "out").glob("*.db"))
        self.assertEqual(len(runs), 2)  # the field is part of a run's identity
        keeps = [r for r in runs if sqlite3.connect(r).execute("SELECT count(grp) FROM samples").fetchone()[0]]
        self.assertEqual(len(keeps), 1)
        again = self.run_json("sweep", "--run", keeps[0], "--score", "entropy")
        self.assertEqual(again["uncertainty"], grouped["uncertainty"])
        out, _ = self.run_hbar("export", "--run", keeps[0], "--format", "jsonl")
        exported = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([r["group"] for r in exported], [r["of"]["topic"] for r in rows])
        self.assertTrue(all(r["overlap"] is None for r in exported))
        table = self.write("e.jsonl", out)
        again = self.run_json("sweep", "--data", table, "--score", "entropy", "--group", "group")
        self.assertEqual(again["uncertainty"], grouped["uncertainty"])
        judged = self.run_json("validate", "--params", grouped["parameters"], "--scores", table, "--group", "group")
        self.assertEqual(judged["scores"]["entropy"]["auroc_delong"], grouped["uncertainty"]["auroc_delong"])

    def test_overlap_with_the_context(self):
        rows = [{"prompt": f"{i}?", "context": "red green blue", "response": answer, "label": i % 2}
                for i, answer in enumerate(["Red.", "red or blue", "yellow", "Green, blue", "a white one", "blue"] * 2)]
        data = self.write_rows("d.jsonl", rows)
        self.run_hbar("score", "--model", MODEL, "--data", data, "--run", self.dir / "r.db", *FAST)
        out, _ = self.run_hbar("export", "--run", self.dir / "r.db", "--format", "jsonl")
        overlaps = [json.loads(line)["overlap"] for line in out.splitlines()]
        for overlap, expected in zip(overlaps, [1, 2 / 3, 0, 1, 0, 1] * 2):
            self.assertAlmostEqual(overlap, expected)

    def test_usage(self):
        self.fails("sweep", "--run", "r.db", "--group", "x", code=USAGE, says="--group go with --data")
        self.fails("sweep", "--data", self.write_rows("t.jsonl", self.rows(20, 1)), "--group", "tipoc", says="no column 'tipoc'")
