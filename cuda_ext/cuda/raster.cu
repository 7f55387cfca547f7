// Tiles of projected Gaussians -> images. One block per tile, one thread per pixel. The block loads a tile's Gaussians
// in batches, and each warp blends only those whose ellipse may overlap its 8x4 pixels.
#include "warps.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr int kBatchSize = kThreads;  // Gaussians loaded together, one per thread

struct Pixel {
  float red, green, blue, depth, transmittance;
};

// Blend weights of a batch, one column per warp.
template <bool with_weights>
struct WarpWeights {
  alignas(16) float sum[kBatchSize][kPatches];  // cleared and read as float4
};
template <>
struct WarpWeights<false> {};

__device__ float finite_or_zero(float value) { return value - value == 0.0f ? value : 0.0f; }

__device__ ProjectedGaussian load_projected(const Workspace& work, const float* colors, uint32_t intersection) {
  const uint32_t gaussian = work.tile_gaussians()[intersection];
  ProjectedGaussian projected = work.projected[gaussian];
  if (colors) {
    projected.red = finite_or_zero(colors[3 * static_cast<size_t>(gaussian)]);
    projected.green = finite_or_zero(colors[3 * static_cast<size_t>(gaussian) + 1]);
    projected.blue = finite_or_zero(colors[3 * static_cast<size_t>(gaussian) + 2]);
  }
  return projected;
}

// Fades of a batch of Gaussians.
template <bool with_layer>
struct BatchFades {
  float values[kBatchSize];
  __device__ void set(int at, float fade) { values[at] = fade; }
  __device__ float kept(const LayerPixel& layer, int at, float depth) const { return layer.kept(depth, values[at]); }
};
template <>
struct BatchFades<false> {
  __device__ float kept(const LayerPixel&, int, float) const { return 1.0f; }
};

// Blends one Gaussian into the thread's pixel; returns its blend weight.
template <bool with_depth, bool with_layer>
__device__ float blend_pixel(const GaussianBatch<kBatchSize>& batch, const BatchFades<with_layer>& fades,
                             const LayerPixel& layer, int at, float x, float y, const Thresholds& thresholds,
                             Pixel& pixel) {
  const float4 xy_ab = batch.xy_ab[at], c_opacity_rg = batch.c_opacity_rg[at];
  const float2 blue_depth = batch.blue_depth[at];
  const float alpha =
      power_of_two(exponent(xy_ab.z, xy_ab.w, c_opacity_rg.x, c_opacity_rg.y, x - xy_ab.x, y - xy_ab.y));
  if (!(alpha >= thresholds.alpha_min && pixel.transmittance > thresholds.transmittance_min)) return 0.0f;
  float weight = rounded_product(pixel.transmittance, smaller(alpha, kAlphaMax));
  if (with_layer) weight = rounded_product(weight, fades.kept(layer, at, blue_depth.y));
  pixel.red = fmaf(weight, c_opacity_rg.z, pixel.red);
  pixel.green = fmaf(weight, c_opacity_rg.w, pixel.green);
  pixel.blue = fmaf(weight, blue_depth.x, pixel.blue);
  if (with_depth) pixel.depth = fmaf(weight, blue_depth.y, pixel.depth);
  pixel.transmittance -= weight;
  return weight;
}

// Blends the first `count` Gaussians of the batch into a warp's pixels; returns whether all pixels are opaque.
template <bool with_depth, bool with_weights, bool with_layer>
__device__ bool blend_batch(const GaussianBatch<kBatchSize>& batch, const BatchFades<with_layer>& fades,
                            const LayerPixel& layer, WarpWeights<with_weights>& weights, int count, float x, float y,
                            const Thresholds& thresholds, Pixel& pixel) {
  const int lane = lane_index(), warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int group = 0; group < count; group += kWarp) {
    const bool own = group + lane < count && (batch.warp_masks[group + lane] >> warp & 1u);
    for (unsigned remaining = __ballot_sync(kAllLanes, own); remaining; remaining &= remaining - 1) {
      const int at = group + __ffs(static_cast<int>(remaining)) - 1;
      const float weight = blend_pixel<with_depth>(batch, fades, layer, at, x, y, thresholds, pixel);
      if constexpr (with_weights) {
        const float sum = warp_sum(weight);
        if (lane == 0) weights.sum[at][warp] = sum;
      }
    }
    if (__all_sync(kAllLanes, !(pixel.transmittance > thresholds.transmittance_min))) return true;
  }
  return false;
}

// Writes the pixel, with the layer blended behind its Gaussians.
__device__ void write_pixel(const SplatSize& size, const Tile& tile, Pixel pixel, const LayerView& layer,
                            long long of_layer, const RenderOutputs& out) {
  const TilePixel at = tile_pixel();
  const int x = tile.x + at.x, y = tile.y + at.y;
  if (x >= size.width || y >= size.height) return;
  const size_t index = (static_cast<size_t>(tile.image) * size.height + y) * size.width + x;
  float alpha = 1.0f - pixel.transmittance;
  if (of_layer >= 0) {
    const float weight = pixel.transmittance * layer.coverage[of_layer];
    if (layer.color) {
      pixel.red = fmaf(pixel.transmittance, layer.color[3 * of_layer], pixel.red);
      pixel.green = fmaf(pixel.transmittance, layer.color[3 * of_layer + 1], pixel.green);
      pixel.blue = fmaf(pixel.transmittance, layer.color[3 * of_layer + 2], pixel.blue);
    }
    pixel.depth = fmaf(weight, layer.depth[of_layer], pixel.depth);
    alpha += weight;
  }
  out.rgb[3 * index] = pixel.red;
  out.rgb[3 * index + 1] = pixel.green;
  out.rgb[3 * index + 2] = pixel.blue;
  if (out.alpha) out.alpha[index] = alpha;
  if (out.depth) out.depth[index] = alpha <= kDepthAlphaMin ? 0.0f : pixel.depth / alpha;
}

