"""`Bridge`: converts expressions of one head to those of another; fitted from the two head models and cached."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar.common.cache import user_cache
from avatar.common.files import atomic_path
from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.types import JOINT_NAMES, Motion, check_shape

from .bridge_fit import Fit, fit_bridge
from .files.losses import moving

log = logging.getLogger(__name__)

#: part of the cache key; increase it when a change of the fit changes results
VERSION = 2
#: an expression that moves is reported as lost if less than this is expressed
LOST_BELOW = 0.5


@dataclass(frozen=True)
class ExpressionTransfer:
    """How well B can express one expression of A."""

    name: str
    size: float  # root mean square displacement of the weighted landmarks at weight 1, in eye distances
    expressed: float  # 0..1, fraction of that displacement that B expresses; 1 for a shape that moves nothing


@dataclass(frozen=True, eq=False)
class Bridge:
    """Converts expression weights and joint rotations of head A to head B.

    Rotations of jaw and eyes are preserved exactly: B's controls (jawOpen, eyeLookUpLeft) express as much as possible
    within 0..1 and B's joints the remainder. All other expressions are a ridge regression of landmark motion with a
    higher weight for lips and lids, exactly left/right symmetric; weights of named expressions stay within 0..1.
    Between two ARKit heads each name keeps its weight.
    """

    names_a: tuple[str, ...]  # [E]
    names_b: tuple[str, ...]  # [F]
    fit: Fit

    def __call__(self, weights: Tensor, joint_rot: Tensor) -> tuple[Tensor, Tensor]:
        """Convert frames.

        Args:
            weights: [T,E] of A's expressions.
            joint_rot: [T,J,3] axis-angle radians, in the order of JOINT_NAMES, without the rotations by expressions.

        Returns:
            Weights [T,F] of B's expressions and joint rotations [T,J,3], in the dtype of `weights`.

        Raises:
            ValueError: wrong shapes.
        """
        check_shape("weights", weights, ("T", len(self.names_a)))
        check_shape("joint_rot", joint_rot, (len(weights), len(JOINT_NAMES), 3))
        found, rotations = self.fit.solve(_as_array(weights), _as_array(joint_rot).reshape(len(joint_rot), -1))
        return torch.from_numpy(found).to(weights), torch.from_numpy(rotations).to(weights).reshape(joint_rot.shape)

    def motion(self, motion: Motion, space: str) -> Motion:
        """Convert a motion of A's space to B's space, named `space`; names unknown to A are dropped with a note.

        Raises:
            HeadsplatError: the motion and A have no name in common.
        """
        shared = [name for name in motion.names if name in self.names_a]
        if not shared:
            raise HeadsplatError(
                f"motion in {motion.space}: none of its names ({', '.join(motion.names[:3])}...) is an expression of "
                f"its head ({', '.join(self.names_a[:3])}...); name the head it was made for"
            )
        weights = motion.weights.new_zeros(len(motion), len(self.names_a))
        weights[:, [self.names_a.index(name) for name in shared]] = motion.weights[
            :, [motion.names.index(name) for name in shared]
        ]
        weights, joint_rot = self(weights, motion.joint_rot)
        return Motion(
            notes=motion.notes + self._notes(motion),
            time=motion.time,
            names=self.names_b,
            weights=weights,
            space=space,
            joint_rot=joint_rot,
            translation=motion.translation,
            confidence=motion.confidence,
            resting=motion.resting,
        )

    def _notes(self, motion: Motion) -> tuple[str, ...]:
        """A note on expressions of `motion` that are lost."""
        expressed = {row.name: row.expressed for row in self.report()}
        lost = moving(motion, lambda name: expressed.get(name, 0) < LOST_BELOW)
        return (f"not expressible on the other head: {', '.join(lost)}",) if lost else ()

    def report(self) -> list[ExpressionTransfer]:
        """For each expression of A the fraction of its motion that B expresses."""
        size = self.fit.size
        missed = self.fit.missed
        expressed = np.clip(1 - missed / np.where(size > 0, size, 1), 0, 1)
        return [ExpressionTransfer(*row) for row in zip(self.names_a, size.tolist(), expressed.tolist(), strict=True)]


def load_bridge(a: HeadModel, b: HeadModel, folder: Path | None = None) -> Bridge:
    """Load the bridge from head `a` to head `b` from the cache, or fit it (about a second) and cache it.

    Args:
        a: the source head.
        b: the target head.
        folder: the cache folder; `bridges` in the user's cache when None.

    Returns:
        The bridge.
    """
    path = (folder or user_cache("bridges")) / f"{_digest(a)}-{_digest(b)}-{VERSION}.npz"
    fit = _read(path, len(a.expression_names), len(b.expression_names))
    if fit is None:
        fit = fit_bridge(a, b)
        _write(path, fit)
    return Bridge(a.expression_names, b.expression_names, fit)


def without_expressions(head: HeadModel, names: Collection[str]) -> HeadModel:
    """The head with expressions that move nothing, so that a bridge to it leaves them out and fits the others."""
    still = torch.tensor([name in names for name in head.expression_names])
    bent = still[head.curve_columns]
    return replace(head, exprdirs=head.exprdirs * ~still, curvedirs=head.curvedirs * ~bent)


def _as_array(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()


def _digest(head: HeadModel) -> str:
    """16 hex digits of a hash over the properties of a head on which its bridges depend."""
    digest = hashlib.sha256(head.model_id.encode())
    digest.update("\0".join([*head.expression_names, *sorted(head.capabilities)]).encode())
    for tensor in (head.landmark_faces, head.landmark_bary, head.curvedirs):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _read(path: Path, count_a: int, count_b: int) -> Fit | None:
    """The cached fit, or None if there is none, it is damaged or its shapes do not match."""
    if not path.is_file():
        return None
    try:
        stored = Npz(path)
        fit = Fit(**{item.name: stored.array(item.name) for item in fields(Fit)})
    except DamagedNpz as error:
        log.info("%s: damaged (%s); the bridge is fitted again", path, error)
        return None
    if not fit.is_between(count_a, count_b):
        log.info("%s: its arrays do not match the heads; the bridge is fitted again", path)
        return None
    return fit


def _write(path: Path, fit: Fit) -> None:
    """Cache the fit; without a writable cache it is only fitted again next time."""
    try:
        with atomic_path(path) as temporary:
            np.savez(temporary, **{item.name: getattr(fit, item.name) for item in fields(Fit)})
    except (HeadsplatError, OSError) as error:
        log.info("the bridge is not cached: %s", error)
