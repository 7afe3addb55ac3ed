#!/usr/bin/env python3
"""Compares two ranks with a thread each with one process with two threads, on the same samples, by turns.

    efficiency.py --hbar build/release/hbar --model MODEL [-n SAMPLES] [--rounds R] [--least 0.9]

Prints the efficiency: the best time of one process, divided by that of the ranks. Only the scoring is timed, as hbar
reports it, not the start of the processes. Exits with 1 if it is below --least. Needs a quiet machine.
"""
import argparse
import json
import os
import subprocess
import tempfile

WORDS = "river stone market window garden letter engine summer bridge music".split()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hbar", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("-n", "--samples", type=int, default=160)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--least", type=float, default=0.9)
    args = parser.parse_args()
    env = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    ways = {"one process, 2 threads": ([], 2),
            "2 ranks, 1 thread each": (["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2"], 1)}
    best = {}
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "d.jsonl")
        with open(data, "w") as f:
            for i in range(args.samples):
                words = " ".join(WORDS[(i // 10**k) % 10] for k in range(4))
                row = {"id": str(i), "prompt": f"Write a sentence with the words {words}, then stop.", "label": i % 2}
                print(json.dumps(row), file=f)
        for round_ in range(args.rounds):
            for name, (launcher, threads) in ways.items():
                out = subprocess.run([*launcher, args.hbar, "score", "--model", args.model, "--data", data, "-n", "0",
                                      "--max-tokens", str(args.tokens), "--threads", str(threads), "--quiet", "--json",
                                      "--run", os.path.join(folder, f"{threads}-{round_}.db")],
                                     stdout=subprocess.PIPE, env=env, check=True).stdout
                result = json.loads(out)
                best[name] = min(result["seconds"], best.get(name, result["seconds"]))
                print(f"{name}: {result['seconds']:.2f} s, {result['tokens_evaluated']} tokens evaluated", flush=True)
    one, ranks = best.values()
    print(f"efficiency {one / ranks:.3f}")
    raise SystemExit(one / ranks < args.least)


if __name__ == "__main__":
    main()
