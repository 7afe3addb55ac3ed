"""Data in practice: files of the wrong kind, pipes, mapped fields, examples, tables."""
import gzip
import json
import os
import subprocess
import unittest

from harness import DONE, FAILED, HBAR, MODEL, USAGE, Case, environment


class DataCase(Case):
    def score(self, *arguments, **options):
        """Scores a few tokens and returns (samples as JSON of the export, standard error)."""
        run = self.dir / f"{len(list(self.dir.iterdir()))}.db"
        _, err = self.run_hbar("score", "--model", MODEL, "--max-tokens", 2, "--run", run, *arguments, **options)
        out, _ = self.run_hbar("export", "--run", run, "--format", "jsonl")
        return [json.loads(line) for line in out.splitlines()], err

    def says(self, *arguments, says, code=FAILED, **options):
        self.fails("score", "--model", MODEL, "-o", self.dir, *arguments, says=says, code=code, **options)


class WrongFiles(DataCase):
    def test_special_files_are_refused_at_once(self):
        """A FIFO that nobody writes to is not waited for, and /dev/zero is not read."""
        fifo = self.dir / "fifo"
        os.mkfifo(fifo)
        for path, says in (fifo, "nothing was written to this pipe"), ("/dev/zero", "not a regular file"):
            self.fails("sweep", "--data", path, "--draws", 0, says=says)
            self.says("--data", path, says=says)

    def test_model_and_data_mistaken(self):
        pointer = self.write("p", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")
        rows = self.write("r.jsonl", '{"prompt":"p","label":1}\n')
        packed = self.write("z", gzip.compress(b"nothing"))
        for path, says in ((pointer, "not a GGUF file but a Git LFS pointer: the file itself was not downloaded"),
                           (rows, "not a GGUF file but JSON text: pass data with --data"),
                           (packed, "not a GGUF file but a gzip file: unpack it with gunzip")):
            self.fails("generate", "--model", path, "Hi", says=says)
        self.says("--data", pointer, says="is a Git LFS pointer")
        self.says("--data", MODEL, says="is a GGUF model: pass it with --model")


class Rows(DataCase):
    QUESTIONS = "".join(json.dumps({"q": {"text": f"Question {i}?"}, "a": f"one {i}; two {i}", "part": "ab"[i % 2]})
                        + "\n" for i in range(6))

    def setUp(self):
        super().setUp()
        self.data = self.write("q.jsonl", self.QUESTIONS)

    def test_fields(self):
        fields = "--field", "prompt=q.text", "--field", "answers=a", "--answers-separator", "; "
        samples, _ = self.score("--data", self.data, *fields, "--where", "part=b")
        self.assertEqual([json.loads(s["answers"]) for s in samples], [[f"one {i}", f"two {i}"] for i in (1, 3, 5)])
        template = self.write("template", "Q: {q.text}\nA:\n")
        typed, read = (self.score("--data", self.data, "--prompt-template", value, "--field", "answers=a")[0]
                       for value in ("Q: {q.text}\\nA:", template))
        tokens, _ = self.run_hbar("tokenize", "--model", MODEL, "Q: Question 3?\nA:")
        self.assertEqual({s["n_prompt"] for s in typed}, {len(tokens.splitlines())})
        self.assertEqual({s["n_prompt"] for s in read}, {len(tokens.splitlines())})
        for arguments, says in (
                (("--field", "prompt"), "--field: 'prompt' is not ROLE=PATH; roles are"),
                (("--field", "prompt=a", "--field", "prompt=b"), "--field: prompt is named twice"),
                (("--shots-data", self.data), "--shots-data goes with --shots N"),
                (("--correct", "a", "--positive", "b"), "--correct and --positive exclude each other"),
                (("--correct", "a", "--field", "label=b"), "--correct and --field label exclude each other")):
            self.says("--data", self.data, *arguments, says=says, code=USAGE)
        self.says("--data", self.data, says="its fields (q, a, part) fit no known format; map them: --field")
        self.says("--data", self.data, "--prompt-template", "none", says="has no placeholder like {question}")
        self.says("--data", self.data, "--prompt-template", "{q", "--field", "answers=a", says="'{q' is not a placeholder")

    def test_several_files_and_standard_input(self):
        """Several files are read one after the other, compressed or not. A pipe can be read several times."""
        rows = [f'{{"prompt":"p{i}","label":{i % 2}}}\n' for i in range(4)]
        a = self.write("a.jsonl", rows[0] + rows[1])
        b = self.write("b.jsonl.gz", gzip.compress((rows[2] + rows[3]).encode()))
        samples, _ = self.score("--data", a, "--data", b)
        self.assertEqual([s["id"] for s in samples], ["sample_0", "sample_1", "sample_2", "sample_3"])
        piped, _ = self.score("--data", "-", stdin="".join(rows).encode())
        self.assertEqual([(s["label"], s["n_prompt"]) for s in piped], [(s["label"], s["n_prompt"]) for s in samples])
        command = f"{HBAR} score -q -m {MODEL} --max-tokens 2 --run {self.dir}/p.db --data <(cat {a})"
        done = subprocess.run(["bash", "-c", command], capture_output=True, env=environment())
        self.assertEqual((done.returncode, done.stdout), (DONE, b"2 samples, 50.0 % of them hallucinated\n"))

    def test_examples(self):
        rows = "".join(json.dumps({"question": f"Q{i}?", "answer": f"a{i}"}) + "\n" for i in range(8))
        data = self.write("qa.jsonl", rows)
        bare, _ = self.score("--data", data)
        shown, _ = self.score("--data", data, "--shots", 3)
        prompt = "".join(f"Question: Q{i}?\nAnswer: a{i}\n\n" for i in range(3)) + "Question: Q4?\nAnswer:"
        tokens, _ = self.run_hbar("tokenize", "--model", MODEL, prompt)
        self.assertEqual({s["n_prompt"] for s in shown}, {len(tokens.splitlines())})
        self.assertEqual([s["answers"] for s in bare], [s["answers"] for s in shown])
        self.says("--data", data, "--shots", 8, says="too few for 8 examples")
        run = self.dir / "same.db"
        self.run_hbar("score", "--model", MODEL, "--max-tokens", 2, "--data", data, "--run", run)
        self.says("--data", data, "--shots", 2, "--max-tokens", 2, "--run", run, says='data_format is "qa", not "qa shots=2')

    def test_pairs_stay_whole(self):
        data = self.write("pairs.jsonl", "".join(json.dumps({
            "knowledge": "K", "question": f"{i}?", "right_answer": "A", "hallucinated_answer": "B"}) + "\n"
            for i in range(9)))
        samples, _ = self.score("--data", data, "-n", 3)
        self.assertEqual([s["label"] for s in samples], [0, 1, 0, 1])
        larger, _ = self.score("--data", data, "-n", 12)
        self.assertLess({s["id"] for s in samples}, {s["id"] for s in larger})

    def test_polarity(self):
        data = self.write("c.csv", "prompt,is_correct\n" + "".join(f"p{i},{i % 3 == 0}\n" for i in range(9)))
        right, err = self.score("--data", data, "--correct", "is_correct")
        self.assertNotIn("warning", err)
        turned, err = self.score("--data", data, "--field", "label=is_correct")
        self.assertIn("warning: ", err)
        self.assertIn("1 in 'is_correct' is read as hallucinated", err)
        self.assertEqual([s["label"] for s in right], [1 - s["label"] for s in turned])


class Tables(DataCase):
    ROWS = [(i / 100, i % 3 == 0 or i > 50) for i in range(60)]

    def table(self, name, separator=",", end="\n", header=("score", "label"), words=("0", "1")):
        rows = [separator.join(header), *(f"{score}{separator}{words[label]}" for score, label in self.ROWS)]
        return self.write(name, end.join(rows))

    def sweep(self, path, *arguments, **options):
        result = self.run_json("sweep", "--data", path, "--draws", 0, *arguments, **options)
        return {**result["score"], "name": None}

    def test_spreadsheets(self):
        expected = self.sweep(self.table("plain.csv"))
        tables = (self.table("cr.csv", end="\r"), self.table("semicolon.csv", ";", "\r\n"), self.table("t.tsv", "\t"),
                  self.table("caps.csv", header=("Score", "LABEL")), self.table("w.csv", words=("faithful", "hallucinated")),
                  self.table("p.csv", words=("PASS", "FAIL")))
        for path in tables:
            self.assertEqual(self.sweep(path), expected, path)
        self.assertEqual(self.sweep("-", stdin=tables[0].read_bytes()), expected)
        turned = self.table("turned.csv", header=("score", "correct"), words=("1", "0"))
        self.assertEqual(self.sweep(turned, "--correct", "correct"), expected)
        odd = self.table("odd.csv", words=("fine", "made up"))
        self.assertEqual(self.sweep(odd, "--positive", "made up"), expected)
        out, err = self.run_hbar("sweep", "--data", turned, "--label", "correct", "--draws", 0)
        self.assertIn("warning: ", err)
        self.fails("sweep", "--data", turned, "--label", "a", "--correct", "b", code=USAGE, says="exclude each other")
        self.fails("sweep", "--run", "x", "--correct", "b", code=USAGE, says="go with --data")


if __name__ == "__main__":
    unittest.main()
