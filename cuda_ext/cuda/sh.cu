// Rotation of spherical-harmonic coefficients, one thread per Gaussian; forward and backward.
#include "../rig.h"
#include "../sh.h"
#include "launch.h"
#include "ops.h"

namespace headsplat {
namespace cuda {
namespace {

using namespace headsplat::shared;

constexpr int kThreads = 128;

struct Rotation {
  float unit[4], factor, matrix[9];
};

__device__ Rotation load_rotation(const float* quats, size_t n) {
  Rotation rotation;
  float raw[4];
  for (int k = 0; k < 4; ++k) raw[k] = quats[4 * n + k];
  rotation.factor = normalize<4>(raw, rotation.unit);
  quat_to_matrix(rotation.unit, rotation.matrix);
  return rotation;
}

// Offset of a band's first coefficient in the floats of one Gaussian.
constexpr int band_start(int band) { return 3 * band * band; }

// One band at a time, so that only its coefficients occupy registers.
template <int band>
__device__ void rotate_band(const Rotation& rotation, const float* sh, float* out) {
  constexpr int start = band_start(band), size = band_start(band + 1) - start;
  float coefficients[size], rotated[size];
  for (int k = 0; k < size; ++k) coefficients[k] = sh[start + k];
  rotate_sh_band<band>(rotation.matrix, coefficients, rotated);
  for (int k = 0; k < size; ++k) out[start + k] = rotated[k];
}

template <int terms>
__global__ void __launch_bounds__(kThreads) rotate_sh_kernel(ShRotation in, float* all_out) {
  const size_t n = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (n >= in.count) return;
  const Rotation rotation = load_rotation(in.quats, n);
  const float* sh = in.sh + 3 * terms * n;
  float* out = all_out + 3 * terms * n;
  for (int k = 0; k < 3; ++k) out[k] = sh[k];
  if constexpr (terms > 1) rotate_band<1>(rotation, sh, out);
  if constexpr (terms > 4) rotate_band<2>(rotation, sh, out);
  if constexpr (terms > 9) rotate_band<3>(rotation, sh, out);
}

template <int band>
__device__ void rotate_band_backward(const Rotation& rotation, const float* sh, const float* grad, float* grad_sh,
                                     float grad_rotation[9]) {
  constexpr int start = band_start(band), size = band_start(band + 1) - start;
  float coefficients[size], grad_out[size], grad_coefficients[size];
  for (int k = 0; k < size; ++k) coefficients[k] = sh[start + k];
  for (int k = 0; k < size; ++k) grad_out[k] = grad[start + k];
  rotate_sh_band_backward<band>(rotation.matrix, coefficients, grad_out, grad_coefficients, grad_rotation);
  for (int k = 0; k < size; ++k) grad_sh[start + k] = grad_coefficients[k];
}

template <int terms>
__global__ void __launch_bounds__(kThreads)
    rotate_sh_backward_kernel(ShRotation in, const float* all_grad, float* all_grad_sh, float* grad_quats) {
  const size_t n = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (n >= in.count) return;
  const Rotation rotation = load_rotation(in.quats, n);
  const float *sh = in.sh + 3 * terms * n, *grad = all_grad + 3 * terms * n;
  float* grad_sh = all_grad_sh + 3 * terms * n;
  float grad_rotation[9] = {}, unit[4], quat[4];
  for (int k = 0; k < 3; ++k) grad_sh[k] = grad[k];
  if constexpr (terms > 1) rotate_band_backward<1>(rotation, sh, grad, grad_sh, grad_rotation);
  if constexpr (terms > 4) rotate_band_backward<2>(rotation, sh, grad, grad_sh, grad_rotation);
  if constexpr (terms > 9) rotate_band_backward<3>(rotation, sh, grad, grad_sh, grad_rotation);
  quat_to_matrix_backward(rotation.unit, grad_rotation, unit);
  normalize_backward<4>(rotation.unit, rotation.factor, unit, quat);
  for (int k = 0; k < 4; ++k) grad_quats[4 * n + k] = quat[k];
}

// Selects the kernel for a number of terms.
template <class Kernel>
Kernel for_terms(int terms, Kernel one, Kernel four, Kernel nine, Kernel sixteen) {
  return terms == 1 ? one : terms == 4 ? four : terms == 9 ? nine : sixteen;
}

}  // namespace

void rotate_sh(const ShRotation& in, float* out, Stream stream) {
  launch(for_terms(in.terms, rotate_sh_kernel<1>, rotate_sh_kernel<4>, rotate_sh_kernel<9>, rotate_sh_kernel<16>),
         dim3(blocks_for(in.count, kThreads)), dim3(kThreads), 0, stream, in, out);
}

void rotate_sh_backward(const ShRotation& in, const float* grad, float* grad_sh, float* grad_quats, Stream stream) {
  launch(for_terms(in.terms, rotate_sh_backward_kernel<1>, rotate_sh_backward_kernel<4>, rotate_sh_backward_kernel<9>,
                   rotate_sh_backward_kernel<16>),
         dim3(blocks_for(in.count, kThreads)), dim3(kThreads), 0, stream, in, grad, grad_sh, grad_quats);
}

}  // namespace cuda
}  // namespace headsplat
