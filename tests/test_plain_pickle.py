"""nasbench_kit.data.benchmarks.plain_pickle: plain data comes out as it went in, all else is refused by name."""

import builtins
import collections
import copyreg
import os
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nasbench_kit.data.benchmarks import plain_pickle
from nasbench_kit.data.benchmarks.plain_objects import Bag
from nasbench_kit.data.benchmarks.plain_pickle import loads
from nasbench_kit.errors import CorruptFile

PROTOCOLS = range(2, 6)

atoms = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
)
keys = atoms | st.tuples(atoms, atoms) | st.lists(atoms, max_size=5).map(tuple)
plain = st.recursive(
    atoms | st.sets(keys) | st.frozensets(keys),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.dictionaries(keys, inner).map(collections.OrderedDict)
    ),
    max_leaves=40,
)


def same(first: Any, second: Any) -> bool:
    return repr(first) == repr(second) if isinstance(first, float) else bool(first == second)


@given(plain, st.sampled_from(PROTOCOLS))
def test_plain_data_comes_out_as_it_went_in(value: Any, protocol: int) -> None:
    read = loads(pickle.dumps(value, protocol), "f")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_dictionaries(protocol: int) -> None:
    value: dict[str, Any] = {
        "curve": {epoch: epoch / 7 for epoch in range(300)},
        "readings": {f"x-valid@{epoch}": epoch / 3 for epoch in range(1200)},
        "again": [f"x-valid@{epoch}" for epoch in range(1200)],
        "umlauts": {f"ö{number:03}": 0.5 for number in range(200)},
    }
    shared = [value["readings"], value["readings"]]
    read = loads(pickle.dumps([value, shared], protocol), "f")
    assert read == [value, shared]
    assert read[0]["readings"] is read[1][0] is read[1][1]
    assert list(read[0]["readings"]) == list(value["readings"])


@given(
    st.dictionaries(st.integers(-2, 300), st.floats(), max_size=600),
    st.dictionaries(st.text("aö\udc80\0", max_size=3), st.floats(), max_size=80),
    st.dictionaries(st.text(max_size=255), st.floats() | st.integers(), max_size=5),
    st.sampled_from(PROTOCOLS),
)
def test_runs_of_numbers_come_out_in_their_order(
    numbers: dict[Any, Any], texts: dict[Any, Any], mixed: dict[Any, Any], protocol: int
) -> None:
    value = [numbers, texts, mixed, numbers | texts | mixed, [*texts]]
    read = loads(pickle.dumps(value, protocol), "f")
    assert repr(read) == repr(value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "code", ["?", "b", "h", "i", "l", "B", "H", "I", "L", "e", "f", "d", "F", "D"]
)
def test_numbers_of_numpy(code: str, protocol: int) -> None:
    scalar = np.dtype(code).type(1)
    array = np.arange(6).astype(code).reshape(2, 3)
    values = [scalar, array, np.asfortranarray(array), array[:0], scalar]
    read = loads(pickle.dumps(values, protocol), "f")
    for one, other in zip(read, values, strict=True):
        assert type(one) is type(other)
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert (one == other).all()


def test_module_names_of_both_numpy_versions() -> None:
    data = pickle.dumps([np.float64(0.5), np.arange(3)], 4)
    old, new = b"numpy.core.multiarray", b"numpy._core.multiarray"
    for first, second in ((old, new), (new, old)):
        changed = data.replace(
            b"\x8c" + bytes([len(first)]) + first, b"\x8c" + bytes([len(second)]) + second
        )
        frame = struct.pack("<Q", len(changed) - 11)
        changed = changed[:3] + frame + changed[11:]
        assert loads(changed, "f")[0] == 0.5


class Named:
    def __init__(self, value: object) -> None:
        self.value = value


class Outer:
    class Inner:
        pass


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_named_classes_become_bags_of_attributes(protocol: int) -> None:
    data = pickle.dumps({(0, 1): Named(Named(0.5))}, protocol)
    assert loads(data, "f", [f"{__name__}.Named"]) == {(0, 1): Bag(value=Bag(value=0.5))}
    with pytest.raises(CorruptFile, match=rf"the pickle some/file wants {__name__}\.Named"):
        loads(data, "some/file")


