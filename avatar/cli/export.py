"""`headsplat export`: an avatar for other programs: splats (.ply), the head's mesh (.obj, .glb), one file a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from avatar.cli.arguments import (
    OptionalFloat,
    OptionalInt,
    OptionalPath,
    Out,
    chosen_frames,
    parse_angles,
    parse_frames,
    parse_weights,
)
from avatar.cli.progress import Update, say, stage
from avatar.cli.render import MotionOptions
from avatar.common.files import check_output, check_replaceable_folder
from avatar.common.frame_rate import check_fps
from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    import numpy as np

    from avatar.model.avatar import Avatar
    from avatar.types import HeadParams

YAxisName = Literal["down", "up"]  # as avatar.export has it, which loads torch
SUFFIXES = ("", ".ply", ".obj", ".glb")
FRAMES = ("[0-9]*.ply",)
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class ExportCommand:
    """Write an avatar for other programs.

    NAME.ply: Gaussians in one pose, for any splat viewer. FOLDER with --motion: 00000.ply and on, one a frame.
    NAME.obj: the head's mesh in one pose, with texture coordinates and colors. NAME.glb: the mesh with ARKit's
    expressions as morph targets and a skin of five joints; with --motion, animated. Meters, the origin between the
    eyes.
    """

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """an .avatar file"""
    out: Out
    """a name in .ply, .obj or .glb, or a folder for numbered .ply files"""
    expression: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=WEIGHT")] = ()
    """a weight added to the person's resting face, such as jawOpen=0.5; may be given many times"""
    head_pose: Annotated[str | None, arg(metavar="YAW,PITCH,ROLL")] = None
    """degrees the head is turned: to the person's left, down, to the right shoulder"""
    motion: OptionalPath = None
    """what poses the avatar: a capture folder, or a file of expressions (Live Link, ARKit, FLAME, ...)"""
    frame: OptionalInt = None
    """which frame of the motion, counted from 0: one pose instead of all"""
    frames: Annotated[str | None, arg(metavar="A:B")] = None
    """only these frames of the motion, the end left out; files keep the numbers of the whole"""
    fps: OptionalFloat = None
    """constant frame rate; default: the motion's own times, frame for frame"""
    retold: Annotated[MotionOptions, arg(name="")] = field(default_factory=MotionOptions)
    rigged: bool = False
    """.ply only: Gaussians in the frames of their triangles and the mesh that carries them, for use in other rigs; no
    splat viewer shows it"""
    y_axis: YAxisName = "down"
    """where y points in splat files: down, as scenes trained from COLMAP have it, stands upright in SuperSplat,
    PlayCanvas and Brush, which turn such scenes over; up for tools that take a file as it is (Blender, three.js)"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Export and say what was written; returns the exit code."""
        weights = parse_weights(self.expression)
        turn = (0.0, 0.0, 0.0) if self.head_pose is None else parse_angles(self.head_pose)
        self._check()
        scene = self._posed(weights, turn) if self.motion is None else self._moving(self.motion)
        with stage("exporting") as update:
            print(self._write(scene, update))
        if self.rigged or self.out.suffix in (".obj", ".glb"):
            _say_license(scene.avatar)
        return 0

    def _posed(self, weights: dict[str, float], turn: tuple[float, float, float]) -> Scene:
        """One frame of the face that was asked for."""
        from avatar.export.posed import out_of_range, posed
        from avatar.model.avatar_file import load_avatar, read_header

        header, avatar = read_header(self.avatar), load_avatar(self.avatar)
        params = posed(avatar, weights, turn)
        for sentence in out_of_range(avatar, weights):
            say(f"--expression: {sentence}")
        return Scene(avatar, _consent(header), params)

    def _moving(self, motion: Path) -> Scene:
        """The chosen frames of the avatar along the motion."""
        from avatar.cli.driven_motion import Source

        take = Source.load(motion, self.retold).on(self.avatar, self.fps)
        frames = self._chosen(len(take))
        part = slice(frames.start, frames.stop)
        return Scene(take.avatar, _consent(take.header), take.params[part], take.times[part], frames.start)

    def _check(self) -> None:
        """Refuse what cannot be written before anything is read."""
        suffix = self.out.suffix
        if suffix not in SUFFIXES:
            raise HeadsplatError(
                f"{self.out}: cannot write {suffix}; give a name in .ply, .obj or .glb, or a folder for numbered .ply "
                "files"
            )
        self._check_poses()
        if self.rigged and suffix != ".ply":
            raise HeadsplatError(f"{self.out}: --rigged writes a .ply; give a name in .ply or leave --rigged out")
        if self.rigged and (self.expression or self.head_pose):
            raise HeadsplatError("--rigged: holds the resting face; leave out --expression and --head-pose")
        check_output(self.out, self.overwrite)
        if not suffix and self.out.exists():
            check_replaceable_folder(self.out, FRAMES)

    def _check_poses(self) -> None:
        suffix = self.out.suffix
        check_fps(self.fps, "--fps")
        parse_frames(self.frames)
        self.retold.check()
        if self.motion is None:
            given = {"--frame": self.frame, "--frames": self.frames, "--fps": self.fps}
            lonely = [name for name, value in given.items() if value is not None]
            if lonely or not suffix:
                raise HeadsplatError(
                    f"{lonely[0] if lonely else self.out}: needs a motion; give --motion FILE or CAPTURE"
                )
            return
        if self.expression or self.head_pose or self.rigged:
            raise HeadsplatError(
                "--motion: poses the avatar by itself; leave out --expression, --head-pose and --rigged"
            )
        if self.frame is not None and self.frames is not None:
            raise HeadsplatError("--frame: picks one pose; leave out --frames")
        if self.frame is not None and not suffix:
            raise HeadsplatError(f"{self.out}: --frame picks one pose; give a name in .ply, .obj or .glb")
        if self.frame is None and suffix in (".ply", ".obj"):
            raise HeadsplatError(
                f"{self.out}: holds one pose; pick it with --frame N, or give a folder for all frames of the motion"
            )

    def _chosen(self, count: int) -> range:
        """The frames to export of `count`."""
        if self.frame is None:
            return chosen_frames(parse_frames(self.frames), count)
        if not 0 <= self.frame < count:
            raise HeadsplatError(
                f"--frame: {self.frame} is not in {self.motion}, which has {counted(count, 'frame')}; give 0 to "
                f"{count - 1}"
            )
        return range(self.frame, self.frame + 1)

    def _write(self, scene: Scene, update: Update) -> str:
        """Write the output; returns the line that says what it is."""
        import torch

        from avatar import export

        avatar, params, consent, count = scene.avatar, scene.params, scene.consent, len(scene.params)
        if not self.out.suffix:

            def told(done: int) -> None:
                update(done / count, f"frame {done} of {count}")

            total = export.write_plys(self.out, avatar, params, self.y_axis, consent, first=scene.first, update=told)
            return f"{self.out}: {counted(count, 'file')} of {len(avatar)} Gaussians, {total / _MEGABYTE:.1f} MB"
        if self.rigged:
            export.write_rigged_ply(self.out, avatar, consent)
        elif self.out.suffix == ".ply":
            export.write_ply(self.out, avatar, params, self.y_axis, consent)
        elif self.out.suffix == ".obj":
            export.write_obj(self.out, avatar, params, consent)
        else:
            times = None if scene.times is None else torch.from_numpy(scene.times)
            export.write_glb(self.out, avatar, params, times, consent)
        return f"{self.out}: {self._words(avatar, count)}, {self.out.stat().st_size / _MEGABYTE:.1f} MB"

    def _words(self, avatar: Avatar, count: int) -> str:
        if self.out.suffix == ".ply":
            return f"{len(avatar)} Gaussians{' of a rig, no scene' if self.rigged else ''}"
        return f"mesh of {len(avatar.head.faces)} triangles" + (f", animation of {count} frames" if count > 1 else "")


@dataclass(frozen=True)
class Scene:
    """What is exported."""

    avatar: Avatar
    consent: str
    params: HeadParams  # T frames
    times: np.ndarray | None = None  # [T] seconds, of a motion
    first: int = 0  # number of the first frame in the whole


def _consent(header: Mapping[str, Any]) -> str:
    """What the avatar's file says of consent."""
    from avatar.model.avatar_file import CONSENT

    return str(header.get("consent") or CONSENT)


def _say_license(avatar: Avatar) -> None:
    """Say whose the mesh is where that binds the user."""
    from avatar.head import load_head

    if avatar.head.license != load_head().license:
        say(
            f"the mesh is a form of the head model {avatar.head.name} ({avatar.head.license}); that license binds what "
            "you do with the file"
        )
