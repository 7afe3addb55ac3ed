"""Text from outside, hostile to terminals: in models, data, parameters, runs and options."""
import json

from harness import DONE, LABELLED, MODEL, USAGE, Case, by_engine

# A title, a cleared screen, C1's CSI, a line break, an override of direction, a line separator, a bad byte.
HOSTILE = b"\x1b]0;x\x07\x1b[2J\xc2\x9b31m\n\xe2\x80\xae\xe2\x80\xa8\xff"
TEXT = HOSTILE[:-1].decode() + "\u2066"
SCORE = ["--data", LABELLED, "--max-tokens", 2, "-n", 12]


class Outside(Case):
    def check(self, text, lines=None):
        bad = [c for c in text if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or
               0x2028 <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069]
        self.assertFalse(bad, text)
        if lines is not None:
            self.assertEqual(len(text.splitlines()), lines, text)

    def said(self, *arguments, code=1, lines=1, **options):
        """Runs to the end. The output must be clean, and the message must have `lines` lines."""
        out, err = self.run_hbar(*arguments, code=code, **options)
        self.check(out)
        self.check(err, lines)
        return out, err

    def model(self):
        """The small model, with a hostile name."""
        name = b"random-llama"
        bad = (HOSTILE[:3] + b"\n" + HOSTILE[3:])[:len(name)]
        self.assertEqual(len(bad), len(name))
        return self.write("m.gguf", MODEL.read_bytes().replace(name, bad))

    def params(self, **changes):
        document = {"schema": "hbar-params", "schema_version": 1, "threshold": {"tau": 0.7}, "lambda": 5,
                    "direction": ">=", "score": {"name": "hbar_s"},
                    "model": {"name": TEXT, "architecture": "llama", "file_size": 1}, **changes}
        return self.write("p.json", json.dumps(document, ensure_ascii=False))

    def test_names_of_models(self):
        _, err = self.said("generate", "--model", self.model(), "--params", self.params(), "--max-tokens", 2, "x", code=DONE,
                           lines=4)
        self.assertIn("was calibrated on another model", err)
        wrong = self.write("w.gguf", MODEL.read_bytes().replace(b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0\x1b[2J\n"))
        self.assertIn(by_engine("is not supported", "unknown model architecture"), self.said("generate", "--model", wrong, "x")[1])

    def test_names_of_files(self):
        path = self.dir / ("f\x1b[31m\n\u009b" + ".gguf")
        self.assertIn("No such file", self.said("generate", "--model", path, "x")[1])
        path.write_bytes(b"nothing")
        self.assertIn("not a GGUF file", self.said("generate", "--model", path, "x")[1])
        self.said("inspect", path)

    def test_parameters(self):
        for changes in ({"score": {"name": TEXT}}, {"direction": TEXT}, {"schema": TEXT}, {TEXT: 1, "lambda": TEXT}):
            self.said("generate", "--model", MODEL, "--params", self.params(**changes), "x")

    def test_data(self):
        good = [{"id": f"{i}{TEXT}", "prompt": "p", "label": i % 2} for i in range(12)]
        long = self.write_rows("long.jsonl", [{**row, "prompt": 60 * "word "} for row in good])
        _, err = self.said("score", "--model", MODEL, "--data", long, "--ctx-size", 40, "-o", self.dir, "--max-tokens", 2,
                           code=DONE, lines=4)
        self.assertIn("skipped 0", err)
        bad = self.write_rows("bad.jsonl", [{"id": 1, "prompt": "p", "label": TEXT}] + good)
        self.said("score", "--model", MODEL, "--data", bad, "-o", self.dir, "--max-tokens", 2, code=DONE, lines=None)
        self.said("score", "--model", MODEL, "--data", self.write_rows("odd.jsonl", [{TEXT: 1}]), "-o", self.dir)

    def test_columns(self):
        name = TEXT.replace("\n", "").replace('"', "")
        rows = "".join(f"{i % 7},{i},{i % 2}\n" for i in range(30))
        table = self.write("t.csv", f"{name},b,label\n" + rows)
        out, _ = self.said("sweep", "--data", table, "--score", name, "--draws", 0, code=DONE, lines=0)
        self.assertIn("\nScore ", out)
        self.said("sweep", "--data", table, "--score", f"{name},b", "--draws", 0, code=DONE, lines=0)
        self.assertIn("there are: ", self.said("sweep", "--data", table)[1])

    def test_validation(self):
        rows = [{TEXT: i % 7, "b": i, "label": i % 2} for i in range(30)]
        table = self.write_rows("t.jsonl", rows)
        made = self.run_json("sweep", "--data", table, "--score", f"{TEXT},b", "--draws", 0, "-o", self.dir)
        self.said("validate", "--params", made["parameters"], "--scores", table, "--draws", 0, code=DONE, lines=0)
        del rows[0][TEXT]
        other = self.write_rows("o.jsonl", [{k: v for k, v in row.items() if k != TEXT} for row in rows])
        self.said("validate", "--params", made["parameters"], "--scores", other, "--draws", 0, code=DONE, lines=1)

    def test_a_run(self):
        run = self.dir / "r.db"
        self.said("score", "--model", self.model(), *SCORE, "--run", run, "-q", code=DONE, lines=0)
        self.said("sweep", "--run", run, "--draws", 0, "-o", self.dir, code=DONE, lines=0)
        self.said("score", "--model", MODEL, *SCORE, "--run", run, "-q")

    def test_names_in_models(self):
        for old in (b"general.name", b"blk.0.attn_k.weight"):
            bad = self.write("bad.gguf", MODEL.read_bytes().replace(old, (2 * HOSTILE)[:len(old)]))
            self.assertIn("is not a name", self.said("inspect", bad)[1])
        self.said("inspect", self.model(), code=DONE, lines=0)

    def test_usage(self):
        for arguments in (["generate", "--tau", TEXT, "x"], ["generate", f"--{TEXT}", "x"], ["generate", "-\x1b[2J", "x"],
                          ["generate", "x", TEXT], ["generate", "--watch", TEXT, "x"], ["calibrate", "--name", f"/{TEXT}"],
                          ["calibrate", "--score", TEXT], ["calibrate", "--format", TEXT]):
            with self.subTest(arguments):
                self.said(*arguments, code=USAGE)
        self.said(TEXT, code=USAGE)

    def test_long_messages(self):
        """A message that is too long is cut at a character and ends in "...", for every place where the limit falls."""
        for length in (*range(7980, 8010), *range(8170, 8200)):
            _, err = self.run_hbar("x" * length + "\u00e9\u20ac" * 50, code=USAGE)
            self.assertRegex(err, "^hbar: 'x+(\u00e9\u20ac)*\u00e9?\\.\\.\\.\n$")

    def test_json_is_escaped_and_means_the_same(self):
        data = self.write_rows("d.jsonl", [{"id": f"{i}\x7f{TEXT}", "prompt": "p", "label": i % 2} for i in range(12)])
        run = self.dir / "r.db"
        self.run_hbar("score", "--model", MODEL, "--data", data, "--run", run, "--max-tokens", 2, "-q")
        out, _ = self.said("export", "--run", run, "--format", "jsonl", code=DONE, lines=0)
        self.assertEqual([json.loads(line)["id"] for line in out.splitlines()], [f"{i}\x7f{TEXT}" for i in range(12)])

    def test_a_table_is_exact_but_on_a_terminal(self):
        data = self.write_rows("d.jsonl", [{"id": f"{i}{TEXT}", "prompt": "p", "label": i % 2} for i in range(12)])
        run = self.dir / "r.db"
        self.run_hbar("score", "--model", MODEL, "--data", data, "--run", run, "--max-tokens", 2, "-q")
        self.assertIn(f'"0{TEXT}"', self.run_hbar("export", "--run", run)[0])
        code, shown = self.on_terminal("export", "--run", run)
        self.assertEqual(code, DONE)
        self.check(shown.replace("\r\n", "\n"))

    def test_tokens_on_a_terminal(self):
        tokens = self.run_json("tokenize", "--model", MODEL, TEXT)["tokens"]
        ids = " ".join(map(str, tokens))
        self.assertEqual(self.run_hbar("tokenize", "--model", MODEL, "--decode", ids)[0], f" {TEXT}")
        code, shown = self.on_terminal("tokenize", "--model", MODEL, "--decode", ids)
        self.assertEqual(code, DONE)
        self.check(shown.replace("\r\n", "\n"))
        self.said("tokenize", "--model", MODEL, TEXT, code=DONE, lines=0)
