"""hbar score, calibrate and validate by several MPI processes on this machine. HBAR is built with HBAR_MPI."""
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cli"))
from harness import HBAR, LABELLED, MODEL, MODELS, TIMEOUT, Runs, environment  # noqa: E402

MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none"]
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@unittest.skipUnless(shutil.which("mpirun"), "mpirun is not installed")
class Mpi(Runs):
    def command(self, run, *more, ranks, data=LABELLED, max_tokens=5, model=MODEL):
        return list(map(str, [*MPIRUN, "-n", ranks, HBAR, "score", "--model", model, "--data", data, "--run",
                              self.dir / run, "-n", 0, "--max-tokens", max_tokens, "--threads", 1, *more]))

    def mpi(self, *command, code=0):
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, env=environment(**AS_ROOT), cwd=self.dir)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, code, f"{command}: {err}")
        return out, err

    def own(self, err):
        """The messages of hbar, without those of mpirun."""
        return [line for line in err.splitlines() if line.startswith("hbar")]

    def test_equal_to_one_process(self):
        more = "--samples", 2, "--features", "hidden,topk"
        self.score("whole.db", "--threads", 1, *more)
        out, err = self.mpi(*self.command("four.db", *more, ranks=4))
        self.assertEqual(out.count("60 samples"), 1, out)  # one process prints
        self.assertEqual(len(self.own(err)), 3, err)
        self.check_equal("four.db", "whole.db")
        out, _ = self.mpi(*self.command("four.db", *more, "--json", ranks=2))  # all samples are there
        self.assertEqual((json.loads(out)["scored"], json.loads(out)["tokens_evaluated"]), (60, 0))
        self.check_equal("four.db", "whole.db")

    def test_shards_of_ranks(self):
        self.score("whole.db")
        runs = [self.dir / f"{i}.db" for i in (1, 2)]
        for i, run in enumerate(runs, 1):
            self.mpi(*self.command(run, "--shard", f"{i}/2", ranks=2))
        self.run_hbar("merge", *runs, "-o", self.dir / "all.db")
        self.check_equal("all.db", "whole.db")

    def test_one_rank(self):
        self.score("whole.db")
        self.mpi(*self.command("one.db", ranks=1))
        self.check_equal("one.db", "whole.db")

    def test_calibrate_and_validate(self):
        common = "--model", MODEL, "--data", LABELLED, "-n", 0, "--max-tokens", 5, "--threads", 1, "--draws", 100
        for folder, launcher in (("one", []), ("three", [*MPIRUN, "-n", "3"])):
            run = self.dir / f"{folder}.db"
            out, _ = self.mpi(*launcher, *map(str, [HBAR, "calibrate", *common, "--run", run, "-o", self.dir / folder]))
            self.assertEqual(out.count("Parameters: "), 1, out)
        self.check_equal("three.db", "one.db")
        params = [next((self.dir / folder).glob("*.json")) for folder in ("one", "three")]
        self.assertEqual(*(self.read(p)["threshold"] for p in params))
        reports = [json.loads(self.mpi(*launcher, *map(str, [HBAR, "validate", *common, "--params", params[0], "--json",
                                                             "--run", self.dir / f"v{i}.db"]))[0])
                   for i, launcher in enumerate(([], [*MPIRUN, "-n", "3"]))]
        self.check_equal("v1.db", "v0.db")
        for report in reports:
            for key in "run", "scores", "seconds":
                report.pop(key, None)
        self.assertEqual(str(reports[0]).replace("v0.db", ""), str(reports[1]).replace("v1.db", ""))

    def test_another_model_on_a_rank(self):
        first, second = (self.command("x.db", ranks=1, model=MODELS / f"tiny-{t}.gguf") for t in ("f32", "f16"))
        out, err = self.mpi(*first, ":", *second[len(MPIRUN):], code=1)
        self.assertEqual(out, "")
        self.assertRegex("\n".join(self.own(err)), r"hbar: rank 1 \(.+\) differs from rank 0: its model_sha256 is")

    def test_a_model_that_one_rank_lacks(self):
        first, second = (self.command("x.db", ranks=1, model=m) for m in (MODEL, self.dir / "none.gguf"))
        _, err = self.mpi(*first, ":", *second[len(MPIRUN):], code=1)
        self.assertRegex(err, r"hbar: rank 1 \(.+\): .*none.gguf")

    def test_a_failure_of_all_is_told_once(self):
        for missing in {"data": "none.jsonl"}, {"model": "none.gguf"}:
            says = next(iter(missing.values()))
            _, err = self.mpi(*self.command("x.db", ranks=3, **missing), code=1)
            self.assertEqual(len(self.own(err)), 1, err)
            self.assertIn(says, self.own(err)[0])

    def n_samples(self, run):
        if not run.exists():
            return 0
        try:
            return self.rows(run, "SELECT count(*) FROM samples")[0][0]
        except sqlite3.Error:
            return 0

    def kill_and_continue(self, victim, kills, n):
        """Kills a rank (None: any) of a running job several times, each time after some more samples."""
        data = self.write_rows("many.jsonl", [{"id": str(i), "prompt": f"Tell me about {i}.", "label": i % 2}
                                              for i in range(n)])
        run, chosen = self.dir / "run.db", random.Random(victim)
        before = []
        for _ in range(kills):
            job = subprocess.Popen(self.command(run, "--sequences", 2, ranks=3, data=data, max_tokens=30),
                                   env=environment(**AS_ROOT), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            while job.poll() is None and self.n_samples(run) <= len(before) + 5:
                time.sleep(0.01)
            ranks = children(job.pid) if job.poll() is None else []
            if ranks:
                os.kill(chosen.choice(ranks) if victim is None else sorted(ranks)[victim], signal.SIGKILL)
            _, err = job.communicate(timeout=TIMEOUT)
            if ranks:
                self.assertNotEqual(job.returncode, 0)
                self.assertIn("on signal 9 (Killed)", err.decode())
            rows = self.exported(run)
            kept = {r["index"]: r for r in rows}
            for row in before:
                self.assertEqual(kept[row["index"]], row)  # nothing is lost
            before = rows
        self.assertGreater(len(before), 0)
        out, _ = self.mpi(*self.command(run, "--json", ranks=3, data=data, max_tokens=30))
        self.assertEqual(json.loads(out)["scored"], n)
        self.score("whole.db", data=data, max_tokens=30)
        self.check_equal("run.db", "whole.db")

    def test_a_rank_is_killed(self):
        self.kill_and_continue(2, kills=1, n=60)

    def test_rank_0_is_killed(self):
        self.kill_and_continue(0, kills=1, n=60)

    @unittest.skipUnless("HBAR_LONG" in os.environ, "long; HBAR_LONG runs it")
    def test_any_ranks_are_killed(self):
        self.kill_and_continue(None, kills=12, n=400)

    def test_interrupted(self):
        """mpirun may end the ranks before rank 0 has said so; the run is whole in any case."""
        data = self.write_rows("many.jsonl", [{"id": str(i), "prompt": f"Tell me about {i}.", "label": i % 2}
                                              for i in range(60)])
        run = self.dir / "run.db"
        job = subprocess.Popen(self.command(run, "--sequences", 1, ranks=2, data=data, max_tokens=30),
                               env=environment(**AS_ROOT), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while job.poll() is None and not self.n_samples(run):
            time.sleep(0.01)
        job.send_signal(signal.SIGTERM)
        self.assertNotEqual(job.wait(TIMEOUT), 0)
        self.assertGreater(len(self.exported(run)), 0)
        self.mpi(*self.command(run, ranks=2, data=data, max_tokens=30))
        self.score("whole.db", data=data, max_tokens=30)
        self.check_equal("run.db", "whole.db")


if __name__ == "__main__":
    unittest.main()
