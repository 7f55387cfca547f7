"""HeadModel: FLAME's interface for every head model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.types import JOINT_NAMES, NECK, ROOT, HeadParams, check_shape

from .arkit import is_mode
from .regions import INSIDE, Region

_REGIONS = frozenset(get_args(Region))


@dataclass(frozen=True, eq=False)
class HeadModel:
    """A linear-blend-skinned head with identity and expression bases (the equations of SMPL/FLAME).

    An expression moves vertices (`exprdirs`), rotates joints (`joint_dirs`: jawOpen rotates the jaw, eyeLookUpLeft the
    left eye) and may have a curved path between weights 0 and 1 (`curvedirs`: a closing lid follows the eyeball).

    Vertices are meters, y up, facing +z, the origin between the eyeballs. Joints are in the order of JOINT_NAMES.
    """

    name: str
    license: str
    v_template: Tensor  # [V,3]
    faces: Tensor  # [F,3] int64, counter-clockwise seen from outside
    shapedirs: Tensor  # [V,3,S] meters per standard deviation
    exprdirs: Tensor  # [V,3,E] meters at weight 1, in the rest pose
    joint_dirs: Tensor  # [J,3,E] axis-angle radians added to each joint's rotation at weight 1
    curvedirs: Tensor  # [V,3,C] meters, scaled by 4 w (1 - w) of the expression in curve_columns: offset at w = 0.5
    curve_columns: Tensor  # [C] int64, indices into expression_names
    posedirs: Tensor  # [V,3,P] meters; P = 9*(J-1), or 0 where the model has none
    J_regressor: Tensor  # [J,V]
    parents: tuple[int, ...]  # [J], -1 for the root
    lbs_weights: Tensor  # [V,J], rows sum to 1
    expression_names: tuple[str, ...]  # [E]
    landmark_faces: Tensor  # [478] int64, MediaPipe's order, irises last
    landmark_bary: Tensor  # [478,3]
    uv: Tensor  # [U,2] 0..1
    uv_faces: Tensor  # [F,3] int64
    regions: Mapping[str, Tensor]  # name -> bool [V]
    colors: Tensor  # [V,3] sRGB 0..1, plausible colors by region
    capabilities: frozenset[str]  # of "eyelids", "teeth", "tongue", "mouth_interior", "arkit"

    def __post_init__(self) -> None:
        check_shape("HeadModel.v_template", self.v_template, ("V", 3))
        count = len(self.v_template)
        joints = len(JOINT_NAMES)
        check_shape("HeadModel.faces", self.faces, ("F", 3))
        check_shape("HeadModel.shapedirs", self.shapedirs, (count, 3, "S"))
        check_shape("HeadModel.exprdirs", self.exprdirs, (count, 3, len(self.expression_names)))
        check_shape("HeadModel.joint_dirs", self.joint_dirs, (joints, 3, len(self.expression_names)))
        check_shape("HeadModel.curvedirs", self.curvedirs, (count, 3, len(self.curve_columns)))
        check_shape("HeadModel.posedirs", self.posedirs, (count, 3, "P"))
        check_shape("HeadModel.J_regressor", self.J_regressor, (joints, count))
        check_shape("HeadModel.lbs_weights", self.lbs_weights, (count, joints))
        check_shape("HeadModel.landmark_bary", self.landmark_bary, (len(self.landmark_faces), 3))
        check_shape("HeadModel.colors", self.colors, (count, 3))

    @cached_property
    def expression_limits(self) -> Tensor:
        """Minimum and maximum weights [2,E]: 0..1, for a principal component (`is_mode`) -3..3."""
        limits = [(-3.0, 3.0) if is_mode(name) else (0.0, 1.0) for name in self.expression_names]
        return self.v_template.new_tensor(limits).reshape(-1, 2).T.contiguous()

    @cached_property
    def model_id(self) -> str:
        """First 16 hex digits of a SHA-256 over the geometry."""
        digest = hashlib.sha256()
        for tensor in (self.v_template, self.faces, self.shapedirs, self.exprdirs, self.joint_dirs, self.lbs_weights):
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def mask(self, *regions: Region) -> Tensor:
        """Mask [V] bool of the vertices in any of `regions`; a region that the head lacks is empty.

        Raises:
            ValueError: a name that no region has.
        """
        mask = torch.zeros(len(self.v_template), dtype=torch.bool, device=self.v_template.device)
        for name in regions:
            if name not in _REGIONS:
                raise ValueError(f"regions: expected names among {', '.join(sorted(_REGIONS))}, got {name!r}")
            if name in self.regions:
                mask |= self.regions[name]
        return mask

    def torso_weight(self) -> Tensor:
        """Skinning weight [V] of the root joint (the torso), 0 for the parts inside the head."""
        return self.lbs_weights[:, ROOT].masked_fill(self.mask(*INSIDE), 0)

    def neutral_params(self, batch: int = 1) -> HeadParams:
        """The mean person at the origin with a neutral face, `batch` frames."""
        like = self.v_template
        return HeadParams(
            identity=like.new_zeros(self.shapedirs.shape[2]),
            expression=like.new_zeros(batch, len(self.expression_names)),
            joint_rot=like.new_zeros(batch, len(JOINT_NAMES), 3),
            translation=like.new_zeros(batch, 3),
        )

    def identity_vertices(self, identity: Tensor) -> Tensor:
        """Neutral vertices [V,3] of the person with the coefficients `identity` [S]."""
        return self.v_template + self.shapedirs @ identity

    @cached_property
    def _rest_joints(self) -> tuple[Tensor, Tensor]:
        """Joints [J,3] of the mean person and their derivative with respect to identity [J,3,S]."""
        return self.J_regressor @ self.v_template, torch.einsum("jv,vcs->jcs", self.J_regressor, self.shapedirs)

    def joint_locations(self, identity: Tensor) -> Tensor:
        """Joint positions [J,3] in the rest pose of the person with the coefficients `identity` [S]."""
        mean, moved = self._rest_joints
        return mean + moved @ identity

    def joint_rotations(self, params: HeadParams) -> Tensor:
        """Rotations [B,J,3,3] of the joints relative to their parents, including those driven by expressions."""
        driven = ops.batch_invariant_matmul(params.expression, self.joint_dirs.flatten(0, 1).T)
        return axis_angle_to_matrix(params.joint_rot + driven.unflatten(1, self.joint_dirs.shape[:2]))

    def canonical_vertices(self, identity: Tensor, expression: Tensor, rows: slice | Tensor = slice(None)) -> Tensor:
        """Rest-pose vertices [B,V,3] of identity [S] and expressions [B,E], no joint rotated: the vertices `rows`."""
        moved = expression @ self.exprdirs[rows].flatten(0, 1).T
        if self.curvedirs.shape[2]:
            weight = expression[:, self.curve_columns].clamp(0, 1)
            moved = moved + (4 * weight * (1 - weight)) @ self.curvedirs[rows].reshape(-1, self.curvedirs.shape[2]).T
        neutral = self.identity_vertices(identity)[rows]
        return neutral + moved.reshape(len(expression), *neutral.shape)

    def forward_kinematics(self, identity: Tensor, local: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """Transform rest pose -> world of each joint.

        Args:
            identity: [S] coefficients.
            local: [B,J,3,3] rotations relative to the parents.
            translation: [B,3] of the root, meters.

        Returns:
            Rotations [B,J,3,3] and translations [B,J,3], `x -> R x + t`.
        """
        rest = self.joint_locations(identity)[..., None]
        bottom = rest.new_zeros(4)
        bottom[3] = 1
        top = torch.cat([local, rest - local @ rest], -1)
        local_transforms = torch.cat([top, bottom.expand(*local.shape[:2], 1, 4)], -2).unbind(1)
        world: list[Tensor] = []
        for transform, parent in zip(local_transforms, self.parents, strict=True):
            if parent < 0:
                world.append(transform + torch.nn.functional.pad(translation[..., None], (3, 0, 0, 1)))
            else:
                world.append(torch.bmm(world[parent], transform))
        stacked = torch.stack(world, 1)
        return stacked[..., :3, :3], stacked[..., :3, 3]

    def joint_transforms(self, params: HeadParams) -> tuple[Tensor, Tensor]:
        """Transform rest pose -> world of each joint: rotations [B,J,3,3], translations [B,J,3], `x -> R x + t`."""
        return self.forward_kinematics(params.identity, self.joint_rotations(params), params.translation)

    def vertices(self, params: HeadParams, rows: slice | Tensor = slice(None)) -> Tensor:
        """Posed vertices [B,V,3] in the world: identity, expression, pose correctives, linear blend skinning.

        Args:
            params: B frames.
            rows: [K] int, the vertices to compute, [B,K,3].
        """
        rest = self.canonical_vertices(params.identity, params.expression, rows)
        local = self.joint_rotations(params)
        if self.posedirs.shape[2]:
            eye = torch.eye(3, dtype=rest.dtype, device=rest.device)
            feature = (local[:, 1:] - eye).flatten(1)
            rest = rest + (feature @ self.posedirs[rows].reshape(-1, self.posedirs.shape[2]).T).reshape(rest.shape)
        rotations, offsets = self.forward_kinematics(params.identity, local, params.translation)
        by_joint = rest @ rotations.flatten(1, 2).transpose(1, 2) + offsets.flatten(1)[:, None]
        return (by_joint.unflatten(2, (-1, 3)) * self.lbs_weights[rows, :, None]).sum(2)

    def expression_motion(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """Displacements [V,3,E] (meters) of the vertices `rows` of the mean person for each expression at weight 1."""
        params = self.neutral_params(len(self.expression_names))
        params.expression.fill_diagonal_(1)
        identity = params.identity
        return (self.vertices(params, rows) - self.identity_vertices(identity)[rows]).permute(1, 2, 0).contiguous()

    def expression_distances(self) -> Tensor:
        """Lengths [V,E] of the displacements `expression_motion`."""
        # `norm` takes 25 times as long where the axis is not the last one.
        return self.expression_motion().square().sum(1).sqrt()

    def skull_vertices(self, params: HeadParams, rows: slice | Tensor = slice(None)) -> Tensor:
        """Vertices [B,V,3] in the skull frame, those of `rows` [K] int: jaw and eyes rotated, root and neck at rest."""
        joint_rot = params.joint_rot.clone()
        joint_rot[:, ROOT : NECK + 1] = 0
        in_skull = HeadParams(params.identity, params.expression, joint_rot, torch.zeros_like(params.translation))
        return self.vertices(in_skull, rows)

    def skull_pose(self, params: HeadParams) -> tuple[Tensor, Tensor]:
        """Rigid transform skull frame -> world: rotations [B,3,3] and translations [B,3]."""
        rotations, offsets = self.joint_transforms(params)
        return rotations[:, NECK], offsets[:, NECK]

    def root_translation(self, identity: Tensor, rotation: Tensor, offset: Tensor) -> Tensor:
        """HeadParams.translation [B,3] for which the root's transform is `x -> rotation x + offset`."""
        root = self.joint_locations(identity)[ROOT]
        return offset - root + (rotation @ root)

    def landmarks(self, vertices: Tensor) -> Tensor:
        """MediaPipe's 478 landmarks [B,478,3] of vertices [B,V,3]."""
        return self._interpolated(vertices[:, self.faces[self.landmark_faces]])

    def skull_landmarks(self, params: HeadParams) -> Tensor:
        """MediaPipe's 478 landmarks [B,478,3] of the vertices in the skull frame."""
        rows, corners = torch.unique(self.faces[self.landmark_faces], return_inverse=True)
        return self._interpolated(self.skull_vertices(params, rows)[:, corners])

    def _interpolated(self, corners: Tensor) -> Tensor:
        """Landmarks [B,478,3] between the corners [B,478,3,3] of their triangles."""
        return (corners * self.landmark_bary[:, :, None]).sum(2)

    def expression_index(self, name: str) -> int:
        """Index of the expression `name`.

        Raises:
            KeyError: unknown name; the text lists similar names.
        """
        if name not in self.expression_names:
            near = [known for known in self.expression_names if known.lower().startswith(name[:4].lower())]
            raise KeyError(f"{self.name} has no expression {name!r}; near: {', '.join(near) or 'none'}")
        return self.expression_names.index(name)
