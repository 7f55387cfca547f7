"""Synthetic speech with known phones, to train the acoustic model with: voices, rooms, noises, microphones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from avatar.performance.speech.features import HOP, RATE, WINDOW, log_mel
from avatar.performance.speech.phones import PHONES, SILENCE, Phone
from tools.weights import espeak, flite

ENGLISH = (
    "en-us", "gmw/en", "gmw/en-GB-x-rp", "gmw/en-GB-scotland", "gmw/en-GB-x-gbclan", "gmw/en-GB-x-gbcwmd", "gmw/en-029",
    "gmw/en-US-nyc",
)  # fmt: skip
#: Other languages with Latin letters; English words are read by their rules.
FOREIGN = (
    "de", "fr", "es", "pt", "nl", "tr", "fi", "hu", "cs", "ro", "da", "nb", "ca", "id", "sk", "hr", "et", "lv", "sq",
    "cy", "sw",
)  # fmt: skip
#: Variants of eSpeak's voices that are trained with; the others are never heard in training.
VARIANTS = (
    "", "", "", "+f1", "+f2", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m6", "+m8", "+Alex", "+Alicia", "+Andrea",
    "+Annie", "+Denis", "+Diogo", "+Gene", "+Hugo", "+Jacky", "+Lee", "+Marco", "+Michael", "+Mike", "+adam", "+anika",
    "+antonio", "+aunty", "+belinda", "+benjamin", "+caleb", "+david", "+ed", "+edward", "+grandma", "+iven", "+john",
    "+linda", "+marcelo", "+max", "+miguel", "+pablo", "+paul", "+quincy", "+rob", "+sandro", "+shelby", "+steph",
    "+travis", "+victor", "+zac", "+klatt", "+klatt2",
)  # fmt: skip
HELD_OUT_VARIANTS = ("+f3", "+m7", "+steph2", "+robert", "+norbert", "+boris")
_COMMON = (
    "the", "of", "and", "a", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "with", "as",
    "his", "they", "be", "at", "one", "have", "this", "from", "or", "had", "by", "hot", "but", "some", "what",
    "there", "we", "can", "out", "other", "were", "all", "your", "when", "up", "use", "how", "said", "an", "each",
    "she", "which", "do", "their", "time", "if", "will", "way", "about", "many", "then", "them", "would", "write",
    "like", "so", "these", "her", "long", "make", "thing", "see", "him", "two", "has", "look", "more", "day", "could",
    "go", "come", "did", "my", "sound", "no", "most", "people", "over", "know", "water", "than", "call", "first",
    "who", "may", "down", "side", "been", "now", "find", "any", "new", "work", "part",
)  # fmt: skip
_LIPS = (
    "maybe", "problem", "important", "remember", "member", "number", "because", "people", "probably", "simple",
    "example", "company", "program", "memory", "me", "map", "baby", "bubble", "paper", "puppy", "happy", "ember",
    "bump", "pump", "lamp", "camp", "tempo", "amber", "zombie", "empty", "combine", "spoon", "bomb",
)  # fmt: skip
#: Length of the vocal tract relative to that of the voice, of eSpeak's voices and of Flite's men and woman; pitch of
#: the latter two.
_ESPEAK_SIZES, _SIZES, _PITCHES = (0.82, 1.18), ((0.72, 1.15), (0.85, 1.3)), ((0.8, 1.8), (0.6, 1.3))
_WOMAN = "slt"


@dataclass(frozen=True)
class Utterance:
    """Features of one spoken text, and what was said in each frame."""

    features: NDArray[np.float32]  # [n,BANDS]
    labels: NDArray[np.int64]  # [n] index into PHONES
    source: str


def vocabulary() -> list[str]:
    """Every word of letters of the dictionary that comes with pocketsphinx."""
    import pocketsphinx  # comes with the extra dev

    with open(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"), encoding="utf-8") as file:
        words = (line.split(" ", 1)[0] for line in file)
        return [word for word in words if word.isalpha() and word.isascii() and len(word) > 1]


def sentence(words: list[str], rng: random.Random) -> str:
    """Random words, half of them common ones, with a few commas."""
    chosen = []
    for _ in range(rng.randint(5, 14)):
        kind = rng.random()
        chosen.append(rng.choice(_COMMON if kind < 0.45 else _LIPS if kind < 0.55 else words))
        if rng.random() < 0.08:
            chosen[-1] += ","
    return " ".join(chosen)


def resample(samples: NDArray[np.float32], rate: int, factor: float) -> NDArray[np.float32]:
    """The sound at RATE, played `factor` times as slowly: lower, with a longer vocal tract."""
    ratio = Fraction(RATE * factor / rate).limit_denominator(200)
    return signal.resample_poly(samples, ratio.numerator, ratio.denominator).astype(np.float32)


def roughen(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The sound in a random room, with a random noise and through a random microphone."""
    sound = samples
    if rng.random() < 0.5:
        seconds = rng.uniform(0.1, 0.5)
        time = np.arange(int(seconds * RATE)) / RATE
        tail = rng.normal(size=len(time)) * np.exp(-6.9 * time / seconds) * (time > rng.uniform(0.002, 0.02))
        tail *= rng.uniform(0.1, 0.7) / np.sqrt((tail**2).sum())
        tail[0] = 1.0
        sound = signal.fftconvolve(sound, tail)[: len(sound)].astype(np.float32)
    if rng.random() < 0.25:
        cut = signal.butter(4, rng.uniform(3000, 7500), fs=RATE, output="sos")
        sound = signal.sosfilt(cut, sound).astype(np.float32)
    if rng.random() < 0.2:
        cut = signal.butter(2, rng.uniform(60, 250), "highpass", fs=RATE, output="sos")
        sound = signal.sosfilt(cut, sound).astype(np.float32)
    loud = float(np.sqrt((sound**2).mean())) + 1e-6
    spectrum = np.fft.rfft(rng.normal(size=len(sound)))
    spectrum /= np.arange(1, len(spectrum) + 1) ** rng.uniform(0.0, 0.7)
    noise = np.fft.irfft(spectrum, len(sound))
    noise *= loud * 10 ** (-rng.uniform(8, 60) / 20) / (noise.std() + 1e-12)
    if rng.random() < 0.1:
        sound = np.clip(sound, -2.5 * loud, 2.5 * loud)
    return (sound + noise).astype(np.float32)


