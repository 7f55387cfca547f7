"""A training that is shown in the widget of a notebook, with a view in the place of the browser's traits."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from avatar import jobs, load_avatar
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.export.web_blocks import header_of
from viewer.web.notebook import AvatarView, container_of

TINY = "steps = 60\ngaussians = 300\nbases = 2\nlayer = false\nrefine_at = 1.0\nsize = 64\n"


class View(AvatarView):
    """The traits as plain attributes; keeps what was shown."""

    status, progress, _motion = "", None, b""

    def __init__(self) -> None:
        self.shown: list[bytes] = []

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "_container":
            self.shown.append(self._container)


@pytest.fixture
def options(tmp_path: Path) -> jobs.TrainOptions:
    (tmp_path / "tiny.toml").write_text(TINY)
    return jobs.TrainOptions(config=tmp_path / "tiny.toml")


def test_the_widget_shows_stages_psnr_avatars_and_the_trained_one(
    tiny: Capture, options: jobs.TrainOptions, tmp_path: Path
) -> None:
    view, lines = View(), []
    out = tmp_path / "me.avatar"

    def notify(notice: object) -> None:
        lines.append(view.status)

    assert jobs.train(tiny.root, out, options, notify=notify, widget=view) is not None
    assert len(view.shown) >= 2 and view.shown[-1] == container_of(out)
    assert header_of(view.shown[0])["name"] == "avatar"
    assert any(line.startswith("training: ") and line.endswith(" dB") for line in lines)
    assert view.status.startswith("me.avatar: 300 Gaussians") and view.progress is None


def test_an_interrupt_of_the_kernel_ends_it_and_keeps_the_avatar(
    tiny: Capture, options: jobs.TrainOptions, tmp_path: Path
) -> None:
    view, before = View(), signal.getsignal(signal.SIGINT)

    def interrupt(notice: object) -> None:
        if str(notice).startswith("training") and signal.getsignal(signal.SIGINT) is not before:
            signal.raise_signal(signal.SIGINT)

    trained = jobs.train(tiny.root, tmp_path / "me.avatar", options, notify=interrupt, widget=view)
    assert trained is not None and not trained.finished
    assert view.status == "stopped early; resume=True continues the training"
    assert len(load_avatar(tmp_path / "me.avatar")) == 300
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_is_shown_and_raised(options: jobs.TrainOptions, tmp_path: Path) -> None:
    view = View()
    with pytest.raises(HeadsplatError, match=r"gone\.mp4") as raised:
        jobs.train(tmp_path / "gone.mp4", tmp_path / "me.avatar", options, widget=view)
    assert view.status == str(raised.value) and view.progress is None


def test_a_window_and_a_widget_are_not_both_possible(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="view: a training is shown in a window or in a widget; leave one of them"):
        jobs.train(tmp_path / "a.mp4", tmp_path / "me.avatar", jobs.TrainOptions(view=True), widget=View())
