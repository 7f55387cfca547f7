"""The index of a video file from its packets alone: exact frame numbers, and the key frames to seek to."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

#: Number of frames from which seeking to a key frame is faster than decoding through.
_WORTH_A_JUMP = 12
#: Decoding times never decrease in a sound file; a step back of more seconds than this is a clock that restarts.
_RESTART = 0.5
#: Packets between two looks at the clock.
_LOOK = 64


class ContinuousTimes:
    """Shifts packets whose clock has restarted, as where two files were concatenated, behind those before them."""

    def __init__(self, stream: Any) -> None:
        """Args: the stream of the packets."""
        tick = float(stream.time_base or 0)
        rate = float(stream.average_rate or 0)
        #: ticks of a frame without a stated duration
        self.step = round(1 / (rate * tick)) if rate and tick else 1
        self._back = _RESTART / tick if tick else np.inf
        self._shift = 0  # ticks
        #: of the last two packets: decoding time in ticks of the file, and the end of all frames so far, shifted
        self._before: tuple[float, int] = (np.inf, 0)
        self._last: tuple[float, int] = (-np.inf, 0)
        self.restarts = 0

    def apply(self, packet: Any) -> None:
        """Shift a packet, the next in the file's order: the first one after a restart is shown one frame later."""
        # What an edit list leaves out is only decoded, from the key frame before each of its segments on.
        if packet.pts is None or packet.dts is None or packet.is_discard:
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
        end = max(self._last[1], packet.pts + (packet.duration or self.step))
        self._before = self._last
        self._last = (dts, end)


@dataclass(frozen=True)
class Packets:
    """What the packets of a stream say about its frames, without those that an edit list or a marker leaves out."""

    ticks: list[int | None]  # presentation times in the file's order; None where a packet states none
    keys: list[bool]  # whether decoding can start there
    tick: float  # seconds; 0 where the stream does not state it
    restarts: int  # times the file's clock restarts; `ticks` continue there
    step: int  # ticks of the last frame
    position: int  # bytes of the file up to the last packet
    whole: bool  # whether the file was read to its end, not only until a limit on time

    @staticmethod
    def read(container: Any, stream: Any, limit: float = math.inf) -> Packets:
        """Read through the packets of an open file, for at most `limit` seconds."""
        ticks: list[int | None] = []
        keys: list[bool] = []
        times = ContinuousTimes(stream)
        step = position = number = 0
        whole = True
        end = time.monotonic() + limit
        try:
            for packet in container.demux(stream):
                if number and number % _LOOK == 0 and time.monotonic() >= end:
                    whole = False
                    break
                number += 1
                position = max(position, packet.pos or 0)
                times.apply(packet)
                if packet.size and not packet.is_discard:
                    ticks.append(packet.pts)
                    keys.append(packet.is_keyframe)
                    step = packet.duration or times.step
        except av.error.FFmpegError:
            pass  # a damaged end: what was read so far is what there is
        return Packets(ticks, keys, float(stream.time_base or 0), times.restarts, step, position, whole)

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last; 0 where the packets state no times."""
        known = [tick for tick in self.ticks if tick is not None]
        return (max(known) - min(known) + self.step) * self.tick if len(known) == len(self.ticks) > 0 else 0.0


@dataclass(frozen=True)
class HeaderIndex:
    """The frames that the header of an mp4 or mov file lists, without those that its edit list cuts away."""

    frames: int
    end: int  # bytes of the file that the frames need

    @staticmethod
    def of(container: Any, stream: Any, most: int) -> HeaderIndex | None:
        """Read the index of an open file; None where it does not list every frame, or more than `most`."""
        entries = getattr(stream, "index_entries", ())
        # Fragments are listed as they are read; frames before the first that an edit list shows may not be listed.
        if "mp4" not in container.format.name or not len(entries) <= stream.frames <= most:
            return None
        frames = end = 0
        for entry in entries:
            if not entry.is_discard:
                frames += 1
                end = max(end, entry.pos + entry.size)
        return HeaderIndex(frames, end) if frames else None


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of all frames in order, in ticks of the stream."""

    ticks: np.ndarray  # [n] int64, increasing
    keys: np.ndarray  # [k] int64, numbers of the frames decoding can start at
    tick: float  # seconds; 0 where the stream does not state it
    restarts: int = 0  # times the file's clock restarts; `ticks` continue there

    @staticmethod
    def of(packets: Packets) -> FrameIndex | None:
        """The index of a whole file's packets; None if they do not identify single frames."""
        known = [tick for tick in packets.ticks if tick is not None]
        ticks = np.array(known, dtype=np.int64)
        order = np.argsort(ticks, kind="stable")
        if not len(ticks) or len(ticks) < len(packets) or (np.diff(ticks[order]) == 0).any():
            return None
        keys = np.flatnonzero(np.array(packets.keys)[order])
        return FrameIndex(ticks[order], keys, packets.tick, packets.restarts)

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
