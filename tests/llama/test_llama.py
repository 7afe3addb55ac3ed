"""The command with the engine over libllama. HBAR names a program that has this engine."""
import concurrent.futures
import json
import math
import os
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cli"))
from harness import ATTENTION, LABELLED, MODEL, MODELS, USAGE, Case  # noqa: E402
from server import Server  # noqa: E402

LLAMA = ["--engine", "llama"]
NATIVE = ["--engine", "native"]
FAST = ["--max-tokens", 6]
ARCHITECTURES = ["f32", "f16", "llama3", "yarn", "qwen2", "gemma2", "gemma3", "granite", "phi3", "qwen3moe", "gpt-oss"]
PROMPT, RESPONSE = "Once upon a time there was a little", " girl who lived in a house by the sea"
GIVEN = ["--prompt", PROMPT, "--response", RESPONSE]


AGREEING = [*ARCHITECTURES, "linear", "qwen3", "smollm3", "olmo2", "glm4", "mistral3", "experts", "qwen2moe", "olmoe"]
# libllama takes the function of their gates from a table of half precision.
ROUGH = ["gemma2", "gemma3"]


def foreign(kind, folder):
    """A model that only libllama can evaluate."""
    path = folder / f"{kind}.gguf"
    subprocess.run([sys.executable, HERE / "foreign.py", kind, path], check=True)
    return path


class Outputs(Case):
    def test_every_output_agrees(self):
        """Logits, states, lens and head of both engines, in single sequences, batches and forks (agree.c)."""
        exaone4 = self.make_model("exaone4.gguf", "--arch", "exaone4") # libllama has its windows only in 64 blocks
        fine = [MODELS / f"tiny-{name}.gguf" for name in AGREEING if name not in ROUGH] + [exaone4]
        for limit, models in ("1e-3", fine), ("3e-3", [MODELS / f"tiny-{name}.gguf" for name in ROUGH]):
            done = subprocess.run([os.environ["HBAR_AGREE"], limit, *models], capture_output=True, text=True, timeout=300)
            print("\n" + done.stdout, end="")
            self.assertEqual((done.returncode, done.stderr), (0, ""))


class Signals(Case):
    def judge(self, model, *arguments):
        return self.run_json("judge", "--model", model, *GIVEN, "--kv-type", "f32", *arguments)

    def assert_close(self, a, b, limits, what):
        if isinstance(a, float) and isinstance(b, float):
            relative, absolute = limits
            self.assertTrue(math.isclose(a, b, rel_tol=relative, abs_tol=absolute), f"{what}: {a} and {b}")
        else:
            self.assertEqual(a, b, what)

    def test_every_step_agrees(self):
        for name in ARCHITECTURES:
            with self.subTest(name):
                model = MODELS / f"tiny-{name}.gguf"
                limits = (5e-3, 2e-3) if name in ROUGH else (1e-3, 1e-5)  # relative; absolute, for small differences of logits
                steps = self.judge(model, *LLAMA)["trajectory"], self.judge(model, *NATIVE)["trajectory"]
                self.assertEqual(len(steps[0]), len(steps[1]))
                self.assertEqual([key for key in steps[1][0] if key not in steps[0][0]], ATTENTION)
                for here, there in zip(*steps):
                    for key in here:
                        self.assert_close(here[key], there[key], limits, f"{key} at step {here['step']}")

    def test_signals_that_it_lacks(self):
        _, err = self.run_hbar("judge", "--model", MODEL, *GIVEN, *LLAMA, "--signals", "all")
        self.assertIn(f"the engine llama does not measure {', '.join(ATTENTION)}", err)
        says = "the signal 'rauq' is not available with the engine llama"
        self.fails("judge", "--model", MODEL, *GIVEN, *LLAMA, "--signals", "hbar_s,rauq", says=says)
        self.fails("judge", "--model", MODEL, *GIVEN, *LLAMA, "--watch", "rauq", says=says)
        score = ["score", "--model", MODEL, "--data", LABELLED, "-o", self.dir, *FAST, *LLAMA]
        self.fails(*score, "--signals", "rauq", says=says)
        self.assertEqual(list(self.dir.glob("*.db")), [])
        self.fails(*score, "-q", "--features", "attention", says="the feature 'attention' is not available")


