"""The controls of the page, driven as a person does: mouse, touch, keyboard, files that it saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from avatar.common.made_note import has_note
from tests.support.browser import Page
from tests.system.web.test_driving import drop, take

IMAGE = (300, 300)  # a point of the image, pixels of the page


def press(page: Page, key: str, code: str = "") -> None:
    text = {"text": key} if len(key) == 1 else {}
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=code, **text)


def mouse(page: Page, kind: str, x: float, y: float, **more: Any) -> None:
    page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", **more)


def settle(page: Page) -> None:
    page.wait("!app.player.isBusy && !app.isChanged && !app.playback.isPlaying")


def click(page: Page, selector: str) -> None:
    box = page.run(
        f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}}); "
        "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        mouse(page, kind, *box, clickCount=1)


def canvas(page: Page) -> np.ndarray:
    settle(page)
    return page.image("(() => { app.player.redraw(); return app.player.canvas.toDataURL(); })()")


@pytest.fixture(autouse=True)
def start(shown: Page) -> None:
    shown.run("app.playback.leave(); app.orbit.reset(); app.sliders.set({}); document.activeElement.blur()")
    settle(shown)


def test_a_click_on_a_slider_moves_the_face(shown: Page) -> None:
    before = canvas(shown)
    click(shown, "[data-expression=jawOpen]")
    assert shown.run("app.sliders.weights.get('jawOpen')") == pytest.approx(0.5, abs=0.1)
    assert np.abs(canvas(shown).astype(int) - before).max() > 20


def test_arrow_keys_move_a_focused_slider(shown: Page) -> None:
    shown.run("document.querySelector('[data-expression=jawOpen]').focus()")
    for _ in range(3):
        press(shown, "ArrowRight", "ArrowRight")
    assert shown.run("app.sliders.weights.get('jawOpen')") == pytest.approx(0.03)


def test_a_preset_sets_both_sides_and_neutral_resets(shown: Page) -> None:
    names = "[...document.querySelectorAll('.presets button')].map((button) => button.textContent)"
    place = shown.run(names).index("Smile") + 1
    click(shown, f".presets button:nth-child({place})")
    weights = shown.run("Object.fromEntries(app.sliders.weights)")
    assert weights["mouthSmileLeft"] == weights["mouthSmileRight"] == 0.7
    press(shown, "n")
    assert shown.run("app.sliders.weights.size") == 0


def test_the_search_shows_matching_sliders_only(shown: Page) -> None:
    press(shown, "/")
    for letter in "smile":
        press(shown, letter)
    visible = "[...document.querySelectorAll('#expressions input')].filter((input) => input.checkVisibility()).length"
    assert shown.run(visible) == 2
    shown.run(
        "(() => { const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input')); })()"
    )


def test_dragging_turns_the_camera_and_r_resets_it(shown: Page) -> None:
    before = canvas(shown)
    mouse(shown, "mousePressed", *IMAGE, clickCount=1)
    mouse(shown, "mouseMoved", IMAGE[0] + 80, IMAGE[1], buttons=1)
    mouse(shown, "mouseReleased", IMAGE[0] + 80, IMAGE[1], clickCount=1)
    assert shown.run("app.orbit.yaw") == pytest.approx(-0.48)
    assert np.abs(canvas(shown).astype(int) - before).max() > 20
    shown.run("app.player.canvas.focus()")
    press(shown, "r")
    np.testing.assert_array_equal(canvas(shown), before)


def test_arrow_keys_on_the_image_turn_and_plus_comes_closer(shown: Page) -> None:
    shown.run("app.player.canvas.focus()")
    press(shown, "ArrowLeft", "ArrowLeft")
    press(shown, "ArrowUp", "ArrowUp")
    press(shown, "+")
    assert shown.run("[app.orbit.yaw, app.orbit.pitch, app.orbit.zoom]") == pytest.approx([-0.1, 0.1, 1.15])


def test_the_wheel_comes_closer(shown: Page) -> None:
    mouse(shown, "mouseWheel", *IMAGE, deltaX=0, deltaY=-200)
    shown.wait("app.orbit.zoom > 1.2")


def test_two_fingers_pinch_and_one_turns(shown: Page) -> None:
    def touch(kind: str, *points: tuple[float, float]) -> None:
        listed = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
        shown.call("Input.dispatchTouchEvent", type=kind, touchPoints=listed)

    touch("touchStart", (200, 300), (300, 300))
    touch("touchMove", (150, 300), (350, 300))
    touch("touchEnd")
    assert shown.run("app.orbit.zoom") == pytest.approx(2, rel=0.05)
    shown.run("app.orbit.reset()")
    touch("touchStart", (200, 300))
    touch("touchMove", (200, 350))
    touch("touchEnd")
    assert shown.run("app.orbit.pitch") == pytest.approx(0.3, abs=0.05)


def test_a_dropped_take_plays_pauses_and_seeks(shown: Page) -> None:
    drop(shown, "take.csv", take())
    shown.wait("app.playback.isPlaying && app.playback.time > 0.2")
    press(shown, " ")
    assert not shown.run("app.playback.isPlaying")
    seek = "const s = document.getElementById('seek'); s.value = '1.5'; s.dispatchEvent(new Event('input'));"
    shown.run(f"(() => {{ {seek} }})()")
    assert shown.run("app.playback.time") == 1.5
    click(shown, "[data-expression=jawOpen]")
    assert not shown.run("app.playback.isShown")  # the sliders pose it again


def test_the_rate_is_shown_while_a_motion_plays(shown: Page) -> None:
    drop(shown, "take.csv", take())
    shown.wait("/^[1-9][0-9]* fps$/.test(document.getElementById('rate').textContent)")


def test_a_slow_motion_gets_fewer_pixels_and_a_resting_face_all(shown: Page) -> None:
    whole = shown.run("app.resolution.size(false)")
    try:
        shown.run("for (let k = 0; k < 12; k++) app.resolution.measure(100 * k, true)")
        assert shown.run("app.resolution.size(true)") == pytest.approx([0.8 * side for side in whole], abs=1)
        assert shown.run("app.resolution.size(false)") == whole
    finally:
        shown.run("app.resolution.scale = 1; app.resolution.times = []")


def test_an_image_is_saved_with_a_transparent_background(shown: Page, downloads: Path) -> None:
    click(shown, "#transparent")
    click(shown, "#picture")
    shown.wait_for(lambda: cv2.haveImageReader(str(downloads / "tiny.png")), "an image")
    click(shown, "#transparent")
    saved = cv2.imread(str(downloads / "tiny.png"), cv2.IMREAD_UNCHANGED)
    assert saved.shape[2] == 4
    assert saved[0, 0, 3] == 0 and saved[..., 3].max() == 255
    assert has_note(downloads / "tiny.png")


def test_the_background_is_the_chosen_color(shown: Page) -> None:
    choose = "const b = document.getElementById('background'); b.value = '{}'; b.dispatchEvent(new Event('input'));"
    shown.run(f"(() => {{ {choose.format('#204060')} }})()")
    np.testing.assert_array_equal(canvas(shown)[0, 0], [0x20, 0x40, 0x60])
    shown.run(f"(() => {{ {choose.format('#ffffff')} }})()")


def test_a_video_is_saved(shown: Page, downloads: Path) -> None:
    drop(shown, "take.csv", take())
    shown.wait("app.playback.time > 0.1")
    click(shown, "#video")
    assert shown.run("document.getElementById('video').getAttribute('aria-pressed')") == "true"
    shown.run("globalThis.recorded = 0")
    shown.run("app.recorder.addEventListener('dataavailable', ({ data }) => { recorded += data.size; })")
    shown.wait("recorded > 1000")  # frames, not only a header: a busy machine encodes the first one late
    click(shown, "#video")
    shown.wait_for(lambda: video_frame(downloads / "tiny.webm") is not None, "a video")
    frame = video_frame(downloads / "tiny.webm")
    assert frame is not None and frame.std() > 5
    assert has_note(downloads / "tiny.webm")


def video_frame(path: Path) -> np.ndarray | None:
    """The first frame of a video; None while it is not complete."""
    video = cv2.VideoCapture(str(path)) if path.is_file() else None
    return None if video is None else video.read()[1]


def test_every_control_has_a_name(shown: Page) -> None:
    nameless = (
        "[...document.querySelectorAll('button, input, canvas')].filter((e) => !(e.ariaLabel || e.textContent.trim() "
        "|| [...(e.labels ?? [])].some((label) => label.textContent.trim()))).map((e) => e.outerHTML)"
    )
    assert shown.run(nameless) == []


def test_consent_and_note_are_shown(shown: Page) -> None:
    about = shown.run("document.getElementById('about').textContent")
    assert "a synthetic person" in about and "A synthetic rendering of a person" in about


def test_the_page_loads_nothing_and_reports_no_error(shown: Page) -> None:
    assert shown.addresses() <= {"file", "blob", "data"}
    assert not shown.errors()


def test_the_policy_refuses_requests_and_evaluated_text(shown: Page) -> None:
    assert shown.run("fetch('https://example.org').then(() => 'sent', () => 'refused')") == "refused"
    assert shown.run("(() => { const s = document.createElement('script'); s.textContent = 'globalThis.bad = 1'; "
                     "document.body.append(s); return globalThis.bad ?? 'refused'; })()") == "refused"  # fmt: skip
