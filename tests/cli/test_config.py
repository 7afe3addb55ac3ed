"""Defaults of options from hbar.toml and from HBAR_... variables, and --show-config."""
import os
import re
import unittest

from harness import LABELLED, MODEL, PROJECT, USAGE, Case, environment, native_only

try:
    import tomllib
except ImportError:  # before Python 3.11
    tomllib = None

# Options with a path that hbar reads, and those with one that it writes. The working folder's file may set the first.
READ = {"model", "params", "data", "join", "prompt-template", "shots-data", "chat-template", "abstain", "judge", "prompts", "scores",
        "labels"}
WRITTEN = {"output", "output-dir", "run", "report", "svg", "html", "trajectory", "api-key-file"}


class Config(Case):
    def variables(self, **changes):
        """The environment, with the user's folder in the test's folder, and without a choice of the engine."""
        return environment(XDG_CONFIG_HOME=str(self.dir / "home"), HBAR_ENGINE="", **changes)

    def user(self, text):
        (self.dir / "home/hbar").mkdir(parents=True, exist_ok=True)
        return self.write("home/hbar/hbar.toml", text)

    def shown(self, *arguments, **changes):
        """{option: (value as text, source)} of those with a value, and what is on standard error."""
        out, err = self.run_hbar(*arguments, "--show-config", env=self.variables(**changes))
        return {m[1]: (m[2], m[3]) for m in re.finditer(r"^([\w-]+) = (.*)  # (.*)$", out, re.M)}, err

    def refused(self, text, says):
        self.write("bad.toml", text)
        self.fails("generate", "x", "--config", "bad.toml", code=USAGE, says=says)

    def test_priority(self):
        """Command line, variable, working folder, user, default: each hides what comes after it."""
        user = self.user("threads = 5\nmax-tokens = 6\ntau = 1.5\ntop-k = 7\nseed = 8\n[generate]\nseed = 9\n")
        self.write("hbar.toml", "threads = 4\nmax-tokens = 5\ntau = 2\n")
        shown, err = self.shown("generate", "--threads", 2, HBAR_THREADS="3", HBAR_MAX_TOKENS="4")
        self.assertEqual(err, "")
        self.assertEqual({n: shown[n] for n in ("threads", "max-tokens", "tau", "top-k", "seed")}, {
            "threads": ("2", "command line"), "max-tokens": ("4", "HBAR_MAX_TOKENS"), "tau": ("2", "hbar.toml:3"),
            "top-k": ("7", f"{user}:4"), "seed": ("9", f"{user}:7")})
        self.assertEqual(self.shown("score", "--config", "none")[0], {})
        self.assertEqual(self.shown("tokenize")[0], {})  # it has none of these options
        self.assertEqual(self.shown("score")[0]["seed"], ("8", f"{user}:5"))
        only = self.write("only.toml", "tau = 7\n")
        for shown, _ in (self.shown("generate", "--config", only), self.shown("generate", HBAR_CONFIG=str(only))):
            self.assertEqual(shown, {"tau": ("7", f"{only}:1")})

    def test_lists_replace_each_other(self):
        self.user("stop = 'x'\n")
        for text, value in (("[]", "[]"), ('["a", "b"]', '["a", "b"]'), ("'c'", '["c"]')):
            self.write("hbar.toml", f"stop = {text}\n")
            self.assertEqual(self.shown("generate")[0], {"stop": (value, "hbar.toml:1")})
        self.assertEqual(self.shown("generate", "--stop", "d", "--stop", "e")[0], {"stop": ('["d", "e"]', "command line")})

    def test_users_folder(self):
        """Without XDG_CONFIG_HOME, or with a relative one, it is ~/.config."""
        (self.dir / "h/.config/hbar").mkdir(parents=True)
        path = self.write("h/.config/hbar/hbar.toml", "threads = 3\n")
        for folder in ("", "relative"):
            out, _ = self.run_hbar("generate", "--show-config", env=environment(HOME=str(self.dir / "h"), XDG_CONFIG_HOME=folder))
            self.assertIn(f"threads = 3  # {path}:1\n", out)

    def test_shown_texts_are_clean(self):
        """Controls and malformed bytes do not reach the terminal."""
        self.write("c.toml", '[generate]\nsystem = "a\\u009b31m\\u202e\\u001b\\u00e9\\"b"\n')
        out, _ = self.run_hbar("generate", "--config", "c.toml", "--show-config", env=self.variables())
        self.assertIn('system = "a\\U0000009b31m\\U0000202e\\U0000001b\u00e9\\"b"', out)
        out, _ = self.run_hbar("generate", "--system", os.fsdecode(b"x\xff\x9b"), "--show-config", env=self.variables())
        self.assertIn('system = "x\\U0000fffd\\U0000fffd"', out)

    def test_what_is_shown_is_a_file(self):
        """--show-config prints settings that give the same settings."""
        self.write("a.toml", 'threads = 2\nlambda = 0.1\nquiet = true\nexact = false\ndirection = "low"\nwatch = \'entropy\'\n'
                             'stop = ["a", "b\\\\\\"\\n\\u00e9"]\n[generate]\non-halt = "#"\n[calibrate]\nkv-mem = "2G"\n')
        for command, expected in (("generate", {"threads": 2, "lambda": 0.1, "quiet": True, "exact": False, "direction": "low",
                                                "watch": "entropy", "stop": ["a", "b\\\"\n\u00e9"], "on-halt": "#"}),
                                  ("calibrate", {"threads": 2, "quiet": True, "exact": False, "direction": "low",
                                                 "kv-mem": 2 << 30})):
            out, _ = self.run_hbar(command, "--show-config", "--config", "a.toml", env=self.variables())
            if tomllib:
                self.assertEqual(tomllib.loads(out), {command: expected})
            again, _ = self.run_hbar(command, "--show-config", "--config", self.write("b.toml", out), env=self.variables())
            self.assertEqual(*(re.sub(r"  # \S+$", "", text, flags=re.M) for text in (out, again)))
        self.assertIn("# ctx-size: the model's, at most 4096\n", out)

    @native_only("the engine llama has no exact sessions")
    def test_a_setting_acts_as_the_option(self):
        """It gives the same run and the same text, and a message says which file nobody named."""
        score = ["score", "--model", MODEL, "--data", LABELLED, "-n", 5, "--max-tokens", 3]
        plain = self.run_json(*score)["run"]
        option = self.run_json(*score, "--seed", 7, "--signals", "entropy", "--exact")["run"]
        self.assertNotEqual(plain, option)
        self.write("hbar.toml", f'model = "{MODEL}"\nseed = 7\nsignals = "entropy"\n[score]\nexact = true\nmax-tokens = 3\n')
        out, err = self.run_hbar("score", "--data", LABELLED, "-n", 5, "--json", env=self.variables())
        self.assertIn(f'"{option}"', out)
        self.assertIn("hbar: options from hbar.toml; --show-config prints them\n", err)
        _, err = self.run_hbar("score", "--data", LABELLED, "-n", 5, "--quiet", env=self.variables())
        self.assertEqual(err, "")
        out, _ = self.run_hbar("tokenize", "--json", "Hi", env=self.variables())  # --model is required and set
        self.assertIn('"pieces"', out)
        (self.dir / "other").mkdir()
        out, _ = self.run_hbar(*score, "--json", cwd=self.dir / "other",
                               env=self.variables(HBAR_SEED="7", HBAR_SIGNALS="entropy", HBAR_EXACT="1"))
        self.assertIn(os.path.basename(option), out)

    def test_flags(self):
        self.write("hbar.toml", "quiet = true\n")
        self.assertEqual(self.shown("generate")[0], {"quiet": ("true", "hbar.toml:1")})
        self.assertEqual(self.shown("generate", HBAR_QUIET="false")[0], {"quiet": ("false", "HBAR_QUIET")})
        self.assertEqual(self.shown("generate", HBAR_QUIET="")[0], {"quiet": ("true", "hbar.toml:1")})
        for value in ("false", "0"):
            self.assertEqual(self.shown("generate", f"--quiet={value}", HBAR_QUIET="true")[0],
                             {"quiet": ("false", "command line")})
        self.assertEqual(self.shown("generate", "--quiet=true", HBAR_QUIET="0")[0], {"quiet": ("true", "command line")})
        self.assertEqual(self.shown("generate", "-q", "--quiet=false")[0], {"quiet": ("false", "command line")})
        out, err = self.run_hbar("tokenize", "-m", MODEL, "--json=false", "Hi", env=self.variables(HBAR_JSON="1"))
        self.assertNotIn("{", out)
        self.fails("generate", "--quiet=no", "x", code=USAGE, says="--quiet: 'no' is neither true nor false")
        self.fails("generate", "x", code=USAGE, says="HBAR_QUIET: quiet: 'no' is neither true nor false",
                   env=self.variables(HBAR_QUIET="no"))

    def test_values_are_checked(self):
        for text, says in (("\nthreads = 0\n", "hbar generate: bad.toml:2: threads: '0' is not a whole number from 1 to 1024"),
                           ("direction = 'up'\n", "bad.toml:1: direction: 'up' is not one of high, low"),
                           ("params = ''\n", "bad.toml:1: params: the value is empty"),
                           ("threads = '4'\n", "bad.toml:1: 'threads' takes an integer"),
                           ("threads = 4.0\n", "'threads' takes an integer"),
                           ("tau = true\n", "'tau' takes a number"),
                           ("quiet = 1\n", "'quiet' takes true or false"),
                           ("watch = 3\n", "'watch' takes a string"),
                           ("watch = ['a']\n", "'watch' takes a string"),
                           ("stop = 3\n", "'stop' takes a string or an array of strings"),
                           ("[score]\nkv-mem = true\n", "bad.toml:2: 'kv-mem' takes an integer, or a string like \"2G\""),
                           ("tua = 1\n", "bad.toml:1: 'tua' is not an option of hbar"),
                           ("help = true\n", "'help' is not an option of hbar"),
                           ("config = 'x'\n", "'config' is not an option of hbar"),
                           ("[tokenize]\ntau = 1\n", "bad.toml:2: 'tau' is not an option of this command"),
                           ("[generat]\n", "bad.toml:1: 'generat' is not a command of hbar"),
                           ("threads = 1\nthreads = 2\n", "bad.toml:2: 'threads' is given twice, first in line 1"),
                           ("threads\n", "bad.toml:1: 'threads' needs = and a value"),
                           ("# " + "x" * 70000, "bad.toml: has more than 65536 bytes")):
            with self.subTest(text[:40]):
                self.refused(text, says)
        self.fails("generate", "x", code=USAGE, says="HBAR_THREADS: threads: 'many' is not a whole number",
                   env=self.variables(HBAR_THREADS="many"))
        for arguments, says in ((["--config", "no.toml"], "no.toml: No such file"), (["--config", self.dir], "is a directory"),
                                (["--config", ""], "--config: the value is empty"), (["--config"], "--config needs a value"),
                                (["--config", "none", "--config", "none"], "--config is given twice"),
                                (["--show-config=1"], "--show-config takes no value")):
            self.fails("generate", "x", *arguments, code=USAGE, says=says)
        os.mkfifo(self.dir / "hbar.toml")
        self.fails("generate", "x", code=USAGE, says="hbar.toml: is a pipe")

    def test_help_needs_no_settings(self):
        self.write("hbar.toml", "broken")
        help_, _ = self.run_hbar("generate", "--help")
        self.assertIn("--show-config", help_)
        self.fails("generate", "x", code=USAGE, says="hbar.toml:1: 'broken' needs")

    def test_working_folders_file_is_limited(self):
        """It may have come with the folder, so it neither makes hbar write files nor opens the server."""
        for option in sorted(WRITTEN | {"name", "host", "cors-origin"}):
            self.write("hbar.toml", f'{option} = "x"\n')
            self.fails("tokenize", "x", code=USAGE, says=f"hbar.toml:1: '{option}' cannot be set by a file that is found")
        for table, setting in (("serve", "port = 1"), ("serve", "insecure = true"), ("serve", "log-prompts = true"),
                               ("label", "clear = true")):
            self.write("hbar.toml", f"[{table}]\n{setting}\n")
            self.fails("tokenize", "x", code=USAGE, says=f"hbar.toml:2: '{setting.split()[0]}' cannot be set by a file that is found")
        self.write("hbar.toml", '[generate]\ntrajectory = "t.jsonl"\n')
        shown, _ = self.shown("generate", "--config", "hbar.toml")
        self.assertEqual(shown["trajectory"], ('"t.jsonl"', "hbar.toml:2"))
        path = self.write("hbar.toml", "threads = 2\n")
        path.chmod(0o666)
        self.fails("generate", "x", code=USAGE, says="hbar.toml: another user can write this file")
        self.assertEqual(self.shown("generate", "--config", "hbar.toml")[0]["threads"][0], "2")

    def test_every_path_is_known(self):
        """A new option with a path must be named above, and in config.c if hbar writes to it."""
        out, _ = self.run_hbar("help", "--format", "markdown")
        paths = set(re.findall(r"`--([\w-]+) [^`]*\b(?:FILE|DIR)\b[^`]*`", out))
        self.assertEqual(paths - READ - WRITTEN - {"config"}, set())

    def test_documented(self):
        """The document names the variables that the program reads, and no option has one of their names."""
        text = (PROJECT / "docs/configuration.md").read_text()
        options = set(re.findall(r"`--([\w-]+)", self.run_hbar("help", "--format", "markdown")[0]))
        taken = {"HBAR_" + name.replace("-", "_").upper() for name in options} - {"HBAR_CONFIG"}
        read = {"HBAR_KERNELS", "HBAR_DATA_DIR", "HBAR_CONFIG", "HBAR_LIBRARY"}
        self.assertEqual(read & taken, set())
        for name in read:
            self.assertIn(f"`{name}", text)


if __name__ == "__main__":
    unittest.main()
