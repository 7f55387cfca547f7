"""A whole HeadModel from a FLAME file: landmarks, lids, mouth, controls, regions, colors and texture coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar.head.generate.parts import Part
from avatar.head.model import HeadModel
from avatar.types import JAW, NECK

from . import controls, mouth, regions, template, unwrap
from .bare import Anatomy, anatomy, bare_head, eye_colors
from .embedding import Detector
from .lids import lid_shape
from .lips import LipLine, find_lips
from .marks import Embedding, difference, find_embedding
from .openings import find_opening
from .source import FlameArrays, read_flame
from .surface import Floats, Ints, Mask, Places

_CAPABILITIES = frozenset({"eyelids", "teeth", "tongue", "mouth_interior"})


@dataclass(frozen=True)
class Added:
    """New vertices behind the head's own: how each moves, looks and lies in the texture."""

    name: str
    vertices: Floats  # [P,3] meters
    faces: Ints  # [Q,3] of all vertices
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
    told: Callable[[str], None] | None = None,
) -> HeadModel:
    """Read a FLAME (or SMPL-X) file and make it whole: eyelids, teeth, tongue, mouth, landmarks, controls, textures.

    Args:
        path: the user's .pkl or .npz.
        detector: finds the landmarks in pictures of the head; without one our own mean face is laid onto it.
        uv_template: a Wavefront .obj with the head's faces and texture coordinates; None: made.
        told: receives what was recognized and how the landmarks were found, a sentence at a time.

    Raises:
        HeadsplatError: the file is no such model, or the template does not belong to it.
    """
    arrays = read_flame(path)
    return completed(arrays, detector, uv_template, told or (lambda sentence: None))


def completed(
    arrays: FlameArrays, detector: Detector | None, uv_template: Path | None, told: Callable[[str], None]
) -> HeadModel:
    """The whole head of FLAME arrays; see `load_flame`."""
    head = bare_head(arrays)
    body = anatomy(head)
    openings = (find_opening(body, body.left), find_opening(body, body.right))
    head = replace(head, colors=_tensor(_plain_colors(body, head)))
    border = mouth.mouth_border(body)
    lips = find_lips(body, arrays.weights, body.vertices[border])
    embedding = find_embedding(head, body, openings, lips, detector)
    told(f"{head.name}: {embedding.sentence()}{_compared(embedding, arrays, body)}")
    marks = embedding.places
    points = marks.points(body.vertices, body.faces)
    lids = (lid_shape(body, openings[0]), lid_shape(body, openings[1]))
    head = controls.with_controls(head, lids)
    head = replace(
        head,
        landmark_faces=torch.from_numpy(marks.faces.copy()),  # those of the cache are read-only
        landmark_bary=torch.from_numpy(marks.bary.copy()).float(),
        capabilities=_CAPABILITIES,
    )
    hidden = regions.hidden_skin(body)
    masks = regions.skin_masks(body, points, hidden, openings, np.vstack([lips.upper, lips.lower]))
    head = replace(head, colors=_tensor(regions.skin_colors(body, points, masks)))
    added = _mouth(head, body, border, lips)
    return _with_textures(_joined(head, masks, added), body, marks, added, uv_template)


def _compared(embedding: Embedding, arrays: FlameArrays, body: Anatomy) -> str:
    if arrays.marks is None:
        return ""
    gap = difference(embedding.places, arrays.marks, body) * 1000
    return f", {gap:.1f} mm from the file's own {len(arrays.marks.index)} on average"


