"""Pickles of plain data, read without the machine that would run their code.

Python's own reader calls whatever callable a pickle names. This one interprets the opcodes itself: it
knows numbers, texts, bytes, lists, tuples, sets, dictionaries and a few constructors with checked
arguments, and it has no way to call anything else. A name outside the list is refused by that name.

What a file declares is checked before it is believed: sizes against the bytes that are there, places
in the memo by a dictionary, keys (atoms, or short flat tuples of atoms), since a hash of tuples nested
a million deep ends the process, and what constructors copy in all. What comes out is as large as its input times a constant, but may
refer to one object many times, or to itself: walk only as deep as you expect it to be.
"""

from __future__ import annotations

import collections
import functools
import gc
import pickle
import struct
from collections.abc import Callable, Collection
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nasbench_kit.data.benchmarks.plain_objects import (
    GLOBALS,
    Bag,
    Global,
    build,
    check,
    checked_keys,
    make_bag,
)
from nasbench_kit.errors import CorruptFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The newest protocol; it has been that since Python 3.8.
_NEWEST: Final = 5
#: The oldest protocol with the opcode MEMOIZE.
_MEMOIZES: Final = 4
#: What reading a damaged pickle comes to.
_DAMAGED: Final = (
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    struct.error,
)


def loads(data: bytes, source: object, classes: Collection[str] = ()) -> Any:
    """The plain data of a pickle of protocol 2 to 5.

    Args:
        data: the whole pickle.
        source: where it is from, for messages.
        classes: full names of classes (``package.module.Class``) that become a `Bag` of attributes.

    Raises:
        CorruptFile: the pickle wants anything but plain data, or is damaged; nothing of it was run.
    """
    named = {name: Global(name, make_bag) for name in classes}
    collecting = gc.isenabled()
    gc.disable()  # it would walk the growing data again and again
    try:
        return _Machine(data, source, GLOBALS | named).run()
    except _DAMAGED as error:
        raise CorruptFile(
            f"the pickle {source} is damaged, or no pickle of plain data at all"
        ) from error
    except MemoryError as error:
        raise CorruptFile(f"the pickle {source} does not fit the memory") from error
    finally:
        if collecting:
            gc.enable()


