"""Calibrated parameters."""
from __future__ import annotations

import ctypes
import json
import os
import re
import secrets
import tempfile
from pathlib import Path
from typing import Any

from . import _api as api
from ._errors import FileError
from ._library import Handle, decode, encode, encode_path, lib, take_text


class Params:
    """What a calibration found: the score, its threshold and direction, the map to a probability, and the halt.

    `Params.load(path)` reads a file of `hbar calibrate`; `Run.calibrate()` returns new ones. `document` is the
    whole content of the file (docs/parameters.md). `report` is the calibration as text; None for loaded parameters."""

    def __init__(self, text: str, handle: Handle, report: str | None = None) -> None:
        self._text = text
        self._handle = handle
        self.report = report
        self.document: dict[str, Any] = json.loads(text)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Params:
        """Reads a parameters file."""
        name = os.fsdecode(path)
        if os.path.exists(name) and not os.path.isfile(name):  # a pipe could not be read twice
            raise FileError(f"{name}: is not a regular file")
        handle = _load(name)  # checks the file, with a message that names it
        return cls(Path(name).read_text(encoding="utf-8"), handle)

    @classmethod
    def _from_text(cls, text: str, report: str | None = None) -> Params:
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            return cls(text, _load(file.name), report)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the file: whole, or not at all. Replaces a file of that name; writes into a pipe or a device. In a
        folder that exists, the file gets the name that `hbar calibrate` gives it. Returns the path."""
        if os.path.isdir(path):
            return self._save_in(path)
        target = Path(os.fsdecode(path))
        try:
            if target.exists() and not target.is_file():
                target.write_text(self._text, encoding="utf-8")
            else:
                self._replace(target)
        except OSError as error:
            raise FileError(f"{target}: {error.strerror}") from error
        return target

    def _replace(self, target: Path) -> None:
        unfinished = target.parent / f".hbar-{secrets.token_hex(8)}"
        file = open(unfinished, "x", encoding="utf-8")
        try:
            with file:
                file.write(self._text)
            os.replace(unfinished, target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def _save_in(self, folder: str | os.PathLike[str]) -> Path:
        name = re.sub(r"[^a-z0-9._-]", "_", (self.model or "scores").lower())[:128].lstrip(".") or "scores"
        saved = take_text(lib.hb_params_save, encode_path(folder), encode(name), self._n_samples, encode(self._text))
        return Path(saved)

    @property
    def _n_samples(self) -> int:
        settings = self.document.get("settings") or {}
        return int(settings.get("n_samples") or self.document["score"]["n"])

    @property
    def _struct(self) -> Any:
        return self._handle.pointer.contents

    @property
    def score(self) -> str:
        """The name of the calibrated score; "joint" for a joint model."""
        return decode(self._struct.score)

    @property
    def tau(self) -> float:
        """The threshold of the score."""
        return float(self._struct.tau)

    @property
    def direction(self) -> str:
        """Which scores are risky: "high" (at least tau) or "low" (at most tau)."""
        return decode(lib.hb_direction_name(self._struct.direction))

    @property
    def model(self) -> str:
        """The model's name; empty when unknown."""
        return decode(self._struct.model_name)

    @property
    def halt(self) -> str | None:
        """The rule of the calibrated halt, such as "token" or "window:8"; None without one."""
        if self._struct.halt.rule.kind == api.HB_HALT_NONE:
            return None
        text = ctypes.create_string_buffer(api.HB_HALT_RULE_BYTES)
        lib.hb_halt_rule_text(ctypes.byref(self._struct.halt.rule), text)
        return decode(text.value)

    def p_fail(self, value: float) -> float:
        """The failure probability of a value of the score."""
        p = self._struct
        return float(lib.hb_p_fail_by(ctypes.byref(p.map), value, p.tau, p.lambda_, p.direction))

    def is_risky(self, value: float) -> bool:
        """Whether the threshold flags a value of the score."""
        return bool(lib.hb_is_flagged(value, self.tau, self._struct.direction))

    def __repr__(self) -> str:
        sign = decode(lib.hb_direction_sign(self._struct.direction))
        return f"<hbar.Params {self.score} {sign} {self.tau:.6g}, model {self.model or 'unknown'}>"


def _load(path: str) -> Handle:
    return Handle.open(api.hb_params, lib.hb_params_free, lib.hb_params_load, encode_path(path))

