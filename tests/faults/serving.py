#!/usr/bin/env python3
"""Runs the server with the n-th allocation failing, for every k-th n: alone, and with all later ones. Some requests are sent.

No run may crash. A server that cannot load its model ends with a message. An answer with status 200 is the one of a run
without failure. A server that is ready goes on after a lone failure: the same requests are answered.

usage: serving.py SHIM [--every K] [--first N]
HBAR names the program, HBAR_TEST_MODELS the folder of small models."""
import argparse
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HBAR = os.environ["HBAR"]
MODEL = Path(os.environ["HBAR_TEST_MODELS"]) / "tiny-chat.gguf"
LEAKS = Path(__file__).with_name("leaks.txt").resolve()
TIMEOUT = 120
ROUNDS = 3  # the number of allocations varies, so one of the last in the first round may fail in the second
CHAT = {"messages": [{"role": "user", "content": "one two"}], "max_tokens": 3}
REQUESTS = [("GET", "/health", None), ("GET", "/v1/models", None), ("POST", "/v1/chat/completions", CHAT),
            ("POST", "/v1/chat/completions", {**CHAT, "stream": True}),
            ("POST", "/v1/completions", {"prompt": "three", "max_tokens": 2, "logprobs": 2}),
            ("POST", "/tokenize", {"content": "four"}), ("GET", "/", None)]


def plain(text):
    """An answer without what differs between runs."""
    return re.sub(rb'"(id|created|cached_tokens|\w*seconds|\w*_ms|\w*per_second|system_fingerprint)": ?("[^"]*"|[\d.e+-]+)', b"", text)


def ask(port, request):
    """(status, answer). None: the connection ended without a complete answer."""
    method, path, body = request
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2 * TIMEOUT)
    try:
        connection.request(method, path, body and json.dumps(body))
        reply = connection.getresponse()
        return reply.status, plain(reply.read())
    except (http.client.HTTPException, ConnectionError):
        return None
    finally:
        connection.close()


def wait_until_ready(process):
    """Waits until the model is loaded or the server has ended; after a failure it may say neither."""
    end = time.monotonic() + 10
    while process.poll() is None and '"ready"' not in Path("log").read_text() and time.monotonic() < end:
        time.sleep(0.01)


def serve(rounds, **changes):
    """Serves so many rounds of requests: (the answers or, if the server did not start, None; exit code; messages)."""
    environment = {**os.environ, "HBAR_KERNELS": "portable", "ASAN_OPTIONS": "verify_asan_link_order=0", "LD_PRELOAD": SHIM,
                   "LSAN_OPTIONS": f"suppressions={LEAKS}:print_suppressions=0", "MALLOC_PERTURB_": "165", **changes}
    log = open("log", "wb")
    process = subprocess.Popen([HBAR, "serve", "--model", str(MODEL), "--port", "0", "--threads", "1", "--cutoff", "2",
                                "--ctx-size", "64", "--parallel", "2"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=log, env=environment)
    end = threading.Timer(TIMEOUT, process.kill)  # a server that hangs ends with the code -9
    end.start()
    address = re.search(rb":(\d+)\s*$", process.stdout.readline())
    if address:
        wait_until_ready(process)
    answers = address and [ask(int(address[1]), request) for _ in range(rounds) for request in REQUESTS]
    if address:
        process.send_signal(signal.SIGTERM)
    process.communicate()
    end.cancel()
    log.close()
    return answers, process.returncode, Path("log").read_text(errors="replace").strip().splitlines()


def short(answers):
    return [answer and (answer[0], answer[1][:200]) for answer in answers]


def check(failing, expected):
    """What is wrong with a server in which allocations fail; None: nothing."""
    answers, code, said = serve(ROUNDS, HBAR_FAIL_ALLOCATION=failing)
    if any("CHECK failed: sanitizer_" in line for line in said):
        return None  # the sanitizer itself had no memory to start a thread
    if code not in (0, 1):
        return f"exit code {code}: {said[-30:]}"
    if code and not any('"event": "message"' in line for line in said):
        return f"it ends without a message: {said}"
    for request, answer, wanted in zip(REQUESTS * ROUNDS, answers or [], expected * ROUNDS):
        failed = answer is None or answer[0] != 200 or b'data: {"error"' in answer[1]  # a stream's status comes first
        if answer and 400 <= answer[0] < 500:
            return f"{request[1]}: the client is blamed: {answer[0]} {answer[1][:200]}"
        if not failed and answer != wanted:
            return f"{request[1]}: {answer[1][-300:]} instead of {wanted[1][-300:]}"
    if failing.endswith("+") or code and not any('"ready"' in line for line in said):
        return None
    if answers and answers[-len(REQUESTS):] == expected and not code:
        return None
    return f"it does not go on: {code}, {answers and short(answers)}, {said}"


parser = argparse.ArgumentParser()
parser.add_argument("shim")
parser.add_argument("--every", type=int, default=1)
parser.add_argument("--first", type=int, default=0)
options = parser.parse_args()
SHIM = os.path.abspath(options.shim)
n_runs = n_faults = 0
with tempfile.TemporaryDirectory(prefix="hbar-faults-") as scratch:
    os.chdir(scratch)
    usual, exit_code, messages = serve(1, HBAR_COUNT_ALLOCATIONS="count")
    if exit_code or not usual or any(answer is None or answer[0] != 200 for answer in usual):
        sys.exit(f"without failure: {exit_code}, {usual and short(usual)}, {messages}")
    n = int(Path("count").read_text())
    for number in range(options.first % n, n, options.every):
        for after in ("", "+"):
            n_runs += 1
            fault = check(f"{number}{after}", usual)
            if fault:
                n_faults += 1
                print(f"allocation {number}{after} of {n}: {fault}", flush=True)
print(f"{n} allocations, every {options.every} failed: {n_runs} runs, {n_faults} faults")
sys.exit(n_faults > 0 or not n_runs)
