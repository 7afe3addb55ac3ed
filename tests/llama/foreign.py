"""Writes models of architectures and tokenizers that only libllama has, with random weights.
usage: foreign.py xverse|bloom|mamba OUT.gguf"""
import random
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tools"))
import gguf_writer as gguf  # noqa: E402
import make_model  # noqa: E402

SMALL = ["--type", "f32", "--embd", "32", "--heads", "2", "--ff", "32", "--layers", "3"]


def make(path, *options):
    sys.argv = ["make_model.py", path, *SMALL, *options]
    make_model.main()


def xverse(path):
    """An architecture with the tensors of llama."""
    make_model.ARCHITECTURES["xverse"] = make_model.ARCHITECTURES["llama"]
    make(path, "--arch", "xverse")


def bloom(path):
    """A llama model with another pre-tokenizer."""
    make(path, "--byte-level")
    data = Path(path).read_bytes()
    name = struct.pack("<Q", 5)
    assert data.count(name + b"gpt-2") == 1
    Path(path).write_bytes(data.replace(name + b"gpt-2", name + b"bloom"))


def mamba(path, d=32, inner=64, state=4, rank=2, conv=4, layers=3):
    """A recurrent model, whose state cannot go back."""
    rng = random.Random(1)
    n_vocab, tokenizer = make_model.byte_level_metadata()

    def tensor(name, *dims, mean=0.0, spread=1.0):
        n = 1
        for size in dims:
            n *= size
        values = [mean + spread * rng.uniform(-1, 1) for _ in range(n)]
        return name, list(dims), "f32", struct.pack(f"<{n}f", *values)

    pairs = [gguf.pair("general.architecture", gguf.STRING, "mamba"), gguf.pair("general.name", gguf.STRING, "random-mamba")]
    numbers = {"context_length": 1024, "embedding_length": d, "feed_forward_length": 0, "attention.head_count": 0,
               "block_count": layers, "ssm.conv_kernel": conv, "ssm.inner_size": inner, "ssm.state_size": state,
               "ssm.time_step_rank": rank}
    pairs += [gguf.number("mamba." + key, value) for key, value in numbers.items()]
    pairs.append(gguf.pair("mamba.attention.layer_norm_rms_epsilon", gguf.FLOAT32, 1e-5))
    tensors = [tensor("token_embd.weight", d, n_vocab), tensor("output_norm.weight", d, mean=1, spread=0.1),
               tensor("output.weight", d, n_vocab)]
    for i in range(layers):
        b = f"blk.{i}."
        tensors += [tensor(b + "attn_norm.weight", d, mean=1, spread=0.1),
                    tensor(b + "ssm_in.weight", d, 2 * inner, spread=0.3),
                    tensor(b + "ssm_conv1d.weight", conv, inner, spread=0.5), tensor(b + "ssm_conv1d.bias", inner, spread=0.1),
                    tensor(b + "ssm_x.weight", inner, rank + 2 * state, spread=0.3),
                    tensor(b + "ssm_dt.weight", rank, inner, spread=0.3), tensor(b + "ssm_dt.bias", inner, spread=0.1),
                    tensor(b + "ssm_a", state, inner, mean=-1, spread=0.5), tensor(b + "ssm_d", inner),
                    tensor(b + "ssm_out.weight", inner, d, spread=0.3)]
    gguf.write(path, pairs + tokenizer, tensors)


if __name__ == "__main__":
    {"xverse": xverse, "bloom": bloom, "mamba": mamba}[sys.argv[1]](sys.argv[2])
