"""hbar calibrate, score, sweep and export, on real runs of a small model."""
import contextlib
import csv
import fcntl
import hashlib
import io
import json
import math
import os
import re
import shlex
import shutil
import signal
import sqlite3
import struct
import time
from pathlib import Path

from harness import (CHAT_MODEL, LABELLED, DONE, HBAR, INTERRUPTED, MODEL, MODELS, PROJECT, SHARED, Case, by_engine,
                     environment, subprocess)

FAST = ["--max-tokens", 5]


def auroc(scores, labels):
    pairs = [(a > b) + 0.5 * (a == b) for a, x in zip(scores, labels) if x for b, y in zip(scores, labels) if not y]
    return sum(pairs) / len(pairs)


def average_precision(scores, labels):
    area = recall = 0
    for tau in sorted(set(scores), reverse=True):
        flagged = [label for score, label in zip(scores, labels) if score >= tau]
        area += (sum(flagged) / sum(labels) - recall) * sum(flagged) / len(flagged)
        recall = sum(flagged) / sum(labels)
    return area


def quantile(values, q):
    values = sorted(values)
    place = q * (len(values) - 1)
    below = min(int(place), len(values) - 2)
    return values[below] + (place - below) * (values[below + 1] - values[below])


class Runs(Case):
    def calibrate(self, *more, **options):
        return self.run_json("calibrate", "--model", MODEL, "--data", LABELLED, "-o", self.dir / "out", *FAST, *more,
                             **options)

    def run_file(self):
        (path,) = (self.dir / "out").glob("*.db")
        return path

    def rows(self, path=None):
        out, _ = self.run_hbar("export", "--run", path or self.run_file(), "--format", "jsonl")
        return [json.loads(line) for line in out.splitlines()]


