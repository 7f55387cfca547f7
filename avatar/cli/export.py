"""`headsplat export`: an avatar for other programs: splats (.ply), the head's mesh (.obj, .glb), one file a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from avatar.cli.arguments import OptionalFloat, OptionalInt, OptionalPath, Out, parse_angles, parse_frames, parse_weights
from avatar.cli.progress import Update, say, stage
from avatar.errors import HeadsplatError
from avatar.files import check_output, check_replaceable_folder

if TYPE_CHECKING:
    import numpy as np

    from avatar.model import Avatar
    from avatar.records import HeadParams

YAxisName = Literal["down", "up"]  # as avatar.export has it, which loads torch
SUFFIXES = ("", ".ply", ".obj", ".glb")
FRAMES = ("[0-9]*.ply",)
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class ExportCommand:
    """Write an avatar for other programs.

    NAME.ply: Gaussians in one pose, for any splat viewer. FOLDER with --motion: 00000.ply and on, one a frame.
    NAME.obj: the head's mesh in one pose, with texture coordinates and colours. NAME.glb: the mesh with ARKit's
    expressions as morph targets and a skin of five joints; with --motion, animated. Metres, the origin between the
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
    """a capture folder whose motion poses the avatar"""
    frame: OptionalInt = None
    """which frame of the motion, counted from 0: one pose instead of all"""
    frames: Annotated[str | None, arg(metavar="A:B")] = None
    """only these frames of the motion, the end left out; files keep the numbers of the whole"""
    fps: OptionalFloat = None
    """constant frame rate; default: the motion's own times, frame for frame"""
    rigged: bool = False
    """.ply only: Gaussians in the frames of their triangles and the mesh that carries them, for use in other rigs; no
    splat viewer shows it"""
    y_axis: YAxisName = "down"
    """where y points in splat files: down, as scenes trained from COLMAP have it, stands upright in SuperSplat, PlayCanvas
    and Brush, which turn such scenes over; up for tools that take a file as it is (Blender, three.js)"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Export and say what was written; returns the exit code."""
        weights = parse_weights(self.expression)
        turn = (0.0, 0.0, 0.0) if self.head_pose is None else parse_angles(self.head_pose)
        self._check()
        from avatar.asset import load_avatar, read_header

        header, avatar = read_header(self.avatar), load_avatar(self.avatar)
        if self.motion is not None:
            params, times, first = self._frames(header, avatar)
        else:
            from avatar.export.pose import out_of_range, posed

            params, times, first = posed(avatar, weights, turn), None, 0
            for sentence in out_of_range(avatar, weights):
                say(f"--expression: {sentence}")
        with stage("exporting") as update:
            print(self._write(header, avatar, params, times, first, update))
        if self.rigged or self.out.suffix in (".obj", ".glb"):
            _say_licence(avatar)
        return 0

    def _check(self) -> None:
        """Refuse what cannot be written before anything is read."""
        suffix = self.out.suffix
        if suffix not in SUFFIXES:
            raise HeadsplatError(
                f"{self.out}: cannot write {suffix}; give a name in .ply, .obj or .glb, or a folder for numbered .ply files"
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
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise HeadsplatError(f"--fps: expected more than 0 and at most 1000, got {self.fps:g}")
        if self.motion is None:
            given = {"--frame": self.frame, "--frames": self.frames, "--fps": self.fps}
            lonely = [name for name, value in given.items() if value is not None]
            if lonely or not suffix:
                raise HeadsplatError(f"{lonely[0] if lonely else self.out}: needs a motion; give --motion CAPTURE")
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

    def _frames(self, header: Mapping[str, Any], avatar: Avatar) -> tuple[HeadParams, np.ndarray, int]:
        """Chosen frames of the motion, their times [T] in seconds and the number of the first."""
        from avatar.cli.shots import rows

        assert self.motion is not None
        params, times = driven(header, avatar, self.motion, self.fps)
        if self.frame is None:
            chosen = parse_frames(self.frames or ":", len(params))
        elif 0 <= self.frame < len(params):
            chosen = range(self.frame, self.frame + 1)
        else:
            raise HeadsplatError(
                f"--frame: {self.frame} is not in {self.motion}, which has {len(params)} frames; give 0 to {len(params) - 1}"
            )
        return rows(params, chosen), times[chosen.start : chosen.stop], chosen.start

    def _write(
        self,
        header: Mapping[str, Any],
        avatar: Avatar,
        params: HeadParams,
        times: np.ndarray | None,
        first: int,
        update: Update,
    ) -> str:
        """Write the output; returns the line that says what it is."""
        import torch

        from avatar import export

        consent, count = str(header["consent"]), len(params)
        if not self.out.suffix:

            def told(done: int) -> None:
                update(done / count, f"frame {done} of {count}")

            total = export.write_plys(self.out, avatar, params, self.y_axis, consent, first=first, update=told)
            return f"{self.out}: {count} files of {len(avatar)} Gaussians, {total / _MEGABYTE:.1f} MB"
        if self.rigged:
            export.write_rigged_ply(self.out, avatar, consent)
        elif self.out.suffix == ".ply":
            export.write_ply(self.out, avatar, params, self.y_axis, consent)
        elif self.out.suffix == ".obj":
            export.write_obj(self.out, avatar, params, consent)
        else:
            export.write_glb(self.out, avatar, params, None if times is None else torch.from_numpy(times), consent)
        size = f"{self.out.stat().st_size / _MEGABYTE:.1f} MB"
        if self.out.suffix == ".ply":
            return f"{self.out}: {len(avatar)} Gaussians{' of a rig, no scene' if self.rigged else ''}, {size}"
        moving = f", {count} frames of animation" if count > 1 else ""
        return f"{self.out}: mesh of {len(avatar.head.faces)} triangles{moving}, {size}"


def driven(header: Mapping[str, Any], avatar: Avatar, source: Path, fps: float | None) -> tuple[HeadParams, np.ndarray]:
    """Every frame of the motion `source` for `avatar`, and its times [T] in seconds."""
    from avatar.captured import Capture
    from avatar.cli.shots import head_of, is_own, resample
    from avatar.drive import cross_drive

    capture = Capture.load(source)
    if is_own(header, capture):
        params = capture.params(range(len(capture)))
    else:
        params = cross_drive(avatar, capture, head_of(capture))
    times = capture.track["time"]
    return resample(params, times, fps) if fps is not None else (params, times)


def _say_licence(avatar: Avatar) -> None:
    """Say whose the mesh is where that binds the user."""
    from avatar.head import load_head

    if avatar.head.licence != load_head().licence:
        say(
            f"the mesh is a form of the head model {avatar.head.name} ({avatar.head.licence}); that licence binds what "
            "you do with the file"
        )
