"""`--overwrite` deletes only what headsplat wrote: the sign file of a folder or the header of a file decides."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avatar import cli
from avatar.common.files import atomic_folder, check_replaceable_folder
from avatar.common.folder_sign import SIGN, sign_folder
from avatar.data.capture_folder import METADATA_FILE
from avatar.errors import HeadsplatError
from avatar.jobs.images import is_our_image, write_image
from avatar.jobs.training_outputs import Outputs
from capture.workspace import Workspace

Refused = Callable[..., str]
#: Commands that write a folder `out`, and a file of somebody else that has a name of theirs.
COMMANDS = {
    "render me.avatar --motion c --frames :2 -o out": "2021-paris.png",
    "render me.avatar --motion c --frames :2 --passes rgb,alpha -o out": "rgb/2021-paris.png",
    "eval me.avatar c --no-refine --save-images out": "tracked/pred_00004.png",
    "export me.avatar --motion c --frames :2 -o out": "2021.ply",
    "convert c -o out": "images/2021-paris.png",
    "synth --frames 2 --size 96x128 -o out": "video.mp4",
    "head sheets -o out": "paris.png",
    "demo -o out": "phone.mp4",
    "join parts -o out": "2021.png",
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_without_the_sign_survives(own: Path, refused: Refused, command: str) -> None:
    theirs = own / "out" / COMMANDS[command]
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"years of work")
    if "parts" in command:
        Path("parts").mkdir()
        Path("parts/00000.png").touch()
    before = contents(own)
    sentence = refused(*command.split(), "--overwrite")
    assert "not replaced; delete" in sentence and "another" in sentence
    assert contents(own) == before


def test_a_folder_with_the_sign_is_replaced_until_another_file_is_in_it(own: Path, refused: Refused) -> None:
    command = ["render", "me.avatar", "--motion", "c", "-o", "out"]
    assert cli.main([*command, "--frames", ":3"]) == 0
    (own / "out" / ".DS_Store").touch()  # file managers add it
    assert cli.main([*command, "--frames", ":2", "--overwrite"]) == 0
    assert sorted(contents(own / "out")) == [SIGN, "00000.png", "00001.png"]
    shutil.copy("out/00001.png", "out/2021-paris.png")
    before = contents(own)
    assert "contains other files too (2021-paris.png)" in refused(*command, "--overwrite")
    assert contents(own) == before


def test_the_frames_of_a_capture_are_no_output(own: Path, refused: Refused) -> None:
    before = contents(own)
    for folder in ("c/frames", "c/mattes", "c"):
        refused("render", "me.avatar", "--motion", "c", "-o", folder, "--overwrite")
    assert contents(own) == before


def test_a_link_to_a_folder_stays_and_that_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("disk", target_is_directory=True)
    for number in (1, 2):
        with atomic_folder(tmp_path / "link") as folder:
            (folder / f"{number}.png").touch()
    assert (tmp_path / "link").is_symlink() and sorted(contents(tmp_path / "disk")) == [SIGN, "2.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link"]


@pytest.mark.parametrize("sign", [b"", b"\xff\xfe", b"my own notes\n"])
def test_another_file_with_the_name_of_the_sign_signs_nothing(tmp_path: Path, sign: bytes) -> None:
    (tmp_path / SIGN).write_bytes(sign)
    (tmp_path / "00001.png").touch()
    with pytest.raises(HeadsplatError, match=r"contains other files too \(00001\.png\)"):
        check_replaceable_folder(tmp_path)


def test_a_sign_that_is_a_link_signs_nothing(tmp_path: Path) -> None:
    signed, folder = tmp_path / "signed", tmp_path / "folder"
    for path in (signed, folder):
        path.mkdir()
        (path / "00001.png").touch()
    sign_folder(signed)
    (folder / SIGN).symlink_to(signed / SIGN)
    check_replaceable_folder(signed)
    with pytest.raises(HeadsplatError, match=r"it has no \.headsplat"):
        check_replaceable_folder(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("me.toml", b"[project]\nname = 'mine'\n"),
        ("me.report.json", b'{"title": "annual report"}'),
        ("me.preview.png", b"\x89PNG holidays"),
        ("me.checkpoint", b"of another program"),
    ],
)
def test_train_keeps_files_beside_the_avatar_that_it_did_not_write(
    own: Path, refused: Refused, name: str, content: bytes
) -> None:
    (own / name).write_bytes(content)
    before = contents(own)
    sentence = refused("train", "c", "-o", "me.avatar", "--overwrite")
    assert sentence.startswith(f"{name}: this command writes a file of that name") and "move or delete it" in sentence
    assert contents(own) == before


def test_train_replaces_the_files_of_an_earlier_training(own: Path) -> None:
    (own / "fast.toml").write_text("steps = 2\ngaussians = 300\nbases = 3\nrefine_at = 1.0\n")
    command = ["train", "c", "-o", "new.avatar", "--config", "fast.toml", "--size", "48"]
    assert cli.main(command) == 0 and cli.main([*command, "--overwrite"]) == 0
    outputs = Outputs.beside(own / "new.avatar")
    assert outputs.config.read_text().startswith("# headsplat ")


def test_previews_are_recognized(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    write_image(tmp_path / "ours.png", image)
    cv2.imwrite(str(tmp_path / "theirs.png"), image)
    assert is_our_image(tmp_path / "ours.png") and not is_our_image(tmp_path / "theirs.png")
    assert (cv2.imread(str(tmp_path / "ours.png"))[..., ::-1] == image).all()


@pytest.mark.parametrize(
    ("name", "arguments"), [("take.mp4.report.json", ()), ("take_alpha.mp4", ("--passes", "rgb,alpha"))]
)
def test_render_keeps_files_that_it_did_not_write_and_the_user_did_not_name(
    own: Path, refused: Refused, name: str, arguments: tuple[str, ...]
) -> None:
    (own / name).write_bytes(b'{"title": "annual report"}')
    sentence = refused("render", "me.avatar", "--motion", "c", "-o", "take.mp4", *arguments, "--overwrite")
    assert sentence.startswith(f"{name}: this command writes a file of that name")
    assert (own / name).read_bytes() == b'{"title": "annual report"}'


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Path]:
    """A folder that looks like a finished capture; at the end nothing in it may be lost."""
    for name in ("frames/2021-paris.png", "capture.json", "mattes/00001.png"):
        path = tmp_path / "c" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'{"settings": "of another program"}')
    before = contents(tmp_path)
    yield tmp_path / "c"
    assert contents(tmp_path) == before


def test_a_capture_json_of_another_program_keeps_its_folder(finished: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"its capture\.json is not headsplat's, so the folder is not replaced"):
        Workspace(finished).open({"source": "0"}, overwrite=True)


def test_a_capture_with_foreign_images_is_not_replaced(own: Path) -> None:
    shutil.copy("c/frames/00001.png", "c/frames/2021-paris.png")
    assert json.loads((own / "c" / METADATA_FILE).read_text())["magic"]
    before = contents(own)
    with pytest.raises(HeadsplatError, match=r"c/frames: contains other files too \(2021-paris\.png\)"):
        Workspace(own / "c").open({"source": "0"}, overwrite=True)
    assert contents(own) == before


def test_a_mounted_disk_is_not_replaced() -> None:
    mounted = next(path for path in (Path("/proc"), Path("/dev"), Path("/")) if os.path.ismount(path))
    with pytest.raises(HeadsplatError, match="is a mounted disk; choose a folder inside it"):
        check_replaceable_folder(mounted)
