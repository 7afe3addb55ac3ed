"""Exceptions with the library's messages."""
from __future__ import annotations


class HbarError(Exception):
    """A call of the library failed. The message names the file, line or option."""


class HbarWarning(UserWarning):
    """A note of the library about a model's file or about data."""


class ArgumentError(HbarError, ValueError):
    """An argument is invalid."""


class OutOfMemoryError(HbarError, MemoryError):
    """An allocation failed."""


class FileError(HbarError, OSError):
    """The operating system refused a read or a write."""


class FormatError(HbarError, ValueError):
    """A file is truncated or contradicts its own format."""


class UnsupportedError(HbarError, ValueError):
    """The file is valid, but hbar does not support it."""


class ContextError(HbarError, ValueError):
    """The tokens do not fit the context."""


class NumericError(HbarError, ArithmeticError):
    """The model produced NaN or infinity."""


class MismatchError(HbarError, ValueError):
    """A run or parameters file belongs to other settings, another model or other data."""


class BusyError(FileError):
    """Another process is using the file."""


class DataError(HbarError, ValueError):
    """The data do not suffice for the request."""


BY_STATUS: dict[str, type[HbarError]] = {
    "HB_ERR_ARGUMENT": ArgumentError,
    "HB_ERR_MEMORY": OutOfMemoryError,
    "HB_ERR_IO": FileError,
    "HB_ERR_FORMAT": FormatError,
    "HB_ERR_UNSUPPORTED": UnsupportedError,
    "HB_ERR_CONTEXT": ContextError,
    "HB_ERR_NUMERIC": NumericError,
    "HB_ERR_MISMATCH": MismatchError,
    "HB_ERR_BUSY": BusyError,
    "HB_ERR_DATA": DataError,
}
