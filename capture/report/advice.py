"""Checks of the coverage of a clip, with one sentence each on what to film again; every threshold has its reason."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from capture.coach.requests import (
    CLIPPED,
    DARK,
    FACE_PIXELS,
    PITCH_MIN,
    REQUESTS,
    SIDE_LIGHT,
    SOFT,
    SOFT_AT_TIMES,
    WARNINGS,
    YAW_MIN,
)
from capture.report.coverage import Coverage

#: Speech opens the lips by 10 to 15 mm; teeth, tongue and the inside of the mouth are visible from about 20.
MOUTH_WIDE_MM = 20.0
#: A smile that shows teeth widens the mouth by at least a tenth and opens the lips.
SMILE_WIDER = 1.10
SMILE_GAP_MM = 4.0
#: One blink may be a tracking error, three are not.
BLINKS = 3
#: Raising and lowering moves brows by 8 to 12 mm; speech only by 3 to 4.
BROWS_MM = 5.0
#: Eyes rotate about 40 degrees to each side; a total range below 12 means that they stay on the camera.
GAZE_DEG = 12.0
#: A change by a quarter makes skin look different; training can compensate less than that.
EXPOSURE_DRIFT = 1.25
#: Shares of the frames: a region hidden in fewer is seen well enough in the others; of a face whose eyes and mouth are
#: both hidden in more, nothing is left to fit.
HIDDEN = 0.2
NO_FACE = 0.5
#: Fewer frames do not cover a turn to both sides and a few words.
FRAMES = 100


@dataclass(frozen=True)
class Check:
    """Result of one check."""

    topic: str
    good: bool
    found: str  # the measured values, a few words
    advice: str  # one sentence: reason, and what to film


def check_coverage(coverage: Coverage) -> list[Check]:
    """All checks of a clip, in the order of a recording session."""
    return [*_views(coverage), *_hidden(coverage), *_face(coverage), *_images(coverage)]


def check_photos(coverage: Coverage) -> list[Check]:
    """The failed checks that apply to photos: they show few views and expressions, but usually the whole face."""
    single = Check(
        "views",
        coverage.frames > 1,
        "one photo",
        "One photo shows one view: the sides of the head are a guess, and no expression is the person's own, so add "
        "photos of both sides, turned by about 30 degrees, or film a video.",
    )
    return [check for check in (single, *_hidden(coverage)) if not check.good]


def check_walk(coverage: Coverage) -> list[Check]:
    """The checks that apply where the camera is carried around a person who sits still: no expression is wanted."""
    return [*_views(coverage)[:1], *_hidden(coverage), *_images(coverage)]


def _hidden(c: Coverage) -> list[Check]:
    eyes = c.hidden["eyes"]
    mouth = c.hidden["mouth"]
    if min(eyes, mouth) >= NO_FACE:
        advice = (
            f"The eyes are hidden in {eyes:.0%} and the mouth in {mouth:.0%} of the frames: an avatar of them would be "
            "a guess, so film with nothing before the face."
        )
        return [Check("visible face", False, f"eyes hidden in {eyes:.0%}, mouth in {mouth:.0%}", advice)]
    return [
        Check(
            "visible eyes",
            eyes < HIDDEN,
            f"hidden in {eyes:.0%} of the frames",
            f"The eyes are hidden in {eyes:.0%} of the frames, as by sunglasses, a headset, a hat or hair: film "
            "without, so that lids and gaze are seen.",
        ),
        Check(
            "visible mouth",
            mouth < HIDDEN,
            f"hidden in {mouth:.0%} of the frames",
            f"The mouth is hidden in {mouth:.0%} of the frames, as by a mask, a hand or a microphone: film with "
            "nothing before it, so that lips and teeth are seen.",
        ),
    ]


def _views(c: Coverage) -> list[Check]:
    sides = {"left": c.yaw[1], "right": -c.yaw[0]}
    short = [side for side, angle in sides.items() if angle < YAW_MIN]
    tilts = {"up": c.pitch[1], "down": -c.pitch[0]}
    flat = [side for side, angle in tilts.items() if angle < PITCH_MIN]
    return [
        Check(
            "turning",
            not short,
            f"from {_side(c.yaw[0], 'right', 'left')} to {_side(c.yaw[1], 'right', 'left')}",
            f"You hardly turned to the {' or to the '.join(short)}: {_asked(*(f'turn {side}' for side in short))}.",
        ),
        Check(
            "nodding",
            not flat,
            f"from {_side(c.pitch[0], 'down', 'up')} to {_side(c.pitch[1], 'down', 'up')}",
            f"You hardly looked {' or '.join(flat)}: {_asked(*(f'look {way}' for way in flat))}.",
        ),
    ]


def _asked(*keys: str) -> str:
    """The coach's words for these; after the first one without the beginning that all share."""
    words = [REQUESTS[key].words.split() for key in keys]
    shared = sum(1 for _ in takewhile(lambda at: len(set(at)) == 1, zip(*words, strict=False)))
    return " and ".join(" ".join(each[shared if index else 0 :]) for index, each in enumerate(words))


