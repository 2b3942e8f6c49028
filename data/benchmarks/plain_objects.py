"""What `nasbench_kit.data.benchmarks.plain_pickle` makes of the names that a pickle may mention.

Every constructor checks its arguments, and raises a ``ValueError`` or ``TypeError`` for others.
"""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Callable, Hashable, Iterable
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import numpy as np

#: Types of which a key of a dictionary or a member of a set may be, beside flat tuples of them.
_ATOMS: Final = frozenset({str, int, float, bool, bytes, type(None)})
_LONGEST_KEY: Final = 32  # a tuple is hashed anew at every use
_DTYPE: Final = re.compile("[<|=]?(b1|[iu][1248]|f[248]|c8|c16)")
#: What ``numpy.dtype`` saves of a plain numeric type beside its code and byte order.
_DTYPE_STATE: Final = (None, None, None, -1, -1, 0)


class Bag(SimpleNamespace):
    """The attributes of an object whose class the caller named; it has no behaviour."""


class Global(NamedTuple):
    """A name that a pickle asked for and may: what makes an object of checked arguments."""

    name: str
    make: Callable[..., Any]


def make_bag() -> Bag:
    """A bag without attributes yet."""
    return Bag()


def _no_bytes() -> bytes:
    """Empty bytes, as protocol 2 writes them."""
    return b""


def _empty() -> collections.OrderedDict[Any, Any]:
    return collections.OrderedDict()


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes, as protocol 2 writes them."""
    check(type(text) is str and encoding == "latin1")
    return text.encode("latin1")


def _set(members: list[Hashable]) -> set[Hashable]:
    check(type(members) is list)
    return set(checked_keys(members))


def _frozenset(members: list[Hashable]) -> frozenset[Hashable]:
    check(type(members) is list)
    return frozenset(checked_keys(members))


def _dtype(code: str, align: int, copy: int) -> np.dtype[Any]:
    check(type(code) is str and align in (0, 1) and copy in (0, 1))
    check(_DTYPE.fullmatch(code) is not None)
    return np.dtype(code)


def _scalar(dtype: np.dtype[Any], raw: bytes) -> np.generic:
    check(isinstance(dtype, np.dtype) and type(raw) is bytes and len(raw) == dtype.itemsize)
    value: np.generic = np.frombuffer(raw, dtype)[0]
    return value


def _array(kind: object, shape: tuple[int, ...], code: bytes) -> np.ndarray[Any, Any]:
    """An array to be filled by its state."""
    check(kind is _NDARRAY and shape == (0,) and code == b"b")
    return np.empty(0, np.int8)


def _from_buffer(
    raw: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: str
) -> np.ndarray[Any, Any]:
    """An array, as protocol 5 writes it."""
    check(order in ("C", "F"))
    _check_array(raw, dtype, shape)
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if order == "F" else "C").copy("K")


def _never() -> None:
    raise ValueError


_NDARRAY: Final = Global("numpy.ndarray", _never)  # an argument of _reconstruct only
_MAKERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _empty,
    "_codecs.encode": _encoded,
    "__builtin__.bytes": _no_bytes,
    **{f"{module}.set": _set for module in ("builtins", "__builtin__")},
    **{f"{module}.frozenset": _frozenset for module in ("builtins", "__builtin__")},
    "numpy.dtype": _dtype,
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
    _MAKERS |= {
        f"{_core}.multiarray.scalar": _scalar,
        f"{_core}.multiarray._reconstruct": _array,
        f"{_core}.numeric._frombuffer": _from_buffer,
    }
GLOBALS: Final = {name: Global(name, make) for name, make in _MAKERS.items()} | {
    "numpy.ndarray": _NDARRAY
}


def build(target: object, state: Any) -> None:
    """Give an object its state: attributes of a bag, details of a dtype, contents of an array."""
    if type(target) is Bag:
        check(type(state) is dict and all(type(key) is str for key in state))
        check(all(key.isidentifier() and not key.startswith("__") for key in state))
        vars(target).update(state)
    elif isinstance(target, np.dtype):  # is little-endian already, and is shared: stays as it is
        check(type(state) is tuple and len(state) == 8)
        check(state[0] == 3 and state[1] in ("<", "|") and state[2:] == _DTYPE_STATE)
    elif type(target) is np.ndarray:
        check(type(state) is tuple and len(state) == 5)
        version, shape, dtype, fortran, raw = state
        check(version == 1 and type(fortran) is bool)
        _check_array(raw, dtype, shape)
        target.__setstate__((1, shape, dtype, fortran, raw))
    else:
        raise TypeError


def check(holds: bool) -> None:
    """Raise a ``ValueError`` unless something holds."""
    if not holds:
        raise ValueError


def _check_array(raw: object, dtype: object, shape: object) -> None:
    check(isinstance(dtype, np.dtype) and type(shape) is tuple)
    assert isinstance(dtype, np.dtype) and isinstance(shape, tuple)
    check(len(shape) <= 32 and all(type(size) is int and size >= 0 for size in shape))
    check(isinstance(raw, bytes | bytearray) and len(raw) == math.prod(shape) * dtype.itemsize)


def checked_keys(items: list[Any]) -> list[Any]:
    """The same, once it is clear that their hashes are those of atoms or of flat tuples."""
    for kind in set(map(type, items)) - _ATOMS:
        check(kind is tuple)
        check(all(_atoms(item) for item in items if type(item) is tuple))
        check(all(len(item) <= _LONGEST_KEY for item in items if type(item) is tuple))
    return items


def _atoms(items: Iterable[Any]) -> bool:
    return _ATOMS.issuperset(map(type, items))
