"""Export of posed Gaussians as PLY in the layout of INRIA's 3D Gaussian splatting, which splat viewers read.

One `vertex` per Gaussian, float32, little endian: x y z (meters), nx ny nz (zero), f_dc_0..2 and f_rest_* (spherical
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
from avatar.common.printable import single_line
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import CONSENT
from avatar.model.sampling import Sampling
from avatar.types import Gaussians, HeadParams

from .layer_gaussians import with_layer
from .placement import Placement, upside_down

#: Direction of the file's y axis. Scenes trained from COLMAP cameras have y down. Viewers that correct this rotate the
#: scene by 180 degrees about z (SuperSplat, PlayCanvas, the Finder) or read `Vertical axis: y` (Brush). Tools that do
#: not correct it (Blender, three.js) need y up.
YAxis = Literal["down", "up"]
_VERTICAL: dict[YAxis, str] = {"down": "y", "up": "0 1 0"}
_ROTATIONS: dict[YAxis, Tensor | None] = {"down": upside_down(), "up": None}
_OPACITY_MARGIN = 1e-6  # closer to 0 or 1 the logit is not finite in float32
_MIN_SCALE = 1e-12  # meters


def write_ply(
    path: str | Path, avatar: Avatar, params: HeadParams, y_axis: YAxis = "down", consent: str = CONSENT
) -> None:
    """Write one frame of an avatar as a splat file atomically; an existing file is replaced.

    Args:
        path: the file to write.
        avatar: the avatar.
        params: [1], from `posed`, a track or a retargeted motion.
        y_axis: direction of y in the file; the origin is between the eyes in the mean pose, units are meters.
        consent: the consent statement stored in the header.
    """
    with atomic_path(path) as part:
        part.write_bytes(
            ply_bytes(placed(avatar, params, _ROTATIONS[y_axis]), comments(y_axis, consent, avatar.sampling))
        )


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
    """Write frames as `00000.ply`, `00001.ply`, ... in a new folder, with one frame in memory at a time.

    Args:
        folder: the folder to write; an existing one is replaced.
        avatar: the avatar.
        params: [T].
        y_axis: as for `write_ply`.
        consent: as for `write_ply`.
        first: number of the first file.
        update: called with the number of files written so far.

    Returns:
        Bytes written.
    """
    total = 0
    with atomic_folder(folder) as temporary:
        for frame in range(len(params)):
            with ops.one_thread():
                data = ply_bytes(
                    placed(avatar, params[frame], _ROTATIONS[y_axis]), comments(y_axis, consent, avatar.sampling)
                )
            (temporary / f"{first + frame:05d}.ply").write_bytes(data)
            total += len(data)
            if update is not None:
                update(frame + 1)
    return total


def comments(y_axis: YAxis, consent: str, sampling: Sampling) -> list[str]:
    """Comments of the header: those that other tools parse, then those for people.

    The scales contain the filter of `sampling`; the dilation is up to the viewer, most have 0.3.
    """
    first, *others = remarks(f"y points {y_axis}, the face looks along +z", consent, sampling)
    return [first, f"Vertical axis: {_VERTICAL[y_axis]}", "SplatRenderMode: default", *others]


def remarks(axes: str, consent: str, sampling: Sampling) -> list[str]:
    """Lines for people about the Gaussians of an avatar; `axes` are those of the file."""
    return [
        f"Exported from headsplat {__version__}",
        f"axes: meters, {axes}, origin between the eyes; colors display sRGB",
        f"trained with {sampling.dilation:g} pixels^2 added to the projected covariance; use the same in the viewer",
        consent,
    ]


@torch.no_grad()
def placed(avatar: Avatar, params: HeadParams, rotation: Tensor | None = None) -> Gaussians:
    """Gaussians [1,N] of one frame for a splat file, with a flat one for each face of the mesh layer.

    Args:
        avatar: the avatar.
        params: [1].
        rotation: [3,3] from y up and a face that looks along +z to the axes of the file; None: these. The origin is
            between the eyes in the mean pose, units are meters.
    """
    placement = Placement.centered(avatar)
    return (placement if rotation is None else placement.rotated(rotation)).gaussians(with_layer(avatar(params)))


def ply_bytes(gaussians: Gaussians, remarks: Sequence[str] = ()) -> bytes:
    """The splat file of Gaussians [1,N], whose axes are not changed; `remarks` become comments."""
    sh = gaussians.sh[0]
    rest = sh[:, 1:].transpose(1, 2).flatten(1)  # channel by channel: all of red, then green, then blue
    columns = {
        "xyz": gaussians.means[0],
        "n": torch.zeros_like(gaussians.means[0]),
        "f_dc": sh[:, 0],
        "f_rest": rest,
        "opacity": torch.logit(gaussians.opacities[0].double().clamp(_OPACITY_MARGIN, 1 - _OPACITY_MARGIN))[:, None],
        "scale": gaussians.scales[0].clamp_min(_MIN_SCALE).log(),
        "rot": torch.nn.functional.normalize(gaussians.quats[0], dim=-1),
    }
    names = [*"xyz", "nx", "ny", "nz", *_numbered("f_dc", 3), *_numbered("f_rest", rest.shape[1])]
    names += ["opacity", *_numbered("scale", 3), *_numbered("rot", 4)]
    lines = [f"element vertex {len(sh)}", *(f"property float {name}" for name in names)]
    return header(remarks, lines) + to_little_endian(torch.cat([value.double() for value in columns.values()], 1))


def header(remarks: Iterable[str], lines: Iterable[str]) -> bytes:
    """The header of a little-endian PLY: `remarks` become comments (ASCII, one line each), `lines` declare elements."""
    comment_lines = [f"comment {single_line(' '.join(remark.split()))}" for remark in remarks]
    text = "\n".join(["ply", "format binary_little_endian 1.0", *comment_lines, *lines, "end_header", ""])
    return text.encode("ascii", "replace")


def to_little_endian(values: Tensor) -> bytes:
    """`values` as float32, little endian, in row-major order."""
    return np.ascontiguousarray(values.detach().cpu().numpy(), dtype="<f4").tobytes()


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}_{index}" for index in range(count)]
