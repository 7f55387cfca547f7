// Principal strains of the skin at a point of a triangle, shared by host and device kernels: the stretch tensors of the
// corners (stretch.h), weighted by the barycentrics, then the two values in the surface from the invariants of the
// mean. With half the trace t and half the squared norm q they are t -+ s, s = sqrt(q - t^2) made safe at zero.
#pragma once

#include "stretch.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {

constexpr Scalar kEqualStrain = 1e-3f;  // strains that differ by less count as nearly equal
constexpr Scalar kEqualStrain2 = 1e-6f;

// Factors of xx, xy, xz, yy, yz, zz in half the trace, and in half the squared norm.
HEADSPLAT_FN Scalar half_trace_factor(int k) { return k == 0 || k == 3 || k == 5 ? Scalar(0.5f) : Scalar(0.0f); }
HEADSPLAT_FN Scalar half_norm_factor(int k) { return k == 0 || k == 3 || k == 5 ? Scalar(0.5f) : Scalar(1.0f); }

// Weighted mean of the tensors at the corners of point `n`, zero where none stretches; whether its triangle is in
// range.
HEADSPLAT_FN bool mean_tensor(const int64_t* triangles, const Scalar* bary, const int64_t* rows, const Scalar* tensors,
                              int vertices, int row_count, size_t n, Scalar mean[kTensorSize]) {
  for (int k = 0; k < kTensorSize; ++k) mean[k] = Scalar(0.0f);
  int64_t triangle[3];
  if (!read_triangle(triangles + 3 * n, vertices, triangle)) return false;
  for (int corner = 0; corner < 3; ++corner) {
    const int64_t row = row_of(rows, triangle[corner], row_count);
    if (row < 0) continue;
    for (int k = 0; k < kTensorSize; ++k) mean[k] += bary[3 * n + corner] * tensors[kTensorSize * row + k];
  }
  return true;
}

// What both passes need of a mean tensor: t, q - t^2 from zero on, its safe root, and whether it was below zero.
struct StrainState {
  Scalar half_trace, spread2, safe;
  bool below;
};

HEADSPLAT_FN StrainState strain_state(const Scalar mean[kTensorSize]) {
  Scalar half_trace = 0.0f, half_norm = 0.0f;
  for (int k = 0; k < kTensorSize; ++k) {
    half_trace += half_trace_factor(k) * mean[k];
    half_norm += half_norm_factor(k) * mean[k] * mean[k];
  }
  Scalar spread2 = half_norm - half_trace * half_trace;
  const bool below = spread2 < Scalar(0.0f);  // NaN is not
  if (below) spread2 = 0.0f;
  return {half_trace, spread2, root(spread2 + kEqualStrain2), below};
}

// The smaller strain, then the larger one; both are exactly zero where the tensor is.
HEADSPLAT_FN void principal_pair(const Scalar mean[kTensorSize], Scalar strains[2]) {
  const StrainState s = strain_state(mean);
  const Scalar spread = s.spread2 / (s.safe + kEqualStrain);  // root - kEqualStrain without cancellation
  strains[0] = s.half_trace - spread;
  strains[1] = s.half_trace + spread;
}

HEADSPLAT_FN void principal_pair_backward(const Scalar mean[kTensorSize], const Scalar grad[2],
                                          Scalar grad_mean[kTensorSize]) {
  const StrainState s = strain_state(mean);
  const Scalar by_square = s.below ? Scalar(0.0f) : (grad[1] - grad[0]) / (s.safe + s.safe);  // of q - t^2
  const Scalar by_trace = grad[0] + grad[1] - Scalar(2.0f) * s.half_trace * by_square;
  for (int k = 0; k < kTensorSize; ++k)
    grad_mean[k] = half_trace_factor(k) * by_trace + Scalar(2.0f) * half_norm_factor(k) * mean[k] * by_square;
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
