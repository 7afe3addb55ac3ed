"""What all structs of hbar.h have in common."""
from __future__ import annotations

import ctypes
import operator
from typing import Any

from ._errors import ArgumentError


class Struct(ctypes.Structure):
    """A struct that refuses whole numbers that do not fit a field. ctypes alone would cut off their upper bits."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if hasattr(value, "__index__"):
            kept = getattr(self, name)
            if isinstance(kept, int) and kept != operator.index(value):
                raise ArgumentError(f"{name} {value} is out of range")
