"""The camera of the page, in a browser with a fake camera; a stand-in for MediaPipe finds the landmarks of a film."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from avatar.head import load_head
from avatar.model.avatar import Avatar
from tests.support.browser import Page, chromium, find_chromium
from tests.support.fake_vision import RATE, REST, fake_pack, film
from tests.system.web.test_controls import click, press
from tests.system.web.test_driving import drop, take
from viewer.web.bundle import bundle
from viewer.web.camera_pack import CameraPack
from viewer.web.page import build_page

DEVICE = "--use-fake-device-for-media-stream"
ALLOWED = (DEVICE, "--use-fake-ui-for-media-stream")
MESSAGE = "document.getElementById('message').textContent"
CUT = "--cut-the-pack"  # for the test, of no effect on the browser
STATE = "document.getElementById('live-state').textContent"
FOLLOW = "document.getElementById('follow')"


@pytest.fixture(scope="module")
def written(container: bytes, tmp_path_factory: pytest.TempPathFactory) -> Callable[[CameraPack], Path]:
    """Writes the page with a camera."""
    if find_chromium() is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    folder = tmp_path_factory.mktemp("pages")

    def write(camera: CameraPack) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.html"
        path.write_text(build_page(container, "tiny", camera=camera), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def filmed(written: Callable[[CameraPack], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page with the camera on and calibrated."""
    with chromium(tmp_path_factory.mktemp("profile"), (420, 400), ALLOWED) as page:
        page.open(written(fake_pack(film())))
        page.run(
            "globalThis.states = []; (() => { const { reports } = app.camera, { state } = reports; "
            "reports.state = (text) => { if (states.at(-1) !== text) states.push(text); state(text); }; })()"
        )
        click(page, "#camera")
        page.wait(f"{STATE} === 'live'")
        yield page


