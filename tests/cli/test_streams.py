"""Closed or full standard streams, and files that are not regular files."""
import contextlib
import json
import os
import sqlite3
import threading

from harness import DONE, FAILED, HBAR, LABELLED, MODEL, Case, environment, subprocess

SCORE = ["--model", str(MODEL), "--data", str(LABELLED), "--max-tokens", "2", "-n", "12"]


class Closed(Case):
    """Descriptors 1 and 2 closed: the run's files must not take their numbers."""

    def run_closed(self, closed, *arguments):
        """Runs with a redirection such as '>&-'."""
        return subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", HBAR, *map(str, arguments)],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120, env=environment())

    def check_run(self, path):
        """The run is complete, and only SQLite wrote to its file."""
        with contextlib.closing(sqlite3.connect(path)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            self.assertEqual(database.execute("SELECT count(*) FROM samples").fetchone(), (12,))
            (page,) = database.execute("PRAGMA page_size").fetchone()
        data = path.read_bytes()
        self.assertEqual(len(data) % page, 0)
        for text in (b"hbar: ", b"samples scored", b"% of them", b"schema_version"):
            self.assertNotIn(text, data)

    def test_standard_output(self):
        run = self.dir / "run.db"
        for n in (1, 2):  # begun, then continued
            done = self.run_closed(">&-", "calibrate", *SCORE, "--run", run, "-o", self.dir, "--draws", 0, "--json")
            self.assertEqual(done.returncode, FAILED)
            self.assertIn(b"standard output: Bad file descriptor", done.stderr)
            self.check_run(run)
            self.assertEqual([self.read(p)["schema"] for p in self.dir.glob("*.json")], n * ["hbar-params"])

    def test_standard_error(self):
        run = self.dir / "run.db"
        for closed in ("2>&-", "2>&- <&-", "2>&-"):
            self.assertEqual(self.run_closed(closed, "score", *SCORE, "--run", run).returncode, DONE)
            self.check_run(run)

    def test_standard_input(self):
        done = self.run_closed("<&-", "generate", "--model", MODEL, "-")
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(b"standard input: Bad file descriptor", done.stderr)

    def test_all(self):
        run = self.dir / "run.db"
        for _ in range(2):
            self.assertEqual(self.run_closed(">&- 2>&- <&-", "score", *SCORE, "--run", run).returncode, FAILED)
            self.check_run(run)


class Full(Case):
    """A full disk: the message names the reason, however much was written before."""

    def fails_on_full(self, *arguments):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([HBAR, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, timeout=120,
                                  env=environment())
        self.assertEqual(done.returncode, FAILED)
        self.assertEqual(done.stderr.decode().splitlines()[-1], "hbar: standard output: No space left on device")

    def test_reason(self):
        run = self.dir / "run.db"
        self.run_hbar("score", *SCORE, "--run", run, "-q")
        self.fails_on_full("--help")
        self.fails_on_full("calibrate", "--help")
        self.fails_on_full("export", "--run", run)
        self.fails_on_full("export", "--run", run, "--format", "jsonl")
        self.fails_on_full("tokenize", "--model", MODEL, "word " * 5000)
        self.fails_on_full("tokenize", "--model", MODEL, "--json", "word " * 5000)
        self.fails_on_full("generate", "--model", MODEL, "-q", "--json", "--cutoff", 2, "word")
        self.fails_on_full("generate", "--model", MODEL, "-q", "--cutoff", 2, "word")

    def test_trajectory(self):
        _, err = self.run_hbar("generate", "--model", MODEL, "-q", "--trajectory", "/dev/full", "--cutoff", 2, "word",
                               code=FAILED)
        self.assertEqual(err, "hbar: /dev/full: No space left on device\n")


class Kinds(Case):
    """Pipes without a writer, endless devices and directories are reported without waiting for them."""

    def test_refused(self):
        pipe = self.dir / "pipe"
        os.mkfifo(pipe)
        params = self.write("p.json", "{}")
        for path, says in [(pipe, "is a pipe"), ("/dev/zero", "is a device"), (self.dir, "is a directory")]:
            for arguments in [["generate", "--model", MODEL, "--params", path, "x"],
                              ["validate", "--params", path, "--scores", params]]:
                with self.subTest(arguments):  # parameters may come through a pipe
                    self.fails(*arguments, says=f"{path}: {'is empty' if path == pipe else says}")
            for arguments in [["generate", "--model", path, "x"], ["inspect", path]]:
                with self.subTest(arguments):
                    self.fails(*arguments, says=f"{path}: {says}, not a regular file")
            for arguments in [["sweep", "--data", path], ["score", "--model", MODEL, "--data", path, "-o", self.dir]]:
                with self.subTest(arguments):  # and so may data
                    self.fails(*arguments, says=f"{path}: {'nothing was written' if path == pipe else says}")

    def test_trajectory_into_a_pipe(self):
        pipe = self.dir / "pipe"
        os.mkfifo(pipe)
        generate = ["generate", "--model", MODEL, "--max-tokens", 4, "--cutoff", 2, "-q", "--trajectory", pipe, "word"]
        self.fails(*generate, says="is a pipe without a reader")
        read = []
        reader = threading.Thread(target=lambda: read.extend(pipe.read_text().splitlines()))
        reader.start()
        while reader.is_alive() and not read:  # until the reader has opened it
            if subprocess.run([HBAR, *map(str, generate)], capture_output=True, timeout=120).returncode == DONE:
                break
        reader.join(60)
        self.assertEqual([json.loads(line)["step"] for line in read], [0, 1, 2, 3])

    def test_pages_into_pipes(self):
        """A pipe without a reader is refused before the work; a reader waits for the page."""
        pipe = self.dir / "pipe"
        os.mkfifo(pipe)
        self.run_hbar("calibrate", *SCORE, "-o", self.dir / "c", "--draws", 0, "-q")
        (params,) = (self.dir / "c").glob("*.json")
        generate = ["generate", "--model", MODEL, "--max-tokens", 2, "--cutoff", 2, "--html", pipe, "word"]
        calibrate = ["calibrate", *SCORE, "--run", "r.db", "-o", self.dir / "out", "--draws", 0, "--report", pipe]
        validate = ["validate", "--params", params, *SCORE, "--report", pipe]
        for arguments in (generate, calibrate, validate, ["report", params, "-o", pipe]):
            with self.subTest(arguments):
                self.fails(*arguments, says="is a pipe without a reader")
        self.assertFalse((self.dir / "r.db").exists())
        for arguments in (generate, ["report", params, "-o", pipe]):
            with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
                descriptor = os.open(pipe, os.O_WRONLY)  # waits until the reader has opened it
                self.run_hbar(*arguments)
                os.close(descriptor)
                self.assertIn(b"</html>", reader.stdout.read())

    def test_endless_input(self):
        with open("/dev/zero", "rb") as zero:
            done = subprocess.run([HBAR, "generate", "--model", str(MODEL), "-"], stdin=zero, capture_output=True,
                                  timeout=120, env=environment())
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(b"standard input: more than 256 MiB", done.stderr)

    def test_empty_directory_name(self):
        rows = "".join(f"{i},{i % 2}\n" for i in range(20))
        self.fails("sweep", "--data", self.write("s.csv", "score,label\n" + rows), "--draws", 0, "-o", "",
                   says="the name of a directory is empty")