def _side(angle: float, below: str, above: str) -> str:
    return f"{abs(angle):.0f} degrees {above if angle >= 0 else below}"


def _face(c: Coverage) -> list[Check]:
    few = [side for side in ("left", "right") if c.blinks[side] < BLINKS]
    mouth = [
        Check(
            "mouth open",
            c.mouth_gap_mm[1] >= MOUTH_WIDE_MM,
            f"up to {c.mouth_gap_mm[1]:.0f} mm",
            f"You never opened your mouth wide, so the avatar will guess its inside: {_asked('mouth open')}.",
        ),
        Check(
            "smile",
            c.mouth_width >= SMILE_WIDER and c.gap_when_wide_mm >= SMILE_GAP_MM,
            f"{c.mouth_width - 1:.0%} wider than usual, lips {c.gap_when_wide_mm:.0f} mm apart",
            f"No smile showed your teeth, so the avatar will guess them: {_asked('smile')}.",
        ),
    ]
    eyes = [
        Check(
            "blinking",
            not few,
            f"left {c.blinks['left']}, right {c.blinks['right']} times; lids {_span(c.lids['left'])} and "
            f"{_span(c.lids['right'])} open",
            f"The {' and the '.join(few)} eye hardly blinked, so closed lids are a guess: {_asked('blinking')}.",
        ),
        Check(
            "gaze",
            c.gaze[0] >= GAZE_DEG,
            f"{c.gaze[0]:.0f} degrees sideways, {c.gaze[1]:.0f} up and down",
            f"Your eyes stayed in one place: {_asked('gaze')}.",
        ),
    ]
    brows = [
        Check(
            "brows",
            c.brows_mm >= BROWS_MM,
            f"moved {c.brows_mm:.0f} mm",
            f"Your brows hardly moved: {_asked('brows up', 'brows down')}.",
        ),
    ]
    # What is measured of a hidden region is a guess of the landmark network.
    seen = {region: share < HIDDEN for region, share in c.hidden.items()}
    return [*(mouth if seen["mouth"] else []), *(eyes if seen["eyes"] else []), *brows]


def _span(bounds: tuple[float, float]) -> str:
    return f"{100 * bounds[0]:.0f}-{bounds[1]:.0%}"


def _images(c: Coverage) -> list[Check]:
    drift = c.exposure[1] / max(c.exposure[0], 1e-3)
    light = "dark" if c.brightness < DARK else "overexposed" if c.clipped > CLIPPED else "good"
    found = {
        "dark": "The face is dark",
        "overexposed": "Parts of the face are overexposed",
        "good": "One side of the face is much brighter, and the avatar keeps that light",
    }[light]
    return [
        Check("length", c.frames >= FRAMES, f"{c.frames} training frames", "The clip is short: film 20 to 30 seconds."),
        Check(
            "size",
            c.face_pixels >= FACE_PIXELS,
            f"{c.face_pixels:.0f} pixels between the outer eye corners",
            f"The face is small in the image: {WARNINGS['small'].words}, or film at a higher resolution.",
        ),
        Check(
            "sharpness",
            c.blur[0] <= SOFT and c.blur[1] <= SOFT_AT_TIMES,
            f"blur {c.blur[0]:.2f}, {c.blur[1]:.2f} in the worst tenth",
            f"The image is soft: {WARNINGS['soft'].words}."
            if c.blur[0] > SOFT
            else f"Fast turns are blurred: {WARNINGS['blurred'].words}.",
        ),
        Check(
            "steady light",
            drift <= EXPOSURE_DRIFT,
            f"exposure x{c.exposure[0]:.2f} to x{c.exposure[1]:.2f}",
            "The light changes during the clip: lock the exposure (hold a finger on the face in the camera app).",
        ),
        Check(
            "light",
            light == "good" and c.side_light <= SIDE_LIGHT,
            f"face at {c.brightness:.0%}, one side {c.side_light:.1f} times as bright",
            f"{found}: {WARNINGS['side light' if light == 'good' else light].words}.",
        ),
    ]
