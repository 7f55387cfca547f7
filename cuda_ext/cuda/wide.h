// Four numbers at a time where the arrays allow it, one at a time where they do not.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "launch.h"

namespace headsplat {
namespace cuda {

// Whether arrays of `size` values that start at these addresses can be read in fours of `bytes` each.
template <class... Pointers>
bool fours_fit(size_t size, const Pointers*... pointers) {
  return size % 4 == 0 && ((reinterpret_cast<uintptr_t>(pointers) % (4 * sizeof(Pointers)) == 0) && ...);
}

template <int wide>
__device__ inline void load_wide(const float* at, float* out) {
  if constexpr (wide == 4) {
    const float4 four = *reinterpret_cast<const float4*>(at);
    out[0] = four.x;
    out[1] = four.y;
    out[2] = four.z;
    out[3] = four.w;
  } else {
    out[0] = *at;
  }
}

template <int wide>
__device__ inline void load_wide(const __half* at, float* out) {
  if constexpr (wide == 4) {
    struct alignas(8) Four {
      __half x, y, z, w;
    };
    const Four four = *reinterpret_cast<const Four*>(at);
    out[0] = __half2float(four.x);
    out[1] = __half2float(four.y);
    out[2] = __half2float(four.z);
    out[3] = __half2float(four.w);
  } else {
    out[0] = __half2float(*at);
  }
}

template <int wide>
__device__ inline void store_wide(float* at, const float* values) {
  if constexpr (wide == 4)
    *reinterpret_cast<float4*>(at) = make_float4(values[0], values[1], values[2], values[3]);
  else
    *at = values[0];
}

}  // namespace cuda
}  // namespace headsplat
