"""A complete HeadModel from a FLAME file: adds landmarks, lids, mouth, controls, regions, colors and UVs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar.head.anatomy.parts import Part
from avatar.head.model import HeadModel
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE

from . import mouth, regions, template, unwrap
from .anatomy import Anatomy, eye_colors, file_head, find_anatomy
from .detection import Detector
from .embedding import Embedding, find_embedding, mean_distance
from .lids import LidShape, lid_shape
from .lips import LipLine, find_lips
from .openings import find_opening
from .source import FlameArrays, read_flame
from .surface import Floats, Ints, Mask, SurfacePoints

#: degrees about x (down) and about y (toward +x) of each gaze direction for the left eye; the right eye mirrors y
_LOOKS = (("Up", -22.0, 0.0), ("Down", 26.0, 0.0), ("In", 0.0, -28.0), ("Out", 0.0, 28.0))
#: degrees of the jaw: separates the lip middles by 3.4 cm on FLAME 2023 Open, as jawOpen does on the embedded head
_JAW_OPEN = 19.0
_JAW_SIDEWAYS = 5.0  # degrees: moves the chin by 9 mm, as jawLeft does on the embedded head

JAW_CONTROLS = ("jawOpen", "jawLeft", "jawRight")
LOOK_CONTROLS = tuple(f"eyeLook{look}{side}" for look, *_ in _LOOKS for side in ("Left", "Right"))
LID_CONTROLS = ("eyelidLeft", "eyelidRight")
CONTROLS = JAW_CONTROLS + LOOK_CONTROLS + LID_CONTROLS


def joint_rotations() -> dict[str, Floats]:
    """Joint rotations [5,3] (axis-angle, radians) of every control; zero for those without one."""
    rotations = {name: np.zeros((len(JOINT_NAMES), 3)) for name in CONTROLS}
    rotations["jawOpen"][JAW, 0] = np.radians(_JAW_OPEN)
    rotations["jawLeft"][JAW, 1] = np.radians(_JAW_SIDEWAYS)
    rotations["jawRight"][JAW, 1] = -np.radians(_JAW_SIDEWAYS)
    for look, down, out in _LOOKS:
        rotations[f"eyeLook{look}Left"][LEFT_EYE, :2] = np.radians([down, out])
        rotations[f"eyeLook{look}Right"][RIGHT_EYE, :2] = np.radians([down, -out])
    return rotations


def with_controls(head: HeadModel, lids: tuple[LidShape, LidShape]) -> HeadModel:
    """The head with CONTROLS appended to its expressions; `lids` are left and right."""
    count = len(head.v_template)
    first = len(head.expression_names)
    displacements = np.zeros((count, 3, len(CONTROLS)))
    curves = np.zeros((count, 3, len(lids)))
    for column, (name, lid) in enumerate(zip(LID_CONTROLS, lids, strict=True)):
        displacements[:, :, CONTROLS.index(name)] = lid.displacements
        curves[:, :, column] = lid.curve
    rotations = joint_rotations()
    stacked = np.stack([rotations[name] for name in CONTROLS], -1)
    columns = [first + CONTROLS.index(name) for name in LID_CONTROLS]
    return replace(
        head,
        expression_names=head.expression_names + CONTROLS,
        exprdirs=torch.cat([head.exprdirs, torch.from_numpy(displacements).float()], 2),
        joint_dirs=torch.cat([head.joint_dirs, torch.from_numpy(stacked).float()], 2),
        curvedirs=torch.from_numpy(curves).float(),
        curve_columns=torch.tensor(columns, dtype=torch.int64),
    )


_CAPABILITIES = frozenset({"eyelids", "teeth", "tongue", "mouth_interior"})


@dataclass(frozen=True)
class AddedPart:
    """New vertices appended to the head's: geometry, motion, colors and texture coordinates."""

    name: str
    vertices: Floats  # [P,3] meters
    faces: Ints  # [Q,3] indices into all vertices of the head
    colors: Floats  # [P,3]
    weights: Tensor  # [P,5]
    shapedirs: Tensor  # [P,3,S]
    exprdirs: Tensor  # [P,3,E]
    posedirs: Tensor  # [P,3,36]
    flat: Floats  # [U,2] texture island
    uv_faces: Ints  # [Q,3] into flat


