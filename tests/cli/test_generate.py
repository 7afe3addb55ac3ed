"""hbar generate: its output, halting, and the effect of parameters."""
import json
import math
import re
import signal
import time

from harness import DONE, HBAR, INTERRUPTED, MODEL, MODELS, USAGE, Case, by_engine, environment, subprocess

PROMPT = "What is the capital city of the country?"
OFF = ["--cutoff", "1.1"]
COLOUR = re.compile("\033\\[3[123]m")


class Generate(Case):
    def generate(self, *arguments, prompt=PROMPT, **options):
        return self.run_json("generate", "--model", MODEL, *arguments, prompt, **options)

    def test_text(self):
        arguments = ["generate", "--model", MODEL, "--max-tokens", 12, *OFF, PROMPT]
        out, err = self.run_hbar(*arguments)
        result = self.generate("--max-tokens", 12, *OFF)
        self.assertEqual(out, result["text"] + "\n")
        self.assertRegex(err, "^hbar: max tokens: 12 tokens, hbar_s ")
        self.assertEqual(self.run_hbar(*arguments, "--quiet"), (out, ""))
        self.assertEqual(result["n_tokens"], len(result["tokens"]))
        self.assertEqual((result["reason"], result["halted"], result["halt"]), ("max tokens", False, None))

    def test_trajectory_follows_the_formulas(self):
        result = self.generate("--max-tokens", 15, *OFF, "--tau", 0.7, "--lambda", 3)
        steps = result["trajectory"]
        self.assertEqual([s["step"] for s in steps], list(range(15)))
        self.assertEqual([s["token"] for s in steps], result["tokens"])
        for s in steps:
            self.assertAlmostEqual(s["delta_mu"], 1 / math.sqrt(s["impurity"] + 0.01))
            self.assertAlmostEqual(s["hbar_s"], math.sqrt(s["delta_mu"] * s["delta_sigma"]))
            self.assertAlmostEqual(s["p_fail"], 1 / (1 + math.exp(-3 * (s["hbar_s"] - 0.7))))
            self.assertAlmostEqual(s["pri"], s["surprise"] * (1 + 0.1 * s["delta_h"]))
            self.assertAlmostEqual(s["surprise"], -math.log(s["max_prob"]))  # because the choice is greedy
        self.assertEqual(steps[0]["delta_h"], 0)
        self.assertAlmostEqual(result["scores"]["perplexity"],
                               math.exp(sum(s["surprise"] for s in steps) / len(steps)))
        for name in ("hbar_s", "pri", "delta_mu", "delta_sigma", "delta_h", "surprise"):
            values = sorted(s[name] for s in steps)
            self.assertAlmostEqual(result["scores"][name + ":top5"], sum(values[-5:]) / 5)
            self.assertAlmostEqual(result["scores"][name + ":bottom5"], sum(values[:5]) / 5)
            self.assertNotIn(name, result["scores"])

    def test_halts_before_the_risky_token(self):
        for direction, turn in (("high", 1), ("low", -1)):
            with self.subTest(direction):
                free = self.generate("--max-tokens", 20, *OFF, "--direction", direction, "--tau", 0.7)
                risky = max(free["trajectory"][1:], key=lambda s: turn * s["hbar_s"])
                expected = next(s for s in free["trajectory"] if s["p_fail"] >= risky["p_fail"])["step"]
                arguments = ["--direction", direction, "--tau", 0.7, "--cutoff", repr(risky["p_fail"])]
                halted = self.generate("--max-tokens", 20, *arguments)
                self.assertTrue(halted["halted"])
                self.assertEqual(halted["reason"], "halted")
                self.assertEqual(halted["halt"]["step"], expected)
                self.assertEqual(halted["halt"]["cutoff"], risky["p_fail"])
                self.assertGreaterEqual(halted["halt"]["p_fail"], risky["p_fail"])
                self.assertEqual(halted["tokens"], free["tokens"][:expected])
                out, err = self.run_hbar("generate", "--model", MODEL, "--max-tokens", 20, *arguments, PROMPT)
                self.assertEqual(out, halted["text"] + "\n")
                self.assertIn(f"halted at step {expected}: P_fail", err)

    def test_stop_text(self):
        free = self.generate("--max-tokens", 30, *OFF)
        text = free["text"]
        stop = text[len(text) // 2:][:4]
        arguments = ["--max-tokens", 30, *OFF, "--stop", stop]
        result = self.generate(*arguments)
        self.assertEqual((result["reason"], result["text"]), ("stop text", text[: text.index(stop)]))
        self.assertEqual(result["tokens"], free["tokens"][: len(result["tokens"])])
        out, err = self.run_hbar("generate", "--model", MODEL, *arguments, PROMPT)
        self.assertEqual(out, result["text"] + "\n")
        self.assertIn("stop text: ", err)
        self.assertEqual(self.generate("--max-tokens", 30, *OFF, "--stop", "nowhere in it")["text"], text)
        self.fails("generate", "--stop", "", "x", code=USAGE, says="--stop: the text is empty")

    def test_several_stop_texts(self):
        """All stop texts apply in any order: the text ends before the first one that occurs."""
        text = self.generate("--max-tokens", 30, *OFF)["text"]
        early, late = text[len(text) // 3:][:4], text[2 * len(text) // 3:][:4]
        self.assertLess(text.index(early), text.index(late))
        for stops in ([early, late], [late, early], ["nowhere in it", late, early], [early, early]):
            given = [part for stop in stops for part in ("--stop", stop)]
            result = self.generate("--max-tokens", 30, *OFF, *given)
            self.assertEqual((result["reason"], result["text"]), ("stop text", text[: text.index(early)]))
        self.fails("generate", "--stop", "x", "--stop", "", "x", code=USAGE, says="--stop: the text is empty")

    def test_one_line(self):
        wild = ["--max-tokens", 400, "--temperature", 3, *OFF]
        for seed in range(1, 20):
            text = self.generate(*wild, "--seed", seed)["text"].lstrip()
            result = self.generate(*wild, "--seed", seed, "--one-line")
            if "\n" in text:
                self.assertEqual(result["reason"], "end of line")
                self.assertEqual(result["text"].strip().split("\n")[0], text.split("\n")[0].rstrip())
                return
        self.fail("no line ended")

    def test_check_every(self):
        result = self.generate("--max-tokens", 10, "--check-every", 4, *OFF)
        self.assertEqual([s["step"] for s in result["trajectory"]], [0, 4, 8])
        self.assertEqual(result["n_tokens"], 10)

    def test_context(self):
        n = self.generate("--max-tokens", 1, *OFF)["n_prompt"]
        result = self.generate("--ctx-size", n + 3, *OFF)
        self.assertEqual((result["reason"], result["n_tokens"]), ("context full", 4))
        self.fails("generate", "--model", MODEL, "--ctx-size", n - 1, PROMPT, "-q", says="do not fit the context")

    def test_prompt_from_standard_input(self):
        piped = self.generate("--max-tokens", 5, *OFF, prompt="-", stdin=PROMPT.encode())
        self.assertEqual(piped["tokens"], self.generate("--max-tokens", 5, *OFF)["tokens"])
        empty = self.generate("--max-tokens", 2, *OFF, prompt="-", stdin=b"")
        self.assertEqual(empty["n_prompt"], 1)  # only the begin-of-text token
        self.generate("--max-tokens", 2, *OFF, prompt="-", stdin=b"\xff\x00\xe2")

    def test_the_line_end_of_standard_input_is_not_prompt(self):
        """One final line end, LF or CRLF, is removed; others belong to the prompt."""
        def tokens(stdin):
            return self.run_json("tokenize", "--model", MODEL, "-", stdin=stdin)["tokens"]

        def given(text):
            return self.run_json("tokenize", "--model", MODEL, text)["tokens"]

        for piped, text in [(b"a b\n", "a b"), (b"a b\r\n", "a b"), (b"a b\n\n", "a b\n"), (b"a b\r\n\r\n", "a b\r\n"),
                            (b"a b\r", "a b\r"), (b"\na b", "\na b"), (b"\n", ""), (b"\r\n", ""), (b"", "")]:
            with self.subTest(piped):
                self.assertEqual(tokens(piped), given(text))
        self.assertEqual(given("a b\n"), tokens(b"a b\n\n"))  # a prompt given as an operand is not changed
        piped = self.generate("--max-tokens", 5, *OFF, prompt="-", stdin=PROMPT.encode() + b"\n")
        self.assertEqual(piped["tokens"], self.generate("--max-tokens", 5, *OFF)["tokens"])

    def test_sampling(self):
        def sample(seed, *more):
            return self.generate("--max-tokens", 12, "--temperature", 1.5, "--seed", seed, *OFF, *more)["tokens"]
        self.assertEqual(sample(1), sample(1))
        self.assertNotEqual(sample(1), sample(2))
        greedy = self.generate("--max-tokens", 12, *OFF)["tokens"]
        self.assertEqual(sample(3, "--top-k", 1), greedy)
        self.assertEqual(sample(3, "--top-p", 1e-6), greedy)

    def test_threads_and_kernels_agree(self):
        one = self.generate("--max-tokens", 12, "--threads", 1, *OFF)
        self.assertEqual(one["trajectory"], self.generate("--max-tokens", 12, "--threads", 3, *OFF)["trajectory"])

    def test_trajectory_file(self):
        path = self.dir / "steps.jsonl"
        path.write_text("what was there before, and longer than what is to come\n" * 200)
        result = self.generate("--max-tokens", 6, *OFF, "--trajectory", path)
        self.assertEqual([json.loads(line) for line in path.read_text().splitlines()], result["trajectory"])
        self.fails("generate", "--model", MODEL, "--trajectory", self.dir, PROMPT, says=str(self.dir))
        self.fails("generate", "--model", MODEL, "--trajectory", self.dir / "no/x", PROMPT, says="No such file")

    def test_interrupt(self):
        process = subprocess.Popen([HBAR, "generate", "--model", str(MODEL), *OFF, "--max-tokens", "100000",
                                    "--ctx-size", "60000", "--trajectory", str(self.dir / "t"), PROMPT],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        first = process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, INTERRUPTED, err.decode())
        self.assertIn("cancelled", err.decode())
        (first + out).decode()  # even then no character is split
        self.assertGreater(len((self.dir / "t").read_text().splitlines()), 1)


class Terminal(Case):
    def show(self, *more, **changes):
        return self.on_terminal("generate", "--model", MODEL, "--max-tokens", 12, *OFF, *more, PROMPT, **changes)

    def test_colours(self):
        plain, _ = self.run_hbar("generate", "--model", MODEL, "--max-tokens", 12, *OFF, "-q", PROMPT)
        self.assertNotIn("\033", plain)
        code, shown = self.show("-q")
        self.assertEqual(code, DONE)
        self.assertRegex(shown, COLOUR)
        for changes in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            code, shown = self.show("-q", **changes)
            self.assertEqual(code, DONE)
            self.assertNotIn("\033", shown)

    def test_colours_follow_p_fail(self):
        green, yellow, red = "\033[32m", "\033[33m", "\033[31m"
        _, calm = self.show("-q", "--tau", 50)
        _, wild = self.show("-q", "--tau", -50)
        self.assertTrue(green in calm and red not in calm and yellow not in calm)
        self.assertTrue(red in wild and green not in wild and yellow not in wild)
        _, between = self.show("-q", "--tau", 0.7, "--lambda", 0.01)
        self.assertTrue(yellow in between and green not in between and red not in between)

    def test_no_control_characters_reach_a_terminal(self):
        _, shown = self.on_terminal("generate", "--model", MODEL, "--max-tokens", 400, "--temperature", 3, *OFF,
                                    "-q", PROMPT)
        rest = re.sub("\033\\[[0-9]+m", "", shown)
        self.assertGreater(len(rest), 400)
        self.assertFalse([c for c in rest if (ord(c) < 32 and c not in "\r\n\t") or 0x7F <= ord(c) < 0xA0])


class Parameters(Case):
    def params(self, **changes):
        document = {"schema": "hbar-params", "schema_version": 1, "threshold": {"tau": 0.71}, "lambda": 4,
                    "direction": "<=", "score": {"name": "hbar_s"}, "settings": {"alpha": 0.3},
                    "model": {"name": "random-llama", "architecture": "llama",
                              "file_size": MODEL.stat().st_size}}
        document.update(changes)
        return self.write("p.json", json.dumps(document))

    def run_with(self, path, *more):
        out, err = self.run_hbar("generate", "--model", MODEL, "--params", path, "--json", "--max-tokens", 4,
                                 *OFF, *more, PROMPT)
        return json.loads(out)["monitor"], err

    def test_used(self):
        monitor, err = self.run_with(self.params())
        self.assertEqual({k: monitor[k] for k in ("tau", "lambda", "direction", "alpha")},
                         {"tau": 0.71, "lambda": 4, "direction": "<=", "alpha": 0.3})
        self.assertNotIn("warning", err)

    def test_options_win(self):
        monitor, _ = self.run_with(self.params(), "--tau", 2.5, "--direction", "high", "--lambda", 9)
        self.assertEqual((monitor["tau"], monitor["direction"], monitor["lambda"]), (2.5, ">=", 9))

    def test_the_signal_calibrated_is_watched(self):
        path = self.params(score={"name": "entropy:mean"}, threshold={"tau": 3.5}, direction=">=")
        self.assertEqual(self.run_with(path)[0]["watched"], "entropy")
        self.assertEqual(self.run_with(path, "--watch", "margin")[0]["watched"], "margin")
        out, err = self.run_hbar("generate", "--model", MODEL, "--params", path, "--json", "--max-tokens", 9, PROMPT)
        result = json.loads(out)
        for s in result["trajectory"]:
            self.assertAlmostEqual(s["p_fail"], 1 / (1 + math.exp(-4 * (s["entropy"] - 3.5))))
        self.assertRegex(err, "entropy [0-9.]+")

    def test_the_whole_answer_by_the_tail_of_its_direction(self):
        """Until version 3 a signal's name alone meant the mean of the five largest values."""
        for version, direction, tail in ((4, "<=", "bottom5"), (4, ">=", "top5"), (3, "<=", "top5")):
            path = self.params(schema_version=version, direction=direction)
            result = self.run_json("generate", "--model", MODEL, "--params", path, "--max-tokens", 12, *OFF, PROMPT)
            self.assertEqual(result["answer"]["value"], result["scores"]["hbar_s:" + tail])
            self.assertEqual(result["answer"]["score"], "hbar_s" if version == 4 else "hbar_s:top5")
        _, err = self.run_hbar("generate", "--model", MODEL, "--params", path, "--max-tokens", 12, *OFF, PROMPT)
        self.assertIn(f"12 tokens, hbar_s {result['scores']['hbar_s:bottom5']:.4f}", err)
        self.assertIn(f"risky: hbar_s:top5 {result['scores']['hbar_s:top5']:.4f}", err)

    def test_another_model_warns(self):
        for model in ({"name": "other"}, {"name": "random-llama", "architecture": "llama", "file_size": 7}):
            _, err = self.run_with(self.params(model=model))
            self.assertIn("was calibrated on another model", err)

    def test_refused(self):
        arguments = ["generate", "--model", MODEL, PROMPT, "--params"]
        for changes, says in [({"schema": "x"}, "not a parameters file"),
                              ({"schema_version": 7}, "schema_version 7 is not supported"),
                              ({"threshold": {}}, "'threshold.tau' is missing"),
                              ({"lambda": "5"}, "'lambda' is missing or not a number"),
                              ({"direction": "up"}, "'direction'"), ({"score": {}}, "'score.name'"),
                              ({"score": {"name": "mood"}}, "calibrated on the score 'mood', which hbar does not measure")]:
            with self.subTest(changes):
                self.fails(*arguments, self.params(**changes), says=says)
        self.fails(*arguments, self.write("p.json", "{\n\"schema\": oops"), says="p.json:2:")


class Models(Case):
    """Files that are not usable models."""

    def refused(self, data, says):
        path = self.write("bad.gguf", data)
        self.fails("generate", "--model", path, "x", says=says)

    def test_every_supported_type_runs(self):
        for path in sorted(MODELS.glob("tiny-*.gguf")):
            result = self.run_json("generate", "--model", path, "--max-tokens", 3, *OFF, PROMPT)
            self.assertEqual(result["n_tokens"], 3, path)

    def test_not_models(self):
        self.refused(b"", "the file is empty")
        self.refused(b"not a model at all", "not a GGUF file")
        self.fails("generate", "--model", self.dir, "x", says="not a regular file")

    def test_truncated(self):
        data = MODEL.read_bytes()
        for k in range(40):
            self.refused(data[: len(data) * k // 40 + 4], "bad.gguf: ")

    def test_patched(self):
        data = MODEL.read_bytes()
        for old, new, says in [
            (b"GGUF\x03", b"GGUF\x01", "GGUF version 1 is not supported"),
            (b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0wrong",
             by_engine("architecture 'wrong' is not supported", "unknown model architecture: 'wrong'")),
            (b"tokenizer.ggml.model\x08\0\0\0\x05\0\0\0\0\0\0\0llama",
             b"tokenizer.ggml.model\x08\0\0\0\x05\0\0\0\0\0\0\0other",
             by_engine("tokenizer 'other' is not supported", "unknown tokenizer: 'other'")),
            (b"output_norm.weight", b"output_morn.weight",
             by_engine("tensor 'output_norm.weight' is missing", "tensor 'output_norm.weight' not found")),
        ]:
            with self.subTest(says):
                self.assertIn(old, data)
                self.refused(data.replace(old, new, 1), says)
