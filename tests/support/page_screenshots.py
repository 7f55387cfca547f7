"""Pictures of each state of the page for docs/images: `python -m tests.support.page_screenshots me.avatar`.

Needs Chromium; npm for the picture of three.js. The motion, and the video that is the camera, are those that
`headsplat demo` writes beside the avatar: puppet.csv and phone.mp4.
A new state is a function of `page_states` and its name in `PICTURES`.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from avatar.cli import main as headsplat
from capture.video.decoding import open_video
from tests.support.browser import chromium, find_chromium
from tests.support.fake_camera import camera_options, write_y4m
from tests.support.page_states import REST_SECONDS, STATES, Studio, Unavailable, write_sound

#: States of each picture, in rows. Several states get captions.
PICTURES: dict[str, tuple[tuple[str, ...], ...]] = {
    "page-rest": (("rest",),),
    "page-sliders": (("sliders",),),
    "page-motion": (("motion",),),
    "page-dark": (("dark",),),
    "page-live": (("live",),),
    "page-alone": (("alone",),),
    "page-camera": (("camera",),),
    "page-states": (("microphone", "recording"), ("transparent", "error")),
    "page-phone": (("phone", "phone_sliders", "phone_dark"),),
    "page-elements": (("two_avatars",),),
    "page-three": (("three_scene",),),
}
#: Pixels: the width of a picture, and of what is between states.
_WIDTH, _GAP, _CAPTION = 900, 10, 28
_MAX_BYTES = 80_000
_QUALITIES = range(82, 60, -4)


def sheet(rows: list[list[tuple[np.ndarray, str]]]) -> np.ndarray:
    """BGR [H,W,3] of states with captions, each row of one height."""
    height = max(image.shape[0] for row in rows for image, _ in row)
    drawn = [np.concatenate([_captioned(image, caption, height) for image, caption in row], 1) for row in rows]
    return np.concatenate(drawn)


def _captioned(image: np.ndarray, caption: str, height: int) -> np.ndarray:
    part = cv2.copyMakeBorder(
        image, _GAP, _GAP + _CAPTION + height - image.shape[0], _GAP, _GAP,
        cv2.BORDER_CONSTANT, value=(255, 255, 255),
    )  # fmt: skip
    cv2.rectangle(part, (_GAP - 1, _GAP - 1), (_GAP + image.shape[1], _GAP + image.shape[0]), (200, 200, 200))
    place = (_GAP, _GAP + image.shape[0] + 22)
    cv2.putText(part, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (40, 40, 40), 1, cv2.LINE_AA)
    return part


def picture(studio: Studio, rows: tuple[tuple[str, ...], ...]) -> np.ndarray:
    """BGR [H,W,3] of the states of a picture.

    Raises:
        Unavailable: one of them is not on this machine.
    """
    taken = [[(STATES[name].taken(studio), STATES[name].caption) for name in row] for row in rows]
    image = taken[0][0][0] if len(rows) == len(rows[0]) == 1 else sheet(taken)
    scale = _WIDTH / image.shape[1]
    return image if scale >= 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def write(path: Path, image: np.ndarray) -> int:
    """Write a JPEG file in the best quality that keeps it small; returns its bytes."""
    for quality in _QUALITIES:
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        if len(data) <= _MAX_BYTES:
            path.write_bytes(data.tobytes())
            return len(data)
    raise SystemExit(f"{path}: more than {_MAX_BYTES} bytes")


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--motion", type=Path, help="default: puppet.csv beside the avatar")
    parser.add_argument("--video", type=Path, help="that is the camera; default: phone.mp4 beside the avatar")
    parser.add_argument("--face", type=int, default=213, help="frame of the video whose face the camera shows")
    parser.add_argument("--other", type=Path, help="avatar of a second person; default: one of `headsplat synth`")
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES), help="these pictures")
    given = parser.parse_args()
    if find_chromium() is None:
        raise SystemExit("The pictures need Chromium; install it (apt-get install chromium).")
    given.output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        write_sound(folder / "sound.wav")
        if given.other is None:
            given.other = folder / "other.avatar"
            headsplat(["synth", "--avatar", "--person", "kofi", "-o", str(given.other)])
        video = open_video(given.video or given.avatar.parent / "phone.mp4")
        frames = [frame.rgb for frame in video]
        shown = [frames[0]] * REST_SECONDS + [frames[given.face]] * 6 * REST_SECONDS
        write_y4m(folder / "camera.y4m", (frame for frame in shown for _ in range(10)), 10)
        options = (*camera_options(folder / "camera.y4m"), f"--use-file-for-fake-audio-capture={folder / 'sound.wav'}")
        page = stack.enter_context(chromium(folder / "profile", options=options))
        motion = given.motion or given.avatar.parent / "puppet.csv"
        studio = Studio(page, folder, given.avatar, given.other, motion, ExitStack())
        for name in given.only:
            path = given.output / f"{name}.jpg"
            try:
                print(f"{path}: {write(path, picture(studio, PICTURES[name])) / 1000:.0f} kB", flush=True)
            except Unavailable as reason:
                print(f"{path}: left out, {reason}", flush=True)


if __name__ == "__main__":
    main()
