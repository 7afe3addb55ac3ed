#!/usr/bin/env python3
"""Runs every command with the n-th allocation failing, for every n or every k-th: alone, and with all later ones.

No run may crash. One that exits with 0 must have the output and the files of a run without failure. One that fails
must say so in a message, and the same command must then continue its run to the same contents.

usage: allocations.py SHIM [--every K] [--only NAME] [--first N]
HBAR names the program, HBAR_TEST_MODELS the folder of small models."""
import argparse
import contextlib
import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HBAR = os.environ["HBAR"]
MODELS = Path(os.environ["HBAR_TEST_MODELS"])
MODEL, CHAT = MODELS / "tiny-f32.gguf", MODELS / "tiny-chat.gguf"
TEMPLATE = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m.content|trim }}<|im_end|>{% endfor %}"
SCORE = ["--max-tokens", 2, "-q", "--threads", 1, "--sequences", 2, "--run", "out/run.db"]
WATCHED = ["--signals", "hbar_s,entropy,pri"]


def make_inputs():
    """The files that commands read, in the current folder."""
    rows = [{"id": f"q{i}", "prompt": f"Is {i} plus {i} equal to {2 * i + i % 2}?", "label": i % 2} for i in range(12)]
    graded = [{"q": f"What is {i}?", "a": [f"number {i}", "caf\u00e9"]} for i in range(8)]
    given = [{"prompt": f"Say {i}.", "response": f"It is {i}, a number.", "spans": [{"start": 3, "end": 5}],
              "label": i % 2} for i in range(6)]
    more = [{"prompt": f"Say {i}.", "label": i % 2} for i in range(40)]
    for name, content in (("rows.jsonl", rows), ("graded.jsonl", graded), ("given.jsonl", given), ("more.jsonl", more)):
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in content))
    Path("array.json").write_text(json.dumps(rows))
    Path("table.csv").write_text("id,hbar_s,entropy,label\n" + "".join(
        f"q{i},{i * 7 % 11},{i * 5 % 13},{int(i % 3 == 0)}\n" for i in range(60)))
    Path("table.tsv").write_text(Path("table.csv").read_text().replace(",", "\t"))
    Path("given.jsonl.gz").write_bytes(gzip.compress(Path("given.jsonl").read_bytes()))
    Path("options.toml").write_text('quiet = true\n[generate]\nstop = ["a", "b"]\nsystem = "caf\\u00e9"\n')
    Path("labels.csv").write_text("id,label\nq0,1\nq3,0\nq5,1\n")
    Path("template.jinja").write_text(TEMPLATE)
    Path("ready").mkdir()
    for arguments in (["score", "--model", MODEL, "--data", "rows.jsonl", "--max-tokens", 2, "-q", "--run", "ready/run.db",
                       *WATCHED],
                      *(["score", "--model", MODEL, "--data", "rows.jsonl", "--max-tokens", 2, "-q", "--shard", f"{i}/2",
                         "--samples", 2, "--run", f"ready/{i}.db"] for i in (1, 2)),
                      ["sweep", "--run", "ready/run.db", "--draws", 0, "-o", "ready"],
                      ["sweep", "--data", "table.csv", "--score", "hbar_s,entropy", "--joint", "--draws", 0, "-o", "ready"]):
        subprocess.run([HBAR, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    for path in Path("ready").glob("*.json"):
        path.rename("ready/joint.json" if "joint" in path.read_text() and "table" in path.name else "ready/params.json")


# Name: the arguments, and whether the command continues a run.
COMMANDS = {
    "help": (["calibrate", "--help"], False),
    "help-zsh": (["help", "--format", "zsh"], False),
    "help-man": (["help", "--format", "man", "generate"], False),
    "generate": (["generate", "--model", MODEL, "--max-tokens", 3, "--cutoff", 2, "--json", "--params", "ready/params.json",
                  "--trajectory", "out/t.jsonl", "--html", "out/a.html", "one two"], False),
    "generate-chat": (["generate", "--model", CHAT, "--chat", "--system", "s", "--max-tokens", 3, "--stop", "ab", "--seed", 1,
                       "--temperature", 1, "--top-k", 5, "--cutoff", 2, "hello"], False),
    "generate-samples": (["generate", "--model", MODEL, "--max-tokens", 3, "--samples", 2, "--seed", 1, "--json", "one"], False),
    "options": (["generate", "--config", "options.toml", "--show-config"], False),
    "doctor": (["doctor", "--model", MODEL, "--json"], False),
    "judge": (["judge", "--model", MODEL, "--json", "--prompt", "Is it?", "--response", "Yes, it is."], False),
    "judge-rows": (["judge", "--model", MODEL, "-q", "--data", "given.jsonl"], False),
    "judge-gz": (["judge", "--model", MODEL, "-q", "--data", "given.jsonl.gz", "--json"], False),
    "tokenize": (["tokenize", "--model", CHAT, "--chat", "--chat-template", "template.jinja", "--json", "caf\u00e9 <s>"], False),
    "inspect": (["inspect", MODEL], False),
    "inspect-json": (["inspect", "--json", CHAT], False),
    "score": (["score", "--model", MODEL, "--data", "rows.jsonl", *SCORE, *WATCHED], True),
    "score-graded": (["score", "--model", MODEL, "--data", "graded.jsonl", "--field", "prompt=q", "--field", "answers=a",
                      "--shots", 2, "--prompt-template", "Q: {prompt}\nA:", *SCORE, *WATCHED], True),
    "score-given": (["score", "--model", MODEL, "--data", "given.jsonl", *SCORE, *WATCHED], True),
    "score-samples": (["score", "--model", CHAT, "--chat", "--data", "graded.jsonl", "--field", "prompt=q", "--field",
                       "answers=a", "--samples", 2, "--features", "hidden,topk", "--ask", "p_true,verbalised", *SCORE,
                       "--signals", "entropy"], True),
    "score-judge": (["score", "--model", MODEL, "--data", "graded.jsonl", "--field", "prompt=q", "--field", "answers=a",
                     "--samples", 2, "--entailment", "self", "--judge", CHAT, *SCORE, "--signals", "entropy"], True),
    "calibrate": (["calibrate", "--model", CHAT, "--chat", "--data", "array.json", *SCORE, *WATCHED, "-o", "out", "--draws",
                   100, "--map", "isotonic", "--json"], True),
    "calibrate-probe": (["calibrate", "--model", MODEL, "--data", "rows.jsonl", *SCORE, *WATCHED, "-o", "out", "--draws", 0,
                         "--joint", "--score", "probe,wepr,mahalanobis,entropy", "--json"], True),
    "calibrate-halt": (["calibrate", "--model", MODEL, "--data", "more.jsonl", *SCORE, "--signals", "entropy", "-o", "out",
                        "--draws", 0, "--joint", "--score", "probe,entropy:mean", "--halt", "token", "--false-halts",
                        "0.5,delta=0.5", "--json"], True),
    "sweep": (["sweep", "--run", "ready/run.db", "--draws", 100, "--score", "all", "-o", "out", "--json"], False),
    "sweep-joint": (["sweep", "--data", "table.csv", "--score", "hbar_s,entropy", "--joint", "--draws", 0], False),
    "sweep-tsv": (["sweep", "--data", "table.tsv", "--score", "hbar_s", "--draws", 0, "--json"], False),
    "validate": (["validate", "--run", "ready/run.db", "-p", "ready/params.json", "--draws", 100, "--report", "out/v.html"],
                 False),
    "validate-table": (["validate", "--scores", "table.csv", "-p", "ready/joint.json", "--draws", 0, "--json"], False),
    "validate-run": (["validate", "--model", MODEL, "--data", "rows.jsonl", *SCORE, "-p", "ready/params.json", "--draws", 0],
                     True),
    "report-run": (["report", "ready/run.db", "-q", "-o", "out/r.html"], False),
    "report": (["report", "ready/run.db", "ready/params.json", "-q", "-o", "out/r.html", "--svg", "out"], False),
    "label": (["label", "--run", "out/labelled.db", "--labels", "labels.csv"], False),
    "merge": (["merge", "ready/1.db", "ready/2.db", "-o", "out/merged.db", "--json"], True),
    "diff": (["diff", "ready/run.db", "ready/run.db", "--json"], False),
    "diff-parameters": (["diff", "ready/params.json", "ready/params.json", "--json"], False),
    "runs": (["runs", "ready", "--json"], False),
    "export-samples": (["export", "--run", "ready/1.db", "--generations"], False),
    "export": (["export", "--run", "ready/run.db"], False),
    "export-json": (["export", "--run", "ready/run.db", "--format", "jsonl"], False),
}


# OpenSSL leaks what it has of its configuration when an allocation fails.
LEAKS = Path(__file__).with_name("leaks.txt").resolve()


def run(name, **changes):
    """Runs a command with these variables, in a fresh folder `out` unless it continues."""
    environment = {**os.environ, "HBAR_KERNELS": "portable", "ASAN_OPTIONS": "verify_asan_link_order=0",
                   "LSAN_OPTIONS": f"suppressions={LEAKS}:print_suppressions=0", "MALLOC_PERTURB_": "165", **changes}
    return subprocess.run([HBAR, *map(str, COMMANDS[name][0])], stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
                          env=environment)


def clear():
    shutil.rmtree("out", ignore_errors=True)
    os.mkdir("out")
    shutil.copy("ready/run.db", "out/labelled.db")


def of_run(path):
    """A run's rows without times."""
    rows = []
    with contextlib.closing(sqlite3.connect(path)) as database:
        if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            return "damaged"
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1").fetchall():
            cursor = database.execute(f'SELECT * FROM "{table}"')
            kept = [i for i, column in enumerate(cursor.description) if not re.search("seconds|created|_at$", column[0])]
            rows += sorted(repr((table, [row[i] for i in kept])) for row in cursor
                           if not re.search("created|time", str(row[0])))
    return rows


def plain(text):
    """Output or a file without times."""
    text = re.sub(rb"_\d{8}_\d{6}_", b"_T_", text)
    text = re.sub(rb'"created": "[^"]*"', b"", text)
    text = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"", text)
    return re.sub(rb'("(\w*(seconds?|memory_free|prefill|decode|together))": )[\d.e+-]+', rb"\1", text)


def result():
    """The files that a command has written. A temporary file or a log that a failure left is none of them."""
    files = {}
    for path in sorted(Path("out").iterdir()):
        if path.suffix == ".db":
            files[path.name] = of_run(path)
        elif not path.name.startswith(".") and path.suffix in (".json", ".jsonl", ".html", ".svg"):
            files[plain(path.name.encode())] = plain(path.read_bytes())
    return files


def count(name):
    """The number of allocations, the output and the files of a run without failure."""
    clear()
    done = run(name, HBAR_COUNT_ALLOCATIONS="count", LD_PRELOAD=SHIM)
    if done.returncode or done.stderr.startswith(b"ERROR"):
        sys.exit(f"{name}: {done.stderr.decode()}")
    return int(Path("count").read_text()), plain(done.stdout), result()


def check(name, failing, output, files):
    """What is wrong with a run in which allocations fail; None: nothing."""
    clear()
    try:
        done = run(name, HBAR_FAIL_ALLOCATION=failing, LD_PRELOAD=SHIM)
    except subprocess.TimeoutExpired:
        return "it does not end"
    message = done.stderr.decode(errors="replace").strip().splitlines()
    if any("CHECK failed: sanitizer_" in line for line in message):
        return None  # the sanitizer itself had no memory to start a thread
    if done.returncode not in (0, 1, 2):
        return f"exit code {done.returncode}: {message[-30:]}"
    if done.returncode == 0:
        if plain(done.stdout) != output:
            return f"exit code 0 with other output: {plain(done.stdout)[-300:]}"
        return None if result() == files else f"exit code 0 with other files: {describe(result(), files)}"
    if not message or not message[-1].startswith("hbar"):
        return f"it fails without a message: {message}"
    if not COMMANDS[name][1] and name != "label":
        return None
    again = run(name)
    if again.returncode:
        return f"it cannot be continued after '{message[-1]}': {again.stderr.decode()}"
    return None if result() == files else f"continued, it has other contents: {describe(result(), files)}"


def describe(found, wanted):
    for name in {**found, **wanted}:
        a, b = found.get(name), wanted.get(name)
        if a != b:
            if isinstance(a, list) and isinstance(b, list):
                return f"{name}: {[x for x in a if x not in b][:2]} instead of {[x for x in b if x not in a][:2]}"
            return f"{name}: {str(a)[:300]} instead of {str(b)[:300]}"


parser = argparse.ArgumentParser()
parser.add_argument("shim")
parser.add_argument("--every", type=int, default=1)
parser.add_argument("--first", type=int, default=0)
parser.add_argument("--only")
options = parser.parse_args()
SHIM = os.path.abspath(options.shim)
folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
n_runs = n_faults = 0
with tempfile.TemporaryDirectory(prefix="hbar-faults-", dir=folder) as scratch:
    os.chdir(scratch)
    make_inputs()
    for command in [options.only] if options.only else COMMANDS:
        n, said, written = count(command)
        for first in range(options.first % n, n, options.every):
            for after in ("", "+"):
                n_runs += 1
                fault = check(command, f"{first}{after}", said, written)
                if fault:
                    n_faults += 1
                    print(f"{command}: allocation {first}{after} of {n}: {fault}", flush=True)
        print(f"{command}: {n} allocations, every {options.every} failed", flush=True)
print(f"{n_runs} runs, {n_faults} faults")
sys.exit(n_faults > 0 or not n_runs)
