// The exact test of a grid of rectangles against a splat's ellipse, shared by the tiling and the rasterizer.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {

// Column and row of rectangle k in a grid four wide; also of pixel k in a strip.
constexpr float kColumn[32] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,
                               0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
constexpr float kRow[32] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3,
                            4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7};

// Bit k is set when rectangle k of a grid four wide, each width x height pixels, with the grid's corner at (left, top),
// may hold a pixel centre inside the ellipse. The least exponent over a rectangle lies on the edges nearest the centre.
template <int count, int width, int height>
inline uint32_t touched_rectangles(const Splat& s, float left, float top) {
  const Vec zero(0.0f), step_x(static_cast<float>(width)), step_y(static_cast<float>(height));
  const Vec span_x(static_cast<float>(width - 1)), span_y(static_cast<float>(height - 1));
  const Vec first_x(left + 0.5f - s.x), first_y(top + 0.5f - s.y);
  const Vec a(s.a), b(s.b), c(s.c);
  uint32_t mask = 0;
  for (int part = 0; part < count; part += kWidth) {
    const Vec x0 = fma(load(kColumn + part), step_x, first_x), y0 = fma(load(kRow + part), step_y, first_y);
    const Vec x1 = x0 + span_x, y1 = y0 + span_y;
    const Vec near_x = smaller(larger(zero, x0), x1), near_y = smaller(larger(zero, y0), y1);
    const Vec y = smaller(larger(Vec(s.edge_y) * near_x, y0), y1);
    const Vec on_column = fma(fma(a, near_x, b * y), near_x, c * y * y);
    const Vec x = smaller(larger(Vec(s.edge_x) * near_y, x0), x1);
    const Vec on_row = fma(fma(a, x, b * near_y), x, c * near_y * near_y);
    mask |= bits(smaller(on_column, on_row) <= Vec(s.reach)) << part;
  }
  return mask;
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
