"""An avatar beside the one of the window: both are in the image, and it is rendered again when either moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.export.posed import posed
from avatar.jobs.beside import renderer_beside, split
from avatar.jobs.notices import SILENT
from avatar.model.avatar import Avatar
from avatar.types import HeadParams
from viewer.session.session import Session
from viewer.session.wings.beside import Partner, SceneRenderer


def open_mouth(avatar: Avatar, params: HeadParams) -> HeadParams:
    expression = params.expression.clone()
    expression[:, avatar.head.expression_index("jawOpen")] = 1.0
    return HeadParams(params.identity, expression, params.joint_rot, params.translation)


def test_two_avatars_are_in_the_window_and_either_renders_it_again(tiny_avatar: Avatar) -> None:
    rest = posed(tiny_avatar)
    now = [rest]
    partner = Partner(tiny_avatar, lambda: now[0])
    session = Session(
        tiny_avatar, "me.avatar", renderer=lambda avatar, **options: SceneRenderer([partner], avatar, **options)
    )
    session.viewport.available = (128, 64)
    try:
        assert session.advance() and not session.advance()
        before = session.viewport.image
        assert before is not None
        before = before.copy()
        left, right = ((before != 255).any(2)[:, half].sum() for half in (slice(0, 448), slice(448, None)))
        assert left > 5000 and right > 5000
        now[0] = open_mouth(tiny_avatar, rest)
        assert session.advance() and not session.advance()
        changed = (session.viewport.image != before).any(2)
        half = before.shape[1] // 2
        assert changed[:, half:].sum() > 50
    finally:
        session.close()


def test_avatars_of_the_window_look_at_each_other(tiny_avatar: Avatar) -> None:
    rest = posed(tiny_avatar)
    renderer = SceneRenderer([Partner(tiny_avatar, lambda: rest)], tiny_avatar)
    camera = renderer.front(96, 64)
    with torch.no_grad():
        pixels = [camera.project(subject.center)[0] for subject in renderer._subjects]
    assert 0 < pixels[0] < 48 < pixels[1] < 96


def test_a_motion_file_plays_beside(tiny_avatar: Avatar, tmp_path: Path) -> None:
    from avatar.model.avatar_file import save_avatar
    from tests.avatar.motion.files import small

    save_avatar(tmp_path / "ben.avatar", tiny_avatar, {})
    small.write_motion(tmp_path / "two.motion.npz", small.motion(2))
    with renderer_beside([f"{tmp_path / 'ben.avatar'}={tmp_path / 'two.motion.npz'}"], SILENT) as make:
        renderer = make(tiny_avatar)
    assert isinstance(renderer, SceneRenderer) and renderer.is_stale()
    assert len(renderer._newest[0]) == 1 and np.isfinite(renderer._newest[0].expression.numpy()).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ben.avatar", "--beside: 'ben.avatar' is not AVATAR=SOURCE; give a camera, a protocol"),
        ("ben.avatar=", "--beside: 'ben.avatar=' is not AVATAR=SOURCE"),
        ("nobody.avatar=0", "--beside: nobody.avatar: no such avatar; check the path"),
    ],
)
def test_what_is_no_avatar_with_a_source_is_refused(text: str, message: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        split(text)
    assert str(caught.value).startswith(message)
