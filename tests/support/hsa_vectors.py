"""Test vectors for readers of .hsa files: a part of an avatar's container, poses, and its Gaussians by the engine.

python -m tests.support.hsa_vectors demo/demo.avatar -o examples/hsa_vectors

The container has some hundred Gaussians about a corner of the mouth, a lid, a brow, hair and clothes, faces of the mesh
layer in mouth and eyes, and the vertices that pose these. What is expected comes from the whole avatar, unquantized.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.export.layer_gaussians import with_layer
from avatar.export.posed import posed
from avatar.export.web import web_container
from avatar.export.web_blocks import PREAMBLE, Blocks
from avatar.geometry.rotations import SH_C0
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import read_avatar
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.resting import resting_means
from tests.support.parts import required

#: Landmarks about which Gaussians are taken: corner of the mouth, upper lid, brow; and how many about each place.
LANDMARKS, ABOUT = (61, 159, 105), 30
LAYER_FACES = 24  # of mouth and of each eye
POSES: dict[str, tuple[dict[str, float], tuple[float, float, float]]] = {
    "rest": ({}, (0, 0, 0)),
    "open mouth, head turned": ({"jawOpen": 0.7, "mouthFunnel": 0.3}, (25, -8, 4)),
    "smile, beyond the trained turn": ({"mouthSmileLeft": 0.9, "mouthSmileRight": 0.8, "browInnerUp": 1}, (-50, 9, 0)),
    "half a blink, gaze": ({"eyeBlinkLeft": 0.5, "eyeBlinkRight": 1, "eyeLookOutLeft": 0.7}, (0, 15, -10)),
}  # fmt: skip
#: Largest differences of a reader: quantization, 8 bits for offsets by expression and pose. Rotations are degrees.
TOLERANCES = {"means": 1e-4, "rotations": 0.5, "scales": 0.005, "opacities": 0.005, "colors": 0.01}
DIGITS = {"means": 6, "quats": 5, "scales": 7, "opacities": 5, "colors": 4}
DTYPES = {"i8": "i1", "u8": "u1", "i16": "<i2", "u16": "<u2", "u32": "<u4", "f16": "<f2", "f32": "<f4"}


class Crop:
    """The blocks of a container with fewer Gaussians, vertices and faces of the layer."""

    def __init__(self, container: bytes) -> None:
        size = PREAMBLE.unpack_from(container)[2]
        self.header: dict[str, Any] = json.loads(container[PREAMBLE.size : PREAMBLE.size + size])
        self.entries = {entry["name"]: entry for entry in self.header["blocks"]}
        self.blocks: dict[str, NDArray[Any]] = {
            name: np.ndarray(e["shape"], DTYPES[e["dtype"]], container, PREAMBLE.size + size + e["offset"])
            for name, e in self.entries.items()
        }

    def keep(self, gaussians: NDArray[Any], faces: NDArray[Any]) -> None:
        """Keep rows `gaussians` and rows `faces` of the layer, both ascending, and what poses them."""
        blocks = self.blocks
        vertices = self._vertices(gaussians, faces)
        blended = int((gaussians < self.header["gaussians"]["blended"]).sum())
        later = gaussians[blended:] - self.header["gaussians"]["blended"]
        for name in ("offsets", "quats", "log_scales", "colors", "logit_opacities"):
            blocks[f"gaussians.{name}"] = blocks[f"gaussians.{name}"][:, gaussians]
        for name in ("triangles", "bary", "torso_weights"):
            blocks[f"gaussians.{name}"] = blocks[f"gaussians.{name}"][gaussians]
        blocks["gaussians.basis"] = blocks["gaussians.basis"][:, gaussians[:blended]]
        blocks["pose_blendshapes.positions"] = blocks["pose_blendshapes.positions"][:, later]
        blocks["pose_blendshapes.colors"] = blocks["pose_blendshapes.colors"][:, gaussians]
        self.header["gaussians"] |= {"count": len(gaussians), "blended": blended}
        blocks["layer.gaussian_fades"] = blocks["layer.gaussian_fades"][gaussians]
        for name in ("faces", "texel_ids", "fades"):
            blocks[f"layer.{name}"] = blocks[f"layer.{name}"][faces]
        texels, ids = np.unique(blocks["layer.texel_ids"], return_inverse=True)
        blocks["layer.texels"] = blocks["layer.texels"][texels]
        blocks["layer.texel_ids"] = ids.reshape(-1, 15)
        self._keep_vertices(vertices)

    def _vertices(self, gaussians: NDArray[Any], faces: NDArray[Any]) -> NDArray[Any]:
        """The vertices of kept triangles, of all that stretches them, and of the landmarks of the light."""
        blocks, layer = self.blocks, self.header["layer"]
        bound = np.unique(blocks["gaussians.triangles"][gaussians])
        stretches = np.zeros_like(blocks["gaussians.stretches"])
        stretches[bound] = blocks["gaussians.stretches"][bound]
        blocks["gaussians.stretches"] = stretches
        around = stretches[blocks["gaussians.stretch_faces"]].any(1)
        blocks["gaussians.stretch_faces"] = blocks["gaussians.stretch_faces"][around]
        corners = [np.ravel(layer[name]["corners"]) for name in ("lips", "lids")]
        eyes = blocks["layer.eyes"]
        blocks["layer.eyes"] = eyes[:, np.isin(eyes, blocks["layer.faces"][faces]).any(0)]
        blocks["layer.irises"] = blocks["layer.irises"][:, :3]
        kept = (blocks["gaussians.stretch_faces"], blocks["layer.faces"][faces], blocks["layer.eyes"])
        return np.unique(np.concatenate([bound, *map(np.ravel, (*kept, blocks["layer.irises"], *corners))]))

    def _keep_vertices(self, vertices: NDArray[Any]) -> None:
        blocks = self.blocks
        rows = np.full(len(blocks["head.template"]), -1)
        rows[vertices] = np.arange(len(vertices))
        for name in ("head.faces", "layer.skin"):
            blocks[name] = blocks[name][(rows[blocks[name]] >= 0).all(1)]
        bases = np.repeat(np.arange(len(blocks["head.base_counts"])), blocks["head.base_counts"])
        moved = rows[blocks["head.base_vertices"]] >= 0
        blocks["head.base_counts"] = np.bincount(bases[moved], minlength=len(blocks["head.base_counts"]))
        for group, names in (("head.base", ("vertices", "offsets")), ("head.bent", ("vertices", "weights"))):
            kept = rows[blocks[f"{group}_vertices"]] >= 0
            for name in names:
                blocks[f"{group}_{name}"] = blocks[f"{group}_{name}"][kept]
        lit = rows[blocks["layer.mouth_vertices"]] >= 0
        for name in ("layer.mouth_vertices", "layer.mouth_normals"):
            blocks[name] = blocks[name][lit]
        for name in ("head.faces", "head.base_vertices", "head.bent_vertices", "gaussians.triangles"):
            blocks[name] = rows[blocks[name]]
        for name in ("layer.faces", "layer.skin", "layer.mouth_vertices", "layer.eyes", "layer.irises"):
            blocks[name] = rows[blocks[name]]
        blocks["gaussians.stretch_faces"] = rows[blocks["gaussians.stretch_faces"]]
        blocks["head.template"] = blocks["head.template"][vertices]
        blocks["gaussians.stretches"] = blocks["gaussians.stretches"][vertices]
        for name in ("lips", "lids"):
            self.header["layer"][name]["corners"] = rows[np.array(self.header["layer"][name]["corners"])].tolist()

    def container(self) -> bytes:
        """The container; numbers of the header have seven digits."""
        written = Blocks()
        for name, values in self.blocks.items():
            entry = self.entries[name]
            extra = {key: rounded(entry[key]) for key in ("scale", "zero") if key in entry}
            written.add(name, np.ascontiguousarray(values, DTYPES[entry["dtype"]]), **extra)
        return written.container({name: rounded(value) for name, value in self.header.items() if name != "blocks"})


def rounded(value: Any, digits: int = 7) -> Any:
    """A JSON value whose fractions have so many digits."""
    if isinstance(value, dict):
        return {key: rounded(entry, digits) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry, digits) for entry in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def chosen(avatar: Avatar) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows of the Gaussians and of the faces of the layer that are kept."""
    head, layer = avatar.head, required(avatar, MeshLayer)
    means = resting_means(avatar, head).numpy()
    landmarks = head.v_template[head.faces[head.landmark_faces]].mul(head.landmark_bary[..., None]).sum(1).numpy()
    torso = means[avatar.rig.skin.numpy() > 0.3].mean(0)
    places = [*landmarks[list(LANDMARKS)], means[means[:, 1].argmax()], torso]
    near = [np.argsort(np.linalg.norm(means - place, axis=1))[:ABOUT] for place in places]
    centers = head.v_template[layer.mesh.faces].mean(1).numpy()
    at = (landmarks[13], landmarks[468], landmarks[473])  # the lips, the irises
    faces = [np.argsort(np.linalg.norm(centers - place, axis=1))[:LAYER_FACES] for place in at]
    return np.unique(np.concatenate(near)), np.unique(np.concatenate(faces))


