"""hbar tokenize: text to tokens and back."""
import json
import unittest

from harness import FAILED, MODEL, SHARED, USAGE, Case

GPT_2 = SHARED / "models" / "ggml-vocab-gpt-2.gguf"


class Tokenize(Case):
    def test_there_and_back(self):
        out, _ = self.run_hbar("tokenize", "--model", MODEL, "the city \u00e9\n")
        lines = [line.split("\t") for line in out.splitlines()]
        self.assertEqual(lines[0][0], "1")  # the beginning of the text
        self.assertIn('"\\x0A"', [piece for _, piece in lines])
        ids = ",".join(i for i, _ in lines)
        text, _ = self.run_hbar("tokenize", "--model", MODEL, "--decode", f"[{ids}]")
        self.assertEqual(text, " the city \u00e9\n")
        result = json.loads(self.run_hbar("tokenize", "--model", MODEL, "--json", "the city \u00e9\n")[0])
        self.assertEqual([str(t) for t in result["tokens"]], ids.split(","))
        self.assertEqual(result["n_tokens"], len(lines))
        bare, _ = self.run_hbar("tokenize", "--model", MODEL, "--no-special", "the city \u00e9\n")
        self.assertEqual(bare.splitlines(), out.splitlines()[1:])

    def test_control_tokens_are_parsed_only_when_asked(self):
        plain, _ = self.run_hbar("tokenize", "--model", MODEL, "--no-special", "a</s>")
        parsed, _ = self.run_hbar("tokenize", "--model", MODEL, "--no-special", "--parse-special", "a</s>")
        self.assertNotIn("2\t", [line[:2] for line in plain.splitlines()])
        self.assertEqual(parsed.splitlines()[-1], '2\t"</s>"')

    def test_refusals(self):
        self.fails("tokenize", "x", code=USAGE, says="--model is required")
        self.fails("tokenize", "--model", MODEL, code=USAGE, says="TEXT is required")
        self.fails("tokenize", "--model", MODEL, "--decode", "12 x", code=FAILED, says="'x' is not a token id")
        self.fails("tokenize", "--model", MODEL, "--decode", "99999999", code=FAILED, says="is not a token id")

    @unittest.skipUnless(GPT_2.exists(), "needs ../shared")
    def test_a_vocabulary_without_weights(self):
        """A byte-level vocabulary, and a long word of one letter, which takes linear time."""
        result = json.loads(self.run_hbar("tokenize", "--model", GPT_2, "--json", "Hello world")[0])
        self.assertEqual((result["tokens"], result["pieces"]), ([15496, 995], ["Hello", " world"]))
        result = json.loads(self.run_hbar("tokenize", "--model", GPT_2, "--json", "-", stdin=b"a" * 200_000)[0])
        self.assertEqual("".join(result["pieces"]), "a" * 200_000)


if __name__ == "__main__":
    unittest.main()
