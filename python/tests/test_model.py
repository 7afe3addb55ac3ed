"""Generation, judging, states and logits: the same as the program's, and as NumPy's."""
import gc
import json
import math
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import DEMO, DEMO_PARAMS, command

import hbar

PROMPT = "What is the capital of Cuba?"


def assert_same_steps(steps, trajectory):
    assert len(steps) == len(trajectory) > 0
    for step, expected in zip(steps, trajectory):
        assert (step.step, step.id) == (expected["step"], expected["token"])
        for name, value in step.signals.items():
            assert math.isnan(value) if expected[name] is None else value == pytest.approx(expected[name], rel=1e-12)
        if expected["p_fail"] is not None:
            assert step.p_fail == pytest.approx(expected["p_fail"], rel=1e-12)


def test_generate_is_the_programs(demo):
    said = command("generate", "--model", DEMO, "--params", DEMO_PARAMS, PROMPT)
    generation = demo.generate(PROMPT, params=DEMO_PARAMS)
    tokens = list(generation)
    answer = generation.result()
    assert answer.halted and said["halted"] and answer.finish == "halted"
    assert "".join(token.text for token in tokens) == answer.text == said["text"]
    assert answer.tokens == said["tokens"] and answer.n_prompt == said["n_prompt"]
    assert answer.alarm == said["halt"]["step"]
    assert_same_steps(answer.steps, said["trajectory"])
    assert answer.score == pytest.approx(said["answer"]["value"])
    assert answer.p_fail == pytest.approx(said["answer"]["p_fail"]) and answer.risky == said["answer"]["risky"]
    for name, value in said["scores"].items():
        assert answer.scores[name] == pytest.approx(value)


def test_judge_is_the_programs(demo):
    said = command("judge", "--model", DEMO, "--params", DEMO_PARAMS, "--prompt", PROMPT, "--response", "Havana.")
    answer = demo.judge(PROMPT, "Havana.", params=DEMO_PARAMS)
    assert_same_steps(answer.steps, said["trajectory"])
    assert answer.tokens == said["tokens"] and answer.finish == said["reason"]
    assert answer.alarm == said["halt"]["step"]
    assert answer.score == pytest.approx(said["answer"]["value"]) and answer.risky == said["answer"]["risky"]


def test_parameters_without_a_halt_stop_nothing(demo, tmp_path):
    path = tmp_path / "params.json"
    path.write_text(json.dumps({**json.loads(DEMO_PARAMS.read_text()), "halt": None}))
    with pytest.warns(hbar.HbarWarning, match="no calibrated halt"):
        answer = demo.generate(PROMPT, params=path).result()
    assert not answer.halted and answer.alarm is None and answer.risky is not None
    assert demo.generate(PROMPT, params=path, cutoff=1e-9).result().halted


def test_nothing_halts_unless_it_is_watched(demo):
    free = demo.generate(PROMPT).result()
    assert free.alarm is None and free.risky is None and math.isnan(free.steps[0].p_fail)
    watched = demo.generate(PROMPT, watch="hbar_s", tau=1.4, direction="low", cutoff=0.5).result()
    assert watched.halted and watched.n_tokens < free.n_tokens
    assert watched.steps[-1].value < 1.4 and watched.steps[-1].halts


