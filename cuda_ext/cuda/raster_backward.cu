// The pictures' gradients -> raw moments of every (splat, tile) pair, front to back like the pictures were made.
//
// Going front to back, a pixel carries what its gradient says about the light still to come; neither the background nor
// the light behind a splat has to be divided out. A pair's moments are summed over a warp by exchange, over the block's
// warps in their order, and written to the pair's own slot: no atomics, the same bits every time.
#include "warps.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr int kBatch = 64;  // members loaded together, four threads each
constexpr int kGroups = kBatch / kWarp;

struct PixelGradient {
  float red, green, blue, depth;  // of the sums over splats
  float behind;                   // gradient times light still to come
  float left;
};

__device__ float at_or_zero(const float* values, size_t index) { return values ? values[index] : 0.0f; }

// Nothing to come and no transmittance outside the picture.
__device__ PixelGradient load_pixel(const SplatSize& size, const Tile& tile, const PictureGradients& in) {
  PixelGradient pixel{0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
  const TilePixel at = tile_pixel();
  const int x = tile.x + at.x, y = tile.y + at.y;
  if (x >= size.width || y >= size.height) return pixel;
  const size_t index = (static_cast<size_t>(tile.image) * size.height + y) * size.width + x;
  pixel.red = at_or_zero(in.grad_rgb, 3 * index);
  pixel.green = at_or_zero(in.grad_rgb, 3 * index + 1);
  pixel.blue = at_or_zero(in.grad_rgb, 3 * index + 2);
  const float alpha = in.alpha[index];
  float light =
      pixel.red * in.rgb[3 * index] + pixel.green * in.rgb[3 * index + 1] + pixel.blue * in.rgb[3 * index + 2];
  float opaque = at_or_zero(in.grad_alpha, index);
  if (in.grad_depth && alpha > kDepthAlphaMin) {
    const float through = in.grad_depth[index] / alpha;
    pixel.depth = through;
    light += through * in.depth[index] * alpha;
    opaque -= through * in.depth[index];
  }
  pixel.behind = light - opaque * (1.0f - alpha);
  pixel.left = 1.0f;
  return pixel;
}

// One pixel's part in a pair's moments, in the order project_backward reads them; whether it has one.
template <bool with_depth>
__device__ bool pull(const Members<kBatch>& members, int at, float x, float y, const Limits& limits,
                     PixelGradient& pixel, float moment[kMomentsUsed]) {
  const float4 shape = members.shape[at], light = members.light[at];
  const float2 rest = members.rest[at];
  const float dx = x - shape.x, dy = y - shape.y;
  const float raw = power_of_two(exponent(shape.z, shape.w, light.x, light.y, dx, dy));
  const bool takes = raw >= limits.weakest && pixel.left > limits.least;
  const float alpha = takes ? smaller(raw, kAlphaMax) : 0.0f;
  const float share = rounded_product(pixel.left, alpha);
  float value = fmaf(pixel.red, light.z, fmaf(pixel.green, light.w, pixel.blue * rest.x));
  if (with_depth) value = fmaf(pixel.depth, rest.y, value);
  const float seen = takes ? share * value : 0.0f;
  pixel.behind -= seen;
  pixel.left -= share;
  const float force = takes && raw <= kAlphaMax ? seen - pixel.behind * __fdividef(alpha, 1.0f - alpha) : 0.0f;
  moment[0] = force;
  moment[1] = force * dx;
  moment[2] = force * dy;
  moment[3] = moment[1] * dx;
  moment[4] = moment[1] * dy;
  moment[5] = moment[2] * dy;
  moment[6] = share * pixel.red;
  moment[7] = share * pixel.green;
  moment[8] = share * pixel.blue;
  moment[9] = with_depth ? share * pixel.depth : 0.0f;
  return takes;
}

// One round of the exchange: lanes whose `bit` is set keep the upper part of the first `held` values, the others the
// lower, and each adds what its partner had of it.
template <int held>
__device__ void exchange(float* values, int bit) {
  constexpr int kept = (held + 1) / 2;
  const bool upper = lane_index() & bit;
  for (int k = 0; k < kept; ++k) {
    const float high = k + kept < held ? values[k + kept] : 0.0f;
    const float given = upper ? values[k] : high, own = upper ? high : values[k];
    values[k] = own + __shfl_xor_sync(kAllLanes, given, bit);
  }
}

// Sums ten values over the warp with twelve shuffles; lane l then holds the sum number sum_of_lane(l) in values[0].
__device__ void scatter_sums(float values[kMomentsUsed]) {
  exchange<10>(values, 16);
  exchange<5>(values, 8);
  exchange<3>(values, 4);
  exchange<2>(values, 2);
  values[0] += __shfl_xor_sync(kAllLanes, values[0], 1);
}

// Which of the ten sums a lane ends with, or -1 for lanes that end with nothing of their own.
__device__ int sum_of_lane(int lane) {
  int first = 0, held = kMomentsUsed, kept = kMomentsUsed;
  for (int bit = 16; bit > 1; bit /= 2) {
    kept = (kept + 1) / 2;
    first += lane & bit ? kept : 0;
    held = lane & bit ? held - kept : (held < kept ? held : kept);
  }
  return lane & 1 || held <= 0 ? -1 : first;
}

// Sums of a batch's pairs before they are added over the warps.
struct WarpSums {
  alignas(16) float moment[kBatch][kPatches][kMoments];
  uint32_t touched[kGroups][kPatches];  // bit k: the warp has sums of member k of the group
};

template <bool with_depth>
__device__ void gather_group(const Members<kBatch>& members, WarpSums& sums, int group, int count, float x, float y,
                             const Limits& limits, PixelGradient& pixel) {
  const int lane = lane_index(), warp = static_cast<int>(threadIdx.x) / kWarp, sum = sum_of_lane(lane);
  const int first = group * kWarp;
  const bool mine = first + lane < count && (members.warps[first + lane] >> warp & 1u);
  uint32_t touched = 0;
  for (unsigned rest = __ballot_sync(kAllLanes, mine); rest; rest &= rest - 1) {
    const int k = __ffs(static_cast<int>(rest)) - 1;
    float moment[kMomentsUsed];
    const bool takes = pull<with_depth>(members, first + k, x, y, limits, pixel, moment);
    if (!__any_sync(kAllLanes, takes)) continue;
    scatter_sums(moment);
    if (sum >= 0) sums.moment[first + k][warp][sum] = moment[0];
    touched |= 1u << k;
  }
  if (lane == 0) sums.touched[group][warp] = touched;
}

// Adds the warps' sums of a batch, a thread for four moments of a member, and writes them to the pair's slot. The sums
// are read in fours: one at a time, all members of a warp would read from the same bank of the shared memory.
__device__ void write_sums(const WarpSums& sums, int count, const Workspace& work, uint32_t first, float* moments) {
  const int member = static_cast<int>(threadIdx.x) / 4, part = static_cast<int>(threadIdx.x) % 4;
  if (member >= count || part >= kMoments / 4) return;
  float4 total = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (int warp = 0; warp < kPatches; ++warp) {
    if (!(sums.touched[member / kWarp][warp] >> member % kWarp & 1u)) continue;
    const float4 one = *reinterpret_cast<const float4*>(sums.moment[member][warp] + 4 * part);
    total.x += one.x;
    total.y += one.y;
    if (part == kMoments / 4 - 1) continue;  // the last two are no moments and were never written
    total.z += one.z;
    total.w += one.w;
  }
  reinterpret_cast<float4*>(moments)[static_cast<size_t>(work.slots[first + member]) * (kMoments / 4) + part] = total;
}

// Loads a batch's members, four threads each; every one of them tests the ellipse against two warps' pixels.
__device__ void load_batch(Members<kBatch>& members, const Workspace& work, const Tile& tile, uint32_t first) {
  constexpr int share = kThreads / kBatch, patches = kPatches / share;
  const int member = static_cast<int>(threadIdx.x) / share, part = static_cast<int>(threadIdx.x) % share;
  const bool present = first + member < tile.range.end;
  const Record record = work.records[work.members()[present ? first + member : first]];
  uint32_t touched = touched_patches(record, tile, part * patches, (part + 1) * patches);
  for (int step = 1; step < share; step *= 2) touched |= __shfl_xor_sync(kAllLanes, touched, step);
  if (present && part == 0) members.put(member, record, tile, touched);
}

template <bool with_depth>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(SplatSize size, Limits limits, Workspace work, PictureGradients in, float* moments, size_t pairs) {
  __shared__ Members<kBatch> members;
  __shared__ WarpSums sums;
  const Tile tile(size, work);
  if (tile.range.begin >= tile.range.end || overflowed(work, size.capacity) || overflowed(work, pairs)) return;
  const TilePixel at = tile_pixel();
  const float x = static_cast<float>(at.x), y = static_cast<float>(at.y);
  PixelGradient pixel = load_pixel(size, tile, in);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (uint32_t first = tile.range.begin; first < tile.range.end; first += kBatch) {
    const uint32_t rest = tile.range.end - first;
    const int count = rest < kBatch ? static_cast<int>(rest) : kBatch;
    load_batch(members, work, tile, first);
    __syncthreads();
    for (int group = 0; group < kGroups; ++group) {
      if (__any_sync(kAllLanes, pixel.left > limits.least)) {
        gather_group<with_depth>(members, sums, group, count, x, y, limits, pixel);
      } else if (lane_index() == 0) {
        sums.touched[group][warp] = 0;
      }
    }
    __syncthreads();
    write_sums(sums, count, work, first, moments);
  }
}

}  // namespace

void rasterize_backward(const SplatSize& size, bool cutoff, const Workspace& work, const PictureGradients& in,
                        float* moments, size_t moment_pairs, Stream stream) {
  if (size.count == 0) return;
  const dim3 grid(size.tiles_x(), size.tiles_y(), size.batch);
  const auto kernel = in.grad_depth ? gather_kernel<true> : gather_kernel<false>;
  launch(kernel, grid, kThreads, 0, stream, size, limits_of(cutoff), work, in, moments, moment_pairs);
}

}  // namespace cuda
}  // namespace headsplat
