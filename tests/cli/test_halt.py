"""The calibrated halt: what calibrate promises is what generate, judge and validate do."""
import base64
import json
import math
import sqlite3
import struct

from harness import LABELLED, MODEL, SCRATCH, USAGE, Case
from server import Server

LONG = SCRATCH / "long.jsonl"
LONG.write_text("".join(
    json.dumps({"id": str(i), "prompt": f"Tell me about the number {i}.", "label": int(i % 3 == 0)}) + "\n" for i in range(150)))
PASS1 = ["--model", MODEL, "--data", LONG, "-n", 0, "--max-tokens", 12]


def statistics(rule, values):
    """The running statistic, by definition."""
    kind, _, number = rule["rule"].partition(":")
    out = []
    for i, x in enumerate(values):
        if kind == "token":
            out.append(x)
        elif kind == "window":
            last = values[max(0, i + 1 - int(number)):i + 1]
            out.append(sum(last) / len(last))
        elif kind == "ewma":
            out.append(float(number) * x + (1 - float(number)) * out[-1] if out else x)
        else:
            low, high, sd = rule["mean_0"], rule["mean_1"], rule["sd"]
            out.append(max(0, (out[-1] if out else 0) + (high - low) * (x - (low + high) / 2) / sd**2))
    return out


def first_stop(rule, values):
    """The step at which the rule stops; None if it does not."""
    beyond = (lambda s: s >= rule["tau"]) if rule["direction"] == ">=" else (lambda s: s <= rule["tau"])
    return next((i for i, s in enumerate(statistics(rule, values)) if beyond(s)), None)


