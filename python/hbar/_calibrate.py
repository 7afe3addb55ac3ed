"""Pass 2: options, calibration and validation of runs and of tables."""
from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from . import _api as api
from ._errors import ArgumentError
from ._library import Handle, check, decode, encode, lib, number, run, take_text, texts
from ._params import Params

Guarantee = tuple[str, float]  # ("risk", 0.1)


def grading(usual: Any, grade: str | None, min_f1: float | None, tolerance: float | None, abstain_as: str | None) -> Any:
    """How grades become labels (docs/grading.md). Where an argument is None, `usual`, an hb_grading, counts."""
    g = api.hb_grading.from_buffer_copy(usual)
    if grade is not None:
        defaults = lib.hb_grading_defaults()
        g.rule = number("hb_grade_rule", "HB_GRADE_", grade, "grade")
        g.min_f1, g.tolerance = defaults.min_f1, defaults.tolerance
    if abstain_as is not None:
        g.abstain_as = number("hb_abstain_as", "HB_ABSTAIN_", abstain_as, "abstain_as")
    if min_f1 is not None:
        g.min_f1 = min_f1
    if tolerance is not None:
        g.tolerance = tolerance
    check(lib.hb_grading_check, ctypes.byref(g))
    return g


def calibrate_options(*, min_recall: float | None = None, direction: str = "auto", map: str | None = None,
                      joint: bool = False, draws: int | None = None, exact_grid: bool = False,
                      guarantee: Guarantee | None = None, halt: str | None = None, false_halts: float | None = None,
                      halts: float | None = None, delta: float = 0.05) -> Any:
    o = lib.hb_calibrate_defaults()
    if min_recall is not None:
        o.sweep.min_recall = min_recall
    o.sweep.direction = number("hb_direction", "HB_DIRECTION_", direction, "direction")
    if exact_grid:
        o.sweep.grid = api.HB_GRID_EXACT
    if guarantee is not None:
        o.sweep.guarantee = api.hb_guarantee(number("hb_guarantee_kind", "HB_GUARANTEE_", guarantee[0], "guarantee"),
                                             guarantee[1], delta)
    o.joint = joint
    o.map = number("hb_map_kind", "HB_MAP_", map or ("platt" if joint else "lambda"), "map")
    if draws is not None:
        o.bootstrap.n_draws = draws
    if halt is not None and not lib.hb_halt_rule_parse(encode(halt), ctypes.byref(o.halt.rule)):
        raise ArgumentError(f"halt: {halt!r} is not none, token, window:K, ewma:A or cusum")
    if halts is not None and false_halts is not None:
        raise ArgumentError("false_halts and halts exclude each other")
    target = halts if halts is not None else false_halts
    if target is not None:
        kind = api.HB_GUARANTEE_FALSE_HALTS if halts is None else api.HB_GUARANTEE_HALTS
        o.halt.guarantee = api.hb_guarantee(kind, target, delta)
    o.needs_halt = target is not None or (halt is not None and o.halt.rule.kind != api.HB_HALT_NONE)
    return o


def uses_probe(names: Sequence[str]) -> bool:
    i = 0
    while (kind := lib.hb_probe_kind_name(i)) is not None:
        if decode(kind) in names:
            return True
        i += 1
    return False


class Table:
    """An hb_score_table of columns, and what keeps them alive."""

    def __init__(self, scores: Any, labels: Sequence[Any], groups: Sequence[Any] | None = None) -> None:
        columns = _columns(scores)
        self.names = list(columns)
        n = len(labels)
        for name, values in columns.items():
            if len(values) != n:
                raise ValueError(f"the score {name!r} has {len(values)} values for {n} labels")
        for label in labels:
            if type(label).__name__ == "NAType" or label not in (0, 1):  # NA has no truth value
                raise ValueError(f"a label must be 0 or 1, not {label!r}")
        self._values = (ctypes.c_double * max(n * len(columns), 1))(*[v for values in columns.values() for v in values])
        self._labels = (ctypes.c_uint8 * max(n, 1))(*[int(label) for label in labels])
        self.struct = api.hb_score_table(scores=self._values, labels=self._labels, n=n, n_scores=len(columns))
        if groups is not None:
            if len(groups) != n:
                raise ValueError(f"there are {len(groups)} groups for {n} labels")
            numbers: dict[Any, int] = {}
            self._groups = (ctypes.c_uint32 * max(n, 1))(*[numbers.setdefault(g, len(numbers)) for g in groups])
            self.struct.groups = self._groups


