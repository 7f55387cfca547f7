"""The part of an .avatar file that is for driving by the capture the avatar was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from avatar.model.avatar import Avatar
from avatar.model.avatar_checks import checksum
from avatar.model.avatar_header import PERSON
from avatar.model.pose_corrector import PoseCorrector
from avatar.model.torso_regression import TorsoRegression

_TORSO = ("weight", "limit")
_POSE = ("landmark_mean", "landmark_basis", "low", "high", "weight")


def person_tensors(avatar: Avatar) -> dict[str, Tensor]:
    """Tensors of the torso regression and the pose corrector by their names in the file; those the avatar has."""
    torso, pose = avatar.torso_regression, avatar.pose_corrector
    tensors = {} if torso is None else {f"{PERSON}torso.{name}": getattr(torso, name) for name in _TORSO}
    if pose is not None:
        tensors |= {f"{PERSON}pose.{name}": getattr(pose, name) for name in _POSE}
    return tensors


def person_entry(avatar: Avatar) -> dict[str, Any]:
    """The entry `person` of the header, if the avatar has one of both."""
    found = avatar.torso_regression or avatar.pose_corrector
    if found is None:
        return {}
    return {"person": {"capture": found.capture, "tensors_sha256": checksum(person_tensors(avatar), PERSON)}}


def restore_person(avatar: Avatar, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Give `avatar` what a file with this header and these tensors has, which were checked (`check_person`)."""
    if "person" not in header:
        return
    capture = header["person"]["capture"]
    if f"{PERSON}torso.weight" in tensors:
        avatar.torso_regression = TorsoRegression(capture, *(tensors[f"{PERSON}torso.{name}"] for name in _TORSO))
    if f"{PERSON}pose.weight" in tensors:
        avatar.pose_corrector = PoseCorrector(capture, *(tensors[f"{PERSON}pose.{name}"] for name in _POSE))
