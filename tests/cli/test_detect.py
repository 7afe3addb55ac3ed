"""bench/detect.py with the demo's model."""
import json
import os
import subprocess
import sys
from pathlib import Path

from harness import DETECT_FEATURES, HBAR, PROJECT, Case


class Detect(Case):
    SCRIPT = PROJECT / "bench" / "detect.py"

    def test_demo_model(self):
        model = Path(HBAR).parent / "share" / "hbar" / "hbar-demo.gguf"
        call = [sys.executable, self.SCRIPT, "--hbar", HBAR, "--model", model, "--bare", "-n", "300",
                "--features", DETECT_FEATURES, "--work", self.dir]
        out = subprocess.run(call, check=True, capture_output=True, text=True).stdout
        first, second = ([json.loads(line) for line in (self.dir / "facts" / f"{half}.jsonl").read_text().splitlines()]
                         for half in ("calibration", "test"))
        self.assertEqual(len(first) + len(second), 300)
        self.assertGreater(min(len(first), len(second)), 100)
        self.assertFalse({r["subject"] for r in first} & {r["subject"] for r in second})
        self.assertEqual(len({r["id"] for r in first + second}), 300)
        self.assertRegex(out, r"^facts: 300 answers, \d+ of them in the test half, [0-9.]+ % of these wrong\n")
        judged = self.run_json("validate", "--params", max((self.dir / "facts").glob("*.json")), "--run",
                               self.dir / "facts" / "test.db")
        joint = judged["scores"]["joint"]
        self.assertIn(f"joint model of all {judged['scores']['joint']['calibration_auroc']:18.3f}   {joint['auroc']:.3f} [", out)
        self.assertRegex(out, r"(?m)^hbar_s .* the default$")
        self.assertEqual(out.count("chosen by calibration"), 1)
        for name in ("entropy", "probe", "probe_first", "probe_last", "wepr", "mahalanobis", "null_ratio", "answer length", "prompt length",
                     "shuffled labels", "probe, unseen relations", "relation alone"):
            self.assertRegex(out, rf"(?m)^{name} +(0\.\d+ +)?0\.\d")
        self.assertRegex(out, r"(?m)^hbar_s, token +\d+\.\d +\d+\.\d \[ *\d+\.\d, +\d+\.\d\] +\d+\.\d +\d+\.\d +\d+\.\d$")
        self.assertIn("\ncusum: too few right answers for the guarantee\n", out)
        again = subprocess.run(call, check=True, capture_output=True, text=True).stdout
        self.assertIn("ms for an answer", out)
        self.assertEqual(again, "".join(line for line in out.splitlines(True) if "ms for an answer" not in line))

    def write_published(self, rows):
        """Files in the formats of NQ-open and HaluEval, with questions that the demo's model knows."""
        questions = [(r["prompt"].removeprefix("Question: ").removesuffix("\nAnswer:"), r["answers"]) for r in rows]
        nq = [{"question": q, "answer": answers} for q, answers in questions]
        halueval = [{"knowledge": f"Fact {i}: {answers[0]}.", "question": q, "right_answer": answers[0],
                     "hallucinated_answer": questions[i - 1][1][0]} for i, (q, answers) in enumerate(questions)]
        for name, made in (("nq_open_dev", nq), ("halueval_qa_500", halueval[:100])):
            (self.dir / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))

    def test_published_tasks(self):
        sys.path.insert(0, str(self.SCRIPT.parent))
        import detect_tasks
        self.write_published(list(detect_tasks.facts(200)))
        model = Path(HBAR).parent / "share" / "hbar" / "hbar-demo.gguf"
        call = [sys.executable, self.SCRIPT, "--hbar", HBAR, "--model", model, "--bare",
                "--features", DETECT_FEATURES, "--work", self.dir / "work"]
        out = subprocess.run([*call, "--tasks", "nq_open,halueval_judged,halueval_given", "--data", self.dir], check=True,
                             capture_output=True, text=True).stdout
        folder = self.dir / "work"
        shots, *halves = ([json.loads(line)["question"] for line in (folder / "nq_open" / f"{name}.jsonl").read_text().splitlines()]
                          for name in ("shots", "calibration", "test"))
        self.assertEqual([len(shots), sum(map(len, halves))], [5, 195])
        self.assertEqual(len({*shots, *halves[0], *halves[1]}), len({r["prompt"] for r in detect_tasks.facts(200)}))
        self.assertRegex(out, "^nq_open: ")  # the demo's model answers few questions after examples
        for task in ("halueval_judged", "halueval_given"):
            self.assertRegex(out, rf"(?m)^{task}: 200 answers, \d+ of them in the test half, 50.0 % of these wrong$")
        self.assertRegex(out, r"(?m)^p_yes +0\.\d")
        moved = out[out.index("test AUROC of joint"):].splitlines()
        self.assertEqual(moved[0].split()[-2:], ["halueval_judged", "halueval_given"])
        self.assertRegex(moved[-1], r"^calibrated on halueval_given( +(0\.\d{3}|-))* +0\.\d{3}$")
        for wrong, message in ((["--tasks", "nq_open"], "nq_open needs the file nq_open_dev.jsonl"),
                               (["--tasks", "nq"], "no task 'nq'; there are facts, nq_open")):
            done = subprocess.run([*call, *wrong], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(message, done.stderr)

    def test_without_the_model(self):
        done = subprocess.run([sys.executable, self.SCRIPT], capture_output=True, text=True, check=False,
                              env={**os.environ, "XDG_CACHE_HOME": str(self.dir), "PIP_NO_INDEX": "1"})
        self.assertEqual(done.returncode, 77)
        self.assertIn("skipped: ", done.stdout)
