"""Images and sound encoded as they come: once, for any clients, each of which reads an MP4 that begins when it joins.

The files are fragmented (ISO/IEC 14496-12, movie fragments): H.264 and AAC, a fragment for each image and each piece of
sound, which browsers and FFmpeg play while they come. Images may have any times; sound has no gaps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from avatar.video.audio import RATE
from avatar.video.codecs import CODECS, EncoderSettings, Encoding
from avatar.video.metadata import NOTE
from avatar.video.tracks import encodable

#: What HTTP calls such a file.
MEDIA_TYPE = "video/mp4"
_CODEC = next(codec for codec in CODECS if codec.name == "h264")
#: Quality of the images: half the bytes of a film, and no difference that is seen in motion.
_CRF = 20
_TICK = Fraction(1, 90_000)
#: Seconds between images from which a client can begin, at least and at most.
_LEAST_GAP, _MOST_GAP = 0.5, 4.0
_SAMPLES = 1024  # of an AAC frame
_BIT_RATE = 96_000
_OPTIONS = {"movflags": "+empty_moov+default_base_moof+use_metadata_tags", "fflags": "+bitexact"}
#: A fragment, in microseconds, ends with the next packet; packets do not wait for later ones of the other stream.
_AT_ONCE = {"frag_duration": "1", "max_interleave_delta": "1", "flush_packets": "1"}


@dataclass(frozen=True, eq=False)
class LivePacket:
    """An encoded image, or encoded sound."""

    data: bytes
    is_image: bool
    starts: bool  # whether a client can begin with it
    time: Fraction  # seconds since the first sound
    duration: Fraction


class LiveEncoder:
    """Encodes images and sound, each as soon as it is complete."""

    def __init__(self, width: int, height: int, fps: float, rate: int) -> None:
        """
        Args:
            width: pixels, even.
            height: pixels, even.
            fps: images per second at most.
            rate: samples per second of the sound.
        """
        encoding = Encoding(crf=_CRF, fragmented=True)
        settings = EncoderSettings(_CODEC, encoding, False, width, height, _TICK, Fraction(fps).limit_denominator(1000))
        self._settings = settings
        self._container = av.open(_Bytes(), "w", format="mp4", options=_OPTIONS)  # what is muxed here is not used
        images = self._container.add_stream(settings.encoder, rate=settings.rate)
        assert isinstance(images, av.VideoStream)
        settings.apply(images.codec_context)
        # Each image at once, and keyframes where they are asked for.
        frames = str(round(_MOST_GAP * fps))
        images.codec_context.options |= {"tune": "zerolatency", "forced-idr": "1", "g": frames}
        sound = self._container.add_stream("aac", rate=RATE, layout="mono")
        assert isinstance(sound, av.AudioStream)
        sound.bit_rate = _BIT_RATE
        self._container.start_encoding()
        self._images, self._sound = images, sound
        self._resampler = AudioResampler("fltp", "mono", RATE, _SAMPLES)
        self._reformatter = VideoReformatter()
        self._rate, self._pushed = rate, 0
        self._keyframe = -np.inf  # seconds

    def add_image(self, image: NDArray[np.uint8], time: float, *, start: bool = False) -> list[LivePacket]:
        """Encode an image.

        Args:
            image: [H,W,3] sRGB.
            time: seconds since the first sound, more than the image before.
            start: a client waits for an image from which it can begin.
        """
        frame = encodable(image, self._settings, self._reformatter)
        frame.pts, frame.time_base = round(time / _TICK), _TICK
        if start and time - self._keyframe >= _LEAST_GAP:
            frame.pict_type = PictureType.I
        found = [self._packet(packet, _TICK) for packet in self._images.codec_context.encode(frame)]
        if any(packet.starts for packet in found):
            self._keyframe = time
        return found

    def add_sound(self, samples: NDArray[np.float32]) -> list[LivePacket]:
        """Encode sound [n] -1..1, which follows what was added before."""
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._pushed, Fraction(1, self._rate)
        self._pushed += len(samples)
        pieces = self._resampler.resample(frame)
        packets = (packet for piece in pieces for packet in self._sound.codec_context.encode(piece))
        return [self._packet(packet, Fraction(1, RATE)) for packet in packets]

    def new_file(self) -> LiveFile:
        """The file of another client."""
        return LiveFile(self._images, self._sound)

    def _packet(self, packet: av.Packet, tick: Fraction) -> LivePacket:
        assert packet.pts is not None
        is_image = tick == _TICK
        duration = 1 / self._settings.rate if is_image else Fraction(_SAMPLES, RATE)
        return LivePacket(bytes(packet), is_image, is_image and packet.is_keyframe, packet.pts * tick, duration)


class LiveFile:
    """The MP4 of one client; its time begins with the first image from which it can begin."""

    def __init__(self, images: av.VideoStream, sound: av.AudioStream) -> None:
        """Args: the streams of the encoder."""
        self._written = _Bytes()
        self._container = av.open(self._written, "w", format="mp4", options={**_OPTIONS, **_AT_ONCE})
        self._container.metadata["comment"] = NOTE
        self._images = self._container.add_stream_from_template(images, opaque=True)
        self._sound = self._container.add_stream_from_template(sound, opaque=True)
        self._images.time_base, self._sound.time_base = _TICK, Fraction(1, RATE)
        self._start: Fraction | None = None
        self._container.start_encoding()

    @property
    def has_begun(self) -> bool:
        """Whether it has an image."""
        return self._start is not None

    def add(self, packets: Iterable[LivePacket]) -> bytes:
        """What the file grows by."""
        for packet in packets:
            if self._start is None and packet.starts:
                self._start = packet.time
            if self._start is None or packet.time < self._start:
                continue
            stream, tick = (self._images, _TICK) if packet.is_image else (self._sound, Fraction(1, RATE))
            written = av.Packet(packet.data)
            written.stream, written.time_base = stream, tick
            written.pts = written.dts = round((packet.time - self._start) / tick)
            written.duration = round(packet.duration / tick)
            written.is_keyframe = packet.starts or not packet.is_image
            self._container.mux(written)
        return self._written.take()


class _Bytes:
    """What FFmpeg has written; it cannot be rewound, as a connection."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """All since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
