// Barycentrics of the hit of ray r with triangle (a, b, c) are M^-1 r over their sum, M = [a b c]: each is affine in
// the pixel, no clipping is needed and both sides are seen (Olano and Greer 1997). In double, so that neighbours share
// edges.
#include "mesh.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <vector>

#include "threads.h"

namespace headsplat {
namespace {

constexpr int kLeastBandRows = 8, kBands = 12;  // every band reads the whole triangle list: few, but enough to share out

struct Triangle {
  double share[3][3];  // barycentric over depth of each corner: [0] x + [1] y + [2]
  int x0, y0, x1, y1;  // pixels, inclusive; x1 < x0 when nothing can be seen
};

void cross(const double* a, const double* b, double* out) {
  out[0] = a[1] * b[2] - a[2] * b[1];
  out[1] = a[2] * b[0] - a[0] * b[2];
  out[2] = a[0] * b[1] - a[1] * b[0];
}

// Inverse of a 3x3 matrix, row-major; not finite when it has none.
void invert(const Scalar* m, double* out) {
  double row[3][3], columns[3][3];
  for (int k = 0; k < 9; ++k) row[k / 3][k % 3] = m[k];
  for (int k = 0; k < 3; ++k) cross(row[(k + 1) % 3], row[(k + 2) % 3], columns[k]);
  const double det = row[0][0] * columns[0][0] + row[0][1] * columns[0][1] + row[0][2] * columns[0][2];
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) out[3 * r + c] = columns[c][r] / det;
}

int limited(double value, int lowest, int highest) {
  if (!(value > lowest)) return lowest;
  return value < highest ? static_cast<int>(value) : highest;
}

// Pixels whose centres may see the triangle; all of them when it reaches behind the near plane.
void bound(const MeshView& view, const Scalar* K, const double corner[3][3], Triangle& t) {
  constexpr double kSlack = 1e-3;
  double low[2], high[2];
  int before = 0;
  for (int axis = 0; axis < 2; ++axis) low[axis] = std::numeric_limits<double>::infinity(), high[axis] = -low[axis];
  for (int k = 0; k < 3; ++k) {
    const double* v = corner[k];
    if (!(v[2] > view.near_z)) continue;
    ++before;
    const double weight = K[6] * v[0] + K[7] * v[1] + K[8] * v[2];
    for (int axis = 0; axis < 2; ++axis) {
      const double at = (K[3 * axis] * v[0] + K[3 * axis + 1] * v[1] + K[3 * axis + 2] * v[2]) / weight;
      low[axis] = at < low[axis] ? at : low[axis];
      high[axis] = at > high[axis] ? at : high[axis];
    }
  }
  t.x0 = t.y0 = 0;
  t.x1 = before ? view.width - 1 : -1;
  t.y1 = view.height - 1;
  if (before < 3) return;
  t.x0 = limited(std::floor(low[0] - 0.5 - kSlack), 0, view.width);
  t.y0 = limited(std::floor(low[1] - 0.5 - kSlack), 0, view.height);
  t.x1 = limited(std::ceil(high[0] - 0.5 + kSlack), -1, view.width - 1);
  t.y1 = limited(std::ceil(high[1] - 0.5 + kSlack), -1, view.height - 1);
}

Triangle set_up(const MeshView& view, const Scalar* vertices, const int64_t* face, const Scalar* K,
                const double* inverse) {
  Triangle t{};
  t.x1 = -1;
  double corner[3][3], edge[3][3];
  for (int k = 0; k < 3; ++k)
    for (int axis = 0; axis < 3; ++axis) corner[k][axis] = vertices[3 * face[k] + axis];
  for (int k = 0; k < 3; ++k) cross(corner[(k + 1) % 3], corner[(k + 2) % 3], edge[k]);
  const double volume = corner[0][0] * edge[0][0] + corner[0][1] * edge[0][1] + corner[0][2] * edge[0][2];
  if (volume == 0.0 || !std::isfinite(volume)) return t;
  for (int k = 0; k < 3; ++k)
    for (int axis = 0; axis < 3; ++axis)
      t.share[k][axis] =
          (edge[k][0] * inverse[axis] + edge[k][1] * inverse[3 + axis] + edge[k][2] * inverse[6 + axis]) / volume;
  bound(view, K, corner, t);
  return t;
}

// One image: its triangles and the nearest depth so far.
struct Canvas {
  const MeshView& view;
  const std::vector<Triangle>& triangles;
  int32_t* face;
  Scalar* bary;
  Scalar* depth;
};

void draw_row(const Canvas& canvas, int index, int y, double* nearest) {
  const Triangle& t = canvas.triangles[index];
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
    const Triangle& t = canvas.triangles[index];
    if (t.x1 < t.x0 || t.y0 >= last || t.y1 < first) continue;
    const int low = t.y0 > first ? t.y0 : first, high = t.y1 < last ? t.y1 : last - 1;
    for (int y = low; y <= high; ++y)
      draw_row(canvas, index, y, nearest.get() + static_cast<size_t>(y - first) * width);
  }
}

}  // namespace

void draw_mesh(const MeshView& view, const Scalar* vertices, const int64_t* faces, const Scalar* intrinsics,
               const MeshPictures& out) {
  std::vector<Triangle> triangles(view.faces);
  const size_t pixels = static_cast<size_t>(view.width) * view.height;
  for (int b = 0; b < view.batch; ++b) {
    const Scalar* K = intrinsics + 9 * b;
    const Scalar* points = vertices + static_cast<size_t>(b) * view.vertices * 3;
    double inverse[9];
    invert(K, inverse);
    parallel_ranges(view.faces, 1024, [&](int begin, int end) {
      for (int f = begin; f < end; ++f) triangles[f] = set_up(view, points, faces + 3 * f, K, inverse);
    });
    const Canvas canvas{view, triangles, out.face + b * pixels, out.bary + 3 * b * pixels, out.depth + b * pixels};
    const int rows = std::max(kLeastBandRows, (view.height + kBands - 1) / kBands);
    parallel_ranges(view.height, rows, [&](int first, int last) { draw_band(canvas, first, last); });
  }
}

}  // namespace headsplat
