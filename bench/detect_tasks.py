"""The tasks of detect.py: rows of questions, and how hbar answers and grades them."""
import collections
import json
import random
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "tools" / "demo"))
import world  # noqa: E402

SEED = 1

# n: questions; rows: function of the number of questions and of the folder of published data, which yields rows with a
# `subject`; file: the published file, None for a task that needs none; shots: rows that become examples in each prompt;
# group: the field whose rows belong together; options of pass 1 and of grading.
Task = collections.namedtuple("Task", "name n rows file shots group answering grading")


def facts(n, _data=None):
    """n questions, each about another fact, in random phrasings and order."""
    relations = {r.name: r for r in world.RELATIONS}
    rng = random.Random(SEED)
    known = sorted([*world.facts_of_countries(), *world.facts_of_tables()], key=lambda f: (f.relation, f.subject))
    rng.shuffle(known)
    for fact in known[:n]:
        relation = relations[fact.relation]
        yield {"id": f"{fact.relation}/{fact.subject}", "prompt": world.ask(rng.choice(relation.questions), fact.subject),
               "answers": fact.answers, "relation": fact.relation, "subject": f"{relation.kind}/{fact.subject}"}


def published(name, subject):
    """A function for n rows of a published file in JSON Lines, in random order; `subject` names their field."""
    def rows(n, data):
        read = [json.loads(line) for line in (data / name).read_text(encoding="utf-8").splitlines()]
        random.Random(SEED).shuffle(read)
        return ({**row, "subject": row[subject]} for row in read[:n])
    return rows


def task(name, n, file, subject, answering, grading, shots=0):
    return Task(name, n, published(file, subject), file, shots, None, answering, grading)


TASKS = [
    Task("facts", 2000, facts, None, 0, "subject", ["--max-tokens", "20"], ["--grade", "contains"]),
    task("nq_open", 3610, "nq_open_dev.jsonl", "question", ["--format", "nq_open", "--max-tokens", "20"],
         ["--grade", "contains"], shots=5),
    task("gsm8k", 300, "gsm8k_test_300.jsonl", "question", ["--format", "gsm8k", "--max-tokens", "256"],
         ["--grade", "number"]),
    task("halueval_judged", 500, "halueval_qa_500.jsonl", "knowledge", ["--format", "halueval_qa", "--as", "judgement"], []),
    task("halueval_given", 500, "halueval_qa_500.jsonl", "knowledge", ["--format", "halueval_qa", "--as", "response"], []),
]


def halves(rows):
    """The rows in two halves without a common subject."""
    subjects = sorted({row["subject"] for row in rows})
    random.Random(SEED).shuffle(subjects)
    first = set(subjects[::2])
    return [r for r in rows if r["subject"] in first], [r for r in rows if r["subject"] not in first]
