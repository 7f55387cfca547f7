"""Training on a capture, and writing the avatar and the files beside it."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar import __version__
from avatar.common.files import check_name, path_text, write_error
from avatar.common.rescue import rescue
from avatar.common.toml_config import save_config
from avatar.errors import HeadsplatError
from avatar.jobs.head_size import GivenSize, size_of, size_sentence
from avatar.jobs.notices import SILENT, Notices, Stop, stoppable
from avatar.jobs.outputs import Output, is_report, starts_with
from avatar.training.config import TrainConfig

if TYPE_CHECKING:
    import numpy as np
    import torch

    from avatar.data.capture_folder import Capture
    from avatar.refine.track import RefinedTrack
    from avatar.training.parallel import Processes
    from avatar.training.progress import TrainProgress
    from avatar.training.report import TrainReport, TrainResult
    from avatar.training.snapshot import SnapshotBuffer

#: For the user, where a training is to end early.
STOPPING = "stopping after this step; press Ctrl-C again to quit without saving"


#: Start of the settings file that a training writes.
_CONFIG_COMMENT = "# headsplat "


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
        """The avatar `out` and the files that are written beside it."""
        check_name(out)
        if out.suffix != ".avatar":
            raise HeadsplatError(f"{out}: an avatar's name ends in .avatar; write -o {out.with_suffix('.avatar')}")
        names = (f"{out.stem}{suffix}" for suffix in (".toml", ".report.json", ".preview.png", ".checkpoint"))
        return Outputs(out, *(out.with_name(name) for name in names))

    def reserved(self, resume: bool) -> tuple[Output, ...]:
        """The files, for `avatar.jobs.outputs.reserved`: the user named the avatar only."""
        from avatar.jobs.images import is_our_image

        return (
            Output(self.avatar),
            Output(self.config, ours=lambda path: starts_with(path, _CONFIG_COMMENT)),
            Output(self.report, ours=lambda path: is_report(path, "avatar", "gaussians", "words")),
            Output(self.preview, ours=is_our_image, renewed=True),
            Output(self.checkpoint, ours=None if resume else _is_checkpoint, renewed=True),
        )

    def check(self, resume: bool, overwrite: bool) -> None:
        """Raise HeadsplatError if there is no checkpoint to resume, or one that neither option is given for."""
        if resume and not self.checkpoint.exists():
            raise HeadsplatError(f"{self.checkpoint}: no such checkpoint; omit --resume to start a new training")
        if self.checkpoint.exists() and not (resume or overwrite):
            raise HeadsplatError(
                f"{self.checkpoint}: checkpoint of an interrupted training; give --resume to continue it or "
                "--overwrite to start a new one"
            )


def _is_checkpoint(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            index = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            return b"spent" in archive.read(index)
    except (OSError, zipfile.BadZipFile, StopIteration):
        return False


@dataclass(frozen=True)
class TrainedAvatar:
    """What a training has written."""

    outputs: Outputs
    result: TrainResult
    finished: bool  # False: it was ended early, and the files have the present avatar
    resuming: str = ""  # how an unfinished training continues

    @property
    def path(self) -> Path:
        """The avatar's file."""
        return self.outputs.avatar

    @property
    def report(self) -> TrainReport:
        """Figures of the training."""
        return self.result.report.named(path_text(self.outputs.avatar.name))


def train_capture(
    capture: Capture,
    settings: TrainConfig,
    outputs: Outputs,
    *,
    resume: bool,
    head: str | None = None,
    snapshots: SnapshotBuffer | None = None,
    device: str | torch.device = "cpu",
    processes: Processes | None = None,
    others: Sequence[Capture] = (),
    size: GivenSize | None = None,
    notices: Notices = SILENT,
    stop: Stop = None,
) -> TrainedAvatar:
    """Train on `capture` with progress and preview, and write `outputs`.

    Args:
        capture: a finished capture.
        settings: settings of the training.
        outputs: files to write.
        resume: continue from the checkpoint.
        head: path or name of the head model; None: the one that the metadata of the capture names.
        snapshots: buffer from which a window takes the avatar in training.
        device: on which to train, as for `fit`.
        processes: that train together with this one, the first of them.
        others: further recordings, as for `fit`.
        size: what the user knows about the size of the head.
        notices: of the job.
        stop: what ends the training early; the present avatar is then written.

    Raises:
        HeadsplatError: the outputs cannot be written; names the folder in which they are kept instead.
    """
    preview = _Preview(outputs.preview, notices)
    if sentence := smaller_frames(capture, settings.size):
        notices.say(sentence)

    def progress(state: TrainProgress) -> None:
        _show(state, update, preview, snapshots)

    with stoppable(stop, STOPPING) as stopped, notices.stages() as update:
        update("preparing", 0.0, "loading libraries")
        from avatar.data.capture_head import head_of
        from avatar.training.checkpoints import partial_checkpoint
        from avatar.training.fit import fit

        model = head_of(capture, head)
        true_size = size_of(capture, model, size)
        result = fit(
            capture, model, settings, progress=progress, checkpoint=outputs.checkpoint, resume=resume,
            stop=stopped, snapshot=None if snapshots is None else snapshots.offer, device=device, processes=processes,
            others=others,
        )  # fmt: skip
    result.avatar.true_size = true_size
    if snapshots is not None:
        snapshots.finish(result.avatar)
    interrupted = not result.avatar.provenance["finished"] and stopped.is_set()
    _write(result, capture, settings, outputs, interrupted, notices)
    notices.say(size_sentence(true_size, result.avatar.head))
    if interrupted:
        return TrainedAvatar(outputs, result, finished=False, resuming=_resuming(result, outputs))
    for path in (partial_checkpoint(outputs.checkpoint), outputs.checkpoint):
        path.unlink(missing_ok=True)
    return TrainedAvatar(outputs, result, finished=True)


