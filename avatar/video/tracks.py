"""The video track of a file: frames through encoders that are restarted regularly, with exact times."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from avatar.video.audio import AudioTrack
from avatar.video.clock import Clock
from avatar.video.codecs import KEYFRAME_INTERVAL, Codec, EncoderSettings
from avatar.video.metadata import SegmentInfo

_SOURCE_FORMATS = {3: "rgb24", 4: "rgba"}
_FRAGMENT = 100  # milliseconds of a fragmented file that are written at once


def open_container(path: Path, codec: Codec, clock: Clock, fragmented: bool = False) -> av.container.OutputContainer:
    """Open a new container; equal content gives equal bytes.

    The time base of an MP4 or MOV file and of its track is the tick of `clock`, so that no duration is rounded. WebM
    always counts milliseconds.

    Args:
        path: the file to write.
        codec: determines the format.
        clock: the time base.
        fragmented: short fragments reach the disk as they are written, and each can be played without what follows.
    """
    options = {"fflags": "+bitexact"}  # no random numbers in WebM, no ffmpeg version
    if fragmented:
        options |= {"flush_packets": "1"}
    if codec.format in ("mp4", "mov"):
        layout = "+empty_moov+default_base_moof" if fragmented else "+faststart"
        options |= {"movflags": f"{layout}+use_metadata_tags", "movie_timescale": str(clock.scale)}
        options |= {"video_track_timescale": str(clock.scale)}
        options |= {"frag_duration": str(1000 * _FRAGMENT)} if fragmented else {}
    elif fragmented:
        options |= {"cluster_time_limit": str(_FRAGMENT)}
    return av.open(str(path), "w", format=codec.format, options=options)


class PacketTrack:
    """Writes encoded frames to a stream, each when the next one determines its duration, together with the audio."""

    def __init__(
        self,
        container: av.container.OutputContainer,
        stream: av.VideoStream,
        info: SegmentInfo,
        audio: AudioTrack | None,
    ) -> None:
        """
        Args:
            container: the output container.
            stream: its video stream.
            info: the segment's position in the full video.
            audio: the audio track of the same container.
        """
        self._container = container
        self._stream = stream
        self._audio = audio
        self._clock = info.clock
        # The last frame has the duration of the one before; a single frame has the duration given by the rate.
        self._duration = self._clock.step or round(self._clock.scale / Fraction(info.rate))
        self._held: av.Packet | None = None

    def put(self, packet: av.Packet, tick: int) -> None:
        """Append `packet`, whose frame is shown from `tick` on, counted from the start of the file."""
        if self._held is not None:
            assert self._held.pts is not None
            self._duration = tick - self._held.pts
            self._send()
        packet.stream = self._stream
        packet.time_base = self._clock.tick
        packet.pts = packet.dts = tick
        self._held = packet

    def finish(self) -> None:
        """Write the last packet, and the audio up to its end."""
        assert self._held is not None and self._held.pts is not None
        end = self._held.pts + self._duration
        self._send()
        if self._audio is not None:
            self._audio.finish(end * self._clock.tick)

    def _send(self) -> None:
        packet = self._held
        assert packet is not None and packet.pts is not None
        packet.duration = self._duration
        if self._audio is not None:
            self._audio.advance(packet.pts * self._clock.tick)
        self._container.mux(packet)


class VideoTrack:
    """Encodes frames to the packets of one stream."""

    def __init__(
        self, settings: EncoderSettings, encoder: av.VideoCodecContext, packets: PacketTrack, info: SegmentInfo
    ) -> None:
        """
        Args:
            settings: of every encoder.
            encoder: the first one, which belongs to the stream.
            packets: receives the packets.
            info: the segment's position in the full video.
        """
        self._settings = settings
        self._encoder = encoder
        self._packets = packets
        self._info = info
        self._clock = info.clock
        # With a constant rate encoders count frames, not ticks: some refuse fine time bases.
        self._unit = self._clock.step or 1
        self._start = 0  # tick of the encoder's first frame
        self._tick = -1
        self._reformatter = VideoReformatter()  # kept: constructing it takes longer than converting a frame

    def write(self, image: np.ndarray, index: int, time: float | None) -> None:
        """Encode one frame.

        Args:
            image: uint8 [H,W], [H,W,3] or [H,W,4], of even size.
            index: number of the frame in this file.
            time: seconds since frame 0 of the full video; None: constant rate.
        """
        number = self._info.first + index
        tick = self._clock.at(number, time) - self._info.start
        self._tick = max(tick, self._tick + 1)  # times may differ by less than a tick
        if index and number % KEYFRAME_INTERVAL == 0:
            self._flush()
            self._encoder = self._settings.new_encoder()
            self._start = self._tick
        frame = encodable(image, self._settings, self._reformatter)
        frame.pts = (self._tick - self._start) // self._unit
        frame.time_base = self._settings.tick
        self._put(self._encoder.encode(frame))

    def finish(self) -> None:
        """Flush the encoder and write the remaining packets."""
        self._flush()
        self._packets.finish()

    def _flush(self) -> None:
        self._put(self._encoder.encode(None))

    def _put(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            assert packet.pts is not None and packet.pts == packet.dts, "the encoder reordered frames"
            self._packets.put(packet, packet.pts * self._unit + self._start)


def encodable(image: np.ndarray, settings: EncoderSettings, reformatter: VideoReformatter) -> av.VideoFrame:
    """An image uint8 [H,W], [H,W,3] or [H,W,4] of even size in the pixels of an encoder; the reformatter is reused."""
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=_SOURCE_FORMATS[image.shape[2]])
    space = None if settings.rgb else Colorspace.ITU709
    return reformatter.reformat(frame, format=settings.pixels, dst_colorspace=space)
