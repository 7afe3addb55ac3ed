#!/usr/bin/env python3
"""Compares pass 1 of hbar with llama-server answering the same prompts.

    compare_job.py --hbar build/release/hbar --peer ../shared/peer/run.sh --peer-root /opt/peer \\
        --data ../shared/data/halueval_qa_500.jsonl /models/1b-Q4_K_M.gguf

Give the model's path as the peer sees it; hbar opens PEER_ROOT + path. Each round runs three sides once:

  hbar    `hbar score`, the whole command: opening and hashing the model, every signal, the run on disk
  alone   llama-server, one sample after another, prompt caching off
  slots   llama-server, prompt caching on, --parallel slots of their own cache, each always with one
          request; the two samples of a row go to one slot one after the other, so that the second finds
          their common prefix in the cache

The server's time runs from the first request to the last answer, after start and warm-up. For each sample, the
server generates as many tokens as hbar did (an end token counts), ignores end tokens, and takes the most probable
token with its cheapest sampler. Prompts must have the same number of tokens on all sides. The side `alone` takes
long: with --alone-every N it answers only every Nth row, and the total time is estimated from the time per token.
"""
import argparse
import http.client
import json
import os
import queue
import statistics
import subprocess
import tempfile
import threading
import time

PROMPT = ("Context: {knowledge}\n\nQuestion: {question}\n\nProposed answer: {answer}\n\n"
          "Is this answer faithful to the context? Answer 'Yes' or 'No':")


def read_prompts(path):
    """All samples' prompts, in the order of hbar's indices."""
    prompts = []
    for row in map(json.loads, open(path)):
        for answer in (row["right_answer"], row["hallucinated_answer"]):
            prompts.append(PROMPT.format(knowledge=row["knowledge"], question=row["question"], answer=answer))
    return prompts


def score(args):
    """The seconds of the whole command, its report, and its samples."""
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run.db")
        start = time.monotonic()
        out = subprocess.run([args.hbar, "score", "--model", args.peer_root + args.model, "--data", args.data,
                              "--n-samples", str(args.samples), "--max-tokens", str(args.tokens), "--threads",
                              str(args.threads), "--run", run, "--quiet", "--json"],
                             stdout=subprocess.PIPE, check=True)
        seconds = time.monotonic() - start
        rows = subprocess.run([args.hbar, "export", "--run", run, "--format", "jsonl"], stdout=subprocess.PIPE,
                              check=True).stdout
    samples = [json.loads(line) for line in rows.splitlines()]
    if any(s["status"] != "scored" for s in samples):
        raise SystemExit("compare_job: not every sample was scored")
    return seconds, json.loads(out.stdout), samples


class Server:
    """llama-server with `slots` slots, each with room for the longest sample."""

    def __init__(self, args, slots, positions):
        each = (positions + 255) // 256 * 256
        self.log = tempfile.TemporaryFile()
        self.port = args.port
        self.process = subprocess.Popen(
            [args.peer, "llama-server", "-m", args.model, "-t", str(args.threads), "-tb", str(args.threads), "-np",
             str(slots), "-c", str(slots * each), "--no-kv-unified", "--cache-ram", "0", "--host", "127.0.0.1",
             "--port", str(args.port)], stdout=self.log, stderr=self.log)

    def __enter__(self):
        while self.process.poll() is None:
            try:
                if self.ask("GET", "/health")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.2)
        self.log.seek(0)
        raise SystemExit("compare_job: llama-server ended:\n" + self.log.read().decode()[-2000:])

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def complete(self, prompt, tokens, slot, cache):
        """The server's timings of a sample."""
        status, text = self.ask("POST", "/completion", json.dumps(
            {"prompt": prompt, "n_predict": tokens, "ignore_eos": True, "samplers": ["top_k"], "top_k": 1,
             "id_slot": slot, "cache_prompt": cache}))
        if status != 200:
            raise SystemExit(f"compare_job: llama-server: {text.decode()}")
        return json.loads(text)["timings"]


def chosen(sample):
    """The number of tokens that hbar chose, including the end token if there is one. At least 1."""
    return sample["n_tokens"] + (sample["finish"] == "end of text")


def by_row(samples):
    rows = {}
    for s in samples:
        rows.setdefault(s["index"] // 2, []).append(s)
    return list(rows.values())


def serve(args, prompts, samples, slots):
    """Seconds, and the server's timings of each sample."""
    rows, answers = queue.SimpleQueue(), {}
    for row in by_row(samples):
        rows.put(row)

    def work(slot):
        while True:
            try:
                row = rows.get_nowait()
            except queue.Empty:
                return
            for s in row:
                answers[s["index"]] = server.complete(prompts[s["index"]], chosen(s), slot, slots > 1)

    with Server(args, slots, max(s["n_prompt"] + chosen(s) for s in samples) + 8) as server:
        workers = [threading.Thread(target=work, args=(slot,)) for slot in range(slots)]
        start = time.monotonic()
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        seconds = time.monotonic() - start
    for s in samples:
        t = answers[s["index"]]
        if (t["prompt_n"] + t["cache_n"], t["predicted_n"]) != (s["n_prompt"], chosen(s)):
            raise SystemExit(f"compare_job: {s['id']}: {t} on the server, {s['n_prompt']} + {chosen(s)} tokens"
                             " in hbar")
    return seconds, answers.values()


def count_tokens(samples):
    """The number of tokens to evaluate when no prefix is shared. The last token is chosen but not evaluated."""
    return sum(s["n_prompt"] + chosen(s) - 1 for s in samples)


def print_side(name, seconds, ours, evaluated, shared, generated):
    print(f"{name:8} {seconds:9.1f} {seconds / ours:9.2f} {evaluated:12} {shared:12} {generated:12}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    for name in ("hbar", "peer", "data"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--peer-root", default="")
    for name, usual in (("samples", 100), ("tokens", 20), ("threads", 2), ("parallel", 8), ("rounds", 1),
                        ("alone-every", 1), ("port", 8089)):
        parser.add_argument("--" + name, type=int, default=usual)
    args = parser.parse_args()
    prompts = read_prompts(args.data)
    seconds = {"hbar": [], "alone": [], "slots": []}
    for _ in range(args.rounds):
        ours, report, samples = score(args)
        seconds["hbar"].append(ours)
        generated = sum(map(chosen, samples))
        print(f"{'side':8} {'seconds':>9} {'ratio':>9} {'evaluated':>12} {'shared':>12} {'generated':>12}")
        print_side("hbar", ours, ours, report["tokens_evaluated"], report["tokens_shared"], generated)
        for name, slots in (("alone", 1), ("slots", args.parallel)):
            part = sum(by_row(samples)[::args.alone_every], []) if name == "alone" else samples
            taken, timings = serve(args, prompts, part, slots)
            taken *= count_tokens(samples) / count_tokens(part)
            seconds[name].append(taken)
            shared = sum(t["cache_n"] for t in timings)
            print_side(name, taken, ours, count_tokens(samples) - shared, shared, generated)
    median = {name: statistics.median(s) for name, s in seconds.items()}
    print(f"medians of {args.rounds}: hbar {median['hbar']:.1f} s; alone {median['alone']:.1f} s, "
          f"{median['alone'] / median['hbar']:.2f} times that; slots {median['slots']:.1f} s, "
          f"{median['slots'] / median['hbar']:.2f} times that")


if __name__ == "__main__":
    main()
