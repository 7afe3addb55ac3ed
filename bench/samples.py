#!/usr/bin/env python3
"""Measures what samples beside an answer cost.

    samples.py [--hbar build/release/hbar] [--model MODEL.gguf [--bare]] [-n 20] [--samples 10] [--tokens 20]
               [--peer ../shared/peer/run.sh --peer-model /models/1b-Q4_K_M.gguf]

Each side answers the same n questions of the demo, one after the other, with at most so many tokens:

  one      one greedy answer by hbar
  all      one greedy answer and its samples by hbar, with every measure that needs no question to a model
  judged   the same, and the model judges entailment between the samples; the time for each pair
  asked    as all, with every question of --ask
  server   with --peer: llama-server with prompt caching and --parallel slots generates one greedy answer and as many
           samples as hbar, from the same tokens and with as many tokens each; the greedy answer
           first, then all samples at once

The model is SmolLM2-135M-Instruct (detect.py), in its chat format, unless --model names another; --bare gives it bare
prompts. The sides take turns, and the median of --rounds counts. Times are those of pass 1, from the first sample to the
last: opening the model is left out, as is the server's start.
"""
import argparse
import collections
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
        self.chat = [] if args.bare else ["--chat"]
        self.rows = list(detect_tasks.facts(args.n))
        self.data.write_text("".join(json.dumps({"id": r["id"], "prompt": r["prompt"], "label": i % 2}) + "\n"
                                     for i, r in enumerate(self.rows)))

    def run(self, *arguments):
        return subprocess.run([self.args.hbar, *map(str, arguments)], check=True, stdout=subprocess.PIPE).stdout

    def hbar(self, name, sequences, *options):
        """Seconds of pass 1, and the run. One question at a time: the sequences are those of one question."""
        run = self.folder / f"{name}.db"
        for old in self.folder.glob(f"{name}.db*"):
            old.unlink()
        done = self.run("score", "--model", self.args.model, "--data", self.data, "-n", 0, "--run", run, "--max-tokens",
                        self.args.tokens, "-t", self.args.threads, "--sequences", sequences, *self.chat, "--quiet", "--json",
                        *options)
        return json.loads(done)["seconds"], run

    def export(self, run, *options):
        return [json.loads(line) for line in self.run("export", "--run", run, "--format", "jsonl", *options).splitlines()]

    def one(self):
        return self.hbar("one", 1)[0]

    def together(self, *options):
        n = self.args.samples
        return self.hbar("all", n + 1, "--samples", n, *options)

    def tokens(self, prompt):
        return json.loads(self.run("tokenize", "--model", self.args.model, *self.chat, "--json", prompt))["tokens"]

    def server(self, run):
        """The server's seconds for the same numbers of tokens."""
        jobs = {}
        for s in [*self.export(run), *self.export(run, "--generations")]:
            jobs.setdefault(s["index"], []).append(compare_job.chosen(s))
        prompts = [self.tokens(row["prompt"]) for row in self.rows]
        peer = argparse.Namespace(peer=self.args.peer, model=self.args.peer_model, threads=self.args.threads,
                                  port=self.args.port)
        with compare_job.Server(peer, self.args.parallel, 256 + self.args.tokens) as server:
            server.complete(prompts[0], 2, 0, False)  # the weights are read once before
            start = time.monotonic()
            for index, prompt in enumerate(prompts):
                self.answer(server, prompt, jobs[index])
            return time.monotonic() - start

    def answer(self, server, prompt, lengths):
        """The greedy answer fills the cache of slot 0; then all slots draw samples."""
        def draw(slot):
            for k in range(1 + slot, len(lengths), self.args.parallel):
                status, _ = server.ask("POST", "/completion", json.dumps(
                    {"prompt": prompt, "n_predict": lengths[k], "ignore_eos": True, "temperature": 1,
                     "samplers": ["temperature"], "seed": k, "id_slot": slot, "cache_prompt": True}))
                if status != 200:
                    failed.append(status)

        failed = []
        server.complete(prompt, lengths[0], 0, True)
        workers = [threading.Thread(target=draw, args=(slot,)) for slot in range(self.args.parallel)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        if failed:
            raise SystemExit(f"samples: llama-server answered with status {failed[0]}")


def count_pairs(generations, answers):
    """Ordered pairs of different texts among an answer and its samples."""
    texts = {}
    for g in [*answers, *generations]:
        texts.setdefault(g["index"], set()).add(g["text"].strip())
    return sum(len(t) * (len(t) - 1) for t in texts.values())


def measure(sides, args):
    """The seconds of each side in each round; the generations, the answers."""
    taken = collections.defaultdict(list)
    for _ in range(args.rounds):
        taken["one"].append(sides.one())
        seconds, run = sides.together()
        taken["all"].append(seconds)
        generations, answers = sides.export(run, "--generations"), sides.export(run)
        if args.peer:
            taken["server"].append(sides.server(run))
        if not args.no_asking:
            taken["judged"].append(sides.together("--entailment", "self")[0])
            taken["asked"].append(sides.together("--ask", "all")[0])
    return taken, generations, answers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hbar", default=str(detect.PROJECT / "build" / "release" / "hbar"))
    parser.add_argument("--model")
    parser.add_argument("--bare", action="store_true", help="give the model bare prompts; it has no chat template")
    parser.add_argument("--peer")
    parser.add_argument("--peer-model", default="")
    parser.add_argument("--no-asking", action="store_true", help="leave out the sides `judged` and `asked`")
    for name, usual in (("n", 20), ("samples", 10), ("tokens", 20), ("threads", 2), ("parallel", 8), ("rounds", 3),
                        ("port", 8091)):
        parser.add_argument("-n" if name == "n" else "--" + name, type=int, default=usual)
    args = parser.parse_args()
    args.model = args.model or detect.find_model()
    with tempfile.TemporaryDirectory() as folder:
        taken, generations, answers = measure(Sides(args, folder), args)
    ms = {name: 1000 * statistics.median(s) / args.n for name, s in taken.items()}
    mean = {name: sum(map(compare_job.chosen, of)) / len(of) for name, of in (("all", generations), ("one", answers))}
    print(f"{args.n} questions of {sum(a['n_prompt'] for a in answers) / args.n:.1f} tokens, {args.samples} samples each, "
          f"at most {args.tokens} tokens, {args.threads} threads")
    print(f"one     {ms['one']:8.1f} ms for a greedy answer of {mean['one']:.1f} tokens")
    print(f"all     {ms['all']:8.1f} ms with its samples, of {mean['all']:.1f} tokens, and measures: "
          f"{ms['all'] / ms['one']:.2f} times one; {args.samples + 1} answers alone take "
          f"{(args.samples + 1) * ms['one'] / ms['all']:.2f} times that")
    if "judged" in ms:
        pairs = count_pairs(generations, answers)
        each = (ms["judged"] - ms["all"]) * args.n / pairs
        print(f"judged  {ms['judged']:8.1f} ms with entailment: {each:.1f} ms for each of {pairs} pairs")
        print(f"asked   {ms['asked']:8.1f} ms with the questions of --ask")
    if "server" in ms:
        print(f"server  {ms['server']:8.1f} ms: {ms['server'] / ms['all']:.2f} times all")


if __name__ == "__main__":
    main()