def test_signals_stops_and_sampling(demo):
    few = demo.generate(PROMPT, signals=["entropy", "pri"]).result()
    assert set(few.steps[0].signals) == {"pri", "entropy"}
    text = demo.generate(PROMPT).result().text
    stopped = demo.generate(PROMPT, stop=[text[2:4]])
    assert "".join(token.text for token in stopped) == text[:2] == stopped.result().text
    assert demo.generate(PROMPT, stop=text[2:4]).result().text == text[:2]  # one text, not its letters
    drawn = [demo.generate(PROMPT, temperature=5.0, seed=seed, max_tokens=8).result().text for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_prompt_of_tokens(demo):
    tokens = demo.prompt_tokens(PROMPT)
    assert demo.tokenize(PROMPT) == tokens
    assert str(demo.generate(tokens).result()) == str(demo.generate(PROMPT).result())
    assert b"".join(map(demo.token_bytes, tokens)).decode().strip() == PROMPT


def test_logits_and_states(tiny):
    prompt, response = "Hello world", " once upon a time"
    answer = tiny.judge(prompt, response)
    n = answer.n_prompt
    logits = tiny.logits(prompt, response)
    states = tiny.states(prompt, response)
    assert logits.shape == (n + len(answer.steps), tiny.n_vocab) and logits.dtype == np.float32
    assert states.shape == (n + len(answer.steps), tiny.n_layers, tiny.n_embd)
    for k, step in enumerate(answer.steps):  # the step's token is chosen at the position before it
        row = logits[n + k - 1].astype(float)
        p = np.exp(row - row.max())
        p /= p.sum()
        assert step.signals["entropy"] == pytest.approx(-(p * np.log(p)).sum(), rel=1e-4)
        h = states[n + k - 1].astype(float)
        unit = h / np.sqrt((h ** 2).sum(1, keepdims=True) + 1e-8)
        sigma = math.sqrt(1 - (unit.mean(0) ** 2).sum())
        mu = 1 / math.sqrt(1 - (p ** 2).sum() + 0.01)
        assert step.signals["hbar_s"] == pytest.approx(math.sqrt(mu * sigma), rel=1e-4)
    chosen = tiny.states(prompt, response, positions=[-1, 0, 0], blocks=[0, 2])
    assert np.array_equal(chosen, states[[-1, 0, 0]][:, [0, 2]])
    assert np.allclose(tiny.logits(tiny.prompt_tokens(prompt), positions=[1]), logits[1:2], atol=1e-3)
    greedy = tiny.generate(prompt, max_tokens=1).result()
    assert greedy.steps[0].id == logits[n - 1].argmax()


def test_attention(tiny):
    prompt, response = "Hello world", " once upon a time"
    n = tiny.judge(prompt, response).n_prompt
    rows = tiny.attention(prompt, response)
    assert rows.shape == (len(tiny.states(prompt, response)), tiny.n_layers, tiny.n_heads, len(hbar.ATTENTION))
    value = {name: rows[..., i] for i, name in enumerate(hbar.ATTENTION)}
    assert set(value) == {"sink", "context", "generated", "previous", "self", "entropy"}
    assert np.allclose(value["sink"] + value["context"] + value["generated"], 1, atol=1e-5)
    assert (value["generated"][:n] == 0).all() and (value["generated"][n:] > 0).all()
    assert np.allclose(value["self"][0], 1) and (value["entropy"][1:] > 0).all()
    assert (value["entropy"][1:] <= np.log(np.arange(2, len(rows) + 1))[:, None, None] + 1e-5).all()
    assert np.allclose(tiny.attention(prompt, response, positions=[-1, n])[[1, 0]], rows[[n, -1]], atol=1e-5)
    alone = tiny.attention(tiny.prompt_tokens(prompt))
    assert np.allclose(alone, rows[:n], atol=1e-4)


def test_long_texts_are_evaluated_in_parts(tiny):
    tokens = (tiny.prompt_tokens("Hello world, once upon a time") * 200)[:1100]
    model = hbar.Model(tiny.path, context=2048)
    parts = model.states(tokens, positions=[3, 600, 1050], blocks=[1])
    assert parts.shape == (3, 1, model.n_embd) and np.isfinite(parts).all()
    assert np.allclose(parts[0], model.states(tokens[:8], positions=[3], blocks=[1])[0], atol=1e-3)


def test_chat():
    bare, chat = hbar.Model(DEMO), hbar.Model(DEMO, chat="chatml", system="Be brief.")
    assert bare.chat is None and chat.chat == "chatml"
    assert len(chat.prompt_tokens(PROMPT)) > len(bare.prompt_tokens(PROMPT))
    own = hbar.Model(DEMO, chat=True, template="{% for m in messages %}[{{ m.content }}]{% endfor %}")
    assert own.chat.startswith("template-")
    with pytest.warns(hbar.HbarWarning, match="another chat format"):
        chat.generate(PROMPT, params=DEMO_PARAMS, max_tokens=1).result()


@pytest.mark.parametrize("call, kind, words", [
    (lambda m: hbar.Model("/nowhere/m.gguf"), hbar.FileError, "/nowhere/m.gguf"),
    (lambda m: hbar.Model(__file__), hbar.FormatError, "test_model.py"),
    (lambda m: hbar.Model(f"{DEMO}\0x"), ValueError, "the path contains a zero byte"),
    (lambda m: m.score(f"{DEMO}\0x"), ValueError, "the path contains a zero byte"),
    (lambda m: m.generate(PROMPT, stop=["a\0b"]), ValueError, "the text contains a zero byte"),
    (lambda m: hbar.Model(DEMO, chat="none"), hbar.ArgumentError, "none"),
    (lambda m: hbar.Model(DEMO, system="x"), ValueError, "chat=True"),
    (lambda m: m.generate(PROMPT, max_tokens=0).result(), hbar.ArgumentError, "max-tokens"),
    (lambda m: m.generate(PROMPT, watch="nothing"), hbar.ArgumentError, "nothing"),
    (lambda m: m.generate(PROMPT, signals="nothing"), hbar.ArgumentError, "nothing"),
    (lambda m: m.generate(PROMPT, tau=1.0), hbar.ArgumentError, "watch"),
    (lambda m: m.generate(PROMPT, watch="pri", direction="left"), ValueError, "high, low"),
    (lambda m: m.generate([]).result(), hbar.ArgumentError, ""),
    (lambda m: m.judge(PROMPT, ""), hbar.ArgumentError, ""),
    (lambda m: m.generate(PROMPT * 1000).result(), hbar.ContextError, ""),
    (lambda m: m.states([]), ValueError, "no tokens"),
    (lambda m: m.states(PROMPT, positions=[1000]), IndexError, ""),
    (lambda m: m.states(PROMPT, blocks=[99]), hbar.ArgumentError, "block"),
    (lambda m: m.generate(PROMPT, max_tokens=2**32 + 3), hbar.ArgumentError, "max_tokens 4294967299 is out of range"),
    (lambda m: m.generate(PROMPT, top_k=2**40), hbar.ArgumentError, "top_k"),
    (lambda m: m.generate(PROMPT, seed=-1), hbar.ArgumentError, "seed -1 is out of range"),
    (lambda m: m.generate([5, 2**32 + 5]), hbar.ArgumentError, "4294967301 is out of range"),
    (lambda m: m.states([5, 2**32 + 5]), hbar.ArgumentError, "4294967301 is out of range"),
    (lambda m: m.states(PROMPT, blocks=[2**32]), hbar.ArgumentError, "4294967296 is out of range"),
    (lambda m: hbar.Model(DEMO, threads=2**32 + 1), hbar.ArgumentError, "threads"),
    (lambda m: m.score([{"prompt": "x", "answer": "y"}], n=-1), hbar.ArgumentError, "n_samples -1 is out of range"),
    (lambda m: m.generate(PROMPT.encode()), TypeError, "not bytes"),
    (lambda m: m.logits(PROMPT.encode()), TypeError, "not bytes"),
    (lambda m: hbar.Params.load("/nowhere.json"), OSError, "nowhere.json"),
])
def test_errors_are_exceptions_with_the_librarys_message(demo, call, kind, words):
    with pytest.raises(kind, match=words):
        call(demo)


def test_a_generation_can_be_closed_and_dropped(tiny):
    with tiny.generate("Hello", max_tokens=100000) as generation:
        first = next(generation)
    assert first.step == 0 and list(generation) == []
    assert generation.result().finish == "cancelled"
    idle = len(tiny._idle)
    generation = tiny.generate("Hello", max_tokens=100000)
    next(generation)
    queue = generation._queue
    del generation
    gc.collect()
    while queue.get() is not None:
        pass
    assert len(tiny._idle) >= idle


def test_threads_share_a_model(demo):
    alone = demo.generate(PROMPT).result()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(demo.generate(PROMPT).result())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.scores for answer in answers] == [alone.scores] * 4
    assert {answer.text for answer in answers} == {alone.text}


