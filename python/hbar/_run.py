"""Runs: samples of a dataset with their scores, labels and texts."""
from __future__ import annotations

import ctypes
import json
import os
import tempfile
import warnings
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from . import _api as api
from ._calibrate import Validation, bootstrap_options, calibrate_options, finish, grading, uses_probe, validation
from ._data import Data, Dataset
from ._errors import ArgumentError, HbarWarning, MismatchError
from ._library import (Handle, Hooks, check, decode, encode, encode_path, lib, run, set_callback, take_name, take_text,
                       texts)
from ._params import Params
from ._watch import signal_set

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas
    from ._model import Model

USEFUL_POSITIONS = 24576  # a cache with more positions makes evaluation no faster
LEAST_CACHE = 240 << 20  # bytes of cache that even a small model gets
QUESTIONS = ("entailment", "p_true", "verbalised", "self_assessment", "selfcheck")


class Run:
    """Samples with their scores, in one file. `Run(path)` opens a run of this package, or of `hbar score`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._handle = Handle.open(api.hb_run, lib.hb_run_close, lib.hb_run_open, encode_path(self.path))
        self._folder: Any = None  # a temporary folder that lives as long as the run

    @property
    def _settings(self) -> Any:
        return lib.hb_run_get_settings(self._handle.pointer).contents

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the run was made with (docs/run-store.md)."""
        values: dict[str, Any] = {}
        for name, *_ in api.hb_run_settings._fields_:
            value = getattr(self._settings, name)
            if name == "signals":
                value = take_name(lib.hb_signal_set_names(value)).split(",")
            values[name] = decode(value) if isinstance(value, bytes) else value
        return values

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of samples: total, scored, skipped, failed, graded, abstained, labelled, not_drawn."""
        counts = self._counts()
        return {name: getattr(counts, name) for name, *_ in counts._fields_}

    def _counts(self) -> Any:
        counts = api.hb_run_counts()
        check(lib.hb_run_count, self._handle.pointer, ctypes.byref(counts))
        return counts

    @property
    def scores(self) -> list[str]:
        """The names of the stored scores."""
        names: list[str] = []
        while (name := lib.hb_run_score_name(self._handle.pointer, len(names))) is not None:
            names.append(decode(name))
        return names

    def __repr__(self) -> str:
        return f"<hbar.Run {self.path}, {self.counts['scored']} samples scored>"

    def _names(self, score: str | Sequence[str]) -> list[str]:
        """The scores that an argument names. "all" stands for each signal, and for all scores that are of no signal."""
        if score != "all":
            return [score] if isinstance(score, str) else list(score)
        names = list(self.settings["signals"])
        names += [name for name in self.scores if not lib.hb_score_find(encode(name), ctypes.byref(api.hb_score_id()))]
        i = 0
        while (kind := lib.hb_probe_kind_name(i)) is not None:
            if lib.hb_run_has_probe(self._handle.pointer, kind):
                names.append(decode(kind))
            i += 1
        return names

    def _grading(self, grade: str | None, min_f1: float | None, tolerance: float | None, abstain_as: str | None) -> Any:
        """The grading of the arguments or, where they are None, of the run."""
        return grading(lib.hb_run_grading(self._handle.pointer), grade, min_f1, tolerance, abstain_as)

    # ---- Samples ----

    def frame(self, *, grade: str | None = None, min_f1: float | None = None, tolerance: float | None = None,
              abstain_as: str | None = None) -> pandas.DataFrame:
        """The samples as a pandas DataFrame: a row for each, a column for each score. The label is 1 for hallucinated
        and 0 for faithful; it is missing for a sample that was not scored, and for an abstention that is left out.
        Answers are graded as the run says, or else by "exact", unless `grade` is given."""
        import pandas
        rule = self._grading(grade, min_f1, tolerance, abstain_as)
        rows: list[dict[str, Any]] = []
        hooks = Hooks()
        visit_type: Any = api.FUNCTIONS["hb_run_each"][1][1]

        def add(_user: Any, sample: Any) -> int:
            rows.append(_row(sample, rule))
            return int(hooks.cancelled)

        visit = visit_type(hooks.guard(add, 1))
        try:
            run(lambda: check(lib.hb_run_each, self._handle.pointer, visit, None), hooks)
        finally:
            hooks.raise_exception()
        frame = pandas.DataFrame(rows)
        if len(rows):
            frame["label"] = frame["label"].astype("Int8")
        return frame

    def values(self, score: str, *, direction: str | None = None, grade: str | None = None, min_f1: float | None = None,
               tolerance: float | None = None, abstain_as: str | None = None
               ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
        """The values of a score and the labels of all labelled samples. A score of most signals has two values for each
        sample: the mean of the riskiest five steps if high values are risky, and if low ones are. `direction` ("high" or
        "low") chooses; None takes what is risky by the signal's definition."""
        import numpy as np
        rule = self._grading(grade, min_f1, tolerance, abstain_as)
        if direction is None:
            found = api.hb_score_id()
            low = bool(lib.hb_score_find(encode(score), ctypes.byref(found))) and \
                lib.hb_signal_risky(found.signal) == api.HB_DIRECTION_LOW
        else:
            if direction not in ("high", "low"):
                raise ArgumentError(f"direction must be high or low, not {direction!r}")
            low = direction == "low"
        table = api.hb_score_table()
        check(lib.hb_run_scores, self._handle.pointer, encode(score), ctypes.byref(rule), ctypes.byref(table))
        try:
            values = table.low if low and table.low else table.scores
            if not table.n:
                return np.empty(0), np.empty(0, np.uint8)
            return (np.ctypeslib.as_array(values, (table.n,)).copy(),
                    np.ctypeslib.as_array(table.labels, (table.n,)).copy())
        finally:
            lib.hb_score_table_free(ctypes.byref(table))

    # ---- Pass 2 ----

    def calibrate(self, score: str | Sequence[str] = "hbar_s", *, joint: bool = False, map: str | None = None,
                  min_recall: float | None = None, direction: str = "auto", exact_grid: bool = False,
                  guarantee: tuple[str, float] | None = None, halt: str | None = None,
                  false_halts: float | None = None, halts: float | None = None, delta: float = 0.05,
                  draws: int | None = None, grade: str | None = None, min_f1: float | None = None,
                  tolerance: float | None = None, abstain_as: str | None = None) -> Params:
        """Chooses the threshold of a score, of the best of several scores ("all": of each signal) or, with `joint`, of
        their joint model. The arguments are the options of `hbar sweep` (docs/usage.md): `guarantee` is ("risk", R) or
        ("recall", R); `delta` is the probability that a guarantee fails; `draws` are those of the bootstrap."""
        names = self._names(score)
        if map is None and len(names) == 1 and uses_probe(names):
            map = "platt"
        options = calibrate_options(min_recall=min_recall, direction=direction, map=map, joint=joint, draws=draws,
                                    exact_grid=exact_grid, guarantee=guarantee, halt=halt, false_halts=false_halts,
                                    halts=halts, delta=delta)
        rule = self._grading(grade, min_f1, tolerance, abstain_as)
        handle = Run(self.path)._handle  # of its own, so that this run is free after Ctrl-C

        source = api.hb_params_source(run=lib.hb_run_get_settings(handle.pointer), counts=self._counts())
        if source.counts.graded:
            source.grading = ctypes.pointer(rule)

        def work() -> Params:
            result = api.hb_calibration_result()
            check(lib.hb_calibrate_run, handle.pointer, texts(names), len(names), ctypes.byref(rule),
                  ctypes.byref(options), ctypes.byref(result))
            try:
                return finish(source, result)
            finally:
                lib.hb_calibration_result_free(ctypes.byref(result))

        return run(work)

    def validate(self, params: Params | str | os.PathLike[str], *, draws: int | None = None,
                 min_recall: float | None = None, force: bool = False, grade: str | None = None,
                 min_f1: float | None = None, tolerance: float | None = None, abstain_as: str | None = None
                 ) -> Validation:
        """Tries calibrated parameters on this run. Answers are graded as in the calibration, or else as the run says,
        unless `grade` is given. Parameters of another model or chat format are refused, unless `force` accepts them."""
        given = params if isinstance(params, Params) else Params.load(params)
        self._check(given, force)
        p = given._struct
        usual = p.grading if p.is_graded else lib.hb_run_grading(self._handle.pointer)
        rule = grading(usual, grade, min_f1, tolerance, abstain_as)
        bootstrap = bootstrap_options(draws, min_recall)
        handle = Run(self.path)._handle

        counts = self._counts()
        source = api.hb_validation_source(params=b"params", scores=encode_path(self.path), n_abstained=counts.abstained,
                                          run=lib.hb_run_get_settings(handle.pointer), counts=counts)
        if counts.graded:
            source.grading = ctypes.pointer(rule)

        def work() -> Validation:
            result = api.hb_validation_result()
            check(lib.hb_validate_run, given._handle.pointer, handle.pointer, ctypes.byref(rule),
                  ctypes.byref(bootstrap), ctypes.byref(result))
            return validation(source, result)

        return run(work)

    def _check(self, params: Params, force: bool) -> None:
        s, p = self._settings, params._handle.pointer
        info = api.hb_model_info(name=s.model_name, architecture=s.model_architecture, file_size=s.model_size)
        faults = []
        if not lib.hb_params_same_model(p, ctypes.byref(info)):
            faults.append(f"on another model ({params.model or 'unknown'}, not {decode(s.model_name)})")
        if not lib.hb_params_same_chat(p, s.chat, s.system):
            faults.append("with another chat format or system message")
        if p.contents.read_as is not None and p.contents.read_as != (s.read_as or b""):
            faults.append("on texts that were read in another way")
        if p.contents.abstain_sha256 is not None and p.contents.is_graded and \
                p.contents.abstain_sha256 != (s.abstain_sha256 or b""):
            faults.append("with other phrases of abstentions")
        for fault in faults:
            if not force:
                raise MismatchError(f"the parameters were calibrated {fault}; force=True accepts them")
            warnings.warn(f"the parameters were calibrated {fault}", HbarWarning, stacklevel=3)


