"""The demo that comes with the program: no model and no data given."""
import collections
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

HBAR = os.environ["HBAR"]
DATA = Path(__file__).resolve().parent.parent.parent / "data"


def rows(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


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

    def test_calibrates_regrades_and_halts(self):
        result = self.hbar("calibrate", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("no --model given", result.stderr)
        out = json.loads(result.stdout)
        self.assertTrue(0.3 < out["score"]["hallucination_rate"] < 0.6)
        self.assertEqual(out["settings"]["grade"], "exact")
        run = next(Path(self.folder.name).glob("calibrated_params/*.db"))

        again = self.hbar("sweep", "--run", str(run), "--grade", "f1", "--min-f1", "0.01", "--json")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertLess(json.loads(again.stdout)["score"]["hallucination_rate"], out["score"]["hallucination_rate"])

        exported = self.hbar("export", "--run", str(run), "--format", "jsonl").stdout.splitlines()
        asked = {r["id"]: r for r in rows("demo_calibration.jsonl")}
        often = collections.Counter()
        for line in map(json.loads, exported):
            self.assertEqual(json.loads(line["answers"]), asked[line["id"]]["answers"])
            self.assertIsNone(line["label"])
            if asked[line["id"]]["tier"] == "often":
                often[line["grade_exact"]] += 1
        self.assertGreaterEqual(often[1], 0.95 * sum(often.values()))

        told = self.hbar("generate", "--params", out["parameters"], "What is the capital of France?")
        self.assertEqual(told.stdout.strip(), "Paris")
        halted = self.hbar("generate", "--params", out["parameters"], "--json", "What is the capital of Cuba?")
        self.assertTrue(json.loads(halted.stdout)["halted"])

    def test_bad_use(self):
        for args, message in [(["calibrate", "--min-f1", "0.3"], "--min-f1 goes with --grade f1"),
                              (["calibrate", "--grade", "fuzzy"], "--grade"),
                              (["sweep", "--data", "x.csv", "--grade", "f1"], "--grade goes with --run")]:
            result = self.hbar(*args)
            self.assertEqual(result.returncode, 2)
            self.assertIn(message, result.stderr)
        missing = self.hbar("generate", "x", HBAR_DATA_DIR="/nonexistent")
        self.assertEqual(missing.returncode, 2)
        self.assertIn("HBAR_DATA_DIR", missing.stderr)

    def test_broken_answers_are_named(self):
        path = Path(self.folder.name) / "d.jsonl"
        path.write_text('{"prompt": "q", "answers": ["a b"]}\n{"prompt": "q", "answers": []}\n'
                        '{"prompt": "q", "answers": ["!"]}\n{"prompt": "q", "answers": [1]}\n')
        result = self.hbar("score", "--data", str(path))
        self.assertEqual(result.returncode, 0, result.stderr)
        for text in ("d.jsonl:2", "answer '!' has no word", "is no array of strings"):
            self.assertIn(text, result.stderr)


if __name__ == "__main__":
    unittest.main()
