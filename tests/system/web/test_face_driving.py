"""Smoothing, calibration and retargeting of a face in the page, against the native live pipeline."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from avatar.driving.driver import Driver
from avatar.driving.live.calibrated_driver import CalibratedDriver, resting_face
from avatar.driving.live.calibration import CalibrationOptions, Calibrator
from avatar.driving.live.pipeline import resting_params
from avatar.driving.live.presence import Presence, PresenceOptions
from avatar.driving.live.samples import Sample
from avatar.driving.live.smoothing import SampleFilter, SmoothingOptions
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.motion.from_capture import space_of
from tests.support.browser import Page
from tests.system.web.test_driving import assert_params
from viewer.web.bundle import module

HEAD = load_head()
NAMES = HEAD.expression_names
RATE = 30.0


@pytest.fixture(scope="module")
def modules(shown: Page) -> Page:
    """The page of `layered` with what the modules of the camera export as globals."""
    for name in ("face/calibration.js", "face/face_filter.js", "face/presence.js"):
        body, _, exported = module(name).rpartition("export {")
        shown.run(f"(() => {{ {body} Object.assign(globalThis, {{ {exported.replace('};', '})')}; }})()")
    return shown


def face(seconds: float, rest: float, moves: dict[str, float], turn: tuple[float, float, float]) -> Sample:
    """A sample whose head sits half a meter from the camera, with `moves` added to a resting face."""
    rng = np.random.default_rng(int(1000 * seconds))
    weights = np.full(len(NAMES), 0.05, np.float32)
    for name, weight in {"browInnerUp": 0.2, "eyeBlinkLeft": 0.15, "eyeBlinkRight": 0.1, "mouthClose": 0.1}.items():
        weights[NAMES.index(name)] = weight
    for name, weight in moves.items():
        weights[NAMES.index(name)] += weight
    weights += rng.normal(0, rest, len(NAMES)).astype(np.float32)
    joint_rot = np.zeros((5, 3), np.float32)
    joint_rot[0] = turn
    joint_rot[3:] = (0.05, -0.1, 0.0)
    joint_rot += rng.normal(0, rest / 10, joint_rot.shape).astype(np.float32) * (joint_rot != 0)
    translation = np.array([0.02 + 0.1 * turn[1], 0.01, -0.5], np.float32)
    return Sample(seconds, NAMES, space_of(HEAD), weights, joint_rot, translation, 0.9, {}, seconds)


def performance(restless: float = 0.004) -> list[Sample]:
    """Two seconds of rest, then blinks, a wink, a smile, an open mouth and turns of the head."""
    samples = []
    for frame in range(150):
        at = frame / RATE - 2
        moves: dict[str, float] = {}
        turn = (0.05, 0.1, -0.02)
        if at > 0:
            wave = 0.5 - 0.5 * np.cos(2 * np.pi * at)
            moves = {"mouthSmileLeft": 0.6 * wave, "jawOpen": 0.8 * wave, "browInnerUp": 0.3 * wave}
            moves |= {"eyeBlinkRight": 0.5 * wave, "eyeBlinkLeft": (0.5 if at < 1 else 0.0) * wave, "eyeWideLeft": 0.2}
            turn = (0.05 + 0.2 * np.sin(3 * at), 0.1 + 0.8 * np.sin(2 * at), -0.02)
        samples.append(face(frame / RATE, restless, moves, turn))
    return samples


def sent(samples: list[Sample]) -> str:
    """Samples as the page's."""
    return json.dumps(
        [
            {
                "expression": sample.weights.tolist(),
                "jointRot": sample.joint_rot.ravel().tolist(),
                "translation": sample.translation.tolist(),
                "error": 0,
                "seconds": sample.time,
            }
            for sample in samples
        ]
    )


def calibrator(avatar: Avatar) -> Calibrator[CalibratedDriver]:
    driver = replace(Driver.of(avatar, NAMES, space_of(HEAD)), avatar_neutral=resting_face(avatar))
    options = CalibrationOptions()
    return Calibrator(lambda neutral: CalibratedDriver.of(driver, neutral, options.closed), options)


