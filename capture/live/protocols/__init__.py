"""Expressions in UDP packets: from apps and phones as pose sources, and to programs that have a face of their own."""

from __future__ import annotations

from capture.live.protocols.registry import PROTOCOLS, register, udp_sender, udp_source
from capture.live.protocols.send import UdpSender
from capture.live.protocols.udp import Protocol, UdpSource

__all__ = ["PROTOCOLS", "Protocol", "UdpSender", "UdpSource", "register", "udp_sender", "udp_source"]
