"""Where models come from, with a made-up wheel in place of the real one: no network."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from capture.networks import models
from capture.networks.models import TASK, WHEEL, cache_dir, model_path
from tests.support.face_models import make_wheel

LANDMARKS = "face_landmarks_attention"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel with the members of the real one, whose checksum is the expected one."""
    return make_wheel(tmp_path / "made", monkeypatch)


def copies(source: Path) -> Callable[[Path], None]:
    """A downloader that copies a file, and fails the test when it is used twice."""
    used = []

    def download(folder: Path) -> None:
        assert not used, "downloaded twice"
        used.append(folder)
        (folder / WHEEL).write_bytes(source.read_bytes())

    return download


def refuses(folder: Path) -> None:
    raise OSError("pip says: no route to host")


def fails(folder: Path) -> None:
    pytest.fail("nothing should be downloaded")


def test_missing_models_are_downloaded_once_and_unpacked_with_the_license(no_models: Path, wheel: Path) -> None:
    download = copies(wheel)
    paths = [model_path(name, download) for name in models.WHEEL_MEMBERS]
    assert [path.read_text() for path in paths] == [f"model {name}" for name in models.WHEEL_MEMBERS]
    found = {path.name for path in no_models.iterdir()}
    assert found == {f"{name}.tflite" for name in models.WHEEL_MEMBERS} | {"mediapipe-LICENSE.txt"}


def test_a_user_file_wins_over_the_cache(
    no_models: Path, tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_path(LANDMARKS, copies(wheel))
    own = tmp_path / "own"
    own.mkdir()
    (own / f"{LANDMARKS}.tflite").write_text("mine")
    monkeypatch.setenv("HEADSPLAT_MODELS", str(own))
    assert model_path(LANDMARKS, fails).read_text() == "mine"


@pytest.mark.parametrize("place", ["own", "cache"])
def test_a_wheel_put_into_the_folder_by_hand_is_used(
    no_models: Path, tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = no_models if place == "cache" else tmp_path / "own"
    folder.mkdir(parents=True)
    (folder / WHEEL).write_bytes(wheel.read_bytes())
    if place == "own":
        monkeypatch.setenv("HEADSPLAT_MODELS", str(folder))
    assert model_path(LANDMARKS, fails).read_text() == f"model {LANDMARKS}"


@pytest.fixture
def installed(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installed package of models that are the expected ones."""
    folder = tmp_path / "site" / "made_up_models"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('the package is found, never imported')")
    (folder / "mediapipe-LICENSE.txt").write_text("its license")
    for name in models.WHEEL_MEMBERS:
        (folder / f"{name}.tflite").write_text(f"model {name}")
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_installed_models_are_used_where_they_are_before_the_cache(no_models: Path, installed: Path) -> None:
    no_models.mkdir(parents=True)
    (no_models / f"{LANDMARKS}.tflite").write_text(f"model {LANDMARKS}")
    assert [model_path(name, fails) for name in models.WHEEL_MEMBERS] == [
        installed / f"{name}.tflite" for name in models.WHEEL_MEMBERS
    ]
    assert models.license_text() == "its license"


def test_a_user_file_wins_over_an_installed_model(
    no_models: Path, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{LANDMARKS}.tflite").write_text("mine")
    monkeypatch.setenv("HEADSPLAT_MODELS", str(tmp_path))
    assert model_path(LANDMARKS, fails).read_text() == "mine"


def test_a_damaged_installed_model_is_refused_and_not_downloaded(no_models: Path, installed: Path) -> None:
    (installed / f"{LANDMARKS}.tflite").write_text("model of another")
    text = rf"{LANDMARKS}\.tflite: missing or damaged; install the package headsplat-models again"
    with pytest.raises(HeadsplatError, match=text):
        model_path(LANDMARKS, fails)


def test_a_task_file_gives_the_blendshapes(no_models: Path) -> None:
    no_models.mkdir(parents=True)
    with zipfile.ZipFile(no_models / TASK, "w") as archive:
        archive.writestr("face_blendshapes.tflite", "scores")
    assert model_path("face_blendshapes", fails).read_text() == "scores"


def test_blendshapes_without_a_task_file_say_where_to_put_it(no_models: Path) -> None:
    with pytest.raises(HeadsplatError, match=rf"face_blendshapes: not found; put MediaPipe's {TASK} into .*models"):
        model_path("face_blendshapes", fails)


def test_no_network_says_which_file_to_put_where(no_models: Path) -> None:
    with pytest.raises(HeadsplatError) as caught:
        model_path(LANDMARKS, refuses)
    text = str(caught.value)
    assert "no route to host" in text
    assert f"install the package headsplat-models, or download {WHEEL} from " in text
    assert text.endswith(f"put it into {no_models}")


def test_a_wrong_checksum_is_refused_and_leaves_nothing(no_models: Path, tmp_path: Path, wheel: Path) -> None:
    broken = tmp_path / "broken.whl"
    broken.write_bytes(wheel.read_bytes() + b"!")
    with pytest.raises(HeadsplatError, match=r"its SHA-256 is .*, expected .*; delete it and download it again"):
        model_path(LANDMARKS, copies(broken))
    assert list(no_models.iterdir()) == []


def test_a_models_folder_that_does_not_exist_is_an_error(no_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSPLAT_MODELS", "nowhere")
    with pytest.raises(HeadsplatError, match="HEADSPLAT_MODELS=nowhere: no such folder"):
        model_path(LANDMARKS, fails)


def test_an_unknown_name_is_a_programming_error(no_models: Path) -> None:
    with pytest.raises(ValueError, match="name: expected one of face_detection_short_range"):
        model_path("hands", fails)


def test_cache_folder_follows_the_xdg_variable(no_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSPLAT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    assert cache_dir() == Path("somewhere") / "headsplat" / "models"
