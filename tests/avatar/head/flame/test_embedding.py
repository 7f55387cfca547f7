"""Landmarks detected in rendered images are projected back onto the mesh, cached, and found without a detector too."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head import HeadModel, load_head
from avatar.head.flame import anatomy, detection, embedding
from avatar.head.flame.detection import SIZE, detect_landmarks, embed_landmarks
from avatar.head.flame.lips import find_lips
from avatar.head.flame.mouth import mouth_border
from avatar.head.flame.openings import find_opening
from avatar.head.flame.source import read_flame
from avatar.head.sheets import View, rasterize_view

from .made_up import write

_BESIDE = Path(__file__).parents[5] / "shared" / "data" / "heads" / "flame2023open_partial.npz"
PARTIAL = Path(os.environ.get("HEADSPLAT_FLAME_PARTIAL", _BESIDE))


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> HeadModel:
    return anatomy.file_head(read_flame(write(tmp_path_factory.mktemp("head"), "2023", ".npz")))


@pytest.fixture(scope="module")
def body(head: HeadModel) -> anatomy.Anatomy:
    return anatomy.find_anatomy(head)


def _features(head: HeadModel, body: anatomy.Anatomy) -> tuple:
    openings = (find_opening(body, body.left), find_opening(body, body.right))
    lips = find_lips(body, head.lbs_weights.double().numpy(), body.vertices[mouth_border(body)])
    return openings, lips


def _truth() -> np.ndarray:
    """The embedded head's landmarks [468,3], meters, the origin between the eyeballs."""
    embedded = load_head("embedded")
    eyes = embedded.joint_locations(embedded.neutral_params().identity)[3:].mean(0)
    return (embedded.landmarks(embedded.v_template[None])[0, :468] - eyes).double().numpy()


def _projecting_detector(truth: np.ndarray, noise: float, used: list[View]) -> detection.Detector:
    """A detector that projects the true landmarks into each view in turn, with noise in pixels."""
    random = np.random.default_rng(0)
    views = [
        View(yaw=yaw, pitch=pitch, center=detection._CENTER, extent=detection._EXTENT, size=SIZE)
        for pitch in detection._PITCHES
        for yaw in detection._YAWS
    ]

    def detector(image: np.ndarray) -> tuple[np.ndarray, float]:
        view = views[len(used) % len(views)]
        used.append(view)
        turned, _, _ = rasterize_view(torch.tensor([[0, 1, 2]]), torch.from_numpy(truth).float(), view, 8)
        focal = SIZE * 0.9 / view.extent
        flat = turned[:, :2].double().numpy() * [1, -1] * focal / (0.9 - turned[:, 2:].double().numpy()) + SIZE / 2
        points = np.zeros((478, 3), np.float32)
        points[:468, :2] = flat + random.normal(0, noise, flat.shape)
        return points, 1.0

    return detector


def test_detected_landmarks_are_projected_back_onto_the_mesh(
    head: HeadModel, body: anatomy.Anatomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a pixel of noise (0.7 mm) in each view; the medians are within 1.5 mm for most landmarks."""
    monkeypatch.setattr(detection, "_JAWS", (0.0,))
    used: list[View] = []
    found = detect_landmarks(head, body, _projecting_detector(_truth(), 0.5, used))
    assert len(used) == 15 and found is not None
    error = np.linalg.norm(found - _truth(), axis=1)
    assert np.nanmedian(error) < 0.001
    assert np.nanquantile(error, 0.9) < 0.003


def test_detections_with_low_face_probability_are_ignored(head: HeadModel, body: anatomy.Anatomy) -> None:
    assert detect_landmarks(head, body, lambda image: (np.zeros((478, 3), np.float32), 0.1)) is None


def test_lips_and_lids_lie_on_their_traced_edges_even_without_a_detection(
    head: HeadModel, body: anatomy.Anatomy
) -> None:
    points = _truth()
    points[[145, 374, 7, 249]] = np.nan
    openings, lips = _features(head, body)
    weights = head.lbs_weights.double().numpy()
    places = embed_landmarks(body, weights, points, openings, lips)
    found = places.points(body.vertices, body.faces)
    assert np.isfinite(found).all() and places.bary.min() > -1e-9
    jaw = (weights[body.faces[places.faces], 2] * places.bary).sum(1)
    assert jaw[[13, 82, 312]].max() < 0.5 < jaw[[14, 87, 317]].min()
    assert np.linalg.norm(found[145] - body.right.center) < 1.3 * body.right.radius
    assert found[159, 1] - found[145, 1] > 0.006


def test_without_a_detector_the_mean_face_is_fitted(
    head: HeadModel, body: anatomy.Anatomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The made-up head is the embedded one: its landmarks are found within 2 mm on average, with lips and lids."""
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    found = embedding.find_embedding(head, body, *_features(head, body), None)
    assert found.method == embedding.ALIGNED and "no detector" in found.sentence()
    error = np.linalg.norm(found.points.points(body.vertices, body.faces)[:468] - _truth(), axis=1)
    assert error.mean() < 0.002


def test_detected_landmarks_are_cached_and_used_without_a_detector(
    head: HeadModel, body: anatomy.Anatomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    monkeypatch.setattr(detection, "_JAWS", (0.0,))
    features = _features(head, body)
    first = embedding.find_embedding(head, body, *features, _projecting_detector(_truth(), 0.0, []))
    again = embedding.find_embedding(head, body, *features, None)
    assert first.method == again.method == embedding.DETECTED
    assert np.array_equal(first.points.faces, again.points.faces)
    (cached,) = (tmp_path / "landmarks").iterdir()
    cached.write_bytes(b"damaged")
    assert embedding.find_embedding(head, body, *features, None).method == embedding.ALIGNED


def test_a_head_without_eyeballs_is_refused(head: HeadModel) -> None:
    regressor = head.J_regressor.clone()
    regressor[3] = regressor[0]
    with pytest.raises(HeadsplatError, match="eye joints do not lie inside eyeballs"):
        anatomy.find_anatomy(replace(head, J_regressor=regressor))


@pytest.mark.slow
def test_the_real_network_agrees_with_the_landmarks_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partial FLAME 2023 Open contains 105 landmarks; the detected ones are within 2.5 mm on average."""
    if not PARTIAL.is_file():
        pytest.skip("the partial FLAME 2023 Open is absent (HEADSPLAT_FLAME_PARTIAL)")
    from capture.faces.landmarks import AttentionMesh
    from capture.networks.models import model_path

    def refuse(folder: Path) -> None:
        raise OSError("tests do not download")

    try:
        network = AttentionMesh(model_path("face_landmarks_attention", refuse))
    except (HeadsplatError, OSError):
        pytest.skip("the landmark network is not in the model cache (HEADSPLAT_MODELS or the cache folder)")
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    arrays = read_flame(PARTIAL)
    assert arrays.landmarks is not None
    head = anatomy.file_head(arrays)
    body = anatomy.find_anatomy(head)
    found = embedding.find_embedding(head, body, *_features(head, body), network)
    assert found.method == embedding.DETECTED
    assert embedding.mean_distance(found.points, arrays.landmarks, body) < 0.0025
