#!/usr/bin/env python3
"""How often the demo's model answers right, by how often it has seen the fact:

    evaluate.py HBAR MODEL.gguf DATA.jsonl [PEER_COUNT]

With PEER_COUNT, that many of the questions are also put to llama.cpp, where it is installed, whose greedy tokens
must be the same."""
import collections
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests" / "peer"))
import peer  # noqa: E402


def generate(hbar, model, prompt):
    command = [hbar, "generate", "--model", model, "--cutoff", "1.1", "--max-tokens", "20", "--threads", "1", "--json"]
    return json.loads(subprocess.run([*command, prompt], check=True, capture_output=True).stdout)


def same_as_peer(hbar_dump, model, model_inside, prompt):
    theirs_prompt, theirs = peer.oracle(model_inside, prompt, 20)
    raw = subprocess.run([hbar_dump, model, prompt, "20"], check=True, capture_output=True).stdout
    ours_prompt, ours = peer.parse(raw)
    return ours_prompt == theirs_prompt and [s["token"] for s in ours] == [s["token"] for s in theirs]


def main():
    hbar, model, data = sys.argv[1:4]
    rows = [json.loads(line) for line in open(data, encoding="utf-8")]
    if len(sys.argv) > 4:
        inside = peer.bring(model)
        picked = rows[: int(sys.argv[4])]
        dump = str(Path(hbar).parent / "tests" / "hbar_dump")
        same = sum(same_as_peer(dump, model, inside, row["prompt"]) for row in picked)
        print(f"the peer's tokens: {same} of {len(picked)} the same")
    right, asked = collections.Counter(), collections.Counter()
    for row in rows:
        answer = generate(hbar, model, row["prompt"])["text"].strip().split("\n")[0]
        ok = answer.casefold() in [a.casefold() for a in row["answers"]]
        for key in ("all", row["tier"], f"seen {row['seen']}"):
            right[key] += ok
            asked[key] += 1
    for key in sorted(asked):
        print(f"{key:10} {right[key]:5} of {asked[key]:5}  {100 * right[key] / asked[key]:.1f} %")


if __name__ == "__main__":
    main()
