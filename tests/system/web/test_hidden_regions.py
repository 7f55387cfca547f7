"""Hidden regions in the page: the light at landmarks, what it says, and what is held, as in the native pipeline."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from avatar.driving.live.region_hold import RegionHold
from avatar.driving.live.samples import Sample
from avatar.head import load_head
from capture.live.web_model import landmark_model_pack
from capture.quality.frame_statistics import face_light
from capture.quality.hidden_regions import HiddenRegions
from capture.tracker.indices import HIDEABLE_LANDMARKS
from capture.tracker.landmark_model import LandmarkModel
from tests.support.browser import Page
from tests.system.web.test_face_fit import a_person, coded, film, motion
from viewer.web.bundle import module

HEAD = load_head()
MODEL = LandmarkModel.from_head(HEAD)
RATE = 30.0
ENTRIES = ("hidden_regions", "region_hold", "face_light", "landmark_model", "face_fitter")


@pytest.fixture(scope="module")
def regions(page: Page) -> Page:
    """A page with the modules as `found`, and the landmark model as `model`."""
    page.run("globalThis.decoded = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer; 0")
    for entry in ENTRIES:
        address = "data:text/javascript;base64," + base64.b64encode(module(f"face/{entry}.js").encode()).decode()
        page.run(f"import('{address}').then((all) => {{ globalThis.found = {{ ...globalThis.found, ...all }}; }})")
    page.run(f"globalThis.model = new found.LandmarkModel(decoded({coded(landmark_model_pack(HEAD))})); 0")
    return page


def covered(frames: int, hidden: dict[str, range], turn: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Light [T,478,3] and landmarks [T,478,3] of a turning face of which other things hide regions for some frames."""
    rng = np.random.default_rng(2)
    points = film(MODEL, a_person(), motion(MODEL, frames, turn))
    face = rng.uniform(0.1, 0.6, (478, 3))
    light = np.repeat(face[None], frames, axis=0) * rng.uniform(0.9, 1.1, (frames, 478, 3))
    for region, rows in hidden.items():
        places = HIDEABLE_LANDMARKS[region]
        light[np.ix_(rows, places)] = rng.uniform(0.1, 0.6, (len(places), 3))
    return light.astype(np.float32), points


def found_in_page(page: Page, light: np.ndarray, points: np.ndarray) -> list[tuple[str, ...]]:
    text = page.run(
        f"(() => {{ const light = new Float32Array(decoded({coded(light[:, :468])})); "
        f"const points = new Float32Array(decoded({coded(points)})); "
        f"const regions = new found.HiddenRegions(model), out = []; "
        f"for (let k = 0; k < {len(light)}; k++) out.push(regions.update("
        f"light.subarray(1404 * k, 1404 * k + 1404), points.subarray(1434 * k, 1434 * k + 1434), k / {RATE})); "
        "return JSON.stringify(out); })()"
    )
    return [tuple(each) for each in json.loads(text)]


def test_regions_are_hidden_in_the_same_frames_as_natively(regions: Page) -> None:
    light, points = covered(140, {"mouth": range(50, 80), "eyes": range(70, 110)})
    native = HiddenRegions()
    expected = [native(*each, k / RATE) for k, each in enumerate(zip(light, points, strict=True))]
    assert ("mouth",) in expected and ("eyes",) in expected and ("eyes", "mouth") in expected
    assert found_in_page(regions, light, points) == expected


def test_a_second_look_is_learned_as_natively(regions: Page) -> None:
    light, points = covered(420, {"mouth": range(60, 420)}, 0.1)
    native = HiddenRegions()
    expected = [native(*each, k / RATE) for k, each in enumerate(zip(light, points, strict=True))]
    assert expected[300] == ("mouth",) and expected[-1] == ()
    assert found_in_page(regions, light, points) == expected


def test_expressions_are_held_as_natively(regions: Page) -> None:
    rng = np.random.default_rng(4)
    samples = []
    for k in range(90):
        hidden = tuple(name for name, rows in (("eyes", range(50, 60)), ("mouth", range(30, 55))) if k in rows)
        face = rng.random(len(HEAD.expression_names), np.float32), rng.random((5, 3), np.float32)
        samples.append(Sample(k / RATE, HEAD.expression_names, "", *face, np.zeros(3, np.float32), 1.0, hidden=hidden))
    native = RegionHold(HEAD.expression_names)
    expected = [native(each, each.hidden, each.time) for each in samples]
    sent: list[dict[str, Any]] = [
        {
            "expression": each.weights.tolist(),
            "jointRot": each.joint_rot.ravel().tolist(),
            "hidden": each.hidden,
            "seconds": each.time,
        }
        for each in samples
    ]
    text = regions.run(
        f"(() => {{ const hold = new found.RegionHold(model.names); "
        f"return JSON.stringify({json.dumps(sent)}.map((sample) => hold.apply(sample))); }})()"
    )
    for one, other in zip(json.loads(text), expected, strict=True):
        np.testing.assert_allclose(one["expression"], other.weights, atol=1e-6)
        np.testing.assert_allclose(one["jointRot"], other.joint_rot.ravel(), atol=1e-6)


@pytest.mark.parametrize("size", [80.0, 300.0])
def test_light_around_landmarks_is_the_native_one(regions: Page, size: float) -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = rng.uniform(-0.5, 0.5, (478, 2)) * size + [330, 220]
    file = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    light = json.loads(
        regions.run(
            f"createImageBitmap(new Blob([decoded({coded(file)})])).then((image) => JSON.stringify("
            f"[...new found.FaceLight().around(image, new Float32Array(decoded({coded(points)})))]))"
        )
    )
    expected = face_light(image, points[:, :2])[:468]
    np.testing.assert_allclose(np.reshape(light, (468, 3)), expected, atol=0.02)


def test_landmarks_of_a_hidden_mouth_do_not_move_the_fit(regions: Page) -> None:
    states = motion(MODEL, 100, 0.3)
    light, points = covered(100, {"mouth": range(80, 100)}, 0.3)
    points = film(MODEL, a_person(), states)
    jaw = MODEL.names.index("jawOpen")
    for k in range(80, 100):
        wrong = replace(states[k], expression=states[k].expression.copy())
        wrong.expression[jaw] = 1.0 - wrong.expression[jaw]
        points[k] = film(MODEL, a_person(), [wrong])[0]
    text = regions.run(
        f"(() => {{ const light = new Float32Array(decoded({coded(light[:, :468])})); "
        f"const points = new Float32Array(decoded({coded(points)})), fitter = new found.FaceFitter(model, 640, 480); "
        "return JSON.stringify(Array.from({ length: 100 }, (_, k) => fitter.add("
        f"points.slice(1434 * k, 1434 * k + 1434), k / {RATE}, light.subarray(1404 * k, 1404 * k + 1404)))); }})()"
    )
    samples = json.loads(text)
    assert samples[79]["hidden"] == [] and samples[95]["hidden"] == ["mouth"]
    assert max(each["error"] for each in samples[85:]) < 0.02
