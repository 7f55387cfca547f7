"""Motions of both kinds of `Motion.resting` in every file format, and an avatar whose own resting face is not zero."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch

from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion import write_motion
from avatar.types import JOINT_NAMES, ROOT, Motion, Resting

FRAMES, RATE = 60, 30.0
#: Names of the files: motion and suffix.
FILES = tuple(f"{name}{suffix}" for name in ("person", "speech") for suffix in (".csv", ".json", ".motion.npz"))
#: The resting face of the recorded person, and that of the avatar.
PERSON = {"browInnerUp": 0.3, "mouthSmileLeft": 0.2, "eyeBlinkRight": 0.25, "jawOpen": 0.05}
AVATAR = {"mouthFunnel": 0.25, "mouthUpperUpLeft": 0.25, "mouthLowerDownRight": 0.25, "jawOpen": 0.15, "cheekPuff": 0.2}


def grimace(avatar: Avatar) -> Avatar:
    """A copy of `avatar` with a resting face of raised lips and an open jaw."""
    changed = copy.deepcopy(avatar).requires_grad_(False)
    changed.neutral.copy_(torch.tensor([AVATAR.get(name, 0.05) for name in changed.head.expression_names]))
    return changed


def motions() -> dict[str, Motion]:
    """A recorded person, who rests in PERSON in most frames, and a mouth that opens and closes, which rests at zero.

    Both look aside and move; the second one smiles throughout, which is no resting face.
    """
    time = torch.arange(FRAMES, dtype=torch.float64) / RATE
    phase = 8 * time
    talk = phase.sin().clamp_min(0).float()
    person, speech = torch.zeros(FRAMES, len(ARKIT_52)), torch.zeros(FRAMES, len(ARKIT_52))
    for name, weight in PERSON.items():
        person[:, ARKIT_52.index(name)] = weight
    person[:, ARKIT_52.index("jawOpen")] += 0.3 * talk
    person[:, ARKIT_52.index("mouthSmileRight")] = 0.6 * talk
    speech[:, ARKIT_52.index("jawOpen")] = 0.05 + 0.3 * talk
    speech[:, ARKIT_52.index("mouthClose")] = 0.06 * (1 - talk)
    speech[:, ARKIT_52.index("mouthSmileLeft")] = speech[:, ARKIT_52.index("mouthSmileRight")] = 0.4
    joint_rot = torch.zeros(FRAMES, len(JOINT_NAMES), 3)
    joint_rot[:, ROOT, 1] = 0.15 + 0.05 * phase.cos().float()
    translation = torch.tensor([0.02, 0.0, 0.01]) + 0.01 * phase.sin()[:, None].float()

    def motion(weights: torch.Tensor, resting: Resting) -> Motion:
        return Motion(time, ARKIT_52, weights, "arkit52", joint_rot, translation, resting=resting)

    return {"person": motion(person, "find"), "speech": motion(speech, "zero")}


def write_files(folder: Path) -> None:
    """Write both motions in every format, FILES."""
    for name in FILES:
        write_motion(folder / name, motions()[name.split(".")[0]])


def other(motion: Motion) -> Motion:
    """The motion with the other way to rest."""
    return replace(motion, resting="find" if motion.resting == "zero" else "zero")
