"""The refined track: poses and expressions of a capture's frames after the refinement, stored in its folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatar.common.files import atomic_path
from avatar.common.links import check_within
from avatar.common.npz import DamagedNpz, Npz
from avatar.data.capture_folder import Capture
from avatar.data.track_arrays import (
    EXPRESSION,
    FLAG,
    JOINT_ROT,
    TORSO_ROT,
    TORSO_TRANSLATION,
    TRANSLATION,
    check_arrays,
    read_arrays,
)
from avatar.errors import HeadsplatError
from avatar.types import NECK, ROOT, HeadParams, TorsoPose

if TYPE_CHECKING:
    import torch

    from avatar.data.training_frames import HeadStates
    from avatar.head.model import HeadModel

FILE = "refined.npz"
VERSION = 1
_ARRAYS = {
    "refined": FLAG,
    "flagged": FLAG,
    "expression": EXPRESSION,
    "joint_rot": JOINT_ROT,
    "translation": TRANSLATION,
    "torso_rot": TORSO_ROT,
    "torso_translation": TORSO_TRANSLATION,
}


@dataclass(frozen=True)
class RefinedTrack:
    """Poses and expressions of the T images of a capture; those that were not refined are the tracker's."""

    capture: str  # fingerprint of the capture
    refined: np.ndarray  # [T] bool
    flagged: np.ndarray  # [T] bool: the refinement of the frame failed, it follows its neighbors
    expression: np.ndarray  # [T,E]
    joint_rot: np.ndarray  # [T,J,3] radians; the skull's rotation is that of the root
    translation: np.ndarray  # [T,3] meters
    torso_rot: np.ndarray  # [T,3] radians, points of the torso in the skull frame -> world; NaN where not known
    torso_translation: np.ndarray  # [T,3] meters

    @staticmethod
    def of(
        capture: Capture, indices: np.ndarray, states: HeadStates, flagged: torch.Tensor, head: HeadModel
    ) -> RefinedTrack:
        """The track of `capture` with the rows `indices` replaced by refined states.

        Args:
            capture: the refined capture.
            indices: [n] int, images, in any order.
            states: [S] of their time steps, in the order of `avatar.data.training_frames.load_frames`.
            flagged: [S] bool, failed refinements.
            head: the baked head.
        """
        from avatar.geometry.rotations import matrix_to_axis_angle

        count = len(capture)
        arrays = {name: capture.track[name].astype(np.float64) for name in ("expression", "joint_rot", "translation")}
        torso_rot = np.full((count, 3), np.nan)
        torso_translation = np.full((count, 3), np.nan)
        step = np.unique(capture.track["time_step"][indices], return_inverse=True)[1]
        identity = head.v_template.new_zeros(0)
        joint_rot = states.params.joint_rot.clone()
        joint_rot[:, ROOT] = matrix_to_axis_angle(states.rotation)
        joint_rot[:, NECK] = 0
        arrays["expression"][indices] = states.params.expression.numpy()[step]
        arrays["joint_rot"][indices] = joint_rot.numpy()[step]
        root = head.root_translation(identity, states.rotation, states.translation)
        arrays["translation"][indices] = root.numpy()[step]
        if states.torso is not None:
            torso_rot[indices] = matrix_to_axis_angle(states.torso.rotation).numpy()[step]
            torso_translation[indices] = states.torso.translation.numpy()[step]
        refined = np.zeros(count, bool)
        marks = np.zeros(count, bool)
        refined[indices] = True
        marks[indices] = flagged.numpy()[step]
        return RefinedTrack(
            capture.fingerprint, refined, marks, **arrays, torso_rot=torso_rot, torso_translation=torso_translation
        )

    @property
    def fingerprint(self) -> str:
        """16 hex digits that identify the refined track."""
        digest = hashlib.sha256(self.capture.encode())
        for field in fields(self)[1:]:
            digest.update(np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return digest.hexdigest()[:16]

    def params(self, capture: Capture) -> HeadParams:
        """Refined head parameters of all images, in place of those of `capture.params`."""
        import torch

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(values, np.float32))

        identity = tensor(capture.track["identity"])
        return HeadParams(identity, tensor(self.expression), tensor(self.joint_rot), tensor(self.translation))

    def replaced(
        self, rows: np.ndarray, params: HeadParams, torso: TorsoPose | None
    ) -> tuple[HeadParams, TorsoPose | None]:
        """Parameters and poses of the torso with those of refined images in place of the given ones.

        Args:
            rows: [T] int, images.
            params: [T] of the images; the identity is kept.
            torso: [T] of the images; None stays None.
        """
        import torch

        from avatar.geometry.rotations import axis_angle_to_matrix

        def chosen(known: np.ndarray, found: np.ndarray, given: torch.Tensor) -> torch.Tensor:
            mask = torch.from_numpy(known).reshape(-1, *[1] * (given.dim() - 1))
            return torch.where(mask, torch.from_numpy(np.ascontiguousarray(found)).to(given), given)

        known = self.refined[rows]
        parts = ("expression", "joint_rot", "translation")
        params = replace(
            params, **{part: chosen(known, getattr(self, part)[rows], getattr(params, part)) for part in parts}
        )
        if torso is not None:
            known = known & np.isfinite(self.torso_rot[rows]).all(1)
            turned = axis_angle_to_matrix(torch.from_numpy(np.nan_to_num(self.torso_rot[rows]))).numpy()
            moved = np.nan_to_num(self.torso_translation[rows])
            torso = TorsoPose(chosen(known, turned, torso.rotation), chosen(known, moved, torso.translation))
        return params, torso

    def states(self, capture: Capture, indices: np.ndarray, head: HeadModel) -> HeadStates:
        """States of the time steps of some images, in the order of `avatar.data.training_frames.load_frames`.

        Args:
            capture: the refined capture.
            indices: [n] int, images.
            head: the baked head.
        """
        import torch

        from avatar.data.training_frames import HeadStates
        from avatar.geometry.rotations import axis_angle_to_matrix

        rows = indices[np.unique(capture.track["time_step"][indices], return_index=True)[1]]

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(values[rows], np.float32)).to(head.v_template.device)

        identity = head.v_template.new_zeros(0)
        params = HeadParams(identity, tensor(self.expression), tensor(self.joint_rot), tensor(self.translation))
        states = HeadStates.of(params, head)
        if np.isnan(self.torso_rot[rows]).any():
            return states
        torso = TorsoPose(axis_angle_to_matrix(tensor(self.torso_rot)), tensor(self.torso_translation))
        return replace(states, torso=torso)

    def save(self, root: Path) -> None:
        """Write the track to the capture folder `root`, whole or not at all."""
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        arrays["version"] = np.asarray(VERSION)
        with atomic_path(root / FILE) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    @staticmethod
    def load(capture: Capture) -> RefinedTrack | None:
        """The refined track in the folder of `capture`; None if there is none.

        Raises:
            HeadsplatError: it is damaged, or belongs to another capture.
        """
        path = capture.root / FILE
        if not path.is_file():
            return None
        check_within(capture.root, path)
        remedy = f"delete it, or train on {capture.root} again"
        try:
            stored = Npz(path)
            version = stored.array("version")
            belongs = stored.text("capture")
            arrays = read_arrays(path, _ARRAYS)
            if version.shape != () or version != VERSION or belongs != capture.fingerprint:
                raise HeadsplatError(f"{path}: the refined track belongs to another capture or version; {remedy}")
            check_arrays(arrays, _ARRAYS, {"T": len(capture), "E": len(capture.expression_names)})
        except DamagedNpz as error:
            raise HeadsplatError(f"{path}: the refined track is damaged ({error}); {remedy}") from error
        return RefinedTrack(belongs, **arrays)
