// Gradients of the images -> gradient partials of every tile intersection, front to back like the forward pass.
//
// Each pixel carries the dot product of its gradient with what the Gaussians behind the current one accumulate, so that
// neither the background nor that color has to be recovered by division. The partials of an intersection are summed
// over a warp by shuffles, over the block's warps in a fixed order, and written to the intersection's own entry: no
// atomics, so the results are deterministic.
#include "warps.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr int kBatchSize = 64;  // Gaussians loaded together, four threads each
constexpr int kGroups = kBatchSize / kWarp;

struct PixelGradient {
  float red, green, blue, depth;  // gradients of the accumulated color and depth
  float grad_behind;              // gradient dot color accumulated behind
  float transmittance;
};

__device__ float at_or_zero(const float* values, size_t index) { return values ? values[index] : 0.0f; }

// Pixels outside the image have zero gradient and transmittance.
__device__ PixelGradient load_pixel(const SplatSize& size, const Tile& tile, const RenderGradients& in) {
  PixelGradient pixel{0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  const TilePixel at = tile_pixel();
  const int x = tile.x + at.x, y = tile.y + at.y;
  if (x >= size.width || y >= size.height) return pixel;
  const size_t index = (static_cast<size_t>(tile.image) * size.height + y) * size.width + x;
  pixel.red = at_or_zero(in.grad_rgb, 3 * index);
  pixel.green = at_or_zero(in.grad_rgb, 3 * index + 1);
  pixel.blue = at_or_zero(in.grad_rgb, 3 * index + 2);
  const float alpha = in.alpha[index];
  float grad_dot_rgb =
      pixel.red * in.rgb[3 * index] + pixel.green * in.rgb[3 * index + 1] + pixel.blue * in.rgb[3 * index + 2];
  float grad_alpha = at_or_zero(in.grad_alpha, index);
  if (in.grad_depth && alpha > kDepthAlphaMin) {
    const float grad_depth_sum = in.grad_depth[index] / alpha;
    pixel.depth = grad_depth_sum;
    grad_dot_rgb += grad_depth_sum * in.depth[index] * alpha;
    grad_alpha -= grad_depth_sum * in.depth[index];
  }
  pixel.grad_behind = grad_dot_rgb - grad_alpha * (1.0f - alpha);
  pixel.transmittance = 1.0f;
  return pixel;
}

// The pixel's contribution to the partials of an intersection, in the order that project_backward reads them; returns
// whether it contributes. `fades` of the batch's Gaussians is null without a layer.
template <bool with_depth>
__device__ bool pixel_partials(const GaussianBatch<kBatchSize>& batch, const float* fades, const LayerPixel& layer,
                               int at, float x, float y, const Thresholds& thresholds, PixelGradient& pixel,
                               float partials[kPartials]) {
  const float4 xy_ab = batch.xy_ab[at], c_opacity_rg = batch.c_opacity_rg[at];
  const float2 blue_depth = batch.blue_depth[at];
  const float dx = x - xy_ab.x, dy = y - xy_ab.y;
  const float raw = power_of_two(exponent(xy_ab.z, xy_ab.w, c_opacity_rg.x, c_opacity_rg.y, dx, dy));
  const bool contributes = raw >= thresholds.alpha_min && pixel.transmittance > thresholds.transmittance_min;
  float alpha = contributes ? smaller(raw, kAlphaMax) : 0.0f;
  float weight = rounded_product(pixel.transmittance, alpha);
  if (fades) {
    const float kept = layer.kept(blue_depth.y, fades[at]);
    weight = rounded_product(weight, kept);
    alpha *= kept;
  }
  float value = fmaf(pixel.red, c_opacity_rg.z, fmaf(pixel.green, c_opacity_rg.w, pixel.blue * blue_depth.x));
  if (with_depth) value = fmaf(pixel.depth, blue_depth.y, value);
  const float weighted_value = contributes ? weight * value : 0.0f;
  pixel.grad_behind -= weighted_value;
  pixel.transmittance -= weight;
  const float grad_log_alpha =
      contributes && raw <= kAlphaMax ? weighted_value - pixel.grad_behind * __fdividef(alpha, 1.0f - alpha) : 0.0f;
  partials[0] = grad_log_alpha;
  partials[1] = grad_log_alpha * dx;
  partials[2] = grad_log_alpha * dy;
  partials[3] = partials[1] * dx;
  partials[4] = partials[1] * dy;
  partials[5] = partials[2] * dy;
  partials[6] = weight * pixel.red;
  partials[7] = weight * pixel.green;
  partials[8] = weight * pixel.blue;
  partials[9] = with_depth ? weight * pixel.depth : 0.0f;
  return contributes;
}

// One round of the reduction: lanes whose `bit` is set keep the upper part of the first `held` values, the others the
// lower part, and each adds its partner's values of that part.
template <int held>
__device__ void exchange(float* values, int bit) {
  constexpr int kept = (held + 1) / 2;
  const bool upper = lane_index() & bit;
  for (int k = 0; k < kept; ++k) {
    const float high = k + kept < held ? values[k + kept] : 0.0f;
    const float sent = upper ? values[k] : high, own = upper ? high : values[k];
    values[k] = own + __shfl_xor_sync(kAllLanes, sent, bit);
  }
}

// Sums ten values over the warp with twelve shuffles; lane l then holds sum number sum_of_lane(l) in values[0].
__device__ void scatter_sums(float values[kPartials]) {
  exchange<10>(values, 16);
  exchange<5>(values, 8);
  exchange<3>(values, 4);
  exchange<2>(values, 2);
  values[0] += __shfl_xor_sync(kAllLanes, values[0], 1);
}

// Index of the sum that a lane holds, or -1.
__device__ int sum_of_lane(int lane) {
  int first = 0, held = kPartials, kept = kPartials;
  for (int bit = 16; bit > 1; bit /= 2) {
    kept = (kept + 1) / 2;
    first += lane & bit ? kept : 0;
    held = lane & bit ? held - kept : (held < kept ? held : kept);
  }
  return lane & 1 || held <= 0 ? -1 : first;
}

// Per-warp partials of a batch.
struct WarpPartials {
  alignas(16) float partials[kBatchSize][kPatches][kPartialStride];
  uint32_t has_partials[kGroups][kPatches];  // bit k: the warp has partials of Gaussian k of the group
};

template <bool with_depth>
__device__ void group_backward(const GaussianBatch<kBatchSize>& batch, const float* fades, const LayerPixel& layer,
                               WarpPartials& sums, int group, int count, float x, float y, const Thresholds& thresholds,
                               PixelGradient& pixel) {
  const int lane = lane_index(), warp = static_cast<int>(threadIdx.x) / kWarp, sum = sum_of_lane(lane);
  const int first = group * kWarp;
  const bool own = first + lane < count && (batch.warp_masks[first + lane] >> warp & 1u);
  uint32_t has_partials = 0;
  for (unsigned remaining = __ballot_sync(kAllLanes, own); remaining; remaining &= remaining - 1) {
    const int k = __ffs(static_cast<int>(remaining)) - 1;
    float partials[kPartials];
    const bool contributes =
        pixel_partials<with_depth>(batch, fades, layer, first + k, x, y, thresholds, pixel, partials);
    if (!__any_sync(kAllLanes, contributes)) continue;
    scatter_sums(partials);
    if (sum >= 0) sums.partials[first + k][warp][sum] = partials[0];
    has_partials |= 1u << k;
  }
  if (lane == 0) sums.has_partials[group][warp] = has_partials;
}

// Adds the warps' partials of a batch, one thread per four values of a Gaussian, and writes them to the intersection's
// entry. Reads are float4: with single floats, all Gaussians of a warp would hit the same bank of shared memory.
__device__ void write_partials(const WarpPartials& sums, int count, const Workspace& work, uint32_t first,
                               float* partials) {
  const int index = static_cast<int>(threadIdx.x) / 4, part = static_cast<int>(threadIdx.x) % 4;
  if (index >= count || part >= kPartialStride / 4) return;
  float4 total = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (int warp = 0; warp < kPatches; ++warp) {
    if (!(sums.has_partials[index / kWarp][warp] >> index % kWarp & 1u)) continue;
    const float4 one = *reinterpret_cast<const float4*>(sums.partials[index][warp] + 4 * part);
    total.x += one.x;
    total.y += one.y;
    if (part == kPartialStride / 4 - 1) continue;  // the last two floats are padding
    total.z += one.z;
    total.w += one.w;
  }
  reinterpret_cast<float4*>(
      partials)[static_cast<size_t>(work.sorted_ids[first + index]) * (kPartialStride / 4) + part] = total;
}

// Loads a batch, four threads per Gaussian; each thread tests the ellipse against the pixels of two warps.
__device__ void load_batch(GaussianBatch<kBatchSize>& batch, const Workspace& work, const Tile& tile, uint32_t first) {
  constexpr int threads_each = kThreads / kBatchSize, patches = kPatches / threads_each;
  const int index = static_cast<int>(threadIdx.x) / threads_each, part = static_cast<int>(threadIdx.x) % threads_each;
  const bool present = first + index < tile.range.end;
  const ProjectedGaussian projected = work.projected[work.tile_gaussians()[present ? first + index : first]];
  uint32_t warp_mask = overlapped_patches(projected, tile, part * patches, (part + 1) * patches);
  for (int step = 1; step < threads_each; step *= 2) warp_mask |= __shfl_xor_sync(kAllLanes, warp_mask, step);
  if (present && part == 0) batch.set(index, projected, tile, warp_mask);
}

// Gradient of the color of the layer: that of the pixel times the transmittance of its Gaussians.
__device__ void write_layer_gradient(const LayerPixel& layer, const PixelGradient& pixel, float* grad_layer) {
  if (!grad_layer || layer.index < 0) return;
  grad_layer[3 * layer.index] = pixel.transmittance * pixel.red;
  grad_layer[3 * layer.index + 1] = pixel.transmittance * pixel.green;
  grad_layer[3 * layer.index + 2] = pixel.transmittance * pixel.blue;
}

template <bool with_depth, bool with_layer>
__global__ void __launch_bounds__(kThreads)
    rasterize_backward_kernel(SplatSize size, Thresholds thresholds, Workspace work, LayerView view, RenderGradients in,
                              float* partials, size_t max_partials, float* grad_layer) {
  __shared__ GaussianBatch<kBatchSize> batch;
  __shared__ WarpPartials sums;
  __shared__ float batch_fades[with_layer ? kBatchSize : 1];
  const Tile tile(size, work);
  const bool overflow = overflowed(work, size.max_intersections) || overflowed(work, max_partials);
  if (overflow || (!with_layer && tile.range.begin >= tile.range.end)) return;
  const TilePixel at = tile_pixel();
  const float x = static_cast<float>(at.x), y = static_cast<float>(at.y);
  PixelGradient pixel = load_pixel(size, tile, in);
  const LayerPixel layer = with_layer ? layer_pixel(view, tile) : LayerPixel{kNoLayerDepth, 0.0f, -1};
  const float* fades = with_layer ? batch_fades : nullptr;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (uint32_t first = tile.range.begin; first < tile.range.end; first += kBatchSize) {
    const uint32_t remaining = tile.range.end - first;
    const int count = remaining < kBatchSize ? static_cast<int>(remaining) : kBatchSize;
    load_batch(batch, work, tile, first);
    if (with_layer && static_cast<int>(threadIdx.x) < count)
      batch_fades[threadIdx.x] = view.fades[work.tile_gaussians()[first + threadIdx.x]];
    __syncthreads();
    for (int group = 0; group < kGroups; ++group) {
      if (__any_sync(kAllLanes, pixel.transmittance > thresholds.transmittance_min)) {
        group_backward<with_depth>(batch, fades, layer, sums, group, count, x, y, thresholds, pixel);
      } else if (lane_index() == 0) {
        sums.has_partials[group][warp] = 0;
      }
    }
    __syncthreads();
    write_partials(sums, count, work, first, partials);
  }
  write_layer_gradient(layer, pixel, grad_layer);
}

}  // namespace

void rasterize_backward(const SplatSize& size, bool cutoff, const Workspace& work, const LayerView& layer,
                        const RenderGradients& in, float* partials, size_t max_partials, float* grad_layer,
                        Stream stream) {
  if (size.count == 0 && !layer.coverage) return;
  const dim3 grid(size.tiles_x(), size.tiles_y(), size.batch);
  const auto kernel =
      layer.coverage
          ? (in.grad_depth ? rasterize_backward_kernel<true, true> : rasterize_backward_kernel<false, true>)
          : (in.grad_depth ? rasterize_backward_kernel<true, false> : rasterize_backward_kernel<false, false>);
  launch(kernel, grid, kThreads, 0, stream, size, thresholds_for(cutoff), work, layer, in, partials, max_partials,
         grad_layer);
}

}  // namespace cuda
}  // namespace headsplat
