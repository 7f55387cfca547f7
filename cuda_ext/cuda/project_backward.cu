// Gradient partials of tile intersections -> gradients of world Gaussians, one thread per Gaussian.
#include "colors.h"
#include "tiles.h"

namespace headsplat {
namespace cuda {
namespace {

__device__ void add_partials(const float4* partials, float total[kPartials]) {
  const float4 first = partials[0], second = partials[1], third = partials[2];
  const float values[kPartials] = {first.x,  first.y,  first.z,  first.w, second.x,
                                   second.y, second.z, second.w, third.x, third.y};
  for (int k = 0; k < kPartials; ++k) total[k] += values[k];
}

// Sums the gradient partials of each lane's Gaussian over its tiles, in a fixed order; the whole warp sums Gaussians
// with many tiles. Must be called by all lanes of the warp.
__device__ void sum_partials(const float* partials, uint32_t first, uint32_t tiles, float total[kPartials]) {
  const float4* rows = reinterpret_cast<const float4*>(partials);
  constexpr uint32_t stride = kPartialStride / 4;
  for (int k = 0; k < kPartials; ++k) total[k] = 0.0f;
  if (tiles <= kWarp)
    for (uint32_t t = 0; t < tiles; ++t) add_partials(rows + static_cast<size_t>(first + t) * stride, total);
  for (unsigned many = __ballot_sync(kAllLanes, tiles > kWarp); many; many &= many - 1) {
    const int source_lane = __ffs(static_cast<int>(many)) - 1;
    const uint32_t begin = __shfl_sync(kAllLanes, first, source_lane),
                   count = __shfl_sync(kAllLanes, tiles, source_lane);
    float part[kPartials] = {};
    for (uint32_t t = lane_index(); t < count; t += kWarp)
      add_partials(rows + static_cast<size_t>(begin + t) * stride, part);
    for (int k = 0; k < kPartials; ++k) {
      const float sum = warp_sum(part[k]);
      if (lane_index() == source_lane) total[k] = sum;
    }
  }
}

// Partials: 0 dL/dalpha * alpha; 1 2 that times dx, dy; 3 4 5 times dx^2, dx dy, dy^2; 6 7 8 color; 9 depth.
__device__ ProjectedGrad<float> projected_gradient(const Projection<float>& p, float opacity, const float* sums) {
  const float inverse = 1.0f / p.det, a = p.yy * inverse, b = -p.xy * inverse, c = p.xx * inverse;
  ProjectedGrad<float> d;
  d.x = a * sums[1] + b * sums[2];
  d.y = b * sums[1] + c * sums[2];
  d.conic_xx = -0.5f * sums[3];
  d.conic_xy = -sums[4];
  d.conic_yy = -0.5f * sums[5];
  d.opacity = opacity > 0.0f ? sums[0] / opacity : 0.0f;
  d.depth = sums[9];
  return d;
}

// Sets every gradient of one Gaussian to `value`.
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
    project_backward_kernel(SplatSize size, Cameras cameras, GaussianInputs in, Workspace work, const float* partials,
                            size_t max_partials, GaussianGradients out) {
  const int image = blockIdx.y, index = blockIdx.x * kThreads + threadIdx.x;
  const bool present = index < size.count,
             overflow = overflowed(work, size.max_intersections) || overflowed(work, max_partials);
  const size_t at = static_cast<size_t>(image) * size.count + (present ? index : 0);
  const uint32_t tiles = present && !overflow ? work.tiles_per_gaussian[at] : 0;
  float sums[kPartials];
  sum_partials(partials, work.intersection_offsets[at], tiles, sums);
  if (!present) return;
  if (tiles == 0) return fill_gradients<terms>(out, at, overflow ? not_a_number() : 0.0f);
  const Camera camera = load_camera(cameras, size, image);
  Gaussian3<float> g = load_gaussian(in, at);
  Projection<float> p;
  project_gaussian(camera, g, p);
  GaussianGrad<float> grad;
  project_backward(camera, g, p, projected_gradient(p, g.opacity * p.compensation, sums), grad);
  view_color_backward<terms>(camera, in, work.projected[at], at, g.mean, sums + 6, grad.mean, out.colors);
  for (int k = 0; k < 3; ++k) out.means[3 * at + k] = grad.mean[k];
  for (int k = 0; k < 3; ++k) out.scales[3 * at + k] = grad.scale[k];
  for (int k = 0; k < 4; ++k) out.quats[4 * at + k] = grad.quat[k];
  out.opacities[at] = grad.opacity;
}

}  // namespace

void project_backward(const SplatSize& size, const Cameras& cameras, const GaussianInputs& in, const Workspace& work,
                      const float* partials, size_t max_partials, const GaussianGradients& out, Stream stream) {
  const dim3 grid(blocks_for(size.count, kThreads), size.batch);
  with_colors(in.sh_terms, [&](auto terms) {
    launch(project_backward_kernel<decltype(terms)::value>, grid, kThreads, 0, stream, size, cameras, in, work,
           partials, max_partials, out);
  });
}

}  // namespace cuda
}  // namespace headsplat
