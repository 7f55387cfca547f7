"""An agent that says what it has heard: a phrase of the microphone, or of a sound file, comes back from the avatar.

    headsplat serve me.avatar                                        # prints an address; open it in a browser
    python examples/agents/echo.py ADDRESS                           # needs sounddevice; wear headphones
    python examples/agents/echo.py ADDRESS --sound words.wav

Whoever begins to speak interrupts the avatar.
"""

from __future__ import annotations

import argparse
import asyncio
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from avatar.performance.speech.client import SpeechClient

BLOCK = 0.02  # seconds
LOUD = 0.01  # of full scale, root mean square: somebody speaks
PAUSE = 0.6  # seconds of silence that end a phrase


async def microphone() -> AsyncIterator[tuple[np.ndarray, int]]:
    """Blocks [n] int16 of the default microphone, and their rate."""
    import sounddevice

    rate = 16_000
    loop, blocks = asyncio.get_running_loop(), asyncio.Queue()

    def receive(data: object, *_: object) -> None:
        loop.call_soon_threadsafe(blocks.put_nowait, np.frombuffer(bytes(data), np.int16))

    with sounddevice.RawInputStream(rate, round(BLOCK * rate), channels=1, dtype="int16", callback=receive):
        while True:
            yield await blocks.get(), rate


async def sound_file(path: Path) -> AsyncIterator[tuple[np.ndarray, int]]:
    """Blocks of a .wav file of 16 bits as they would be said, and silence after it."""
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)[:: file.getnchannels()]
    count = round(BLOCK * rate)
    for at in range(0, len(samples) + round(2 * PAUSE * rate), count):
        block = samples[at : at + count]
        yield np.pad(block, (0, count - len(block))), rate
        await asyncio.sleep(BLOCK)


async def run(address: str, sound: Path | None) -> None:
    """Echo until the sound ends."""
    async with SpeechClient(address) as voice:
        phrase: list[np.ndarray] = []
        quiet = spoken = 0.0  # seconds: since somebody spoke; that the avatar has to say
        async for block, rate in microphone() if sound is None else sound_file(sound):
            await voice.push_heard(block, rate)
            spoken = max(spoken - BLOCK, 0.0)
            if np.sqrt(np.mean((block / 32768) ** 2)) > LOUD:
                quiet = 0.0
                if spoken:
                    await voice.interrupt()
                    spoken = 0.0
            elif phrase:
                quiet += BLOCK
            if phrase or quiet == 0:
                phrase.append(block)
            if phrase and quiet > PAUSE:
                await voice.push_audio(np.concatenate(phrase), rate)
                await voice.end_segment()
                spoken = len(phrase) * BLOCK
                phrase = []
        if spoken:
            print(await voice.ended())


def main() -> None:
    """Read the command line and echo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="printed by headsplat serve")
    parser.add_argument("--sound", type=Path, help="a .wav file of 16 bits in place of the microphone")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.address, arguments.sound))


if __name__ == "__main__":
    main()
