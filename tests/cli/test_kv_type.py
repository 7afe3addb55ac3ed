"""--kv-type: the type of the numbers in the KV cache."""
import sqlite3

from harness import LABELLED, MODELS, Case, by_engine, native_only

MODEL = MODELS / "tiny-f32.gguf"
KINDS = by_engine(["f16", "f32", "q8_0"], ["f16", "f32"])
OTHER = KINDS[-1]
FAST = ["--max-tokens", 4]


class KvType(Case):
    def calibrate(self, *arguments):
        result = self.run_json("calibrate", "--model", MODEL, "--data", LABELLED, "-o", self.dir / "out", *FAST,
                               "--draws", 0, *arguments)
        return result, result["parameters"]

    def kept_by(self, run):
        return sqlite3.connect(run).execute("SELECT value FROM settings WHERE key = 'kv_type'").fetchone()[0]

    def test_it_identifies_a_run(self):
        results = {kind: self.calibrate("--kv-type", kind) for kind in KINDS}
        self.assertEqual({k: r["settings"]["kv_type"] for k, (r, _) in results.items()}, {k: k for k in results})
        self.assertEqual(len({r["threshold"]["tau"] for r, _ in results.values()}), len(KINDS))
        runs = {self.kept_by(r): r for r in (self.dir / "out").glob("*.db")}
        self.assertEqual(set(runs), set(results))
        score = ["score", "--model", MODEL, "--data", LABELLED, *FAST, "--run", runs["f16"]]
        self.fails(*score, "--kv-type", "f32", says='different settings: kv_type is "f16", not "f32"')
        self.assertEqual(self.run_json(*score)["tokens_evaluated"], 0)  # f16 is the default
        validate = ["validate", "--params", results[OTHER][1], "--run"]
        _, err = self.run_hbar(*validate, runs["f16"])
        self.assertIn(f"warning: samples were measured with a cache of f16, but those of the calibration with one of {OTHER}", err)
        self.assertNotIn("a cache of", self.run_hbar(*validate, runs[OTHER])[1])

    def test_parameters_say_it(self):
        _, params = self.calibrate("--kv-type", "f32")
        for command in (["generate", "Hello", *FAST], ["judge", "--prompt", "Hello", "--response", " world"]):
            command += ["--model", MODEL, "--params", params]
            self.assertIn(f"warning: {params} was calibrated with --kv-type f32, not f16", self.run_hbar(*command)[1])
            self.assertNotIn("--kv-type", self.run_hbar(*command, "--kv-type", "f32")[1])

    def test_validate_and_the_next_commands_use_it(self):
        out, _ = self.run_hbar("calibrate", "--model", MODEL, "--data", LABELLED, "-o", self.dir / "out", *FAST,
                               "--kv-type", OTHER)
        self.assertEqual(out.count(f" --kv-type {OTHER} "), 2)
        (params,) = (self.dir / "out").glob("*.json")
        _, err = self.run_hbar("validate", "--model", MODEL, "--data", LABELLED, "--params", params, "--run",
                               self.dir / "v.db")
        self.assertNotIn("a cache of", err)
        self.assertEqual(self.kept_by(self.dir / "v.db"), OTHER)

    @native_only("the engine llama has no exact sessions")
    def test_exact_sessions_have_floats(self):
        generate = ["generate", "--model", MODEL, "Hello", *FAST]
        exact = self.run_json(*generate, "--exact")["scores"]
        self.assertEqual(exact, self.run_json(*generate, "--kv-type", "f32")["scores"])
        self.assertNotEqual(exact, self.run_json(*generate)["scores"])
        for command in (generate, ["serve", "--model", "no.gguf"], ["score", "--model", "no.gguf", "--data", "no"]):
            self.fails(*command, "--exact", "--kv-type", "f16", code=2,
                       says="--kv-type f16: the cache of an --exact session is f32")
        self.fails(*generate, "--kv-type", "f8", says="'f8' is not one of auto, f16, f32, q8_0", code=2)

    @native_only("the engine llama has no exact sessions")
    def test_validate_with_exact_parameters(self):
        _, params = self.calibrate("--exact")
        validate = ["validate", "--model", MODEL, "--data", LABELLED]
        self.fails(*validate, "--params", params, "--kv-type", "q8_0", "--run", self.dir / "v.db", code=2,
                   says=f"--kv-type q8_0: {params} was calibrated with --exact, whose cache is f32")
        self.assertFalse((self.dir / "v.db").exists())
        self.run_hbar(*validate, "--params", params, "--kv-type", "f32", "--run", self.dir / "v.db")
        _, rounded = self.calibrate()
        _, err = self.run_hbar("validate", "--params", rounded, "--run", self.dir / "v.db")
        self.assertIn("samples were measured with --exact, but those of the calibration without", err)
        self.assertNotIn("a cache of", err)
