"""From a command's words to an input."""

from __future__ import annotations

from pathlib import Path

from avatar.errors import HeadsplatError
from capture.live.camera import FileFeed, WebcamFeed
from capture.live.inputs.listen import PROTOCOLS, listen
from capture.live.inputs.udp import LOOPBACK
from capture.live.sample import Input
from capture.live.worker_process import FaceApart


def open_input(
    webcam: str | None = None,
    spoken: str | None = None,
    *,
    host: str = LOOPBACK,
    phone: str = "",
    loop: bool = False,
) -> Input:
    """Who drives, not yet started.

    Args:
        webcam: of `--webcam`: a camera's number, or a video file that plays at its own rate.
        spoken: of `--listen`: a protocol, with `:PORT` where it is another than its own.
        host: of `--host`: the address of this machine to listen at. Anybody who reaches another than LOOPBACK can send;
            the caller says so.
        phone: of `--phone`: the address of a phone that waits to be asked.
        loop: of `--loop`: a video starts again at its end.

    Raises:
        HeadsplatError: not one of webcam and protocol, words that do not go together, or a file that is not there.
    """
    if (webcam is None) == (spoken is None):
        raise HeadsplatError(
            "one of them drives: --webcam 0 (a camera's number), --webcam FILE (a video), "
            f"or --listen {', '.join(PROTOCOLS)}"
        )
    if spoken is not None:
        if loop:
            raise HeadsplatError("--loop repeats a video file; leave it out with --listen")
        return listen(spoken, host, phone)
    assert webcam is not None
    if host != LOOPBACK or phone:
        raise HeadsplatError(f"{'--phone' if phone else '--host'} goes with --listen; leave it out with --webcam")
    number = webcam.isascii() and webcam.isdigit() and len(webcam) < 4
    if number and loop:
        raise HeadsplatError("--loop repeats a video file; leave it out with a camera's number")
    if not number and not Path(webcam).is_file():
        raise HeadsplatError(f"--webcam {webcam}: no such file; give a video file, or a camera's number (0 the first)")
    return FaceApart(WebcamFeed(int(webcam)) if number else FileFeed(webcam, repeat=loop))
