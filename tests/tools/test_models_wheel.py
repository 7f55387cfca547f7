"""The data wheel of the face models: its bytes, what it refuses, and the dependency of a release."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from capture.networks import models
from tests.support.face_models import make_wheel
from tools import models_wheel
from tools.models_wheel import NAME, PYPROJECT, REQUIREMENT, require, write_wheel


@pytest.fixture(autouse=True)
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MediaPipe's wheel, made up, in the cache folder."""
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEADSPLAT_MODELS", raising=False)
    models.cache_dir().mkdir(parents=True)
    shutil.copy(make_wheel(tmp_path / "made", monkeypatch), models.cache_dir())
    monkeypatch.setattr(models_wheel, "LICENSE_SHA256", hashlib.sha256(b"Apache License").hexdigest())


def test_the_wheel_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    assert write_wheel(tmp_path / "a").read_bytes() == write_wheel(tmp_path / "b").read_bytes()


def test_it_holds_the_models_with_license_and_origin_and_lists_each_file_with_its_hash(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_wheel(tmp_path)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    for name in models.WHEEL_MEMBERS:
        assert content[f"headsplat_models/{name}.tflite"] == f"model {name}".encode()
    info = f"{NAME.removesuffix('-py3-none-any.whl')}.dist-info"
    assert content[f"{info}/licenses/mediapipe-LICENSE.txt"] == b"Apache License"
    assert b"The MediaPipe Authors, Apache License" in content[f"{info}/licenses/NOTICE"]
    rows = [line.split(",") for line in content[f"{info}/RECORD"].decode().splitlines()]
    assert sorted(row[0] for row in rows) == sorted(content)
    for name, digest, size in rows:
        if not name.endswith("/RECORD"):
            found = base64.urlsafe_b64encode(hashlib.sha256(content[name]).digest()).decode().rstrip("=")
            assert (digest, size) == (f"sha256={found}", str(len(content[name])))


def test_another_model_does_not_get_into_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "selfie_segmentation.tflite").write_text("mine")
    monkeypatch.setenv("HEADSPLAT_MODELS", str(own))
    text = "selfie_segmentation: not MediaPipe's; unset HEADSPLAT_MODELS and empty the cache folder"
    with pytest.raises(HeadsplatError, match=text):
        write_wheel(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_release_depends_on_the_wheel_that_the_extra_names(tmp_path: Path) -> None:
    text = PYPROJECT.read_text(encoding="utf-8")
    assert f'\nmodels = ["{REQUIREMENT}"]\n' in text
    copy = tmp_path / "pyproject.toml"
    shutil.copy(PYPROJECT, copy)
    require(copy)
    once = copy.read_text(encoding="utf-8")
    require(copy)
    assert copy.read_text(encoding="utf-8") == once
    assert once == text.replace("dependencies = [\n", f'dependencies = [\n  "{REQUIREMENT}",\n', 1)
    copy.write_text("[project]\n")
    with pytest.raises(HeadsplatError, match="has no list of dependencies"):
        require(copy)
