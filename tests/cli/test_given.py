"""Data with responses: evaluated instead of generated, or judged."""
import json
import unittest

from harness import MODEL, USAGE, Case, by_engine

HALUEVAL = [{"knowledge": f"The river {i} is long.", "question": f"Which river is number {i}?",
             "right_answer": f"river {i}", "hallucinated_answer": f"the old mountain {i}"} for i in range(12)]
OWN = [{"id": f"r{i}", "prompt": f"Is {i} a number?", "response": f"yes, {i} is one", "label": i % 2} for i in range(8)]
EVALUATED = "evaluated instead of generated"


class GivenCase(Case):
    def score(self, *arguments, **options):
        """Scores and returns (samples as JSON of the export, standard error)."""
        run = self.dir / f"{len(list(self.dir.iterdir()))}.db"
        _, err = self.run_hbar("score", "--model", MODEL, "--max-tokens", 2, "--run", run, *arguments, **options)
        out, _ = self.run_hbar("export", "--run", run, "--format", "jsonl")
        return [json.loads(line) for line in out.splitlines()], err

    def n_tokens(self, *arguments):
        return len(self.run_hbar("tokenize", "--model", MODEL, *arguments)[0].splitlines())


class Responses(GivenCase):
    def test_own_rows(self):
        """The whole response is evaluated after its prompt, regardless of --max-tokens."""
        data = self.write_rows("own.jsonl", OWN)
        samples, err = self.score("--data", data)
        self.assertIn(f"{data}: responses are given, so they are {EVALUATED}", err)
        self.assertEqual([s["id"] for s in samples], [row["id"] for row in OWN])
        for sample, row in zip(samples, OWN):
            whole = self.n_tokens(row["prompt"] + " " + row["response"])
            self.assertEqual((sample["text"], sample["finish"], sample["label"]),
                             (row["response"], "end of given text", row["label"]))
            self.assertEqual(sample["n_prompt"], self.n_tokens(row["prompt"]))
            self.assertEqual(sample["n_tokens"], whole - sample["n_prompt"])
        _, err = self.score("--data", data, "-q")
        self.assertEqual(err, "")

    def test_halueval(self):
        """HaluEval's rows are judged, or evaluated with --as response. A run can have only one of the two."""
        data = self.write_rows("qa.jsonl", HALUEVAL)
        judged, err = self.score("--data", data)
        self.assertNotIn(EVALUATED, err)
        self.assertEqual({s["n_tokens"] for s in judged}, {2})
        given, err = self.score("--data", data, "--as", "response")
        self.assertIn(EVALUATED, err)
        self.assertEqual([s["text"] for s in given],
                         [row[key] for row in HALUEVAL for key in ("right_answer", "hallucinated_answer")])
        self.assertEqual([s["id"] for s in given], [s["id"] for s in judged])
        self.assertEqual(given[0]["n_prompt"],
                         self.n_tokens("Context: The river 0 is long.\n\nQuestion: Which river is number 0?\nAnswer:"))
        run = self.dir / "same.db"
        command = ("score", "--model", MODEL, "--max-tokens", 2, "--data", data, "--run", run)
        self.run_hbar(*command)
        self.fails(*command, "--as", "response", says='data_format is "halueval_qa", not "halueval_qa as=response"')
        own = self.write_rows("own.jsonl", OWN)
        shown, err = self.score("--data", own, "--as", "judgement")
        self.assertNotIn(EVALUATED, err)
        self.assertNotEqual(shown[0]["text"], OWN[0]["response"])
        plain = self.write_rows("p.jsonl", [{"prompt": "p", "label": 1}])
        self.fails("score", "--model", MODEL, "--data", plain, "--as", "response", says="have no responses to evaluate")
        self.fails("score", "--model", MODEL, "--as", "answer", code=USAGE, says="auto, judgement, response")

    def test_published(self):
        """RAGTruth's two files and FELM's segments."""
        self.write_rows("source_info.jsonl", [{"source_id": "s", "prompt": "Tell of the river.", "source_info": "text"}])
        data = self.write_rows("response.jsonl", [
            {"id": str(i), "source_id": "s", "response": "the river is long" + " and old" * i, "quality": "good",
             "labels": [{"start": 0, "end": 9, "text": "the river"}] * (i % 2)} for i in range(4)])
        samples, _ = self.score("--data", data)
        self.assertEqual([(s["id"], s["label"]) for s in samples], [("0", 0), ("1", 1), ("2", 0), ("3", 1)])
        self.assertEqual(samples[3]["text"], "the river is long and old and old and old")
        felm = self.write_rows("felm.jsonl", [{"prompt": "Which?", "response": "One. Two.", "labels": [True, i > 0],
                                               "segmented_response": ["One.", "Two."]} for i in range(2)])
        samples, _ = self.score("--data", felm)
        self.assertEqual([(s["label"], s["finish"]) for s in samples], [(1, "end of given text"), (0, "end of given text")])

    def test_p_yes(self):
        """P(Yes) is a score of judgements: stored, exported, ranked, calibrated and validated."""
        data = self.write_rows("qa.jsonl", HALUEVAL)
        run = self.dir / "judged.db"
        common = "--model", MODEL, "--data", data, "--draws", 0, "--max-tokens", 2
        result = self.run_json("calibrate", *common, "--run", run, "--score", "p_yes", "-o", self.dir / "o")
        self.assertEqual(result["score"]["name"], "p_yes")
        self.assertNotIn("halting", result)
        out, _ = self.run_hbar("export", "--run", run, "--format", "jsonl")
        values = [json.loads(line)["p_yes"] for line in out.splitlines()]
        self.assertEqual((min(values), max(values)), (result["score"]["min"], result["score"]["max"]))
        self.assertTrue(0 < min(values) < max(values) < 1)
        ranked = self.run_json("sweep", "--run", run, "--score", "all", "--draws", 0)["ranking"]
        self.assertIn("p_yes", [row["name"] for row in ranked])
        table = self.dir / "t.csv"
        table.write_text(self.run_hbar("export", "--run", run)[0])
        again = self.run_json("sweep", "--data", table, "--score", "all", "--draws", 0)["ranking"]
        self.assertEqual({row["name"]: row["auroc"] for row in again}, {row["name"]: row["auroc"] for row in ranked})
        for more in ("--run", run), ("--scores", table):
            judged = self.run_json("validate", "--params", result["parameters"], *more, "--draws", 0)
            self.assertAlmostEqual(judged["scores"]["p_yes"]["auroc"], result["auroc"])
        only = "only judgements of responses have the score p_yes"
        self.fails("calibrate", *common, "--as", "response", "--score", "p_yes", "-o", self.dir / "n", says=only)
        self.fails("validate", "--params", result["parameters"], *common, "--as", "response", "--force",
                   "-o", self.dir / "n", says=only)
        self.assertEqual(list((self.dir / "n").glob("*")), [])
        self.fails("generate", "--model", MODEL, "--params", result["parameters"], "a", says="calibrated on the score 'p_yes', which only judgements of responses have")

    def test_parameters_say_how_responses_were_used(self):
        """A threshold of given answers is not for judgements."""
        data = self.write_rows("qa.jsonl", HALUEVAL)
        common = "--model", MODEL, "--data", data, "--draws", 0, "--max-tokens", 2
        out, _ = self.run_hbar("calibrate", *common, "--as", "response", "-o", self.dir / "o")
        self.assertRegex(out, "validate .* --as response --data FILE")
        params = next((self.dir / "o").glob("*.json"))
        self.assertEqual(self.read(params)["settings"]["read_as"], "response")
        validate = "validate", "--params", params, "-o", self.dir / "v", *common
        says = f"{params} was calibrated on given responses, not on judgements"
        self.fails(*validate, says=f"{says}; --as response reads the data so, and --force accepts it")
        self.assertFalse((self.dir / "v").exists())
        self.run_hbar(*validate, "--as", "response")
        _, err = self.run_hbar(*validate, "--force")
        self.assertIn(f"warning: {says}", err)
        plain = self.write_rows("p.jsonl", [{"prompt": f"p{i}", "label": i % 2} for i in range(20)])
        self.fails("validate", "--params", params, "--model", MODEL, "--data", plain, "-o", self.dir / "v",
                   says="on given responses, not on generated answers; --force accepts it")
        judged = self.dir / "judged.db"
        self.run_hbar("score", *common[:4], "--max-tokens", 2, "--run", judged)
        self.fails("validate", "--params", params, "--run", judged, says=says)
        old = {**self.read(params)}
        del old["settings"]["read_as"]
        self.run_hbar("validate", "--params", self.write("old.json", json.dumps(old)), "--run", judged, "--draws", 0)

    def test_spans(self):
        """Spans are evaluated by tokens, when a threshold is calibrated and when it is validated."""
        def row(i, label):
            response = f"river {i} is long" + " and old" * label
            return {"prompt": f"Tell of river {i}.", "response": response, "label": label,
                    **({"spans": [[len(response) - 8, len(response)]]} if label else {})}
        data = self.write_rows("spans.jsonl", [row(i, i % 2) for i in range(20)])
        run = self.dir / "spans.db"
        common = "--model", MODEL, "--data", data, "--draws", 0
        out, _ = self.run_hbar("calibrate", *common, "--run", run, "-o", self.dir, "--score", "surprise")
        lines = out.splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("Tokens: "))
        n_tokens = sum(self.n_tokens(" " + row(i, i % 2)["response"]) - 2 for i in range(20))
        self.assertRegex(lines[start], rf"^Tokens: {n_tokens} in 20 answers, \d+ of them hallucinated .* in 10 spans$")
        self.assertEqual(lines[start + 1].split(), ["signal", "AUROC", "average", "precision"])
        self.assertEqual(len([line for line in lines if "values are risky)" in line]), by_engine(28, 24))
        self.assertIn("Alarms of surprise", lines)
        params = self.read(next(self.dir.glob("*.json")))
        tokens = params["tokens"]
        self.assertEqual((tokens["answers"], tokens["tokens"], tokens["spans"]), (20, n_tokens, 10))
        self.assertEqual(len(tokens["signals"]), by_engine(28, 24))
        self.assertEqual(tokens["alarms"]["signal"], "surprise")
        self.assertEqual(tokens["alarms"]["tau"]["threshold"], params["threshold"]["tau"])
        self.assertEqual(tokens["alarms"]["p_fail"]["outside"], n_tokens - tokens["hallucinated"])
        judged = self.run_json("validate", "--params", next(self.dir.glob("*.json")), "--run", run, "--draws", 0)
        self.assertEqual(judged["tokens"], tokens)
        joint = self.run_json("sweep", "--run", run, "--joint", "--draws", 0)
        self.assertIsNone(joint["tokens"]["alarms"])
        says = "No alarms: a run keeps the calibrated score of whole answers, not of single tokens\n"
        self.assertIn(says, self.run_hbar("sweep", "--run", run, "--joint", "--draws", 0)[0])
        self.assertNotIn(says, self.run_hbar("sweep", "--run", run, "--score", "surprise", "--draws", 0)[0])
        plain = self.write_rows("plain.jsonl", OWN * 2)
        result = self.run_json("calibrate", "--model", MODEL, "--data", plain, "-o", self.dir, "--draws", 0)
        self.assertNotIn("tokens", result)

    def test_graded(self):
        """A response without a label is graded."""
        data = self.write_rows("g.jsonl", [{"prompt": "Capital?", "response": f"It is {city}.", "answers": ["Paris"]}
                                           for city in ("Paris", "Rome", "Paris")])
        samples, _ = self.score("--data", data)
        self.assertEqual([s["grade_contains"] for s in samples], [1, 0, 1])
        out, _ = self.run_hbar("score", "--model", MODEL, "--data", data, "--run", self.dir / "g.db", "--grade", "contains")
        self.assertIn("3 answers, 66.7 % of them right (contains)", out)

    def test_calibration(self):
        data = self.write_rows("qa.jsonl", HALUEVAL)
        result = self.run_json("calibrate", "--model", MODEL, "--data", data, "--as", "response", "-o", self.dir, "--draws", 0)
        self.assertEqual(result["score"]["n"], 24)
        self.assertEqual(result["data"]["format"], "halueval_qa as=response")
        self.assertEqual(sum(result["halting"][key] for key in ("hallucinated", "faithful")), 24)


if __name__ == "__main__":
    unittest.main()
