#!/usr/bin/env python3
"""Makes inputs from which the fuzzer starts, one folder for each target.
usage: make_seeds.py FOLDER HBAR MODELS"""
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

folder, hbar, models = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
project = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(project / "tests" / "reference"))
from chat_templates import TEMPLATES

TEXTS = ["", "Hello, world!", "caf\u00e9 \u4f60\u597d 1,234.5", "<s>a</s><|im_start|>user", "  two  spaces\n\tand tabs",
         "don't we'll I'M 12345 \u0661\u0662", "\U0001F600\u200d\u00e4\u0308"]
ANSWERS = ["Paris", "#### 42", "The answer is (B).", "I don't know.", "<think>No.</think>\n\nAnswer: 7 July 1999\nNext",
           "Sure! Here is the answer:\n1,000,000 km", "\u5341\u4e8c"]
ROWS = [{"prompt": "Is 1 plus 1 2?", "label": 0, "id": "a"},
        {"question": "Who?", "answer": "Me", "hallucination": "You", "right_answer": "Me", "hallucinated_answer": "You",
         "knowledge": "It was me."},
        {"question": "What?", "answer": {"aliases": ["x", "y"], "value": "x"}},
        {"question": "Which?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}], "label": True},
        {"prompt": "Say it.", "response": "It is it.", "spans": [{"start": 0, "end": 2}], "label": 1},
        {"context": "c", "question": "q", "answers": "['a', \"b\"]"}]

SETTINGS = ["# none\n", "threads = 4\nlambda = -2.5e-3\nquiet = true\n[generate] # head\non-halt = \"I \\u00e9\\n\"\n",
            "stop = [\"a\", # one\r\n 'b' ,\r\n]\n[score]\nmodel = 'C:\\x'\n[score]\n"]


def add(target, name, content):
    path = folder / target / str(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def text(value):
    raw = value.encode()[:255]
    return bytes([len(raw)]) + raw


def tables():
    rows = [(f"q{i}", i * 7 % 11, i * 5 % 13, int(i % 3 == 0)) for i in range(24)]
    comma = "id,score,entropy,label\n" + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in rows)
    yield comma
    yield comma.replace(",", ";").replace("\n", "\r\n")
    yield comma.replace(",", "\t")
    yield "".join(json.dumps({"id": a, "score": b, "entropy": c, "label": bool(d)}) + "\n" for a, b, c, d in rows)
    yield json.dumps([{"score": b, "label": "yes" if d else "no"} for _, b, _, d in rows])


def datasets():
    for row in ROWS:
        yield "".join(json.dumps({**row, "id": str(i)}) + "\n" for i in range(3))
    yield json.dumps({"data": ROWS[:1] * 3})
    yield json.dumps(ROWS)
    yield 'prompt,label\n"a ""b""\nc",1\nd,0\n'


def requests():
    """Bodies of chat completions and of text completions."""
    chat = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}
    full = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "seed": -3, "stop": ["x", "yz"], "n": 2, "max_tokens": 7,
            "logit_bias": {"17": -100, "4": 2.5}, "presence_penalty": -2, "frequency_penalty": 1.5, "stream": True,
            "stream_options": {"include_usage": True}, "response_format": {"type": "text"}, "user": "u"}
    risk = {"hbar": {"mode": "flag", "cutoff": 0.5, "watch": "entropy", "on_halt": "No.", "signals": "pri,entropy"}}
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}
    for body in (chat, parts, {**chat, **full, "logprobs": True, "top_logprobs": 20}, {**chat, **risk},
                 {**chat, "n": 1, "hbar": {"samples": 3}}):
        yield b"\1" + json.dumps(body).encode()
    for prompt in ("abc", ["a", "b"], [5, 6, 7], [[5], [6, 7]]):
        yield b"\0" + json.dumps({"prompt": prompt, **full, **risk, "logprobs": 3, "echo": True}).encode()


