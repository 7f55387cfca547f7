"""A live recording without a window, to be killed: `python -m tests.support.live_recording FOLDER`.

It prints the port that it receives Live Link packets on, records them to take.motion.npz and take.mp4, and keeps in the
file `shown` when the first and the last sample were shown, and the longest time between two frames of its loop.
"""

from __future__ import annotations

import mmap
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from avatar.driving.live.samples import AvatarPose
from avatar.head import load_head
from avatar.jobs.outlets import RecordingOutlet
from avatar.jobs.recording import Recording
from capture.live import LivePipeline
from capture.live.protocols import PROTOCOLS, UdpSource
from tests.avatar.driving.puppet import puppet
from viewer.outputs.outlets import Outlets, RenderedFrame
from viewer.session.pose_sources import LiveSourceChoice
from viewer.session.session import Session

FIRST, LAST, STALL = range(3)  # seconds, float64, in the file `shown`


class Shown:
    """An outlet that keeps the times of the samples in a file that survives the process."""

    name = "shown"

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(24))
        with path.open("r+b") as stream:
            self._times = np.frombuffer(mmap.mmap(stream.fileno(), 24), np.float64)
        self._called = time.monotonic()

    def write(self, frame: RenderedFrame) -> None:
        self.hold(frame.time, frame.pose)

    def hold(self, now: float, pose: AvatarPose) -> None:
        if pose.sample is not None:
            self._times[FIRST] = self._times[FIRST] or pose.sample.time
            self._times[LAST] = pose.sample.time
        self._times[STALL] = max(self._times[STALL], now - self._called)
        self._called = now

    def close(self) -> str:
        return ""


def main() -> None:
    """Record until the process is killed."""
    folder = Path(sys.argv[1])
    recording = Recording([folder / "take.motion.npz", folder / "take.mp4"])
    source = UdpSource(PROTOCOLS["livelink"], port=0)
    live = LiveSourceChoice("live", "phone", lambda avatar: LivePipeline(avatar, source))
    outlets = Outlets({"record": lambda: RecordingOutlet(recording), "virtual camera": lambda: Shown(folder / "shown")})
    session = Session(puppet(load_head()), "puppet", [live], outlets)
    session.state = replace(session.state, camera=replace(session.state.camera, width=64, height=64))
    session.advance()  # the first image takes long
    session.select_source("live")
    outlets.toggle("record")
    outlets.toggle("virtual camera")
    print(source.port, flush=True)
    while True:
        session.advance()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