def driven(avatar: Avatar, samples: list[Sample], gains: dict[str, float]) -> list[Any]:
    """Parameters of the native pipeline."""
    found, calibration = [], calibrator(avatar)
    for sample in samples:
        driver = calibration.update(sample, sample.time)
        parts = (torch.from_numpy(getattr(sample, part))[None] for part in ("weights", "joint_rot", "translation"))
        with torch.no_grad():
            found.append(driver(*parts, gains))
    return found


@pytest.mark.parametrize("gains", [{}, {"mouth": 1.5, "head": 0.5, "eyes": 0.7, "jaw": 2.0, "brows": 0.0}])
@pytest.mark.parametrize("restless", [0.004, 0.08])
def test_a_face_is_calibrated_and_retargeted_as_by_the_live_pipeline(
    modules: Page, layered: Avatar, restless: float, gains: dict[str, float]
) -> None:
    samples = performance(restless)
    modules.run(f"globalThis.calibration = new Calibration(app.player.header, app.range, {json.dumps(NAMES)})")
    rows = modules.run(
        f"{sent(samples)}.map((sample) => calibration.update(sample).params(sample, {json.dumps(gains)}))"
    )
    for row, params in zip(rows, driven(layered, samples, gains), strict=True):
        assert_params(row, params)


def test_a_restless_face_is_told_to_calibrate_again(modules: Page) -> None:
    modules.run(f"globalThis.calibration = new Calibration(app.player.header, app.range, {json.dumps(NAMES)})")
    assert modules.run("calibration.note") == "look ahead and relax"
    moving = [face(k / RATE, 0.1, {}, (0, 0, 0)) for k in range(210)]
    modules.run(f"{sent(moving)}.forEach((sample) => calibration.update(sample))")
    assert modules.run("[calibration.isDone, calibration.note]") == [
        True,
        "the face was never at rest; calibrate again with a resting face",
    ]
    modules.run("calibration.restart()")
    still = [face(7 + k / RATE, 0.002, {}, (0, 0, 0)) for k in range(45)]
    modules.run(f"{sent(still)}.forEach((sample) => calibration.update(sample))")
    assert modules.run("[calibration.isDone, calibration.note]") == [True, ""]


def test_samples_are_smoothed_as_by_the_live_pipeline(modules: Page) -> None:
    samples = performance(0.02)
    smooth = SampleFilter(NAMES, SmoothingOptions())
    modules.run(f"globalThis.filter = new FaceFilter({json.dumps(NAMES)}, app.player.header)")
    rows = modules.run(f"{sent(samples)}.map((sample) => filter.filter(sample))")
    for row, sample in zip(rows, samples, strict=True):
        expected = smooth(sample, sample.time)
        np.testing.assert_allclose(row["expression"], expected.weights, atol=1e-6)
        np.testing.assert_allclose(row["jointRot"], expected.joint_rot.ravel(), atol=1e-6)
        np.testing.assert_allclose(row["translation"], expected.translation, atol=1e-6)


def test_a_lost_face_returns_to_rest_and_back(modules: Page, layered: Avatar) -> None:
    with torch.no_grad():
        rest = resting_params(layered, resting_face(layered))
    pose = replace(rest, expression=rest.expression + 0.3, joint_rot=rest.joint_rot + 0.1)
    presence = Presence(rest, PresenceOptions())
    sides = {name: json.dumps(plain(params)) for name, params in (("rest", rest), ("pose", pose))}
    modules.run(f"globalThis.presence = new Presence({sides['rest']}, app.player.header)")
    events = {0.0: "update", 1.0: "markLost", 2.5: "update", 2.6: "markLost"}
    for step in range(40):
        time = 0.1 * step
        kind = events.get(round(time, 1))
        if kind == "update":
            presence.update(pose, time)
            modules.run(f"presence.update({sides['pose']}, {time})")
        elif kind == "markLost":
            presence.mark_lost(time)
            modules.run(f"presence.markLost({time})")
        assert_params(modules.run(f"presence.paramsAt({time})"), presence.params_at(time))
    assert modules.run("[presence.isMovingAt(3), presence.isMovingAt(4), presence.isLost]") == [True, False, True]


def plain(params: Any) -> dict[str, list[float]]:
    """Parameters [1] as the page's."""
    return {
        "expression": params.expression[0].tolist(),
        "jointRot": params.joint_rot[0].flatten().tolist(),
        "translation": params.translation[0].tolist(),
    }
