// Tiles of splats -> pictures. One block a tile, one thread a pixel; the block loads a tile's members in batches, and a
// warp looks only at those whose ellipse may touch its 8x4 pixels.
#include "warps.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr int kBatch = kThreads;  // members loaded together, one by each thread

struct Pixel {
  float red, green, blue, depth, left;
};

// The blend weights of a batch's members, a column for each warp.
template <bool with_weights>
struct WarpWeights {
  alignas(16) float sum[kBatch][kPatches];  // a thread clears and adds a row in fours
};
template <>
struct WarpWeights<false> {};

__device__ float finite_or_zero(float value) { return value - value == 0.0f ? value : 0.0f; }

__device__ Record load_member(const Workspace& work, const float* colors, uint32_t place) {
  const uint32_t gaussian = work.members()[place];
  Record record = work.records[gaussian];
  if (colors) {
    record.red = finite_or_zero(colors[3 * static_cast<size_t>(gaussian)]);
    record.green = finite_or_zero(colors[3 * static_cast<size_t>(gaussian) + 1]);
    record.blue = finite_or_zero(colors[3 * static_cast<size_t>(gaussian) + 2]);
  }
  return record;
}

// Blends one member into the thread's pixel; returns its weight there.
template <bool with_depth>
__device__ float blend(const Members<kBatch>& members, int at, float x, float y, const Limits& limits, Pixel& pixel) {
  const float4 shape = members.shape[at], light = members.light[at];
  const float2 rest = members.rest[at];
  const float alpha = power_of_two(exponent(shape.z, shape.w, light.x, light.y, x - shape.x, y - shape.y));
  if (!(alpha >= limits.weakest && pixel.left > limits.least)) return 0.0f;
  const float share = rounded_product(pixel.left, smaller(alpha, kAlphaMax));
  pixel.red = fmaf(share, light.z, pixel.red);
  pixel.green = fmaf(share, light.w, pixel.green);
  pixel.blue = fmaf(share, rest.x, pixel.blue);
  if (with_depth) pixel.depth = fmaf(share, rest.y, pixel.depth);
  pixel.left -= share;
  return share;
}

// Blends the batch's `count` members into a warp's pixels; returns whether all of them are opaque.
template <bool with_depth, bool with_weights>
__device__ bool blend_batch(const Members<kBatch>& members, WarpWeights<with_weights>& weights, int count, float x,
                            float y, const Limits& limits, Pixel& pixel) {
  const int lane = lane_index(), warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int group = 0; group < count; group += kWarp) {
    const bool mine = group + lane < count && (members.warps[group + lane] >> warp & 1u);
    for (unsigned rest = __ballot_sync(kAllLanes, mine); rest; rest &= rest - 1) {
      const int at = group + __ffs(static_cast<int>(rest)) - 1;
      const float share = blend<with_depth>(members, at, x, y, limits, pixel);
      if constexpr (with_weights) {
        const float sum = warp_sum(share);
        if (lane == 0) weights.sum[at][warp] = sum;
      }
    }
    if (__all_sync(kAllLanes, !(pixel.left > limits.least))) return true;
  }
  return false;
}

__device__ void write_pixel(const SplatSize& size, const Tile& tile, const Pixel& pixel, const Pictures& out) {
  const TilePixel at = tile_pixel();
  const int x = tile.x + at.x, y = tile.y + at.y;
  if (x >= size.width || y >= size.height) return;
  const size_t index = (static_cast<size_t>(tile.image) * size.height + y) * size.width + x;
  const float alpha = 1.0f - pixel.left;
  out.rgb[3 * index] = pixel.red;
  out.rgb[3 * index + 1] = pixel.green;
  out.rgb[3 * index + 2] = pixel.blue;
  if (out.alpha) out.alpha[index] = alpha;
  if (out.depth) out.depth[index] = alpha <= kDepthAlphaMin ? 0.0f : pixel.depth / alpha;
}

__device__ void clear_weights(WarpWeights<true>& weights) {
  for (float& sum : weights.sum[threadIdx.x]) sum = 0.0f;
}

