// Colours of Gaussians, plain (terms = 0) or from spherical harmonics (terms = 1, 4, 9, 16), and the way back.
#pragma once

#include "../sh.h"
#include "warps.h"

namespace headsplat {
namespace cuda {

// Colour of one Gaussian seen from the camera; false when it is not finite.
template <int terms>
__device__ bool seen_color(const View& view, const GaussianInputs& in, size_t at, const float mean[3], float color[3]) {
  if constexpr (terms == 0) {
    for (int k = 0; k < 3; ++k) color[k] = in.colors[3 * at + k];
    return (color[0] + color[1] + color[2]) * 0.0f == 0.0f;
  } else {
    const float* sh = in.colors + 3 * terms * at;
    float centre[3], direction[3], basis[terms];
    camera_centre(view, centre);
    sight_line(centre, mean, direction);
    sh_basis<terms>(direction, basis);
    for (int k = 0; k < 3; ++k) color[k] = 0.5f;
    for (int d = 0; d < terms; ++d)
      for (int k = 0; k < 3; ++k) color[k] += basis[d] * sh[3 * d + k];
    const bool finite = (color[0] + color[1] + color[2]) * 0.0f == 0.0f;
    for (int k = 0; k < 3; ++k) color[k] = larger(color[k], 0.0f);
    return finite;
  }
}

// Gradient of the colours' numbers, and along the line of sight of the mean.
template <int terms>
__device__ void color_backward(const View& view, const GaussianInputs& in, const Record& record, size_t at,
                               const float mean[3], const float* color, float grad_mean[3], float* out) {
  if constexpr (terms == 0) {
    for (int k = 0; k < 3; ++k) out[3 * at + k] = color[k];
  } else {
    const float given[3] = {record.red > 0.0f ? color[0] : 0.0f, record.green > 0.0f ? color[1] : 0.0f,
                            record.blue > 0.0f ? color[2] : 0.0f};
    const float* sh = in.colors + 3 * terms * at;
    float centre[3], direction[3], basis[terms], pull[terms], along[3], away[3];
    camera_centre(view, centre);
    const float factor = sight_line(centre, mean, direction);
    sh_basis<terms>(direction, basis);
    for (int d = 0; d < terms; ++d) {
      pull[d] = given[0] * sh[3 * d] + given[1] * sh[3 * d + 1] + given[2] * sh[3 * d + 2];
      for (int k = 0; k < 3; ++k) out[3 * (terms * at + d) + k] = basis[d] * given[k];
    }
    if constexpr (terms > 1) {
      sh_basis_backward<terms>(direction, pull, along);
      normalize_backward<3>(direction, factor, along, away);
      for (int k = 0; k < 3; ++k) grad_mean[k] += away[k];
    }
  }
}

// One launch for each kind of colour.
template <class Body>
void with_colors(int sh_terms, Body body) {
  if (sh_terms == 0) return body(ShTerms<0>());
  with_sh_terms(sh_terms, body);
}

}  // namespace cuda
}  // namespace headsplat