def load_flame(
    path: Path,
    detector: Detector | None = None,
    uv_template: Path | None = None,
    on_message: Callable[[str], None] | None = None,
) -> HeadModel:
    """Read a FLAME (or SMPL-X) file and add eyelids, teeth, tongue, mouth, landmarks, controls and UVs.

    Args:
        path: the user's .pkl or .npz.
        detector: detects the landmarks in rendered images of the head; None: headsplat's mean face is fitted to it.
        uv_template: a Wavefront .obj with the head's faces and texture coordinates; None: coordinates are computed.
        on_message: receives the recognized version and how the landmarks were found, one sentence per call.

    Returns:
        The head in meters, the origin between the eyeballs.

    Raises:
        HeadsplatError: the file is not such a model, or the template does not match it.
    """
    arrays = read_flame(path)
    return complete_head(arrays, detector, uv_template, on_message or (lambda sentence: None))


def complete_head(
    arrays: FlameArrays, detector: Detector | None, uv_template: Path | None, on_message: Callable[[str], None]
) -> HeadModel:
    """The complete head of FLAME arrays.

    Args:
        arrays: of a FLAME or SMPL-X file.
        detector: as of `load_flame`.
        uv_template: as of `load_flame`.
        on_message: receives how the landmarks were found, one sentence.
    """
    head = file_head(arrays)
    body = find_anatomy(head)
    openings = (find_opening(body, body.left), find_opening(body, body.right))
    head = replace(head, colors=_tensor(_detection_colors(body, head)))
    border = mouth.mouth_border(body)
    lips = find_lips(body, arrays.weights, body.vertices[border])
    embedding = find_embedding(head, body, openings, lips, detector)
    on_message(f"{head.name}: {embedding.sentence()}{_file_distance(embedding, arrays, body)}")
    landmarks = embedding.points
    points = landmarks.points(body.vertices, body.faces)
    lids = (lid_shape(body, openings[0]), lid_shape(body, openings[1]))
    head = with_controls(head, lids)
    head = replace(
        head,
        landmark_faces=torch.from_numpy(landmarks.faces.copy()),  # arrays from the cache are read-only
        landmark_bary=torch.from_numpy(landmarks.bary.copy()).float(),
        capabilities=_CAPABILITIES,
    )
    hidden = regions.hidden_skin(body)
    masks = regions.skin_masks(body, points, hidden, openings, np.vstack([lips.upper, lips.lower]))
    head = replace(head, colors=_tensor(regions.skin_colors(body, points, masks)))
    added = _mouth(head, body, border, lips)
    return _with_textures(_with_parts(head, masks, added), body, landmarks, added, uv_template)


def _file_distance(embedding: Embedding, arrays: FlameArrays, body: Anatomy) -> str:
    if arrays.landmarks is None:
        return ""
    gap = mean_distance(embedding.points, arrays.landmarks, body) * 1000
    return f", {gap:.1f} mm from the file's {len(arrays.landmarks.index)} landmarks on average"


def _detection_colors(body: Anatomy, head: HeadModel) -> Floats:
    """Colors [V,3] for the detector's images: skin, and eyes with a straight gaze."""
    colors = head.colors.double().numpy().copy()
    for ball in (body.left, body.right):
        colors[ball.vertices] = eye_colors(body.vertices[ball.vertices] - ball.center)
    return colors


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _mouth(head: HeadModel, body: Anatomy, border: Ints, lips: LipLine) -> list[AddedPart]:
    """Mouth sock, teeth and tongue; their vertices follow the head's in this order."""
    sock = mouth.make_sock(body, border)
    source = torch.from_numpy(sock.source)
    follow = _tensor(sock.follow)[:, None, None]
    added = [
        AddedPart(
            "mouth_interior",
            sock.vertices,
            sock.faces,
            sock.colors,
            head.lbs_weights[source],
            head.shapedirs[source],
            head.exprdirs[source] * follow,
            head.posedirs[source] * follow,
            sock.flat,
            sock.flat_faces,
        )
    ]
    start = len(body.vertices) + len(sock.vertices)
    jaw = head.lbs_weights[torch.from_numpy(border), JAW].numpy()
    for part in mouth.make_parts(lips.middle):
        lip = border[jaw < 0.5] if part.name == "teeth_upper" else border[jaw >= 0.5]
        added.append(_rigid(head, lip if len(lip) else border, part, start))
        start += len(part.vertices)
    return added


