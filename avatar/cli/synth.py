"""`headsplat synth`: footage of a procedural person with ground truth, from a phone or calibrated cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import arg

from avatar.cli.arguments import SEED, Between, Out, parse_size
from avatar.cli.outputs import Output, reserved
from avatar.cli.progress import stage
from avatar.common.frame_rate import MAX_FPS

_LARGEST_SIDE = 8192  # pixels


@dataclass(frozen=True)
class SynthCommand:
    """Render footage of a procedural person: a phone video or images of calibrated cameras, with ground truth."""

    out: Annotated[Out, arg(metavar="DIR")]
    """folder to write: video.mp4 or transforms.json with images and masks, and truth.npz"""
    person: str = "noor"
    """noor, kofi, ines or vera (glasses, longer hair, a collar)"""
    glasses: bool = False
    """add glasses to a person without them"""
    performance: str = "demo"
    """demo, sweep (every expression up and down, then head turns; needs 480 frames or more) or talk"""
    held_out: bool = False
    """full expressions and wide turns only in the last fifth, for captures with --test-fraction 0.2"""
    yaw: Annotated[float, Between(0, 90)] = 35.0
    """largest head yaw in degrees"""
    cameras: Annotated[int, Between(1, 32)] = 1
    """1: a hand-held phone; more: fixed calibrated cameras around the head"""
    arc: Annotated[float, Between(0, 170, above=True)] = 35.0
    """angle in degrees from the front to the outermost of several cameras"""
    frames: Annotated[int, Between(1, 100_000)] = 240
    """time steps; every camera records each one"""
    fps: Annotated[float, Between(0.01, MAX_FPS)] = 30.0
    """time steps per second"""
    size: str = "540x720"
    """image size in pixels, even numbers"""
    focal: Annotated[float, Between(0.2, 20)] = 1.35
    """focal length of the phone relative to the image width; that of calibrated cameras is scaled by the same factor"""
    noise: Annotated[float, Between(0, 1)] = 0.009
    """sensor noise, standard deviation at mid-gray, 0..1"""
    exposure_drift: Annotated[float, Between(0, 0.9)] = 0.04
    """largest relative change of the exposure"""
    handheld: Annotated[float, Between(0, 10)] = 1.0
    """camera shake: 0 is a tripod, 1 a hand-held phone; calibrated cameras do not move"""
    seed: Annotated[int, SEED] = 7
    """seed of the background, the noise and the timing"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Render and write; returns the exit code."""
        from capture.synthetic.folder import write_synthetic
        from capture.synthetic.options import SyntheticOptions

        options = SyntheticOptions(**self._options())
        with (
            reserved([Output(self.out, folder=True)], overwrite=self.overwrite),
            stage("synthetic capture") as update,
        ):
            write_synthetic(self.out, options, lambda done, total: update(done / total, f"time step {done} of {total}"))
        print(self.out)
        return 0

    def _options(self) -> dict[str, Any]:
        """The arguments of SyntheticOptions."""
        width, height = parse_size(self.size, _LARGEST_SIDE)
        shared = {name: value for name, value in vars(self).items() if name not in ("out", "overwrite", "size")}
        return {**shared, "width": width, "height": height}
