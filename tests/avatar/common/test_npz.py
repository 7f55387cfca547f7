"""An .npz of a stranger gives arrays of numbers or one reason, and neither evaluates nor allocates what it claims."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from avatar.common.npz import DamagedNpz, Npz, read_npy


def _member(header: str, data: bytes = b"12345678", length: int | None = None) -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text) if length is None else length) + text + data


def _header(descr: str = "'<f8'", shape: str = "(1,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


def _archive(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<u4", ">i2", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_come_out_as_numpy_wrote_them(dtype: str, order: str, tmp_path: Path) -> None:
    array = np.asarray(np.arange(12).reshape(3, 4), dtype, order=order)
    np.savez_compressed(tmp_path / "a.npz", x=array, y=np.array(7), said=np.array("FLAME 2023"))
    stored = Npz(tmp_path / "a.npz")
    assert np.array_equal(stored.array("x"), array) and stored.array("x").dtype == array.dtype
    assert stored.array("y").shape == () and stored.texts() == ["FLAME 2023"]


@pytest.mark.parametrize(
    "member",
    [
        _member(_header("'|O'")),
        _member(_header("[('a', '<f8')]")),
        _member(_header("'<q99'")),
        _member(_header(shape="(-1,)")),
        _member(_header(shape="(2,)")),
        _member(_header(shape="(4294967296, 4294967297)")),
        _member(_header(shape=f"(0, {2**70})")),
        _member(_header(shape="(" + "1," * 80 + ")")),
        _member(_header(shape=f"({'9' * 900},)")),
        _member("(" * 900),
        _member("-" * 900),
        _member("{1: 2, 'descr': 3}"),
        _member("'''"),
        _member(_header(), length=2**32 - 1),
        _member(" " * 100_000 + _header()),
        b"\x93NUMPY\x01\x00\x10",
        b"\x93NUMPY\x09\x00",
        b"",
    ],
    ids=[
        "objects", "records", "unknown type", "negative", "too few", "overflow", "empty and huge", "dimensions",
        "digits", "brackets", "signs", "mixed keys", "open quote", "endless", "long", "cut", "version", "empty",
    ],
)  # fmt: skip
def test_a_member_that_lies_is_refused_without_evaluation(member: bytes, tmp_path: Path) -> None:
    stored = Npz(_archive(tmp_path / "a.npz", {"x.npy": member}))
    with pytest.raises(DamagedNpz):
        stored.array("x")
    assert stored.texts() == []


def test_a_shadow_of_a_member_is_not_read(tmp_path: Path) -> None:
    plain = _member(_header())
    stored = Npz(_archive(tmp_path / "a.npz", {"x": _member(_header("'|O'")), "x.npy": plain}))
    assert stored.array("x").tobytes() == b"12345678"


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.npz", {"x.npy": _member(_header())})
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**31)
    path.write_bytes(data)
    with pytest.raises(DamagedNpz, match="2048 MB"):
        Npz(path)


def test_a_claim_of_a_gigabyte_takes_no_memory(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.npz", {"x.npy": _member(_header(shape=f"({2**26},)"))}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**30)
    path.write_bytes(data)
    stored = Npz(path)
    tracemalloc.start()
    with pytest.raises(DamagedNpz):
        stored.array("x")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_other_compression_methods_are_refused(tmp_path: Path) -> None:
    stored = Npz(_archive(tmp_path / "a.npz", {"x.npy": _member(_header())}, zipfile.ZIP_LZMA))
    with pytest.raises(DamagedNpz, match="compression method"):
        stored.array("x")


def test_every_changed_byte_gives_an_array_or_a_reason(tmp_path: Path) -> None:
    buffer, path = io.BytesIO(), tmp_path / "a.npz"
    np.savez_compressed(buffer, x=np.arange(3.0))
    whole = buffer.getvalue()
    for place in range(len(whole)):
        for value in (0, 0x41, 0xFF):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                stored = Npz(path)
                assert all(stored.array(name).dtype.kind in "fiub" for name in stored.names)
            except DamagedNpz:
                pass


def test_a_plain_array_comes_out_and_damage_is_a_reason(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    path = tmp_path / "a.npy"
    np.save(path, array)
    assert np.array_equal(read_npy(path), array)
    whole = path.read_bytes()
    for size in (0, 6, 7, 8, 60, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedNpz):
            read_npy(path)
    np.save(path, np.array([None]), allow_pickle=True)
    with pytest.raises(DamagedNpz, match="not numbers"):
        read_npy(path)
