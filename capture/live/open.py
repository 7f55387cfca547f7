"""Pose sources from the command line's options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avatar.driving.live.pose_source import PoseSource
from avatar.errors import HeadsplatError
from capture.live.camera import Feed, FileFeed, Pace, WebcamFeed
from capture.live.own_face import OwnFaceOptions
from capture.live.protocols.registry import PROTOCOLS, udp_source
from capture.live.protocols.udp import LOOPBACK
from capture.live.worker_process import FaceWorker

if TYPE_CHECKING:
    from capture.live.microphone import MicrophoneSource


def open_pose_source(
    webcam: str | None = None,
    listen: str | None = None,
    microphone: str | None = None,
    *,
    host: str = LOOPBACK,
    phone: str = "",
    loop: bool = False,
    torso: bool = True,
    own: OwnFaceOptions | None = None,
) -> PoseSource:
    """The pose source that the options name, not yet started.

    Args:
        webcam: value of `--webcam`: a camera number, or a video file that plays at its frame rate.
        listen: value of `--listen`: a protocol, with `:PORT` where it differs from the protocol's default port.
        microphone: value of `--microphone`: default, a number or a name of an input, or a sound file that plays.
        host: value of `--host`: the address of this machine to listen on. Anyone who can reach an address other than
            LOOPBACK can send; the caller reports that.
        phone: value of `--phone`: the address of a phone that sends after a greeting.
        loop: value of `--loop`: a video file restarts at its end.
        torso: value of `--torso`: measure the motion of the torso in the frames of a camera or a file.
        own: of `--self`: the avatar that tracks its own person in the frames of a camera or a file.

    Raises:
        HeadsplatError: none of webcam, protocol and microphone, or more than a webcam with a microphone, options that
            exclude each other, or a missing file.
    """
    if (listen is None) == (webcam is None and microphone is None):
        raise HeadsplatError(
            "give one pose source: --webcam 0 (a camera number), --webcam FILE (a video), --microphone default, "
            f"both of these, or --listen {', '.join(PROTOCOLS)}"
        )
    if webcam is not None and microphone is not None:
        from capture.live.voiced_face import VoicedFace

        # The avatar as its own tracker would find the mouth in the pixels, which the voice is to shape.
        face = open_pose_source(webcam, host=host, phone=phone, loop=loop, torso=torso)
        assert isinstance(face, FaceWorker)
        return VoicedFace(face, _open_microphone(microphone, loop and Path(microphone).is_file()))
    if microphone is not None:
        return _open_microphone(microphone, loop)
    if listen is not None:
        if loop:
            raise HeadsplatError("--loop repeats a video file; leave it out with --listen")
        return udp_source(listen, host, phone)
    assert webcam is not None
    if host != LOOPBACK or phone:
        raise HeadsplatError(f"{'--phone' if phone else '--host'} goes with --listen; leave it out with --webcam")
    feed = camera_feed(webcam, loop=loop)
    return FaceWorker(feed, torso=torso, own=own)


def camera_feed(
    webcam: str, *, loop: bool = False, pace: Pace = "realtime", size: tuple[int, int] | None = None
) -> Feed:
    """The frames of a camera number, or of a video file in its place.

    Args:
        webcam: the number, or the file.
        loop: the file restarts at its end.
        pace: of the file.
        size: width and height to ask the camera for; None: its own choice.

    Raises:
        HeadsplatError: a missing file, or `loop` with a number.
    """
    number = webcam.isascii() and webcam.isdigit() and len(webcam) < 4
    if number and loop:
        raise HeadsplatError("--loop repeats a video file; leave it out with a camera number")
    if not number and not Path(webcam).is_file():
        raise HeadsplatError(f"--webcam {webcam}: no such file; give a video file or a camera number (0 is the first)")
    return WebcamFeed(int(webcam), size) if number else FileFeed(webcam, pace, repeat=loop)


def _open_microphone(microphone: str, loop: bool) -> MicrophoneSource:
    """A microphone or a sound file; raises HeadsplatError for a missing file."""
    # They load `avatar.performance.speech`, which no other source needs.
    from capture.live.microphone import MicrophoneSource
    from capture.live.sound_feed import MicrophoneFeed, SoundFileFeed

    path = Path(microphone)
    if path.is_file():
        return MicrophoneSource(SoundFileFeed(path, repeat=loop))
    if path.suffix or len(path.parts) > 1:
        raise HeadsplatError(
            f"--microphone {microphone}: no such file; give default, a number or a name of an input, or a sound file"
        )
    if not microphone.strip():
        raise HeadsplatError(
            "--microphone: expected default, a number or a name of an input, or a sound file; got none"
        )
    if loop:
        raise HeadsplatError("--loop repeats a file; leave it out with a microphone")
    return MicrophoneSource(MicrophoneFeed(microphone))
