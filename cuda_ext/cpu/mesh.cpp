// The z-buffer of a mesh, bands of rows side by side; the geometry is in ../triangle.h.
#include "mesh.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <vector>

#include "../triangle.h"
#include "threads.h"

namespace headsplat {
namespace {

constexpr int kLeastBandRows = 8,
              kBands = 12;  // every band reads the whole triangle list: few, but enough to share out

// One image: its triangles and the nearest depth so far.
struct Canvas {
  const MeshView& view;
  const std::vector<ScreenTriangle>& triangles;
  int32_t* face;
  Scalar* bary;
  Scalar* depth;
};

void draw_row(const Canvas& canvas, int index, int y, double* nearest) {
  const ScreenTriangle& t = canvas.triangles[index];
  const size_t row = static_cast<size_t>(y) * canvas.view.width;
  double start[3];
  for (int k = 0; k < 3; ++k) start[k] = t.share[k][1] * (y + 0.5) + t.share[k][2];
  for (int x = t.x0; x <= t.x1; ++x) {
    const double at = x + 0.5;
    const double a = t.share[0][0] * at + start[0], b = t.share[1][0] * at + start[1],
                 c = t.share[2][0] * at + start[2];
    const double total = a + b + c;
    if (!(a >= 0.0 && b >= 0.0 && c >= 0.0 && total > 0.0)) continue;
    const double depth = 1.0 / total;
    if (!(depth > canvas.view.near_z && depth < nearest[x])) continue;
    nearest[x] = depth;
    canvas.face[row + x] = index;
    canvas.depth[row + x] = static_cast<Scalar>(depth);
    Scalar* bary = canvas.bary + 3 * (row + x);
    bary[0] = static_cast<Scalar>(a * depth);
    bary[1] = static_cast<Scalar>(b * depth);
    bary[2] = static_cast<Scalar>(c * depth);
  }
}

void draw_band(const Canvas& canvas, int first, int last) {
  const int width = canvas.view.width;
  const size_t begin = static_cast<size_t>(first) * width, pixels = static_cast<size_t>(last - first) * width;
  for (size_t k = 0; k < pixels; ++k) {
    canvas.face[begin + k] = -1;
    canvas.depth[begin + k] = 0.0f;
    for (int axis = 0; axis < 3; ++axis) canvas.bary[3 * (begin + k) + axis] = 0.0f;
  }
  std::unique_ptr<double[]> nearest(new double[pixels]);
  for (size_t k = 0; k < pixels; ++k) nearest[k] = std::numeric_limits<double>::infinity();
  const int count = static_cast<int>(canvas.triangles.size());
  for (int index = 0; index < count; ++index) {
    const ScreenTriangle& t = canvas.triangles[index];
    if (t.x1 < t.x0 || t.y0 >= last || t.y1 < first) continue;
    const int low = t.y0 > first ? t.y0 : first, high = t.y1 < last ? t.y1 : last - 1;
    for (int y = low; y <= high; ++y)
      draw_row(canvas, index, y, nearest.get() + static_cast<size_t>(y - first) * width);
  }
}

}  // namespace

void draw_mesh(const MeshView& view, const Scalar* vertices, const int64_t* faces, const Scalar* intrinsics,
               const MeshPictures& out) {
  std::vector<ScreenTriangle> triangles(view.faces);
  const size_t pixels = static_cast<size_t>(view.width) * view.height;
  for (int b = 0; b < view.batch; ++b) {
    const Scalar* K = intrinsics + 9 * b;
    const Scalar* points = vertices + static_cast<size_t>(b) * view.vertices * 3;
    double inverse[9];
    shared::invert(K, inverse);
    parallel_ranges(view.faces, 1024, [&](int begin, int end) {
      for (int f = begin; f < end; ++f)
        triangles[f] = shared::set_up_triangle(view.width, view.height, view.near_z, points,
                                               faces + 3 * static_cast<size_t>(f), K, inverse);
    });
    const Canvas canvas{view, triangles, out.face + b * pixels, out.bary + 3 * b * pixels, out.depth + b * pixels};
    const int rows = std::max(kLeastBandRows, (view.height + kBands - 1) / kBands);
    parallel_ranges(view.height, rows, [&](int first, int last) { draw_band(canvas, first, last); });
  }
}

}  // namespace headsplat
