"""Who sends, in which order, and what is lost: the book-keeping of one socket."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from avatar.head.arkit import ARKIT_52
from avatar.motion.files.names import ARKIT
from capture.live.sample import Sample

from .face import Face, OneGaze, Refused

Address = tuple[str, int]
Decode = Callable[[bytes], Face | Refused | None]

#: Seconds of silence after which another sender may take over.
SILENCE = 1.0
#: Two packets in a row that are older than the newest by more seconds than this are no stragglers: the sender, or its
#: clock, began anew.
RESTART = 1.0
_STEPS = 32
_MOST_IGNORED = 16


class Rate:
    """Samples a second of late."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=64)

    def add(self, now: float) -> None:
        """A sample came at `now`, seconds."""
        self._times.append(now)

    def of(self, now: float) -> float:
        """Samples a second over the last ones; 0 once there has been silence."""
        times = list(self._times)
        if len(times) < 2 or now - times[-1] > SILENCE or times[-1] <= times[0]:
            return 0.0
        return (len(times) - 1) / (times[-1] - times[0])


class Gaps:
    """How many frames a sender's clock says have not come, about: its usual step is the lower quartile of late."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=_STEPS)
        self.lost = 0

    def step(self, seconds: float) -> None:
        """The clock went on by `seconds` from one sample to the next."""
        if not 0 < seconds <= RESTART:
            return
        self._steps.append(seconds)
        usual = sorted(self._steps)[len(self._steps) // 4]
        self.lost += max(round(seconds / usual) - 1, 0)

    def straggler(self) -> None:
        """One of those has come after all, too late."""
        self.lost = max(self.lost - 1, 0)


@dataclass
class _Sender:
    """The one that is listened to."""

    address: Address
    decode: Decode
    heard: float  # seconds, when it last said something that was understood
    gaze: OneGaze = field(default_factory=OneGaze)
    stream: str | None = None
    newest: float = -math.inf  # seconds of its clock
    anew: float = math.inf  # what its clock said when it last stepped far back


@dataclass
class Traffic:
    """Packets in, samples out: one sender at a time, never an older face after a newer one."""

    decoder: Callable[[], Decode]  # makes a decoder for a new sender
    received: int = 0  # packets
    samples: int = 0
    malformed: int = 0
    late: int = 0  # older than a sample that was given already
    foreign: int = 0  # of other senders than the one that is listened to
    reason: str = ""  # of the last malformed packet
    ignored: set[str] = field(default_factory=set)  # names that are no expression of ARKit's
    gaps: Gaps = field(default_factory=Gaps)
    rate: Rate = field(default_factory=Rate)
    _sender: _Sender | None = None

    def take(self, data: bytes, address: Address, now: float) -> Sample | None:
        """The sample that a packet brings, if any.

        Args:
            data: the packet.
            address: of its sender.
            now: seconds, time.monotonic(), when it came.
        """
        self.received += 1
        sender = self._sender
        if sender is None or now - sender.heard > SILENCE:
            if sender is None or sender.address != address:
                sender = _Sender(address, self.decoder(), now)
        elif sender.address != address:
            self.foreign += 1
            return None
        face = sender.decode(data)
        if isinstance(face, Refused):
            self.refuse(face.reason)
            return None
        self._sender = sender
        if face is None:
            sender.heard = now
            return None
        return self._sample(sender, face, now) if self._is_news(sender, face, now) else None

    def refuse(self, reason: str) -> None:
        """Count a packet that could not be read."""
        self.malformed += 1
        self.reason = reason

    def _is_news(self, sender: _Sender, face: Face, now: float) -> bool:
        if face.stream != sender.stream:
            if sender.stream is not None and now - sender.heard <= SILENCE:
                self.foreign += 1
                return False
            sender.stream, sender.newest, sender.anew = face.stream, -math.inf, math.inf
            sender.gaze = OneGaze()
        sender.heard = now
        if face.source_time is None:
            return True
        ahead = face.source_time - sender.newest
        if ahead < 0 and not (ahead < -RESTART and 0 <= face.source_time - sender.anew <= RESTART):
            sender.anew = face.source_time if ahead < -RESTART else math.inf
            self.late += 1
            self.gaps.straggler()
            return False
        self.gaps.step(ahead)
        sender.newest, sender.anew = face.source_time, math.inf
        return True

    def _sample(self, sender: _Sender, face: Face, now: float) -> Sample:
        self.samples += 1
        self.rate.add(now)
        self.ignored.update(face.ignored[: _MOST_IGNORED - len(self.ignored)])
        return Sample(
            time=now,
            names=ARKIT_52,
            space=ARKIT,
            weights=face.weights,
            joint_rot=sender.gaze(face),
            translation=face.translation,
            confidence=face.confidence,
            stamps={"received": now},
            source_time=face.source_time,
        )

    def stats(self, now: float) -> dict[str, Any]:
        """Counts so far; `dropped` is every packet that was understood, or not looked at, and gave nothing."""
        sender = self._sender
        return {
            "received": self.received,
            "samples": self.samples,
            "malformed": self.malformed,
            "dropped": self.late + self.foreign,
            "late": self.late,
            "foreign": self.foreign,
            "lost": self.gaps.lost,
            "rate": self.rate.of(now),
            "sender": f"{sender.address[0]}:{sender.address[1]}" if sender else None,
            "last_malformed": self.reason,
            "ignored_names": sorted(self.ignored),
        }
