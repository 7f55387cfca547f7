"""Random people of the generator: skin evenly over its range, hair, lips, brows, beards, ears and eyes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.head.human_colors import DARKEST, HAIR, IRIS, LIGHTEST
from capture.synthetic.appearance import APPEARANCES, Appearance, Color, HairStyle
from capture.synthetic.options import SyntheticOptions

#: The name of the person that the seed draws.
RANDOM = "random"
#: Between the lightest and the darkest skin the logarithm of the albedo is interpolated, and skin of medium tone is
#: more saturated than that: the logarithm of green and blue is lower by so much in the middle.
MEDIUM_SATURATION = (0.0, -0.15, -0.28)
#: Standard deviation of the undertone: of the logarithm of red, green and blue.
UNDERTONE = (0.04, 0.06, 0.10)
#: The chance of each hair color for light and for dark skin.
HAIR_CHANCES = {
    "black": (0.18, 0.62),
    "brown": (0.30, 0.18),
    "dark-blond": (0.14, 0.03),
    "blond": (0.10, 0.02),
    "red": (0.08, 0.02),
    "gray": (0.12, 0.08),
    "white": (0.08, 0.05),
}
# fractions of all people
BALD = 0.10
BEARDED = 0.20
STUBBLED = 0.20
MADE_UP = 0.15


def skin_color(tone: float, undertone: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
    """Albedo [3] of skin, linear light.

    Args:
        tone: 0 for the lightest skin, 1 for the darkest.
        undertone: [3] standard normal deviations of red, green and blue; None: the middle.
    """
    light = np.log(LIGHTEST)
    dark = np.log(DARKEST)
    logarithm = light + tone * (dark - light) + 4 * tone * (1 - tone) * np.array(MEDIUM_SATURATION)
    if undertone is not None:
        logarithm = logarithm + np.array(UNDERTONE) * undertone
    return np.exp(logarithm)


def skin_tone(seed: int) -> float:
    """Tone of the skin of `random_appearance(seed)`: 0 for the lightest, 1 for the darkest."""
    return float(np.random.default_rng((1709, seed)).random())


def random_appearance(seed: int) -> Appearance:
    """A person whose features are drawn independently of each other, except hair color, which follows the skin's tone.

    Args:
        seed: 0 or more; the same person for the same seed.
    """
    rng = np.random.default_rng((1710, seed))
    tone = skin_tone(seed)
    skin = skin_color(tone, rng.standard_normal(3))
    redness = rng.uniform(0.35, 1.0)
    blush = skin * np.exp(-redness * np.array([-0.04, 0.50, 0.45]) * (1 - 0.5 * tone))
    lips = skin * np.exp(-rng.uniform(0.5, 1.1) * np.array([0.25, 1.10, 0.90]) * (1 - 0.55 * tone))
    hair = _hair_color(rng, tone)
    kind = rng.random()
    beard = rng.uniform(0.5, 1.0) if kind < BEARDED else 0.0
    stubble = rng.uniform(0.1, 0.9) if BEARDED <= kind < BEARDED + STUBBLED else 0.0
    made_up = rng.random() < MADE_UP
    if made_up:
        lips = np.array([rng.uniform(0.15, 0.5), rng.uniform(0.01, 0.1), rng.uniform(0.015, 0.12)])
    lid = skin * np.exp(-rng.gamma(2.0, 0.10) * np.array([0.8, 1.0, 0.9]))
    if made_up:
        lid = lid * np.exp(-rng.uniform(0.0, 1.2) * rng.uniform(0.5, 1.5, 3))
    return Appearance(
        identity_seed=int(rng.integers(2**31)),
        skin=_color(skin),
        blush=_color(blush),
        lips=_color(lips),
        iris=_iris(rng, tone),
        brow_density=rng.uniform(0.2, 1.9),
        freckles=max(0.0, rng.normal(0.2, 0.6)),
        stubble=stubble,
        hair=_hair_style(rng, hair),
        cloth=_color(rng.uniform(0.02, 0.4, 3)),
        shape=(),
        neck_scale=rng.uniform(0.75, 0.95),
        beard=beard,
        ear_blush=rng.uniform(0.0, 0.8),
        lid=_color(lid),
        circles=rng.uniform(0.0, 1.6),
        neck=float(np.exp(rng.normal(0.03, 0.10))),
        bald=rng.uniform(0.6, 1.0) if rng.random() < BALD else 0.0,
        hairline=rng.normal(0.0, 0.7),
    )


def appearance_of(options: SyntheticOptions) -> Appearance:
    """The person of `options`, without the glasses that they may add.

    Raises:
        HeadsplatError: no person of that name.
    """
    if options.person == RANDOM:
        return random_appearance(options.seed)
    if options.person not in APPEARANCES:
        known = ", ".join((*sorted(APPEARANCES), RANDOM))
        raise HeadsplatError(f"person: found {options.person!r}; choose one of {known}.")
    return APPEARANCES[options.person]


def _color(values: NDArray[np.floating]) -> Color:
    red, green, blue = (float(x) for x in np.clip(values, 0.002, 0.9))
    return red, green, blue


def _hair_color(rng: np.random.Generator, tone: float) -> NDArray[np.float64]:
    """Color [3] of hair, brows and beard."""
    names = list(HAIR_CHANCES)
    chances = np.array([light + tone * (dark - light) for light, dark in HAIR_CHANCES.values()])
    color = np.array(HAIR[names[rng.choice(len(names), p=chances / chances.sum())]])
    return color * np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.06, 3))


def _hair_style(rng: np.random.Generator, color: NDArray[np.float64]) -> HairStyle:
    length = rng.uniform(1.5, 16.0)
    return HairStyle(
        color=_color(color),
        tip_color=_color(color * rng.uniform(1.2, 2.2)),
        length=length,
        side_length=length * rng.uniform(0.3, 0.9),
        lift=rng.uniform(1.4, 2.8),
        part=rng.uniform(-2.6, 2.6),
        fringe=rng.uniform(0.0, 0.1),
        curl=rng.uniform(0.2, 1.3),
    )


def _iris(rng: np.random.Generator, tone: float) -> Color:
    brown, blue, green = (np.array(IRIS[name]) for name in ("brown", "blue", "green"))
    chance = np.array([0.45 + 0.5 * tone, 0.35 * (1 - tone), 0.2 * (1 - tone)])
    color = (brown, blue, green)[rng.choice(3, p=chance / chance.sum())]
    return _color(color * np.exp(rng.normal(0, 0.3)))
