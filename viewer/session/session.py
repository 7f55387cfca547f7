"""A session: applies edits to the state and keeps the avatar's image current. It needs no window, nor do its tests."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from avatar.driving.live.samples import AvatarPose
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.parts.appearance import appearance_view
from avatar.motion.presets import (
    FacePreset,
    change_presets,
    own_presets,
    preset_named,
    presets_path,
    saved_sentence,
    with_free_key,
    with_preset,
    without_preset,
)
from viewer.outputs.outlets import Outlets, RenderedFrame
from viewer.render.orbit import Orbit, field_of_view
from viewer.render.renderer import Renderer
from viewer.session import wings
from viewer.session.actions import ACTIONS, live_pipeline_of
from viewer.session.driver_preview import DriverPreview
from viewer.session.edits import (
    AddStyle,
    Change,
    Edit,
    HideLayer,
    Measure,
    OpenFile,
    Paint,
    RemovePreset,
    RemoveView,
    SavePreset,
    SelectSource,
    SetAppearance,
    SetGain,
    ShowPreset,
)
from viewer.session.mix import Mix
from viewer.session.opening import FileOpener, Opened, OpenedAvatar, OpenedView
from viewer.session.own_presets import preset_of, sliders_of
from viewer.session.pose_sources import LiveSourceChoice, MotionPoseSource
from viewer.session.reading import FaceReader
from viewer.session.source_selector import SourceSelector
from viewer.session.state import SLIDERS, TIMELINE, AvatarInfo, CameraSettings, Editing, Measuring, State, Timeline
from viewer.session.training_view import TrainingView
from viewer.session.viewport import Viewport
from viewer.stats.counters import STALE, Counters
from viewer.stats.report import RunReport

if TYPE_CHECKING:
    from viewer.session.measuring import Ruler
    from viewer.session.wings.painting import Painting

_STATUS_PERIOD = 0.25  # seconds between two updates of the status
_PLOTTED_FRAMES = 300  # newest frames whose latency is plotted


class Session:
    """One avatar with its pose sources, viewport and outlets."""

    def __init__(
        self,
        avatar: Avatar,
        name: str,
        live: Iterable[LiveSourceChoice] = (),
        outlets: Outlets | None = None,
        folder: Path = Path(),
        clock: Callable[[], float] = time.monotonic,
        device: torch.device | None = None,
        path: Path | None = None,
        renderer: Callable[..., Renderer] = Renderer,
    ) -> None:
        """
        Args:
            avatar: to show.
            name: of its file.
            live: live sources to choose from; none is opened before it is selected.
            outlets: that get rendered images.
            folder: where snapshots and saved views are written.
            clock: returns seconds; latencies are measured with it.
            device: on which images are rendered; None: that of the avatar. Everything else stays where the avatar is.
            path: of its file; None: the avatar cannot be edited.
            renderer: what makes the renderer of an avatar, as `Renderer`.
        """
        self.outlets = outlets or Outlets()
        self.folder = folder
        self._clock = clock
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="open")
        self._opener = FileOpener(self._worker)
        self.sources = SourceSelector(avatar, live, self._worker, clock)
        self.viewport = Viewport(avatar, device, renderer)
        self.preview = DriverPreview()
        self.counters = Counters(clock)
        self.reader = FaceReader(self._worker)
        self.training: TrainingView | None = None  # of a training whose avatar is shown
        self.closing = False
        self._advanced_at = self._status_at = -math.inf  # seconds
        self.state = State(AvatarInfo.of(avatar, name), self.sources.choices(), mix=Mix.of(avatar))
        self._opened = avatar  # with its appearances
        self._path = path
        self._painting: Painting | None = None  # once something is edited
        self._ruler: Ruler | None = None  # once something is measured
        self._read_presets()

    @property
    def avatar(self) -> Avatar:
        """The avatar that is shown."""
        return self.viewport.avatar

    # The window calls these, in this order, for every frame.

    def apply(self, edits: Iterable[Edit]) -> None:
        """Execute edits; an error of one becomes the status message."""
        for edit in edits:
            try:
                self._apply(edit)
            except HeadsplatError as error:
                self.show_message(str(error), failed=True)

    def advance(self) -> bool:
        """Bring the image up to date; returns whether it is a new one."""
        now = self._clock()
        self._finish_background_work()
        if self.training is not None:
            self._advance_training(self.training, now)
        if self.state.source == TIMELINE and math.isfinite(self._advanced_at):
            self.state = replace(self.state, timeline=self.state.timeline.advance_by(now - self._advanced_at))
        self._advanced_at = now
        if self.viewport.available is None:
            return False
        # A frame creates hundreds of small tensors, and inference mode makes each cheaper. A training shares the head.
        with torch.inference_mode(self.training is None), torch.no_grad():
            pose = self.sources.pose(self.state, now)
            is_new = self._render(pose, now)
            if is_new and self.state.measuring.active:
                self._show_measured()
            reading = self.reader.read(self.sources.active, pose, self.state, now)
        if reading is not None:
            self.state = replace(self.state, reading=reading)
        self.outlets.hold(now, pose)
        self.preview.update(self.sources.live, self.state.panels.camera_preview, now)
        if now - self._status_at > _STATUS_PERIOD:
            self._status_at = now
            self._update_status(pose)
        return is_new

    def close(self) -> None:
        """Stop all sources and outlets; files that are being written are completed."""
        self.sources.stop()
        self._worker.shutdown(cancel_futures=True)
        self.sources.cancel_start()
        self.outlets.close()

    # Also called by the command line and by actions.

    def run_report(self) -> RunReport:
        """Statistics of the run."""
        counters = self.counters
        return RunReport(
            avatar=self.state.avatar.name,
            gaussians=self.state.avatar.gaussians,
            size=self.viewport.size(self.state.camera, self._clock()),
            driven_by=next(choice.label for choice in self.state.sources if choice.key == self.state.source),
            seconds=0.0 if counters.began is None else self._clock() - counters.began,
            images=self.viewport.image_number,
            window_frames=counters.window.count,
            latency=counters.meter.report(),
            stale=counters.stale,
            stale_after=STALE,
            memory=counters.memory,
            source=self.sources.active.stats(),
        )

    def show_message(self, message: str, failed: bool = False) -> None:
        """Show a status message."""
        self._set_status(message=message, failed=failed)

    def show_avatar(self, avatar: Avatar, name: str, path: Path | None = None) -> None:
        """Show another avatar, without the edits of the one before.

        Camera, view settings and sliders stay, a loaded motion is retargeted to it.

        Raises:
            HeadsplatError: that motion cannot be retargeted; the avatar before stays.
        """
        renderer = self.viewport.renderer_of(avatar)
        sources = self.sources.sources_for(avatar)
        selected = self.sources.key
        timeline = self.state.timeline
        if isinstance(motion := sources.get(TIMELINE), MotionPoseSource):
            timeline = replace(timeline, notes=motion.notes)
        self.sources.replace_avatar(avatar, sources)
        self.viewport.replace_avatar(renderer)
        editing = Editing(brush=self.state.editing.brush)
        info = AvatarInfo.of(avatar, name)
        mix = Mix.of(avatar)
        self.state = replace(
            self.state, avatar=info, timeline=timeline, editing=editing, mix=mix, measuring=Measuring()
        )
        self._opened = avatar
        self._path = path
        self._painting = None
        self._ruler = None
        self._read_presets()
        self._sync_sources()
        self._select(selected)

    def show_motion(self, motion: MotionPoseSource, name: str, label: str = "motion file") -> None:
        """Play a motion from its start."""
        self.sources.set_motion(motion, label)
        before = self.state.timeline
        timeline = Timeline(
            name, motion.times, motion.duration, playing=True, loop=before.loop, speed=before.speed, notes=motion.notes
        )
        self.state = replace(self.state, timeline=timeline)
        self._sync_sources()
        self.select_source(TIMELINE)

    def select_source(self, key: str) -> None:
        """Make a pose source active; raises HeadsplatError where it cannot start, and then the active one stays."""
        if self.sources.select(key):
            self._source_changed()

    def restart_source(self) -> None:
        """Start the active live source again."""
        self._select(self.state.source)

    def apply_view(self, name: str, orbit: Orbit) -> None:
        """Move the camera to a saved view and list it."""
        camera = self.state.camera
        saved = tuple(row for row in camera.saved if row[0] != name)
        self.state = replace(self.state, camera=replace(camera, orbit=orbit, saved=(*saved, (name, orbit))))

    def edit_avatar(self, edit: Callable[[Painting], object]) -> None:
        """Change the edits of the avatar and show the result; raises HeadsplatError where it cannot be edited."""
        painting = self._edits()
        edit(painting)
        self.state = replace(self.state, editing=painting.editing(self.state.editing))
        self._update_avatar(painting.current)

    def set_appearance(self, weights: Mapping[str, float]) -> None:
        """Show the avatar in a mix of its appearances, with the edits that it has; sources and outlets go on.

        Args:
            weights: by name of the recording, 0..1, not all 0; normalized to the sum 1.

        Raises:
            HeadsplatError: the avatar has no such appearances, or the weights are no mix; what is shown stays.
        """
        mixed = appearance_view(self._opened, weights)
        if self._painting is not None:
            self._painting.rebase(mixed)
            mixed = self._painting.current
            self.state = replace(self.state, editing=self._painting.editing(self.state.editing))
        self.state = replace(self.state, mix=self.state.mix.with_weights(weights))
        self._update_avatar(mixed)

    def _edits(self) -> Painting:
        """The edits of the avatar, none at first; raises HeadsplatError where it cannot be edited."""
        if self._painting is None:
            if self._path is None:
                raise HeadsplatError("this avatar has no file yet; edit it when its training is finished")
            painting = wings.Painting(self._opened, self._path)
            if self.avatar is not self._opened:  # a mix of its appearances
                painting.rebase(self.avatar)
            self._painting = painting
        return self._painting

    def _update_avatar(self, avatar: Avatar) -> None:
        """Show another state of the same avatar."""
        if avatar is not self.avatar:
            self.viewport.update_avatar(avatar)
            self.sources.update_avatar(avatar)
            self.state = replace(self.state, avatar=AvatarInfo.of(avatar, self.state.avatar.name))

    def _paint(self, edit: Paint) -> None:
        if (rendered := self.viewport.rendered_view) is not None:
            brush = self.state.editing.brush
            self.edit_avatar(lambda painting: painting.stroke(brush, edit.at, *rendered, edit.first))

    def _measure(self, edit: Measure) -> None:
        if (rendered := self.viewport.rendered_view) is None:
            return
        if self._ruler is None:
            from viewer.session.measuring import Ruler

            self._ruler = Ruler(self._opened)
        if not self._ruler.click(edit.at, *rendered):
            raise HeadsplatError("measure: the head is not there; click on the face, the scalp or the neck")
        self._show_measured()

    def _show_measured(self) -> None:
        """Let the line follow the head in the image."""
        if self._ruler is not None and (rendered := self.viewport.rendered_view) is not None:
            measuring = self._ruler.measured(self.state.measuring, *rendered)
            self.state = replace(self.state, measuring=measuring)

    # Edits.

    def _apply(self, edit: Edit) -> None:
        if isinstance(edit, Change):
            self._change(edit)
        elif isinstance(edit, SelectSource):
            if edit.key != self.state.source:
                self._select(edit.key)
        elif isinstance(edit, OpenFile):
            self._opener.start(edit.path, self.avatar)
            self.show_message(f"opening {edit.path.name} ...")
        elif isinstance(edit, RemoveView):
            camera = self.state.camera
            saved = tuple(row for index, row in enumerate(camera.saved) if index != edit.index)
            self.state = replace(self.state, camera=replace(camera, saved=saved))
        elif isinstance(edit, SetGain):
            live_pipeline_of(self).gains[edit.group] = edit.factor
        elif isinstance(edit, Paint):
            self._paint(edit)
        elif isinstance(edit, Measure):
            self._measure(edit)
        elif isinstance(edit, HideLayer):
            self.edit_avatar(lambda painting: painting.hide(edit.layer, edit.hidden))
        elif isinstance(edit, AddStyle):
            self.edit_avatar(lambda painting: painting.add_style(edit.source))
        elif isinstance(edit, SetAppearance):
            self.set_appearance(edit.weights)
        elif isinstance(edit, SavePreset):
            self._save_preset(edit.name, as_units=edit.as_units)
        elif isinstance(edit, RemovePreset):
            self._change_presets(lambda presets: without_preset(presets, edit.name))
        elif isinstance(edit, ShowPreset):
            self._show_preset(edit.preset)
        else:
            ACTIONS[edit.action](self)
            if edit.action in ("calibrate", "learn person"):
                self.reader.restart()

    def _change(self, edit: Change) -> None:
        if isinstance(edit.value, CameraSettings) and edit.value.orbit != self.state.camera.orbit:
            self.viewport.record_motion(self._clock())
        if isinstance(edit.value, Editing) and edit.value.active and self._path is not None:
            self._edits().prepare(self._worker)
        if edit.smooth and self.state.source == SLIDERS:
            self.sources.ease()
        changes: dict[str, Any] = {edit.part: edit.value}
        self.state = replace(self.state, **changes)

    def _read_presets(self) -> None:
        """Read the presets of the avatar's file; where they are damaged, say so and show none."""
        presets: tuple[FacePreset, ...] = ()
        try:
            if self._path is not None:
                presets = own_presets(self._path)
        except HeadsplatError as error:
            self.show_message(str(error), failed=True)
        self.state = replace(self.state, presets=presets)

    def _save_preset(self, name: str, *, as_units: bool) -> None:
        try:
            preset, note = preset_of(self.state.sliders, name.strip())
        except ValueError as error:
            raise HeadsplatError(f"the face is not saved: {error}") from error
        if as_units:
            preset, lost = wings.of_units(preset)
            note += lost
        path = self._change_presets(
            lambda presets: with_preset(presets, with_free_key(presets, preset), overwrite=True)
        )
        saved = preset_named(self.state.presets, preset.name) or preset
        self.show_message(saved_sentence(path, saved) + note)

    def _change_presets(self, change: Callable[[tuple[FacePreset, ...]], tuple[FacePreset, ...]]) -> Path:
        """Change the file of the avatar's presets and return its path; raises HeadsplatError where there is none."""
        if self._path is None:
            raise HeadsplatError("this avatar has no file yet; save a face when its training is finished")
        path = presets_path(self._path)
        self.state = replace(self.state, presets=change_presets(path, change))
        return path

    def _show_preset(self, preset: FacePreset) -> None:
        if self.sources.is_live(self.state.source):
            raise HeadsplatError(f"{preset.name}: a live source moves the face; select the sliders first")
        sliders, note = sliders_of(preset, self.state.sliders, self.state.avatar.expressions)
        self._select(SLIDERS)
        self._change(Change("sliders", sliders, smooth=True))
        if note:
            self.show_message(note)

    def _select(self, key: str) -> None:
        """Make a source active: a live one once it has been started on the worker thread, any other one now."""
        if self.sources.is_live(key):
            self.show_message(f"{self.sources.start_live(key)}: starting ...")
        else:
            self.select_source(key)

    def _source_changed(self) -> None:
        self.counters.reset_latency()
        self._sync_sources()

    def _sync_sources(self) -> None:
        self.state = replace(self.state, source=self.sources.key, sources=self.sources.choices())

    # Parts of `advance`.

    def _finish_background_work(self) -> None:
        """Use a file that has been opened and a source that has been started."""
        try:
            if (opened := self._opener.take_opened()) is not None:
                self.show(opened)
        except HeadsplatError as error:
            self.show_message(str(error), failed=True)
        try:
            if self.sources.finish_start():
                self.show_message("")
                self._source_changed()
        except HeadsplatError as error:
            self.show_message(str(error), failed=True)

    def show(self, opened: Opened) -> None:
        """Show what was opened; raises HeadsplatError as `show_avatar` and `show_motion`."""
        if isinstance(opened, OpenedAvatar):
            self.show_avatar(opened.avatar, opened.name, opened.path)
        elif isinstance(opened, OpenedView):
            self.apply_view(opened.name, opened.orbit)
        else:
            self.show_motion(opened.source, opened.name)

    def _advance_training(self, training: TrainingView, now: float) -> None:
        """Show the newest snapshot of a training, and close the window if it has ended."""
        training.finish_render(now)
        if training.has_ended():
            self.closing = True
        if (newer := training.take_newer(self.avatar)) is not None:
            self.viewport.update_avatar(newer)
            self.sources.update_avatar(newer)

    def _render(self, pose: AvatarPose, now: float) -> bool:
        """Render the image and pass it to the outlets if anything has changed."""
        training = self.training
        request = self.viewport.request(self.state, now)
        paused = training is not None and self.state.source == TIMELINE and training.is_paused(now)
        if self.viewport.is_current(request, pose, ignore_pose=paused):
            return False
        if training is not None:
            training.start_render(now)
        self.viewport.render(request, pose, on_host=bool(self.outlets.names))
        self.counters.count_image(pose.stamps if pose.fresh else None)
        try:
            if self.outlets.names and (image := self.viewport.image) is not None:
                self.outlets.write(RenderedFrame(self._clock(), self.avatar, pose, image))
        except HeadsplatError as error:
            self.show_message(str(error), failed=True)
        return True

    def _update_status(self, pose: AvatarPose) -> None:
        now = self._clock()
        counters = self.counters
        camera = self.state.camera
        live = self.sources.live
        size = self.viewport.size(camera, now)
        counters.sample_memory()
        self._set_status(
            phase=pose.phase,
            live=self.sources.active.stats(),
            gains={} if live is None else dict(live.pipeline.gains),
            size=size,
            reduced=self.viewport.is_reduced(camera, now),
            field_of_view=field_of_view(self.viewport.camera(camera.orbit, *size)),
            latency=counters.meter.report(_PLOTTED_FRAMES),
            totals=counters.meter.totals(_PLOTTED_FRAMES),
            stale=counters.stale,
            render_fps=counters.images.of(now),
            window_fps=counters.window.of(now),
            outlets=dict(self.outlets.names),
            training="" if self.training is None else self.training.to_text(),
        )

    def _set_status(self, **parts: Any) -> None:
        self.state = replace(self.state, status=replace(self.state.status, **parts))
