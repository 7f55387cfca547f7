"""Hair, brows and lashes: thousands of thin ribbons, grown once and moved with the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from avatar.geometry.rotations import triangle_frames
from avatar.head.hair_regions import BROWS, hair_cover, smoothstep
from capture.synthetic.appearance import Appearance
from capture.synthetic.lighting import Lighting, Shadows
from capture.synthetic.noise import NoiseField
from capture.synthetic.person import Person, vertex_normals
from capture.synthetic.products import product
from capture.synthetic.skin import UPPER_LIDS

Array = NDArray[np.floating]
Index = NDArray[np.int64]

POINTS = 7  # of one strand, odd


@dataclass(frozen=True)
class Ribbons:
    """Strands of one frame as triangles."""

    vertices: Array  # [V,3] meters, world
    colors: Array  # [V,3] linear light, lit
    faces: Index  # [F,3]


@dataclass(frozen=True)
class Strands:
    """Grown strands in the rest pose, cm."""

    points: Array  # [S,POINTS,3]
    normals: Array  # [S,3] away from the skull
    widths: Array  # [S,POINTS] cm
    colors: Array  # [S,POINTS,3] linear light, unlit


class HairSystem:
    """All strands of a person: scalp hair moves with the skull, brows and lashes with their triangles."""

    def __init__(self, appearance: Appearance, person: Person, seed: int, detail: float = 1.0) -> None:
        """`detail` is the image size relative to the default: small images get thicker strands."""
        self._thickness = np.float32(0.01 * min(1.0, detail) ** -0.7)  # meters per centimeter of strand width
        rng = np.random.default_rng(seed)
        grower = _StrandGrower(appearance, person, rng, NoiseField(seed))
        self._scalp = grower.scalp()
        brows = grower.brows()
        lashes = grower.lashes()
        pairs = ([getattr(brows, name), getattr(lashes, name)] for name in _FIELDS)
        self._small = Strands(*map(np.concatenate, pairs))
        self._brow_count = len(brows.points)
        self._person = person
        self._bind_small()
        self.hull_rest, self.hull_faces = grower.hull()

    def hull(self, skull: tuple[Array, Array]) -> Array:
        """The hull of the hair as a coarse surface [V,3] meters, world, for shadows."""
        return (self.hull_rest * np.float32(0.01)) @ skull[0].T + skull[1]

    def pose(
        self,
        head: Array,
        skull: tuple[Array, Array],
        closed: float,
        lighting: Lighting,
        shadows: Shadows,
        eye: Array,
    ) -> Ribbons:
        """The visible strands of a frame, lit and turned to a camera.

        Args:
            head: [V,3] posed vertices, meters.
            skull: the rigid motion rest -> world, rotation [3,3] and translation [3] meters.
            closed: closure of the eyes, 0..1; lashes rotate down with the lids.
            lighting: lights of the room.
            shadows: of this frame.
            eye: position [3] of the camera, meters.
        """
        to_middle = product(self._scalp.points[:, POINTS // 2] * np.float32(0.01), skull[0].T) + skull[1] - eye
        normals = product(self._scalp.normals, skull[0].T)
        # Cull hair behind the head.
        visible = (normals * to_middle).sum(1) < 0.25 * np.linalg.norm(to_middle, axis=1)
        scalp = product(self._scalp.points[visible] * np.float32(0.01), skull[0].T) + skull[1]
        points = np.concatenate([scalp, self._small_points(head, skull[0], closed)])
        normals = np.concatenate([normals[visible], self._small.normals @ skull[0].T])
        widths = np.concatenate([self._scalp.widths[visible], self._small.widths]) * self._thickness
        colors = np.concatenate([self._scalp.colors[visible], self._small.colors])
        gloss = np.full((len(points), 1), 0.15, np.float32)
        gloss[: len(scalp)] = 1
        tangents = np.empty_like(points)
        tangents[:, 1:-1] = points[:, 2:] - points[:, :-2]
        tangents[:, 0] = points[:, 1] - points[:, 0]
        tangents[:, -1] = points[:, -1] - points[:, -2]
        tangents /= np.sqrt((tangents * tangents).sum(2, keepdims=True)) + np.float32(1e-9)
        # Light changes slowly along a strand: computed at every other point.
        coarse = _shade(points[:, ::2], tangents[:, ::2], normals, lighting, shadows, gloss, eye)
        light = np.repeat(coarse, 2, 1)[:, :POINTS]
        light[:, 1::2] = 0.5 * (coarse[:, :-1] + coarse[:, 1:])
        lit = colors * light
        side = _cross(tangents, points - eye)
        side *= (0.5 * widths / (np.sqrt((side * side).sum(2)) + np.float32(1e-12)))[..., None]
        vertices = np.stack([points - side, points + side], 2)
        faces = _ribbon_faces(len(points))
        return Ribbons(vertices.reshape(-1, 3), np.repeat(lit.reshape(-1, 3), 2, 0), faces)

    def _bind_small(self) -> None:
        roots = self._small.points[:, 0]
        centers = self._person.rest[self._person.faces].mean(1)
        _, self._face = cKDTree(centers).query(roots)
        frame, origin = self._frames(self._person.rest)
        self._local = np.einsum("srk,spr->spk", frame, self._small.points - origin[:, None], optimize=True)

    def _frames(self, vertices: Array) -> tuple[Array, Array]:
        corners = vertices[self._person.faces[self._face]]
        return triangle_frames(torch.from_numpy(corners)).numpy(), corners.mean(1)

    def _small_points(self, head: Array, rotation: Array, closed: float) -> Array:
        """Brows move with their triangles; lashes have their roots there and rotate with head and lid."""
        frame, origin = self._frames(head)
        local = self._local * np.float32(0.01)
        points = np.einsum("srk,spk->spr", frame, local, optimize=True) + origin[:, None]
        first = self._brow_count
        rest = self._small.points[first:] * np.float32(0.01)
        cosine = np.cos(1.15 * closed)
        sine = np.sin(1.15 * closed)
        droop = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]], np.float32)
        points[first:] = points[first:, :1] + (rest - rest[:, :1]) @ (rotation @ droop).T
        return points.astype(np.float32)


_FIELDS = ("points", "normals", "widths", "colors")


def _ribbon_faces(strands: int) -> Index:
    start = (np.arange(strands) * POINTS)[:, None] + np.arange(POINTS - 1)
    corner = 2 * start.reshape(-1, 1)
    return np.concatenate([corner + np.array(offsets) for offsets in ((0, 1, 3), (0, 3, 2))])


def _cross(a: Array, b: Array) -> Array:
    """Cross products [...,3]; numpy's own is several times slower on large arrays."""
    out = np.empty_like(a)
    for axis, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        out[..., axis] = a[..., i] * b[..., j] - a[..., j] * b[..., i]
    return out


