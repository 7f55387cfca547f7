"""The expressions that VRM has by name, as ARKit weights: faces of the mixer, and visemes of vowels."""

from __future__ import annotations

#: Expression of VRM -> a face of `avatar/performance/mixing/presets.py` and its strength.
_FACES = {
    "happy": ("smile", 1.0),
    "angry": ("angry", 1.0),
    "sad": ("sad", 1.0),
    "relaxed": ("smile", 0.5),
    "surprised": ("surprise", 1.0),
}
#: Vowel of VRM (Japanese a, i, u, e, o) -> phone of the table of visemes.
_VOWELS = {"aa": "AA", "ih": "IY", "ou": "UW", "ee": "EH", "oh": "AO"}


def vrm_presets() -> dict[str, dict[str, float]]:
    """ARKit weights of the emotions and vowels of VRM."""
    from avatar.head.arkit import ARKIT_52
    from avatar.performance.mixing.presets import preset_named
    from avatar.performance.speech.visemes import CONTROLS, VisemeTable

    found: dict[str, dict[str, float]] = {}
    for name, (face, strength) in _FACES.items():
        preset = preset_named(face)
        assert preset is not None
        found[name] = {key: strength * weight for key, weight in preset.weights.items()}
    phones = VisemeTable.load().phones
    for name, phone in _VOWELS.items():
        shape = phones[phone].shape
        found[name] = {ARKIT_52[column]: weight for key, weight in shape.items() for column in CONTROLS[key]}
    return found
