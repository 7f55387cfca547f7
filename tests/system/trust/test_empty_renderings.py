"""A rendering whose frames show nothing or are not finite fails, and so do poses that are not finite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.jobs.render_inputs import capture_entry
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from avatar.rendering.animator import Animator, render_track
from avatar.rendering.settings import RenderSettings
from avatar.types import HeadParams
from avatar.video.offline_render import RenderColumn, render_frames
from tests.support.sample_avatar import CAMERA, small_avatar


@pytest.fixture(scope="module")
def unseen(tiny: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole file of an avatar all of whose Gaussians are transparent."""
    path = tmp_path_factory.mktemp("unseen") / "me.avatar"
    avatar = small_avatar("reduced")
    avatar.logit_opacities.fill_(-100)
    avatar.blendshapes.basis.zero_()
    save_avatar(path, avatar, {"capture": capture_entry(tiny) | {"fingerprint": "another"}})
    return path


@pytest.mark.parametrize(
    ("out", "passes"),
    [
        ("take.mp4", "rgb"),
        ("frames", "rgb"),
        ("alpha.mp4", "alpha"),
        ("frames", "depth,normals"),
        ("frames", "alpha,rgb"),
    ],
)
def test_a_rendering_that_shows_nothing_fails_and_leaves_no_output(
    tiny: Capture, unseen: Path, tmp_path: Path, out: str, passes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--motion", str(tiny.root), "--frames", "0:3", "--size", "32", "--passes", passes]
    assert cli.main(["render", str(unseen), "-o", str(tmp_path / out), *arguments]) == 1
    printed = capsys.readouterr()
    assert "the avatar is visible in none of the 3 frames (alpha is 0 everywhere)" in printed.err
    assert not printed.out and not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_view_of_an_avatar_that_shows_nothing_fails_with_a_sentence(
    tiny: Capture, unseen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--motion", str(tiny.root), "--frames", "0:3", "--size", "32", "--camera", "front"]
    assert cli.main(["render", str(unseen), "-o", str(tmp_path / "take.mp4"), *arguments]) == 1
    assert "the avatar's head is not visible: it has no opaque Gaussian" in capsys.readouterr().err


def column(avatar: Avatar, frames: int = 3) -> RenderColumn:
    params = avatar.head.neutral_params(frames)
    params.translation[:, 2] = -0.5
    return RenderColumn(avatar, params, CAMERA)


def test_a_rendering_that_shows_something_in_one_frame_is_finished() -> None:
    shown = column(small_avatar("reduced"))
    shown.params.translation[:2, 2] = 5.0  # behind the camera
    assert len(list(render_frames([shown], RenderSettings(32, 32)))) == 3


def test_a_mesh_that_is_never_visible_fails_too() -> None:
    shown = column(small_avatar("reduced"))
    shown.params.translation[:, 2] = 5.0
    with pytest.raises(HeadsplatError, match="visible in none of the 3 frames"):
        list(render_frames([shown], RenderSettings(32, 32, passes=("mesh",))))


def test_the_avatar_that_is_not_visible_is_named() -> None:
    shown, hidden = column(small_avatar("reduced")), column(small_avatar("reduced"))
    hidden.params.translation[:, 2] = 5.0
    with pytest.raises(HeadsplatError, match="avatar 2 of 2 is visible in none of the 3 frames"):
        list(render_frames([shown, hidden], RenderSettings(32, 32)))


def test_a_frame_that_is_not_finite_fails() -> None:
    """Of the mesh; the rasterizer of the Gaussians leaves out those that are not finite."""
    shown = column(small_avatar("reduced"))
    shown.avatar.head.colors[:] = float("nan")
    with pytest.raises(HeadsplatError, match="frame 0: its colors are not finite numbers"):
        list(render_frames([shown], RenderSettings(32, 32, passes=("mesh",))))


def test_gaussians_that_are_not_finite_show_nothing_and_fail() -> None:
    shown = column(small_avatar("reduced"))
    shown.avatar.colors[:] = float("nan")
    with pytest.raises(HeadsplatError, match="visible in none of the 3 frames"):
        list(render_frames([shown], RenderSettings(32, 32)))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["expression", "joint_rot", "translation"])
def test_a_pose_that_is_not_finite_raises(field: str, number: float) -> None:
    avatar = small_avatar("reduced")
    params: HeadParams = avatar.head.neutral_params()
    getattr(params, field).view(-1)[1] = number
    animator = Animator(avatar, 32, 32)
    calls: tuple[Callable[[], object], ...] = (
        lambda: avatar(params),
        lambda: animator.poses(params),
        lambda: animator.render(params, CAMERA),
        lambda: next(render_track(avatar, params, CAMERA)),
        lambda: next(render_frames([RenderColumn(avatar, params, CAMERA)], RenderSettings(32, 32))),
    )
    for call in calls:
        with pytest.raises(ValueError, match=f"HeadParams.{field}: expected finite numbers, got NaN or infinity"):
            call()
