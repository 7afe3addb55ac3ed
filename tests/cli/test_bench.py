"""bench/compare_job.py with stand-ins: the requests it sends to the server for each of hbar's samples."""
import json
import socket
import subprocess
import sys
import unittest

from harness import PROJECT, Case

# Like `hbar score --json` and `hbar export`: one sample that ended at its first token, one that did not end.
HBAR = """#!/usr/bin/env python3
import json, sys
if sys.argv[1] == "score":
    print(json.dumps({"tokens_evaluated": 7, "tokens_shared": 2}))
for i, (n, finish) in enumerate([(0, "end of text"), (3, "max tokens")] if sys.argv[1] == "export" else []):
    print(json.dumps({"index": i, "id": str(i), "status": "scored", "n_prompt": 5, "n_tokens": n, "finish": finish}))
"""

# Like llama-server, which counts a token even when none was requested. Records the requests.
SERVER = """#!/usr/bin/env python3
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())
    def do_GET(self):
        self.answer({"status": "ok"})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["n_predict"]
        print(asked, file=open(sys.argv[0] + ".asked", "a"))
        self.answer({"timings": {"cache_n": 1, "prompt_n": 4, "predicted_n": max(1, asked)}})
    def log_message(self, *_):
        pass
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


class CompareJob(Case):
    def test_a_sample_that_ends_at_its_first_token(self):
        hbar, server = self.write("hbar", HBAR), self.write("server", SERVER)
        for program in hbar, server:
            program.chmod(0o755)
        row = {"knowledge": "k", "question": "q", "right_answer": "r", "hallucinated_answer": "h"}
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        done = subprocess.run(
            [sys.executable, PROJECT / "bench" / "compare_job.py", "--hbar", hbar, "--peer", server, "--data",
             self.write("data.jsonl", json.dumps(row) + "\n"), "--samples", "2", "--port", str(port), "model.gguf"],
            capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        # One after another, and in slots: the end token of the first, three tokens of the second.
        self.assertEqual((self.dir / "server.asked").read_text().split(), ["1", "3"] * 2)
        self.assertIn("medians of 1: ", done.stdout)
        # Nothing shared: 5 + 1 - 1 tokens, and 5 + 3 - 1.
        self.assertRegex(done.stdout, r"alone +[0-9.]+ +[0-9.]+ +10 +2 +4\n")


if __name__ == "__main__":
    unittest.main()
