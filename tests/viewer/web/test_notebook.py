"""The widget of notebooks without a notebook: what goes to the browser, and the sentences of its errors."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.export.web import web_container
from avatar.export.web_blocks import header_of
from avatar.jobs.notebook import widget
from avatar.motion import read_motion
from avatar.types import Motion
from tests.support.sample_avatar import SAMPLE, small_avatar
from viewer.web.notebook import checked_weights, container_of, motion_content, widget_class


@pytest.fixture(scope="module")
def container() -> bytes:
    return web_container(small_avatar("reduced"), {}, "small")


def test_an_avatar_its_file_and_its_page_file_become_containers(container: bytes, tmp_path: Path) -> None:
    (tmp_path / "small.hsa").write_bytes(container)
    assert container_of(tmp_path / "small.hsa") == container
    assert header_of(container_of(SAMPLE))["name"] == SAMPLE.stem
    names = header_of(container_of(small_avatar("reduced")))["head"]["expression_names"]
    assert names == header_of(container)["head"]["expression_names"]


@pytest.mark.parametrize("damage", [lambda it: it[:10], lambda it: it[:-1], lambda it: b"x" + it[1:], lambda it: b""])
def test_a_damaged_page_file_is_refused_in_one_sentence(damage: object, container: bytes, tmp_path: Path) -> None:
    path = tmp_path / "me.hsa"
    path.write_bytes(damage(container))  # type: ignore[operator]
    expected = r"me.hsa: not an avatar for pages; write it with `headsplat export me.avatar -o NAME.hsa`"
    with pytest.raises(HeadsplatError, match=expected):
        container_of(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("gone.hsa", "gone.avatar"):
        with pytest.raises(HeadsplatError, match=name):
            container_of(tmp_path / name)


def test_a_motion_goes_as_the_file_that_the_browser_reads(tmp_path: Path) -> None:
    still = torch.zeros(3, 5, 3), torch.zeros(3, 3)
    motion = Motion(torch.arange(3.0).double() / 30, ("jawOpen", "mouthPucker"), torch.eye(3, 2), "arkit52", *still)
    name, content = motion_content(motion)
    (tmp_path / "sent.motion.npz").write_bytes(content)
    read = read_motion(tmp_path / "sent.motion.npz")
    assert name == "motion" and read.names == motion.names and torch.equal(read.weights, motion.weights)
    assert motion_content(tmp_path / "sent.motion.npz")[0] == "sent.motion.npz"
    with pytest.raises(HeadsplatError, match=r"gone\.csv"):
        motion_content(tmp_path / "gone.csv")


def test_weights_are_finite_numbers_by_known_names() -> None:
    assert checked_weights({"jawOpen": 1}, ["jawOpen"]) == {"jawOpen": 1.0}
    with pytest.raises(HeadsplatError, match="weights: unknown expression 'jawOpn'; similar names: jawOpen"):
        checked_weights({"jawOpn": 1}, ["jawOpen"])
    for value in (math.nan, "wide", None):
        with pytest.raises(HeadsplatError, match="weights: expected finite numbers, got"):
            checked_weights({"jawOpen": value}, ["jawOpen"])  # type: ignore[dict-item]


def test_without_anywidget_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    widget_class.cache_clear()
    with pytest.raises(HeadsplatError, match=r"the widget needs anywidget; install it with `pip install 'headsplat"):
        widget()