class _Machine:
    """The interpreter: a stack of objects, positions of marks on it, and the memo."""

    def __init__(self, data: bytes, source: object, names: dict[str, Global]) -> None:
        self.data = data
        self.source = source
        self.names = names
        self.stack: list[Any] = []
        self.marks: list[int] = []
        # Opcodes that name their place may leave gaps; the newer one takes the next place.
        self.memo: Any = [] if data[1] >= _MEMOIZES else {}
        self.copied = 0

    def run(self) -> Any:  # noqa: PLR0912 - a table of methods takes twice as long
        """Interpret up to STOP; the ten opcodes that data consists of stand here for their speed."""
        data, stack, marks, memo = self.data, self.stack, self.marks, self.memo
        push, double = stack.append, struct.Struct(">d").unpack_from
        other = {code: getattr(self, f"_{name}") for code, name in _OTHER.items()}
        if data[:1] != pickle.PROTO or not 2 <= data[1] <= _NEWEST:
            raise ValueError
        at = 2
        while True:
            code = data[at]
            at += 1
            if code == _BINFLOAT:
                push(double(data, at)[0])
                at += 8
            elif code == _MEMOIZE:
                memo.append(stack[-1])
            elif code == _SHORT_BINUNICODE:
                end = at + 1 + data[at]
                text = data[at + 1 : end].decode("utf-8", "surrogatepass")
                push(text)
                at = end
                if data[at] == _MEMOIZE:  # as almost always
                    memo.append(text)
                    at += 1
            elif code == _BININT1:
                push(data[at])
                at += 1
            elif code == _LONG_BINGET:
                push(memo[int.from_bytes(data[at : at + 4], "little")])
                at += 4
            elif code == _BINGET:
                push(memo[data[at]])
                at += 1
            elif code == _LONG_BINPUT:
                memo[int.from_bytes(data[at : at + 4], "little")] = stack[-1]
                at += 4
            elif code == _MARK:
                marks.append(len(stack))
                at = self._numbers(at)
            elif code == _EMPTY_DICT:
                push({})
            elif code == _STOP:
                break
            elif code in other:
                at = other[code](at)
            else:
                self._refuse_opcode(code)
        if at > len(data) or len(stack) != 1 or marks:
            raise ValueError
        return stack[0]

    def _numbers(self, at: int) -> int:
        """Take the pairs that follow a mark, if they are small integers or short texts and floats.

        They are what long dictionaries consist of, and are taken many at a time for speed: opcodes that
        repeat lie at equal distances.
        """
        data = self.data
        keys: list[Any] = []
        values: list[float] = []
        if data[at] == _BININT1 and (count := self._alike(at, 11, {0: _BININT1, 2: _BINFLOAT})):
            keys.extend(data[at + 1 : at + 11 * count : 11])
            values.extend(self._column(at + 3, 11, count, ">f8").tolist())
            at += 11 * count
        while data[at] == _SHORT_BINUNICODE and (size := data[at + 1]):
            length = size + 12
            opcodes = {1: size, size + 2: _MEMOIZE, size + 3: _BINFLOAT}
            count = self._alike(at, length, {0: _SHORT_BINUNICODE} | opcodes)
            if not count:
                break
            texts = _texts(self._column(at + 2, length, count, f"V{size}").tobytes(), size)
            self.memo.extend(texts)
            keys.extend(texts)
            values.extend(self._column(at + size + 4, length, count, ">f8").tolist())
            at += length * count
        pairs = zip(keys, values, strict=True)
        if data[at] == _SETITEMS:
            self.marks.pop()
            self._target(dict, collections.OrderedDict).update(pairs)
            return at + 1
        self.stack.extend(chain.from_iterable(pairs))
        return at

    def _alike(self, at: int, length: int, opcodes: dict[int, int]) -> int:
        """How many stretches of this length, one after the other, have these bytes at these places."""
        count = min(_AT_ONCE, (len(self.data) - at) // length)
        for place, byte in opcodes.items():
            column = self.data[at + place : at + length * count : length]
            count = len(column) - len(column.lstrip(bytes([byte])))
        return count

    def _column(self, at: int, length: int, count: int, code: str) -> NDArray[Any]:
        """From each stretch of this length a value of this type of NumPy."""
        return np.ndarray((count,), code, self.data, at, (length,))

    # Each takes the place of its argument and returns that of the next opcode.

    def _frame(self, at: int) -> int:
        check(self._integer(at, 8) <= len(self.data) - at - 8)
        return at + 8

    def _constant(self, at: int) -> int:
        self.stack.append(_CONSTANTS[self.data[at - 1]]())
        return at

    def _integer_of(self, at: int) -> int:
        code = self.data[at - 1]
        size = {_BININT: 4, _BININT2: 2}.get(code)
        if size is None:  # LONG1: its length stands before it
            size, at = self.data[at], at + 1
        raw = self._bytes(at, size)
        self.stack.append(int.from_bytes(raw, "little", signed=code != _BININT2))
        return at + size

    def _counted(self, at: int) -> int:
        """Texts and bytes: a length, then so many bytes."""
        width, convert = _COUNTED[self.data[at - 1]]
        size = self._integer(at, width)
        self.stack.append(convert(self._bytes(at + width, size)))
        return at + width + size

    def _put(self, at: int) -> int:
        self.memo[self.data[at]] = self.stack[-1]
        return at + 1

    def _tuple(self, at: int) -> int:
        size = {_TUPLE1: 1, _TUPLE2: 2, _TUPLE3: 3}.get(self.data[at - 1])
        items = self._marked() if size is None else self._popped(size)
        self.stack.append(tuple(items))
        return at

    def _frozen(self, at: int) -> int:
        self.stack.append(frozenset(checked_keys(self._marked())))
        return at

    def _append(self, at: int) -> int:
        item = self.stack.pop()
        self._target(list).append(item)
        return at

    def _appends(self, at: int) -> int:
        items = self._marked()
        self._target(list).extend(items)
        return at

    def _additems(self, at: int) -> int:
        items = self._marked()
        self._target(set).update(checked_keys(items))
        return at

    def _setitem(self, at: int) -> int:
        key, value = self._popped(2)
        self._target(dict, collections.OrderedDict)[checked_keys([key])[0]] = value
        return at

    def _setitems(self, at: int) -> int:
        items = self._marked()
        pairs = zip(checked_keys(items[::2]), items[1::2], strict=True)
        self._target(dict, collections.OrderedDict).update(pairs)
        return at

    def _global(self, at: int) -> int:
        """A name as two lines of text."""
        first = self.data.index(b"\n", at)
        second = self.data.index(b"\n", first + 1)
        self._push_global(self.data[at:first].decode(), self.data[first + 1 : second].decode())
        return second + 1

    def _stack_global(self, at: int) -> int:
        module, name = self._popped(2)
        check(type(module) is str and type(name) is str)
        self._push_global(module, name)
        return at

    def _push_global(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in self.names:
            raise CorruptFile(
                f"the pickle {self.source} wants {_printable(full)}; only plain data is read, and "
                "nothing of it was run"
            )
        self.stack.append(self.names[full])

    def _reduce(self, at: int) -> int:
        """Call what was named, which must be one of the constructors here; a class takes state only."""
        name, arguments = self._popped(2)
        check(type(name) is Global and type(arguments) is tuple and name.make is not make_bag)
        self._count(arguments)
        self.stack.append(name.make(*arguments))
        return at

    def _newobj(self, at: int) -> int:
        name, arguments = self._popped(2)
        check(type(name) is Global and name.make is make_bag and arguments == ())
        self.stack.append(Bag())
        return at

    def _build(self, at: int) -> int:
        state = self.stack.pop()
        self._count(state if type(state) is tuple else (state,))
        build(self.stack[-1], state)
        return at

    def _refuse_opcode(self, code: int) -> None:
        name = _NAMES.get(code, f"0x{code:02x}")
        raise CorruptFile(
            f"the pickle {self.source} wants the opcode {name}, which plain data of protocol 2 to "
            f"{_NEWEST} has no need of; nothing of it was run"
        )

    # Parts of the above.

    def _count(self, arguments: tuple[Any, ...]) -> None:
        """See that no more is copied than the pickle holds: it could name one long argument for ever."""
        self.copied += sum(len(one) for one in arguments if hasattr(one, "__len__"))
        check(self.copied <= len(self.data))

    def _bytes(self, at: int, size: int) -> bytes:
        check(size <= len(self.data) - at)
        return self.data[at : at + size]

    def _integer(self, at: int, width: int) -> int:
        return int.from_bytes(self._bytes(at, width), "little")

    def _marked(self) -> list[Any]:
        """Take everything above the last mark."""
        start = self.marks.pop()
        check(start <= len(self.stack))
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _popped(self, size: int) -> list[Any]:
        check(size <= len(self.stack))
        items = self.stack[-size:]
        del self.stack[-size:]
        return items

    def _target(self, *types: type) -> Any:
        """What is at the top, which must be of one of these types."""
        check(type(self.stack[-1]) in types)
        return self.stack[-1]


def _printable(name: str) -> str:
    """A name for a message: of one line and of bearable length."""
    return name[:100] if name.isprintable() else repr(name[:100])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


@functools.lru_cache(maxsize=64)  # the rows of a benchmark have the same keys again and again
def _texts(joined: bytes, size: int) -> list[str]:
    """Texts of so many bytes each."""
    return [_text(joined[start : start + size]) for start in range(0, len(joined), size)]


#: Pairs taken at once; what is ahead is looked at before it is clear that it is alike.
_AT_ONCE: Final = 256
_NAMES: Final = {
    getattr(pickle, name)[0]: name
    for name in dir(pickle)
    if name.isupper() and type(getattr(pickle, name)) is bytes and len(getattr(pickle, name)) == 1
}
_BINFLOAT, _MEMOIZE, _SHORT_BINUNICODE = (
    code[0] for code in (pickle.BINFLOAT, pickle.MEMOIZE, pickle.SHORT_BINUNICODE)
)
_BININT, _BININT1, _BININT2 = (code[0] for code in (pickle.BININT, pickle.BININT1, pickle.BININT2))
_BINGET, _LONG_BINGET, _LONG_BINPUT = (
    code[0] for code in (pickle.BINGET, pickle.LONG_BINGET, pickle.LONG_BINPUT)
)
_MARK, _EMPTY_DICT, _SETITEMS, _STOP = (
    code[0] for code in (pickle.MARK, pickle.EMPTY_DICT, pickle.SETITEMS, pickle.STOP)
)
_TUPLE1, _TUPLE2, _TUPLE3 = (code[0] for code in (pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3))
_CONSTANTS: Final[dict[int, Callable[[], Any]]] = {
    pickle.NONE[0]: lambda: None,
    pickle.NEWTRUE[0]: lambda: True,
    pickle.NEWFALSE[0]: lambda: False,
    pickle.EMPTY_LIST[0]: list,
    pickle.EMPTY_TUPLE[0]: tuple,
    pickle.EMPTY_SET[0]: set,
}
#: Bytes of the length, and what becomes of the bytes after it.
_COUNTED: Final[dict[int, tuple[int, Callable[[bytes], Any]]]] = {
    pickle.BINUNICODE[0]: (4, _text),
    pickle.BINUNICODE8[0]: (8, _text),
    pickle.SHORT_BINBYTES[0]: (1, bytes),
    pickle.BINBYTES[0]: (4, bytes),
    pickle.BINBYTES8[0]: (8, bytes),
    pickle.BYTEARRAY8[0]: (8, bytearray),
}
_OTHER: Final = {
    pickle.FRAME[0]: "frame",
    **dict.fromkeys(_CONSTANTS, "constant"),
    **dict.fromkeys((_BININT, _BININT2, pickle.LONG1[0]), "integer_of"),
    **dict.fromkeys(_COUNTED, "counted"),
    pickle.BINPUT[0]: "put",
    **dict.fromkeys((pickle.TUPLE[0], _TUPLE1, _TUPLE2, _TUPLE3), "tuple"),
    pickle.FROZENSET[0]: "frozen",
    pickle.APPEND[0]: "append",
    pickle.APPENDS[0]: "appends",
    pickle.ADDITEMS[0]: "additems",
    pickle.SETITEM[0]: "setitem",
    _SETITEMS: "setitems",
    pickle.GLOBAL[0]: "global",
    pickle.STACK_GLOBAL[0]: "stack_global",
    pickle.REDUCE[0]: "reduce",
    pickle.NEWOBJ[0]: "newobj",
    pickle.BUILD[0]: "build",
}
