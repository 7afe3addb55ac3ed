"""hbar inspect: the contents of any GGUF file, as text and as JSON."""
import unittest

from harness import CHAT_MODEL, MODEL, MODELS, PROJECT, SHARED, USAGE, Case

GPT_2 = SHARED / "models" / "ggml-vocab-gpt-2.gguf"


class Inspect(Case):
    def test_for_people(self):
        out, err = self.run_hbar("inspect", CHAT_MODEL, "--ctx-size", 200)
        result = self.run_json("inspect", CHAT_MODEL, "--ctx-size", 200)
        self.assertEqual(err, "")
        self.assertIn("Runs          yes\n", out)
        self.assertIn("for a context of 200: the file, mapped, ", out)
        self.assertIn('  general.architecture = "llama" (string)\n', out)
        self.assertRegex(out, r'  tokenizer\.ggml\.tokens = \["<unk>", .*, \.\.\.\] \(\d+ of string\)\n')
        self.assertRegex(out, r"\n  blk\.0\.attn_k\.weight +F32 +32 x 32 +4\.00 KiB\n")
        self.assertIn(f"  F32 {result['types']['F32']['tensors']:10} tensors, {result['parameters']} weights, ", out)
        self.assertIn("Chat          the file's template, similar to chatml\n", out)
        self.assertIn('Chat sample   "<|im_start|>system Be brief.<|im_end|><|im_start|>user Hello<|im_end|>', out)
        self.assertIn("Chat          no template\n", self.run_hbar("inspect", MODEL)[0])
        self.assertIsNone(self.run_json("inspect", MODEL)["chat_sample"])
        shy = self.make_model("shy.gguf", "--chat-template", "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}"
                              "{% endif %}{{ messages | map(attribute='content') | join(' ') }}")
        self.assertEqual(self.run_json("inspect", shy)["chat_sample"], {"text": "Hello Hi. How are you?", "error": None})
        long = self.make_model("long.gguf", "--chat-template", "{{ messages[-1].content }} " + 200 * "word " + "end")
        self.assertIn(f'Chat sample   "How are you? {200 * "word "}end"\n', self.run_hbar("inspect", long)[0])  # not cut
        bad = self.make_model("bad.gguf", "--chat-template", "{{ 1 + }}")
        self.assertIn('Chat error    "chat template: line 1: unexpected \'}}\'"\n', self.run_hbar("inspect", bad)[0])
        self.assertEqual(result["memory"]["context"], 200)
        self.assertEqual(len(result["tensors"]), result["types"]["F32"]["tensors"])
        self.assertIn("<|im_end|>", result["metadata"]["tokenizer.chat_template"]["value"])

    def test_texts_are_cut_and_escaped(self):
        raw = MODEL.read_bytes().replace(b"random-llama", b"\x1b[2J\xc2\x9b\xff\x7f\"\\\n\0")
        bad = self.write("bad.gguf", raw)
        out, _ = self.run_hbar("inspect", bad)
        self.assertIn(r'name "\x1B[2J\xC2\x9B\xFF\x7F\"\\\x0A\x00"' + "\n", out)
        self.assertNotIn("\x1b", out)
        plain, _ = self.run_hbar("inspect", bad, "--json")
        self.assertTrue(all(" " <= c <= "~" or c == "\n" for c in plain))
        long = self.write("long.gguf", CHAT_MODEL.read_bytes().replace(b"{% for m in", b"{% for \n in"))
        self.assertIn('= "{% for \\x0A in messages', self.run_hbar("inspect", long)[0])

    def test_what_does_not_run(self):
        other = self.write("other.gguf", MODEL.read_bytes().replace(b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0gpt9x"))
        out, _ = self.run_hbar("inspect", other)
        self.assertIn("architecture 'gpt9x' is not supported", out)
        self.assertNotIn("Memory", out)
        self.fails("inspect", PROJECT / "README.md", says="README.md: not a GGUF file")
        self.fails("inspect", self.dir / "none.gguf", says="none.gguf: No such file")
        self.fails("inspect", self.write("cut.gguf", MODEL.read_bytes()[:5000]), says="cut.gguf: ")
        self.fails("inspect", code=USAGE, says="FILE is required")
        self.fails("inspect", MODEL, "--ctx-size", 0, code=USAGE, says="--ctx-size: '0'")

    @unittest.skipUnless(GPT_2.exists(), "needs ../shared")
    def test_a_vocabulary(self):
        result = self.run_json("inspect", GPT_2)
        self.assertEqual((result["runs"], result["tensors"], result["memory"]), (False, [], None))
        self.assertIn("holds no tensors", result["why_not"])
        self.assertEqual(result["metadata"]["tokenizer.ggml.merges"]["count"], 50000)

    def test_parts(self):
        first = MODELS / "parts-00001-of-00003.gguf"
        result = self.run_json("inspect", first)
        self.assertEqual((result["parts"], result["runs"], {t["part"] for t in result["tensors"]}), (3, True, {1, 2, 3}))
        self.assertIn(" in 3 parts\n", self.run_hbar("inspect", first)[0])
        generate = ["generate", "--cutoff", 1.1, "--max-tokens", 5, "the city", "--model"]
        self.assertEqual(self.run_hbar(*generate, first), self.run_hbar(*generate, MODEL))
        self.fails(*generate, MODELS / "parts-00003-of-00003.gguf", says="open the first, ")


if __name__ == "__main__":
    unittest.main()
