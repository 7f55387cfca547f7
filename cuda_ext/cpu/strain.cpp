// Principal strains at points of a mesh. Gathering the tensors takes most of the time, so nothing here is vectorized.
#include "strain.h"

#include <atomic>
#include <cstring>

#include "../strain.h"
#include "threads.h"

namespace headsplat {
namespace {

using namespace shared;

constexpr int kPointChunk = 1024;

bool mean_at(const StrainPoints& points, const Scalar* tensors, int n, Scalar mean[kTensorSize]) {
  return mean_tensor(points.triangles, points.bary, points.rows, tensors, points.vertex_count, points.row_count,
                     static_cast<size_t>(n), mean);
}

// Adds the gradient of one image's strains to the rows of its tensors, in the order of the points.
bool add_image(const StrainPoints& points, const Scalar* tensors, const Scalar* grad, Scalar* grad_tensors) {
  bool inside = true;
  for (int n = 0; n < points.count; ++n) {
    Scalar mean[kTensorSize], by_mean[kTensorSize];
    int64_t triangle[3];
    const size_t first = 3 * static_cast<size_t>(n);
    if (!mean_at(points, tensors, n, mean) || !read_triangle(points.triangles + first, points.vertex_count, triangle)) {
      inside = false;
      continue;
    }
    principal_pair_backward(mean, grad + 2 * static_cast<size_t>(n), by_mean);
    for (int corner = 0; corner < 3; ++corner) {
      const int64_t row = row_of(points.rows, triangle[corner], points.row_count);
      if (row < 0) continue;
      for (int k = 0; k < kTensorSize; ++k)
        grad_tensors[kTensorSize * row + k] += points.bary[first + corner] * by_mean[k];
    }
  }
  return inside;
}

}  // namespace

bool principal_strains(const StrainPoints& points, Scalar* strains) {
  std::atomic<bool> inside{true};
  for (int b = 0; b < points.batch; ++b) {
    const Scalar* tensors = points.tensors + static_cast<size_t>(b) * points.row_count * kTensorSize;
    Scalar* out = strains + 2 * static_cast<size_t>(b) * points.count;
    parallel_ranges(points.count, kPointChunk, [&, tensors, out](int begin, int end) {
      for (int n = begin; n < end; ++n) {
        Scalar mean[kTensorSize];
        if (!mean_at(points, tensors, n, mean)) inside = false;
        principal_pair(mean, out + 2 * static_cast<size_t>(n));
      }
    });
  }
  return inside;
}

bool principal_strains_backward(const StrainPoints& points, const Scalar* grad_strains, Scalar* grad_tensors) {
  std::atomic<bool> inside{true};
  const size_t size = static_cast<size_t>(points.row_count) * kTensorSize;
  parallel(points.batch, [&](int b) {
    Scalar* out = grad_tensors + size * b;
    std::memset(out, 0, sizeof(Scalar) * size);
    if (!add_image(points, points.tensors + size * b, grad_strains + 2 * static_cast<size_t>(b) * points.count, out))
      inside = false;
  });
  return inside;
}

}  // namespace headsplat
