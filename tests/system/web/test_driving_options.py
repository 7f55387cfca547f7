"""The constants of retargeting and of following a face: those of the container, or those before it had any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avatar.export.web_options import driving_options
from tests.support.browser import Page
from tests.system.web.test_damage import rewritten
from viewer.web.bundle import module
from viewer.web.page import build_page


@pytest.fixture(scope="module")
def options(shown: Page) -> Page:
    """The page with the function `drivingOptions`."""
    body, _, _ = module("container/driving_options.js").rpartition("export {")
    shown.run(f"(() => {{ {body} globalThis.drivingOptions = drivingOptions; }})()")
    return shown


def read(page: Page, stored: Any) -> dict[str, dict[str, Any]]:
    """What the page reads of `driving.options`."""
    found = page.run(f"drivingOptions({{ driving: {{ options: {json.dumps(stored)} }} }})")
    assert isinstance(found, dict)
    return found


def test_the_page_reads_every_constant_that_the_export_stores(options: Page) -> None:
    stored = {
        group: {name: [value[0] / 2, 3] if isinstance(value, list) else value / 2 for name, value in values.items()}
        for group, values in driving_options().items()
    }
    assert read(options, stored) == stored
    assert options.run("app.player.header.driving.options") == driving_options()


def test_containers_without_constants_have_those_of_their_time(options: Page) -> None:
    before = options.run("drivingOptions({ driving: {} })")
    assert before.keys() == driving_options().keys()
    for group, values in driving_options().items():
        # A constant that changes is listed here with its old value.
        assert before[group] == {name: pytest.approx(value, rel=1e-12) for name, value in values.items()}
    assert read(options, {"presence": {"hold": 1.5}})["presence"] == {**before["presence"], "hold": 1.5}


@pytest.mark.parametrize("value", ["fast", None, [1, 2], {}])
def test_a_constant_that_is_no_number_is_damage(options: Page, value: object) -> None:
    script = f"drivingOptions({{ driving: {{ options: {{ presence: {{ hold: {json.dumps(value)} }} }} }} }})"
    message = options.run(f"(() => {{ try {{ {script} }} catch (error) {{ return error.message; }} }})()")
    assert message == "The avatar is damaged (numbers of driving.options.presence.hold); export or download it again."


def test_a_page_with_a_container_without_constants_poses_the_avatar(
    page: Page, container: bytes, tmp_path: Path
) -> None:
    old = rewritten(container, lambda header: header["driving"].pop("options"))
    path = tmp_path / "old.html"
    path.write_text(build_page(old, "old"), encoding="utf-8")
    page.open(path)  # in place of the page of the tests above
    assert page.run("app.player.header.driving.options") is None
    assert page.run("app.params().jointRot.length") == 15
