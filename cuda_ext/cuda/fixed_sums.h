// Sums of many gradients in one row as 64-bit fixed-point numbers, in units of 2^-40 of the image's largest gradient:
// integer addition is independent of the order, needs no sorted adjacency lists, and is more precise than float.
#pragma once

#include "launch.h"

namespace headsplat {
namespace cuda {

constexpr int kFixedPointBits = 40;  // 2^40 times 3 N corners stays below 2^63 for N below two million
constexpr int kSumThreads = 128;

// Sums of gradients in fixed point; the first three arrays must be zero at the start. Null pointers: not computed.
struct FixedSums {
  unsigned long long* sums;  // [B,rows,size] two's complement
  unsigned* non_finite;      // [B,rows] 1 where a gradient is not finite
  unsigned* max_bits;        // [B] bits of the largest finite gradient
  int rows;                  // of an image
};

__device__ inline void update_max(const float* grad, int count, bool used, unsigned* max_bits) {
  float most = 0.0f;
  for (int k = 0; k < count; ++k) {
    const float size = fabsf(grad[k]);
    if (used && isfinite(size) && size > most) most = size;
  }
  unsigned bits = __float_as_uint(most);  // nonnegative floats sort like their bits
  for (int half = kWarp / 2; half; half /= 2) bits = max(bits, __shfl_xor_sync(kAllLanes, bits, half));
  if (threadIdx.x % kWarp == 0 && bits) atomicMax(max_bits, bits);
}

// Fixed-point units per 1.0: a power of two that scales the largest gradient to below 2^kFixedPointBits.
__device__ inline double fixed_point_scale(unsigned max_bits) {
  return ldexp(1.0, kFixedPointBits + 126 - static_cast<int>(max_bits >> 23));
}

// Adds `weight` times a gradient of `size` values to row `row` of image `b`; not finite values only set a flag.
__device__ inline void add_fixed(const FixedSums& target, int b, int64_t row, int size, const float* grad,
                                 float weight) {
  const double scale = fixed_point_scale(target.max_bits[b]);
  const size_t at = static_cast<size_t>(b) * target.rows + row;
  for (int k = 0; k < size; ++k) {
    const float value = weight * grad[k];
    if (isfinite(value))
      atomicAdd(target.sums + size * at + k, static_cast<unsigned long long>(__double2ll_rn(value * scale)));
    else
      atomicOr(target.non_finite + at, 1u);
  }
}

// One thread per row of the sums.
static __global__ void __launch_bounds__(kSumThreads) write_sums_kernel(FixedSums from, int size, float* out) {
  const int row = blockIdx.x * kSumThreads + threadIdx.x, b = blockIdx.y;
  if (row >= from.rows) return;
  const size_t at = static_cast<size_t>(b) * from.rows + row;
  const double scale = fixed_point_scale(from.max_bits[b]);
  for (int k = 0; k < size; ++k) {
    const double sum = static_cast<double>(static_cast<long long>(from.sums[size * at + k])) / scale;
    out[size * at + k] = from.non_finite[at] ? NAN : static_cast<float>(sum);
  }
}

}  // namespace cuda
}  // namespace headsplat
