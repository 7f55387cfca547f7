"""A stand-in for MediaPipe's library in the camera of a page: landmarks of a made-up film instead of those of an image.

The worker, the fit, the calibration and the page are the real ones.
"""

from __future__ import annotations

import json
from unittest.mock import patch

import numpy as np

from avatar.geometry.numpy_rotations import exp_rotation
from avatar.head import load_head
from capture.live.web_model import landmark_model_pack
from capture.tracker.indices import HIDEABLE_LANDMARKS
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole, State
from tests.capture.faces.landmark_fixture import observe
from viewer.web.camera_pack import CameraPack

#: Of Chromium's fake camera.
WIDTH, HEIGHT = 640, 480
CAMERA = Pinhole(620.0, WIDTH / 2, HEIGHT / 2)
RATE = 30.0
#: Seconds of rest; from then on the jaw opens for a second and closes for one, and the head turns to the left with it.
REST = 4.0
TURN = 0.25  # radians
#: An empty module.
_WASM = b"\0asm\1\0\0\0"
#: Loads its program as MediaPipe does. Finds the frame of the film at the time since the first image; after the end it
#: starts again at the end of the rest.
_LIBRARY = """
exports.FaceLandmarker = {
  async createFromOptions({ wasmLoaderPath, wasmBinaryPath }, { baseOptions }) {
    importScripts(wasmLoaderPath);
    await WebAssembly.compile(await (await fetch(wasmBinaryPath)).arrayBuffer());
    const { frames, rate, rest } = JSON.parse(new TextDecoder().decode(baseOptions.modelAssetBuffer));
    let first;
    return {
      detectForVideo(image) {
        first ??= performance.now();
        let index = Math.floor(((performance.now() - first) / 1000) * rate);
        const start = rest * rate;
        if (index >= frames.length) index = start + ((index - start) % (frames.length - start));
        const points = frames[index];
        const faceLandmarks = [];
        if (points) {
          const landmarks = [];
          const { width, height } = image;
          for (let at = 0; at < points.length; at += 3)
            landmarks.push({ x: points[at] / width, y: points[at + 1] / height, z: points[at + 2] / width });
          faceLandmarks.push(landmarks);
        }
        return { faceLandmarks };
      },
    };
  },
};
"""


def states(seconds: float) -> list[State]:
    """The head at rest, then opening the jaw and turning, as REST says."""
    model = LandmarkModel.from_head(load_head())
    found = []
    for time in np.arange(int(seconds * RATE)) / RATE:
        opened = 0.5 - 0.5 * np.cos(np.pi * max(time - REST, 0))
        expression = np.zeros(len(model.names))
        expression[model.names.index("jawOpen")] = 0.6 * opened
        # At rest the head sways a little: frames that are all alike would not show who it is.
        sway = 0.08 * np.sin(1.5 * min(time, REST)) + TURN * opened
        found.append(State(exp_rotation(np.array([0, sway, 0])), np.array([0, 0, -0.55]), expression))
    return found


def film(seconds: float = REST + 2, lost: slice = slice(0, 0)) -> list[list[float] | None]:
    """Landmarks [1434] of each frame in pixels; None in the frames `lost`."""
    model = LandmarkModel.from_head(load_head())
    identity = np.random.default_rng(0).normal(size=model.identity_size) * 0.5
    shown = states(seconds)
    points = observe(model, identity, shown, np.arange(len(shown)) / RATE, 0.1, camera=CAMERA).points
    frames: list[list[float] | None] = [np.round(frame, 2).ravel().tolist() for frame in points]
    frames[lost] = [None] * len(frames[lost])
    return frames


def fake_pack(frames: list[list[float] | None], library: str = _LIBRARY) -> CameraPack:
    """The camera of a page whose library finds the landmarks `frames`, in images that do not show them."""
    task = json.dumps({"frames": frames, "rate": RATE, "rest": REST}).encode()
    parts = {"library": library.encode(), "loader": b"//", "wasm": _WASM, "task": task}
    with patch.dict(HIDEABLE_LANDMARKS, dict.fromkeys(HIDEABLE_LANDMARKS, np.zeros(0, int))):
        model = landmark_model_pack(load_head())
    return CameraPack.of({**parts, "landmarks": model}, "a made-up library")
