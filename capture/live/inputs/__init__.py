"""Whoever can drive besides a camera: apps and phones over the network, behind `capture.live.Input`."""

from __future__ import annotations

from capture.live.inputs.listen import PROTOCOLS, listen
from capture.live.inputs.udp import UdpInput

__all__ = ["PROTOCOLS", "UdpInput", "listen"]