@pytest.fixture(autouse=True)
def followed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test ends with the page following the camera again."""
    yield
    if "filmed" in request.fixturenames:
        page = request.getfixturevalue("filmed")
        page.run("app.camera.start().then(() => { app.playback.leave(); app.sliders.set({}); app.camera.gains = {}; })")
        page.run(f"{FOLLOW}.checked = true; {FOLLOW}.dispatchEvent(new Event('input'))")
        page.wait(f"{STATE} === 'live'")


def log(page: Page, seconds: float, column: str) -> np.ndarray:
    """A value of the pose that the page shows, over time."""
    return np.array(
        page.run(
            "new Promise((resolve) => { const values = [], start = performance.now(); const look = (now) => { "
            f"values.push(app.params().{column}); "
            f"if (now - start > {1000 * seconds}) resolve(values); else requestAnimationFrame(look); }}; "
            "requestAnimationFrame(look); })"
        )
    )


def test_the_camera_measures_calibrates_and_drives(filmed: Page) -> None:
    shown = filmed.run("states.filter((text) => !text.startsWith('learning'))")
    # The frames that show who it is show the resting face, too: there is nothing left to calibrate.
    assert shown == ["loading the face tracker", "waiting for a face", "live"]
    assert filmed.run("states.some((text) => /^learning your face: \\d+ %$/.test(text))")
    assert filmed.run("document.getElementById('camera').getAttribute('aria-pressed')") == "true"
    assert not filmed.run("document.getElementById('preview').hidden || document.getElementById('live').hidden")


def test_jaw_and_head_follow_the_face(filmed: Page, layered: Avatar) -> None:
    filmed.run("document.getElementById('limited').checked = false")
    jaw = log(filmed, 2.3, f"expression[{layered.head.expression_index('jawOpen')}]")
    assert jaw.max() - jaw.min() > 0.3
    yaw = log(filmed, 2.3, "jointRot[1]")
    assert yaw.max() - yaw.min() > 0.1


def test_the_image_follows_the_face(filmed: Page, layered: Avatar) -> None:
    jaw = layered.head.expression_index("jawOpen")
    image = "(() => { app.player.redraw(); return app.player.canvas.toDataURL(); })()"
    filmed.run("app.resolution.isFixed = true; app.resolution.scale = 1; app.changed()")
    lowest = log(filmed, 2.3, f"expression[{jaw}]").min()
    filmed.wait(f"app.player.frame && app.params().expression[{jaw}] < {lowest + 0.05}")
    closed = filmed.image(image)

    def differs() -> bool:
        shown = filmed.image(image)
        return shown.shape == closed.shape and bool(np.abs(shown.astype(int) - closed).max() > 20)

    filmed.wait_for(differs, "another image")
    filmed.run("app.resolution.isFixed = false")


def test_a_slider_takes_over_until_the_camera_is_followed_again(filmed: Page, layered: Avatar) -> None:
    jaw = layered.head.expression_index("jawOpen")
    filmed.run("app.sliders.set({ jawOpen: 1 })")
    assert not filmed.run(f"{FOLLOW}.checked")
    assert np.ptp(log(filmed, 1.0, f"expression[{jaw}]")) == 0
    click(filmed, "#follow")
    filmed.wait(f"app.isFollowing && app.params().expression[{jaw}] < 0.5")


def test_a_motion_takes_over(filmed: Page, layered: Avatar) -> None:
    drop(filmed, "take.csv", take())
    filmed.wait("app.playback.isShown")
    assert not filmed.run("app.isFollowing")


def test_gains_scale_the_movement(filmed: Page, layered: Avatar) -> None:
    row = f"expression[{layered.head.expression_index('jawOpen')}]"
    filmed.run(
        "(() => { const rows = [...document.querySelectorAll('#gains label')]; "
        "const input = rows.find((row) => row.textContent.startsWith('Jaw')).querySelector('input'); "
        "input.value = '0'; input.dispatchEvent(new Event('input')); })()"
    )
    assert filmed.run("app.camera.gains") == {"jaw": 0}
    filmed.wait("app.camera.gains.jaw === 0")
    log(filmed, 0.3, row)  # samples from before the change have passed
    assert np.ptp(log(filmed, 2.1, row)) < 0.02


@pytest.mark.parametrize("way", ["#calibrate", "c"])
def test_the_resting_face_is_taken_again(filmed: Page, way: str) -> None:
    filmed.run("states.length = 0; document.activeElement.blur()")
    if way == "c":
        press(filmed, "c")
    else:
        click(filmed, way)
    filmed.wait("states.includes('calibrating: look ahead and relax')")
    # The film moves all the time; calibration ends with a low value of each expression instead.
    filmed.wait("states.at(-1) !== 'calibrating: look ahead and relax'")
    assert filmed.run("states.at(-1)") in ("live", "the face was never at rest; calibrate again with a resting face")
    filmed.run("app.camera.stop()")  # the next test starts anew


def test_a_mirrored_view_turns_the_way_it_is_dragged(filmed: Page) -> None:
    click(filmed, "#mirror")
    filmed.run("app.orbit.reset(); app.orbit.turn(0.2, 0)")
    flipped = "getComputedStyle(document.getElementById('view')).transform"
    assert filmed.run(f"[app.orbit.yaw, {flipped}]") == [-0.2, "matrix(-1, 0, 0, 1, 0, 0)"]
    click(filmed, "#mirror")
    assert filmed.run(f"app.orbit.reset(), [app.orbit.isMirrored, {flipped}]") == [False, "none"]


def test_a_second_press_gives_the_camera_back(filmed: Page) -> None:
    filmed.run("globalThis.track = app.camera.stream.getVideoTracks()[0]")
    click(filmed, "#camera")
    assert filmed.run("[app.camera.isOn, track.readyState, app.isFollowing]") == [False, "ended", False]
    assert filmed.run("document.getElementById('preview').hidden && document.getElementById('live').hidden")
    assert filmed.run("document.getElementById('camera').getAttribute('aria-pressed')") == "false"


def test_the_pose_goes_over_to_a_new_calibration(filmed: Page) -> None:
    filmed.run(
        "globalThis.parts = []; (() => { const { reports } = app.camera, { moved } = reports; "
        "reports.moved = () => { parts.push(Boolean(app.camera.previous)); moved(); }; })()"
    )
    filmed.run("app.camera.calibrate()")
    filmed.wait("parts.includes(true) && !parts.at(-1)")


def test_a_stop_before_the_browser_answers_gives_the_camera_back(filmed: Page) -> None:
    filmed.run("app.camera.stop(); app.camera.start(); app.camera.stop()")
    filmed.run(
        "(async () => { const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media); "
        "media.getUserMedia = async (wanted) => { globalThis.late = await ask(wanted); delete media.getUserMedia; "
        "app.camera.stop(); return late; }; await app.camera.start(); })()"
    )
    assert filmed.run("[app.camera.isOn, app.camera.stream, late.getTracks()[0].readyState]") == [False, None, "ended"]


def test_a_second_start_while_the_tracker_loads_ends_live(filmed: Page) -> None:
    filmed.run("app.camera.stop(); app.camera.worker.terminate(); app.camera.worker = app.camera.loading = null")
    filmed.run("document.getElementById('message').textContent = ''")
    filmed.run("app.camera.start(); 0")
    filmed.wait("app.camera.isOn")
    filmed.run("app.camera.stop(); app.camera.start(); 0")
    filmed.wait(f"{STATE} === 'live'")
    assert filmed.run(MESSAGE) in ("", "Your face moves the avatar; the image stays in this page.")


def test_an_image_of_another_size_is_learned_and_calibrated_anew(filmed: Page) -> None:
    filmed.run(
        "globalThis.make = createImageBitmap; globalThis.restarts = 0; "
        "(() => { const { calibration } = app.camera, { restart } = calibration; "
        "calibration.restart = () => { restarts++; restart.call(calibration); }; })(); "
        "globalThis.createImageBitmap = (source) => make(source, { resizeWidth: 480, resizeHeight: 360 }); 0"
    )
    filmed.wait(f"restarts > 0 && {STATE} === 'live'")
    filmed.run("globalThis.createImageBitmap = make; app.camera.stop(); 0")


def test_a_slow_camera_and_a_pause_do_not_shrink_the_image(filmed: Page) -> None:
    measured = (
        "(() => { const it = new app.resolution.constructor(app.player.canvas, () => {}); let now = 0; "
        "for (let k = 0; k < 60; k++) it.measure((now += k === 30 ? 60000 : STEP), true); return it.scale; })()"
    )
    assert filmed.run(measured.replace("STEP", "30")) == 1
    assert filmed.run(measured.replace("STEP", "90")) < 1
    # Between two poses of the camera nothing waits to be drawn.
    filmed.run("app.resolution.isFixed = false; app.resolution.scale = 1")
    filmed.run("app.isChanged = false; for (let k = 0; k < 20; k++) app.resolution.measure(100 * k, false)")
    assert filmed.run("app.resolution.scale") == 1


def test_a_page_that_fails_gives_the_camera_back(filmed: Page) -> None:
    filmed.run("app.player.onfailure('The avatar cannot be shown.')")
    assert filmed.run("[app.camera.isOn, document.getElementById('failure').hidden]") == [False, False]
    filmed.run("document.getElementById('failure').hidden = true")


def test_an_image_from_before_a_stop_is_ignored(filmed: Page) -> None:
    late = "{ type: 'tracked', session, seconds: 1e9, sample: null, earlier: [], isFace: false, progress: 1 }"
    script = f"(() => {{ const session = app.camera.session - AGO; app.camera.worker.onmessage({{ data: {late} }}); "
    script += "return app.camera.presence.isLost; })()"
    filmed.wait("!app.camera.presence.isLost")
    assert not filmed.run(script.replace("AGO", "1"))
    assert filmed.run(script.replace("AGO", "0"))
    filmed.run("app.camera.stop()")  # the next test starts anew


def test_a_worker_that_ends_is_reported_and_started_again(filmed: Page) -> None:
    filmed.run("app.camera.worker.onerror({ message: 'out of memory' })")
    assert filmed.run(MESSAGE) == "The camera cannot be followed (out of memory); use another browser."
    assert filmed.run("[app.camera.isOn, app.camera.worker]") == [False, None]
    click(filmed, "#camera")
    filmed.wait(f"app.camera.worker && {STATE} === 'live'")


def test_a_camera_that_ends_is_reported(filmed: Page) -> None:
    filmed.run("app.camera.stream.getVideoTracks()[0].onended()")
    assert filmed.run(MESSAGE) == "The camera is gone; connect it and try again."
    assert not filmed.run("app.camera.isOn")


def test_nothing_leaves_the_page(filmed: Page) -> None:
    assert filmed.addresses() <= {"file", "blob", "data"}
    assert not filmed.errors()


def test_a_lost_face_returns_to_rest(written: Callable[[CameraPack], Path], tmp_path: Path) -> None:
    lost = slice(int((REST + 1) * RATE), int((REST + 3) * RATE))
    jaw = load_head().expression_index("jawOpen")
    with chromium(tmp_path, (420, 400), ALLOWED) as page:
        page.open(written(fake_pack(film(REST + 4, lost))))
        click(page, "#camera")
        page.wait(f"app.camera.pose && app.params().expression[{jaw}] > 0.25")
        page.wait(f"{STATE} === 'no face is seen'")
        page.wait(f"app.camera.pose.expression[{jaw}] === app.camera.rest.expression[{jaw}]")


REFUSED = "The browser refuses the camera to this page; allow it in the settings of the site."
DAMAGED = "The camera of this page is damaged; export or download it again."


@pytest.mark.parametrize(
    ("camera", "options", "sentence"),
    [
        (lambda: fake_pack([None]), (DEVICE, "--deny-permission-prompts"), re.escape(REFUSED)),
        (lambda: CameraPack(fake_pack([None]).content[:-40], "", ""), ALLOWED, re.escape(DAMAGED)),
        (lambda: CameraPack(b"no gzip", "", ""), ALLOWED, re.escape(DAMAGED)),
        (lambda: fake_pack([None]), (*ALLOWED, CUT), re.escape(DAMAGED)),
        (
            lambda: fake_pack(
                [None], "exports.FaceLandmarker = { createFromOptions() { throw new Error('no memory'); } };"
            ),
            ALLOWED,
            r"The camera cannot be followed \(no memory\); use another browser\.",
        ),
        (
            lambda: fake_pack([None], "syntax error"),
            ALLOWED,
            r"The camera cannot be followed \(.*SyntaxError: .*\); use another browser\.",
        ),
    ],
    ids=["refused", "truncated", "not gzip", "cut text", "library fails", "library does not start"],
)
def test_a_camera_that_cannot_be_followed_gives_one_sentence(
    written: Callable[[CameraPack], Path],
    tmp_path: Path,
    camera: Callable[[], CameraPack],
    options: tuple[str, ...],
    sentence: str,
) -> None:
    path = written(camera())
    if CUT in options:
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r'(id="camera-pack">[^<]{1000})[^<]*', r"\1!", text), encoding="utf-8")
    with chromium(tmp_path, (420, 400), options) as page:
        page.open(path)
        click(page, "#camera")
        page.wait(f"{MESSAGE} && !{MESSAGE}.startsWith('Your face') && !app.camera.isStarting")
        assert re.fullmatch(sentence, page.run(MESSAGE))
        assert not page.run("app.camera.isOn || app.camera.stream")


def test_a_page_without_a_camera_has_no_button_and_compiles_nothing(shown: Page, container: bytes) -> None:
    assert shown.run("document.getElementById('camera').hidden && !app.camera")
    assert "unsafe-eval" not in build_page(container, "tiny").partition("<title>")[0]


def test_the_policy_of_the_camera_allows_no_network_and_no_evaluation_of_text(container: bytes) -> None:
    page = build_page(container, "tiny", camera=CameraPack(b"", "by someone", "its license"))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["connect-src"] == "blob:" and rules["default-src"] == "'none'"
    assert "'unsafe-eval'" not in rules["script-src"] and "'wasm-unsafe-eval'" in rules["script-src"]
    assert "<p>by someone</p>" in page and ">its license</script>" in page


def test_the_worker_of_the_camera_is_in_pages_with_a_camera_only(container: bytes) -> None:
    assert "detectForVideo" in bundle("face/camera_worker.js")
    assert "detectForVideo" not in build_page(container, "tiny")
