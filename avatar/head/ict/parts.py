"""Parts of an ICT-FaceKit mesh: by the index ranges of its documentation, else by its materials."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError

from .obj import Mesh

Mask = NDArray[np.bool_]

FULL_COUNT = 26719
#: part -> first vertex in the release's vertex order (README of ICT-FaceKit, "Face Model Topology")
_STARTS = {
    "face": 0,
    "head_and_neck": 9409,
    "mouth_socket": 11248,
    "eye_socket_left": 13294,
    "eye_socket_right": 13678,
    "gums_and_tongue": 14062,
    "teeth": 17039,
    "eyeball_left": 21451,
    "eyeball_right": 23021,
    "overlays": 24591,
}
_MATERIALS = {
    "M_Face": "face",
    "M_BackHead": "head_and_neck",
    "M_GumsTongue": "gums_and_tongue",
    "M_Teeth": "teeth",
    "M_ScleraLeft": "eyeball_left",
    "M_IrisLeft": "eyeball_left",
    "M_ScleraRight": "eyeball_right",
    "M_IrisRight": "eyeball_right",
    "M_LacrimalFluid": "overlays",
    "M_EyeBlend": "overlays",
    "M_EyeOcclusion": "overlays",
    "M_EyeLashes": "overlays",
}
_NEEDED = ("face", "eyeball_left", "eyeball_right")


def find_parts(mesh: Mesh, name: str) -> dict[str, Mask]:
    """Masks [V] of all parts; every vertex is in exactly one. `overlays` are transparent layers over the eyes.

    Raises:
        HeadsplatError: the mesh called `name` has neither the documented number of vertices nor its materials.
    """
    count = len(mesh.vertices)
    if count == FULL_COUNT:
        ends = [*list(_STARTS.values())[1:], count]
        numbers = np.arange(count)
        return {
            part: (numbers >= start) & (numbers < end) for (part, start), end in zip(_STARTS.items(), ends, strict=True)
        }
    owner = np.full(count, "", dtype=object)
    for index, material in enumerate(mesh.materials):
        part = _MATERIALS.get(material)
        if part is not None:
            vertices = np.unique(mesh.faces[mesh.material == index])
            owner[vertices[owner[vertices] == ""]] = part
    masks = {part: owner == part for part in _STARTS}
    missing = [part for part in _NEEDED if not masks[part].any()]
    if missing:
        raise HeadsplatError(
            f"{name}: expected the {FULL_COUNT} vertices of ICT-FaceKit or its materials (M_Face, M_ScleraLeft...), "
            f"found {count} vertices and no {missing[0]}; take the files of one release unchanged"
        )
    masks["overlays"] |= owner == ""
    return masks
