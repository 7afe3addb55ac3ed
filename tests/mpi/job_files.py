"""Writes the job files in docs/scale-out.md into a folder, made smaller for a test: job_files.py PAGE FOLDER"""
import re
import sys
from pathlib import Path

page, folder = map(Path, sys.argv[1:])
SMALLER = [(r"--array=1-16", "--array=1-4"), (r"shards=16", "shards=4"), (r"--cpus-per-task=\d+", "--cpus-per-task=1"),
           (r"--nodes=\d+", "--nodes=2"), (r"--ntasks-per-node=\d+", "--ntasks-per-node=2"), (r"--mem=\d+G", "--mem=0"),
           (r"all\.db", "mpi.db")]
for text, name in re.findall(r"```sh\n(#!/bin/sh\n# (\S+\.sbatch)\n.*?)```", page.read_text(), re.S):
    for pattern, smaller in SMALLER:
        text = re.sub(pattern, smaller, text)
    (folder / name).write_text(text)
