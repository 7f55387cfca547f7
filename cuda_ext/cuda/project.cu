// World Gaussians -> image-plane splats, one thread a Gaussian.
#include "colors.h"
#include "tiles.h"

namespace headsplat {
namespace cuda {
namespace {

__device__ bool on_screen(const View& view, const Record& s) {
  return s.x + s.extent_x > 0.0f && s.y + s.extent_y > 0.0f && s.x - s.extent_x < static_cast<float>(view.width) &&
         s.y - s.extent_y < static_cast<float>(view.height);
}

// What the rasterizer needs of one Gaussian; returns whether it is drawn.
template <int terms>
__device__ bool make_record(const View& view, const GaussianInputs& in, size_t at, Record& s) {
  Gaussian3<float> g = load_gaussian(in, at);
  Projection<float> p;
  float color[3];
  bool drawn = project_gaussian(view, g, p);
  drawn = seen_color<terms>(view, in, at, g.mean, color) && drawn;
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
  s.reach = s.log2_opacity + (view.cutoff ? kLog2Of255 + kReachSlack : kLog2Range);
  drawn = drawn && s.reach > 0.0f;
  const float sigmas = root(2.0f * kLn2 * (s.reach > 0.0f ? s.reach : 0.0f));
  s.extent_x = rounded_product(sigmas, root(p.xx));
  s.extent_y = rounded_product(sigmas, root(p.yy));
  return drawn && on_screen(view, s);
}

template <int terms>
__global__ void __launch_bounds__(kThreads)
    project_kernel(SplatSize size, Cameras cameras, GaussianInputs in, Workspace work) {
  __shared__ unsigned long long block_pairs;  // whole numbers: their sum does not depend on the order
  if (threadIdx.x == 0) block_pairs = 0;
  const int image = blockIdx.y, index = blockIdx.x * kThreads + threadIdx.x;
  const bool present = index < size.count;
  const size_t at = static_cast<size_t>(image) * size.count + (present ? index : 0);
  const View view = load_view(cameras, size, image);
  Record record;
  const bool drawn = make_record<terms>(view, in, at, record) && present;
  const TileJob job{ellipse_of(record), drawn ? tile_box(size, record) : TileBox{0, 0, -1, -1}, 0, 0, 0};
  const uint32_t tiles = visit_tiles(job, [](const TileJob&, uint32_t, int, int) {});
  if (present) {
    work.records[at] = record;
    work.depth_keys[at] = drawn ? __float_as_uint(record.depth) : kHidden;
    work.depth_order[at] = static_cast<uint32_t>(at);
    work.tile_counts[at] = tiles;
  }
  __syncthreads();
  const uint32_t pairs = warp_sum(tiles);
  if (lane_index() == 0 && pairs) atomicAdd(&block_pairs, static_cast<unsigned long long>(pairs));
  __syncthreads();
  if (threadIdx.x == 0 && block_pairs) atomicAdd(work.pairs, block_pairs);
}

}  // namespace

void project(const SplatSize& size, const Cameras& cameras, const GaussianInputs& in, const Workspace& work,
             Stream stream) {
  fill_bytes(work.pairs, 0, sizeof *work.pairs, stream);
  const dim3 grid(blocks_for(size.count, kThreads), size.batch);
  with_colors(in.sh_terms, [&](auto terms) {
    launch(project_kernel<decltype(terms)::value>, grid, kThreads, 0, stream, size, cameras, in, work);
  });
}

}  // namespace cuda
}  // namespace headsplat
