#!/usr/bin/env python3
"""Real clients against hbar serve: the openai package and lm-evaluation-harness, from PyPI. Skips (77) what is missing.
    pip install openai 'lm_eval[api]'"""
import importlib.util
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "cli"))
from server import DEMO, PARAMS, Server  # noqa: E402

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
CUBA = [{"role": "user", "content": "What is the capital of Cuba?"}]


def has(module):
    return importlib.util.find_spec(module) is not None


@unittest.skipUnless(has("openai"), "the package openai is missing")
class OpenAI(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import openai
        cls.openai = openai
        cls.server = Server("--model", DEMO, "--params", PARAMS, "--parallel", 2)
        cls.addClassCleanup(cls.server.stop)
        cls.client = openai.OpenAI(base_url=f"http://127.0.0.1:{cls.server.port}/v1", api_key="none", max_retries=0)

    def test_models(self):
        self.assertEqual([m.id for m in self.client.models.list()], ["hbar-demo"])

    def test_answer(self):
        answer = self.client.chat.completions.create(model="any", messages=MESSAGES, max_tokens=5, logprobs=True, top_logprobs=2)
        choice = answer.choices[0]
        self.assertEqual((choice.message.content.strip(), choice.finish_reason), ("Paris", "stop"))
        self.assertEqual("".join(t.token for t in choice.logprobs.content).strip(), "Paris")
        self.assertEqual(len(choice.logprobs.content[0].top_logprobs), 2)
        self.assertFalse(choice.hbar["risky"])
        self.assertEqual(answer.usage.completion_tokens, len(choice.logprobs.content))

    def test_halted(self):
        raw = self.client.chat.completions.with_raw_response.create(model="any", messages=CUBA)
        self.assertEqual(raw.headers["x-hbar-halted"], "true")
        choice = raw.parse().choices[0]
        self.assertEqual((choice.finish_reason, choice.stop_reason), ("stop", "hbar_halted"))

    def test_stream(self):
        stream = self.client.chat.completions.create(model="any", messages=CUBA, stream=True, max_tokens=8,
                                                     stream_options={"include_usage": True},
                                                     extra_body={"hbar": {"mode": "flag"}})
        chunks = list(stream)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertTrue(text)
        self.assertTrue(chunks[-1].usage.total_tokens)
        self.assertTrue(all(c.choices[0].hbar["p_fail"] for c in chunks[:-1]))

    def test_cancel(self):
        before = self.server.metric("cancelled_answers_total")
        stream = self.client.completions.create(model="any", prompt="a", stream=True, max_tokens=3000,
                                                logit_bias={"1": -100, "2": -100, "0": -100},
                                                extra_body={"hbar": {"mode": "off"}})
        next(iter(stream))
        stream.close()
        self.server.wait_for("open_requests", 0)
        self.assertIn(self.server.metric("cancelled_answers_total") - before, (0, 1))

    def test_errors(self):
        with self.assertRaises(self.openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="any", messages=MESSAGES, temperature=-1)
        self.assertEqual(caught.exception.param, "temperature")
        with self.assertRaises(self.openai.NotFoundError):
            self.client.embeddings.create(model="any", input="a")

    def test_several(self):
        answer = self.client.completions.create(model="any", prompt=["a", "b"], n=2, max_tokens=3, temperature=1, seed=1)
        self.assertEqual([c.index for c in answer.choices], [0, 1, 2, 3])


@unittest.skipUnless(has("lm_eval"), "the package lm_eval is missing")
class Harness(unittest.TestCase):
    def test_task(self):
        """A task of its own with two choices each: the harness finds that the model prefers the right one."""
        with tempfile.TemporaryDirectory() as folder, Server("--model", DEMO, "--params", PARAMS) as server:
            rows = [("France", "Paris", "Rome"), ("Italy", "Rome", "Paris"), ("Japan", "Tokyo", "Berlin"),
                    ("Spain", "Madrid", "Vienna")]
            data = Path(folder, "data.jsonl")
            data.write_text("".join(json.dumps({"q": f"What is the capital of {c}?", "choices": [a, b], "gold": 0}) + "\n"
                                    for c, a, b in rows))
            Path(folder, "capitals.yaml").write_text(
                "task: capitals\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: " + str(data) + "\n"
                "test_split: test\noutput_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_choice: '{{choices}}'\n"
                "doc_to_target: '{{gold}}'\nmetric_list:\n  - metric: acc\n")
            out = Path(folder, "out")
            subprocess.run([sys.executable, "-m", "lm_eval", "--model", "local-completions", "--tasks", "capitals",
                            "--include_path", folder, "--output_path", str(out), "--model_args",
                            f"model=hbar-demo,base_url=http://127.0.0.1:{server.port}/v1/completions,"
                            "tokenizer_backend=remote,tokenized_requests=True,num_concurrent=2"],
                           check=True, timeout=600)
            result = json.loads(next(out.rglob("*.json")).read_text())
            self.assertEqual(result["results"]["capitals"]["acc,none"], 1.0)


if __name__ == "__main__":
    if not has("openai") and not has("lm_eval"):
        print("neither openai nor lm_eval is installed")
        sys.exit(77)
    unittest.main()
