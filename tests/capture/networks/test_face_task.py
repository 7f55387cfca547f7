"""The bundle of networks for a page: a graph with joined outputs computes what the graph itself does."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from capture.faces.landmarks import LEFT_EYE_OUTER, LEFT_IRIS, POINTS, RIGHT_IRIS
from capture.networks.face_task import face_task
from capture.networks.litert import Graph, Network
from capture.networks.models import model_path

pytestmark = pytest.mark.usefixtures("face_models")


def test_joined_outputs_are_those_of_the_graph_in_the_given_order(tmp_path: Path) -> None:
    whole = Graph(model_path("face_landmarks_attention"))
    # Without its operators that only MediaPipe has.
    (tmp_path / "part.tflite").write_bytes(whole.piece(["input_1"], ["output_mesh_identity", "conv_faceflag"]))
    order = np.random.default_rng(0).permutation(1405)[:700]
    joined = Network(
        Graph(tmp_path / "part.tflite").join(["output_mesh_identity", "conv_faceflag"], order, ["conv_faceflag"])
    )
    image = np.random.default_rng(1).uniform(0, 1, (1, 192, 192, 3)).astype(np.float32)
    mesh, flag = Network((tmp_path / "part.tflite").read_bytes())(image)
    found, presence = joined(image)
    np.testing.assert_array_equal(found.ravel(), np.concatenate([mesh.ravel(), flag.ravel()])[order])
    np.testing.assert_array_equal(presence, flag)


def test_the_bundle_has_a_detector_and_a_landmark_network_of_one_output() -> None:
    with zipfile.ZipFile(io.BytesIO(face_task())) as archive:
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        assert sorted(archive.namelist()) == ["face_detector.tflite", "face_landmarks_detector.tflite"]
        content = archive.read("face_landmarks_detector.tflite")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    assert [entry.name for entry in model.metadata] == [b"TFLITE_METADATA"]  # how MediaPipe normalizes the image
    graph = model.subgraphs[0]
    landmarks, presence = (graph.tensors[index] for index in graph.outputs)
    assert list(landmarks.shape) == [1, 1, 1, 3 * POINTS] and list(presence.shape) == [1, 1, 1, 1]


def test_each_landmark_takes_its_refined_value() -> None:
    with zipfile.ZipFile(io.BytesIO(face_task())) as archive:
        content = archive.read("face_landmarks_detector.tflite")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    indices = next(tensor for tensor in model.subgraphs[0].tensors if tensor.name == b"joined_order")
    order = np.frombuffer(bytes(bytearray(model.buffers[indices.buffer].data)), np.int32).reshape(POINTS, 3)
    mesh, lips, eye = 1404, 160, 142
    iris = mesh + lips + 2 * eye
    np.testing.assert_array_equal(order[RIGHT_IRIS, :2].ravel(), iris + np.arange(10))
    np.testing.assert_array_equal(order[LEFT_IRIS, :2].ravel(), iris + 10 + np.arange(10))
    np.testing.assert_array_equal(order[:468, 2], 3 * np.arange(468) + 2)  # depth is not refined
    assert set(order[LEFT_IRIS, 2]) == {3 * LEFT_EYE_OUTER + 2}
    lip, bridge = order[13, 0], order[168, 0]
    assert mesh <= lip < mesh + lips and bridge == 3 * 168
    assert (
        mesh + lips <= order[33, 0] < mesh + lips + eye <= order[263, 0] < iris
    )  # the person's right eye, the left one