# --- hostile pickles --------------------------------------------------------------------------------


class Call:
    """Pickles to a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


RAN: list[object] = []


def ran(*arguments: object) -> None:
    RAN.append(arguments)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("hostile", "name"),
    [
        (Call(os.system, "touch /tmp/pwned"), r"(posix|nt)\.system"),
        (Call(eval, "1 + 1"), r"(builtins|__builtin__)\.eval"),
        (Call(getattr, Call(__import__, "os"), "system"), r"(builtins|__builtin__)\.getattr"),
        (Call(ran, 1), rf"{__name__}\.ran"),
        ({"deep": [({"er": Call(ran)},)]}, rf"{__name__}\.ran"),
        (ran, rf"{__name__}\.ran"),
        (Outer.Inner(), r"Outer|getattr"),
        (Call(np.load, "f", None, True), r"numpy\.load"),
        (Call(copyreg._reconstructor, Named, object, None), r"copy_?reg\._reconstructor"),  # type: ignore[attr-defined]
        (Call(builtins.print, "x"), r"(builtins|__builtin__)\.print"),
        (np.array([Call(ran)], object), rf"{__name__}\.ran|.*damaged"),
        (np.random.default_rng(0), r"numpy\.random.*"),
    ],
)
def test_code_is_refused_by_name_and_not_run(hostile: Any, name: str, protocol: int) -> None:
    RAN.clear()
    try:
        data = pickle.dumps(hostile, protocol)
    except (AttributeError, pickle.PicklingError):
        pytest.skip("not expressible in this protocol")
    with pytest.raises(CorruptFile, match=name) as caught:
        loads(data, "f")
    assert not RAN
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


HOSTILE = {
    "extension": b"\x80\x04\x82\x01.",
    "persistent": b"\x80\x04Pid\n.",
    "persistent object": b"\x80\x04K\x01Q.",
    "instance": b"\x80\x04(iposix\nsystem\n.",
    "object": b"\x80\x04(cposix\nsystem\no.",
    "buffer": b"\x80\x05\x97.",
    "read-only buffer": b"\x80\x05\x97\x98.",
    "old integer": b"\x80\x02I1\n.",
    "huge integer": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "popped": b"\x80\x04K\x010.",
    "doubled": b"\x80\x04K\x012.",
    "name with a line": b"\x80\x04\x8c\x03a\nb\x8c\x01c\x93.",
    "long name": b"\x80\x04X" + struct.pack("<I", 10**6) + b"a" * 10**6 + b"\x8c\x01c\x93.",
    "name that is no text": b"\x80\x04K\x01K\x02\x93.",
    "key with a state": b"\x80\x04}(]K\x01u.",
    "nested key": b"\x80\x04}" + b")" + b"\x85" * 1_000_000 + b"K\x01s.",
    "nested member": b"\x80\x04\x8f()" + b"\x85" * 1_000_000 + b"\x90.",
    "exponential key": b"\x80\x04})" + b"\x94h\x00\x86" * 60 + b"K\x01s.",
    "state of a dictionary": b"\x80\x04}}b.",
    "state of a text": b"\x80\x04\x8c\x01a}b.",
    "state of a name": b"\x80\x04cnumpy\ndtype\n}b.",
    "state of an ordered dictionary": b"\x80\x04ccollections\nOrderedDict\n)R}b.",
    "object of a constructor": b"\x80\x04ccollections\nOrderedDict\n)\x81.",
    "call of a text": b"\x80\x04\x8c\x01a)R.",
    "call of a result": b"\x80\x04ccollections\nOrderedDict\n)R)R.",
    "call of an array class": b"\x80\x04cnumpy\nndarray\n)R.",
    "arguments as a list": b"\x80\x04ccollections\nOrderedDict\n]R.",
    "ordered dictionary with arguments": b"\x80\x04ccollections\nOrderedDict\n]\x85R.",
    "text as bytes": b"\x80\x04c_codecs\nencode\n\x8c\x01a\x8c\x06rot_13\x86R.",
    "huge size of bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "huge size of a text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "huge size of a byte array": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"x.",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "unfilled memo": b"\x80\x04j" + struct.pack("<I", 2**32 - 1) + b".",
    "nothing": b"\x80\x04.",
    "two values": b"\x80\x04NN.",
    "open mark": b"\x80\x04(N.",
    "no mark": b"\x80\x04Nt.",
    "mark above the stack": b"\x80\x04N(\x85\x85t.",
    "protocol 1": b"\x80\x01N.",
    "protocol 6": b"\x80\x06N.",
    "no protocol": b"N.",
    "empty": b"",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_tricks_with_opcodes_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(CorruptFile) as caught:
        loads(data, "f")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_huge_place_in_the_memo_takes_no_memory() -> None:
    data = b"\x80\x02K\x01r" + struct.pack("<I", 2**32 - 1) + b"."
    assert loads(data, "f") == 1


def test_deep_data_is_read_without_recursion() -> None:
    value = loads(b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".", "f")
    for _ in range(199_999):
        (value,) = value
    assert value == []


#: A long list, text, bytes or dictionary in the memo, and a name that copies it as often as it is called.
COPIED = {
    "sets": (b"](" + b"K\x01" * 9999 + b"e\x94cbuiltins\nset\n\x94", b"h\x01h\x00\x85R"),
    "bytes": (
        b"X" + struct.pack("<I", 9999) + b"a" * 9999 + b"\x94c_codecs\nencode\n\x94"
        b"\x8c\x06latin1\x94",
        b"h\x01h\x00h\x02\x86R",
    ),
    "bags": (
        b"}(" + b"".join(b"\x8c\x05a%04dN" % number for number in range(3000)) + b"u\x94"
        b"cpackage\nClass\n\x94",
        b"h\x01)\x81h\x00b",
    ),
}


@pytest.mark.parametrize("kind", COPIED)
def test_what_is_copied_in_all_is_not_more_than_the_pickle_holds(kind: str) -> None:
    start, copy = COPIED[kind]
    for times in (1, 100, 10_000):
        data = b"\x80\x04](" + start + copy * times + b"e."
        if times == 1:
            assert len(loads(data, "f", ["package.Class"])) == data.count(b"\x94") + 1
        else:
            with pytest.raises(CorruptFile):
                loads(data, "f", ["package.Class"])


def test_a_long_tuple_is_no_key() -> None:
    """Its hash is computed anew each time that it is used."""
    assert loads(pickle.dumps({(1,) * 32: 1}, 4), "f") == {(1,) * 32: 1}
    with pytest.raises(CorruptFile):
        loads(pickle.dumps({(1,) * 33: 1}, 4), "f")


ATTRIBUTES = b"\x80\x04cpackage\nClass\n)\x81"


@pytest.mark.parametrize(
    "state",
    [
        b"}\x8c\x09__class__K\x01s",
        b"}\x8c\x0c__setstate__K\x01s",
        b"}\x8c\x03a bK\x01s",
        b"}K\x01K\x01s",
        b"}}\x86",
        b"N",
        b"]",
    ],
)
def test_a_bag_takes_attributes_only(state: bytes) -> None:
    with pytest.raises(CorruptFile):
        loads(ATTRIBUTES + state + b"b.", "f", ["package.Class"])
    assert loads(ATTRIBUTES + b"}\x8c\x01aK\x01sb.", "f", ["package.Class"]) == Bag(a=1)


DTYPE = b"\x80\x04cnumpy\ndtype\n"


@pytest.mark.parametrize(
    "arguments",
    [
        b"\x8c\x01O\x89\x88\x87",
        b"\x8c\x02O8\x89\x88\x87",
        b"\x8c\x04V100\x89\x88\x87",
        b"\x8c\x03f8,\x89\x88\x87",
        b"\x8c\x03U10\x89\x88\x87",
        b"\x8c\x02f8\x85",
        b"]\x89\x88\x87",
    ],
)
def test_types_of_numpy_that_are_no_numbers_are_refused(arguments: bytes) -> None:
    with pytest.raises(CorruptFile):
        loads(DTYPE + arguments + b"R.", "f")


@pytest.mark.parametrize(
    "state",
    [
        (3, ">", None, None, None, -1, -1, 0),
        (3, "<", None, None, None, -1, -1, 63),  # flags that would have numpy count references
        (3, "<", None, None, None, 1 << 40, -1, 0),
        (3, "<", None, ("a",), {"a": 1}, -1, -1, 0),
        (4, "<", None, None, None, -1, -1, 0, None),
        (),
        None,
    ],
)
def test_states_that_would_change_a_type_of_numpy_are_refused(state: object) -> None:
    start = DTYPE + b"\x8c\x02f8\x89\x88\x87R"
    assert loads(start + b".", "f") == np.dtype("f8")
    with pytest.raises(CorruptFile):
        loads(start + pickle.dumps(state, 2)[2:-1] + b"b.", "f")


@pytest.mark.parametrize("raw", [b"", b"1234567", b"123456789"])
def test_a_number_has_the_bytes_of_its_type(raw: bytes) -> None:
    data = pickle.dumps(np.float64(0.5), 4)
    packed = b"C\x08" + np.float64(0.5).tobytes()
    assert packed in data
    broken = data.replace(packed, b"C" + bytes([len(raw)]) + raw)
    with pytest.raises(CorruptFile):
        loads(broken[:2] + broken[11:], "f")  # without its frame


def test_an_array_has_the_bytes_of_its_shape() -> None:
    data = pickle.dumps(np.arange(3, dtype="u1"), 4)
    assert data.count(b"K\x03\x85") == 1
    for size in (b"K\x04\x85", b"K\x02\x85", b"M\xff\xff\x85", b"J\xff\xff\xff\xff\x85"):
        with pytest.raises(CorruptFile):
            loads((data[:2] + data[11:]).replace(b"K\x03\x85", size), "f")


WHOLE = pickle.dumps(
    {"a": {1: 0.5, 2: 0.25}, "b": {"x@1": 0.5}, "c": (1, None, "t"), "d": np.float64(1)}, 4
)


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_every_truncation_is_refused(length: int) -> None:
    with pytest.raises(CorruptFile):
        loads(WHOLE[:length], "f")


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_random_bytes_are_data_or_refused(data: bytes) -> None:
    for start in (b"", b"\x80\x04"):
        try:
            loads(start + data, "f")
        except CorruptFile as error:
            assert "\n" not in str(error)


@settings(max_examples=500)
@given(st.data())
def test_opcodes_in_any_order_are_data_or_refused(data: st.DataObject) -> None:
    """Whatever is read is also what Python's own reader reads of it, where that can."""
    parts = [
        b"N", b"K\x01", b"\x8c\x01a", b"]", b")", b"}", b"\x8f", b"(", b"t", b"u", b"e", b"s", b"a",
        b"\x85", b"\x86", b"\x90", b"\x91", b"\x94", b"h\x00", b"h\x01", b"q\x00", b"G" + bytes(8),
        b"R", b"b", b"\x81", b"ccollections\nOrderedDict\n", b"cnumpy\ndtype\n", b"\x8c\x02f8",
    ]  # fmt: skip
    body = b"".join(data.draw(st.lists(st.sampled_from(parts), max_size=25)))
    whole = b"\x80\x04" + body + b"."
    try:
        read = loads(whole, "f")
    except CorruptFile:
        return
    if b"c" not in body:
        assert repr(read) == repr(pickle.loads(whole))


def test_every_opcode_is_read_or_refused_by_its_name() -> None:
    """Those of protocols 0 and 1 alone, and those that reach outside the pickle, are refused."""
    refused = set()
    for opcode in pickletools.opcodes:
        try:
            loads(b"\x80\x04" + opcode.code.encode("latin1") + bytes(20), "f")
        except CorruptFile as error:
            if f"opcode {opcode.name}," in str(error):
                refused.add(opcode.name)
    assert {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "INST", "OBJ", "NEWOBJ_EX"} <= refused
    assert {"NEXT_BUFFER", "READONLY_BUFFER"} <= refused
    assert not refused & {"BINFLOAT", "SETITEMS", "REDUCE", "BUILD", "GLOBAL", "MEMOIZE"}


# --- files in circulation ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["arxiv", "proteins"])
def test_nas_bench_graph_as_python_reads_it(name: str) -> None:
    package = pytest.importorskip("nas_bench_graph", reason="nas-bench-graph is not installed")
    data = (Path(package.__file__).parent / "light" / f"{name}.bench").read_bytes()
    assert plain_pickle.loads(data, name) == pickle.loads(data)
