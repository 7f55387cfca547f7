"""Renders frames of the procedural person: z-buffer, lighting, shading, in linear light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from avatar import ops
from avatar.types import NECK, ROOT
from capture.synthetic.appearance import Appearance
from capture.synthetic.clothes import Garment
from capture.synthetic.glasses import Glasses
from capture.synthetic.hair import HairSystem, Ribbons
from capture.synthetic.lighting import Lighting, Shadows
from capture.synthetic.person import Person, vertex_normals
from capture.synthetic.products import product
from capture.synthetic.skin import SkinPainter, Texels
from capture.synthetic.texels import TexelGrid
from capture.synthetic.view import View

Array = NDArray[np.floating]
Index = NDArray[np.int64]
FaceIndex = NDArray[np.int32]

_SUPERSAMPLE = 2
_TEXELS = 10  # along an edge of a triangle, for an image of the default size
_CENTER = np.array([0, -0.06, -0.05], np.float32)  # meters, of head and shoulders in the skull frame
#: Compression of the skin (1 minus stretch) without wrinkles, and that of full depth.
_FIRST_COMPRESSION = 0.03
_FULL_COMPRESSION = 0.25
#: Depth of the deepest wrinkles relative to the lines of the texture.
_DEPTH = 2.5


@dataclass(frozen=True)
class Image:
    """A rendered frame, before the camera model."""

    rgb: Array  # [H,W,3] linear light, premultiplied by alpha
    alpha: Array  # [H,W]


@dataclass(frozen=True)
class Pose:
    """Pose of the person in a frame."""

    expression: Array  # [E]
    rotations: Array  # [J,3,3] rest pose -> world
    offsets: Array  # [J,3] meters


class Renderer:
    """Renders a person frame by frame; textures are painted once."""

    def __init__(
        self,
        appearance: Appearance,
        person: Person,
        seed: int,
        detail: float = 1.0,
        light: str = "room",
        wrinkles: bool = False,
    ) -> None:
        """
        Args:
            appearance: of the person.
            person: the geometry.
            seed: of textures and hair.
            detail: the image size relative to the default; it sets the resolution of textures and hair.
            light: a name in `rooms.LIGHTS`.
            wrinkles: whether the lines of the face are as deep as the skin is compressed there; they are wider, too.
        """
        self.person = person
        self._lighting = Lighting(light)
        self._garment = Garment(appearance, person, seed + 1)
        self._hair = HairSystem(appearance, person, seed + 2, detail)
        hidden = self._garment.covers(person.rest)
        skin_faces = person.faces[~hidden[person.faces].any(1)]
        self._glasses = None if appearance.glasses is None else Glasses(person, appearance.glasses)
        cloth_start = len(person.rest)
        glasses_faces = np.zeros((0, 3), np.int64)
        if self._glasses is not None:
            glasses_faces = self._glasses.faces + cloth_start
            cloth_start = cloth_start + len(self._glasses.rest)
        self._faces = np.concatenate([skin_faces, glasses_faces, self._garment.faces + cloth_start])
        self._first_cloth = len(skin_faces) + len(glasses_faces)
        resolution = int(np.clip(round(_TEXELS * detail), 3, 20))
        self._grid = TexelGrid(self._faces, resolution)
        painter = SkinPainter(person, appearance, TexelGrid(skin_faces, resolution), seed, wrinkles)
        parts = [painter.paint(), self._garment.paint(TexelGrid(self._garment.faces, resolution))]
        if self._glasses is not None:
            parts.insert(1, self._glasses.paint(TexelGrid(self._glasses.faces, resolution)))
        self._table = np.concatenate([_pack(texels) for texels in parts])
        self._lines = [
            np.concatenate([getattr(texels, name) for texels in parts]) for name in ("brow_lines", "smile_lines")
        ]
        # Indirect light inside the mouth; without it teeth and tongue would be black.
        mouth = person.region("mouth_interior", "teeth_upper", "teeth_lower", "tongue")
        self._mouth_light = mouth[:, None] * np.array([0.34, 0.27, 0.24], np.float32)
        starts = ("browInner", "browOuter"), ("mouthSmile",), ("eyeBlink",)
        halves = [[0.5 * name.startswith(start) for name in person.head.expression_names] for start in starts]
        self._closing = np.array(halves[2], np.float32)
        self._line_weights = np.array(halves[:2], np.float32)
        self._compression = Compression(person) if wrinkles else None

    def render(self, pose: Pose, views: Sequence[View]) -> list[Image]:
        """Render one time step from every camera of `views`."""
        head = self.person.vertices(pose.expression, pose.rotations, pose.offsets)
        rotations = pose.rotations
        offsets = pose.offsets
        skull = rotations[NECK], offsets[NECK]
        glasses = [] if self._glasses is None else [self._glasses.pose(*skull)]
        surface = np.concatenate([head, *glasses, self._garment.pose(rotations[ROOT], offsets[ROOT])])
        hull = self._hair.hull(skull)
        occluder_faces = np.concatenate([self._faces, self._hair.hull_faces + len(surface)])
        center = skull[1] + skull[0] @ _CENTER
        shadows = self._lighting.cast(np.concatenate([surface, hull]), occluder_faces, center)
        lit = self._lit_surface(surface, shadows)
        if self._compression is not None:
            lit = np.concatenate([lit, self._compression.depth(head, len(surface))[:, None]], 1)
        closed = float(pose.expression @ self._closing)
        images = []
        for view in views:
            strands = self._hair.pose(head, skull, closed, self._lighting, shadows, view.eye)
            vertices = np.concatenate([surface, strands.vertices])
            faces = np.concatenate([self._faces, strands.faces + len(surface)])
            face, bary = self._rasterize(vertices, faces, view)
            shaded = self._shade(pose, lit, strands, face, bary, view)
            images.append(_downsample(shaded, face >= 0, view.width, view.height))
        return images

    @staticmethod
    def _rasterize(vertices: Array, faces: Index, view: View) -> tuple[FaceIndex, Array]:
        """Face [P] and barycentrics [P,3] of every supersampled pixel."""
        local = np.ascontiguousarray(view.to_camera(vertices))
        fine = view.K * np.array([_SUPERSAMPLE, _SUPERSAMPLE, 1], np.float32)[:, None]
        face, bary, _ = ops.mesh(
            torch.from_numpy(local)[None],
            torch.from_numpy(faces),
            torch.from_numpy(fine)[None],
            view.width * _SUPERSAMPLE,
            view.height * _SUPERSAMPLE,
            0.05,
        )
        return face[0].numpy().reshape(-1), bary[0].numpy().reshape(-1, 3)

    def _shade(
        self,
        pose: Pose,
        lit: Array,
        strands: Ribbons,
        face: FaceIndex,
        bary: Array,
        view: View,
    ) -> Array:
        rgb = np.zeros((len(face), 3), np.float32)
        count = len(self._faces)
        rows, copies, sources = _shading_rows(face, self._first_cloth, count, view.width * _SUPERSAMPLE)
        # `take` copies whole rows, five times as fast as an index in brackets.
        rgb[rows] = self._shade_surface(pose, lit, face.take(rows), bary.take(rows, 0), view.axes)
        rgb[copies] = rgb.take(sources, 0)
        rows = np.flatnonzero(face >= count)
        rgb[rows] = _interpolate(strands.colors, strands.faces.take(face.take(rows) - count, 0), bary.take(rows, 0))
        return rgb

    def _lit_surface(self, surface: Array, shadows: Shadows) -> Array:
        """Per vertex of a frame [V,7]: received light, normal, visibility of the key light."""
        normals = vertex_normals(surface, self._faces)
        visible = shadows.visibility(surface + normals * np.float32(0.002))
        light = self._lighting.irradiance(normals, visible)
        light[: len(self._mouth_light)] = np.maximum(light[: len(self._mouth_light)], self._mouth_light)
        return np.concatenate([light, normals, visible[:5].mean(0)[:, None]], 1)

    def _shade_surface(self, pose: Pose, lit: Array, face: FaceIndex, bary: Array, axes: Array) -> Array:
        pixels = _interpolate(lit, self._faces.take(face, 0), bary)
        rows = self._grid.rows(face, bary)
        texel = self._table.take(rows, 0)
        bump = product(texel[:, 5:8], pose.rotations[NECK].T)
        normal = pixels[:, 3:6] + bump
        shade = 1 + product(bump, self._lighting.key)
        for weights, lines in zip(self._line_weights, self._lines, strict=True):
            strength = float(pose.expression @ weights)
            if self._compression is not None:
                shade *= 1 - pixels[:, 7] * lines.take(rows)
            elif strength > 0.02:
                shade *= 1 - strength * lines.take(rows)
        rgb = texel[:, :3] * pixels[:, :3] * shade[:, None]
        shadow = 0.12 + 0.88 * pixels[:, 6]
        for column, table in zip((3, 4), self._lighting.highlights(axes), strict=True):
            strength = texel[:, column] * shadow
            shiny = np.flatnonzero(strength > 0.01)
            rgb[shiny] += _lookup(table, product(normal.take(shiny, 0), axes.T)) * strength[shiny, None]
        return rgb


def _pack(texels: Texels) -> Array:
    """Columns: albedo 3, gloss, wet, bump 3."""
    columns = [texels.albedo, texels.gloss[:, None], texels.wet[:, None], texels.bump]
    return np.ascontiguousarray(np.concatenate(columns, 1), dtype=np.float32)


def _shading_rows(face: FaceIndex, cloth: int, count: int, row_length: int) -> tuple[Index, Index, Index]:
    """Rows of surface pixels to shade, rows of pixels to copy, and rows to copy from.

    In a 2x2 block with surface only, the diagonal is shaded and copied sideways; on cloth (faces from `cloth` to
    `count`) one pixel is shaded per block. Elsewhere every pixel is shaded.

    Args:
        face: face of each pixel [P], -1 where there is none.
        cloth: first face of the garment.
        count: number of faces of the surface; strands come after them.
        row_length: pixels in an image row.
    """
    fine = face.reshape(-1, row_length)
    corners = fine[::2, ::2], fine[1::2, ::2], fine[::2, 1::2], fine[1::2, 1::2]
    lowest = np.minimum.reduce(corners)
    highest = np.maximum.reduce(corners)
    whole = (lowest >= 0) & (highest < count)
    shaded = (face >= 0) & (face < count)
    skipped = []
    sources = []
    right = 1
    down = row_length
    for chosen, copies in (
        (whole & (lowest < cloth), ((right, 0), (down, right + down))),
        (whole & (lowest >= cloth), ((right, 0), (down, 0), (right + down, 0))),
    ):
        block = np.flatnonzero(chosen)
        corner = (block // whole.shape[1]) * (2 * row_length) + 2 * (block % whole.shape[1])
        for target, source in copies:
            skipped.append(corner + target)
            sources.append(corner + source)
    targets = np.concatenate(skipped)
    shaded[targets] = False
    return np.flatnonzero(shaded), targets, np.concatenate(sources)


def _interpolate(values: Array, corners: Index, bary: Array) -> Array:
    """Vertex `values` [V,C] at pixels [P,C] of triangles `corners` [P,3]."""
    weighted = torch.nn.functional.embedding_bag(
        torch.from_numpy(corners), torch.from_numpy(values), per_sample_weights=torch.from_numpy(bary), mode="sum"
    )
    return weighted.numpy()


def _lookup(table: Array, normals: Array) -> Array:
    """Values [N,3] of a highlight table [S,S,3] at normals [N,3] in the viewer's axes."""
    size = len(table)
    length = np.sqrt((normals * normals).sum(1))
    cell = ((normals[:, :2] / length[:, None]) * (size / 2 - 1) + size / 2).astype(np.int64)
    np.clip(cell, 0, size - 1, out=cell)
    return table.reshape(-1, 3).take(cell[:, 1] * size + cell[:, 0], 0)


