"""`headsplat motion speak`: the motion of a face that speaks a sound."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from avatar.cli.progress import say, show
from avatar.common.frame_rate import MAX_FPS
from avatar.common.ranges import Between
from avatar.jobs.option_types import OptionalPath, Out
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.speech_options import SpeechOptions, speech_summary


@dataclass(frozen=True)
class MotionSpeak:
    """Make the motion of a face that speaks a sound: jaw, lips, blinks, gaze, brows and head."""

    sound: Annotated[Positional[Path], arg(metavar="SOUND")]
    """any file with sound: wav, mp3, m4a, a video"""
    out: Out
    """a Live Link .csv, an ARKit .json or our own .motion.npz"""
    fps: Annotated[float, Between(1, MAX_FPS)] = 60.0
    """frame rate; frame k is at k/FPS seconds of the sound"""
    avatar: OptionalPath = None
    """an .avatar file: mouth shapes stay within the range that it was trained on"""
    speech: Annotated[SpeechOptions, arg(name="")] = field(default_factory=SpeechOptions)
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Read the sound and write the motion; returns the exit code."""
        self.speech.check(self.sound)
        output = Output(self.out, suffixes=(".csv", ".json", ".motion.npz"))
        with reserved([output], (self.sound, self.avatar, *self.speech.inputs), overwrite=self.overwrite):
            return self._speak()

    def _speak(self) -> int:
        from avatar.driving.trained_range import TrainedRange
        from avatar.model.avatar_file import load_avatar
        from avatar.motion import write_motion

        limits = None
        if self.avatar is not None:
            known = TrainedRange.of(load_avatar(self.avatar)).of_expressions()
            limits = {name: limit for name, (_, _, limit) in known.items()}
        motion, speech = self.speech.speak(self.sound, self.fps, limits, log=say)
        missing = write_motion(self.out, motion)
        for note in (*speech.notes, *missing):
            say(note)
        show(f"{self.out}: {speech_summary(speech, motion, self.fps)}")
        return 0