class Calibrate(Runs):
    def test_parameters_file(self):
        shown = self.calibrate()
        path = shown.pop("parameters")
        self.assertRegex(path, r"/random-llama_\d{8}_\d{6}_n60\.json$")
        saved = json.loads(Path(path).read_text())
        self.assertEqual(saved, shown)
        self.assertEqual(saved["model"]["sha256"], hashlib.sha256(MODEL.read_bytes()).hexdigest())
        self.assertEqual(saved["model"]["file_size"], MODEL.stat().st_size)
        self.assertEqual(saved["model"]["architecture"], "llama")
        self.assertEqual(saved["data"]["sha256"], hashlib.sha256(LABELLED.read_bytes()).hexdigest())
        self.assertEqual([saved["data"][k] for k in ("samples", "scored", "skipped", "failed", "broken_rows")],
                         [60, 60, 0, 0, 0])
        self.assertEqual(saved["settings"]["max_tokens"], 5)
        self.assertEqual(saved["lambda"], 5)

    def test_what_is_printed_is_what_was_saved(self):
        self.calibrate()
        for arguments in (["--score", "all", "--draws", 100], ["--joint"], ["--map", "isotonic", "--draws", 0]):
            out, _ = self.run_hbar("sweep", "--run", self.run_file(), "-o", self.dir / "p", "--json", *arguments)
            path = json.loads(out)["parameters"]
            self.assertEqual(out, Path(path).read_text()[:-2] + f',\n  "parameters": "{path}"\n}}\n')

    def test_any_score_of_chosen_signals(self):
        result = self.calibrate("--signals", "entropy,margin", "--score", "margin:min")
        rows = self.rows()
        self.assertEqual(result["score"]["name"], "margin:min")
        self.assertEqual(result["score"]["aggregation"], "min")
        self.assertAlmostEqual(result["auroc_high"], auroc([r["margin:min"] for r in rows], [r["label"] for r in rows]))
        self.assertTrue(all("hbar_s:top5" not in r and r["entropy:first"] > 0 for r in rows))

    def test_numbers_are_those_of_the_run(self):
        result = self.calibrate("--min-recall", 0.8)
        rows = self.rows()
        labels = [r["label"] for r in rows]
        high = auroc([r["hbar_s:top5"] for r in rows], labels)
        low = 1 - auroc([r["hbar_s:bottom5"] for r in rows], labels)
        turn = 1 if high >= low else -1
        scores = [r["hbar_s:top5" if turn > 0 else "hbar_s:bottom5"] for r in rows]
        oriented = [turn * s for s in scores]
        self.assertEqual(result["direction"], ">=" if turn > 0 else "<=")
        self.assertAlmostEqual(result["auroc_high"], high)
        self.assertAlmostEqual(result["auroc_low"], low)
        self.assertAlmostEqual(result["auroc"], max(high, low))
        self.assertAlmostEqual(result["pr_auc"], average_precision(oriented, labels))
        for label in (0, 1):
            group = [s for s, y in zip(scores, labels) if y == label]
            mean = sum(group) / len(group)
            sd = math.sqrt(sum((s - mean) ** 2 for s in group) / (len(group) - 1))
            self.assertAlmostEqual(result["score"][f"label_{label}"]["mean"], mean)
            self.assertAlmostEqual(result["score"][f"label_{label}"]["sd"], sd)
        best = None
        for first, last in ((60, 99), (1, 99)):
            for k in range(last, first - 1, -1):
                tau = quantile(oriented, k / 100)
                flagged = [y for s, y in zip(oriented, labels) if s >= tau]
                precision, recall = sum(flagged) / len(flagged), sum(flagged) / sum(labels)
                if recall >= 0.8 and (best is None or (precision, recall) > best[:2]):
                    best = (precision, recall, turn * tau)
            if best:
                break
        chosen = result["threshold"]
        self.assertAlmostEqual(chosen["precision"], best[0])
        self.assertAlmostEqual(chosen["recall"], best[1])
        self.assertAlmostEqual(chosen["tau"], best[2])
        self.assertEqual(len(result["sweep"]), 99 if chosen["wide_grid"] else 40)

    def test_text_for_people(self):
        out, err = self.run_hbar("calibrate", "--model", MODEL, "--data", LABELLED, "-o", self.dir, *FAST)
        for part in ("60 samples", "AUROC", "PR-AUC", "Threshold", "precision", "recall", "Parameters: "):
            self.assertIn(part, out)
        self.assertIn("60 of 60 samples scored, 0 skipped, 0 failed", err)
        self.assertNotIn("\r", err)  # no progress bar without a terminal
        _, err = self.run_hbar("calibrate", "--model", MODEL, "--data", LABELLED, "-o", self.dir, *FAST, "--quiet")
        self.assertEqual(err, "")

    def test_progress_bar_on_a_terminal(self):
        code, shown = self.on_terminal("score", "--model", MODEL, "--data", LABELLED, "-o", self.dir, *FAST)
        self.assertEqual(code, DONE)
        self.assertRegex(shown, r"\[#+ *\] \d+/60  [0-9.]+ samples/s  \d+:\d\d left: (prefill|decode|rest) \d+ %")
        self.assertIn("60/60", shown)

    def test_parameters_serve_generate(self):
        result = self.calibrate()
        out, err = self.run_hbar("generate", "--model", MODEL, "--params", result["parameters"], "--json", "Hello")
        monitor = json.loads(out)["monitor"]
        self.assertEqual((monitor["tau"], monitor["direction"]), (result["threshold"]["tau"], result["direction"]))
        self.no_warning(err)

    def model_named(self, name):
        """The model with another name of the same length in bytes."""
        return self.write("named.gguf", MODEL.read_bytes().replace(b"random-llama", name))

    def test_names_that_are_no_file_names(self):
        """Every model name gives a file name, and the output folder is checked before pass 1."""
        for name in (b"a/b/c/d/e/f/", b"/../.. /\t..x", b"............"):
            out = self.dir / "out"
            with self.subTest(name):
                path = Path(self.run_json("calibrate", "--model", self.model_named(name), "--data", LABELLED, "-o", out,
                                          "-n", 20, "--draws", 0, *FAST)["parameters"])
                self.assertEqual(path.parent, out)
                self.assertRegex(path.name, r"^[a-z_][a-z0-9._-]*_n20\.json$")
        long, raw = self.dir / "long.gguf", MODEL.read_bytes()
        at = raw.index(b"general.name") + len(b"general.name")
        (length,) = struct.unpack_from("<Q", raw, at + 4)
        name = b"n" * (length + 32 * 7)  # data stay aligned
        long.write_bytes(raw[:at + 4] + struct.pack("<Q", len(name)) + name + raw[at + 12 + length:])
        result = self.run_json("calibrate", "--model", long, "--data", LABELLED, "-o", self.dir / "l", "-n", 20,
                               "--draws", 0, *FAST)
        self.assertEqual(result["model"]["name"], name.decode())
        self.fails("sweep", "--run", next((self.dir / "l").glob("*.db")), "-o", self.dir / "l", "--name", "a/b",
                   says="'a/b' cannot begin the name of a file")

    def test_the_place_is_tried_first(self):
        """If parameters cannot be saved, nothing is generated and no run is created."""
        blocked = self.write("file", "mine")
        run = self.dir / "run.db"
        self.fails("calibrate", "--model", MODEL, "--data", LABELLED, "--run", run, "-o", blocked, "-q", says=str(blocked))
        self.assertFalse(run.exists())

    def test_places_that_cannot_be_written(self):
        blocked = self.write("file", "mine")
        self.fails("calibrate", "--model", MODEL, "--data", LABELLED, "-o", blocked, "-q", says=str(blocked))
        self.assertEqual(blocked.read_text(), "mine")

    def test_names_of_models_name_files(self):
        """The part of a model's name after its last dot is not a suffix. Long names are cut in names of files."""
        for name, expected in [("v0.1", "v0.1"), ("org/Model/", "org_model_"), (".", "_"),
                               ("Qwen\u00e9 \x1b[2J", "qwen_____2j"), (" ", "_"), (40 * "Long", 32 * "long")]:
            with self.subTest(name):
                out = self.dir / "names"
                model = self.make_model("m.gguf", "--name", name, "--layers", "2")
                result = self.run_json("calibrate", "--model", model, "--data", LABELLED, "-n", 12, "--max-tokens", 1,
                                       "-o", out, "--draws", 0)
                swept = self.run_json("sweep", "--run", next(out.glob("*.db")), "-o", out, "--draws", 0)
                for path in (result["parameters"], swept["parameters"]):
                    self.assertRegex(Path(path).name, "^" + re.escape(expected) + r"_\d{8}_\d{6}_n12\.json$")
                self.assertRegex(next(out.glob("*.db")).name, "^" + re.escape(expected) + r"_run_[0-9a-f]{8}\.db$")
                shutil.rmtree(out)

    def test_draw(self):
        ids = {seed: [r["id"] for r in self.rows(self.scored(seed))] for seed in (1, 2)}
        again = [r["id"] for r in self.rows(self.scored(1, "again"))]
        self.assertEqual(len(ids[1]), 12)
        self.assertEqual(ids[1], again)
        self.assertNotEqual(ids[1], ids[2])

    def scored(self, seed, name="draw"):
        path = self.dir / f"{name}{seed}.db"
        self.run_hbar("score", "--model", MODEL, "--data", LABELLED, "--run", path, "-n", 12, "--seed", seed, *FAST)
        return path


    def test_labels_are_counted_not_graded(self):
        result = self.run_json("score", "--model", MODEL, "--data", LABELLED, "-o", self.dir, *FAST)
        self.assertEqual([result[k] for k in ("hallucination_rate", "grade", "accuracy")], [0.5, None, None])
        out, _ = self.run_hbar("score", "--model", MODEL, "--data", LABELLED, "-o", self.dir, *FAST)
        self.assertEqual(out, "60 samples, 50.0 % of them hallucinated\n")
        for command in (["score", "--data", LABELLED, "-o", self.dir, *FAST], ["sweep", "--run", result["run"]],
                        ["calibrate", "--data", LABELLED, "-o", self.dir, *FAST], ["export", "--run", result["run"]]):
            model = ["--model", MODEL] if "--data" in command else []
            if command[0] != "export":
                model = [*model, "-q"]
            says = f"--grade: the {'data have' if '--data' in command else 'run has'} labels, not answers to grade"
            self.fails(*command, *model, "--grade", "f1", says=says)
        elsewhere = self.dir / "elsewhere"  # refused before anything is generated
        self.fails("score", "--model", MODEL, "--data", LABELLED, "-o", elsewhere, "--grade", "f1", says="the data have labels")
        self.assertFalse(elsewhere.exists())


