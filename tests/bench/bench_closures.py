"""How many closures of m, b and p are found in synthetic speech: `python -m tests.bench.bench_closures [--quick]`.

Voices and sentences that the acoustic model has not been trained with, at several speeds, with the text and without.
The true times are those of tools/weights/espeak.py and flite.py; what counts as found is in
tests/support/closure_score.py.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.performance.speech.listen import listen
from avatar.performance.speech.live import LiveListener
from avatar.performance.speech.phones import Phone
from avatar.performance.speech.stream import SpeechStream
from tests.support.closure_score import ClosureScore
from tests.support.scripted_speech import lip_gap_of
from tests.support.sounds import write_wav
from tools.weights import espeak, flite

SENTENCES = (
    "My mama bought a big map of Bombay.",
    "People jump over the happy puppy, and Bob makes pumpkin pie.",
    "Remember the summer when we climbed up a mountain by the big blue bay.",
    "Please put the paper cup back on my table.",
    "Maybe tomorrow Bob and Mary will come home from the museum.",
    "The ship's captain spoke about problems with the pump, but nobody stopped to help him.",
    "When the sunlight strikes raindrops in the air, they act as a prism and form a rainbow.",
    "She had your dark suit in greasy wash water all year, and that seems to be a shame.",
)
VOICES = (
    "en-us", "en-us+f3", "en-us+m7", "en-us+steph2", "gmw/en", "gmw/en+f3", "gmw/en-GB-x-rp", "gmw/en-GB-scotland",
    "gmw/en-GB-scotland+f3", "gmw/en-GB-x-gbclan+robert",
)  # fmt: skip
SPEEDS = 120, 160, 200, 240
#: Voices that speak other languages, heard without a text; of these only German, French and Spanish are trained with.
LANGUAGES = {
    "de": (
        "Meine Mutter backt am Montag Brot mit Butter.",
        "Bitte komm morgen pünktlich zum Bahnhof, wir bleiben nur bis zum Abend.",
    ),
    "fr": (
        "Ma maman prépare un bon repas pour le petit bébé.",
        "Le bus passe par le pont, puis tourne à gauche près du port.",
    ),
    "es": (
        "Mi mamá compra pan y mantequilla para el bebé.",
        "Pedro y Pablo caminan por el campo por la mañana.",
    ),
    "it": (
        "Mia mamma prepara una buona pizza per il bambino.",
        "Domani compriamo pane, burro e pomodori al mercato.",
    ),
    "sv": (
        "Min mamma bakar bröd på sommaren.",
        "Kan du komma imorgon och hjälpa mig med problemet på båten?",
    ),
    "pl": (
        "Moja mama kupiła piękną bluzkę w sobotę.",
        "Proszę podać mi chleb, masło i pomidory.",
    ),
    "hi": ("मेरी माँ बाज़ार से आम और पपीता लाती है।", "बाबा ने मुझे एक बड़ी किताब भेजी।"),
    "cmn": ("我妈妈买了很多苹果和面包。", "明天爸爸跑步去公园。"),
}


#: What is measured: the text is given, nothing is given, or the sound is heard live and nothing is given.
MODES = {
    "text": "with the text",
    "free": "without a text",
    "live": "live",
    "stream": "lips of a stream",
    "stream-text": "lips of a stream with the text",
}
#: Millimeters of the lip gap up to which the lips of a stream are shut.
SHUT = 0.5


def score(voice: str, speed: int, mode: str, fps: float, sentences: tuple[str, ...] = SENTENCES) -> ClosureScore:
    """Closures of one voice at one speed, words per minute, in one of MODES."""
    found = ClosureScore(fps)
    with tempfile.TemporaryDirectory() as folder:
        for sentence in sentences:
            if voice.startswith("flite "):
                samples, rate, truth = flite.synthesize(sentence, voice.removeprefix("flite "), 160 / speed)
            else:
                samples, rate, truth = espeak.synthesize(sentence, voice, speed)
            samples = samples + np.random.default_rng(0).normal(0, 3e-4, len(samples)).astype(np.float32)
            if mode == "live":
                found.add(truth, live_phones(samples, rate))
                continue
            if mode.startswith("stream"):
                found.add(truth, shut_lips(samples, rate, sentence if mode == "stream-text" else None, fps))
                continue
            path = write_wav(Path(folder) / "speech.wav", samples, rate)
            found.add(truth, listen(path, sentence if mode == "text" else None).phones)
    return found


def live_phones(samples: NDArray[np.float32], rate: int) -> list[Phone]:
    """A phone for every time in which shut lips are likelier than all else."""
    listener = LiveListener(rate)
    frames = [frame for part in np.array_split(samples, len(samples) // 256 + 1) for frame in listener.push(part)]
    frames += listener.finish()
    shut = np.array([False, *(frame.closed > 0.5 for frame in frames), False])
    edges = np.flatnonzero(shut[1:] != shut[:-1])
    return [Phone("M", a / 100 - 0.005, b / 100 - 0.005) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def shut_lips(samples: NDArray[np.float32], rate: int, text: str | None, fps: float) -> list[Phone]:
    """A phone for every time in which the lips of a stream that is fed as the sound is said are shut."""
    stream = SpeechStream(fps=fps, acting=0)
    if text is not None:
        stream.push_text(text)
    pieces = list(np.array_split(samples, len(samples) * 50 // rate + 1))
    frames = []
    pushed = 0
    while not (frames and frames[-1].ended):
        while pieces and pushed <= stream.time * rate:
            pushed += len(pieces[0])
            stream.push_audio(pieces.pop(0), rate)
            if not pieces:
                stream.end_segment()
        frames.append(stream.next_frame())
    first = next(number for number, frame in enumerate(frames) if frame.segment is not None)
    silent = int((np.abs(frames[first].sound) > 0).argmax()) / stream.rate
    gaps = np.array([lip_gap_of(frame.weights) for frame in frames])
    shut = np.array([False, *(gaps <= SHUT), False])
    edges = np.flatnonzero(shut[1:] != shut[:-1])
    return [
        Phone("M", (a - first - 0.5) / fps - silent, (b - first - 0.5) / fps - silent)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three voices at one speed")
    parser.add_argument("--languages", action="store_true", help="other languages, without a text")
    parser.add_argument("--fps", type=float, default=30.0, help="frames per second")
    options = parser.parse_args()
    if options.languages:
        _print_languages(options.fps)
        return
    voices = [*VOICES, *(("flite slt", "flite rms") if shutil.which("flite") else ())]
    speeds: tuple[int, ...] = SPEEDS
    if options.quick:
        voices, speeds = [name for name in voices if name in ("en-us+f3", "gmw/en", "flite slt")], (160,)
    for mode, title in MODES.items():
        total = ClosureScore(options.fps)
        print(f"\n{title}, {options.fps:g} frames per second: percent found at each speed")
        columns = "".join(f"{speed:>6}" for speed in speeds)
        print(f"{'voice':28}{columns}   precision  in vowels  |middle| median, p95 ms")
        for voice in voices:
            rows = [score(voice, speed, mode, options.fps) for speed in speeds]
            _print(voice, rows)
            for row in rows:
                total.merge(row)
        _print("all", [total])


def _print_languages(fps: float) -> None:
    for language, sentences in LANGUAGES.items():
        voices = [language + variant for variant in ("", "+f3", "+m7")]
        for mode in ("free", "stream"):
            rows = [score(voice, 150, mode, fps, sentences) for voice in voices]
            _print(f"{language}, {MODES[mode]}", rows)


def _print(voice: str, rows: list[ClosureScore]) -> None:
    given, right = sum(row.given for row in rows), sum(row.right for row in rows)
    errors = np.abs([error for row in rows for error in row.errors] or [0.0])
    recalls = "".join(f"{100 * row.recall:6.1f}" for row in rows)
    middles = f"{1000 * np.median(errors):.0f}, {1000 * np.quantile(errors, 0.95):.0f}"
    wrong, wanted = sum(row.in_vowels for row in rows), sum(row.wanted for row in rows)
    precision = f"{100 * right / max(given, 1):10.1f} %{wrong:8d}/{given}"
    print(f"{voice:28}{recalls}{precision}   {middles}   ({wanted} closures)", flush=True)


if __name__ == "__main__":
    main()
