"""Appearances: what the recordings of one person do not share, as offsets of the Gaussians for each recording."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.avatar_header import ENTRY, RecordingEntry, recordings_of
from avatar.model.layout import Layout, TensorLayout

#: Parameters of the Gaussians that an appearance changes, and their number of channels.
CHANGED = {"colors": 3, "logit_opacities": 1, "offsets": 3}
#: Each weight of a mix is at most so large.
MAX_WEIGHT = 1.0


class Appearances(AvatarPart):
    """Offsets of color, logit opacity and position of N Gaussians for A recordings, relative to the avatar's own."""

    key = "appearance"
    entry = ENTRY
    title = "the appearances of its other recordings"
    prefix = "appearance."
    layout: ClassVar[Layout] = {
        "colors": TensorLayout("F16", "A N 3", -100, 100),  # display sRGB
        "logit_opacities": TensorLayout("F16", "A N", -100, 100),
        "offsets": TensorLayout("F16", "A N 3", -10, 10),  # meters
    }
    in_frames = False
    not_blended = "a blend is of one appearance of each person, that of the first recording"
    not_edited = "an edit is of one appearance, that of the first recording unless another one was chosen"

    def __init__(self, recordings: Sequence[RecordingEntry], count: int) -> None:
        """
        Args:
            recordings: A recordings with different names.
            count: number of Gaussians N.
        """
        super().__init__()
        self.recordings = tuple(recordings)
        self.count = count
        for name, channels in CHANGED.items():  # [A*N,C] or [A*N]: rows of one recording after those of another
            shape = (len(self.recordings) * count, channels)
            self.register_parameter(name, nn.Parameter(torch.zeros(shape if channels > 1 else shape[:1])))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the recordings, the first one first."""
        return tuple(entry.name for entry in self.recordings)

    def table(self, name: str) -> Tensor:
        """The offsets of the parameter `name` by recording: [A,N,...]."""
        values: Tensor = getattr(self, name)
        return values.view(len(self.recordings), self.count, *values.shape[1:])

    @torch.no_grad()
    def make_relative_to(self, avatar: Avatar, recording: int | None) -> None:
        """Move what all share into `avatar`; no recording changes its look.

        Args:
            avatar: the avatar of these appearances.
            recording: whose offsets become zero; None: the mean of the offsets becomes zero.
        """
        for name in CHANGED:
            table = self.table(name)
            shared = table.mean(0) if recording is None else table[recording].clone()
            getattr(avatar, name).add_(shared)
            table.sub_(shared)

    @torch.no_grad()
    def round(self) -> None:
        """Round the offsets to half precision, as in the file."""
        for name in CHANGED:
            values = getattr(self, name)
            values.copy_(values.half().float())

    def tensor(self, name: str) -> Tensor:
        """See `AvatarPart.tensor`."""
        return self.table(name)

    def set_rows(self, name: str, value: Tensor) -> None:
        """See `AvatarPart.set_rows`."""
        super().set_rows(name, value.flatten(0, 1))
        self.count = value.shape[1]

    def header_entry(self) -> dict[str, Any]:
        """See `AvatarPart.header_entry`."""
        return {"recordings": [asdict(entry) for entry in self.recordings]}

    @classmethod
    def check(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor], sizes: dict[str, int]) -> None:
        """See `AvatarPart.check`."""
        recordings = len(recordings_of(header))
        if sizes["A"] != recordings:
            raise ValueError(f"{cls.prefix}colors: of {sizes['A']} recordings, but the header has {recordings}")
        for name, value in tensors.items():
            if bool(value[0].any()):
                raise ValueError(f"{cls.prefix}{name}: expected zeros for the first recording")

    @classmethod
    def restore(cls, avatar: Avatar, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Appearances:
        """See `AvatarPart.restore`."""
        appearances = cls(recordings_of(header), len(avatar))
        for name, value in tensors.items():
            appearances.set_rows(name, value)
        return appearances

    def fingerprint(self) -> str:
        """Text that identifies the recordings and their order."""
        return ",".join(entry.fingerprint for entry in self.recordings)


def in_recording(avatar: Avatar, recording: int) -> Avatar:
    """A view of `avatar` as in one of its recordings, differentiable in it and its offsets; everything else is shared.

    Args:
        avatar: with appearances.
        recording: index of the recording.
    """
    appearance = avatar.part(Appearances)
    assert appearance is not None
    changed = {name: getattr(avatar, name) + appearance.table(name)[recording] for name in CHANGED}
    return avatar.view(replace(avatar.local, **changed), _others(avatar))


@torch.no_grad()
def with_appearance(avatar: Avatar, weights: Mapping[str, float]) -> Avatar:
    """A copy of `avatar` in a mix of its appearances, without appearances of its own.

    The offsets of color, logit opacity and position are added up with the weights; the first recording has offsets of
    zero. The mix costs nothing in a frame, and everything that takes an avatar takes it.

    Args:
        avatar: an avatar that was trained on several recordings.
        weights: by name of the recording, 0..1, normalized to the sum 1; recordings without a weight have 0.

    Raises:
        HeadsplatError: an avatar without appearances, an unknown name, or weights that are no mix.
    """
    return copy.deepcopy(appearance_view(avatar, weights), {id(avatar.head): avatar.head}).requires_grad_(False)


@torch.no_grad()
def appearance_view(avatar: Avatar, weights: Mapping[str, float]) -> Avatar:
    """As `with_appearance`, for reading only: all that the appearances do not change is shared with `avatar`."""
    appearance = avatar.part(Appearances)
    if appearance is None:
        raise HeadsplatError("appearance: this avatar has no appearances; train it on several recordings of its person")
    for name in weights:
        if name not in appearance.names:
            raise HeadsplatError(f"appearance: {name!r} is none of this avatar: {', '.join(appearance.names)}")
    valid = all(math.isfinite(weight) and 0 <= weight <= MAX_WEIGHT for weight in weights.values())
    total = sum(weights.values()) if valid else 0.0
    if not total > 0:
        raise HeadsplatError("appearance: expected weights of 0 to 1 that are not all 0, such as NAME=.7,OTHER=.3")
    mixed = {}
    for name in CHANGED:
        values = getattr(avatar, name).detach().clone()
        table = appearance.table(name)
        for recording, label in enumerate(appearance.names):
            if weight := weights.get(label, 0.0) / total:
                values.add_(table[recording], alpha=weight)
        mixed[name] = nn.Parameter(values, requires_grad=False)
    return avatar.view(replace(avatar.local, **mixed), _others(avatar))


def _others(avatar: Avatar) -> list[AvatarPart]:
    """The parts of an avatar but for its appearances."""
    return [part for part in avatar.parts.values() if not isinstance(part, Appearances)]


def parse_appearance(text: str) -> dict[str, float]:
    """Weights by name from `NAME` or `NAME=.7,OTHER=.3`.

    Raises:
        HeadsplatError: not a mix.
    """
    weights: dict[str, float] = {}
    parts = text.split(",")
    for part in parts:
        name, equals, number = part.rpartition("=") if "=" in part else (part, "", "1")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not name.strip() or (len(parts) > 1 and not equals) or math.isnan(weight) or name.strip() in weights:
            raise HeadsplatError(f"--appearance: {text!r} is not a mix; give NAME, or NAME=.7,OTHER=.3")
        weights[name.strip()] = weight
    return weights


def unique_names(stems: Sequence[str]) -> tuple[str, ...]:
    """Names for recordings from the stems of their folders: without `,` and `=`, repeated ones numbered from 2."""
    names: list[str] = []
    for stem in stems:
        plain = "".join("-" if sign in ",=" or not sign.isprintable() else sign for sign in stem.strip())[:100]
        plain = plain or "recording"
        number = 2
        name = plain
        while name in names:
            name = f"{plain}-{number}"
            number = number + 1
        names.append(name)
    return tuple(names)
