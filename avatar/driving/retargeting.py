"""Expression retargeting: from the expressions of a motion to those of an avatar's head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.arkit import is_mode
from avatar.head.model import HeadModel
from avatar.motion import Bridge, load_bridge
from avatar.motion.bridge import LOST_BELOW
from avatar.motion.bridge_fit import Controls
from avatar.types import JOINT_NAMES


@dataclass(frozen=True)
class UnmappedExpression:
    """An expression of a motion that the avatar's head cannot show, or less than half of it."""

    column: int  # of the motion's weights
    name: str
    expressed: float  # 0..1, fraction of its vertex motion that is shown
    advice: str  # remedy, or empty


@dataclass(frozen=True, eq=False)
class ExpressionRetargeter:
    """Maps weights of E named expressions to the F expressions of a head, through a bridge or by name."""

    names: tuple[str, ...]  # [E]
    head: HeadModel  # the avatar's
    route: str  # description for the report
    bridge: Bridge | None
    to_bridge: Tensor  # [E,A] 0 or 1: which column of the bridge's source head each name is
    by_name: Tensor  # [E,F] 0 or 1
    controls: np.ndarray  # [C] columns of the head whose weights replace joint rotations of the motion
    unmapped: tuple[UnmappedExpression, ...]

    @staticmethod
    def between(names: tuple[str, ...], space: str, source: HeadModel | None, head: HeadModel) -> ExpressionRetargeter:
        """The retargeter from a motion to a head.

        Args:
            names: the motion's expressions.
            space: of the motion, "arkit52", "flame" or a capture's.
            source: the head model that the motion was made for, if known. For an arkit52 motion on a head without
                ARKit's expressions the embedded head is the default.
            head: the avatar's head.

        Raises:
            HeadsplatError: `source` has none of the names.
        """
        if source is None and space == "arkit52" and "arkit" not in head.capabilities:
            source = load_head()
        if source is None or source.expression_names == head.expression_names:
            return _by_name(names, head)
        if names and not set(names) & set(source.expression_names):
            found, expected = (", ".join(listed[:3]) for listed in (names, source.expression_names))
            raise HeadsplatError(
                f"motion in {space}: none of its expressions ({found}...) is of {source.name}, the given motion head "
                f"({expected}...); give a model that has them with --motion-head, or leave it out: then only jaw, gaze "
                "and head are driven"
            )
        return _bridged(names, source, head)

    def __call__(self, weights: Tensor, joint_rot: Tensor) -> tuple[Tensor, Tensor]:
        """Retarget frames of the motion; all tensors are on the head's device.

        Args:
            weights: [T,E] of the motion.
            joint_rot: [T,J,3] axis-angle radians, of the motion.

        Returns:
            Weights [T,F] and joint rotations [T,J,3] of the head.
        """
        if self.bridge is not None:
            mapped, remaining = self.bridge(weights @ self.to_bridge, joint_rot)
            return mapped + weights @ self.by_name, remaining
        mapped = weights @ self.by_name
        remaining = joint_rot.clone()
        if len(self.controls):
            rotations = remaining.double().cpu().numpy().reshape(len(remaining), -1)
            driven = self._joint_controls(rotations)
            mapped[:, self.controls] += torch.from_numpy(driven).to(mapped)
            rotations = rotations - driven @ self._joint_controls.directions.T
            remaining = torch.from_numpy(rotations).to(remaining).reshape(joint_rot.shape)
        return mapped, remaining

    @cached_property
    def _joint_controls(self) -> Controls:
        turns = self.head.joint_dirs.double().cpu().numpy().reshape(3 * len(JOINT_NAMES), -1)
        return Controls(turns[:, self.controls])


def _by_name(names: tuple[str, ...], head: HeadModel) -> ExpressionRetargeter:
    """The retargeter of a motion that has the head's names, or for which no bridge is known."""
    table = _name_table(names, head, range(len(names)))
    turning = head.joint_dirs.abs().amax((0, 1)).cpu().numpy() > 0
    unnamed = np.array([name not in names for name in head.expression_names])
    # A motion that names some controls has its rotations in them; its other joint rotations are used unchanged.
    controls = np.flatnonzero(turning & unnamed) if (unnamed | ~turning).all() else np.zeros(0, np.int64)
    unmapped = tuple(
        UnmappedExpression(column, name, 0.0, _advice(name))
        for column, name in enumerate(names)
        if not bool(table[column].any())
    )
    route = "by name" if len(unmapped) < len(names) else "none of its expressions, only head, jaw and gaze"
    return ExpressionRetargeter(names, head, route, None, table.new_zeros(len(names), 0), table, controls, unmapped)


def _bridged(names: tuple[str, ...], source: HeadModel, head: HeadModel) -> ExpressionRetargeter:
    """The retargeter through the bridge from `source` to `head`; names that `source` does not have go by name."""
    bridge = load_bridge(source, head)
    shares = {share.name: share for share in bridge.report()}
    to_bridge = head.v_template.new_zeros(len(names), len(source.expression_names))
    for column, name in enumerate(names):
        if name in shares:
            to_bridge[column, source.expression_names.index(name)] = 1
    table = _name_table(names, head, [column for column, name in enumerate(names) if name not in shares])
    unmapped = []
    for column, name in enumerate(names):
        expressed = shares[name].expressed if name in shares else float(table[column].any())
        if expressed < LOST_BELOW:
            unmapped.append(UnmappedExpression(column, name, expressed, ""))
    route = f"through a bridge from {source.name} to {head.name}"
    none = np.zeros(0, np.int64)
    return ExpressionRetargeter(names, head, route, bridge, to_bridge, table, none, tuple(unmapped))


def _name_table(names: tuple[str, ...], head: HeadModel, columns: range | list[int]) -> Tensor:
    """[E,F], 1 where a name in `columns` is one of the head's; FLAME's additional eyelids map to eyeBlink."""
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
