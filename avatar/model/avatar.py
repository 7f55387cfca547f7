"""The avatar: head model -> blendshapes -> rig -> Gaussians; the only function that makes Gaussians; optional parts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.head.model import HeadModel
from avatar.model.blendshapes import Blendshapes, expression_features
from avatar.model.layout import Layout, Rows
from avatar.model.rig import Rig
from avatar.model.sampling import Sampling
from avatar.model.to_device import to_device
from avatar.model.true_size import TrueSize
from avatar.types import Gaussians, HeadParams, LocalGaussians, PosedHead, PosedLayer, VertexStretch

if TYPE_CHECKING:
    from collections.abc import ItemsView, ValuesView

    from typing_extensions import Self  # in `typing` from Python 3.11 on

P = TypeVar("P", bound="AvatarPart")


class AvatarPart(nn.Module):
    """An optional part of an avatar: what files store of it, and what it does to a frame.

    A subclass states the class attributes and overrides the methods that it needs; those of the base class change
    nothing. Files keep the parts of `avatar.model.parts.registry`. Editing, blending and relocation of Gaussians follow
    from `layout`: tensors with an axis N or M have one row a Gaussian.
    """

    #: Name in `Avatar.parts`.
    key: ClassVar[str]
    #: Name in sentences for the user, such as "the wrinkles".
    title: ClassVar[str]
    #: Of the names of its tensors in a file.
    prefix: ClassVar[str]
    #: Entry of the header with a checksum of its tensors; None: the checksum of the whole file covers them.
    entry: ClassVar[str | None]
    #: Its tensors by name without the prefix, from which a file is written, read and checked.
    layout: ClassVar[Layout]
    #: Version of the file format that has it; programs that read earlier ones only refuse the file.
    version: ClassVar[int] = 4
    #: Whether it changes frames: an export that cannot carry it then says so.
    in_frames: ClassVar[bool] = True
    #: Why a blend of two avatars has none, and why an edited avatar has none; empty: it has.
    not_blended: ClassVar[str] = ""
    not_edited: ClassVar[str] = ""

    # Tensors and rows.

    def tensor(self, name: str) -> Tensor:
        """The tensor `name` of `layout`, in the axes that it has there; it shares the memory of the part."""
        value: Tensor = getattr(self, name)
        return value

    def set_rows(self, name: str, value: Tensor) -> None:
        """Replace the tensor `name` by `value`, which may have another number of rows."""
        if name in self._parameters:
            self._parameters[name] = nn.Parameter(value, requires_grad=False)
        else:
            self._buffers[name] = value

    def rows(self, count: int) -> Rows:
        """Its rows for the `count` Gaussians of the avatar; they share its memory."""
        layout = {name: layout for name, layout in self.layout.items() if layout.has_rows}
        tensors = {name: self.tensor(name).detach() for name in layout}
        return Rows(layout, tensors, torch.ones(count, dtype=torch.bool))

    def with_rows(self, rows: Rows, avatar: Avatar) -> Self:
        """A copy for the Gaussians of `avatar`, which may have no parts yet, with their `rows`."""
        result = copy.deepcopy(self)
        for name, value in rows.tensors.items():
            result.set_rows(name, value.clone())
        return result

    @torch.no_grad()
    def copy_rows(self, from_rows: Tensor, to_rows: Tensor) -> None:
        """Make the rows of the Gaussians `to_rows` [n] equal to those of `from_rows` [n], in place."""
        for name, layout in self.layout.items():
            if layout.has_rows:
                value = self.tensor(name)
                axis = layout.row_axis
                exist = (from_rows < value.shape[axis]) & (to_rows < value.shape[axis])
                value.index_copy_(axis, to_rows[exist], value.index_select(axis, from_rows[exist]))

    # Files.

    def stored(self) -> dict[str, Tensor]:
        """The tensors of `layout` as they go into a file."""
        return {name: self.tensor(name) for name in self.layout}

    def header_entry(self) -> dict[str, Any]:
        """What the entry `entry` of the header has besides the checksum; plain JSON values."""
        return {}

    @classmethod
    def header_fields(cls, part: Self | None) -> dict[str, Any]:
        """Further fields of the header; `part` is that of the avatar, None without one."""
        return {}

    @classmethod
    def is_stored(cls, header: Mapping[str, Any], names: Collection[str]) -> bool:
        """Whether the file with this header, and tensors of these names, has the part."""
        return cls.entry in header

    @classmethod
    def check(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor], sizes: dict[str, int]) -> None:
        """Raise ValueError where tensors that fit `layout` do not fit each other or the header.

        Args:
            header: of the file.
            tensors: as stored, by name without the prefix.
            sizes: lengths of the axes by their letters.
        """

    @classmethod
    def restore(cls, avatar: Avatar, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """The part of a file; by default made from its tensors alone.

        Args:
            avatar: of the file, so far.
            header: of the file.
            tensors: that were checked, as they are in memory, by name without the prefix.

        Raises:
            ValueError: it does not fit the avatar.
        """
        return cls(**tensors)

    # Edits and blends.

    def scale_colors(self, factor: Tensor) -> None:
        """Multiply what it adds to the colors of the N Gaussians by `factor` [N,3], in place."""

    def mix_channels(self, matrix: Tensor) -> None:
        """Multiply its colors, and what it adds to colors, by `matrix` [3,3], in place."""

    @classmethod
    def blend(cls, sources: Sequence[BlendSource], mixed: Avatar) -> Self | None:
        """The part of a blend; None if no source has one, or if blends have none.

        By default Gaussians keep their rows, and of other tensors the blend has the mean, weighted by the shares.

        Args:
            sources: the blended avatars, whose Gaussians the blend has, in the order of `Rows.joined`.
            mixed: the blend, without its parts.
        """
        parts = [source.avatar.part(cls) for source in sources]
        first = next((part for part in parts if part is not None), None)
        if first is None or cls.not_blended:
            return None
        moving = [source.avatar.blendshapes.count for source in sources]
        sets = []
        for part, source, count in zip(parts, sources, moving, strict=True):
            known = len(source.avatar)
            sets.append(first.rows(known).blank(known, count) if part is None else part.rows(known))
        result = first.with_rows(Rows.joined(sets, moving), mixed)
        shares = [(part, source.share) for part, source in zip(parts, sources, strict=True) if part is not None]
        total = sum(share for _, share in shares)
        for name, layout in cls.layout.items():
            if not layout.has_rows:
                mean = torch.stack([part.tensor(name) * (share / total) for part, share in shares]).sum(0)
                result.tensor(name).copy_(mean)
        return result

    # Frames; what a part adds or changes has autograd.

    def add_weights(self, weights: Tensor, standardized: Tensor) -> Tensor:
        """Weights [B,K] of reduced blendshapes with those of the part, for standardized features [B,F]."""
        return weights

    def add_offsets(self, extra: Tensor, head: PosedHead, stretch: VertexStretch | None, rig: Rig) -> Tensor:
        """Offsets [B,M,CHANNELS] of the Gaussians with blendshapes, in their units, with those of the part.

        Args:
            extra: [B,M,CHANNELS] so far; of all N Gaussians where a part before this one moves all of them.
            head: B poses.
            stretch: of the mesh in the B poses, from `rig.vertex_stretch`.
            rig: of the avatar.
        """
        return extra

    def change_colors(self, sh: Tensor, head: PosedHead, rig: Rig) -> Tensor:
        """Coefficients [B,N,1,3] of the colors.

        Args:
            sh: [B,N,1,3] so far.
            head: B poses.
            rig: of the avatar.
        """
        return sh

    def constants(self, avatar: Avatar) -> Any:
        """What `pose_layer` needs that is the same in all poses of `avatar`; a renderer computes it once."""
        return None

    def pose_layer(self, head: PosedHead, constants: Any) -> PosedLayer | None:
        """A mesh behind the Gaussians in the B poses of `head`; None for parts without one.

        Args:
            head: B poses.
            constants: from `constants`.
        """
        return None

    def change_layer(self, layer: PosedLayer) -> PosedLayer:
        """The mesh behind the Gaussians, which another part has posed."""
        return layer


@dataclass(frozen=True)
class BlendSource:
    """An avatar in a blend of two."""

    avatar: Avatar
    share: float  # above 0
    logit_slope: Tensor  # [N] derivative of the logits of its opacities in the blend by those of its own
    #: Its standardized features as a line over those of the blend, [F] at zero and slope [F]; None for blendshapes of
    #: the mode "expression".
    line: tuple[Tensor, Tensor] | None


class Parts(nn.ModuleDict):
    """The optional parts of an avatar by their keys, in the order in which they were added."""

    if TYPE_CHECKING:

        def __getitem__(self, key: str) -> AvatarPart: ...

        def values(self) -> ValuesView[AvatarPart]: ...

        def items(self) -> ItemsView[str, AvatarPart]: ...


def bake_identity(head: HeadModel, identity: Tensor) -> HeadModel:
    """The head of one person: the template is the shape of `identity` [S], and the identity basis is dropped.

    The expression basis is rounded to half precision, as in the .avatar file, so that training and rendering agree.
    """
    shaped = head.identity_vertices(identity).detach()
    rounded = {name: getattr(head, name).half().to(shaped.dtype) for name in ("exprdirs", "curvedirs", "posedirs")}
    return replace(head, v_template=shaped, shapedirs=shaped.new_zeros(len(shaped), 3, 0), **rounded)


class Avatar(nn.Module):
    """N Gaussians on one person's head, driven by expression, jaw, gaze and pose.

    The head is baked (`bake_identity`): the avatar needs neither the capture nor the file of the head model.
    """

    def __init__(
        self,
        head: HeadModel,
        rig: Rig,
        blendshapes: Blendshapes,
        local: LocalGaussians,
        neutral: Tensor,
        parts: Iterable[AvatarPart] = (),
    ) -> None:
        """
        Args:
            head: a baked head.
            rig: which triangle carries each of the N Gaussians.
            blendshapes: offsets of the Gaussians by expression.
            local: the initial values of the N Gaussians; they are copied.
            neutral: [E] the tracked expression weights of the person's resting face.
            parts: its optional parts.
        """
        super().__init__()
        self.head = head
        self.rig = rig
        self.blendshapes = blendshapes
        self.parts = Parts({part.key: part for part in parts})
        for name, value in vars(local).items():
            self.register_parameter(name, nn.Parameter(value.clone()))
        self.register_buffer("neutral", neutral.clone())
        self.sampling = Sampling()
        self.provenance: Mapping[str, Any] = {}  # figures of the training, plain JSON values, stored in the file

    offsets: Tensor
    quats: Tensor
    log_scales: Tensor
    logit_opacities: Tensor
    colors: Tensor
    neutral: Tensor
    true_size: TrueSize = TrueSize()  # exports are multiplied by its scale; it changes no image

    @property
    def local(self) -> LocalGaussians:
        """The parameters of the Gaussians as one record, not copied."""
        return LocalGaussians(self.offsets, self.quats, self.log_scales, self.logit_opacities, self.colors)

    def view(self, local: LocalGaussians | None = None, parts: Iterable[AvatarPart] | None = None) -> Avatar:
        """An avatar that shares everything with this one but what is given.

        Args:
            local: of its Gaussians; what is no parameter keeps its gradients. None: those of this avatar.
            parts: its parts; None: those of this avatar.
        """
        view = copy.copy(self)
        view._modules = dict(self._modules)
        view.parts = Parts({part.key: part for part in (self.parts.values() if parts is None else parts)})
        if local is not None:
            values = vars(local)
            view._parameters = {name: value for name, value in values.items() if isinstance(value, nn.Parameter)}
            for name in values:
                view.__dict__.pop(name, None)
            view.__dict__ |= {name: value for name, value in values.items() if name not in view._parameters}
        return view

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Avatar:
        """As of nn.Module, under `to`, `cpu` and `cuda`; the head, which is no module, follows to the device."""
        super()._apply(fn, recurse)
        self.head = to_device(self.head, self.offsets.device)
        return self

    def part(self, kind: type[P]) -> P | None:
        """The part of a kind; None if the avatar has none."""
        if kind.key not in self.parts:
            return None
        part = self.parts[kind.key]
        assert isinstance(part, kind)
        return part

    def add_part(self, part: AvatarPart) -> None:
        """Add a part, in the place of the one of its kind if there is one."""
        self.parts[part.key] = part

    def remove_part(self, kind: type[AvatarPart]) -> None:
        """Remove the part of a kind, if there is one."""
        if kind.key in self.parts:
            del self.parts[kind.key]

    def __len__(self) -> int:
        return len(self.offsets)

    def weights(self, features: Tensor) -> Tensor:
        """Blendshape weights [B,K] for features [B,F] of `expression_features`."""
        return self.blendshapes.weights(features, [part.add_weights for part in self.parts.values()])

    def constants(self) -> dict[str, Any]:
        """What each part has for all poses, by its key; see `AvatarPart.constants`."""
        return {key: part.constants(self) for key, part in self.parts.items()}

    def posed_layer(self, head: PosedHead, constants: Mapping[str, Any] | None = None) -> PosedLayer | None:
        """The mesh behind the Gaussians in the B poses of `head`; None for an avatar without one.

        Args:
            head: B poses.
            constants: `constants()` of this avatar, or of one with some of its parts, if they are known.
        """
        known = {} if constants is None else constants
        layer = None
        for key, part in self.parts.items():
            layer = part.pose_layer(head, known[key] if key in known else part.constants(self)) or layer
        if layer is not None:
            for part in self.parts.values():
                layer = part.change_layer(layer)
        return layer

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics of the colors: 0, the same color from every direction."""
        return 0

    def with_identity(self, params: HeadParams) -> HeadParams:
        """`params` with the identity of this avatar, which is baked into its head; needed for cross-driving."""
        return replace(params, identity=self.head.v_template.new_zeros(0))

    def forward(self, params: HeadParams, *, blend: bool = True) -> Gaussians:
        """Gaussians [B,N] in the world for `params` [B]; the identity in `params` is ignored.

        `blend=False` leaves the blendshapes out: only the mesh moves the Gaussians.

        Raises:
            ValueError: a frame of `params` has a NaN or an infinity.
        """
        params.check_finite()
        params = self.with_identity(params)
        weights = self.weights(expression_features(params))
        if not blend:
            weights = torch.zeros_like(weights)
        head = self.rig.posed_head(self.head.skull_vertices(params), *self.head.skull_pose(params))
        return assemble(self, head, self.blendshapes(weights))


