#!/usr/bin/env python3
"""Simulates pass 1 by a team of processes: from how many ranks on does rank 0 hold the others up?

    scale.py --team build/release/bench/team --model build/release/tests/models/tiny-f32.gguf

The costs of rank 0 are measured by bench/team, which plays the other ranks: the time for a sample (read, sort, pack,
unpack, write to the run) and what each message adds. --message is the time of MPI itself for a message, which
`mpirun -n 2 bench/team --messages 4096` measures. The ranks are simulated: each finishes a sample every --seconds,
with some variation, sends what an evaluation of --step seconds has finished, and gets new samples from rank 0 by the
rules of src/score/leader.c. One number of ranks is one line: the time, the efficiency (the time that the ranks would
need without waiting, divided by the time), and the share of the time that rank 0 is busy.
"""
import argparse
import heapq
import json
import random
import statistics
import subprocess
import tempfile

MOST_HELD, MOST_AT_ONCE = 192, 64  # as in src/score: --sequences 128 and 64 more; samples in a message


def measure(args):
    """Seconds of rank 0 for a sample and for a message; bytes for a sample, to a rank and back."""
    def run(rows):
        with tempfile.TemporaryDirectory(dir=args.dir) as folder:
            out = subprocess.run([args.team, "--samples", str(args.measured), "--ranks", "100", "--rows", str(rows),
                                  "--tokens", str(args.tokens), "--dir", folder, args.model],
                                 stdout=subprocess.PIPE, check=True).stdout
        return json.loads(out)
    few, many = run(1), run(16)
    messages = few["messages_in_per_sample"] - many["messages_in_per_sample"]
    message = max(0.0, few["microseconds_per_sample"] - many["microseconds_per_sample"]) / messages
    sample = many["microseconds_per_sample"] - message * (
        many["messages_in_per_sample"] + many["messages_out_per_sample"])
    return sample * 1e-6, message * 1e-6, many["bytes_out_per_sample"], many["bytes_in_per_sample"]


class Simulation:
    def __init__(self, args, ranks, sample_cost, message_cost):
        self.args, self.ranks = args, ranks
        self.sample_cost, self.message_cost = sample_cost, message_cost
        self.random = random.Random(7)
        self.left = self.unfinished = args.samples  # not yet handed out; not yet returned
        self.held = [0] * ranks  # as rank 0 knows it
        self.there = [0] * ranks  # at the rank
        self.running = [False] * ranks
        self.events, self.number = [], 0
        self.free_at = self.busy = self.work = 0.0
        self.per_step = max(1, round(args.step / args.seconds))

    def at(self, time, what, rank, n):
        self.number += 1
        heapq.heappush(self.events, (time, self.number, what, rank, n))

    def serve(self, time, seconds):
        """Rank 0 works for some seconds from `time` on, or when it is free; returns the end."""
        self.busy += seconds
        self.free_at = max(self.free_at, time) + seconds
        return self.free_at

    def supply(self, time, rank):
        share = min(MOST_HELD, self.unfinished // self.ranks + 1)
        lack = share - self.held[rank]
        if lack <= 0 or 8 * lack < share or not self.left:
            return False
        n = min(lack, MOST_AT_ONCE, self.left)
        self.left -= n
        self.held[rank] += n
        self.at(self.serve(time, self.message_cost + n * self.sample_cost / 2) + self.args.latency, "work", rank, n)
        return True

    def evaluate(self, time, rank):
        """Begins the next evaluation of a rank."""
        n = min(self.per_step, self.there[rank])
        self.running[rank] = n > 0
        if n:
            seconds = n * self.args.seconds * self.random.uniform(0.7, 1.3)
            self.work += seconds
            self.there[rank] -= n
            self.at(time + seconds, "step", rank, n)

    def run(self):
        while any([self.supply(0, rank) for rank in range(self.ranks)]):
            pass
        while self.events:
            time, _, what, rank, n = heapq.heappop(self.events)
            if what == "work":
                self.there[rank] += n
                if not self.running[rank]:
                    self.evaluate(time, rank)
            elif what == "step":
                self.at(time + self.args.latency, "rows", rank, n)
                self.evaluate(time, rank)
            else:
                self.held[rank] -= n
                self.unfinished -= n
                done = self.serve(time, self.message_cost + n * self.sample_cost / 2)
                while self.supply(done, rank):
                    pass
        assert not self.unfinished and not self.left
        end = max(time, self.free_at)
        return end, self.work / self.ranks / end, self.busy / end


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--team", help="bench/team, which measures the costs of rank 0")
    parser.add_argument("--model", help="a small model for it")
    parser.add_argument("--dir", help="folder for its run; a disk like that of the real run")
    parser.add_argument("--measured", type=int, default=20000, help="samples that are measured")
    parser.add_argument("--tokens", type=int, default=20, help="tokens of an answer")
    parser.add_argument("--repeats", type=int, default=3, help="measurements, of which the median counts")
    parser.add_argument("--sample", type=float, help="microseconds of rank 0 for a sample, instead of measuring")
    parser.add_argument("--message", type=float, default=10, help="microseconds of MPI for a message")
    parser.add_argument("--samples", type=int, default=10**6)
    parser.add_argument("--seconds", type=float, default=0.5, help="time of a rank for a sample")
    parser.add_argument("--step", type=float, default=0.2, help="time of a rank for an evaluation")
    parser.add_argument("--latency", type=float, default=0.002, help="time until a message is noticed")
    parser.add_argument("--ranks", default="1,10,100,1000,2000")
    args = parser.parse_args()
    sample, message = (args.sample or 0) * 1e-6, args.message * 1e-6
    if args.sample is None:
        if not args.team or not args.model:
            parser.error("give --team and --model, or --sample")
        costs = [measure(args) for _ in range(args.repeats)]
        sample, handling, out, back = (statistics.median(c) for c in zip(*costs))
        message += handling
        print(f"measured: {1e6 * sample:.1f} us a sample, {1e6 * handling:.1f} us a message without MPI; "
              f"{out:.0f} bytes to the rank and {back:.0f} back")
    print(f"rank 0: {1e6 * sample:.1f} us a sample, {1e6 * message:.1f} us a message; "
          f"a rank: {args.seconds} s a sample; {args.samples} samples")
    print(f"{'ranks':>6} {'hours':>8} {'efficiency':>10} {'rank 0 busy':>11}")
    for ranks in map(int, args.ranks.split(",")):
        seconds, efficiency, busy = Simulation(args, ranks, sample, message).run()
        print(f"{ranks:6} {seconds / 3600:8.3f} {efficiency:10.3f} {busy:11.3f}", flush=True)
    per_step = max(1, round(args.step / args.seconds))
    limit = args.seconds / (sample + message / per_step + message * 8 / MOST_HELD)
    print(f"rank 0 is the bottleneck from about {limit:.0f} ranks on")


if __name__ == "__main__":
    main()
