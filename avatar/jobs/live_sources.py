"""The live sources of a window or a page: cameras, microphones, files that play, and senders of expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from avatar.common.files import path_text
from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    from avatar.driving.live.samples import Sample
    from avatar.model.avatar import Avatar
    from capture.live import LivePipeline, PoseSource
    from capture.live.own_face import OwnFaceOptions
    from viewer.session.pose_sources import LiveSourceChoice

_WEBCAM = "webcam"
_MICROPHONE = "microphone"


@dataclass(frozen=True)
class FaceOptions:
    """where the face comes from: `webcam`, `microphone` or both, `listen`, or the first camera"""

    webcam: Annotated[str | None, arg(metavar="N|FILE")] = None
    """a camera number, or a video file that plays at its frame rate; default: the first camera"""
    listen: Annotated[str | None, arg(metavar="livelink|vmc|ifacialmocap[:PORT]")] = None
    """use an app that sends expressions over the network instead"""
    microphone: Annotated[str | None, arg(metavar="default|N|NAME|FILE")] = None
    """speech drives the mouth instead: of the system's microphone, of another one by number or name, or of a sound file
    that plays; with --webcam the camera sees the rest of the face"""
    loop: bool = False
    """restart the file at its end"""


@dataclass(frozen=True)
class SourceOptions(FaceOptions):
    """what drives the avatar at first: `webcam`, `microphone` or both, `listen`, or the first camera"""

    self_tracking: Annotated[Literal["auto", "on", "off"], arg(name="self")] = "auto"
    """the avatar tracks its own person: its render is compared with the camera's frame; auto: while they are alike"""
    torso: bool = True
    """the avatar's torso moves as the performer's does in the camera's image; off: as in training, with the head"""

    def check(self) -> None:
        """Raise HeadsplatError for sources that exclude each other."""
        if self.listen is not None and not (self.webcam is None and self.microphone is None):
            raise HeadsplatError(
                "--listen excludes --webcam and --microphone; give one, the others can be selected in the window"
            )


@dataclass(frozen=True)
class LiveSources:
    """The live sources that can be selected in the window, with the command line's options."""

    options: SourceOptions
    host: str | None
    phone: str | None
    avatar: Path | None = None  # its file, for `self_tracking`
    listener: Callable[[Sample], object] | None = None  # receives the samples of the active source

    @property
    def first(self) -> str:
        """Key of the source that is active at first."""
        listen = self.options.listen
        if self.options.microphone is not None and self.options.webcam is None:
            return _MICROPHONE
        return _WEBCAM if listen is None else listen.partition(":")[0].strip().lower()

    def choices(self) -> Iterator[LiveSourceChoice]:
        """All sources, none opened yet; raises HeadsplatError where the options are not valid."""
        from capture.live.open import LOOPBACK, open_pose_source
        from capture.live.protocols.registry import PROTOCOLS
        from capture.live.protocols.udp import check_host
        from viewer.session.pose_sources import LiveSourceChoice

        options = self.options
        phone = self.phone or ""
        host = LOOPBACK if self.host is None else self.host
        check_host(host)
        if options.listen is not None:
            open_pose_source(None, options.listen, host=host, phone=phone)
        webcam = "0" if options.webcam is None else options.webcam
        microphone = options.microphone or "default"
        voice = None if options.webcam is None else options.microphone  # beside the camera
        loop = options.loop and options.microphone is not None and voice is None
        if options.microphone is not None and voice is None:
            open_pose_source(microphone=options.microphone, loop=loop)
        else:
            open_pose_source(webcam, microphone=voice, loop=options.loop)
        label = f"camera {webcam}" if webcam.isdigit() else path_text(Path(webcam).name)
        label = label if voice is None else f"{label} and {_microphone(voice)}"
        yield LiveSourceChoice(
            _WEBCAM,
            label,
            lambda avatar: self._pipeline(
                avatar,
                open_pose_source(
                    webcam,
                    microphone=voice,
                    loop=options.loop and not loop,
                    torso=options.torso,
                    own=self._own_face(avatar),
                ),
            ),
        )
        yield LiveSourceChoice(
            _MICROPHONE,
            _microphone(microphone),
            lambda avatar: self._pipeline(avatar, open_pose_source(microphone=microphone, loop=loop)),
        )
        for key, protocol in PROTOCOLS.items():
            listen = options.listen if options.listen is not None and self.first == key else key
            greeted = phone if protocol.greeting else ""

            def make(avatar: Avatar, listen: str = listen, phone: str = greeted) -> LivePipeline:
                return self._pipeline(avatar, open_pose_source(None, listen, host=host, phone=phone))

            yield LiveSourceChoice(key, protocol.title, make)

    def _own_face(self, avatar: Avatar) -> OwnFaceOptions | None:
        """The file of `avatar` as its own tracker; None where that is off, or another avatar was opened since."""
        from avatar.model.avatar_file import load_avatar
        from capture.live.own_face import OwnFaceOptions

        if self.avatar is None or self.options.self_tracking == "off":
            return None
        if not load_avatar(self.avatar).neutral.equal(avatar.neutral.cpu()):
            return None
        return OwnFaceOptions(self.avatar, self.options.self_tracking == "on")

    def _pipeline(self, avatar: Avatar, source: PoseSource) -> LivePipeline:
        from capture.live import LivePipeline

        return LivePipeline(avatar, source, listener=self.listener)


def _microphone(name: str) -> str:
    """How a microphone or a sound file is called."""
    return path_text(Path(name).name) if Path(name).is_file() else f"microphone {name}".removesuffix(" default")
