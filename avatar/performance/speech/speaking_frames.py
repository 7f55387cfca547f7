"""Lip sync of a capture with sound: of the true frames, and of the avatar rendered at the same frames.

How far the mouth opens for the phones of a speech, from the height of vowels: a yardstick, not an animation.

Openings are relative: 1 for the most open vowel. Vowels are graded by their height in the chart of the International
Phonetic Alphabet (open, near-open, ..., close); consonants by whether lips, teeth or only the tongue narrow the mouth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.evaluation.landmarks import Landmarker, Locate
from avatar.evaluation.report import LipSync
from avatar.evaluation.response import LIPS, openings
from avatar.model.avatar import Avatar
from avatar.performance.speech.lip_sync import measure_lip_sync
from avatar.performance.speech.phones import FRAME_RATE, SILENCE, Speech
from avatar.refine.corrected_pose import with_corrected_pose
from avatar.refine.measured_torso import with_measured_torso
from avatar.rendering.backends import Rasterizer

Floats = NDArray[np.float64]

#: Frames that are rendered, consecutive, from the one where speech begins.
MOST_FRAMES = 300
#: Frames that are in memory at once.
_CHUNK = 50

#: Seconds of the window that joins neighbors, full width at half maximum: lips take about so long from phone to phone.
SMOOTHING = 0.08
_FULL_WIDTH = 2.3548
_GRADES: tuple[tuple[float, tuple[str, ...]], ...] = (
    (1.0, ("AA", "AE", "AW", "AY")),
    (0.8, ("AO", "AH", "EH", "OY")),
    (0.6, ("EY", "OW", "ER")),
    (0.45, ("IH", "UH", "IY")),
    (0.3, ("UW", "HH", "K", "G", "NG", "L", "R", "Y", "DH", "TH", "N", "T", "D")),
    (0.2, ("W", "S", "Z", "SH", "ZH", "CH", "JH")),
    (0.1, ("F", "V")),
    (0.0, ("B", "P", "M", SILENCE)),
)
OPENINGS: dict[str, float] = {name: grade for grade, names in _GRADES for name in names}


def opening_of(speech: Speech) -> NDArray[np.float64]:
    """Relative opening [n] of the mouth for the phones of `speech`, 0..1, FRAME_RATE per second, smoothed."""
    count = max(round(speech.seconds * FRAME_RATE), 1)
    asked = np.zeros(count)
    for phone in speech.phones:
        asked[round(phone.start * FRAME_RATE) : round(phone.end * FRAME_RATE)] = OPENINGS[phone.name]
    sigma = SMOOTHING * FRAME_RATE / _FULL_WIDTH
    reach = int(3 * sigma) + 1
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(asked, reach, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def measure_capture(
    avatar: Avatar,
    capture: Capture,
    speech: Speech,
    sound: str,
    landmarker: Landmarker | None,
    size: int,
    rasterizer: Rasterizer = "native",
    progress: Callable[[str, int, int], None] | None = None,
) -> LipSync:
    """Measure the lip sync of a capture of one camera with the sound of its video.

    All frames count, training frames too: what is measured is when lips move, not how they look.

    Args:
        avatar: trained on this capture.
        capture: frames with times from the start of the video.
        speech: what is said in the sound, which starts with the video.
        sound: name of its file, for the report.
        landmarker: finds landmarks in rendered frames; None, or without a network: the avatar is not measured.
        size: longer side of the rendered images, pixels.
        rasterizer: rasterizer that renders the avatar.
        progress: called with (row, done, total).
    """
    rows = _rows(capture, speech)
    times = np.asarray(capture.track["time"][rows], np.float64)
    expected = opening_of(speech)
    film = openings(np.asarray(capture.track["landmarks"][rows], np.float64), LIPS)
    seen = None
    if landmarker is not None and landmarker.locate is not None:
        seen = _rendered_openings(avatar, capture, rows, landmarker.locate, size, rasterizer, progress)
    return LipSync(
        sound=sound,
        phones="phones of the given text" if speech.words else "phones recognized without a text",
        film=measure_lip_sync(times, film, speech, expected),
        avatar=None if seen is None else measure_lip_sync(times, seen, speech, expected),
    )


def _rows(capture: Capture, speech: Speech) -> NDArray[np.int64]:
    """Rows of up to MOST_FRAMES consecutive frames of the first camera, from just before the first phone."""
    first = next((phone.start for phone in speech.phones if phone.name != "SIL"), 0.0)
    track = capture.track
    rows = np.flatnonzero((track["camera"] == track["camera"][0]) & (track["time"] >= first - 0.5))
    return np.asarray(rows[np.argsort(track["time"][rows], kind="stable")][:MOST_FRAMES])


def _rendered_openings(
    avatar: Avatar,
    capture: Capture,
    rows: NDArray[np.int64],
    locate: Locate,
    size: int,
    rasterizer: Rasterizer,
    progress: Callable[[str, int, int], None] | None,
) -> Floats:
    """Opening [n] of the mouth in the avatar's frames as landmarks see it; nan where the network sees no face."""
    found = np.full(len(rows), np.nan)
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        frames = load_frames(capture, chunk, size, avatar.head)
        states = with_corrected_pose(avatar, capture, chunk, frames.states)
        frames = replace(frames, states=with_measured_torso(avatar, capture, chunk, states))
        scale = frames.camera.width / capture.metadata["width"]
        for place, row in enumerate(chunk):
            image, _ = render_avatar_frame(avatar, frames, place, rasterizer=rasterizer)
            near = (capture.track["landmarks"][row] * scale).astype(np.float32)
            points = locate((image * 255 + 0.5).astype(np.uint8), near)
            if points is not None:
                found[start + place] = openings(points[None].astype(np.float64), LIPS)[0]
            if progress:
                progress("lip sync", start + place + 1, len(rows))
    return found
