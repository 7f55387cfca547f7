"""Samples of a live source as UDP packets to a program that has a face of its own."""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.geometry.numpy_rotations import quat_to_rotvec
from avatar.head.arkit import ARKIT_52
from avatar.motion.arrays import head_quat
from avatar.motion.files.gaze import joints_to_weights, total_rotations
from avatar.types import ROOT

from .packet_face import Face
from .udp import Protocol

log = logging.getLogger(__name__)


@lru_cache(maxsize=8)
def _columns(names: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Columns of ARKIT_52 that `names` have, and their columns in `names`."""
    pairs = [(column, names.index(name)) for column, name in enumerate(ARKIT_52) if name in names]
    return [column for column, _ in pairs], [other for _, other in pairs]


def face_of(sample: Sample, source_time: float) -> Face:
    """The face of a sample as phones send it: gaze and jaw are in the weights, and the angles of the eyes repeat them.

    Args:
        sample: with ARKit's expressions; others are left out.
        source_time: seconds of the sender's clock.
    """
    weights = np.zeros((1, len(ARKIT_52)))
    columns, others = _columns(sample.names)
    weights[:, columns] = sample.weights[others]
    joints = sample.joint_rot[None].astype(np.float64)
    total = total_rotations(ARKIT_52, weights, joints)[0]
    total[ROOT] = quat_to_rotvec(head_quat(joints))[0]
    whole, _ = joints_to_weights(ARKIT_52, weights, joints)
    return Face(
        whole[0].clip(0, 1).astype(np.float32),
        total.astype(np.float32),
        sample.translation,
        sample.confidence,
        source_time=source_time,
    )


@dataclass
class SendStats:
    """Counters of a sender, in samples."""

    sent: int = 0
    unheard: int = 0  # of those sent, where no program listens on the port
    failed: int = 0  # that could not be sent


class UdpSender:
    """Sends samples to one address; never waits, and never raises after its start.

    A packet that the system cannot send now is dropped. That nothing listens, or that the address cannot be reached, is
    logged once, and sending goes on: the program may start later.
    """

    def __init__(self, protocol: Protocol, host: str, port: int) -> None:
        """
        Args:
            protocol: of the packets; it has an encoder.
            host: an IPv4 address, or a name, which is resolved now.
            port: of the receiving program.

        Raises:
            HeadsplatError: the name cannot be resolved.
        """
        assert protocol.make_encoder is not None
        self.protocol = protocol
        self.host = host
        self.port = port
        self.stats = SendStats()
        self._address = _resolved(host, port)
        self._encode = protocol.make_encoder()
        self._start = time.monotonic()
        self._face: Face | None = None  # the last one that was tracked
        self._connected = False
        self._warned = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, sample: Sample) -> None:
        """Send a sample; of one without a face, the last face as one that is not tracked any more."""
        face = face_of(sample, max(sample.time - self._start, 0.0))
        if not all(np.isfinite(part).all() for part in (face.weights, face.joint_rot, face.translation)):
            return
        if face.confidence > 0:
            self._face = face
        elif self._face is not None:
            face = replace(self._face, confidence=0.0, source_time=face.source_time)
        heard = True
        try:
            for packet in self._encode(face):
                heard = self._send(packet) and heard
        except OSError as error:
            self.stats.failed += 1
            if not isinstance(error, BlockingIOError):  # the buffer is full: the next one may have space
                self._warn(f"cannot be reached ({error.strerror or error}): check address and network")
            return
        self.stats.sent += 1
        self.stats.unheard += not heard
        if not heard:
            self._warn(f"no program receives on this port yet: start it, and its receiver of {self.protocol.title}")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def summary(self) -> str:
        """What was sent, in one sentence."""
        stats = self.stats
        parts = [f"{stats.sent} samples sent"]
        if stats.unheard:
            parts.append(f"{stats.unheard} of them while no program received on this port")
        if stats.failed:
            parts.append(f"{stats.failed} not sent")
        return f"{self}: {', '.join(parts)}"

    def __str__(self) -> str:
        return f"{self.protocol.title} to {self.host}:{self.port}"

    def _send(self, packet: bytes) -> bool:
        """Send a packet; returns False where the system knows by now that nothing received the ones before."""
        if not self._connected:  # only a connected socket learns that nothing listens
            self._socket.connect(self._address)
            self._connected = True
        heard = True
        for _ in range(2):
            try:
                self._socket.send(packet)
                break
            except (ConnectionRefusedError, ConnectionResetError):  # of an earlier packet; this one was not sent
                heard = False
        return heard

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s: %s", self, text)


def _resolved(host: str, port: int) -> tuple[str, int]:
    try:
        address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0][4][0]
    except (OSError, UnicodeError, ValueError):
        raise HeadsplatError(
            f"--send: no IPv4 address is known for the host {host[:60]!r}; give an address like 192.168.1.20"
        ) from None
    return str(address), port
