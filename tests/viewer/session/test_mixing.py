"""An avatar of several recordings in a session: one look, a mix, and edits of a mix."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.model.parts.appearance import Appearances, RecordingEntry, with_appearance
from tests.support.parts import required
from viewer.session.edits import AddStyle, Change, Do, Paint, SetAppearance
from viewer.session.mix import Mix
from viewer.session.session import Session
from viewer.session.state import Sliders

NAMES = ("plain", "beard", "hat")


@pytest.fixture
def looks(tiny_avatar: Avatar) -> Avatar:
    """The tiny avatar with three appearances, which differ in color and opacity."""
    result = copy.deepcopy(tiny_avatar)
    result.add_part(Appearances([RecordingEntry(name, name * 3) for name in NAMES], len(result)))
    required(result, Appearances).requires_grad_(False)
    required(result, Appearances).table("colors")[1] = torch.tensor([-0.3, 0.0, 0.0])
    required(result, Appearances).table("colors")[2] = torch.tensor([0.0, 0.0, -0.3])
    required(result, Appearances).table("logit_opacities")[2] = 0.5
    required(result, Appearances).round()
    return result


@pytest.fixture
def session(looks: Avatar, tmp_path: Path) -> Session:
    """A session with the avatar from a file, and its first image."""
    save_avatar(tmp_path / "me.avatar", looks, {"consent": "Agreed."})
    found = Session(load_avatar(tmp_path / "me.avatar"), "me.avatar", folder=tmp_path, path=tmp_path / "me.avatar")
    found.apply([Change("camera", replace(found.state.camera, height=64, width=64))])
    found.advance()
    return found


def image_of(session: Session) -> torch.Tensor:
    session.advance()
    assert session.viewport.image is not None
    return torch.from_numpy(session.viewport.image.copy())


def test_the_first_recording_is_shown_at_first(session: Session, tiny_avatar: Avatar) -> None:
    assert session.state.mix == Mix(NAMES, (1.0, 0.0, 0.0))
    assert torch.equal(session.avatar.colors, tiny_avatar.colors)


def test_a_mix_shows_the_avatar_of_the_command_line(session: Session, looks: Avatar) -> None:
    first = image_of(session)
    weights = {"plain": 0.2, "beard": 0.8}
    session.apply([SetAppearance(weights)])
    mixed = image_of(session)
    assert not torch.equal(mixed, first)
    expected = with_appearance(looks, weights)
    # A plain avatar: frames cost what those of an avatar of one recording cost.
    assert session.avatar.part(Appearances) is None and torch.equal(session.avatar.colors, expected.colors)
    session.apply([SetAppearance({"plain": 1.0})])
    assert torch.equal(image_of(session), first)


def test_the_session_goes_on_through_a_change_of_the_mix(session: Session) -> None:
    session.apply([Change("sliders", Sliders({"jawOpen": 0.6})), AddStyle("film-noir")])
    image_of(session)
    before, active, number = session.state, session.sources.active, session.viewport.image_number
    session.apply([SetAppearance({"hat": 1.0})])
    image_of(session)
    assert session.state.mix == Mix(NAMES, (0.0, 0.0, 1.0))
    assert replace(session.state, mix=before.mix, status=before.status) == before
    assert session.sources.active is active and session.viewport.image_number == number + 1


def test_edits_and_their_undo_stay_over_a_change_of_the_mix(session: Session, looks: Avatar) -> None:
    session.apply([Paint((0.5, 0.5), True), SetAppearance({"beard": 1.0})])
    painted = session.avatar
    assert len(painted) > len(looks) and session.state.editing.undo == 1
    session.apply([Do("undo")])
    expected = with_appearance(looks, {"beard": 1.0}).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in session.avatar.state_dict().items())
    session.apply([Do("redo"), Do("redo")])
    assert all(torch.equal(value, painted.state_dict()[name]) for name, value in session.avatar.state_dict().items())


@pytest.mark.parametrize("mix", [{}, {"beard": 0.5, "hat": 0.5}])
def test_an_edited_mix_is_saved_as_a_plain_avatar(session: Session, tmp_path: Path, mix: dict[str, float]) -> None:
    session.apply([*([SetAppearance(mix)] if mix else []), Paint((0.5, 0.5), True), Do("save avatar")])
    path = tmp_path / "me_edit_1.avatar"
    assert not session.state.status.failed, session.state.status.message
    stored, header = load_avatar(path), read_header(path)
    assert stored.part(Appearances) is None and "appearances" not in header and header["consent"] == "Agreed."
    assert torch.equal(stored.colors, session.avatar.colors)


def test_an_avatar_of_one_recording_has_no_mix(tiny_avatar: Avatar) -> None:
    session = Session(tiny_avatar, "me.avatar")
    session.apply([SetAppearance({"plain": 1.0})])
    assert session.state.mix == Mix() and "no appearances" in session.state.status.message
    assert session.avatar is tiny_avatar


def test_another_avatar_has_its_own_mix(session: Session, tiny_avatar: Avatar) -> None:
    session.apply([SetAppearance({"beard": 1.0})])
    session.show_avatar(tiny_avatar, "other.avatar")
    assert session.state.mix == Mix()


def test_a_moved_weight_leaves_the_sum_and_the_proportions_of_the_others() -> None:
    mix = Mix(NAMES, (0.5, 0.3, 0.2)).move_weight(0, 0.75)
    assert mix.weights == pytest.approx((0.75, 0.15, 0.10))
    assert Mix(NAMES, (1.0, 0.0, 0.0)).move_weight(0, 0.4).weights == pytest.approx((0.4, 0.3, 0.3))
    assert Mix(NAMES, (0.5, 0.3, 0.2)).move_weight(1, 2.0).weights == (0.0, 1.0, 0.0)
