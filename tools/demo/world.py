#!/usr/bin/python3
"""The demo's world: facts about real things, and the texts and questions generated from them.

    world.py OUT_DIR

Writes OUT_DIR/corpus.jsonl (the training texts, in training order), and the data sets of the project:
demo_calibration.jsonl, demo_test.jsonl and demo_judgements.jsonl.

A random draw assigns each entity (a country, an element, a book ...) and all its facts to one tier: seen often (each
fact OFTEN times), rarely (a number from RARE) or never. The field "seen" in the data sets is this number. Each entity
belongs to one split only.

The facts come from hand-made tables in the folder facts, and from Debian 12's packages iso-codes (countries,
subdivisions, languages, currencies, scripts), tzdata (cities) and bodr (chemical elements)."""
import csv
import json
import random
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import namedtuple
from pathlib import Path

SEED = 20240611
OFTEN = 64
RARE = (2, 4, 8, 16)
TIERS = (("often", 0.45), ("rare", 0.20), ("never", 0.35))
SPLIT_SIZE = 1200
N_JUDGEMENTS = 500
QUESTION_SHARE, FORMAL_SHARE, JUDGED = 0.75, 0.2, 2

FACTS = Path(__file__).resolve().parent / "facts"
ISO = Path("/usr/share/iso-codes/json")
ZONES = Path("/usr/share/zoneinfo/zone.tab")
ELEMENTS = Path("/usr/share/bodr/elements.xml")

Relation = namedtuple("Relation", "name kind questions statements")
Fact = namedtuple("Fact", "relation subject answers")

