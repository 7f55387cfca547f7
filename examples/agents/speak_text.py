"""An agent with a local voice: each line of text is spoken by the avatar, nothing leaves this machine.

    headsplat serve me.avatar                                        # prints an address; open it in a browser
    python examples/agents/speak_text.py ADDRESS "Hello, Bob."       # or without a text: each line of the input
    python examples/agents/speak_text.py ADDRESS --program "piper --model voice.onnx --output_file -"

The voice is a program that you have installed: espeak-ng, or say on macOS, or the one of --program, which reads the
text from its input and writes a .wav file to its output. In a checkout for development, the library of espeakng-loader
does. An empty line interrupts the avatar.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shlex
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

from avatar.performance.speech.client import SpeechClient


def spoken(text: str, program: str | None) -> tuple[np.ndarray, int]:
    """The sound of a text: samples [n], and how many a second."""
    for command in [program] if program else ["espeak-ng --stdout --stdin", "espeak --stdout --stdin"]:
        words = shlex.split(command)
        if program or shutil.which(words[0]):
            return read_wav(subprocess.run(words, input=text.encode(), stdout=subprocess.PIPE, check=True).stdout)
    if shutil.which("say"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "said.wav"
            subprocess.run(["say", "-o", str(path), "--data-format=LEI16@22050", text], check=True)
            return read_wav(path.read_bytes())
    try:
        from tools.weights.espeak import synthesize

        return synthesize(text)[:2]
    except ImportError:
        sys.exit("there is no voice: install espeak-ng, or give the program of another one by --program")


def read_wav(data: bytes) -> tuple[np.ndarray, int]:
    """Samples [n] int16 and the rate of a .wav file; a length that a pipe leaves open is ignored."""
    with wave.open(io.BytesIO(data)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return frames[:: file.getnchannels()], file.getframerate()


async def say(voice: SpeechClient, text: str, program: str | None) -> None:
    """Let the avatar say a text."""
    samples, rate = await asyncio.to_thread(spoken, text, program)
    await voice.push_text(text)
    await voice.push_audio(samples, rate)
    await voice.end_segment()


async def run(address: str, text: str | None, program: str | None) -> None:
    """Speak the text, or the input."""
    async with SpeechClient(address) as voice:
        if text is not None:
            await say(voice, text, program)
            print(await voice.ended())
            return
        while line := await asyncio.to_thread(sys.stdin.readline):
            await (say(voice, line.strip(), program) if line.strip() else voice.interrupt())
        # What was pushed is spoken to its end after the connection has ended.


def main() -> None:
    """Read the command line and speak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="printed by headsplat serve")
    parser.add_argument("text", nargs="?", help="what to say; default: each line of the input")
    parser.add_argument("--program", help="command that speaks its input into a .wav file on its output")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.address, arguments.text, arguments.program))


if __name__ == "__main__":
    main()
