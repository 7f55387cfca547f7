// Exact overlap test of a rectangle of pixel centers and a projected Gaussian's ellipse. The sums are written as
// explicit fused multiply-adds, so that two kernels that make the same test get the same result.
#pragma once

#include "math.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {

HEADSPLAT_FN float fma(float a, float b, float c) { return fmaf(a, b, c); }

// Minimum of a dx^2 + b dx dy + c dy^2 (log2 of alpha) over the pixel centers with x0 <= dx <= x1 and y0 <= dy <= y1,
// relative to the mean. It lies on one of the two edges nearest to the mean. edge_x is d(dx)/d(dy) of the minimum along
// a row, edge_y is d(dy)/d(dx) of the minimum along a column.
template <class Real>
HEADSPLAT_FN Real min_exponent(Real a, Real b, Real c, Real edge_x, Real edge_y, Real x0, Real x1, Real y0, Real y1) {
  const Real zero(0.0f);
  const Real near_x = smaller(larger(zero, x0), x1), near_y = smaller(larger(zero, y0), y1);
  const Real y = smaller(larger(edge_y * near_x, y0), y1);
  const Real on_column = fma(fma(a, near_x, b * y), near_x, c * y * y);
  const Real x = smaller(larger(edge_x * near_y, x0), x1);
  const Real on_row = fma(fma(a, x, b * near_y), x, c * near_y * near_y);
  return smaller(on_column, on_row);
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
