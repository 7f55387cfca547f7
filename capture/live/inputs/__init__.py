"""Whoever can drive besides a camera: sockets, motion files, sliders, all behind `capture.live.Input`."""

from __future__ import annotations

from capture.live.inputs.listen import PROTOCOLS, listen
from capture.live.inputs.motion_file import MotionInput
from capture.live.inputs.sliders import SliderInput
from capture.live.inputs.udp import UdpInput

__all__ = ["PROTOCOLS", "MotionInput", "SliderInput", "UdpInput", "listen"]
