"""Faults from outside: truncated models, limits, empty names, templates that are no files, removed runs."""
import contextlib
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

from harness import CHAT_MODEL, DONE, FAILED, HBAR, LABELLED, MODEL, USAGE, Case, by_engine, environment

SCORE = ["score", "--model", MODEL, "--data", LABELLED, "--max-tokens", 2, "-n", 12]


class TruncatedModel(Case):
    def test_truncated_while_in_use(self):
        """The model is truncated between opening and use: an error, and not the signal SIGBUS."""
        model = self.dir / "m.gguf"
        shutil.copy(MODEL, model)
        process = subprocess.Popen([HBAR, "tokenize", "--model", model, "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        while "m.gguf" not in Path(f"/proc/{process.pid}/maps").read_text():  # now it waits for the text
            time.sleep(0.01)
        time.sleep(0.3)
        os.truncate(model, 0)
        _, err = process.communicate(b"word", timeout=60)
        self.assertEqual(process.returncode, FAILED)
        self.assertRegex(err.decode(), "^hbar: a file was truncated while it was in use, most likely the model: .*\n$")

    def test_threads_that_fault_together(self):
        """Several threads read what the file no longer has; the message is printed once."""
        model = self.dir / "m.gguf"
        for _ in range(8):
            shutil.copy(MODEL, model)
            process = subprocess.Popen([HBAR, "generate", "--model", model, "--threads", "4", "--max-tokens", "100000", "--ctx-size",
                                        "101000", "--cutoff", "2", "Hello"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       env=environment())
            process.stdout.read(1)  # it decodes
            os.truncate(model, MODEL.stat().st_size // 8)
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, FAILED)
            self.assertEqual(err.count(b"a file was truncated"), 1, err)


class Limits(Case):
    """At the limit for the size of files writing fails; SIGXFSZ does not end the program."""

    @staticmethod
    def limited(size):
        return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))}

    def count(self, run):
        """The samples that an interrupted run has."""
        with contextlib.closing(sqlite3.connect(self.dir / run)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            begun = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'samples'").fetchone()[0]
            return database.execute("SELECT count(*) FROM samples").fetchone()[0] if begun else 0

    def test_runs(self):
        """What was committed is kept, and the same command continues the run, wherever the limit stops it."""
        score = [*SCORE[:-2], "-n", 0, "-q", "--threads", 1]
        kept = []
        for size in (4000, 20000, 40000, 60000, 80000):
            run = f"run{size}.db"
            self.fails(*score, "--run", run, says=f"hbar: {run}: the file would exceed the limit for the size of files "
                                                  "(ulimit -f)", **self.limited(size))
            kept.append(self.count(run))
            self.run_hbar(*score, "--run", run)
            self.assertEqual(self.count(run), 60)
        self.assertEqual(kept, sorted(kept))
        self.assertGreater(kept[-1], 0)

    def test_other_files(self):
        """Every other file that a command writes; nothing stays under its name."""
        self.run_hbar(*SCORE, "--run", "run.db", "-q")
        self.run_hbar(*SCORE, "--shard", "1/2", "--run", "half.db", "-q")
        self.run_hbar("sweep", "--run", "run.db", "--draws", 0, "-o", ".")
        params = next(self.dir.glob("*.json"))
        long = ["generate", "--model", MODEL, "-q", "--max-tokens", 100, "--cutoff", 2]
        for command, name in (([*long, "--trajectory", "t.jsonl", "x"], "t.jsonl"), ([*long, "--html", "t.html", "x"], "t.html"),
                              (["sweep", "--run", "run.db", "--draws", 0, "-o", "new"], "new/"),
                              (["report", params, "-q", "-o", "r.html"], "r.html"),
                              (["merge", "half.db", "--partial", "-o", "merged.db"], "merged.db")):
            with self.subTest(name):
                _, err = self.run_hbar(*command, code=FAILED, **self.limited(1000))
                self.assertRegex(err, f"(?m)^hbar: {re.escape(name)}.*: (File too large|the file would exceed .*)$")
                self.assertFalse((self.dir / name).is_file() and name != "t.jsonl" and (self.dir / name).stat().st_size)
        with open(self.dir / "out.csv", "wb") as out:
            done = subprocess.run([HBAR, "export", "--run", "run.db"], stdout=out, stderr=subprocess.PIPE, cwd=self.dir,
                                  env=environment(), **self.limited(100))
        self.assertEqual((done.returncode, done.stderr), (FAILED, b"hbar: standard output: File too large\n"))


class FullDisk(Case):
    def on_small_disk(self, script, *arguments):
        """Runs a script with a file system of 300 KiB mounted on the folder "disk"."""
        mounted = 'mount -t tmpfs -o size=300k tmpfs disk && ' + script
        return subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh",
                               *map(str, arguments)], capture_output=True, cwd=self.dir, timeout=120, env=environment())

    def test_at_the_end_of_pass_1(self):
        """The log fits on the disk, and the run's file does not: an error, and nothing is lost."""
        (self.dir / "disk").mkdir()
        if shutil.which("unshare") is None or self.on_small_disk("true").returncode:
            self.skipTest("no file systems can be mounted here")
        rows = self.write_rows("rows.jsonl", [{"prompt": f"Is {i} a number?", "label": i % 2} for i in range(60)])
        score = [HBAR, "score", "--model", MODEL, "--data", rows, "-n", 0, "--max-tokens", 4, "-q", "--threads", 1,
                 "--run", "disk/run.db"]
        done = self.on_small_disk('"$@"; echo $?; mount -o remount,size=4m disk; "$@"; echo $?; cp disk/* .; ls disk', *score)
        self.assertEqual(done.stdout, b"1\n60 samples, 50.0 % of them hallucinated\n0\nrun.db\n", done.stderr)
        # libllama evaluates fewer samples together, so there are more commits, and the log may not fit either.
        where = by_engine("; nothing is lost: .*", "(; nothing is lost: .*)?")
        self.assertRegex(done.stderr.decode(), rf"^hbar: disk/run\.db: database or disk is full{where}\n$")
        out, _ = self.run_hbar("export", "--run", self.dir / "run.db", "--format", "jsonl")
        self.assertEqual(len(out.splitlines()), 60)


