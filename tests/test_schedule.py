"""How the tests are spread over processes."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.schedule import THREADS, TOGETHER, group_of, share_cores, slow_files_first


def item(nodeid: str, slow: bool = False) -> Any:
    return SimpleNamespace(nodeid=nodeid, get_closest_marker=lambda name: slow)


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/cli/test_cli_train.py::test_a[x::y]", "tests/cli/test_cli_train.py"),
        (f"{TOGETHER[0]}test_a.py::test_b", TOGETHER[0]),
    ],
)
def test_a_group_is_a_file_or_a_folder_that_shares_its_fixtures(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group


def test_files_with_a_slow_test_come_first_and_whole() -> None:
    items = [item("a.py::one"), item("b.py::one"), item("c.py::one"), item("b.py::two", slow=True), item("c.py::two")]
    slow_files_first(items)
    assert [each.nodeid for each in items] == ["b.py::one", "b.py::two", "a.py::one", "c.py::one", "c.py::two"]


def test_processes_share_the_cores_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    given, *others = THREADS
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    monkeypatch.setattr(os, "environ", {given: "5"})
    share_cores(4)
    assert os.environ == {given: "5", **dict.fromkeys(others, "3")}
    monkeypatch.setattr(os, "environ", {})
    share_cores(100)
    assert set(os.environ.values()) == {"1"}
