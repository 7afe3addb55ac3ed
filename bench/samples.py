#!/usr/bin/env python3
"""Measures what samples beside an answer cost.

    samples.py [--hbar build/release/hbar] [--model MODEL.gguf] [-n 20] [--samples 10] [--tokens 20]
               [--peer ../shared/peer/run.sh --peer-model /models/1b-Q4_K_M.gguf]

Each side answers the same n questions of the demo, one after the other, with at most so many tokens:

  one      one greedy answer by hbar
  all      one greedy answer and its samples by hbar, with every measure that needs no question to a model
  asked    the same, and the model judges entailment between the samples; the time for each pair
  server   with --peer: llama-server with prompt caching and --parallel slots generates one greedy answer and as many
           samples as hbar, with as many tokens each

The model is SmolLM2-135M-Instruct (detect.py) unless --model names another. Times are those of pass 1, from the first
sample to the last: opening the model is left out, as is the server's start. The median of --rounds counts.
"""
import argparse
import json
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import compare_job
import detect
import detect_tasks


class Sides:
    def __init__(self, args, folder):
        self.args, self.folder = args, Path(folder)
        self.data = self.folder / "data.jsonl"
        self.rows = list(detect_tasks.facts(args.n))
        self.data.write_text("".join(json.dumps({"id": r["id"], "prompt": r["prompt"], "label": i % 2}) + "\n"
                                     for i, r in enumerate(self.rows)))

    def hbar(self, name, *options):
        """Seconds of pass 1, and the run. One question at a time: the sequences are those of one question."""
        run = self.folder / f"{name}.db"
        for old in self.folder.glob(f"{name}.db*"):
            old.unlink()
        done = subprocess.run([self.args.hbar, "score", "--model", self.args.model, "--data", self.data, "-n", "0", "--run",
                               run, "--max-tokens", str(self.args.tokens), "-t", str(self.args.threads), "--quiet",
                               "--json", *options], check=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout)["seconds"], run

    def export(self, run, *options):
        out = subprocess.run([self.args.hbar, "export", "--run", run, "--format", "jsonl", *options], check=True,
                             stdout=subprocess.PIPE).stdout
        return [json.loads(line) for line in out.splitlines()]

    def one(self):
        return self.hbar("one", "--sequences", "1")[0]

    def together(self, *options):
        n = self.args.samples
        return self.hbar("all", "--samples", str(n), "--sequences", str(n + 1), *options)

    def server(self, run):
        """The server's seconds for the same numbers of tokens."""
        jobs = {}
        for s in [*self.export(run), *self.export(run, "--generations")]:
            jobs.setdefault(s["index"], []).append(compare_job.chosen(s))
        peer = argparse.Namespace(peer=self.args.peer, model=self.args.peer_model, threads=self.args.threads,
                                  port=self.args.port)
        with compare_job.Server(peer, self.args.parallel, 256 + self.args.tokens) as server:
            start = time.monotonic()
            for index, row in enumerate(self.rows):
                self.answer(server, row["prompt"], jobs[index])
            return time.monotonic() - start

    def answer(self, server, prompt, lengths):
        """The greedy answer fills the cache of slot 0; then all slots draw samples."""
        def draw(slot):
            for k in range(1 + slot, len(lengths), self.args.parallel):
                server.ask("POST", "/completion", json.dumps(
                    {"prompt": prompt, "n_predict": lengths[k], "ignore_eos": True, "temperature": 1, "samplers": ["temperature"],
                     "seed": k, "id_slot": slot, "cache_prompt": True}))

        server.complete(prompt, lengths[0], 0, True)
        workers = [threading.Thread(target=draw, args=(slot,)) for slot in range(self.args.parallel)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()


def count_pairs(generations, answers):
    """Ordered pairs of different texts among an answer and its samples."""
    texts = {}
    for g in [*answers, *generations]:
        texts.setdefault(g["index"], set()).add(g["text"].strip())
    return sum(len(t) * (len(t) - 1) for t in texts.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hbar", default=str(detect.PROJECT / "build" / "release" / "hbar"))
    parser.add_argument("--model")
    parser.add_argument("--peer")
    parser.add_argument("--peer-model", default="")
    parser.add_argument("--no-asking", action="store_true", help="leave out the side `asked`")
    for name, usual in (("n", 20), ("samples", 10), ("tokens", 20), ("threads", 2), ("parallel", 8), ("rounds", 3),
                        ("port", 8091)):
        parser.add_argument("-n" if name == "n" else "--" + name, type=int, default=usual)
    args = parser.parse_args()
    args.model = args.model or detect.find_model()
    taken = {"one": [], "all": [], "asked": [], "server": []}
    with tempfile.TemporaryDirectory() as folder:
        sides, pairs = Sides(args, folder), 0
        for _ in range(args.rounds):
            taken["one"].append(sides.one())
            seconds, run = sides.together()
            taken["all"].append(seconds)
            if not args.no_asking:
                pairs = count_pairs(sides.export(run, "--generations"), sides.export(run))
            if args.peer:
                taken["server"].append(sides.server(run))
            if not args.no_asking:
                taken["asked"].append(sides.together("--entailment", "self")[0])
    median = {name: statistics.median(s) for name, s in taken.items() if s}
    print(f"{args.n} questions, {args.samples} samples each, at most {args.tokens} tokens, {args.threads} threads")
    print(f"one     {1000 * median['one'] / args.n:8.1f} ms for a greedy answer")
    print(f"all     {1000 * median['all'] / args.n:8.1f} ms with its samples and measures: {median['all'] / median['one']:.2f} "
          f"times one; {args.samples + 1} answers alone take {(args.samples + 1) * median['one'] / median['all']:.2f} times that")
    if "asked" in median:
        each = (median["asked"] - median["all"]) / pairs
        print(f"asked   {1000 * median['asked'] / args.n:8.1f} ms with entailment; {1000 * each:.1f} ms for each of {pairs} pairs")
    if "server" in median:
        print(f"server  {1000 * median['server'] / args.n:8.1f} ms: {median['server'] / median['all']:.2f} times all")


if __name__ == "__main__":
    main()
