"""The avatar of a procedural person, trained on images with the true poses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from capture.synthetic.exact_capture import write_exact_capture
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.video import SyntheticScene

#: Cameras on an arc of so many degrees to both sides, time steps, and image size: what two cores render in half of the
#: time.
_CAMERAS = 3
_ARC = 55.0
_STEPS = 20
_SIZE = (288, 384)
_TRAINING_STEPS = 1200  # not seconds: the same seed gives the same avatar
_RENDERING = 0.5  # fraction of the time

Update = Callable[[float, str], None]


def drawn_avatar(
    folder: Path, person: str, glasses: bool, seed: int, update: Update
) -> tuple[Capture, Avatar, TrainConfig]:
    """The capture, written to the new folder `folder`, the avatar and the settings of its training.

    Args:
        folder: for the images.
        person: as of SyntheticOptions.
        glasses: whether to add glasses.
        seed: of a random person, and of the motion.
        update: gets the fraction done and a text.

    Raises:
        HeadsplatError: no person of that name.
    """
    width, height = _SIZE
    options = SyntheticOptions(
        seed=seed,
        person=person,
        glasses=glasses,
        width=width,
        height=height,
        frames=_STEPS,
        cameras=_CAMERAS,
        arc=_ARC,
        noise=0.0,
        exposure_drift=0.0,
        handheld=0.0,
        fps=_STEPS / 8,
    )

    def report(done: int, total: int) -> None:
        update(_RENDERING * done / total, f"images of time step {done} of {total}")

    capture = write_exact_capture(folder, SyntheticScene(options), report)
    # The poses are true: nothing is refined.
    settings = TrainConfig(size=256, steps=_TRAINING_STEPS, gaussians=15000, refine_at=1.0)
    result = fit(
        capture,
        load_head(),
        settings,
        progress=lambda state: update(_RENDERING + (1 - _RENDERING) * state.fraction, state.stage),
    )
    return capture, result.avatar, settings
