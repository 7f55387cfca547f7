"""Landmarks come back from pictures to the places they were seen at, are kept, and are found without a detector too."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head import HeadModel, load_head
from avatar.head.flame import bare, embedding, marks
from avatar.head.flame.embedding import SIZE, detected, placed
from avatar.head.flame.lips import find_lips
from avatar.head.flame.mouth import mouth_border
from avatar.head.flame.openings import find_opening
from avatar.head.flame.source import read_flame
from avatar.head.sheets import View, rasterized

from .made_up import write

_BESIDE = Path(__file__).parents[5] / "shared" / "data" / "heads" / "flame2023open_partial.npz"
PARTIAL = Path(os.environ.get("HEADSPLAT_FLAME_PARTIAL", _BESIDE))


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> HeadModel:
    return bare.bare_head(read_flame(write(tmp_path_factory.mktemp("head"), "2023", ".npz")))


@pytest.fixture(scope="module")
def body(head: HeadModel) -> bare.Anatomy:
    return bare.anatomy(head)


def _features(head: HeadModel, body: bare.Anatomy) -> tuple:
    openings = (find_opening(body, body.left), find_opening(body, body.right))
    lips = find_lips(body, head.lbs_weights.double().numpy(), body.vertices[mouth_border(body)])
    return openings, lips


def _truth() -> np.ndarray:
    """Our own head's landmarks [468,3], meters with the origin between the eyeballs."""
    own = load_head("embedded")
    eyes = own.joint_locations(own.neutral_params().identity)[3:].mean(0)
    return (own.landmarks(own.v_template[None])[0, :468] - eyes).double().numpy()


def _knows_the_answer(truth: np.ndarray, noise: float, seen: list[View]) -> embedding.Detector:
    """A detector that projects the true landmarks into each view in turn, with noise in pixels."""
    random = np.random.default_rng(0)
    views = [
        View(yaw=yaw, pitch=pitch, center=embedding._CENTER, extent=embedding._EXTENT, size=SIZE)
        for pitch in embedding._PITCHES
        for yaw in embedding._YAWS
    ]

    def detector(image: np.ndarray) -> tuple[np.ndarray, float]:
        view = views[len(seen) % len(views)]
        seen.append(view)
        turned, _, _ = rasterized(torch.tensor([[0, 1, 2]]), torch.from_numpy(truth).float(), view, 8)
        focal = SIZE * 0.9 / view.extent
        flat = turned[:, :2].double().numpy() * [1, -1] * focal / (0.9 - turned[:, 2:].double().numpy()) + SIZE / 2
        points = np.zeros((478, 3), np.float32)
        points[:468, :2] = flat + random.normal(0, noise, flat.shape)
        return points, 1.0

    return detector


def test_seen_landmarks_come_back_to_their_places_on_the_mesh(
    head: HeadModel, body: bare.Anatomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a pixel of noise (0.7 mm) in each view; the medians are back within 1.5 mm for most."""
    monkeypatch.setattr(embedding, "_JAWS", (0.0,))
    seen: list[View] = []
    found = detected(head, body, _knows_the_answer(_truth(), 0.5, seen))
    assert len(seen) == 15 and found is not None
    error = np.linalg.norm(found - _truth(), axis=1)
    assert np.nanmedian(error) < 0.001
    assert np.nanquantile(error, 0.9) < 0.003


def test_a_detector_that_sees_no_face_is_not_believed(head: HeadModel, body: bare.Anatomy) -> None:
    assert detected(head, body, lambda image: (np.zeros((478, 3), np.float32), 0.1)) is None


def test_lips_and_lids_lie_on_their_own_edges_even_where_nothing_was_seen(head: HeadModel, body: bare.Anatomy) -> None:
    points = _truth()
    points[[145, 374, 7, 249]] = np.nan
    openings, lips = _features(head, body)
    weights = head.lbs_weights.double().numpy()
    places = placed(body, weights, points, openings, lips)
    found = places.points(body.vertices, body.faces)
    assert np.isfinite(found).all() and places.bary.min() > -1e-9
    jaw = (weights[body.faces[places.faces], 2] * places.bary).sum(1)
    assert jaw[[13, 82, 312]].max() < 0.5 < jaw[[14, 87, 317]].min()
    assert np.linalg.norm(found[145] - body.right.center) < 1.3 * body.right.radius
    assert found[159, 1] - found[145, 1] > 0.006


def test_without_a_detector_our_mean_face_is_laid_on(
    head: HeadModel, body: bare.Anatomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The made-up head is our own: the landmarks must come back within 2 mm on average, lips and lids included."""
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    found = marks.find_embedding(head, body, *_features(head, body), None)
    assert found.how == marks.ALIGNED and "no detector" in found.sentence()
    error = np.linalg.norm(found.places.points(body.vertices, body.faces)[:468] - _truth(), axis=1)
    assert error.mean() < 0.002


def test_what_a_detector_found_is_kept_and_used_without_it(
    head: HeadModel, body: bare.Anatomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path))
    monkeypatch.setattr(embedding, "_JAWS", (0.0,))
    features = _features(head, body)
    first = marks.find_embedding(head, body, *features, _knows_the_answer(_truth(), 0.0, []))
    again = marks.find_embedding(head, body, *features, None)
    assert first.how == again.how == marks.DETECTED
    assert np.array_equal(first.places.faces, again.places.faces)
    (kept,) = (tmp_path / "landmarks").iterdir()
    kept.write_bytes(b"damaged")
    assert marks.find_embedding(head, body, *features, None).how == marks.ALIGNED


def test_a_head_without_eyeballs_of_its_own_is_refused(head: HeadModel) -> None:
    regressor = head.J_regressor.clone()
    regressor[3] = regressor[0]
    with pytest.raises(HeadsplatError, match="eye joints do not lie inside eyeballs"):
        bare.anatomy(replace(head, J_regressor=regressor))


@pytest.mark.slow
def test_the_real_network_agrees_with_the_marks_that_a_file_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partial FLAME 2023 Open marks 105 landmarks itself; ours are within 2.5 mm on average."""
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
    assert arrays.marks is not None
    own = bare.bare_head(arrays)
    anatomy = bare.anatomy(own)
    found = marks.find_embedding(own, anatomy, *_features(own, anatomy), network)
    assert found.how == marks.DETECTED
    assert marks.difference(found.places, arrays.marks, anatomy) < 0.0025
