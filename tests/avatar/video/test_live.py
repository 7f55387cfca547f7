"""Live video: a client reads images and sound with their times, from the moment at which it joins."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from avatar.video.live import LiveEncoder
from avatar.video.metadata import NOTE

FPS, RATE, TONE = 30.0, 24_000, 500


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes]:
    """Files of a client from the start, and of one that joins at 1 s: a second bright image, a tone from there on."""
    encoder = LiveEncoder(64, 48, FPS, RATE)
    first, second = encoder.new_file(), None
    written = [b"", b""]
    for number in range(60):
        image = np.full((48, 64, 3), 200 if number >= 45 else 20, np.uint8)
        waits = second is not None and not second.has_begun
        if number == 30:
            second = encoder.new_file()
            waits = True
        packets = [] if number == 10 else encoder.add_image(image, number / FPS, start=waits)  # a slow moment
        times = np.arange(number * 800, (number + 1) * 800) / RATE
        packets += encoder.add_sound(np.where(times >= 1.5, 0.5 * np.sin(2 * np.pi * TONE * times), 0).astype("f4"))
        written[0] += first.add(packets)
        written[1] += second.add(packets) if second else b""
    return written[0], written[1]


@pytest.mark.parametrize(("which", "joined"), [(0, 0.0), (1, 1.0)])
def test_a_client_reads_images_and_sound_at_their_times(files: tuple[bytes, bytes], which: int, joined: float) -> None:
    images, sounds = [], []
    with av.open(io.BytesIO(files[which])) as container:
        assert container.metadata["comment"] == NOTE
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                images.append((frame.time, frame.to_ndarray(format="gray").mean()))
            else:
                sounds.append((frame.time, np.abs(frame.to_ndarray()).max()))
    numbers = [round((moment + joined) * FPS) for moment, _ in images]
    assert numbers[0] == joined * FPS and numbers[-1] >= 57
    assert numbers == [each for each in range(numbers[0], numbers[-1] + 1) if each != 10]
    assert [number >= 45 for number in numbers] == [level > 100 for _, level in images]
    moment = next(moment for moment, level in sounds if level > 0.2)
    assert moment + joined == pytest.approx(1.5, abs=1024 / 48_000)


def test_the_image_of_a_time_is_encoded_at_once() -> None:
    encoder = LiveEncoder(64, 48, FPS, RATE)
    packets = encoder.add_image(np.zeros((48, 64, 3), np.uint8), 0.0)
    assert [(packet.is_image, packet.starts, packet.time) for packet in packets] == [(True, True, 0)]
