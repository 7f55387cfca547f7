"""Action units: the table, and the way between weights and intensities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.motion.lip_gap import LipGap
from avatar.performance.facs.table import DEFAULT_TABLE, FacsTable
from avatar.performance.facs.units import UnitReader, arkit_columns, arkit_weights, head_units, to_weights

TABLE = FacsTable.load()
READER = UnitReader(TABLE)


def one(key: str, left: float, right: float | None = None) -> np.ndarray:
    """Intensities [1,U,2] with one unit."""
    sides = np.zeros((1, len(TABLE.units), 2))
    sides[0, TABLE.keys.index(key)] = left, left if right is None else right
    return sides


@pytest.mark.parametrize("unit", TABLE.units, ids=lambda unit: unit.key)
@pytest.mark.parametrize("intensity", [0.1, 0.35, 0.7, 1.0])
def test_a_unit_alone_reads_back_as_itself(unit, intensity: float) -> None:
    found = UnitReader(TABLE)(to_weights(one(unit.key, intensity)))[0]
    row = TABLE.keys.index(unit.key)
    assert found[row] == pytest.approx(intensity, abs=1e-6)
    others = {key for key, value in zip(TABLE.keys, found, strict=True) if value >= TABLE.threshold} - {unit.key}
    assert others <= set(unit.implies)


@pytest.mark.parametrize("unit", [unit for unit in TABLE.units if unit.sided], ids=lambda unit: unit.key)
def test_the_sides_of_a_unit_are_separate(unit) -> None:
    row = TABLE.keys.index(unit.key)
    np.testing.assert_allclose(READER.sides(READER.weights(one(unit.key, 0.6, 0.2)))[0, row], [0.6, 0.2], atol=1e-3)


def test_units_of_two_dimensions_drive_both_sides() -> None:
    np.testing.assert_array_equal(READER.weights(one("AU12", 0.5).max(2)), READER.weights(one("AU12", 0.5)))


def test_intensities_and_weights_stay_between_0_and_1() -> None:
    random = np.random.default_rng(0)
    for weights in (random.random((50, 52)), np.ones((1, 52)), np.zeros((1, 52)), 5 * random.standard_normal((9, 52))):
        units = READER.sides(weights)
        assert units.min() >= 0
        assert units.max() <= 1
        driven = READER.weights(units)
        assert driven.min() >= 0
        assert driven.max() <= 1


def test_no_weights_are_no_units() -> None:
    assert READER(np.zeros((3, 52))).max() < TABLE.threshold


def test_the_frames_of_a_batch_are_independent() -> None:
    weights = np.random.default_rng(1).random((20, 52))
    np.testing.assert_allclose(READER.sides(weights), np.concatenate([READER.sides(row[None]) for row in weights]))


def test_a_wide_jaw_is_a_mouth_stretch_and_no_jaw_drop() -> None:
    weights = np.zeros((2, 52))
    weights[:, ARKIT_52.index("jawOpen")] = 0.5, 0.95
    found = READER(weights)[:, [TABLE.keys.index("AU26"), TABLE.keys.index("AU27")]]
    assert found[0, 0] > 0.5 > TABLE.threshold > found[0, 1]
    assert found[1, 0] == 0 < 0.5 < found[1, 1]


def test_a_dropped_jaw_with_closed_lips_parts_no_lips() -> None:
    weights = np.zeros((1, 52))
    weights[:, ARKIT_52.index("jawOpen")], weights[:, ARKIT_52.index("mouthClose")] = 0.5, 0.45
    found = READER(weights)[0]
    assert found[TABLE.keys.index("AU25")] < TABLE.threshold < found[TABLE.keys.index("AU26")]


def test_the_millimeters_of_the_table_are_those_of_the_embedded_head() -> None:
    head = load_head()
    gap = LipGap.of(head)
    assert gap is not None
    assert TABLE.gap_rest == pytest.approx(1e3 * float(gap.at_rest), abs=0.01)
    columns = [head.expression_names.index(name) for name in ARKIT_52]
    np.testing.assert_allclose(TABLE.gap_opening, 1e3 * gap.opening.numpy()[columns], atol=0.05)


def test_units_that_share_weights_are_separated_by_least_squares(tmp_path: Path) -> None:
    text = DEFAULT_TABLE.read_text().replace("weights = { mouthPucker = 1.0 }", "weights = { mouthPucker = 1.0, "
                                             "mouthFunnel = 0.5 }")  # fmt: skip
    (tmp_path / "shared.toml").write_text(text)
    reader = UnitReader(FacsTable.load(tmp_path / "shared.toml"))
    sides = np.zeros((1, len(TABLE.units), 2))
    sides[0, TABLE.keys.index("AU18")], sides[0, TABLE.keys.index("AU22")] = 0.8, 0.3
    found = reader.sides(reader.weights(sides))[0]
    np.testing.assert_allclose(found[[TABLE.keys.index("AU18"), TABLE.keys.index("AU22")], 0], [0.8, 0.3], atol=1e-4)


def test_the_attribution_of_a_unit_adds_up_to_one() -> None:
    weights = np.random.default_rng(2).random((4, 52))
    parts = READER.attribution(weights)
    np.testing.assert_allclose(parts.sum(2), 1.0)
    smile = parts[0, TABLE.keys.index("AU12")]
    assert set(np.flatnonzero(smile)) == {ARKIT_52.index("mouthSmileLeft"), ARKIT_52.index("mouthSmileRight")}


def test_letters_are_ranges_of_intensity() -> None:
    assert [TABLE.letter(value) for value in (0.0, 0.08, 0.3, 0.5, 0.7, 1.0)] == ["", "A", "B", "C", "D", "E"]


def test_positions_of_the_head_are_read_from_its_angles() -> None:
    keys = [unit.key for unit in TABLE.head]
    found = dict(zip(keys, head_units([[22.5, -15.0, -30.0]], TABLE)[0], strict=True))
    assert found == pytest.approx({"AU51": 0.5, "AU52": 0, "AU53": 0, "AU54": 0.5, "AU55": 1.0, "AU56": 0})


def test_missing_and_other_expressions_are_tolerated() -> None:
    names = ("jawOpen", "somethingElse", "mouthSmileLeft")
    weights = arkit_weights([[0.5, 0.9, np.nan]], arkit_columns(names))
    assert weights.shape == (1, 52)
    assert weights.sum() == weights[0, ARKIT_52.index("jawOpen")] == 0.5


CHANGES = {
    "missing-section": ("[letters]", "[letter]", "`letter`: unknown name; did you mean `letters`?"),
    "letter": ("A = 0.08", "A = 0.5", "`letters.A`: expected five increasing intensities from A to E"),
    "number": ("B = 0.2", 'B = "x"', "`letters.B`: expected a number from 0.001 to 1, found 'x'"),
    "nan": ("B = 0.2", "B = nan", "`letters.B`: expected a number from 0.001 to 1, found nan"),
    "weight": ("{ browInnerUp = 1.0 }", "{ browInnerUpp = 1.0 }",
               "`units.AU1.weights.browInnerUpp`: unknown name; did you mean `browInnerUp`?"),
    "no weights": ("{ browInnerUp = 1.0 }", "{ }", "`units.AU1.weights`: expected at least one expression"),
    "unit key": ("[units.AU2]", "[units.Brow]", "`units.Brow`: expected a name such as AU12"),
    "setting": ('name = "brow lowerer"', 'nam = "x"', "`units.AU4.nam`: unknown name; did you mean `name`?"),
    "missing name": ('name = "brow lowerer"\n', "", "`units.AU4.name`: is missing; copy the entry"),
    "rule": ('rule = "all"', 'rule = "some"', "`units.AU23.rule`: expected fit or all, found 'some'"),
    "curve": ("[[0.7, 0.079], [1.0, 1.0]]", "[[0.7, 0.9], [1.0, 0.1]]", "`units.AU27.curve`: expected increasing"),
    "excludes": ('excludes = ["AU26"]', 'excludes = ["AU99"]', "`units.AU27.excludes: AU99`: unknown name"),
    "flag": ("one_sided = true", "one_sided = 1", "`units.AU12.one_sided`: expected true or false, found 1"),
    "emotion unit": ("AU6 = 0.7, AU12 = 1.0, AU25", "AU6 = 0.7, AU99 = 1.0, AU25",
                     "`emotions.happiness.prototype.AU99`: unknown name"),
    "side": ("{ R12 = 0.4, R14 = 0.9 }", "{ R26 = 0.4 }", "`emotions.contempt.prototype.R26`: AU26 has no sides"),
    "valence": ("valence = 0.85", "valence = 2", "`emotions.happiness.valence`: expected a number from -1 to 1"),
    "name": ("[emotions.fear]", "[emotions.neutral]", "`emotions.neutral`: neutral and unknown are labels"),
    "degrees": ("degrees = 45.0", "degrees = 0", "`head.AU51.degrees`: expected an angle other than 0"),
    "words": ('words = ["tongue out",', 'words = [5,', "`units.AU19.words`: expected a list of texts"),
    "version": ("version = 1", "version = 2", "`version`: expected 1"),
    "syntax": ("version = 1", "version =", "not valid TOML"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_an_error_in_a_table_names_file_and_key(tmp_path: Path, case: str) -> None:
    old, new, message = CHANGES[case]
    text = DEFAULT_TABLE.read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(HeadsplatError) as caught:
        FacsTable.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "`version`: is missing"),
        (b"\xff\xfe", "cannot read the table"),
        (b"#" * (1 << 19), "larger than 256 KB, which no table is"),
        (b"x = " + b"[" * 5000, "not valid TOML"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(HeadsplatError, match=message):
        FacsTable.load(tmp_path / "bad.toml")


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="a folder or a device; give a TOML file"):
        FacsTable.load(tmp_path)


def test_the_guide_shows_the_units_and_emotions_of_the_table() -> None:
    page = (Path(__file__).parents[4] / "docs" / "guides" / "reading.md").read_text(encoding="utf-8")
    for unit in TABLE.units:
        assert f"| {unit.key} | {unit.name} | {unit.muscles} | " in page
    for emotion in TABLE.emotions:
        assert f" | {emotion.valence:g}, {emotion.arousal:g} |" in page and f"| {emotion.name} | " in page


def test_a_missing_table_is_reported(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"none\.toml: no such table; check the path given to --table"):
        FacsTable.load(tmp_path / "none.toml")


def test_unknown_units_and_emotions_are_reported() -> None:
    with pytest.raises(HeadsplatError, match=r"'AU99' is not an action unit of .*choose one of AU1, AU2"):
        TABLE.unit("AU99")
    with pytest.raises(HeadsplatError, match=r"'bored' is not an emotion of .*choose one of happiness"):
        TABLE.emotion("bored")
