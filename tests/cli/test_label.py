"""hbar label: labels from a judge or a person for the samples of a run."""
import csv
import io
import json
import shutil
import sqlite3

from harness import LABELLED, MODEL, USAGE, Case

FAST = ["--max-tokens", 4]


class Label(Case):
    @classmethod
    def setUpClass(cls):
        """Two runs, of labelled and of graded samples, which each test copies."""
        case = cls.for_class()
        graded = case.write_rows("g.jsonl", [{"id": f"g{i}", "prompt": f"What is {i}?", "answers": ["never this"]}
                                             for i in range(24)])
        cls.runs = {"labelled": case.dir / "l.db", "graded": case.dir / "g.db"}
        for run, data in zip(cls.runs.values(), (LABELLED, graded)):
            case.run_hbar("score", "--model", MODEL, "--data", data, "-n", 24, "--run", run, *FAST)

    def setUp(self):
        super().setUp()
        self.run_path = self.dir / "run.db"

    def take(self, kind):
        shutil.copy(self.runs[kind], self.run_path)
        return self.rows()

    def rows(self, *more):
        out, _ = self.run_hbar("export", "--run", self.run_path, "--format", "jsonl", *more)
        return [json.loads(line) for line in out.splitlines()]

    def label(self, labels, *more, **options):
        return self.run_hbar("label", "--run", self.run_path, "--labels", labels, *more, **options)

    def refused(self, labels, *more, says, **options):
        """The labels are refused, and the run does not change."""
        before = self.rows()
        self.fails("label", "--run", self.run_path, "--labels", labels, *more, says=says, **options)
        self.assertEqual(self.rows(), before)

    def test_labels_are_used(self):
        """sweep, calibrate, validate and export use the labels, and the grades stay."""
        before = self.take("graded")
        self.fails("sweep", "--run", self.run_path, "--draws", 0, says="both hallucinated (1) and faithful (0)")
        labels = self.write("L.csv", "id,label\n" + "".join(f"{r['id']},{i % 3 == 0}\n" for i, r in enumerate(before)))
        out, err = self.label(labels)
        self.assertEqual((out, err), ("24 samples labelled: 8 hallucinated, 16 not\n", ""))
        after = self.rows()
        expected = [int(i % 3 == 0) for i in range(24)]
        self.assertEqual([r["label"] for r in after], expected)
        for row, old in zip(after, before):
            self.assertEqual((old["label_from"], old["label_set_by"]), ("grade", None))
            self.assertEqual((row["label_from"], row["label_set_by"], row["own_label"]), ("set", "L.csv", 1))
            same = {"label": 0, "label_from": 0, "label_set_by": 0}
            self.assertEqual({**row, **same}, {**old, **same})
        swept = self.run_json("sweep", "--run", self.run_path, "--draws", 0, "-o", self.dir / "o")
        self.assertAlmostEqual(swept["score"]["hallucination_rate"], 1 / 3)
        self.assertEqual(swept["data"]["labels_set"], 24)
        self.assertNotIn("grade", swept["settings"])
        out, err = self.run_hbar("validate", "--params", swept["parameters"], "--run", self.run_path, "--draws", 0)
        self.assertIn("24 samples, 33.3 % of them hallucinated", out)
        self.assertIn("run.db: 24 of 24 labels were set by hbar label", err)
        self.fails("sweep", "--run", self.run_path, "--grade", "f1", "--draws", 0, says="the run has labels, not answers")

    def test_some_labels(self):
        """Samples without a label keep the one of the data or the grade."""
        for kind in self.runs:
            before = self.take(kind)
            labels = [1 - r["label"] for r in before[:5]]
            rows = self.write_rows("l.jsonl", [{"id": r["id"], "label": v} for r, v in zip(before, labels)])
            _, err = self.label(rows, "--source", "a person")
            self.assertIn("run.db: 19 scored samples are not in the labels and keep the labels they have", err)
            after = self.rows()
            self.assertEqual([r["label"] for r in after], labels + [r["label"] for r in before[5:]])
            self.assertEqual([r["own_label"] for r in after], [r["label"] for r in before])
            self.assertEqual([r["label_set_by"] for r in after], ["a person"] * 5 + [None] * 19)
            _, err = self.run_hbar("sweep", "--run", self.run_path, "--draws", 0)
            self.assertIn("run.db: 5 of 24 labels were set by hbar label", err)
            self.assertNotIn("labels were", self.run_hbar("sweep", "--run", self.run_path, "--draws", 0, "-q")[1])

    def test_what_is_passed_over(self):
        before = self.take("labelled")
        ids = [r["id"] for r in before]
        text = f"id\tverdict\n{ids[0]}\tPASS\nzz\tFAIL\n{ids[0]}\tpass\n{ids[1]}\t\n{ids[2]}\tperhaps\n{ids[3]}\tFAIL\n"
        out, err = self.label("-", "--label", "verdict", "--dry-run", stdin=text.encode())
        self.assertEqual(out, "2 samples would be labelled: 1 hallucinated, 1 not\n")
        for says in ("standard input:6: label 'perhaps' is neither 0 nor 1", "standard input: 1 rows are broken and skipped",
                     "standard input: 1 rows have no label", "standard input: 1 rows repeat an id with the same label",
                     "standard input: 1 ids are not in the run, for example 'zz'", "22 scored samples are not in the labels"):
            self.assertIn(says, err)
        self.assertEqual(self.rows(), before)
        labels = self.write("l.tsv", text)
        result = self.run_json("label", "--run", self.run_path, "--labels", labels, "--label", "verdict")
        self.assertEqual(result, {
            "run": str(self.run_path), "labels": str(labels), "source": "l.tsv", "dry_run": False, "labelled": 2,
            "hallucinated": 1, "faithful": 1, "unknown_ids": 1, "missing_ids": 22, "repeated_rows": 1,
            "rows_without_label": 1, "broken_rows": 1})
        self.assertEqual([r["label_from"] for r in self.rows()], ["set", "data", "data", "set"] + ["data"] * 20)
        _, err = self.label(labels, "--label", "verdict", "-q")
        self.assertEqual(len(err.splitlines()), 2)  # the broken row

    def test_refused(self):
        first, second, *_ = (r["id"] for r in self.take("labelled"))
        self.refused(self.write("a.csv", f"id,label\n{first},1\n{second},0\n{first},0\n"),
                     says=f"a.csv: lines 2 and 4 give '{first}' different labels")
        self.refused(self.write("b.csv", "id,label\nx,1\n"), says="b.csv: none of 1 ids is in")
        self.refused(self.write("c.csv", f"id,label\n{first},1\n{second},huh\n"), "--strict", says="c.csv:3: label 'huh'")
        self.refused(self.write("d.csv", "name,label\nx,1\n"), says="no column 'id'; there are: name, label")
        self.refused("/no/labels.csv", says="/no/labels.csv")
        self.refused(self.write("e.csv", "id,label\n"), says="no row has a label")
        good = self.write("f.csv", f"id,label\n{first},1\n")
        self.refused(good, "--source", "", says="source")
        with sqlite3.connect(self.run_path) as db:
            db.execute("UPDATE samples SET id = ?", (first,))
        db.close()
        self.refused(good, says=f"24 samples have the id '{first}'")
        self.fails("label", "--run", "/no/run.db", "--labels", good, says="/no/run.db")
        self.fails("label", "--run", good, "--labels", good, says="f.csv")

    def test_a_judge_edits_the_export(self):
        """CSV with prompts of several lines is exported and read again, by id and by index."""
        for by in ("id", "index"):
            self.take("labelled")
            rows = list(csv.DictReader(io.StringIO(self.run_hbar("export", "--run", self.run_path)[0], newline="")))
            for i, row in enumerate(rows):
                row["label"] = "faithful" if i % 2 else "hallucinated"
            out = io.StringIO()
            writer = csv.DictWriter(out, rows[0])
            writer.writeheader()
            writer.writerows(rows)
            self.label(self.write("judged.csv", out.getvalue()), "--by", by)
            self.assertEqual([r["label"] for r in self.rows()], [1, 0] * 12)

    def test_polarity(self):
        first, second, *_ = (r["id"] for r in self.take("labelled"))
        labels = self.write("l.csv", f"key,is_correct\n{first},True\n{second},False\n")
        _, err = self.label(labels, "--id", "key", "--label", "is_correct")
        self.assertIn("warning: " + str(labels), err)
        self.assertIn("does it mean right there?", err)
        self.assertEqual([r["label"] for r in self.rows()[:2]], [1, 0])
        _, err = self.label(labels, "--id", "key", "--correct", "is_correct")
        self.assertNotIn("warning", err)
        self.assertEqual([r["label"] for r in self.rows()[:2]], [0, 1])
        self.label(labels, "--id", "key", "--label", "is_correct", "--positive", "true")
        self.assertEqual([r["label"] for r in self.rows()[:2]], [1, 0])

    def test_taken_back(self):
        before = self.take("labelled")
        self.label(self.write("l.csv", f"id,label\n{before[4]['id']},{1 - before[4]['label']}\n"))
        self.assertNotEqual(self.rows(), before)
        self.assertEqual(self.run_hbar("label", "--run", self.run_path, "--clear")[0], "1 labels removed\n")
        self.assertEqual(self.rows(), before)
        self.assertEqual(self.run_json("label", "--run", self.run_path, "--clear")["cleared"], 0)

    def test_labels_stay_when_a_run_grows(self):
        before = self.take("labelled")
        self.label(self.write("l.csv", f"id,label\n{before[0]['id']},{1 - before[0]['label']}\n"))
        labelled = self.rows()[0]
        self.run_hbar("score", "--model", MODEL, "--data", LABELLED, "-n", 40, "--run", self.run_path, *FAST)
        after = self.rows()
        self.assertEqual(len(after), 40)
        self.assertEqual(next(r for r in after if r["id"] == labelled["id"]), labelled)
        self.assertEqual([r["label_from"] for r in after].count("set"), 1)

    def test_usage(self):
        for arguments, says in [(["--labels", "l"], "--run is required"), (["--run", "r"], "give either --labels or --clear"),
                                (["--run", "r", "--labels", "l", "--clear"], "give either --labels or --clear"),
                                (["--run", "r", "--clear", "--dry-run"], "--clear goes with --run alone"),
                                (["--run", "r", "--labels", "l", "--correct", "a", "--label", "b"], "exclude each other"),
                                (["--run", "r", "--labels", "l", "--correct", "a", "--positive", "b"], "exclude each other"),
                                (["--run", "r", "--labels", "l", "--by", "name"], "--by")]:
            self.fails("label", *arguments, code=USAGE, says=says)
        out = " ".join(self.run_hbar("label", "--help")[0].split())
        for part in ("--labels", "id; with --by index, index", "change nothing", "the name of the file"):
            self.assertIn(part, out)