def _shade(
    points: Array, tangents: Array, normals: Array, lighting: Lighting, shadows: Shadows, gloss: Array, eye: Array
) -> Array:
    """Light [S,P,3] on strands after Kajiya and Kay (1989), attenuated by the depth under the hull.

    Args:
        points: of the strands [S,P,3] meters, world.
        tangents: [S,P,3] unit.
        normals: [S,3] away from the skull.
        lighting: lights of the room.
        shadows: of this frame.
        gloss: strength of the highlights [S,1].
        eye: position [3] of the camera, meters.
    """
    if lighting.unlit:
        return np.ones_like(points)
    view = eye - points
    view /= np.sqrt((view * view).sum(2, keepdims=True))
    along_view = (tangents * view).sum(2)
    along = np.linspace(0, 1, points.shape[1], dtype=np.float32)
    total = (0.12 + 0.38 * along)[None, :, None] * lighting.ambient(normals)[:, None]
    for light, color in lighting.groups:
        direction = lighting.directions[light]
        depth = shadows.depth_behind(points.reshape(-1, 3), light).reshape(points.shape[:2])
        transmittance = np.exp(np.clip(depth - np.float32(0.001), 0, 0.05) * np.float32(-1 / 0.006))
        cosine = product(tangents, direction)
        sine = np.sqrt(np.clip(1 - cosine * cosine, 0, 1))
        facing = np.clip((product(normals, direction) + np.float32(0.5)) / np.float32(1.5), 0, 1)[:, None]
        # Tangent . half vector, the half vector's length from |l + v|^2 = 2 + 2 l.v
        length = np.sqrt(2 + 2 * product(view, direction) + np.float32(1e-6))
        tilt = (cosine + along_view) / length + np.float32(0.10)
        base = np.clip(1 - tilt * tilt, 0, 1) ** 8
        highlight = gloss * (2.4 * base**6 + 0.35 * base) * facing
        total += (transmittance * (0.60 * sine * facing + highlight))[..., None] * color
    return total.astype(np.float32)


