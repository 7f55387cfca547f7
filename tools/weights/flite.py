"""Speech with known phones by Flite, whose voices were built from recordings of people; needs the program `flite`."""

from __future__ import annotations

import re
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.phones import PHONES, SILENCE, Phone
from tools.weights.closures import phones_of

#: Voices of Debian's package: three of units or statistics of men, and `slt` of a woman.
VOICES = ("awb", "kal16", "rms", "slt")
_NAMES = {"AX": "AH", "AXR": "ER", "PAU": SILENCE, "SSIL": SILENCE, "H#": SILENCE}


def synthesize(
    text: str, voice: str = "slt", stretch: float = 1.0, pitch: float = 1.0
) -> tuple[NDArray[np.float32], int, list[Phone]]:
    """Speak a text.

    Args:
        text: what to say.
        voice: one of VOICES.
        stretch: how many times as slowly as usual.
        pitch: how many times as high as usual.

    Returns:
        samples [n] in -1..1; samples per second; the phones, which cover the sound.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        mean = 110 * pitch  # of the voice of diphones, Hz
        settings = f"duration_stretch={stretch}", f"f0_shift={pitch}", f"int_f0_target_mean={mean}"
        command = ["flite", "-voice", voice, "-psdur", "-t", text]
        for setting in settings[: 3 if voice == "kal16" else 2]:
            command += ["--setf", setting]
        printed = subprocess.run([*command, "-o", str(path)], capture_output=True, text=True, check=True).stdout
        with wave.open(str(path)) as sound:
            rate = sound.getframerate()
            steps = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    samples = steps.astype(np.float32) / np.float32(32768)
    starts, time = [], 0.0
    for name, end in re.findall(r"(\S+):([0-9.]+)", printed):
        phone = _NAMES.get(name.upper(), name.upper())
        assert phone in PHONES, f"Flite's phone {name} is unknown"
        starts.append((time, phone, 0))
        time = float(end)
    return samples, rate, phones_of(samples, rate, starts, at_burst=False)
