"""MediaPipe's library for browsers: where it is looked for, that nothing else is taken for it, and what is refused."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from capture.networks import vision_library as library
from capture.networks.models import cache_dir
from capture.networks.vision_library import ADDRESS, ARCHIVE, VisionLibrary, vision_library


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, no_models: Path) -> bytes:
    """A small archive with the members of the real one, whose checksum is the expected one; an empty cache."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as opened:
        for part, name in library._MEMBERS.items():
            member = tarfile.TarInfo(name)
            member.size = len(part)
            opened.addfile(member, io.BytesIO(part.encode()))
    monkeypatch.setattr(library, "ARCHIVE_SHA256", hashlib.sha256(content.getvalue()).hexdigest())
    return content.getvalue()


def refuse(address: str) -> bytes:
    raise OSError("no route to host")


EXPECTED = VisionLibrary(b"library", b"loader", b"wasm")


def test_the_library_is_downloaded_once(archive: bytes) -> None:
    addresses = []

    def download(address: str) -> bytes:
        addresses.append(address)
        return archive

    assert vision_library(download) == vision_library(download) == EXPECTED
    assert addresses == [ADDRESS]


def test_a_damaged_archive_in_the_cache_is_downloaded_again(archive: bytes) -> None:
    cache_dir().mkdir(parents=True)
    (cache_dir() / ARCHIVE).write_bytes(archive[:-5])
    assert vision_library(lambda address: archive) == EXPECTED
    assert vision_library(refuse) == EXPECTED


def test_the_users_archive_is_used(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSPLAT_MODELS", str(tmp_path))
    (tmp_path / ARCHIVE).write_bytes(archive)
    assert vision_library(refuse) == EXPECTED
    (tmp_path / ARCHIVE).write_bytes(b"another file")
    with pytest.raises(
        HeadsplatError, match=rf"{ARCHIVE}: not {ARCHIVE} \(its SHA-256 differs\); delete it and download"
    ):
        vision_library(refuse)


def test_without_a_network_the_address_is_named(archive: bytes) -> None:
    with pytest.raises(
        HeadsplatError, match=r"could not be downloaded \(no route to host\); download https://.* into "
    ):
        vision_library(refuse)
    assert not cache_dir().exists()


def test_another_file_from_the_registry_is_not_kept(archive: bytes) -> None:
    with pytest.raises(HeadsplatError, match=r"not the expected file \(its SHA-256 differs\); try again, or download"):
        vision_library(lambda address: archive + b"!")
    assert not cache_dir().exists()


def test_a_cache_that_cannot_be_written_is_named(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "file"))
    with pytest.raises(HeadsplatError, match=r"cannot be written .*set HEADSPLAT_CACHE to a writable folder"):
        vision_library(lambda address: archive)
