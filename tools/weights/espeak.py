"""Speech with known phones: eSpeak NG's library speaks a text and says what it speaks when.

A phone of the lips (P, B, M) is the time during which the lips are shut: from the end of the sound before to the burst
or the opening. eSpeak reports a stop at its burst, after the silence of the closure, so the edges of the closures are
looked for in the waveform (tools/weights/closures.py). All other phones last until the next one starts.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.phones import SILENCE, VOWELS, Phone
from tools.weights.closures import phones_of

#: eSpeak reports an l after a vowel at its end, s; the vowel lasts for this share of both.
_SHORT, _SHARE_OF_VOWEL = 0.06, 0.6
_PHONEME_EVENTS, _IPA_NAMES = 1, 2
_LIST_END, _PHONEME = 0, 7
_RATE, _PITCH = 1, 3
_UTF8 = 1

#: IPA names of phonemes by the nearest phone. Sounds that English lacks get the phone with the most similar mouth:
#: front rounded vowels UW, uvular sounds HH or K.
_IPA = {
    "AA": "ɑ a ɒ ä",
    "AE": "æ",
    "AH": "ʌ ə ɐ ɤ",
    "AO": "ɔ ɔː ɒː",
    "AW": "aʊ au aw ɑʊ",
    "AY": "aɪ ai ɑɪ aj aɨ",
    "EH": "ɛ ε",
    "ER": "ɜ ɚ ɝ œ ɵ",
    "EY": "e eɪ ei ɛɪ",
    "IH": "ɪ ᵻ ɨ ɯ",
    "IY": "i",
    "OW": "o oʊ əʊ ou ʌʊ",
    "OY": "ɔɪ oɪ oi ɔø ɔɨ",
    "UH": "ʊ ʏ",
    "UW": "u y ʉ ø",
    "B": "b ɓ",
    "CH": "tʃ tɕ tʂ",
    "D": "d ɾ ɖ r̝",
    "DH": "ð",
    "F": "f ɸ",
    "G": "ɡ g ɣ",
    "HH": "h ɦ x χ ħ",
    "JH": "dʒ dʑ dʐ ɟ",
    "K": "k q c",
    "L": "l ɫ ɬ ʎ ɭ",
    "M": "m ɱ",
    "N": "n ɲ ɳ",
    "NG": "ŋ",
    "P": "p",
    "R": "r ɹ ʁ ʀ ɻ",
    "S": "s ts t͡s ss",
    "SH": "ʃ ɕ ʂ ç",
    "T": "t ʈ",
    "TH": "θ",
    "V": "v ʋ β",
    "W": "w ʍ ɥ",
    "Y": "j ʝ",
    "Z": "z dz",
    "ZH": "ʒ ʐ ʑ",
}
_PHONE_OF = {ipa: phone for phone, names in _IPA.items() for ipa in names.split()}
_LONGEST = max(map(len, _PHONE_OF))
#: Names of phonemes in which `a` is the vowel of TRAP.
_BRITISH_TRAP = "a"


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@cache
def _library() -> tuple[Any, int]:
    """The library, and the samples per second that it speaks with."""
    import espeakng_loader as loader  # comes with the extra dev

    library = ctypes.CDLL(loader.get_library_path())
    rate = library.espeak_Initialize(_UTF8, 0, loader.get_data_path().encode(), _PHONEME_EVENTS | _IPA_NAMES)
    return library, rate


def synthesize(
    text: str, voice: str = "en-us", speed: int = 160, pitch: int = 50
) -> tuple[NDArray[np.float32], int, list[Phone]]:
    """Speak a text.

    Args:
        text: what to say.
        voice: a name of eSpeak's, optionally with a variant: "en-us", "gmw/en" (British), "gmw/en-GB-scotland",
            "en-us+f3" (female), "en-us+m7".
        speed: words per minute, 80 to 450.
        pitch: 0 to 99.

    Returns:
        samples [n] in -1..1; samples per second; the phones, which cover the sound.
    """
    samples, rate, events = events_of(text, voice, speed, pitch)
    return samples, rate, phones_of(samples, rate, name_phones(events, english="en" in voice.lower()[:6]))


def events_of(
    text: str, voice: str, speed: int = 160, pitch: int = 50
) -> tuple[NDArray[np.float32], int, list[tuple[float, str]]]:
    """Speak a text.

    Args:
        text: what to say.
        voice: a name of eSpeak's, optionally with a variant.
        speed: words per minute, 80 to 450.
        pitch: 0 to 99.

    Returns:
        samples [n] in -1..1; samples per second; eSpeak's events: seconds and the IPA name of a phoneme.
    """
    library, rate = _library()
    blocks: list[NDArray[np.int16]] = []
    events: list[tuple[float, str]] = []

    def receive(wave: Any, count: int, event: Any) -> int:
        if count > 0:
            blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while event[index].type != _LIST_END:
            if event[index].type == _PHONEME:
                name = event[index].id.string.decode("utf-8", "ignore")
                events.append((event[index].milliseconds / 1000, name))
            index += 1
        return 0

    callback = _Callback(receive)
    library.espeak_SetSynthCallback(callback)
    assert library.espeak_SetVoiceByName(voice.encode()) == 0, f"eSpeak has no voice {voice}"
    library.espeak_SetParameter(_RATE, speed, 0)
    library.espeak_SetParameter(_PITCH, pitch, 0)
    words = text.encode()
    library.espeak_Synth(words, len(words) + 1, 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    return np.concatenate(blocks).astype(np.float32) / np.float32(32768), rate, events


def name_phones(events: list[tuple[float, str]], *, english: bool = True) -> list[tuple[float, str, int]]:
    """Start, ARPABET name and stress of the phones of events; an event of several phones is divided evenly."""
    phones: list[tuple[float, str, int]] = []
    for index, (time, ipa) in enumerate(events):
        end = events[index + 1][0] if index + 1 < len(events) else time
        names = arpabet(ipa, english=english)
        stress = 1 if "ˈ" in ipa else 2 if "ˌ" in ipa else 0
        if names == ["L"] and end - time < _SHORT and phones and phones[-1][1] in VOWELS:
            time = _SHARE_OF_VOWEL * (end - phones[-1][0]) + phones[-1][0]
        phones += [
            (time + (end - time) * k / len(names), name, stress if name in VOWELS else 0)
            for k, name in enumerate(names)
        ]
    return phones


def arpabet(ipa: str, *, english: bool = False) -> list[str]:
    """Phones of one IPA name, left to right by the longest known part; what is no sound (stress, length) is left out.

    A name without any known sound, a pause or a glottal stop, is SILENCE.
    """
    phones: list[str] = []
    at = 0
    while at < len(ipa):
        for length in range(_LONGEST, 0, -1):
            name = ipa[at : at + length]
            if len(name) == length and name in _PHONE_OF:
                phones.append(_PHONE_OF[name])
                at += length
                break
        else:
            at += 1
    if english and phones == ["AA"] and ipa.strip("ˈˌ") == _BRITISH_TRAP:
        return ["AE"]
    return phones or [SILENCE]
