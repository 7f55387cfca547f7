"""Pose sources over the network: apps and phones that send expressions in UDP packets."""

from __future__ import annotations

from capture.live.protocols.registry import PROTOCOLS, register, udp_source
from capture.live.protocols.udp import Protocol, UdpSource

__all__ = ["PROTOCOLS", "Protocol", "UdpSource", "register", "udp_source"]