def _columns(scores: Any) -> dict[str, Any]:
    if hasattr(scores, "columns"):  # a DataFrame
        return {str(name): list(scores[name]) for name in scores.columns}
    if isinstance(scores, Mapping):
        return {str(name): list(values) for name, values in scores.items()}
    return {"score": list(scores)}


def finish(source: Any, result: Any) -> Params:
    """The parameters of a calibration's result."""
    text = take_text(lib.hb_params_json, ctypes.byref(source), ctypes.byref(result))
    report = take_text(lib.hb_params_text, ctypes.byref(source), ctypes.byref(result))
    return Params._from_text(text, report)


def calibrate(scores: Any, labels: Sequence[Any], *, groups: Sequence[Any] | None = None, name: str = "table",
              **options: Any) -> Params:
    """Calibrates scores of any origin: a DataFrame or a mapping of columns, or the values of one score. Label 1 means
    hallucinated. Rows with the same group belong together. `name` stands for the data in reports. The other arguments
    are those of Run.calibrate() that concern no run."""
    table, o = Table(scores, labels, groups), calibrate_options(**options)
    if o.needs_halt:
        raise ArgumentError("a halt needs the tokens of a run")
    return run(lambda: _calibrate_table(table, o, name))


def _calibrate_table(table: Table, options: Any, name: str) -> Params:
    result = api.hb_calibration_result()
    check(lib.hb_calibrate, ctypes.byref(table.struct), texts(table.names), ctypes.byref(options), ctypes.byref(result))
    try:
        return finish(api.hb_params_source(data_path=encode(name)), result)
    finally:
        lib.hb_calibration_result_free(ctypes.byref(result))


@dataclass(frozen=True)
class Validation:
    """How well calibrated parameters do on other samples. `document` has all results (docs/statistics.md), `report`
    is the text for people."""

    document: dict[str, Any] = field(repr=False)
    report: str = field(repr=False)

    @property
    def auroc(self) -> float:
        """Of the calibrated score."""
        return float(self.document["scores"][self.document["score"]]["auroc"])


def validate(params: Params | str | os.PathLike[str], scores: Any, labels: Sequence[Any] | None = None, *,
             groups: Sequence[Any] | None = None, name: str = "table", draws: int | None = None,
             min_recall: float | None = None, **options: Any) -> Validation:
    """Validates parameters on a run, or on scores of any origin as for calibrate()."""
    from ._run import Run
    if isinstance(scores, Run):
        return scores.validate(params, draws=draws, min_recall=min_recall, **options)
    if labels is None:
        raise TypeError("validate() needs labels, unless it is given a run")
    given = params if isinstance(params, Params) else Params.load(params)
    table, bootstrap = Table(scores, labels, groups), bootstrap_options(draws, min_recall)
    return run(lambda: _validate_table(given, table, bootstrap, name))


def bootstrap_options(draws: int | None, min_recall: float | None) -> Any:
    o = lib.hb_bootstrap_defaults()
    o.min_recall = min_recall or 0
    if draws is not None:
        o.n_draws = draws
    return o


def _validate_table(params: Params, table: Table, bootstrap: Any, name: str) -> Validation:
    result = api.hb_validation_result()
    check(lib.hb_validate_scores, params._handle.pointer, ctypes.byref(table.struct), texts(table.names),
          ctypes.byref(bootstrap), ctypes.byref(result))
    return validation(api.hb_validation_source(params=b"params", scores=encode(name)), result)


def validation(source: Any, result: Any) -> Validation:
    """The Validation of a result, which is freed."""
    try:
        text = take_text(lib.hb_validation_json, ctypes.byref(source), ctypes.byref(result))
        report = take_text(lib.hb_validation_text, ctypes.byref(source), ctypes.byref(result))
    finally:
        lib.hb_validation_result_free(ctypes.byref(result))
    return Validation(json.loads(text), report)