class Next(Runs):
    """The next commands that calibrate and sweep print work when pasted."""

    def shown(self, out):
        """The two commands, the second with its FILE given."""
        lines = out[out.index("\nNext: "):].split("\n  ")[1:]
        self.assertEqual(len(lines), 2)
        generate, validate = (line.rstrip("\n") for line in lines)
        self.assertTrue(validate.endswith(" --data FILE"))
        return generate, validate.removesuffix("FILE") + shlex.quote(str(self.write_rows("held out.jsonl", [
            {"prompt": f"Name {i}", "answers": ["the"]} for i in range(40)])))

    def paste(self, command):
        done = subprocess.run(["bash", "-c", command], cwd=self.dir, capture_output=True, env=environment())
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode()

    def check(self, out):
        generate, validate = self.shown(out)
        code, _, err = self.paste(generate)
        self.assertEqual(code, DONE, (generate, err))
        self.no_warning(err)
        code, shown, err = self.paste(validate + " --draws 0")
        if "samples have label" not in err:  # all answers right or all wrong: graded, then refused
            self.assertEqual(code, DONE, (validate, err))
        self.no_warning(err)
        return generate, validate

    def test_measures(self):
        common = ["calibrate", "--model", MODEL, "--data", LABELLED, "-n", 0, "--max-tokens", 3, "--draws", 0]
        out, _ = self.run_hbar(*common, "--samples", 2, "--score", "predictive_entropy")
        self.assertIn(" --samples 2 ", self.check(out)[0])
        # generate refuses these parameters, so only validate is shown.
        out, _ = self.run_hbar(*common, "--ask", "p_true", "--score", "p_true")
        after = out[out.index("\nNext: "):]
        self.assertIn("Next: validate these parameters", after)
        self.assertNotIn("generate", after)

    def calibrate_text(self, *more):
        data = self.write_rows("d.jsonl", [{"prompt": f"Is {i} odd?", "label": i % 2} for i in range(40)])
        folder = self.dir / "my models"
        folder.mkdir(exist_ok=True)
        model = folder / "it's $HOME.gguf"
        if not model.exists():
            model.symlink_to(CHAT_MODEL)
        out, _ = self.run_hbar("calibrate", "-q", "--model", model, "--data", data, "-o", self.dir / "o u t", "--draws", 0,
                               "--max-tokens", 3, *more)
        return out

    def test_blanks_and_quotes(self):
        generate, validate = self.check(self.calibrate_text())
        self.assertNotIn("--chat", generate + validate)
        self.assertIn("Who wrote Faust?", generate)

    def test_chat(self):
        for system in ("Be brief.", "It's \"$5\" `now`;\nwrite\tthat & go!", "\x1b[2J\u009bé \\"):
            out = self.calibrate_text("--chat", "--system", system)
            self.assertNotIn("\x1b", out)
            self.assertNotIn("\u009b", out)
            for command in self.check(out):
                self.assertIn(" --chat ", command)
                self.assertNotIn("--chat-template", command)
        for command in self.check(self.calibrate_text("--chat", "--chat-template", "phi3")):
            self.assertIn(" --chat --chat-template phi3 ", command)
            self.assertNotIn("--system", command)

    def test_sweep_knows_the_format_alone(self):
        self.calibrate_text("--chat", "--system", "Be brief.", "--run", self.dir / "r.db")
        out, _ = self.run_hbar("sweep", "--run", self.dir / "r.db", "-o", self.dir / "s w")
        for command in self.check(out):
            self.assertIn(" --chat --system 'Be brief.' ", command)