// What a batch's members weigh in the tile, the warps in their order.
__device__ void write_weights(const WarpWeights<true>& weights, const Workspace& work, uint32_t place) {
  float total = 0.0f;
  for (float sum : weights.sum[threadIdx.x]) total += sum;
  work.pair_weights()[work.slots[place]] = total;
}

template <bool with_depth, bool with_weights>
__global__ void __launch_bounds__(kThreads)
    rasterize_kernel(SplatSize size, Limits limits, Workspace work, const float* colors, Pictures out) {
  __shared__ Members<kBatch> members;
  __shared__ WarpWeights<with_weights> weights;
  const Tile tile(size, work);
  const TilePixel at = tile_pixel();
  const float x = static_cast<float>(at.x), y = static_cast<float>(at.y);
  const bool present = tile.x + at.x < size.width && tile.y + at.y < size.height;
  Pixel pixel{0.0f, 0.0f, 0.0f, 0.0f, present ? 1.0f : 0.0f};
  if (overflowed(work, size.capacity)) {
    const float nothing = not_a_number();
    return write_pixel(size, tile, {nothing, nothing, nothing, nothing, nothing}, out);
  }
  bool opaque = false;
  uint32_t first = tile.range.begin;
  for (; first < tile.range.end; first += kBatch) {
    if (__syncthreads_and(opaque)) break;
    const uint32_t place = first + threadIdx.x, left = tile.range.end - first;
    const int count = left < kBatch ? static_cast<int>(left) : kBatch;
    if (place < tile.range.end) {
      const Record record = load_member(work, colors, place);
      members.put(threadIdx.x, record, tile, touched_patches(record, tile, 0, kPatches));
    }
    if constexpr (with_weights) clear_weights(weights);
    __syncthreads();
    if (!opaque) opaque = blend_batch<with_depth, with_weights>(members, weights, count, x, y, limits, pixel);
    if constexpr (with_weights) {
      __syncthreads();
      if (place < tile.range.end) write_weights(weights, work, place);
    }
  }
  if constexpr (with_weights)
    for (uint32_t place = first + threadIdx.x; place < tile.range.end; place += kThreads)
      work.pair_weights()[work.slots[place]] = 0.0f;
  write_pixel(size, tile, pixel, out);
}

// Each Gaussian's weight over its tiles, always in the same order.
__global__ void __launch_bounds__(kThreads) sum_weights_kernel(SplatSize size, Workspace work, float* out) {
  const int at = blockIdx.x * kThreads + threadIdx.x;
  if (at >= size.gaussians()) return;
  float total = overflowed(work, size.capacity) ? not_a_number() : 0.0f;
  const uint32_t first = work.first_slots[at], tiles = work.tile_counts[at];
  if (total == 0.0f)
    for (uint32_t k = 0; k < tiles; ++k) total += work.pair_weights()[first + k];
  out[at] = total;
}

template <bool with_depth, bool with_weights>
void draw(const SplatSize& size, bool cutoff, const Workspace& work, const float* colors, const Pictures& out,
          Stream stream) {
  launch(rasterize_kernel<with_depth, with_weights>, dim3(size.tiles_x(), size.tiles_y(), size.batch), kThreads, 0,
         stream, size, limits_of(cutoff), work, colors, out);
}

}  // namespace

void rasterize(const SplatSize& size, bool cutoff, const Workspace& work, const float* colors, const Pictures& out,
               Stream stream) {
  if (out.weights) {
    if (out.depth)
      draw<true, true>(size, cutoff, work, colors, out, stream);
    else
      draw<false, true>(size, cutoff, work, colors, out, stream);
    launch(sum_weights_kernel, blocks_for(size.gaussians(), kThreads), kThreads, 0, stream, size, work, out.weights);
  } else if (out.depth) {
    draw<true, false>(size, cutoff, work, colors, out, stream);
  } else {
    draw<false, false>(size, cutoff, work, colors, out, stream);
  }
}

}  // namespace cuda
}  // namespace headsplat
