"""Features that pass 1 keeps, and probes: trained by calibrate and sweep, used by validate, generate and judge."""
import base64
import contextlib
import json
import shutil
import sqlite3
import struct

from harness import LABELLED, MODEL, MODELS, USAGE, Case, by_engine, native_only
from server import Server

FAST = ["--model", MODEL, "--max-tokens", 5]
HEADS = 6  # of each block of the tiny model
EVERY = by_engine("hidden,topk,attention", "hidden,topk")  # features
ALL = {"probe", "probe_first", "probe_last", "wepr", "mahalanobis", "relative_mahalanobis"} | set(by_engine(["lookback"], []))


def vector(blob):
    return [half for (half,) in struct.iter_unpack("<e", blob)]


class Probe(Case):
    def calibrate(self, *options):
        return self.run_json("calibrate", *FAST, "--data", LABELLED, "-n", 0, "--draws", 0, "-o", self.dir, *options)

    def test_calibrate_validate_generate(self):
        result = self.calibrate("--score", "probe", "--run", "r.db")
        probe = result["probes"]["probe"]
        self.assertEqual(result["score"]["name"], "probe")
        self.assertIn(probe["block"], (1, 2, 3))  # the tiny model has three blocks
        weights = [w for (w,) in struct.iter_unpack("<f", base64.b64decode(probe["weights"]))]
        self.assertEqual(len(weights), 96)
        best = min(probe["trials"], key=lambda t: t["log_loss"])
        self.assertEqual((best["block"], best["c"]), (probe["block"], probe["c"]))

        # The run has the features, and validate on it measures the fitted probe.
        db = sqlite3.connect(self.dir / "r.db")
        self.assertEqual(db.execute("SELECT value FROM settings WHERE key = 'features'").fetchone()[0], "hidden:1+2+3")
        rows = db.execute("SELECT mean, label FROM features JOIN samples USING (idx) ORDER BY idx").fetchall()
        scores = []
        for mean, label in rows:
            state = vector(mean)[96 * (probe["block"] - 1):96 * probe["block"]]
            scores.append((sum(w * x for w, x in zip(weights, state)) + probe["intercept"], label))
        ones, zeros = ([z for z, label in scores if label == k] for k in (1, 0))
        auroc = sum((a > b) + (a == b) / 2 for a in ones for b in zeros) / (len(ones) * len(zeros))
        judged = self.run_json("validate", "--params", result["parameters"], "--run", "r.db", "--draws", 0)
        self.assertAlmostEqual(judged["scores"]["probe"]["auroc"], auroc, places=6)
        self.assertLess(result["auroc"], auroc)  # out of fold, not in sample

        # validate generates the features that the parameters need, and no others.
        again = self.run_json("validate", "--params", result["parameters"], *FAST[:2], "--data", LABELLED, "--run", "v.db",
                              "--draws", 0)
        self.assertAlmostEqual(again["scores"]["probe"]["auroc"], auroc, places=6)
        kept = sqlite3.connect(self.dir / "v.db").execute("SELECT value FROM settings WHERE key = 'features'").fetchone()[0]
        self.assertEqual(kept, f"hidden:{probe['block']}")

        # generate judges each token by it; the answer's value is the tokens' mean.
        made = self.run_json("generate", *FAST, "--params", result["parameters"], "--cutoff", 2, "Is 3 plus 3 equal to 6?")
        self.assertEqual(made["monitor"]["watched"], "probe")
        steps = [s["watched"] for s in made["trajectory"]]
        self.assertEqual(steps, [s["probe"] for s in made["trajectory"]])
        self.assertAlmostEqual(made["answer"]["value"], sum(steps) / len(steps), places=9)

        # Another model cannot use it.
        self.fails("generate", "--model", MODELS / "tiny-f16.gguf", "--params", result["parameters"], "x",
                   says="trained on another model")

    def test_all_and_joint(self):
        result = self.calibrate("--features", EVERY, "--joint", "--score", "all", "--run", "r.db")
        self.assertEqual(set(result["probes"]), ALL)
        names = [f["score"] for f in result["joint"]["features"]]
        self.assertTrue(ALL | {"entropy:top5", "epr", "null_ratio:top5"} <= set(names))
        judged = self.run_json("validate", "--params", result["parameters"], "--run", "r.db", "--draws", 0)
        self.assertIn("joint", judged["scores"])
        made = self.run_json("generate", *FAST, "--params", result["parameters"], "--cutoff", 2, "Is 1 plus 1 equal to 2?")
        values = made["trajectory"][-1]
        self.assertEqual(made["monitor"]["watched"], "joint")
        self.assertTrue(ALL <= set(values))
        ranked = self.run_json("sweep", "--run", "r.db", "--score", "all", "--draws", 0)
        self.assertTrue(ALL <= {r["name"] for r in ranked["ranking"]})

    def test_densities(self):
        prompt = "Is 3 plus 3 equal to 6?"
        for name in ("mahalanobis", "relative_mahalanobis"):
            result = self.calibrate("--score", name, "--run", "r.db")
            density = result["probes"][name]
            self.assertEqual((result["direction"], result["map"]["kind"]), (">=", "platt"))
            self.assertEqual({t["block"] for t in density["trials"]}, {1, 2, 3})
            self.assertEqual(max(density["trials"], key=lambda t: t["auroc"])["block"], density["block"])
            self.assertLess(len((self.dir / result["parameters"]).read_text()), 80_000)
            judged = self.run_json("validate", "--params", result["parameters"], "--run", "r.db", "--draws", 0)
            again = self.run_json("validate", "--params", result["parameters"], *FAST[:2], "--data", LABELLED, "--run",
                                  f"{name}.db", "--draws", 0)
            self.assertAlmostEqual(judged["scores"][name]["auroc"], again["scores"][name]["auroc"], places=6)
            # The value of an answer is that of its last token, which covers all tokens.
            made = self.run_json("generate", *FAST, "--params", result["parameters"], "--cutoff", 2, prompt)
            self.assertEqual(made["monitor"]["watched"], name)
            self.assertAlmostEqual(made["answer"]["value"], made["trajectory"][-1][name], places=9)
            given = self.run_json("judge", *FAST[:2], "--params", result["parameters"], "--prompt", prompt, "--response",
                                  made["text"])
            self.assertIn(name, given["trajectory"][-1])
            with Server("--model", MODEL, "--params", result["parameters"], "--cutoff", 2) as server:
                answer = server.complete(prompt, max_tokens=5, temperature=0)
                self.assertAlmostEqual(answer["choices"][0]["hbar"]["value"] / made["answer"]["value"], 1, places=3)
        out, _ = self.run_hbar("sweep", "--run", "r.db", "--score", "mahalanobis", "--draws", 0)
        self.assertIn("high scores are risky (as distances are)", out)
        self.assertRegex(out, r"Probe mahalanobis of 96 numbers, block \d, chosen within 5 folds")
        self.fails("sweep", "--run", "r.db", "--score", "mahalanobis", "--direction", "low", says="high values are risky")

    @native_only("libllama gives no weights of attention")
    def test_lookback(self):
        result = self.calibrate("--score", "lookback", "--run", "r.db")
        probe = result["probes"]["lookback"]
        weights = [w for (w,) in struct.iter_unpack("<f", base64.b64decode(probe["weights"]))]
        self.assertEqual((len(weights), "block" in probe), (3 * HEADS, False))
        # validate keeps what the probe needs, and judges the answers by the same numbers.
        again = self.run_json("validate", "--params", result["parameters"], *FAST[:2], "--data", LABELLED, "--run", "v.db",
                              "--draws", 0)
        judged = self.run_json("validate", "--params", result["parameters"], "--run", "r.db", "--draws", 0)
        self.assertAlmostEqual(again["scores"]["lookback"]["auroc"], judged["scores"]["lookback"]["auroc"], places=6)
        kept = sqlite3.connect(self.dir / "v.db").execute("SELECT value FROM settings WHERE key = 'features'").fetchone()[0]
        self.assertEqual(kept, "attention")
        made = self.run_json("generate", *FAST, "--params", result["parameters"], "--cutoff", 2, "Is 3 plus 3 equal to 6?")
        steps = [s["lookback"] for s in made["trajectory"]]
        self.assertAlmostEqual(made["answer"]["value"], sum(steps) / len(steps), places=9)
        # A run without these features has no such score, and a run of the schema before cannot have them.
        self.run_hbar("score", *FAST, "--data", LABELLED, "-n", 20, "--run", "plain.db", "--features", "topk")
        for change in (), ("ALTER TABLE features DROP COLUMN attention", "ALTER TABLE features DROP COLUMN lookback",
                           "PRAGMA user_version = 14"):
            db = sqlite3.connect(self.dir / "plain.db")
            for statement in change:
                db.execute(statement)
            db.commit()
            db.close()
            ranked = self.run_json("sweep", "--run", "plain.db", "--score", "all", "--draws", 0)
            names = {r["name"] for r in ranked["ranking"]}
            self.assertTrue("wepr" in names and "lookback" not in names)
            self.fails("sweep", "--run", "plain.db", "--score", "lookback", code=USAGE, says="score it with --features")

    @native_only("libllama gives no weights of attention")
    def test_attention_signals(self):
        names = {"attention_entropy", "attention_sink", "attention_self", "rauq"}
        result = self.calibrate("--score", "all", "--run", "r.db")
        self.assertTrue(names <= {r["name"] for r in result["ranking"]})
        for name in sorted(names):
            result = self.run_json("sweep", "--run", "r.db", "--score", name, "--draws", 0, "-o", self.dir)
            judged = self.run_json("validate", "--params", result["parameters"], "--run", "r.db", "--draws", 0)
            self.assertAlmostEqual(judged["scores"][name]["auroc"], result["auroc"])
            made = self.run_json("generate", *FAST, "--params", result["parameters"], "--cutoff", 2,
                                 "Is 3 plus 3 equal to 6?")
            self.assertEqual(made["monitor"]["watched"], name)
            self.assertTrue(all(isinstance(s[name], float) for s in made["trajectory"]))
        joint = self.run_json("sweep", "--run", "r.db", "--joint", "--score", ",".join(sorted(names)), "--draws", 0)
        self.assertTrue({"rauq", "attention_self"} <= {f["score"] for f in joint["joint"]["features"]})

    def test_scores_of_whole_answers_have_no_halt(self):
        for score in ALL - {"probe", "probe_first", "probe_last", "wepr"}:
            result = self.calibrate("--score", score, "--features", EVERY, "--run", "r.db")
            self.assertIsNone(result["halt"])
            self.assertEqual(result["no_halt"], f"'{score}' has no value at each step; of the probes, only 'probe' has")
            made = self.run_json("generate", *FAST, "--params", result["parameters"], "Is 3 plus 3 equal to 6?")
            self.assertEqual((made["halted"], made["monitor"]["cutoff"], made["answer"]["score"]), (False, None, score))
            self.assertFalse(any(step["p_fail"] is None for step in made["trajectory"]))

    def test_damaged_features(self):
        """The message says what is wrong with the run, and what to do."""
        self.run_hbar("score", *FAST, "--data", LABELLED, "--run", "r.db", "--features", "hidden,states")
        for feature, arguments in (("mean", ["--score", "probe"]), ("states", ["--score", "probe", "--halt", "token", "--false-halts", 0.5])):
            shutil.copy(self.dir / "r.db", self.dir / "bad.db")
            with contextlib.closing(sqlite3.connect(self.dir / "bad.db")) as db:
                db.execute(f"UPDATE features SET {feature} = substr({feature}, 1, length({feature}) - 2) WHERE idx = 3")
                db.commit()
            self.fails("sweep", "--run", "bad.db", *arguments, "--draws", 0,
                       says=f"the run is damaged: the features '{feature}' of sample 3 have another length than they must have; score "
                            "the data again into a new run")

    def test_server(self):
        prompt = "Is 3 plus 3 equal to 6?"
        for options in (["--score", "probe"], ["--features", EVERY, "--joint", "--score", "all"]):
            result = self.calibrate(*options, "--run", f"{options[-1]}.db")
            made = self.run_json("generate", *FAST, "--params", result["parameters"], "--cutoff", 2, prompt)
            with Server("--model", MODEL, "--params", result["parameters"], "--cutoff", 2) as server:
                for more in ({}, {"hbar": {"signals": "entropy"}}):
                    answer = server.complete(prompt, max_tokens=5, temperature=0, **more)
                    risk = answer["choices"][0]["hbar"]
                    self.assertEqual(risk["score"], result["score"]["name"])
                    self.assertAlmostEqual(risk["value"], made["answer"]["value"], places=4)

    def test_size_is_reported(self):
        _, err = self.run_hbar("score", *FAST, "--data", LABELLED, "-n", 4, "--run", "r.db", "--features", "hidden:1+3,topk")
        self.assertIn(f"features hidden:1+3,topk: {2 * (3 * 2 * 96 + 30)} bytes for each sample", err)
        sizes = sqlite3.connect(self.dir / "r.db").execute(
            "SELECT length(first) + length(mean) + length(last) + length(topk) FROM features").fetchall()
        self.assertEqual(sizes, [(2 * (3 * 2 * 96 + 30),)] * 4)
        self.fails("score", *FAST, "--data", LABELLED, "-n", 4, "--run", "r.db", "--features", "topk", says="features is")
        self.fails("sweep", "--run", "r.db", "--score", "probe_middle", code=USAGE, says="no score 'probe_middle'")

    @native_only("libllama gives no weights of attention")
    def test_attention_is_kept(self):
        _, err = self.run_hbar("score", *FAST, "--data", LABELLED, "-n", 4, "--run", "r.db", "--features", "attention")
        self.assertIn(f"features attention: {2 * 3 * HEADS * 7} bytes for each sample", err)
        for row in sqlite3.connect(self.dir / "r.db").execute("SELECT first, topk, attention, lookback FROM features"):
            attention, lookback = map(vector, row[2:])
            self.assertEqual((row[:2], len(attention), len(lookback)), ((None, None), 3 * HEADS * 6, 3 * HEADS))
            for head, ratio in enumerate(lookback):
                sink, context, generated, before, itself, entropy = attention[6 * head:6 * head + 6]
                self.assertAlmostEqual(sink + context + generated, 1, delta=0.002)
                self.assertTrue(0 <= ratio <= 1 and 0 <= before <= 1 and 0 < itself < 1 and entropy > 0)

    def test_beside_samples_and_questions(self):
        # Features are those of the answer alone, also if other parts of the sample end after it.
        rows = {}
        for name, options in (("alone", []), ("samples", ["--samples", 2]), ("asked", ["--ask", "p_true"])):
            self.run_hbar("score", *FAST, "--data", LABELLED, "-n", 12, "--sequences", 4, "--run", f"{name}.db",
                          "--features", "hidden:1+3,topk", *options)
            db = sqlite3.connect(self.dir / f"{name}.db")
            table = db.execute("SELECT idx, first, mean, last, topk FROM features ORDER BY idx").fetchall()
            rows[name] = [(row[0], [x for blob in row[1:] for x in vector(blob)]) for row in table]
        self.assertEqual(len(rows["alone"]), 12)
        for name in ("samples", "asked"):
            self.assertEqual([index for index, _ in rows[name]], [index for index, _ in rows["alone"]])
            for (_, features), (_, expected) in zip(rows[name], rows["alone"]):
                for a, b in zip(features, expected, strict=True):
                    self.assertAlmostEqual(a, b, delta=0.02 + 0.02 * abs(b))

    def test_found(self):
        self.run_json("calibrate", *FAST, "--data", LABELLED, "-n", 0, "--draws", 0, "--score", "probe")
        _, err = self.run_hbar("generate", *FAST, "Is 3 plus 3 equal to 6?")
        self.assertIn("no --params given: using the newest that match the model", err)

    def test_refusals(self):
        self.fails("score", *FAST, "--data", LABELLED, "--features", "hidden:4", code=USAGE, says="no block 4; it has 3")
        self.fails("score", *FAST, "--data", LABELLED, "--features", "all", code=USAGE, says="no features 'all'")
        for item in ("topk", "attention", "hidden", "states"):
            self.fails("score", *FAST, "--data", LABELLED, "--features", f"{item},{item}", code=USAGE,
                       says=f"'{item}' is listed twice")
        self.fails("calibrate", *FAST, "--data", LABELLED, "--score", "probe", "--guarantee", "risk=0.5", code=USAGE,
                   says="not fitted to the same samples")
        self.run_hbar("score", *FAST, "--data", LABELLED, "-n", 20, "--run", "r.db")
        self.fails("sweep", "--run", "r.db", "--score", "probe", code=USAGE,
                   says="this run has no score 'probe'; score it with --features")
        self.fails("sweep", "--run", "r.db", "--score", "eigv", code=USAGE,
                   says="this run has no score 'eigv'; score it with --samples")
        self.fails("sweep", "--run", "r.db", "--score", "prob", code=USAGE, says="there is no score 'prob'")

    def test_damaged(self):
        result = self.calibrate("--score", "wepr", "--run", "r.db")
        document = self.read(result["parameters"])
        for change in ({"weights": "AAAA"}, {"weights": "?"}, {"weights": ""}, {"intercept": "1"}, {"weights": None},
                       {"weights": base64.b64encode(struct.pack("<f", float("nan")) * 30).decode()}):
            document["probes"]["wepr"] |= change
            path = self.write("bad.json", json.dumps(document))
            self.fails("validate", "--params", path, "--run", "r.db", says=f"probes.wepr.{next(iter(change))}")
            document = self.read(result["parameters"])
        document["probes"] = {"probe": {"block": 0, "intercept": 0, "weights": "AAAAAA=="}}
        self.fails("validate", "--params", self.write("bad.json", json.dumps(document)), "--run", "r.db",
                   says="probes.probe.block")
        result = self.calibrate("--score", "mahalanobis", "--run", "d.db")
        for change in ({"rows": "AAAA"}, {"rows": None}, {"rows": result["probes"]["mahalanobis"]["weights"]}, {"factors": []},
                       {"factors": [1] * 65}, {"factors": None}, {"factors": ["1"] * 64}, {"offsets": [1] * 63},
                       {"offsets": None}, {"offsets": [1e200] * 64}):
            document = self.read(result["parameters"])
            document["probes"]["mahalanobis"] |= change
            self.fails("validate", "--params", self.write("bad.json", json.dumps(document)), "--run", "d.db",
                       says=f"probes.mahalanobis.{next(iter(change))}")
        db = sqlite3.connect(self.dir / "r.db")
        db.execute("UPDATE features SET topk = x'007C' || substr(topk, 3) WHERE idx = 7")  # infinity
        db.commit()
        self.fails("sweep", "--run", "r.db", "--score", "wepr", says="features of sample 7 are damaged")
        db.execute("DELETE FROM features WHERE idx = 7")
        db.commit()
        self.fails("sweep", "--run", "r.db", "--score", "wepr", says="no features of sample 7")
        for run, score, name, value in (("r.db", "wepr", "topk", "substr(topk, 1, 20)"),
                                        ("d.db", "mahalanobis", "mean", "CAST(mean || x'0000' AS BLOB)")):
            db = sqlite3.connect(self.dir / run)
            db.execute(f"UPDATE features SET {name} = {value}")
            db.commit()
            self.fails("sweep", "--run", run, "--score", score, says=f"{score}: the run's features '{name}' cannot have ")


if __name__ == "__main__":
    import unittest
    unittest.main()