class Store(Runs):
    def test_sqlite(self):
        self.calibrate()
        db = sqlite3.connect(self.run_file())
        self.assertEqual(db.execute("PRAGMA journal_mode").fetchone(), ("delete",))
        schema = re.search(r"HB_RUN_SCHEMA (\d+)", (PROJECT / "include" / "hbar.h").read_text())
        self.assertEqual(db.execute("PRAGMA user_version").fetchone(), (int(schema[1]),))
        self.assertEqual(db.execute("SELECT count(*) FROM samples").fetchone(), (60,))
        self.assertEqual(db.execute("SELECT count(\"pri:mean\") FROM scores").fetchone(), (60,))
        db.close()

    def test_nothing_is_generated_twice(self):
        first, before = self.calibrate(), self.rows()
        second = self.calibrate()
        self.assertEqual(self.rows(), before)  # timings and all
        self.assertNotEqual(first["parameters"], second["parameters"])
        self.assertEqual(first["threshold"], second["threshold"])

    def peak_memory(self, n):
        """Peak memory of `n` samples in KiB, without freed memory, which sanitizers keep for a while."""
        process = subprocess.Popen([HBAR, "score", "--quiet", "--model", str(MODEL), "--data", str(LABELLED), "-n", str(n),
                                    "-o", str(self.dir / str(n)), "--max-tokens", "5",
                                    # libllama needs more memory for more sequences at once
                                    *by_engine([], ["--sequences", "4"])], stdout=subprocess.DEVNULL,
                                   env=environment(ASAN_OPTIONS="quarantine_size_mb=0"))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, DONE)
        return usage.ru_maxrss

    def test_memory_does_not_grow_with_samples(self):
        few, many = self.peak_memory(6), self.peak_memory(60)
        self.assertLess(abs(many - few), 0.08 * few)

    def start(self, path, out):
        """Starts a run that is slow enough to be stopped after its first rows."""
        process = subprocess.Popen([HBAR, *self.slow(path, out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=environment())
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if self.count(path) >= 3:
                return process
            time.sleep(0.01)
        self.fail("the run ended before it could be stopped")

    def count(self, path):
        """Number of rows in a run, which may not exist yet."""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                return db.execute("SELECT count(*) FROM samples").fetchone()[0]
        except sqlite3.OperationalError:
            return 0

    def slow(self, path, out):
        return ["calibrate", "--model", str(MODELS / "tiny-q6_k.gguf"), "--data", str(LABELLED), "--run", str(path),
                "-o", str(out), "--max-tokens", "30", "-n", "12", "--sequences", "1"]

    def stop_and_continue(self, how, code):
        path, whole = self.dir / "run.db", self.dir / "whole.db"
        os.environ["HBAR_KERNELS"] = "portable"  # scores are bit-identical however samples are batched
        self.addCleanup(os.environ.pop, "HBAR_KERNELS")
        process = self.start(path, self.dir)
        process.send_signal(how)
        _, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, code, err)
        kept = self.rows(path)
        self.assertTrue(3 <= len(kept) < 12)
        self.assertFalse(list(self.dir.glob("*.json")))
        self.run_hbar(*self.slow(path, self.dir))
        self.run_hbar(*self.slow(whole, self.dir))
        finished = self.rows(path)
        self.assertEqual([r for r in finished if r in kept], kept)

        def results(rows):
            return [{k: v for k, v in r.items() if not k.endswith("seconds")} for r in rows]
        self.assertEqual(results(finished), results(self.rows(whole)))
        return err.decode()

    def test_interrupted(self):
        self.assertIn("continues", self.stop_and_continue(signal.SIGINT, INTERRUPTED))

    def test_killed(self):
        self.stop_and_continue(signal.SIGKILL, -signal.SIGKILL)

    def test_other_settings_are_refused(self):
        path = self.dir / "run.db"
        base = {"--model": MODEL, "--data": LABELLED, "--run": path, "--seed": 1, "--max-tokens": 4, "-n": 12}

        def arguments(**changes):
            return ["score", *[x for pair in {**base, **changes}.items() for x in pair]]
        self.run_hbar(*arguments())
        before = self.rows(path)
        other = self.write("other.jsonl", LABELLED.read_text() + '{"prompt":"x","label":1}\n')
        for changes, says in [({"--seed": 2}, "seed is 1, not 2"), ({"--max-tokens": 5}, "max_tokens is 4, not 5"),
                              ({"--no-prompts": "-q"}, "no_prompts is 0, not 1"), ({"--data": other}, "data_sha256 is"),
                              ({"--model": MODELS / "tiny-f16.gguf"}, "model_sha256 is"),
                              ({"--ctx-size": 99}, "n_ctx is 1024, not 99")]:
            with self.subTest(changes):
                self.fails(*arguments(**changes), says=says)
        self.assertEqual(self.rows(path), before)
        moved = self.write("moved.jsonl", LABELLED.read_bytes())
        self.run_hbar(*arguments(**{"--data": moved}))  # the same data under another path counts as the same

    def test_not_a_run(self):
        text = self.write("notes.txt", "my notes\n" * 50)
        arguments = ["score", "--model", MODEL, "--data", LABELLED, "-q", "--run"]
        self.fails(*arguments, text, says="notes.txt")
        self.assertEqual(text.read_text(), "my notes\n" * 50)
        self.fails("export", "--run", text, says="notes.txt")
        other = self.dir / "other.db"
        db = sqlite3.connect(other)
        db.execute("CREATE TABLE mine (x)")
        db.commit()
        db.close()
        self.fails(*arguments, other, says="not a run of hbar")
        self.fails("sweep", "--run", other, says="not a run of hbar")

    def test_locked(self):
        path = self.dir / "run.db"
        with open(f"{path}-lock", "wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.fails("score", "--model", MODEL, "--data", LABELLED, "--run", path, "-q", says="another process")


class Data(Runs):
    def score(self, data, *more, **options):
        return self.run_hbar("score", "--model", MODEL, "--data", data, "--run", self.dir / "r.db", "--json", *FAST,
                             *more, **options)

    def test_what_does_not_fit_is_skipped(self):
        rows = [{"id": f"s{i}", "prompt": f"Is {i} true? " * (40 if i % 3 == 0 else 1), "label": i % 2}
                for i in range(30)]
        data = self.write_rows("d.jsonl", rows)
        out, err = self.run_hbar("calibrate", "--model", MODEL, "--data", data, "--run", self.dir / "r.db", "-o",
                                 self.dir, "--ctx-size", 64, *FAST, "--json")
        result = json.loads(out)
        self.assertEqual([result["data"][k] for k in ("samples", "scored", "skipped", "failed")], [30, 20, 10, 0])
        self.assertEqual(result["score"]["n"], 20)
        self.assertGreater(result["score"]["min"], 0)
        self.assertIn("20 of 30 samples scored, 10 skipped", err)
        self.assertIn("s0: the prompt's", err)
        skipped = [r for r in self.rows(self.dir / "r.db") if r["status"] == "skipped"]
        self.assertEqual(len(skipped), 10)
        self.assertTrue(all(r["hbar_s:top5"] is None and "do not fit the context of 64" in r["reason"] for r in skipped))

    def test_broken_lines(self):
        data = self.write("d.jsonl", '{"prompt":"a","label":0}\nnonsense\n{"prompt":"b","label":2}\n'
                                     '{"prompt":"c","label":1}\n')
        out, err = self.score(data)
        self.assertEqual(json.loads(out)["scored"], 2)
        self.assertIn("d.jsonl:2: ", err)
        self.assertIn("d.jsonl:3: label '2' is neither 0 nor 1", err)
        self.assertIn("2 rows are broken", err)
        self.fails("score", "--model", MODEL, "--data", data, "--strict", "-o", self.dir, says="d.jsonl:2: ")

    def test_formats(self):
        qa = {"knowledge": "K", "question": "Q", "right_answer": "R", "hallucinated_answer": "H"}
        general = {"user_query": "Q", "chatgpt_response": "R", "hallucination": "yes"}
        for row, ids in ((qa, ["qa_0_cor", "qa_0_hal", "qa_1_cor", "qa_1_hal"]), (general, ["general_0", "general_1"])):
            for name, text in (("lines", f"{json.dumps(row)}\n" * 2), ("array", json.dumps([row, row], indent=1))):
                with self.subTest((ids[0], name)):
                    data = self.write(name, text)
                    path = self.dir / f"{ids[0]}{name}.db"
                    self.run_hbar("score", "--model", MODEL, "--data", data, "--run", path, *FAST)
                    self.assertEqual([r["id"] for r in self.rows(path)], ids)
        for name, text in (("a", '{"a":1}\n'), ("a, b", "a,b\n1,2\n")):
            self.fails("score", "--model", MODEL, "--data", self.write("x", text), "-o", self.dir,
                       says=f"its fields ({name}) fit no known format")

    def test_halueval(self):
        data = SHARED / "data" / "halueval_qa_500.jsonl"
        if not data.exists():
            self.skipTest(f"{data} is not there")
        out, _ = self.run_hbar("score", "--model", SHARED / "models" / "stories260K.gguf", "--data", data, "-n", 20,
                               "--run", self.dir / "r.db", "--json", *FAST)
        result = json.loads(out)
        self.assertEqual(result["total"], 20)
        self.assertEqual(result["scored"] + result["skipped"], 20)
        rows = self.rows(self.dir / "r.db")
        self.assertEqual(sum(r["label"] for r in rows), 10)
        self.assertTrue(all(re.fullmatch(r"qa_\d+_(cor|hal)", r["id"]) for r in rows))


class Sweep(Runs):
    def test_export_round_trip(self):
        self.calibrate()
        rows = self.rows()
        out, _ = self.run_hbar("export", "--run", self.run_file())
        table = list(csv.DictReader(io.StringIO(out, newline="")))
        self.assertEqual([r["text"] for r in table], [r["text"] for r in rows])
        self.assertEqual([float(r["pri:top5"]) for r in table], [r["pri:top5"] for r in rows])
        data = self.write("export.csv", out)
        for score in ("hbar_s", "pri", "surprise:sum"):
            a = self.run_json("sweep", "--data", data, "--score", score)
            b = self.run_json("sweep", "--run", self.run_file(), "--score", score)
            for key in ("auroc", "pr_auc", "threshold", "direction", "sweep"):
                self.assertEqual(a[key], b[key])

    def test_export_without_some_signals(self):
        """The table has no columns of signals that the run lacks, so that "all" means the same in both."""
        run = self.dir / "few.db"
        self.run_hbar("score", "--model", MODEL, "--data", LABELLED, "-n", 20, "--max-tokens", 3, "--signals", "entropy,pri",
                      "--run", run)
        out, _ = self.run_hbar("export", "--run", run)
        names = out[:out.index("\n")].split(",")
        self.assertEqual({n.split(":")[0] for n in names[names.index("reason") + 1:names.index("text")]}, {"entropy", "pri"})
        self.assertEqual(list(self.rows(path=run)[0]), names)
        ranking = []
        for source in ("--run", run), ("--data", self.write("few.csv", out)):
            ranked = self.run_json("sweep", *source, "--score", "all", "--draws", 0)["ranking"]
            ranking.append([(row["name"], row["auroc"]) for row in ranked])
        self.assertEqual(*ranking)
        self.assertEqual({name for name, _ in ranking[0]}, {"entropy", "pri"})

    def test_export_of_a_score_named_like_a_column(self):
        self.calibrate()
        run = sqlite3.connect(self.run_file())
        run.executescript("ALTER TABLE scores ADD COLUMN label REAL; ALTER TABLE scores ADD COLUMN mine REAL;"
                          "UPDATE scores SET label = 0.25, mine = idx;")
        run.close()
        rows = self.rows()
        self.assertEqual({r["score:label"] for r in rows}, {0.25})
        self.assertEqual({r["label"] for r in rows}, {0, 1})
        self.assertEqual([r["mine"] for r in rows], [r["index"] for r in rows])
        table = list(csv.DictReader(io.StringIO(self.run_hbar("export", "--run", self.run_file())[0], newline="")))
        self.assertEqual(list(table[0]), list(rows[0]))
        self.assertEqual({r["score:label"] for r in table}, {"0.25"})

    def test_foreign_tables(self):
        rows = [(0.1 * i, int(i % 3 == 0 or i > 15)) for i in range(20)]
        lines = "".join(json.dumps({"s": s, "bad": bool(y)}) + "\n" for s, y in rows)
        comma = "id,bad,s\r\n" + "".join(f'"a ""{i}"", b",{"yes" if y else "no"},{s!r}\r\n' for i, (s, y) in
                                         enumerate(rows))
        results = [self.run_json("sweep", "--data", self.write(name, text), "--score", "s", "--label", "bad")
                   for name, text in (("a.jsonl", lines), ("a.csv", comma))]
        self.assertEqual(results[0]["sweep"], results[1]["sweep"])
        self.assertAlmostEqual(results[0]["auroc_high"], auroc([s for s, _ in rows], [y for _, y in rows]))
        self.fails("sweep", "--data", self.dir / "a.csv", says="no column 'score' or 'hbar_s'; there are: id, bad, s")
        self.fails("sweep", "--data", self.dir / "a.csv", "--score", "s", says="no column 'label'")

    def table(self, name, rows):
        return self.write(name, "score,label\n" + "".join(f"{s},{y}\n" for s, y in rows))

    def test_degenerate(self):
        for name, rows, says in [
            ("few", [(i, i % 2) for i in range(9)], "9 scored samples; a calibration needs at least 10"),
            ("one", [(i, 1) for i in range(20)], "all 20 samples have label 1"),
            ("equal", [(2.5, i % 2) for i in range(20)], "all 20 scores are 2.5"),
            ("none", [], "0 scored samples"),
        ]:
            with self.subTest(name):
                self.fails("sweep", "--data", self.table(name, rows), says=says)
        data = self.table("nan", [(i, i % 2) for i in range(20)] + [("nan", 1), ("", 0)])
        out, err = self.run_hbar("sweep", "--data", data, "--json")
        self.assertIn("nan:22: score 'nan' is not a finite number", err)
        self.assertIn("2 rows are broken and skipped, 20 are good", err)
        self.assertEqual(json.loads(out)["score"]["n"], 20)
        self.fails("sweep", "--data", data, "--strict", says="nan:22:")

    def test_grids_and_direction(self):
        rows = [((7 * i) % 20 / 10, int((7 * i) % 20 > 8)) for i in range(40)]
        data = self.table("t.csv", rows)
        exact = self.run_json("sweep", "--data", data, "--tau-grid", "exact")
        self.assertEqual([p["tau"] for p in exact["sweep"]], sorted({s for s, _ in rows}, reverse=True))
        self.assertEqual((exact["threshold"]["tau"], exact["threshold"]["precision"]), (0.9, 1))
        given = self.run_json("sweep", "--data", data, "--tau-start", 0.5, "--tau-stop", 1.5, "--tau-step", 0.25)
        self.assertEqual([p["tau"] for p in given["sweep"]], [1.5, 1.25, 1.0, 0.75, 0.5])
        turned = self.run_json("sweep", "--data", self.table("n.csv", [(-s, y) for s, y in rows]),
                               "--direction", "low")
        high = self.run_json("sweep", "--data", data, "--direction", "high")
        self.assertEqual([(p["tp"], p["fp"]) for p in turned["sweep"]], [(p["tp"], p["fp"]) for p in high["sweep"]])
        self.assertEqual(turned["threshold"]["tau"], -high["threshold"]["tau"])
        missed = self.run_json("sweep", "--data", data, "--tau-start", 1.8, "--tau-stop", 1.9, "--tau-step", 0.1)
        self.assertEqual(missed["threshold"]["chosen_by"], "best F1")
        self.assertFalse(missed["threshold"]["reached_min_recall"])

    def test_an_exact_grid_of_many_takes_little_memory(self):
        """The report is written piece by piece: only its text is kept in memory."""
        data = self.table("many.csv", [((7919 * i) % 200003 / 1000, i % 3 == 0) for i in range(200000)])
        process = subprocess.Popen([HBAR, "sweep", "--data", str(data), "--tau-grid", "exact", "--draws", "0", "--json"],
                                   stdout=subprocess.PIPE, env=environment(ASAN_OPTIONS="quarantine_size_mb=0"))
        points = process.stdout.read().count(b'{"tau"')
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        self.assertEqual((process.returncode, points), (DONE, 200000))
        self.assertLess(usage.ru_maxrss, 250_000)

    def test_parameters_only_when_asked_for(self):
        data = self.table("scores.csv", [(i, i % 2) for i in range(20)])
        out, _ = self.run_hbar("sweep", "--data", data, cwd=self.dir)
        self.assertNotIn("Parameters", out)
        self.assertEqual(list(self.dir.rglob("*.json")), [])
        out, _ = self.run_hbar("sweep", "--data", data, "-o", self.dir / "p")
        self.assertRegex(out, r"Parameters: .*/p/scores_\d{8}_\d{6}_n20\.json")
