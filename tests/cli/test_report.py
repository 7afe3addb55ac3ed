"""hbar report, --report and generate --html: pages that need nothing else, from files that may be hostile."""
import contextlib
import html.parser
import json
import re
import shutil
import sqlite3
import struct
import subprocess
import unittest
import xml.etree.ElementTree as XML

from harness import BYTE_MODEL, HBAR, LABELLED, MODEL, USAGE, Case, environment
from server import DEMO, PARAMS

HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</td></table><script>alert(1)</script><img src=x onerror=alert(2)>\"' onfocus=x \x1b[31m\u202e & ]]> -->"


class Links(html.parser.HTMLParser):
    """Collects all elements and attributes as a browser sees them."""

    def __init__(self, page):
        super().__init__()
        self.attributes, self.elements = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]


class Report(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls.for_class()
        cls.common = case.dir
        data = DEMO.parent.parent / "data"
        case.run_hbar("calibrate", "--model", DEMO, "--data", data / "demo_calibration.jsonl", "-n", 120, "--score",
                      "entropy,surprise,hbar_s", "--draws", 200, "-o", ".", "--run", "run.db", "--report", "cal.html")
        cls.params = next(case.dir.glob("*.json"))
        cls.run_path = case.dir / "run.db"
        cls.validation = case.dir / "validation.json"
        out, _ = case.run_hbar("validate", "--model", DEMO, "--data", data / "demo_test.jsonl", "-n", 60, "--params",
                               cls.params, "--draws", 200, "--run", "test.db", "--report", "val.html", "--json")
        cls.validation.write_text(out)

    def page(self, path):
        """Checks that a page is well-formed and needs nothing; returns its tree."""
        text = path.read_text()
        self.assertTrue(text.startswith("<!DOCTYPE html>\n<html "))
        links = Links(text)
        for tag, name, value in links.attributes:
            self.assertFalse(name.startswith("on"), (tag, name))
            if name in ("src", "href", "action", "data", "poster", "srcset"):
                self.assertTrue(value.startswith("#"), (tag, name, value))
        for name in ("link", "img", "iframe", "object", "embed", "base", "form"):
            self.assertNotIn(name, links.elements)
        self.assertLessEqual(links.elements.count("script"), 1)
        self.assertNotRegex(text, r"url\(|@import|https?://(?!www\.w3\.org/(1999/xhtml|2000/svg)\")")
        self.assertIn("default-src 'none'", text)
        return XML.fromstring(text.split("\n", 1)[1])

    def texts(self, tree, tag):
        return [" ".join("".join(e.itertext()).split()) for e in tree.iter(HTML + tag)]

    def figures(self, tree):
        return [e.find(SVG + "title").text for e in tree.iter(SVG + "svg")]

    def test_params(self):
        _, err = self.run_hbar("report", self.params)
        self.assertIn("report: report.html", err)
        tree = self.page(self.dir / "report.html")
        params = self.read(self.params)
        shown = " ".join(tree.itertext())
        for value in (params["auroc"], params["threshold"]["precision"], params["nested"]["auroc"]):
            self.assertIn(f"{value:.3f}", shown)
        for text in (params["model"]["sha256"], params["data"]["sha256"], params["score"]["name"], "answer_length"):
            self.assertIn(text, shown)
        self.assertEqual(self.figures(tree), ["Scores by label", "ROC curve", "Precision and recall",
                                              "Risk and coverage", "Reliability", "Ranking with controls",
                                              "Rank correlations of the scores"])
        for figure in tree.iter(HTML + "figure"):
            self.assertTrue(figure.find(HTML + "figcaption").text.strip())
            self.assertIsNotNone(figure.find(f".//{HTML}table"))
            self.assertTrue(figure.find(SVG + "svg").get("aria-label"))
        self.assertNotIn("Samples of", shown)

    def test_curves(self):
        """The tables beside the figures have the numbers of the file."""
        self.run_hbar("report", self.params, "-q")
        tree = self.page(self.dir / "report.html")
        rows = {}
        for figure in tree.iter(HTML + "figure"):
            rows[figure.find(HTML + "h4").text] = [
                ["".join(cell.itertext()) for cell in row] for row in figure.find(f".//{HTML}tbody")]
        curves = self.read(self.params)["curves"]
        roc = curves["roc"]
        self.assertEqual(rows["ROC curve"], [[f"{v:.3f}" for v in point] for point in zip(
            roc["false_positive_rate"], roc["true_positive_rate"], roc["lower"], roc["upper"])])
        self.assertEqual([int(row[3]) for row in rows["Scores by label"]], curves["histogram"]["label_1"])
        self.assertEqual(sum(int(row[4]) for row in rows["Reliability of P_fail"]), 120)
        names = [row[0] for row in rows["Ranking with controls"]]
        self.assertEqual(names[:3], [r["name"] for r in self.read(self.params)["ranking"]])
        self.assertIn("shuffled_labels (control)", names)

    def test_validation(self):
        self.run_hbar("report", self.validation, "-o", "v.html", "-q")
        tree = self.page(self.dir / "v.html")
        shown = " ".join(tree.itertext())
        judged = self.read(self.validation)
        score = judged["scores"][judged["score"]]
        for name in ("auroc", "aurc", "ece", "brier", "prr"):
            self.assertIn(f"{score[name]:.3f}", shown)
        self.assertIn(judged["model"]["sha256"], shown)
        self.assertEqual(len(self.figures(tree)), 7)

    def test_run(self):
        """A run shows what its parameters show, and its samples, the most wrong first."""
        self.run_hbar("report", self.run_path, "-s", "entropy,surprise,hbar_s", "-q")
        tree = self.page(self.dir / "report.html")
        self.run_hbar("sweep", "--run", self.run_path, "-s", "entropy,surprise,hbar_s", "-o", ".")
        self.run_hbar("report", next(self.dir.glob("*.json")), "-q", "-o", "p.html")
        values = [[c.text for c in row if c.get("class") == "number"] for row in tree.iter(HTML + "tr")]
        expected = [[c.text for c in row if c.get("class") == "number"]
                    for row in self.page(self.dir / "p.html").iter(HTML + "tr")]
        self.assertEqual(values[:len(expected)], expected)
        rows = list(tree.find(f".//{HTML}section[@class='samples']//{HTML}tbody"))
        self.assertEqual(len(rows), 120)
        wrong = [float(row[3].text) for row in rows]
        self.assertEqual(wrong, sorted(wrong, reverse=True))
        for row in rows:
            self.assertAlmostEqual(float(row[3].text), abs(float(row[2].text) - (row[1].text == "hallucinated")),
                                   delta=0.0011)
        exported = [json.loads(line) for line in
                    self.run_hbar("export", "--run", self.run_path, "--format", "jsonl")[0].splitlines()]
        by_id = {row["id"]: row for row in exported}
        for row in rows:
            sample = by_id[row[0].text]
            self.assertEqual(row[1].text == "hallucinated", sample["label"] == 1)
            answer = "".join(row[6].itertext())
            self.assertIn(sample["text"].strip(), answer)
            self.assertIn(sample["prompt"], answer)
            self.assertIsNone(row[6].find(f"{HTML}span[@class='bars']"))
        coloured = {e.text for row in rows for e in row[6].iter(HTML + "i")}
        self.assertTrue(coloured)
        self.assertIn("The darker a token", " ".join(tree.itertext()))

    def tokens(self, run):
        """The pairs of start and end of each sample's tokens."""
        with contextlib.closing(sqlite3.connect(run)) as db:
            rows = db.execute("SELECT text, finish, n_tokens, characters FROM samples JOIN tokens USING (idx)").fetchall()
        return [(text, finish, n, list(struct.iter_unpack("<II", blob))) for text, finish, n, blob in rows]

    def test_places(self):
        """A run keeps which characters of a generated text each token has; several tokens may share one."""
        bytewise = self.dir / "bytes.db"
        self.run_hbar("score", "--model", BYTE_MODEL, "--data", LABELLED, "--run", bytewise, "--max-tokens", 12, "-q")
        for run in (self.run_path, bytewise):
            for text, finish, n, places in self.tokens(run):
                self.assertEqual(len(places), n + (finish == "end of text"))
                covered = 0
                for start, end in places:
                    self.assertTrue(start <= covered <= end and covered - start <= 1, places)
                    covered = end
                self.assertEqual(covered, len(text))
                if finish == "end of text":
                    self.assertEqual(places[-1][0], places[-1][1])
        text, _, n, places = next(row for row in self.tokens(self.run_path) if row[2] > 2)
        self.assertEqual("".join(text[a:b] for a, b in places), text)

    def test_without_places(self):
        """A run of an earlier version has bars instead of colours."""
        old = self.dir / "old.db"
        shutil.copy(self.run_path, old)
        with contextlib.closing(sqlite3.connect(old)) as db:
            db.execute("UPDATE tokens SET characters = NULL")
            db.commit()
        self.run_hbar("report", old, "-s", "entropy", "-q")
        tree = self.page(self.dir / "report.html")
        for row in tree.find(f".//{HTML}section[@class='samples']//{HTML}tbody"):
            bars = row[6].find(f"{HTML}span[@class='bars']")
            self.assertIn(len(bars.text) - int(row[5].text), (0, 1))
        self.assertIn("does not keep where the tokens", " ".join(tree.itertext()))

    def test_without_steps(self):
        run = self.dir / "r.db"
        self.run_hbar("score", "--model", MODEL, "--data", LABELLED, "--run", run, "--max-tokens", 2, "--no-steps", "-q")
        self.run_hbar("report", run, "-s", "entropy", "-q")
        tree = self.page(self.dir / "report.html")
        self.assertIn("so tokens are not coloured", " ".join(tree.itertext()))
        self.assertEqual(len(list(tree.iter(HTML + "i"))), 0)

    def test_report_of_commands(self):
        for name, n in (("cal.html", 120), ("val.html", 60)):
            tree = self.page(self.common / name)
            self.assertEqual(len(list(tree.find(f".//{HTML}section[@class='samples']//{HTML}tbody"))), n)
        self.fails("calibrate", "--model", DEMO, "-n", 60, "--report", "no/where.html", says="no/where.html")
        self.fails("validate", "--params", self.params, "--report", ".", says=".: Is a directory")
        self.assertEqual(list(self.dir.iterdir()), [])  # refused before anything was generated

    def test_page_over_another_file(self):
        """A page never replaces what the command reads or writes beside it."""
        data = self.dir / "data.jsonl"
        shutil.copy(DEMO.parent.parent / "data" / "demo_calibration.jsonl", data)
        model, params, run = (self.dir / name for name in ("model.gguf", "params.json", "run.db"))
        for source, copy in ((DEMO, model), (self.params, params), (self.run_path, run)):
            shutil.copy(source, copy)
        (self.dir / "link").symlink_to(data)
        (self.dir / "template.txt").write_text("{prompt}")
        calibrate = ["calibrate", "--model", model, "--data", data, "-n", 60, "--run", "new.db",
                     "--prompt-template", "template.txt", "-o", "."]
        before = {path: path.read_bytes() for path in self.dir.iterdir()}
        for path, option in ((data, "data"), ("link", "data"), ("model.gguf", "model"), ("new.db", "run"),
                             ("./new.db", "run"), ("template.txt", "prompt-template")):
            self.fails(*calibrate, "--report", path, code=USAGE,
                       says=f"--report: {path} is also the file of --{option}, and would be replaced")
        for path in (params, run):
            self.fails("validate", "--params", params, "--run", run, "--report", path, code=USAGE, says="is also the file")
        self.fails("generate", "--model", DEMO, "--trajectory", "t", "--html", "t", "x", code=USAGE,
                   says="--html: t is also the file of --trajectory")
        self.assertEqual({path: path.read_bytes() for path in self.dir.iterdir()}, before)

    def test_side_by_side(self):
        self.run_hbar("report", self.params, self.validation, self.run_path, "-q", "--title", "A < B", "--svg", "figures")
        tree = self.page(self.dir / "report.html")
        self.assertEqual(self.texts(tree, "h1"), ["A < B"])
        table = tree.find(f".//{HTML}section[@id='comparison']//{HTML}table")
        self.assertEqual(self.texts(table, "a"), [self.params.name, "validation.json", "run.db"])
        self.assertEqual(self.figures(tree)[:2], ["ROC curve", "AUROC of each result"])
        ids = [e.get("id") for e in tree.iter() if e.get("id")]
        self.assertEqual(len(ids), len(set(ids)))
        for link in tree.iter(HTML + "a"):
            self.assertIn(link.get("href")[1:], ids)
        names = sorted(p.name for p in (self.dir / "figures").iterdir())
        self.assertEqual(len(names), 23)
        self.assertIn("rocs.svg", names)
        self.assertIn("2_validation_roc.svg", names)
        for path in (self.dir / "figures").iterdir():
            root = XML.fromstring(path.read_text())
            self.assertEqual(root.tag, SVG + "svg")
            self.assertIsNotNone(root.find(SVG + "style"))

    def test_one_result_figures(self):
        self.run_hbar("report", self.params, "-q", "--svg", "f")
        self.assertEqual(sorted(p.stem for p in (self.dir / "f").iterdir()),
                         ["correlations", "histogram", "precision_recall", "ranking", "reliability",
                          "risk_coverage", "roc"])

    def test_hostile(self):
        """Prompts, answers, ids and names that are markup stay text."""
        def row(i, label):
            response = f"{HOSTILE} river {i} is long" + " and old" * label
            return {"id": f"{i} {HOSTILE}", "prompt": f"{HOSTILE} Tell of river {i}.", "response": response,
                    "label": label, **({"spans": [[len(response) - 8, len(response)]]} if label else {})}
        data = self.write_rows("<i> & \"data\".jsonl", [row(i, i % 2) for i in range(20)])
        run = self.dir / "<script>.db"
        self.run_hbar("score", "--model", MODEL, "--data", data, "--run", run, "--ctx-size", 512)
        self.run_hbar("report", run, "-s", "surprise,entropy", "-q")
        tree = self.page(self.dir / "report.html")
        self.assertEqual(len(list(tree.iter(HTML + "script"))), 1)
        self.assertEqual(self.texts(tree, "h1"), ["hbar report: <script>.db"])
        rows = list(tree.find(f".//{HTML}section[@class='samples']//{HTML}tbody"))
        self.assertEqual(len(rows), 20)
        for row in rows:
            answer = "".join(row[6].itertext())
            self.assertEqual(answer.count("<script>alert(1)</script>"), 2)
            self.assertNotRegex(answer, "[\x00-\x08\x0b-\x1f\u202e]")
            self.assertEqual(answer.count("�"), 4)
        coloured = [e.get("class") for row in rows for e in row[6].iter(HTML + "i")]
        self.assertTrue(coloured and set(coloured) <= {f"r{level}" for level in range(2, 10)})
        self.assertIn("The darker a token", " ".join(tree.itertext()))

    def test_hostile_params(self):
        params = self.read(self.params)
        params["model"]["name"] = params["score"]["name"] = params["ranking"][0]["name"] = HOSTILE
        params["ranking"][1]["name"] = "x" * 60000
        params["correlations"]["scores"][0] = HOSTILE
        params["direction"] = params["no_halt"] = params["settings"]["system"] = "<b onclick='x'>"
        params["halt"] = None
        params["curves"]["roc"]["upper"] = ["NaN", [], None] + params["curves"]["roc"]["upper"][3:]
        params["curves"]["histogram"]["upper"] = 1e308
        self.run_hbar("report", self.write("<u>.json", json.dumps(params)), "-q", "--svg", "f")
        tree = self.page(self.dir / "report.html")
        self.assertEqual(len(list(tree.iter(HTML + "b"))), 0)
        self.assertIn("<b onclick='x'>", " ".join(tree.itertext()))
        self.assertLess((self.dir / "report.html").stat().st_size, 200000)
        for path in (self.dir / "f").iterdir():
            XML.fromstring(path.read_text())

    def test_older_params(self):
        params = self.read(self.params)
        del params["curves"]
        self.run_hbar("report", self.write("old.json", json.dumps(params)), PARAMS, "-q")
        self.assertIn("earlier version and has no curves", " ".join(self.page(self.dir / "report.html").itertext()))

    def test_refused(self):
        other = self.dir / "other.db"
        sqlite3.connect(other).execute("CREATE TABLE t (x)").connection.commit()
        newer = self.write("newer.json", json.dumps({**self.read(self.params), "schema_version": 99}))
        for path, says in [(self.write("a.txt", "hello"), "a.txt:1: "), (other, "other.db: "),
                           (self.write("b.json", "{}"), "b.json: is neither a run, nor parameters"),
                           (self.write("c.json", b"\xff\xfe{"), "c.json:1: "), (newer, "newer than this hbar"),
                           (self.write("d.json", '{"schema": "hbar-params"}'), "d.json: the field 'score'"),
                           (self.dir / "none.json", "none.json: No such file"), (self.dir, "a directory")]:
            self.fails("report", path, says=says)
            self.fails("report", self.params, path, says=says)
        self.fails("report", code=USAGE, says="FILE... is required")
        self.fails("report", "", code=USAGE, says="FILE is empty")
        self.fails("report", self.params, "-s", "entropy", code=USAGE, says="--score goes with runs")
        self.fails("report", self.params, "-o", self.params, code=USAGE, says="would be replaced")
        self.fails("report", self.params, "-o", "no/r.html", says="no/r.html: No such file")
        self.fails("report", self.run_path, "-s", "nonsense", code=USAGE, says="nonsense")
        self.fails("report", self.run_path, "--svg", self.params, says="Not a directory")
        self.fails("report", self.params, "--svg", "", says="the name of a directory is empty")
        self.assertFalse((self.dir / "report.html").exists())

    def test_output(self):
        out, err = self.run_hbar("report", self.params, "-o", "-")
        self.assertTrue(out.startswith("<!DOCTYPE html>") and out.endswith("</html>\n"))
        self.assertEqual(err, "")
        (self.dir / "report.html").write_text("old")
        self.run_hbar("report", self.params, "-q")
        self.assertEqual((self.dir / "report.html").read_text(), out)
        self.assertEqual([p.name for p in self.dir.iterdir()], ["report.html"])

    def test_size(self):
        """Ten thousand samples with long texts fit into a page of one megabyte, and the page says what is left out."""
        big = self.dir / "big.db"
        shutil.copy(self.run_path, big)
        db = sqlite3.connect(big)
        times = 84
        for table in ("samples", "scores", "tokens"):
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            names = ", ".join(f'"{c}"' for c in columns if c != "idx")
            db.execute(f"INSERT INTO {table} (idx, {names}) SELECT idx + k * 1000000, {names} FROM {table}, "
                       f"(WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < {times}) SELECT k FROM n)")
        db.execute("UPDATE samples SET text = text || replace(hex(zeroblob(300)), '0', 'word ') WHERE idx % 3 = 0")
        db.execute("UPDATE settings SET value = ? WHERE key = 'n_samples'", (120 * (times + 1),))
        db.commit()
        db.close()
        self.run_hbar("report", big, "-s", "entropy", "-q")
        page = self.dir / "report.html"
        self.assertLessEqual(page.stat().st_size, 1_000_000)
        self.assertGreater(page.stat().st_size, 800_000)
        tree = self.page(page)
        rows = list(tree.find(f".//{HTML}section[@class='samples']//{HTML}tbody"))
        self.assertIn(f"The page has room for {len(rows)} of 10200 labelled samples", " ".join(tree.itertext()))
        self.assertGreater(len(rows), 500)

    def test_many_results(self):
        """A page of many results keeps its limit: first the tables of numbers are left out, then single figures."""
        for n, tables, figures in ((2, 14, 16), (20, 0, 142), (64, 0, 2)):
            self.run_hbar("report", *[self.params] * n, "-q")
            page = self.dir / "report.html"
            self.assertLessEqual(page.stat().st_size, 1_000_000)
            tree = self.page(page)
            self.assertEqual(len(list(tree.iter(HTML + "details"))), tables, n)
            self.assertEqual(len(self.figures(tree)), figures, n)
            self.assertEqual(self.texts(tree, "h3").count("Headline"), n)
            self.assertEqual("the page has no room for" in " ".join(tree.itertext()), n > 2)

    def test_too_many_results(self):
        self.fails("report", *[self.run_path] * 65, code=USAGE, says="65 files are given, and a report has at most 64")
        self.assertEqual(list(self.dir.iterdir()), [])

    def test_standard_output_has_the_result(self):
        says = "is standard output, which has the result; name a file"
        for option in ("html", "trajectory"):
            self.fails("generate", "--model", DEMO, f"--{option}", "-", "x", code=USAGE, says=f"--{option}: - {says}")
        self.fails("calibrate", "--model", DEMO, "-n", 60, "--report", "-", code=USAGE, says=f"--report: - {says}")
        self.fails("validate", "--params", self.params, "--report", "-", code=USAGE, says=f"--report: - {says}")
        self.assertEqual(list(self.dir.iterdir()), [])

    def test_answer(self):
        out, _ = self.run_hbar("generate", "--model", DEMO, "--params", PARAMS, "--cutoff", 1, "--html", "a.html",
                               "What is the capital of <b>Cuba</b>?\x1b", "--json")
        answer = json.loads(out)
        tree = self.page(self.dir / "a.html")
        shown = [e for e in tree.iter(HTML + "p") if e.get("class") == "answer"]
        self.assertEqual("".join(shown[0].itertext()), "What is the capital of <b>Cuba</b>?�")
        self.assertEqual("".join(shown[1].itertext()), answer["text"])
        rows = list(tree.find(f".//{HTML}tbody"))
        self.assertEqual([row[2].text for row in rows], [f"{s['p_fail']:.3f}" for s in answer["trajectory"]])
        levels = [e.get("class") for e in shown[1].iter(HTML + "i")]
        expected = [min(int(s["p_fail"] * 10), 9) for s in answer["trajectory"][:answer["n_tokens"]]]
        self.assertEqual(levels, [f"r{level}" for level in expected if level >= 2])
        self.assertEqual(len(list(tree.iter(HTML + "script"))), 0)
        self.fails("generate", "--model", DEMO, "--html", "no/a.html", "x", says="no/a.html")
        self.fails("generate", "--model", DEMO, "--html", 251 * "n" + ".html", "x", says="File name too long")

    def test_names_of_pages(self):
        """A name of 255 bytes is written, and a link stays one."""
        generate = ["generate", "--model", DEMO, "--max-tokens", 2, "-q", "--html"]
        longest = self.dir / (250 * "n" + ".html")
        self.run_hbar(*generate, longest, "x")
        old = self.write("old.html", "")
        (self.dir / "link.html").symlink_to("old.html")
        self.run_hbar(*generate, self.dir / "link.html", "x")
        self.assertTrue((self.dir / "link.html").is_symlink())
        for path in (longest, old):
            self.assertTrue(path.read_text().endswith("</html>\n"), path)
        self.assertEqual(len(list(self.dir.iterdir())), 3)
        self.fails("generate", "--model", DEMO, "--html", PARAMS, "--params", PARAMS, "x", code=USAGE, says="would be replaced")
        (self.dir / "nothing.html").symlink_to("no/where.html")
        for path, says in (("nothing.html", "nothing.html: No such file"), ("no/", "no/: Is a directory")):
            self.fails("generate", "--model", DEMO, "--html", path, "x", says=says)
        self.assertTrue((self.dir / "nothing.html").is_symlink())

    def test_page_into_standard_output(self):
        """A page does not replace the file that standard output writes to."""
        log = self.write("log", "first\n")
        with open(log, "ab") as out:
            done = subprocess.run([HBAR, "generate", "--model", str(DEMO), "-q", "--html", "/dev/stdout", "x"], stdout=out,
                                  stderr=subprocess.PIPE, timeout=120, env=environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"/dev/stdout: standard output or error goes there, and would be lost", done.stderr)
        self.assertEqual(log.read_text(), "first\n")
        self.fails("generate", "--model", DEMO, "--html", DEMO, "x", code=USAGE, says="would be replaced")


if __name__ == "__main__":
    unittest.main()
