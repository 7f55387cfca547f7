// Z-buffer of a triangle mesh, horizontal bands in parallel; the geometry is in ../triangle.h.
#include "mesh.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <limits>
#include <memory>
#include <vector>

#include "../indices.h"
#include "../triangle.h"
#include "threads.h"

namespace headsplat {
namespace {

// Every band reads the rows of all triangles: few bands, but enough to balance the threads.
constexpr int kMinBandRows = 8, kBands = 12;

// Boxes at least this wide are narrowed in each row.
constexpr int kWideBox = 4;

// First and last row of a triangle; the last comes before the first when it has no pixel.
struct RowRange {
  int first, last;
};

// Triangles and output buffers of one image.
struct MeshTarget {
  const MeshShape& shape;
  const std::vector<ScreenTriangle>& triangles;
  const std::vector<RowRange>& rows;
  int32_t* face;
  Scalar* bary;
  Scalar* depth;
};

// Narrows the columns `first` to `last` to those between the zeros of the edge functions, whose values at the left
// border of the row are `start`: of a thin triangle that lies diagonally, most of the box is outside.
void narrow(const ScreenTriangle& t, const double start[3], int& first, int& last) {
  constexpr double kSlack = 1e-3;  // pixels: rounding moves the zeros less
  const int low = first, high = last;
  for (int k = 0; k < 3; ++k) {
    const double slope = t.edges[k][0];
    if (slope == 0.0) continue;
    const double zero = -start[k] / slope - 0.5;
    if (slope > 0.0)
      first = std::max(first, shared::clamped_ceil(zero - kSlack, low, high + 1));
    else
      last = std::min(last, shared::clamped_floor(zero + kSlack, low - 1, high));
  }
}

void rasterize_row(const MeshTarget& target, int index, int y, double* nearest_depth) {
  const ScreenTriangle& t = target.triangles[index];
  const size_t row = static_cast<size_t>(y) * target.shape.width;
  double start[3];
  for (int k = 0; k < 3; ++k) start[k] = t.edges[k][1] * (y + 0.5) + t.edges[k][2];
  int left = t.x0, right = t.x1;
  if (right - left >= kWideBox) narrow(t, start, left, right);
  for (int x = left; x <= right; ++x) {
    const double at = x + 0.5;
    const double a = t.edges[0][0] * at + start[0], b = t.edges[1][0] * at + start[1],
                 c = t.edges[2][0] * at + start[2];
    const double total = a + b + c;
    if (!(a >= 0.0 && b >= 0.0 && c >= 0.0 && total > 0.0)) continue;
    const double depth = 1.0 / total;
    if (!(depth > target.shape.near_z && depth < nearest_depth[x])) continue;
    nearest_depth[x] = depth;
    target.face[row + x] = index;
    target.depth[row + x] = static_cast<Scalar>(depth);
    Scalar* bary = target.bary + 3 * (row + x);
    bary[0] = static_cast<Scalar>(a * depth);
    bary[1] = static_cast<Scalar>(b * depth);
    bary[2] = static_cast<Scalar>(c * depth);
  }
}

void rasterize_band(const MeshTarget& target, int first, int last) {
  const int width = target.shape.width;
  const size_t begin = static_cast<size_t>(first) * width, pixels = static_cast<size_t>(last - first) * width;
  for (size_t k = 0; k < pixels; ++k) {
    target.face[begin + k] = -1;
    target.depth[begin + k] = 0.0f;
    for (int axis = 0; axis < 3; ++axis) target.bary[3 * (begin + k) + axis] = 0.0f;
  }
  std::unique_ptr<double[]> nearest_depth(new double[pixels]);
  for (size_t k = 0; k < pixels; ++k) nearest_depth[k] = std::numeric_limits<double>::infinity();
  const int count = target.shape.faces;
  for (int index = 0; index < count; ++index) {
    const RowRange range = target.rows[index];
    if (range.first >= last || range.last < first) continue;
    const int low = std::max(range.first, first), high = std::min(range.last, last - 1);
    for (int y = low; y <= high; ++y)
      rasterize_row(target, index, y, nearest_depth.get() + static_cast<size_t>(y - first) * width);
  }
}

}  // namespace

bool rasterize_mesh(const MeshShape& shape, const Scalar* vertices, const int64_t* faces, const Scalar* intrinsics,
                    const MeshOutputs& out) {
  std::vector<ScreenTriangle> triangles(shape.faces);
  std::vector<RowRange> row_ranges(shape.faces);
  std::atomic<bool> inside{true};
  const size_t pixels = static_cast<size_t>(shape.width) * shape.height;
  for (int b = 0; b < shape.batch; ++b) {
    const Scalar* K = intrinsics + 9 * b;
    const Scalar* image_vertices = vertices + static_cast<size_t>(b) * shape.vertices * 3;
    double inverse[9];
    shared::invert(K, inverse);
    parallel_ranges(shape.faces, 1024, [&](int begin, int end) {
      for (int f = begin; f < end; ++f) {
        int64_t face[3];
        if (!shared::read_triangle(faces + 3 * static_cast<size_t>(f), shape.vertices, face)) {
          inside = false;
          continue;
        }
        const ScreenTriangle& t = triangles[f] =
            shared::setup_triangle(shape.width, shape.height, shape.near_z, image_vertices, face, K, inverse);
        row_ranges[f] = t.x1 < t.x0 ? RowRange{0, -1} : RowRange{t.y0, t.y1};
      }
    });
    if (!inside) return false;
    const MeshTarget target{
        shape, triangles, row_ranges, out.face + b * pixels, out.bary + 3 * b * pixels, out.depth + b * pixels};
    const int rows = std::max(kMinBandRows, (shape.height + kBands - 1) / kBands);
    parallel_ranges(shape.height, rows, [&](int first, int last) { rasterize_band(target, first, last); });
  }
  return true;
}

}  // namespace headsplat
