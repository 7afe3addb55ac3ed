"""Help, version, and the messages for wrong usage."""
import json
import re

from harness import LABELLED, MODEL, USAGE, Case

COMMANDS = ["generate", "calibrate", "score", "sweep", "validate", "report", "export", "tokenize", "inspect"]


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
            (["generate", "x", "-qn"], "-n needs a value"),
            (["generate", "--json=yes", "x"], "--json: 'yes' is neither true nor false"),
            (["generate", "--help=yes", "x"], "--help takes no value"),
            (["generate", "--t", "1", "x"], "--t stands for several options"),
            (["generate", "--t=1", "x"], "--t=1 stands for several options"),
            (["generate", "--tau", "high"], "--tau: 'high' is not a number"),
            (["generate", "--tau", "1e999"], "--tau: '1e999' is not a number"),
            (["generate", "--tau", "nan"], "--tau: 'nan' is not a number"),
            (["generate", "--tau", "-1e301"], "--tau: '-1e301' is not a number from -1e+300 to 1e+300"),
            (["generate", "--lambda", "0"], "--lambda: '0' is not a number above 0"),
            (["generate", "--top-p", "1.5"], "--top-p: '1.5' is not a number from"),
            (["generate", "--top-k", "-1"], "--top-k: '-1' is not a whole number"),
            (["generate", "--max-tokens", "0"], "--max-tokens: '0' is not a whole number from 1"),
            (["generate", "--max-tokens", "5x"], "--max-tokens: '5x'"),
            (["generate", "--check-every", "0"], "--check-every"),
            (["generate", "--direction", "up"], "--direction: 'up' is not one of high, low"),
            (["generate", "--model", MODEL], "PROMPT is required"),
            (["generate", "--model", MODEL, "--direction", "auto", "x"], "--direction: 'auto' is not one of high, low"),
            (["generate", "--model", MODEL, "one", "two"], "unexpected argument 'two'"),
            (["generate", "--model", MODEL, "--watch", "mood", "x"], "--watch: no signal 'mood'; there are hbar_s,"),
            (["generate", "--model", MODEL, "--watch", "pri,margin", "x"], "--watch: takes one signal, not several"),
            (["calibrate", "--model", MODEL, "--data", LABELLED, "--signals", "pri,mood"], "--signals: no signal 'mood'"),
            (["calibrate", "--model", MODEL, "--data", LABELLED, "--signals", "pri"], "--signals: lacks a signal that --score names"),
            (["calibrate", "--model", MODEL, "--data", LABELLED, "--score", "pri:median"], "no score 'pri:median'"),
            (["calibrate", "--model", MODEL, "--data", LABELLED, "x"], "unexpected argument 'x'"),
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
            (["sweep", "--run", "a", "--label", "b"], "--label, --correct, --positive and --group go with --data"),
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

    def test_prompts_that_start_with_a_dash(self):
        """The message names the letter in the prompt, not the option before it."""
        for prompt, says in [("-5 + 3 =", "unknown option -5; a PROMPT that starts with - goes after --"),
                             ("- list two facts", "unknown option '- list two facts'; a PROMPT that starts with -"),
                             ("-\u00e9t\u00e9", "unknown option -\u00e9t\u00e9; a PROMPT that starts with -"),
                             ("--- yes ---", "unknown option '--- yes ---'; a PROMPT that starts with -")]:
            with self.subTest(prompt):
                self.fails("generate", "-q", prompt, code=USAGE, says=f"hbar generate: {says}")
        for arguments in (["-m", MODEL, "-x", "Hi"], ["Hi", "-xq"], ["Hi", "-qx"], ["-qxq", "Hi"]):
            with self.subTest(arguments):
                self.fails("generate", *arguments, code=USAGE, says="hbar generate: unknown option -x; a PROMPT")
        self.fails("tokenize", "-9", code=USAGE, says="unknown option -9; a TEXT that starts with - goes after --")
        self.fails("sweep", "-9", code=USAGE, says="unknown option -9; see hbar sweep --help")
        shown = json.loads(self.run_hbar("tokenize", "--model", MODEL, "--no-special", "--json", "--", "-5 + 3 =")[0])
        self.assertEqual("".join(shown["pieces"]), " -5 + 3 =")

    def test_options_given_twice(self):
        """A flag may be repeated. Two values are an error, so that none is dropped silently."""
        for arguments, name in [(["score", "--model", "a", "--model", "b"], "--model"), (["score", "-m", "a", "-ma"], "--model"),
                                (["generate", "-n", 3, "--max-tokens=4", "x"], "--max-tokens"),
                                (["generate", "--tau", 1, "--tau", 1, "x"], "--tau"),
                                (["generate", "--direction", "low", "--direction", "high", "x"], "--direction"),
                                (["calibrate", "--kv-mem", "1G", "--kv-mem", "1G"], "--kv-mem"),
                                (["sweep", "--draws", 0, "--draws", 0], "--draws")]:
            with self.subTest(arguments):
                self.fails(*arguments, code=USAGE, says=f"{name} is given twice but takes one value")
        self.run_hbar("tokenize", "-q", "-q", "--quiet", "--json", "--json", "--model", MODEL, "x")


