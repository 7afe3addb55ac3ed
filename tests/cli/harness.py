"""Runs hbar as a user would. HBAR names the program, HBAR_TEST_MODELS the folder of small models."""
import atexit
import contextlib
import json
import math
import os
import pty
import re
import select
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
HBAR = os.environ["HBAR"]
MODELS = Path(os.environ["HBAR_TEST_MODELS"])
SHARED = Path(os.environ.get("HBAR_SHARED", PROJECT.parent / "shared"))
MODEL = MODELS / "tiny-f32.gguf"
CHAT_MODEL = MODELS / "tiny-chat.gguf"
BYTE_MODEL = MODELS / "tiny-bytes.gguf"
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2**30:
    tempfile.tempdir = str(MEMORY)  # runs are synced to disk often, which takes time on a disk
SCRATCH = Path(tempfile.mkdtemp(prefix="hbar-cli-"))
LABELLED = SCRATCH / "labelled.jsonl"
# With HBAR_ENGINE=llama, the engine over libllama evaluates (tests/llama/run BUILD --cli).
ENGINE = os.environ.get("HBAR_ENGINE", "native")
# What the command then says beside what it says with the native engine.
NOTES = re.compile(r"^hbar: (warning: .* was calibrated with the engine native|the engine llama does not measure .*)\n", re.M)
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
TIMEOUT = 300


atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
LABELLED.write_text("".join(
    json.dumps({"id": f"sum_{i:02}_{label}", "prompt": f"Is {i} plus {i} equal to {2 * i + label}?", "label": label}) + "\n"
    for i in range(30) for label in (0, 1)))


def native_only(reason):
    """Skips a test, or a class of tests, with another engine than the native one."""
    return unittest.skipUnless(ENGINE == "native", reason)


def by_engine(native, llama):
    return native if ENGINE == "native" else llama


# Signals that need weights of attention, which libllama does not give.
ATTENTION = ["attention_entropy", "attention_sink", "attention_self", "rauq"]
UNMEASURED = by_engine([], ATTENTION)
# What bench/detect.py keeps of the model: all features that the engine gives.
DETECT_FEATURES = by_engine("hidden,topk,attention,states", "hidden,topk,states")


