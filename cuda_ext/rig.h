// A Gaussian bound to a triangle and posed by linear blend skinning with two bones, shared by host and device kernels.
// Same conventions as math.h.
#pragma once

#include "stretch.h"

namespace headsplat {

// The two bones of one image: skull, then torso; x -> rotation x + translation.
struct Bones {
  Scalar quat[2][4];
  Scalar rotation[2][9];
  Scalar translation[2][3];  // meters
  Scalar sign;  // -1 when the torso's quaternion must be negated to lie in the same hemisphere as the skull's
};

namespace HEADSPLAT_LEVEL {

constexpr Scalar kNormMin = 1e-12f;

template <class Real>
HEADSPLAT_FN void conjugate(const Real q[4], Real out[4]) {
  out[0] = q[0];
  for (int k = 1; k < 4; ++k) out[k] = Real(0.0f) - q[k];
}

// out = v / max(|v|, kNormMin); returns the scale factor.
template <int size, class Real>
HEADSPLAT_FN Real normalize(const Real* v, Real* out) {
  Real norm2 = v[0] * v[0];
  for (int k = 1; k < size; ++k) norm2 = norm2 + v[k] * v[k];
  const Real factor = Real(1.0f) / larger(root(norm2), Real(kNormMin));
  for (int k = 0; k < size; ++k) out[k] = v[k] * factor;
  return factor;
}

// Gradient through normalize; zero where the length was below kNormMin.
template <int size, class Real>
HEADSPLAT_FN void normalize_backward(const Real* unit, Real factor, const Real* grad_unit, Real* grad) {
  Real along = grad_unit[0] * unit[0];
  for (int k = 1; k < size; ++k) along = along + grad_unit[k] * unit[k];
  const Real safe = select(Real(0.5f / kNormMin) > factor, factor, Real(0.0f));
  for (int k = 0; k < size; ++k) grad[k] = (grad_unit[k] - along * unit[k]) * safe;
}

// Unit quaternion of a rotation matrix given by its columns; numerically stable: starts from the largest component.
template <class Real>
HEADSPLAT_FN void columns_to_quat(const Real c0[3], const Real c1[3], const Real c2[3], Real out[4]) {
  const Real one(1.0f);
  const Real trace = c0[0] + c1[1] + c2[2];
  const Real size[4] = {one + trace, one + c0[0] - c1[1] - c2[2], one - c0[0] + c1[1] - c2[2],
                        one - c0[0] - c1[1] + c2[2]};
  const Real zy = c1[2] - c2[1], xz = c2[0] - c0[2], yx = c0[1] - c1[0];
  const Real xy = c0[1] + c1[0], zx = c0[2] + c2[0], yz = c1[2] + c2[1];
  const Real candidate[4][4] = {
      {size[0], zy, xz, yx}, {zy, size[1], xy, zx}, {xz, xy, size[2], yz}, {yx, zx, yz, size[3]}};
  Real best = size[0], chosen[4];
  for (int k = 0; k < 4; ++k) chosen[k] = candidate[0][k];
  for (int row = 1; row < 4; ++row) {
    auto more = size[row] > best;
    best = select(more, size[row], best);
    for (int k = 0; k < 4; ++k) chosen[k] = select(more, candidate[row][k], chosen[k]);
  }
  normalize<4>(chosen, out);
}

// Bones of one image from unit quaternions [2,4] and translations [2,3].
template <class Real>
HEADSPLAT_FN Bones bones_of(const Real* rotations, const Real* translations) {
  Bones bones;
  Real side(0.0f);
  for (int bone = 0; bone < 2; ++bone) {
    for (int k = 0; k < 4; ++k) bones.quat[bone][k] = rotations[4 * bone + k];
    for (int k = 0; k < 3; ++k) bones.translation[bone][k] = translations[3 * bone + k];
    quat_to_matrix(bones.quat[bone], bones.rotation[bone]);
  }
  for (int k = 0; k < 4; ++k) side += bones.quat[0][k] * bones.quat[1][k];
  bones.sign = side < Real(0.0f) ? -1.0f : 1.0f;
  return bones;
}

// Inputs of one Gaussian bound to a triangle.
template <class Real>
struct BoundGaussian {
  Real corner[3][3];                       // triangle vertices, meters
  Real bary[3], offset[3], quat[4], skin;  // offset in the triangle's frame, meters; skin: weight of the torso
  Real scale[3], tensor[kTensorSize];      // standard deviations, meters; mean stretch there: only where it stretches
};

// Intermediates of the forward pass that the backward pass uses.
template <class Real>
struct RigState {
  Real first[3], second[3];             // edges from corner 0 to corners 1 and 2
  Real edge[3], tangent[3], normal[3];  // orthonormal frame of the triangle
  Real edge_factor, normal_factor;
  Real offset[3];  // stretched with the triangle
  Real local[3];   // position before skinning
  Real frame_quat[4], unit[4], quat_factor;
  Real bone_quat[4], bone_factor;
  Real inner[4];  // frame_quat * unit
  // Of a Gaussian that stretches:
  Real stretch[3];       // in the triangle's plane: xx, xy, yy
  Real axes[9];          // matrix of `unit`; its columns are the Gaussian's axes in the triangle's frame
  Real stretched[2][3];  // the axes' components in the plane, stretched
  Real length[3];        // of the stretched axes
};

template <class Real>
HEADSPLAT_FN void triangle_frame(const BoundGaussian<Real>& in, RigState<Real>& r) {
  Real area[3];
  for (int k = 0; k < 3; ++k) {
    r.first[k] = in.corner[1][k] - in.corner[0][k];
    r.second[k] = in.corner[2][k] - in.corner[0][k];
  }
  cross3(r.first, r.second, area);
  r.normal_factor = normalize<3>(area, r.normal);
  r.edge_factor = normalize<3>(r.first, r.edge);
  cross3(r.normal, r.edge, r.tangent);
  for (int k = 0; k < 3; ++k) r.offset[k] = in.offset[k];
  r.quat_factor = normalize<4>(in.quat, r.unit);
}

// out = D v for a symmetric tensor.
template <class Real>
HEADSPLAT_FN void apply_tensor(const Real d[kTensorSize], const Real v[3], Real out[3]) {
  out[0] = d[0] * v[0] + d[1] * v[1] + d[2] * v[2];
  out[1] = d[1] * v[0] + d[3] * v[1] + d[4] * v[2];
  out[2] = d[2] * v[0] + d[4] * v[1] + d[5] * v[2];
}

// Stretches offset and scales with the mesh, after triangle_frame: the offset's part in the plane by S = 1 + tensor
// there, and each scale by the length of its axis so stretched. Directions and the normal component stay.
template <class Real>
HEADSPLAT_FN void stretch_gaussian(const BoundGaussian<Real>& in, RigState<Real>& r, Real scale[3]) {
  const Real one(1.0f);
  Real by_edge[3], by_tangent[3];
  apply_tensor(in.tensor, r.edge, by_edge);
  apply_tensor(in.tensor, r.tangent, by_tangent);
  r.stretch[0] = one + dot3(r.edge, by_edge);
  r.stretch[1] = dot3(r.edge, by_tangent);
  r.stretch[2] = one + dot3(r.tangent, by_tangent);
  r.offset[0] = r.stretch[0] * in.offset[0] + r.stretch[1] * in.offset[1];
  r.offset[1] = r.stretch[1] * in.offset[0] + r.stretch[2] * in.offset[1];
  quat_to_matrix(r.unit, r.axes);
  for (int k = 0; k < 3; ++k) {
    const Real x = r.axes[k], y = r.axes[3 + k], z = r.axes[6 + k];
    r.stretched[0][k] = r.stretch[0] * x + r.stretch[1] * y;
    r.stretched[1][k] = r.stretch[1] * x + r.stretch[2] * y;
    r.length[k] = root(r.stretched[0][k] * r.stretched[0][k] + r.stretched[1][k] * r.stretched[1][k] + z * z);
    scale[k] = in.scale[k] * r.length[k];
  }
}

// Poses a Gaussian, after triangle_frame and stretch_gaussian.
template <class Real>
HEADSPLAT_FN void rig(const Bones& bones, const BoundGaussian<Real>& in, RigState<Real>& r, Real mean[3],
                      Real quat[4]) {
  const Real skull_weight = Real(1.0f) - in.skin;
  for (int k = 0; k < 3; ++k)
    r.local[k] = in.bary[0] * in.corner[0][k] + in.bary[1] * in.corner[1][k] + in.bary[2] * in.corner[2][k] +
                 r.edge[k] * r.offset[0] + r.tangent[k] * r.offset[1] + r.normal[k] * r.offset[2];
  for (int k = 0; k < 3; ++k) {
    Real posed[2];
    for (int bone = 0; bone < 2; ++bone) {
      const Scalar* row = bones.rotation[bone] + 3 * k;
      posed[bone] = Real(row[0]) * r.local[0] + Real(row[1]) * r.local[1] + Real(row[2]) * r.local[2] +
                    Real(bones.translation[bone][k]);
    }
    mean[k] = skull_weight * posed[0] + in.skin * posed[1];
  }
  Real mixed[4];
  for (int k = 0; k < 4; ++k)
    mixed[k] = skull_weight * Real(bones.quat[0][k]) + in.skin * Real(bones.sign * bones.quat[1][k]);
  r.bone_factor = normalize<4>(mixed, r.bone_quat);
  columns_to_quat(r.edge, r.tangent, r.normal, r.frame_quat);
  quat_multiply(r.frame_quat, r.unit, r.inner);
  quat_multiply(r.bone_quat, r.inner, quat);
}

// Gradients of one Gaussian: its parameters, its triangle's corners, and its contribution to the bones.
template <class Real>
struct RigGrad {
  Real corner[3][3], offset[3], quat[4];
  Real scale[3], tensor[kTensorSize];  // only where it stretches
  Real rotation[2][9], translation[2][3], bone_quat[2][4];
};

// From the gradient of the triangle frame's quaternion to the gradients of the frame's edge and normal. An
// infinitesimal rotation w changes the edge by w x edge and the normal by w x normal; in the frame's axes w = (-dn.t,
// -de.n, de.t).
template <class Real>
HEADSPLAT_FN void frame_quat_backward(const RigState<Real>& r, const Real grad[4], Real edge[3], Real normal[3]) {
  Real inverse[4], angular[4];
  conjugate(r.frame_quat, inverse);
  quat_multiply(grad, inverse, angular);
  const Real half(0.5f);
  const Real about_edge = half * dot3(angular + 1, r.edge), about_tangent = half * dot3(angular + 1, r.tangent);
  const Real about_normal = half * dot3(angular + 1, r.normal);
  for (int k = 0; k < 3; ++k) {
    edge[k] = edge[k] + about_normal * r.tangent[k] - about_tangent * r.normal[k];
    normal[k] = normal[k] - about_edge * r.tangent[k];
  }
}

template <class Real>
HEADSPLAT_FN void quats_backward(const Bones& bones, const BoundGaussian<Real>& in, const RigState<Real>& r,
                                 const Real grad[4], RigGrad<Real>& out, Real frame[4]) {
  Real inverse[4], inner[4], unit[4], bone[4], mixed[4];
  conjugate(r.inner, inverse);
  quat_multiply(grad, inverse, bone);
  normalize_backward<4>(r.bone_quat, r.bone_factor, bone, mixed);
  for (int k = 0; k < 4; ++k) {
    out.bone_quat[0][k] = (Real(1.0f) - in.skin) * mixed[k];
    out.bone_quat[1][k] = in.skin * Real(bones.sign) * mixed[k];
  }
  conjugate(r.bone_quat, inverse);
  quat_multiply(inverse, grad, inner);
  conjugate(r.frame_quat, inverse);
  quat_multiply(inverse, inner, unit);
  normalize_backward<4>(r.unit, r.quat_factor, unit, out.quat);
  conjugate(r.unit, inverse);
  quat_multiply(inner, inverse, frame);
}

// Gradient through stretch_gaussian. `scale` is that of the stretched scales and out.offset that of the stretched
// offset, which it replaces; adds to those of the frame's edge and tangent and to out.quat.
template <class Real>
HEADSPLAT_FN void stretch_backward(const BoundGaussian<Real>& in, const RigState<Real>& r, const Real scale[3],
                                   Real edge[3], Real tangent[3], RigGrad<Real>& out) {
  const Real x = out.offset[0], y = out.offset[1], two(2.0f);
  Real xx = x * in.offset[0], xy = x * in.offset[1] + y * in.offset[0], yy = y * in.offset[1];
  out.offset[0] = r.stretch[0] * x + r.stretch[1] * y;
  out.offset[1] = r.stretch[1] * x + r.stretch[2] * y;
  Real axes[9], unit[4], quat[4], by_edge[3], by_tangent[3];
  for (int k = 0; k < 3; ++k) {
    out.scale[k] = scale[k] * r.length[k];
    const Real factor = scale[k] * in.scale[k] / r.length[k];
    const Real u = factor * r.stretched[0][k], v = factor * r.stretched[1][k];
    axes[k] = r.stretch[0] * u + r.stretch[1] * v;
    axes[3 + k] = r.stretch[1] * u + r.stretch[2] * v;
    axes[6 + k] = factor * r.axes[6 + k];
    xx = xx + u * r.axes[k];
    xy = xy + u * r.axes[3 + k] + v * r.axes[k];
    yy = yy + v * r.axes[3 + k];
  }
  quat_to_matrix_backward(r.unit, axes, unit);
  normalize_backward<4>(r.unit, r.quat_factor, unit, quat);
  for (int k = 0; k < 4; ++k) out.quat[k] = out.quat[k] + quat[k];
  apply_tensor(in.tensor, r.edge, by_edge);
  apply_tensor(in.tensor, r.tangent, by_tangent);
  for (int k = 0; k < 3; ++k) {
    edge[k] = edge[k] + two * xx * by_edge[k] + xy * by_tangent[k];
    tangent[k] = tangent[k] + xy * by_edge[k] + two * yy * by_tangent[k];
  }
  int at = 0;
  for (int i = 0; i < 3; ++i)
    for (int j = i; j < 3; ++j, ++at) {
      const Real value = xx * r.edge[i] * r.edge[j] + yy * r.tangent[i] * r.tangent[j];
      const Real mixed = xy * r.edge[i] * r.tangent[j];
      const Real swapped = xy * r.edge[j] * r.tangent[i];
      out.tensor[at] = i == j ? value + mixed : two * value + mixed + swapped;
    }
}

// `scale` is the gradient of the stretched scales of a Gaussian that stretches, else null.
template <class Real>
HEADSPLAT_FN void rig_backward(const Bones& bones, const BoundGaussian<Real>& in, const RigState<Real>& r,
                               const Real mean[3], const Real quat[4], const Real* scale, RigGrad<Real>& out) {
  const Real bone_weight[2] = {Real(1.0f) - in.skin, in.skin};
  Real local[3] = {Real(0.0f), Real(0.0f), Real(0.0f)};
  for (int bone = 0; bone < 2; ++bone)
    for (int row = 0; row < 3; ++row) {
      const Real grad_posed = bone_weight[bone] * mean[row];
      out.translation[bone][row] = grad_posed;
      for (int k = 0; k < 3; ++k) {
        out.rotation[bone][3 * row + k] = grad_posed * r.local[k];
        local[k] = local[k] + grad_posed * Real(bones.rotation[bone][3 * row + k]);
      }
    }
  Real edge[3], tangent[3], normal[3], frame[4], one[3], two[3];
  for (int k = 0; k < 3; ++k) {
    edge[k] = local[k] * r.offset[0];
    tangent[k] = local[k] * r.offset[1];
    normal[k] = local[k] * r.offset[2];
  }
  out.offset[0] = dot3(local, r.edge);
  out.offset[1] = dot3(local, r.tangent);
  out.offset[2] = dot3(local, r.normal);
  quats_backward(bones, in, r, quat, out, frame);
  if (scale) stretch_backward(in, r, scale, edge, tangent, out);
  cross3(r.edge, tangent, one);
  cross3(tangent, r.normal, two);
  for (int k = 0; k < 3; ++k) {
    normal[k] = normal[k] + one[k];
    edge[k] = edge[k] + two[k];
  }
  frame_quat_backward(r, frame, edge, normal);
  Real first[3], second[3], area[3];
  normalize_backward<3>(r.edge, r.edge_factor, edge, first);
  normalize_backward<3>(r.normal, r.normal_factor, normal, area);
  cross3(r.second, area, one);
  cross3(area, r.first, second);
  for (int k = 0; k < 3; ++k) {
    first[k] = first[k] + one[k];
    out.corner[0][k] = in.bary[0] * local[k] - first[k] - second[k];
    out.corner[1][k] = in.bary[1] * local[k] + first[k];
    out.corner[2][k] = in.bary[2] * local[k] + second[k];
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