def breath(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Samples [count] of one breath, mostly; sometimes silence. It is no phone."""
    if count < 1600 or rng.random() < 0.5:
        return np.zeros(count, np.float32)
    band = signal.butter(2, (rng.uniform(200, 800), rng.uniform(2500, 6000)), "bandpass", fs=RATE, output="sos")
    noise = signal.sosfilt(band, rng.normal(size=count))
    return (noise / np.abs(noise).max() * np.hanning(count) * rng.uniform(0.003, 0.06)).astype(np.float32)


def frame_labels(phones: list[Phone], count: int) -> NDArray[np.int64]:
    """Index into PHONES of each of `count` frames."""
    ends = np.array([phone.end for phone in phones])
    names = np.array([PHONES.index(phone.name) for phone in phones])
    return names[np.minimum(np.searchsorted(ends, np.arange(count) / 100, side="right"), len(names) - 1)]


def utterance(
    samples: NDArray[np.float32], rate: int, phones: list[Phone], source: str, seed: int, *, rough: bool = True
) -> Utterance:
    """Features and labels of one sound.

    Args:
        samples: [n] in -1..1.
        rate: samples per second.
        phones: that cover the sound.
        source: the voice.
        seed: of the room, noise and microphone.
        rough: whether there are any; else the sound is resampled only.
    """
    rng = np.random.default_rng(seed)
    sizes = _SIZES[source == _WOMAN] if source in flite.VOICES else _ESPEAK_SIZES
    scale = float(rng.uniform(*sizes)) if rough else 1.0
    sound = resample(samples, rate, scale)
    scale = len(sound) / RATE / (len(samples) / rate)
    phones = [Phone(phone.name, phone.start * scale, phone.end * scale) for phone in phones]
    if rough:
        before, after = (int(RATE * rng.uniform(0.0, 0.5)) for _ in range(2))
        sound = np.pad(sound, (before, after))
        sound[:before] += breath(before, rng) * np.abs(sound).max()
        at, end = before / RATE, phones[-1].end + before / RATE
        phones = [Phone(phone.name, phone.start + at, phone.end + at) for phone in phones]
        phones = [Phone(SILENCE, 0.0, at), *phones, Phone(SILENCE, end, len(sound) / RATE)]
        sound = roughen(sound, rng)
    sound = sound / (np.abs(sound).max() + 1e-6) * 0.7
    features = log_mel(windows_of(sound.astype(np.float32)))
    return Utterance(features, frame_labels(phones, len(features)), source)


def windows_of(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The windows [n // HOP + 1, WINDOW] of a whole sound [n], with silence around it."""
    count = len(samples) // HOP + 1
    padded = np.zeros((count - 1) * HOP + WINDOW, np.float32)
    kept = samples[: len(padded) - WINDOW // 2]
    padded[WINDOW // 2 : WINDOW // 2 + len(kept)] = kept
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]


def training_speech(hours: float, seed: int, voices: tuple[str, ...] = flite.VOICES) -> Iterator[Utterance]:
    """Random sentences by the voices of training: 60 % by Flite, 25 % by eSpeak in English, 15 % in other languages."""
    rng, words = random.Random(seed), vocabulary()
    remaining = hours * 360_000
    while remaining > 0:
        kind, text, seed = rng.random(), sentence(words, rng), seed + 1
        if kind < 0.6:
            source = rng.choice(voices)
            sound = flite.synthesize(text, source, rng.uniform(0.75, 1.25), rng.uniform(*_PITCHES[source == _WOMAN]))
        else:
            source = rng.choice(ENGLISH if kind < 0.85 else FOREIGN) + rng.choice(VARIANTS)
            sound = espeak.synthesize(text, source, rng.randint(110, 230), rng.randint(20, 80))
        made = utterance(*sound, source, seed)
        remaining -= len(made.labels)
        yield made