def expected(avatar: Avatar, gaussians: NDArray[Any], faces: NDArray[Any]) -> list[dict[str, Any]]:
    """The poses, and of each the chosen Gaussians and those in place of the faces, by the engine."""
    poses = []
    rows = np.concatenate([gaussians, len(avatar) + faces])
    for name, (weights, turn) in POSES.items():
        params = posed(avatar, weights, turn)
        found = with_layer(avatar(params))
        quats = found.quats[0] / found.quats[0].norm(dim=1, keepdim=True)
        values = {
            "means": found.means[0],
            "quats": quats * quats[:, :1].sign(),
            "scales": found.scales[0],
            "opacities": found.opacities[0],
            "colors": found.sh[0, :, 0] * SH_C0 + 0.5,
        }
        pose = {key: getattr(params, key)[0].tolist() for key in ("expression", "joint_rot", "translation")}
        numbers = {key: np.round(values[key].double().numpy()[rows], digits).tolist() for key, digits in DIGITS.items()}
        poses.append({"name": name, **rounded(pose), **numbers})
    return poses


def write(path: Path, folder: Path) -> None:
    """Write `sample.hsa` and `vectors.json` of an .avatar with a mesh layer and pose blendshapes."""
    header, avatar = read_avatar(path)
    avatar.requires_grad_(False)
    crop, rows = Crop(web_container(avatar, header, path.stem)), chosen(avatar)
    crop.keep(*rows)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sample.hsa").write_bytes(crop.container())
    vectors = {"tolerances": TOLERANCES, "poses": expected(avatar, *rows)}
    (folder / "vectors.json").write_text(json.dumps(vectors, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    write(arguments.avatar, arguments.out)
