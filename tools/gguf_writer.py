"""Writes GGUF version 2 and 3 files from metadata pairs and encoded tensors."""
import struct

ALIGNMENT = 32

UINT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 2, 4, 5, 6, 7, 8, 9

# Tensor types by the names used here.
TENSOR_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q2_k": 10, "q3_k": 11,
                "q4_k": 12, "q5_k": 13, "q6_k": 14, "iq4_nl": 20, "iq4_xs": 23, "bf16": 30, "mxfp4": 39}

# Token types in tokenizer.ggml.token_type.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

_NUMBERS = {UINT16: "<H", UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}


def half(x):
    return struct.pack("<e", x)


def _text(s):
    raw = s.encode() if isinstance(s, str) else s
    return struct.pack("<Q", len(raw)) + raw


def _value(kind, value):
    return _text(value) if kind == STRING else struct.pack(_NUMBERS[kind], value)


def pair(key, kind, value):
    return _text(key) + struct.pack("<I", kind) + _value(kind, value)


def number(key, value):
    return pair(key, UINT32, value)


def array(key, kind, values):
    head = struct.pack("<IIQ", ARRAY, kind, len(values))
    return _text(key) + head + b"".join(_value(kind, v) for v in values)


def model_metadata(arch, name, n_ctx, n_embd, n_layers, n_ff, n_heads, n_kv_heads, n_vocab, *, n_rot=None,
                   rms_eps=1e-5):
    """The metadata pairs that describe a model's shape."""
    return [
        pair("general.architecture", STRING, arch),
        pair("general.name", STRING, name),
        number(arch + ".context_length", n_ctx),
        number(arch + ".embedding_length", n_embd),
        number(arch + ".block_count", n_layers),
        number(arch + ".feed_forward_length", n_ff),
        number(arch + ".attention.head_count", n_heads),
        number(arch + ".attention.head_count_kv", n_kv_heads),
        number(arch + ".rope.dimension_count", n_rot or n_embd // n_heads),
        number(arch + ".vocab_size", n_vocab),
        pair(arch + ".attention.layer_norm_rms_epsilon", FLOAT32, rms_eps),
    ]


def spm_metadata(pieces, scores, types):
    """The pairs of a SentencePiece tokenizer whose first three pieces are unknown, begin and end."""
    return [
        pair("tokenizer.ggml.model", STRING, "llama"),
        array("tokenizer.ggml.tokens", STRING, pieces),
        array("tokenizer.ggml.scores", FLOAT32, scores),
        array("tokenizer.ggml.token_type", INT32, types),
        number("tokenizer.ggml.bos_token_id", 1),
        number("tokenizer.ggml.eos_token_id", 2),
        number("tokenizer.ggml.unknown_token_id", 0),
    ]


def write(path, pairs, tensors, version=3):
    """tensors: (name, [columns, rows ...], name of a tensor type, bytes) of each."""

    def pad(n):
        return bytes(-n % ALIGNMENT)

    entries, data = [], bytearray()
    for name, dims, kind, raw in tensors:
        shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
        entries.append(_text(name) + shape + struct.pack("<IQ", TENSOR_TYPES[kind], len(data)))
        data += raw + pad(len(raw))
    head = b"GGUF" + struct.pack("<IQQ", version, len(entries), len(pairs)) + b"".join(pairs + entries)
    with open(path, "wb") as f:
        f.write(head + pad(len(head)) + data)


def write_parts(path, pairs, tensors, n_parts, version=3):
    """Writes the same model as files NAME-00001-of-0000N.gguf for a path NAME.gguf. The first has the metadata."""
    tensors = list(tensors)
    for no in range(n_parts):
        share = tensors[len(tensors) * no // n_parts : len(tensors) * (no + 1) // n_parts]
        split = [pair("split.no", UINT16, no), pair("split.count", UINT16, n_parts),
                 pair("split.tensors.count", INT32, len(tensors))]
        name = f"{str(path).removesuffix('.gguf')}-{no + 1:05}-of-{n_parts:05}.gguf"
        write(name, (pairs if no == 0 else []) + split, share, version)
