"""hbar help: man pages, docs/cli.md and the completions of shells say the same as --help."""
import os
import pty
import re
import shutil
import subprocess
import threading
import time

from harness import HBAR, PROJECT, TIMEOUT, USAGE, Case, environment

# Letter, name, placeholder and first words of an option in the text of --help.
HELP_ROW = re.compile(r"^  (?:-(\w), |    )--([\w-]+)(?: (\S+))?(?:  +(\S.*))?$")
ROFF = {r"\e": "\\", r"\-": "-", r"\(aq": "'", r"\(ga": "`", r"\(ha": "^", r"\(ti": "~", r"\&": ""}


def options_of_help(text):
    """{name: (letter, placeholder, description)} of the text of --help."""
    options, name = {}, None
    for line in text.splitlines():
        row = HELP_ROW.match(line)
        if row:
            name = row[2]
            options[name] = (row[1], row[3], row[4] or "")
        elif name and line.startswith(" " * 28):
            letter, placeholder, words = options[name]
            options[name] = (letter, placeholder, f"{words} {line.strip()}".strip())
        else:
            name = None
    return options


def options_of_man(page):
    page = re.sub(r"\\(?:e|-|&|\((?:aq|ga|ha|ti))", lambda escape: ROFF[escape[0]], page)
    rows = re.findall(r"^\.TP\n(?:\\fB-(\w)\\fR, )?\\fB--([\w-]+)\\fR(?: \\fI(\S+)\\fR)?\n(.+)$", page, re.M)
    return {name: (letter or None, placeholder or None, words) for letter, name, placeholder, words in rows}


def options_of_markdown(section):
    rows = re.findall(r"^- (?:`-(\w)`, )?`--([\w-]+)(?: ([^`]+))?`: (.+)$", section, re.M)
    return {name: (letter or None, placeholder or None, re.sub(r"\\(.)", r"\1", words))
            for letter, name, placeholder, words in rows}


def choices_of(option):
    """The values of an option with choices, from its help; else None."""
    _, placeholder, words = option
    listed = re.search(r"; one of ([\w-]+(?:, [\w-]+)+)", words)
    if listed:
        return listed[1].split(", ")
    return placeholder.split("|") if placeholder and re.fullmatch(r"[a-z0-9_-]+(\|[a-z0-9_-]+)+", placeholder) else None


class Typing:
    """An interactive shell on a terminal, in which `hbar` writes its arguments to a file."""

    def __init__(self, case, command, setup):
        self.case, self.result = case, case.dir / ".arguments"
        main, side = pty.openpty()
        self.terminal = main
        self.process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, cwd=case.dir,
                                        env=environment(TERM="dumb", HOME=str(case.dir)), start_new_session=True)
        os.close(side)
        self.shown = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        case.addCleanup(self.end)
        self.type(f"{setup}\nhbar() {{ printf '%s\\n' \"$@\" > .new; mv .new .arguments; }}\n")

    def read(self):
        while True:
            try:
                block = os.read(self.terminal, 65536)
            except OSError:
                return
            if not block:
                return
            self.shown += block

    def type(self, text):
        os.write(self.terminal, text.encode())

    def arguments(self, line):
        """What hbar is called with when this line is typed."""
        self.type(line + "\n")
        end = time.monotonic() + TIMEOUT
        while not self.result.exists():
            self.case.assertLess(time.monotonic(), end, self.shown[-2000:])
            time.sleep(0.01)
        arguments = self.result.read_text().splitlines()
        self.result.unlink()
        return arguments

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(TIMEOUT)
        os.close(self.terminal)