def smaller_frames(capture: Capture, size: int) -> str | None:
    """A sentence where the frames of a capture have fewer pixels than the training `size`, None otherwise."""
    width, height = capture.size_at(size)
    if max(width, height) >= size:
        return None
    return f"training at {width}x{height} pixels, the size of the capture's frames: they are not enlarged to {size}"


def _write(
    result: TrainResult,
    capture: Capture,
    settings: TrainConfig,
    outputs: Outputs,
    interrupted: bool,
    notices: Notices,
) -> None:
    """Write the avatar, its settings, its report and the refined track.

    Raises:
        HeadsplatError: the outputs cannot be written; names the folder in which they are kept instead.
    """
    try:
        _write_files(result, capture, settings, outputs)
    except Exception as error:  # whatever a writer raises: the result of hours must not be lost
        folder = rescue(
            lambda folder: _write_files(result, capture, settings, Outputs.beside(folder / outputs.avatar.name))
        )
        sentence = [_reason(outputs.avatar, error)]
        if folder is None:
            sentence.append("the avatar could not be kept in the temporary directory either")
        else:
            _save_track(result.refined_track, capture, notices)
            sentence.append(f"the avatar, its settings and its report are kept in {folder}: move them from there")
        if interrupted or folder is None or outputs.checkpoint.exists():
            sentence.append(_resuming(result, outputs))
        raise HeadsplatError("; ".join(sentence)) from error
    notices.show(result.report.named(path_text(outputs.avatar.name)).to_text())
    _save_track(result.refined_track, capture, notices)
    if skipped := result.avatar.provenance.get("refinement_skipped"):
        notices.say(f"headsplat: {skipped}")


def _resuming(result: TrainResult, outputs: Outputs) -> str:
    """How an unfinished training continues."""
    kept = result.checkpoint or outputs.checkpoint
    if not kept.exists():
        return "--resume cannot continue the training, because no checkpoint could be written"
    if kept != outputs.checkpoint:
        return f"--resume continues the training after {kept} is moved to {outputs.checkpoint}"
    if result.checkpoint is None:
        return f"--resume continues the training from the earlier checkpoint {kept}"
    return "--resume continues the training"


def _write_files(result: TrainResult, capture: Capture, settings: TrainConfig, outputs: Outputs) -> None:
    """Write the avatar, its settings and its report."""
    from avatar.jobs.render_inputs import capture_entry
    from avatar.model.avatar_file import save_avatar

    extras: dict[str, Any] = {
        "settings": dataclasses.asdict(settings),
        "capture": capture_entry(capture),
        "track": track_entry(result.refined_track),
    }
    if capture.metadata.get("consent"):
        extras["consent"] = capture.metadata["consent"]
    save_avatar(outputs.avatar, result.avatar, extras)
    comment = f"{__version__}: the resolved settings of {path_text(outputs.avatar.name)}"
    save_config(outputs.config, settings, _CONFIG_COMMENT.removeprefix("# ") + comment)
    result.report.named(path_text(outputs.avatar.name)).write(outputs.report)


def _save_track(track: RefinedTrack | None, capture: Capture, notices: Notices) -> None:
    """Write the refined track to the folder of the capture; failing to write there is no error."""
    if track is None:
        return
    try:
        track.save(capture.root)
    except (HeadsplatError, OSError) as error:
        reason = _reason(capture.root, error)
        notices.say(f"{reason}; the refined track is not saved, the avatar is complete")
    else:
        notices.say(
            f"{capture.root}: the refined track is saved; `headsplat info {capture.root} --report` makes a report of it"
        )


def track_entry(track: RefinedTrack | None) -> dict[str, str]:
    """The entry `track` of an avatar's header: the track on which it was trained."""
    return {"name": "landmarks"} if track is None else {"name": "refined", "fingerprint": track.fingerprint}


class _Preview:
    """The image of the training in progress; a failure to write it is reported once."""

    def __init__(self, path: Path, notices: Notices) -> None:
        self._path = path
        self._notices = notices
        self._reported = False

    def write(self, image: np.ndarray) -> None:
        """Write `image` uint8 [H,W,3] sRGB."""
        from avatar.jobs.images import write_image

        try:
            write_image(self._path, image)
        except (HeadsplatError, OSError) as error:
            if not self._reported:
                self._notices.say(f"no preview: {_reason(self._path, error)}; the training continues")
            self._reported = True


def _reason(path: Path, error: Exception) -> str:
    """The sentence for an error while `path` was written."""
    return str(error if isinstance(error, HeadsplatError) else write_error(path, error))


def _show(
    state: TrainProgress,
    update: Callable[[str, float, str], None],
    preview: _Preview,
    snapshots: SnapshotBuffer | None,
) -> None:
    if state.phase != "training":
        text = state.stage
    elif state.stage != "training":
        text = f"step {state.step}, {state.stage}"
    else:
        text = f"step {state.step}, {state.psnr:.1f} dB"
    update(state.phase, state.work, text)
    if state.preview is not None:
        preview.write(state.preview)
    if snapshots is not None:
        snapshots.report(state)
