"""Models: generation, judging of given answers, states and logits."""
from __future__ import annotations

import codecs
import ctypes
import os
import threading
import warnings
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Sequence

from . import _api as api
from ._errors import HbarWarning
from ._library import Handle, Hooks, check, decode, encode, encode_path, free, int32s, lib, number, run, set_callback, texts
from ._data import Data
from ._params import Params
from ._run import Run, score
from ._watch import Watch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas

CHUNK = 512  # tokens evaluated at once by logits() and the like, between which Ctrl-C is noticed
# The values of attention(), in their order: "sink", "context", "generated", "previous", "self", "entropy".
ATTENTION = [name.removeprefix("HB_ATTENTION_").lower() for name in api.ENUMS["hb_attention_value"]
             if name.startswith("HB_ATTENTION_")]


@dataclass(frozen=True)
class Token:
    """One step of an answer.

    `text` is what the token adds to the text: a character that is split between tokens comes with the last of them.
    `value` is what is watched, `p_fail` its failure probability and `statistic` that of the parameters' halt; they are
    NaN where there is none. `halts` says whether the step reached the threshold. `signals` has the measured signals."""

    step: int
    id: int
    text: str
    p_fail: float
    value: float
    statistic: float
    halts: bool
    signals: Mapping[str, float] = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """An answer with its measurements.

    `steps` are the measured steps. If the answer ended with a token that is not part of the text, such as a risky token
    before which it was halted, that is the last step. `alarm` is the first step that reached the threshold. `scores` has
    each signal with each aggregation. With parameters, `score` is the value of the calibrated score, `p_fail` its
    failure probability, and `risky` whether the threshold flags the answer; otherwise they are None."""

    text: str
    steps: list[Token] = field(repr=False)
    n_tokens: int
    n_prompt: int
    finish: str
    alarm: int | None
    scores: Mapping[str, float] = field(repr=False)
    score: float | None
    p_fail: float | None
    risky: bool | None

    @property
    def halted(self) -> bool:
        """Whether the answer was stopped before a risky token."""
        return self.finish == "halted"

    @property
    def tokens(self) -> list[int]:
        """The tokens of the text."""
        return [step.id for step in self.steps[:self.n_tokens]]

    def frame(self) -> pandas.DataFrame:
        """The steps as a pandas DataFrame: a row for each, a column for each signal."""
        import pandas
        rows = [{"step": s.step, "token": s.id, "text": s.text, "p_fail": s.p_fail, **s.signals} for s in self.steps]
        return pandas.DataFrame(rows)


def _names(signals: Any) -> list[str]:
    return [decode(lib.hb_signal_name(lib.hb_signal_set_at(signals, i)))
            for i in range(lib.hb_signal_set_count(signals))]


def _token(step: Any, names: list[str], text: str) -> Token:
    return Token(step.step, step.token, text, step.p_fail, step.watched, step.halt, step.halts,
                 dict(zip(names, step.values[:len(names)])))


class Generation(Iterator[Token]):
    """The tokens of an answer, while the model generates it in another thread.

    Iterate over it, or call `result()` for the whole answer. `close()` stops the model; so does leaving a `with` block,
    Ctrl-C, and dropping the last reference."""

    def __init__(self, work: Callable[[Callable[[Token], None], Hooks], Answer]) -> None:
        self._queue: SimpleQueue[Token | None] = SimpleQueue()
        self._hooks = Hooks()
        self._results: list[Answer] = []
        self._errors: list[BaseException] = []
        self._ended = False
        queue, hooks, results, errors = self._queue, self._hooks, self._results, self._errors

        def produce() -> None:  # does not refer to self, so that dropping it ends the generation
            try:
                results.append(work(queue.put, hooks))
            except BaseException as error:
                errors.append(error)
            finally:
                queue.put(None)

        threading.Thread(target=produce, name="hbar", daemon=True).start()

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> Token:
        token = None
        if not self._ended:
            try:
                token = self._queue.get()
            except BaseException:
                self._hooks.cancelled = True
                raise
        if token is not None:
            return token
        self._ended = True
        if self._errors:
            raise self._errors[0]
        raise StopIteration

    def result(self) -> Answer:
        """The answer, when it has ended. A generation that was closed has the finish "cancelled"."""
        for _ in self:
            pass
        return self._results[0]

    def close(self) -> None:
        """Stops the model after the token that it is evaluating."""
        self._hooks.cancelled = True
        while not self._ended and self._queue.get() is not None:
            pass
        self._ended = True

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._hooks.cancelled = True


