// Rotation of spherical-harmonic coefficients, kWidth Gaussians at a time; forward and backward.
#include "../sh.h"

#include "kernels.h"
#include "rows.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

struct Rotation {
  Vec unit[4], factor, matrix[9];
};

Rotation load_rotation(const ShRotation& in, int first, int end) {
  Rotation rotation;
  Vec raw[4];
  load_rows<4>(in.quats, first, end, raw);
  rotation.factor = normalize<4>(raw, rotation.unit);
  quat_to_matrix(rotation.unit, rotation.matrix);
  return rotation;
}

// Offset of a band's first coefficient in the floats of one Gaussian.
constexpr int band_start(int band) { return 3 * band * band; }

template <int terms>
void rotate_range(const ShRotation& in, int begin, int end) {
  for (int first = begin; first < end; first += kWidth) {
    const Rotation rotation = load_rotation(in, first, end);
    Vec sh[3 * terms], out[3 * terms];
    load_rows<3 * terms>(in.sh, first, end, sh);
    for (int k = 0; k < 3; ++k) out[k] = sh[k];
    if constexpr (terms > 1) rotate_sh_band<1>(rotation.matrix, sh + band_start(1), out + band_start(1));
    if constexpr (terms > 4) rotate_sh_band<2>(rotation.matrix, sh + band_start(2), out + band_start(2));
    if constexpr (terms > 9) rotate_sh_band<3>(rotation.matrix, sh + band_start(3), out + band_start(3));
    store_rows<3 * terms>(in.out, first, end, out);
  }
}

template <int band>
void band_backward(const Rotation& rotation, const Vec* sh, const Vec* grad, Vec* grad_sh, Vec grad_rotation[9]) {
  constexpr int at = band_start(band);
  rotate_sh_band_backward<band>(rotation.matrix, sh + at, grad + at, grad_sh + at, grad_rotation);
}

template <int terms>
void rotate_range_backward(const ShRotation& in, int begin, int end) {
  for (int first = begin; first < end; first += kWidth) {
    const Rotation rotation = load_rotation(in, first, end);
    Vec sh[3 * terms], grad[3 * terms], grad_sh[3 * terms], grad_rotation[9], unit[4], quat[4];
    load_rows<3 * terms>(in.sh, first, end, sh);
    load_rows<3 * terms>(in.grad, first, end, grad);
    for (int k = 0; k < 9; ++k) grad_rotation[k] = Vec(0.0f);
    for (int k = 0; k < 3; ++k) grad_sh[k] = grad[k];
    if constexpr (terms > 1) band_backward<1>(rotation, sh, grad, grad_sh, grad_rotation);
    if constexpr (terms > 4) band_backward<2>(rotation, sh, grad, grad_sh, grad_rotation);
    if constexpr (terms > 9) band_backward<3>(rotation, sh, grad, grad_sh, grad_rotation);
    quat_to_matrix_backward(rotation.unit, grad_rotation, unit);
    normalize_backward<4>(rotation.unit, rotation.factor, unit, quat);
    store_rows<3 * terms>(in.grad_sh, first, end, grad_sh);
    store_rows<4>(in.grad_quats, first, end, quat);
  }
}

}  // namespace

void rotate_sh(const ShRotation& in, int begin, int end) {
  with_sh_terms(in.terms, [&](auto static_terms) { rotate_range<static_terms.value>(in, begin, end); });
}

void rotate_sh_backward(const ShRotation& in, int begin, int end) {
  with_sh_terms(in.terms, [&](auto static_terms) { rotate_range_backward<static_terms.value>(in, begin, end); });
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
