"""An avatar's own presets for its page, as the sliders of the page show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from avatar.driving.driver import DriveOptions, Driver
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion.files.names import ARKIT
from avatar.motion.presets import FacePreset
from avatar.types import JOINT_NAMES, LEFT_EYE, RIGHT_EYE

_LEAST = 1e-4


@torch.no_grad()
def page_presets(avatar: Avatar, presets: Sequence[FacePreset]) -> list[dict[str, Any]]:
    """Entries of the page's header: what a file of presets has, and the pose of the avatar.

    `sliders` are weights of the head's expressions that are added to the resting face, `eyes` the rotation of both
    eyes, yaw to the person's left and pitch down in degrees, of heads whose eyes no expression turns.
    """
    if not presets:
        return []
    count = len(presets)
    weights = torch.tensor([[preset.arkit_weights.get(name, 0.0) for name in ARKIT_52] for preset in presets])
    driver = Driver.of(avatar, ARKIT_52, ARKIT, DriveOptions(soft_clamp=False))
    target = driver.target(weights, torch.zeros(count, len(JOINT_NAMES), 3), torch.zeros(count, 3))
    added = target.expression - avatar.neutral
    eyes = target.joint_rot[:, [LEFT_EYE, RIGHT_EYE]].mean(1).rad2deg()
    entries = []
    for preset, row, (pitch, yaw, _) in zip(presets, added.tolist(), eyes.tolist(), strict=True):
        sliders = dict(zip(avatar.head.expression_names, row, strict=True))
        for name, weight in preset.weights.items():
            if name in sliders and (name not in ARKIT_52 or weight < 0):
                sliders[name] += weight
        shown = {name: round(weight, 4) for name, weight in sliders.items() if abs(weight) > _LEAST}
        entries.append({**preset.content(), "sliders": shown, "eyes": [round(yaw, 2) + 0.0, round(pitch, 2) + 0.0]})
    return entries
