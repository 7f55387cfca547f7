"""The index of a video file from its packets alone: exact frame numbers, and the key frames to seek to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np

#: Number of frames from which seeking to a key frame is faster than decoding through.
_WORTH_A_JUMP = 12
#: Decoding times never decrease in a sound file; a step back of more seconds than this is a clock that restarts.
_RESTART = 0.5


class ContinuousTimes:
    """Shifts packets whose clock has restarted, as where two files were concatenated, behind those before them."""

    def __init__(self, stream: Any) -> None:
        """Args: the stream of the packets."""
        tick = float(stream.time_base or 0)
        rate = float(stream.average_rate or 0)
        self._step = round(1 / (rate * tick)) if rate and tick else 1  # ticks of a frame without a stated duration
        self._back = _RESTART / tick if tick else np.inf
        self._shift = 0  # ticks
        #: of the last two packets: decoding time in ticks of the file, and the end of all frames so far, shifted
        self._before: tuple[float, int] = (np.inf, 0)
        self._last: tuple[float, int] = (-np.inf, 0)
        self.restarts = 0

    def apply(self, packet: Any) -> None:
        """Shift a packet, the next in the file's order: the first one after a restart is shown one frame later."""
        if packet.pts is None or packet.dts is None:
            return
        if packet.dts < self._last[0] - self._back:
            if self._before[0] <= packet.dts <= self._before[0] + self._back:  # only the packet before was damaged
                self._last = self._before
            else:
                self._shift = self._last[1] - packet.pts
                self.restarts += 1
        dts = packet.dts
        packet.pts = packet.pts + self._shift
        packet.dts = packet.dts + self._shift
        end = max(self._last[1], packet.pts + (packet.duration or self._step))
        self._before = self._last
        self._last = (dts, end)


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of all frames in order, in ticks of the stream."""

    ticks: np.ndarray  # [n] int64, increasing
    keys: np.ndarray  # [k] int64, numbers of the frames decoding can start at
    tick: float  # seconds; 0 where the stream does not state it
    restarts: int = 0  # times the file's clock restarts; `ticks` continue there

    @staticmethod
    def of(container: Any, stream: Any) -> FrameIndex | None:
        """Read through the packets of an open file; None if they do not identify single frames."""
        packets: list[tuple[int, bool]] = []
        times = ContinuousTimes(stream)
        try:
            for packet in container.demux(stream):
                times.apply(packet)
                if packet.size and not packet.is_discard:
                    if packet.pts is None:
                        return None
                    packets.append((packet.pts, packet.is_keyframe))
        except av.error.FFmpegError:
            pass  # a damaged end: what was read so far is what there is
        ticks = np.array([pts for pts, _ in packets], dtype=np.int64)
        order = np.argsort(ticks, kind="stable")
        if not len(ticks) or (np.diff(ticks[order]) == 0).any():
            return None
        keys = np.flatnonzero(np.array([key for _, key in packets])[order])
        return FrameIndex(ticks[order], keys, float(stream.time_base or 0), times.restarts)

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def times(self) -> np.ndarray:
        """Seconds [n] since the first frame."""
        return (self.ticks - self.ticks[0]) * self.tick

    def number(self, tick: int | None) -> int | None:
        """Number of the frame shown at `tick`; None where there is no such frame."""
        if tick is None:
            return None
        place = int(np.searchsorted(self.ticks, tick))
        return place if place < len(self.ticks) and self.ticks[place] == tick else None

    def jump(self, position: int, target: int) -> int | None:
        """Ticks of the key frame to seek to on the way from frame `position` to `target`, where that pays.

        Never in a file whose clock restarts: a time is in it more than once.
        """
        if self.restarts:
            return None
        before = self.keys[self.keys <= target]
        if not len(before) or before[-1] < position + _WORTH_A_JUMP:
            return None
        return int(self.ticks[before[-1]])
