"""The people of the generator: colors are linear light 0..1, lengths are centimeters."""

from __future__ import annotations

from dataclasses import dataclass

Color = tuple[float, float, float]


@dataclass(frozen=True)
class HairStyle:
    """A hair style."""

    color: Color
    tip_color: Color
    length: float  # on the crown
    side_length: float  # above the ears and at the nape
    lift: float  # height of the hair above the skull
    part: float  # x of the parting; the hair is combed away from it
    fringe: float  # how far the front covers the forehead, 0..1
    curl: float  # radius of the waves
    strands: int = 15000
    nape: float = 0.4  # length at the nape over that above the ears


@dataclass(frozen=True)
class Appearance:
    """One person: shape bumps, skin, eyes, hair, clothes."""

    identity_seed: int
    skin: Color
    blush: Color
    lips: Color
    iris: Color
    brow_density: float
    freckles: float
    stubble: float
    hair: HairStyle
    cloth: Color
    shape: tuple[tuple[int, float, float, float, float], ...]  # landmark, radius, then the offset x, y, z
    neck_scale: float = 1.0
    lid_rest: float = -0.04  # closure of the resting lids, as weight of eyeBlink; negative for wide eyes
    smile_rest: float = 0.10  # height of the resting mouth corners, as weight of mouthSmile
    teeth_show: float = 0.2  # cm, downward offset of the upper teeth
    crooked: float = 0.0  # cm, offset of a smiling or open mouth to the person's left; in no head model's span
    glasses: Color | None = None  # color of the frame
    collar: float = 0.0  # cm, height of the collar
    beard: float = 0.0  # density of a full beard in the color of the brows
    ear_blush: float = 0.0  # how far the ears have the color `blush`, 0..1
    lid: Color | None = None  # the lids between lash and crease; None: a shadow of the skin
    circles: float = 1.0  # strength of the shadow under the eyes
    neck: float = 1.0  # brightness of the neck relative to the face
    bald: float = 0.0  # part of the hair on the scalp that is missing, 0..1
    hairline: float = 0.0  # cm, how much higher it is than usual


SPARE_GLASSES: Color = (0.035, 0.035, 0.040)

APPEARANCES: dict[str, Appearance] = {
    "noor": Appearance(
        identity_seed=3,
        skin=(0.45, 0.255, 0.170),
        blush=(0.47, 0.155, 0.115),
        lips=(0.33, 0.095, 0.085),
        iris=(0.038, 0.019, 0.009),
        brow_density=1.0,
        freckles=0.5,
        stubble=0.35,
        hair=HairStyle((0.030, 0.017, 0.010), (0.075, 0.040, 0.021), 6.0, 2.3, 2.2, 2.6, 0.0, 0.20),
        cloth=(0.030, 0.080, 0.092),
        shape=(
            (197, 1.4, 0.0, 0.0, 0.10),
            (152, 2.6, 0.0, -0.15, 0.25),
            (345, 2.2, 0.15, 0.0, 0.10),
            (397, 2.8, -0.12, 0.0, 0.0),
            (327, 1.2, -0.16, 0.02, -0.05),
            (151, 3.5, 0.0, 0.3, 0.45),
        ),
        neck_scale=0.9,
    ),
    "kofi": Appearance(
        identity_seed=11,
        skin=(0.165, 0.078, 0.046),
        blush=(0.175, 0.060, 0.040),
        lips=(0.165, 0.055, 0.050),
        iris=(0.020, 0.011, 0.006),
        brow_density=0.9,
        freckles=0.2,
        stubble=0.0,
        hair=HairStyle((0.010, 0.0075, 0.006), (0.018, 0.012, 0.009), 5.0, 3.0, 2.8, 0.3, 0.0, 1.3, 20000),
        cloth=(0.36, 0.17, 0.030),
        shape=(
            (152, 2.4, 0.0, 0.12, -0.05),
            (345, 2.0, 0.12, 0.05, 0.12),
            (397, 3.0, -0.32, 0.05, 0.0),
            (0, 1.0, 0.0, 0.03, 0.10),
            (17, 1.0, 0.0, -0.03, 0.10),
            (151, 3.5, 0.0, 0.2, 0.35),
        ),
        neck_scale=0.80,
        crooked=0.12,
    ),
    "ines": Appearance(
        identity_seed=23,
        skin=(0.53, 0.335, 0.250),
        blush=(0.55, 0.205, 0.160),
        lips=(0.40, 0.130, 0.120),
        iris=(0.035, 0.048, 0.030),
        brow_density=0.7,
        freckles=1.6,
        stubble=0.0,
        hair=HairStyle((0.095, 0.028, 0.0095), (0.21, 0.070, 0.022), 7.5, 4.5, 1.9, -2.4, 0.1, 0.35),
        cloth=(0.050, 0.055, 0.105),
        shape=(
            (327, 1.3, -0.22, 0.05, -0.08),
            (4, 0.9, 0.0, 0.08, 0.06),
            (397, 3.0, -0.38, 0.0, 0.0),
            (152, 2.2, 0.0, 0.10, 0.05),
            (151, 3.5, 0.0, 0.3, 0.40),
        ),
        neck_scale=0.78,
        crooked=-0.10,
    ),
    "vera": Appearance(
        identity_seed=31,
        skin=(0.37, 0.205, 0.125),
        blush=(0.40, 0.130, 0.090),
        lips=(0.36, 0.080, 0.075),
        iris=(0.030, 0.022, 0.010),
        brow_density=0.8,
        freckles=0.3,
        stubble=0.0,
        hair=HairStyle((0.020, 0.013, 0.010), (0.050, 0.028, 0.017), 16.0, 13.0, 1.6, 1.8, 0.05, 0.25, 20000, 1.0),
        cloth=(0.20, 0.045, 0.050),
        shape=(
            (327, 1.2, -0.10, 0.03, -0.04),
            (152, 2.4, 0.0, 0.05, -0.10),
            (397, 3.0, -0.25, 0.0, 0.0),
            (345, 2.2, 0.12, 0.05, 0.05),
            (151, 3.5, 0.0, 0.2, 0.30),
        ),
        neck_scale=0.80,
        crooked=0.18,
        glasses=(0.030, 0.018, 0.014),
        collar=2.2,
    ),
}
