"""The networks of the landmark tracker as a bundle for MediaPipe's FaceLandmarker, which runs them in a browser.

FaceLandmarker expects a network with one output of 478 landmarks. The attention mesh has one output for the face and
one for each refined region: two operators are added to its graph, which put them together.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from capture.faces.landmarks import LEFT_EYE_OUTER, LEFT_IRIS, POINTS, RIGHT_EYE_OUTER, RIGHT_IRIS
from capture.networks.litert import graph_of
from capture.networks.models import model_path

_MESH = "output_mesh_identity"
_FLAG = "conv_faceflag"
_MESH_POINTS = 468
#: Outputs of refined points (x, y), in the order of the attention regions: lips, the person's right eye, left eye. The
#: network's names are those of the viewer's side.
_REGIONS = ("output_lips", "output_left_eye", "output_right_eye")
_RIGHT_IRIS = "output_left_iris"
_LEFT_IRIS = "output_right_iris"


def face_task() -> bytes:
    """A bundle (`.task`) of face detector and landmark network, made from the models of `headsplat capture`.

    Raises:
        HeadsplatError: the models cannot be fetched, or are not the expected ones.
    """
    members = {
        "face_detector.tflite": model_path("face_detection_short_range").read_bytes(),
        "face_landmarks_detector.tflite": single_output(model_path("face_landmarks_attention")),
    }
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as archive:  # MediaPipe reads members in place
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return bundle.getvalue()


def single_output(path: Path) -> bytes:
    """The attention mesh in `path` with two outputs: landmarks [1,1,1,3*478] (pixels of the crop) and presence."""
    graph = graph_of(path)
    refined = [options["subset_idxs"] for options in graph.custom_options("Landmarks2TransformMatrix")]
    sources = {_MESH: 3 * _MESH_POINTS}
    sources |= {name: 2 * len(subset) for name, subset in zip(_REGIONS, refined, strict=True)}
    sources |= {_RIGHT_IRIS: 10, _LEFT_IRIS: 10}
    starts = dict(zip(sources, np.cumsum([0, *sources.values()]).tolist(), strict=False))
    order = np.empty((POINTS, 3), np.int32)
    order[:_MESH_POINTS] = np.arange(3 * _MESH_POINTS).reshape(-1, 3)
    for name, subset in zip(_REGIONS, refined, strict=True):
        order[subset, :2] = starts[name] + np.arange(2 * len(subset)).reshape(-1, 2)
    irises = ((_RIGHT_IRIS, RIGHT_IRIS, RIGHT_EYE_OUTER), (_LEFT_IRIS, LEFT_IRIS, LEFT_EYE_OUTER))
    for name, where, corner in irises:
        order[where, :2] = starts[name] + np.arange(10).reshape(-1, 2)
        order[where, 2] = 3 * corner + 2  # the network gives an iris no depth, and gaze needs none
    return graph.join(list(sources), order.ravel(), [_FLAG])
