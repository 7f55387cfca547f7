"""The head model that a capture was tracked with."""

from __future__ import annotations

from pathlib import Path

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.head import is_built_in, load_head
from avatar.head.load import EMBEDDED
from avatar.head.model import HeadModel


def head_of(capture: Capture, given: str | None = None) -> HeadModel:
    """Load the head model that `capture` was tracked with.

    Args:
        capture: the capture.
        given: name or file of the head model; None: the one that the capture's metadata names.

    Raises:
        HeadsplatError: the file does not exist, or it is another head model.
    """
    source = given or capture.metadata["head"].get("source", EMBEDDED)
    if given is None and not is_built_in(source) and not Path(source).exists():
        raise HeadsplatError(
            f"{source}: the head model that {capture.root} was tracked with does not exist; give --head FILE"
        )
    head = load_head(source)
    check_head(capture, head)
    return head


def check_head(capture: Capture, head: HeadModel) -> None:
    """Raise HeadsplatError if `capture` was tracked with another head model than `head`."""
    if capture.metadata["head"].get("model_id") != head.model_id:
        name = capture.metadata["head"].get("name", "unknown")
        raise HeadsplatError(
            f"{capture.root}: tracked with another head model ({name}; this {head.name} has other geometry); give that "
            "one with --head or capture the video again"
        )