def _rigid(head: HeadModel, lip: Ints, part: Part, start: int) -> AddedPart:
    """A rigid part: identity moves it with the mean of its lip, joints by its jaw weights, expressions not at all."""
    count = len(part.vertices)
    mean = head.shapedirs[torch.from_numpy(lip)].mean(0)
    weights = torch.zeros(count, head.lbs_weights.shape[1])
    weights[:, JAW] = _tensor(part.jaw_weights)
    weights[:, NECK] = 1 - weights[:, JAW]
    return AddedPart(
        part.name,
        part.vertices / 100,
        part.faces + start,
        part.colors,
        weights,
        mean.expand(count, -1, -1),
        torch.zeros(count, *head.exprdirs.shape[1:]),
        torch.zeros(count, *head.posedirs.shape[1:]),
        part.flat,
        part.faces,
    )


def _with_parts(head: HeadModel, masks: dict[str, Mask], added: Sequence[AddedPart]) -> HeadModel:
    """The head with the parts' vertices appended; they have no weight in the joint regressor and no curved paths."""
    count = sum(len(part.vertices) for part in added)
    fields = {
        name: torch.cat([getattr(head, field), *(getattr(part, name) for part in added)])
        for name, field in (("weights", "lbs_weights"), ("shapedirs",) * 2, ("exprdirs",) * 2, ("posedirs",) * 2)
    }
    return replace(
        head,
        v_template=torch.cat([head.v_template, *(_tensor(part.vertices) for part in added)]),
        faces=torch.cat([head.faces, *(torch.from_numpy(part.faces) for part in added)]),
        colors=torch.cat([head.colors, *(_tensor(part.colors) for part in added)]),
        lbs_weights=fields["weights"],
        shapedirs=fields["shapedirs"],
        exprdirs=fields["exprdirs"],
        posedirs=fields["posedirs"],
        curvedirs=torch.cat([head.curvedirs, head.curvedirs.new_zeros(count, *head.curvedirs.shape[1:])]),
        J_regressor=torch.cat([head.J_regressor, head.J_regressor.new_zeros(len(head.parents), count)], 1),
        regions=_all_regions(masks, added),
    )


def _all_regions(masks: dict[str, Mask], added: Sequence[AddedPart]) -> dict[str, Tensor]:
    """Masks [V] of all vertices; every added part extends the region of its name."""
    skin_count = len(masks["skin"])
    total = skin_count + sum(len(part.vertices) for part in added)
    whole = {name: np.concatenate([mask, np.zeros(total - skin_count, bool)]) for name, mask in masks.items()}
    start = skin_count
    for part in added:
        mask = whole.setdefault(part.name, np.zeros(total, bool))
        mask[start : start + len(part.vertices)] = True
        start += len(part.vertices)
    return {name: torch.from_numpy(mask) for name, mask in whole.items()}


def _with_textures(
    head: HeadModel, body: Anatomy, landmarks: SurfacePoints, added: Sequence[AddedPart], uv_template: Path | None
) -> HeadModel:
    """The head with the template's texture coordinates, or with computed ones."""
    start = len(body.faces)
    islands = []
    for part in added:
        islands.append(unwrap.Island(part.flat, part.uv_faces, np.arange(start, start + len(part.faces))))
        start += len(part.faces)
    if uv_template is not None:
        uv, uv_faces = template.apply_template(uv_template, body.faces, islands)
    else:
        corner = landmarks.bary.argmax(1)
        vertices = body.faces[landmarks.faces, corner]
        eyes = [island for ball in (body.left, body.right) for island in unwrap.eye_islands(body, ball)]
        uv, uv_faces = unwrap.pack_islands(unwrap.skin_island(body, vertices), [*eyes, *islands], start)
    return replace(head, uv=_tensor(uv), uv_faces=torch.from_numpy(uv_faces))