class Model:
    """A language model from a GGUF file. Threads may share it.

    `chat` wraps each prompt as a user's message: True uses the model's own chat template, a name such as "chatml" a
    built-in format, and "prepared" says that prompts contain their markers already. `template` is the text of another
    template. `system` is a system message. `thinking` ("default", "on" or "off") is for templates that have this
    choice. `context` is the maximum number of positions (0: the model's, at most 4096) and `threads` the number of
    threads (0: one per processor). `exact` multiplies by unrounded activations: slower, but as float32 arithmetic.
    `kv_type` is the type of numbers in the KV cache: "f16", "f32" or "q8_0" ("auto": "f16", or "f32" if `exact`).
    `engine` ("auto", "native" or "llama") evaluates the model; with "llama", a GPU evaluates `gpu_layers` of its blocks."""

    def __init__(self, path: str | os.PathLike[str], *, chat: bool | str = False, template: str | None = None,
                 system: str | None = None, thinking: str = "default", context: int = 0, threads: int = 0,
                 exact: bool = False, kv_type: str = "auto", engine: str = "auto", gpu_layers: int = 0) -> None:
        opening = lib.hb_model_defaults()
        opening.engine = number("hb_engine_choice", "HB_ENGINE_", engine, "engine")
        opening.n_gpu_layers = gpu_layers
        self._handle = Handle.open(api.hb_model, lib.hb_model_close, lib.hb_model_open_with, encode_path(path),
                                   ctypes.byref(opening))
        i = 0
        while warning := lib.hb_model_warning(self._handle.pointer, i):
            warnings.warn(decode(warning), HbarWarning, stacklevel=2)
            i += 1
        if not chat and (template or system or thinking != "default"):
            raise ValueError("template, system and thinking need chat=True")
        self._chat = self._open_chat(chat, template, thinking) if chat else None
        self.system = system
        self._options = lib.hb_session_defaults()
        self._options.n_ctx, self._options.n_threads, self._options.exact = context, threads, exact
        self._options.kv_type = number("hb_kv_type", "HB_KV_", kv_type, "kv_type", lib.hb_kv_type_name)
        self._idle: list[Handle] = [self._open_session()]
        self.context = int(lib.hb_session_n_ctx(self._idle[0].pointer))
        self.kv_type = decode(lib.hb_kv_type_name(lib.hb_session_kv_type(self._idle[0].pointer)))

    def _open_chat(self, chat: bool | str, template: str | None, thinking: str) -> Handle:
        options = lib.hb_chat_defaults()
        if isinstance(chat, str):
            options.format = encode(chat)
        if template is not None:
            text = template.encode()
            options.template_text, options.template_length = text, len(text)
        options.thinking = number("hb_thinking", "HB_THINKING_", thinking, "thinking")
        return Handle.open(api.hb_chat, lib.hb_chat_close, lib.hb_chat_open, self._handle.pointer,
                           ctypes.byref(options), depends_on=[self._handle])

    def _open_session(self, options: Any = None) -> Handle:
        return Handle.open(api.hb_session, lib.hb_session_close, lib.hb_session_open, self._handle.pointer,
                           ctypes.byref(options or self._options), depends_on=[self._handle])

    def _sha256(self) -> bytes:
        sha256 = ctypes.create_string_buffer(65)
        run(lambda: check(lib.hb_model_sha256, self._handle.pointer, sha256))
        return sha256.value

    def _with_session(self, work: Callable[[Any], Any]) -> Any:
        """Calls work with a session that no other thread uses."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._open_session()
        try:
            return work(session.pointer)
        finally:
            self._idle.append(session)

    # ---- What the model is ----

    @property
    def _info(self) -> Any:
        return lib.hb_model_get_info(self._handle.pointer)

    @property
    def name(self) -> str:
        return decode(self._info.contents.name)

    @property
    def path(self) -> str:
        return os.fsdecode(self._info.contents.path)

    @property
    def architecture(self) -> str:
        return decode(self._info.contents.architecture)

    @property
    def n_layers(self) -> int:
        """Blocks."""
        return int(self._info.contents.n_layers)

    @property
    def n_embd(self) -> int:
        """The width of the residual stream."""
        return int(self._info.contents.n_embd)

    @property
    def n_heads(self) -> int:
        """Attention heads of a block."""
        return int(self._info.contents.n_heads)

    @property
    def n_vocab(self) -> int:
        return int(self._info.contents.n_vocab)

    @property
    def chat(self) -> str | None:
        """The name of the chat format; None for bare prompts."""
        return decode(lib.hb_chat_name(self._chat.pointer)) if self._chat else None

    @property
    def engine(self) -> str:
        """What evaluates the model: "native" or "llama"."""
        return decode(lib.hb_model_engine(self._handle.pointer))

    @property
    def exact(self) -> bool:
        return bool(self._options.exact)

    def __repr__(self) -> str:
        return f"<hbar.Model {self.name}, {self.architecture}, {self.n_layers} blocks>"

    # ---- Tokens ----

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """The tokens of a text; `special` adds those that begin or end a text, where the model wants them."""
        data = text.encode()
        tokens, n = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
        check(lib.hb_tokenize, self._handle.pointer, data, len(data), special, False, ctypes.byref(tokens),
              ctypes.byref(n))
        return _take_tokens(tokens, n.value)

    def prompt_tokens(self, prompt: str) -> list[int]:
        """The tokens of a prompt as generate() evaluates it: with the chat format and the system message."""
        data = prompt.encode()
        tokens, n = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
        check(lib.hb_chat_prompt, self._handle.pointer, self._chat and self._chat.pointer, encode(self.system), data,
              len(data), ctypes.byref(tokens), ctypes.byref(n))
        return _take_tokens(tokens, n.value)

    def token_bytes(self, token: int) -> bytes:
        """The bytes of a token; those of a control token are none."""
        length = ctypes.c_size_t()
        address = lib.hb_token_bytes(self._handle.pointer, token, ctypes.byref(length))
        return ctypes.string_at(address, length.value) if address else b""

    def _given(self, prompt: str, response: str) -> Any:
        """An hb_given, to be freed."""
        given, p, r = api.hb_given(), prompt.encode(), response.encode()
        check(lib.hb_given_tokenize, self._handle.pointer, self._chat and self._chat.pointer, encode(self.system), p,
              len(p), r, len(r), ctypes.byref(given))
        return given

    # ---- Generation ----

    def generate(self, prompt: str | Sequence[int], *, params: Params | str | os.PathLike[str] | None = None,
                 watch: str | None = None, tau: float | None = None, direction: str | None = None,
                 cutoff: float | None = None, signals: str | Sequence[str] | None = None, max_tokens: int = 512,
                 temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int = 42,
                 stop: str | Sequence[str] = (), one_line: bool = False) -> Generation:
        """Continues a prompt, a text or tokens, and returns an iterator of its tokens.

        With `params`, generation stops before a risky token, by the halt of the parameters; if they have none, a warning
        says so and nothing stops it. Without `params`, nothing stops it unless `watch` names a signal: then it stops where
        the failure probability by `tau` and `direction` reaches `cutoff`. `signals` names the signals to measure (default: all)."""
        watching = self._watch(params, watch, tau, direction, cutoff, signals)
        options = lib.hb_generate_defaults()
        options.monitor = watching.monitor
        sampling = options.sampling
        sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed = temperature, top_k, top_p, seed
        options.max_tokens, options.one_line = max_tokens, one_line
        stopping = [stop] if isinstance(stop, str) else list(stop)
        stops = texts(stopping)
        options.stops, options.n_stops = stops, len(stopping)
        tokens, _ = self._tokens(prompt, None)
        array = int32s(tokens)

        def work(put: Callable[[Token], None], hooks: Hooks) -> Answer:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            names: list[str] = []

            def on_token(_user: Any, step: Any, text: int, length: int) -> None:
                if not names:
                    names.extend(_names(step.contents.signals))
                put(_token(step.contents, names, decoder.decode(ctypes.string_at(text, length))))

            return self._measure(options, watching, hooks, on_token, lambda session, generation: check(
                lib.hb_generate_tokens, session, array, len(tokens), ctypes.byref(options), ctypes.byref(generation)))

        return Generation(work)

    def judge(self, prompt: str, response: str, *, params: Params | str | os.PathLike[str] | None = None,
              watch: str | None = None, tau: float | None = None, direction: str | None = None,
              cutoff: float | None = None, signals: str | Sequence[str] | None = None) -> Answer:
        """Measures a given answer as generate() measures the same answer while it generates it. A risky token does not
        end the answer, but is its `alarm`. The arguments are those of generate()."""
        watching = self._watch(params, watch, tau, direction, cutoff, signals)
        options = lib.hb_generate_defaults()
        options.monitor = watching.monitor
        hooks = Hooks()

        def work() -> Answer:
            given = self._given(prompt, response)
            try:
                return self._measure(options, watching, hooks, None, lambda session, generation: check(
                    lib.hb_judge, session, ctypes.byref(given), ctypes.byref(options), ctypes.byref(generation)))
            finally:
                lib.hb_given_free(ctypes.byref(given))

        return run(work, hooks)

    def _watch(self, params: Params | str | os.PathLike[str] | None, watch: str | None, tau: float | None,
               direction: str | None, cutoff: float | None, signals: str | Sequence[str] | None) -> Watch:
        watching = Watch(params, watch, tau, direction, cutoff, signals)
        watching.check_model(self._info, self.chat, self.system, self.exact, self.kv_type, self.engine)
        return watching

    def _measure(self, options: Any, watching: Watch, hooks: Hooks, on_token: Callable[..., None] | None,
                 call: Callable[[Any, Any], None]) -> Answer:
        """Calls the library with the hooks set, and turns what it measured into an Answer."""
        set_callback(options, "cancelled", hooks.is_cancelled)
        if on_token:
            set_callback(options, "on_token", hooks.guard(on_token))
        generation = api.hb_generation()
        self._with_session(lambda session: call(session, generation))
        try:
            hooks.raise_exception()
            return self._answer(generation, watching)
        finally:
            lib.hb_generation_free(ctypes.byref(generation))

    def _answer(self, g: Any, watching: Watch) -> Answer:
        names, decoder = _names(g.signals), codecs.getincrementaldecoder("utf-8")("replace")
        steps = [g.trajectory[i] for i in range(g.n_steps)]
        value = watching.verdict(g)
        return Answer(
            text=decode(g.text),
            steps=[_token(step, names, decoder.decode(self.token_bytes(step.token))) for step in steps],
            n_tokens=g.n_tokens, n_prompt=g.n_prompt, finish=decode(lib.hb_finish_name(g.finish)),
            alarm=None if g.alarm < 0 else g.alarm, scores=read_scores(g.scores), score=value,
            p_fail=None if value is None or not watching.params else watching.params.p_fail(value),
            risky=None if value is None or not watching.params else watching.params.is_risky(value))

    # ---- Pass 1 ----

    def score(self, data: Data, path: str | os.PathLike[str] | None = None, *, max_tokens: int = 20, seed: int = 42,
              signals: str | Sequence[str] | None = None, features: str | None = None, answer_lines: int | None = None,
              abstain: str | os.PathLike[str] | None = None, samples: int = 0, sample_temperature: float = 1.0,
              sample_top_p: float = 1.0, sample_max_tokens: int | None = None, ask: Sequence[str] = (),
              judge: Model | None = None, keep_prompts: bool = True, keep_steps: bool = True, sequences: int = 128,
              cache_bytes: int | None = None, progress: Callable[[int, int], None] | None = None,
              **data_options: Any) -> Run:
        """Answers each prompt of a dataset, or evaluates the responses that it gives, and keeps the scores in a run.

        `data` is a file or several, a pandas DataFrame, a Dataset of the package `datasets`, or rows (mappings). The
        run is the file `path`, which is continued if it exists; without a path, it is deleted with the Run. After
        Ctrl-C, the same call continues. The arguments are the options of `hbar score` (docs/usage.md); -1 for
        `answer_lines` means all lines. `progress` is called with the numbers of finished and of all samples.

        Options of the data (docs/datasets.md): n, format, fields={"prompt": PATH, ...}, where, join, prompt_template,
        answers_separator, shots, shots_data, positive, correct (label 1 means right), read_as, strict."""
        return score(self, data, path, max_tokens=max_tokens, seed=seed, signals=signals, features=features,
                     answer_lines=answer_lines, abstain=abstain, samples=samples, sample_temperature=sample_temperature,
                     sample_top_p=sample_top_p, sample_max_tokens=sample_max_tokens, ask=ask, judge=judge,
                     keep_prompts=keep_prompts, keep_steps=keep_steps, sequences=sequences, cache_bytes=cache_bytes,
                     progress=progress, data_options=data_options)

    # ---- The inside of the model ----

    def logits(self, prompt: str | Sequence[int], response: str | None = None, *,
               positions: Sequence[int] | None = None) -> npt.NDArray[np.float32]:
        """The logits of the next token at each position, [positions, n_vocab], before softmax.

        The positions are those of a prompt's tokens and, if there is one, of a response's after them. `positions` chooses
        some of them; negative numbers count from the end."""
        return self._eval("logits", (self.n_vocab,), prompt, response, positions)

    def states(self, prompt: str | Sequence[int], response: str | None = None, *,
               positions: Sequence[int] | None = None, blocks: Sequence[int] | None = None
               ) -> npt.NDArray[np.float32]:
        """The residual stream after each block, [positions, blocks, n_embd], before the final norm. `blocks` chooses
        blocks, numbered from 0; `positions` is as for logits()."""
        chosen = list(range(self.n_layers)) if blocks is None else list(blocks)
        return self._eval("states", (len(chosen), self.n_embd), prompt, response, positions, chosen)

    def attention(self, prompt: str | Sequence[int], response: str | None = None, *,
                  positions: Sequence[int] | None = None) -> npt.NDArray[np.float32]:
        """What every head of every block attends to at each position, [positions, n_layers, n_heads, values]; ATTENTION
        names the values. `positions` is as for logits()."""
        return self._eval("attention", (self.n_layers, self.n_heads, len(ATTENTION)), prompt, response, positions)

    def _eval(self, what: str, shape: tuple[int, ...], prompt: str | Sequence[int], response: str | None,
              positions: Sequence[int] | None, blocks: Sequence[int] = ()) -> npt.NDArray[np.float32]:
        import numpy as np
        tokens, n_prompt = self._tokens(prompt, response)
        if not tokens:
            raise ValueError("there are no tokens to evaluate")
        wanted = [range(len(tokens))[p] for p in (range(len(tokens)) if positions is None else positions)]
        rows = sorted(set(wanted))
        out: npt.NDArray[np.float32] = np.empty((len(rows), *shape), np.float32)
        hooks = Hooks()

        def work() -> None:
            self._with_session(lambda session: _evaluate(session, what, tokens, n_prompt, rows, blocks, out, hooks))

        run(work, hooks)
        if rows == wanted:
            return out
        at = {row: i for i, row in enumerate(rows)}
        chosen: npt.NDArray[np.float32] = out[[at[row] for row in wanted]]
        return chosen

    def _tokens(self, prompt: str | Sequence[int], response: str | None) -> tuple[list[int], int]:
        """The tokens of both, and the number of those of the prompt."""
        if isinstance(prompt, (bytes, bytearray)):
            raise TypeError("a prompt is a text or tokens, not bytes")
        if not isinstance(prompt, str):
            if response is not None:
                raise ValueError("a response goes with a prompt that is a text")
            return list(prompt), len(prompt)
        if response is None:
            tokens = self.prompt_tokens(prompt)
            return tokens, len(tokens)
        given = self._given(prompt, response)
        try:
            return list(given.tokens[:given.n_prompt + given.n_answer]), given.n_prompt
        finally:
            lib.hb_given_free(ctypes.byref(given))


def _evaluate(session: Any, what: str, tokens: list[int], n_prompt: int, rows: list[int], blocks: Sequence[int],
              out: Any, hooks: Hooks) -> None:
    """Fills `out` [rows, ...] with an output of the tap: logits, states after these blocks, or attention."""
    lib.hb_session_reset(session)
    done = 0
    for begin in range(0, len(tokens), CHUNK):
        if hooks.cancelled:
            return
        part = tokens[begin:begin + CHUNK]
        here = [row - begin for row in rows if begin <= row < begin + len(part)]
        tap = lib.hb_tap_defaults()
        array, chosen, prompts = int32s(here), int32s(blocks), int32s([n_prompt] * len(here))
        tap.rows, tap.n_rows = array, len(here)
        if here:
            setattr(tap, what, out[done:done + len(here)].ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
        if here and what == "states":
            tap.blocks, tap.n_blocks = chosen, len(blocks)
        if here and what == "attention":
            tap.prompts = prompts
        check(lib.hb_eval, session, int32s(part), len(part), ctypes.byref(tap))
        done += len(here)


def read_scores(scores: Any) -> dict[str, float]:
    return {decode(lib.hb_scores_name(scores, i)): lib.hb_scores_at(scores, i)
            for i in range(lib.hb_scores_count(scores))}


def _take_tokens(tokens: Any, n: int) -> list[int]:
    try:
        return list(tokens[:n])
    finally:
        free(tokens)