__device__ void clear_weights(WarpWeights<true>& weights) {
  for (float& sum : weights.sum[threadIdx.x]) sum = 0.0f;
}

// Blend weights of a batch summed over the tile, warps in a fixed order.
__device__ void write_weights(const WarpWeights<true>& weights, const Workspace& work, uint32_t intersection) {
  float total = 0.0f;
  for (float sum : weights.sum[threadIdx.x]) total += sum;
  work.intersection_weights()[work.sorted_ids[intersection]] = total;
}

template <bool with_depth, bool with_weights, bool with_layer>
__global__ void __launch_bounds__(kThreads) rasterize_kernel(SplatSize size, Thresholds thresholds, Workspace work,
                                                             LayerView view, const float* colors, RenderOutputs out) {
  __shared__ GaussianBatch<kBatchSize> batch;
  __shared__ BatchFades<with_layer> fades;
  __shared__ WarpWeights<with_weights> weights;
  const Tile tile(size, work);
  const TilePixel at = tile_pixel();
  const float x = static_cast<float>(at.x), y = static_cast<float>(at.y);
  const bool present = tile.x + at.x < size.width && tile.y + at.y < size.height;
  Pixel pixel{0.0f, 0.0f, 0.0f, 0.0f, present ? 1.0f : 0.0f};
  const LayerPixel layer = with_layer ? layer_pixel(view, tile) : LayerPixel{kNoLayerDepth, 0.0f, -1};
  if (overflowed(work, size.max_intersections)) {
    const float nothing = not_a_number();
    return write_pixel(size, tile, {nothing, nothing, nothing, nothing, nothing}, view, -1, out);
  }
  bool finished = false;
  uint32_t first = tile.range.begin;
  for (; first < tile.range.end; first += kBatchSize) {
    if (__syncthreads_and(finished)) break;
    const uint32_t intersection = first + threadIdx.x, remaining = tile.range.end - first;
    const int count = remaining < kBatchSize ? static_cast<int>(remaining) : kBatchSize;
    if (intersection < tile.range.end) {
      const ProjectedGaussian projected = load_projected(work, colors, intersection);
      batch.set(threadIdx.x, projected, tile, overlapped_patches(projected, tile, 0, kPatches));
      if constexpr (with_layer) fades.set(threadIdx.x, view.fades[work.tile_gaussians()[intersection]]);
    }
    if constexpr (with_weights) clear_weights(weights);
    __syncthreads();
    if (!finished) finished = blend_batch<with_depth>(batch, fades, layer, weights, count, x, y, thresholds, pixel);
    if constexpr (with_weights) {
      __syncthreads();
      if (intersection < tile.range.end) write_weights(weights, work, intersection);
    }
  }
  if constexpr (with_weights)
    for (uint32_t intersection = first + threadIdx.x; intersection < tile.range.end; intersection += kThreads)
      work.intersection_weights()[work.sorted_ids[intersection]] = 0.0f;
  write_pixel(size, tile, pixel, view, layer.index, out);
}

// Blend weight of each Gaussian summed over its tiles, in a fixed order.
__global__ void __launch_bounds__(kThreads) sum_weights_kernel(SplatSize size, Workspace work, float* out) {
  const int at = blockIdx.x * kThreads + threadIdx.x;
  if (at >= size.gaussians()) return;
  float total = overflowed(work, size.max_intersections) ? not_a_number() : 0.0f;
  const uint32_t first = work.intersection_offsets[at], tiles = work.tiles_per_gaussian[at];
  if (total == 0.0f)
    for (uint32_t k = 0; k < tiles; ++k) total += work.intersection_weights()[first + k];
  out[at] = total;
}

template <bool with_depth, bool with_weights>
void launch_rasterize(const SplatSize& size, bool cutoff, const Workspace& work, const LayerView& layer,
                      const float* colors, const RenderOutputs& out, Stream stream) {
  const auto kernel = layer.coverage ? rasterize_kernel<with_depth, with_weights, true>
                                     : rasterize_kernel<with_depth, with_weights, false>;
  launch(kernel, dim3(size.tiles_x(), size.tiles_y(), size.batch), kThreads, 0, stream, size, thresholds_for(cutoff),
         work, layer, colors, out);
}

}  // namespace

void rasterize(const SplatSize& size, bool cutoff, const Workspace& work, const LayerView& layer, const float* colors,
               const RenderOutputs& out, Stream stream) {
  if (out.weights) {
    if (out.depth)
      launch_rasterize<true, true>(size, cutoff, work, layer, colors, out, stream);
    else
      launch_rasterize<false, true>(size, cutoff, work, layer, colors, out, stream);
    launch(sum_weights_kernel, blocks_for(size.gaussians(), kThreads), kThreads, 0, stream, size, work, out.weights);
  } else if (out.depth) {
    launch_rasterize<true, false>(size, cutoff, work, layer, colors, out, stream);
  } else {
    launch_rasterize<false, false>(size, cutoff, work, layer, colors, out, stream);
  }
}

}  // namespace cuda
}  // namespace headsplat
