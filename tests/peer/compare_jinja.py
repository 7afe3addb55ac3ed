#!/usr/bin/env python3
"""Compares the output of chat templates with that of the peer's interpreter (llama-server --jinja, /apply-template):

    compare_jinja.py HBAR_CHAT_DUMP [TEMPLATE...]

By default the templates are those of tests/reference/chat_templates.py; a TEMPLATE is a file. Exits with 77 if the
peer is not installed."""
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import peer

sys.path.insert(0, str(peer.PROJECT / "tests" / "reference"))
from chat_templates import INPUTS, TEMPLATES, assistant, user  # noqa: E402

# The peer continues a last message of the assistant. It passes contents as parts only if it finds that a template
# needs them. It leaves out the begin-of-text token, which its tokenizer adds.
CASES = [case for case in INPUTS if case["messages"][-1]["role"] == "user" and not case.get("parts")]
CASES += [{"messages": [user("a  \n"), assistant("<think>\nx\n</think>\n\ny"), user("1 < 2 & \"3\"")]},
          {"messages": [user("x </think> y"), assistant("{}"), user("\U0001F600\t<|im_end|>")], "thinking": True}]
# By default it sets a date and enables thinking.
CASES = [{"thinking": True, "variables": {"date_string": "26 Jul 2024"}} | case | {"add_generation_prompt": True}
         for case in CASES]
OTHERWISE = {
    "macros": "the peer has no varargs and kwargs",
    "generators": "the peer's are lists: false when empty, and read again",
    "attribute of undefined": "the peer gives nothing for it, and Jinja an error; and so below",
    "item of undefined": "", "sum of undefined": "", "text and number": "", "division by zero": "",
    "attribute of a dict": "", "huge range": "",
}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """llama-server with one template."""

    def __init__(self, model, source):
        (peer.ROOT / "tmp" / "hbar.jinja").write_bytes(source.encode())
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        command = [str(peer.RUN), "llama-server", "-m", model, "--host", "127.0.0.1", "--port", str(port), "-c", "64", "-np",
                   "1", "-t", "1", "--no-webui", "--no-warmup", "--jinja", "--chat-template-file", "/tmp/hbar.jinja"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        """Waits until the server answers. Returns false if it exits, for example because it cannot parse the
        template."""
        while self.process.poll() is None:
            try:
                if OPENER.open(self.url + "/health", timeout=5).status == 200:
                    return self
            except OSError:
                time.sleep(0.05)
        return None

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def render(self, case):
        body = {"messages": case["messages"], "add_generation_prompt": case.get("add_generation_prompt", False),
                "chat_template_kwargs": dict(case.get("variables", {}))}
        if "thinking" in case:
            body["chat_template_kwargs"] |= {"enable_thinking": case["thinking"], "thinking": case["thinking"]}
        try:
            with OPENER.open(self.url + "/apply-template", json.dumps(body).encode(), timeout=60) as answer:
                return json.load(answer)["prompt"]
        except urllib.error.HTTPError:
            return None


def ours(dump, source, cases):
    feed = "".join(json.dumps(case | {"template": source, "bos": "<s>", "eos": "</s>", "now": int(time.time())}) + "\n"
                   for case in cases)
    out = subprocess.run([dump], input=feed.encode(), check=True, capture_output=True).stdout
    return [json.loads(line).get("text") for line in out.splitlines()]


def expected(name, case, our):
    """Whether a difference is a known one: the peer moves a system message that the template refuses or leaves out
    into the user's message, and its interpreter differs from Jinja in a few points (OTHERWISE)."""
    system = case["messages"][0]
    left_out = system["role"] == "system" and (our is None or system["content"].strip() not in our)
    return left_out or name in OTHERWISE


def main():
    why = peer.missing()
    if why:
        print("skipped:", why)
        sys.exit(77)
    dump, *files = sys.argv[1:]
    templates = {f: Path(f).read_text() for f in files} or TEMPLATES
    model = peer.bring(peer.STORIES)
    agree = differ = refused = 0
    for name, source in templates.items():
        our = [text and text.removeprefix("<s>") for text in ours(dump, source, CASES)]
        with Server(model, source) as server:
            their = [server.render(case) if server else None for case in CASES]
        both = [(case, o, t) for case, o, t in zip(CASES, our, their) if t is not None and not expected(name, case, o)]
        wrong = peer.differences(name, *zip(*both)) if both else 0
        agree += bool(both) and not wrong
        differ += bool(wrong)
        refused += not both
    print(f"{len(templates)} templates, {agree} agree, {differ} differ, {refused} are not rendered by the peer")
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