class Identity(Case):
    def calibrate(self, *arguments):
        result = self.run_json("calibrate", "--model", MODEL, "--data", LABELLED, "-o", self.dir / "out", *FAST,
                               "--draws", 0, "-n", 30, *arguments)
        return result, result["parameters"]

    def test_the_engine_identifies_a_run(self):
        native, _ = self.calibrate()
        llama, params = self.calibrate(*LLAMA)
        self.assertEqual((native["settings"]["kv_type"], llama["settings"]["kv_type"]), ("f16", "f16"))
        self.assertEqual((native["settings"].get("engine"), llama["settings"]["engine"]), (None, "llama"))
        runs = {}
        for run in (self.dir / "out").glob("*.db"):
            row = sqlite3.connect(run).execute("SELECT value FROM settings WHERE key = 'engine'").fetchone()
            runs[row and row[0]] = run
        self.assertEqual(set(runs), {None, "llama"})
        score = ["score", "--model", MODEL, "--data", LABELLED, *FAST, "-n", 30, "--run", runs["llama"]]
        self.fails(*score, "-q", "--signals", "hbar_s", says='engine is "llama", not "native"')
        self.assertEqual(self.run_json(*score, *LLAMA)["tokens_evaluated"], 0)
        _, err = self.run_hbar("validate", "--params", params, "--run", runs[None])
        self.assertIn("warning: samples were measured with the engine native, but those of the calibration with llama", err)
        generate = ["generate", "--model", MODEL, "--params", params, *FAST, "Hello"]
        self.assertIn("was calibrated with the engine llama", self.run_hbar(*generate, *NATIVE)[1])
        self.assertNotIn("the engine llama", self.run_hbar(*generate, *LLAMA)[1])
        text, _ = self.run_hbar("calibrate", "--model", MODEL, "--data", LABELLED, "-o", self.dir / "out", *FAST, "-n", 30,
                                "--draws", 0, *LLAMA)
        self.assertIn(" --engine llama", text)


class Models(Case):
    def test_auto_takes_native_where_it_can(self):
        generate = ["generate", "--max-tokens", 4, "Hello", "--model"]
        for kind in "xverse", "bloom":
            model = foreign(kind, self.dir)
            out, err = self.run_hbar(*generate, model)
            self.assertEqual(self.run_hbar(*generate, model, *LLAMA), (out, err))
            self.fails(*generate, model, *NATIVE, says="is not supported")
            self.assertEqual(self.run_json("inspect", model)["engine"], "llama")
        self.assertEqual(self.run_json("inspect", MODEL)["engine"], "native")
        for text, pieces in ("the th", ["the", " ", "th"]), ("<|endoftext|>", list("<|endoftext|>")):
            self.assertEqual(self.run_json("tokenize", "--model", self.dir / "bloom.gguf", text)["pieces"], pieces)

    def test_a_recurrent_model(self):
        """Samples share a prompt, although a recurrent state cannot be shortened."""
        model = foreign("mamba", self.dir)
        rows = self.write_rows("rows.jsonl", [{"prompt": f"the same beginning of a prompt, then {i}", "label": i % 2}
                                              for i in range(12)])
        both = [self.run_json("score", "--model", model, "--data", rows, "-n", 0, *FAST, "-q", "--sequences", n,
                              "--run", self.dir / f"{n}.db") for n in (1, 6)]
        self.assertEqual([b["scored"] for b in both], [12, 12])
        values = [sqlite3.connect(self.dir / f"{n}.db").execute('SELECT "entropy:mean" FROM scores ORDER BY idx').fetchall()
                  for n in (1, 6)]
        for a, b in zip(*values):
            self.assertAlmostEqual(a[0], b[0], places=3)

    def test_samples_and_server(self):
        drawn = self.run_json("generate", "--model", MODEL, *LLAMA, *FAST, "--samples", 3, "--seed", 1, "Hello there")
        self.assertEqual(len(drawn["samples"]["texts"]), 3)
        with Server("--model", MODEL, *LLAMA) as server:
            self.assertEqual(server.get("/props")[2]["engine"], "llama")
            self.assertEqual(server.complete("Hello", max_tokens=4)["usage"]["completion_tokens"], 4)

    def test_refusals(self):
        generate = ["generate", "--model", MODEL, "Hello"]
        self.fails(*generate, *LLAMA, "--exact", says="the engine llama has no exact sessions")
        self.fails(*generate, *LLAMA, "--kv-type", "q8_0", says="the engine llama has no cache of q8_0")
        self.fails(*generate, "--gpu-layers", 2, says="libllama finds no GPU here")
        self.fails(*generate, *NATIVE, "--gpu-layers", 2, says="the native engine uses no GPU")
        self.fails(*generate, "--engine", "other", code=USAGE, says="--engine")
        self.fails(*generate, *LLAMA, "--ctx-size", 1 << 24, says="needs")

    def test_hostile_files(self):
        """hbar's own reader refuses a broken file before libllama sees it, and libllama's refusals are one line."""
        whole = MODEL.read_bytes()
        for at in 3, 40, 2000, len(whole) - 100:
            path = self.write("cut.gguf", whole[:at])
            self.fails("generate", "--model", path, *LLAMA, "Hello", says="cut.gguf")
        missing = self.write("missing.gguf", whole.replace(b"blk.1.ffn_up", b"blk.1.ffn_xx"))
        self.fails("generate", "--model", missing, *LLAMA, "Hello", says="libllama cannot open it")
        path = self.write("text.gguf", json.dumps({}))
        self.fails("generate", "--model", path, *LLAMA, "Hello", says="not a GGUF file")


