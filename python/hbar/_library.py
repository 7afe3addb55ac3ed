"""Loads libhbar.so and calls its functions. Only this module and its callers know ctypes."""
from __future__ import annotations

import ctypes
import os
import threading
import weakref
from pathlib import Path
from typing import Any, Callable, Sequence, TypeVar

from . import _api as api
from ._errors import BY_STATUS, ArgumentError, HbarError

T = TypeVar("T")
VERSION = f"{api.HB_VERSION_MAJOR}.{api.HB_VERSION_MINOR}.{api.HB_VERSION_PATCH}"
_SONAME = f"libhbar.so.{api.HB_VERSION_MAJOR}.{api.HB_VERSION_MINOR}"


def _open_library() -> ctypes.CDLL:
    """The library that HBAR_LIBRARY names; else the one in the package, where the package was built, or installed."""
    named = os.environ.get("HBAR_LIBRARY")
    places = [named] if named else [
        *(str(folder / _SONAME) for folder in (Path(__file__).parent, Path(api.LIBRARY_DIR))
          if (folder / _SONAME).exists()), _SONAME]
    try:
        library = ctypes.CDLL(places[0])
    except OSError as error:
        raise ImportError(f"hbar: cannot load its library: {error}; install it, or set HBAR_LIBRARY to the path of "
                          "libhbar.so") from None
    library.hb_version.restype = ctypes.c_char_p
    found = library.hb_version().decode()
    if found != VERSION:
        raise ImportError(f"hbar: the package has version {VERSION}, but {places[0]} has version {found}")
    for name, (result, arguments) in api.FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(f"hbar: {places[0]} has no function {name}: it was built from another hbar.h than the "
                              "package") from None
        function.restype, function.argtypes = result, arguments
    return library


lib: Any = _open_library()
_free = ctypes.CDLL(None).free
_free.argtypes, _free.restype = [ctypes.c_void_p], None


def check(function: Any, *arguments: Any) -> None:
    """Calls a function that returns a status and takes an hb_error at the end. Raises its message."""
    error = api.hb_error()
    status = function(*arguments, ctypes.byref(error))
    if status:
        raise failure(status, error.message.decode("utf-8", "replace"))


def failure(status: int, message: str) -> HbarError:
    names = {value: name for name, value in api.ENUMS["hb_status"].items()}
    return BY_STATUS.get(names.get(status, ""), HbarError)(message)


def encode(text: str | None) -> bytes | None:
    """A text for a zero-terminated parameter."""
    if text is None:
        return None
    return _without_zeros(text.encode(), "text")


def encode_path(path: str | os.PathLike[str]) -> bytes:
    return _without_zeros(os.fsencode(path), "path")


def _without_zeros(encoded: bytes, what: str) -> bytes:
    """Refuses what the library would read to the first zero byte only."""
    if b"\0" in encoded:
        raise ValueError(f"the {what} contains a zero byte")
    return encoded


def decode(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")


def int32s(values: Sequence[int]) -> Any:
    """An array of int32_t, of which ctypes alone would cut off upper bits."""
    array = (ctypes.c_int32 * max(len(values), 1))(*values)
    for kept, value in zip(array, values):
        if kept != value:
            raise ArgumentError(f"{value} is out of range")
    return array


def texts(values: Sequence[str]) -> Any:
    """An array of zero-terminated texts."""
    return (ctypes.c_char_p * max(len(values), 1))(*[encode(value) for value in values])


def number(enum: str, prefix: str, value: str, what: str, name_of: Any = None) -> int:
    """The enumerator that a word names: number("hb_direction", "HB_DIRECTION_", "high", "direction").

    `name_of` is the library's function that names the enumerators, for words that are not those of the constants."""
    known = {decode(name_of(n)) if name_of else name.removeprefix(prefix).lower().replace("_", "-"): n
             for name, n in api.ENUMS[enum].items() if name.startswith(prefix)}
    if value not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}, not {value!r}")
    return known[value]


def take_text(function: Any, *arguments: Any) -> str:
    """The text that a function returns through a `char **` before its hb_error."""
    text = ctypes.c_char_p()
    check(function, *arguments, ctypes.byref(text))
    try:
        return decode(text.value)
    finally:
        _free(ctypes.cast(text, ctypes.c_void_p))


def take_name(address: int | None) -> str:
    """A text that the library returned and that is to be freed."""
    if not address:
        raise MemoryError
    try:
        return decode(ctypes.string_at(address))
    finally:
        _free(address)


def free(pointer: Any) -> None:
    _free(ctypes.cast(pointer, ctypes.c_void_p))


def set_callback(options: Any, field: str, function: Callable[..., Any]) -> None:
    """Sets a field that points to a function, which lives as long as the struct."""
    kinds: dict[str, Any] = {name: kind for name, kind, *_ in options._fields_}
    setattr(options, field, kinds[field](function))


class Handle:
    """An object of the library. It is closed when nothing refers to it any longer, before what it depends on."""

    def __init__(self, pointer: Any, close: Callable[[Any], None], *depends_on: Handle | None) -> None:
        self.pointer = pointer
        self._depends_on = depends_on
        # At exit the system frees memory better than a finalizer, which could run beside a thread in the library.
        self._finalizer = weakref.finalize(self, close, pointer)
        self._finalizer.atexit = False

    def close(self) -> None:
        """Closes it now."""
        self._finalizer()

    @classmethod
    def open(cls, kind: Any, close: Any, function: Any, *arguments: Any, depends_on: Sequence[Handle | None] = ()
             ) -> Handle:
        """Opens an object with a function that takes `kind **` and an hb_error at the end."""
        pointer = ctypes.POINTER(kind)()
        check(function, *arguments, ctypes.byref(pointer))
        return cls(pointer, close, *depends_on)


class Hooks:
    """Functions that the library calls. An exception in one of them cancels the call, and is raised after it."""

    def __init__(self) -> None:
        self.cancelled = False
        self.exception: BaseException | None = None

    def guard(self, function: Callable[..., Any], on_error: Any = None) -> Callable[..., Any]:
        def guarded(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except BaseException as exception:
                self.exception = self.exception or exception
                self.cancelled = True
                return on_error
        return guarded

    def is_cancelled(self, _user: Any = None) -> bool:
        return self.cancelled

    def raise_exception(self) -> None:
        if self.exception:
            raise self.exception


def run(work: Callable[[], T], hooks: Hooks | None = None) -> T:
    """Runs a long call so that Ctrl-C ends it. Python raises KeyboardInterrupt in the main thread and only between two
    of its instructions, so that thread waits here while another one is in the library. Without hooks the call cannot be
    cancelled: it ends in the background, and its result is dropped."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    results: list[T] = []
    errors: list[BaseException] = []
    ended = threading.Event()

    def job() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=job, name="hbar", daemon=True)
    try:
        thread.start()
        ended.wait()
    except BaseException:
        if hooks:
            hooks.cancelled = True
            ended.wait()
        raise
    if errors:
        raise errors[0]
    return results[0]
