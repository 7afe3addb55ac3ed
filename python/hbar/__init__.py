"""Runs local language models, measures their uncertainty token by token, and calibrates when to stop."""
from ._calibrate import Validation, calibrate, validate
from ._errors import (ArgumentError, BusyError, ContextError, DataError, FileError, FormatError, HbarError, HbarWarning,
                      MismatchError, NumericError, OutOfMemoryError, UnsupportedError)
from ._library import VERSION as __version__
from ._model import ATTENTION, Answer, Generation, Model, Token
from ._params import Params
from ._run import Run

__all__ = ["ATTENTION", "Answer", "ArgumentError", "BusyError", "ContextError", "DataError", "FileError", "FormatError",
           "Generation", "HbarError", "HbarWarning", "MismatchError", "Model", "NumericError", "OutOfMemoryError",
           "Params", "Run", "Token", "UnsupportedError", "Validation", "__version__", "calibrate", "validate"]
