#!/usr/bin/env python3
"""Measures the demo's model by hbar itself, and prints what models/README.md says of it:

    evaluate.py HBAR            to standard output
    evaluate.py HBAR --write    into the card, between its two marks; and writes data/demo_params.json,
                                by which hbar generate watches the demo's model where nothing is told

The program's own demo is measured: the model and data sets that lie beside HBAR."""
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
    """hbar, with its files in a folder of their own."""

    def __init__(self, hbar, folder):
        self.hbar, self.folder = str(Path(hbar).resolve()), folder

    def out(self, *arguments):
        return subprocess.run([self.hbar, *arguments], cwd=self.folder, check=True, stdout=subprocess.PIPE).stdout

    def json(self, *arguments):
        return json.loads(self.out(*arguments, "--json", "--quiet"))

    def rows(self, *arguments):
        """The finished samples of a run over all of the data."""
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
    yield (f"\nSo {wrong[0]} of the test split's answers and {wrong[1]} of the calibration split's are hallucinations, "
           "told\nas fluently as the rest.\n")


def parameters(hbar):
    """What was calibrated, without what differs from one machine to another or is long."""
    calibrated = hbar.json("calibrate")
    for field in ("created", "parameters", "scores", "sample_ids", "sweep"):
        del calibrated[field]
    for source in ("model", "data"):
        calibrated[source]["path"] = Path(calibrated[source]["path"]).name
    return json.dumps(calibrated, indent=2) + "\n"


def judgements(hbar):
    """The label says whether the answer shown is the hallucinated one, which the model should say No to."""
    said = collections.Counter()
    for row in hbar.rows("--data", str(data("judgements"))):
        said[row["text"].strip().split("\n")[0], row["label"]] += 1
    n, right = said.total(), said["Yes", 0] + said["No", 1]
    yes, no = said["Yes", 0] + said["Yes", 1], said["No", 0] + said["No", 1]
    yield (f"\nAsked for a judgement, whether an answer is faithful to the context shown with it, it is right in "
           f"{share(right, n)} of {n:,},\nsaying Yes to {share(yes, n)} and No to {share(no, n)}; guessing is right in "
           "50 %.\n")


def judged_by(hbar, score):
    """The test split judged by what was calibrated on the other."""
    params = hbar.json("calibrate", "--score", score)["parameters"]
    return hbar.json("validate", "--params", params, "--draws", "0")


def halting(hbar):
    yield ("\nHalting at the first token whose P_fail reaches 0.85, by what was calibrated for one signal, would stop "
           "on the test\nsplit:\n\n| signal | of the hallucinated | of the right answers |\n| --- | --- | --- |\n")
    for score in HALTING:
        h = judged_by(hbar, score)["halting"]
        yield (f"| `{score}` | {share(h['hallucinated_halted'], h['hallucinated'])} | "
               f"{share(h['faithful_halted'], h['faithful'])} |\n")


def signals(hbar):
    judged = judged_by(hbar, "hbar_s")
    yield "| signal | AUROC | DeLong's 95 % | risky |\n| --- | --- | --- | --- |\n"
    for name, score in judged["scores"].items():
        low, high = score["auroc_delong"]
        yield (f"| `{name}` | {score['auroc']:.3f} | {low:.3f} to {high:.3f} | "
               f"{DIRECTIONS[score['direction']]} |\n")


def card(hbar):
    yield "## How often it is right\n\nGreedy answers, word for word a right one:\n\n"
    yield from accuracy(hbar)
    yield from judgements(hbar)
    yield ("\n## What the signals tell\n\nArea under the ROC curve of each signal's usual aggregation on the test "
           "split, graded exact, as it came out. Which\nvalues are the risky ones was found on the calibration "
           "split; for ℏₛ the low ones, the other way round than its\ndefinition has it.\n\n")
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
