// Setup of a triangle for the host and device z-buffers. The barycentrics of the intersection of ray r with triangle
// (a, b, c) are M^-1 r divided by their sum, M = [a b c]: each is affine in the pixel coordinates, no clipping is
// needed, and both faces are visible (Olano and Greer 1997). In double, so that adjacent triangles share edges without
// gaps.
#pragma once

#include <cmath>
#include <cstdint>

#include "math.h"

namespace headsplat {

struct ScreenTriangle {
  double edges[3][3];  // edge functions: barycentric / depth of each corner is [0] x + [1] y + [2]
  int x0, y0, x1, y1;  // bounding box in pixels, inclusive; x1 < x0 when empty
};

namespace HEADSPLAT_LEVEL {

HEADSPLAT_FN void cross_double(const double* a, const double* b, double* out) {
  out[0] = a[1] * b[2] - a[2] * b[1];
  out[1] = a[2] * b[0] - a[0] * b[2];
  out[2] = a[0] * b[1] - a[1] * b[0];
}

// Inverse of a row-major 3x3 matrix; not finite when singular.
template <class Real>
HEADSPLAT_FN void invert(const Real* m, double* out) {
  double row[3][3], columns[3][3];
  for (int k = 0; k < 9; ++k) row[k / 3][k % 3] = m[k];
  for (int k = 0; k < 3; ++k) cross_double(row[(k + 1) % 3], row[(k + 2) % 3], columns[k]);
  const double det = row[0][0] * columns[0][0] + row[0][1] * columns[0][1] + row[0][2] * columns[0][2];
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) out[3 * r + c] = columns[c][r] / det;
}

// The floor and the ceiling of a value, clamped; without the library's functions, which are calls on old processors.
HEADSPLAT_FN int clamped_floor(double value, int lowest, int highest) {
  if (!(value > lowest)) return lowest;
  if (value >= highest) return highest;
  const int whole = static_cast<int>(value);
  return whole - (whole > value);
}

HEADSPLAT_FN int clamped_ceil(double value, int lowest, int highest) {
  if (!(value > lowest)) return lowest;
  if (value >= highest) return highest;
  const int whole = static_cast<int>(value);
  return whole + (whole < value);
}

// Bounding box of the pixels whose centers may lie in the triangle; the whole image when it crosses the near plane.
template <class Real>
HEADSPLAT_FN void bound_triangle(int width, int height, Real near_z, const Real* K, const double corner[3][3],
                                 ScreenTriangle& t) {
  constexpr double kSlack = 1e-3, kFar = 1e300;
  double low[2] = {kFar, kFar}, high[2] = {-kFar, -kFar};
  int in_front = 0;
  for (int k = 0; k < 3; ++k) {
    const double* v = corner[k];
    if (!(v[2] > near_z)) continue;
    ++in_front;
    const double scale = 1.0 / (K[6] * v[0] + K[7] * v[1] + K[8] * v[2]);
    for (int axis = 0; axis < 2; ++axis) {
      const double at = (K[3 * axis] * v[0] + K[3 * axis + 1] * v[1] + K[3 * axis + 2] * v[2]) * scale;
      low[axis] = at < low[axis] ? at : low[axis];
      high[axis] = at > high[axis] ? at : high[axis];
    }
  }
  t.x0 = t.y0 = 0;
  t.x1 = in_front ? width - 1 : -1;
  t.y1 = height - 1;
  if (in_front < 3) return;
  t.x0 = clamped_ceil(low[0] - 0.5 - kSlack, 0, width);
  t.y0 = clamped_ceil(low[1] - 0.5 - kSlack, 0, height);
  t.x1 = clamped_floor(high[0] - 0.5 + kSlack, -1, width - 1);
  t.y1 = clamped_floor(high[1] - 0.5 + kSlack, -1, height - 1);
  if (t.y1 < t.y0) t.x1 = t.x0 - 1;
}

// `inverse` is the inverse of the intrinsics `K`. Most triangles of a fine mesh contain no pixel center: they get no
// edge functions.
template <class Real>
HEADSPLAT_FN ScreenTriangle setup_triangle(int width, int height, Real near_z, const Real* vertices,
                                           const int64_t* face, const Real* K, const double* inverse) {
  ScreenTriangle t{};
  double corner[3][3], edge[3][3];
  for (int k = 0; k < 3; ++k)
    for (int axis = 0; axis < 3; ++axis) corner[k][axis] = vertices[3 * face[k] + axis];
  bound_triangle(width, height, near_z, K, corner, t);
  if (t.x1 < t.x0) return t;
  for (int k = 0; k < 3; ++k) cross_double(corner[(k + 1) % 3], corner[(k + 2) % 3], edge[k]);
  const double volume = corner[0][0] * edge[0][0] + corner[0][1] * edge[0][1] + corner[0][2] * edge[0][2];
  if (volume == 0.0 || !std::isfinite(volume)) {
    t.x1 = t.x0 - 1;
    return t;
  }
  for (int k = 0; k < 3; ++k)
    for (int axis = 0; axis < 3; ++axis)
      t.edges[k][axis] =
          (edge[k][0] * inverse[axis] + edge[k][1] * inverse[3 + axis] + edge[k][2] * inverse[6 + axis]) / volume;
  return t;
}

// Edge functions at the center of pixel (x, y); returns their sum, which is 1 / depth. The pixel center lies in the
// triangle when none is negative and the sum is positive.
HEADSPLAT_FN double edges_at(const ScreenTriangle& t, int x, int y, double edges[3]) {
  for (int k = 0; k < 3; ++k) edges[k] = t.edges[k][0] * (x + 0.5) + (t.edges[k][1] * (y + 0.5) + t.edges[k][2]);
  return edges[0] + edges[1] + edges[2];
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
