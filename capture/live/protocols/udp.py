"""A pose source that receives UDP packets and keeps the newest sample."""

from __future__ import annotations

import errno
import ipaddress
import logging
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avatar.driving.live.pose_source import LOST_AFTER
from avatar.driving.live.samples import Sample, SourceStats
from avatar.errors import HeadsplatError

from .packet_face import Face
from .packet_order import Address, Decode, PacketReceiver
from .unused import Reason

log = logging.getLogger(__name__)

#: The packets of one face.
Encode = Callable[[Face], Sequence[bytes]]

LOOPBACK = "127.0.0.1"
#: Host names whose last part cannot be read as a number: "0" and "0x0" are 0.0.0.0 to the system.
_NAME = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z][A-Za-z0-9-]{0,62}")
#: Seconds of a wait for packets, after which the thread checks whether to stop.
_TIMEOUT = 0.05
#: Packets read without a pause; after so many the thread sleeps for this many seconds.
_MAX_BATCH = 64
_FLOOD_PAUSE = 0.005
#: Seconds between two greetings while no packet arrives.
_GREETING_PERIOD = 1.0


@dataclass(frozen=True)
class Protocol:
    """A network protocol."""

    name: str  # value of --listen and --send
    title: str  # for display
    port: int  # default
    make_decoder: Callable[[], Decode]  # for a new sender
    greeting: bytes = b""  # packet after which its senders start to send; empty where they need none
    make_encoder: Callable[[], Encode] | None = None  # for a new receiver; None: the protocol is only received


