"""Zstandard frames: stored ones for any reader, compressed ones where a library is installed."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.export import spz
from avatar.export.spz import stored_frame, zstd_frame
from tests.avatar.export.splat_readers import unzstd

SIZES = (0, 1, 255, 1 << 17, (1 << 17) + 1, 300_000)


def content(size: int) -> bytes:
    return np.random.default_rng(size).integers(0, 8, size, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("size", SIZES)
def test_stored_frames_contain_the_data(size: int) -> None:
    assert unzstd(stored_frame(content(size))) == content(size)


@pytest.mark.parametrize("size", SIZES)
def test_the_reference_implementation_reads_stored_frames(size: int) -> None:
    zstandard = pytest.importorskip("zstandard", reason="needs zstandard (pip install zstandard)")
    assert zstandard.ZstdDecompressor().decompress(stored_frame(content(size))) == content(size)
    assert zstandard.frame_content_size(stored_frame(content(size))) == size


def test_frames_are_compressed_where_the_library_is_installed() -> None:
    pytest.importorskip("zstandard", reason="needs zstandard (pip install zstandard)")
    frame = zstd_frame(content(300_000))
    assert len(frame) < 150_000 and unzstd(frame) == content(300_000)


def test_frames_are_stored_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spz, "_LIBRARIES", ("no_such_module",))
    assert zstd_frame(content(1000)) == stored_frame(content(1000))
