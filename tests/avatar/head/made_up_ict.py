"""A folder like ICT-FaceKit's FaceXModel, written from the embedded head."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from avatar.head import load_head
from avatar.head.ict.landmarks import MULTI_PIE
from avatar.head.ict.load import ARKIT

#: the release's coordinates: centimeters, the origin somewhere inside the head
SCALE, SHIFT = 100.0, np.array([0.0, 2.5, 7.0])
MATERIALS = {
    "teeth_upper": "M_Teeth", "teeth_lower": "M_Teeth", "tongue": "M_GumsTongue", "left_eyeball": "M_ScleraLeft",
    "right_eyeball": "M_ScleraRight",
}  # fmt: skip
TILES = {"M_Face": 0, "M_Teeth": 1, "M_GumsTongue": 2, "M_ScleraLeft": 3, "M_ScleraRight": 4}


def person() -> torch.Tensor:
    """Identity coefficients [S] of a person who differs from the mean."""
    head = load_head()
    random = torch.Generator().manual_seed(2)
    return 0.6 * torch.randn(head.shapedirs.shape[2], generator=random)


def write_folder(folder: Path, identities: int = 2, identity: torch.Tensor | None = None) -> Path:
    """Write the folder, of the mean person or of `identity` [S]; the layer over the eyes is a quad."""
    head = load_head()
    folder.mkdir(parents=True, exist_ok=True)
    if identity is not None:
        head = replace(head, v_template=head.identity_vertices(identity))
    template = head.v_template.double().numpy()
    overlay = len(template) + np.arange(3)
    template = np.vstack([template, template[:3] + np.array([0, 0, 0.01])])
    _write_neutral(folder / "generic_neutral_mesh.obj", template, overlay)
    motion = head.expression_motion().double().numpy()
    for column, name in enumerate(head.expression_names):
        if name in ARKIT:
            for stem, part in _files(name, motion[:, :, column], template[:-3]):
                moved = template + np.vstack([part, np.zeros((3, 3))])
                _write_vertices(folder / f"{stem}.obj", moved)
    for number in range(identities):
        mode = head.shapedirs[:, :, number].double().numpy()
        _write_vertices(folder / f"identity{number:03d}.obj", template + np.vstack([mode, np.zeros((3, 3))]))
    corners = head.faces[head.landmark_faces].numpy()
    vertex = corners[np.arange(478), head.landmark_bary.argmax(1).numpy()]
    landmarks = [int(vertex[MULTI_PIE.get(index, 152)]) for index in range(68)]
    (folder / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": landmarks}))
    return folder


def _files(name: str, shape: np.ndarray, template: np.ndarray) -> list[tuple[str, np.ndarray]]:
    if name in ("browInnerUp", "cheekPuff"):
        left = np.clip(0.5 + template[:, :1] / 0.02, 0, 1)
        return [(f"{name}_L", shape * left), (f"{name}_R", shape * (1 - left))]
    if name.endswith(("Left", "Right")) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        side = "Left" if name.endswith("Left") else "Right"
        return [(f"{name.removesuffix(side)}_{side[0]}", shape)]
    return [(name, shape)]


def _write_neutral(path: Path, template: np.ndarray, overlay: np.ndarray) -> None:
    head = load_head()
    owner = np.full(len(head.faces), "M_Face", dtype=object)
    for region, material in MATERIALS.items():
        owner[head.regions[region].numpy()[head.faces.numpy()].all(1)] = material
    lines = ["mtllib ICTFaceModelMaterial.mtl", *_vertex_lines(template)]
    uv = np.full((len(head.uv), 2), np.nan)
    for material, tile in TILES.items():
        uv[head.uv_faces.numpy()[owner == material]] = (
            head.uv.numpy()[head.uv_faces.numpy()[owner == material]] * 0.98 + 0.01 + [tile, 0]
        )
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in np.nan_to_num(uv)]
    for material in TILES:
        lines.append(f"usemtl {material}")
        chosen = owner == material
        for face, corner in zip(head.faces[chosen].tolist(), head.uv_faces[chosen].tolist(), strict=True):
            lines.append("f " + " ".join(f"{v + 1}/{t + 1}" for v, t in zip(face, corner, strict=True)))
    lines += ["usemtl M_EyeLashes", "f " + " ".join(f"{v + 1}/1" for v in [*overlay, overlay[0]])]
    path.write_text("\n".join(lines) + "\n")


def _vertex_lines(points: np.ndarray) -> list[str]:
    return [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points * SCALE + SHIFT]


def _write_vertices(path: Path, points: np.ndarray) -> None:
    path.write_text("\n".join(_vertex_lines(points)) + "\n")
