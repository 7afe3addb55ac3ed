"""hbar runs and hbar diff: what a folder holds, and what two results do not share."""
import contextlib
import copy
import json
import os
import shutil
import sqlite3
import unittest

from harness import LABELLED, MODEL, USAGE, Case, native_only
from server import DEMO

DATA = DEMO.parent.parent / "data"
HOSTILE = "\x1b[31m<b>\n\u202e"


@native_only("the engine llama has no exact sessions")
class Results(Case):
    """Two runs of the demo model on the same questions, and their parameters."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls.for_class()
        cls.common = case.dir
        for name, more in (("a", []), ("b", ["--exact", "--max-tokens", 12])):
            case.run_hbar("score", "--model", DEMO, "--data", DATA / "demo_calibration.jsonl", "-n", 100, "--run",
                          f"{name}.db", "--signals", "entropy,margin,surprise,delta_h", *more)
            case.run_hbar("sweep", "--run", f"{name}.db", "--score", "entropy,margin", "--draws", 100, "-o",
                          "calibrated_params", "--name", name)
        cls.a, cls.b = case.dir / "a.db", case.dir / "b.db"
        cls.params = [next((case.dir / "calibrated_params").glob(f"{name}_*.json")) for name in "ab"]
        cls.validation = case.dir / "validation.json"
        out, _ = case.run_hbar("validate", "--params", cls.params[0], "--run", "b.db", "--draws", 100, "--json")
        cls.validation.write_text(out)


class Runs(Results):
    def listed(self, *where, **options):
        return {r["path"]: r for r in self.run_json("runs", *where, **options)["results"]}

    def test_usual_folders(self):
        """The folder, and calibrated_params in it."""
        got = self.listed(cwd=self.common)
        paths = ["a.db", "b.db", "validation.json"] + [f"calibrated_params/{p.name}" for p in self.params]
        self.assertEqual(list(got), paths)
        run = got["a.db"]
        self.assertEqual((run["kind"], run["model"], run["samples"], run["scored"]), ("run", "hbar-demo", 100, 100))
        self.assertTrue(run["data"].endswith("demo_calibration.jsonl"))
        params, saved = got[paths[3]], self.read(self.params[0])
        self.assertEqual((params["kind"], params["score"], params["auroc"], params["tau"], params["direction"]),
                         ("parameters", saved["score"]["name"], saved["auroc"], saved["threshold"]["tau"],
                          saved["direction"]))
        self.assertEqual(params["interval"], saved["uncertainty"]["auroc_delong"])
        self.assertEqual(run["hallucination_rate"], saved["score"]["hallucination_rate"])
        judged = self.read(self.validation)
        self.assertEqual((got["validation.json"]["kind"], got["validation.json"]["auroc"]),
                         ("validation", judged["scores"][judged["score"]]["auroc"]))

    def test_text(self):
        out, err = self.run_hbar("runs", self.common)
        self.assertEqual(err, "")
        self.assertRegex(out, r"run         .*/a\.db\n            hbar-demo, .*demo_calibration\.jsonl: "
                              r"100 of 100 samples, \d+\.\d % hallucinated \(by exact\)\n")
        out, _ = self.run_hbar("runs", self.common / "calibrated_params")
        self.assertRegex(out, r"hallucinated \(by exact\), (entropy|margin) [<>]= [\d.]+, AUROC 0\.\d+ \[0\.\d+, \d\.\d+\], 20")

    def test_damaged_and_hostile_files(self):
        """They are listed with a reason of one line, and the others are listed, too."""
        shutil.copy(self.a, self.dir / "good.db")
        shutil.copy(self.a, self.dir / "renamed")  # a run by its contents
        whole = self.a.read_bytes()
        self.write("cut.db", whole[:len(whole) // 3])
        self.write("empty.db", b"")
        self.write("noise.db", os.urandom(5000))
        with contextlib.closing(sqlite3.connect(self.dir / "foreign.sqlite")) as db:
            db.execute("CREATE TABLE t (x)")
            db.commit()
        params = self.params[0].read_text()
        self.write("cut.json", params[:len(params) // 2])
        self.write("newer.json", json.dumps({**json.loads(params), "schema_version": 99}))
        self.write("odd.json", '{"schema": "hbar-params", "score": {"name": "x"}, "threshold": 7, "model": {"name": 3},'
                               ' "auroc": "y", "data": [], "direction": "<script>"}')
        self.write(f"hostile{HOSTILE}.json", json.dumps({**json.loads(params), "model": {"name": HOSTILE}}))
        self.write("other.json", '{"a": 1}')
        self.write("data.jsonl", '{"schema": "hbar-params"}')
        os.mkfifo(self.dir / "pipe.db")
        (self.dir / "folder.json").mkdir()
        (self.dir / "loop.db").symlink_to("loop.db")
        (self.dir / "unreadable.json").symlink_to("/proc/self/mem")  # a regular file whose first bytes cannot be read
        got = self.listed(".")
        damaged = {path: r["reason"] for path, r in got.items() if r["kind"] == "damaged"}
        self.assertEqual(sorted(damaged), ["cut.db", "cut.json", "empty.db", "foreign.sqlite", "newer.json", "noise.db",
                                           "unreadable.json"])
        for reason in damaged.values():
            self.assertTrue(reason and "\n" not in reason)
        self.assertEqual(sorted(set(got) - set(damaged)), ["good.db", f"hostile{HOSTILE}.json", "odd.json", "renamed"])
        self.assertIsNone(got["odd.json"]["auroc"])
        self.assertIsNone(got["odd.json"]["direction"])
        out, _ = self.run_hbar("runs", ".")
        self.assertNotIn("\x1b", out)
        self.assertEqual(len(out.splitlines()), 2 * len(got))

    def test_numbers_out_of_range(self):
        """A document with an impossible number is damaged, wherever the number stands."""
        params, judged = self.read(self.params[0]), self.read(self.validation)
        cases = {
            "auroc": (params, ["auroc"], 1.5, "between 0 and 1"),
            "negative": (params, ["pr_auc"], -0.25, "between 0 and 1"),
            "rate": (params, ["score", "hallucination_rate"], 62, "between 0 and 1"),
            "interval": (params, ["uncertainty", "auroc_delong", 1], 1.25, "between 0 and 1"),
            "ranking": (params, ["ranking", 0, "auroc"], 2, "between 0 and 1"),
            "band": (params, ["curves", "roc", "lower", 0], -3, "between 0 and 1"),
            "count": (params, ["threshold", "tp"], -1, "a whole number between 0 and 1e15"),
            "part": (params, ["threshold", "fn"], 1.5, "a whole number between 0 and 1e15"),
            "huge": (params, ["threshold", "fp"], 1e300, "a whole number between 0 and 1e15"),
            "samples": (params, ["settings", "n_samples"], 1e18, "a whole number between 0 and 1e15"),
            "tokens": (params, ["settings", "max_tokens"], -5, "a whole number between 0 and 16777216"),
            "context": (params, ["settings", "context"], 1e18, "a whole number between 0 and 16777216"),
            "judged_context": (judged, ["settings", "context"], -5, "a whole number between 0 and 16777216"),
            "correlation": (params, ["correlations", "matrix", 0, 1], -1.5, "between -1 and 1"),
            "judged": (judged, ["scores", judged["score"], "auroc"], 1.5, "between 0 and 1"),
            "share": (judged, ["scores", judged["score"], "at_tau", "precision"], 1.01, "between 0 and 1"),
            "prr": (judged, ["scores", judged["score"], "prr"], 1.5, "at most 1"),
        }
        wanted = {}
        for name, (document, field, value, words) in cases.items():
            changed = at = copy.deepcopy(document)
            for key in field[:-1]:
                at = at[key]
            at[field[-1]] = value
            self.write(f"{name}.json", json.dumps(changed))
            place = ".".join(map(str, field))
            wanted[f"{name}.json"] = f"./{name}.json: '{place}' is {value}, not {words}"
        got = self.listed(".")
        self.assertEqual({path: r["reason"] for path, r in got.items()}, wanted)
        self.fails("report", "band.json", says="'curves.roc.lower.0' is -3, not between 0 and 1")
        self.fails("diff", "judged.json", self.validation, says=".auroc' is 1.5, not between 0 and 1")
        self.fails("validate", "--params", "auroc.json", "--run", self.b, says="auroc.json: 'auroc' is 1.5, not between 0")
        self.fails("generate", "--params", "ranking.json", "-m", DEMO, "Hi", says="'ranking.0.auroc' is 2, not between 0")

    def test_shard(self):
        self.run_hbar("score", "--model", MODEL, "--data", LABELLED, "--run", "s.db", "--shard", "2/3", "--max-tokens", 2)
        run = self.listed()["s.db"]
        self.assertEqual((run["shard"], run["shards"]), (2, 3))
        self.assertIn("shard 2/3", self.run_hbar("runs")[0])

    def test_graded_run(self):
        """Answers that are right by another rule than `exact` do not count as hallucinated."""
        data = self.write_rows("data.jsonl", [{"prompt": f"Question {i}?", "answers": ["anything"]} for i in range(4)])

        def score(*more):
            self.run_hbar("score", "--model", MODEL, "--data", data, "--run", "g.db", "--max-tokens", 4, *more)

        score("--grade", "contains")
        with contextlib.closing(sqlite3.connect(self.dir / "g.db")) as db:
            db.execute("UPDATE samples SET grade_contains = idx < 3, grade_f1 = 0.4")
            db.commit()
        got = self.listed()["g.db"]
        self.assertEqual((got["grade"], got["hallucination_rate"]), ("contains", 0.25))
        self.assertIn(" samples, 25.0 % hallucinated (by contains)\n", self.run_hbar("runs")[0])
        score("--grade", "f1", "--min-f1", 0.3)  # continues the run, and grades it anew
        got = self.listed()["g.db"]
        self.assertEqual((got["grade"], got["hallucination_rate"]), ("f1", 0))
        for grading, says in ((None, None), ("f1,out,9", "setting 'grading': 'f1,out,9' is not a grading")):
            with contextlib.closing(sqlite3.connect(self.dir / "g.db")) as db:
                db.execute("DELETE FROM settings WHERE key = 'grading'")
                if grading:
                    db.execute("INSERT INTO settings VALUES ('grading', ?)", [grading])
                db.commit()
            got = self.listed()["g.db"]
            if says:
                self.assertIn(says, got["reason"])
            else:
                self.assertEqual((got["kind"], got["grade"], got["hallucination_rate"]), ("run", None, None))
                self.assertNotIn("hallucinated", self.run_hbar("runs")[0])

    def test_nothing(self):
        out, err = self.run_hbar("runs")
        self.assertEqual((out, err), ("", "hbar: no runs, parameters or validations in .\n"))
        self.assertEqual(self.listed(), {})
        self.fails("runs", self.dir / "none", says="none: No such file")
        self.fails("runs", "", code=USAGE, says="DIR is empty")


class Diff(Results):
    def test_runs(self):
        """Settings, AUROCs as calibration has them, and DeLong's paired test, for labels that are the same."""
        got = self.run_json("diff", self.a, self.b)
        self.assertEqual(got["settings"], {"max_tokens": {"a": "20", "b": "12"}, "exact": {"a": "0", "b": "1"},
                                           "kv_type": {"a": "f16", "b": "f32"}})
        self.assertEqual((got["samples"]["a"], got["samples"]["b"], got["samples"]["shared"]), (100, 100, 100))
        self.assertIsNone(got["untested"])
        self.assertEqual(set(got["scores"]), {"entropy", "margin", "surprise", "delta_h"})
        for side, params in zip("ab", self.params):
            for row in self.read(params)["ranking"]:
                mine = got["scores"][row["name"]][side]
                self.assertEqual((mine["auroc"], mine["direction"]), (row["auroc"], row["direction"]))
                self.assertEqual([mine["lower"], mine["upper"]], row["uncertainty"]["auroc_delong"])
        for row in got["scores"].values():
            self.assertAlmostEqual(row["difference"], row["a"]["auroc"] - row["b"]["auroc"], places=12)
            self.assertGreaterEqual(row["p_holm"], row["p"])
        aurocs = [row["a"]["auroc"] for row in got["scores"].values()]
        self.assertEqual(aurocs, sorted(aurocs, reverse=True))
        out, err = self.run_hbar("diff", self.a, self.b)
        self.assertEqual(err, "")
        self.assertTrue(out.startswith(f"A  {self.a}\nB  {self.b}\nSettings that differ\n"), out)
        row = got["scores"]["entropy"]
        shown = next(line for line in out.splitlines() if line.startswith("  entropy "))
        self.assertEqual(shown.split()[-3:], [f"{row['difference']:+.3f}", f"{row['p']:.2g}", f"{row['p_holm']:.2g}"])
        for part in ("max_tokens\n    A  20\n    B  12", "100 in both", "paired test", "entropy "):
            self.assertIn(part, out)

    def test_same_run(self):
        got = self.run_json("diff", self.a, self.a)
        self.assertEqual(got["settings"], {})
        for row in got["scores"].values():
            self.assertEqual((row["difference"], row["p"]), (0, 1))
        self.assertIn("All settings are the same", self.run_hbar("diff", self.a, self.a)[0])

    def given(self, name, rows):
        data = self.write_rows(f"{name}.jsonl", rows)
        self.run_hbar("score", "--model", MODEL, "--data", data, "--run", f"{name}.db", "--signals", "surprise,entropy",
                      "-n", 0, "--max-tokens", 4)
        return f"{name}.db"

    def test_other_data(self):
        """Samples of other data are found by their prompts, where these occur once."""
        rows = [{"prompt": f"Question {i}?", "label": i % 2} for i in range(30)]
        a = self.given("a", rows + [{"prompt": "Twice?", "label": 1}] * 2)
        b = self.given("b", [{"prompt": "Twice?", "label": 1}, *({**r, "label": int(i in (0, 1, 2) or i % 3 == 1)}
                             for i, r in reversed(list(enumerate(rows[5:]))))])
        got = self.run_json("diff", a, b)
        self.assertEqual(got["samples"]["shared"], 25)
        self.assertGreater(got["samples"]["relabelled"], 3)
        self.assertIsNone(got["untested"])
        self.assertIsNotNone(got["scores"]["entropy"]["p"])
        self.assertIn("labels that differ", self.run_hbar("diff", a, b)[0])
        c = self.given("c", [{"prompt": f"Other {i}?", "label": i % 2} for i in range(12)])
        got = self.run_json("diff", a, c)
        self.assertEqual(got["untested"], "the runs share no labelled samples")
        self.assertIsNone(got["scores"]["entropy"]["p"])
        self.assertIsNotNone(got["scores"]["entropy"]["b"]["auroc"])

    def test_few_samples(self):
        """Too few for an AUROC: unknown, but no failure."""
        few = self.given("few", [{"prompt": f"Question {i}?", "label": 1} for i in range(4)])
        got = self.run_json("diff", few, few)
        self.assertIsNone(got["scores"]["surprise"]["a"]["auroc"])
        self.assertIn("unknown", self.run_hbar("diff", few, few)[0])

    def test_documents(self):
        got = self.run_json("diff", *self.params)
        self.assertEqual(got["settings"]["settings.max_tokens"], {"a": "20", "b": "12"})
        self.assertEqual(got["settings"]["settings.exact"], {"a": "false", "b": "true"})
        for side, params in zip("ab", self.params):
            for row in self.read(params)["ranking"]:
                self.assertEqual(got["scores"][row["name"]][side]["auroc"], row["auroc"])
        self.assertIn("a paired test needs two runs", got["untested"])
        judged = self.read(self.validation)
        got = self.run_json("diff", self.params[0], self.validation)
        self.assertEqual(got["scores"]["entropy"]["b"]["auroc"], judged["scores"]["entropy"]["auroc"])
        self.assertEqual(got["samples"]["b"], 100)
        self.assertIn("No paired test", self.run_hbar("diff", self.params[0], self.validation)[0])

    def test_hostile_document(self):
        params = self.read(self.params[0])
        params["settings"] = {"a.b": {"c": {"d": {"e": {"f": {"g": 1}}}}}, HOSTILE: HOSTILE, "x" * 5000: 1, "seed": [1]}
        path = self.write("h.json", json.dumps(params))
        self.run_json("diff", path, self.params[0])
        self.assertNotIn("\x1b", self.run_hbar("diff", path, self.params[0])[0])

    def test_refused(self):
        self.fails("diff", self.a, code=USAGE, says="two files are compared, not 1")
        self.fails("diff", self.a, self.a, self.a, code=USAGE, says="two files are compared, not 3")
        self.fails("diff", self.a, "", code=USAGE, says="FILE is empty")
        self.fails("diff", self.a, self.params[0], code=USAGE, says="a.db is a run, and")
        self.fails("diff", self.a, "none", says="none: No such file")
        self.fails("diff", "none", self.a, says="none: No such file")
        self.fails("diff", self.params[0], self.params[1], "--grade", "f1", code=USAGE, says="--grade goes with runs")
        self.fails("diff", "none", "none", says="none: No such file")
        self.fails("diff", self.write("x.json", "{}"), self.params[0], says="x.json: is neither a run, nor parameters")


if __name__ == "__main__":
    unittest.main()
