#include "texels.h"

#include <atomic>
#include <vector>

#include "threads.h"

namespace headsplat {
namespace {

constexpr int kTexels = 8192;  // of a task

// Calls change(i, start * factor) for all numbers i of the colors. Returns whether all parts are in range.
template <class Change>
bool for_colors(const TexelArrays& arrays, Change change) {
  std::atomic<bool> inside{true};
  parallel_ranges(arrays.texels, kTexels, [&](int begin, int end) {
    for (int t = begin; t < end; ++t) {
      const int64_t part = arrays.part[t];
      if (part < 0 || part >= arrays.parts) {
        inside = false;
        return;
      }
      for (int c = 0; c < 3; ++c) change(3 * t + c, arrays.start[3 * t + c] * arrays.factors[3 * part + c]);
    }
  });
  return inside;
}

}  // namespace

bool texel_colors(const TexelArrays& arrays, const Scalar* own, Scalar* out) {
  return for_colors(arrays, [=](int i, Scalar product) { out[i] = product + own[i]; });
}

bool limit_texels(const TexelArrays& arrays, Scalar* own) {
  return for_colors(arrays, [=](int i, Scalar product) {
    const Scalar color = product + own[i];
    own[i] += (color < 0 ? Scalar(0) : color > 1 ? Scalar(1) : color) - color;
  });
}

bool texel_colors_backward(const TexelArrays& arrays, const Scalar* grad, Scalar* out) {
  std::atomic<bool> inside{true};
  const int tasks = (arrays.texels + kTexels - 1) / kTexels, size = 3 * arrays.parts;
  std::vector<double> sums(static_cast<size_t>(tasks) * size);
  parallel_ranges(arrays.texels, kTexels, [&](int begin, int end) {
    double* sum = sums.data() + static_cast<size_t>(begin / kTexels) * size;
    for (int t = begin; t < end; ++t) {
      const int64_t part = arrays.part[t];
      if (part < 0 || part >= arrays.parts) {
        inside = false;
        return;
      }
      for (int c = 0; c < 3; ++c) sum[3 * part + c] += static_cast<double>(grad[3 * t + c]) * arrays.start[3 * t + c];
    }
  });
  for (int k = 0; k < size; ++k) {
    double total = 0.0;
    for (int task = 0; task < tasks; ++task) total += sums[static_cast<size_t>(task) * size + k];
    out[k] = static_cast<Scalar>(total);
  }
  return inside;
}

}  // namespace headsplat
