#!/usr/bin/env python3
"""Compares prefill and decode of hbar and llama.cpp on the same files with the same number of threads.

    compare_engine.py --engine build/release/bench/engine --peaks build/release/bench/peaks \\
        --peer ../shared/peer/run.sh --peer-root /opt/peer /models/a.gguf /models/b.gguf

Give model paths as the peer sees them; hbar opens PEER_ROOT + path. Each round runs both programs, one after
the other; the result is the median of the rounds. Prints a table: tokens per second of both, the ratio, and
hbar's share of the machine's int8 peak (prefill: two operations per weight and token) or of its read
bandwidth (decode: the file's bytes per token). The peer has no program that decodes many sequences in one
batch, so this script compiles and runs peer_batched.c.

With --behind N, compares instead the prefill of N tokens and the decode of one sequence that has N tokens. The
peer uses flash attention then.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
from pathlib import Path

BATCHED = "/tmp/peer_batched"


def lines(command):
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return out.stdout


def ours(args, path):
    out = lines([args.engine, path, "--prompt", str(args.prompt), "--decode", str(args.decode), "--sequences",
                 str(1 if args.behind else args.sequences), "--behind", str(args.behind), "--threads", str(args.threads), "--repeat", "1"])
    return {line["measure"]: line for line in map(json.loads, out.splitlines())}


def compile_batched(args):
    shutil.copy(Path(__file__).with_name("peer_batched.c"), args.peer_root + BATCHED + ".c")
    lines([args.peer, "sh", "-c", f"gcc -O2 {BATCHED}.c -o {BATCHED} $(pkg-config --cflags --libs llama) -lggml"
           " -lggml-base"])


def theirs(args, name):
    """Tokens per second of each measurement."""
    rates = {}
    for measure, prompt, decode, depth in (("prefill", args.prompt, 0, 0), ("decode", 0, args.decode, args.behind)):
        out = lines([args.peer, "llama-bench", "-m", name, "-p", str(prompt), "-n", str(decode), "-t",
                     str(args.threads), "-r", "1", "-o", "json", *(("-fa", "1", "-d", str(depth)) if args.behind else ())])
        rates[measure] = json.loads(out)[0]["avg_ts"]
    if args.behind:
        return rates
    rates["decode_together"] = float(lines([args.peer, BATCHED, name, str(args.sequences), str(args.decode),
                                            str(args.threads)]))
    return rates


def compare(args, name, peaks):
    path = args.peer_root + name
    rounds = [(ours(args, path), theirs(args, name)) for _ in range(args.rounds)]
    weights, size = rounds[0][0]["start"]["weights_per_token"], os.path.getsize(path)
    for measure in rounds[0][1]:
        mine = statistics.median(o[measure]["per_second"] for o, _ in rounds)
        peer = statistics.median(t[measure] for _, t in rounds)
        row = f"{os.path.basename(name):24} {measure:16} {mine:9.1f} {peer:9.1f} {mine / peer:6.2f}"
        if measure == "prefill" and peaks["int8"]:
            row += f"  {200 * mine * weights / peaks['int8']['per_second']:5.1f} % of int8"
        if measure == "decode":
            row += f"  {100 * mine * size / peaks['read_bytes_per_second']:5.1f} % of bandwidth"
        print(row, flush=True)
    starts = [o["start"] for o, _ in rounds]
    seconds = statistics.median(s["model_seconds"] + s["session_seconds"] for s in starts)
    above = max(s["peak_memory_bytes"] - s["file_bytes"] - s["cache_bytes"] for s in starts)
    print(f"{os.path.basename(name):24} ready after {seconds:.3f} s; peak memory is file + cache "
          f"{'+' if above >= 0 else '-'} {abs(above) / 2**20:.0f} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    for program in ("engine", "peaks", "peer"):
        parser.add_argument("--" + program, required=True)
    parser.add_argument("--peer-root", default="")
    for name, usual in (("prompt", 512), ("decode", 32), ("behind", 0), ("sequences", 16), ("threads", 2), ("rounds", 3)):
        parser.add_argument("--" + name, type=int, default=usual)
    args = parser.parse_args()
    args.prompt = args.behind or args.prompt
    if not args.behind:
        compile_batched(args)
    peaks = json.loads(lines([args.peaks, "--threads", str(args.threads)]))
    print(json.dumps(peaks))
    print(f"{'tokens a second':41} {'hbar':>9} {'llama.cpp':>9}  ratio")
    for name in args.models:
        compare(args, name, peaks)


main()
