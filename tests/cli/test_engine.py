"""--engine and --gpu-layers in a build with or without libllama; tests/llama has the tests of that engine."""
import json
import subprocess
import unittest

from harness import HBAR, LABELLED, MODEL, USAGE, Case, native_only

GENERATE = ["generate", "--model", MODEL, "--max-tokens", 3, "Hello"]


@native_only("its tests choose the engine")
class Engine(Case):
    def test_choices(self):
        self.assertEqual(self.run_hbar(*GENERATE), self.run_hbar(*GENERATE, "--engine", "native"))
        self.assertEqual(self.run_json("inspect", MODEL)["engine"], "native")
        self.fails(*GENERATE, "--engine", "other", code=USAGE, says="'other'")
        self.fails(*GENERATE, "--engine", "native", "--gpu-layers", 1, says="the native engine uses no GPU")

    def test_a_build_without_libllama(self):
        if subprocess.run([HBAR, *map(str, GENERATE), "--engine", "llama"], capture_output=True).returncode == 0:
            raise unittest.SkipTest("this build has libllama")
        self.fails(*GENERATE, "--engine", "llama", says="build it with -DHBAR_LLAMA=ON (docs/engines.md)")
        self.fails(*GENERATE, "--gpu-layers", 1, says="without the engine llama, which uses GPUs; build it with")

    def test_parameters_say_the_engine(self):
        calibrate = ["calibrate", "--model", MODEL, "--data", LABELLED, "-o", self.dir / "out", "--max-tokens", 3, "-n", 30,
                     "--draws", 0]
        params = self.read(self.run_json(*calibrate)["parameters"])
        self.assertNotIn("engine", params["settings"])
        params["settings"]["engine"] = "llama"
        path = self.write("other.json", json.dumps(params))
        _, err = self.run_hbar(*GENERATE, "--params", path)
        self.assertIn(f"warning: {path} was calibrated with the engine llama", err)
        run = next((self.dir / "out").glob("*.db"))
        _, err = self.run_hbar("validate", "--params", path, "--run", run)
        self.assertIn("warning: samples were measured with the engine native, but those of the calibration with llama", err)