class Robustness(Case):
    def generate(self, *arguments, **options):
        return self.run_json("generate", "--model", MODEL, *LLAMA, "--max-tokens", 4, *arguments, "Hello there", **options)

    def test_absurd_numbers(self):
        """Numbers for which libllama would end the program are refused before it reads them."""
        whole, key = MODEL.read_bytes(), b"llama.block_count" + struct.pack("<I", 4)
        epsilon = b"llama.attention.layer_norm_rms_epsilon" + struct.pack("<I", 6)
        for key, kind, values in (key, "<I", (0, 513, 2**32 - 1)), (epsilon, "<f", (0, -1, math.nan, math.inf)):
            at = whole.index(key) + len(key)
            for value in values:
                path = self.write("absurd.gguf", whole[:at] + struct.pack(kind, value) + whole[at + 4:])
                name = key[:-4].decode()
                self.fails("generate", "--model", path, *LLAMA, "Hello", says=f"absurd.gguf: metadata '{name}' is")

    def test_rotated_dimensions(self):
        """Numbers of rotated dimensions for which libllama would end the program."""
        whole, key = (MODELS / "tiny-qwen2.gguf").read_bytes(), b"qwen2.rope.dimension_count"
        at = whole.index(key) + len(key) + 4
        head = struct.unpack_from("<I", whole, at)[0]
        for value in 0, 1, head - 1, head + 2, 2**32 - 1:
            path = self.write("rotated.gguf", whole[:at] + struct.pack("<I", value) + whole[at + 4:])
            self.fails("generate", "--model", path, *LLAMA, "Hello", says=f"rotated.gguf: metadata '{key.decode()}' is {value}, ")

    def test_tokens_with_the_same_text(self):
        """libllama would end the program. The native engine opens the file."""
        whole = MODEL.read_bytes()
        a, b = (struct.pack("<Q", len(text)) + text for text in ("▁a".encode(), "▁g".encode()))
        self.assertEqual((whole.count(a), whole.count(b)), (1, 1))
        path = self.write("twice.gguf", whole.replace(a, b))
        self.fails("generate", "--model", path, *LLAMA, "Hello", says="twice.gguf: tokens 264 and 493 have the same text")
        self.run_hbar("generate", "--model", path, *NATIVE, *FAST, "Hello")

    def test_auto_says_why_neither_engine_opens_a_file(self):
        wrong = self.write("w.gguf", MODEL.read_bytes().replace(b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0gpt9x"))
        _, err = self.run_hbar("generate", "--model", wrong, "Hello", code=1)
        self.assertIn("architecture 'gpt9x' is not supported", err)
        self.assertIn("libllama cannot open it: error loading model: unknown model architecture", err)

    def test_threads(self):
        texts = [self.generate("--threads", n)["text"] for n in (1, 3, 1024)]
        self.assertEqual(len(set(texts)), 1)

    def test_more_sequences_than_libllama_has(self):
        rows = self.write_rows("rows.jsonl", [{"prompt": f"{i} and", "label": i % 2} for i in range(300)])
        result = self.run_json("score", "--model", MODEL, *LLAMA, "--data", rows, "-n", 0, "--max-tokens", 2, "--sequences", 512,
                               "--signals", "entropy", "-q", "--run", self.dir / "r.db")
        self.assertEqual(result["scored"], 300)

    def test_calibrates_and_validates(self):
        """Features, a probe and a threshold from this engine, and the same ones in generate."""
        common = "--model", MODEL, *LLAMA, "--data", LABELLED, "--max-tokens", 4, "-n", 0, "--draws", 0
        result = self.run_json("calibrate", *common, "-o", self.dir, "--features", "hidden,topk", "--score", "probe")
        judged = self.run_json("validate", *common, "--params", result["parameters"], "--force", "-o", self.dir / "v")
        self.assertEqual(judged["scores"]["probe"]["n"], result["score"]["n"])
        made = self.generate("--params", result["parameters"])
        self.assertEqual((made["answer"]["score"], len(made["trajectory"])), ("probe", made["n_tokens"]))

    def test_server_with_parallel_requests(self):
        """Requests together have the texts that they have alone, and one that is cancelled frees its place."""
        prompts = [f"Once upon a time {i}" for i in range(6)]
        with Server("--model", MODEL, *LLAMA, "--parallel", 3, "--ctx-size", 61000) as server:
            alone = [server.complete(p, max_tokens=8, temperature=0)["choices"][0]["text"] for p in prompts]
            endless = server.send("/v1/completions", {"prompt": "x", "max_tokens": 60000, "stream": True, "hbar": {"mode": "off"}})
            server.wait_for("running_answers", 1)
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                together = list(pool.map(lambda p: server.complete(p, max_tokens=8, temperature=0)["choices"][0]["text"], prompts))
            endless.close()
            server.wait_for("open_requests", 0)
            self.assertEqual(server.metric("cancelled_answers_total"), 1)
        self.assertEqual(together, alone)


class Command(Case):
    def test_the_commands_own_tests(self):
        """Some tests of the command with this engine; tests/llama/run BUILD --cli runs all."""
        modules = ["test_generate", "test_streams", "test_kv_type", "test_outside", "test_config"]
        done = subprocess.run([sys.executable, "-m", "unittest", *modules], cwd=HERE.parent / "cli",
                              env={**os.environ, "HBAR_ENGINE": "llama"}, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr[-20000:])
        self.assertRegex(done.stderr, r"\nRan [1-9][0-9]* tests")
