"""`headsplat synth`: captures of a procedural person whose truth is known, from a phone or calibrated cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import arg

from avatar.cli.arguments import Out, parse_size
from avatar.cli.progress import stage
from avatar.common.files import check_output, check_replaceable_folder

_LARGEST_SIDE = 8192  # pixels


@dataclass(frozen=True)
class SynthCommand:
    """Record a procedural person: a phone's video, or the images of calibrated cameras, with the ground truth."""

    out: Annotated[Out, arg(metavar="DIR")]
    """folder to write: video.mp4 or transforms.json with images and masks, and truth.npz"""
    person: str = "noor"
    """noor, kofi, ines or vera (glasses, longer hair, a collar)"""
    glasses: bool = False
    """glasses on whoever wears none"""
    performance: str = "demo"
    """demo, sweep (every expression up and down, then turns; give it 480 frames or more) or talk"""
    held_out: bool = False
    """whole expressions and wide turns only in the last fifth, for captures with --test-fraction 0.2"""
    yaw: float = 35.0
    """degrees, the widest turn of the head to the side"""
    cameras: int = 1
    """1 is a hand-held phone; more stand still around the head, calibrated"""
    arc: float = 35.0
    """degrees from the face's middle to the outermost of several cameras"""
    frames: int = 240
    """moments filmed; every camera records each"""
    fps: float = 30.0
    """moments a second"""
    size: str = "540x720"
    """pictures in pixels, even"""
    focal: float = 1.35
    """of the phone, over the picture's width; calibrated cameras are longer by the same share"""
    noise: float = 0.009
    """of the sensor, standard deviation at mid-gray, 0..1"""
    exposure_drift: float = 0.04
    """how far the exposure strays, relative"""
    handheld: float = 1.0
    """0 is a tripod, 1 an ordinary hand; calibrated cameras always stand still"""
    seed: int = 7
    """another one is another room, other noise and other timing"""
    overwrite: bool = False
    """replace what is there"""

    def run(self) -> int:
        """Record and write; returns the exit code."""
        from capture.synthetic.folder import OURS, TRUTH_FILE, write_synthetic
        from capture.synthetic.options import SyntheticOptions

        options = SyntheticOptions(**self._settings())
        folder = check_output(self.out, self.overwrite, folder=True)
        if folder.exists():
            check_replaceable_folder(folder, OURS, sign=TRUTH_FILE)
        with stage("synthetic capture") as update:
            write_synthetic(folder, options, lambda done, total: update(done / total, f"moment {done} of {total}"))
        print(folder)
        return 0

    def _settings(self) -> dict[str, Any]:
        """The flags that are SyntheticOptions' own, by its names."""
        width, height = parse_size(self.size, _LARGEST_SIDE)
        own = {name: value for name, value in vars(self).items() if name not in ("out", "overwrite", "size")}
        return {**own, "width": width, "height": height}
