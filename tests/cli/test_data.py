"""Data as people have it: files of the wrong kind, pipes, tables."""
import os
import unittest

from harness import MODEL, Case


class WrongFiles(Case):
    def test_special_files_are_refused_at_once(self):
        """A FIFO that nobody writes would be waited for, /dev/zero has no end."""
        fifo = self.dir / "fifo"
        os.mkfifo(fifo)
        for path in fifo, "/dev/zero":
            self.fails("sweep", "--data", path, "--draws", 0, says="is not a regular file")
            self.fails("score", "--model", MODEL, "--data", path, "-o", self.dir,
                       says="is not a regular file")

    def test_model_and_data_mistaken(self):
        pointer = self.write("p", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")
        rows = self.write("r.jsonl", '{"prompt":"p","label":1}\n')
        packed = self.write("z", b"\x1f\x8b\x08\x00\x00\x00\x00\x00")
        for path, says in ((pointer, "not a GGUF file but a Git LFS pointer: the file itself was not downloaded"),
                           (rows, "not a GGUF file but JSON text: data belong to --data"),
                           (packed, "not a GGUF file but a gzip file: unpack it with gunzip")):
            self.fails("generate", "--model", path, "Hi", says=says)
        self.fails("score", "--model", MODEL, "--data", pointer, "-o", self.dir, says="is a Git LFS pointer")
        self.fails("score", "--model", MODEL, "--data", MODEL, "-o", self.dir,
                   says="is a GGUF model: it belongs to --model")


class Tables(Case):
    def test_table_of_lone_crs(self):
        rows = ["score,label", *(f"{i / 100},{i % 3 == 0:d}" for i in range(60))]
        self.run_hbar("sweep", "--data", self.write("t.csv", "\r".join(rows)), "--draws", 0)


if __name__ == "__main__":
    unittest.main()