def _row(pointer: Any, rule: Any) -> dict[str, Any]:
    s = pointer.contents
    scored = s.status == api.HB_SAMPLE_SCORED
    label = lib.hb_run_label(pointer, ctypes.byref(rule)) if scored else None
    row: dict[str, Any] = {
        "index": s.index, "id": decode(s.id), "status": decode(lib.hb_sample_status_name(s.status)),
        "label": label if label in (0, 1) else None, "prompt": None if s.prompt is None else decode(s.prompt),
        "text": None if s.text is None else decode(s.text),
        "answers": None if s.answers is None else json.loads(s.answers),
        "abstained": bool(s.grade.abstained) if scored and s.answers is not None else None,
        "finish": decode(lib.hb_finish_name(s.finish)) if scored else None,
        "reason": None if s.reason is None else decode(s.reason),
        "group": None if s.group is None else decode(s.group), "n_prompt": s.n_prompt, "n_tokens": s.n_tokens,
    }
    if scored:
        for i in range(lib.hb_scores_count(s.scores)):
            row[decode(lib.hb_scores_name(s.scores, i))] = lib.hb_scores_at(s.scores, i)
    return row


# ---- Pass 1 ----

def free_memory() -> int:
    """Available memory in bytes, with the page cache, which the kernel frees on demand."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGESIZE")


def score(model: Model, data: Data, path: str | os.PathLike[str] | None, *, max_tokens: int, seed: int,
          signals: str | Sequence[str] | None, features: str | None, answer_lines: int | None,
          abstain: str | os.PathLike[str] | None, samples: int, sample_temperature: float, sample_top_p: float,
          sample_max_tokens: int | None, ask: Sequence[str], judge: Model | None, keep_prompts: bool, keep_steps: bool,
          sequences: int, cache_bytes: int | None, progress: Callable[[int, int], None] | None,
          data_options: Mapping[str, Any]) -> Run:
    """Pass 1 of Model.score()."""
    if path is not None:
        check(lib.hb_run_try, encode_path(os.fspath(path)))
    pass1 = _Pass1()
    pass1.abstains, pass1.abstain_sha256 = _abstains(abstain)
    pass1.dataset = Dataset(data, seed=seed, **data_options)
    info = pass1.dataset.info
    settings = api.hb_run_settings(
        model_path=encode_path(model.path), model_name=encode(model.name), model_architecture=encode(model.architecture),
        model_sha256=model._sha256(), model_size=model._info.contents.file_size, data_path=info.path,
        data_format=info.recipe, data_sha256=info.sha256, data_rows=info.n_rows, data_broken=info.n_broken,
        n_samples=info.n_selected, seed=seed, max_tokens=max_tokens, n_ctx=model.context,
        alpha=lib.hb_monitor_defaults().alpha, chat=encode(model.chat), system=encode(model.system),
        answer_lines=1 if answer_lines is None else answer_lines, abstain_sha256=pass1.abstain_sha256,
        no_prompts=not keep_prompts, read_as=lib.hb_read_as_name(info.read_as), exact=model.exact,
        kv_type=encode(model.kv_type), no_steps=not keep_steps,
        engine=encode("" if model.engine == "native" else model.engine))
    if signals is None or signals == "all":
        pass1.signals = Handle.open(api.hb_signal_set, lib.hb_signal_set_free, lib.hb_signal_set_of_model,
                                    model._handle.pointer)
    else:
        pass1.signals = signal_set(signals)
    assert pass1.signals
    settings.signals = pass1.signals.pointer
    if features is not None:
        settings.features = encode(take_text(lib.hb_features_parse, encode(features), model._info))
    if samples:
        settings.samples, settings.sample_temperature, settings.sample_top_p = samples, sample_temperature, sample_top_p
        settings.sample_max_tokens = sample_max_tokens or max_tokens
    pass1.take_questions(settings, ask, judge)
    folder = tempfile.TemporaryDirectory(prefix="hbar-") if path is None else None
    place = os.path.join(folder.name, "run.db") if folder else os.fspath(path or "")
    cache = cache_bytes or min(free_memory() // 2, max(model._info.contents.file_size, LEAST_CACHE))
    pass1.execute(model, settings, encode_path(place), sequences, cache, cache_bytes is None, progress)
    made = Run(place)
    made._folder = folder
    return made


def _abstains(path: str | os.PathLike[str] | None) -> tuple[Handle, bytes]:
    name = None if path is None else encode_path(path)
    handle = Handle.open(api.hb_abstain_list, lib.hb_abstain_list_free, lib.hb_abstain_list_open, name)
    sha256 = ctypes.create_string_buffer(65)
    if name is not None:
        check(lib.hb_file_sha256, name, sha256)
    return handle, sha256.value


class _Pass1:
    """What pass 1 keeps alive."""

    dataset: Dataset
    signals: Handle | None
    abstains: Handle
    abstain_sha256: bytes
    questions: Handle | None = None
    judge: Model | None = None

    def take_questions(self, settings: Any, ask: Sequence[str], judge: Model | None) -> None:
        asked = {ask} if isinstance(ask, str) else set(ask)
        if judge:
            asked.add("entailment")
        if unknown := asked - set(QUESTIONS):
            raise ArgumentError(f"ask: there is no question {min(unknown)!r}; there are {', '.join(QUESTIONS)}")
        if not asked:
            return
        self.judge = judge
        self.questions = Handle.open(api.hb_questions, lib.hb_questions_free, lib.hb_questions_open, None)
        settings.asks = encode(",".join(name for name in QUESTIONS if name in asked))
        settings.questions_sha256 = lib.hb_questions_sha256(self.questions.pointer)
        if judge:
            settings.judge_sha256 = judge._sha256()

    def execute(self, model: Model, settings: Any, path: bytes, sequences: int, cache: int, usual_cache: bool,
                progress: Callable[[int, int], None] | None) -> None:
        hooks = Hooks()
        options = lib.hb_score_defaults()
        set_callback(options, "cancelled", hooks.is_cancelled)
        if progress:
            report = progress

            def on_progress(_user: Any, counts: Any, _done_now: int) -> None:
                c = counts.contents
                report(c.scored + c.skipped + c.failed, c.total)

            set_callback(options, "on_progress", hooks.guard(on_progress))
        options.chat = model._chat and model._chat.pointer
        options.abstains = self.abstains.pointer
        options.questions = self.questions and self.questions.pointer
        judge = self.judge._open_session() if self.judge else None
        options.judge = judge and judge.pointer
        options.judge_chat = self.judge and self.judge._chat and self.judge._chat.pointer
        session_options = api.hb_session_options.from_buffer_copy(model._options)
        session_options.n_sequences, session_options.claim, session_options.cache_bytes = sequences, True, cache
        if usual_cache:
            session_options.n_positions = max(USEFUL_POSITIONS, session_options.n_ctx)

        def work() -> None:
            session = model._open_session(session_options)
            opened = Handle.open(api.hb_run, lib.hb_run_close, lib.hb_run_create, path, ctypes.byref(settings))
            try:
                check(lib.hb_score, session.pointer, self.dataset.handle.pointer, opened.pointer, ctypes.byref(options))
            finally:
                opened.close()
                hooks.raise_exception()

        run(work, hooks)
