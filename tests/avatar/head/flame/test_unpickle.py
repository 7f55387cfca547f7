"""FLAME's pickles are parsed as data: arrays are read, anything else is refused and nothing is executed."""

from __future__ import annotations

import io
import os
import pickle
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse

from avatar.errors import HeadsplatError
from avatar.head.flame.unpickle import read_pickle

from .made_up import write_pickle


class _Runs:
    """Pickles to a call that creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._target}",)


def _by_global(target: Path) -> bytes:
    return pickle.dumps({"v_template": _Runs(target)}, 2)


def _by_stack_global(target: Path) -> bytes:
    return pickle.dumps({"v_template": _Runs(target)}, 4)


def _by_inst(target: Path) -> bytes:
    return b"(S'touch %s'\nios\nsystem\n." % str(target).encode()


def _by_obj(target: Path) -> bytes:
    return b"(cos\nsystem\nS'touch %s'\no." % str(target).encode()


def _by_build(target: Path) -> bytes:
    return b"cbuiltins\nexec\n(S'open(%r, chr(119))'\nt}S'x'\ns\x86b." % str(target).encode()


def _by_attribute(target: Path) -> bytes:
    return b"cbuiltins\ngetattr\n(cos\n__dict__\nS'system'\nt" + b"R(S'touch %s'\ntR." % str(target).encode()


def _inside_an_object_array(target: Path) -> bytes:
    return pickle.dumps({"v_template": np.array([_Runs(target)], dtype=object)}, 2)


def _inside_chumpys_state(target: Path) -> bytes:
    return b"cchumpy.ch\nCh\n)\x81}S'x'\ncos\nsystem\n(S'touch %s'\ntRsb." % str(target).encode()


def _as_dtype_state(target: Path) -> bytes:
    return b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntRcos\nsystem\n(S'touch %s'\ntRb." % str(target).encode()


def _by_numpys_own_loader(target: Path) -> bytes:
    return b"cnumpy.lib.npyio\nload\n(S'%s'\ntR." % str(target).encode()


def _by_a_registered_extension(target: Path) -> bytes:
    return b"\x80\x02\x82\x01(S'touch %s'\ntR." % str(target).encode()


def _by_a_persistent_id(target: Path) -> bytes:
    return b"Ptouch %s\n." % str(target).encode()


ATTACKS = (
    _by_global, _by_stack_global, _by_inst, _by_obj, _by_build, _by_attribute, _inside_an_object_array,
    _inside_chumpys_state, _as_dtype_state, _by_numpys_own_loader, _by_a_registered_extension, _by_a_persistent_id,
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__.strip("_"))
def test_a_pickle_with_a_call_is_refused_and_not_executed(attack: Callable[[Path], bytes], tmp_path: Path) -> None:
    target, path = tmp_path / "ran", tmp_path / "flame.pkl"
    path.write_bytes(attack(target))
    with pytest.raises(HeadsplatError, match=r"flame\.pkl: .*refused, nothing was executed"):
        read_pickle(path)
    assert not target.exists()


def test_the_attacks_would_work_on_pythons_unpickler(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    pickle.load(io.BytesIO(_by_global(target)))
    assert target.exists()


def _array_claiming(shape: tuple[int, ...], code: str = "f8", data: bytes = b"12345678") -> bytes:
    """A handwritten pickle of a dictionary with one array that claims the given shape."""
    sizes = b"".join(b"L%dL\n" % size for size in shape)
    dtype = b"cnumpy\ndtype\n(S'%s'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb" % code.encode()
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    raw = b"T" + struct.pack("<i", len(data)) + data
    return b"}S'v_template'\n" + start + b"(I1\n(" + sizes + b"t" + dtype + b"I00\n" + raw + b"tbs."


def _typed(code: bytes) -> bytes:
    """An array whose dtype name is the value that `code` pushes."""
    return _array_claiming((1,)).replace(b"(S'f8'\n", b"(" + code)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_array_claiming((10**6, 10**6)), "claims the shape"),
        (_array_claiming((2**62,)), "has no shape"),
        (_array_claiming((-1,)), "has no shape"),
        (_array_claiming((1,), "O8"), "not numbers"),
        (_array_claiming((1,), "V8"), "not numbers"),
        (_array_claiming((2,)), "claims the shape"),
        (_array_claiming((0, 2**29, 2**29, 2**29), data=b""), "has no shape"),
        (_typed(b"\x8b" + struct.pack("<i", 10**5) + b"\x7f" * 10**5), "contains a int, not numbers"),
        (_typed(b")" + b"2\x86" * 200), "contains a tuple, not numbers"),
        (_typed(b")" + b"\x85" * 50_000), "contains a tuple, not numbers"),
        (b"}S'v_template'\nI7\ns.", "is a int, not an array"),
        (b"}S'v_template'\n]s.", "is a list, not an array"),
        (b"}S'v_template'\ncchumpy.ch\nCh\n)\x81}bs.", "contains no array"),
    ],
)
def test_an_array_with_a_wrong_claim_is_refused_when_read(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "flame.pkl"
    path.write_bytes(data)
    with pytest.raises(HeadsplatError, match=rf"flame\.pkl: `v_template` .*{reason}"):
        read_pickle(path).array("v_template")


@pytest.mark.parametrize("state", ["huge", "index", "self"])
def test_an_inconsistent_sparse_matrix_is_refused(state: str, tmp_path: Path) -> None:
    matrix = sparse.csc_matrix(np.eye(3))
    if state == "huge":
        matrix._shape = (10**7, 3)
    elif state == "index":
        matrix.indices[0] = 7
    else:
        matrix.data = matrix
    path = tmp_path / "flame.pkl"
    path.write_bytes(pickle.dumps({"J_regressor": matrix}, 2))
    with pytest.raises(HeadsplatError, match="`J_regressor` is a sparse matrix"):
        read_pickle(path).array("J_regressor")


def test_every_truncation_is_an_error_of_ours(tmp_path: Path) -> None:
    whole = _array_claiming((1,))
    path = tmp_path / "flame.pkl"
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(HeadsplatError, match="refused, nothing was executed"):
            read_pickle(path)


def test_random_bytes_are_an_error_of_ours(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "flame.pkl"
    for _ in range(300):
        path.write_bytes(random.bytes(200))
        with pytest.raises(HeadsplatError):
            read_pickle(path).array("v_template")


_SAME_HASH = 2**61 - 1  # Python takes integers modulo this number for their hash


@pytest.mark.parametrize(
    "bomb",
    [
        b")" + b"2\x86" * 200 + b".",  # a tuple of twice itself, 200 deep
        b"}" + b")" + b"2\x86" * 200 + b"Ns.",  # the same as a key, whose hash would take very long
        b"]" + b"2a" * 1000 + b".",  # lists in themselves
        b"]" * 100_000 + b"a" * 99_999 + b".",  # 100000 deep
        b"N0" * 1_500_000 + b".",  # nothing, three million times
        b"}" + b"".join(b"p%d\n" % (k * _SAME_HASH) for k in range(50_000)) + b".",
        b"}" + b"".join(b"L%dL\nNs" % (k * _SAME_HASH) for k in range(50_000)) + b".",
        b"}S'" + b"a" * 10**6 + b"'\np0\n0S'" + b"a" * 10**6 + b"'\np1\n0" + b"g0\nNsg1\nNs" * 20_000 + b".",
        b"X" + struct.pack("<I", 10**6 + 4) + b"a" * 10**6 + b"\xf0\x9f\x98\x80" + b".",
        b"V" + b"a" * 10**6 + b"\\U0001f600\n.",
        b"\x8b" + struct.pack("<i", 10**5) + b"\x7f" * 10**5 + b"}S'v_template'\ng0\ns.",
        b"\x8d" + struct.pack("<Q", 2**60) + b"x.",  # a text of an exabyte
        b"\x96" + struct.pack("<Q", 2**60) + b"x.",
        b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
        b"Nr" + struct.pack("<I", 2**32 - 1) + b".",  # a memo entry at the far end
    ],
    ids=[
        "twice itself",
        "as key",
        "in itself",
        "deep",
        "long",
        "memo that collides",
        "keys that collide",
        "long keys",
        "wide text",
        "wide line",
        "long number",
        "text",
        "bytes",
        "number",
        "memo",
    ],
)
def test_a_pickle_bomb_is_refused_within_two_seconds(bomb: bytes, tmp_path: Path) -> None:
    path = tmp_path / "flame.pkl"
    path.write_bytes(bomb)
    start = time.process_time()  # not wall time: other processes may hold the processor
    with pytest.raises((HeadsplatError, KeyError)):
        read_pickle(path).array("v_template")
    assert time.process_time() - start < 2


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_arrays_are_read_as_written(protocol: int, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    members = {
        "v_template": random.normal(size=(7, 3)),
        "shapedirs": np.asfortranarray(random.normal(size=(7, 3, 4)).astype(np.float32)),
        "J_regressor": sparse.random(5, 7, 0.4, random_state=1).toarray(),
        "f": np.arange(6, dtype=">u4").reshape(2, 3),
    }
    path = write_pickle(tmp_path / "flame.pkl", members, protocol, python2=protocol == 2)
    read = read_pickle(path)
    for name, array in members.items():
        assert np.array_equal(read.array(name), array), name
    assert "lbs" in read.texts()


@pytest.mark.parametrize("numpy_core", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize("sparse_part", [b"scipy.sparse.csc", b"scipy.sparse._csc", b"scipy.sparse"])
def test_old_and_new_module_paths_are_known(numpy_core: bytes, sparse_part: bytes, tmp_path: Path) -> None:
    table = np.eye(3, 4)
    data = pickle.dumps({"J_regressor": sparse.csc_matrix(table), "v_template": table}, 2)
    data = data.replace(b"cscipy.sparse._csc\n", b"c" + sparse_part + b"\n")
    path = tmp_path / "flame.pkl"
    path.write_bytes(data.replace(b"cnumpy._core.", b"c" + numpy_core + b"."))
    for name in ("J_regressor", "v_template"):
        assert np.array_equal(read_pickle(path).array(name), table)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f8", "<u4", ">i8"])
@pytest.mark.parametrize("python2", [True, False])
def test_every_byte_order_and_memory_order_is_read(dtype: str, python2: bool, tmp_path: Path) -> None:
    table = np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype))
    plain = {"v_template": np.eye(3), "shapedirs": np.eye(3), "J_regressor": np.eye(3)}
    path = write_pickle(tmp_path / "flame.pkl", {**plain, "f": table}, python2=python2)
    assert np.array_equal(read_pickle(path).array("f"), table)


def test_short_strings_of_python_2_are_bytes(tmp_path: Path) -> None:
    whole = _array_claiming((1,), data=bytes(range(248, 256)))
    long, short = b"T" + struct.pack("<i", 8), b"U\x08"
    path = tmp_path / "flame.pkl"
    path.write_bytes(whole.replace(long, short))
    assert read_pickle(path).array("v_template").tobytes() == bytes(range(248, 256))


def test_an_unknown_escape_is_an_error_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / "flame.pkl"
    path.write_bytes(b"}S'notice'\nS'\\q'\ns.")
    with pytest.raises(HeadsplatError, match="is damaged"):
        read_pickle(path)
    assert not recwarn


@pytest.mark.parametrize("part", ["entries", "columns"])
def test_a_sparse_matrix_larger_than_its_shape_is_refused(part: str, tmp_path: Path) -> None:
    matrix = sparse.csc_matrix(np.eye(3))
    if part == "entries":
        matrix.data, matrix.indices = np.ones(100, np.int8), np.zeros(100, np.int8)
        matrix.indptr = np.array([0, 0, 0, 100])
    else:
        matrix._shape, matrix.indptr = (0, 3), np.zeros(4, np.int8)
    path = tmp_path / "flame.pkl"
    path.write_bytes(pickle.dumps({"J_regressor": matrix}, 2))
    with pytest.raises(HeadsplatError, match="which no regressor has"):
        read_pickle(path).array("J_regressor")