def assemble(avatar: Avatar, head: PosedHead, extra: Tensor, constants: Mapping[str, Any] | None = None) -> Gaussians:
    """The Gaussians of a posed head in the world: the only function that makes them.

    The head may come from the head model, with gradients (`Rig.posed_head`), or from a `Poser`, which is faster.

    Args:
        avatar: N Gaussians.
        head: B poses of its head.
        extra: [B,M,CHANNELS] blended offsets of the first M Gaussians, in units of the blendshapes.
        constants: `avatar.constants()` if they are known.

    Returns:
        [B,N] Gaussians, and the mesh layer behind them.
    """
    rig = avatar.rig
    sampling = avatar.sampling
    # What the parts add to the blendshapes, such as wrinkles where the mesh is compressed.
    stretch = rig.vertex_stretch(head.vertices)
    for part in avatar.parts.values():
        extra = part.add_offsets(extra, head, stretch, rig)
    local = ops.deform(avatar.local, extra, avatar.blendshapes.units)
    sh = local.sh
    for part in avatar.parts.values():
        sh = part.change_colors(sh, head, rig)
    # From the frames of the triangles to the world.
    means, quats, scales = ops.bind(head.vertices, rig.binding, local, head.bones, stretch)
    layer = avatar.posed_layer(head, constants)
    return Gaussians(means, quats, sampling.widened(scales), local.opacities, sh, sampling.dilation, layer)
