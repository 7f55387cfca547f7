"""Albedo of people's skin, hair and irises by name, linear light."""

from __future__ import annotations

Color = tuple[float, float, float]

#: Albedo of the lightest and of the darkest skin.
LIGHTEST = (0.62, 0.43, 0.34)
DARKEST = (0.055, 0.026, 0.016)
#: Albedo of hair.
HAIR: dict[str, Color] = {
    "black": (0.010, 0.0080, 0.0065),
    "brown": (0.040, 0.022, 0.012),
    "dark-blond": (0.110, 0.066, 0.034),
    "blond": (0.300, 0.200, 0.100),
    "red": (0.130, 0.038, 0.011),
    "gray": (0.170, 0.160, 0.150),
    "white": (0.480, 0.460, 0.430),
}
#: Albedo of irises.
IRIS: dict[str, Color] = {
    "brown": (0.028, 0.015, 0.008),
    "blue": (0.06, 0.10, 0.15),
    "green": (0.05, 0.06, 0.03),
    "gray": (0.085, 0.095, 0.105),
}
