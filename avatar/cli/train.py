"""`headsplat train`: a video or a capture in, an avatar out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from avatar import __version__
from avatar.cli.arguments import EMBEDDED, OptionalFloat, OptionalHead, OptionalInt, OptionalPath, Out, Source
from avatar.cli.exit_codes import DONE, INTERRUPTED
from avatar.cli.interrupt import Stop, stopped_by_interrupt
from avatar.cli.progress import Update, say, stage
from avatar.common.files import check_output
from avatar.common.toml_config import load_config, load_preset, save_config
from avatar.errors import HeadsplatError
from avatar.rendering.backends import Rasterizer, check_rasterizer
from avatar.training.config import TrainConfig

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture
    from avatar.model.avatar import Avatar
    from avatar.refine.track import RefinedTrack
    from avatar.training.progress import TrainProgress
    from avatar.training.snapshot import SnapshotBuffer

CONSENT = "Avatars are of people: train only on someone who has agreed; everything stays on this machine."
#: Said after the first Ctrl-C.
STOPPING = "stopping after this step; Ctrl-C once more gives up without saving"


@dataclass(frozen=True)
class TrainCommand:
    """Train an avatar from a phone video or a capture."""

    source: Source
    """a video (captured first, beside the output) or a folder made by `headsplat capture`"""
    out: Out
    """the avatar to write, such as me.avatar"""
    preset: Literal["fast", "default", "quality"] = "default"
    """how much time to spend"""
    config: OptionalPath = None
    """a TOML file with settings over the preset's; the resolved one is written beside every avatar"""
    size: OptionalInt = None
    """longer side of the training pictures in pixels"""
    seed: OptionalInt = None
    """random seed: the same one gives the same avatar on one machine"""
    max_seconds: OptionalFloat = None
    """end the training after this wall-clock time"""
    mode: Literal["reduced", "expression"] | None = None
    """blendshapes: a few learned ones, or one for each expression"""
    rasterizer: Rasterizer | None = None
    """what splats: our own kernels (native), or gsplat (CUDA; pip install gsplat)"""
    head: OptionalHead = None
    """the head model, as for `headsplat capture`; a capture remembers the one it was made with"""
    refine: bool = True
    """refine the poses of the frames against the avatar on the way, and keep them beside the capture"""
    test_fraction: OptionalFloat = None
    """hold out this last part of a video for `headsplat eval` (captures carry their own split)"""
    test_every: OptionalInt = None
    """hold out every Nth frame of a video instead"""
    resume: bool = False
    """go on where an interrupted training stopped"""
    overwrite: bool = False
    """replace an avatar that exists"""
    view: bool = False
    """show the avatar grow in a window while it trains"""

    def run(self) -> int:
        """Capture if needed, train, save; returns the exit code."""
        settings = self.resolved()
        check_rasterizer(settings.rasterizer)
        beside = Outputs.beside(self.out)
        beside.check(self.resume, self.overwrite)
        if not self.view:
            say(CONSENT)
            return train_capture(self._capture(), settings, beside, resume=self.resume, head=self.head)
        from avatar.cli.train_view import check_window, train_in_sight

        check_window()
        say(CONSENT)
        return train_in_sight(self._capture(), settings, beside, resume=self.resume, head=self.head)

    def resolved(self) -> TrainConfig:
        """Defaults, then the preset, then --config, then the flags."""
        settings = load_preset(self.preset, TrainConfig())
        if self.config is not None:
            settings = load_config(self.config, settings)
        flags = {name: getattr(self, name) for name in ("size", "seed", "max_seconds", "mode", "rasterizer")}
        settings = with_flags(settings, flags)
        return settings if self.refine else dataclasses.replace(settings, refine_at=1.0)

    def _capture(self) -> Capture:
        from avatar.cli.capture import CaptureRequest, reuse_or_capture
        from avatar.data.capture_folder import Capture

        if self.source.is_dir():
            if self.test_fraction is not None or self.test_every is not None:
                raise HeadsplatError(
                    f"{self.source}: a capture carries its own split; give --test-fraction or --test-every to "
                    "`headsplat capture` instead"
                )
            self._check_captured()
            return Capture.load(self.source)
        folder = self.out.with_name(f"{self.out.stem}.capture")
        head = self.head or EMBEDDED
        request = CaptureRequest(self.source, folder, self.test_fraction, self.test_every, head=head)
        return reuse_or_capture(request, self.overwrite)

    def _check_captured(self) -> None:
        """Raise HeadsplatError if the source is a folder of several cameras and no capture of it."""
        from avatar.data.capture_folder import METADATA_FILE
        from capture.layouts import is_layout

        if not (self.source / METADATA_FILE).exists() and is_layout(self.source):
            raise HeadsplatError(
                f"{self.source}: a folder of several cameras, not a capture; run `headsplat capture {self.source} -o "
                f"{self.out.stem}.capture` first and train on that"
            )


def with_flags(settings: TrainConfig, flags: Mapping[str, Any]) -> TrainConfig:
    """`settings` with those `flags` that were given; a value out of range is named as the flag it came by."""
    try:
        return dataclasses.replace(settings, **{name: flag for name, flag in flags.items() if flag is not None})
    except ValueError as error:
        name, rest = str(error).split(":", 1)
        raise HeadsplatError(f"--{name.replace('_', '-')}:{rest}") from error


