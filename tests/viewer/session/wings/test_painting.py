"""Edits of the avatar in a session: strokes, layers, undo to the same bits, and the file that is saved."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avatar.editing.edits import Editor
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from viewer.session.edits import AddStyle, Change, Do, HideLayer, Paint
from viewer.session.session import Session


@pytest.fixture
def session(tiny_avatar: Avatar, tmp_path: Path) -> Session:
    """A session with an avatar from a file, and its first image."""
    save_avatar(tmp_path / "me.avatar", tiny_avatar, {"consent": "Agreed."})
    avatar = load_avatar(tmp_path / "me.avatar")
    found = Session(avatar, "me.avatar", folder=tmp_path, path=tmp_path / "me.avatar")
    found.apply([Change("camera", replace(found.state.camera, height=64, width=64))])
    found.advance()
    return found


def test_a_stroke_paints_and_undo_restores_the_same_bits(session: Session) -> None:
    before, image = session.avatar, session.viewport.image
    assert image is not None
    image = image.copy()
    session.apply([Paint((0.5, 0.5), True), Paint((0.53, 0.5), False)])
    session.advance()
    assert len(session.avatar) > len(before) and session.state.editing.undo == 1
    painted = session.avatar.state_dict()
    assert session.viewport.image is not None and (session.viewport.image != image).any()
    session.apply([Do("undo")])
    session.advance()
    assert session.avatar is before and (session.viewport.image == image).all()
    session.apply([Do("redo")])
    assert all(torch.equal(value, painted[name]) for name, value in session.avatar.state_dict().items())


def test_beside_the_head_nothing_is_painted(session: Session) -> None:
    before = session.avatar
    session.apply([Paint((0.01, 0.01), True)])
    assert session.avatar is before and session.state.editing.undo == 0


def test_an_edit_after_undo_forgets_what_was_undone(session: Session) -> None:
    session.apply([Paint((0.5, 0.5), True), Do("undo"), AddStyle("film-noir")])
    assert (session.state.editing.undo, session.state.editing.redo) == (1, 0)
    session.apply([Do("redo")])
    assert session.state.status.message == "nothing to redo" and session.state.status.failed


def test_a_layer_is_hidden_and_shown_again(session: Session) -> None:
    before = session.avatar
    session.apply([Do("find layers")])
    assert sum(session.state.editing.layers) == len(before)
    session.apply([HideLayer("clothes", True)])
    assert session.state.editing.hidden == ("clothes",) and len(session.avatar) < len(before)
    session.apply([HideLayer("clothes", False)])
    assert session.avatar is before
    session.apply([HideLayer("glasses", True)])
    assert "has no glasses" in session.state.status.message and session.state.editing.hidden == ()


def test_the_edits_are_saved_as_a_new_file(session: Session, tmp_path: Path) -> None:
    session.apply([Do("save avatar")])
    assert "nothing is edited" in session.state.status.message
    session.apply([Paint((0.5, 0.5), True), Do("save avatar"), Do("save avatar")])
    first, second = tmp_path / "me_edit_1.avatar", tmp_path / "me_edit_2.avatar"
    assert second.exists()
    header = read_header(first)
    assert header["consent"] == "Agreed." and header["training"]["edits"][-1]["paint"] > 0
    shown = session.avatar.state_dict()
    assert all(torch.equal(value, shown[name]) for name, value in load_avatar(first).state_dict().items())


def test_an_avatar_without_a_file_is_not_edited(tiny_avatar: Avatar) -> None:
    session = Session(tiny_avatar, "me.avatar")
    session.apply([AddStyle("film-noir")])
    assert "has no file yet" in session.state.status.message


def test_activating_the_brush_prepares_the_first_stroke(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[str] = []
    original = Editor.prepare
    monkeypatch.setattr(
        Editor, "prepare", lambda self: (prepared.append(threading.current_thread().name), original(self))[1]
    )
    for active in (True, False, True):
        session.apply([Change("editing", replace(session.state.editing, active=active))])
    session.apply([Paint((0.5, 0.5), True)])
    assert len(prepared) == 1 and prepared[0].startswith("open") and session.state.editing.undo == 1


def test_a_head_without_coordinates_reports_it_at_the_stroke(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Editor) -> None:
        raise HeadsplatError("paint: no texture coordinates")

    monkeypatch.setattr(Editor, "prepare", refuse)
    before = session.avatar
    session.apply([Change("editing", replace(session.state.editing, active=True)), Paint((0.5, 0.5), True)])
    assert session.state.status.message == "paint: no texture coordinates" and session.avatar is before