def alike(a, b):
    """Whether two results are the same. libllama's results depend a little on the batch: with it, numbers may differ by a
    thousandth, and binary values have only the same length."""
    if ENGINE == "native":
        return a == b
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3)
    if isinstance(a, bytes) and isinstance(b, bytes):
        return len(a) == len(b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    return a == b


def without_numbers(text):
    """A text to compare with another: with libllama, whose numbers differ a little, each number is replaced by #."""
    return text if ENGINE == "native" else re.sub(r"\d+(\.\d+)?", "#", text)


def without_notes(text):
    return text if ENGINE == "native" else NOTES.sub("", text)


def environment(**changes):
    return {**os.environ, "TERM": "xterm", "NO_COLOR": "", "XDG_CONFIG_HOME": str(SCRATCH / "config"), **changes}


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="hbar-cli-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    @classmethod
    def for_class(cls):
        """A case for setUpClass. Its folder stays until the last test of the class."""
        case = cls("run_hbar")
        case.setUp()
        cls.addClassCleanup(case.doCleanups)
        return case

    def run_hbar(self, *arguments, code=DONE, stdin=b"", **options):
        """Runs to the end in the test's folder, checks the exit code, and returns (standard output, standard error)."""
        options.setdefault("cwd", self.dir)
        options.setdefault("env", environment())
        done = subprocess.run([HBAR, *map(str, arguments)], input=stdin, capture_output=True, timeout=TIMEOUT, **options)
        err = done.stderr.decode()
        self.assertEqual(done.returncode, code, f"{arguments}: {err}")
        return done.stdout.decode(), without_notes(err)

    def run_json(self, *arguments, **options):
        out, _ = self.run_hbar(*arguments, "--json", **options)
        return json.loads(out)

    def fails(self, *arguments, code=FAILED, says, **options):
        """Checks that a failure prints only one message on standard error, which begins with the program."""
        out, err = self.run_hbar(*arguments, code=code, **options)
        self.assertEqual(out, "")
        self.assertIn(says, err)
        self.assertTrue(all(line.startswith("hbar") for line in err.splitlines()), err)

    def on_terminal(self, *arguments, **changes):
        """Runs with standard output and error on a pseudo-terminal; returns (exit code, what it showed)."""
        main, side = pty.openpty()
        process = subprocess.Popen([HBAR, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=side,
                                   stderr=side, env=environment(**changes))
        os.close(side)
        shown = b""
        while select.select([main], [], [], TIMEOUT)[0]:
            try:
                block = os.read(main, 65536)
            except OSError:
                break
            if not block:
                break
            shown += block
        os.close(main)
        return process.wait(TIMEOUT), shown.decode()

    def write(self, name, text):
        path = self.dir / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def make_model(self, name, *options):
        """A very small model with random weights, made by tools/make_model.py."""
        path = self.dir / name
        subprocess.run([sys.executable, PROJECT / "tools" / "make_model.py", path, "--type", "f32", "--embd", "32",
                        "--heads", "2", "--ff", "32", "--layers", "1", *options], check=True)
        return path

    def assert_alike(self, a, b):
        if not alike(a, b):
            self.assertEqual(a, b)

    def no_warning(self, err):
        """Checks that there is none, except that the calibration had too few answers for a halt."""
        lines = [line for line in err.splitlines() if "has no calibrated halt" not in line]
        self.assertNotIn("warning", "\n".join(lines))

    @staticmethod
    def read(path):
        """A JSON file."""
        return json.loads(Path(path).read_text())

    def write_rows(self, name, rows):
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))


class Runs(Case):
    """Compares runs. With the portable kernels, the native engine's results do not depend on the batch."""

    def setUp(self):
        super().setUp()
        kernels = unittest.mock.patch.dict(os.environ, HBAR_KERNELS="portable")
        kernels.start()
        self.addCleanup(kernels.stop)

    def score(self, run, *more, data=LABELLED, n=0, max_tokens=5):
        return self.run_hbar("score", "--model", MODEL, "--data", data, "--run", self.dir / run, "-n", n, "--max-tokens",
                             max_tokens, *more)

    def rows(self, run, sql):
        with contextlib.closing(sqlite3.connect(run)) as db:
            return db.execute(sql).fetchall()

    def exported(self, run, *more):
        """What export prints, without the times."""
        out, _ = self.run_hbar("export", "--run", self.dir / run, "--format", "jsonl", *more)
        return [{k: v for k, v in json.loads(line).items() if not k.endswith("_seconds")} for line in out.splitlines()]

    def check_rows(self, a, b):
        """Compares the rows of each sample. With libllama, one sample in 50 may differ: where two tokens are almost equally
        probable, its text takes another turn."""
        samples = {}, {}
        for side, rows in zip(samples, (a, b)):
            for row in rows:
                side.setdefault(row["index"] if isinstance(row, dict) else row[0], []).append(row)
        self.assertEqual(samples[0].keys(), samples[1].keys())
        different = [key for key, rows in samples[0].items() if not alike(rows, samples[1][key])]
        self.assertLessEqual(len(different), by_engine(0, len(samples[0]) // 50), different)

    def check_equal(self, run, whole):
        self.check_rows(self.exported(run), self.exported(whole))
        self.check_rows(self.exported(run, "--generations"), self.exported(whole, "--generations"))
        for table in "settings", "scores", "tokens", "features", "generations":
            sql = f"SELECT * FROM {table} ORDER BY 1, 2"
            self.check_rows(*(self.rows(self.dir / r, sql) for r in (run, whole)))
