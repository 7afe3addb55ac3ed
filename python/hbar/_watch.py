"""How an answer is watched: the monitor that parameters or arguments describe."""
from __future__ import annotations

import ctypes
import math
import os
import warnings
from typing import Any, Sequence

from . import _api as api
from ._errors import ArgumentError, HbarWarning, MismatchError
from ._library import Handle, check, decode, encode, lib, number
from ._params import Params


def signal_set(names: str | Sequence[str] | None) -> Handle | None:
    """The signals of a list of names; None for all."""
    if names is None:
        return None
    text = names if isinstance(names, str) else ",".join(names)
    return Handle.open(api.hb_signal_set, lib.hb_signal_set_free, lib.hb_signal_set_parse, encode(text))


def find_signal(name: str) -> Any:
    signal = lib.hb_signal_find(encode(name))
    if not signal:
        raise ArgumentError(f"there is no signal {name!r}")
    return signal


class Watch:
    """Has `monitor`, an hb_monitor, and keeps alive what it points to."""

    def __init__(self, params: Params | str | os.PathLike[str] | None, watch: str | None, tau: float | None,
                 direction: str | None, cutoff: float | None, signals: str | Sequence[str] | None) -> None:
        self.params = params if params is None or isinstance(params, Params) else Params.load(params)
        self.monitor = lib.hb_monitor_defaults()
        self.monitor.watched = None
        self._given = any(value is not None for value in (watch, tau, direction))
        self._signals = signal_set(signals)
        self._score: Any = None
        if self.params:
            self._take(self.params, signals is not None)
            if not self._given and cutoff is None:
                self._take_halt(self.params)
        elif watch is None and (tau is not None or cutoff is not None or direction is not None):
            raise ArgumentError("tau, direction and cutoff need a signal to watch, or parameters")
        if watch is not None:
            self.monitor.watched, self.monitor.joint = find_signal(watch), None
        if tau is not None:
            self.monitor.tau = tau
        if direction is not None:
            self.monitor.direction = number("hb_direction", "HB_DIRECTION_", direction, "direction")
        if cutoff is not None:
            self.monitor.cutoff = cutoff
        if self._signals:
            self.monitor.signals = self._signals.pointer

    def _take(self, params: Params, signals_given: bool) -> None:
        p, monitor = params._struct, self.monitor
        joint = bool(p.joint.n_features)
        names = [decode(p.joint.features[i].score) for i in range(p.joint.n_features)] or [params.score]
        probes = {decode(lib.hb_probe_name(p.probes[i])): p.probes[i] for i in range(p.n_probes)}
        for name in names:
            if name not in probes and not lib.hb_score_find(encode(name), ctypes.byref(api.hb_score_id())):
                raise ArgumentError(f"the parameters need the score {name!r}, which is not measured while an answer is "
                                    "generated or judged")
        if not joint:
            self._score = api.hb_score_id()
            if params.score in probes:
                signal = lib.hb_probe_signal(probes[params.score])
                self._score = api.hb_score_id(signal, lib.hb_signal_usual(signal))
            else:
                lib.hb_score_find(encode(params.score), ctypes.byref(self._score))
            monitor.watched = self._score.signal
        needed = [probes[name] for name in names if name in probes]
        if needed and not self._given:
            self._add_probes(needed, signals_given)
        if joint:
            monitor.joint = ctypes.pointer(p.joint)
        monitor.tau, monitor.alpha, monitor.direction = p.tau, p.alpha, p.direction
        monitor.lambda_ = p.lambda_
        if not self._given:
            monitor.map = ctypes.pointer(p.map)

    def _take_halt(self, params: Params) -> None:
        """Without a calibrated halt nothing halts: tau was chosen for whole answers."""
        if params.halt:
            self.monitor.halt = ctypes.pointer(params._struct.halt)
            return
        self.monitor.cutoff = math.inf
        warnings.warn("the parameters have no calibrated halt, so no answer is halted, only judged when it is finished; "
                      "cutoff=P halts where P_fail reaches P, without a guarantee", HbarWarning, stacklevel=5)

    def _add_probes(self, probes: list[Any], signals_given: bool) -> None:
        """The parameters' probes are measured beside the other signals."""
        if not self._signals:
            self._signals = Handle.open(api.hb_signal_set, lib.hb_signal_set_free, lib.hb_signal_set_copy, None)
        for probe in probes:
            check(lib.hb_signal_set_add, self._signals.pointer, lib.hb_probe_signal(probe))

    def check_model(self, info: Any, chat: str | None, system: str | None, exact: bool,
                    kv_type: str, engine: str) -> None:
        """Warns of parameters that were calibrated on something else. Probes of another model measure nothing."""
        if not self.params:
            return
        p = self.params._handle.pointer
        if not lib.hb_params_same_model(p, info):
            message = f"the parameters were calibrated on another model ({self.params.model or 'unknown'})"
            if p.contents.n_probes and not self._given:
                raise MismatchError(f"{message}, and so were their probes")
            warnings.warn(message, HbarWarning, stacklevel=4)
        if not lib.hb_params_same_chat(p, encode(chat), encode(system)):
            warnings.warn("the parameters were calibrated with another chat format or system message "
                          f"({decode(p.contents.chat) or 'none'})", HbarWarning, stacklevel=4)
        if p.contents.knows_exact and p.contents.exact != exact:
            warnings.warn(f"the parameters were calibrated {'with' if p.contents.exact else 'without'} exact=True",
                          HbarWarning, stacklevel=4)
        elif p.contents.kv_type and decode(lib.hb_kv_type_name(p.contents.kv_type)) != kv_type:
            warnings.warn("the parameters were calibrated with another kv_type "
                          f"({decode(lib.hb_kv_type_name(p.contents.kv_type))})", HbarWarning, stacklevel=4)
        calibrated = decode(p.contents.engine) or "native"
        if p.contents.knows_exact and calibrated != engine:
            warnings.warn(f"the parameters were calibrated with engine={calibrated!r}", HbarWarning, stacklevel=4)

    def verdict(self, generation: Any) -> float | None:
        """The value of the parameters' score for a whole answer; None without parameters, and if it is not known."""
        if not self.params or self._given or not generation.n_steps:
            return None
        if self.monitor.joint:
            value = float(generation.last.watched)
        else:
            tail = lib.hb_score_tail(self._score, self.monitor.direction)
            value = float(lib.hb_scores_get(generation.scores, tail))
        return None if math.isnan(value) else value
