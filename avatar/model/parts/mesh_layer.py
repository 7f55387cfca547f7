"""The mesh layer: textured triangles seen through the Gaussians.

Teeth, gums, tongue, mouth cavity and eyeballs; on request the skin of the face too, so that fewer Gaussians do (as in
GPiCA, Gupta et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from avatar import ops
from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar, AvatarPart, BlendSource
from avatar.model.layout import Layout, TensorLayout
from avatar.model.parts.eye_light import EYES, EyeLight
from avatar.model.to_device import to_device
from avatar.ops import MouthSurface
from avatar.types import LayerMesh, PosedHead, PosedLayer, check_shape

MOUTH: tuple[Region, ...] = ("teeth_upper", "teeth_lower", "tongue", "mouth_interior")
#: Regions whose triangles are the skin of a layer with skin: the features, and the flat parts as far as they face the
#: front by this cosine. The outline of the head, hair and beard stay soft.
SKIN_FEATURES: tuple[Region, ...] = (
    "nose",
    "lips",
    "lips_inner",
    "eyelids",
    "lid_interior",
    "left_eye_region",
    "right_eye_region",
)
SKIN_FLAT: tuple[Region, ...] = ("face", "forehead")
SKIN_FRONT = 0.5
#: Faces of an eyeball further behind its center than this are never seen; meters.
BACK_OF_EYE = 0.001
#: Meters from lips or lids at which the Gaussians over the layer start to fade, and at which they are gone. Lids are
#: thin, and the eye between them is not much wider than these distances.
MOUTH_FADE = (0.0007, 0.0018)
EYE_FADE = (0.0004, 0.0014)


class Part(IntEnum):
    """Parts of the texture."""

    SCLERA = 0
    IRIS = 1
    CROWN = 2
    GUM = 3
    TONGUE = 4
    CAVITY = 5
    SKIN = 6
    LIP = 7
    LIP_INNER = 8
    LID_INNER = 9


#: What closed lips and open eyes hide takes the gain of the skin around it; every other part has its own.
SHARED_GAINS = {Part.LIP_INNER: Part.LIP, Part.LID_INNER: Part.SKIN}
#: Parts whose gain is one factor for all colors: red, green and blue apart would turn a tongue into teeth.
GRAY_PARTS = (Part.GUM, Part.TONGUE, Part.CAVITY)
#: Part of the hue of the light that does not reach these: much of their light comes from other red surfaces.
DEEP_HUE = 0.5
#: Gaussians without blendshape offsets that are bound to these regions and further in front of the mesh than this are
#: glasses or hair: they do not fade before the layer. Others may lie inside the head, where no frame shows them.
OUTER: tuple[Region, ...] = (
    "face",
    "nose",
    "forehead",
    "eyelids",
    "left_eye_region",
    "right_eye_region",
    "scalp",
    "hair_cap",
)
OUTER_DISTANCE = 0.003
#: Texels of teeth whose green is above this fraction of their red are crown, the others gum.
CROWN_GREEN = 0.75
#: Landmarks of the lips: middle of the upper and of the lower one, and the corners.
LIPS = (13, 14, 78, 308)
NODE_STEPS = max(ops.TEXEL_NODES)[0]  # sub-triangles along an edge of a face
#: Barycentric weights [15,3] of the nodes of a face.
NODE_WEIGHTS = torch.tensor([(i, j, NODE_STEPS - i - j) for i, j in ops.TEXEL_NODES]) / NODE_STEPS


class MeshLayer(AvatarPart):
    """The textured parts of one head. Both eyeballs have the same texture, mirrored."""

    key = "layer"
    title = "the mesh layer"
    prefix = "layer."
    entry = None
    layout: ClassVar[Layout] = {
        "texels": TensorLayout("F16", "X 3", -100, 100),
        # Files of early layers have eyes without shadow and reflections.
        "shadow": TensorLayout("F32", "2", 0, 1, required=False),
        "reflections": TensorLayout("F32", "2 R R", 0, 1, required=False),
    }

    def __init__(self, head: HeadModel, skin: bool = False) -> None:
        """
        Args:
            head: the baked head, which has at least one of the parts (`has_parts`).
            skin: whether the skin of the face belongs to the layer.
        """
        super().__init__()
        self.skin = skin
        inside = head.mask(*MOUTH, *EYES)
        surface = skin_vertices(head) if skin else torch.zeros_like(inside)
        of_layer = (inside | surface)[head.faces].all(1)
        torso = head.torso_weight()[head.faces].amin(1) > 0.5
        faces = head.faces[of_layer & ~_back_of_eyes(head)]
        keys, first = _texel_keys(faces, _mirrored_vertices(head))
        corner = faces[torch.from_numpy(first // len(ops.TEXEL_NODES))]
        weights = NODE_WEIGHTS[torch.from_numpy(first % len(ops.TEXEL_NODES))]

        def at(values: Tensor) -> Tensor:
            return (values[corner] * weights[..., None]).sum(1)

        start, part = _colors(head, at)
        self.register_buffer("start", start, persistent=False)
        self.register_buffer("part", part, persistent=False)
        takes = torch.tensor([SHARED_GAINS.get(part, part) for part in Part])[self.part]
        self.register_buffer("takes", takes, persistent=False)
        gray = torch.tensor([[part in GRAY_PARTS] for part in Part])
        self.register_buffer("gray", gray, persistent=False)
        self.register_buffer("light", torch.zeros(3))
        self.gains = nn.Parameter(torch.zeros(len(Part), 3))
        self.delta = nn.Parameter(torch.zeros_like(self.start))
        self.eye_light = EyeLight(head)
        of_eye = head.mask(*EYES)[faces[:, 0]]
        fades = torch.where(of_eye[:, None], torch.tensor(EYE_FADE), torch.tensor(MOUTH_FADE))
        fades[~inside[faces].all(1)] = 0
        covering = head.faces[~of_layer & ~torso]
        self.mesh = LayerMesh(faces, keys.reshape(len(faces), -1), fades, covering[:0] if skin else covering)
        self.register_buffer("outer", head.mask(*OUTER), persistent=False)
        mouth = head.mask(*MOUTH)
        self.register_buffer("mouth", mouth.nonzero()[:, 0], persistent=False)
        normals = vertex_normals(head.v_template, faces)[self.mouth]
        self.register_buffer("mouth_normals", normals, persistent=False)
        lips = len(head.landmark_faces) > max(LIPS)
        rows = list(LIPS) if lips else []
        self.register_buffer("lip_corners", head.faces[head.landmark_faces[rows]], persistent=False)
        self.register_buffer("lip_bary", head.landmark_bary[rows], persistent=False)

    start: Tensor  # [T,3] colors of the head model, without the shade in the mouth
    part: Tensor  # [T] int, of `Part`
    outer: Tensor  # [V] bool, vertices of the regions OUTER
    takes: Tensor  # [T] int, part whose gain a texel takes
    gray: Tensor  # [P,1] bool, parts whose gain is one factor for all colors
    light: Tensor  # [3] logarithm of the light of the video relative to that of the head model
    mouth: Tensor
    mouth_normals: Tensor
    lip_corners: Tensor
    lip_bary: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MeshLayer:
        """As of nn.Module, under `to`, `cpu` and `cuda`; the mesh follows to the device."""
        super()._apply(fn, recurse)
        self.mesh = to_device(self.mesh, self.start.device)
        return self

    def factors(self) -> Tensor:
        """Gains times light [P,3] of the parts, with autograd."""
        gains = self.gains
        light = self.light + DEEP_HUE * (self.light.mean() - self.light)
        return torch.where(self.gray, gains.mean(1, keepdim=True) + light, gains + self.light).exp()

    def texels(self) -> Tensor:
        """Colors [T,3] of the texels, with autograd."""
        return ops.texel_colors(self.start, self.takes, self.factors(), self.delta)

    @torch.no_grad()
    def of_gains(self, factors: Tensor, of_factors: Tensor) -> Tensor:
        """Gradient [P,3] of the gains, from that of `factors` [P,3]: autograd takes longer for so few numbers."""
        of_sums = of_factors * factors
        of_mean = of_sums.sum(1, keepdim=True) / of_sums.shape[1]
        return torch.where(self.gray, of_mean, of_sums)

    def on_outer(self, triangles: Tensor, count: int) -> Tensor:
        """Whether each Gaussian without blendshape offsets, the last ones [M], is where `fades` lets it be.

        Args:
            triangles: [N,3] int, of the rig.
            count: number of Gaussians with blendshape offsets, the first ones.
        """
        return self.outer[triangles[count:, 0]]

    @torch.no_grad()
    def fades(self, triangles: Tensor, offsets: Tensor, count: int) -> Tensor:
        """How far the stencil fades each Gaussian, [N]: 1, but 0 for glasses and for hair in front of the face.

        Args:
            triangles: [N,3] int, of the rig.
            offsets: [N,3] meters, from the mesh in the frame of the triangle.
            count: number of Gaussians with blendshape offsets, the first ones.
        """
        on_outer = self.on_outer(triangles, count)
        fades = offsets.new_ones(len(offsets))
        torch.logical_not(on_outer & (offsets[count:, 2] > OUTER_DISTANCE), out=fades[count:])
        return fades

    @torch.no_grad()
    def set_texels(self, texels: Tensor) -> None:
        """Make `texels()` equal to `texels` [T,3]."""
        self.gains.zero_()
        self.light.zero_()
        self.delta.copy_(texels - self.start)

    def stored(self) -> dict[str, Tensor]:
        """See `AvatarPart.stored`."""
        light = self.eye_light
        # Training limits reflections every few steps only.
        return {"texels": self.texels(), "shadow": light.shadow, "reflections": light.reflections.clamp(0, 1)}

    @classmethod
    def header_fields(cls, part: MeshLayer | None) -> dict[str, Any]:
        """See `AvatarPart.header_fields`."""
        return {"layer_skin": part is not None and part.skin}

    @classmethod
    def is_stored(cls, header: Mapping[str, Any], names: Collection[str]) -> bool:
        """See `AvatarPart.is_stored`."""
        return header["version"] >= cls.version and f"{cls.prefix}texels" in names

    @classmethod
    def restore(cls, avatar: Avatar, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> MeshLayer:
        """See `AvatarPart.restore`."""
        if not has_parts(avatar.head):
            raise ValueError("layer.texels: its head has no parts of a layer")
        layer = cls(avatar.head, header.get("layer_skin") is True)
        check_shape("layer.texels", tensors["texels"], tuple(layer.start.shape))
        layer.set_texels(tensors["texels"])
        for name in ("shadow", "reflections"):
            own = getattr(layer.eye_light, name)
            stored = tensors.get(name, torch.zeros_like(own))
            check_shape(f"layer.{name}", stored, tuple(own.shape))
            own.data.copy_(stored)
        return layer

    def mix_channels(self, matrix: Tensor) -> None:
        """See `AvatarPart.mix_channels`."""
        self.set_texels(self.texels() @ matrix.T)

    @classmethod
    def blend(cls, sources: Sequence[BlendSource], mixed: Avatar) -> MeshLayer | None:
        """See `AvatarPart.blend`; a face that only one avatar's layer has takes the texels of that one."""
        layers = [(layer, source.share) for source in sources if (layer := source.avatar.part(cls)) is not None]
        if not layers:
            return None
        head = mixed.head
        result = cls(head, layers[0][0].skin)
        total = torch.zeros_like(result.start)
        weight = result.start.new_zeros(len(result.start), 1)
        for layer, share in layers:
            own, common = _common_faces(result.mesh.faces, layer.mesh.faces, len(head.v_template))
            rows = result.mesh.texel_ids[own].flatten().long()
            texels = torch.zeros_like(total)
            texels[rows] = layer.texels()[layer.mesh.texel_ids[common].flatten().long()]
            known = torch.zeros_like(weight)
            known[rows] = share
            total = total + known * texels
            weight = weight + known
        result.set_texels(torch.where(weight > 0, total / weight.clamp_min(1e-9), result.start))
        for name in ("shadow", "reflections"):
            shares = [getattr(layer.eye_light, name) * share for layer, share in layers]
            getattr(result.eye_light, name).copy_(torch.stack(shares).sum(0))
        return result

    def constants(self, avatar: Avatar) -> tuple[Tensor, Tensor]:
        """See `AvatarPart.constants`: fades [N] of the Gaussians and texels [T,3]."""
        return self.fades(avatar.rig.triangles, avatar.offsets, avatar.blendshapes.count), self.texels()

    def pose_layer(self, head: PosedHead, constants: tuple[Tensor, Tensor]) -> PosedLayer:
        """See `AvatarPart.pose_layer`."""
        return self.posed(head.vertices, head.rotation, head.translation, *constants)

    def posed(
        self, vertices: Tensor, rotation: Tensor, translation: Tensor, fades: Tensor, texels: Tensor
    ) -> PosedLayer:
        """The layer in B poses.

        Args:
            vertices: [B,V,3] meters, skull frame.
            rotation: [B,3,3] skull frame -> world.
            translation: [B,3] meters.
            fades: [N] how far its stencil fades each Gaussian.
            texels: [T,3], from `texels`.
        """
        shade = self.shade(vertices)
        reflections = self.eye_light.posed(vertices)
        return PosedLayer(self.mesh, vertices, rotation, translation, shade, texels, fades, reflections)

    def shade(self, vertices: Tensor) -> Tensor:
        """Factor [B,V] of the colors at vertices [B,V,3]: in the mouth the light that enters between the lips; on the
        eyes the shadow of the lids. See `ops.layer_shade`."""
        mouth = None
        if len(self.lip_bary) and len(self.mouth):
            mouth = MouthSurface(self.mouth, self.mouth_normals, self.lip_corners, self.lip_bary)
        return ops.layer_shade(vertices, mouth, self.eye_light.surface())