class Halt(Case):
    def calibrate(self, *arguments, score="entropy", **options):
        return self.run_json("calibrate", *PASS1, "--score", score, "--draws", 0, *arguments, **options)

    def trajectories(self):
        """Each answer's steps, generated without a halt."""
        out = {}
        for row in map(json.loads, LONG.read_text().splitlines()):
            g = self.run_json("generate", "--model", MODEL, "--max-tokens", 12, "--cutoff", 1.1, "--tau", 1, row["prompt"])
            out[row["id"]] = (row["label"], row["prompt"], g["trajectory"])
        return out

    def test_same_statistic_everywhere(self):
        """The counts of calibrate and validate, and the halts of generate, follow from the steps' values."""
        steps = self.trajectories()
        for rule, score in (("token", "entropy"), ("window:3", "margin"), ("ewma:0.4", "hbar_s"), ("cusum", "surprise")):
            made = self.calibrate("--halt", rule, "--false-halts", "0.2,delta=0.1", score=score)
            halt = made["halt"]
            self.assertEqual(halt["rule"].partition(":")[0], rule.partition(":")[0])
            series = {i: (label, [s[score] for s in t]) for i, (label, _, t) in steps.items()}
            stops = {i: first_stop(halt, values) for i, (_, values) in series.items()}
            judged = self.run_json("validate", "--params", made["parameters"], *PASS1, "--draws", 0)["halt"]
            for name, label in (("right", 0), ("hallucinated", 1)):
                of = [stops[i] for i in stops if series[i][0] == label]
                self.assertEqual(judged["answers"][name], len(of))
                self.assertEqual(judged["answers"][name + "_halted"], sum(s is not None for s in of))
            delays = sorted(s for i, s in stops.items() if s is not None and series[i][0] == 1)
            if delays:
                self.assertEqual(judged["answers"]["printed_median"],
                                 (delays[(len(delays) - 1) // 2] + delays[len(delays) // 2]) / 2)
            if rule != "cusum":
                self.assertEqual(halt["answers"], judged["answers"])
                self.assertLessEqual(halt["guarantee"]["k"], 0.2 * halt["guarantee"]["n"])
            else:
                self.assertEqual(halt["fitted"] + halt["answers"]["right"] + halt["answers"]["hallucinated"], 150)
            for i in list(stops)[::10]:
                g = self.run_json("generate", "--params", made["parameters"], "--model", MODEL, "--max-tokens", 12, steps[i][1])
                self.assertEqual(g["monitor"]["halt"]["tau"], halt["tau"])
                self.assertEqual(g["halted"], stops[i] is not None)
                if stops[i] is not None:
                    self.assertEqual((g["halt"]["step"], g["n_tokens"]), (stops[i], stops[i]))
                    self.assertAlmostEqual(g["halt"]["statistic"], statistics(halt, series[i][1])[stops[i]], places=5)

    TRAINED = (("token", ["probe"]), ("ewma:0.5", ["probe"]), ("window:3", ["probe,entropy:mean,margin:mean", "--joint"]),
               ("ewma:0.4", ["entropy:mean,surprise:mean", "--joint"]), ("cusum", ["probe,margin:mean", "--joint"]))

    def values_of_model(self, model, states, trajectory):
        """The model's log-odds at each step, from the states that the run keeps and from generate's signals."""
        odds = []
        if "probe" in model:
            weights = [w for (w,) in struct.iter_unpack("<f", base64.b64decode(model["probe"]["weights"]))]
            vectors = [states[i:i + len(weights)] for i in range(0, len(states), len(weights))]
            self.assertEqual(len(vectors), len(trajectory))
            odds = [sum(w * x for w, x in zip(weights, v)) + model["probe"]["intercept"] for v in vectors]
        if "joint" not in model:
            return odds
        return [model["joint"]["intercept"] + sum(
            f["weight"] * ((odds[t] if f["score"] == "probe" else step[f["score"].removesuffix(":mean")]) - f["mean"]) / f["sd"]
            for f in model["joint"]["features"]) for t, step in enumerate(trajectory)]

    def test_trained_models(self):
        """A halt by a probe or a joint model: calibrated on answers that the model has not seen, the same everywhere."""
        steps = self.trajectories()
        for k, (rule, score) in enumerate(self.TRAINED):
            run = self.dir / f"{k}.db"
            made = self.calibrate("--halt", rule, "--false-halts", "0.2,delta=0.1", *score[1:], "--run", run, score=score[0])
            halt = made["halt"]
            self.assertEqual("probe" in halt["model"], "probe" in score[0])
            self.assertEqual("joint" in halt["model"], "--joint" in score)
            self.assertEqual(halt["fitted"] + halt["answers"]["right"] + halt["answers"]["hallucinated"], 150)
            self.assertLessEqual(halt["guarantee"]["k"], 0.2 * halt["guarantee"]["n"])
            states = {}
            if "probe" in halt["model"]:
                rows = sqlite3.connect(run).execute("SELECT id, states FROM features JOIN samples USING (idx)")
                states = {i: [x for (x,) in struct.iter_unpack("<e", blob)] for i, blob in rows}
                self.assertNotEqual(halt["model"]["probe"]["weights"], made["probes"]["probe"]["weights"])
            series = {i: (label, self.values_of_model(halt["model"], states.get(i), t)) for i, (label, _, t) in steps.items()}
            stops = {i: first_stop(halt, values) for i, (_, values) in series.items()}
            judged = self.run_json("validate", "--params", made["parameters"], "--run", run, "--draws", 0)["halt"]
            for name, label in (("right", 0), ("hallucinated", 1)):
                of = [stops[i] for i in stops if series[i][0] == label]
                self.assertEqual((judged["answers"][name], judged["answers"][name + "_halted"]),
                                 (len(of), sum(s is not None for s in of)), (rule, score))
            halted = [i for i in stops if stops[i] is not None]
            self.assertGreater(len(halted), 3)
            for i in [*halted[:4], *list(stops)[::30]]:
                g = self.run_json("generate", "--params", made["parameters"], "--model", MODEL, "--max-tokens", 12, steps[i][1])
                self.assertEqual((g["halt"] or {}).get("step"), stops[i], (rule, score))
                if stops[i] is not None:
                    self.assertAlmostEqual(g["halt"]["statistic"], statistics(halt, series[i][1])[stops[i]], places=4)

    def test_states_come_with_the_halt(self):
        """calibrate and validate keep the states that a probe's halt needs; a run without them has no such halt."""
        made = self.calibrate("--halt", "window:2", "--false-halts", 0.3, "--run", "r.db", "--features", "states:3", score="probe")
        self.assertEqual(made["halt"]["model"]["probe"]["block"], 3)
        judged = self.run_json("validate", "--params", made["parameters"], *PASS1, "--draws", 0, "--run", "v.db")["halt"]
        again = self.run_json("validate", "--params", made["parameters"], "--run", "r.db", "--draws", 0)["halt"]
        self.assertEqual(judged["answers"], again["answers"])
        out, err = self.run_hbar("calibrate", *PASS1, "--score", "probe", "--draws", 0, "--run", "without.db")
        self.assertIn("features hidden:1+2+3: 1728 bytes for each sample\n", err)
        self.assertIn("No halt is guaranteed: the halt of a probe needs the states of each step, which the run does not keep "
                      "(--features states)", out)
        self.fails("sweep", "--run", "without.db", "--score", "probe", "--halt", "token", "--draws", 0, says="--features states")
        self.run_hbar("score", *PASS1, "--features", "hidden,states:1", "--run", "other.db")
        text, _ = self.run_hbar("validate", "--params", made["parameters"], "--run", "other.db", "--draws", 0)
        self.assertIn("The halt is not validated: the halt's probe reads block 3, and the run keeps the states of block 1", text)

    def test_bad_models(self):
        made = self.calibrate("--halt", "token", "--false-halts", 0.3, "--joint", score="probe,entropy:mean")
        path = self.dir / made["parameters"]
        for change, says in (({}, "'halt.model' is missing or not a probe or a joint model"),
                             ({"probe": {"block": 0}}, "'halt.model.probe.block' is missing or not the number of a block"),
                             ({"joint": {"features": []}}, "'joint.features' is missing or not a list of scores")):
            params = self.read(path)
            params["halt"]["model"] = change
            self.fails("generate", "--model", MODEL, "--params", self.write("bad.json", json.dumps(params)), "x", says=says)
        params = self.read(path)
        params["halt"]["model"]["joint"]["features"][0]["score"] = "entropy:min"
        self.fails("generate", "--model", MODEL, "--params", self.write("bad.json", json.dumps(params)), "x",
                   says="'halt.model.joint.features' is missing or not means over the steps")
        del params["halt"]["model"]["probe"]
        params["halt"]["model"]["joint"]["features"][0]["score"] = "probe"
        self.fails("generate", "--model", MODEL, "--params", self.write("bad.json", json.dumps(params)), "x",
                   says="'halt.model.joint.features' is missing or not means over the steps")

    def test_missing_model(self):
        """The halt of a probe or a joint model runs over a model of its own. Without it, nothing halts in its place."""
        for score, *joint in (("probe",), ("probe,entropy:mean", "--joint")):
            made = self.calibrate("--halt", "token", "--false-halts", 0.3, *joint, "--run", "missing.db", score=score)
            params = self.read(self.dir / made["parameters"])
            del params["halt"]["model"]
            bad = self.write("bad.json", json.dumps(params))
            for command in (["generate", "--model", MODEL, "x"], ["validate", "--run", "missing.db"]):
                self.fails(*command, "--params", bad,
                           says="bad.json: 'halt.model' is missing or not the model that a halt by this score needs")

    def test_server_halts_where_generate_does(self):
        """The mode flag names the step at which generate and the mode halt end the answer."""
        prompts = [json.loads(line)["prompt"] for line in LONG.read_text().splitlines()[::15]]
        for rule, score, *joint in (("token", "entropy"), ("window:3", "margin"), ("ewma:0.4", "hbar_s"), ("cusum", "surprise"),
                                    ("window:3", "probe,margin:mean", "--joint")):
            made = self.calibrate("--halt", rule, "--false-halts", "0.5,delta=0.1", *joint, score=score)
            given = ["--model", MODEL, "--params", self.dir / made["parameters"]]
            steps = []
            with Server(*given, "--ctx-size", 256) as server:
                for prompt in prompts:
                    alone = self.run_json("generate", *given, "--max-tokens", 12, prompt)
                    step = alone["halt"]["step"] if alone["halted"] else None
                    flagged = server.complete(prompt, max_tokens=12, hbar={"mode": "flag"})["choices"][0]["hbar"]
                    self.assertEqual((flagged["step"], flagged["halted"]), (step, False), (rule, prompt))
                    halted = server.complete(prompt, max_tokens=12)["choices"][0]
                    self.assertEqual((halted["hbar"]["step"], halted["hbar"]["halted"], halted["text"].strip()),
                                     (step, alone["halted"], alone["text"].strip()), (rule, prompt))
                    steps.append(step)
            self.assertGreater(len(set(steps)), 1, rule)

    def test_halts_of_the_hallucinated(self):
        made = self.calibrate("--halts", 0.5)["halt"]
        self.assertEqual(made["guarantee"]["kind"], "halts")
        self.assertGreaterEqual(made["answers"]["hallucinated_halted"], 0.5 * made["answers"]["hallucinated"])
        self.assertLess(made["answers"]["hallucinated_halted"], made["answers"]["hallucinated"])

    def test_judge_names_the_step(self):
        made = self.calibrate("--false-halts", 0.5)
        prompt = json.loads(LONG.read_text().splitlines()[0])["prompt"]
        full = self.run_json("generate", "--model", MODEL, "--max-tokens", 12, "--cutoff", 1.1, "--tau", 1, prompt)
        given = ["--model", MODEL, "--params", made["parameters"], "--prompt", prompt, "--response", full["text"]]
        judged = self.run_json("judge", *given)
        self.assertEqual(len(judged["trajectory"]), judged["n_tokens"])
        stop = first_stop(made["halt"], [s["entropy"] for s in judged["trajectory"]])
        self.assertEqual(judged["halt"] and judged["halt"]["step"], stop)
        out, _ = self.run_hbar("judge", *given)
        if stop is None:
            self.assertIn("generate would not halt", out)
        else:
            self.assertRegex(out, rf"generate would halt at step {stop}: entropy [0-9.]+ reached ")

    def halting(self):
        """Parameters that stop a certain prompt, and their arguments."""
        made = self.calibrate("--false-halts", 0.5, "--direction", "high")
        params = self.read(self.dir / made["parameters"])
        steps = self.run_json("generate", "--model", MODEL, "--max-tokens", 2, "--watch", "entropy", "--cutoff", 1.1,
                              "Hello there")["trajectory"]
        tau = 0.999 * sum(s["entropy"] for s in steps) / 2  # above the first value
        params["halt"].update(rule="window:4", direction=">=", tau=tau)
        return ["generate", "--model", MODEL, "--params", self.write("stop.json", json.dumps(params))]

    def test_what_a_halt_prints(self):
        arguments = [*self.halting(), "--max-tokens", 8]
        out, err = self.run_hbar(*arguments, "--quiet", "Hello there")
        self.assertRegex(err, r"^hbar: halted at step \d: window:4 of entropy [0-9.]+ reached [0-9.]+\n$")
        self.assertEqual(self.run_hbar(*arguments, "--quiet", "--halt-exit", 3, "Hello there", code=3), (out, ""))
        self.assertIn("halted at step", self.run_hbar(*arguments, "--halt-exit", 3, "Hello there", code=3)[1])
        text = "I don't know."
        instead, _ = self.run_hbar(*arguments, "--quiet", "--on-halt", text, "Hello there")
        before = out.rstrip("\n")
        self.assertEqual(instead, f"{before}{' ' if before and not before[-1].isspace() else ''}{text}\n")
        result = self.run_json(*arguments, "--on-halt", text, "Hello there")
        self.assertEqual((result["on_halt"], result["text"]), (text, before))
        self.run_hbar(*arguments, "--halt-exit", 3, "--cutoff", 1.1, "Hello there")
        whole, _ = self.run_hbar(*arguments, "--on-halt", text, "--cutoff", 1.1, "Hello there")
        self.assertNotIn(text, whole)

    def test_warnings(self):
        arguments = self.halting()
        params = self.read(arguments[-1])
        self.assertIn("--check-every 2 leaves out tokens", self.run_hbar(*arguments, "-k", 2, "x")[1])
        params["halt"].update(rule="cusum", direction=">=", tau=0, mean_0=1, mean_1=2, sd=1)
        useless = self.write("useless.json", json.dumps(params))
        says = "stops every answer before its first token: its cusum is never below 0"
        self.assertIn(says, self.run_hbar("generate", "--model", MODEL, "--params", useless, "-n", 2, "x")[1])
        self.assertNotIn(says, self.run_hbar(*arguments, "x")[1])
        params["halt"] = None
        without = self.write("without.json", json.dumps(params))
        says = "has no calibrated halt, so no answer is halted, only judged when it is finished"
        self.assertIn(says, self.run_hbar("generate", "--model", MODEL, "--params", without, "-n", 2, "x")[1])
        self.assertIn(says, self.run_hbar("judge", "--model", MODEL, "--params", without, "--prompt", "x", "--response", "y")[1])
        self.assertIn(says, self.run_hbar("validate", "--params", without, *PASS1, "--draws", 0)[1])
        self.assertNotIn(says, self.run_hbar("validate", "--params", arguments[-1], *PASS1, "--draws", 0)[1])

    def test_parameters_without_a_halt_stop_nothing(self):
        """A threshold for whole answers says nothing about single tokens. Only a cutoff that is asked for halts."""
        params = self.read(self.halting()[-1])
        params["halt"] = None
        params["threshold"]["tau"] = -1e6 if params["direction"] == ">=" else 1e6  # P_fail is 1 at each token
        params["map"] = {"kind": "lambda"}
        given = ["--model", MODEL, "--params", self.write("without.json", json.dumps(params))]
        free = self.run_json("generate", *given, "--max-tokens", 6, "x")
        self.assertEqual([s["p_fail"] for s in free["trajectory"]], [1] * len(free["trajectory"]))
        self.assertEqual((free["halted"], free["halt"], free["monitor"]["cutoff"]), (False, None, None))
        self.assertTrue(free["answer"]["risky"])
        self.assertTrue(self.run_json("generate", *given, "--max-tokens", 6, "--cutoff", 0.85, "x")["halted"])
        self.assertIn("generate would not halt\n", self.run_hbar("judge", *given, "--prompt", "x", "--response", "y")[0])
        with Server(*given) as server:
            self.assertIsNone(server.get("/v1/hbar/params")[2]["cutoff"])
            answer = server.complete("x", max_tokens=6)["choices"][0]
            self.assertEqual([answer["hbar"][key] for key in ("halted", "step", "cutoff", "risky")], [False, None, None, True])
            self.assertTrue(server.complete("x", max_tokens=6, hbar={"cutoff": 0.85})["choices"][0]["hbar"]["halted"])

    def test_too_few_answers(self):
        few = ["--model", MODEL, "--data", LABELLED, "-n", 20, "--max-tokens", 3, "--draws", 0]
        made = self.run_json("calibrate", *few)
        self.assertIsNone(made["halt"])
        self.assertIn("needs 72 right answers to choose its threshold; there are ", made["no_halt"])
        self.assertIn("No halt is guaranteed: ", self.run_hbar("calibrate", *few)[0])
        for asked in (["--halt", "token"], ["--false-halts", 0.05]):
            self.run_hbar("calibrate", *few, *asked, code=1)
        self.assertNotIn("no_halt", self.run_json("calibrate", *few, "--halt", "none"))

    def test_too_few_for_any_labels(self):
        """Data that are too few whatever the answers are get refused before pass 1."""
        for n, asked, says in ((9, [], "9 scored samples; a calibration needs at least 10"),
                               (58, ["--halt", "token"], "at most 0.05 of the right answers with delta 0.05 needs at least 59 of them; "
                                                         "there are 58 samples"),
                               (149, ["--halts", 0.98], "at least 0.98 of the hallucinated answers with delta 0.05 needs at least 149")):
            rows = self.write("few.jsonl", "".join(line + "\n" for line in LONG.read_text().splitlines()[:n]))
            self.fails("calibrate", "--model", MODEL, "--data", rows, "-n", 0, *asked, says=says)
            self.assertEqual(list(self.dir.glob("calibrated_params/*.db")), [])

    def test_run_without_steps(self):
        """Only the rule token works, from the extremes, and the delay is unknown."""
        whole = self.calibrate("--false-halts", 0.2)["halt"]
        run = self.dir / "small.db"
        small = self.calibrate("--false-halts", 0.2, "--no-steps", "--run", run)["halt"]
        self.assertEqual(small["tau"], whole["tau"])
        for name in ("right_halted", "hallucinated_halted"):
            self.assertEqual(small["answers"][name], whole["answers"][name])
        self.assertIsNone(small["answers"]["printed_median"])
        self.fails("sweep", "--run", run, "--halt", "window:2", "--score", "entropy", "--draws", 0,
                   says="the values at each step are unknown")
        self.assertLess(run.stat().st_size, next((self.dir / "calibrated_params").glob("*.db")).stat().st_size)

    def test_choosing_costs_level(self):
        one, several = (self.calibrate("--false-halts", 0.2, score=s)["halt"]["guarantee"] for s in ("entropy", "entropy,margin"))
        self.assertTrue(math.isclose(one["level"], 0.025) and math.isclose(several["level"], 0.0125))
        self.assertLessEqual(several["k"], one["k"])

    def test_bad_use(self):
        for arguments, says in ((["--halt", "windows:3"], "--halt: 'windows:3' is not"),
                                (["--false-halts", "2"], "--false-halts: '2' is not like 0.05"),
                                (["--false-halts", "1e-9"], "--false-halts: '1e-9' is not like 0.05"),
                                (["--halts", "0.99999999"], "--halts: '0.99999999' is not like 0.05"),
                                (["--halts", "0.9", "--false-halts", "0.1"], "exclude each other"),
                                (["--halts", "0.9", "--halt", "none"], "--halt none calibrates no halt"),
                                (["--halt", "token", "--joint"], "a joint model halts by means over the tokens, as in --score "
                                                                 "probe,entropy:mean, and 'hbar_s' is none"),
                                (["--halt", "token", "--score", "probe_last"], "'probe_last' has no value at each token"),
                                (["--halts", 0.5, "--score", "wepr"], "'wepr' has no value at each token")):
            self.fails("calibrate", *PASS1, *arguments, code=USAGE, says=says)
        table = self.write("t.csv", "score,label\n" + "".join(f"{i},{i % 2}\n" for i in range(30)))
        self.fails("sweep", "--data", table, "--halt", "token", code=USAGE, says="go with --run")
