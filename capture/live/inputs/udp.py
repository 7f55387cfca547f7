"""A socket that keeps the newest face and nothing else."""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from avatar.errors import HeadsplatError
from capture.live.sample import SILENT, Sample

from .packet_order import Address, Decode, Traffic

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
#: Seconds; how soon the thread sees that it is to end.
_PATIENCE = 0.05
#: Packets read in one go; a flood beyond them leaves the rest of the machine this many seconds.
_MOST_AT_ONCE, _BREATH = 64, 0.005
#: Seconds between two greetings while nothing comes.
_GREETING_PAUSE = 1.0


@dataclass(frozen=True)
class Protocol:
    """What is spoken on a socket."""

    name: str  # as --listen has it
    title: str  # as a person knows it
    port: int  # where its senders send by themselves
    decoder: Any  # () -> Decode: makes one for a new sender
    greeting: bytes = b""  # what its sender wants to hear before it sends

    def new_decoder(self) -> Decode:
        """A decoder that has heard nothing yet."""
        decode: Decode = self.decoder()
        return decode


class UdpInput:
    """Samples out of UDP packets: a thread reads, the newest waits for `latest`.

    What comes faster than it is taken is replaced, never queued; under a flood the system drops what the thread does
    not read. One sender is listened to; another may follow after a second of its silence. Half a second of silence is
    one sample of confidence 0.
    """

    def __init__(self, protocol: Protocol, host: str = LOOPBACK, port: int | None = None, phone: str = "") -> None:
        """
        Args:
            protocol: what is spoken.
            host: the address of this machine to listen at; "0.0.0.0" for all of them.
            port: the protocol's own when None; 0 for any that is free (see `port` after start).
            phone: address of a sender that waits for the protocol's greeting (a phone with iFacialMocap).
        """
        self.name, self.protocol, self.host = protocol.title, protocol, host
        self.port = protocol.port if port is None else port
        self._greet: Address | None = (phone, protocol.port) if phone and protocol.greeting else None
        self._traffic = Traffic(protocol.new_decoder)
        self._counting = threading.Lock()
        self._lock = threading.Lock()  # of the newest alone: who asks for it does not wait for a packet to be read
        self._newest: Sample | None = None
        self._last: Sample | None = None  # what came last, until its sender falls silent
        self._replaced = self._greetings = self._silences = 0
        self._heard = 0.0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Bind and listen.

        Raises:
            HeadsplatError: the port is taken or not allowed, or the address is none of this machine's.
        """
        if self._thread is not None:
            return
        bound = self._bound()
        self.port = bound.getsockname()[1]
        self._traffic, self._last = Traffic(self.protocol.new_decoder), None
        self._replaced = self._greetings = self._silences = 0
        self._ending.clear()
        self._thread = threading.Thread(
            target=self._run, args=(bound,), name=f"{self.protocol.name} input", daemon=True
        )
        self._thread.start()

    def latest(self) -> Sample | None:
        """The newest sample, once."""
        with self._lock:
            sample, self._newest = self._newest, None
        return sample

    def earlier(self) -> Sequence[Sample]:
        """Nothing: what came first was given."""
        return ()

    def stop(self) -> None:
        """Close the socket and end the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ending.set()
            thread.join()
            self._newest = None

    def stats(self) -> dict[str, Any]:
        """Counts since start: see Traffic.

        `replaced` samples were followed by newer ones before anybody asked, `silences` began after the last packet,
        `greetings` were sent to the phone.
        """
        with self._counting:
            told = self._traffic.stats(time.monotonic())
            return {
                "input": self.name,
                "host": self.host,
                "port": self.port,
                "replaced": self._replaced,
                "silences": self._silences,
                "greetings": self._greetings,
                **told,
            }

    def _bound(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.bind((self.host, self.port))
        except (OSError, OverflowError) as error:
            bound.close()
            raise HeadsplatError(_sentence(self, error)) from error
        bound.setblocking(False)
        return bound

    def _run(self, bound: socket.socket) -> None:
        self._heard = greeted = -_GREETING_PAUSE
        with bound, selectors.DefaultSelector() as selector:
            selector.register(bound, selectors.EVENT_READ)
            while not self._ending.is_set():
                now = time.monotonic()
                if self._greet and now - max(greeted, self._heard) >= _GREETING_PAUSE:
                    greeted = now
                    self._greetings += 1
                    _send(bound, self.protocol.greeting, self._greet)
                if self._last is not None and now - self._heard > SILENT:
                    self._silences += 1
                    self._give(self._last.gone(now))
                    self._last = None
                if selector.select(_PATIENCE) and self._read(bound) == _MOST_AT_ONCE:
                    self._ending.wait(_BREATH)

    def _read(self, bound: socket.socket) -> int:
        """Take the packets that wait, some of them where there are many; returns how many."""
        for count in range(_MOST_AT_ONCE):
            try:
                data, address = bound.recvfrom(1 << 16)
            except BlockingIOError:
                return count
            except OSError:  # what a network says of packets sent before, a phone that is not there
                continue
            now = time.monotonic()
            sample = self._sample_of(data, address, now)
            if sample is not None:
                sample.stamps["decoded"] = time.monotonic()
                self._last, self._heard = sample, now
                self._give(sample)
        return _MOST_AT_ONCE

    def _sample_of(self, data: bytes, address: Address, now: float) -> Sample | None:
        with self._counting:
            try:
                return self._traffic.take(data, address, now)
            except Exception as error:  # a packet that nobody thought of must not end the listening
                reason = f"{type(error).__name__}: {error}"
                if reason != self._traffic.reason:  # a flood of them is told once
                    log.warning("%s: a packet of %s cannot be read", self.name, address[0], exc_info=error)
                self._traffic.refuse(reason)
                return None

    def _give(self, sample: Sample) -> None:
        with self._lock:
            self._replaced += self._newest is not None
            self._newest = sample


def _send(bound: socket.socket, data: bytes, address: Address) -> None:
    try:
        bound.sendto(data, address)
    except OSError:
        return  # no way there yet; it is tried again


def _sentence(source: UdpInput, error: Exception) -> str:
    """Why the socket could not be had, and what to do."""
    where, name = f"{source.host}:{source.port}", source.protocol.name
    code = getattr(error, "errno", None)
    other = f"listen on another port, --listen {name}:PORT, and tell the sender"
    if code == errno.EADDRINUSE:
        return f"{where}: another program listens there for {source.protocol.title} already; close it, or {other}"
    if code in (errno.EACCES, errno.EPERM):
        return f"{where}: the system does not let us listen there; {other}"
    if code is None:
        return f"{where}: no port; give one from 1 to 65535, --listen {name}:PORT"
    return (
        f"{where}: cannot listen there ({getattr(error, 'strerror', None) or error}); give an address of this machine"
    )
