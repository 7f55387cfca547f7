"""The picture track of a video file: segments of frames through fresh encoders, exact in time."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from avatar.video.audio import SoundTrack
from avatar.video.clock import Clock
from avatar.video.codecs import SEGMENT, Codec, Settings
from avatar.video.metadata import Facts

_SOURCE_FORMATS = {3: "rgb24", 4: "rgba"}


def open_container(path: Path, codec: Codec, clock: Clock) -> av.container.OutputContainer:
    """The container of `codec` at `path`; equal contents give equal bytes.

    The track and the whole file of an mp4 or mov count in the ticks of `clock`, so that no duration is rounded. A webm
    counts milliseconds.
    """
    options = {"fflags": "+bitexact"}  # no random numbers in a webm, no version of ffmpeg
    if codec.format in ("mp4", "mov"):
        options |= {"movflags": "+faststart+use_metadata_tags", "movie_timescale": str(clock.scale)}
        options |= {"video_track_timescale": str(clock.scale)}
    return av.open(str(path), "w", format=codec.format, options=options)


class PacketTrack:
    """Encoded pictures to a stream, each held back until the next one says how long it lasts; a sound beside them."""

    def __init__(
        self, container: av.container.OutputContainer, stream: av.VideoStream, facts: Facts, sound: SoundTrack | None
    ) -> None:
        self._container, self._stream, self._sound = container, stream, sound
        self._clock = facts.clock
        # The only frame of a video lasts as long as the rate says, the last of several as long as the one before.
        self._lasts = self._clock.step or round(self._clock.scale / Fraction(facts.rate))
        self._held: av.Packet | None = None

    def put(self, packet: av.Packet, tick: int) -> None:
        """Append `packet`, whose picture is shown from `tick` on, counted from the start of the file."""
        if self._held is not None:
            assert self._held.pts is not None
            self._lasts = tick - self._held.pts
            self._send()
        packet.stream, packet.time_base = self._stream, self._clock.tick
        packet.pts = packet.dts = tick
        self._held = packet

    def finish(self) -> None:
        """Write what was held back, and the sound up to the same end."""
        assert self._held is not None and self._held.pts is not None
        end = self._held.pts + self._lasts
        self._send()
        if self._sound is not None:
            self._sound.finish(end * self._clock.tick)

    def _send(self) -> None:
        packet = self._held
        assert packet is not None and packet.pts is not None
        packet.duration = self._lasts
        if self._sound is not None:
            self._sound.advance(packet.pts * self._clock.tick)
        self._container.mux(packet)


class PictureTrack:
    """Pictures to the packets of one stream."""

    def __init__(self, settings: Settings, encoder: av.VideoCodecContext, packets: PacketTrack, facts: Facts) -> None:
        """
        Args:
            settings: of every encoder.
            encoder: the first one, that of the stream.
            packets: where its packets go.
            facts: the place of the first picture in the whole.
        """
        self._settings, self._encoder, self._packets, self._facts = settings, encoder, packets, facts
        self._clock = facts.clock
        # Encoders count frames, not ticks, where all are equally long: some refuse fine time bases.
        self._unit = self._clock.step or 1
        self._begin = 0  # tick of the segment's first picture
        self._tick = -1
        self._reformatter = VideoReformatter()  # kept: making one takes longer than converting a picture

    def write(self, picture: np.ndarray, index: int, time: float | None) -> None:
        """Encode `picture` uint8 [H,W], [H,W,3] or [H,W,4] of even size, number `index` of this file."""
        number = self._facts.first + index
        tick = self._clock.at(number, time) - self._facts.start
        self._tick = max(tick, self._tick + 1)  # times may lie closer than a tick
        if index and number % SEGMENT == 0:
            self._flush()
            self._encoder, self._begin = self._settings.fresh(), self._tick
        frame = self._frame(picture)
        frame.pts = (self._tick - self._begin) // self._unit
        frame.time_base = self._settings.tick
        self._put(self._encoder.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._flush()
        self._packets.finish()

    def _flush(self) -> None:
        self._put(self._encoder.encode(None))

    def _put(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            assert packet.pts is not None and packet.pts == packet.dts, "packets out of the order of their pictures"
            self._packets.put(packet, packet.pts * self._unit + self._begin)

    def _frame(self, picture: np.ndarray) -> av.VideoFrame:
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=_SOURCE_FORMATS[picture.shape[2]])
        space = None if self._settings.rgb else Colorspace.ITU709
        return self._reformatter.reformat(frame, format=self._settings.pixels, dst_colorspace=space)
