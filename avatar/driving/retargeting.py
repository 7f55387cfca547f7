"""From the expressions a motion names to those of an avatar's head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.model import HeadModel, is_mode
from avatar.motion import Bridge, load_bridge
from avatar.motion.bridge import LOST_BELOW
from avatar.motion.bridge_fit import Controls
from avatar.types import JOINT_NAMES


@dataclass(frozen=True)
class Lost:
    """An expression of a motion that the avatar's head cannot show."""

    column: int  # of the motion
    name: str
    expressed: float  # 0..1, the part of its motion that can be shown
    advice: str  # what would help, or empty


@dataclass(frozen=True, eq=False)
class Carrier:
    """Carries weights of E names to the F expressions of a head: through a bridge where there is one, else by name."""

    names: tuple[str, ...]  # [E]
    head: HeadModel  # the avatar's
    way: str  # for a person
    bridge: Bridge | None
    to_bridge: Tensor  # [E,A] 0 or 1: which column of the bridge's first head each name is
    by_name: Tensor  # [E,F] 0 or 1
    controls: np.ndarray  # [C] columns of the head that take joint turns which the motion has no names for
    lost: tuple[Lost, ...]

    @staticmethod
    def between(names: tuple[str, ...], space: str, source: HeadModel | None, head: HeadModel) -> Carrier:
        """The carrier from a motion's `names` in `space` to `head`.

        Args:
            source: the head the motion was made for, where it is known; the embedded head stands in for an arkit52
                motion on a head without ARKit's expressions.

        Raises:
            HeadsplatError: `source` has none of the names.
        """
        if source is None and space == "arkit52" and "arkit" not in head.capabilities:
            source = load_head()
        if source is None or source.expression_names == head.expression_names:
            return _by_name(names, head)
        if names and not set(names) & set(source.expression_names):
            own, known = (", ".join(listed[:3]) for listed in (names, source.expression_names))
            raise HeadsplatError(
                f"motion in {space}: none of its expressions ({own}...) is of {source.name}, the head it is said to be "
                f"made for ({known}...); give a model that has them with --motion-head, or leave it out: jaw, gaze and "
                "head are then driven alone"
            )
        return _bridged(names, source, head)

    def __call__(self, weights: Tensor, joint_rot: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [T,F] and joint rotations [T,J,3] of the head for weights [T,E] and rotations of the motion.

        All on the head's device.
        """
        if self.bridge is not None:
            carried, turned = self.bridge(weights @ self.to_bridge, joint_rot)
            return carried + weights @ self.by_name, turned
        carried, turned = weights @ self.by_name, joint_rot.clone()
        if len(self.controls):
            wanted = turned.double().cpu().numpy().reshape(len(turned), -1)
            driven = self._driving(wanted)
            carried[:, self.controls] += torch.from_numpy(driven).to(carried)
            turned = torch.from_numpy(wanted - driven @ self._driving.turns.T).to(turned).reshape(joint_rot.shape)
        return carried, turned

    @cached_property
    def _driving(self) -> Controls:
        turns = self.head.joint_dirs.double().cpu().numpy().reshape(3 * len(JOINT_NAMES), -1)
        return Controls(turns[:, self.controls])


def _by_name(names: tuple[str, ...], head: HeadModel) -> Carrier:
    """The carrier of a motion whose names are the head's own, or for which nothing better is known."""
    table = _table(names, head, range(len(names)))
    turning = head.joint_dirs.abs().amax((0, 1)).cpu().numpy() > 0
    unnamed = np.array([name not in names for name in head.expression_names])
    # A motion that names some controls has put its turns into them; the rest of its joints is meant as it is.
    controls = np.flatnonzero(turning & unnamed) if (unnamed | ~turning).all() else np.zeros(0, np.int64)
    lost = tuple(
        Lost(column, name, 0.0, _advice(name)) for column, name in enumerate(names) if not bool(table[column].any())
    )
    way = "by name" if len(lost) < len(names) else "none of its expressions, only head, jaw and gaze"
    return Carrier(names, head, way, None, table.new_zeros(len(names), 0), table, controls, lost)


def _bridged(names: tuple[str, ...], source: HeadModel, head: HeadModel) -> Carrier:
    bridge = load_bridge(source, head)
    shares = {share.name: share for share in bridge.report()}
    to_bridge = head.v_template.new_zeros(len(names), len(source.expression_names))
    for column, name in enumerate(names):
        if name in shares:
            to_bridge[column, source.expression_names.index(name)] = 1
    table = _table(names, head, [column for column, name in enumerate(names) if name not in shares])
    lost = []
    for column, name in enumerate(names):
        expressed = shares[name].expressed if name in shares else float(table[column].any())
        if expressed < LOST_BELOW:
            lost.append(Lost(column, name, expressed, ""))
    way = f"through a bridge from {source.name} to {head.name}"
    return Carrier(names, head, way, bridge, to_bridge, table, np.zeros(0, np.int64), tuple(lost))


def _table(names: tuple[str, ...], head: HeadModel, columns: range | list[int]) -> Tensor:
    """[E,F], 1 where a name among `columns` is one of the head's; FLAME's extra lids do what eyeBlink does."""
    table = head.v_template.new_zeros(len(names), len(head.expression_names))
    for column in columns:
        name = names[column]
        blink = name.replace("eyelid", "eyeBlink")
        target = blink if blink in head.expression_names and blink not in names else name
        if target in head.expression_names:
            table[column, head.expression_names.index(target)] = 1
    return table


def _advice(name: str) -> str:
    return "give the head model it was made with (--motion-head FILE)" if is_mode(name) else ""
