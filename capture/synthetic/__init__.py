"""Synthetic captures with ground truth: a procedural person, rendered as a mesh, without Gaussians."""

from __future__ import annotations

from capture.synthetic.appearance import APPEARANCES, Appearance
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.truth import SyntheticTruth
from capture.synthetic.video import SyntheticScene, make_video

__all__ = ["APPEARANCES", "Appearance", "SyntheticOptions", "SyntheticScene", "SyntheticTruth", "make_video"]
