"""Appearances: what the recordings of one person do not share, as offsets of the Gaussians for each recording."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from avatar.errors import HeadsplatError
from avatar.model.avatar_header import RecordingEntry

#: An `avatar.model.avatar.Avatar`, which imports this module.
A = TypeVar("A", bound=nn.Module)

#: Parameters of the Gaussians that an appearance changes, and their number of channels.
CHANGED = {"colors": 3, "logit_opacities": 1, "offsets": 3}
#: Each weight of a mix is at most so large.
MAX_WEIGHT = 1.0


class Appearances(nn.Module):
    """Offsets of color, logit opacity and position of N Gaussians for A recordings, relative to the avatar's own."""

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
    def make_relative_to(self, avatar: nn.Module, recording: int | None) -> None:
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

    @torch.no_grad()
    def copy_rows(self, sources: Tensor, targets: Tensor) -> None:
        """Give the Gaussians `targets` [M] the offsets of `sources` [M]."""
        for name in CHANGED:
            table = self.table(name)
            table[:, targets] = table[:, sources]

    def fingerprint(self) -> str:
        """Text that identifies the recordings and their order."""
        return ",".join(entry.fingerprint for entry in self.recordings)


def in_recording(avatar: A, recording: int) -> A:
    """A view of `avatar` as in one of its recordings, differentiable in it and its offsets; everything else is shared.

    Args:
        avatar: with appearances.
        recording: index of the recording.
    """
    appearance = avatar._modules["appearance"]
    assert isinstance(appearance, Appearances)
    changed = {name: getattr(avatar, name) + appearance.table(name)[recording] for name in CHANGED}
    view = copy.copy(avatar)
    view._parameters = {name: value for name, value in avatar._parameters.items() if name not in CHANGED}
    view._modules = {name: value for name, value in avatar._modules.items() if name != "appearance"}
    view.__dict__ |= changed | {"appearance": None}
    return view


@torch.no_grad()
def with_appearance(avatar: A, weights: Mapping[str, float]) -> A:
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
def appearance_view(avatar: A, weights: Mapping[str, float]) -> A:
    """As `with_appearance`, for reading only: all that the appearances do not change is shared with `avatar`."""
    appearance = avatar._modules.get("appearance")
    if not isinstance(appearance, Appearances):
        raise HeadsplatError("appearance: this avatar has no appearances; train it on several recordings of its person")
    for name in weights:
        if name not in appearance.names:
            raise HeadsplatError(f"appearance: {name!r} is none of this avatar: {', '.join(appearance.names)}")
    valid = all(math.isfinite(weight) and 0 <= weight <= MAX_WEIGHT for weight in weights.values())
    total = sum(weights.values()) if valid else 0.0
    if not total > 0:
        raise HeadsplatError("appearance: expected weights of 0 to 1 that are not all 0, such as NAME=.7,OTHER=.3")
    view = copy.copy(avatar)
    view._parameters, view._modules = dict(avatar._parameters), {**avatar._modules, "appearance": None}
    for name in CHANGED:
        values, table = getattr(avatar, name).detach().clone(), appearance.table(name)
        for recording, label in enumerate(appearance.names):
            if weight := weights.get(label, 0.0) / total:
                values.add_(table[recording], alpha=weight)
        view._parameters[name] = nn.Parameter(values, requires_grad=False)
    return view


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
        plain, number = plain or "recording", 2
        name = plain
        while name in names:
            name, number = f"{plain}-{number}", number + 1
        names.append(name)
    return tuple(names)
