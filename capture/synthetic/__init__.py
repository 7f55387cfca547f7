"""Synthetic phone videos with ground truth: a procedural person, rendered by something that is not the splatter."""

from __future__ import annotations

from capture.synthetic.appearance import LOOKS, Look
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.truth import SyntheticTruth
from capture.synthetic.video import SyntheticScene, make_video

__all__ = ["LOOKS", "Look", "SyntheticOptions", "SyntheticScene", "SyntheticTruth", "make_video"]
