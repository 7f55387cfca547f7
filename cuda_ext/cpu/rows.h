// Conversion between arrays of short rows and vectors with one row per lane.
#pragma once

#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {

// Loads kWidth rows of `stride` floats from `first` on into `stride` vectors; rows beyond `count` repeat the last one.
template <int stride>
inline void load_rows(const Scalar* source, int first, int count, Vec* out) {
  Scalar lanes[stride][kWidth];
  for (int lane = 0; lane < kWidth; ++lane) {
    const int row = first + lane < count ? first + lane : count - 1;
    for (int k = 0; k < stride; ++k) lanes[k][lane] = source[static_cast<size_t>(row) * stride + k];
  }
  for (int k = 0; k < stride; ++k) out[k] = load(lanes[k]);
}

// Inverse of load_rows; lanes beyond `count` are dropped.
template <int stride>
inline void store_rows(Scalar* target, int first, int count, const Vec* values) {
  Scalar lanes[stride][kWidth];
  for (int k = 0; k < stride; ++k) store(lanes[k], values[k]);
  const int rows = count - first < kWidth ? count - first : kWidth;
  for (int lane = 0; lane < rows; ++lane)
    for (int k = 0; k < stride; ++k) target[static_cast<size_t>(first + lane) * stride + k] = lanes[k][lane];
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