def _common_faces(faces: Tensor, others: Tensor, vertices: int) -> tuple[Tensor, Tensor]:
    """Rows of the same triangles in `faces` [F,3] and `others` [G,3], whose indices are below `vertices`."""
    first, second = ((rows[:, 0] * vertices + rows[:, 1]) * vertices + rows[:, 2] for rows in (faces, others))
    ordered, order = second.sort()
    place = torch.searchsorted(ordered, first).clamp_max(len(ordered) - 1)
    own = (ordered[place] == first).nonzero()[:, 0]
    return own, order[place[own]]


def skin_vertices(head: HeadModel) -> Tensor:
    """Mask [V] of the vertices whose triangles are the skin of a layer with skin, for a baked head."""
    # In double precision: every machine that reads an avatar must find the same faces.
    front = vertex_normals(head.v_template.double(), head.faces)[:, 2] > SKIN_FRONT
    flat, features = (head.mask(*names) for names in (SKIN_FLAT, SKIN_FEATURES))
    return features | (flat & front)


def has_parts(head: HeadModel) -> bool:
    """Whether the head has any part of a layer."""
    inside = head.mask(*MOUTH, *EYES)
    return bool(inside[head.faces].all(1).any())


def has_mouth(layer: MeshLayer | None) -> bool:
    """Whether there is a layer that shows the inside of the mouth; that of some heads has eyeballs only."""
    return layer is not None and len(layer.mouth) > 0


