// Warp-level helpers of the rasterizer: values exchanged between lanes, sums in a fixed order, and arithmetic with the
// same rounding in all kernels.
#pragma once

#include "../ellipse.h"
#include "launch.h"
#include "splat.h"

namespace headsplat {
namespace cuda {

using namespace HEADSPLAT_LEVEL;

// a * b, rounded: never fused with a following addition, so that forward and backward passes agree bit for bit.
__device__ inline float rounded_product(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

// 2^a within 2 ulp; denormal results are flushed to zero.
__device__ inline float power_of_two(float a) {
#if defined(__CUDA_ARCH__)
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(a));
  return power;
#else
  return exp2f(a);
#endif
}

__device__ inline int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }

// `value` of another lane; must be called by all lanes of the warp.
template <class T>
__device__ T broadcast(const T& value, int lane) {
  static_assert(sizeof(T) % sizeof(uint32_t) == 0, "passed on in words");
  uint32_t words[sizeof(T) / sizeof(uint32_t)];
  memcpy(words, &value, sizeof(T));
  for (uint32_t& word : words) word = __shfl_sync(kAllLanes, word, lane);
  T result;
  memcpy(&result, words, sizeof(T));
  return result;
}

// Sum over the warp in a fixed order, in every lane.
template <class T>
__device__ T warp_sum(T value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}

__device__ inline float not_a_number() { return __uint_as_float(0x7fc00000u); }

// Whether there are more intersections than fit; the intersections are then not written.
__device__ inline bool overflowed(const Workspace& work, size_t limit) { return *work.intersection_count > limit; }

// log2 of alpha at offset (dx, dy) from the mean, given the negated conic.
__device__ inline float exponent(float minus_a, float minus_b, float minus_c, float log2_opacity, float dx, float dy) {
  const float slope = fmaf(minus_a, dx, rounded_product(minus_b, dy));
  return fmaf(slope, dx, fmaf(rounded_product(minus_c, dy), dy, log2_opacity));
}

// Pixel of a thread in its tile: each warp covers 8x4 pixels, two warps side by side.
struct TilePixel {
  int x, y;
};

constexpr int kPatchWidth = 8, kPatchHeight = 4;
constexpr int kPatches = kTile * kTile / (kPatchWidth * kPatchHeight);

__device__ inline TilePixel tile_pixel() {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = lane_index();
  return {warp % 2 * kPatchWidth + lane % kPatchWidth, warp / 2 * kPatchHeight + lane / kPatchWidth};
}

// The tile of a block of the rasterizer, whose grid is tiles_x x tiles_y x batch.
struct Tile {
  int image, x, y;  // pixels
  Range range;      // its intersections

  __device__ Tile(const SplatSize& size, const Workspace& work)
      : image(blockIdx.z), x(blockIdx.x * kTile), y(blockIdx.y * kTile) {
    range = work.tile_ranges[image * size.tiles() + blockIdx.y * gridDim.x + blockIdx.x];
  }
};

// Bit k is set when the ellipse may contain a pixel center of warp k, for first <= k < last.
__device__ inline uint32_t overlapped_patches(const ProjectedGaussian& s, const Tile& tile, int first, int last) {
  const float first_x = static_cast<float>(tile.x) + 0.5f - s.x, first_y = static_cast<float>(tile.y) + 0.5f - s.y;
  uint32_t mask = 0;
#pragma unroll 1  // unrolled, its registers cost the rasterizer a fifth of its occupancy
  for (int k = first; k < last; ++k) {
    const float x0 = first_x + static_cast<float>(k % 2 * kPatchWidth);
    const float y0 = first_y + static_cast<float>(k / 2 * kPatchHeight);
    const float exponent_min =
        min_exponent(s.a, s.b, s.c, s.edge_x, s.edge_y, x0, x0 + (kPatchWidth - 1), y0, y0 + (kPatchHeight - 1));
    mask |= static_cast<uint32_t>(exponent_min <= s.exponent_max) << k;
  }
  return mask;
}

// A batch of a tile's Gaussians in the block's shared memory.
template <int size>
struct GaussianBatch {
  float4 xy_ab[size];         // mean relative to the tile's first pixel center; negated conic a, b
  float4 c_opacity_rg[size];  // negated conic c; log2 opacity; red, green
  float2 blue_depth[size];    // blue, depth
  uint32_t warp_masks[size];  // bit k: the ellipse may overlap the pixels of warp k

  __device__ void set(int at, const ProjectedGaussian& s, const Tile& tile, uint32_t warp_mask) {
    xy_ab[at] =
        make_float4(s.x - static_cast<float>(tile.x) - 0.5f, s.y - static_cast<float>(tile.y) - 0.5f, -s.a, -s.b);
    c_opacity_rg[at] = make_float4(-s.c, s.log2_opacity, s.red, s.green);
    blue_depth[at] = make_float2(s.blue, s.depth);
    warp_masks[at] = warp_mask;
  }
};

// The layer at one pixel.
struct LayerPixel {
  float farthest, stencil;  // Gaussians beyond `farthest` are skipped
  long long index;          // in the windows of the layer; -1 outside

  // Factor of the alpha of a Gaussian.
  __device__ float kept(float depth, float fade) const {
    return depth <= farthest ? 1.0f - rounded_product(stencil, fade) : 0.0f;
  }
};

__device__ inline LayerPixel layer_pixel(const LayerView& layer, const Tile& tile) {
  const TilePixel at = tile_pixel();
  LayerPixel pixel{kNoLayerDepth, 0.0f, -1};
  if (layer.coverage) pixel.index = layer.index(tile.image, tile.x + at.x, tile.y + at.y);
  if (pixel.index < 0) return pixel;
  const float depth = layer.depth[pixel.index];
  if (depth > 0.0f && layer.coverage[pixel.index] >= kLayerSolid) pixel.farthest = depth + kLayerDepthMargin;
  pixel.stencil = layer.stencil[pixel.index];
  return pixel;
}

struct Thresholds {
  float alpha_min;          // alpha below this is skipped
  float transmittance_min;  // pixels at or below this are opaque
};

inline Thresholds thresholds_for(bool cutoff) {
  return cutoff ? Thresholds{kAlphaMin, kTransmittanceMin} : Thresholds{-1.0f, -1.0f};
}

}  // namespace cuda
}  // namespace headsplat
