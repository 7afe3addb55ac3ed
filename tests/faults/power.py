#!/usr/bin/env python3
"""Ends pass 1 at random moments, as kill -9 and as a power cut do, and continues it. The finished run must have the
contents of one that was never interrupted.

A power cut is imitated by a copy of the run's file and its log (WAL) while the process is stopped. What had not
reached the disk is lost: the log is cut, or its end becomes zeros or noise, from a random place on. The file itself is
not damaged, because hbar changes it only after the log is on the disk (SQLite, Atomic Commit).

usage: power.py [--kills N] [--cuts N] [--seed S]
HBAR names the program, HBAR_TEST_MODELS the folder of small models."""
import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HBAR = os.environ["HBAR"]
MODEL = Path(os.environ["HBAR_TEST_MODELS"]) / "tiny-f32.gguf"
SAMPLES = 160
COMMAND = [HBAR, "score", "--model", MODEL, "--data", "rows.jsonl", "--signals", "hbar_s,entropy", "--max-tokens", "6",
           "--threads", "1", "--sequences", "3", "-q", "--run"]
ENVIRONMENT = {**os.environ, "HBAR_KERNELS": "portable"}


def start(run):
    return subprocess.Popen([*map(str, COMMAND), run], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT)


def finish(run):
    """Runs to the end; the time that it took."""
    began = time.monotonic()
    process = start(run)
    _, err = process.communicate(timeout=600)
    if process.returncode:
        raise AssertionError(f"exit code {process.returncode}: {err.decode(errors='replace')}")
    return time.monotonic() - began


def contents(run):
    """All that a run holds, without times."""
    rows = []
    with contextlib.closing(sqlite3.connect(run)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",), "damaged"
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1").fetchall():
            cursor = database.execute(f'SELECT * FROM "{table}"')
            kept = [i for i, column in enumerate(cursor.description) if not re.search("seconds", column[0])]
            rows += sorted(repr((table, [row[i] for i in kept])) for row in cursor if "created" not in str(row[0]))
    return rows


def samples(run):
    """The number of samples in a run that may be unfinished, or not begun."""
    try:
        with contextlib.closing(sqlite3.connect(run)) as database:
            return database.execute("SELECT count(*) FROM samples").fetchone()[0]
    except sqlite3.Error:
        return 0


def kill(rng, duration):
    """Kills it again and again until it ends by itself; the number of kills."""
    n = 0
    for path in Path(".").glob("killed.db*"):
        path.unlink()
    while True:
        process = start("killed.db")
        try:
            _, err = process.communicate(timeout=rng.uniform(0.005, duration / 3))
            if process.returncode:
                raise AssertionError(f"after {n} kills: {err.decode(errors='replace')}")
            return n
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            n += 1


def damage(rng, log):
    """Imitates what a power cut does to the part of a log that has not reached the disk; how."""
    size = log.stat().st_size if log.exists() else 0
    how = rng.choice(["as it is", "cut", "zeros", "noise", "a lost sector"])
    if not size or how == "as it is":
        return "as it is"
    begin = rng.randrange(size)
    with log.open("r+b") as file:
        if how == "cut":
            file.truncate(begin)
        elif how == "a lost sector":
            file.seek(begin // 512 * 512)
            file.write(bytes(512))
        else:
            file.seek(begin)
            file.write(bytes(size - begin) if how == "zeros" else rng.randbytes(size - begin))
    return f"{how} from {begin} of {size}"


def cut(rng, duration, whole):
    """Copies a run while it is written, damages and continues the copy; what happened."""
    for path in Path(".").glob("c*.db*"):
        path.unlink()
    process = start("cutting.db")
    time.sleep(rng.uniform(0.005, duration))
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.01)
    for suffix in ("", "-wal"):
        if Path("cutting.db" + suffix).exists():
            shutil.copy("cutting.db" + suffix, "cut.db" + suffix)
    process.kill()
    process.communicate()
    header = Path("cut.db").read_bytes()[:100] if Path("cut.db").exists() else b""
    checkpointed = len(header) < 100 or Path("cut.db").stat().st_size > 64 * 1024
    how = "as it is" if checkpointed else damage(rng, Path("cut.db-wal"))
    shutil.copy("cut.db", "look.db") if header else None
    if header and Path("cut.db-wal").exists():
        shutil.copy("cut.db-wal", "look.db-wal")
    kept = samples("look.db") if header else 0
    finish("cut.db")
    if contents("cut.db") != whole:
        raise AssertionError(f"{how}: other contents")
    return kept, how


parser = argparse.ArgumentParser()
parser.add_argument("--kills", type=int, default=20)
parser.add_argument("--cuts", type=int, default=20)
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()
generator = random.Random(options.seed)
n_kills = 0
with tempfile.TemporaryDirectory(prefix="hbar-power-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as scratch:
    os.chdir(scratch)
    Path("rows.jsonl").write_text("".join(json.dumps({"id": f"q{i}", "prompt": f"Is {i} more than {i * 7 % 31}?",
                                                      "label": i % 2}) + "\n" for i in range(SAMPLES)))
    usual = finish("whole.db")
    expected = contents("whole.db")
    while n_kills < options.kills:
        n_kills += kill(generator, usual)
        if contents("killed.db") != expected:
            sys.exit(f"after {n_kills} kills: other contents")
    print(f"{n_kills} kills: all continued to the same contents")
    for number in range(options.cuts):
        for path in Path(".").glob("look.db*"):
            path.unlink()
        try:
            n_kept, what = cut(generator, usual, expected)
        except AssertionError as error:
            sys.exit(f"power cut {number} (seed {options.seed}): {error}")
        print(f"power cut {number}: log {what}; {n_kept} of {SAMPLES} samples kept")
print(f"{options.cuts} power cuts: all continued to the same contents")
