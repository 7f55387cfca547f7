"""Scene files: what they say, and one sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from avatar.scenes.scene_file import checked_names, read_scene

ROOT = Path(__file__).resolve().parents[3]
FULL = """
background = "#203040"
size = "640x360"
fps = 25
duration = 4.0

[actor.anna]
motion = "take.csv"
sound = "take.wav"
start = 0.5
position = [-0.3, 0, 0.1]
yaw = 30
scale = 1.1
looks_at = [{ at = "ben" }, { after = 2.0, at = "camera" }]

[actor.ben]
speak = "voice.wav"
text = "hello"
looks_at = "anna"

[[shot]]
start = 1.5
camera = "front"
of = "ben"
lens = 85
to = { zoom = 1.4 }
"""


def failure(path: Path, text: str, names: tuple[str, ...] = ("anna", "ben")) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HeadsplatError) as caught:
        checked_names(read_scene(path), names, "s.toml")
    return str(caught.value).replace(str(path), "s.toml")


def test_a_scene_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(FULL, encoding="utf-8")
    scene = checked_names(read_scene(path), ("anna", "ben"), str(path))
    anna = scene.actors["anna"]
    assert anna.position == [-0.3, 0, 0.1] and anna.looks("") == ((0.0, "ben"), (2.0, "camera"))
    first, second = scene.shots  # everybody until the first shot starts
    assert (first.start, first.camera.camera) == (0.0, "all")
    assert second.to is not None and (second.to.of, second.to.lens, second.to.zoom) == ("ben", 85, 1.4)
    assert (scene.fps, scene.duration, scene.size) == (25, 4.0, "640x360")


def test_the_scene_of_the_guide_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guides" / "scenes.md").read_text(encoding="utf-8")
    path = tmp_path / "s.toml"
    path.write_text(page.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    scene = checked_names(read_scene(path), ("anna", "ben"), str(path))
    assert [shot.camera.camera for shot in scene.shots] == ["all", "over-shoulder", "front"]
    assert scene.actors["ben"].avatar == "people/ben.avatar"


def test_an_empty_file_is_a_scene(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("")
    assert read_scene(path).actors == {} and read_scene(path).shots == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bakground = 'red'", "s.toml: unknown key `bakground`; did you mean `background`?"),
        ("[actor.anna]\nyaw = 'left'", "s.toml: actor anna: `yaw` is 'left', expected a number"),
        ("[actor.anna]\nyaw = 400", "s.toml: actor anna: `yaw` is 400, expected -360 to 360"),
        (
            "[actor.anna]\nposition = [1, 2]",
            "s.toml: actor anna: `position` has 2 numbers, expected [right, up, front]",
        ),
        ("[actor.anna]\nscale = nan", "s.toml: actor anna: `scale` is nan, expected 0.05 to 20"),
        ("[actor.anna]\nmotion = 'a'\nspeak = 'b'", "s.toml: actor anna: `motion` and `speak` exclude each other"),
        ("[actor.anna]\nlooks_at = 'carl'", "s.toml: actor anna: `looks_at` is 'carl', expected one of ben, camera"),
        ("[actor.anna]\nlooks_at = [{at='ben'},{at='ben'}]", "s.toml: actor anna: `looks_at`: after 0 is not later"),
        ("[actor.carl]\nyaw = 3", "s.toml: actor carl: no avatar has this name; the avatars are anna, ben"),
        ("[actor.camera]\nyaw = 3", "s.toml: an actor cannot have the name 'camera', which `looks_at` uses"),
        ("[[shot]]\nof = 'carl'", "s.toml: shot 1: `of` is 'carl', expected one of anna, ben"),
        ("[[shot]]\n[[shot]]", "s.toml: shot 2 starts at 0 s, not after the one before; sort them"),
        ("[camera]\n[[shot]]", "s.toml: `camera` and `shot` exclude each other"),
        ("[camera]\ncamera = 'file'", 's.toml: camera: camera "file" needs a JSON file'),
        ("[camera]\nlens = 5000", "s.toml: camera: `lens` is 5000, expected 10 to 400"),
        ("[camera]\ncamera = 'above'", "s.toml: camera: `camera` is 'above', expected one of 'all', 'front'"),
        ("shots = 3", "s.toml: unknown key `shots`; write [[shot]] tables"),
        ("actor = 3", "s.toml: `actor` is not a group of tables; write each one as [actor.NAME]"),
        ("duration = 0", "s.toml: `duration` is 0, expected more than 0 seconds"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    assert failure(tmp_path / "s.toml", text).startswith(message)
