// Colors of Gaussians, plain (terms = 0) or from spherical harmonics (terms = 1, 4, 9, 16); forward and backward.
#pragma once

#include "../sh.h"
#include "warps.h"

namespace headsplat {
namespace cuda {

// Color of one Gaussian for the camera's view direction; false when it is not finite.
template <int terms>
__device__ bool view_color(const Camera& camera, const GaussianInputs& in, size_t at, const float mean[3],
                           float color[3]) {
  if constexpr (terms == 0) {
    for (int k = 0; k < 3; ++k) color[k] = in.colors[3 * at + k];
    return (color[0] + color[1] + color[2]) * 0.0f == 0.0f;
  } else {
    const float* sh = in.colors + 3 * terms * at;
    float center[3], direction[3], basis[terms];
    camera_center(camera, center);
    view_direction(center, mean, direction);
    sh_basis<terms>(direction, basis);
    for (int k = 0; k < 3; ++k) color[k] = 0.5f;
    for (int d = 0; d < terms; ++d)
      for (int k = 0; k < 3; ++k) color[k] += basis[d] * sh[3 * d + k];
    const bool finite = (color[0] + color[1] + color[2]) * 0.0f == 0.0f;
    for (int k = 0; k < 3; ++k) color[k] = larger(color[k], 0.0f);
    return finite;
  }
}

// Gradient of the color inputs and, through the view direction, of the mean.
template <int terms>
__device__ void view_color_backward(const Camera& camera, const GaussianInputs& in, const ProjectedGaussian& projected,
                                    size_t at, const float mean[3], const float* color, float grad_mean[3],
                                    float* out) {
  if constexpr (terms == 0) {
    for (int k = 0; k < 3; ++k) out[3 * at + k] = color[k];
  } else {
    const float grad_color[3] = {projected.red > 0.0f ? color[0] : 0.0f, projected.green > 0.0f ? color[1] : 0.0f,
                                 projected.blue > 0.0f ? color[2] : 0.0f};
    const float* sh = in.colors + 3 * terms * at;
    float center[3], direction[3], basis[terms], grad_basis[terms], grad_direction[3], grad_offset[3];
    camera_center(camera, center);
    const float factor = view_direction(center, mean, direction);
    sh_basis<terms>(direction, basis);
    for (int d = 0; d < terms; ++d) {
      grad_basis[d] = grad_color[0] * sh[3 * d] + grad_color[1] * sh[3 * d + 1] + grad_color[2] * sh[3 * d + 2];
      for (int k = 0; k < 3; ++k) out[3 * (terms * at + d) + k] = basis[d] * grad_color[k];
    }
    if constexpr (terms > 1) {
      sh_basis_backward<terms>(direction, grad_basis, grad_direction);
      normalize_backward<3>(direction, factor, grad_direction, grad_offset);
      for (int k = 0; k < 3; ++k) grad_mean[k] += grad_offset[k];
    }
  }
}

// Calls body with the number of terms as a compile-time constant, 0 for plain colors.
template <class Body>
void with_colors(int sh_terms, Body body) {
  if (sh_terms == 0) return body(ShTerms<0>());
  with_sh_terms(sh_terms, body);
}

}  // namespace cuda
}  // namespace headsplat
