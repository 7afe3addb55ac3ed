"""hbar judge: an answer that is given, measured as if the model had written it."""
import json
import os
import unittest
from unittest import mock

from harness import CHAT_MODEL, FAILED, MODEL, PROJECT, USAGE, Case

DEMO = PROJECT / "models" / "hbar-demo.gguf"
PARAMS = PROJECT / "data" / "demo_params.json"
CUBA = "Question: What is the capital of Cuba?\nAnswer:"
FRANCE = "Question: What is the capital of France?\nAnswer:"


class One(Case):
    def judge(self, *arguments, **options):
        return self.run_json("judge", "--model", DEMO, *arguments, **options)

    def test_as_generated(self):
        """A generated answer gets the same measurements as at generation, bit for bit."""
        with mock.patch.dict(os.environ, HBAR_KERNELS="portable"):
            made = self.run_json("generate", "--model", DEMO, "--cutoff", 1.1, "--max-tokens", 2, CUBA)
            given = self.judge("--cutoff", 1.1, "--prompt", CUBA, "--response", made["text"])
            halted = self.run_json("generate", "--model", DEMO, "--params", PARAMS, CUBA)
            judged = self.judge("--params", PARAMS, "--prompt", CUBA, "--response", made["text"])
        self.assertEqual((given["text"], given["tokens"], given["n_tokens"]), (made["text"], made["tokens"], 2))
        self.assertEqual((given["n_prompt"], given["scores"], given["monitor"]),
                         (made["n_prompt"], made["scores"], made["monitor"]))
        self.assertEqual(given["reason"], "end of given text")
        self.assertIsNone(given["halt"])
        self.assertIsNone(given["answer"])
        characters = [(step.pop("start"), step.pop("end"), step.pop("text")) for step in given["trajectory"]]
        self.assertEqual(given["trajectory"], made["trajectory"])
        self.assertEqual("".join(text for _, _, text in characters), made["text"])
        self.assertEqual((characters[0][0], characters[0][1]), (0, characters[1][0]))
        self.assertEqual(characters[1][1], len(made["text"]))
        self.assertEqual(halted["reason"], "halted")
        self.assertEqual(judged["halt"], halted["halt"])
        self.assertEqual(len(judged["trajectory"]), 2)

    def test_text(self):
        command = "judge", "--model", DEMO, "--params", PARAMS, "--prompt", CUBA
        out, err = self.run_hbar(*command, "--response", "Paris")
        lines = out.splitlines()
        self.assertEqual(lines[0].split(), ["step", "P_fail", "hbar_s", "pri", "surprise", "entropy", "token"])
        self.assertEqual([line.split(None, 6)[6] for line in lines[1:3]], ['" P"', '"aris"'])
        self.assertRegex(lines[3], r"^2 tokens; generate would halt at step [01]: hbar_s [0-9.]+ reached [0-9.]+$")
        self.assertRegex(lines[4], r"^scores: hbar_s [0-9.]+, pri [0-9.]+, surprise [0-9.]+, entropy [0-9.]+$")
        self.assertRegex(lines[5], r"^the answer is risky: hbar_s [0-9.]+, tau [0-9.]+, P_fail 0\.[0-9]+$")
        self.assertEqual((len(lines), err), (6, ""))
        out, _ = self.run_hbar(*command, "--response", "Paris", "--signals", "margin", "--watch", "entropy", "--cutoff", 1.1)
        self.assertEqual(out.splitlines()[0].split(), ["step", "P_fail", "entropy", "margin", "token"])
        self.assertEqual(out.splitlines()[3], "2 tokens; no P_fail reaches the cutoff 1.1")
        self.assertNotIn("the answer", out)
        out, _ = self.run_hbar(*command, "--response", "a\x1b[31m\nb")
        self.assertIn('"\\x1B"', out)
        self.assertNotIn("\x1b", out)

    def test_standard_input(self):
        expected, _ = self.run_hbar("judge", "--model", DEMO, "--prompt", CUBA, "--response", "Paris")
        for arguments, stdin in ((("--prompt", CUBA, "--response", "-"), "Paris\n"),
                                 (("--prompt", "-", "--response", "Paris"), CUBA + "\n")):
            out, _ = self.run_hbar("judge", "--model", DEMO, *arguments, stdin=stdin.encode())
            self.assertEqual(out, expected)

    def test_chat(self):
        """The end-of-turn token is measured last. A response cannot spell one."""
        command = "judge", "--model", CHAT_MODEL, "--chat", "--prompt", "who is it"
        result = self.run_json(*command, "--response", "the sun")
        self.assertEqual(result["reason"], "end of text")
        last = result["trajectory"][-1]
        self.assertEqual((last["text"], last["start"], last["end"]), ("", 7, 7))
        out, _ = self.run_hbar(*command, "--response", "the sun")
        self.assertEqual(out.splitlines()[len(result["trajectory"])].split()[-1], "<|im_end|>")
        spelled = self.run_json(*command, "--response", "<|im_end|> the sun")
        self.assertEqual([step["text"] for step in spelled["trajectory"]].count(""), 1)
        _, err = self.run_hbar("judge", "--model", CHAT_MODEL, "--prompt", "<|im_end|>", "--response", "a")
        self.assertIn("warning: the prompt spells the control token <|im_end|>", err)

    def test_demo(self):
        """Without a model: the demo's model and parameters."""
        out, err = self.run_hbar("judge", "--prompt", FRANCE, "--response", "Paris")
        self.assertIn("using the demo's", err)
        self.assertIn("the answer is not risky: hbar_s", out)

    def test_refused(self):
        for arguments, says in ((("--prompt", "a"), "give --prompt and --response, or --data"),
                                (("--response", "a"), "give --prompt and --response, or --data"),
                                ((), "give --prompt and --response, or --data"),
                                (("--data", "x", "--prompt", "a"), "give --prompt and --response, or --data"),
                                (("--prompt", "-", "--response", "-"), "only one of --prompt and --response"),
                                (("--prompt", "a", "--response", "b", "--signals", "shoe"), "--signals: no signal 'shoe'"),
                                (("--prompt", "a", "--response", "b", "--as", "judgement"), "unknown option --as"),
                                (("--prompt", "a", "--response", "b", "--system", "s"), "--system needs --chat")):
            self.fails("judge", "--model", MODEL, *arguments, code=USAGE, says=says)
        self.fails("judge", "--model", MODEL, "--prompt", "a", "--response", "", says="the answer is empty")
        self.fails("judge", "--model", MODEL, "--prompt", "a", "--response", "b" * 99, "--ctx-size", 16,
                   says="do not fit the context of 16")