def test_a_model_is_described_while_its_session_is_used():
    model = hbar.Model(DEMO, kv_type="f32")
    assert model._with_session(lambda _: (list(model._idle), model.kv_type)) == ([], "f32")
    assert model._with_session(lambda _: model.generate(PROMPT).result().text)


def test_other_threads_run_while_the_library_works():
    """The library waits for a pipe that another thread writes to: with the GIL held, this would never end."""
    from hbar._library import Handle, lib
    from hbar import _api as api
    reading, writing = os.pipe()
    began = threading.Event()

    def write():
        began.wait()
        with open(writing, "wb") as file:
            file.write(DEMO_PARAMS.read_bytes())

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    began.set()
    handle = Handle.open(api.hb_params, lib.hb_params_free, lib.hb_params_load, f"/dev/fd/{reading}".encode())
    assert handle.pointer.contents.tau == pytest.approx(1.443, abs=1e-3)
    writer.join()
    os.close(reading)


def test_types_of_the_cache(tiny):
    for kv_type, exact, expected in (("auto", False, "f16"), ("auto", True, "f32"), ("f32", False, "f32"),
                                     ("q8_0", False, "q8_0")):
        assert hbar.Model(tiny.path, kv_type=kv_type, exact=exact).kv_type == expected
    for unknown in ("f8", "q8-0"):  # the words are those of --kv-type
        with pytest.raises(ValueError, match=f"kv_type must be one of auto, f16, f32, q8_0, not '{unknown}'"):
            hbar.Model(tiny.path, kv_type=unknown)
    with pytest.raises(hbar.ArgumentError, match="exact"):
        hbar.Model(tiny.path, kv_type="f16", exact=True)


SCRIPTS = {
    "generate": "for token in model.generate('Hello', max_tokens=10**6): print('.', flush=True)",
    "judge": "print('.', flush=True)\n    while True: model.judge('Hello', ' world' * 200)",
    "states": "model.states('Hello'); print('.', flush=True)\n    while True: model.states([1] * 900)",
}


@pytest.mark.parametrize("what", SCRIPTS)
def test_ctrl_c(tiny, what, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"import hbar\nmodel = hbar.Model({tiny.path!r}, context={10**6 if what == 'generate' else 2048})\n"
                      f"try:\n    {SCRIPTS[what]}\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
                      "print(len(model.generate('Hello', max_tokens=3).result().tokens))\n")
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == ".\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and out.replace(".", "").split() == ["interrupted", "3"], (out, err)


def test_engine(demo):
    assert demo.engine == "native"
    with pytest.raises(ValueError, match="engine must be one of auto, native, llama"):
        hbar.Model(DEMO, engine="other")
    with pytest.raises(hbar.ArgumentError, match="the native engine uses no GPU"):
        hbar.Model(DEMO, engine="native", gpu_layers=1)
