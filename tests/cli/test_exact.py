"""--exact: sessions that do not round activations."""
import json
import sqlite3

from harness import LABELLED, MODELS, Case, native_only

QUANTISED = MODELS / "tiny-q4_0.gguf"
FAST = ["--max-tokens", 4]


@native_only("the engine llama has no exact sessions")
class Exact(Case):
    def calibrate(self, *arguments):
        result = self.run_json("calibrate", "--model", QUANTISED, "--data", LABELLED, "-o", self.dir / "out", *FAST,
                               "--draws", 0, *arguments)
        return result, result["parameters"]

    def test_it_identifies_a_run(self):
        rounded, _ = self.calibrate()
        exact, params = self.calibrate("--exact")
        self.assertEqual((rounded["settings"]["exact"], exact["settings"]["exact"]), (False, True))
        self.assertNotEqual(rounded["score"], exact["score"])
        runs = {sqlite3.connect(r).execute("SELECT value FROM settings WHERE key = 'exact'").fetchone()[0]: r
                for r in (self.dir / "out").glob("*.db")}
        self.assertEqual(set(runs), {0, 1})
        score = ["score", "--model", QUANTISED, "--data", LABELLED, *FAST, "--run", runs[1]]
        self.fails(*score, says="the run was created with different settings: exact is 1, not 0")
        self.assertEqual(self.run_json(*score, "--exact")["tokens_evaluated"], 0)
        _, err = self.run_hbar("validate", "--params", params, "--run", runs[0])
        self.assertIn("warning: samples were measured without --exact, but those of the calibration with", err)
        _, err = self.run_hbar("validate", "--params", params, "--run", runs[1])
        self.assertNotIn("--exact", err)

    def test_parameters_say_it(self):
        for given, other in (["--exact"], []), ([], ["--exact"]):
            _, params = self.calibrate(*given)
            for command in (["generate", "Hello", *FAST], ["judge", "--prompt", "Hello", "--response", " world"]):
                command += ["--model", QUANTISED, "--params", params]
                self.assertNotIn("--exact", self.run_hbar(*command, *given)[1])
                warning = f"warning: {params} was calibrated {'with' if given else 'without'} --exact"
                self.assertIn(warning, self.run_hbar(*command, *other)[1])
                self.assertNotEqual(self.run_json(*command)["scores"], self.run_json(*command, "--exact")["scores"])
        short = self.read(params)
        del short["settings"]["exact"]  # as earlier versions wrote it
        params = self.write("short.json", json.dumps(short))
        out, err = self.run_hbar("generate", "--model", QUANTISED, "--params", params, "Hello", *FAST)
        self.assertNotIn("--exact", err)

    def test_validate_and_the_next_commands_use_it(self):
        out, _ = self.run_hbar("calibrate", "--model", QUANTISED, "--data", LABELLED, "-o", self.dir / "out", *FAST,
                               "--exact")
        self.assertEqual(out.count(" --exact --params "), 2)
        (params,) = (self.dir / "out").glob("*.json")
        judged, err = self.run_hbar("validate", "--model", QUANTISED, "--data", LABELLED, "--params", params, "--run",
                                    self.dir / "v.db")
        self.assertNotIn("without --exact", err)
        exact = sqlite3.connect(self.dir / "v.db").execute("SELECT value FROM settings WHERE key = 'exact'").fetchone()
        self.assertEqual(exact, (1,))
        self.assertIn("AUROC", judged)
