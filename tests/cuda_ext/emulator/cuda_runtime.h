// Replacement of the CUDA headers, so that a C++ compiler builds cuda_ext/cuda/*.cu for the CPU: only the parts of the
// language and the runtime that those files use. threads.h runs the blocks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "threads.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// Blocks run one after another, so shared memory may be static; as on a device, it is not initialized.
#define __shared__ static

template <class T>
struct alignas(sizeof(T) * 2) Vector2 {
  T x, y;
};
template <class T>
struct Vector3 {
  T x, y, z;
};
template <class T>
struct alignas(16) Vector4 {
  T x, y, z, w;
};
using float2 = Vector2<float>;
using float3 = Vector3<float>;
using float4 = Vector4<float>;
using int2 = Vector2<int>;
using int3 = Vector3<int>;
using int4 = Vector4<int>;
using uint2 = Vector2<unsigned>;
using uint4 = Vector4<unsigned>;
using double2 = Vector2<double>;

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

using emulator::blockDim;
using emulator::blockIdx;
using emulator::dim3;
using emulator::gridDim;
using emulator::threadIdx;
using emulator::uint3;
constexpr int warpSize = emulator::kWarp;
constexpr unsigned kEmulatedFullMask = 0xffffffffu;

// --- barriers and votes ---

inline void __syncthreads() { emulator::sync_block(false); }
inline int __syncthreads_count(int vote) { return emulator::sync_block(vote != 0); }
inline int __syncthreads_or(int vote) { return emulator::sync_block(vote != 0) > 0; }
inline int __syncthreads_and(int vote) { return emulator::sync_block(vote == 0) == 0; }
inline void __threadfence() {}
inline void __threadfence_block() {}

inline void __syncwarp(unsigned mask = kEmulatedFullMask) { emulator::sync_warp(emulator::SyncPoint::warp, mask, 0); }

inline unsigned __ballot_sync(unsigned mask, int vote) {
  const uint64_t* votes = emulator::sync_warp(emulator::SyncPoint::vote, mask, vote != 0);
  unsigned bits = 0;
  for (int lane = 0; lane < emulator::warp_lanes(); ++lane) bits |= static_cast<unsigned>(votes[lane]) << lane;
  return bits;
}
inline int __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) != 0; }
inline int __all_sync(unsigned mask, int vote) { return __ballot_sync(mask, !vote) == 0; }
inline unsigned __activemask() { return emulator::warp_lanes() == 32 ? ~0u : (1u << emulator::warp_lanes()) - 1; }

// --- shuffles ---

namespace emulator {
template <class T>
T shuffle(unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  const uint64_t* all = sync_warp(SyncPoint::shuffle, mask, bits);
  std::memcpy(&value, &all[source], sizeof value);
  return value;
}
}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const int lane = emulator::lane();
  return emulator::shuffle(mask, value, (lane & ~(width - 1)) + (source & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int toggled, int width = 32) {
  const int lane = emulator::lane(), source = lane ^ toggled;
  return emulator::shuffle(mask, value, (source & ~(width - 1)) <= (lane & ~(width - 1)) ? source : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = emulator::lane(), source = lane + static_cast<int>(delta);
  return emulator::shuffle(mask, value, source < (lane & ~(width - 1)) + width ? source : lane);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int lane = emulator::lane(), source = lane - static_cast<int>(delta);
  return emulator::shuffle(mask, value, source >= (lane & ~(width - 1)) ? source : lane);
}

namespace emulator {
template <class T, class Combine>
T reduce(unsigned mask, T value, Combine combine) {
  const uint64_t* all = sync_warp(SyncPoint::reduce, mask, static_cast<uint64_t>(value));
  T total = static_cast<T>(all[0]);
  for (int lane = 1; lane < warp_lanes(); ++lane) total = combine(total, static_cast<T>(all[lane]));
  return total;
}
}  // namespace emulator

template <class T>
T __reduce_add_sync(unsigned mask, T value) {
  return emulator::reduce(mask, value, [](T a, T b) { return static_cast<T>(a + b); });
}
template <class T>
T __reduce_max_sync(unsigned mask, T value) {
  return emulator::reduce(mask, value, [](T a, T b) { return a > b ? a : b; });
}
template <class T>
T __reduce_min_sync(unsigned mask, T value) {
  return emulator::reduce(mask, value, [](T a, T b) { return a < b ? a : b; });
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value) {
  return emulator::reduce(mask, value, [](unsigned a, unsigned b) { return a | b; });
}

// --- atomics: only one thread runs at a time, so plain arithmetic is atomic ---

template <class T>
struct Unchanged {
  using type = T;
};
template <class T>
T atomicAdd(T* at, typename Unchanged<T>::type value) {
  const T old = *at;
  *at = old + value;
  return old;
}
template <class T>
T atomicMin(T* at, typename Unchanged<T>::type value) {
  const T old = *at;
  if (value < old) *at = value;
  return old;
}
template <class T>
T atomicMax(T* at, typename Unchanged<T>::type value) {
  const T old = *at;
  if (value > old) *at = value;
  return old;
}
template <class T>
T atomicOr(T* at, typename Unchanged<T>::type value) {
  const T old = *at;
  *at = old | value;
  return old;
}
template <class T>
T atomicExch(T* at, typename Unchanged<T>::type value) {
  const T old = *at;
  *at = value;
  return old;
}
template <class T>
T atomicCAS(T* at, typename Unchanged<T>::type expected, typename Unchanged<T>::type value) {
  const T old = *at;
  if (old == expected) *at = value;
  return old;
}

// --- arithmetic ---

using std::isfinite;
using std::max;
using std::min;

template <class To, class From>
To emulated_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline unsigned __float_as_uint(float a) { return emulated_cast<unsigned>(a); }
inline int __float_as_int(float a) { return emulated_cast<int>(a); }
inline float __uint_as_float(unsigned a) { return emulated_cast<float>(a); }
inline float __int_as_float(int a) { return emulated_cast<float>(a); }
inline int __popc(unsigned a) { return __builtin_popcount(a); }
inline int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
inline int __clz(int a) { return a ? __builtin_clz(static_cast<unsigned>(a)) : 32; }
inline int __ffs(int a) { return __builtin_ffs(a); }
inline float __expf(float a) { return std::exp(a); }
inline float __logf(float a) { return std::log(a); }
inline float __log2f(float a) { return std::log2(a); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float rsqrtf(float a) { return 1.0f / std::sqrt(a); }
inline float __saturatef(float a) { return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f; }
inline long long __float2ll_rn(float a) { return std::llrint(a); }
inline long long __double2ll_rn(double a) { return std::llrint(a); }
template <class T>
T __ldg(const T* at) {
  return *at;
}
template <class T>
void __stwb(T* at, T value) {
  *at = value;
}

// --- the runtime: streams and errors do not exist in the emulator ---

struct CUstream_st;
using cudaStream_t = CUstream_st*;
enum cudaError_t { cudaSuccess };
inline const char* cudaGetErrorString(cudaError_t) { return "no error"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* at, int value, size_t bytes, cudaStream_t) {
  if (bytes) std::memset(at, value, bytes);
  return cudaSuccess;
}
enum cudaMemcpyKind { cudaMemcpyDeviceToDevice };
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (bytes) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
