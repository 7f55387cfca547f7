"""What a capture is made of: photos, animations and videos by their content, with one sentence for what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.common.image_io import write_image
from avatar.errors import HeadsplatError
from avatar.jobs.inspection import describe_file
from capture.photos import open_photos
from capture.sources import check_source, source_digest
from capture.video.decoding import open_video
from tests.avatar.common.test_photo_files import gif, webp
from tests.support.import_graph import ROOT

HEIC = (ROOT / "tests" / "data" / "pillow.heic").read_bytes()


def test_photos_are_accepted_under_any_name(tmp_path: Path) -> None:
    paths = [tmp_path / "IMG_1.HEIC", tmp_path / "IMG_2.jpg", tmp_path / "IMG_3", tmp_path / "IMG_4.gif"]
    for path in paths[:3]:
        path.write_bytes(HEIC)
    paths[3].write_bytes(gif(tmp_path / "c.gif", 1))
    check_source(paths)
    source_digest(paths)
    frames = list(open_photos(paths))
    np.testing.assert_array_equal(frames[0].rgb, frames[1].rgb)
    assert len(frames) == 4 and frames[3].rgb.max() == 0


def test_a_photo_is_described_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.mov").write_bytes(HEIC)
    found = describe_file(tmp_path / "a.mov")
    assert (found["kind"], found["format"], found["width"], found["height"]) == ("photo", "HEIC", 270, 360)


def test_animations_among_photos_or_alone_get_one_sentence(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "b.webp").write_bytes(webp(2))
    (tmp_path / "c.gif").write_bytes(gif(tmp_path / "d.gif", 3))
    for paths in ([tmp_path / "b.webp"], [tmp_path / "a.png", tmp_path / "b.webp"]):
        with pytest.raises(HeadsplatError, match=r"b\.webp: an animated WebP file, which is not read; convert"):
            check_source(paths)
    with pytest.raises(HeadsplatError, match=r"c\.gif: not a photo; give one video, or photos only"):
        check_source([tmp_path / "a.png", tmp_path / "c.gif"])
    check_source([tmp_path / "c.gif"])
    assert open_video(tmp_path / "c.gif").width == 16


def test_a_photo_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(HEIC)
    with pytest.raises(HeadsplatError, match=r"a\.mp4: a photo \(HEIC\), which shows no motion; give a video"):
        open_video(tmp_path / "a.mp4")
