"""Posed Gaussians as the PLY that INRIA's 3D Gaussian splatting made common and every splat viewer opens.

One `vertex` a Gaussian, float32, little endian: x y z (meters), nx ny nz (zero), f_dc_0..2 and f_rest_* (spherical
harmonics; f_rest channel by channel), opacity (logit), scale_0..2 (natural logarithm), rot_0..3 (wxyz).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from avatar import __version__, ops
from avatar.common.files import atomic_folder, atomic_path
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import CONSENT
from avatar.types import Gaussians, HeadParams

from .placement import Place, upside_down

#: Where the file's y axis points. Scenes trained from COLMAP's cameras have it down, and viewers that stand scenes up
#: by themselves make half a turn about z for it (SuperSplat, PlayCanvas, the Finder) or read it off `Vertical axis: y`
#: (Brush); tools that take a file as it is (Blender, three.js) want it up.
YAxis = Literal["down", "up"]
_VERTICAL: dict[YAxis, str] = {"down": "y", "up": "0 1 0"}
#: opacities closer to 0 or 1 than this have no finite logit in float32
_EDGE = 1e-6
_SMALLEST = 1e-12  # meters


def write_ply(
    path: str | Path, avatar: Avatar, params: HeadParams, y_axis: YAxis = "down", consent: str = CONSENT
) -> None:
    """Write one frame of `avatar` as a splat file, whole or not at all; an existing file is replaced.

    Args:
        path: the file to write.
        avatar: whose Gaussians.
        params: [1] frame, from `posed`, a track or a driven motion.
        y_axis: where y points in the file; the origin is between the eyes of the mean pose, units are meters.
        consent: a sentence kept in the header.
    """
    with atomic_path(path) as part:
        part.write_bytes(ply_bytes(_standing(avatar, params, y_axis), comments(y_axis, consent)))


def write_plys(
    folder: str | Path,
    avatar: Avatar,
    params: HeadParams,
    y_axis: YAxis = "down",
    consent: str = CONSENT,
    *,
    first: int = 0,
    update: Callable[[int], None] | None = None,
) -> int:
    """Write frames `params` [T] as `00000.ply` and on in a new folder, one in memory at a time.

    Args: as for `write_ply`; `first` is the number of the first file, `update` is called with the count of written
    ones.

    Returns:
        Bytes written.
    """
    total = 0
    with atomic_folder(folder) as temporary:
        for frame in range(len(params)):
            with ops.one_thread():
                data = ply_bytes(_standing(avatar, params[frame], y_axis), comments(y_axis, consent))
            (temporary / f"{first + frame:05d}.ply").write_bytes(data)
            total += len(data)
            if update is not None:
                update(frame + 1)
    return total


def comments(y_axis: YAxis, consent: str) -> list[str]:
    """Header comments: the words other tools read, then a person's."""
    return [
        f"Exported from headsplat {__version__}",
        f"Vertical axis: {_VERTICAL[y_axis]}",
        "SplatRenderMode: default",
        f"axes: meters, y points {y_axis}, the face looks along +z, origin between the eyes; colors display sRGB",
        consent,
    ]


@torch.no_grad()
def _standing(avatar: Avatar, params: HeadParams, y_axis: YAxis) -> Gaussians:
    place = Place.centered(avatar)
    return (place.then(upside_down()) if y_axis == "down" else place).splats(avatar(params))


def ply_bytes(gaussians: Gaussians, remarks: Sequence[str] = ()) -> bytes:
    """The splat file of Gaussians [1,N] in the axes they are in."""
    sh = gaussians.sh[0]
    rest = sh[:, 1:].transpose(1, 2).flatten(1)  # channel by channel: all of red, then green, then blue
    columns = {
        "xyz": gaussians.means[0],
        "n": torch.zeros_like(gaussians.means[0]),
        "f_dc": sh[:, 0],
        "f_rest": rest,
        "opacity": torch.logit(gaussians.opacities[0].double().clamp(_EDGE, 1 - _EDGE))[:, None],
        "scale": gaussians.scales[0].clamp_min(_SMALLEST).log(),
        "rot": torch.nn.functional.normalize(gaussians.quats[0], dim=-1),
    }
    names = [*"xyz", "nx", "ny", "nz", *_numbered("f_dc", 3), *_numbered("f_rest", rest.shape[1])]
    names += ["opacity", *_numbered("scale", 3), *_numbered("rot", 4)]
    lines = [f"element vertex {len(sh)}", *(f"property float {name}" for name in names)]
    return header(remarks, lines) + little(torch.cat([value.double() for value in columns.values()], 1))


def header(remarks: Iterable[str], lines: Iterable[str]) -> bytes:
    """The header of a little-endian PLY: `remarks` become comments (ASCII, a line each), `lines` name the elements."""
    said = [f"comment {' '.join(remark.split())}" for remark in remarks]
    text = "\n".join(["ply", "format binary_little_endian 1.0", *said, *lines, "end_header", ""])
    return text.encode("ascii", "replace")


def little(values: Tensor) -> bytes:
    """`values` as float32, little endian, row after row."""
    return np.ascontiguousarray(values.detach().cpu().numpy(), dtype="<f4").tobytes()


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}_{index}" for index in range(count)]
