#!/usr/bin/env python3
"""Measures the demo model with hbar and writes the measured part of its card, models/README.md:

    evaluate.py HBAR            prints the text
    evaluate.py HBAR --write    writes it into the card, between two marks, and writes data/demo_params.json,
                                the parameters that hbar generate uses by default

It measures the model and data sets beside the program HBAR."""
import collections
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
CARD = PROJECT / "models" / "README.md"
MARKS = "<!-- By tools/demo/evaluate.py: -->\n", "<!-- As far as here. -->\n"
TIMES = {64: "64 times (often)", 16: "16 times", 8: "8 times", 4: "4 times", 2: "twice", 0: "never"}
HALTING = "hbar_s", "pri", "entropy"
DIRECTIONS = {"<=": "low", ">=": "high"}


class Product:
    """Runs hbar in a folder of its own."""

    def __init__(self, hbar, folder):
        self.hbar, self.folder = str(Path(hbar).resolve()), folder

    def out(self, *arguments):
        return subprocess.run([self.hbar, *arguments], cwd=self.folder, check=True, stdout=subprocess.PIPE).stdout

    def json(self, *arguments):
        return json.loads(self.out(*arguments, "--json", "--quiet"))

    def rows(self, *arguments):
        """All samples of a run on the data."""
        run = self.json("score", "-n", "0", *arguments)["run"]
        return [json.loads(line) for line in self.out("export", "--run", run, "--format", "jsonl").splitlines()]


def data(name):
    return PROJECT / "data" / f"demo_{name}.jsonl"


def share(part, whole):
    return f"{100 * part / whole:.1f}".removesuffix(".0") + " %"


def accuracy(hbar):
    splits = []
    for name in ("test", "calibration"):
        seen = {row["id"]: row["seen"] for row in map(json.loads, data(name).read_text(encoding="utf-8").splitlines())}
        right, asked = collections.Counter(), collections.Counter()
        for row in hbar.rows("--data", str(data(name))):
            asked[seen[row["id"]]] += 1
            right[seen[row["id"]]] += 1 - row["label"]
        splits.append((right, asked))
    yield "| the fact was seen | test | calibration |\n| --- | --- | --- |\n"
    for times, words in TIMES.items():
        cells = [f"{share(right[times], asked[times])} of {asked[times]}" for right, asked in splits]
        yield f"| {words} | {' | '.join(cells)} |\n"
    wrong = [share(asked.total() - right.total(), asked.total()) for right, asked in splits]
    yield (f"\nThe other answers are hallucinations: {wrong[0]} of the test split and {wrong[1]} of the calibration "
           "split. They are\nas fluent as the right ones.\n")


def parameters(hbar):
    """The parameters, without long lists and without fields that depend on the machine."""
    calibrated = hbar.json("calibrate")
    for field in ("created", "parameters", "scores", "prompt_hashes", "sweep"):
        del calibrated[field]
    for source in ("model", "data"):
        calibrated[source]["path"] = Path(calibrated[source]["path"]).name
    return json.dumps(calibrated, indent=2) + "\n"


def judgements(hbar):
    """Label 1 marks a hallucinated answer; the model should answer No."""
    said = collections.Counter()
    for row in hbar.rows("--data", str(data("judgements"))):
        said[row["text"].strip().split("\n")[0], row["label"]] += 1
    n, right = said.total(), said["Yes", 0] + said["No", 1]
    yes, no = said["Yes", 0] + said["Yes", 1], said["No", 0] + said["No", 1]
    yield ("\nThe judgement questions ask whether a shown answer is faithful to a shown context. The model judges "
           f"{share(right, n)} of {n:,}\nright (it says Yes to {share(yes, n)} and No to {share(no, n)}). Guessing "
           "gives 50 %.\n")


def judged_by(hbar, score):
    """The validation of the calibrated score on the test split."""
    params = hbar.json("calibrate", "--score", score)["parameters"]
    return hbar.json("validate", "--params", params, "--draws", "0")


def halting(hbar):
    yield ("\nThe calibrated halt, which stops at most 5 % of the right answers with probability 0.95, stops these "
           "shares\nof the test split:\n\n| signal | hallucinated answers | right answers |\n| --- | --- | --- |\n")
    for score in HALTING:
        h = judged_by(hbar, score)["halt"]["answers"]
        yield (f"| `{score}` | {share(h['hallucinated_halted'], h['hallucinated'])} | "
               f"{share(h['right_halted'], h['right'])} |\n")


def signals(hbar):
    judged = judged_by(hbar, "hbar_s")
    yield "| signal | AUROC | DeLong's 95 % | risky |\n| --- | --- | --- | --- |\n"
    for name, score in judged["scores"].items():
        low, high = score["auroc_delong"]
        yield (f"| `{name}` | {score['auroc']:.3f} | {low:.3f} to {high:.3f} | "
               f"{DIRECTIONS[score['direction']]} |\n")


def card(hbar):
    yield "## Accuracy\n\nShare of greedy answers that equal a right answer:\n\n"
    yield from accuracy(hbar)
    yield from judgements(hbar)
    yield ("\n## Detection\n\nAUROC of each signal with its usual aggregation, on the test split, graded `exact`. The "
           "direction (which values are\nrisky) comes from the calibration split. Low values of ℏₛ are risky here, "
           "the opposite of its definition.\n\n")
    yield from signals(hbar)
    yield from halting(hbar)


def main():
    with tempfile.TemporaryDirectory() as folder:
        hbar = Product(sys.argv[1], folder)
        text, params = "".join(card(hbar)), parameters(hbar)
    if sys.argv[2:] != ["--write"]:
        print(text, end="")
        return
    (PROJECT / "data" / "demo_params.json").write_text(params, encoding="utf-8")
    before, rest = CARD.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    CARD.write_text(before + MARKS[0] + text + MARKS[1] + after, encoding="utf-8")


if __name__ == "__main__":
    main()
