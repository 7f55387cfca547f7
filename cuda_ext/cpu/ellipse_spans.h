// Exact overlap test of a grid of rectangles and a projected Gaussian's ellipse, shared by tiling and rasterizer.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {

// The ellipse of a projected Gaussian, broadcast to vectors with one band of rows per lane.
struct Ellipse {
  Vec row_center_slope, row_half_width, rightmost_y, inverse_extent_y, extent_y;

  explicit Ellipse(const ProjectedGaussian& s)
      : row_center_slope(s.row_center_slope),
        row_half_width(s.row_half_width),
        rightmost_y(s.rightmost_y),
        inverse_extent_y(s.inverse_extent_y),
        extent_y(s.extent_y) {}

  // Columns that the ellipse covers in the bands y0..y1 (relative to its center); the mask says which bands it
  // overlaps. The rightmost point in a band is the ellipse's rightmost point or lies on the band's edge nearest to it;
  // the same on the left.
  Mask span(Vec y0, Vec y1, Vec& left, Vec& right) const {
    const Vec zero(0.0f), one(1.0f);
    const Vec right_y = smaller(larger(rightmost_y, y0), y1), left_y = smaller(larger(zero - rightmost_y, y0), y1);
    const Vec right_part = right_y * inverse_extent_y, left_part = left_y * inverse_extent_y;
    right = fma(row_half_width, root(larger(fnma(right_part, right_part, one), zero)), row_center_slope * right_y);
    left = fnma(row_half_width, root(larger(fnma(left_part, left_part, one), zero)), row_center_slope * left_y);
    return (extent_y >= y0) & (y1 >= zero - extent_y);
  }
};

// Bit column * rows + row is set when that rectangle of a grid may contain a pixel center inside the ellipse. The grid
// is four rectangles wide, each 4 x height pixels, with its corner at (left, top).
template <int rows, int height>
inline uint32_t overlapped_strips(const ProjectedGaussian& s, Scalar left, Scalar top) {
  const Ellipse ellipse(s);
  const Scalar first_x = left + 0.5f - s.x, first_y = top + 0.5f - s.y;
  constexpr uint32_t lanes = rows < kWidth ? (1u << rows) - 1u : ~0u;
  uint32_t mask = 0;
  for (int part = 0; part < rows; part += kWidth) {
    const Vec y0 = fma(load(kLane + part), Vec(static_cast<Scalar>(height)), Vec(first_y));
    Vec from, to;
    const Mask meets = ellipse.span(y0, y0 + Vec(static_cast<Scalar>(height - 1)), from, to);
    for (int column = 0; column < 4; ++column) {
      const Scalar x0 = first_x + static_cast<Scalar>(4 * column);
      const Mask touches = meets & (to >= Vec(x0)) & (Vec(x0 + 3.0f) >= from);
      mask |= (bits(touches) & lanes) << (column * rows + part);
    }
  }
  return mask;
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