def _plain_colors(body: Anatomy, head: HeadModel) -> Floats:
    """Colors for the detector's pictures: skin and eyes that look ahead."""
    colors = head.colors.double().numpy().copy()
    for ball in (body.left, body.right):
        colors[ball.vertices] = eye_colors(body.vertices[ball.vertices] - ball.center)
    return colors


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _mouth(head: HeadModel, body: Anatomy, border: Ints, lips: LipLine) -> list[Added]:
    """Sock, teeth and tongue, numbered behind the head's own vertices in this order."""
    sock = mouth.make_sock(body, border)
    source, shares = torch.from_numpy(sock.source), _tensor(sock.shares)[:, None, None]
    added = [
        Added(
            "mouth_interior",
            sock.vertices,
            sock.faces,
            sock.colors,
            head.lbs_weights[source],
            head.shapedirs[source],
            head.exprdirs[source] * shares,
            head.posedirs[source] * shares,
            sock.flat,
            sock.flat_faces,
        )
    ]
    start = len(body.vertices) + len(sock.vertices)
    held = head.lbs_weights[torch.from_numpy(border), JAW].numpy()
    for part in mouth.make_parts(lips.middle):
        lip = border[held < 0.5] if part.name == "teeth_upper" else border[held >= 0.5]
        added.append(_rigid(head, lip if len(lip) else border, part, start))
        start += len(part.vertices)
    return added


def _rigid(head: HeadModel, lip: Ints, part: Part, start: int) -> Added:
    """A part that moves as one: with the inside of its lip when the person changes, with the jaw by its shares."""
    count = len(part.vertices)
    mean = head.shapedirs[torch.from_numpy(lip)].mean(0)
    weights = torch.zeros(count, head.lbs_weights.shape[1])
    weights[:, JAW] = _tensor(part.jaw_shares)
    weights[:, NECK] = 1 - weights[:, JAW]
    return Added(
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


def _joined(head: HeadModel, masks: dict[str, Mask], added: Sequence[Added]) -> HeadModel:
    """The head with the added vertices behind its own; they place no joint and do not bend."""
    count = sum(len(piece.vertices) for piece in added)
    fields = {
        name: torch.cat([getattr(head, field), *(getattr(piece, name) for piece in added)])
        for name, field in (("weights", "lbs_weights"), ("shapedirs",) * 2, ("exprdirs",) * 2, ("posedirs",) * 2)
    }
    return replace(
        head,
        v_template=torch.cat([head.v_template, *(_tensor(piece.vertices) for piece in added)]),
        faces=torch.cat([head.faces, *(torch.from_numpy(piece.faces) for piece in added)]),
        colors=torch.cat([head.colors, *(_tensor(piece.colors) for piece in added)]),
        lbs_weights=fields["weights"],
        shapedirs=fields["shapedirs"],
        exprdirs=fields["exprdirs"],
        posedirs=fields["posedirs"],
        curvedirs=torch.cat([head.curvedirs, head.curvedirs.new_zeros(count, *head.curvedirs.shape[1:])]),
        J_regressor=torch.cat([head.J_regressor, head.J_regressor.new_zeros(len(head.parents), count)], 1),
        regions=_all_regions(masks, added),
    )


def _all_regions(masks: dict[str, Mask], added: Sequence[Added]) -> dict[str, Tensor]:
    """Masks of all vertices; every added piece is a region, the mouth's inside together with the lips' inner sides."""
    own = len(masks["skin"])
    total = own + sum(len(piece.vertices) for piece in added)
    whole = {name: np.concatenate([mask, np.zeros(total - own, bool)]) for name, mask in masks.items()}
    start = own
    for piece in added:
        mask = whole.setdefault(piece.name, np.zeros(total, bool))
        mask[start : start + len(piece.vertices)] = True
        start += len(piece.vertices)
    return {name: torch.from_numpy(mask) for name, mask in whole.items()}


def _with_textures(
    head: HeadModel, body: Anatomy, marks: Places, added: Sequence[Added], uv_template: Path | None
) -> HeadModel:
    """The head with the user's texture coordinates, or with made ones."""
    start = len(body.faces)
    islands = []
    for piece in added:
        islands.append(unwrap.Island(piece.flat, piece.uv_faces, np.arange(start, start + len(piece.faces))))
        start += len(piece.faces)
    if uv_template is not None:
        uv, uv_faces = template.textured(uv_template, body.faces, islands)
    else:
        corner = marks.bary.argmax(1)
        vertices = body.faces[marks.faces, corner]
        eyes = [island for ball in (body.left, body.right) for island in unwrap.eye_islands(body, ball)]
        uv, uv_faces = unwrap.packed(unwrap.skin_island(body, vertices), [*eyes, *islands], start)
    return replace(head, uv=_tensor(uv), uv_faces=torch.from_numpy(uv_faces))
