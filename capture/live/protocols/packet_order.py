"""Selection of the sender, order of packets, and loss statistics of one socket."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from avatar.driving.live.samples import Sample, SourceStats
from avatar.head.arkit import ARKIT_52
from avatar.motion.files.names import ARKIT, listed

from .packet_face import Face, GazeDeduplicator, Malformed
from .unused import UnusedPackets

Address = tuple[str, int]
Decode = Callable[[bytes], Face | Malformed | None]

#: Seconds without packets after which another sender is accepted.
SENDER_TIMEOUT = 1.0
#: Two consecutive packets that are older than the newest by more seconds than this are not late: the sender, or its
#: clock, was restarted.
RESTART = 0.5
_STEPS = 32
_MAX_IGNORED = 16


class Rate:
    """Recent samples per second."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=64)

    def add(self, now: float) -> None:
        """Count a sample at `now` seconds."""
        self._times.append(now)

    def of(self, now: float) -> float:
        """Samples per second over the last ones; 0 after the sender's timeout."""
        times = list(self._times)
        if len(times) < 2 or now - times[-1] > SENDER_TIMEOUT or times[-1] <= times[0]:
            return 0.0
        return (len(times) - 1) / (times[-1] - times[0])


class LossEstimate:
    """Estimates frames lost from the steps of the sender's clock; the lower quartile of recent steps is one frame."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=_STEPS)
        self.lost = 0

    def add_step(self, seconds: float) -> None:
        """Count a step of the sender's clock of `seconds` between two samples."""
        if not 0 < seconds <= RESTART:
            return
        self._steps.append(seconds)
        frame = sorted(self._steps)[len(self._steps) // 4]
        self.lost += max(round(seconds / frame) - 1, 0)

    def add_late(self) -> None:
        """Count a frame that arrived too late: it was not lost."""
        self.lost = max(self.lost - 1, 0)


@dataclass
class _Sender:
    """The sender whose packets are used."""

    address: Address
    decode: Decode
    heard: float  # seconds, when its last valid packet came
    gaze: GazeDeduplicator = field(default_factory=GazeDeduplicator)
    stream: str | None = None
    newest: float = -math.inf  # seconds of its clock
    restarted: float = math.inf  # seconds of its clock after it last stepped far back
    moves: bool = False  # whether a weight was not 0


@dataclass
class PacketReceiver:
    """Converts packets to samples: of one sender at a time, never an older face after a newer one."""

    make_decoder: Callable[[], Decode]  # makes a decoder for a new sender
    received: int = 0  # packets
    samples: int = 0
    malformed: int = 0
    late: int = 0  # older than the newest sample
    foreign: int = 0  # of other senders than the current one
    reason: str = ""  # of the last malformed packet
    ignored: set[str] = field(default_factory=set)  # names that are not ARKit's
    loss: LossEstimate = field(default_factory=LossEstimate)
    rate: Rate = field(default_factory=Rate)
    unused: UnusedPackets = field(default_factory=UnusedPackets)
    _sender: _Sender | None = None
    _used: float = -math.inf  # seconds, when the last usable pose came

    def receive(self, data: bytes, address: Address, now: float) -> Sample | None:
        """The sample in a packet; None where it contains none that is to be used.

        Args:
            data: the packet.
            address: of its sender.
            now: seconds, time.monotonic(), when it arrived.
        """
        self.received += 1
        sender = self._sender
        if sender is None or now - sender.heard > SENDER_TIMEOUT:
            if sender is None or sender.address != address:
                sender = _Sender(address, self.make_decoder(), now)
        elif sender.address != address:
            self.foreign += 1
            self.unused.add("foreign", now, f"{address[0]}:{address[1]}")
            return None
        face = sender.decode(data)
        if isinstance(face, Malformed):
            self.count_malformed(face.reason, now)
            return None
        self._sender = sender
        if face is None:
            sender.heard = now
            self.unused.add("incomplete", now)
            return None
        if not self._is_newer(sender, face, now):
            return None
        self._judge(sender, face, now)
        return self._sample(sender, face, now)

    def count_malformed(self, reason: str, now: float) -> None:
        """Count a packet at `now` seconds that could not be decoded."""
        self.malformed += 1
        self.reason = reason
        self.unused.add("some malformed" if now - self._used <= SENDER_TIMEOUT else "malformed", now, reason)

    def _judge(self, sender: _Sender, face: Face, now: float) -> None:
        """Note whether a face shows an expression, or why not."""
        if face.doubt is not None:
            self.unused.add(face.doubt, now)
        if face.confidence <= 0:
            self.unused.add("no face", now)
        elif face.doubt == "percent":
            return
        elif face.has_expressions:
            sender.moves = sender.moves or bool(face.weights.any())
            if sender.moves:
                self._used = now
                self.unused.clear()
            else:
                self.unused.add("zero", now)
        elif face.ignored:
            self.unused.add("names", now, listed(face.ignored, 3))
        else:
            self.unused.add("no expressions", now)

    def _is_newer(self, sender: _Sender, face: Face, now: float) -> bool:
        if face.stream != sender.stream:
            if sender.stream is not None and now - sender.heard <= SENDER_TIMEOUT:
                self.foreign += 1
                self.unused.add("foreign", now, face.stream)
                return False
            sender.stream = face.stream
            sender.newest = -math.inf
            sender.restarted = math.inf
            sender.gaze = GazeDeduplicator()
        sender.heard = now
        if face.source_time is None:
            return True
        ahead = face.source_time - sender.newest
        if ahead < 0 and not (ahead < -RESTART and 0 <= face.source_time - sender.restarted <= RESTART):
            sender.restarted = face.source_time if ahead < -RESTART else math.inf
            self.late += 1
            self.unused.add("late", now)
            self.loss.add_late()
            return False
        self.loss.add_step(ahead)
        sender.newest = face.source_time
        sender.restarted = math.inf
        return True

    def _sample(self, sender: _Sender, face: Face, now: float) -> Sample:
        self.samples += 1
        self.rate.add(now)
        self.ignored.update(face.ignored[: _MAX_IGNORED - len(self.ignored)])
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

    def stats(self, now: float) -> SourceStats:
        """Counts so far; `dropped` are the late and the foreign packets."""
        sender = self._sender
        return {
            "received": self.received,
            "samples": self.samples,
            "malformed": self.malformed,
            "dropped": self.late + self.foreign,
            "late": self.late,
            "foreign": self.foreign,
            "lost": self.loss.lost,
            "rate": self.rate.of(now),
            "sender": f"{sender.address[0]}:{sender.address[1]}" if sender else None,
            "last_malformed": self.reason,
            "ignored_names": sorted(self.ignored),
            "unused": "; ".join(self.unused.sentences(now).values()),
        }
