"""The measures over samples in bench/detect.py, with the demo's model."""
import csv
import subprocess
import sys
from pathlib import Path

from harness import DETECT_FEATURES, HBAR, PROJECT, Case


class DetectSamples(Case):
    def test_demo_model(self):
        model = Path(HBAR).parent / "share" / "hbar" / "hbar-demo.gguf"
        call = [sys.executable, PROJECT / "bench" / "detect.py", "--hbar", HBAR, "--model", model, "--bare", "-n", "240", "--samples",
                "2,3", "--ask", "p_true", "--features", DETECT_FEATURES, "--work", self.dir]
        out = subprocess.run(call, check=True, capture_output=True, text=True).stdout
        table = out[out.index("test AUROC with samples"):]
        for name in ("deg", "cocoa", "eigenscore", "p_true_ideas", "joint model inside", "joint model over samples",
                     "joint model both"):
            self.assertRegex(table, rf"(?m)^{name} +0\.\d+ +0\.\d+$")
        with open(self.dir / "facts" / "risk_coverage.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual({row["samples"] for row in rows}, {"2", "3"})
        self.assertLessEqual({"entropy", "probe", "deg", "p_true", "joint model both"}, {row["score"] for row in rows})
        for name in ("deg", "joint model both"):
            of_one = [row for row in rows if (row["samples"], row["score"]) == ("2", name)]
            self.assertEqual([float(row["coverage"]) for row in of_one], [i / 20 for i in range(1, 21)])
            run = self.run_json("validate", "--params", max((self.dir / "facts" / "samples_2").glob("*.json")), "--run",
                                self.dir / "facts" / "samples_2" / "test.db")
            # At full coverage, the risk is the share of wrong answers, whatever the score.
            self.assertAlmostEqual(float(of_one[-1]["risk"]), run["scores"]["joint"]["hallucination_rate"], places=4)
