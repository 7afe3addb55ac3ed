#!/usr/bin/env python3
"""Measures a server under load: tokens a second, time to the first token, and time between tokens.
    serve.py --url URL [--url URL2 ...] [--clients 1,8,32] [--seconds 60] [--tokens 64] [--pid PID ...]
    serve.py --hbar build/release/hbar --peer PATH/llama-server --model M.gguf [--threads 2] [--slots 8]
With --hbar it starts the servers itself, and measures hbar (signals on and off) and llama-server by turns. Each client asks
over a connection of its own, one request after the other; prompts share a beginning, as chats with a system message do."""
import argparse
import http.client
import json
import socket
import statistics
import subprocess
import threading
import time
from urllib.parse import urlsplit

SYSTEM = ("You are a careful assistant. Answer in short sentences, name what you are sure of, and say so when you do not "
          "know. ") * 4
TOPICS = ["rivers", "the sea", "bread", "old maps", "bridges", "glass", "the moon", "salt", "trains", "paper", "bees",
          "music", "iron", "clocks", "rain", "ships"]


def ask(host, port, client, turn, tokens, off):
    """One streamed request: (time to the first token, gaps between tokens, tokens)."""
    body = {"messages": [{"role": "system", "content": SYSTEM},
                         {"role": "user", "content": f"Tell me fact {client * 1000 + turn} about {TOPICS[(client + turn) % 16]}."}],
            "max_tokens": tokens, "temperature": 0, "stream": True, "cache_prompt": True,
            "stream_options": {"include_usage": True}, "hbar": {"mode": "off" if off else "flag"}}
    connection = http.client.HTTPConnection(host, port, timeout=300)
    start = last = time.monotonic()
    first, gaps, n = None, [], 0
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    if reply.status != 200:
        raise RuntimeError(reply.read().decode())
    for line in reply:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if event.get("usage"):
            n = event["usage"]["completion_tokens"]
        if not event["choices"] or not event["choices"][0]["delta"].get("content"):
            continue
        now = time.monotonic()
        if first is None:
            first = now - start
        else:
            gaps.append(now - last)
        last = now
    connection.close()
    return first, gaps, n


def load(url, clients, seconds, tokens, off=False):
    """Runs the clients for some time. Tokens of requests that end later do not count."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    results, errors, lock = [], [], threading.Lock()
    end = time.monotonic() + seconds

    def run(client):
        turn = 0
        while time.monotonic() < end:
            try:
                result = ask(host, port, client, turn, tokens, off)
            except Exception as error:  # counted, and shown at the end
                errors.append(str(error))
                return
            turn += 1
            with lock:
                results.append((time.monotonic(), *result))
    start = time.monotonic()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.monotonic() - start
    first = sorted(r[1] for r in results if r[1] is not None)
    gaps = sorted(g for r in results for g in r[2])
    return {"clients": clients, "requests": len(results), "errors": errors[:3], "tokens_per_second": sum(r[3] for r in results) / wall,
            "first": quantiles(first), "between": quantiles(gaps)}


def quantiles(values):
    if not values:
        return (float("nan"), float("nan"))
    return statistics.median(values), values[min(len(values) - 1, int(0.99 * len(values)))]


def wait_until_ready(url):
    host, port = urlsplit(url).hostname, urlsplit(url).port
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection(host, port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Started:
    def __init__(self, command, port):
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        wait_until_ready(self.url)
        return self.url

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def servers(options):
    """Name, how to start it, and whether signals are off."""
    slots, threads, context = str(options.slots), str(options.threads), options.context

    def hbar(port):
        return [options.hbar, "serve", "--quiet", "--model", options.model, "--port", str(port), "--parallel", slots,
                "--threads", threads, "--ctx-size", str(context)]

    def peer(port):
        return [*options.peer.split(), "-m", options.peer_model or options.model, "--port", str(port), "-np", slots, "-t", threads, "-tb", threads,
                "-c", str(context * options.slots)]
    rows = [("hbar", hbar, False), ("hbar, signals off", hbar, True)]
    return rows + ([("llama-server", peer, True)] if options.peer else [])


def show(name, r):
    print(f"{name:18} {r['clients']:3} clients  {r['tokens_per_second']:8.1f} tokens/s  first {1000 * r['first'][0]:7.1f} ms "
          f"({1000 * r['first'][1]:.1f})  between {1000 * r['between'][0]:6.1f} ms ({1000 * r['between'][1]:.1f})  "
          f"{r['requests']} requests{', errors: ' + r['errors'][0] if r['errors'] else ''}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", action="append", default=[])
    parser.add_argument("--hbar")
    parser.add_argument("--peer", default="")
    parser.add_argument("--model")
    parser.add_argument("--peer-model", help="the model's path for llama-server, where it differs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    print("median (99 %)")
    for clients in map(int, options.clients.split(",")):
        for url in options.url:
            show(url, load(url, clients, options.seconds, options.tokens))
        for name, command, off in servers(options) if options.hbar else []:
            port = free_port()
            with Started(command(port), port) as url:
                load(url, min(clients, 2), 2, 8, off)  # warm up
                show(name, load(url, clients, options.seconds, options.tokens, off))


if __name__ == "__main__":
    main()
