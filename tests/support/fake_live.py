"""Live pipelines for tests of the window: a constant smile, and a camera that cannot be opened."""

from __future__ import annotations

from avatar.driving.live.samples import AvatarPose, LiveStats
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.types import HeadParams
from viewer.session.pose_sources import LiveSourceChoice, SliderPoseSource
from viewer.session.state import Sliders


class Smile:
    """A live pipeline that always smiles."""

    def __init__(self, avatar: Avatar) -> None:
        self.gains: dict[str, float] = {}
        self.calibrations = 0
        self._params: HeadParams = SliderPoseSource(avatar).params(
            Sliders(weights={"mouthSmileLeft": 1.0, "jawOpen": 0.7})
        )

    def start(self) -> None:
        """Nothing to open."""

    def stop(self) -> None:
        """Nothing to close."""

    def latest(self) -> AvatarPose:
        """The smile."""
        return AvatarPose(self._params, "driving")

    def calibrate(self) -> None:
        """Count the call."""
        self.calibrations += 1

    def learn_again(self) -> None:
        """Nothing to discard."""

    def preview(self) -> None:
        """There is no camera."""

    def stats(self) -> LiveStats:
        """Calibrated from the start."""
        return {"calibrated": 1.0}


class Unplugged(Smile):
    """A camera that cannot be opened."""

    def start(self) -> None:
        """Fail."""
        raise HeadsplatError("camera 7: it cannot be opened; is it plugged in?")


LIVE = (LiveSourceChoice("smile", "a smile", Smile), LiveSourceChoice("camera", "camera 7", Unplugged))
