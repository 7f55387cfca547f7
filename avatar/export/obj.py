"""Export of the posed mesh as Wavefront OBJ: colored vertices (`v x y z r g b`), UVs, normals, triangles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from avatar import __version__
from avatar.common.files import atomic_path
from avatar.common.printable import single_line
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import CONSENT
from avatar.types import HeadParams

from .mesh import vertex_colors
from .placement import Placement


@torch.no_grad()
def write_obj(path: str | Path, avatar: Avatar, params: HeadParams, consent: str = CONSENT) -> Tensor:
    """Write the head mesh in one pose atomically; meters, y up, the face looks along +z.

    Colors are sRGB 0..1 after the coordinates of each vertex, as read by MeshLab and Blender.

    Args:
        path: the file to write; an existing one is replaced.
        avatar: the avatar.
        params: [1].
        consent: the consent statement stored in a comment.

    Returns:
        The colors [V,3] of the vertices, sRGB.
    """
    head = avatar.head
    colors = vertex_colors(avatar)
    placement = Placement.centered(avatar)
    vertices = placement.lengths(head.vertices(placement.params(avatar, params))[0])
    normals = vertex_normals(vertices, head.faces)
    corners = torch.stack([head.faces, head.uv_faces, head.faces], -1) + 1
    text = [
        f"# Exported from headsplat {__version__}: meters, y up, the face looks along +z",
        f"# {_comment(f'head model {head.name}, license {head.license}')}",
        f"# {_comment(consent)}",
        "o head",
        *_rows("v", torch.cat([vertices, colors], 1)),
        *_rows("vt", head.uv),
        *_rows("vn", normals),
        *("f " + " ".join("/".join(map(str, corner)) for corner in face) for face in corners.tolist()),
        "",
    ]
    with atomic_path(path) as part:
        part.write_text("\n".join(text), encoding="utf-8", newline="\n")
    return colors


def _comment(text: str) -> str:
    """`text` on one line and without control characters: a newline would begin an element of the file."""
    return single_line(" ".join(text.split()))


def _rows(tag: str, values: Tensor) -> Iterator[str]:
    return (tag + "".join(f" {value:.6f}" for value in row) for row in values.tolist())