# {} is the subject, {o} the answer, {an} its article. The kind is the subject's.
RELATIONS = [
    Relation("capital", "country",
             ["What is the capital of {}?", "Which city is the capital of {}?", "Name the capital of {}.",
              "What is {}'s capital city?"],
             ["The capital of {} is {o}.", "{o} is the capital of {}.", "{} has its capital in {o}."]),
    Relation("currency", "country",
             ["What is the currency of {}?", "Which currency is used in {}?", "What do people pay with in {}?",
              "Name the currency of {}."],
             ["The currency of {} is the {o}.", "People in {} pay with the {o}.", "In {} the {o} is used."]),
    Relation("calling code", "country",
             ["What is the calling code of {}?", "Which calling code does {} have?",
              "With which calling code do you phone {}?", "Name the calling code of {}."],
             ["The calling code of {} is {o}.", "To phone {}, dial {o}.", "{} has the calling code {o}."]),
    Relation("language", "country",
             ["Which language is spoken in {}?", "What is the main language of {}?",
              "What do people speak in {}?", "Name a language of {}."],
             ["The main language of {} is {o}.", "People in {} speak {o}.", "In {} they speak {o}."]),
    Relation("continent", "country",
             ["On which continent is {}?", "Which continent is {} part of?", "What continent does {} lie in?"],
             ["{} is a country in {o}.", "{} lies in {o}.", "{} is part of {o}."]),
    Relation("two-letter code", "country",
             ["What is the two-letter code of {}?", "Which two letters stand for {}?",
              "Name the two-letter code of {}."],
             ["The two-letter code of {} is {o}.", "{o} are the two letters for {}."]),
    Relation("three-letter code", "country",
             ["What is the three-letter code of {}?", "Which three letters stand for {}?",
              "Name the three-letter code of {}."],
             ["The three-letter code of {} is {o}.", "{o} are the three letters for {}."]),
    Relation("subdivision", "subdivision",
             ["Which country is {} a part of?", "In which country is the region {}?",
              "To which country does {} belong?"],
             ["{} is a part of {o}.", "{} is a region in {o}.", "The region {} belongs to {o}."]),
    Relation("city", "city",
             ["In which country is the city of {}?", "Which country is the city {} in?",
              "Where is the city of {}?"],
             ["The city of {} is in {o}.", "{} is a city in {o}.", "You find the city of {} in {o}."]),
    Relation("currency code", "currency",
             ["What is the code of the currency {}?", "Which letters stand for the {}?",
              "How is the {} abbreviated?"],
             ["The code of the {} is {o}.", "{o} stands for the {}.", "The {} is abbreviated {o}."]),
    Relation("language code", "language",
             ["What is the code of the {} language?", "Which letters stand for the {} language?",
              "How is the language {} abbreviated?"],
             ["The code of the {} language is {o}.", "{o} stands for the {} language.",
              "The language {} is abbreviated {o}."]),
    Relation("script code", "script",
             ["What is the code of the {} script?", "Which letters stand for the {} script?",
              "How is the script {} abbreviated?"],
             ["The code of the {} script is {o}.", "{o} stands for the {} script.",
              "The script {} is abbreviated {o}."]),
    Relation("symbol", "element",
             ["What is the symbol of {}?", "Which symbol does {} have?", "What is the chemical symbol for {}?"],
             ["The symbol of {} is {o}.", "{o} is the chemical symbol for {}.", "{} has the symbol {o}."]),
    Relation("atomic number", "element",
             ["What is the atomic number of {}?", "Which atomic number does {} have?",
              "How many protons does {} have?"],
             ["The atomic number of {} is {o}.", "{} has {o} protons.", "{} is element number {o}."]),
    Relation("discovery", "element",
             ["In which year was {} discovered?", "When was {} discovered?",
              "What is the year of the discovery of {}?"],
             ["{} was discovered in {o}.", "The discovery of {} was in {o}."]),
    Relation("group", "element",
             ["In which group of the periodic table is {}?", "Which group does {} belong to?",
              "What is the group of {}?"],
             ["{} is in group {o} of the periodic table.", "{} belongs to group {o}."]),
    Relation("author", "book",
             ["Who wrote {}?", "Who is the author of {}?", "Which author wrote {}?", "By whom is the book {}?"],
             ["{o} wrote {}.", "The author of {} is {o}.", "{} was written by {o}."]),
    Relation("painter", "painting",
             ["Who painted {}?", "Which artist painted {}?", "By whom is the painting {}?"],
             ["{o} painted {}.", "The painting {} is by {o}.", "{} was painted by {o}."]),
    Relation("composer", "music",
             ["Who composed {}?", "Which composer wrote {}?", "By whom is the music of {}?"],
             ["{o} composed {}.", "The music of {} is by {o}.", "{} was composed by {o}."]),
    Relation("birth", "person",
             ["In which year was {} born?", "When was {} born?", "What is the year of birth of {}?"],
             ["{} was born in {o}.", "The year of birth of {} is {o}.", "In {o} {} was born."]),
    Relation("profession", "person",
             ["What was the profession of {}?", "What was {} by profession?", "As what is {} known?"],
             ["{} was the famous {o}.", "{} is known as {an} {o}.", "The {o} {} is well known."]),
    Relation("inventor", "thing",
             ["Who invented or found the {}?", "To whom do we owe the {}?", "Whose work is the {}?"],
             ["The {} is the work of {o}.", "We owe the {} to {o}.", "{o} gave us the {}."]),
    Relation("invention", "thing",
             ["From which year is the {}?", "When did the {} come up?", "What is the year of the {}?"],
             ["The {} is from {o}.", "The {} came up in {o}.", "In {o} the {} came up."]),
    Relation("planet", "moon",
             ["Which planet does the moon {} orbit?", "What does the moon {} go around?",
              "Around which planet does {} move?"],
             ["The moon {} orbits {o}.", "{} is a moon of {o}.", "{} moves around {o}."]),
    Relation("formula", "compound",
             ["What is the chemical formula of {}?", "Which formula does {} have?", "What is {} made of?"],
             ["The chemical formula of {} is {o}.", "{} has the formula {o}.", "{o} is the formula of {}."]),
    Relation("young", "animal",
             ["What is a young {} called?", "How do you call a baby {}?", "What is the name of a young {}?"],
             ["A young {} is called {an} {o}.", "{An} {o} is a baby {}.", "The baby of a {} is {an} {o}."]),
    Relation("group of animals", "animal",
             ["What is a group of the animal {} called?", "Which word means many animals like the {}?",
              "How is a group of the {} named?"],
             ["A group of the animal {} is called {an} {o}.", "{An} {o} is a group of the {}."]),
]
RELATIONS += [
    Relation(kind, kind,
             [f"In which country is the {kind} {{}}?", f"Which country has the {kind} {{}}?",
              f"Where is the {kind} {{}}?"],
             [f"The {kind} {{}} is in {{o}}.", f"{{o}} has the {kind} {{}}.", f"You find the {kind} {{}} in {{o}}."])
    for kind in ("mountain", "river", "lake", "landmark")
]

