// Colors of texels: those of the head model times the factor of the part that a texel belongs to, plus its own.
#pragma once

#include <cstdint>

#include "../math.h"

namespace headsplat {

struct TexelArrays {
  int texels, parts;
  const Scalar *start, *factors;  // [T,3] [P,3]
  const int64_t* part;            // [T]
};

// start * factors[part] + own, into `out` [T,3]. Returns whether all parts are in range.
bool texel_colors(const TexelArrays& arrays, const Scalar* own, Scalar* out);

// Changes `own` so that the colors are in 0..1. Returns whether all parts are in range.
bool limit_texels(const TexelArrays& arrays, Scalar* own);

// Gradient of `factors` into `out` [P,3], given that of the colors [T,3].
bool texel_colors_backward(const TexelArrays& arrays, const Scalar* grad, Scalar* out);

}  // namespace headsplat
