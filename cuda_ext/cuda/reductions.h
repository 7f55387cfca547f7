// Sums in a fixed order: deterministic, unlike floating-point atomics.
#pragma once

#include "launch.h"

namespace headsplat {
namespace cuda {

// Adds the values of lanes `half` apart, each lane keeping half of them; `half` is a constant, so that values stay in
// registers.
template <int half>
__device__ inline void fold(float* values, bool upper) {
#pragma unroll
  for (int k = 0; k < half; ++k) {
    const float own = upper ? values[k + half] : values[k], sent = upper ? values[k] : values[k + half];
    values[k] = own + __shfl_xor_sync(kAllLanes, sent, half);
  }
}

// Lane i receives the sum of values[i] over the warp, with 31 shuffles instead of 32 x 5.
__device__ inline float warp_column_sums(float values[kWarp]) {
  const unsigned lane = threadIdx.x % kWarp;
  fold<16>(values, (lane & 16) != 0);
  fold<8>(values, (lane & 8) != 0);
  fold<4>(values, (lane & 4) != 0);
  fold<2>(values, (lane & 2) != 0);
  fold<1>(values, (lane & 1) != 0);
  return values[0];
}

constexpr int kRowSumThreads = 1024;

// Column sums of `rows` [count][32] by a block of kRowSumThreads threads; the lanes of the first warp return the
// totals.
__device__ inline double row_sums(const float* rows, int count) {
  __shared__ double partials[kRowSumThreads / kWarp][kWarp];
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  double total = 0.0;
#pragma unroll 4
  for (int row = warp; row < count; row += kRowSumThreads / kWarp)
    total += rows[static_cast<size_t>(row) * kWarp + lane];
  partials[warp][lane] = total;
  __syncthreads();
  if (warp == 0)
    for (int w = 1; w < kRowSumThreads / kWarp; ++w) total += partials[w][lane];
  return total;
}

}  // namespace cuda
}  // namespace headsplat
