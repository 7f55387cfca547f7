"""Avatars beside that of a window: AVATAR=SOURCE to what drives each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.errors import HeadsplatError
from avatar.jobs.notices import Notices

if TYPE_CHECKING:
    from avatar.model.avatar import Avatar
    from avatar.types import HeadParams
    from viewer.render.renderer import Renderer

SOUNDS = (".wav", ".mp3", ".m4a", ".flac", ".ogg", ".opus", ".aac")
_MOST = 3


def split(argument: str) -> tuple[Path, str]:
    """The avatar and the source of AVATAR=SOURCE.

    Raises:
        HeadsplatError: it has not this form, or the avatar does not exist.
    """
    avatar, equals, source = argument.partition(".avatar=")
    path = Path(f"{avatar}.avatar")
    if not equals or not source:
        raise HeadsplatError(
            f"--beside: {argument!r:.80} is not AVATAR=SOURCE; give a camera, a protocol, or a motion or sound file, "
            "such as ben.avatar=1 or ben.avatar=vmc"
        )
    if not path.is_file():
        raise HeadsplatError(f"--beside: {path}: no such avatar; check the path")
    return path, source


@contextmanager
def renderer_beside(arguments: Sequence[str], notices: Notices) -> Iterator[Callable[..., Renderer]]:
    """What makes the renderer of the window; sources of avatars beside its own run in the block.

    Raises:
        HeadsplatError: an argument is not valid, or a source cannot start.
    """
    if not arguments:
        from viewer.render.renderer import Renderer

        yield Renderer
        return
    if len(arguments) > _MOST:
        raise HeadsplatError(f"--beside: {len(arguments)} avatars, at most {_MOST} fit beside that of the window")
    from avatar.model.avatar_file import load_avatar
    from viewer.session import wings

    with ExitStack() as stack:
        partners = []
        for path, source in map(split, arguments):
            avatar = load_avatar(path)
            partners.append(wings.Partner(avatar, stack.enter_context(_driven(avatar, source, notices))))
        yield partial(wings.SceneRenderer, partners)


@contextmanager
def _driven(avatar: Avatar, source: str, notices: Notices) -> Iterator[Callable[[], HeadParams]]:
    """Parameters [1] of an avatar now, from its source."""
    from capture.live import LivePipeline
    from capture.live.open import open_pose_source
    from capture.live.protocols.registry import PROTOCOLS

    path = Path(source)
    if source.isdigit():
        opened = open_pose_source(source)
    elif source.partition(":")[0].lower() in PROTOCOLS:
        opened = open_pose_source(None, source)
    elif path.suffix.lower() in SOUNDS:
        opened = open_pose_source(microphone=source, loop=True)
    else:
        yield _played(avatar, path, notices)
        return
    pipeline = LivePipeline(avatar, opened)
    pipeline.start()
    try:
        yield lambda: pipeline.latest().params
    finally:
        pipeline.stop()


def _played(avatar: Avatar, path: Path, notices: Notices) -> Callable[[], HeadParams]:
    """Parameters of a motion file that plays again and again."""
    import numpy as np

    from avatar.driving.driver import drive
    from avatar.jobs.motion_sources import load_source

    if not path.exists():
        raise HeadsplatError(f"--beside: {path}: no such motion or sound file, camera or protocol; check the path")
    driven = drive(avatar, load_source(path, notices=notices).motion)
    times = driven.time - driven.time[0]
    length = float(times[-1]) * len(times) / max(len(times) - 1, 1) or 1.0
    start = time.monotonic()

    def now() -> HeadParams:
        at = (time.monotonic() - start) % length
        return driven.params[int(np.searchsorted(times, at, side="right")) - 1]

    return now
