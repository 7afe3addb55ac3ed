#!/usr/bin/env python3
"""Compares three programs on the demo's model: the tokenizers of the trainer, hbar and, where installed, the
peer on every training sentence; and greedy continuations by hbar and the peer:

    compare_demo.py HBAR_DUMP

Exits with 77 if the peer or the Debian packages that the sentences are made from are not installed."""
import random
import subprocess
import sys

import peer

DEMO = peer.PROJECT / "tools" / "demo"
MODEL = peer.PROJECT / "models" / "hbar-demo.gguf"
PROMPTS, STEPS = 200, 40
LIMIT = 0.05  # of a logit, because the peer also rounds activations to F16 if weights are F16

sys.path.insert(0, str(DEMO))
import bpe  # noqa: E402
import world  # noqa: E402


def made_of_packages():
    return all(p.exists() for p in (world.ISO, world.ZONES, world.ELEMENTS))


def training_texts():
    """The corpus, as world.py writes it."""
    relations = {r.name: r for r in world.RELATIONS}
    facts = world.all_facts()
    by_relation = {}
    for fact in facts:
        by_relation.setdefault(fact.relation, []).append(fact)
    texts = world.corpus(facts, relations, world.assign(facts, relations), by_relation)
    return [prompt + rest for prompt, rest in texts]


def hbar_tokens(dump, feed):
    return subprocess.run([dump, "tokens", MODEL], input=feed, check=True, capture_output=True).stdout


def compare_tokens(dump, with_peer):
    """The number of distinct sentences whose tokens differ between the programs."""
    texts = training_texts()
    trainer = bpe.Tokenizer(bpe.train(texts, 2000))
    texts = sorted(set(texts))
    feed = b"".join(b"0 %d\n%b" % (len(t.encode()), t.encode()) for t in texts)
    all_tokens = [[" ".join(map(str, [bpe.BEGIN, *trainer.encode(t)])) for t in texts],
                  hbar_tokens(dump, feed).decode().splitlines()]
    if with_peer:
        all_tokens.append(peer.text("tokens", peer.bring(MODEL), feed=feed).decode().splitlines())
    differ = sum(len(set(each)) > 1 for each in zip(*all_tokens, strict=True))
    print(f"{len(texts)} sentences, tokens of {len(all_tokens)} programs: {differ} differ")
    return differ


def continued(dump, inside, prompt):
    """The number of common tokens, whether all are equal, and the largest difference of a logit."""
    their_prompt, theirs = peer.oracle(inside, prompt, STEPS)
    our_prompt, ours = peer.parse(subprocess.run([dump, MODEL, prompt, str(STEPS)], check=True,
                                                 capture_output=True).stdout)
    same = our_prompt == their_prompt and [s["token"] for s in ours] == [s["token"] for s in theirs]
    worst = max(abs(a - b) for x, y in zip(ours, theirs) for a, b in zip(x["logits"], y["logits"]))
    return len(ours), same, worst


def prompts():
    """Questions of every tier, formal questions and judgements, and beginnings of these."""
    rng = random.Random(3)
    relations = {r.name: r for r in world.RELATIONS}
    lines = [line for name in ("calibration", "test")
             for line in (peer.PROJECT / "data" / f"demo_{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in rng.sample(lines, PROMPTS):
        row = peer.json.loads(line)
        other = rng.choice(row["answers"])
        yield rng.choice([
            row["prompt"], row["prompt"], f"Question: {row['prompt']}\nAnswer:",
            row["prompt"][: rng.randrange(1, len(row["prompt"]))],
            world.JUDGEMENT.format(rng.choice(relations[row["relation"]].statements).format(
                "it", o=other, an="a", An="A"), row["prompt"], other)])


def compare_continuations(dump):
    inside = peer.bring(MODEL)
    results = [continued(dump, inside, prompt) for prompt in prompts()]
    differ = sum(not same for _, same, _ in results)
    worst = max(worst for _, _, worst in results)
    print(f"{len(results)} prompts, {sum(n for n, _, _ in results)} greedy tokens: {differ} prompts continued "
          f"otherwise, worst logit {worst:.2e}")
    return differ + (worst >= LIMIT)


def main():
    dump, why = sys.argv[1], peer.missing()
    bad = 0
    if not made_of_packages() and why:
        print("skipped: iso-codes, tzdata and bodr are not installed, and", why)
        sys.exit(77)
    if made_of_packages():
        bad += compare_tokens(dump, not why)
    if not why:
        bad += compare_continuations(dump)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
