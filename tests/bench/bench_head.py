"""`python -m tests.bench.bench_head CAPTURE...`: how well a head model fits the landmarks of captured clips.

Every frame of each capture is fitted anew, none held out. Prints, in per cent of the inter-ocular distance, the error
of all landmarks, lips, eyes and oval; how far the head's pitch lies from the landmark network's own rigid pose (median
absolute difference, offset included); and how the expression coefficients fill their range. The tracker leans on that
rigid pose (`--attitude`) at some cost in reprojection, because avatars come out better for it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from avatar.data.capture_folder import Capture
from avatar.geometry.numpy_rotations import yaw_pitch
from avatar.head import load_head
from capture.tracker.camera import FocalPrior
from capture.tracker.clip import (
    ClipTrack,
    Observations,
    Person,
    TrackerOptions,
    fit_person,
    network_rotations,
    track_training,
)
from capture.tracker.identity import IdentityOptions
from capture.tracker.indices import EYES, LIPS, OVAL
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import FitOptions


def observations(capture: Capture) -> Observations:
    """All frames of a capture, training or held out."""
    track = capture.track
    presence = np.ones(len(track["time"]))
    return Observations(track["landmarks"].astype(np.float64), track["landmark_spread"], presence, track["time"])


def pitch_difference(person: Person, seen: Observations, track: ClipTrack) -> tuple[float, float]:
    """Median absolute difference of head pitch and the network's rigid pose, as it is and less the clip's median."""
    found = yaw_pitch(np.stack([state.rotation for state in track.states]))[:, 1]
    rigid = yaw_pitch(network_rotations(person.model, seen, person.camera))[:, 1]
    difference = np.degrees(found - rigid)
    return float(np.median(np.abs(difference))), float(np.median(np.abs(difference - np.median(difference))))


def report(path: Path, model: LandmarkModel, options: TrackerOptions, show: int) -> None:
    """Fit one capture and print its rows."""
    capture = Capture.load(path)
    seen = observations(capture)
    matrix = np.array(capture.metadata["cameras"][0]["K"])
    prior = FocalPrior(matrix[0, 0], 0.01, "given")
    start = time.perf_counter()
    person = fit_person(model, seen, prior, (matrix[0, 2], matrix[1, 2]), options)
    track = track_training(person, seen)
    seconds = time.perf_counter() - start
    error = 100 * np.nan_to_num(track.reprojection)
    parts = [error.mean(), *(error[:, rows].mean() for rows in (LIPS, EYES, OVAL))]
    pitch, wobble = pitch_difference(person, seen, track)
    print(
        f"{path.name:28s} {len(seen):4d} frames  all/lips/eyes/oval "
        + " / ".join(f"{part:.2f}" for part in parts)
        + f"  pitch {pitch:.1f} (less offset {wobble:.1f}) degrees  focal {person.camera.focal:.0f}  {seconds:.0f} s"
    )
    weights = np.stack([state.expression for state in track.states])
    high, full = np.quantile(weights, 0.99, axis=0), (weights > 0.98).mean(0)
    order = np.argsort(-high)
    named = [
        f"{model.names[k]} {high[k]:.2f}" + (f" ({100 * full[k]:.0f} % at 1)" if full[k] > 0.02 else "") for k in order
    ]
    print("    99th percentile: " + ", ".join(named[:show]))
    dead = [model.names[k] for k in order if high[k] < 0.05]
    print("    dead: " + (", ".join(dead) or "none"))


def main() -> None:
    """Parse the command line and report every capture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("--head", default="embedded")
    parser.add_argument("--show", type=int, default=60, help="how many expressions")
    parser.add_argument("--attitude", type=float, default=FitOptions.attitude, help="FitOptions.attitude")
    parser.add_argument("--identity-prior", type=float, default=IdentityOptions.identity_prior)
    parser.add_argument("--pitch-sigma", type=float, default=IdentityOptions.pitch_sigma, help="radians")
    options = parser.parse_args()
    tracker = TrackerOptions(
        FitOptions(attitude=options.attitude),
        IdentityOptions(identity_prior=options.identity_prior, pitch_sigma=options.pitch_sigma),
    )
    model = LandmarkModel.from_head(load_head(options.head))
    for path in options.captures:
        report(path, model, tracker, options.show)


if __name__ == "__main__":
    main()
