"""Help, version, and what bad usage says."""
from harness import LABELLED, FAILED, HBAR, MODEL, USAGE, Case, subprocess

COMMANDS = ["generate", "calibrate", "score", "sweep", "validate", "export", "tokenize", "inspect"]


class Usage(Case):
    def test_help(self):
        out, err = self.run_hbar("--help")
        self.assertEqual(err, "")
        self.assertIn("Exit codes: 0 done, 1 failed, 2 bad usage", out)
        for command in COMMANDS:
            self.assertIn(f"  {command} ", out)
            text, err = self.run_hbar(command, "--help")
            self.assertEqual(err, "")
            self.assertTrue(text.startswith(f"Usage: hbar {command} [OPTIONS]"))
            self.assertEqual(self.run_hbar(command, "-h")[0], text)

    def test_version(self):
        self.assertRegex(self.run_hbar("--version")[0], r"^hbar \d+\.\d+\.\d+\n$")

    def test_no_command(self):
        out, err = self.run_hbar(code=USAGE)
        self.assertEqual(out, "")
        self.assertIn("Commands:", err)
        self.fails("meditate", code=USAGE, says="'meditate' is not a command")

    def test_bad_options(self):
        for arguments, says in [
            (["generate", "--bogus"], "unknown option --bogus"),
            (["generate", "-Z"], "unknown option -Z"),
            (["generate", "--tau"], "--tau needs a value"),
            (["generate", "--tau", "high"], "--tau: 'high' is not a number"),
            (["generate", "--tau", "1e999"], "--tau: '1e999' is not a number"),
            (["generate", "--tau", "nan"], "--tau: 'nan' is not a number"),
            (["generate", "--lambda", "0"], "--lambda: '0' is not a number above 0"),
            (["generate", "--top-p", "1.5"], "--top-p: '1.5' is not a number from"),
            (["generate", "--top-k", "-1"], "--top-k: '-1' is not a whole number"),
            (["generate", "--max-tokens", "0"], "--max-tokens: '0' is not a whole number from 1"),
            (["generate", "--max-tokens", "5x"], "--max-tokens: '5x'"),
            (["generate", "--check-every", "0"], "--check-every"),
            (["generate", "--direction", "up"], "--direction: 'up' is not one of high, low"),
            (["generate", "--model", MODEL], "a prompt is required"),
            (["generate", "--model", MODEL, "--direction", "auto", "x"], "--direction: auto needs data"),
            (["generate", "--model", MODEL, "one", "two"], "'two' is one argument too many"),
            (["generate", "--model", MODEL, "--watch", "mood", "x"], "--watch: no signal 'mood'; there are hbar_s,"),
            (["generate", "--model", MODEL, "--watch", "pri,margin", "x"], "--watch: one signal alone"),
            (["calibrate", "--model", MODEL, "--data", LABELLED, "--signals", "pri,mood"], "--signals: no signal 'mood'"),
            (["calibrate", "--model", MODEL, "--data", LABELLED, "--signals", "pri"], "--signals: the signal that"),
            (["calibrate", "--model", MODEL, "--data", LABELLED, "--score", "pri:median"], "no score 'pri:median'"),
            (["calibrate", "--model", MODEL, "--data", LABELLED, "x"], "'x' is one argument too many"),
            (["calibrate", "--model", MODEL, "--data", LABELLED, "--name", "a/b"], "--name: 'a/b'"),
            (["calibrate", "--n-samples", "-3"], "--n-samples: '-3'"),
            (["calibrate", "--n-samples", "1.5"], "--n-samples: '1.5'"),
            (["calibrate", "--format", "xml"], "--format: 'xml' is not one of auto, halueval_qa"),
            (["calibrate", "--min-recall", "1.2"], "--min-recall: '1.2'"),
            (["calibrate", "--tau-start", "1"], "--tau-start, --tau-stop and --tau-step go together"),
            (["calibrate", "--tau-start", "2", "--tau-stop", "1", "--tau-step", "1"], "below --tau-start"),
            (["calibrate", "--tau-start", "0", "--tau-stop", "1", "--tau-step", "1e-9"], "a million"),
            (["calibrate", "--tau-grid", "exact", "--tau-start", "0", "--tau-stop", "1", "--tau-step", "1"],
             "exclude each other"),
            (["calibrate", "--seed", "-1"], "--seed: '-1'"),
            (["score", "--threads", "0"], "--threads: '0'"),
            (["score", "--ctx-size", "99999999999"], "--ctx-size"),
            (["sweep"], "either --run or --data"),
            (["sweep", "--run", "a", "--data", "b"], "either --run or --data"),
            (["sweep", "--run", "a", "--label", "b"], "--label goes with --data"),
            (["export"], "--run is required"),
            (["export", "--run", "a", "--format", "xml"], "--format: 'xml' is not one of csv, jsonl"),
        ]:
            with self.subTest(arguments):
                self.fails(*arguments, code=USAGE, says=says)

    def test_missing_files(self):
        for arguments in [["generate", "--model", "/no/such", "x"], ["sweep", "--run", "/no/such"],
                          ["sweep", "--data", "/no/such"], ["export", "--run", "/no/such"],
                          ["calibrate", "--model", MODEL, "--data", "/no/such", "-o", self.dir],
                          ["generate", "--model", MODEL, "--params", "/no/such", "x"]]:
            with self.subTest(arguments):
                self.fails(*arguments, says="/no/such: No such file")

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([HBAR, "--help"], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(b"standard output", done.stderr)
