#!/usr/bin/env python3
"""Measures how much of its speed hbar keeps while other processes use the same processors.

    busy.py --engine build/release/bench/engine [--hbar build/release/hbar --data DATA] MODEL.gguf

Each round runs the program alone, then beside one busy process, then beside two; the result is the median of the
rounds. Prints a table: tokens per second alone, and the share of it that remains. With --hbar and --data it does the
same with `hbar score` of 50 samples (whole command, samples per second).
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUSY = [sys.executable, "-c", "while True: pass"]


def engine(args):
    out = subprocess.run([args.engine, args.model, "--prompt", "256", "--decode", "48", "--sequences", "16", "--threads",
                          str(args.threads), "--repeat", "1"], capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    return {line["measure"]: line["per_second"] for line in lines if line["measure"] != "start"}


def job(args):
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        subprocess.run([args.hbar, "score", "-q", "--model", args.model, "--data", args.data, "-n", "50", "--threads",
                        str(args.threads), "--run", str(Path(folder) / "run.db")], check=True, stdout=subprocess.DEVNULL)
        return {"score": 50 / (time.monotonic() - start)}


def beside(n_busy, measure, args):
    others = [subprocess.Popen(BUSY) for _ in range(n_busy)]
    try:
        return measure(args)
    finally:
        for other in others:
            other.kill()
            other.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--hbar")
    parser.add_argument("--data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    measures = [engine] + ([job] if args.hbar and args.data else [])
    print(f"{'':16}     alone  1 busy  2 busy")
    for measure in measures:
        rounds = [[beside(n, measure, args) for n in range(3)] for _ in range(args.rounds)]
        for name in rounds[0][0]:
            rates = [statistics.median(r[n][name] for r in rounds) for n in range(3)]
            shares = "".join(f"{100 * rate / rates[0]:6.0f} %" for rate in rates[1:])
            print(f"{name:16} {rates[0]:9.1f}{shares}", flush=True)


if __name__ == "__main__":
    main()
