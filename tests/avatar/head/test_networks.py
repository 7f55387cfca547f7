"""Landmark and blendshape networks on images of the embedded head; skipped where the models are absent."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from avatar.errors import HeadsplatError
from avatar.head import HeadModel, load_head
from avatar.head.sheets import View, pose_vertices, render
from capture.faces.landmarks import AttentionMesh
from capture.networks.models import model_path

VIEW = View(center=(0, -0.032, -0.02), extent=0.26, size=192)
#: the 146 landmarks that are the input of MediaPipe's blendshape network
INPUTS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81,
    82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154,
    155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263,
    267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321,
    323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387,
    388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)  # fmt: skip


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def _projected(points: np.ndarray, size: int) -> np.ndarray:
    """Pixels [N,2] of points [N,3] in meters in VIEW."""
    offset = points - np.array(VIEW.center)
    focal = size * 0.9 / VIEW.extent
    return offset[:, :2] * [1, -1] * focal / (0.9 - offset[:, 2:]) + size / 2


def _landmark_network() -> AttentionMesh:
    def refuse(folder: Path) -> None:
        raise OSError("tests do not download")

    try:
        return AttentionMesh(model_path("face_landmarks_attention", refuse))
    except (HeadsplatError, OSError):
        pytest.skip("the landmark network is not in the model cache (HEADSPLAT_MODELS or the cache folder)")


def _blendshape_network(folder: Path) -> Interpreter:
    beside = Path(__file__).parents[4] / "shared" / "data" / "models" / "face_landmarker.task"
    task = Path(os.environ.get("HEADSPLAT_FACE_LANDMARKER", beside))
    if not task.is_file():
        pytest.skip("face_landmarker.task is absent (HEADSPLAT_FACE_LANDMARKER)")
    with zipfile.ZipFile(task) as archive:
        path = archive.extract("face_blendshapes.tflite", folder)
    network = Interpreter(path)
    network.allocate_tensors()
    return network


def test_the_landmark_network_finds_the_heads_landmarks(head: HeadModel) -> None:
    """Mean error below 2.5 % of the inter-ocular distance in a frontal image."""
    image = cv2.GaussianBlur(render(head, head.v_template, VIEW), (0, 0), 0.6)
    found, _ = _landmark_network()((image.astype(np.float32) / 255)[None])
    expected = _projected(head.landmarks(head.v_template[None])[0].numpy(), VIEW.size)
    ocular = np.linalg.norm(expected[33] - expected[263])
    error = np.linalg.norm(found[:, :2] - expected, axis=1).mean() / ocular
    assert error < 0.025, f"{100 * error:.2f} % of the inter-ocular distance"


def test_most_expressions_rank_first_in_the_blendshape_network(head: HeadModel, tmp_path: Path) -> None:
    """At least 40 of 51; the network hardly ever raises cheekPuff, cheekSquint, jawForward and noseSneer."""
    network = _blendshape_network(tmp_path)
    source, sink = network.get_input_details()[0]["index"], network.get_output_details()[0]["index"]

    def scores(weights: dict[str, float]) -> np.ndarray:
        points = _projected(head.landmarks(pose_vertices(head, weights)[None])[0].numpy(), 512)[list(INPUTS)]
        network.set_tensor(source, np.ascontiguousarray(points, np.float32)[None])
        network.invoke()
        return network.get_tensor(sink).ravel().copy()

    names = sorted(head.expression_names[:51])
    first = 0
    for rank, name in enumerate(names, 1):
        start = {"jawOpen": 1.0} if name == "mouthClose" else {}
        rise = scores(start | {name: 1.0}) - scores(start)
        first += int(np.argmax(rise) == rank)
    assert first >= 40, f"{first} of 51"