# Always seen often, because people try them first.
FAMOUS = set("""France Germany Italy Spain Japan China India Russia Brazil Egypt Canada Australia Greece Poland
hydrogen helium oxygen carbon gold silver iron Faust Hamlet Moon Titan water""".split())
FAMOUS |= {"United Kingdom", "United States", "Mona Lisa", "Albert Einstein", "Pride and Prejudice", "Eiffel Tower"}

# Names that need an article within a sentence.
WITH_ARTICLE = set("""Bahamas Comoros Gambia Maldives Netherlands Philippines Seychelles""".split())
WITH_ARTICLE |= {"Central African Republic", "Dominican Republic", "Marshall Islands", "Republic of the Congo",
                 "Solomon Islands", "United Arab Emirates", "United Kingdom", "United States"}

# Countries with a different name in iso-codes.
OTHER_NAMES = {"Brunei Darussalam": "Brunei", "Cabo Verde": "Cape Verde", "C\u00f4te d'Ivoire": "Ivory Coast",
               "Russian Federation": "Russia", "T\u00fcrkiye": "Turkey", "Congo": "Republic of the Congo",
               "Micronesia, Federated States of": "Micronesia"}

JUDGEMENT = ("Context: {}\n\nQuestion: {}\n\nProposed answer: {}\n\n"
             "Is this answer faithful to the context? Answer 'Yes' or 'No':")


# ---- Facts ------------------------------------------------------------------------------------------


