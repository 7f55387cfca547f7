"""Two clicks in the image: the distance between them in true millimeters, which follows the head."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from avatar.model.avatar import Avatar
from avatar.model.head_lengths import HeadLengths
from avatar.model.true_size import TrueSize
from viewer.render.orbit import Orbit
from viewer.session.edits import Change, Measure
from viewer.session.session import Session

CORNERS = (33, 263)  # outer corners of the eyes
CHEEKS = (50, 280)


def opened(avatar: Avatar) -> Session:
    session = Session(avatar, "me.avatar")
    session.apply([Change("camera", replace(session.state.camera, height=192, width=192))])
    session.apply([Change("measuring", replace(session.state.measuring, active=True))])
    session.viewport.available = (192, 192)
    session.advance()
    return session


def at(session: Session, landmark: int) -> tuple[float, float]:
    """Where a landmark is in the image."""
    view = session.viewport.rendered_view
    assert view is not None
    camera, pose = view
    with torch.no_grad():
        head = session.avatar.head
        point = head.landmarks(head.vertices(session.avatar.with_identity(pose.params)))[0, landmark]
        x, y = camera.project(point[None])[0].tolist()
    return x / camera.width, y / camera.height


def test_two_clicks_measure_in_true_millimeters(tiny_avatar: Avatar) -> None:
    larger = copy.copy(tiny_avatar)
    larger.true_size = TrueSize(1.25, 0.04, "a test")
    expected = HeadLengths.of(tiny_avatar.head).meters("outer-eye-corners")
    assert expected is not None
    for avatar, scale in ((tiny_avatar, 1.0), (larger, 1.25)):
        session = opened(avatar)
        session.apply([Measure(at(session, landmark)) for landmark in CORNERS])
        found = session.state.measuring
        assert not session.state.status.failed and found.straight is not None
        assert found.straight == pytest.approx(1000 * scale * expected, rel=0.03)  # the pixel is not the landmark
        assert found.sigma == avatar.true_size.sigma and f"{found.straight:.1f} +- " in found.to_text()


def test_a_line_across_the_nose_is_longer_along_the_surface(tiny_avatar: Avatar) -> None:
    session = opened(tiny_avatar)
    session.apply([Measure(at(session, landmark)) for landmark in CHEEKS])
    found = session.state.measuring
    assert found.straight is not None and found.surface is not None
    assert 1.1 * found.straight < found.surface < 1.6 * found.straight
    assert found.to_text().endswith(" mm along the surface")


def test_the_line_follows_the_head_and_a_third_click_starts_again(tiny_avatar: Avatar) -> None:
    session = opened(tiny_avatar)
    session.apply([Measure(at(session, landmark)) for landmark in CORNERS])
    before = session.state.measuring
    session.apply([Change("camera", replace(session.state.camera, orbit=Orbit(yaw=25.0)))])
    session.advance()
    after = session.state.measuring
    assert after.straight == pytest.approx(before.straight, rel=1e-4) and after.ends != before.ends
    for end, landmark in zip(after.ends, CORNERS, strict=True):
        assert end == pytest.approx(at(session, landmark), abs=0.02)
    session.apply([Measure((0.5, 0.5))])
    assert len(session.state.measuring.ends) == 1 and session.state.measuring.to_text() == ""


def test_beside_the_head_is_a_sentence(tiny_avatar: Avatar) -> None:
    session = opened(tiny_avatar)
    session.apply([Measure((0.01, 0.01))])
    assert session.state.status.message == "measure: the head is not there; click on the face, the scalp or the neck"
    assert session.state.status.failed and session.state.measuring.ends == ()


def test_another_avatar_has_no_line(tiny_avatar: Avatar) -> None:
    session = opened(tiny_avatar)
    session.apply([Measure((0.5, 0.5))])
    session.show_avatar(tiny_avatar, "other.avatar")
    assert session.state.measuring.ends == ()
