"""The head model that a capture was tracked with."""

from __future__ import annotations

import os

import torch

from avatar.data.capture_folder import TRACK_FILE, Capture
from avatar.data.capture_metadata import METADATA_FILE, REMEDY
from avatar.errors import HeadsplatError
from avatar.head import is_built_in, load_head
from avatar.head.load import EMBEDDED
from avatar.head.model import HeadModel
from avatar.types import HeadParams

#: Meters in front of its camera: a head is nowhere nearer.
_MIN_DEPTH = 0.01


def head_of(capture: Capture, given: str | None = None) -> HeadModel:
    """Load the head model that `capture` was tracked with.

    Args:
        capture: the capture.
        given: name or file of the head model; None: the one that the capture's metadata names.

    Raises:
        HeadsplatError: the file does not exist, or it is another head model.
    """
    source = given or capture.metadata["head"].get("source", EMBEDDED)
    if given is None and not is_built_in(source) and not os.path.exists(source):
        raise HeadsplatError(
            f"{source}: the head model that {capture.root} was tracked with does not exist; give --head FILE"
        )
    try:
        head = load_head(source)
    except HeadsplatError as error:
        if given is not None:
            raise
        where = capture.root / METADATA_FILE
        raise HeadsplatError(f"{where}: head: source: {error}; or give the head with --head FILE") from error
    check_head(capture, head)
    return head


def check_head(capture: Capture, head: HeadModel) -> None:
    """Check that the track of `capture` is one of `head`.

    Raises:
        HeadsplatError: the capture was tracked with another head model, has other coefficients than it, or a row whose
            head is not in front of its camera.
    """
    stored = capture.metadata["head"]
    if stored["model_id"] != head.model_id:
        raise HeadsplatError(
            f"{capture.root}: tracked with another head model ({stored.get('name', 'unknown')}; this {head.name} has "
            "other geometry); give that one with --head or capture the video again"
        )
    if capture.expression_names != head.expression_names:
        raise HeadsplatError(
            f"{capture.root / METADATA_FILE}: head: expression_names are not those of {head.name}; {REMEDY}"
        )
    if (count := len(capture.track["identity"])) != (expected := head.shapedirs.shape[2]):
        raise HeadsplatError(
            f"{capture.root / TRACK_FILE}: `identity` has {count} coefficients, {head.name} has {expected}; {REMEDY}"
        )
    check_in_front(capture, head, capture.params(range(len(capture))))


def check_in_front(capture: Capture, head: HeadModel, params: HeadParams) -> None:
    """Raise HeadsplatError unless the head is in front of its camera in all rows of a capture.

    Args:
        capture: the capture.
        head: its head model; or the baked one, with `params` without identity.
        params: tracked head parameters of all rows.
    """
    if not len(capture):
        return
    size = max(capture.metadata["width"], capture.metadata["height"])
    with torch.no_grad():
        center = head.skull_pose(params)[1]
        depth = capture.camera(size, range(len(capture))).to_camera(center[:, None].cpu())[:, 0, 2]
    if bool((depth >= _MIN_DEPTH).all()):
        return
    row = int(torch.argmin(depth))
    raise HeadsplatError(
        f"{capture.root / TRACK_FILE}: row {row}: the head is {float(depth[row]):.3g} m in front of its camera, "
        f"expected {_MIN_DEPTH:g} m at least; {REMEDY}"
    )
