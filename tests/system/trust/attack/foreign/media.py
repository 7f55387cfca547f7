"""Videos and photos as phones, browsers and galleries write them: known frames, at known times, in known places."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.system.trust.attack.cases import Case, Outcome, judge, worst
from tests.system.trust.attack.cli import judge_command, run_command
from tests.system.trust.attack.foreign.truth import must_be_read
from tests.system.trust.attack.scene import Scene

_COUNT, _WIDTH, _HEIGHT = 20, 96, 64
_EVEN = [number / 30 for number in range(_COUNT)]
#: Largest errors: seconds, levels of 255 of the middle of a quarter.
_TIME, _LEVELS = 0.005, 14
_TICK = Fraction(1, 90000)
#: Colors of the quarters, by rows; the last one's level says which frame it is.
_COLORS = np.array([[[170, 60, 60], [60, 150, 70]], [[70, 80, 160], [0, 0, 0]]])


def frames() -> np.ndarray:
    """[T,H,W,3] uint8: every quarter has its color, the last one is brighter from frame to frame."""
    found = np.repeat(np.repeat(_COLORS, _HEIGHT // 2, 0), _WIDTH // 2, 1)[None].repeat(_COUNT, 0).astype(np.uint8)
    found[:, _HEIGHT // 2 :, _WIDTH // 2 :] = (40 + 6 * np.arange(_COUNT))[:, None, None, None]
    return found


@dataclass(frozen=True)
class Clip:
    """How a program writes a video."""

    suffix: str = ".mp4"
    codec: str = "libx264"
    pixels: str = "yuv420p"
    times: Sequence[float] = tuple(_EVEN)
    options: dict[str, str] = field(default_factory=dict)  # of the container
    transfer: int = 0  # of HDR
    matrix: tuple[int, int, int, int] | None = None  # for display
    shown: Callable[[np.ndarray], np.ndarray] = lambda images: images  # what players do with the stored frames
    cut: int = 0  # frames that an edit list leaves out

    def write(self, path: Path) -> Path:
        """Write it; returns its path."""
        import av

        path = path.with_suffix(self.suffix)
        images = frames()
        if self.transfer:
            from tests.capture.video.test_awkward_video import to_hdr

            images = to_hdr(images, self.transfer)
        coding = {"libx265": {"x265-params": "log-level=none", "crf": "8"}, "libx264": {"crf": "8"}}.get(self.codec, {})
        with av.open(str(path), "w", options=self.options) as container:
            stream: Any = container.add_stream(self.codec, rate=30, options=coding)
            stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, self.pixels
            stream.bit_rate = 2_000_000
            if self.suffix != ".avi":
                stream.codec_context.time_base = _TICK
            if self.transfer:
                context = stream.codec_context
                context.colorspace, context.color_primaries, context.color_trc = 9, 9, self.transfer
            for second, image in zip(self.times, images, strict=True):
                frame = av.VideoFrame.from_ndarray(image, "rgb48le" if self.transfer else "rgb24")
                frame = frame.reformat(format=self.pixels, **({"dst_colorspace": 9} if self.transfer else {}))
                base = Fraction(1, 30) if self.suffix == ".avi" else _TICK
                frame.pts, frame.time_base = round(second / base), base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        if self.matrix is not None:
            from tests.capture.video.test_decoding import rotated

            path = rotated(path, self.matrix)
        return _trimmed(path, self.cut) if self.cut else path


def _trimmed(path: Path, cut: int) -> Path:
    """A copy whose edit list leaves out the first frames, as galleries trim."""
    import av

    out = path.with_name(f"trimmed{path.suffix}")
    with av.open(str(path)) as source, av.open(str(out), "w", options={"avoid_negative_ts": "disabled"}) as container:
        own: Any = source.streams.video[0]
        copy = container.add_stream_from_template(own)
        shift = round(cut / 30 / float(own.time_base))
        for packet in source.demux(own):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                container.mux(packet)
    return out


_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
#: Frames after pauses, and pairs that are close together.
_VARIABLE = [0.02 * number + 0.21 * (number // 7) + 0.004 * (number % 2) for number in range(_COUNT)]
CONTAINERS = {
    "phone": Clip(), "QuickTime": Clip(".mov"), "HEVC": Clip(codec="libx265"), "Matroska": Clip(".mkv"),
    "browser": Clip(".webm", "libvpx", options={"live": "1"}), "VP9": Clip(".webm", "libvpx-vp9"),
    "fragments": Clip(options=_FRAGMENTS), "camera": Clip(".avi", "mpeg4"), "stream": Clip(".ts"),
    "HLG": Clip(".mov", "libx265", "yuv420p10le", transfer=18),
    "PQ": Clip(".mov", "libx265", "yuv420p10le", transfer=16),
}  # fmt: skip
_MATRICES: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "turned right": ((0, 1, -1, 0), lambda images: np.rot90(images, -1, (1, 2))),
    "turned left": ((0, -1, 1, 0), lambda images: np.rot90(images, 1, (1, 2))),
    "upside down": ((-1, 0, 0, -1), lambda images: images[:, ::-1, ::-1]),
    "mirrored": ((-1, 0, 0, 1), lambda images: images[:, :, ::-1]),
    "mirrored top to bottom": ((1, 0, 0, -1), lambda images: images[:, ::-1]),
}
_ISO = ("phone", "QuickTime", "HEVC", "HLG", "PQ", "fragments")
#: Changes of a clip: the containers that have it, and its fields.
CHANGES: dict[str, tuple[Sequence[str], dict[str, Any]]] = {
    "as written": (tuple(CONTAINERS), {}),
    "variable rate": ([name for name in CONTAINERS if name != "camera"], {"times": _VARIABLE}),
    "from 40 s": (["phone", "Matroska", "stream"], {"times": [40 + second for second in _EVEN]}),
    "edit list": (["phone", "QuickTime", "HEVC"], {"cut": 7}),
    **{name: (_ISO[:-1], {"matrix": matrix, "shown": shown}) for name, (matrix, shown) in _MATRICES.items()},
}


def cases(scene: Scene) -> Iterator[Case]:
    """Every change in every container that has it, and photos, where this FFmpeg has the encoder."""
    import av

    for change, (containers, fields) in CHANGES.items():
        for container in containers:
            clip = replace(CONTAINERS[container], **fields)
            if clip.codec in av.codecs_available:
                yield Case(f"video: {container}: {change}", _video_run(clip))
    for name, (still, make) in _photos().items():
        encoder = {"HEIC": "libx265", "AVIF": "libsvtav1"}.get(name.split()[0], "png")
        if encoder in av.codecs_available:
            yield Case(f"photo: {name}", _photo_run(still, make))


def _video_run(clip: Clip) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        path = clip.write(folder / "clip")
        outcome = judge(lambda: video_fault(path, clip), (str(folder),))
        ran = run_command("info", path, "--json")
        described = judge_command(ran, (str(folder),))
        return must_be_read(worst([outcome, judge(lambda: _info_fault(ran.out, clip)) if ran.code == 0 else described]))

    return run


def video_fault(path: Path, clip: Clip) -> str | None:
    """Decode a video as a capture does; returns what differs from its frames."""
    from capture.video.decoding import open_video

    source = open_video(path)
    found = list(source)
    shown = clip.shown(frames())[clip.cut :]
    times = np.array(clip.times)[clip.cut :]
    if len(found) != len(times):
        return f"{len(found)} frames of {len(times)}; warnings: {source.warnings}"
    seen = np.array([frame.time for frame in found])
    error = float(np.abs((seen - seen[0]) - (times - times[0])).max())
    if error > _TIME:
        return f"times wrong by up to {error:.3g} s; warnings: {source.warnings}"
    for number, (frame, expected) in enumerate(zip(found, shown, strict=True)):
        if fault := _image_fault(frame.rgb, expected):
            return f"frame {number}: {fault}; warnings: {source.warnings}"
    return None


def _image_fault(image: np.ndarray, expected: np.ndarray) -> str | None:
    """What differs in the middles of the quarters."""
    if image.shape != expected.shape:
        return f"{image.shape[1]} x {image.shape[0]} pixels, not {expected.shape[1]} x {expected.shape[0]}"
    height, width = expected.shape[:2]
    for row, column in itertools.product((1, 3), (1, 3)):
        at = height * row // 4, width * column // 4
        apart = int(np.abs(image[at].astype(int) - expected[at]).max())
        if apart > _LEVELS:
            return f"at {at} {image[at].tolist()}, not {expected[at].tolist()}"
    return None


def _info_fault(text: str, clip: Clip) -> str | None:
    found, count = json.loads(text), len(clip.times) - clip.cut
    return None if found["frame_count"] == count else f"info: {found['frame_count']} frames of {count}"


# -- Photos --------------------------------------------------------------------------------------------------------


def _photos() -> dict[str, tuple[Callable[[np.ndarray], np.ndarray] | None, Callable[[np.ndarray], bytes]]]:
    """By name: what viewers do with the stored image, None where the file is to be refused; and the file."""
    from tests.avatar.common.test_photo_files import gif, webp
    from tests.capture.heif_files import AV1, HEVC, HEVC_10, heif_file, mirrored, rotation

    same: Callable[[np.ndarray], np.ndarray] = lambda image: image  # noqa: E731
    return {
        "HEIC": (same, lambda image: heif_file(image, HEVC)),
        "HEIC of tiles": (same, lambda image: heif_file(image, HEVC, 64)),
        "HEIC of ten bits": (same, lambda image: heif_file(image, HEVC_10)),
        "HEIC turned": (np.rot90, lambda image: heif_file(image, HEVC, 64, (rotation(1),))),
        "HEIC mirrored": (lambda image: image[:, ::-1], lambda image: heif_file(image, HEVC, None, (mirrored(1),))),
        "AVIF": (same, lambda image: heif_file(image, AV1)),
        "AVIF of tiles": (same, lambda image: heif_file(image, AV1, 64)),
        "WebP": (same, lambda image: _encoded(".webp", image)),
        "TIFF": (same, lambda image: _encoded(".tiff", image)),
        "PNG": (same, lambda image: _encoded(".png", image)),
        "BMP": (same, lambda image: _encoded(".bmp", image)),
        "JPEG turned by EXIF": (lambda image: np.rot90(image, -1), lambda image: _oriented(image, 6)),
        "JPEG mirrored by EXIF": (lambda image: image[:, ::-1], lambda image: _oriented(image, 2)),
        "animated WebP": (None, lambda image: webp(3)),
        "animated GIF": (None, lambda image: gif(Path("made.gif"), 3)),
    }


def _encoded(suffix: str, image: np.ndarray) -> bytes:
    import cv2

    options = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95], ".webp": [cv2.IMWRITE_WEBP_QUALITY, 100]}.get(suffix, [])
    return bytes(cv2.imencode(suffix, image[..., ::-1], options)[1].tobytes())


def _oriented(image: np.ndarray, orientation: int) -> bytes:
    """A JPEG whose EXIF data say how it is to be shown."""
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    data = _encoded(".jpg", image)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + data[2:]


def _photo_run(
    shown: Callable[[np.ndarray], np.ndarray] | None, make: Callable[[np.ndarray], bytes]
) -> Callable[[Path], Outcome]:
    def run(folder: Path) -> Outcome:
        image = np.repeat(np.repeat(frames()[9], 2, 0), 2, 1)
        data = make(image)
        outcomes = []
        for name in ("a.jpg", "b.heic", "c.mov"):  # content decides, not the name
            (folder / name).write_bytes(data)
            outcomes.append(judge(lambda name=name: _photo_fault(folder / name, image, shown), (str(folder),)))
        return worst(outcomes) if shown is None else must_be_read(worst(outcomes))

    return run


def _photo_fault(path: Path, image: np.ndarray, shown: Callable[[np.ndarray], np.ndarray] | None) -> str | None:
    from capture.photos import open_photos
    from capture.sources import check_source

    other = path.with_name("other.png")
    other.write_bytes(_encoded(".png", image))
    check_source([path, other])
    if shown is None:
        return "an animation is taken for a photo"
    (frame,) = open_photos([path])
    return _image_fault(frame.rgb, shown(image))