class _StrandGrower:
    """Generates the strands of one person; lengths are cm in the rest pose."""

    def __init__(self, appearance: Appearance, person: Person, rng: np.random.Generator, noise: NoiseField) -> None:
        self._appearance = appearance
        self._hair = appearance.hair
        self._person = person
        self._rng = rng
        self._noise = noise
        self._normals = vertex_normals(person.rest, person.faces)
        outer = person.region("skin") & ~person.region("left_ear", "right_ear", "torso")
        self._outer = np.flatnonzero(outer)
        self._tree = cKDTree(person.rest[self._outer])
        self._cover = hair_cover(person.rest, person.landmarks) * outer

    def hull(self) -> tuple[Array, Index]:
        """The scalp offset by a part of the hair's height, vertices [V,3] cm and faces."""
        covered = self._cover[self._person.faces].min(1) > 0.5
        raised = self._person.rest + self._normals * (0.55 * self._height(self._person.rest) * self._cover**3)[:, None]
        return raised.astype(np.float32), self._person.faces[covered]

    def scalp(self) -> Strands:
        """Hair on the head, combed away from the parting."""
        hair = self._hair
        dense = smoothstep(-7.0, -2.0, self._person.rest[:, 2]) * smoothstep(3.0, 6.0, self._person.rest[:, 1])
        roots, normals = self._sample(self._cover * (1 + 1.3 * dense), hair.strands)
        lengths = self._lengths(roots) * self._rng.uniform(0.72, 1.08, len(roots))
        points = self._grow(roots, lengths.astype(np.float32))
        away = points[:, POINTS // 2] - np.array([0, 0.5, -8.0], np.float32)
        away = away / np.linalg.norm(away, axis=1, keepdims=True) * 0.5 + normals * 0.5
        taper = np.linspace(0.85, 0.35, POINTS, dtype=np.float32)
        thick = self._rng.uniform(0.7, 1.2, len(roots)) * (0.45 + 0.55 * smoothstep(0.2, 0.95, self._cover_at(roots)))
        widths = 0.075 * taper * thick[:, None]
        return Strands(points, _unit(away), widths.astype(np.float32), self._tints(roots, len(roots)))

    def brows(self) -> Strands:
        """Short hairs along both brows, upright at the nose and flat at the temple."""
        parts = []
        for brow, side in zip(BROWS, (-1.0, 1.0), strict=True):
            landmarks = self._person.landmarks
            lower = landmarks[list(brow[:5])]
            upper = landmarks[list(brow[5:])][::-1]
            count = int(420 * self._appearance.brow_density)
            along = self._rng.uniform(0.0, 1.0, count) ** 0.9
            across = np.clip(self._rng.normal(0.5, 0.20, count), 0.05, 0.95)
            # The polylines run from temple to nose.
            points = _along(lower, 1 - along) * (1 - across[:, None]) + _along(upper, 1 - along) * across[:, None]
            roots, normals = self._project(points)
            rise = 0.75 * (1 - along) ** 2 + 0.12 - 0.5 * (across - 0.5) * along
            direction = np.stack([np.full(count, side), rise, -0.45 * along], 1)
            parts.append(self._flat_strands(roots, normals, direction, 0.58 * (1 - 0.35 * along), 0.12))
        return _join(parts, self._rng, np.array(self._hair.color, np.float32) * 1.9, 0.036)

    def lashes(self) -> Strands:
        """Curled lashes on the upper lids."""
        parts = []
        for line, side in zip(UPPER_LIDS, (-1.0, 1.0), strict=True):
            count = 60
            along = np.linspace(0.02, 0.9, count)
            roots = _along(self._person.landmarks[list(line)], along)
            outward = side * (0.55 - along)
            direction = np.stack([outward * 0.9, np.full(count, 0.10), np.full(count, 1.0)], 1)
            normals = np.tile(np.array([0.0, 1.0, 0.25], np.float32), (count, 1))
            lengths = 0.42 + 0.30 * np.sin(np.pi * (1 - along))
            parts.append(self._flat_strands(roots, normals, direction, lengths * 0.9, 0.42))
        return _join(parts, self._rng, np.array([0.010, 0.007, 0.006], np.float32), 0.03)

    def _sample(self, weight: Array, count: int) -> tuple[Array, Array]:
        """`count` random points and normals on the surface, in proportion to vertex `weight`."""
        faces = self._person.faces
        rest = self._person.rest
        corners = rest[faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        density = area * weight[faces].mean(1)
        pick = self._rng.choice(len(faces), count, p=density / density.sum())
        bary = self._rng.dirichlet((1.0, 1.0, 1.0), count).astype(np.float32)
        roots = np.einsum("sk,skc->sc", bary, corners[pick])
        normals = np.einsum("sk,skc->sc", bary, self._normals[faces[pick]])
        return roots, _unit(normals)

    def _project(self, points: Array) -> tuple[Array, Array]:
        """`points` [N,3] projected onto the skin, and its normals [N,3]."""
        _, nearest = self._tree.query(points)
        vertex = self._outer[nearest]
        normal = self._normals[vertex]
        gap = ((points - self._person.rest[vertex]) * normal).sum(1, keepdims=True)
        return (points - normal * (gap - 0.01)).astype(np.float32), normal

    def _height(self, points: Array) -> Array:
        """Height [N] of the hair above the skull at `points` [N,3], cm."""
        top = smoothstep(2.0, 8.0, points[:, 1])
        front = smoothstep(-8.0, 0.0, points[:, 2])
        return self._hair.lift * (0.42 + 0.58 * top * (0.75 + 0.35 * front))

    def _lengths(self, roots: Array) -> Array:
        """Mean length [N] cm of the strands at `roots` [N,3]."""
        hair = self._hair
        top = smoothstep(3.0, 7.5, roots[:, 1])
        edge = smoothstep(0.2, 0.95, self._cover_at(roots))
        length = hair.side_length + (hair.length - hair.side_length) * top
        nape = 1 - (1 - hair.nape) * smoothstep(-1.5, -5.0, roots[:, 1])
        sideburns = 1 - 0.6 * smoothstep(2.0, 0.5, roots[:, 1]) * smoothstep(-9.5, -8.0, roots[:, 2])
        return length * (0.45 + 0.55 * edge) * nape * sideburns

    def _cover_at(self, points: Array) -> Array:
        return hair_cover(points, self._person.landmarks)

    def _grow(self, roots: Array, lengths: Array) -> Array:
        """Strands [N,POINTS,3] that follow the comb direction at their height above the skull."""
        steps = 3 * (POINTS - 1)
        points = roots.copy()
        path = [roots.copy()]
        layer = self._rng.uniform(0.15, 1.0, len(roots)).astype(np.float32)
        jitter = self._rng.normal(0, 0.16, roots.shape).astype(np.float32)
        phase = self._rng.uniform(0, 2 * np.pi, len(roots)).astype(np.float32)
        parting = self._rng.normal(self._hair.part, 0.8, len(roots)).astype(np.float32)
        rise = 2.2 + 2.5 * smoothstep(-4.0, 0.0, roots[:, 2])
        stride = (lengths / steps)[:, None]
        for step in range(steps):
            _, nearest = self._tree.query(points)
            vertex = self._outer[nearest]
            normal = self._normals[vertex]
            gap = ((points - self._person.rest[vertex]) * normal).sum(1)
            flow = self._comb(points, roots, parting) + jitter + 0.35 * self._swirl(points)
            flow -= normal * (flow * normal).sum(1, keepdims=True)
            along = (step + 1) / steps
            target = layer * self._height(points) * np.minimum(1.0, rise * along)
            flow = _unit(flow) + normal * np.clip(1.6 * (target - gap), -0.9, 1.3)[:, None]
            flow += self._hair.curl * np.cos(phase + 5 * along)[:, None] * np.cross(normal, _unit(flow))
            points = points + _unit(flow) * stride
            if (step + 1) % 3 == 0:
                path.append(points.copy())
        return np.stack(path, 1).astype(np.float32)

    def _swirl(self, points: Array) -> Array:
        """Direction noise [N,3] that is similar for nearby strands."""
        return np.stack([self._noise(points + shift, 1.1) for shift in (0.0, 31.0, 57.0)], 1)

    def _comb(self, points: Array, roots: Array, parting: Array) -> Array:
        """Comb direction [N,3]: away from the parting on top, back and down at the sides."""
        aside = roots[:, 0] - parting
        away = np.sign(aside) * smoothstep(0.0, 1.6, np.abs(aside))
        top = smoothstep(4.0, 8.5, points[:, 1])
        front = smoothstep(-6.0, -1.0, roots[:, 2]) * smoothstep(3.0, 5.5, roots[:, 1])
        x = away * (0.25 + 0.85 * top)
        y = -(1 - top) * (1 - 0.75 * front) - 0.10 + 0.45 * front
        z = -0.75 * (1 - front) + front * (1.1 * self._hair.fringe - 0.55)
        return np.stack([x, y, z], 1).astype(np.float32)

    def _flat_strands(self, roots: Array, normals: Array, direction: Array, lengths: Array, bend: float) -> Array:
        """Short strands [N,POINTS,3] along `direction` [N,3], bent away from the skin by `bend`."""
        along = np.linspace(0, 1, POINTS, dtype=np.float32)[None, :, None]
        flat = _unit(direction - normals * (direction * normals).sum(1, keepdims=True) * (bend < 0.3))
        flat = _unit(flat + self._rng.normal(0, 0.10, flat.shape))
        length = (lengths * self._rng.uniform(0.75, 1.15, len(roots)))[:, None, None]
        arch = normals[:, None] * (bend * (along**2 if bend > 0.3 else along * (1.2 - along)))
        return (roots[:, None] + length * (flat[:, None] * along + arch)).astype(np.float32)

    def _tints(self, roots: Array, count: int) -> Array:
        """Colors [count,POINTS,3] from root to tip."""
        hair = self._hair
        along = np.linspace(0, 1, POINTS, dtype=np.float32)[None, :, None] ** 1.5
        color = np.array(hair.color, np.float32) * (1 - along) + np.array(hair.tip_color, np.float32) * along
        tone = np.exp(0.22 * self._rng.standard_normal(count) + 0.20 * self._noise(roots, 0.8))
        return (color * tone[:, None, None]).astype(np.float32)


def _unit(vectors: Array) -> Array:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)).astype(np.float32)


def _along(line: Array, fraction: Array) -> Array:
    """Points [N,3] at `fraction` [N] of a polyline `line` [M,3], by vertex count."""
    position = np.clip(fraction, 0, 1) * (len(line) - 1)
    start = np.minimum(position.astype(np.int64), len(line) - 2)
    rest = (position - start)[:, None]
    return (line[start] * (1 - rest) + line[start + 1] * rest).astype(np.float32)


def _join(parts: list[Array], rng: np.random.Generator, color: Array, width: float) -> Strands:
    points = np.concatenate(parts)
    tone = np.exp(0.2 * rng.standard_normal((len(points), 1, 1)))
    taper = np.linspace(1, 0.3, POINTS, dtype=np.float32)
    normals = np.tile(np.array([0.0, 0.3, 0.95], np.float32), (len(points), 1))
    widths = np.tile(width * taper, (len(points), 1)).astype(np.float32)
    colors = np.tile(color * tone, (1, POINTS, 1)).astype(np.float32)
    return Strands(points, normals, widths, colors)
