"""hbar doctor: the machine, and what a model needs."""
import os
import subprocess
import unittest

from harness import HBAR, MODEL, USAGE, Case, by_engine, environment


class Doctor(Case):
    def test_machine(self):
        machine = self.run_json("doctor")
        self.assertEqual(list(machine), ["machine"])
        machine = machine["machine"]
        self.assertEqual(machine["allowed"], len(os.sched_getaffinity(0)))
        self.assertTrue(1 <= machine["threads"] <= machine["allowed"] <= machine["processors"])
        self.assertTrue(0 < machine["memory_free"] <= machine["memory"])
        self.assertGreater(machine["bytes_read_per_second"], 1e6)
        out, err = self.run_hbar("doctor")
        self.assertEqual(err, "")
        for part in ("Processor ", f"kernels {machine['kernels']}", "Threads ", "Memory ", "GB/s"):
            self.assertIn(part, out)

    def test_affinity_and_kernels(self):
        one = min(os.sched_getaffinity(0))
        done = subprocess.run(["taskset", "-c", str(one), HBAR, "doctor", "--json"], capture_output=True, check=True,
                              env=environment(HBAR_KERNELS="portable"), text=True)
        self.assertIn('"kernels": "portable"', done.stdout)
        self.assertIn('"allowed": 1,', done.stdout)
        self.assertIn('"threads": 1,', done.stdout)
        done = subprocess.run(["taskset", "-c", str(one), HBAR, "doctor"], capture_output=True, check=True,
                              env=environment(), text=True)
        self.assertIn("1 processor is allowed to this process\n", done.stdout)

    def test_model(self):
        got = self.run_json("doctor", "--model", MODEL, "-n", 500, "--prompt-tokens", 60, "--max-tokens", 10,
                            "--ctx-size", 128, "-t", 1)
        speed, size = got["speed"], MODEL.stat().st_size
        inspected = self.run_json("inspect", MODEL, "--ctx-size", 128)["memory"]
        self.assertEqual(got["model"]["context"], 128)
        for use in ("generate", "calibrate"):
            memory = got["memory"][use]
            self.assertEqual(memory["weights"], size)
            self.assertEqual(memory["total"], memory["weights"] + memory["cache"] + memory["work"])
            self.assertTrue(memory["fits"])
        # inspect opens no model and estimates for the native engine; libllama keeps a little more for each position
        self.assertAlmostEqual(got["memory"]["generate"]["cache"], inspected["cache"],
                               delta=by_engine(0, 0.01 * inspected["cache"]))
        self.assertGreater(got["memory"]["calibrate"]["cache"], got["memory"]["generate"]["cache"])
        for name in ("prefill", "decode", "together"):
            self.assertGreater(speed[name], 0)
        expected = 500 * (60 / speed["prefill"] + 10 * (1 / speed["together"] + speed["measuring_seconds"]))
        self.assertAlmostEqual(got["calibration"]["seconds"], expected, delta=1e-6 * expected)
        out, _ = self.run_hbar("doctor", "--model", MODEL)
        for part in ("Memory for a context of", "calibrate ", "prefill ", "decode ", "Calibration of 100 samples: about"):
            self.assertIn(part, out)

    def test_refused(self):
        self.fails("doctor", "--model", self.dir / "none.gguf", says="none.gguf: No such file")
        self.fails("doctor", "x", code=USAGE, says="unexpected argument")
        self.fails("doctor", "-n", 0, code=USAGE, says="-n")
        self.fails("doctor", "-n", 5, code=USAGE, says="goes with --model")


if __name__ == "__main__":
    unittest.main()
