// World Gaussians -> projected Gaussians, one thread per Gaussian.
#include "colors.h"
#include "tiles.h"

namespace headsplat {
namespace cuda {
namespace {

__device__ bool on_screen(const Camera& camera, const ProjectedGaussian& s) {
  return s.x + s.extent_x > 0.0f && s.y + s.extent_y > 0.0f && s.x - s.extent_x < static_cast<float>(camera.width) &&
         s.y - s.extent_y < static_cast<float>(camera.height);
}

// Projects one Gaussian; returns whether it is visible.
template <int terms>
__device__ bool project_one(const Camera& camera, const GaussianInputs& in, size_t at, ProjectedGaussian& s) {
  Gaussian3<float> g = load_gaussian(in, at);
  Projection<float> p;
  float color[3];
  bool visible = project_gaussian(camera, g, p);
  visible = view_color<terms>(camera, in, at, g.mean, color) && visible;
  const float inverse = 1.0f / p.det;
  s.x = p.x;
  s.y = p.y;
  s.a = 0.5f * kLog2E * p.yy * inverse;
  s.b = -kLog2E * p.xy * inverse;
  s.c = 0.5f * kLog2E * p.xx * inverse;
  s.opacity = g.opacity * p.compensation;
  s.log2_opacity = log2f(s.opacity);
  s.red = color[0];
  s.green = color[1];
  s.blue = color[2];
  s.depth = p.depth;
  s.edge_x = p.xy / p.yy;
  s.edge_y = p.xy / p.xx;
  s.exponent_max = s.log2_opacity + (camera.cutoff ? kLog2Of255 + kExponentSlack : kLog2Range);
  visible = visible && s.exponent_max > 0.0f;
  const float sigmas = root(2.0f * kLn2 * (s.exponent_max > 0.0f ? s.exponent_max : 0.0f));
  s.extent_x = rounded_product(sigmas, root(p.xx));
  s.extent_y = rounded_product(sigmas, root(p.yy));
  return visible && on_screen(camera, s);
}

template <int terms>
__global__ void __launch_bounds__(kThreads)
    project_kernel(SplatSize size, Cameras cameras, GaussianInputs in, Workspace work) {
  __shared__ unsigned long long block_intersections;  // integers: their sum does not depend on the order
  if (threadIdx.x == 0) block_intersections = 0;
  const int image = blockIdx.y, index = blockIdx.x * kThreads + threadIdx.x;
  const bool present = index < size.count;
  const size_t at = static_cast<size_t>(image) * size.count + (present ? index : 0);
  const Camera camera = load_camera(cameras, size, image);
  ProjectedGaussian projected;
  const bool visible = project_one<terms>(camera, in, at, projected) && present;
  const TileQuery query{ellipse_of(projected), visible ? tile_box(size, projected) : TileBox{0, 0, -1, -1}, 0, 0, 0};
  const uint32_t tiles = visit_tiles(query, [](const TileQuery&, uint32_t, int, int) {});
  if (present) {
    work.projected[at] = projected;
    work.depth_keys[at] = visible ? __float_as_uint(projected.depth) : kInvalidKey;
    work.gaussian_ids[at] = static_cast<uint32_t>(at);
    work.tiles_per_gaussian[at] = tiles;
  }
  __syncthreads();
  const uint32_t intersection_count = warp_sum(tiles);
  if (lane_index() == 0 && intersection_count)
    atomicAdd(&block_intersections, static_cast<unsigned long long>(intersection_count));
  __syncthreads();
  if (threadIdx.x == 0 && block_intersections) atomicAdd(work.intersection_count, block_intersections);
}

}  // namespace

void project(const SplatSize& size, const Cameras& cameras, const GaussianInputs& in, const Workspace& work,
             Stream stream) {
  fill_bytes(work.intersection_count, 0, sizeof *work.intersection_count, stream);
  const dim3 grid(blocks_for(size.count, kThreads), size.batch);
  with_colors(in.sh_terms, [&](auto terms) {
    launch(project_kernel<decltype(terms)::value>, grid, kThreads, 0, stream, size, cameras, in, work);
  });
}

}  // namespace cuda
}  // namespace headsplat
