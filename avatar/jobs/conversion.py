"""Writing a capture in the folder layout of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avatar.jobs.notices import Notices, Notify, ignore
from avatar.jobs.outputs import Output, reserved

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture


def convert(
    source: str | Path, out: str | Path, layout: str = "nerf", *, overwrite: bool = False, notify: Notify = ignore
) -> Capture:
    """Write a capture in the layout of another tool; returns the capture.

    Args:
        source: a capture folder.
        out: the folder to write.
        layout: "nerf", "vhap" (GaussianAvatars) or "insta" (one camera).
        overwrite: whether an output that exists is replaced.
        notify: receives what the layout cannot store.

    Raises:
        HeadsplatError: not a capture, an unknown layout, or one that cannot store this capture.
    """
    from avatar.data.capture_folder import Capture
    from capture.layouts.write import write_layout

    notices = Notices(notify)
    out = Path(out)
    with reserved([Output(out, folder=True)], [source], overwrite=overwrite):
        capture = Capture.load(Path(source))
        for note in write_layout(capture, layout, out):
            notices.say(note)
    return capture
