"""bench/detect.py with the demo's model."""
import json
import os
import subprocess
import sys
from pathlib import Path

from harness import HBAR, PROJECT, Case


class Detect(Case):
    SCRIPT = PROJECT / "bench" / "detect.py"

    def test_demo_model(self):
        model = Path(HBAR).parent / "share" / "hbar" / "hbar-demo.gguf"
        call = [sys.executable, self.SCRIPT, "--hbar", HBAR, "--model", model, "--bare", "-n", "300", "--work", self.dir]
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
        for name in ("entropy", "probe", "probe_first", "probe_last", "wepr", "answer length", "prompt length",
                     "shuffled labels", "probe, unseen relations", "relation alone"):
            self.assertRegex(out, rf"(?m)^{name} +(0\.\d+ +)?0\.\d")
        self.assertRegex(out, r"(?m)^hbar_s, token +\d+\.\d +\d+\.\d \[ *\d+\.\d, +\d+\.\d\] +\d+\.\d +\d+\.\d +\d+\.\d$")
        self.assertIn("\ncusum: too few right answers for the guarantee\n", out)
        again = subprocess.run(call, check=True, capture_output=True, text=True).stdout
        self.assertIn("ms for an answer", out)
        self.assertEqual(again, "".join(line for line in out.splitlines(True) if "ms for an answer" not in line))

    def test_without_the_model(self):
        done = subprocess.run([sys.executable, self.SCRIPT], capture_output=True, text=True, check=False,
                              env={**os.environ, "XDG_CACHE_HOME": str(self.dir), "PIP_NO_INDEX": "1"})
        self.assertEqual(done.returncode, 77)
        self.assertIn("skipped: ", done.stdout)
