// Raw moments of (splat, tile) pairs -> gradients of world Gaussians, one thread a Gaussian.
#include "colors.h"
#include "tiles.h"

namespace headsplat {
namespace cuda {
namespace {

__device__ void add_pair(const float4* pair, float total[kMomentsUsed]) {
  const float4 first = pair[0], second = pair[1], third = pair[2];
  const float values[kMomentsUsed] = {first.x,  first.y,  first.z,  first.w, second.x,
                                      second.y, second.z, second.w, third.x, third.y};
  for (int k = 0; k < kMomentsUsed; ++k) total[k] += values[k];
}

// Moments of each lane's Gaussian over its tiles, in the same order always; the warp shares out those of many tiles.
// Called by all lanes of the warp.
__device__ void sum_pairs(const float* moments, uint32_t first, uint32_t tiles, float total[kMomentsUsed]) {
  const float4* pairs = reinterpret_cast<const float4*>(moments);
  constexpr uint32_t stride = kMoments / 4;
  for (int k = 0; k < kMomentsUsed; ++k) total[k] = 0.0f;
  if (tiles <= kWarp)
    for (uint32_t t = 0; t < tiles; ++t) add_pair(pairs + static_cast<size_t>(first + t) * stride, total);
  for (unsigned many = __ballot_sync(kAllLanes, tiles > kWarp); many; many &= many - 1) {
    const int owner = __ffs(static_cast<int>(many)) - 1;
    const uint32_t begin = __shfl_sync(kAllLanes, first, owner), count = __shfl_sync(kAllLanes, tiles, owner);
    float part[kMomentsUsed] = {};
    for (uint32_t t = lane_index(); t < count; t += kWarp)
      add_pair(pairs + static_cast<size_t>(begin + t) * stride, part);
    for (int k = 0; k < kMomentsUsed; ++k) {
      const float sum = warp_sum(part[k]);
      if (lane_index() == owner) total[k] = sum;
    }
  }
}

// Moments: 0 d(alpha) alpha, 1 2 times dx, dy, 3 4 5 times dx^2, dx dy, dy^2; 6 7 8 colour; 9 depth.
__device__ SplatGrad<float> splat_gradient(const Projection<float>& p, float opacity, const float* moment) {
  const float inverse = 1.0f / p.det, a = p.yy * inverse, b = -p.xy * inverse, c = p.xx * inverse;
  SplatGrad<float> d;
  d.x = a * moment[1] + b * moment[2];
  d.y = b * moment[1] + c * moment[2];
  d.conic_xx = -0.5f * moment[3];
  d.conic_xy = -moment[4];
  d.conic_yy = -0.5f * moment[5];
  d.opacity = opacity > 0.0f ? moment[0] / opacity : 0.0f;
  d.depth = moment[9];
  return d;
}

// `value` in every gradient of one Gaussian.
template <int terms>
__device__ void fill_gradients(const GaussianGradients& out, size_t at, float value) {
  constexpr int numbers = 3 * (terms ? terms : 1);
  for (int k = 0; k < 3; ++k) out.means[3 * at + k] = out.scales[3 * at + k] = value;
  for (int k = 0; k < 4; ++k) out.quats[4 * at + k] = value;
  out.opacities[at] = value;
  for (int k = 0; k < numbers; ++k) out.colors[numbers * at + k] = value;
}

template <int terms>
__global__ void __launch_bounds__(kThreads)
    project_backward_kernel(SplatSize size, Cameras cameras, GaussianInputs in, Workspace work, const float* moments,
                            size_t pairs, GaussianGradients out) {
  const int image = blockIdx.y, index = blockIdx.x * kThreads + threadIdx.x;
  const bool present = index < size.count, lost = overflowed(work, size.capacity) || overflowed(work, pairs);
  const size_t at = static_cast<size_t>(image) * size.count + (present ? index : 0);
  const uint32_t tiles = present && !lost ? work.tile_counts[at] : 0;
  float moment[kMomentsUsed];
  sum_pairs(moments, work.first_slots[at], tiles, moment);
  if (!present) return;
  if (tiles == 0) return fill_gradients<terms>(out, at, lost ? not_a_number() : 0.0f);
  const View view = load_view(cameras, size, image);
  Gaussian3<float> g = load_gaussian(in, at);
  Projection<float> p;
  project_gaussian(view, g, p);
  GaussianGrad<float> grad;
  project_backward(view, g, p, splat_gradient(p, g.opacity * p.compensation, moment), grad);
  color_backward<terms>(view, in, work.records[at], at, g.mean, moment + 6, grad.mean, out.colors);
  for (int k = 0; k < 3; ++k) out.means[3 * at + k] = grad.mean[k];
  for (int k = 0; k < 3; ++k) out.scales[3 * at + k] = grad.scale[k];
  for (int k = 0; k < 4; ++k) out.quats[4 * at + k] = grad.quat[k];
  out.opacities[at] = grad.opacity;
}

}  // namespace

void project_backward(const SplatSize& size, const Cameras& cameras, const GaussianInputs& in, const Workspace& work,
                      const float* moments, size_t moment_pairs, const GaussianGradients& out, Stream stream) {
  const dim3 grid(blocks_for(size.count, kThreads), size.batch);
  with_colors(in.sh_terms, [&](auto terms) {
    launch(project_backward_kernel<decltype(terms)::value>, grid, kThreads, 0, stream, size, cameras, in, work, moments,
           moment_pairs, out);
  });
}

}  // namespace cuda
}  // namespace headsplat
