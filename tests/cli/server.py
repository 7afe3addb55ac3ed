"""Starts hbar serve for tests, and a client over sockets."""
import http.client
import json
import re
import socket
import subprocess
import threading
import time

from harness import HBAR, PROJECT, environment

DEMO = PROJECT / "models" / "hbar-demo.gguf"
PARAMS = PROJECT / "data" / "demo_params.json"
TIMEOUT = 300  # a slow machine must not fail a test


class Server:
    """A server on a free port, in a `with` block. Ends it by SIGTERM, and checks its exit code."""

    def __init__(self, *arguments, code=0, wait=True, cwd=None, **changes):
        self.code = code
        self.terminated = False
        self.log = []
        self.process = subprocess.Popen([HBAR, "serve", "--port", "0", *map(str, arguments)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=environment(**changes), cwd=cwd)
        self.address = self.process.stdout.readline().strip()
        match = re.search(r":(\d+)$", self.address)
        if not match:
            raise AssertionError(self.process.communicate(timeout=TIMEOUT)[1])
        self.port = int(match.group(1))
        self.reader = threading.Thread(target=self.read_log)
        self.reader.start()
        if wait:
            self.wait_until_ready()

    def read_log(self):
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))
            del self.log[:-10000]

    def events(self, name=None):
        """The log's objects of an event."""
        rows = [json.loads(line) for line in list(self.log)]
        return [row for row in rows if name in (None, row["event"])]

    def wait_until_ready(self):
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            try:
                if self.get("/health")[0] == 200:
                    return
            except (http.client.HTTPException, OSError):
                pass  # with a short --request-seconds, a slow machine can be late
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError("\n".join(self.log))

    def request(self, method, path, body=None, headers=None, host="127.0.0.1"):
        """(status, headers in lower case, body as JSON if it is JSON)."""
        connection = http.client.HTTPConnection(host, self.port, timeout=TIMEOUT)
        try:
            data = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, data, headers or {})
            reply = connection.getresponse()
            text = reply.read().decode()
            names = {name.lower(): value for name, value in reply.getheaders()}
            is_json = names.get("content-type") == "application/json" and text
            return reply.status, names, json.loads(text) if is_json else text
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def post(self, path, body, **headers):
        return self.request("POST", path, body, headers)

    def chat(self, text, **members):
        """The answer to a chat of one message."""
        body = {"messages": [{"role": "user", "content": text}], **members}
        status, _, answer = self.post("/v1/chat/completions", body)
        if status != 200:
            raise AssertionError(answer)
        return answer

    def complete(self, prompt, **members):
        status, _, answer = self.post("/v1/completions", {"prompt": prompt, **members})
        if status != 200:
            raise AssertionError(answer)
        return answer

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def send(self, path, body):
        """Sends a request and returns its socket."""
        data = json.dumps(body).encode()
        connection = self.connect()
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
                           % (path.encode(), len(data), data))
        return connection

    def stream(self, path, body):
        """The events of a stream: objects, and "[DONE]"."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request("POST", path, json.dumps({**body, "stream": True}))
            reply = connection.getresponse()
            if reply.status != 200:
                raise AssertionError(reply.read())
            if reply.getheader("Content-Type") != "text/event-stream":
                raise AssertionError(reply.getheader("Content-Type"))
            for event in reply.read().decode().split("\n\n")[:-1]:
                if not event.startswith("data: "):
                    continue
                yield event[6:] if event == "data: [DONE]" else json.loads(event[6:])
        finally:
            connection.close()

    def metric(self, name):
        text = self.get("/metrics")[2]
        return float(re.search(rf"^hbar_{re.escape(name)} (\S+)$", text, re.MULTILINE).group(1))

    def wait_for(self, name, value):
        """Waits until a metric has a value."""
        end = time.monotonic() + TIMEOUT
        while self.metric(name) != value:
            if time.monotonic() > end:
                raise AssertionError(f"{name} is {self.metric(name)}, not {value}")
            time.sleep(0.02)

    def terminate(self):
        self.process.terminate()
        self.terminated = True  # a second signal would end it at once

    def stop(self):
        if self.process.poll() is None and not self.terminated:
            self.terminate()
        code = self.process.wait(TIMEOUT)
        self.reader.join(TIMEOUT)
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        code = self.stop()
        if kind is None and code != self.code:
            raise AssertionError(f"exit code {code}\n" + "\n".join(self.log))
