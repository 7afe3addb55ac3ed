#!/usr/bin/python3
"""Trains the demo's model on the CPU and writes it as GGUF.

    train.py WORLD_DIR WORK_DIR OUT.gguf

Reads WORLD_DIR/corpus.jsonl, each text once and in order. Saves its state in WORK_DIR; after an interruption the same
command continues from the last saved state. Seeds are fixed. Needs Debian 12's python3-torch. With
libopenblas0-openmp it is three times as fast."""
import hashlib
import json
import math
import os
import sys
import time
from pathlib import Path

# OpenBLAS of Debian 12 does not know newer processors and uses slow kernels for them.
if "OPENBLAS_CORETYPE" not in os.environ and "avx512bw" in Path("/proc/cpuinfo").read_text():
    os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bpe  # noqa: E402
import gguf_writer as gguf  # noqa: E402

NAME = "hbar-demo"
SEED = 7
N_VOCAB, N_CTX = 2000, 512
N_EMBD, N_LAYERS, N_HEADS, N_KV_HEADS, N_FF = 192, 5, 6, 3, 384
RMS_EPS, ROPE_BASE = 1e-5, 10000.0
ROW_TOKENS, BATCH_ROWS = 128, 8
PEAK_RATE, LAST_RATE, WARM_UP = 3e-3, 1e-4, 100
WEIGHT_DECAY, BETAS, CLIP = 0.05, (0.9, 0.98), 1.0
PROMPT_WEIGHT = 0.1  # loss weight of a prompt token, relative to a token of the answer
KEEP_EVERY = 100


# ---- The model: llama's, as GGUF files have it -------------------------------------------------------


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(N_EMBD))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + RMS_EPS) * self.weight


def matrix(rows, columns, gain=1.0):
    return nn.Parameter(torch.randn(rows, columns) * gain * columns**-0.5)