class Help(Case):
    """Every command's --help, generated from the table of options."""

    def options(self, command):
        """The text of each option, on one line, by its long name."""
        text, _ = self.run_hbar(command, "--help")
        found = {}
        for line in text.splitlines():
            start = re.match(r"  (?:-\w, |    )--([\w-]+)(.*)", line)
            if start:
                name = start.group(1)
                self.assertNotIn(name, found)
                found[name] = start.group(2).strip()
            elif found and line.startswith(28 * " "):
                found[name] += " " + line.strip()
        return found

    def test_lines(self):
        for command in [None, *COMMANDS]:
            text, _ = self.run_hbar(*([command] if command else []), "--help")
            for line in text.splitlines():
                self.assertLessEqual(len(line), 80, line)
                self.assertEqual(line, line.rstrip())

    def test_every_default_is_shown(self):
        for command in COMMANDS:
            options = self.options(command)
            self.assertIn("help", options)
            for name, text in options.items():
                takes_value = re.match(r"[A-Z]|[a-z0-9-]+\|", text) is not None
                with self.subTest(f"{command} --{name}"):
                    self.assertEqual(len(re.findall(r"\(default: .+\)$|\(required\)$", text)), int(takes_value), text)
                    self.assertNotIn(";)", text)

    def test_groups(self):
        for command, groups in [("generate", ["Model", "Chat", "Threshold", "Generation", "Resources", "Output"]),
                                ("sweep", ["Data", "Scores", "Threshold", "Output"]), ("tokenize", ["Options"]),
                                ("calibrate", ["Model", "Chat", "Data", "Scores", "Threshold", "Generation", "Resources",
                                               "Output"])]:
            text, _ = self.run_hbar(command, "--help")
            self.assertEqual(re.findall(r"^(\w+):$", text, re.MULTILINE), groups)

    def test_defaults_are_those_in_force(self):
        """An option with the default that the help shows changes nothing."""
        def default(command, name):
            return re.search(r"\(default: (.*)\)$", self.options(command)[name]).group(1)

        plain = ["generate", "--model", MODEL, "--max-tokens", 3, "x"]
        result = self.run_json(*plain)
        monitor = result["monitor"]
        for name, key in [("tau", "tau"), ("lambda", "lambda"), ("cutoff", "cutoff"), ("check-every", "check_every")]:
            self.assertEqual(float(default("generate", name)), monitor[key])
        self.assertEqual(default("generate", "watch"), monitor["watched"])
        self.assertEqual({"high": ">=", "low": "<="}[default("generate", "direction")], monitor["direction"])
        given = [part for name in ("watch", "tau", "lambda", "direction", "cutoff", "check-every", "temperature", "top-k",
                                   "top-p", "seed")
                 for part in (f"--{name}", default("generate", name))]
        self.assertEqual(self.run_json(*plain, *given)["trajectory"], result["trajectory"])
        score = ["score", "--model", MODEL, "--data", LABELLED, "-o", self.dir, "-q"]
        given = [part for name in ("format", "n-samples", "seed", "signals", "max-tokens", "sequences")
                 for part in (f"--{name}", default("score", name))]
        self.assertEqual(self.run_json(*score)["run"], self.run_json(*score, *given)["run"])

    def test_help_shows_defaults_whatever_is_given(self):
        self.assertEqual(self.run_hbar("generate", "--tau", 7, "--cutoff", 3, "x", "--help"), self.run_hbar("generate", "-h"))
