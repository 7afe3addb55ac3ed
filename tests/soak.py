#!/usr/bin/env python3
"""A server among clients that stall, send garbage and vanish: good requests are answered, memory stays flat, and every slot
is free at the end.
    HBAR=build/release/hbar HBAR_TEST_MODELS=build/release/tests/models tests/soak.py [--seconds 600] [--clients 64]
Memory is judged in runs of five minutes and more, and not under AddressSanitizer, which keeps freed memory. There, the
server's exit code tells of a leak."""
import argparse
import http.client
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "cli"))
from server import DEMO, PARAMS, TIMEOUT, Server  # noqa: E402

REQUEST_SECONDS = 2  # within which the server wants a whole request
LONG_RUN = 300
GROWTH = 0.02  # of memory, in a long run

PROMPTS = [f"What is the capital of {country}?" for country in ("France", "Cuba", "Peru", "Japan", "Norway", "Kenya")]
GARBAGE = [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 9000, b"POST / HTTP/1.1\r\n\r\n{}",
           b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{\"a\":",
           b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]


def resident(process):
    """Kilobytes of memory that the process uses, without the mapped model."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("RssAnon")))


def keeps_freed_memory(process):
    return "__asan_" in subprocess.run(["nm", "-D", f"/proc/{process.pid}/exe"], capture_output=True, text=True).stdout


class Soak:
    def __init__(self, server, seconds):
        self.server = server
        self.failures, self.counts, self.lock = [], {"good": 0, "bad": 0, "late": 0}, threading.Lock()
        self.expected = {p: self.answer(p) for p in PROMPTS}
        self.end = time.monotonic() + seconds

    def ask(self, body):
        """(status, answer). None if this client was so slow to send its request that the server may have hung up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=TIMEOUT)
        sent, start = None, time.monotonic()
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
            sent = time.monotonic()
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        except (http.client.HTTPException, OSError):
            if (sent or time.monotonic()) - start < REQUEST_SECONDS / 2:
                raise
            return None
        finally:
            connection.close()

    def answer(self, prompt):
        """The text of an answer, or what the server sent instead. Asks again while its queue is full."""
        body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 12, "hbar": {"mode": "flag"}}
        while True:
            got = self.ask(body)
            if not got:
                with self.lock:
                    self.counts["late"] += 1
            elif got[0] != 503:
                return got[1]["choices"][0]["message"]["content"] if got[0] == 200 else f"status {got[0]}: {got[1]}"
            time.sleep(0.05)

    def ask_well(self, random_):
        prompt = random_.choice(PROMPTS)
        try:
            said = self.answer(prompt)
        except Exception as error:
            said = repr(error)
        with self.lock:
            self.counts["good"] += 1
            if said != self.expected[prompt]:
                self.failures.append(f"{prompt!r} got {said!r}, not {self.expected[prompt]!r}")

    def be_good(self, seed):
        random_ = random.Random(seed)
        self.ask_well(random_)  # at least once, however slow the machine is
        while time.monotonic() < self.end:
            self.ask_well(random_)

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


def run(server, options):
    """Lets the clients loose. Returns what went wrong."""
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
    print(json.dumps({**soak.counts, "failures": len(soak.failures), "resident_kb": [early, late], "growth": round(growth, 4)}))
    wrong = soak.failures[:3]
    if options.seconds >= LONG_RUN and not keeps_freed_memory(server.process) and growth > GROWTH:
        wrong.append(f"memory grew by {growth:.1%}, more than {GROWTH:.0%}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    with Server("--model", DEMO, "--params", PARAMS, "--parallel", 4, "--ctx-size", 512, "--request-seconds", REQUEST_SECONDS,
                HBAR_KERNELS="portable") as server:
        wrong = run(server, options)
    for reason in wrong:
        print(f"soak: {reason}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
