"""Options of the subcommands that make a face speak a sound."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.option_types import SEED, OptionalPath

if TYPE_CHECKING:
    from avatar.performance.speech.phones import Speech
    from avatar.types import Motion

#: A text of four hours of fast speech has 300 kB.
_MAX_TEXT = 1 << 20


@dataclass(frozen=True)
class SpeechOptions:
    """how a face speaks a sound"""

    text: Annotated[str | None, arg(metavar="WORDS")] = None
    """the words that are spoken, in English: phones are then aligned with the sound, not recognized in it"""
    text_file: OptionalPath = None
    """a text file (UTF-8) with these words"""
    jaw: Annotated[float, Between(0, 1.5)] = 1.0
    """how far the jaw moves: 0 mumbles, 1.5 shouts"""
    lips: Annotated[float, Between(0, 1.5)] = 1.0
    """how far the lips move; closures of p, b and m are met at any value"""
    acting: Annotated[float, Between(0, 1.5)] = 1.0
    """how much gaze, brows and head move; 0: only the mouth moves, without blinks"""
    seed: Annotated[int, SEED] = 0
    """another seed acts differently; jaw and lips stay the same"""
    style: Annotated[Path | None, arg(metavar="MOTION")] = None
    """a tracked sequence of a person who speaks (an expression file or a capture; ten seconds are enough): its sizes of
    mouth shapes, blinks, brows and head motion are used"""
    visemes: Annotated[Path | None, arg(metavar="TOML")] = None
    """mouth shapes by phone that replace the built-in ones"""

    @property
    def given(self) -> tuple[str, ...]:
        """The options that differ from their defaults."""
        fields = dataclasses.fields(self)
        changed = (field.name for field in fields if getattr(self, field.name) != field.default)
        return tuple(f"--{name.replace('_', '-')}" for name in changed)

    @property
    def inputs(self) -> tuple[Path | None, ...]:
        """The files that are read."""
        return self.text_file, self.style, self.visemes

    def check(self, sound: Path) -> None:
        """Raise HeadsplatError for what can be checked before files are read."""
        if self.text is not None and self.text_file is not None:
            raise HeadsplatError("give --text or --text-file, not both")
        if self.text is not None and not self.text.strip():
            raise HeadsplatError("--text: expected words, got an empty text; leave it out to recognize phones instead")
        if not sound.is_file():
            raise HeadsplatError(f"{sound}: no such sound file; check the path")
        if self.style is not None and not self.style.exists():
            raise HeadsplatError(f"{self.style}: no such capture or motion file; check the path given to --style")
        self._words()

    def speak(
        self,
        sound: Path,
        fps: float,
        limits: Mapping[str, float] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> tuple[Motion, Speech]:
        """The motion of a face that speaks `sound`, and the phones in it.

        Args:
            sound: any file with sound.
            fps: frames per second.
            limits: largest weights by ARKit name; None: 1.
            log: receives messages.
        """
        from avatar.driving.motion_source import load_motion_source
        from avatar.performance.speech.listen import listen
        from avatar.performance.speech.speaking import SpeakOptions, speak
        from avatar.performance.speech.style import SpeakingStyle
        from avatar.performance.speech.visemes import VisemeTable

        visemes = VisemeTable.load(self.visemes)
        style = None
        if self.style is not None:
            style = SpeakingStyle.of(load_motion_source(self.style, log=log).motion)
        speech = listen(sound, self._words(), log=log)
        if style is not None:
            speech = dataclasses.replace(speech, notes=(*speech.notes, *style.notes))
        options = SpeakOptions(fps, self.seed, self.jaw, self.lips, self.acting, style, limits, visemes)
        return speak(speech, options), speech

    def _words(self) -> str | None:
        path = self.text_file
        if path is None:
            return self.text
        try:
            with path.open("rb") as stream:
                data = stream.read(_MAX_TEXT + 1)
            if len(data) > _MAX_TEXT:
                raise HeadsplatError(f"{path}: larger than {_MAX_TEXT >> 20} MB; give the words of the sound only")
            text = data.decode("utf-8-sig")
        except FileNotFoundError:
            raise HeadsplatError(f"{path}: no such text file; check the path given to --text-file") from None
        except OSError as error:
            raise HeadsplatError(f"{path}: cannot be read ({error.strerror}); give a text file") from error
        except UnicodeDecodeError as error:
            raise HeadsplatError(f"{path}: not text in UTF-8; save it as UTF-8 text") from error
        if not text.strip():
            raise HeadsplatError(f"{path}: contains no words; leave --text-file out to recognize phones instead")
        return text


def speech_summary(speech: Speech, motion: Motion, fps: float) -> str:
    """One line: how long, how many phones, words and closures, and the frames."""
    from avatar.common.jsonable import counted
    from avatar.performance.speech.phones import BILABIALS, SILENCE

    spoken = [phone for phone in speech.phones if phone.name != SILENCE]
    closures = sum(phone.name in BILABIALS for phone in spoken)
    words = f"{counted(len(speech.words), 'word')}, " if speech.words else ""
    return (
        f"{speech.seconds:.2f} s, {words}{counted(len(spoken), 'phone')}, {counted(closures, 'closure')} of the lips, "
        f"{counted(len(motion), 'frame')} at {fps:g} fps"
    )