def _downsample(rgb: Array, inside: NDArray[np.bool_], width: int, height: int) -> Image:
    fine = (height * _SUPERSAMPLE, width * _SUPERSAMPLE)
    color = cv2.resize(rgb.reshape(*fine, 3), (width, height), interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(inside.reshape(fine).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return Image(np.asarray(color, np.float32), np.asarray(alpha, np.float32))


class Compression:
    """Compression of the skin, which makes its wrinkles, from the stretch of the posed mesh against the resting one."""

    def __init__(self, person: Person) -> None:
        self._mesh = ops.stretch_mesh(
            torch.from_numpy(person.rest * np.float32(0.01)),
            person.head.faces,
            torch.from_numpy(person.region("face", "forehead", "nose", "left_eye_region", "right_eye_region")),
        )
        self._corners = self._mesh.vertices[:, None].repeat(1, 3)
        self._first = torch.tensor([[1.0, 0.0, 0.0]]).repeat(len(self._corners), 1)

    def depth(self, vertices: Array, count: int) -> Array:
        """Depth of the lines at the first V of `count` vertices, 0 at the rest, [count].

        Args:
            vertices: [V,3] meters, posed.
            count: of vertices in the result.
        """
        tensors = ops.vertex_stretch(torch.from_numpy(vertices.astype(np.float32))[None], self._mesh)
        strains = ops.principal_strains(tensors, self._mesh.rows, self._corners, self._first)[0, :, 0].numpy()
        depth = np.zeros(count, np.float32)
        depth[self._mesh.vertices.numpy()] = _DEPTH * np.clip(
            (-strains - _FIRST_COMPRESSION) / (_FULL_COMPRESSION - _FIRST_COMPRESSION), 0, 1
        )
        return depth
