"""Interlaced frames: the lines of two instants, of which the first field alone is used."""

from __future__ import annotations

from typing import Any

import av
import av.filter


class FirstField:
    """Replaces interlaced frames by the lines of their upper field; others are passed on as they are."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._input: tuple[int, int, str] | None = None  # width, height, pixel format

    def __call__(self, decoded: av.VideoFrame) -> av.VideoFrame:
        """The frame, of half its height where it is interlaced."""
        if not decoded.interlaced_frame:
            return decoded
        size = (decoded.width, decoded.height, decoded.format.name)
        if size != self._input:
            self._graph = av.filter.Graph()
            source = self._graph.add_buffer(
                width=decoded.width, height=decoded.height, format=decoded.format, time_base=decoded.time_base
            )
            field = self._graph.add("field", "type=top")
            sink = self._graph.add("buffersink")
            source.link_to(field)
            field.link_to(sink)
            self._graph.configure()
            self._input = size
        self._graph.push(decoded)
        lines: av.VideoFrame = self._graph.pull()
        lines.colorspace, lines.color_range = decoded.colorspace, decoded.color_range
        return lines
