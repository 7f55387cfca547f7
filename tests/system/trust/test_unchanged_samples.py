"""A take keeps the samples of a source that does not change, so that resampling shows rest until the change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from avatar.driving.live.samples import Sample, SourceStats
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.jobs.outlets import RecordingOutlet
from avatar.jobs.recording import Recording
from avatar.motion import read_motion
from avatar.motion.edit import resample
from capture.live import LivePipeline
from capture.live.protocols import PROTOCOLS
from capture.live.protocols.packet_order import PacketReceiver
from tests.avatar.driving.puppet import puppet
from tests.support.face_sender import ENCODERS, MotionFile
from viewer.outputs.outlets import Outlets
from viewer.session.pose_sources import LiveSourceChoice
from viewer.session.session import Session

JAW = ARKIT_52.index("jawOpen")
RATE, REST, FRAMES = 30, 90, 105  # packets per second, packets before the mouth opens, all packets
START = 100.0  # seconds of the clock


class Packets:
    """A pose source of packets, as `UdpSource` decodes them, in virtual time."""

    name = "packets"

    def __init__(self, protocol: str) -> None:
        self._receiver = PacketReceiver(PROTOCOLS[protocol].make_decoder)
        self._newest: Sample | None = None

    def receive(self, packet: bytes, now: float) -> None:
        self._newest = self._receiver.receive(packet, ("127.0.0.1", 5000), now)

    def latest(self) -> Sample | None:
        sample, self._newest = self._newest, None
        return sample

    def earlier(self) -> Sequence[Sample]:
        return ()

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def stats(self) -> SourceStats:
        return {}


def jump() -> MotionFile:
    """A face at rest for three seconds that opens its mouth between two packets."""
    weights = np.full((FRAMES, len(ARKIT_52)), 0.05, np.float32)
    weights[REST:, JAW] = 0.9
    joints, place = np.zeros((FRAMES, 5, 3)), np.zeros((FRAMES, 3))
    return MotionFile(list(ARKIT_52), np.arange(FRAMES) / RATE, weights, joints, place)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_resampled_take_rests_until_the_jump(protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=START, monotonic=lambda: clock.now)
    monkeypatch.setattr("avatar.driving.live.pipeline.time", clock)
    source, motion, path = Packets(protocol), jump(), tmp_path / "take.motion.npz"
    recording = Recording([path])
    live = LiveSourceChoice("live", protocol, lambda avatar: LivePipeline(avatar, source))
    outlets = Outlets({"record": lambda: RecordingOutlet(recording)})
    session = Session(puppet(load_head()), "puppet", [live], outlets, clock=clock.monotonic)
    session.state = replace(session.state, camera=replace(session.state.camera, width=16, height=16))
    session.select_source("live")
    outlets.toggle("record")
    for frame in range(FRAMES):
        clock.now = START + float(motion.time[frame])
        source.receive(ENCODERS[protocol](motion, frame), clock.now)
        session.advance()
    session.close()
    take = read_motion(path)
    assert len(take) == FRAMES
    even = resample(take, 30)
    jaw = even.weights[:, even.names.index("jawOpen")].numpy()
    np.testing.assert_allclose(jaw[:REST], 0.05, atol=0.01)
    assert jaw[-1] > 0.8
