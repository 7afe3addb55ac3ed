"""--samples: several samples of each prompt beside the answer, and the measures over them."""
import json
import os
import signal
import sqlite3
import subprocess
import time

from harness import CHAT_MODEL, ENGINE, HBAR, LABELLED, MODEL, USAGE, Case, environment

FAST = ["--max-tokens", 4, "-q"]
N = 3


class Samples(Case):
    def score(self, name, *arguments, samples=N):
        run = self.dir / name
        drawing = ["--samples", samples] if samples else []
        return run, self.run_json("score", "--model", MODEL, "--data", LABELLED, "--run", run, *FAST, *drawing, *arguments)

    def rows(self, run, query):
        with sqlite3.connect(run) as db:
            return db.execute(query).fetchall()

    def generations(self, run):
        out, _ = self.run_hbar("export", "--run", run, "--generations", "--format", "jsonl")
        return [json.loads(line) for line in out.splitlines()]

    def samples(self, run):
        out, _ = self.run_hbar("export", "--run", run, "--format", "jsonl")
        return {s["index"]: s for s in map(json.loads, out.splitlines())}

    def test_a_run_keeps_them_and_their_measures(self):
        run, out = self.score("a.db", "-n", 10)
        kept = self.generations(run)
        self.assertEqual([(g["index"], g["k"]) for g in kept],
                         [(i, k) for i in sorted({g["index"] for g in kept}) for k in range(N)])
        self.assertEqual(len(kept), 10 * N)
        for g in kept:
            self.assertLess(g["log_prob"], 0)
            self.assertIn(g["n_measured"] - g["n_tokens"], (0, 1))
            self.assertEqual(g["finish"] == "end of text", g["n_measured"] > g["n_tokens"])
        for index, s in self.samples(run).items():
            drawn = [g for g in kept if g["index"] == index]
            self.assertAlmostEqual(s["predictive_entropy"], -sum(g["log_prob"] for g in drawn) / N, places=9)
            agree = sum(g["text"] == s["text"] for g in drawn)
            self.assertGreaterEqual(s["consistency"], agree / N)
            self.assertTrue(1 <= s["n_distinct"] <= N)
        # The prompt is evaluated once: beyond the answers, only drawn tokens are evaluated, and one token per request.
        _, plain = self.score("b.db", "-n", 10, samples=0)
        more = out["tokens_evaluated"] - plain["tokens_evaluated"]
        self.assertLessEqual(more, sum(g["n_tokens"] for g in kept) + 10)
        self.assertEqual(self.rows(self.dir / "b.db", "SELECT count(*) FROM generations"), [(0,)])
        self.assertNotIn("eigv", next(iter(self.samples(self.dir / "b.db").values())))

    def check_texts(self, a, b):
        """libllama's results depend a little on the batch: with it, a few texts may differ."""
        self.assertEqual([(g["index"], g["k"]) for g in a], [(g["index"], g["k"]) for g in b])
        if ENGINE == "native":
            self.assertEqual(a, b)
        self.assertGreaterEqual(sum(x["text"] == y["text"] for x, y in zip(a, b)), 0.8 * len(a))

    def test_a_sample_depends_on_seed_index_and_number_alone(self):
        portable = {"HBAR_KERNELS": "portable"}
        os.environ.update(portable)
        self.addCleanup(os.environ.pop, "HBAR_KERNELS")
        run, _ = self.score("a.db", "-n", 12)
        alone, _ = self.score("b.db", "-n", 12, "--sequences", 1)
        few, _ = self.score("c.db", "-n", 4)
        other, _ = self.score("d.db", "-n", 12, "--seed", 7)
        texts = self.generations(run)
        self.check_texts(texts, self.generations(alone))
        self.check_texts([g for g in texts if g["index"] in {f["index"] for f in self.generations(few)}],
                         self.generations(few))
        self.assertNotEqual(texts, self.generations(other))
        self.assertEqual(len({(g["index"], g["text"]) for g in texts}), len(texts))
        cold, _ = self.score("e.db", "-n", 12, "--sample-temperature", "1e-9")
        for index, s in self.samples(cold).items():
            self.assertEqual(s["consistency"], 1)
            self.assertEqual({g["text"] for g in self.generations(cold) if g["index"] == index}, {s["text"]})

    def test_they_are_part_of_the_runs_identity(self):
        run, _ = self.score("a.db", "-n", 4)
        _, out = self.score("a.db", "-n", 8)  # extension
        self.assertEqual((out["total"], len(self.generations(run))), (8, 8 * N))
        self.assertEqual(len({g["index"] for g in self.generations(run)}), 8)
        _, again = self.score("a.db", "-n", 8)
        self.assertEqual(again["tokens_evaluated"], 0)
        again = ["score", "--model", MODEL, "--data", LABELLED, "--run", run, *FAST, "-n", 8, "--samples"]
        self.fails(*again, 2, says="samples is 3, not 2")
        self.fails(*again, N, "--sample-temperature", 0.5, says="sample_temperature is 1, not 0.5")
        self.fails(*again, N, "--sample-max-tokens", 3, says="sample_max_tokens is 4, not 3")
        _, _ = self.score("a.db", "-n", 4)
        self.assertEqual(len(self.generations(run)), 8 * N)

    def test_a_killed_run_continues(self):
        data = self.write("many.jsonl", "".join(json.dumps({"id": str(i), "prompt": f"Tell me about {i}.", "label": i % 2})
                                                + "\n" for i in range(400)))
        run = self.dir / "a.db"
        command = [HBAR, "score", "--model", MODEL, "--data", data, "--run", run, "-n", 0, "--samples", N, "--max-tokens",
                   "40", "--sequences", "8", "-q"]
        process = subprocess.Popen(list(map(str, command)), env=environment(), cwd=self.dir, stderr=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL)
        for _ in range(1000):
            time.sleep(0.02)
            try:
                if self.rows(run, "SELECT count(*) FROM generations")[0][0]:
                    break
            except sqlite3.Error:
                continue
        process.send_signal(signal.SIGKILL)
        process.wait()
        (done,), = self.rows(run, "SELECT count(*) FROM samples")
        self.assertEqual(self.rows(run, "SELECT count(*) FROM generations"), [(done * N,)])
        self.run_hbar(*command[1:])
        self.assertEqual(self.rows(run, "SELECT count(*), count(DISTINCT idx) FROM generations"), [(400 * N, 400)])

    def test_measures_are_scores(self):
        run, _ = self.score("a.db", "-n", 0)
        ranked = self.run_json("sweep", "--run", run, "-o", self.dir, "--score", "all", "--draws", 0)
        names = {s["name"] for s in ranked["ranking"]}
        self.assertLessEqual({"entropy", "semantic_entropy", "eigv", "eigv:rouge", "cocoa", "consistency"}, names)
        self.assertFalse([n for n in names if "entailment" in n])
        joint = self.run_json("sweep", "--run", run, "-o", self.dir, "--joint", "--draws", 0)
        self.assertIn("deg", {f["score"] for f in joint["joint"]["features"]})
        one = self.run_json("sweep", "--run", run, "-o", self.dir, "--score", "predictive_entropy", "--draws", 0)
        self.assertEqual(one["settings"]["samples"], {"n": N, "temperature": 1, "top_p": 1, "max_tokens": 4})
        self.run_json("sweep", "--run", run, "-o", self.dir, "--score", "deg", "--guarantee", "recall=0.5,delta=0.4",
                      "--draws", 0)
        judged = self.run_json("validate", "--params", one["parameters"], "--run", run, "--draws", 0)
        self.assertIn("predictive_entropy", judged["scores"])
        # Validation draws samples as the calibration did.
        fresh = self.run_json("validate", "--params", one["parameters"], "--model", MODEL, "--data", LABELLED, "-n", 20, "--run",
                              self.dir / "v.db", "--draws", 0)
        self.assertIn("predictive_entropy", fresh["scores"])
        self.assertEqual(len(self.generations(self.dir / "v.db")), 20 * N)
        other, _ = self.score("o.db", "-n", 20, samples=2)
        _, err = self.run_hbar("validate", "--params", one["parameters"], "--run", other, "--draws", 0)
        self.assertIn("warning: prompts have 2 samples each, but those of the calibration had 3", err)
        plain, _ = self.score("p.db", "-n", 20, samples=0)
        self.fails("validate", "--params", one["parameters"], "--run", plain, "--draws", 0, says="predictive_entropy")
        # A table of exported scores has them, too.
        table = self.write("t.csv", self.run_hbar("export", "--run", run)[0])
        ranked = self.run_json("sweep", "--data", table, "-o", self.dir, "--score", "all", "--draws", 0)
        self.assertIn("semantic_entropy", {s["name"] for s in ranked["ranking"]})

    def test_eigenscore(self):
        run, _ = self.score("a.db", "-n", 0, "--features", "hidden:1")
        values = [s["eigenscore"] for s in self.samples(run).values()]
        self.assertGreater(len(set(values)), 10)
        self.assertNotIn("eigenscore", next(iter(self.samples(self.score("b.db", "-n", 4)[0]).values())))
        # Samples that are all the same have N - 1 eigenvalues of 0, to which 0.001 is added.
        cold, _ = self.score("c.db", "-n", 8, "--features", "hidden", "--sample-temperature", "1e-9")
        for s in self.samples(cold).values():
            self.assertLess(s["eigenscore"], min(values))
        ranked = self.run_json("sweep", "--run", run, "-o", self.dir, "--score", "all", "--draws", 0)
        self.assertIn("eigenscore", {s["name"] for s in ranked["ranking"]})
        # calibrate and validate keep the states that the score needs.
        done = self.run_json("calibrate", "--model", MODEL, "--data", LABELLED, *FAST, "--samples", N, "--score", "eigenscore",
                             "-n", 0, "--run", self.dir / "d.db", "-o", self.dir, "--draws", 0)
        judged = self.run_json("validate", "--params", done["parameters"], "--model", MODEL, "--data", LABELLED, "-n", 40,
                               "--run", self.dir / "v.db", "--draws", 0)
        self.assertIn("eigenscore", judged["scores"])
        self.fails("generate", "--model", MODEL, "--params", done["parameters"], "Hello", "--samples", 2,
                   says="calibrated on the score 'eigenscore', which reads the states of samples")
        plain, _ = self.score("p.db", "-n", 20)
        self.fails("sweep", "--run", plain, "-o", self.dir, "--score", "eigenscore", code=USAGE,
                   says="this run has no score 'eigenscore'; score it with --samples and --features hidden")
        self.fails("calibrate", "--model", MODEL, "--data", LABELLED, "--score", "eigenscore", code=USAGE,
                   says="--samples: the score eigenscore needs samples of each prompt")

    def test_they_cannot_halt(self):
        for name, why in (("semantic_entropy", "compares several samples of"), ("eigenscore", "compares several samples of"),
                          ("p_true", "puts questions to a model about")):
            self.fails("generate", "--model", MODEL, "--watch", name, "Hello", code=USAGE,
                       says=f"--watch: {name} {why} the whole answer, so it cannot halt")
        run, _ = self.score("a.db", "-n", 0)
        for options, score in ((["--score", "deg"], "deg"), (["--joint"], "n_distinct")):
            params = self.run_json("sweep", "--run", run, "-o", self.dir, *options, "--draws", 0)["parameters"]
            self.fails("judge", "--model", MODEL, "--params", params, "--prompt", "Hello", "--response", "you",
                       says=f"calibrated on the score '{score}', which compares several samples of the whole answer")

    def test_bad_usage(self):
        score = ["score", "--model", MODEL, "--data", LABELLED, "--run", self.dir / "a.db"]
        self.fails(*score, "--sample-top-p", 0.5, code=USAGE, says="--sample-top-p needs --samples")
        self.fails(*score, "--samples", -1, code=USAGE, says="--samples")
        self.fails(*score, "--samples", 1001, code=USAGE, says="--samples")
        self.fails("calibrate", "--model", MODEL, "--data", LABELLED, "--score", "eigv", code=USAGE,
                   says="--samples: the score eigv needs samples of each prompt")
        for options, says in ((["--score", "p_true"], "--ask: the score p_true needs the question p_true"),
                              (["--score", "eigv:entailment", "--samples", 2], "--entailment: the score eigv:entailment")):
            self.fails("calibrate", "--model", MODEL, "--data", LABELLED, *options, code=USAGE, says=says)
        self.assertFalse((self.dir / "a.db").exists())

    def test_damaged_generations_are_refused(self):
        run, _ = self.score("a.db", "-n", 2)
        (index,), = self.rows(run, "SELECT min(idx) FROM samples")
        for change in ("finish = 'never'", "log_prob = 9e999", "n_measured = 0", "text = CAST(x'ff' AS TEXT)"):
            copy = self.dir / "b.db"
            copy.write_bytes(run.read_bytes())
            with sqlite3.connect(copy) as db:
                db.execute(f"UPDATE generations SET {change} WHERE k = 1 AND idx = {index}")
            _, err = self.run_hbar("export", "--run", copy, "--generations", code=1)
            self.assertIn(f"generation 1 of sample {index} is damaged", err)
        with sqlite3.connect(copy) as db:
            db.execute("DROP TABLE generations")
        _, err = self.run_hbar("export", "--run", copy, "--generations", code=1)
        self.assertIn("the run has no table 'generations'", err)

    def test_runs_of_earlier_versions_have_none(self):
        run, _ = self.score("a.db", "-n", 2, samples=0)
        with sqlite3.connect(run) as db:
            db.execute("DROP TABLE generations")
            db.execute("DELETE FROM settings WHERE key LIKE 'sample%'")
            db.execute("PRAGMA user_version = 12")
        self.assertEqual(self.generations(run), [])
        self.assertEqual(len(self.samples(run)), 2)

    # ---- Questions to the model ----------------------------------------------------------------------------------

    ASKED = ["p_true", "p_true_ideas", "verbalised", "self_assessment", "selfcheck_prompt"]

    def test_questions_are_scores(self):
        run, out = self.score("a.db", "-n", 6, "--ask", "all", "--entailment", "self")
        for s in self.samples(run).values():
            for name in [*self.ASKED, "deg:entailment", "consistency:entailment"]:
                self.assertTrue(0 <= s[name] <= 1, (name, s[name]))
            self.assertTrue(1 <= s["n_distinct:entailment"] <= N)
        alone, _ = self.score("b.db", "-n", 6, "--ask", "verbalised,p_true", samples=0)
        names = set(next(iter(self.samples(alone).values())))
        self.assertLessEqual({"p_true", "verbalised"}, names)
        self.assertFalse(names & {"p_true_ideas", "self_assessment", "eigv"})
        for index, s in self.samples(alone).items():
            self.assertAlmostEqual(s["p_true"], self.samples(run)[index]["p_true"], places=5)
        full, _ = self.score("c.db", "-n", 0, "--ask", "p_true")
        ranked = self.run_json("sweep", "--run", full, "-o", self.dir, "--score", "all", "--draws", 0)
        self.assertIn("p_true_ideas", {s["name"] for s in ranked["ranking"]})
        one = self.run_json("sweep", "--run", full, "-o", self.dir, "--score", "p_true", "--draws", 0)
        self.assertEqual(one["settings"]["asks"], "p_true")
        self.fails("generate", "--model", MODEL, "--params", one["parameters"], "Hello", "--samples", 2,
                   says="calibrated on the score 'p_true', which puts questions to a model")
        judged = self.run_json("validate", "--params", one["parameters"], "--model", MODEL, "--data", LABELLED, "-n", 20, "--run",
                               self.dir / "v.db", "--draws", 0)  # asks as the calibration did
        self.assertIn("p_true", judged["scores"])

    def test_questions_are_part_of_the_runs_identity(self):
        run, _ = self.score("a.db", "-n", 4, "--ask", "p_true")
        again = ["score", "--model", MODEL, "--data", LABELLED, "--run", run, *FAST, "-n", 4, "--samples", N]
        self.fails(*again, says='asks is "p_true", not none')
        self.fails(*again, "--ask", "p_true,selfcheck", says="asks is")
        self.fails(*again, "--ask", "p_true", "--judge", CHAT_MODEL, says="judge_sha256 is none")
        texts = self.dir / "texts"
        texts.mkdir()
        (texts / "p_true.txt").write_text("{question} {answer}: is it?\n")
        self.fails(*again, "--ask", "p_true", "--prompts", texts, says="questions_sha256 is")
        other, _ = self.score("b.db", "-n", 4, "--ask", "p_true", "--prompts", texts)
        self.assertNotEqual([s["p_true"] for s in self.samples(run).values()],
                            [s["p_true"] for s in self.samples(other).values()])
        _, out = self.score("a.db", "-n", 8, "--ask", "p_true")
        self.assertEqual(out["total"], 8)

    def test_another_model_judges(self):
        own, _ = self.score("a.db", "-n", 4, "--entailment", "self")
        other, _ = self.score("b.db", "-n", 4, "--judge", CHAT_MODEL)
        first, second = self.samples(own), self.samples(other)
        self.assertEqual([s["eigv"] for s in first.values()], [s["eigv"] for s in second.values()])
        self.assertNotEqual([s["deg:entailment"] for s in first.values()], [s["deg:entailment"] for s in second.values()])

    def test_bad_questions(self):
        score = ["score", "--model", MODEL, "--data", LABELLED, "--run", self.dir / "a.db"]
        self.fails(*score, "--ask", "luck", code=USAGE, says="--ask: no question 'luck'; there are p_true")
        for options in (["--entailment", "self"], ["--judge", MODEL], ["--ask", "selfcheck"]):
            self.fails(*score, *options, code=USAGE, says="needs --samples")
        self.fails(*score, "--prompts", self.dir, code=USAGE, says="--prompts needs --ask")
        self.fails(*score, "--ask", "p_true", "--prompts", self.dir, says="has no file like entailment.txt")
        for text, says in (("{question} {answr}", "there is no placeholder {answr} here"),
                           ("{question}", "the placeholder {answer} is missing"), ("{question", "is not a placeholder")):
            (self.dir / "p_true.txt").write_text(text)
            self.fails(*score, "--ask", "p_true", "--prompts", self.dir, says=says)
        self.assertFalse((self.dir / "a.db").exists())

    def test_a_question_that_does_not_fit_fails_its_sample(self):
        run, out = self.score("a.db", "-n", 4, "--ask", "p_true", "--ctx-size", 48)
        self.assertEqual(out["failed"], 4)
        self.assertIn("a question about the answer needs", next(iter(self.samples(run).values()))["reason"])

    # ---- Generating ----------------------------------------------------------------------------------------------

    def test_generate_shows_clusters(self):
        command = ["generate", "--model", MODEL, "Once upon a time", "--max-tokens", 3, "--cutoff", 2]
        g = self.run_json(*command, "--samples", 12)
        clusters = g["samples"]["clusters"]
        self.assertEqual((sum(c["samples"] for c in clusters), len(g["samples"]["texts"])), (12, 12))
        self.assertAlmostEqual(sum(c["share"] for c in clusters), 1)
        self.assertEqual(sorted((c["samples"] for c in clusters), reverse=True), [c["samples"] for c in clusters])
        self.assertEqual(len(clusters), g["samples"]["scores"]["n_distinct"])
        self.assertEqual(g["text"], self.run_json(*command)["text"])
        self.assertNotIn("samples", self.run_json(*command))
        out, err = self.run_hbar(*command, "--samples", 3, "--sample-temperature", "1e-9")
        self.assertIn("3 samples, 1 different, 100 % agree with the answer", err)
        self.assertIn("100 %  ", err)
        self.assertIn("(as the answer)", err)
        self.fails(*command, "--sample-top-p", 0.5, code=USAGE, says="--sample-top-p needs --samples")

    def test_generate_judges_by_measures(self):
        run, _ = self.score("a.db", "-n", 0)
        for options, name in ((["--score", "predictive_entropy"], "predictive_entropy"), (["--joint"], "joint")):
            params = self.run_json("sweep", "--run", run, "-o", self.dir, *options, "--draws", 0)["parameters"]
            command = ["generate", "--model", MODEL, "--params", params, "Hello", "--max-tokens", 4]
            self.fails(*command, says="which compares several samples of the whole answer, so it cannot halt; "
                                      "generate --samples N judges answers by it")
            g = self.run_json(*command, "--samples", N)
            self.assertEqual((g["answer"]["score"], g["halted"], g["monitor"]["watched"]), (name, False, "none"))
            self.assertTrue(0 <= g["answer"]["p_fail"] <= 1)
            if name != "joint":
                self.assertEqual(g["answer"]["value"], g["samples"]["scores"][name])
            _, err = self.run_hbar(*command, "--samples", N)
            self.assertNotIn("those of the calibration", err)
            _, err = self.run_hbar(*command, "--samples", N + 1)
            self.assertIn(f"prompts have {N + 1} samples each, but those of the calibration had {N}", err)
            _, err = self.run_hbar(*command, "--samples", N, "--sample-temperature", 0.5)
            self.assertIn("samples were drawn with another temperature", err)
            self.assertIn(f"risky: {name} ", err)
