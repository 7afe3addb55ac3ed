#!/usr/bin/env python3
"""Formats conversations in each chat format, by the format's name and by a template with its markers, and
compares the text and its tokens with the peer's:

    compare_chat.py HBAR_DUMP

Exits with 77 if the peer is not installed."""
import random
import subprocess
import sys

import peer

# The markers of each format's templates, for use in a loop.
MARKERS = {
    "chatml": "'<|im_start|>' + message['role']",
    "phi4": "'<|im_start|>' + message['role'] + '<|im_sep|>'",
    "llama2": "'[INST] ' + message['content'] + ' [/INST]'",
    "llama2-sys": "'[INST] <<SYS>>' + message['content'] + ' [/INST]'",
    "llama2-sys-bos": "bos_token + '[INST] ' + '<<SYS>>' + message['content'] + ' [/INST]'",
    "llama2-sys-strip": "bos_token + '[INST] <<SYS>>' + content.strip() + ' [/INST]'",
    "llama3": "'<|start_header_id|>' + message['role'] + '<|end_header_id|>'",
    "llama4": "'<|header_start|>' + message['role'] + '<|header_end|>'",
    "mistral-v1": "' [INST] ' + system_message + message['content'] + ' [/INST]'",
    "mistral-v3": "'[AVAILABLE_TOOLS] ' + '[INST] ' + message['content'] + '[/INST]'",
    "mistral-v3-tekken": "\"[AVAILABLE_TOOLS]\" + \"[INST]\" + message['content'] + \"[/INST]\"",
    "mistral-v7": "'[SYSTEM_PROMPT] ' + message['content'] + '[/SYSTEM_PROMPT]' + '[INST] '",
    "mistral-v7-tekken": "'[SYSTEM_PROMPT]' + message['content'] + '[/SYSTEM_PROMPT]' + '[INST]'",
    "phi3": "'<|user|>' + message['content'] + '<|end|>' + '<|assistant|>'",
    "gemma": "'<start_of_turn>' + role + message['content'] + '<end_of_turn>'",
    "zephyr": "'<|user|>' + message['content'] + eos_token + '<|assistant|>'",
    "stablelm": "'<|user|>' + message['content'] + '<|endoftext|>'",
    "falcon3": "'<|user|>' + message['content'] + '</s>' + '<|assistant|>'",
    "vicuna": "'USER: ' + message['content'] + 'ASSISTANT: '",
    "vicuna-orca": "'SYSTEM: ' + 'USER: ' + message['content'] + 'ASSISTANT: '",
    "openchat": "'GPT4 Correct ' + message['role'].title() + ': ' + message['content']",
    "monarch": "bos_token + message['role'] + message['content'] + eos_token",
    "deepseek": "'### Instruction:' + message['content'] + '### Response:' + '<|EOT|>'",
    "deepseek2": "'Assistant: ' + message['content'] + eos_token",
    "deepseek3": "'<\uff5cUser\uff5c>' + message['content'] + '<\uff5cAssistant\uff5c>' + '<\uff5cend\u2581of\u2581sentence\uff5c>'",
    "command-r": "'<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + message['content']",
    "granite": "'<|start_of_role|>' + message['role'] + '<|end_of_role|>'",
    "exaone3": "'[|system|]' + '[|assistant|]' + message['content'] + '[|endofturn|]'",
}
# The peer's names of the formats.
NAMES = {"stablelm": "zephyr"}
# The peer has no format whose turns end with </s>. It treats Zephyr's and TinyLlama's templates, whose
# turns end with the end-of-text token, as a format without ends, and does not recognise Tekken v7.
UNKNOWN_TO_PEER = {"zephyr"}
TAKEN_OTHERWISE = {"zephyr", "mistral-v7-tekken"}
NO_FORMAT = ["", "{{ messages[0].content }}", "'<|user|>' + message['content']",
             "'### Instruction:' + message['content']"]
