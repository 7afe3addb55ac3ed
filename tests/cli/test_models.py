"""Model files: their names, their warnings, and the kernels that run them."""
import os
import subprocess
import sys
import unittest

from harness import BYTE_MODEL, FAILED, LABELLED, MODEL, PROJECT, Case, native_only


class Models(Case):
    def test_names_are_not_cut_at_a_dot(self):
        """A model name is not a path: the part after its last dot or slash belongs to it."""
        for name, shown in (b"Llama 3.2 1B", "llama_3.2_1b"), (b"org/Model.v2", "org_model.v2"):
            model = self.write("model.gguf", MODEL.read_bytes().replace(b"random-llama", name))
            result = self.run_json("score", "--quiet", "--model", model, "--data", LABELLED, "-n", 2, "--max-tokens", 1,
                                 "--output-dir", self.dir)
            self.assertRegex(result["run"], rf"/{shown}_run_[0-9a-f]{{8}}\.db$")

    def test_long_names(self):
        model = self.dir / "long.gguf"
        subprocess.run([sys.executable, PROJECT / "tools" / "make_model.py", model, "--type", "f32", "--embd", "32",
                        "--ff", "32", "--heads", "2", "--name", "n" * 200], check=True)
        result = self.run_json("score", "--quiet", "--model", model, "--data", LABELLED, "-n", 2, "--max-tokens", 1,
                             "--output-dir", self.dir)
        self.assertRegex(result["run"], r"/n{128}_run_[0-9a-f]{8}\.db$")

    def test_a_missing_pretokenizer_is_told(self):
        """Every command that opens the model warns, also with --quiet."""
        raw = BYTE_MODEL.read_bytes()
        old = self.write("old.gguf", raw.replace(b"tokenizer.ggml.pre", b"tokenizer.ggml.was"))
        warning = f"hbar: warning: {old}: metadata 'tokenizer.ggml.pre' is missing"
        short = ["--max-tokens", 1, "--output-dir", self.dir]
        data = ["--data", LABELLED, "-n", 20]
        for arguments in (["generate", "--cutoff", 1.1, "-n", 2, "the"], ["tokenize", "the"],
                          ["score", *data, *short], ["calibrate", *data, *short, "--draws", 0]):
            _, err = self.run_hbar(*arguments, "--model", old, "--quiet")
            self.assertIn(warning, err, arguments)
            _, err = self.run_hbar(*arguments, "--model", BYTE_MODEL, "--quiet")
            self.assertNotIn("tokenizer.ggml.pre", err, arguments)
        params = next(p for p in self.dir.glob("*.json"))
        _, err = self.run_hbar("validate", "--params", params, "--model", old, *data, *short, "--draws", 0, "--force")
        self.assertIn(warning, err)
        out, _ = self.run_hbar("inspect", old)
        self.assertIn("\nWarning       ", out)
        self.assertIn("'tokenizer.ggml.pre' is missing", out)
        result = self.run_json("inspect", old)
        self.assertEqual((result["runs"], len(result["warnings"])), (True, 1))
        self.assertIn(str(old), result["warnings"][0])
        self.assertEqual(self.run_json("inspect", BYTE_MODEL)["warnings"], [])

    @native_only("libllama chooses its kernels itself")
    def test_unknown_kernels(self):
        """An unknown name is an error; hbar does not silently choose the best kernels."""
        self.addCleanup(os.environ.pop, "HBAR_KERNELS")
        for name in "protable", "avx1024":
            os.environ["HBAR_KERNELS"] = name
            for command in (["generate", "--model", MODEL, "x"], ["inspect", MODEL]):
                self.fails(*command, code=FAILED, says=f"HBAR_KERNELS is '{name}'; this processor has ")
        os.environ["HBAR_KERNELS"] = "portable"
        self.run_hbar("generate", "--model", MODEL, "--cutoff", 1.1, "-n", 1, "x")


if __name__ == "__main__":
    unittest.main()