def _back_of_eyes(head: HeadModel) -> Tensor:
    """Mask [F] of the faces on the back of the eyeballs."""
    centers = head.v_template[head.faces].mean(1)
    back = torch.zeros(len(head.faces), dtype=torch.bool)
    for name in EYES:
        eye = head.mask(name)
        if eye.any():
            back |= eye[head.faces[:, 0]] & (centers[:, 2] < head.v_template[eye].mean(0)[2] - BACK_OF_EYE)
    return back


def _mirrored_vertices(head: HeadModel) -> np.ndarray:
    """Index [V] of each vertex; of the mirrored vertex of the left eyeball for those of the right one."""
    alias = np.arange(len(head.v_template))
    left, right = (np.flatnonzero(head.mask(name).numpy()) for name in EYES)
    if not len(left) or len(left) != len(right):
        return alias
    points = head.v_template.numpy()
    centered = [points[rows] - points[rows].mean(0) for rows in (left, right)]
    nearest = np.array([((centered[0] - point) ** 2).sum(1).argmin() for point in centered[1] * [-1, 1, 1]])
    if len(np.unique(nearest)) == len(left):
        alias[right] = left[nearest]
    return alias


def _texel_keys(faces: Tensor, alias: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """Texel [F * 15] of each node of each face, and for each texel the first node that it is.

    A node is identified by the vertices that have a weight there, with their weights, so that faces share the texels of
    a common edge.
    """
    weights = (NODE_WEIGHTS * NODE_STEPS).round().long().numpy()
    corners = alias[faces.numpy()]
    pairs = np.where(weights[None] > 0, corners[:, None, :] * (NODE_STEPS + 1) + weights[None], -1) + 1
    pairs = np.sort(pairs.reshape(-1, 3), 1).astype(np.int64)
    base = len(alias) * (NODE_STEPS + 1) + 2
    _, first, texel = np.unique((pairs[:, 0] * base + pairs[:, 1]) * base + pairs[:, 2], True, True)
    return torch.from_numpy(texel.reshape(-1)), first


def _colors(head: HeadModel, at: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Color [T,3] and part [T] of each texel; `at` interpolates values of the vertices there.

    The whole cavity has its brightest color: heads paint its depth dark, and `MeshLayer.shade` darkens it too. Both
    together would leave it black, where videos show the red of cheeks, palate and throat.
    """
    start = at(head.colors).contiguous()
    part = _parts(head, at, start)
    cavity = part == Part.CAVITY
    if cavity.any():
        start[cavity] = start[cavity].amax(0)
    return start, part


def _parts(head: HeadModel, at: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Part [T] of each texel; `at` interpolates values of the vertices there, `start` [T,3] are their colors."""

    def within(*names: Region) -> Tensor:
        return at(head.mask(*names).float()[:, None])[:, 0] > 0.5

    part = torch.full((len(start),), Part.CAVITY)
    part[within("tongue")] = Part.TONGUE
    teeth = within("teeth_upper", "teeth_lower")
    eyes = within(*EYES)
    part[teeth] = Part.GUM
    part[teeth & (start[:, 1] > CROWN_GREEN * start[:, 0])] = Part.CROWN
    part[eyes] = Part.SCLERA
    part[eyes & within("iris")] = Part.IRIS
    surface = ~within(*MOUTH, *EYES)
    part[surface] = Part.SKIN
    part[surface & within("lips")] = Part.LIP
    part[surface & within("lips_inner")] = Part.LIP_INNER
    part[surface & within("lid_interior")] = Part.LID_INNER
    return part
