#!/usr/bin/env python3
"""A server among clients that stall, send garbage and vanish: good requests are answered, memory stays flat, and every slot
is free at the end.
    HBAR=build/release/hbar HBAR_TEST_MODELS=build/release/tests/models tests/soak.py [--seconds 600] [--clients 64]"""
import argparse
import json
import os
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "cli"))
from server import DEMO, PARAMS, Server  # noqa: E402

PROMPTS = [f"What is the capital of {country}?" for country in ("France", "Cuba", "Peru", "Japan", "Norway", "Kenya")]
GARBAGE = [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 9000, b"POST / HTTP/1.1\r\n\r\n{}",
           b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{\"a\":",
           b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]


def resident(process):
    """Kilobytes of memory that the process uses, without the mapped model."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("RssAnon")))


class Soak:
    def __init__(self, server, seconds):
        self.server, self.end = server, time.monotonic() + seconds
        self.failures, self.counts, self.lock = [], {"good": 0, "bad": 0}, threading.Lock()
        self.expected = {p: self.answer(p) for p in PROMPTS}

    def answer(self, prompt):
        body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 12, "hbar": {"mode": "flag"}}
        while True:
            status, _, answer = self.server.post("/v1/chat/completions", body)
            if status != 503:
                return answer["choices"][0]["message"]["content"] if status == 200 else answer
            time.sleep(0.05)

    def be_good(self, seed):
        random_ = random.Random(seed)
        while time.monotonic() < self.end:
            prompt = random_.choice(PROMPTS)
            try:
                said = self.answer(prompt)
            except Exception as error:
                said = repr(error)
            with self.lock:
                self.counts["good"] += 1
                if said != self.expected[prompt]:
                    self.failures.append((prompt, said))

    def misbehave(self, random_):
        kind = random_.randrange(4)
        prompt = random_.choice(PROMPTS) * random_.randrange(1, 30)
        body = {"prompt": prompt, "max_tokens": random_.randrange(1, 200), "stream": random_.random() < 0.5,
                "n": random_.randrange(1, 4), "temperature": 1, "hbar": {"mode": "off"}}
        if kind == 0:  # stalls
            with self.server.connect() as connection:
                connection.sendall(random_.choice(GARBAGE)[:random_.randrange(1, 20)])
                time.sleep(random_.random() * 2)
        elif kind == 1:
            with self.server.connect() as connection:
                connection.sendall(random_.choice(GARBAGE))
                connection.settimeout(0.5)
                connection.recv(4096)
        elif kind == 2:  # vanishes
            connection = self.server.send("/v1/completions", body)
            time.sleep(random_.random() * 0.3)
            connection.close()
        else:  # reads slowly, and leaves in the middle
            connection = self.server.send("/v1/completions", {**body, "stream": True})
            for _ in range(random_.randrange(1, 10)):
                connection.recv(64)
                time.sleep(0.02)
            connection.close()

    def be_bad(self, seed):
        random_ = random.Random(seed)
        while time.monotonic() < self.end:
            try:
                self.misbehave(random_)
            except OSError:
                pass  # the server may hang up
            with self.lock:
                self.counts["bad"] += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    with Server("--model", DEMO, "--params", PARAMS, "--parallel", 4, "--ctx-size", 512, "--request-seconds", 2,
                HBAR_KERNELS="portable") as server:
        soak = Soak(server, options.seconds)
        threads = [threading.Thread(target=soak.be_bad if i % 4 else soak.be_good, args=(i,)) for i in range(options.clients)]
        for thread in threads:
            thread.start()
        time.sleep(options.seconds / 4)
        early = resident(server.process)
        for thread in threads:
            thread.join()
        late = resident(server.process)
        for name in ("open_requests", "running_answers"):
            server.wait_for(name, 0)
        growth = late / early - 1
    print(json.dumps({**soak.counts, "failures": soak.failures[:3], "resident_kb": [early, late], "growth": round(growth, 4)}))
    bound = 0.02 if options.seconds >= 300 else 0.25
    return int(bool(soak.failures) or not soak.counts["good"] or growth > bound)


if __name__ == "__main__":
    sys.exit(main())