def make_runs(scratch):
    """Runs and parameters, made by hbar itself."""
    given = [{"prompt": f"p{i}", "response": f"It is {i}.", "spans": [{"start": 0, "end": 2}], "label": i % 2} for i in range(12)]
    (scratch / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    (scratch / "table.csv").write_text(next(tables()))
    score = [hbar, "score", "--model", models / "tiny-chat.gguf", "--data", "given.jsonl", "--signals", "hbar_s,entropy",
             "--max-tokens", "2", "-q", "--threads", "1"]
    commands = [[*score, "--run", "run.db"],
                [hbar, "sweep", "--run", "run.db", "--draws", "0", "-o", "p1", "--map", "isotonic"],
                [hbar, "sweep", "--data", "table.csv", "--score", "score,entropy", "--joint", "--draws", "0", "-o", "p2"],
                [hbar, "sweep", "--data", "table.csv", "--guarantee", "recall=0.5", "--draws", "0", "-o", "p3"]]
    drawn = [{"prompt": f"Is {i} a number?", "label": i % 2} for i in range(12)]
    (scratch / "drawn.jsonl").write_text("".join(json.dumps(row) + "\n" for row in drawn))
    commands += [[hbar, "calibrate", "--model", models / "tiny-chat.gguf", "--data", "drawn.jsonl", "-n", "0", "--max-tokens",
                  "2", "-q", "--threads", "1", "--signals", "hbar_s", "--samples", "2", "--features", "hidden:1,topk",
                  "--score", "probe,wepr", "--draws", "0", "--run", "drawn.db", "-o", "p4"],
                 [hbar, "sweep", "--run", "run.db", "--draws", "0", "--halt", "cusum", "--false-halts", "0.9", "-o", "p5"]]
    for command in commands:
        subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    add("run", "given", (scratch / "run.db").read_bytes())
    add("run", "drawn", (scratch / "drawn.db").read_bytes())
    for path in scratch.glob("p*/*.json"):
        add("parameters", path.parent.name, path.read_bytes())
        add("report", path.parent.name, path.read_bytes())
    params = next(scratch.glob("p1/*.json"))
    add("report", "validation", subprocess.run(
        [hbar, "validate", "--params", params, "--run", "run.db", "--draws", "0", "--json"], cwd=scratch, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def make_models():
    """Very small models of each architecture and of some types."""
    (folder / "gguf").mkdir()
    for name, options in [(kind, ["--type", kind]) for kind in ("f32", "q8_0", "q4_0", "q5_1", "mxfp4", "bf16")] + [
            (arch, ["--type", "q4_0", "--arch", arch]) for arch in ("qwen2", "qwen3", "phi3", "gemma2", "gemma3")]:
        subprocess.run([sys.executable, project / "tools" / "make_model.py", folder / "gguf" / name, "--embd", "32",
                        "--heads", "2", "--kv-heads", "1", "--ff", "32", "--layers", "1", "--tied", "--byte-level",
                        "--context", "64", *options], check=True)


def main():
    rng = random.Random(1)
    shutil.rmtree(folder, ignore_errors=True)
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    make_runs(scratch)
    for i, content in enumerate(tables()):
        for options in (0, 8, 24):
            add("table", f"{i}-{options}", bytes([options]) + content.encode())
    for i, content in enumerate(datasets()):
        for k in range(4):
            add("dataset", f"{i}-{k}", rng.randbytes(12) + content.encode())
        add("dataset", f"{i}-plain", bytes([1, 0, 1, 0, 0, 0, 0, 0, 0]) + content.encode())
    for i, content in enumerate(TEXTS):
        for options in range(8):
            add("tokenizer", f"{i}-{options}", bytes([options]) + content.encode())
    for i, given in enumerate(ANSWERS):
        for right in ANSWERS:
            add("grading", f"{i}-{right[:3]}", bytes([1, 2]) + text(right) + text("the 42") + given.encode())
    for i in range(40):
        add("gguf_structured", i, bytes([i % 6, rng.randrange(4), 0]) + rng.randbytes(rng.randrange(20)) + bytes(rng.randrange(40)))
        pieces = b"".join(text(rng.choice(["a", "b", "ab", "\u2581", "<s>", "\u0120a", "<0x41>"])) for _ in range(12))
        add("vocab", i, bytes([i % 2, i % 6, 12] if i % 2 else [0, 0, 12]) + pieces + rng.randbytes(60) + b"abab ba <s>")
    for i, body in enumerate(requests()):
        add("request", i, body)
    for i, settings in enumerate(SETTINGS):
        add("toml", i, settings)
    make_models()
    for i, template in enumerate(TEMPLATES.values()):
        add("chat_template", i, template)


if __name__ == "__main__":
    main()
