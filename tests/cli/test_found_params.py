"""Parameters that are not named: the newest in calibrated_params that match the model."""
import json
import os

from harness import CHAT_MODEL, LABELLED, MODEL, Case

PROMPT = "What is the capital city of the country?"


class FoundParams(Case):
    def setUp(self):
        super().setUp()
        made = self.run_json("calibrate", "--model", MODEL, "--data", LABELLED, "-n", 0, "--max-tokens", 4, "-o", "elsewhere")
        self.params = self.read(self.dir / made["parameters"])

    def put(self, name, created, **changes):
        """Puts parameters into calibrated_params; their tau says which they are."""
        folder = self.dir / "calibrated_params"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(json.dumps({**self.params, "created": created, **changes}))
        return path

    def put_threshold(self, name, created, tau, **changes):
        self.put(name, created, threshold={**self.params["threshold"], "tau": tau}, **changes)

    def generate(self, *arguments):
        out, err = self.run_hbar("generate", "--model", MODEL, "--max-tokens", 2, "--cutoff", 1.1, *arguments, "--json", PROMPT)
        return json.loads(out)["monitor"], err

    def test_newest_that_match(self):
        self.put_threshold("b.json", "2026-01-02T00:00:00Z", 0.25)
        self.put_threshold("a.json", "2026-01-03T00:00:00Z", 0.5)
        self.put_threshold("c.json", "2026-01-01T00:00:00Z", 0.75)
        os.utime(self.dir / "calibrated_params" / "c.json")
        other = {**self.params["model"], "sha256": "0" * 64}
        self.put_threshold("z.json", "2026-01-09T00:00:00Z", 1, model=other)
        monitor, err = self.generate()
        self.assertEqual(monitor["tau"], 0.5)
        self.assertIn("no --params given: using the newest that match the model, calibrated_params/a.json", err)
        self.put_threshold("d.json", "2026-01-03T00:00:00Z", 1.25)
        self.assertEqual(self.generate()[0]["tau"], 1.25)
        judged = self.run_json("judge", "--model", MODEL, "--prompt", PROMPT, "--response", " Rome")
        self.assertEqual(judged["monitor"]["tau"], 1.25)

    def test_broken_files_are_named(self):
        self.put_threshold("a.json", "2026-01-03T00:00:00Z", 0.5)
        (self.dir / "calibrated_params" / "b.json").write_text("{")
        monitor, err = self.generate()
        self.assertEqual(monitor["tau"], 0.5)
        lines = [line for line in err.splitlines() if "broken" in line]
        self.assertEqual(len(lines), 1, err)
        self.assertIn("warning: passed over broken parameters: calibrated_params/b.json", lines[0])
        self.assertNotIn("broken", self.generate("-q")[1])

    def test_other_models_get_none(self):
        self.put_threshold("a.json", "2026-01-03T00:00:00Z", 0.5)
        out, err = self.run_hbar("generate", "--model", CHAT_MODEL, "--max-tokens", 2, "--json", PROMPT)
        self.assertEqual(json.loads(out)["monitor"]["tau"], 2)
        self.assertNotIn("calibrated_params", err)

    def test_options_come_first(self):
        self.put_threshold("a.json", "2026-01-03T00:00:00Z", 0.5)
        for told in (["--tau", 3], ["--watch", "entropy", "--tau", 3], ["--direction", "low", "--tau", 3]):
            monitor, err = self.generate(*told)
            self.assertEqual(monitor["tau"], 3)
            self.assertNotIn("calibrated_params", err)

    def test_prefers_the_same_chat_format(self):
        chat = {**self.params["settings"], "chat": "chatml"}
        self.put_threshold("bare.json", "2026-01-01T00:00:00Z", 0.25)
        self.put_threshold("chat.json", "2026-01-02T00:00:00Z", 0.5, settings=chat)
        monitor, err = self.generate()
        self.assertEqual(monitor["tau"], 0.25)
        self.assertNotIn("warning", err)
        (self.dir / "calibrated_params" / "bare.json").unlink()
        monitor, err = self.generate()
        self.assertEqual(monitor["tau"], 0.5)
        self.assertIn("calibrated with another chat format", err)

    def test_useless_files_are_passed_over(self):
        self.put_threshold("a.json", "2026-01-01T00:00:00Z", 0.25)
        folder = self.dir / "calibrated_params"
        (folder / "broken.json").write_text("{")
        (folder / "folder.json").mkdir()
        os.mkfifo(folder / "pipe.json")
        self.put_threshold(".hidden.json", "2026-01-09T00:00:00Z", 1)
        self.put_threshold("judged.json", "2026-01-09T00:00:00Z", 1, score={**self.params["score"], "name": "p_yes"})
        self.assertEqual(self.generate()[0]["tau"], 0.25)
