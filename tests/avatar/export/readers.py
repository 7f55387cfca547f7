"""Readers of PLY, OBJ and glTF written from the format specifications, and a rasterizer written from the formulas.

They share no code with `avatar.export` and `avatar.reference`: an error would have to be in both.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_PLY_TYPES = {"float": "<f4", "int": "<i4", "uchar": "u1"}
_GLTF_TYPES = {5126: "<f4", 5125: "<u4", 5123: "<u2", 5121: "u1"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass(frozen=True)
class Ply:
    """A little-endian PLY: comments, and each element's rows by name."""

    comments: list[str]
    elements: dict[str, NDArray[Any]]

    @staticmethod
    def read(path: Path) -> Ply:
        """Read a PLY whose lists are triangles; every byte must be used."""
        head, _, body = path.read_bytes().partition(b"end_header\n")
        lines = head.decode("ascii").splitlines()
        assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
        layout: list[tuple[str, int, list[tuple[Any, ...]]]] = []
        for words in (line.split() for line in lines[2:]):
            if words[0] == "element":
                layout.append((words[1], int(words[2]), []))
            elif words[:2] == ["property", "list"]:
                layout[-1][2].extend([("count", _PLY_TYPES[words[2]]), (words[4], _PLY_TYPES[words[3]], 3)])
            elif words[0] == "property":
                layout[-1][2].append((words[2], _PLY_TYPES[words[1]]))
        elements, start = {}, 0
        for name, count, fields in layout:
            elements[name] = np.frombuffer(body, np.dtype(fields), count, start)
            start += elements[name].nbytes
        assert start == len(body)
        return Ply([line.removeprefix("comment ") for line in lines if line.startswith("comment ")], elements)


def columns(rows: NDArray[Any], *names: str) -> NDArray[np.float64]:
    """The columns `names` of structured `rows`, [N,len(names)]."""
    return np.stack([rows[name].astype(np.float64) for name in names], -1)


@dataclass(frozen=True)
class Glb:
    """A binary glTF: its JSON and the buffer."""

    json: dict[str, Any]
    data: bytes

    @staticmethod
    def read(path: Path) -> Glb:
        """Parse the container and check lengths and alignment."""
        content = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", content)
        assert (magic, version, length) == (b"glTF", 2, len(content))
        size, kind = struct.unpack_from("<I4s", content, 12)
        assert kind == b"JSON" and size % 4 == 0
        rest = 20 + size
        data_size, data_kind = struct.unpack_from("<I4s", content, rest)
        assert data_kind == b"BIN\0" and data_size % 4 == 0 and rest + 8 + data_size == len(content)
        return Glb(json.loads(content[20:rest]), content[rest + 8 :])

    def values(self, accessor: int) -> NDArray[Any]:
        """The array of an accessor, [n] or [n,c]."""
        described = self.json["accessors"][accessor]
        view = self.json["bufferViews"][described["bufferView"]]
        width, kind = _WIDTHS[described["type"]], _GLTF_TYPES[described["componentType"]]
        found = np.frombuffer(self.data, kind, described["count"] * width, view["byteOffset"])
        assert found.nbytes == view["byteLength"] and view["byteOffset"] % 4 == 0
        return found.reshape(-1, width) if width > 1 else found

    def image(self) -> NDArray[np.uint8]:
        """The file's only image, [H,W,3] RGB."""
        (described,) = self.json["images"]
        assert described["mimeType"] == "image/png"
        view = self.json["bufferViews"][described["bufferView"]]
        content = self.data[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        return np.ascontiguousarray(image[..., ::-1], np.uint8)


def rotations(quats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrices [N,3,3] of quaternions [N,4] wxyz: q v q* for the three axes."""
    w, v = quats[:, :1, None], quats[:, None, 1:]
    axes = np.eye(3)[None]
    return np.swapaxes(axes + 2 * (w * np.cross(v, axes) + np.cross(v, np.cross(v, axes))), 1, 2)


def splatted(
    rows: NDArray[Any], K: NDArray[np.float64], view: NDArray[np.float64], size: int, dilation: float
) -> NDArray[np.float64]:
    """The image [size,size,3] over white of Gaussians of SH degree 0: EWA splatting (Zwicker et al. 2001) in float64.

    With opacity a and inverse 2D covariance Q (projection's Jacobian, `dilation` px^2 added) alpha is
    min(0.999, a exp(-d Q d / 2)) at a pixel center, 0 below 1/255; blended front to back.
    """
    means = columns(rows, "x", "y", "z") @ view[:3, :3].T + view[:3, 3]
    world_to_view = view[:3, :3] @ rotations(columns(rows, "rot_0", "rot_1", "rot_2", "rot_3"))
    half = world_to_view * np.exp(columns(rows, "scale_0", "scale_1", "scale_2"))[:, None]
    colors = np.maximum(0.5 + 0.28209479177387814 * columns(rows, "f_dc_0", "f_dc_1", "f_dc_2"), 0)
    opacities = 1 / (1 + np.exp(-rows["opacity"].astype(np.float64)))
    axis = np.arange(size) + 0.5
    image, transmittance = np.zeros((size, size, 3)), np.ones((size, size))
    for index in np.argsort(means[:, 2], kind="stable"):
        x, y, z = means[index]
        jacobian = np.array([[K[0, 0] / z, 0, -K[0, 0] * x / z**2], [0, K[1, 1] / z, -K[1, 1] * y / z**2]])
        projected = jacobian @ half[index]
        inverse = np.linalg.inv(projected @ projected.T + dilation * np.eye(2))
        dx = axis[None, :] - (K[0, 0] * x / z + K[0, 2])
        dy = axis[:, None] - (K[1, 1] * y / z + K[1, 2])
        power = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
        alpha = np.minimum(opacities[index] * np.exp(-power / 2), 0.999)
        alpha = np.where(alpha < 1 / 255, 0, alpha)
        image += (transmittance * alpha)[..., None] * colors[index]
        transmittance = transmittance * (1 - alpha)
    return image + transmittance[..., None]
