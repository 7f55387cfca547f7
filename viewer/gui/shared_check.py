"""The self-check of images that come from a GPU to the window without the host: the same pixels as by the copy.

`python -m viewer.gui.shared_check DEVICE OPENGL` runs it in a process and a hidden window of its own, because a wrong
pointer ends a process; the last line that it prints is what is wrong, empty for nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

import moderngl
import torch

from avatar.ops.packages import first_line, run_check_of
from avatar.ops.shared_buffer import keep_result, known_failure
from viewer.gui.texture import Texture

log = logging.getLogger(__name__)

WHAT = "memory shared by CUDA and OpenGL"
#: Width and height of the images, one after the other: rows of any number of bytes, the last size as the first.
_SIZES = ((37, 23), (37, 23), (64, 48), (23, 37), (37, 23))


def may_take(texture: Texture, device: torch.device) -> bool:
    """Whether a texture takes images from `device`; checks it where no result is in the cache."""
    drawn_by = texture.drawn_by
    if device.type != "cuda" or not drawn_by:
        return False
    failure = known_failure(device, drawn_by)
    if failure is None:
        failure = run_check_of(WHAT, device, "viewer.gui.shared_check", str(device), drawn_by)
        keep_result(device, drawn_by, failure)
    if failure:
        report(failure)
    return not failure


def report(failure: str) -> None:
    """Say why images go through the host."""
    log.warning("%s; images go to the window through the host", failure)


def check(device: torch.device) -> str:
    """What is wrong with images of a GPU in the current OpenGL context, in one sentence; empty for nothing."""
    copied, shared = Texture(), Texture()
    random = torch.Generator().manual_seed(48)
    try:
        for number, (width, height) in enumerate(_SIZES, 1):
            image = torch.randint(256, (height, width, 3), generator=random, dtype=torch.uint8)
            copied.upload(image.numpy())
            shared.take(image.to(device), device)
            differing = int((copied.pixels() != shared.pixels()).sum())
            if differing:
                which = f"image {number}, {width} x {height} pixels,"
                return f"{which} differs in {differing} of {image.nbytes} bytes"
        shared.release_shared()
    except Exception as error:  # whatever CUDA or OpenGL raise
        return first_line(error)
    return ""


def main(arguments: Sequence[str]) -> str:
    """What is wrong on the device and with the OpenGL that `arguments` name, in one sentence; empty for nothing."""
    device, drawn_by = torch.device(arguments[0]), arguments[1]
    try:
        context = _hidden_context()
    except Exception as error:  # any exception of the platform's loader
        return f"{WHAT}: its self-check on {device} has no OpenGL: {first_line(error)}"
    with context:
        found = Texture().drawn_by
        if found != drawn_by:
            return f"{WHAT}: its self-check on {device} got another OpenGL than the window, {found}"
        failure = check(device)
    return f"{WHAT} fails its self-check on {device}: {failure}" if failure else ""


def _hidden_context() -> Any:
    return moderngl.create_context(standalone=True)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