class Forms(Case):
    @classmethod
    def setUpClass(cls):
        cls.commands = re.findall(r"^  ([a-z-]+) ", cls.text("help"), re.M)
        cls.options = {name: options_of_help(cls.text(name, "--help")) for name in cls.commands}

    @staticmethod
    def text(*arguments):
        return subprocess.run([HBAR, *arguments], check=True, capture_output=True, text=True).stdout

    def needs(self, program):
        if not shutil.which(program):
            self.skipTest(f"{program} is not installed")

    def written(self, form):
        path = self.dir / f"form.{form}"
        path.write_text(self.text("help", "--format", form))
        return path

    def test_tables_are_read(self):
        self.assertGreater(len(self.commands), 12)
        self.assertEqual(self.options["generate"]["max-tokens"],
                         ("n", "N", "generate at most N tokens (default: 512)"))
        self.assertEqual(choices_of(self.options["generate"]["direction"]), ["high", "low"])
        self.assertIn("triviaqa", choices_of(self.options["judge"]["format"]))
        self.assertGreater(sum(map(len, self.options.values())), 200)

    def test_text(self):
        self.assertEqual(self.text("help"), self.text("--help"))
        for name in self.commands:
            self.assertEqual(self.text("help", name), self.text(name, "--help"))

    def test_usage(self):
        self.fails("help", "meditate", code=USAGE, says="'meditate' is not a command")
        self.fails("help", "generate", "judge", code=USAGE, says="unexpected argument 'judge'")
        self.fails("help", "--format", "tcsh", code=USAGE, says="'tcsh' is not one of text, man, markdown, bash, zsh, fish")
        self.fails("help", "--format", "zsh", "score", code=USAGE, says="takes no COMMAND")

    def test_man_pages_agree(self):
        program = self.text("help", "--format", "man")
        for name in self.commands:
            self.assertIn(f".BR hbar\\-{name} (1)\n", program)
            self.assertEqual(options_of_man(self.text("help", "--format", "man", name)), self.options[name], name)

    def test_man_pages_are_clean(self):
        self.needs("groff")
        for page in [[]] + [[name] for name in self.commands]:
            text = self.text("help", "--format", "man", *page)
            done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8"], input=text, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), page)

    def test_man_pages_show_the_text(self):
        self.needs("groff")
        page = self.text("help", "--format", "man", "calibrate")
        shown = subprocess.run(["groff", "-man", "-Tascii", "-P-c", "-rHY=0", "-rLL=2000n"], input=page, check=True,
                               capture_output=True, text=True).stdout
        shown = " ".join(re.sub(".\b", "", shown).split())
        for name, (_, _, words) in self.options["calibrate"].items():
            self.assertIn(f"--{name}", shown)
            self.assertIn(" ".join(words.split()), shown)

    def test_document(self):
        text = self.text("help", "--format", "markdown")
        self.assertEqual((PROJECT / "docs/cli.md").read_text(), text,
                         "docs/cli.md is old; write it with: hbar help --format markdown")
        sections = dict(re.findall(r"^## hbar ([a-z-]+)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
        self.assertEqual(list(sections), self.commands)
        for name in self.commands:
            self.assertEqual(options_of_markdown(sections[name]), self.options[name], name)

    def test_bash_has_each_option_and_value(self):
        self.needs("bash")
        script, wanted = ["source form.bash"], []
        self.written("bash")

        def ask(words, values):
            script.append(f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _hbar; echo \"${{COMPREPLY[@]}}\"")
            wanted.append((words, sorted(values)))

        ask(["hbar", "''"], [*self.commands, "--help", "--version"])
        for command, options in self.options.items():
            letters = [f"-{letter}" for letter, _, _ in options.values() if letter]
            ask(["hbar", command, "-"], [*letters, *(f"--{name}" for name in options)])
            for name, option in options.items():
                for flag in [f"--{name}", option[0] and f"-{option[0]}"]:
                    if flag and choices_of(option):
                        ask(["hbar", command, flag, "''"], choices_of(option))
        done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=self.dir, capture_output=True, text=True)
        self.assertEqual(done.stderr, "")
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), len(wanted))
        for line, (words, values) in zip(lines, wanted):
            self.assertEqual(sorted(line.split()), values, words)

    def make_files(self):
        (self.dir / "my model.gguf").touch()
        (self.dir / "folder").mkdir()
        (self.dir / "folder.txt").touch()

    def check_typing(self, shell):
        for line, wanted in [
            ("hbar gene\t x", ["generate", "x"]),
            ("hbar generate --check\t 2", ["generate", "--check-every", "2"]),
            ("hbar generate --direction h\t x", ["generate", "--direction", "high", "x"]),
            ("hbar generate --direction=l\t x", ["generate", "--direction=low", "x"]),
            ("hbar judge --format trivia\t", ["judge", "--format", "triviaqa"]),
            ("hbar inspect my\t", ["inspect", "my model.gguf"]),
            ("hbar generate -m my\t x", ["generate", "-m", "my model.gguf", "x"]),
            ("hbar generate --model my\t x", ["generate", "--model", "my model.gguf", "x"]),
            ("hbar generate --tau my\t", ["generate", "--tau", "my"]),
            ("hbar calibrate --output-dir fold\t", ["calibrate", "--output-dir", "folder/"]),
            ("hbar generate --exac\t x", ["generate", "--exact", "x"]),
            ("hbar generate --exact=f\t x", ["generate", "--exact=false", "x"]),
            ("hbar help serv\t", ["help", "serve"]),
        ]:
            self.assertEqual(shell.arguments(line), wanted, line)

    def test_bash_completes(self):
        self.needs("bash")
        self.make_files()
        self.written("bash")
        self.check_typing(Typing(self, ["bash", "--norc", "--noprofile", "-i"], "source form.bash"))

    def test_zsh_completes(self):
        self.needs("zsh")
        self.make_files()
        subprocess.run(["zsh", "-n", self.written("zsh")], check=True)
        self.written("zsh").rename(self.dir / "_hbar")
        setup = "autoload -Uz compinit; unsetopt auto_remove_slash; "
        self.check_typing(Typing(self, ["zsh", "-f", "-i"], setup + "fpath=($PWD $fpath); compinit -u -D"))
        sourced = Typing(self, ["zsh", "-f", "-i"], setup + "compinit -u -D; source ./_hbar")
        self.assertEqual(sourced.arguments("hbar gene\t"), ["generate"])

    def test_zsh_has_each_option(self):
        text = self.text("help", "--format", "zsh")
        for command, options in self.options.items():
            section = text.split(f"    {command})\n", 1)[1].split(" ;;\n", 1)[0].replace("'\\''", "'")
            rows = re.findall(r"(?:\{|^ +)(?:-(\w)\+?,|'\(-(\w) --[\w-]+\)'|'\*')?--([\w-]+)(?:=-?)?\}?'\[((?:[^]\\]|\\.)*)\]", section, re.M)
            found = {name: (a or b or None, re.sub(r"\\(.)", r"\1", words)) for a, b, name, words in rows}
            self.assertEqual(found, {name: (letter, words) for name, (letter, _, words) in options.items()}, command)

    def test_fish_has_each_option(self):
        text = self.text("help", "--format", "fish")
        for command, options in self.options.items():
            rows = re.findall(rf"^complete -c hbar -n '__hbar_command {command}' -l ([\w-]+)(?: -s (\w))?"
                              rf"(?: -x| -r -F)?(?: -a '([^']*)')? -d '((?:[^'\\]|\\.)*)'$", text, re.M)
            found = {name: (letter or None, re.sub(r"\\(.)", r"\1", words)) for name, letter, _, words in rows}
            self.assertEqual(found, {name: (letter, words) for name, (letter, _, words) in options.items()}, command)
            values = {name: values.split() for name, _, values, _ in rows}
            for name, option in options.items():
                if choices_of(option):
                    self.assertEqual(values[name], choices_of(option), (command, name))

    def test_fish_completes(self):
        self.needs("fish")
        self.make_files()
        self.written("fish")
        for line, wanted in [
            ("hbar gene", ["generate"]),
            ("hbar generate --check", ["--check-every"]),
            ("hbar generate --direction ", ["high", "low"]),
            ("hbar inspect my", ["my model.gguf"]),
            ("hbar generate --model my", ["my model.gguf"]),
            ("hbar generate --tau my", []),
            ("hbar calibrate --output-dir fold", ["folder/"]),
            ("hbar generate --exact=", ["--exact=false", "--exact=true"]),
            ("hbar help serv", ["serve"]),
        ]:
            done = subprocess.run(["fish", "--no-config", "-c", f"source form.fish; complete -C '{line}'"], check=True,
                                  cwd=self.dir, capture_output=True, text=True, env=environment(HOME=str(self.dir)))
            self.assertEqual(done.stderr, "")
            found = [row.split("\t")[0].replace("\\ ", " ") for row in done.stdout.splitlines()]
            self.assertEqual(found, wanted, line)
