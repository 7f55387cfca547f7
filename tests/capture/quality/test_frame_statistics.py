import io
from functools import cache

import av
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.quality.assessment import check_photographed
from capture.quality.frame_statistics import flat_share, measure_frame
from capture.synthetic import SyntheticOptions, SyntheticScene
from capture.synthetic.population import skin_tone
from tests.capture.drawn import HEIGHT, WIDTH, drawn_frames


@cache
def darkest_frames() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames [3,H,W,3], landmarks [3,478,3] and mattes [3,H,W] of a random person with the darkest skin."""
    seed = max(range(300), key=skin_tone)
    scene = SyntheticScene(SyntheticOptions(seed=seed, person="random", width=WIDTH, height=HEIGHT, frames=3))
    points = np.zeros((3, 478, 3), np.float32)
    points[..., :2] = scene.truth().landmarks[0]
    return np.stack([scene.frame(number) for number in range(3)]), points, np.ones((3, HEIGHT, WIDTH), np.float32)


def flattened(image: np.ndarray) -> np.ndarray:
    """The image as H.264 of a low rate leaves it."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "33", "preset": "veryfast", "threads": "1"})
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        container.mux([*stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")), *stream.encode(None)])
    with av.open(io.BytesIO(memory.getvalue())) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def line_drawing(shape: tuple[int, ...], points: np.ndarray) -> np.ndarray:
    """Every ninth landmark of [478,3] as a dot on white paper."""
    image = np.full(shape, 255, np.uint8)
    columns, rows = np.rint(points[::9, :2]).astype(int).T
    image[rows.clip(0, HEIGHT - 1), columns.clip(0, WIDTH - 1)] = 0
    return image


@pytest.mark.parametrize("levels", [0.5, 0.3, 0.15, 0.1, 0.05, 0.02])
@pytest.mark.parametrize("person", ["noor", "darkest"])
def test_faces_in_dim_light_are_no_drawings(person: str, levels: float) -> None:
    images, points, mattes = darkest_frames() if person == "darkest" else drawn_frames(0.0, 3)[:3]
    dim = np.rint(images * levels).astype(np.uint8)
    shares = [flat_share(measure_frame(*frame).face) for frame in zip(dim, points, mattes, strict=True)]
    assert max(shares) < 0.15
    blocks = np.array([flattened(image) for image in dim])
    check_photographed([measure_frame(*frame) for frame in zip(blocks, points, mattes, strict=True)], "clip.mp4")


@pytest.mark.parametrize("levels", [1.0, 0.5, 0.2])
def test_drawings_in_less_light_are_refused(levels: float) -> None:
    images, points, mattes, _ = drawn_frames(0.0, 3)
    drawings = [np.rint(line_drawing(images.shape[1:], each) * levels).astype(np.uint8) for each in points]
    flat = [measure_frame(*frame) for frame in zip(drawings, points, mattes, strict=True)]
    with pytest.raises(HeadsplatError, match="as in a drawing"):
        check_photographed(flat, "clip.mp4")


def test_faces_of_one_brightness_are_no_photos() -> None:
    images, points, mattes, _ = drawn_frames(0.0, 3)
    lit = [measure_frame(*frame) for frame in zip(images, points, mattes, strict=True)]
    drawings = [line_drawing(images.shape[1:], each) for each in points]
    flat = [measure_frame(*frame) for frame in zip(drawings, points, mattes, strict=True)]
    assert max(flat_share(each.face) for each in lit) < 0.15
    assert min(flat_share(each.face) for each in flat) > 0.4
    assert flat_share(np.full((468, 3), 0.5, np.float32)) == 1
    check_photographed([*lit, flat[0]], "clip.mp4")
    check_photographed([], "clip.mp4")
    with pytest.raises(HeadsplatError, match=r"clip\.mp4: \d+% of the face has the same brightness, as in a drawing"):
        check_photographed([lit[0], *flat], "clip.mp4")
