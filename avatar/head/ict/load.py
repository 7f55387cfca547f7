"""ICT-FaceKit's FaceXModel folder as a HeadModel: meters, ARKit names, joints for jaw and eyes.

The folder's layout is from the documentation of ICT-FaceKit (USC ICT, MIT license); the user provides the files.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.head.flame.surface import component_labels
from avatar.head.model import HeadModel
from avatar.head.wavefront import read_text
from avatar.types import JAW

from .appearance import find_appearance
from .landmarks import MULTI_PIE, Surface, landmark_embedding
from .obj import Floats, Ints, Mesh, read_mesh, read_vertices
from .parts import Mask, find_parts
from .rig import Rig, find_rig, regressor, rest_displacements, sphere_center, split_teeth

NEUTRAL = "generic_neutral_mesh.obj"
#: ARKit shapes in Live Link order; the release has no tongue shape, and eyeBlink closes the lids
ARKIT = tuple(name for name in ARKIT_52 if name != "tongueOut")
_LANDMARK_FILE = "vertex_indices.json"
_MAX_IDENTITIES = 200
_PARENTS = (-1, 0, 1, 1, 1)
_MIN_OPENING = 1e-3  # meters that jawOpen moves at least one vertex
_HALF_FACES = {"browInnerUp", "cheekPuff"}  # one name in ARKit, a left and a right file here
_EYE_DISTANCE = (0.04, 0.09)  # meters: smallest and largest plausible value, used to recognize the unit
_UNITS = {"meters": 1.0, "centimeters": 100.0, "millimeters": 1000.0}


def load_ict(folder: str | Path) -> HeadModel:
    """Load the head model in the folder FaceXModel of ICT-FaceKit (or its parent folder).

    Layers over the eyes (tears, occlusion, lashes) are dropped; quads become triangles. jawOpen, jawLeft, jawRight and
    eyeLook* rotate joints and give the shapes of the files at weight 1; mouthClose is relative to jawOpen.

    Args:
        folder: contains generic_neutral_mesh.obj.

    Returns:
        The head in meters, the origin between the eyeballs.

    Raises:
        HeadsplatError: files are missing, damaged or of different releases.
    """
    folder = _folder(Path(folder))
    mesh = read_mesh(folder / NEUTRAL)
    parts = find_parts(mesh, str(folder / NEUTRAL))
    in_head = ~parts["overlays"]
    scale, origin = _unit_and_origin(mesh, parts, folder)
    vertices = (mesh.vertices[in_head] - origin) / scale

    def displacement(path: Path) -> Floats:
        return (read_vertices(path, len(in_head))[in_head] - mesh.vertices[in_head]) / scale

    files = _expression_files(folder)
    shapes = {name: np.sum([displacement(path) for path in paths], axis=0) for name, paths in files.items()}
    if np.abs(shapes["jawOpen"]).max() < _MIN_OPENING:
        raise HeadsplatError(
            f"{files['jawOpen'][0]}: does not open the jaw, its vertices equal the neutral mesh; copy the file again"
        )
    identity = [displacement(path) for path in _identity_files(folder)]
    masks = {name: mask[in_head] for name, mask in parts.items()}
    try:
        return _head(_submesh(mesh, in_head), vertices, shapes, identity, masks, _anchors(folder, in_head))
    except np.linalg.LinAlgError as error:
        raise HeadsplatError(
            f"{folder}: its meshes are not a head, parts of them have no extent; copy it again"
        ) from error


def _folder(folder: Path) -> Path:
    for candidate in (folder, folder / "FaceXModel"):
        if (candidate / NEUTRAL).is_file():
            return candidate
    raise HeadsplatError(f"{folder}: no {NEUTRAL} there; give the FaceXModel folder of ICT-FaceKit")


def _expression_files(folder: Path) -> dict[str, list[Path]]:
    """ARKit name -> files whose displacements are summed."""
    paths_of: dict[str, list[Path]] = {}
    for name in ARKIT:
        stem = name.removesuffix("Left").removesuffix("Right")
        if name in _HALF_FACES:
            paths_of[name] = [folder / f"{name}_L.obj", folder / f"{name}_R.obj"]
        elif name in ("mouthLeft", "mouthRight", "jawLeft", "jawRight") or stem == name:
            paths_of[name] = [folder / f"{name}.obj"]
        else:
            paths_of[name] = [folder / f"{stem}_{'L' if name.endswith('Left') else 'R'}.obj"]
    missing = [path.name for paths in paths_of.values() for path in paths if not path.is_file()]
    if missing:
        raise HeadsplatError(
            f"{folder}: {len(missing)} of its expression files are missing ({', '.join(missing[:3])}"
            f"{'...' if len(missing) > 3 else ''}); copy the whole FaceXModel folder of ICT-FaceKit"
        )
    return paths_of


def _identity_files(folder: Path) -> list[Path]:
    """identity000.obj, identity001.obj... up to the first missing number."""
    paths = []
    for number in range(_MAX_IDENTITIES):
        path = folder / f"identity{number:03d}.obj"
        if not path.is_file():
            break
        paths.append(path)
    return paths


def _unit_and_origin(mesh: Mesh, parts: dict[str, Mask], folder: Path) -> tuple[float, Floats]:
    """File units per meter, and the point [3] between the eyeballs in file units."""
    left = sphere_center(mesh.vertices[parts[f"eyeball_{'left'}"]])
    right = sphere_center(mesh.vertices[parts[f"eyeball_{'right'}"]])
    distance = float(np.linalg.norm(left - right))
    for units in _UNITS.values():
        if _EYE_DISTANCE[0] <= distance / units <= _EYE_DISTANCE[1] and left[0] > right[0]:
            return units, (left + right) / 2
    raise HeadsplatError(
        f"{folder / NEUTRAL}: its eyes are {distance:.3g} apart, which is not a head in {', '.join(_UNITS)} with its "
        "left eye at larger x; take the file unchanged"
    )


def _anchors(folder: Path, in_head: Mask) -> dict[int, int]:
    """MediaPipe's landmark -> vertex, from the folder's list of 68 landmarks; empty without a valid list."""
    try:
        numbers = json.loads(read_text(folder / _LANDMARK_FILE))["idx_to_landmark_verts"]
    except (HeadsplatError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    if not isinstance(numbers, list) or len(numbers) != 68 or any(type(number) is not int for number in numbers):
        return {}
    if min(numbers) < 0 or max(numbers) >= len(in_head):
        return {}
    new_index = np.cumsum(in_head) - 1
    anchors = {landmark: int(new_index[numbers[pie]]) for pie, landmark in MULTI_PIE.items() if in_head[numbers[pie]]}
    return anchors if len(set(anchors.values())) == len(anchors) else {}


def _submesh(mesh: Mesh, in_head: Mask) -> Mesh:
    """The mesh of the `in_head` vertices [V] only."""
    whole = in_head[mesh.faces].all(1)
    new_index = np.cumsum(in_head) - 1
    return Mesh(
        mesh.vertices[in_head],
        new_index[mesh.faces[whole]],
        mesh.uv,
        mesh.uv_faces[whole],
        mesh.materials,
        mesh.material[whole],
    )


def _head(
    mesh: Mesh,
    vertices: Floats,
    shapes: dict[str, Floats],
    identity: list[Floats],
    parts: dict[str, Mask],
    anchors: dict[int, int],
) -> HeadModel:
    """The HeadModel of checked meshes.

    Args:
        mesh: faces and texture coordinates.
        vertices: [V,3] meters.
        shapes: ARKit name -> displacements [V,3] meters.
        identity: displacements [V,3] meters of each identity.
        parts: masks [V]; `jaw_bone` and `skull_bone` are added.
        anchors: landmark -> vertex.

    Returns:
        The head.
    """
    labels = component_labels(mesh.faces, len(vertices))
    parts["jaw_bone"], parts["skull_bone"] = split_teeth(vertices, shapes["jawOpen"], parts["teeth"], labels)
    rig = find_rig(vertices, shapes, parts)
    landmarks = landmark_embedding(_surface(vertices, mesh.faces, parts, rig), anchors)
    points = landmarks.points(vertices, mesh.faces)
    appearance = find_appearance(mesh, vertices, parts, labels, points)
    return HeadModel(
        name="ICT-FaceKit",
        license="MIT (ICT-FaceKit, USC Institute for Creative Technologies)",
        v_template=_tensor(vertices),
        faces=torch.from_numpy(mesh.faces),
        shapedirs=_tensor(np.stack(identity, 2) if identity else np.zeros((len(vertices), 3, 0))),
        exprdirs=_tensor(np.stack(_rest_shapes(vertices, shapes, rig), 2)),
        joint_dirs=_tensor(_joint_dirs(rig)),
        curvedirs=torch.zeros(len(vertices), 3, 0),
        curve_columns=torch.zeros(0, dtype=torch.int64),
        posedirs=torch.zeros(len(vertices), 3, 0),
        J_regressor=_tensor(regressor(vertices, rig, parts)),
        parents=_PARENTS,
        lbs_weights=_tensor(rig.weights),
        expression_names=ARKIT,
        landmark_faces=torch.from_numpy(landmarks.faces),
        landmark_bary=_tensor(landmarks.bary),
        uv=_tensor(appearance.uv),
        uv_faces=torch.from_numpy(appearance.uv_faces),
        regions={name: torch.from_numpy(mask) for name, mask in appearance.regions.items()},
        colors=_tensor(appearance.colors),
        capabilities=appearance.capabilities,
    )


def _joint_dirs(rig: Rig) -> Floats:
    table = np.zeros((len(rig.joints), 3, len(ARKIT)))
    for name, (joint, rotation) in rig.rotations.items():
        table[joint, :, ARKIT.index(name)] = rotation
    return table


def _rest_shapes(vertices: Floats, shapes: dict[str, Floats], rig: Rig) -> list[Floats]:
    """Displacements [V,3] of each expression in the rest pose, without the rotation of its joint."""
    rest = {
        name: rest_displacements(vertices, shape, rig, name) if name in rig.rotations else shape
        for name, shape in shapes.items()
    }
    both = rest_displacements(vertices, shapes["jawOpen"] + shapes["mouthClose"], rig, "jawOpen")
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