@dataclass(frozen=True)
class Outputs:
    """The files a training writes."""

    avatar: Path
    config: Path
    report: Path
    preview: Path
    checkpoint: Path

    @staticmethod
    def beside(out: Path) -> Outputs:
        """The avatar `out` and the files that go beside it."""
        if out.suffix != ".avatar":
            raise HeadsplatError(f"{out}: an avatar's name ends in .avatar; write -o {out.with_suffix('.avatar')}")
        names = (f"{out.stem}{suffix}" for suffix in (".toml", ".report.json", ".preview.png", ".checkpoint"))
        return Outputs(out, *(out.with_name(name) for name in names))

    def check(self, resume: bool, overwrite: bool) -> None:
        """Raise HeadsplatError if something would be overwritten unasked or there is nothing to resume."""
        if resume and not self.checkpoint.exists():
            raise HeadsplatError(f"{self.checkpoint}: nothing to resume here; leave --resume out to start afresh")
        for path in (self.avatar, self.config, self.report):
            check_output(path, overwrite or resume)
        if self.checkpoint.exists() and not (resume or overwrite):
            raise HeadsplatError(
                f"{self.checkpoint}: a training that was interrupted is there; give --resume to go on with it or "
                "--overwrite to start afresh"
            )


def train_capture(
    capture: Capture,
    settings: TrainConfig,
    outputs: Outputs,
    *,
    resume: bool,
    head: str | None = None,
    growth: SnapshotBuffer | None = None,
    stop: Stop | None = None,
) -> int:
    """Train on `capture` with progress and preview, write `outputs`; Ctrl-C saves what there is.

    Args:
        capture: a finished capture.
        settings: what to train.
        outputs: what to write.
        resume: go on from the checkpoint.
        head: names the head model; None: the one that the capture remembers.
        growth: where a window takes the avatar from while it grows.
        stop: what Ctrl-C sets, where another thread listens to it; None: this one does.

    Returns:
        The exit code: 0 for a finished training, 130 for an interrupted one.
    """
    from avatar.cli.render_inputs import head_of
    from avatar.training.checkpoints import unfinished
    from avatar.training.fit import fit

    def told(state: TrainProgress) -> None:
        _show(state, update, outputs.preview)
        if growth is not None:
            growth.tell(state)

    model = head_of(capture, head)
    with stopped_by_interrupt(STOPPING) if stop is None else nullcontext(stop) as stopped, stage("training") as update:
        snapshot = None if growth is None else growth.offer
        trained = fit(
            capture, model, settings, progress=told, checkpoint=outputs.checkpoint, resume=resume, stop=stopped,
            snapshot=snapshot,
        )  # fmt: skip
    if growth is not None:
        growth.finish(trained)
    _write(trained, capture, settings, outputs)
    if stopped.is_set():
        say(f"headsplat: stopped by Ctrl-C; {outputs.avatar} holds what was learned, --resume goes on from there")
        return INTERRUPTED
    for spent in (unfinished(outputs.checkpoint), outputs.checkpoint):
        spent.unlink(missing_ok=True)
    return DONE


def _write(trained: Avatar, capture: Capture, settings: TrainConfig, outputs: Outputs) -> None:
    """Write the avatar, its settings and its report, and say what came of the training."""
    from avatar.cli.render_inputs import provenance
    from avatar.model.avatar_file import save_avatar
    from avatar.training.report import TrainReport

    extras = {
        "settings": dataclasses.asdict(settings),
        "capture": provenance(capture),
        "track": track_facts(trained.refined),
    }
    if capture.metadata.get("consent"):
        extras["consent"] = capture.metadata["consent"]
    save_avatar(outputs.avatar, trained, extras)
    save_config(outputs.config, settings, f"headsplat {__version__}: the resolved settings of {outputs.avatar.name}")
    report = TrainReport.of(trained, capture, outputs.avatar.name)
    report.write(outputs.report)
    print(report.to_text(), flush=True)
    _keep_track(trained.refined, capture)
    if skipped := trained.summary.get("refinement_skipped"):
        say(f"headsplat: {skipped}")


def _keep_track(refined: RefinedTrack | None, capture: Capture) -> None:
    """Put the refined track into the capture's folder; where that cannot be, the avatar is there all the same."""
    if refined is None:
        return
    try:
        refined.save(capture.root)
    except OSError as error:
        say(f"{capture.root}: the refined track could not be kept there ({error.strerror}); the avatar is complete")
    else:
        say(f"{capture.root} holds the refined track; `headsplat info {capture.root} --report` measures and draws it")


def track_facts(refined: RefinedTrack | None) -> dict[str, str]:
    """What an avatar's header says about the track that it was trained on."""
    return {"name": "landmarks"} if refined is None else {"name": "refined", "fingerprint": refined.fingerprint}


def _show(state: TrainProgress, update: Update, preview: Path) -> None:
    from avatar.cli.images import write_image

    left = f"{state.eta_seconds:.0f} s left" if state.eta_seconds == state.eta_seconds else ""
    if state.stage != "training":
        update(state.fraction, f"step {state.step}, {state.stage}")
    else:
        update(state.fraction, f"step {state.step}, {state.psnr:.1f} dB, {left}")
    if state.preview is not None:
        write_image(preview, state.preview)