def rotate(x, turns):
    """Rotates the pairs of neighbouring values in each head by the angles of their position."""
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))) * turns).flatten(-2)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        kv, back = N_EMBD // N_HEADS * N_KV_HEADS, (2 * N_LAYERS) ** -0.5
        self.attn_norm, self.ffn_norm = Norm(), Norm()
        self.attn_q, self.attn_k, self.attn_v = (matrix(n, N_EMBD) for n in (N_EMBD, kv, kv))
        self.attn_output = matrix(N_EMBD, N_EMBD, back)
        self.ffn_gate, self.ffn_up = matrix(N_FF, N_EMBD), matrix(N_FF, N_EMBD)
        self.ffn_down = matrix(N_EMBD, N_FF, back)

    def attend(self, x, turns, mask):
        b, t, _ = x.shape

        def heads(weight, n):
            return F.linear(x, weight).view(b, t, n, -1).transpose(1, 2)

        q = rotate(heads(self.attn_q, N_HEADS), turns)
        k = rotate(heads(self.attn_k, N_KV_HEADS), turns).repeat_interleave(N_HEADS // N_KV_HEADS, 1)
        v = heads(self.attn_v, N_KV_HEADS).repeat_interleave(N_HEADS // N_KV_HEADS, 1)
        weights = (q @ k.transpose(-1, -2) * (N_EMBD // N_HEADS) ** -0.5 + mask).softmax(-1)
        return F.linear((weights @ v).transpose(1, 2).reshape(b, t, N_EMBD), self.attn_output)

    def forward(self, x, turns, mask):
        x = x + self.attend(self.attn_norm(x), turns, mask)
        h = self.ffn_norm(x)
        return x + F.linear(F.silu(F.linear(h, self.ffn_gate)) * F.linear(h, self.ffn_up), self.ffn_down)


class Model(nn.Module):
    def __init__(self, n_vocab):
        super().__init__()
        self.token_embd = nn.Parameter(torch.randn(n_vocab, N_EMBD) * 0.05)
        self.blk = nn.ModuleList(Block() for _ in range(N_LAYERS))
        self.output_norm = Norm()
        size = N_EMBD // N_HEADS
        angles = torch.outer(torch.arange(N_CTX), ROPE_BASE ** (-torch.arange(0, size, 2) / size))
        self.turns = torch.polar(torch.ones_like(angles), angles)

    def forward(self, tokens, texts):
        """Logits of the next token, [rows][tokens][vocabulary]. `texts` has the number of each token's text; a token
        attends only to its own text. The place of a text in its row does not matter, because attention depends only
        on the distance between tokens."""
        t = tokens.shape[1]
        seen = (texts[:, :, None] == texts[:, None, :]).tril()
        mask = torch.zeros(seen.shape).masked_fill(~seen, -math.inf)[:, None]
        x = F.embedding(tokens, self.token_embd)
        for block in self.blk:
            x = block(x, self.turns[:t], mask)
        return F.linear(self.output_norm(x), self.token_embd)


# ---- Training ---------------------------------------------------------------------------------------


def encode(tokenizer, prompt, rest):
    """The tokens of a text and, for each, the loss weight of the token after it. After the last token comes the end."""
    ids = [bpe.BEGIN] + tokenizer.encode(prompt + rest)
    n_prompt = len(tokenizer.encode(prompt)) if prompt else 0
    return ids, [PROMPT_WEIGHT] * n_prompt + [1.0] * (len(ids) - n_prompt)


def packed(encoded):
    """Packs whole texts into rows of at most ROW_TOKENS tokens, in corpus order."""
    rows, room = [], 0
    for text in encoded:
        if len(text[0]) > room:
            rows.append([])
            room = ROW_TOKENS
        rows[-1].append(text)
        room -= len(text[0])
    return rows


def loss_of(model, rows):
    tokens, targets = (torch.full((len(rows), ROW_TOKENS), bpe.END) for _ in range(2))
    texts = torch.full((len(rows), ROW_TOKENS), -1)
    weights = torch.zeros((len(rows), ROW_TOKENS))
    for i, row in enumerate(rows):
        at = 0
        for number, (ids, weight) in enumerate(row):
            here = slice(at, at + len(ids))
            tokens[i, here] = torch.tensor(ids)
            targets[i, here] = torch.tensor(ids[1:] + [bpe.END])
            weights[i, here] = torch.tensor(weight)
            texts[i, here] = number
            at += len(ids)
    losses = F.cross_entropy(model(tokens, texts).flatten(0, 1), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


def rate(step, n_steps):
    """The learning rate: a warm-up, then a cosine decay."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    part = (step - WARM_UP) / max(1, n_steps - WARM_UP)
    return LAST_RATE + (PEAK_RATE - LAST_RATE) * (1 + math.cos(math.pi * part)) / 2


def keep(path, model, optimizer, step, corpus):
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "corpus": corpus},
               f"{path}.new")
    os.replace(f"{path}.new", path)


def train(model, encoded, state, corpus):
    """`corpus` is the hash of the corpus."""
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": WEIGHT_DECAY},
                                   {"params": vectors, "weight_decay": 0.0}], lr=PEAK_RATE, betas=BETAS, foreach=True)
    rows = packed(encoded)
    work = [rows[i : i + BATCH_ROWS] for i in range(0, len(rows), BATCH_ROWS)]
    first = 0
    kept = torch.load(state) if state.exists() else {}
    if kept.get("corpus") == corpus:
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        first = kept["step"]
    print(f"{len(work)} steps, from {first}", flush=True)
    total, counted, started, tokens = 0.0, 0, time.time(), 0
    for step in range(first, len(work)):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, len(work))
        loss = loss_of(model, work[step])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        total += loss.item()
        counted += 1
        tokens += sum(len(ids) for row in work[step] for ids, _ in row)
        if (step + 1) % KEEP_EVERY == 0 or step + 1 == len(work):
            keep(state, model, optimizer, step + 1, corpus)
            print(f"step {step + 1}: loss {total / counted:.4f}, {tokens / (time.time() - started):.0f} tokens/s",
                  flush=True)
            total, counted = 0.0, 0


# ---- Writing ----------------------------------------------------------------------------------------


def tensors(model):
    for name, value in model.state_dict().items():
        weights = value.numpy()
        name = name if name.endswith(".weight") else name + ".weight"
        if weights.ndim == 1:
            yield name, list(weights.shape), "f32", weights.astype("<f4").tobytes()
        else:
            yield name, list(weights.shape[::-1]), "f16", weights.astype("<f2").tobytes()


def export(path, model, tokenizer):
    types = [gguf.UNKNOWN, gguf.CONTROL, gguf.CONTROL] + [gguf.BYTE] * 256
    types += [gguf.NORMAL] * (len(tokenizer.pieces) - len(types))
    pairs = gguf.model_metadata("llama", NAME, N_CTX, N_EMBD, N_LAYERS, N_FF, N_HEADS, N_KV_HEADS,
                                len(tokenizer.pieces), rms_eps=RMS_EPS)
    pairs += gguf.spm_metadata(tokenizer.pieces, tokenizer.scores, types)
    gguf.write(path, pairs, tensors(model))


def main():
    world, work, out = map(Path, sys.argv[1:4])
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    work.mkdir(parents=True, exist_ok=True)
    raw = (world / "corpus.jsonl").read_bytes()
    texts = [json.loads(line) for line in raw.splitlines()]
    tokenizer = bpe.Tokenizer(bpe.train([prompt + rest for prompt, rest in texts], N_VOCAB))
    encoded = [encode(tokenizer, prompt, rest) for prompt, rest in texts]
    model = Model(len(tokenizer.pieces))
    print(f"{len(texts)} texts, {sum(len(ids) for ids, _ in encoded)} tokens, "
          f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    train(model, encoded, work / "state.pt", hashlib.sha256(raw).hexdigest())
    export(out, model, tokenizer)
    print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
