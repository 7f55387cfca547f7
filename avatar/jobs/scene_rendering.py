"""Rendering a scene: several avatars in one space, each with its own motion or voice."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.common.files import path_text
from avatar.errors import HeadsplatError
from avatar.jobs.beside import SOUNDS
from avatar.jobs.capturing import paths_of
from avatar.jobs.notices import Notices, Notify, Stop, ignore
from avatar.jobs.option_types import checked
from avatar.jobs.parsing import chosen_frames, parse_frames, requested_device
from avatar.jobs.rendering import SPEAKING_FPS, RenderJob, RenderOptions, log_memory
from avatar.scenes.scene_file import MAX_ACTORS, ActorSpec, SceneSpec, checked_names, read_scene
from avatar.scenes.staging import Place, looks_of, place_of

if TYPE_CHECKING:
    from avatar.jobs.driven_motion import DrivenAvatar
    from avatar.model.parts.light.relight import Relighting
    from avatar.rendering.camera_request import CameraRequest
    from avatar.rendering.settings import RenderSettings
    from avatar.scenes.placement import Placement
    from avatar.scenes.scene_renderer import Actor
    from avatar.scenes.shots import Cast
    from avatar.types import Camera
    from avatar.video.render_report import RenderReport

#: Pixels of a scene of two avatars, and of more, which are side by side.
_SIZES = "1280x720", "1280x540"


@dataclass(frozen=True)
class Player:
    """An actor with its files."""

    name: str
    avatar: Path
    spec: ActorSpec
    motion: Path | None = None
    speak: Path | None = None
    sound: Path | None = None  # that is heard with a motion

    @property
    def heard(self) -> Path | None:
        """The file with its voice."""
        return self.speak or self.sound


def render_scene(
    avatars: str | Path | Sequence[str | Path],
    out: str | Path,
    options: RenderOptions,
    *,
    notify: Notify = ignore,
    stop: Stop = None,
) -> RenderReport:
    """Render several avatars in one space, each along its own motion or voice.

    Args:
        avatars: avatar files, or AVATAR=MOTION; those of the scene file may be left out.
        out: the video (.mp4, .mov, .webm) or the folder of images to write; a report is written beside it.
        options: see RenderOptions; without its `scene` the avatars have the default places and camera.
        notify: receives progress and messages.
        stop: what ends the rendering early; the frames so far are kept.

    Returns:
        The report; its `finished` is False where the rendering was ended early.

    Raises:
        HeadsplatError: the scene file or another input cannot be read, an option is not valid or does not go with a
            scene, or an output cannot be written.
    """
    return _job(paths_of(avatars), Path(out), checked(options)).run(Notices(notify), stop)


def _job(avatars: Sequence[Path], out: Path, options: RenderOptions) -> SceneJob:
    """The job of a scene, its file read."""
    where = "the scene" if options.scene is None else str(options.scene)
    spec = SceneSpec() if options.scene is None else read_scene(options.scene)
    players = players_of(avatars, spec, where)
    spec = checked_names(spec, [player.name for player in players], where)
    image = options.image
    size = image.size or spec.size
    background = image.background
    if spec.background is not None and background == type(image)().background:
        beside = spec.folder / spec.background
        background = str(beside) if beside.is_file() else spec.background
    if size is None and (len(players) > 1 or spec.shots):
        size = _SIZES[len(players) > 2]
    image = replace(image, size=size, background=background)
    options = replace(options, image=image, fps=options.fps or spec.fps)
    return SceneJob(tuple(player.avatar for player in players), out, options, players, spec)


def players_of(arguments: Sequence[Path], spec: SceneSpec, where: str) -> tuple[Player, ...]:
    """The actors of a command and of a scene file, in this order.

    Raises:
        HeadsplatError: an actor has no avatar, or two motions.
    """
    left = dict(spec.actors)
    players: list[Player] = []
    for argument in arguments:
        avatar, motion = _split(argument)
        named = [
            name
            for name, actor in left.items()
            if actor.avatar and (spec.folder / actor.avatar).resolve() == avatar.resolve()
        ]
        stem = path_text(avatar.stem)
        taken = {player.name for player in players}
        name = named[0] if named else stem
        number = 2
        while name in taken:
            name = f"{stem}-{number}"
            number += 1
        players.append(_player(name, avatar, motion, left.pop(name, ActorSpec()), spec.folder, where))
    for name, actor in left.items():
        if not actor.avatar:
            given = ", ".join(player.name for player in players) or "none"
            raise HeadsplatError(
                f"{where}: actor {name}: no avatar has this name (on the command line: {given}); add "
                'avatar = "FILE.avatar", or correct the name'
            )
        players.append(_player(name, spec.folder / actor.avatar, None, actor, spec.folder, where))
    if not players:
        raise HeadsplatError(
            f"{where}: no avatar; name one or more .avatar files, or [actor.NAME] tables with `avatar`"
        )
    if len(players) > MAX_ACTORS:
        raise HeadsplatError(f"{where}: {len(players)} avatars, at most {MAX_ACTORS} are possible in a scene")
    return tuple(players)


def _split(argument: Path) -> tuple[Path, Path | None]:
    """The avatar and the motion of AVATAR=MOTION, or an avatar alone."""
    text = str(argument)
    at = text.find(".avatar=")
    if at < 0 or argument.exists():
        return argument, None
    motion = text[at + len(".avatar=") :]
    if not motion:
        raise HeadsplatError(f"{text}: no motion after the equals sign; give AVATAR=MOTION")
    return Path(text[: at + len(".avatar")]), Path(motion)


def _player(name: str, avatar: Path, motion: Path | None, spec: ActorSpec, folder: Path, where: str) -> Player:
    files = {key: folder / getattr(spec, key) for key in ("motion", "speak", "sound") if getattr(spec, key)}
    if motion is not None:
        if "motion" in files or "speak" in files:
            raise HeadsplatError(f"{where}: actor {name}: it has a motion here and on the command line; leave one out")
        files["speak" if motion.suffix.lower() in SOUNDS else "motion"] = motion
    if "speak" in files and "sound" in files:
        raise HeadsplatError(f"{where}: actor {name}: `sound` goes with a motion; what it speaks is heard anyway")
    if spec.text is not None and "speak" not in files:
        raise HeadsplatError(f"{where}: actor {name}: `text` goes with `speak`; give the sound, or leave the text out")
    for path in (*files.values(), avatar):
        if not path.exists():
            raise HeadsplatError(f"{path}: no such file, for actor {name}; check the path")
    return Player(name, avatar, spec, **files)


@dataclass(frozen=True)
class SceneJob(RenderJob):
    """The steps of the rendering of a scene."""

    players: tuple[Player, ...] = ()
    spec: SceneSpec = field(default_factory=SceneSpec)

    @property
    def _driving(self) -> tuple[Path | None, ...]:
        files = [path for each in self.players for path in (each.avatar, each.motion, each.speak, each.sound)]
        return (*files, self.options.scene)

    @property
    def _audio(self) -> Path | None:
        return self.options.storage.audio

    @property
    def _columns(self) -> int:
        return 1

    @property
    def _motion_name(self) -> str:
        return ", ".join(path_text((each.speak or each.motion or Path("idle")).name) for each in self.players)

    def _check_motion(self) -> None:
        options = self.options
        for given, name in ((options.motion, "--motion"), (options.speak, "--speak")):
            if given is not None:
                raise HeadsplatError(
                    f"{name} moves avatars side by side; in a scene give AVATAR={given} for each avatar"
                )
        if options.appearance is not None and len(self.players) > 1:
            raise HeadsplatError(
                "--appearance goes with one avatar; write `appearance` for each actor of the scene file"
            )
        for text in ("text", "text_file"):
            if getattr(options.speech, text) is not None:
                raise HeadsplatError(
                    f"--{text.replace('_', '-')} goes with one voice; write `text` for the actor in the scene file"
                )
        if options.speech.given and not any(player.speak for player in self.players):
            raise HeadsplatError(f"{options.speech.given[0]} goes with a voice, and no avatar of the scene speaks")
        if "mesh" in options.image.passes.split(","):
            raise HeadsplatError("--passes: mesh shows one avatar; leave it out in a scene")
        if self.spec.duration is None and not any(each.speak or each.motion for each in self.players):
            raise HeadsplatError(
                "nothing moves in the scene; give AVATAR=MOTION or AVATAR=SOUND, or a `duration` in the scene file"
            )
        for player in self.players:
            if player.speak is not None:
                self._alone(player).options.speech.check(player.speak)

    def _alone(self, player: Player) -> RenderJob:
        """The rendering of one actor alone."""
        speech = replace(self.options.speech, text=player.spec.text)
        options = replace(
            self.options, motion=player.motion, speak=player.speak, speech=speech, scene=None, fps=self._fps
        )
        return RenderJob((player.avatar,), self.out, options)

    @property
    def _fps(self) -> float | None:
        """Constant frames per second; None for the times of the one motion."""
        alone = len(self.players) == 1 and self.spec.duration is None and not self.spec.shots
        if alone and self.players[0].speak is None and self.players[0].spec.start == 0:
            return self.options.fps
        return self.options.fps or SPEAKING_FPS

    def _render(
        self, request: CameraRequest, relighting: Relighting | None, notices: Notices, stop: Stop
    ) -> RenderReport:
        from avatar import ops
        from avatar.jobs.frame_output import FrameOutput
        from avatar.scenes.scene_renderer import SceneColumn
        from avatar.scenes.sound import mix
        from avatar.video.offline_render import render_frames

        device = requested_device(self.options.image.device)
        with notices.stage("preparing"), ops.one_thread():
            driven = self._over_scene([self._driven(player, notices) for player in self.players])
            settings = self._settings(driven[0])
            chosen = chosen_frames(parse_frames(self.options.frames), len(driven[0]), notices.say)
            actors, camera = self._staged(driven, relighting, request, settings, notices)
        with tempfile.TemporaryDirectory(prefix="headsplat-scene-") as folder:
            audio = self._audio
            voices = [(each.heard, self._start(each, driven[0].rate)) for each in self.players if each.heard]
            if voices and self.out.suffix:
                audio = Path(folder) / "voices.wav"
                mixed = [] if self._audio is None else [(self._audio, 0.0)]
                mix([*mixed, *voices], len(driven[0]) / driven[0].rate, audio)
            times = driven[0].times if self._fps is None else None
            encoding = self.options.storage.encoding
            output = FrameOutput(self.out, settings, driven[0].rate, times, len(driven[0]), encoding, audio)
            column = SceneColumn(tuple(actors), camera).to(device)
            log_memory([column], settings, notices)
            images = render_frames([column], settings, chosen)
            return self._written(driven, output, chosen, images, notices, stop)

    def _driven(self, player: Player, notices: Notices) -> DrivenAvatar | None:
        """The avatar along its motion; None for one that has none."""
        if player.motion is None and player.speak is None:
            return None
        appearance = player.spec.appearance or self.options.appearance
        with self._alone(player).source(notices) as source:
            return source.drive(player.avatar, self._fps, appearance)

    @staticmethod
    def _start(player: Player, rate: float) -> float:
        """Seconds of the scene at which an actor starts: a frame, for its sound too."""
        return round(player.spec.start * rate) / rate

    def _over_scene(self, found: Sequence[DrivenAvatar | None]) -> list[DrivenAvatar]:
        """The actors in every frame of the scene."""
        import numpy as np

        from avatar.jobs.appearance import read_in_appearance
        from avatar.jobs.driven_motion import DrivenAvatar
        from avatar.scenes.timing import over_scene

        if self._fps is None:
            assert found[0] is not None, "checked by _check_motion"
            return [found[0]]
        rate = self._fps
        starts = [round(player.spec.start * rate) for player in self.players]
        ends = [start + len(one) for start, one in zip(starts, found, strict=True) if one is not None]
        frames = max(ends) if self.spec.duration is None else max(round(self.spec.duration * rate), 1)
        times = np.arange(frames) / rate
        result = []
        for index, (player, start, one) in enumerate(zip(self.players, starts, found, strict=True)):
            appearance = player.spec.appearance or self.options.appearance
            if one is None:
                header, avatar = read_in_appearance(player.avatar, appearance)
                params, torso = over_scene(avatar, None, start, frames, rate, index)
                idle = {"way": "it idles"}
                result.append(DrivenAvatar(path_text(player.avatar.name), header, avatar, params, torso, times, idle))
                continue
            params, torso = over_scene(one.avatar, (one.params, one.torso), start, frames, rate, index)
            camera = one.camera if one.camera is not None and len(one.camera) == frames else None
            result.append(replace(one, params=params, torso=torso, times=times, camera=camera))
        return result

    def _staged(
        self,
        driven: Sequence[DrivenAvatar],
        relighting: Relighting | None,
        request: CameraRequest,
        settings: RenderSettings,
        notices: Notices,
    ) -> tuple[list[Actor], Camera]:
        """The actors at their places, looking at what they look at, and the camera."""
        from avatar.rendering.cameras import subject_of
        from avatar.scenes.looking import with_looks
        from avatar.scenes.scene_renderer import Actor
        from avatar.scenes.shots import Cast

        count = len(driven)
        places = [place_of(player.spec, index, count) for index, player in enumerate(self.players)]
        placements = [
            self._placement(one, player.spec, place)
            for one, player, place in zip(driven, self.players, places, strict=True)
        ]
        subjects, yaws = {}, {}
        for player, one, placement, place in zip(self.players, driven, placements, places, strict=True):
            subject = subject_of(one.avatar, one.params)
            subjects[player.name] = subject if placement is None else placement.subject(subject)
            yaws[player.name] = place.yaw
        camera = self._camera(driven, request, settings, Cast(subjects, yaws), notices)
        names = [player.name for player in self.players]
        actors = []
        for player, one, placement in zip(self.players, driven, placements, strict=True):
            light = relighting
            if relighting is not None and placement is not None:
                turn = (relighting.turn - placement.turn + 180) % 360 - 180
                light = replace(relighting, turn=turn)
            actors.append(Actor(player.name, one.relit(light).avatar, one.params, one.torso, placement))
        where = str(self.options.scene or "the scene")
        looks = [
            looks_of(player.spec, player.name, dict(zip(names, places, strict=True)), where) for player in self.players
        ]
        return with_looks(actors, looks, camera, driven[0].rate), camera

    @staticmethod
    def _placement(one: DrivenAvatar, spec: ActorSpec, place: Place) -> Placement | None:
        from avatar.scenes.placement import Placement

        return None if place.captured else Placement.of(one.avatar, place.position, place.yaw, spec.scale)

    def _camera(
        self,
        driven: Sequence[DrivenAvatar],
        request: CameraRequest,
        settings: RenderSettings,
        cast: Cast,
        notices: Notices,
    ) -> Camera:
        """The camera of every frame."""
        from avatar.rendering.camera_file import camera_at_times, read_camera_file
        from avatar.rendering.cameras import fit_camera, moving_camera
        from avatar.scenes.scene_file import CameraSpec, Shot
        from avatar.scenes.shots import cameras

        size = settings.width, settings.height
        times = driven[0].times
        place = place_of(self.players[0].spec, 0, len(self.players))
        if len(driven) == 1 and place.captured and not self.spec.shots:
            return driven[0].column(request, settings, notices).camera
        if request.path is not None:
            return fit_camera(camera_at_times(read_camera_file(request.path), times), *size)
        if request.kind in ("orbit", "dolly"):
            return moving_camera(request, cast.together, times, *size)
        everybody = (Shot(0.0, CameraSpec()),)
        shots = everybody if request.kind == "front" else self.spec.shots or everybody
        return cameras(shots, cast, times, size, self.spec.folder)
