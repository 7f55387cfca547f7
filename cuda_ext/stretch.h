// How much the triangles of a mesh stretch, shared by host and device kernels. Same conventions as math.h.
//
// F maps a neutral triangle to the posed one; B = F F^T has the squared stretches mu along its principal directions, in
// the posed plane. A triangle's tensor is D = f(B) - 1 with f(mu) = 1 + 4 (mu - 1) / (mu + 7): the square root to first
// order at mu = 1 and exact at mu = 9, but within 3/7..5 for any mu. A rational function of a matrix needs neither its
// eigenvalues nor a clamp: it is smooth everywhere, also where a triangle has no area.
#pragma once

#include "indices.h"

namespace headsplat {

constexpr int kTensorSize = 6;  // symmetric 3x3: xx, xy, xz, yy, yz, zz

namespace HEADSPLAT_LEVEL {

constexpr Scalar kStretchHalf = 7.0f;  // the 7 in f
constexpr Scalar kFlatArea2 =
    Scalar(1e-8);  // squared area, in units of the neutral area, below which no plane is known
constexpr Scalar kStretchLow = Scalar(4) / 7;  // 1 - f(0)
constexpr Scalar kStretchGain = Scalar(32) / 7;

// Images of the neutral triangle's two axes, and what the backward pass uses again.
template <class Real>
struct FaceStretch {
  Real axis[2][3];
  Real inverse[3];  // (B + 7)^-1 in the plane: 00, 01, 11
  Real normal[3], area_factor;
};

template <class Real>
HEADSPLAT_FN Real dot3(const Real a[3], const Real b[3]) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

template <class Real>
HEADSPLAT_FN void cross3(const Real a[3], const Real b[3], Real out[3]) {
  out[0] = a[1] * b[2] - a[2] * b[1];
  out[1] = a[2] * b[0] - a[0] * b[2];
  out[2] = a[0] * b[1] - a[1] * b[0];
}

// Tensor D of a triangle with corners `corner`; `rest` is the inverse of the neutral edges in the neutral triangle's
// frame (upper triangular: 00, 01, 11). f(B) = 1 - 4/7 + 32/7 F (7 + F^T F)^-1 F^T within the plane (Woodbury).
template <class Real>
HEADSPLAT_FN void face_stretch(const Real corner[3][3], const Real rest[3], FaceStretch<Real>& s,
                               Real tensor[kTensorSize]) {
  for (int k = 0; k < 3; ++k) {
    const Real first = corner[1][k] - corner[0][k], second = corner[2][k] - corner[0][k];
    s.axis[0][k] = first * rest[0];
    s.axis[1][k] = first * rest[1] + second * rest[2];
  }
  const Real a = dot3(s.axis[0], s.axis[0]) + Real(kStretchHalf), b = dot3(s.axis[0], s.axis[1]);
  const Real c = dot3(s.axis[1], s.axis[1]) + Real(kStretchHalf);
  const Real inverse_det = Real(1.0f) / (a * c - b * b);
  s.inverse[0] = c * inverse_det;
  s.inverse[1] = Real(0.0f) - b * inverse_det;
  s.inverse[2] = a * inverse_det;
  cross3(s.axis[0], s.axis[1], s.normal);
  s.area_factor = Real(1.0f) / (dot3(s.normal, s.normal) + Real(kFlatArea2));
  int at = 0;
  for (int i = 0; i < 3; ++i)
    for (int j = i; j < 3; ++j, ++at) {
      const Real mixed = s.axis[0][i] * s.axis[1][j] + s.axis[1][i] * s.axis[0][j];
      const Real along = s.inverse[0] * s.axis[0][i] * s.axis[0][j] + s.inverse[1] * mixed +
                         s.inverse[2] * s.axis[1][i] * s.axis[1][j];
      const Real plane = Real(i == j ? 1.0f : 0.0f) - s.area_factor * s.normal[i] * s.normal[j];
      tensor[at] = Real(kStretchGain) * along - Real(kStretchLow) * plane;
    }
}

// out = G v for the symmetric matrix G whose off-diagonal elements `grad` counts twice.
template <class Real>
HEADSPLAT_FN void apply_tensor_grad(const Real grad[kTensorSize], const Real v[3], Real out[3]) {
  const Real half(0.5f);
  out[0] = grad[0] * v[0] + half * (grad[1] * v[1] + grad[2] * v[2]);
  out[1] = grad[3] * v[1] + half * (grad[1] * v[0] + grad[4] * v[2]);
  out[2] = grad[5] * v[2] + half * (grad[2] * v[0] + grad[4] * v[1]);
}

// Gradient with respect to the corners, given that with respect to the tensor.
template <class Real>
HEADSPLAT_FN void face_stretch_backward(const FaceStretch<Real>& s, const Real rest[3], const Real grad[kTensorSize],
                                        Real corner[3][3]) {
  const Real two(2.0f), gain(kStretchGain);
  Real by_axis[2][3], by_normal[3], axis[2][3], one[3], other[3];
  for (int k = 0; k < 2; ++k) apply_tensor_grad(grad, s.axis[k], by_axis[k]);
  apply_tensor_grad(grad, s.normal, by_normal);
  const Real m00 = dot3(s.axis[0], by_axis[0]), m01 = dot3(s.axis[0], by_axis[1]);
  const Real m11 = dot3(s.axis[1], by_axis[1]);
  const Real k00 = s.inverse[0], k01 = s.inverse[1], k11 = s.inverse[2];
  const Real t00 = k00 * m00 + k01 * m01, t01 = k00 * m01 + k01 * m11;
  const Real t10 = k01 * m00 + k11 * m01, t11 = k01 * m01 + k11 * m11;
  const Real c00 = t00 * k00 + t01 * k01, c01 = t00 * k01 + t01 * k11, c11 = t10 * k01 + t11 * k11;
  for (int k = 0; k < 3; ++k) {
    axis[0][k] = two * gain * (k00 * by_axis[0][k] + k01 * by_axis[1][k] - c00 * s.axis[0][k] - c01 * s.axis[1][k]);
    axis[1][k] = two * gain * (k01 * by_axis[0][k] + k11 * by_axis[1][k] - c01 * s.axis[0][k] - c11 * s.axis[1][k]);
  }
  const Real along = s.area_factor * dot3(s.normal, by_normal);
  for (int k = 0; k < 3; ++k)
    by_normal[k] = two * Real(kStretchLow) * s.area_factor * (by_normal[k] - along * s.normal[k]);
  cross3(s.axis[1], by_normal, one);
  cross3(by_normal, s.axis[0], other);
  for (int k = 0; k < 3; ++k) {
    const Real by_first = axis[0][k] + one[k], by_second = axis[1][k] + other[k];
    corner[1][k] = rest[0] * by_first + rest[1] * by_second;
    corner[2][k] = rest[2] * by_second;
    corner[0][k] = Real(0.0f) - corner[1][k] - corner[2][k];
  }
}

// Calls visit(3 face + corner) for each corner of the mesh at `vertex`, in the order of `corners` [3 faces], of which
// those of a vertex begin at `starts`; what is out of range is left out.
template <class Visit>
HEADSPLAT_FN void visit_corners(const int64_t* starts, const int64_t* corners, int64_t vertex, int vertices, int faces,
                                const Visit& visit) {
  const int64_t size = 3 * static_cast<int64_t>(faces);
  if (vertex < 0 || vertex >= vertices) return;
  const int64_t begin = starts[vertex], end = starts[vertex + 1];
  if (begin < 0 || end > size) return;
  for (int64_t at = begin; at < end; ++at) {
    const int64_t corner = corners[at];
    if (corner >= 0 && corner < size) visit(static_cast<size_t>(corner));
  }
}

// Row of a vertex among `count` rows of tensors; -1 if it has none.
HEADSPLAT_FN int64_t row_of(const int64_t* rows, int64_t vertex, int count) {
  const int64_t row = rows[vertex];
  return row < count ? row : -1;
}

// Gradient of a face's tensor, from those of the mean tensors at its corners.
template <class Real>
HEADSPLAT_FN void face_grad(const int64_t* faces, const Real* weights, const int64_t* rows, const Real* grad_means,
                            int vertices, int row_count, int face, Real sum[kTensorSize]) {
  int64_t triangle[3];
  for (int k = 0; k < kTensorSize; ++k) sum[k] = Real(0.0f);
  if (!read_triangle(faces + 3 * static_cast<size_t>(face), vertices, triangle)) return;
  for (int corner = 0; corner < 3; ++corner) {
    const int64_t row = row_of(rows, triangle[corner], row_count);
    const Real weight = weights[3 * static_cast<size_t>(face) + corner];
    if (row < 0) continue;
    for (int k = 0; k < kTensorSize; ++k) sum[k] += weight * grad_means[kTensorSize * row + k];
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
