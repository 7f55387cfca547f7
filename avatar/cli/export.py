"""`headsplat export`: write an avatar for other programs, or as a page for browsers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from avatar.cli.arguments import parse_angles, parse_weights
from avatar.cli.progress import SENTENCES, Update, say, show, stage
from avatar.common.jsonable import counted
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.appearance import read_in_appearance
from avatar.jobs.motion_options import MotionOptions
from avatar.jobs.option_types import AppearanceName, OptionalFps, OptionalInt, OptionalPath, Out
from avatar.jobs.outputs import Output, is_report, reserved
from avatar.jobs.parsing import chosen_frames, parse_frames
from avatar.jobs.relight_options import RelightOptions

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from avatar.model.avatar import Avatar, AvatarPart
    from avatar.model.parts.light.relight import Relighting
    from avatar.types import HeadParams, TorsoPose

YAxisName = Literal["down", "up"]  # equal to avatar.export.YAxis, whose module imports torch
SpzVersionName = Literal[2, 3, 4]  # equal to avatar.export.SpzVersion, likewise
SUFFIXES = ("", ".ply", ".spz", ".obj", ".glb", ".vrm", ".zip", ".html", ".hsa")
_WEB = (".html", ".hsa")
_MESHES = (".obj", ".glb", ".vrm")
#: Formats without a pose of their own, which the program that reads them poses.
_POSED_BY_OTHERS = (".vrm", ".zip")
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class ExportCommand:
    """Write an avatar for other programs.

    NAME.ply: Gaussians in one pose, for splat viewers. NAME.spz: the same in Niantic's compressed format, a quarter
    of the size. FOLDER with --motion: 00000.ply, 00001.ply, ..., one per frame. NAME.obj: the head mesh in one
    pose, with texture coordinates and colors. NAME.glb: the mesh with a texture, ARKit's expressions as morph
    targets and a skin of five joints; animated with --motion. NAME.glb with --splats: Gaussians in one pose as
    glTF. NAME.vrm: that mesh as VRM 1.0 for VTuber and chat programs, with ARKit's expressions. NAME.zip: Gaussians
    as an avatar of LAM and OpenAvatarChat. NAME.html: a page that shows the avatar in any browser, with sliders,
    and plays the --motion; it needs no other file and no network. With --split: the same page as separate files,
    for web servers that forbid inline scripts; also as FOLDER. NAME.hsa: the same avatar for the element
    <headsplat-avatar> on pages of your own. Units are meters, the origin is
    between the eyes.
    """

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """an .avatar file"""
    out: Out
    """a name in .ply, .spz, .obj, .glb, .vrm, .zip, .html or .hsa, or a folder for numbered .ply files"""
    expression: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=WEIGHT")] = ()
    """a weight added to the neutral expression, such as jawOpen=0.5; may be repeated"""
    head_pose: Annotated[str | None, arg(metavar="YAW,PITCH,ROLL")] = None
    """head rotation in degrees: to the person's left, down, to the person's right shoulder"""
    motion: OptionalPath = None
    """the motion that poses the avatar: a capture folder, or an expression file (Live Link, ARKit, FLAME, ...)"""
    frame: Annotated[OptionalInt, Between(0, 10**9)] = None
    """export this frame of the motion only, counted from 0"""
    frames: Annotated[str | None, arg(metavar="A:B")] = None
    """export only frames A to B-1 of the motion; files are numbered as in the full motion"""
    fps: OptionalFps = None
    """constant frame rate; default: the frames and times of the motion"""
    motion_options: Annotated[MotionOptions, arg(name="")] = field(default_factory=MotionOptions)
    light: Annotated[RelightOptions, arg(name="")] = field(default_factory=RelightOptions)
    rigged: bool = False
    """.ply only: Gaussians in the frames of their triangles, and the mesh, for use in other rigs; splat viewers cannot
    show it"""
    splats: bool = False
    """.glb only: the Gaussians in one pose (KHR_gaussian_splatting) in place of the mesh; programs that do not know the
    extension show points"""
    spz_version: SpzVersionName = 4
    """version of a .spz; 3 for programs that cannot read 4, 2 for Unity (UnityGaussianSplatting reads only that)"""
    y_axis: YAxisName = "down"
    """direction of the y axis in .ply files. down: as in scenes trained from COLMAP; SuperSplat, PlayCanvas and Brush
    correct it. up: for tools that do not (Blender, three.js)"""
    appearance: AppearanceName = None
    """of an avatar of several recordings: the look of one of them, or a mix; default: that of the first"""
    with_camera: bool = False
    """.html only: the page can follow a camera, in the browser and without a network; adds 7 MB, with
    --split 13 MB. The first use downloads MediaPipe's face models (35 MB) and its library for browsers (6 MB)"""
    split: bool = False
    """write the page as separate files with nothing inline, for web servers whose Content-Security-Policy is
    default-src 'self'. FOLDER: index.html and its files; NAME.html: the page, and its files in NAME_files. It cannot be
    opened from the disk"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Export and print what was written; returns the exit code."""
        weights = parse_weights(self.expression)
        rotation = (0.0, 0.0, 0.0) if self.head_pose is None else parse_angles(self.head_pose)
        self._check()
        relighting = self.light.relighting()
        inputs = (self.avatar, self.motion, self.motion_options.motion_head, self.light.path)
        with reserved(self._outputs(), inputs, overwrite=self.overwrite):
            frames = self._single_pose(weights, rotation) if self.motion is None else self._driven_frames(self.motion)
            frames = self._relit(frames, relighting)
            with stage("exporting") as update:
                show(self._write(frames, update))
        for part in self._left_out(frames.avatar):
            say(f"{self.out}: without {part.title} of the avatar, which this format cannot carry")
        if self.rigged or self._is_web or self._is_mesh:
            _log_license(frames.avatar)
        return 0

    @property
    def _is_web(self) -> bool:
        """Whether the output is for browsers."""
        return self.split or self.out.suffix in _WEB

    @property
    def _is_mesh(self) -> bool:
        return self.out.suffix in _MESHES and not self.splats

    @property
    def _report(self) -> Path:
        """The report of a mesh."""
        return self.out.with_name(f"{self.out.name}.report.json")

    @property
    def _files(self) -> Path:
        """The folder with the files of a split page."""
        return self.out.with_name(f"{self.out.stem}_files") if self.out.suffix else self.out

    def _outputs(self) -> list[Output]:
        outputs = [Output(self.out)]
        if self.split and self.out.suffix:
            outputs.append(Output(self._files, folder=True))
        if self._is_mesh:
            outputs.append(Output(self._report, ours=lambda path: is_report(path, "headsplat", "mesh_report")))
        return outputs

    def _left_out(self, avatar: Avatar) -> list[AvatarPart]:
        """The parts that change frames of the avatar, where the format lets other programs pose it and lacks them."""
        from avatar.export.rigged_ply import RIGGED_PARTS
        from avatar.export.web import PAGE_PARTS

        if not (self.rigged or self._is_web):
            return []
        kinds = RIGGED_PARTS if self.rigged else tuple(PAGE_PARTS)
        return [part for part in avatar.parts.values() if part.in_frames and not isinstance(part, kinds)]

    def _single_pose(self, weights: dict[str, float], rotation: tuple[float, float, float]) -> ExportFrames:
        """One frame with the expression and head rotation of the options."""
        from avatar.export.posed import out_of_range, posed

        header, avatar = read_in_appearance(self.avatar, self.appearance)
        params = posed(avatar, weights, rotation)
        for message in out_of_range(avatar, weights):
            say(f"--expression: {message}")
        return ExportFrames(avatar, header, params)

    def _driven_frames(self, motion: Path) -> ExportFrames:
        """The chosen frames of the avatar along the motion."""
        from avatar.jobs.driven_motion import DrivingSource

        source = DrivingSource.load(motion, self.motion_options, SENTENCES)
        driven = source.drive(self.avatar, self.fps, self.appearance)
        chosen = self._chosen(len(driven))
        part = slice(chosen.start, chosen.stop)
        torso = None if driven.torso is None else driven.torso[part]
        return ExportFrames(driven.avatar, driven.header, driven.params[part], driven.times[part], chosen.start, torso)

    def _relit(self, frames: ExportFrames, relighting: Relighting | None) -> ExportFrames:
        """The frames in another light. What other programs pose themselves keeps its colors of the mean pose."""
        from avatar.model.parts.light.relight import baked, relit

        avatar = frames.avatar if relighting is None else relit(frames.avatar, relighting)
        if relighting is not None and (self.rigged or self._is_web or self._is_mesh):
            avatar = baked(avatar)
        return replace(frames, avatar=avatar)

    def _check(self) -> None:
        """Raise HeadsplatError for options that are not valid, before any file is read."""
        suffix = self.out.suffix
        if suffix not in SUFFIXES:
            raise HeadsplatError(
                f"{self.out}: cannot write {suffix}; give a name in .ply, .spz, .obj, .glb, .vrm, .zip, .html or .hsa, "
                "or a folder for numbered .ply files"
            )
        if self.split and suffix not in ("", ".html"):
            raise HeadsplatError(
                f"{self.out}: --split writes a page; give a folder or a name in .html, or leave --split out"
            )
        self._check_poses()
        if self.rigged and suffix != ".ply":
            raise HeadsplatError(f"{self.out}: --rigged writes a .ply; give a name in .ply or leave --rigged out")
        if self.splats and suffix != ".glb":
            raise HeadsplatError(f"{self.out}: --splats writes a .glb; give a name in .glb or leave --splats out")
        if self.with_camera and suffix != ".html" and not self.split:
            raise HeadsplatError(
                f"{self.out}: --with-camera is for a page; give a name in .html or leave --with-camera out"
            )
        if self.rigged and (self.expression or self.head_pose):
            raise HeadsplatError("--rigged: writes the neutral expression; leave out --expression and --head-pose")

    def _check_poses(self) -> None:
        suffix = self.out.suffix
        if self._is_web and (self.expression or self.head_pose or self.frame is not None):
            raise HeadsplatError(
                f"{self.out}: a page has sliders for poses; leave out --expression, --head-pose and --frame"
            )
        if suffix in _POSED_BY_OTHERS and (self.expression or self.head_pose or self.motion):
            raise HeadsplatError(
                f"{self.out}: other programs pose it; leave out --expression, --head-pose and --motion"
            )
        parse_frames(self.frames)
        self.motion_options.check()
        if self.motion is None:
            given = {"--frame": self.frame, "--frames": self.frames, "--fps": self.fps}
            unused = [name for name, value in given.items() if value is not None]
            if unused or not (suffix or self.split):
                raise HeadsplatError(
                    f"{unused[0] if unused else self.out}: needs a motion; give --motion FILE or CAPTURE"
                )
            return
        if self.expression or self.head_pose or self.rigged:
            raise HeadsplatError(
                "--motion: determines the pose of the avatar; leave out --expression, --head-pose and --rigged"
            )
        if self.frame is not None and self.frames is not None:
            raise HeadsplatError("--frame: selects one pose; leave out --frames")
        if self.frame is not None and not suffix:
            raise HeadsplatError(f"{self.out}: --frame selects one pose; give a name in .ply, .spz, .obj or .glb")
        if self.frame is None and (suffix in (".ply", ".spz", ".obj") or self.splats):
            raise HeadsplatError(
                f"{self.out}: stores one pose; select it with --frame N, or give a folder for all frames of the motion"
            )

    def _chosen(self, count: int) -> range:
        """The numbers of the frames to export, out of `count`."""
        if self.frame is None:
            return chosen_frames(parse_frames(self.frames), count, say)
        if not 0 <= self.frame < count:
            raise HeadsplatError(
                f"--frame: {self.frame} is not in {self.motion}, which has {counted(count, 'frame')}; give 0 to "
                f"{count - 1}"
            )
        return range(self.frame, self.frame + 1)

    def _write(self, frames: ExportFrames, update: Update) -> str:
        """Write the output; returns a line that describes it."""
        from avatar import export

        if self._is_web:
            return self._write_web(frames)
        avatar = frames.avatar
        params = frames.params
        consent = frames.consent
        count = len(frames.params)
        if self.out.suffix:
            self._write_file(frames)
            return f"{self.out}: {self._description(avatar, count)}, {self.out.stat().st_size / _MEGABYTE:.1f} MB"

        def report_progress(done: int) -> None:
            update(done / count, f"frame {done} of {count}")

        total = export.write_plys(
            self.out, avatar, params, self.y_axis, consent, first=frames.first, update=report_progress
        )
        return f"{self.out}: {counted(count, 'file')} of {_gaussians(avatar)}, {total / _MEGABYTE:.1f} MB"

    def _write_file(self, frames: ExportFrames) -> None:
        """Write a single file for other programs."""
        import torch

        from avatar import export
        from avatar.jobs.vrm_presets import vrm_presets

        avatar = frames.avatar
        params = frames.params
        consent = frames.consent
        times = None if frames.times is None else torch.from_numpy(frames.times)
        if self.rigged:
            export.write_rigged_ply(self.out, avatar, consent)
            return
        if self.splats:
            export.write_splat_glb(self.out, avatar, params, consent)
            return
        formats = {
            ".ply": lambda: export.write_ply(self.out, avatar, params, self.y_axis, consent),
            ".spz": lambda: export.write_spz(self.out, avatar, params, self.spz_version, consent),
            ".obj": lambda: export.write_obj(self.out, avatar, params, consent),
            ".glb": lambda: export.write_glb(self.out, avatar, params, times, consent),
            ".vrm": lambda: export.write_vrm(self.out, avatar, vrm_presets(), consent),
            ".zip": lambda: export.write_lam(self.out, avatar, consent),
        }
        colors = formats[self.out.suffix]()
        if colors is not None:
            self._compare(avatar, colors)

    def _compare(self, avatar: Avatar, colors: Tensor) -> None:
        """Write the report of a mesh with these colors: how near it is to the avatar."""
        from avatar.export.comparison import compare_mesh

        found = compare_mesh(avatar, colors)
        found.save(self._report, self.out.name)
        say(f"{self.out}: {found.to_text()}")

    def _write_web(self, frames: ExportFrames) -> str:
        """Write the page of the web player, or the container alone; returns a line that describes it."""
        from avatar.common.files import atomic_path
        from avatar.export.web import WebMotion, web_container
        from avatar.jobs.web_page import page_camera, web_page, write_split_page
        from avatar.motion.presets import own_presets

        motion = None
        if frames.times is not None and self.motion is not None:
            times = frames.times - frames.times[0]
            motion = WebMotion(self.motion.stem, times, frames.params, frames.torso)
        name = self.avatar.stem
        camera = page_camera(frames.avatar.head) if self.with_camera else None
        presets = own_presets(self.avatar)
        content = web_container(frames.avatar, frames.header, name, motion, presets)
        if self.split:
            size = write_split_page(self.out, self._files, content, name, camera)
        else:
            if self.out.suffix == ".html":
                content = web_page(content, name, camera).encode()
            with atomic_path(self.out) as part:
                part.write_bytes(content)
            size = len(content)
        played = "" if motion is None else f", a motion of {counted(len(motion.times), 'frame')}"
        played += f", {counted(len(presets), 'preset')}" if presets else ""
        kind = "an avatar for pages" if self.out.suffix == ".hsa" else "a page"
        return f"{self.out}: {kind} with {_gaussians(frames.avatar)}{played}, {size / _MEGABYTE:.1f} MB"

    def _description(self, avatar: Avatar, count: int) -> str:
        if self.out.suffix in (".ply", ".spz", ".zip") or self.splats:
            return f"{'a rig, not a scene: ' if self.rigged else ''}{_gaussians(avatar)}"
        return f"mesh of {len(avatar.head.faces)} triangles" + (f", animation of {count} frames" if count > 1 else "")


def _gaussians(avatar: Avatar) -> str:
    from avatar.model.parts.mesh_layer import MeshLayer

    layer = avatar.part(MeshLayer)
    of_layer = "" if layer is None else f" and {len(layer.mesh.faces)} in place of its mesh layer"
    return f"{len(avatar)} Gaussians{of_layer}"


@dataclass(frozen=True)
class ExportFrames:
    """The avatar and the frames to export."""

    avatar: Avatar
    header: Mapping[str, Any]  # of the avatar's file
    params: HeadParams  # T frames
    times: np.ndarray | None = None  # [T] seconds; None: a single pose without a motion
    first: int = 0  # number of the first frame in the motion
    torso: TorsoPose | None = None  # T frames, where it is measured; None: from the torso map

    @property
    def consent(self) -> str:
        """The consent statement of the avatar's file, stored in the output."""
        from avatar.model.avatar_file import CONSENT

        return str(self.header.get("consent") or CONSENT)


def _log_license(avatar: Avatar) -> None:
    """Report the license of the mesh if it is not that of headsplat."""
    from avatar.head import load_head

    if avatar.head.license != load_head().license:
        say(
            f"the mesh is derived from the head model {avatar.head.name} ({avatar.head.license}); its license applies "
            "to the file"
        )
