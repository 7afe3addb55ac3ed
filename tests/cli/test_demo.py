"""The bundled demo: commands without a model and data."""
import collections
import html
import json
import math
import os
import pty
import re
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import UNMEASURED, native_only, without_notes

HBAR = os.environ["HBAR"]
DATA = Path(__file__).resolve().parent.parent.parent / "data"


def rows(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def blocks_of(terminal):
    """What was written to a terminal whose other side is closed."""
    try:
        while block := os.read(terminal, 65536):
            yield block
    except OSError:
        pass


class World(unittest.TestCase):
    def test_splits_are_large_disjoint_and_of_every_tier(self):
        splits = [rows(f"demo_{s}.jsonl") for s in ("calibration", "test")]
        for split in splits:
            self.assertGreaterEqual(len(split), 1000)
            self.assertEqual(len({r["id"] for r in split}), len(split))
            tiers = collections.Counter(r["tier"] for r in split)
            self.assertTrue(all(tiers[t] > 100 for t in ("often", "rare", "never")), tiers)
            self.assertTrue(all((r["seen"] == 0) == (r["tier"] == "never") for r in split))
        prompts = [{r["prompt"] for r in split} for split in splits]
        self.assertFalse(prompts[0] & prompts[1])

    def test_judgements_have_halueval_fields(self):
        for row in rows("demo_judgements.jsonl"):
            for field in ("knowledge", "question", "right_answer", "hallucinated_answer"):
                self.assertTrue(row[field])
            self.assertNotEqual(row["right_answer"], row["hallucinated_answer"])


class Demo(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def hbar(self, *args, **environment):
        return subprocess.run([HBAR, *args], cwd=self.folder.name, capture_output=True, text=True,
                              env={**os.environ, **environment}, check=False)

    def json(self, *args):
        result = self.hbar(*args, "--json", "--quiet")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def exported(self, run, *args):
        result = self.hbar("export", "--run", run, "--format", "jsonl", *args)
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def test_grades_anew_without_generating(self):
        """Rows and their timings stay unchanged, and all commands use the same labels."""
        some = ["-n", "400", "-o", "p"]
        first = self.json("score", *some)
        self.assertGreater(first["tokens_evaluated"], 0)
        self.assertEqual((first["grade"], first["accuracy"]), ("exact", 1 - first["hallucination_rate"]))
        run, before = first["run"], self.exported(first["run"])
        params = self.json("calibrate", *some)["parameters"]
        rates = {}
        for grade, wrong in ((["exact"], lambda r: not r["grade_exact"]),
                             (["contains"], lambda r: not r["grade_contains"]),
                             (["f1", "--min-f1", "0.3"], lambda r: r["grade_f1"] < 0.3)):
            grade = ["--grade", *grade]
            rate = rates[grade[1]] = sum(map(wrong, before)) / len(before)
            scored = self.json("score", *some, *grade)
            self.assertEqual((scored["run"], scored["tokens_evaluated"]), (run, 0))
            self.assertAlmostEqual(scored["hallucination_rate"], rate)
            self.assertIn(f"{100 - 100 * rate:.1f} % of them right", self.hbar("score", *some, *grade).stdout)
            calibrated = self.json("calibrate", *some, *grade)
            swept = self.json("sweep", "--run", run, *grade)
            for result in (calibrated, swept):
                self.assertEqual(result["settings"]["grade"], grade[1])
                self.assertAlmostEqual(result["score"]["hallucination_rate"], rate)
            for source in (["--run", run], [*some, "--data", str(DATA / "demo_calibration.jsonl")]):
                judged = self.json("validate", "--params", params, "--draws", "0", *source, *grade)
                at = judged["scores"]["hbar_s"]["at_tau"]
                self.assertEqual(at["tp"] + at["fn"], round(rate * len(before)))
            rows = self.exported(run, *grade)
            self.assertEqual([r["label"] for r in rows], [int(wrong(r)) for r in before])
            by_rule = {"label": 0, "own_label": 0}
            self.assertEqual([{**r, **by_rule} for r in rows], [{**r, **by_rule} for r in before])
        self.assertLess(rates["f1"], rates["exact"])

    def check_card(self, judged, accuracy):
        """The card's figures equal what hbar measures, up to the rounding of other kernels."""
        card = (DATA.parent / "models" / "README.md").read_text(encoding="utf-8")
        figures = {name: (float(auroc), risky) for name, auroc, risky in
                   re.findall(r"\| `(\w+)` \| ([0-9.]+) \|[^|]*\| (low|high) \|", card)}
        self.assertEqual(set(figures) - set(UNMEASURED), set(judged["scores"]))
        for name, score in judged["scores"].items():
            self.assertAlmostEqual(figures[name][0], score["auroc"], delta=0.01, msg=name)
            self.assertEqual(figures[name][1], {"<=": "low", ">=": "high"}[score["direction"]], name)
        wrong = re.search(r"hallucinations: ([0-9.]+) % of the test split and ([0-9.]+) % of the calibration", card)
        rate = judged["scores"]["hbar_s"]["hallucination_rate"]
        self.assertAlmostEqual(float(wrong[1]), 100 * rate, delta=0.5)
        self.assertAlmostEqual(float(wrong[2]), 100 * (1 - accuracy), delta=0.5)

    def test_text_says_what_to_expect_and_what_to_do_next(self):
        shown = self.hbar("calibrate")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertRegex(shown.stdout, r"flags \d+ of the \d+ hallucinated and \d+ of the \d+ faithful samples")
        self.assertRegex(shown.stdout, r"Halt: before the token where hbar_s is at most [0-9.]+\n  stops \d+ of the \d+ hallucinated ")
        commands = re.findall(r"^  (\S+ (?:generate|validate) .*)$", shown.stdout, re.MULTILINE)
        self.assertEqual(len(commands), 2)
        for line in commands:
            program, *arguments = shlex.split(line)
            self.assertEqual(program, HBAR)
            done = self.hbar(*arguments)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_calibrates_and_halts(self):
        result = self.hbar("calibrate", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("no --model given", result.stderr)
        out = json.loads(result.stdout)
        self.assertTrue(0.3 < out["score"]["hallucination_rate"] < 0.6)
        self.assertEqual(out["settings"]["grade"], "exact")
        run = next(Path(self.folder.name).glob("calibrated_params/*.db"))

        exported = self.hbar("export", "--run", str(run), "--format", "jsonl").stdout.splitlines()
        asked = {r["id"]: r for r in rows("demo_calibration.jsonl")}
        often = collections.Counter()
        for line in map(json.loads, exported):
            self.assertEqual(json.loads(line["answers"]), asked[line["id"]]["answers"])
            self.assertEqual(line["label"], 1 - line["grade_exact"])
            if asked[line["id"]]["tier"] == "often":
                often[line["grade_exact"]] += 1
        self.assertGreaterEqual(often[1], 0.95 * sum(often.values()))

        halting, lines = out["halting"], [json.loads(line) for line in exported]
        for kind, label in (("faithful", 0), ("hallucinated", 1)):
            riskiest = [r["hbar_s:min"] for r in lines if r["label"] == label]
            self.assertEqual(halting[kind], len(riskiest))
            stopped = sum(1 / (1 + math.exp(5 * (v - out["threshold"]["tau"]))) >= 0.85 for v in riskiest)
            self.assertEqual(halting[kind + "_halted"], stopped)

        judged = self.json("validate", "--params", out["parameters"], "--draws", "0")
        self.check_card(judged, 1 - out["score"]["hallucination_rate"])
        self.assertGreater(judged["halting"]["hallucinated_halted"], judged["halting"]["faithful_halted"])
        self.assertTrue(judged["halt"]["guarantee"]["held"])
        self.assertGreater(judged["halt"]["answers"]["hallucinated_halted"], 0.5 * judged["halt"]["answers"]["hallucinated"])
        self.assertEqual(judged["shared_prompts"], 0)  # without data: the test split
        at = judged["scores"]["hbar_s"]["at_tau"]
        self.assertEqual(sum(at[k] for k in ("tp", "fp", "tn", "fn")), len(rows("demo_test.jsonl")))

        generated = self.hbar("generate", "--params", out["parameters"], "What is the capital of France?")
        self.assertEqual(generated.stdout.strip(), "Paris")
        halted = self.json("generate", "--params", out["parameters"], "What is the capital of Cuba?")
        self.assertTrue(halted["halted"])
        shipped = json.loads((DATA / "demo_params.json").read_text(encoding="utf-8"))
        self.assertAlmostEqual(shipped["threshold"]["tau"], out["threshold"]["tau"], delta=0.05)
        for field in ("name", "file_size", "sha256"):
            self.assertEqual(shipped["model"][field], out["model"][field])

    def test_generates_by_the_shipped_parameters(self):
        shipped = json.loads((DATA / "demo_params.json").read_text(encoding="utf-8"))
        generated = self.hbar("generate", "What is the capital of France?")
        self.assertEqual(generated.stdout.strip(), "Paris")
        self.assertIn("no --params given: using the demo's", generated.stderr)
        self.assertNotIn("warning", without_notes(generated.stderr))
        halted = self.json("generate", "What is the capital of Cuba?")
        self.assertTrue(halted["halted"])
        self.assertEqual(halted["monitor"]["tau"], shipped["threshold"]["tau"])
        by_hand = self.json("generate", "--tau", "1", "What is the capital of Cuba?")
        self.assertEqual((by_hand["monitor"]["tau"], by_hand["monitor"]["direction"]), (1, ">="))

    @native_only("the picture has no warning that the demo's parameters are those of the native engine")
    def test_picture(self):
        """The picture in README shows what the program prints."""
        picture = (DATA.parent / "docs/images/generate.svg").read_text(encoding="utf-8")
        lines = [html.unescape(re.sub("<[^>]*>", "", line)).rstrip() for line in re.findall("<text .*</text>", picture)]
        data = f"{Path(HBAR).parent}/share/hbar"
        shown = []
        for command in (line[2:] for line in lines if line.startswith("$ ")):
            _, *arguments = shlex.split(command)
            main, side = pty.openpty()
            process = subprocess.Popen([HBAR, *arguments], stdin=subprocess.DEVNULL, stdout=side, stderr=side,
                                       env={**os.environ, "HBAR_DATA_DIR": data, "NO_COLOR": "1"})
            os.close(side)
            process.wait(60)
            text = b"".join(blocks_of(main)).decode().replace("\r\n", "\n").replace(data, "share/hbar")
            os.close(main)
            shown += [f"$ {command}", *(line.rstrip() for line in text.rstrip("\n").split("\n"))]
        self.assertGreater(len(shown), 20)
        anew = ("make it anew in build/release: HBAR_DATA_DIR=share/hbar PATH=.:$PATH "
                "../../tools/terminal_picture ../../docs/images/generate.svg and the commands")
        number = r"\d+\.\d{4}"  # builds round differently
        self.assertEqual([re.sub(number, "#", line) for line in shown], [re.sub(number, "#", line) for line in lines], anew)
        for now, then in zip(re.findall(number, "\n".join(shown)), re.findall(number, "\n".join(lines))):
            self.assertAlmostEqual(float(now), float(then), delta=2e-4, msg=anew)

    def test_bad_use(self):
        for args, message in [(["calibrate", "--min-f1", "0.3"], "--min-f1 needs --grade f1"),
                              (["calibrate", "--grade", "fuzzy"], "--grade"),
                              (["sweep", "--data", "x.csv", "--grade", "f1"], "--grade goes with --run"),
                              (["validate", "--params", "p", "--run", "r", "--min-f1", "1"], "--min-f1 needs"),
                              (["validate", "--params", "p", "--scores", "s", "--grade", "f1"], "--grade cannot be used with --scores"),
                              (["export", "--run", "r", "--min-f1", "0.3"], "--min-f1 needs --grade f1")]:
            result = self.hbar(*args)
            self.assertEqual(result.returncode, 2)
            self.assertIn(message, result.stderr)
        missing = self.hbar("generate", "x", HBAR_DATA_DIR="/nonexistent")
        self.assertEqual(missing.returncode, 2)
        self.assertIn("HBAR_DATA_DIR", missing.stderr)

    def test_broken_answers_are_named(self):
        path = Path(self.folder.name) / "d.jsonl"
        path.write_text('{"prompt": "q", "answers": ["a b"]}\n{"prompt": "q", "answers": []}\n'
                        '{"prompt": "q", "answers": ["!"]}\n{"prompt": "q", "answers": [{}]}\n')
        result = self.hbar("score", "--data", str(path))
        self.assertEqual(result.returncode, 0, result.stderr)
        for text in ("d.jsonl:2: field 'answers' has no answer", "answer '!' has no word", "d.jsonl:4"):
            self.assertIn(text, result.stderr)


if __name__ == "__main__":
    unittest.main()
