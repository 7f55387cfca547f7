"""Content credentials of films and pictures; most tests are skipped where c2pa-python is not installed."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.common.credentials import ShownAvatar, can_mark, mark, read_credentials, reason_without_mark
from avatar.common.image_io import encode_png
from avatar.common.made_note import NOTE, has_note, noted_png
from avatar.common.media import open_media
from avatar.errors import HeadsplatError
from avatar.jobs.inspection import describe_file
from avatar.video import open_output
from avatar.video.metadata import is_rendered


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))


def written(path: Path, count: int) -> Path:
    """A film or a folder of so many gray images."""
    with open_output(path, 30.0) as writer:
        for number in range(count):
            writer.add(np.full((32, 48, 3), 40 * number, np.uint8))
    return path


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return written(tmp_path / "film.mp4", 4)


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    return written(tmp_path / "frames", 3)


def frames_of(path: Path) -> list[np.ndarray]:
    with open_media(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_film_says_in_its_metadata_that_no_camera_filmed_it(film: Path) -> None:
    with open_media(film) as container:
        assert container.metadata["comment"] == NOTE


def test_each_image_of_a_sequence_says_it_and_keeps_its_pixels(sequence: Path) -> None:
    assert all(has_note(image) for image in sequence.glob("*.png"))
    plain = encode_png(np.full((32, 48, 3), 40, np.uint8), 3)
    assert (sequence / "00001.png").read_bytes() == noted_png(plain)
    image = cv2.imread(str(sequence / "00001.png"))
    assert image is not None
    assert (image == 40).all()
    found = describe_file(sequence)
    assert (found["kind"], found["count"], found["synthetic"]) == ("images", 3, "yes")
    (sequence / "00001.png").write_bytes(plain)
    assert describe_file(sequence)["synthetic"] == "2 yes, 1 not stated"


@pytest.mark.parametrize("end", [0, 20, 50])
def test_a_damaged_picture_says_nothing(tmp_path: Path, end: int) -> None:
    path = tmp_path / "me.png"
    path.write_bytes(noted_png(encode_png(np.zeros((2, 2, 3), np.uint8)))[:end])
    assert not has_note(path)


def test_info_shows_the_sentence_of_a_film_and_a_picture(tmp_path: Path, film: Path) -> None:
    assert describe_file(film)["comment"] == NOTE
    path = tmp_path / "me.png"
    picture = encode_png(np.zeros((64, 64, 3), np.uint8))
    path.write_bytes(noted_png(picture))
    assert describe_file(path)["comment"] == NOTE
    path.write_bytes(picture)
    assert "comment" not in describe_file(path)


def test_without_the_package_a_file_stays_as_it_is(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    before = film.read_bytes()
    assert not can_mark(film)
    assert not mark(film)
    assert read_credentials(film) is None
    assert film.read_bytes() == before


def test_a_marked_film_names_its_avatar_and_consent_and_keeps_its_frames(film: Path) -> None:
    pytest.importorskip("c2pa", reason="needs c2pa-python, which the extra credentials installs")
    before = frames_of(film)
    assert mark(film, [ShownAvatar("me", "Ada agreed on 2026-11-26.")])
    assert all(np.array_equal(*pair) for pair in zip(before, frames_of(film), strict=True))
    assert is_rendered(film)
    found = describe_file(film)["credentials"]
    assert found["state"] == "valid"
    assert found["synthetic"]
    assert found["tool"].startswith("headsplat ")
    assert found["avatars"] == {"me": "Ada agreed on 2026-11-26."}


def test_a_film_with_a_replaced_face_is_marked_as_a_composite(film: Path) -> None:
    pytest.importorskip("c2pa", reason="needs c2pa-python, which the extra credentials installs")
    assert mark(film, composite=True)
    assert b"compositeWithTrainedAlgorithmicMedia" in film.read_bytes()
    found = read_credentials(film)
    assert found is not None and found["state"] == "valid" and found["synthetic"]


def test_each_image_of_a_sequence_is_signed_without_a_thumbnail(sequence: Path) -> None:
    pytest.importorskip("c2pa", reason="needs c2pa-python, which the extra credentials installs")
    images = sorted(sequence.glob("*.png"))
    before = [cv2.imread(str(image)) for image in images]
    sizes = [image.stat().st_size for image in images]
    assert mark(sequence, [ShownAvatar("me", "Ada agreed on 2026-11-26.")])
    for image, pixels, size in zip(images, before, sizes, strict=True):
        assert np.array_equal(cv2.imread(str(image)), pixels)
        assert image.stat().st_size - size < 6000
    found = describe_file(sequence)
    assert (found["synthetic"], found["credentials"]["state"]) == ("yes", "valid")
    assert found["credentials"]["avatars"] == {"me": "Ada agreed on 2026-11-26."}
    content = bytearray(images[1].read_bytes())
    content[-20] ^= 1
    images[1].write_bytes(content)
    assert describe_file(sequence)["credentials"]["state"] == "2 valid, 1 invalid"


def test_a_film_that_was_changed_since_is_invalid(film: Path) -> None:
    pytest.importorskip("c2pa", reason="needs c2pa-python, which the extra credentials installs")
    mark(film)
    content = bytearray(film.read_bytes())
    content[-40] ^= 1
    film.write_bytes(content)
    found = read_credentials(film)
    assert found is not None
    assert found["state"] == "invalid"


def test_a_picture_is_marked_by_the_same_signer_whose_key_only_the_user_reads(tmp_path: Path, film: Path) -> None:
    pytest.importorskip("c2pa", reason="needs c2pa-python, which the extra credentials installs")
    picture = tmp_path / "me.png"
    picture.write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8), 1))
    mark(picture)
    stored = next((tmp_path / "cache").rglob("signer.json"))
    chain = json.loads(stored.read_text())["chain"]
    if sys.platform != "win32":
        assert stat.S_IMODE(stored.parent.stat().st_mode) == 0o700
    mark(film)
    assert json.loads(stored.read_text())["chain"] == chain
    found = read_credentials(picture)
    assert found is not None
    assert found["state"] == "valid"
    stored.write_text("{}")  # a damaged one is made anew
    mark(film)
    assert json.loads(stored.read_text())["chain"] != chain


def test_a_file_that_cannot_be_signed_is_left_as_it_was(tmp_path: Path) -> None:
    pytest.importorskip("c2pa", reason="needs c2pa-python, which the extra credentials installs")
    path = tmp_path / "film.mp4"
    path.write_bytes(b"no film")
    with pytest.raises(HeadsplatError, match="content credentials cannot be added"):
        mark(path)
    assert path.read_bytes() == b"no film"
    assert reason_without_mark(path).startswith(f"{path}: content credentials cannot be added")
    assert read_credentials(path) is None
