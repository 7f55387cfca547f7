"""The index of a video file from its packets alone: exact frame numbers, and the key frames to seek to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np

#: Number of frames from which seeking to a key frame is faster than decoding through.
_WORTH_A_JUMP = 12


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of all frames in order, in ticks of the stream."""

    ticks: np.ndarray  # [n] int64, increasing
    keys: np.ndarray  # [k] int64, numbers of the frames decoding can start at
    tick: float  # seconds; 0 where the stream does not state it

    @staticmethod
    def of(container: Any, stream: Any) -> FrameIndex | None:
        """Read through the packets of an open file; None if they do not identify single frames."""
        found: list[tuple[int, bool]] = []
        try:
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    if packet.pts is None:
                        return None
                    found.append((packet.pts, packet.is_keyframe))
        except av.error.FFmpegError:
            pass  # a damaged end: what was read so far is what there is
        ticks = np.array([pts for pts, _ in found], dtype=np.int64)
        order = np.argsort(ticks, kind="stable")
        if not len(ticks) or (np.diff(ticks[order]) == 0).any():
            return None
        keys = np.flatnonzero(np.array([key for _, key in found])[order])
        return FrameIndex(ticks[order], keys, float(stream.time_base or 0))

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
        """Ticks of the key frame to seek to on the way from frame `position` to `target`, where that pays."""
        before = self.keys[self.keys <= target]
        if not len(before) or before[-1] < position + _WORTH_A_JUMP:
            return None
        return int(self.ticks[before[-1]])
