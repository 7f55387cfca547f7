"""The avatar as its own tracker: one causal Gauss-Newton step a frame on its own render.

What landmarks miss, the avatar shows: its render in the landmarks' state, with the correction of the frame before, is
compared with the frame at the points of `Points`. Pose, expressions and gaze follow from one set of normal equations
with two priors: that the correction changes little from frame to frame, and that it is small. The slope of the image is
the mean of those of render and frame (Malis 2004). With a matte the whole outline of the head counts for the pose too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.numpy_rotations import exp_rotation, log_rotation
from avatar.model.avatar import Avatar
from avatar.model.torso import Torso
from avatar.refine.controls import GAZE, Controls
from avatar.refine.step_points import Points
from avatar.rendering.animator import Animator
from avatar.rendering.layer import splat_layer
from avatar.types import NECK, ROOT, Camera, HeadParams

#: Correlation above which a frame shows the avatar's person; in real clips strangers have up to .76, the person .93.
ABOVE = 0.8
#: Side of the compared images, pixels, and margin of the head in them, relative to its size.
SIZE = 112
_MARGIN = 0.1
_NEAR = 0.05  # meters, smallest distance to the camera at which a head is compared
_POINTS = 2500
_BLUR = 0.7  # pixels, of both images
#: Scale of the robust costs (norm of the difference of colors), and weights of a point and of a pixel with a matte.
#: With the refiner's scale of .7, hair that differs turned a head by 2 degrees. Outlines place the hair well and
#: the face badly: at five times the weight of a pixel the head gains up to .3 dB, and landmarks lose up to .2 %.
_SIGMA = 0.25
_POINT_WEIGHT = 100.0
_PIXEL_WEIGHT = 0.1
#: Standard deviations of the correction's change in 1/30 s, and of the correction: rotation (rad), shift in the image
#: and in depth (m), expression weights, gaze (rad). That of the jaw is larger by `_JAW`.
_CHANGE = (math.radians(2.0), 3e-3, 1.2e-2, 0.06, 0.015)
_ERROR = (math.radians(4.0), 8e-3, 3e-2, 0.06, 0.015)
_JAW = 2.0
_DECAY = 0.97  # of the correction in 1/30 s
_RATE = 30.0
_MOST_FRAMES = 30.0  # of 1/30 s between two frames that count
#: Largest step: rotation (rad), translation (m), controls.
_LARGEST = (0.06, 0.015, 0.4)
#: Points count where alpha, eroded by a pixel, is higher, and where no surface is nearer by more (meters).
_SOLID = 0.95
_BEHIND = 8e-3
#: Exposure: share of a new estimate, damping, limits of the gain, difference of colors of outliers.
_FOLLOW = 0.3
_DAMPING = 0.02
_GAINS = (0.5, 2.0)
_OUTLIER = 0.25
#: Local gain against other light: standard deviation relative to the side, limits, and pixels of its grid.
_LOCAL = 0.12
#: Standard deviation, relative to the side, of what is taken off both images before they are correlated.
_SHADE = 0.05
_LOCAL_GAINS = (0.4, 2.5)
_GRID = 28

_CROSS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Step:
    """The result of a frame."""

    params: HeadParams  # [1] the corrected state; its pose is that of the root alone
    correlation: float  # -1..1, of the frame and the render before the step, over the face
    seen: float  # 0..1, weight of the points that were compared
    focal: tuple[float, float] = (0.0, 0.0)  # information on the log of the focal length, and the cost's derivative


class StepTracker:
    """Corrects the landmarks' states of the person of an avatar by the frames, in their order."""

    @torch.no_grad()
    def __init__(self, avatar: Avatar) -> None:
        """Args: the avatar, on the CPU."""
        head = avatar.head
        self.avatar = avatar
        self._controls = Controls.of(head)
        self._points = Points.of(avatar, self._controls, _POINTS)
        self._weight = self._points.weight.numpy()
        self._animator = Animator(avatar, 1, 1)
        self._skin = torch.stack([avatar.rig.skin, *[torch.zeros_like(avatar.rig.skin)] * 2], -1)[None]
        self._outline = head.v_template[head.torso_weight() < 0.1][::7].double().numpy()
        self._low, self._high = (limit.double().numpy() for limit in (self._controls.low, self._controls.high))
        self._change, self._error = (self._deviations(values) ** -2.0 for values in (_CHANGE, _ERROR))
        self._largest = np.repeat(_LARGEST, [3, 3, len(self._controls)])
        self.reset()

    def _deviations(self, values: tuple[float, ...]) -> np.ndarray:
        """Standard deviations [6+P] of the unknowns."""
        columns = self._controls.columns.tolist()
        sigma = np.repeat(values, [3, 2, 1, len(columns), GAZE])
        jaw = [self.avatar.head.expression_names[column] == "jawOpen" for column in columns]
        sigma[6 : 6 + len(columns)][jaw] *= _JAW
        return sigma

    def reset(self) -> None:
        """Discard the correction: the next frame does not follow the last one."""
        #: rotation (rad, skull frame), translation (m, camera axes), controls
        self._correction = np.zeros(6 + len(self._controls))
        self._exposure: _Exposure | None = None
        #: of the last frame, and the avatar in its state: the next frames are compared with that image
        self._last: tuple[_Start, np.ndarray, _Crop, Torso | None, _Target] | None = None
        self._ahead: _Rendered | None = None

    def change_focal(self, ratio: float) -> None:
        """The next frame's focal length is `ratio` times the last one's, and so is its distance."""
        self._correction[5] *= ratio

    @torch.no_grad()
    def render_ahead(self) -> None:
        """Render the avatar in the state of the last frame: the next frames without a matte are compared with that.

        Half of a call's time is that of its render; so it is spent before the frame comes.
        """
        if self._last is not None:
            self._ahead = self._render(*self._last)
            self._last = None

    def _expected(self, elapsed: float) -> np.ndarray:
        """The correction [6+P] after `elapsed` seconds."""
        return _DECAY ** _frames(elapsed) * self._correction

    def _limited(self, start: _Start, correction: np.ndarray) -> np.ndarray:
        """`correction` [6+P] with controls within their limits."""
        limited = correction.copy()
        limited[6:] = np.clip(start.controls + limited[6:], self._low, self._high) - start.controls
        return limited

    @torch.no_grad()
    def __call__(
        self,
        image: np.ndarray,
        camera: Camera,
        params: HeadParams,
        matte: np.ndarray | None = None,
        torso: Torso | None = None,
        elapsed: float = 1 / _RATE,
        with_focal: bool = False,
    ) -> Step:
        """The state in the next frame.

        Args:
            image: [H,W,3] uint8 sRGB.
            camera: [1] of the frame.
            params: [1] what the landmarks show; the identity is ignored.
            matte: [H,W] uint8; None: not known.
            torso: the torso where it is known.
            elapsed: seconds since the frame before.
            with_focal: also find what the frame says on the focal length.
        """
        frames = _frames(elapsed)
        start = _Start.of(self.avatar, self._controls, params, camera)
        expected = self._expected(elapsed)
        before = self._limited(start, expected)
        pose = start.moved(before)
        crop = _Crop.of(camera, start.view, self._outline, pose)
        if crop is None:
            self.reset()
            return Step(start.written(np.zeros_like(before)), 0.0, 0.0)
        target = _Target.of(crop, image, matte)
        rendered = self._ahead if matte is None else None
        if rendered is None:
            rendered = self._render(start, before, crop, torso, target)
        moved = _Moved.of(rendered, self._points, pose, start.view, start.controls + before[6:], crop.camera)
        compared = _Compared.of(rendered, moved, target, self._weight, self._exposure)
        self._exposure = compared.exposure
        matrix, gradient = self._normal(rendered, moved, compared, pose, start.view, target, with_focal)
        state = np.arange(len(before))
        matrix[state, state] += self._change / frames + self._error
        gradient[state] += (before - expected) * self._change / frames + before * self._error
        focal = _last_unknown(matrix, gradient) if with_focal else (0.0, 0.0)
        matrix, gradient = matrix[np.ix_(state, state)], gradient[state]
        step = self._solve(matrix, gradient, start.controls + before[6:])
        after = before + step
        after[:3] = log_rotation(exp_rotation(before[:3]) @ exp_rotation(step[:3]))
        self._correction = after
        self._last = start, after, crop, torso, target
        return Step(start.written(after), compared.correlation, compared.seen, focal)

    def _render(
        self, start: _Start, correction: np.ndarray, crop: _Crop, torso: Torso | None, target: _Target
    ) -> _Rendered:
        """The avatar in a crop after a correction [6+P], over what is behind it in `target`."""
        params, view, camera = start.written(correction), start.view, crop.camera
        frame = self._animator.frame(self._animator.poses(params, torso), 0)
        gaussians = frame.gaussians
        fields = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh)
        layer = splat_layer(gaussians, camera)
        out = ops.splat(*fields, camera, dilation=gaussians.dilation, layer=layer)
        assert out.depth is not None
        features = None
        if target.matte is not None:
            torso_image = ops.splat_features(out.prepared, self._skin)
            features = torch.stack([out.depth * out.alpha, torso_image[..., 0], torch.zeros_like(out.depth)], -1)
        world = self._points.places(frame.head, gaussians.means[0]).double().numpy()
        alpha = out.alpha[0].numpy()
        behind = 1.0 if target.matte is not None else target.image
        image = cv2.GaussianBlur(out.rgb[0].numpy() + (1 - alpha[..., None]) * behind, (0, 0), _BLUR)
        rotation, translation = start.moved(correction)
        places = (world - translation) @ rotation
        controls = start.controls + correction[6:]
        depth = out.depth[0].numpy()
        return _Rendered.of(image, alpha, depth, features, world @ view[0].T + view[1], places, controls, camera)

    def _normal(
        self,
        rendered: _Rendered,
        moved: _Moved,
        compared: _Compared,
        pose: tuple[np.ndarray, np.ndarray],
        view: tuple[np.ndarray, np.ndarray],
        target: _Target,
        with_focal: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Matrix [D,D] and gradient [D] of the images by D = 6 + P unknowns; the log of the focal length is one more.

        `pose` and `view` are rotations and translations.
        """
        turn = view[0] @ pose[0]
        K = moved.camera.K
        pivot = torch.from_numpy(view[0] @ pose[1] + view[1]).float()[None]
        slopes, residual, weight, places, rotation = (
            torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]
            for values in (*compared.samples, moved.places.T, turn)
        )
        motion, tint = self._points.motion, self._points.tint
        if with_focal:
            # A longer focal length at a larger distance: relative to the pivot, points come nearer by their depth.
            nearer = -rotation[0, 2, None] * (places[0, 2:] - pivot[0, 2]).T
            motion = torch.cat([motion, nearer.T[None]])
            tint = torch.cat([tint, torch.zeros_like(tint[:1])])
        of_points = ops.sampled_normal(slopes, residual, weight, places, K, pivot, rotation, motion, tint)
        matrix, gradient = (term[0].double().numpy() for term in of_points)
        if rendered.features is not None:
            alpha = torch.from_numpy(rendered.alpha)[None]
            image = torch.from_numpy(rendered.image)[None] - (1 - alpha)[..., None]
            goal = torch.from_numpy(target.over_white(compared.corrected))[None]
            of_pixels = ops.rigid_normal(image, alpha, goal, rendered.features, K, pivot[:, None], _SIGMA)
            matrix[:6, :6] += _PIXEL_WEIGHT * of_pixels[0][0].double().numpy()
            gradient[:6] += _PIXEL_WEIGHT * of_pixels[1][0].double().numpy()
        # Rotations in the skull frame, in which the errors of landmarks stay the same while the head turns.
        axes = np.eye(len(matrix))
        axes[:3, :3] = turn
        return axes.T @ matrix @ axes, axes.T @ gradient

    def _solve(self, matrix: np.ndarray, gradient: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """The step [6+P] from `controls` [P]; those beyond their limits end there, and the others are solved again."""
        step = np.clip(-np.linalg.solve(matrix, gradient), -self._largest, self._largest)
        limited = np.clip(controls + step[6:], self._low, self._high) - controls
        fixed = np.concatenate([np.zeros(6, bool), limited != step[6:]])
        if fixed.any():
            free = ~fixed
            step[6:] = limited
            rest = gradient[free] + matrix[np.ix_(free, fixed)] @ step[fixed]
            step[free] = -np.linalg.solve(matrix[np.ix_(free, free)], rest)
            step = np.clip(step, -self._largest, self._largest)
            step[6:] = np.clip(controls + step[6:], self._low, self._high) - controls
        return step


def _last_unknown(matrix: np.ndarray, gradient: np.ndarray) -> tuple[float, float]:
    """Information on the last unknown of normal equations where all others are free, and the cost's derivative."""
    others = np.linalg.solve(matrix[:-1, :-1], np.stack([matrix[:-1, -1], gradient[:-1]], 1))
    information, derivative = np.array([matrix[-1, -1], gradient[-1]]) - matrix[-1, :-1] @ others
    return float(information), float(derivative)


def _frames(elapsed: float) -> float:
    """Frames of 1/30 s in `elapsed` seconds."""
    return min(max(elapsed * _RATE, 0.1), _MOST_FRAMES)


@dataclass(frozen=True)
class _Start:
    """The landmarks' state of a frame."""

    avatar: Avatar
    of_controls: Controls
    params: HeadParams
    rotation: np.ndarray  # [3,3] skull frame -> world
    translation: np.ndarray  # [3] meters
    controls: np.ndarray  # [P]
    view: tuple[np.ndarray, np.ndarray]  # rotation [3,3] and translation [3] from the world to the camera

    @staticmethod
    def of(avatar: Avatar, controls: Controls, params: HeadParams, camera: Camera) -> _Start:
        params = avatar.with_identity(params)
        rotation, translation = (part[0].double().numpy() for part in avatar.head.skull_pose(params))
        view = camera.world_to_cam[0].double().numpy()
        values = controls.read(params)[0].double().numpy()
        return _Start(avatar, controls, params, rotation, translation, values, (view[:3, :3], view[:3, 3]))

    def moved(self, correction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotation [3,3] and translation [3] of the skull after a correction [6+P]."""
        return self.rotation @ exp_rotation(correction[:3]), self.translation + self.view[0].T @ correction[3:6]

    def written(self, correction: np.ndarray) -> HeadParams:
        """The parameters [1] after a correction [6+P]."""
        rotation, translation = self.moved(correction)
        values = torch.from_numpy(self.controls + correction[6:]).to(self.params.expression)[None]
        params = self.of_controls.write(self.params, values)
        params.joint_rot[:, ROOT] = torch.from_numpy(log_rotation(rotation))
        params.joint_rot[:, NECK] = 0
        like = params.translation
        pose = torch.from_numpy(rotation).to(like)[None], torch.from_numpy(translation).to(like)[None]
        return replace(params, translation=self.avatar.head.root_translation(params.identity, *pose))


@dataclass(frozen=True)
class _Crop:
    """A square crop of a frame round the head, at SIZE."""

    camera: Camera  # [1]
    corner: np.ndarray  # [2] pixels of the frame
    scale: float  # pixels of the crop in one of the frame

    @staticmethod
    def of(
        camera: Camera,
        view: tuple[np.ndarray, np.ndarray],
        outline: np.ndarray,
        pose: tuple[np.ndarray, np.ndarray],
    ) -> _Crop | None:
        """The crop round `outline` [n,3] (skull frame); None where the head is not in front of the camera."""
        seen = (outline @ pose[0].T + pose[1]) @ view[0].T + view[1]
        if not seen[:, 2].min() > _NEAR:
            return None
        pixels = seen @ camera.K[0].double().numpy().T
        pixels = pixels[:, :2] / pixels[:, 2:]
        low, high = pixels.min(0), pixels.max(0)
        side = float((high - low).max()) * (1 + 2 * _MARGIN)
        corner, scale = 0.5 * (low + high - side), SIZE / side
        K = camera.K.clone()
        K[:, :2, 2] -= torch.from_numpy(corner).to(K)
        K[:, :2] *= scale
        return _Crop(Camera(K, camera.world_to_cam, SIZE, SIZE), corner, scale)

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The crop of an image [H,W,...] uint8, as float32 in 0..1; the border repeats."""
        side = math.ceil(SIZE / self.scale)
        x, y = (
            int(np.clip(math.floor(at), 0, most - 1)) for at, most in zip(self.corner, image.shape[1::-1], strict=True)
        )
        right, bottom = (math.floor(at) + side + 2 for at in self.corner)
        image = image[y : max(bottom, y + 1), x : max(right, x + 1)]
        corner, scale = self.corner - (x, y), self.scale
        while scale <= 0.5 and min(image.shape[:2]) > 1:  # averaged first
            height, width = (length // 2 for length in image.shape[:2])
            image = cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
            corner, scale = 0.5 * corner, 2 * scale
        x, y = 0.5 * scale - 0.5 - scale * corner
        matrix = np.array([[scale, 0, x], [0, scale, y]])
        shown = cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(shown.astype(np.float32) / 255)


@dataclass(frozen=True)
class _Target:
    """The crop of a frame."""

    image: np.ndarray  # [S,S,3] over white with a matte
    raw: np.ndarray  # [S,S,3] with its background
    matte: np.ndarray | None  # [S,S,1]

    @staticmethod
    def of(crop: _Crop, image: np.ndarray, matte: np.ndarray | None) -> _Target:
        raw = cv2.GaussianBlur(crop.cut(image), (0, 0), _BLUR)
        if matte is None:
            return _Target(raw, raw, None)
        alpha = cv2.GaussianBlur(crop.cut(matte), (0, 0), _BLUR)[..., None]
        return _Target(raw * alpha + 1 - alpha, raw, alpha)

    def over_white(self, colors: np.ndarray) -> np.ndarray:
        """Colors [S,S,3] of the person over white."""
        assert self.matte is not None
        return np.asarray(colors * self.matte + 1 - self.matte, np.float32)


@dataclass(frozen=True)
class _Rendered:
    """The avatar in a crop, and its M points there."""

    image: np.ndarray  # [S,S,3] over what is behind it
    alpha: np.ndarray  # [S,S]
    solid: np.ndarray  # [S,S] alpha, eroded
    features: Tensor | None  # [1,S,S,3] for `ops.rigid_normal`
    colors: np.ndarray  # [M,3]
    details: np.ndarray  # [M] gray
    slopes: np.ndarray  # [2,M,3] along x and y, per pixel
    shown: np.ndarray  # [M] bool, whether nothing is before the point
    places: np.ndarray  # [M,3] meters, skull frame
    controls: np.ndarray  # [P]

    @staticmethod
    def of(
        image: np.ndarray,
        alpha: np.ndarray,
        depth: np.ndarray,
        features: Tensor | None,
        seen: np.ndarray,
        places: np.ndarray,
        controls: np.ndarray,
        camera: Camera,
    ) -> _Rendered:
        """Args: as the fields; `depth` [S,S] meters; the points `seen` [M,3] in `camera`, meters in its axes."""
        solid = cv2.erode(alpha, _CROSS)
        u, v, away = _pixels(seen, camera)
        shown = _inside(u, v) & (away < _sampled(depth, u, v) + _BEHIND)
        shown &= _sampled(solid, u, v) > _SOLID
        slopes = np.stack([_sampled(each, u, v) for each in _slopes(image)])
        colors, details = _sampled(image, u, v), _sampled(_details(image, solid), u, v)
        return _Rendered(image, alpha, solid, features, colors, details, slopes, shown, places, controls)


@dataclass(frozen=True)
class _Moved:
    """The points in a frame, in another state than that in which the avatar was rendered."""

    places: np.ndarray  # [M,3] meters, camera axes
    tint: np.ndarray  # [M,3] change of color since the render
    camera: Camera  # [1] of the crop

    @staticmethod
    def of(
        rendered: _Rendered,
        points: Points,
        pose: tuple[np.ndarray, np.ndarray],
        view: tuple[np.ndarray, np.ndarray],
        controls: np.ndarray,
        camera: Camera,
    ) -> _Moved:
        """Args: the render and its points; pose of the skull; view from the world; controls [P]; of the crop."""
        change = torch.from_numpy(controls - rendered.controls).float()
        motion, tint = (torch.tensordot(change, each, 1).numpy().T for each in (points.motion, points.tint))
        world = (rendered.places + motion) @ pose[0].T + pose[1]
        return _Moved(world @ view[0].T + view[1], tint, camera)


def _pixels(places: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column, row and depth (meters) [M] of points [M,3], camera axes."""
    pixels = places @ camera.K[0].double().numpy().T
    depth = pixels[:, 2]
    u, v = (pixels[:, :2] / np.maximum(depth, _NEAR)[:, None] - 0.5).T.astype(np.float32)
    return u, v, depth


@dataclass(frozen=True)
class _Exposure:
    """The frame's colors are gain * color + bias of the avatar's."""

    gain: np.ndarray  # [3]
    bias: np.ndarray  # [3]

    @staticmethod
    def of(rendered: np.ndarray, target: np.ndarray, weight: np.ndarray, last: _Exposure | None) -> _Exposure:
        """From colors [M,3] of points of `weight` [M], by weighted least squares; follows `last` slowly."""
        known = last or _Exposure(np.ones(3), np.zeros(3))
        used = weight[:, None] * (np.abs(target - known.gain * rendered - known.bias) < _OUTLIER)
        total = used.sum(0) + 1e-6
        mean, goal = (used * rendered).sum(0) / total, (used * target).sum(0) / total
        square = (used * (rendered - mean) ** 2).sum(0) / total
        product = (used * (rendered - mean) * (target - goal)).sum(0) / total
        gain = np.clip((product + _DAMPING) / (square + _DAMPING), *_GAINS)
        if last is not None:
            gain = last.gain + _FOLLOW * (gain - last.gain)
        return _Exposure(gain, goal - gain * mean)

    def corrected(self, image: np.ndarray) -> np.ndarray:
        """The avatar's colors of a frame [...,3]."""
        return np.asarray((image - self.bias) / self.gain, np.float32)


@dataclass(frozen=True)
class _Compared:
    """Frame and render at the points."""

    exposure: _Exposure
    corrected: np.ndarray  # [S,S,3] the frame in the avatar's light, with its background
    samples: tuple[np.ndarray, np.ndarray, np.ndarray]  # slopes [2,3,M], residual [3,M] and weight [M]
    correlation: float
    seen: float

    @staticmethod
    def of(
        rendered: _Rendered, points: _Moved, target: _Target, weight: np.ndarray, last: _Exposure | None
    ) -> _Compared:
        """Args: the avatar; its points there; the frame; weights [M] of the points; exposure of the last frame."""
        u, v, _ = _pixels(points.places, points.camera)
        used = weight * (rendered.shown & _inside(u, v))
        of_render, of_frame = rendered.colors + points.tint, _sampled(target.image, u, v)
        exposure = _Exposure.of(of_render, of_frame, used, last)
        corrected = _in_local_light(exposure.corrected(target.raw), rendered.image, rendered.solid)
        goal = corrected if target.matte is None else target.over_white(corrected)
        of_goal = np.stack([_sampled(each, u, v) for each in _slopes(goal)])
        slopes = 0.5 * (rendered.slopes + of_goal).transpose(0, 2, 1)
        residual = of_render - _sampled(goal, u, v)
        robust = (1 + np.square(residual).sum(-1) / _SIGMA**2) ** -2
        samples = slopes, residual.T, _POINT_WEIGHT * used * robust
        seen = float(used.sum() / weight.sum())
        details = rendered.details + points.tint.mean(-1), _sampled(_details(target.raw, rendered.solid), u, v)
        return _Compared(exposure, corrected, samples, _correlation(*details, used), seen)


def _inside(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray((u > 1) & (v > 1) & (u < SIZE - 2) & (v < SIZE - 2))


def _sampled(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Values [M,...] of an image [S,S,...] at columns and rows [M]."""
    return np.asarray(cv2.remap(image, u[None], v[None], cv2.INTER_LINEAR)[0])


def _slopes(image: np.ndarray) -> list[np.ndarray]:
    """Derivatives of an image per pixel along x and y."""
    return [cv2.Scharr(image, cv2.CV_32F, *way, scale=1 / 32) for way in ((1, 0), (0, 1))]


def _in_local_light(image: np.ndarray, rendered: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """`image` [S,S,3] times a smooth gain that gives the head (`solid` [S,S]) the light of the render."""
    grid = (_GRID, _GRID)
    small = (
        cv2.GaussianBlur(
            cv2.resize(each * solid[..., None], grid, interpolation=cv2.INTER_AREA), (0, 0), _LOCAL * _GRID
        )
        for each in (rendered, image)
    )
    numerator, denominator = (each + _DAMPING for each in small)
    gain = np.clip(numerator / np.maximum(denominator, 1e-3), *_LOCAL_GAINS)
    return np.asarray(image * cv2.resize(gain, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR))


def _details(image: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Gray values [S,S] of an image [S,S,3] less their mean around, over the head (`solid` [S,S]).

    What is left are eyes, brows, mouth and nose, hardly the light: by whole gray values a stranger correlates as the
    person does in other light.
    """
    mask = (solid > _SOLID).astype(np.float32)
    gray = image.mean(-1).astype(np.float32)
    total, part = (cv2.GaussianBlur(each, (0, 0), _SHADE * SIZE) for each in (gray * mask, mask))
    return np.asarray(gray - total / np.maximum(part, 1e-3))


def _correlation(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> float:
    """Weighted correlation of values [M]; 0 without any."""
    total = weight.sum() + 1e-6
    a, b = (each - (weight * each).sum() / total for each in (first, second))
    scale = (weight * a * a).sum() * (weight * b * b).sum()
    return float((weight * a * b).sum() / math.sqrt(scale + 1e-9))
