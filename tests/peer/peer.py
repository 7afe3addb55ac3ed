"""The peer (llama.cpp in a root of its own), for the scripts beside this file."""
import json
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
SHARED = Path(os.environ.get("HBAR_SHARED", PROJECT.parent / "shared"))
RUN = SHARED / "peer" / "run.sh"
ROOT = Path(os.environ.get("PEER_ROOT", "/opt/peer"))
STORIES = SHARED / "models" / "stories260K.gguf"
PROMPTS = ["Once upon a time", "The big dog", "Lily and Tom went to the park. They saw",
           "In 1984, the caf\u00e9 \U0001F600 was\n\tclosed;  then"]
STEPS = 200


def missing():
    """The reason why the peer cannot be used here, or None."""
    if not RUN.exists():
        return f"{RUN} is not there"
    if not (ROOT / "usr/local/bin/oracle").exists():
        return f"the peer is not installed in {ROOT}"
    return None


def inside(*command):
    return subprocess.run([str(RUN), *command], check=True, capture_output=True).stdout


def text(*arguments, feed):
    """Runs peer_text.c in the peer's root, compiling it there first."""
    shutil.copy(HERE / "peer_text.c", ROOT / "tmp" / "peer_text.c")
    inside("sh", "-c", "gcc -O1 /tmp/peer_text.c -o /tmp/peer_text $(pkg-config --cflags --libs llama) -lggml -lggml-base")
    return subprocess.run([str(RUN), "/tmp/peer_text", *arguments], check=True, capture_output=True, input=feed).stdout


def differences(title, cases, ours, theirs):
    """The number of results that differ. Prints the first two."""
    differ = 0
    for case, our, their in zip(cases, ours, theirs, strict=True):
        differ += our != their
        if our != their and differ <= 2:
            print(f"{title}: {case!r}\n  ours   {our!r}\n  theirs {their!r}")
    return differ


def version():
    shown = subprocess.run([str(RUN), "llama-bench", "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = shown.stdout.decode().splitlines()
    return "llama.cpp " + next(line for line in lines if line.startswith("version:")).split()[1]


def bring(model):
    """Copies a model into the peer's root; returns its path there."""
    target = ROOT / "models" / ("hbar-" + Path(model).name)
    shutil.copy(model, target)
    return "/models/" + target.name


def parse(lines):
    head, *steps = [json.loads(line) for line in lines.splitlines()]
    return head["prompt"], steps


def oracle(model_inside, prompt, n):
    return parse(inside("oracle", model_inside, prompt, str(n)))


def exact(model_inside, tokens, greedy=0, steps=1):
    """The results of exact.py for the last `steps` tokens and then for `greedy` greedy tokens."""
    shutil.copy(HERE / "exact.py", ROOT / "tmp" / "exact.py")
    lines = subprocess.run([str(RUN), "python3", "/tmp/exact.py", model_inside, str(steps), str(greedy)], check=True,
                           capture_output=True, input=json.dumps(tokens).encode()).stdout
    return [json.loads(line) for line in lines.splitlines()]


DEQUANTIZE = """
import sys, gguf, numpy
from gguf import GGUFReader, GGUFWriter, dequantize
source, target = sys.argv[1:]
r = GGUFReader(source)
w = GGUFWriter(target, 'llama')
for f in r.fields.values():
    if f.name.startswith('GGUF.') or f.name == 'general.architecture':
        continue
    kind = f.types[0]
    if kind == gguf.GGUFValueType.ARRAY:
        w.add_array(f.name, [bytes(f.parts[i]) if f.types[-1] == gguf.GGUFValueType.STRING
                             else f.parts[i].tolist()[0] for i in f.data])
    elif kind == gguf.GGUFValueType.STRING:
        w.add_string(f.name, bytes(f.parts[f.data[0]]).decode())
    else:
        w.add_key_value(f.name, f.parts[f.data[0]].tolist()[0], kind)
for t in r.tensors:
    w.add_tensor(t.name, dequantize(t.data, t.tensor_type).astype(numpy.float32).reshape(
        [int(d) for d in reversed(t.shape)]))
w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
"""


def dequantized(model_inside):
    """An F32 copy of a model, unpacked by the peer's own gguf package."""
    target = model_inside.replace(".gguf", "-f32.gguf")
    inside("python3", "-c", DEQUANTIZE, model_inside, target)
    return target