def check_host(host: str) -> None:
    """Raise HeadsplatError unless `host` is an IPv4 address or a name; empty, it would mean all networks silently."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        if len(host) > 253 or not _NAME.fullmatch(host):
            raise HeadsplatError(
                f"--host {host[:60]!r}: expected an IPv4 address of this machine like 192.168.1.20, or 0.0.0.0 for "
                "all of its addresses"
            ) from None


class UdpSource:
    """A pose source that receives UDP packets: a thread reads them, `latest` returns the newest sample.

    Samples are replaced by newer ones, never queued; under a flood the system drops packets that the thread does not
    read. Packets of one sender are used; after a second without any, another sender is accepted. After half a second
    without packets one sample of confidence 0 is produced.
    """

    def __init__(self, protocol: Protocol, host: str = LOOPBACK, port: int | None = None, phone: str = "") -> None:
        """
        Args:
            protocol: of the packets.
            host: the address of this machine to listen on; "0.0.0.0" for all of them.
            port: the protocol's default when None; 0 for any free one (see `port` after start).
            phone: address of a sender that waits for the protocol's greeting (a phone with iFacialMocap).

        Raises:
            HeadsplatError: `host` is neither an IPv4 address nor a name.
        """
        check_host(host)
        self.name = protocol.title
        self.protocol = protocol
        self.host = host
        self.port = protocol.port if port is None else port
        self._greeted: Address | None = (phone, protocol.port) if phone and protocol.greeting else None
        self._receiver = PacketReceiver(protocol.make_decoder)
        self._counting = threading.Lock()  # of the receiver
        self._lock = threading.Lock()  # of _newest alone: `latest` does not wait while a packet is decoded
        self._newest: Sample | None = None
        self._last: Sample | None = None  # the last one, until it was reported as lost
        self._replaced = self._greetings = self._silences = 0
        self._heard = 0.0
        self._told: set[Reason] = set()  # why packets are not used, as far as it was said
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Bind the socket and start to receive.

        Raises:
            HeadsplatError: the port is in use or not permitted, or the address is not one of this machine.
        """
        if self._thread is not None:
            return
        bound = self._bound()
        self.port = bound.getsockname()[1]
        self._receiver = PacketReceiver(self.protocol.make_decoder)
        self._last = None
        self._replaced = self._greetings = self._silences = 0
        self._told = set()
        self._ending.clear()
        self._thread = threading.Thread(
            target=self._run, args=(bound,), name=f"{self.protocol.name} source", daemon=True
        )
        self._thread.start()

    def latest(self) -> Sample | None:
        """The newest sample, once."""
        with self._lock:
            sample = self._newest
            self._newest = None
        return sample

    def earlier(self) -> Sequence[Sample]:
        """None: `latest` returned the first sample."""
        return ()

    def stop(self) -> None:
        """Close the socket and end the thread."""
        thread = self._thread
        self._thread = None
        if thread is not None:
            self._ending.set()
            thread.join()
            self._newest = None

    def stats(self) -> SourceStats:
        """Counts since the start."""
        with self._counting:
            return {
                "input": self.name,
                "host": self.host,
                "port": self.port,
                "replaced": self._replaced,
                "silences": self._silences,
                "greetings": self._greetings,
                **self._receiver.stats(time.monotonic()),
            }

    def _bound(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.bind((self.host, self.port))
        except (OSError, OverflowError) as error:
            bound.close()
            raise HeadsplatError(_bind_error(self, error)) from error
        bound.setblocking(False)
        return bound

    def _run(self, bound: socket.socket) -> None:
        self._heard = greeted = -_GREETING_PERIOD
        with bound, selectors.DefaultSelector() as selector:
            selector.register(bound, selectors.EVENT_READ)
            while not self._ending.is_set():
                now = time.monotonic()
                if self._greeted and now - max(greeted, self._heard) >= _GREETING_PERIOD:
                    greeted = now
                    self._greetings += 1
                    _send(bound, self.protocol.greeting, self._greeted)
                self._tell_unused(now)
                if self._last is not None and now - self._heard > LOST_AFTER:
                    self._silences += 1
                    self._put(self._last.as_lost(now))
                    self._last = None
                if selector.select(_TIMEOUT) and self._read(bound) == _MAX_BATCH:
                    self._ending.wait(_FLOOD_PAUSE)

    def _read(self, bound: socket.socket) -> int:
        """Read the packets that have arrived, at most _MAX_BATCH; returns how many."""
        for count in range(_MAX_BATCH):
            try:
                data, address = bound.recvfrom(1 << 16)
            except BlockingIOError:
                return count
            except OSError:  # an error of a packet sent before, such as a greeting to an unreachable phone
                continue
            now = time.monotonic()
            sample = self._sample_of(data, address, now)
            if sample is not None:
                sample.stamps["decoded"] = time.monotonic()
                self._last = sample
                self._heard = now
                self._put(sample)
        return _MAX_BATCH

    def _sample_of(self, data: bytes, address: Address, now: float) -> Sample | None:
        with self._counting:
            try:
                return self._receiver.receive(data, address, now)
            except Exception as error:  # an unforeseen packet must not end the thread
                reason = f"{type(error).__name__}: {error}"
                if reason != self._receiver.reason:  # log a flood of them once
                    log.warning("%s: a packet of %s cannot be decoded", self.name, address[0], exc_info=error)
                self._receiver.count_malformed(reason, now)
                return None

    def _tell_unused(self, now: float) -> None:
        """Say why what arrives is not used, once for each reason."""
        with self._counting:
            sentences = self._receiver.unused.sentences(now)
        for reason in sentences.keys() - self._told:
            self._told.add(reason)
            log.warning("%s: %s", self.name, sentences[reason])

    def _put(self, sample: Sample) -> None:
        with self._lock:
            self._replaced += self._newest is not None
            self._newest = sample


def _send(bound: socket.socket, data: bytes, address: Address) -> None:
    try:
        bound.sendto(data, address)
    except OSError:
        return  # not reachable yet; sent again after _GREETING_PERIOD


def _bind_error(source: UdpSource, error: Exception) -> str:
    """Why the socket could not be bound, and what to do."""
    where = f"{source.host}:{source.port}"
    name = source.protocol.name
    code = getattr(error, "errno", None)
    advice = f"use another port, --listen {name}:PORT, and set it in the sender too"
    if code == errno.EADDRINUSE:
        return f"{where}: the port is in use by another program; close it, or {advice}"
    if code in (errno.EACCES, errno.EPERM):
        return f"{where}: the system does not permit this port; {advice}"
    if code is None:
        return f"{where}: invalid port; give one from 1 to 65535, --listen {name}:PORT"
    reason = getattr(error, "strerror", None) or error
    return f"{where}: cannot listen on this address ({reason}); give an address of this machine"
