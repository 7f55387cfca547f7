"""The table of visemes and its errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from avatar.performance.speech.phones import BILABIALS, PHONES, SILENCE
from avatar.performance.speech.speaking import SpeakOptions, speak
from avatar.performance.speech.visemes import CONTROLS, VisemeTable
from tests.support.scripted_speech import scripted, weight


def test_every_phone_has_a_viseme_with_a_class() -> None:
    table = VisemeTable.load()
    for name in PHONES:
        viseme = table.phones[name]
        assert viseme.parts or viseme.kind in table.classes, name
        assert viseme.parts or viseme.shape, name


def test_bilabials_alone_require_closed_lips() -> None:
    table = VisemeTable.load()
    assert {name for name in PHONES if table.phones[name].requirement == "closure"} == set(BILABIALS)
    assert table.phones[SILENCE].requirement == "none"


def test_controls_have_a_column_or_one_for_each_side() -> None:
    assert len(CONTROLS["mouthSmile"]) == 2 and len(CONTROLS["jawOpen"]) == 1 and "mouthLeft" not in CONTROLS


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[phones.AA]\nshape = { jawOpen = 0.6 }\n[classes.vowel]\njaw = 2\n")
    table = VisemeTable.load(path)
    speech = scripted("SIL:.3 AA1:.3 SIL:.3")
    mine, standard = (speak(speech, SpeakOptions(visemes=each, acting=0)) for each in (table, None))
    assert weight(mine, "jawOpen").max() > 1.4 * weight(standard, "jawOpen").max()
    assert table.phones["IY"] == VisemeTable.load().phones["IY"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[phone.AA]\n", r"unknown table \[phone\]; the tables are \[classes.NAME\] and \[phones.NAME\]"),
        ("[phones.AAA]\n", r"\[phones.AAA\] is no ARPABET phone; did you mean AA\?"),
        ("[phones.AA]\nkind = 'vowl'\n", r"phones.AA: no class 'vowl'; did you mean vowel\?"),
        ("[phones.AA]\nshap = {}\n", r"unknown key `phones.AA.shap`; did you mean `shape`\?"),
        ("[phones.AA]\nshape = 3\n", r"phones.AA.shape: expected a table of weights"),
        ("[phones.AA]\nshape = {jawOpn = 1}\n", r"phones.AA.shape: no control 'jawOpn'; did you mean jawOpen\?"),
        ("[phones.AA]\nshape = {jawOpen = 2}\n", r"phones.AA.shape.jawOpen: expected a weight of 0 to 1, got 2"),
        ("[phones.AA]\nshape = {jawOpen = nan}\n", r"phones.AA.shape.jawOpen: expected a weight of 0 to 1, got nan"),
        ("[phones.AA]\nheld = 0\n", r"held: expected 0.05 to 1, got 0"),
        ("[phones.AA]\nrequirement = 'shut'\n", r"`phones.AA.requirement` is 'shut', expected one of"),
        ("[phones.AA]\nparts = ['AY', 'IY']\n", r"phones.AA.parts: 'AY'; give two phones that have no parts"),
        ("[phones.AA]\nparts = ['IY']\n", r"phones.AA.parts: one part only or more than two; give two phones"),
        ("[classes.vowel]\nattack = 0\n", r"attack: expected 0.005 to 1, got 0"),
        ("phones = 3\n", r"\[phones\] must contain tables"),
        ("[phones.AA\n", r"not a table of visemes"),
        ("\x00", r"not a table of visemes"),
        ("#" * 200_000, r"larger than 128 KB, no table of visemes is"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(HeadsplatError, match=message):
        VisemeTable.load(path)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no such table of visemes; check the path given to --visemes"):
        VisemeTable.load(tmp_path / "none.toml")


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="cannot read the table of visemes"):
        VisemeTable.load(tmp_path)