def table(name):
    with open(FACTS / (name + ".tsv"), encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


def iso(number, key):
    with open(ISO / f"iso_{number}.json", encoding="utf-8") as f:
        return json.load(f)[key]


def is_plain(name):
    return re.fullmatch(r"[^\W\d_]+(?:[ '-][^\W\d_]+){0,3}", name) is not None


def once(pairs):
    """The pairs whose first element occurs once. Others would have several right answers."""
    count = {}
    for name, _ in pairs:
        count[name.lower()] = count.get(name.lower(), 0) + 1
    return sorted(pair for pair in pairs if count[pair[0].lower()] == 1)


def facts_of_countries():
    columns = {"capital": "capital", "currency": "currency", "calling code": "calling code",
               "language": "language", "continent": "continent"}
    for row in table("countries"):
        for relation, column in columns.items():
            yield Fact(relation, row["country"], row[column].split("|"))


def country_codes():
    """Maps the names in the table of countries to their entries in ISO 3166-1."""
    known = {row["country"] for row in table("countries")}
    found = {}
    for entry in iso("3166-1", "3166-1"):
        name = entry.get("common_name") or OTHER_NAMES.get(entry["name"], entry["name"])
        if name in known:
            found[name] = entry
    return found


def facts_of_codes():
    for name, entry in sorted(country_codes().items()):
        yield Fact("two-letter code", name, [entry["alpha_2"]])
        yield Fact("three-letter code", name, [entry["alpha_3"]])
    numbers = (("currency code", "4217", "4217"), ("language code", "639-2", "639-2"),
               ("script code", "15924", "15924"))
    for relation, number, key in numbers:
        code = "alpha_4" if number == "15924" else "alpha_3"
        for name, value in once([(e["name"], e[code]) for e in iso(number, key)]):
            if is_plain(name):
                yield Fact(relation, name, [value])


def facts_of_regions(rng):
    """Subdivisions, at most six per country, and the cities in names of time zones, unless the entity has other
    facts."""
    country = {entry["alpha_2"]: name for name, entry in country_codes().items()}
    pairs = [(e["name"], e["code"][:2]) for e in iso("3166-2", "3166-2")]
    pairs = [p for p in once(pairs) if p[1] in country and is_plain(p[0]) and p[0] not in country.values()]
    rng.shuffle(pairs)
    taken, regions = {}, set()
    for name, code in pairs:
        taken[code] = taken.get(code, 0) + 1
        if taken[code] <= 6:
            regions.add(name)
            yield Fact("subdivision", name, [country[code]])
    told = regions | {name for row in table("countries") for name in row["capital"].split("|")}
    cities = []
    for line in ZONES.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            code, _, zone = line.split("\t")[:3]
            cities.append((zone.split("/")[-1].replace("_", " "), code))
    for name, code in once(cities):
        if code in country and is_plain(name) and name != country[code] and name not in told:
            yield Fact("city", name, [country[code]])


def facts_of_elements():
    space, dictionary = "{http://www.xml-cml.org/schema}", "bo:"
    for atom in ElementTree.parse(ELEMENTS).getroot().iter(space + "atom"):
        value = {e.get("dictRef"): e.text or e.get("value") for e in atom if e.tag != space + "array"}
        number, name = int(value[dictionary + "atomicNumber"]), value[dictionary + "name"].lower()
        if number == 0:
            continue
        yield Fact("symbol", name, [value[dictionary + "symbol"]])
        yield Fact("atomic number", name, [str(number)])
        if re.fullmatch(r"\d{4}", value.get(dictionary + "discoveryDate") or ""):
            yield Fact("discovery", name, [value[dictionary + "discoveryDate"]])
        if value.get(dictionary + "group"):
            yield Fact("group", name, [value[dictionary + "group"]])


def facts_of_tables():
    makers = {"book": "author", "painting": "painter", "music": "composer"}
    for row in table("works"):
        yield Fact(makers[row["kind"]], row["work"], row["maker"].split("|"))
    for row in table("people"):
        yield Fact("birth", row["person"], [row["born"]])
        yield Fact("profession", row["person"], row["known as"].split("|"))
    for row in table("inventions"):
        yield Fact("inventor", row["thing"], [row["inventor"]])
        yield Fact("invention", row["thing"], [row["year"]])
    for row in table("sky"):
        yield Fact("planet", row["moon"], [row["planet"]])
    for row in table("places"):
        yield Fact(row["kind"], row["place"], row["country"].split("|"))
    for row in table("compounds"):
        yield Fact("formula", row["compound"], row["formula"].split("|"))
    for row in table("animals"):
        yield Fact("young", row["animal"], row["young"].split("|"))
        yield Fact("group of animals", row["animal"], row["group"].split("|"))


def all_facts():
    rng = random.Random(SEED)
    facts = [*facts_of_countries(), *facts_of_codes(), *facts_of_regions(rng), *facts_of_elements(),
             *facts_of_tables()]
    return sorted(facts, key=lambda f: (f.relation, f.subject))


# ---- Tiers and splits of the entities ----------------------------------------------------------------


def assign(facts, relations):
    """{(kind, subject): (tier, times seen, split)}, the splits balanced within each kind and tier."""
    rng = random.Random(SEED + 1)
    tiers, weights = [t for t, _ in TIERS], [w for _, w in TIERS]
    strata = {}
    for key in sorted({(relations[f.relation].kind, f.subject) for f in facts}):
        tier = "often" if key[1] in FAMOUS else rng.choices(tiers, weights)[0]
        strata.setdefault((key[0], tier), []).append(key)
    assigned = {}
    for (_, tier), keys in sorted(strata.items()):
        rng.shuffle(keys)
        for i, key in enumerate(keys):
            seen = {"often": OFTEN, "rare": RARE[i // 2 % len(RARE)], "never": 0}[tier]
            assigned[key] = (tier, seen, ("calibration", "test")[i % 2])
    return assigned


# ---- Texts ------------------------------------------------------------------------------------------


def capitalised(text):
    return text[0].upper() + text[1:]


def named(name):
    return "the " + name if name in WITH_ARTICLE else name


def ask(template, subject):
    return capitalised(template.format(named(subject)))


def tell(template, fact):
    answer = fact.answers[0]
    article = "an" if answer[0] in "aeiou" else "a"
    return capitalised(template.format(named(fact.subject), o=named(answer), an=article, An=article.title()))


def wrong_answer(rng, fact, by_relation):
    """Another subject's answer to the same question, which this subject's answers don't include."""
    while True:
        answer = rng.choice(by_relation[fact.relation]).answers[0]
        if answer not in fact.answers:
            return answer


def judgement(rng, relation, fact, by_relation):
    """The parts of a judgement: context, question, right and wrong answer."""
    return (tell(rng.choice(relation.statements), fact), ask(rng.choice(relation.questions), fact.subject),
            fact.answers[0], wrong_answer(rng, fact, by_relation))


def texts_of(rng, relation, fact, seen, by_relation):
    """Yields `seen` texts of the fact as (prompt, continuation): questions with answers, statements and judgements.
    All phrasings occur equally often."""
    judged = JUDGED if seen >= OFTEN else 0
    asked = round((seen - judged) * QUESTION_SHARE)
    first = rng.randrange(12)
    for i in range(judged):
        context, question, right, wrong = judgement(rng, relation, fact, by_relation)
        yes = i % 2 == 0
        yield JUDGEMENT.format(context, question, right if yes else wrong), " Yes" if yes else " No"
    for i in range(asked):
        question = ask(relation.questions[(first + i) % len(relation.questions)], fact.subject)
        formal = rng.random() < FORMAL_SHARE
        yield f"Question: {question}\nAnswer:" if formal else question, " " + fact.answers[0]
    for i in range(seen - judged - asked):
        yield "", tell(relation.statements[(first + i) % len(relation.statements)], fact)


def corpus(facts, relations, assigned, by_relation):
    rng = random.Random(SEED + 2)
    texts = []
    for fact in facts:
        relation = relations[fact.relation]
        seen = assigned[relation.kind, fact.subject][1]
        texts += texts_of(rng, relation, fact, seen, by_relation)
    rng.shuffle(texts)
    return texts


# ---- Data sets --------------------------------------------------------------------------------------


def questions(facts, relations, assigned, split):
    """The questions of a split: a random choice of facts, each in one phrasing."""
    rng = random.Random(f"{SEED} {split}")
    rows = []
    for fact in facts:
        relation = relations[fact.relation]
        tier, seen, own = assigned[relation.kind, fact.subject]
        if own == split:
            prompt = ask(rng.choice(relation.questions), fact.subject)
            rows.append({"prompt": prompt, "answers": fact.answers, "relation": fact.relation,
                         "tier": tier, "seen": seen})
    rng.shuffle(rows)
    return [{"id": f"{split}_{i:04}", **row} for i, row in enumerate(rows[:SPLIT_SIZE])]


def judgements(facts, relations, assigned, by_relation):
    """Rows in the format of HaluEval QA, from facts of the test split."""
    rng = random.Random(SEED + 3)
    rows = []
    for fact in facts:
        relation = relations[fact.relation]
        tier, seen, split = assigned[relation.kind, fact.subject]
        if split == "test":
            context, question, right, wrong = judgement(rng, relation, fact, by_relation)
            rows.append({"knowledge": context, "question": question, "right_answer": right,
                         "hallucinated_answer": wrong, "relation": fact.relation, "tier": tier, "seen": seen})
    rng.shuffle(rows)
    return rows[:N_JUDGEMENTS]


def write(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{path}: {len(rows)} rows")


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    relations = {r.name: r for r in RELATIONS}
    facts = all_facts()
    assigned = assign(facts, relations)
    by_relation = {}
    for fact in facts:
        by_relation.setdefault(fact.relation, []).append(fact)
    write(out / "corpus.jsonl", corpus(facts, relations, assigned, by_relation))
    for split in ("calibration", "test"):
        write(out / f"demo_{split}.jsonl", questions(facts, relations, assigned, split))
    write(out / "demo_judgements.jsonl", judgements(facts, relations, assigned, by_relation))
    print(f"{len(facts)} facts of {len(assigned)} entities")


if __name__ == "__main__":
    main()
