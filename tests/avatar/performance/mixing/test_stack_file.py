"""Stack files: what they may say, and the errors of what they may not."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from avatar.performance.mixing.stack_file import LayerSpec, read_stack

LAYER = '[[layer]]\nsource = "a.csv"\n'
EVERYTHING = """
fps = 50
duration = 4
seed = 7
amplify = { brows = 1.3, "lids.left" = 1.2 }
exclude = false
opening = { limit_mm = 20, set_mm = [[0, 3], [2, 8.5]] }
closures = { within_mm = 1, rest = 0.5 }
smooth = { lag = 0.05 }

[[layer]]
source = "take.csv"
kind = "motion"
name = "base"
regions = { upper = 1, cheeks = 0.5 }
mode = "max"
strength = 0.7
start = 1
trim = [0.5, 3]
speed = 2
fade_in = 0.2
fade_out = 0.3
loop = true
neutral = "as-is"
gain = { brows = 1.4 }
closures = false
fps = 25
head = "embedded"

[[layer]]
source = "smile"
regions = ["mouth", "cheeks.left"]
pulse = { times = [1, 2.5], onset = 0.05, apex = 0.1, offset = 0.2, every = 2, jitter = 0.01, vary = 0.2 }

[[layer]]
source = "speech.wav"
text = "Hello"
hold = true
frame = 3
"""


def refused(tmp_path: Path, text: str) -> str:
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    with pytest.raises(HeadsplatError) as caught:
        read_stack(tmp_path / "s.toml")
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "s.toml")) and "\n" not in message
    return message.removeprefix(f"{tmp_path / 's.toml'}: ")


def test_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(EVERYTHING)
    stack = read_stack(tmp_path / "s.toml")
    base, smile, speech = stack.layers
    assert (stack.fps, stack.duration, stack.seed, stack.exclude, stack.folder) == (50, 4, 7, False, tmp_path)
    assert stack.opening.set_mm == [[0, 3], [2, 8.5]] and stack.closures.rest == 0.5 and stack.smooth.lag == 0.05
    assert (base.label, base.mode, base.trim, base.gain) == ("base", "max", [0.5, 3], {"brows": 1.4})
    assert smile.pulse is not None and smile.pulse.times == (1, 2.5) and smile.regions == ["mouth", "cheeks.left"]
    assert (speech.text, speech.hold, speech.frame) == ("Hello", True, 3)
    assert all(item.name in EVERYTHING for item in fields(LayerSpec))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'no layers; give at least one [[layer]] with source = "..."'),
        ("layer = []", 'no layers; give at least one [[layer]] with source = "..."'),
        ("layer = 3", "`layer` is not a list of tables; write each one as [[layer]]"),
        ("layer = [1]", "`layer` is not a list of tables; write each one as [[layer]]"),
        ("speed = 1\n" + LAYER, "unknown key `speed`; did you mean `seed`?"),
        ('folder = "x"\n' + LAYER, "unknown key `folder`; did you mean `layer`?"),
        ("fps = 0\n" + LAYER, "`fps` is 0, expected 1 to 1000"),
        ("fps = nan\n" + LAYER, "`fps` is nan, expected 1 to 1000"),
        ("duration = -1\n" + LAYER, "`duration` is -1, expected 0 to 604800"),
        ("duration = 0\n" + LAYER, "`duration` is 0, expected more than 0 seconds"),
        ("seed = -1\n" + LAYER, "`seed` is -1, expected 0 to 4294967295"),
        ("amplify = { brows = 2 }\n" + LAYER, "`amplify`: brows is 2, expected a factor from 0 to 1.5"),
        ("amplify = { brow = 1 }\n" + LAYER, "`amplify`: no region or expression 'brow'; did you mean brows?"),
        ("opening = { peak_mm = 99 }\n" + LAYER, "`opening.peak_mm` is 99, expected 0 to 45 mm"),
        ("opening = { set_mm = [[0, 1], [1, nan]] }\n" + LAYER, "`opening.set_mm` expects [seconds, mm] pairs"),
        ("smooth = { lags = 1 }\n" + LAYER, "unknown key `smooth.lags`; did you mean `lag`?"),
        ("closures = true\n" + LAYER, "`closures` is a group of settings; write it as a table [closures]"),
        ("[[layer]]\n", 'layer 1: no source; give a file or a face, such as source = "take.csv" or "smile"'),
        ('[[layer]]\nsource = " "', "layer 1: no source; give a file or a face"),
        ('[[layer]]\nsource = "a\\u0000b"', "layer 1: `source` contains a null character; correct it"),
        (LAYER + LAYER + "strength = 2", "layer 2: `strength` is 2, expected 0 to 1"),
        (LAYER + "strength = nan", "layer 1: `strength` is nan, expected 0 to 1"),
        (LAYER + "start = -0.5", "layer 1: `start` is -0.5, expected 0 to 604800"),
        (LAYER + "speed = 0", "layer 1: `speed` is 0, expected 0.01 to 100"),
        (LAYER + 'mode = "replce"', "layer 1: `mode` is 'replce', expected one of 'auto', 'replace', 'add', 'max'"),
        (LAYER + 'region = "mouth"', "layer 1: unknown key `region`; did you mean `regions`?"),
        (LAYER + 'regions = "mouht"', "layer 1: `regions`: no region or expression 'mouht'; did you mean mouth?"),
        (LAYER + "regions = 3", "layer 1: `regions` is 3, expected"),
        (LAYER + "regions = { mouth = nan }", "layer 1: `regions`: 'mouth' is nan, expected a weight from 0 to 1"),
        (LAYER + "trim = [3, 1]", "layer 1: `trim` is [3.0, 1.0]: the end is not after the start"),
        (LAYER + "trim = [-1, 1]", "layer 1: `trim` is [-1.0, 1.0], expected [from, to] in seconds from 0 on"),
        (LAYER + "trim = [1, 2, 3]", "layer 1: `trim` is [1.0, 2.0, 3.0], expected [from, to] in seconds from 0 on"),
        (LAYER + "loop = true\nhold = true", "layer 1: `loop` and `hold` exclude each other; leave one out"),
        (LAYER + "frame = -1", "layer 1: `frame` is -1, expected 0 for the first frame, 1 for the second, ..."),
        (LAYER + "gain = { head = 1 }", "layer 1: `gain`: head has no expressions; scale the head's motion with"),
        (LAYER + 'gain = { jaw = "2" }', "layer 1: `gain`: jaw is '2', expected a factor from 0 to 4"),
        (LAYER + "pulse = 3", "layer 1: `pulse` is a group of settings; write pulse = { times = [1.0, 3.5] }"),
        (LAYER + "pulse = { time = [1] }", "layer 1: unknown key `pulse.time`; did you mean `times`?"),
        (LAYER + "pulse = { times = [-1] }", "layer 1: `pulse.times` has a time that is negative or too large"),
        (LAYER * 65, "65 layers, at most 64 are mixed; put some in a second stack"),
        ("[[layer", "not valid TOML"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    assert refused(tmp_path, text).startswith(message)


def test_a_missing_file_and_a_huge_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"none.toml: no such stack file; check its path"):
        read_stack(tmp_path / "none.toml")
    assert refused(tmp_path, "#" * (1 << 19)) == "larger than 256 KB, which no stack file is; check its path"
