"""Sound as it is recorded: a microphone, or a file that plays at its pace."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.performance.speech.features import RATE
from avatar.performance.speech.sound import sound_blocks

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
#: Receives samples [n] in -1..1 and the time.monotonic() at which the last of them was recorded.
Receive = Callable[[Floats, float], None]
#: Receives the reason why no more samples will come.
End = Callable[[str], None]

#: Seconds of sound in one block.
BLOCK = 0.02


class SoundFeed(Protocol):
    """Blocks of a sound as they are recorded."""

    name: str  # for display
    rate: float  # samples per second, known after `start`

    def start(self, receive: Receive, end: End) -> None:
        """Start; raises HeadsplatError on failure."""

    def stop(self) -> None:
        """Stop; has no effect when it was not started."""


class MicrophoneFeed:
    """A microphone, by the optional package sounddevice."""

    def __init__(self, device: str = "default") -> None:
        """Args: device: number or a part of the name of an input; default: that of the system."""
        number = device.isascii() and device.isdigit() and len(device) < 4
        self._device: int | str | None = int(device) if number else None if device == "default" else device
        self.name = "microphone" if device == "default" else f"microphone {device}"
        self.rate = float(RATE)
        self._stream: Any = None

    def start(self, receive: Receive, end: End) -> None:
        """Open the device.

        Raises:
            HeadsplatError: sounddevice or PortAudio is missing, or there is no such input.
        """
        sounddevice = _sounddevice()

        def on_block(block: NDArray[np.float32], frames: int, times: object, status: object) -> None:
            if status:
                log.debug("%s: %s", self.name, status)
            receive(block[:, 0].copy(), time.monotonic())

        try:
            self.rate = float(sounddevice.query_devices(self._device, "input")["default_samplerate"])
            self._stream = sounddevice.InputStream(
                device=self._device,
                channels=1,
                dtype="float32",
                samplerate=self.rate,
                blocksize=round(BLOCK * self.rate),
                latency="low",
                callback=on_block,
                finished_callback=lambda: end("the microphone was closed"),
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError, OSError) as error:
            self._stream = None
            raise HeadsplatError(
                f"{self.name}: cannot be opened ({str(error)[:120]}); connect a microphone or name another one, "
                "`python -m sounddevice` lists them"
            ) from error

    def stop(self) -> None:
        """Close the device."""
        stream = self._stream
        self._stream = None
        if stream is not None:
            stream.abort()
            stream.close()


def _sounddevice() -> Any:
    """The package; raises HeadsplatError without it, or without its library."""
    try:
        import sounddevice
    except ImportError as error:
        raise HeadsplatError(
            "--microphone needs sounddevice; install it with: pip install 'headsplat[speech]'"
        ) from error
    except OSError as error:
        raise HeadsplatError(
            "--microphone needs PortAudio, which was not found; on Debian and Ubuntu: apt install libportaudio2"
        ) from error
    return sounddevice


class SoundFileFeed:
    """The sound of a file, at its pace."""

    rate = float(RATE)

    def __init__(self, path: Path, repeat: bool = False) -> None:
        """Args: path: any file with sound; repeat: restart it at its end."""
        self.name = path.name
        self._path = path
        self._repeat = repeat
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, receive: Receive, end: End) -> None:
        """Start to play; raises HeadsplatError where the file has no sound."""
        next(sound_blocks(self._path))  # raises
        self._ending.clear()
        self._thread = threading.Thread(target=self._run, args=(receive, end), name="sound file", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop to play."""
        thread = self._thread
        self._thread = None
        if thread is not None:
            self._ending.set()
            thread.join()

    def _run(self, receive: Receive, end: End) -> None:
        try:
            self._play(receive)
            reason = "the sound has ended"
        except HeadsplatError as error:  # the file was changed or removed
            reason = str(error)
        if not self._ending.is_set():
            end(reason)

    def _play(self, receive: Receive) -> None:
        size = round(BLOCK * RATE)
        due = time.monotonic()
        while True:
            for long in sound_blocks(self._path):
                for block in np.split(long, range(size, len(long), size)):
                    due += len(block) / RATE
                    if self._ending.wait(max(due - time.monotonic(), 0)):
                        return
                    receive(block, due)
            if not self._repeat:
                return
