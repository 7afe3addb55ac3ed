"""Byte-pair encoding with byte fallback, in SentencePiece's form: training, and encoding as hbar and llama.cpp do it
for tokenizer.ggml.model "llama".

The training text is split into words, which may begin with the mark of a space. A word contains either letters, one
digit, or one other character. So no piece spans two words, and merging by score gives each text the same pieces as in
training."""
import re
from collections import Counter, defaultdict

MARK = "\u2581"
UNKNOWN, BEGIN, END = 0, 1, 2
N_SPECIAL = 3 + 256
_WORDS = re.compile(rf"{MARK}?[^\W\d_]+|{MARK}?\d|{MARK}?[^\w{MARK}\n]|{MARK}|\n|.", re.DOTALL)


def marked(text):
    return MARK + text.replace(" ", MARK)


def train(texts, n_vocab, min_count=20):
    """Returns the pieces after the special ones, in the order of the merges. Characters that occur less often than
    `min_count` are encoded as bytes."""
    words = Counter()
    for text in texts:
        words.update(_WORDS.findall(marked(text)))
    characters = Counter()
    for word, n in words.items():
        for c in word:
            characters[c] += n
    alphabet = sorted(c for c, n in characters.items() if n >= min_count and c != "\n")
    counts = [n for _, n in sorted(words.items())]
    split = [list(word) for word, _ in sorted(words.items())]
    pairs, where = Counter(), defaultdict(set)
    for i, parts in enumerate(split):
        for pair in zip(parts, parts[1:]):
            pairs[pair] += counts[i]
            where[pair].add(i)
    known, joined = set(alphabet), []
    while len(alphabet) + len(joined) < n_vocab - N_SPECIAL:
        (a, b), n = max(pairs.items(), key=lambda item: (item[1], item[0]))
        if n < 2:
            break
        if a in known and b in known and a + b not in known:
            joined.append(a + b)
            known.add(a + b)
        elif a + b not in known:
            del pairs[a, b]
            continue
        for i in sorted(where.pop((a, b))):
            _replace(split[i], a, b, counts[i], pairs, where, i)
        pairs.pop((a, b), None)
    return joined + alphabet


def _replace(parts, a, b, n, pairs, where, i):
    """Joins a and b in one word and updates the counts of pairs."""
    for pair in zip(parts, parts[1:]):
        pairs[pair] -= n
    at = 0
    while at + 1 < len(parts):
        if parts[at] == a and parts[at + 1] == b:
            parts[at : at + 2] = [a + b]
        at += 1
    for pair in zip(parts, parts[1:]):
        pairs[pair] += n
        where[pair].add(i)


class Tokenizer:
    def __init__(self, pieces):
        """`pieces` is the result of train()."""
        self.pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + pieces
        self.scores = [0.0] * N_SPECIAL + [-float(i) for i in range(len(pieces))]
        self.ids = {p: i for i, p in enumerate(self.pieces) if i >= N_SPECIAL}
        self._cache = {}

    def encode(self, text):
        """Encodes a text without the begin-of-text token."""
        ids = []
        for word in _WORDS.findall(marked(text)):
            if word not in self._cache:
                self._cache[word] = self._encode_word(word)
            ids += self._cache[word]
        return ids

    def _encode_word(self, word):
        """Joins the pair with the best score (the leftmost on ties) until no pair is a piece."""
        parts = list(word)
        while True:
            best = None
            for i, pair in enumerate(zip(parts, parts[1:])):
                piece = self.ids.get(pair[0] + pair[1])
                if piece is not None and (best is None or self.scores[piece] > best[0]):
                    best = (self.scores[piece], i)
            if best is None:
                break
            parts[best[1] : best[1] + 2] = [parts[best[1]] + parts[best[1] + 1]]
        ids = []
        for part in parts:
            ids += [self.ids[part]] if part in self.ids else [3 + b for b in part.encode()]
        return ids

    def decode(self, ids):
        raw = b""
        for i in ids:
            if 3 <= i < N_SPECIAL:
                raw += bytes([i - 3])
            elif i >= N_SPECIAL:
                raw += self.pieces[i].replace(MARK, " ").encode()
        return raw.decode(errors="replace")
