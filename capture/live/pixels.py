"""Changes of the expressions of one frame by what its pixels show, live."""

from __future__ import annotations

import cv2
import numpy as np

from avatar.geometry.numpy_rotations import yaw_pitch
from avatar.head.arkit import ARKIT_52
from avatar.head.model import HeadModel
from capture.live.fit import Fit, Fitter
from capture.pixels.correction import RunningChanges, SeenFaces
from capture.pixels.crops import Pose
from capture.pixels.network import PixelNetwork


class PixelFollower:
    """Follows one person's face with the network of the pixels."""

    def __init__(self, head: HeadModel) -> None:
        """`head` has all of ARKit's expressions."""
        self._columns = [head.expression_names.index(name) for name in ARKIT_52]
        self._network = PixelNetwork.load()
        self._running = RunningChanges(self._network)
        self._last: np.ndarray = np.zeros(len(ARKIT_52))

    @staticmethod
    def for_head(head: HeadModel) -> PixelFollower | None:
        """The follower for `head`; None where it lacks ARKit's expressions."""
        return PixelFollower(head) if set(ARKIT_52) <= set(head.expression_names) else None

    def reset(self) -> None:
        """Another person is in front of the camera."""
        self._running.reset()
        self._last = np.zeros(len(ARKIT_52))

    def changed(self, expression: np.ndarray) -> np.ndarray:
        """Expression weights [E] of the head, as fitted, with the changes of the frame that was looked at last."""
        result = expression.copy()
        result[self._columns] = np.clip(result[self._columns] + self._last, 0, 1)
        return result

    def look(self, rgb: np.ndarray, fitter: Fitter, fit: Fit, time: float) -> None:
        """Find the changes in a frame.

        Args:
            rgb: the frame [H,W,3].
            fitter: of the person.
            fit: to the landmarks of the frame.
            time: seconds of the frame.
        """
        self._last = self._running(self._seen(rgb, fitter, fit), time)

    def _seen(self, rgb: np.ndarray, fitter: Fitter, fit: Fit) -> SeenFaces:
        network = self._network
        tracked = fitter.parameters(fit)[0][self._columns].astype(np.float64)
        pose = Pose(fit.state.rotation, fit.state.translation)
        luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        features = network.features(network.grid.sample(luma, fitter.problem.neutral, pose, fitter.person.camera))
        return SeenFaces(features[None], tracked[None], yaw_pitch(fit.state.rotation[None]))
