"""ICT-FaceKit's FaceXModel folder as a HeadModel: meters, ARKit names, jaw and eyes on joints.

Facts about the folder come from the documentation of ICT-FaceKit (USC ICT, MIT license); the user brings the files.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.head.flame.surface import components
from avatar.head.generate.expressions import NAMES
from avatar.head.model import HeadModel
from avatar.head.wavefront import read_text
from avatar.types import JAW

from .dress import dressed
from .landmarks import MULTI_PIE, Surface, landmark_embedding
from .obj import Floats, Ints, Mesh, read_mesh, read_vertices
from .parts import Mask, find_parts
from .rig import Rig, before_the_turn, find_rig, jaw_bone, regressor, sphere_center

NEUTRAL = "generic_neutral_mesh.obj"
#: ARKit shapes in Live Link order; the release has no tongue shape and leaves lids to eyeBlink
ARKIT = tuple(name for name in NAMES if name not in ("tongueOut", "eyelidLeft", "eyelidRight"))
_MARKS = "vertex_indices.json"
_MOST_IDENTITY = 200
_PARENTS = (-1, 0, 1, 1, 1)
_LEAST_OPENING = 1e-3  # meters that jawOpen moves something
_HALF_FACES = {"browInnerUp", "cheekPuff"}  # one name in ARKit, a left and a right file here
#: between the eyes, in the unit: meters an eye distance may have
_EYE_DISTANCE = (0.04, 0.09)
_UNITS = {"metres": 1.0, "centimetres": 100.0, "millimetres": 1000.0}


def load_ict(folder: str | Path) -> HeadModel:
    """The head model in the folder FaceXModel of ICT-FaceKit (or the folder above it).

    Sheets over the eyes (tears, occlusion, lashes) are left out; quads become triangles. jawOpen, jawLeft, jawRight and
    eyeLook* turn joints and end, at a weight of 1, where the files end; mouthClose is what its file adds to jawOpen's.

    Args:
        folder: where generic_neutral_mesh.obj lies.

    Raises:
        HeadsplatError: files are missing, damaged or of different releases.
    """
    folder = _folder(Path(folder))
    mesh = read_mesh(folder / NEUTRAL)
    parts = find_parts(mesh, str(folder / NEUTRAL))
    kept = ~parts["overlays"]
    scale, origin = _unit_and_origin(mesh, parts, folder)
    vertices = (mesh.vertices[kept] - origin) / scale

    def displacement(path: Path) -> Floats:
        return (read_vertices(path, len(kept))[kept] - mesh.vertices[kept]) / scale

    files = _expression_files(folder)
    shapes = {name: np.sum([displacement(path) for path in paths], axis=0) for name, paths in files.items()}
    if np.abs(shapes["jawOpen"]).max() < _LEAST_OPENING:
        raise HeadsplatError(f"{files['jawOpen'][0]}: opens no jaw, it is the neutral mesh again; copy the file again")
    identity = [displacement(path) for path in _identity_files(folder)]
    own = {name: mask[kept] for name, mask in parts.items()}
    try:
        return _built(_without(mesh, kept), vertices, shapes, identity, own, _anchors(folder, kept))
    except np.linalg.LinAlgError as error:
        raise HeadsplatError(
            f"{folder}: its meshes are no head, parts of them have no extent; copy it again"
        ) from error


def _folder(folder: Path) -> Path:
    for candidate in (folder, folder / "FaceXModel"):
        if (candidate / NEUTRAL).is_file():
            return candidate
    raise HeadsplatError(f"{folder}: no {NEUTRAL} there; give the FaceXModel folder of ICT-FaceKit")


def _expression_files(folder: Path) -> dict[str, list[Path]]:
    """ARKit name -> files whose displacements add up to it."""
    found: dict[str, list[Path]] = {}
    for name in ARKIT:
        stem = name.removesuffix("Left").removesuffix("Right")
        if name in _HALF_FACES:
            found[name] = [folder / f"{name}_L.obj", folder / f"{name}_R.obj"]
        elif name in ("mouthLeft", "mouthRight", "jawLeft", "jawRight") or stem == name:
            found[name] = [folder / f"{name}.obj"]
        else:
            found[name] = [folder / f"{stem}_{'L' if name.endswith('Left') else 'R'}.obj"]
    missing = [path.name for paths in found.values() for path in paths if not path.is_file()]
    if missing:
        raise HeadsplatError(
            f"{folder}: {len(missing)} of its expression files are missing ({', '.join(missing[:3])}"
            f"{'...' if len(missing) > 3 else ''}); copy the whole FaceXModel folder of ICT-FaceKit"
        )
    return found


def _identity_files(folder: Path) -> list[Path]:
    """identity000.obj, identity001.obj... as far as they go without a gap."""
    paths = []
    for number in range(_MOST_IDENTITY):
        path = folder / f"identity{number:03d}.obj"
        if not path.is_file():
            break
        paths.append(path)
    return paths


def _unit_and_origin(mesh: Mesh, parts: dict[str, Mask], folder: Path) -> tuple[float, Floats]:
    """File units in a meter, and the point between the eyeballs in file units."""
    left, right = (sphere_center(mesh.vertices[parts[f"eyeball_{side}"]]) for side in ("left", "right"))
    apart = float(np.linalg.norm(left - right))
    for units in _UNITS.values():
        if _EYE_DISTANCE[0] <= apart / units <= _EYE_DISTANCE[1] and left[0] > right[0]:
            return units, (left + right) / 2
    raise HeadsplatError(
        f"{folder / NEUTRAL}: its eyes are {apart:.3g} apart, which is no head in {', '.join(_UNITS)} with its left "
        "eye at larger x; take the file unchanged"
    )


def _anchors(folder: Path, kept: Mask) -> dict[int, int]:
    """MediaPipe's landmark -> vertex, from the 68 marks that the folder lists; empty where it lists none."""
    try:
        numbers = json.loads(read_text(folder / _MARKS))["idx_to_landmark_verts"]
    except (HeadsplatError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    if not isinstance(numbers, list) or len(numbers) != 68 or any(type(number) is not int for number in numbers):
        return {}
    if min(numbers) < 0 or max(numbers) >= len(kept):
        return {}
    place = np.cumsum(kept) - 1
    found = {landmark: int(place[numbers[mark]]) for mark, landmark in MULTI_PIE.items() if kept[numbers[mark]]}
    return found if len(set(found.values())) == len(found) else {}


def _without(mesh: Mesh, kept: Mask) -> Mesh:
    """The mesh without the vertices that are not `kept`."""
    whole = kept[mesh.faces].all(1)
    place = np.cumsum(kept) - 1
    return Mesh(
        mesh.vertices[kept],
        place[mesh.faces[whole]],
        mesh.uv,
        mesh.uv_faces[whole],
        mesh.materials,
        mesh.material[whole],
    )


def _built(
    mesh: Mesh,
    vertices: Floats,
    shapes: dict[str, Floats],
    identity: list[Floats],
    parts: dict[str, Mask],
    anchors: dict[int, int],
) -> HeadModel:
    pieces = components(mesh.faces, len(vertices))
    parts["jaw_bone"], parts["skull_bone"] = jaw_bone(vertices, shapes["jawOpen"], parts["teeth"], pieces)
    rig = find_rig(vertices, shapes, parts)
    places = landmark_embedding(_surface(vertices, mesh.faces, parts, rig), anchors)
    marks = places.points(vertices, mesh.faces)
    look = dressed(mesh, vertices, parts, pieces, marks)
    return HeadModel(
        name="ICT-FaceKit",
        license="MIT (ICT-FaceKit, USC Institute for Creative Technologies)",
        v_template=_tensor(vertices),
        faces=torch.from_numpy(mesh.faces),
        shapedirs=_tensor(np.stack(identity, 2) if identity else np.zeros((len(vertices), 3, 0))),
        exprdirs=_tensor(np.stack(_before_turns(vertices, shapes, rig), 2)),
        joint_dirs=_tensor(_joint_dirs(rig)),
        curvedirs=torch.zeros(len(vertices), 3, 0),
        curve_columns=torch.zeros(0, dtype=torch.int64),
        posedirs=torch.zeros(len(vertices), 3, 0),
        J_regressor=_tensor(regressor(vertices, rig, parts)),
        parents=_PARENTS,
        lbs_weights=_tensor(rig.weights),
        expression_names=ARKIT,
        landmark_faces=torch.from_numpy(places.faces),
        landmark_bary=_tensor(places.bary),
        uv=_tensor(look.uv),
        uv_faces=torch.from_numpy(look.uv_faces),
        regions={name: torch.from_numpy(mask) for name, mask in look.regions.items()},
        colors=_tensor(look.colors),
        capabilities=look.capabilities,
    )


def _joint_dirs(rig: Rig) -> Floats:
    table = np.zeros((len(rig.joints), 3, len(ARKIT)))
    for name, (joint, turn) in rig.turns.items():
        table[joint, :, ARKIT.index(name)] = turn
    return table


def _before_turns(vertices: Floats, shapes: dict[str, Floats], rig: Rig) -> list[Floats]:
    """Displacements [V,3] of each expression before any joint turns."""
    rest = {
        name: before_the_turn(vertices, seen, rig, name) if name in rig.turns else seen for name, seen in shapes.items()
    }
    both = before_the_turn(vertices, shapes["jawOpen"] + shapes["mouthClose"], rig, "jawOpen")
    rest["mouthClose"] = both - rest["jawOpen"]
    return [rest[name] for name in ARKIT]


def _surface(vertices: Floats, faces: Ints, parts: dict[str, Mask], rig: Rig) -> Surface:
    def faces_of(part: str) -> Ints:
        return np.flatnonzero(parts[part][faces].all(1))

    return Surface(
        vertices=vertices,
        faces=faces,
        skin=faces_of("face"),
        eyeballs=(faces_of("eyeball_right"), faces_of("eyeball_left")),
        eyes=(rig.joints[4], rig.joints[3]),
        jaw=rig.weights[:, JAW],
    )


def _tensor(values: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
