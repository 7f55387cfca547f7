"""Records that the parts of headsplat exchange, and the coordinate conventions they use.

World: meters, right-handed, y up, the face looks along +z.
Camera: OpenCV axes, x right, y down, z forward; pixel centers at +0.5.
Colors are display sRGB in 0..1 (float) or 0..255 (uint8).
Letters in shapes: B batch, T frames, N Gaussians, V vertices, S identity, E expressions, J joints, D SH bases.

PyTorch is imported only where tensors are made: readers of motions and captures start without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

#: How the resting face of a motion is known. "find": it is found in the frames, which show a recorded person; "zero":
#: zero weights are the resting face, as in motions that were made (speech, mixes, keyframes).
Resting = Literal["find", "zero"]

JOINT_NAMES = ("root", "neck", "jaw", "left_eye", "right_eye")
ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(5)

#: world_to_cam of a camera at the world's origin that looks along -z, y up: the monocular default.
FACING_CAMERA = ((1.0, 0.0, 0.0, 0.0), (0.0, -1.0, 0.0, 0.0), (0.0, 0.0, -1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def check_shape(name: str, value: Tensor, expected: tuple[int | str, ...]) -> None:
    """Raise ValueError unless `value` has the `expected` shape; letters stand for any size.

    Args:
        name: name of the argument in the message.
        value: any tensor.
        expected: sizes as ints, free sizes as letters, e.g. ``("B", "N", 3)``.
    """
    fits = value.ndim == len(expected) and all(
        isinstance(want, str) or want == found for want, found in zip(expected, value.shape, strict=False)
    )
    if not fits:
        wanted = ",".join(str(size) for size in expected)
        found = ",".join(str(size) for size in value.shape)
        raise ValueError(f"{name}: expected [{wanted}], got [{found}]")


def check_finite(name: str, value: Tensor) -> None:
    """Raise ValueError if `value` has a NaN or an infinity; `name` is the argument in the message."""
    if not bool(value.isfinite().all()):
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")


@dataclass(frozen=True)
class Camera:
    """Pinhole cameras, one per batch item: intrinsics in pixels, extrinsics world -> camera (OpenCV axes)."""

    K: Tensor  # [B,3,3] pixels
    world_to_cam: Tensor  # [B,4,4]
    width: int
    height: int

    def __post_init__(self) -> None:
        check_shape("Camera.K", self.K, ("B", 3, 3))
        check_shape("Camera.world_to_cam", self.world_to_cam, ("B", 4, 4))
        if self.width < 1 or self.height < 1:
            raise ValueError(f"Camera: expected a size of at least 1x1, got {self.width}x{self.height}")

    @staticmethod
    def facing(focal: float, width: int, height: int) -> Camera:
        """Camera [1] at the origin looking along -z with its principal point at the image center; focal in pixels."""
        import torch

        K = torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
        return Camera(K[None], torch.tensor([FACING_CAMERA]), width, height)

    def repeated(self, batch: int) -> Camera:
        """This single camera repeated along the batch axis, `batch` times."""
        return replace(self, K=self.K.expand(batch, -1, -1), world_to_cam=self.world_to_cam.expand(batch, -1, -1))

    def __getitem__(self, index: int) -> Camera:
        """The camera [1] of one batch item."""
        return replace(self, K=self.K[index : index + 1], world_to_cam=self.world_to_cam[index : index + 1])

    def __len__(self) -> int:
        return len(self.K)

    def to_camera(self, points: Tensor) -> Tensor:
        """World points in the axes of the camera (x right, y down, z forward), meters, in the shape of `points`.

        Args:
            points: [B,N,3] meters, world: N points for each of the B cameras; or [...,3] for a camera [1].
        """
        rotation = self.world_to_cam[:, :3, :3]
        translation = self.world_to_cam[:, :3, 3]
        if points.ndim == 3 and len(points) == len(self):
            return points @ rotation.transpose(1, 2) + translation[:, None]
        check_shape("Camera.world_to_cam", self.world_to_cam, (1, 4, 4))
        return points @ rotation[0].T + translation[0]

    def project(self, points: Tensor, *, near: float | None = None) -> Tensor:
        """Pixel positions [B,N,2] or [...,2] of world points.

        Args:
            points: meters, world, in one of the shapes that `to_camera` takes.
            near: smallest depth in meters to divide by; None: no limit, points behind the camera give mirrored pixels.
        """
        seen = self.to_camera(points)
        batched = points.ndim == 3 and len(points) == len(self)
        pixels = seen @ (self.K.transpose(1, 2) if batched else self.K[0].T)
        depth = pixels[..., 2:]
        return pixels[..., :2] / (depth if near is None else depth.clamp_min(near))

    def resized(self, width: int, height: int) -> Camera:
        """The same view at another image size (the image borders coincide)."""
        import torch

        scale = torch.tensor([width / self.width, height / self.height, 1.0], dtype=self.K.dtype)
        return replace(self, K=self.K * scale.to(self.K.device)[:, None], width=width, height=height)


@dataclass(frozen=True)
class HeadParams:
    """Parameters of the head model for B frames of one person.

    `joint_rot` is axis-angle in radians in the order of JOINT_NAMES. A tracker that estimates only the pose of the
    skull writes its rotation to the root and leaves the neck at zero.
    """

    identity: Tensor  # [S]
    expression: Tensor  # [B,E]
    joint_rot: Tensor  # [B,J,3] radians
    translation: Tensor  # [B,3] meters

    def __post_init__(self) -> None:
        check_shape("HeadParams.identity", self.identity, ("S",))
        check_shape("HeadParams.expression", self.expression, ("B", "E"))
        check_shape("HeadParams.joint_rot", self.joint_rot, ("B", len(JOINT_NAMES), 3))
        check_shape("HeadParams.translation", self.translation, ("B", 3))

    def check_finite(self) -> None:
        """Raise ValueError if a frame has a NaN or an infinity; the identity is not checked."""
        for name in ("expression", "joint_rot", "translation"):
            check_finite(f"HeadParams.{name}", getattr(self, name))

    def __getitem__(self, index: int | slice | Tensor) -> HeadParams:
        """The frames selected by `index`; the batch axis is kept."""

        def picked(values: Tensor) -> Tensor:
            return values[index][None].clone() if isinstance(index, int) else values[index]

        chosen = (picked(values) for values in (self.expression, self.joint_rot, self.translation))
        return HeadParams(self.identity, *chosen)

    def __len__(self) -> int:
        return len(self.expression)


Record = TypeVar("Record")


def map_tensors(function: Callable[..., Tensor], *records: Record) -> Record:
    """A record whose fields are `function` of the same field of each of `records`, all of one dataclass of tensors."""
    first: Any = records[0]
    names = (field.name for field in fields(first))
    return type(records[0])(**{name: function(*(getattr(record, name) for record in records)) for name in names})


@dataclass(frozen=True)
class LocalGaussians:
    """N Gaussians in the frames of their triangles, before activation: what training learns of each."""

    offsets: Tensor  # [N,3] meters, from the binding point along the axes of the triangle's frame
    quats: Tensor  # [N,4] wxyz, relative to the triangle's frame; not normalized
    log_scales: Tensor  # [N,3] natural logarithms of meters
    logit_opacities: Tensor  # [N]
    colors: Tensor  # [N,3] display sRGB

    def __len__(self) -> int:
        return len(self.offsets)


#: Names of the tensors of local Gaussians, which are those of the parameters of an avatar.
LOCAL_NAMES = tuple(field.name for field in fields(LocalGaussians))


@dataclass(frozen=True)
class DeformedGaussians:
    """Local Gaussians in B poses: activated, with the offsets of blendshapes added."""

    offsets: Tensor  # [B,N,3] meters, as in LocalGaussians
    quats: Tensor  # [B,N,4] wxyz, not normalized
    scales: Tensor  # [B,N,3] meters
    opacities: Tensor  # [B,N] 0..1
    sh: Tensor  # [B,N,1,3] coefficients of degree 0


@dataclass(frozen=True)
class Binding:
    """The points of a mesh that carry N Gaussians, and their skinning weights."""

    triangles: Tensor  # [N,3] int64, vertex indices of the triangle of each Gaussian
    bary: Tensor  # [N,3] barycentric coordinates of the binding point; rows sum to 1
    skin: Tensor  # [N] 0..1, skinning weight of the torso (0 skull, 1 torso)

    def __len__(self) -> int:
        return len(self.skin)


@dataclass(frozen=True)
class Bones:
    """Poses of the two bones, skull then torso; a bone moves a point x of the skull frame to R x + t in the world."""

    quats: Tensor  # [B,2,4] unit wxyz
    translations: Tensor  # [B,2,3] meters


@dataclass(frozen=True)
class TorsoPose:
    """Poses of the torso; they move a point x of the skull frame to R x + t in the world."""

    rotation: Tensor  # [B,3,3]
    translation: Tensor  # [B,3] meters
    #: [B,6] the motion from the rest of a torso map (`TorsoMap`, in its units) that they were computed from, if any
    motion: Tensor | None = None

    def __getitem__(self, rows: slice | Tensor) -> TorsoPose:
        """The poses `rows`."""
        motion = None if self.motion is None else self.motion[rows]
        return TorsoPose(self.rotation[rows], self.translation[rows], motion)

    def __len__(self) -> int:
        return len(self.rotation)

    def pose(self, torso: object, rotation: Tensor, translation: Tensor) -> TorsoPose:
        """Itself, whatever a torso map gives for the pose of the skull; see `avatar.model.torso.Torso`."""
        return self


@dataclass(frozen=True)
class PosedHead:
    """The mesh of a head and its bones in B poses: all that Gaussians on it need but their blendshape offsets."""

    vertices: Tensor  # [B,V,3] meters, skull frame
    rotation: Tensor  # [B,3,3] skull frame -> world, the first of the bones as a matrix
    bones: Bones

    @staticmethod
    def in_skull_frame(vertices: Tensor) -> PosedHead:
        """The head with `vertices` [B,V,3] and the skull frame as the world: both bones stay where they are."""
        batch = len(vertices)
        quats = vertices.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(batch, 2, 4)
        rotation = vertices.new_tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).expand(batch, 3, 3)
        return PosedHead(vertices, rotation, Bones(quats, vertices.new_zeros(batch, 2, 3)))

    @property
    def translation(self) -> Tensor:
        """Origin of the skull frame in the world [B,3], meters."""
        return self.bones.translations[:, 0]


@dataclass(frozen=True)
class VertexStretch:
    """How much a mesh stretches at its vertices, in B poses."""

    tensors: Tensor  # [B,M,6] of the vertices that stretch, from `ops.vertex_stretch`
    rows: Tensor  # [V] int64, row of each vertex in `tensors`, -1 where it does not stretch


#: Pixels^2 added to the projected covariance where nothing else is stated, as in 3D Gaussian splatting.
DILATION = 0.3


@dataclass(frozen=True)
class LayerMesh:
    """Triangles of a layer and of the skin around it, into the same vertices."""

    faces: Tensor  # [F,3] int64, of the layer
    texel_ids: Tensor  # [F,15] int64, texels of each face in the order of `ops.TEXEL_NODES`; shared along edges
    #: [F,2] meters from the nearest skin at which Gaussians start to fade before a face, and are gone. Both 0: the face
    #: is skin itself, with a texture: it hides the others, and Gaussians do not fade before it.
    fades: Tensor
    skin: Tensor  # [S,3] int64, faces that can hide the layer


@dataclass(frozen=True)
class PosedReflections:
    """Textures of reflections on the two irises, parallel to the image, in B poses."""

    centers: Tensor  # [B,2,3] meters, skull frame
    radii: Tensor  # [B,2] meters from the center of a texture to its sides
    textures: Tensor  # [2,S,S] added to the color, rows downward

    def select(self, rows: Tensor) -> PosedReflections:
        """The poses `rows` [m] int."""
        return replace(self, centers=self.centers[rows], radii=self.radii[rows])


@dataclass(frozen=True)
class PosedLayer:
    """A textured mesh that is seen through Gaussians (teeth, tongue, eyeballs), in B poses."""

    mesh: LayerMesh
    vertices: Tensor  # [B,V,3] meters, skull frame
    rotation: Tensor  # [B,3,3] skull frame -> world
    translation: Tensor  # [B,3] meters
    shade: Tensor  # [B,V] factor of the color
    texels: Tensor  # [T,3] colors
    fades: Tensor  # [N] 0..1, how far the stencil of the layer fades each Gaussian
    reflections: PosedReflections | None = None  # on its eyes

    def select(self, rows: Tensor) -> PosedLayer:
        """The poses `rows` [m] int."""
        return replace(
            self, vertices=self.vertices[rows], rotation=self.rotation[rows], translation=self.translation[rows],
            shade=self.shade[rows],
            reflections=None if self.reflections is None else self.reflections.select(rows),
        )  # fmt: skip


@dataclass(frozen=True)
class Gaussians:
    """Activated 3D Gaussians in world space, ready to be rendered."""

    means: Tensor  # [B,N,3] meters
    quats: Tensor  # [B,N,4] unit, wxyz
    scales: Tensor  # [B,N,3] meters
    opacities: Tensor  # [B,N] 0..1
    sh: Tensor  # [B,N,D,3]; D=1 holds the color offset from mid-gray over the DC basis value
    dilation: float = DILATION  # pixels^2, added to the diagonal of the projected covariance by every rasterizer
    layer: PosedLayer | None = None  # behind the Gaussians

    def __post_init__(self) -> None:
        check_shape("Gaussians.means", self.means, ("B", "N", 3))
        batch, count = self.means.shape[:2]
        check_shape("Gaussians.quats", self.quats, (batch, count, 4))
        check_shape("Gaussians.scales", self.scales, (batch, count, 3))
        check_shape("Gaussians.opacities", self.opacities, (batch, count))
        check_shape("Gaussians.sh", self.sh, (batch, count, "D", 3))

    def __len__(self) -> int:
        return self.means.shape[1]

    def select(self, rows: Tensor) -> Gaussians:
        """The Gaussians of the batch items `rows` [m] int."""
        return replace(
            self, means=self.means[rows], quats=self.quats[rows], scales=self.scales[rows],
            opacities=self.opacities[rows], sh=self.sh[rows],
            layer=None if self.layer is None else self.layer.select(rows),
        )  # fmt: skip


@dataclass(frozen=True)
class RenderOutput:
    """Rendered images of B views."""

    rgb: Tensor  # [B,H,W,3] 0..1, over the background
    alpha: Tensor  # [B,H,W]
    depth: Tensor | None  # [B,H,W] meters along the camera axis, alpha-weighted mean, 0 where no Gaussian contributes


def mean_rate(time: Tensor | NDArray[np.float64]) -> float:
    """Mean frame rate in frames per second of frames at `time` [T] seconds; 30 for one frame."""
    return (len(time) - 1) / float(time[-1] - time[0]) if len(time) > 1 else 30.0


@dataclass(frozen=True)
class Motion:
    """T frames of named expression weights and head poses, independent of the file, protocol or tracker they came from.

    The rotation of the head is that of the root joint, in world axes: the identity looks along +z at the camera. The
    rotations of jaw and eyes add to those that the expressions cause (jawOpen rotates the jaw, eyeLookUpLeft the left
    eye).
    """

    time: Tensor  # [T] float64 seconds, increasing
    names: tuple[str, ...]  # of the expression weights
    weights: Tensor  # [T,E]
    space: str  # "arkit52", "flame", ...
    joint_rot: Tensor  # [T,J,3] axis-angle radians
    translation: Tensor  # [T,3] meters, of the point the head rotates about
    confidence: Tensor | None = None  # [T] 0..1, of the tracker; 0 in frames without a face
    notes: tuple[str, ...] = ()  # remarks of the reader for the user, one sentence each
    resting: Resting = "find"  # "find": in the frames; "zero": zero weights are the resting face

    def __post_init__(self) -> None:
        check_shape("Motion.time", self.time, ("T",))
        frames = len(self.time)
        check_shape("Motion.weights", self.weights, (frames, len(self.names)))
        check_shape("Motion.joint_rot", self.joint_rot, (frames, len(JOINT_NAMES), 3))
        check_shape("Motion.translation", self.translation, (frames, 3))
        if self.confidence is not None:
            check_shape("Motion.confidence", self.confidence, (frames,))
        if self.resting not in get_args(Resting):
            raise ValueError(f'Motion.resting: expected "find" or "zero", got {self.resting!r}')

    def __getitem__(self, index: slice | Tensor) -> Motion:
        """The frames selected by `index`, with unchanged times."""
        confidence = None if self.confidence is None else self.confidence[index]
        picked = {name: getattr(self, name)[index] for name in ("time", "weights", "joint_rot", "translation")}
        return replace(self, **picked, confidence=confidence)

    def __len__(self) -> int:
        return len(self.time)

    @property
    def rate(self) -> float:
        """Mean frame rate in frames per second; 30 for a motion of one frame."""
        return mean_rate(self.time)