class Data(Case):
    ROWS = [{"id": "x", "prompt": FRANCE, "response": "Paris"}, {"prompt": CUBA, "response": "Rome"}]

    def judge(self, *arguments, **options):
        out, err = self.run_hbar("judge", "--model", DEMO, "--params", PARAMS, *arguments, "--json", **options)
        return [json.loads(line) for line in out.splitlines()], err

    def test_rows(self):
        """Rows need no label; an existing label is shown."""
        data = self.write_rows("d.jsonl", self.ROWS)
        got, err = self.judge("--data", data)
        self.assertEqual(err, "")
        self.assertEqual([(row["id"], row["text"], row["answer"]["risky"]) for row in got],
                         [("x", "Paris", False), ("sample_1", "Rome", True)])
        self.assertNotIn("label", got[0])
        alone = self.run_json("judge", "--model", DEMO, "--params", PARAMS, "--prompt", CUBA, "--response", "Rome")
        self.assertEqual(alone["scores"], got[1]["scores"])
        piped, _ = self.judge("--data", "-", stdin=data.read_bytes())
        self.assertEqual([row["scores"] for row in piped], [row["scores"] for row in got])
        labelled = self.write_rows("l.jsonl", [{**row, "label": i} for i, row in enumerate(self.ROWS)])
        got, _ = self.judge("--data", labelled)
        self.assertEqual([row["label"] for row in got], [0, 1])
        out, _ = self.run_hbar("judge", "--model", DEMO, "--data", labelled)
        blocks = out.split("\n\n")
        self.assertEqual([block.splitlines()[0] for block in blocks], ["x, faithful", "sample_1, hallucinated"])
        table = self.write("t.csv", "q,a\nWho?,Me\nWhat?,That\n")
        got, _ = self.judge("--data", table, "--field", "prompt=q", "--field", "response=a")
        self.assertEqual([row["text"] for row in got], ["Me", "That"])
        halueval = self.write_rows("h.jsonl", [{"knowledge": "K", "question": "Q?", "right_answer": "R",
                                                "hallucinated_answer": "H"}])
        got, _ = self.judge("--data", halueval)
        self.assertEqual([(row["id"], row["label"], row["text"]) for row in got],
                         [("qa_0_cor", 0, "R"), ("qa_0_hal", 1, "H")])

    def test_answers_that_cannot_be_judged(self):
        """Rows that cannot be judged are reported; the others are judged."""
        data = self.write_rows("d.jsonl", [self.ROWS[0], {"id": "long", "prompt": "a", "response": "b c " * 60}, self.ROWS[1]])
        got, err = self.judge("--data", data, "--ctx-size", 40, code=FAILED)
        self.assertEqual([row["id"] for row in got], ["x", "sample_2"])
        self.assertRegex(err, "^hbar: long: the prompt's .* do not fit the context of 40\n$")
        talk = self.write_rows("m.jsonl", [{"messages": [{"role": "user", "content": "Q?"}], "label": 1}])
        got, err = self.judge("--data", talk, code=FAILED)
        self.assertEqual((got, err), ([], "hbar: messages_0: has no response\n"))
        empty = self.write_rows("e.jsonl", [{**self.ROWS[0], "response": " "}, self.ROWS[1]])
        got, err = self.judge("--data", empty, code=FAILED)
        self.assertEqual([row["text"] for row in got], ["Rome"])
        self.assertIn("e.jsonl:1: the response is empty\n", err)
        answers = self.write_rows("a.jsonl", [{"prompt": "p", "answers": ["a"]}])
        self.fails("judge", "--model", DEMO, "--data", answers, says="have no responses to evaluate; map them: --field response=PATH")

    def test_conversations(self):
        """The assistant's last message is judged, also beside right answers; labels are optional in each row."""
        asked, answered = {"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A"}
        for extra in ({}, {"answers": ["B"]}, {"label": 1}):
            data = self.write_rows("m.jsonl", [{"messages": [asked, answered, asked, answered], **extra}])
            got, _ = self.judge("--data", data)
            self.assertEqual([(row["text"], row.get("label")) for row in got], [("A", extra.get("label"))])
        mixed = self.write_rows("x.jsonl", [{**self.ROWS[0], "label": 0}, self.ROWS[1]])
        got, err = self.judge("--data", mixed)
        self.assertEqual(([row.get("label") for row in got], err), ([0, None], ""))

    def test_pass_1_needs_labels(self):
        data = self.write_rows("d.jsonl", self.ROWS)
        self.fails("score", "--model", DEMO, "--data", data, says="the nearest is given, which needs 'label'")
        self.fails("score", "--model", DEMO, "--data", data, "--format", "responses", says="rows of format responses have no labels")


if __name__ == "__main__":
    unittest.main()
