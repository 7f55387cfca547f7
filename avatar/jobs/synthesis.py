"""Footage of a procedural person with ground truth, and the person's avatar from the true poses."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.jobs.notices import Notices, Notify, ignore
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.render_inputs import capture_entry
from capture.synthetic.options import SyntheticOptions

if TYPE_CHECKING:
    from avatar.model.avatar import Avatar


def synthesize(out: str | Path, options: SyntheticOptions, *, overwrite: bool = False, notify: Notify = ignore) -> None:
    """Render footage of a procedural person: a phone video or images of calibrated cameras, with ground truth.

    Args:
        out: the folder to write.
        options: the person, the performance and the cameras.
        overwrite: whether an output that exists is replaced.
        notify: receives the progress.

    Raises:
        HeadsplatError: the folder cannot be written.
    """
    from capture.synthetic.folder import write_synthetic

    out = Path(out)
    with (
        reserved([Output(out, folder=True)], overwrite=overwrite),
        Notices(notify).stage("synthetic capture") as update,
    ):
        write_synthetic(out, options, lambda done, total: update(done / total, f"time step {done} of {total}"))


def synthesize_avatar(
    out: str | Path,
    person: str = "random",
    *,
    glasses: bool = False,
    seed: int = 7,
    overwrite: bool = False,
    notify: Notify = ignore,
) -> Avatar:
    """Train an avatar of a procedural person on images with the true poses, and write it.

    Args:
        out: the avatar to write.
        person: a name as in SyntheticOptions, or "random": drawn by the seed.
        glasses: whether to add glasses to a person without them.
        seed: of a random person, and of the motion.
        overwrite: whether an output that exists is replaced.
        notify: receives the progress.

    Raises:
        HeadsplatError: no person of that name, or the file cannot be written.
    """
    from avatar.model.avatar_file import save_avatar
    from capture.synthetic.drawn_avatar import drawn_avatar

    out = Path(out)
    with (
        reserved([Output(out, suffixes=(".avatar",))], overwrite=overwrite),
        tempfile.TemporaryDirectory() as folder,
        Notices(notify).stage("avatar") as update,
    ):
        capture, avatar, settings = drawn_avatar(Path(folder) / "capture", person, glasses, seed, update)
        extras = {"settings": dataclasses.asdict(settings), "capture": capture_entry(capture)}
        save_avatar(out, avatar, extras | {"consent": capture.metadata["consent"]})
    return avatar
