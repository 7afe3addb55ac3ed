"""Runs, calibration and validation: the same as the program's."""
import contextlib
import csv
import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import UserDict

import numpy as np
import pandas
import pytest
from conftest import DEMO, DEMO_PARAMS, PROJECT, command

import hbar

DATA = PROJECT / "data/demo_calibration.jsonl"
TEST = PROJECT / "data/demo_test.jsonl"
JUDGEMENTS = PROJECT / "data/demo_judgements.jsonl"
N = 200


@pytest.fixture(scope="module")
def run(demo, tmp_path_factory):
    return demo.score(DATA, tmp_path_factory.mktemp("run") / "run.db", n=N)


def program(*arguments):
    done = subprocess.run([os.environ["HBAR"], *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_paths(document):
    """What two calibrations of the same scores have in common."""
    kept = dict(document)
    for key in ("parameters", "params", "source", "created", "run"):
        kept.pop(key, None)
    for part in ("data", "model"):
        if isinstance(kept.get(part), dict):
            kept[part] = {k: v for k, v in kept[part].items() if k != "path"}
    return kept


def test_the_program_continues_the_run(demo, run, tmp_path):
    """All settings are those of the program, or it would refuse the run; and it finds every sample in it."""
    copy = tmp_path / "copy.db"
    shutil.copy(run.path, copy)
    said = command("score", "--model", DEMO, "--data", DATA, "-n", N, "--run", copy)
    assert (said["total"], said["scored"], said["tokens_evaluated"]) == (N, N, 0)
    again = demo.score(DATA, run.path, n=N)
    assert again.counts == run.counts and run.counts["scored"] == N


def test_frame_is_the_programs_export(run):
    rows = list(csv.DictReader(program("export", "--run", run.path).splitlines()))
    frame = run.frame()
    assert len(frame) == len(rows) == N
    assert list(frame["id"]) == [row["id"] for row in rows]
    assert list(frame["label"]) == [int(row["label"]) for row in rows]
    for name in ("hbar_s:top5", "entropy:mean", "pri:max"):
        assert np.allclose(frame[name], [float(row[name]) for row in rows], rtol=1e-9)
    assert set(run.scores) <= set(frame.columns)
    assert isinstance(frame["answers"][0], list) and frame["text"].notna().all()


def test_grades_decide_labels(run):
    exact, f1 = run.frame()["label"], run.frame(grade="f1", min_f1=0.1)["label"]
    assert (f1 <= exact).all() and f1.sum() < exact.sum()


def test_a_run_is_graded_as_it_says(run, tmp_path):
    copy = tmp_path / "copy.db"
    shutil.copy(run.path, copy)
    with contextlib.closing(sqlite3.connect(copy)) as db:
        db.execute("INSERT INTO settings VALUES ('grading', 'f1,wrong,0.10000000000000001')")
        db.commit()
    graded, f1 = hbar.Run(copy), {"grade": "f1", "min_f1": 0.1, "abstain_as": "wrong"}
    assert graded.frame()["label"].equals(run.frame(**f1)["label"])
    assert not graded.frame()["label"].equals(run.frame()["label"])
    assert (graded.values("entropy")[1] == run.values("entropy", **f1)[1]).all()
    assert graded.frame(grade="exact", abstain_as="out")["label"].equals(run.frame()["label"])
    params = graded.calibrate(draws=0)
    assert (params.document["settings"]["grade"], params.document["settings"]["min_f1"]) == ("f1", 0.1)
    assert run.validate(params, draws=0, abstain_as="right").document["min_f1"] == 0.1


def test_limits_of_grades_are_checked(run):
    for limits, message in (({"min_f1": float("nan")}, "min_f1: nan is not above 0 and at most 1"),
                            ({"grade": "f1", "min_f1": 0}, "min_f1: 0 is not above 0"),
                            ({"min_f1": 1.5}, "min_f1: 1.5 is not above 0 and at most 1"),
                            ({"tolerance": float("inf")}, "tolerance: inf is not a finite number from 0"),
                            ({"tolerance": -1.0}, "tolerance: -1 is not")):
        for call in (run.frame, run.calibrate, lambda **given: run.values("entropy", **given)):
            with pytest.raises(hbar.ArgumentError, match=message):
                call(**limits)


def test_calibrate_is_the_programs(run, tmp_path):
    for ours, theirs in [
            ({}, []), ({"score": "entropy"}, ["--score", "entropy"]), ({"score": "all"}, ["--score", "all"]),
            ({"score": ["pri", "margin"], "joint": True, "draws": 100}, ["--score", "pri,margin", "--joint", "--draws", 100]),
            ({"map": "isotonic", "exact_grid": True, "min_recall": 0.7, "draws": 0},
             ["--map", "isotonic", "--tau-grid", "exact", "--min-recall", 0.7, "--draws", 0]),
            ({"guarantee": ("recall", 0.8), "delta": 0.1}, ["--guarantee", "recall=0.8,delta=0.1"]),
            ({"halt": "window:3", "false_halts": 0.2}, ["--halt", "window:3", "--false-halts", 0.2]),
            ({"grade": "f1", "min_f1": 0.3}, ["--grade", "f1", "--min-f1", 0.3])]:
        params = run.calibrate(**ours)
        assert without_paths(params.document) == without_paths(command("sweep", "--run", run.path, *theirs)), ours
        assert params.report and params.report in program("sweep", "--run", run.path, "--quiet", *theirs), ours


def test_parameters_can_be_saved_and_loaded(run, demo, tmp_path):
    params = run.calibrate("entropy", map="platt", halt="ewma:0.5", false_halts=0.3)
    assert (params.score, params.direction, params.model) == ("entropy", "high", "hbar-demo")
    assert params.halt == "ewma:0.5"
    path = params.save(tmp_path / "mine.json")
    loaded = hbar.Params.load(path)
    assert loaded.document == params.document and loaded.tau == params.tau and loaded.report is None
    assert loaded.p_fail(1.0) == params.p_fail(1.0) and loaded.is_risky(params.tau) and not loaded.is_risky(params.tau - 1)
    named = params.save(tmp_path)
    assert named.parent == tmp_path and named.name.startswith("hbar-demo_") and named.name.endswith(f"_n{N}.json")
    assert command("generate", "--model", DEMO, "--params", path, "What is the capital of Cuba?")["text"] == \
        demo.generate("What is the capital of Cuba?", params=params).result().text
    assert params.save(path) == path and sorted(p.name for p in tmp_path.iterdir()) == sorted([named.name, "mine.json"])
    with pytest.raises(hbar.FileError, match="none/mine.json: No such file"):
        params.save(tmp_path / "none" / "mine.json")
    long = tmp_path / ("x" * 250 + ".json")
    assert params.save(long) == long and len(list(tmp_path.iterdir())) == 3


def test_parameters_are_written_into_a_pipe(tmp_path):
    """A pipe or a device stays what it is: it is not replaced by a file."""
    params, pipe, read = hbar.Params.load(DEMO_PARAMS), tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    assert params.save(pipe) == pipe
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]
    reader.join()
    assert json.loads(read[0]) == params.document


def test_a_damaged_parameters_file(tmp_path):
    """The error is the library's, and names the file."""
    damaged, pipe = tmp_path / "damaged.json", tmp_path / "pipe"
    damaged.write_bytes(b'{"schema": "\xff"}')
    os.mkfifo(pipe)
    for path, kind in ((damaged, hbar.FormatError), (tmp_path / "none.json", hbar.FileError), (tmp_path, hbar.FileError),
                       (pipe, hbar.FileError)):
        with pytest.raises(kind, match=path.name):
            hbar.Params.load(path)
    assert hbar.Params.load(os.fsencode(DEMO_PARAMS)).document == hbar.Params.load(DEMO_PARAMS).document


def test_validate_is_the_programs(demo, tmp_path):
    split = demo.score(TEST, tmp_path / "split.db", n=N)
    validation = split.validate(DEMO_PARAMS)
    said = command("validate", "--params", DEMO_PARAMS, "--run", split.path)
    assert without_paths(validation.document) == without_paths(said)
    assert validation.auroc == said["scores"]["hbar_s"]["auroc"] and "AUROC" in validation.report
    assert hbar.validate(DEMO_PARAMS, split).document == validation.document
    other = split.validate(DEMO_PARAMS, grade="contains", draws=100)
    assert without_paths(other.document) == without_paths(
        command("validate", "--params", DEMO_PARAMS, "--run", split.path, "--grade", "contains", "--draws", 100))


def test_parameters_of_another_model_are_refused(demo, tiny):
    run = tiny.score([{"prompt": f"Hello {i}", "label": i % 2} for i in range(20)], max_tokens=3)
    with pytest.raises(hbar.MismatchError, match="another model"):
        run.validate(DEMO_PARAMS)
    with pytest.warns(hbar.HbarWarning, match="another model"):
        run.validate(DEMO_PARAMS, force=True)
    with pytest.warns(hbar.HbarWarning, match="another model"):
        tiny.judge("Hello", "world", params=DEMO_PARAMS)


class Rows:
    """Rows as the package `datasets` gives them: an iterable of mappings, not a sequence."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return (UserDict(row) for row in self.rows)


def test_frames_and_rows_are_data(demo):
    rows = [json.loads(line) for line in open(TEST, encoding="utf-8")][:30]
    expected = demo.score(TEST, format="answers").frame().iloc[:30]["hbar_s:mean"]
    for data in (rows, pandas.DataFrame(rows), Rows(rows), ):
        found = demo.score(data).frame()
        assert np.allclose(found["hbar_s:mean"], expected, rtol=1e-4)
    labelled = pandas.DataFrame({"q": ["What is the capital of France?"] * 12, "r": [" Paris.", " Rome."] * 6,
                                 "bad": np.array([0, 1] * 6), "note": [math.nan, "x"] * 6})
    run = demo.score(labelled, fields={"prompt": "q", "response": "r", "label": "bad"}, read_as="response")
    assert list(run.frame()["label"]) == [0, 1] * 6 and run.settings["read_as"] == "response"


def test_options_of_the_data(demo):
    rows = [{"question": f"What is {i}?", "answer": "x", "kind": "ab"[i % 2]} for i in range(20)]
    run = demo.score(rows, where="kind=a", shots=2, n=5, prompt_template="Q: {question}\nA:", max_tokens=2)
    prompts = run.frame()["prompt"]
    assert len(prompts) == 5 and all(p.count("Q: ") == 3 and p.endswith("A:") for p in prompts)
    with pytest.warns(hbar.HbarWarning, match="question|answer"):
        demo.score([*rows, {"question": 3}], max_tokens=1)
    with pytest.raises(hbar.FormatError):
        demo.score([*rows, {"question": 3}], max_tokens=1, strict=True)


def test_settings_and_scores_of_a_run(demo):
    run = demo.score(DATA, n=12, signals=["entropy", "pri"], max_tokens=9, answer_lines=-1, keep_prompts=False,
                     keep_steps=False)
    s = run.settings
    assert s["signals"] == ["pri", "entropy"] or s["signals"] == ["entropy", "pri"]
    assert (s["max_tokens"], s["answer_lines"], s["no_prompts"], s["no_steps"]) == (9, -1, 1, 1)
    assert run.frame()["prompt"].isna().all()
    high, labels = run.values("entropy", direction="high")
    low, _ = run.values("entropy", direction="low")
    assert len(high) == len(labels) == 12 and (high >= low - 1e-9).all() and (high > low + 0.1).any()
    assert np.array_equal(run.values("entropy")[0], high)
    path = run.path
    del run
    assert not os.path.exists(path)  # the file was temporary


def test_samples_questions_and_probes(demo):
    run = demo.score(DATA, n=60, samples=2, ask=["p_true"], judge=demo, features="hidden:2,topk", max_tokens=8)
    assert run.settings["asks"] == "entailment,p_true" and run.settings["samples"] == 2
    frame = run.frame()
    assert frame["semantic_entropy"].notna().all() and frame["p_true"].between(0, 1).all()
    probe = run.calibrate("probe", draws=0)
    assert probe.score == "probe" and probe.document["map"]["kind"] == "platt"
    answer = demo.judge("What is the capital of Cuba?", "Havana.", params=probe)
    assert answer.score is not None and 0 <= answer.p_fail <= 1 and "probe" in answer.steps[0].signals
    best = run.calibrate("all", draws=0)
    assert "probe" in best.report
    with pytest.raises(hbar.ArgumentError, match="semantic_entropy"):
        demo.generate("x", params=run.calibrate("semantic_entropy", draws=0))


def test_tables(run, tmp_path):
    values, labels = run.values("hbar_s", direction="low")
    path = tmp_path / "scores.csv"
    path.write_text("mine,label\n" + "".join(f"{v!r},{y}\n" for v, y in zip(values.tolist(), labels.tolist())))
    params = hbar.calibrate({"mine": values}, labels, draws=200)
    said = command("sweep", "--data", path, "--score", "mine", "--draws", 200)
    assert {k: v for k, v in without_paths(params.document).items() if k != "data"} == \
        {k: v for k, v in without_paths(said).items() if k != "data"}
    validation = hbar.validate(params, pandas.DataFrame({"mine": values}), labels, draws=200)
    assert validation.auroc == pytest.approx(params.document["auroc"])
    grouped = hbar.calibrate(values, labels, groups=np.arange(len(labels)) // 2, draws=200)
    assert grouped.score == "score" and grouped.document["uncertainty"] != params.document["uncertainty"]


@pytest.mark.parametrize("call, kind, words", [
    (lambda m, r: m.score("/nowhere.jsonl"), hbar.FileError, "nowhere.jsonl"),
    (lambda m, r: m.score([]), hbar.HbarError, ""),
    (lambda m, r: m.score([1, 2]), TypeError, "rows"),
    (lambda m, r: m.score([{"question": object(), "answer": "x"}]), TypeError, "object"),
    (lambda m, r: m.score(DATA, n=5, ask="why"), hbar.ArgumentError, "why"),
    (lambda m, r: m.score(DATA, n=5, features="mist"), hbar.ArgumentError, "mist"),
    (lambda m, r: m.score(DATA, n=5, fields={"colour": "x"}), ValueError, "colour"),
    (lambda m, r: m.score(DATA, n=5, nothing=1), TypeError, "nothing"),
    (lambda m, r: m.score(DATA, r.path, n=5, max_tokens=7), hbar.MismatchError, "max"),
    (lambda m, r: m.score(DATA, n=5, progress=lambda done, total: 1 / 0), ZeroDivisionError, ""),
    (lambda m, r: r.calibrate("nothing"), hbar.ArgumentError, "nothing"),
    (lambda m, r: r.calibrate(halt="sometimes"), hbar.ArgumentError, "sometimes"),
    (lambda m, r: r.calibrate(halts=0.1, false_halts=0.1), hbar.ArgumentError, "exclude"),
    (lambda m, r: r.calibrate(grade="well"), ValueError, "exact, contains"),
    (lambda m, r: r.values("nothing"), hbar.ArgumentError, "nothing"),
    (lambda m, r: r.values("hbar_s", direction="auto"), hbar.ArgumentError, "direction must be high or low, not 'auto'"),
    (lambda m, r: hbar.calibrate([0.1, 0.2], pandas.Series([0, None], dtype="Int8")), ValueError, "0 or 1, not <NA>"),
    (lambda m, r: m.score(DATA, n=5).calibrate(), hbar.DataError, ""),
    (lambda m, r: hbar.calibrate([0.1, 0.2], [0, 2]), ValueError, "0 or 1"),
    (lambda m, r: hbar.calibrate({"a": [1.0]}, [0, 1]), ValueError, "1 values for 2 labels"),
    (lambda m, r: hbar.calibrate([0.1] * 20, [0, 1] * 10, halts=0.5), hbar.ArgumentError, "halt"),
    (lambda m, r: hbar.validate(DEMO_PARAMS, [0.1] * 20), TypeError, "labels"),
    (lambda m, r: hbar.Run(DATA), hbar.HbarError, "demo_calibration"),
])
def test_errors(demo, run, call, kind, words):
    with pytest.raises(kind, match=words):
        call(demo, run)


def test_progress(demo):
    seen = []
    demo.score(DATA, n=10, max_tokens=3, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10) and [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_ctrl_c_and_the_same_call_continues(tiny, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"""import hbar
model = hbar.Model({tiny.path!r})
rows = [{{"prompt": f"Hello {{i}}", "label": i % 2}} for i in range(100000)]
try:
    model.score(rows, {str(tmp_path / "run.db")!r}, max_tokens=30, progress=lambda done, total: print(".", flush=True))
except KeyboardInterrupt:
    run = hbar.Run({str(tmp_path / "run.db")!r})
    print("interrupted", 0 < run.counts["scored"] < 100000)
    grown = model.score(rows[:100000], run.path, n=run.counts["scored"], max_tokens=30)
    print(grown.counts["scored"] > 0)
""")
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == ".\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and out.replace(".\n", "") == "interrupted True\nTrue\n", (out, err)
