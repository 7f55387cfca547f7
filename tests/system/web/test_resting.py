"""The page drives a saved motion as Python does, dropped on it or packed with it: by its `Motion.resting` alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avatar import cli
from avatar.driving.driver import drive
from avatar.export.web import web_container
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.motion import read_motion
from tests.support.browser import Page
from tests.support.resting import FILES, FRAMES, grimace, other, write_files
from tests.system.web.conftest import HEADER
from tests.system.web.test_driving import assert_params
from tests.system.web.test_stored_motion import drop_bytes, header, message_of, rewritten
from viewer.web.page import build_page

DATA = Path(__file__).parents[2] / "data"
SHOWN = (0, 7, FRAMES // 2, FRAMES - 1)


@pytest.fixture(scope="module")
def files(layered: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both motions in every format, and an avatar whose resting face is not zero."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    subject = grimace(layered)
    subject.provenance = {"steps": 0}
    save_avatar(folder / "a.avatar", subject)
    return folder


@pytest.fixture(scope="module")
def subject(files: Path) -> Avatar:
    return load_avatar(files / "a.avatar")


@pytest.fixture(scope="module")
def resting(page: Page, subject: Avatar, files: Path) -> Iterator[Page]:
    """The page of the avatar."""
    (files / "page.html").write_text(build_page(web_container(subject, HEADER, "a"), "a"), encoding="utf-8")
    page.open(files / "page.html")
    yield page
    assert not page.errors()


@pytest.mark.parametrize("name", FILES)
def test_a_dropped_file_is_driven_by_its_resting(resting: Page, subject: Avatar, files: Path, name: str) -> None:
    drop_bytes(resting, name, (files / name).read_bytes())
    resting.wait(f"app.playback.motion?.name === '{name}'")
    motion = read_motion(files / name)
    wanted, swapped = drive(subject, motion), drive(subject, other(motion))
    assert (wanted.params.expression - swapped.params.expression).abs().max() > 0.05
    for frame in SHOWN:
        found = resting.run(f"app.playback.motion.paramsAt({float(motion.time[frame] - motion.time[0])!r})")
        assert_params(found, wanted.params, frame, 3e-5)


@pytest.mark.parametrize("name", ["person.csv", "speech.csv"])
def test_a_packed_file_is_driven_by_its_resting(page: Page, subject: Avatar, files: Path, name: str) -> None:
    path = files / f"{name}.html"
    assert cli.main(["export", str(files / "a.avatar"), "-o", str(path), "--motion", str(files / name)]) == 0
    page.call("Page.navigate", url=path.as_uri())
    page.wait("typeof headsplat === 'object'")
    page.run("headsplat.then((app) => { globalThis.app = app; app.playback.toggle(); })")
    motion = read_motion(files / name)
    wanted = drive(subject, motion).params
    for frame in SHOWN:
        found = page.run(f"app.playback.motion.paramsAt({float(motion.time[frame])!r})")
        # int16 over the range of each expression, float32 times
        np.testing.assert_allclose(found["expression"], wanted.expression[frame], atol=1e-4)
        np.testing.assert_allclose(found["jointRot"], wanted.joint_rot[frame].flatten(), atol=1e-4)


def test_the_note_of_version_1_is_read(shown: Page, layered: Avatar) -> None:
    path = DATA / "version1_zero.motion.npz"
    drop_bytes(shown, path.name, path.read_bytes())
    shown.wait(f"app.playback.motion?.name === '{path.name}'")
    assert_params(shown.run("app.playback.motion.paramsAt(0)"), drive(layered, read_motion(path)).params, 0, 3e-5)


def test_another_way_to_rest_gives_one_sentence(shown: Page, files: Path) -> None:
    sentence = 'has a resting that is neither "find" nor "zero"; write it again.'
    data = (files / "speech.motion.npz").read_bytes()
    assert message_of(shown, "a.npz", rewritten(data, header=header(data, resting=None))) == f"a.npz {sentence}"
    data = (files / "speech.json").read_bytes().replace(b'"resting": "zero"', b'"resting": 0')
    assert message_of(shown, "b.json", data) == f"b.json {sentence}"
