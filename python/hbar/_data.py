"""Datasets: files, pandas frames and rows."""
from __future__ import annotations

import ctypes
import json
import math
import os
import tempfile
import warnings
from typing import Any, Iterable, Mapping, Sequence, Union

from . import _api as api
from ._errors import HbarWarning
from ._library import Handle, Hooks, decode, encode, encode_path, lib, number, run, set_callback

# A file or several; a pandas DataFrame, a Dataset of the package `datasets`, or any rows.
Data = Union[str, "os.PathLike[str]", Sequence[Any], Iterable[Mapping[str, Any]], Any]
ROLES = ("prompt", "answers", "id", "label", "response", "context", "spans", "group")


def _plain(value: Any) -> Any:
    """NumPy's values as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a row has a value of the type {type(value).__name__}, which JSON has not")


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in ("NAType", "NaTType")


def _paths(data: Any) -> list[str] | None:
    """The files that the data name; None for rows."""
    if isinstance(data, (str, os.PathLike)):
        return [os.fspath(data)]
    if isinstance(data, Sequence) and data and all(isinstance(item, (str, os.PathLike)) for item in data):
        return [os.fspath(item) for item in data]
    return None


def _rows(data: Any) -> Iterable[Mapping[str, Any]]:
    if hasattr(data, "to_dict") and hasattr(data, "columns"):  # a DataFrame
        return data.to_dict("records")  # type: ignore[no-any-return]
    return data  # type: ignore[no-any-return]


class Dataset:
    """An open dataset, and the temporary file that has its rows."""

    def __init__(self, data: Data, *, fields: Mapping[str, str] | None = None, read_as: str = "usual", n: int = 0,
                 seed: int = 42, shots: int = 0, shots_data: Data | None = None, **options: Any) -> None:
        self._files: list[Any] = []
        paths = self._paths_of(data)
        o = lib.hb_dataset_defaults()
        o.n_samples, o.seed, o.shots = n, seed, shots
        o.read_as = number("hb_read_as", "HB_READ_", read_as, "read_as")
        if shots_data is not None:
            [path] = self._paths_of(shots_data)
            o.shots_path = encode_path(path)
        for role, path in (fields or {}).items():
            if role not in ROLES:
                raise ValueError(f"fields: there is no {role!r}; there are {', '.join(ROLES)}")
            setattr(o, role, encode(path))
        self._take(o, **options)
        self._hooks = Hooks()
        for hook in ("on_broken", "on_warning"):
            set_callback(o, hook, self._hooks.guard(
                lambda _user, message: warnings.warn(decode(ctypes.string_at(message)), HbarWarning, stacklevel=2)))
        array = (ctypes.c_char_p * len(paths))(*map(encode_path, paths))
        self.handle = run(lambda: Handle.open(api.hb_dataset, lib.hb_dataset_close, lib.hb_dataset_open_files, array,
                                              len(paths), ctypes.byref(o)))
        self._options = o
        self._hooks.raise_exception()

    def _take(self, o: Any, *, format: str | None = None, where: str | None = None, join: str | None = None,
              prompt_template: str | None = None, answers_separator: str | None = None, positive: str | None = None,
              correct: bool = False, strict: bool = False) -> None:
        o.format, o.where, o.join, o.prompt_template = map(encode, (format, where, join, prompt_template))
        o.answers_separator, o.positive = map(encode, (answers_separator, positive))
        o.label_is_correct, o.strict = correct, strict

    def _paths_of(self, data: Data) -> list[str]:
        paths = _paths(data)
        if paths is not None:
            return paths
        file = tempfile.NamedTemporaryFile("w", prefix="hbar-rows-", suffix=".jsonl", encoding="utf-8")
        self._files.append(file)
        for row in _rows(data):
            if not isinstance(row, Mapping):
                raise TypeError(f"data: expected a path, a DataFrame or rows, not {type(row).__name__}")
            kept = {str(name): value for name, value in row.items() if not _is_missing(value)}
            file.write(json.dumps(kept, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")
        file.flush()
        return [file.name]

    @property
    def info(self) -> Any:
        return lib.hb_dataset_get_info(self.handle.pointer).contents