TOKENS = [("llama-spm", "llama2-sys"), ("llama-spm", "zephyr"), ("llama-spm", "vicuna"), ("phi-3", "phi3"),
          ("phi-3", "chatml"), ("gpt-2", "chatml"), ("gpt-2", "openchat"), ("gpt-2", "stablelm"),
          ("llama-spm", "mistral-v1"), ("llama-spm", "mistral-v3")]
PHRASES = ["Hello", " leading", "trailing  ", "\n\nlines\n", "caf\u00e9 \U0001F600", "x", "", "  ", "it's 1984",
           "a\tb", "USER", "\u3000wide"]


def template(markers):
    return "{% for message in messages %}{{ " + markers + " }}{% endfor %}"


def conversations(rng):
    def some():
        return " ".join(rng.choice(PHRASES) for _ in range(rng.randrange(1, 4)))

    # In some formats, the peer treats a blank system message as none.
    for turns in (1, 1, 2, 3):
        for system in (True, False):
            yield [("system", some() + rng.choice(["Be brief.", " Obey\n"]))] * system + [(role, some()) for _ in range(turns)
                                                   for role in ("user", "assistant")][:-1]


def measured(text):
    return b"%d\n%b" % (len(text.encode()), text.encode())


def feed(cases):
    return b"".join(measured(t) + b"\n%d\n" % len(messages) + b"".join(measured(part) for m in messages for part in m)
                    for t, messages in cases)


def texts(raw):
    while raw:
        length, _, raw = raw.partition(b"\n")
        n = max(int(length), 0)
        yield raw[:n] if int(length) >= 0 else None
        raw = raw[n:]


def ours(dump, cases, *model):
    return subprocess.run([dump, "chat", *model], input=feed(cases), check=True, capture_output=True).stdout


def compare_texts(dump, title, our_cases, their_cases):
    their = texts(peer.text("chat", feed=feed(their_cases)))
    differ = peer.differences(title, our_cases, texts(ours(dump, our_cases)), their)
    print(f"{title:36} {len(our_cases)} conversations, {differ} differ")
    return differ


def compare_tokens(dump, vocabulary, name, talks):
    model = peer.SHARED / "models" / f"ggml-vocab-{vocabulary}.gguf"
    cases = [(name, messages) for messages in talks]
    applied = list(texts(ours(dump, cases)))
    their = peer.text("tokens", peer.bring(model), feed=b"".join(b"1 %d\n%b" % (len(t), t) for t in applied))
    our = ours(dump, cases, str(model))
    differ = peer.differences(f"{vocabulary}, {name}", cases, our.decode().splitlines(), their.decode().splitlines())
    print(f"{'tokens of ' + vocabulary + ', ' + name:36} {len(cases)} conversations, {differ} differ")
    return differ


def main():
    why = peer.missing()
    if why:
        print("skipped:", why)
        sys.exit(77)
    dump = sys.argv[1]
    names = subprocess.run([dump, "formats"], check=True, capture_output=True).stdout.decode().split()
    if sorted(names) != sorted(MARKERS):
        sys.exit(f"formats without a case here, or cases without a format: {set(names) ^ set(MARKERS)}")
    talks = [messages for seed in range(10) for messages in conversations(random.Random(seed))]
    differ = 0
    for name in names:
        by_name = [(name, m) for m in talks]
        by_template = [(template(MARKERS[name]), m) for m in talks]
        their_name = [(NAMES.get(name, name), m) for m in talks]
        if name not in UNKNOWN_TO_PEER:
            differ += compare_texts(dump, name, by_name, their_name)
        if name not in TAKEN_OTHERWISE:
            differ += compare_texts(dump, name + ", its template", by_template, by_template)
        differ += peer.differences(name, by_template, texts(ours(dump, by_template)), texts(ours(dump, by_name)))
    differ += compare_texts(dump, "templates that are unknown", *2 * [[(t, talks[0]) for t in NO_FORMAT]])
    for vocabulary, name in TOKENS:
        differ += compare_tokens(dump, vocabulary, name, talks)
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
