"""Reads GGUF files for the checks with NumPy."""
import struct
from pathlib import Path

import numpy as np


def read_model(path):
    """Metadata and F32 tensors of a GGUF file."""
    data, at = Path(path).read_bytes(), 8
    scalars = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def take(form):
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize(form)
        return value

    def text():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n:at].decode(errors="replace")

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            inner, n = take("I"), take("Q")
            return [value(inner) for _ in range(n)]
        return take(scalars[kind])
    n_tensors, n_pairs = take("Q"), take("Q")
    pairs = {text(): value(take("I")) for _ in range(n_pairs)}
    infos = [(text(), [take("Q") for _ in range(take("I"))], take("I"), take("Q")) for _ in range(n_tensors)]
    start = -(-at // 32) * 32
    return pairs, {name: np.frombuffer(data, "<f4", int(np.prod(shape)), start + offset).reshape(shape[::-1])
                   .astype(np.float64) for name, shape, kind, offset in infos if kind == 0}