class Names(Case):
    def test_empty(self):
        for arguments in (["generate", "--model", "", "x"], ["score", "--model", MODEL, "--data", LABELLED, "--run", ""],
                          ["score", "--data", ""], ["sweep", "--run="], ["validate", "-p", ""],
                          ["score", "--model", MODEL, "--data", LABELLED, "--positive", ""]):
            with self.subTest(arguments):
                self.fails(*arguments, code=USAGE, says="the value is empty")
        self.fails("inspect", "", code=USAGE, says="FILE is empty")
        self.run_hbar("tokenize", "--model", CHAT_MODEL, "--chat", "--system", "", "")  # other texts may be empty

    def test_names_of_sqlite(self):
        """A run is always a file, also for names that SQLite would keep in memory."""
        for name in (":memory:", "file:r.db?mode=memory"):
            self.run_hbar(*SCORE, "--run", name, "-q", cwd=self.dir)
            self.assertTrue((self.dir / name).is_file())
            self.run_hbar("export", "--run", name, cwd=self.dir)

    def test_places_of_runs(self):
        """A run that cannot be written is refused before the model is read, which may take minutes."""
        os.mkfifo(self.dir / "pipe")
        text, other = self.write("notes.txt", "no run " * 100), self.dir / "other.db"
        with contextlib.closing(sqlite3.connect(other)) as db:
            db.execute("CREATE TABLE t (a)")
        for path, says in ((self.dir, "is a directory, not a regular file"), (self.dir / "pipe", "is a pipe, not a regular"),
                           (self.dir / "none" / "r.db", "No such file"), (text, "not a database"),
                           (other, "a database, but not a run of hbar"), (f"{text}/r.db", "Not a directory")):
            for model in (MODEL, self.dir / "none.gguf"):
                self.fails("score", "--model", model, "--data", LABELLED, "--run", path, says=f"{path}: ")
                self.fails("calibrate", "--model", model, "--data", LABELLED, "--run", path, "-o", self.dir, says=says)
        self.fails(*SCORE, "-o", text, says=f"{text}")
        self.assertEqual(text.read_text(), "no run " * 100)


class Templates(Case):
    """A template may come through a pipe; endless ones and those without a writer are refused at once."""

    def test_of_prompts(self):
        pipe = self.dir / "pipe"
        os.mkfifo(pipe)
        for path, says in ((pipe, "is empty"), ("/dev/zero", "is a device"), (self.dir, "is a directory")):
            self.fails(*SCORE, "-o", self.dir, "--prompt-template", path, says=f"--prompt-template: {path}: {says}")
        large = self.write("large", "{prompt}" * 200000)
        self.fails(*SCORE, "-o", self.dir, "--prompt-template", large, says="has more than 1048576 bytes")
        zero = self.write("zero", "{prompt}\0")
        self.fails(*SCORE, "-o", self.dir, "--prompt-template", zero, says="has zero bytes")
        piped = subprocess.run(["bash", "-c", 'exec "$@" --prompt-template <(echo "Q: {prompt}")', "bash", HBAR,
                                *map(str, SCORE), "-q", "--run", self.dir / "run.db"], stdout=subprocess.DEVNULL, timeout=60,
                               env=environment())
        self.assertEqual(piped.returncode, DONE)

    def test_of_chats(self):
        pipe = self.dir / "pipe"
        os.mkfifo(pipe)
        chat = ["tokenize", "--model", MODEL, "--chat", "--chat-template"]
        self.fails(*chat, pipe, "x", says=f"--chat-template: {pipe}: is empty")
        large = self.dir / "large"
        large.touch()
        os.truncate(large, 1 << 40)
        self.fails(*chat, large, "x", says="has more than 1048576 bytes")
        piped = subprocess.run(["bash", "-c", 'exec "$@" <(echo "{{ messages[0].content }}") x', "bash", HBAR,
                                *map(str, chat)], capture_output=True, timeout=60, env=environment())
        self.assertEqual((piped.returncode, piped.stderr), (DONE, b""))


class Trajectory(Case):
    def test_replaces_nothing_that_is_read(self):
        model = self.dir / "m.gguf"
        shutil.copy(MODEL, model)
        (self.dir / "link").symlink_to(model)
        for path in (model, self.dir / "link"):
            self.fails("generate", "--model", model, "--max-tokens", 2, "--trajectory", path, "x", code=USAGE,
                       says=f"--trajectory: {path} is also the file of --model, and would be replaced")
        self.assertEqual(model.read_bytes(), MODEL.read_bytes())


class RemovedRun(Case):
    def test_removed(self):
        """Samples must not be written to a removed run."""
        run = self.dir / "run.db"
        many = self.write_rows("many.jsonl", [{"prompt": f"Is {i} a number?", "label": i % 2} for i in range(20000)])
        process = subprocess.Popen([HBAR, "score", "--model", MODEL, "--data", many, "-n", "0", "--max-tokens", "20",
                                    "--run", run, "--sequences", "8", "-q"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment())
        while not run.exists() or not (self.dir / "run.db-wal").exists():
            time.sleep(0.01)
        time.sleep(0.5)
        run.unlink()
        _, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, FAILED)
        self.assertIn(b"the run was removed or replaced while it was written", err)
