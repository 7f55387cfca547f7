// The layer: z-buffer of its faces and of the skin at the samples, stencil, texture, blur; and the texture's gradient.
// All images have a margin of kLayerMargin pixels, so that blur and stencil are right at the image border.
#include "../indices.h"
#include "../triangle.h"
#include "launch.h"
#include "layer_layout.h"
#include "ops.h"

namespace headsplat {
namespace cuda {
namespace {

using namespace headsplat::shared;
constexpr int kThreads = 128;
constexpr Key kEmptyKey = ~Key(0);
constexpr int kMaxReach = kLayerMargin * kSupersample;
constexpr float kSampleWeight = 1.0f / (kSupersample * kSupersample);
constexpr double kFixedPoint = 1099511627776.0;  // 2^40
constexpr float kMaxGradient = 1024.0f;          // of a sample; two million such samples fit into the sum of a texel

// Empty where an index of the face is out of range: a kernel cannot raise.
__device__ ScreenTriangle triangle_of(const LayerShape& shape, const LayerInputs& in, const Layout& layout, int image,
                                      const int64_t* faces, int face) {
  int64_t corners[3];
  if (!read_triangle(faces + 3 * static_cast<size_t>(face), shape.vertices, corners)) {
    ScreenTriangle empty{};
    empty.x1 = -1;
    return empty;
  }
  const float* K = in.intrinsics + 9 * image;
  float of_samples[9];
  for (int c = 0; c < 3; ++c) {
    of_samples[c] = kSupersample * (K[c] + kLayerMargin * K[6 + c]);
    of_samples[3 + c] = kSupersample * (K[3 + c] + kLayerMargin * K[6 + c]);
    of_samples[6 + c] = K[6 + c];
  }
  double inverse[9];
  invert(of_samples, inverse);
  return setup_triangle(layout.samples_x(), layout.samples_y(), shape.near_z,
                        in.vertices + static_cast<size_t>(image) * shape.vertices * 3, corners, of_samples, inverse);
}

// One block per image.
__global__ void __launch_bounds__(kThreads) measure_scale_kernel(LayerShape shape, LayerInputs in, Layout layout) {
  __shared__ double sums[kThreads];
  __shared__ int counts[kThreads];
  __shared__ float ends[kThreads];
  const int image = blockIdx.x;
  const float* vertices = in.vertices + static_cast<size_t>(image) * shape.vertices * 3;
  double sum = 0.0;
  float longest = 0.0f;
  int count = 0;
  for (int f = threadIdx.x; f < shape.faces; f += kThreads) {
    int64_t corners[3];
    longest = in.fades[2 * f + 1] > longest ? in.fades[2 * f + 1] : longest;
    if (!read_triangle(in.faces + 3 * static_cast<size_t>(f), shape.vertices, corners)) continue;
    for (int64_t corner : corners) {
      const float depth = vertices[3 * corner + 2];
      if (!(depth > shape.near_z) || !(depth - depth == 0.0f)) continue;
      sum += depth;
      ++count;
    }
  }
  sums[threadIdx.x] = sum;
  counts[threadIdx.x] = count;
  ends[threadIdx.x] = longest;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int k = 1; k < kThreads; ++k) {
    sum += sums[k];
    count += counts[k];
    longest = ends[k] > longest ? ends[k] : longest;
  }
  const double scale = count ? in.intrinsics[9 * image] * count / sum : 0.0;
  layout.pixels_per_meter[image] = scale > 0.0 ? static_cast<float>(scale) : 0.0f;
  const double reach = kHiddenReach * longest * scale * kSupersample + 2.0;
  layout.reach[image] = reach < kMaxReach ? static_cast<int>(reach) : kMaxReach;
}

// Calls visit(sample, depth) for the samples of a face, distributed over the lanes of a warp.
template <class Visit>
__device__ void visit_samples(const LayerShape& shape, const Layout& layout, const ScreenTriangle& t, int lane,
                              Visit visit) {
  if (t.x1 < t.x0 || t.y1 < t.y0) return;
  const unsigned box_width = t.x1 - t.x0 + 1, count = box_width * (t.y1 - t.y0 + 1);
  for (unsigned k = lane; k < count; k += kWarp) {
    const int x = t.x0 + static_cast<int>(k % box_width), y = t.y0 + static_cast<int>(k / box_width);
    double edges[3];
    const double total = edges_at(t, x, y, edges);
    if (!(edges[0] >= 0.0 && edges[1] >= 0.0 && edges[2] >= 0.0 && total > 0.0)) continue;
    const double depth = 1.0 / total;
    if (depth > shape.near_z) visit(static_cast<size_t>(y) * layout.samples_x() + x, static_cast<float>(depth));
  }
}

// One warp per face of the layer.
__global__ void __launch_bounds__(kThreads) depth_test_kernel(LayerShape shape, LayerInputs in, Layout layout) {
  const int face = (blockIdx.x * kThreads + threadIdx.x) / kWarp, lane = threadIdx.x % kWarp;
  if (face >= shape.faces) return;
  Key* keys = layout.keys + blockIdx.y * layout.samples;
  visit_samples(shape, layout, triangle_of(shape, in, layout, blockIdx.y, in.faces, face), lane,
                [&](size_t at, float depth) {
                  atomicMin(keys + at, static_cast<Key>(__float_as_uint(depth)) << 32 | static_cast<unsigned>(face));
                });
}

__global__ void __launch_bounds__(kThreads) find_covered_kernel(LayerInputs in, Layout layout) {
  const size_t at = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= layout.samples) return;
  const size_t sample = blockIdx.y * layout.samples + at;
  const Key key = layout.keys[sample];
  layout.seen[sample] = key != kEmptyKey && !is_skin(in.fades + 2 * static_cast<size_t>(static_cast<unsigned>(key)));
}

// One warp per face of the skin: clears `seen` behind it.
__global__ void __launch_bounds__(kThreads) hide_kernel(LayerShape shape, LayerInputs in, Layout layout) {
  const int face = (blockIdx.x * kThreads + threadIdx.x) / kWarp, lane = threadIdx.x % kWarp;
  if (face >= shape.skin_faces) return;
  const size_t first = blockIdx.y * layout.samples;
  visit_samples(shape, layout, triangle_of(shape, in, layout, blockIdx.y, in.skin, face), lane,
                [&](size_t at, float depth) {
                  const Key key = layout.keys[first + at];
                  if (key == kEmptyKey) return;
                  if (depth < __uint_as_float(static_cast<unsigned>(key >> 32))) layout.seen[first + at] = 0;
                });
}

__global__ void __launch_bounds__(kThreads)
    take_depths_kernel(LayerShape shape, LayerInputs in, Layout layout, LayerDepths given) {
  const size_t at = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= layout.samples) return;
  const size_t sample = blockIdx.y * layout.samples + at;
  const int64_t face = given.face[sample];
  const float depth = given.depth[sample], skin = given.skin[sample];
  const bool covered = face >= 0 && face < shape.faces && depth > shape.near_z;
  layout.keys[sample] =
      covered ? static_cast<Key>(__float_as_uint(depth)) << 32 | static_cast<unsigned>(face) : kEmptyKey;
  layout.seen[sample] = covered && !is_skin(in.fades + 2 * face) && !(skin > 0.0f && skin < depth);
}

// Distance along the column to the nearest sample whose `seen` is `target`, up to `reach`.
__device__ uint8_t column_distance(const Layout& layout, const uint8_t* seen, int y, int reach, uint8_t target) {
  const size_t width = layout.samples_x();
  int distance = 0;
  while (distance < reach) {
    if (y - distance >= 0 && *(seen - distance * width) == target) break;
    if (y + distance < layout.samples_y() && seen[distance * width] == target) break;
    ++distance;
  }
  return static_cast<uint8_t>(distance);
}

__global__ void __launch_bounds__(kThreads) measure_columns_kernel(Layout layout) {
  const size_t at = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= layout.samples) return;
  const int y = static_cast<int>(at / layout.samples_x()), reach = layout.reach[blockIdx.y];
  const size_t sample = blockIdx.y * layout.samples + at;
  layout.to_hidden[sample] = column_distance(layout, layout.seen + sample, y, reach, 0);
  layout.to_seen[sample] = column_distance(layout, layout.seen + sample, y, reach, 1);
}

// Distance in samples by the distances along the columns of an image; infinite if it is not less than `reach`.
__device__ float distance_at(const Layout& layout, const uint8_t* columns, int reach, int x, int y) {
  const int width = layout.samples_x();
  const uint8_t* row = columns + static_cast<size_t>(width) * y;
  int best = row[x] < reach ? row[x] * row[x] : reach * reach;
  for (int step = 1; step < reach && step * step < best; ++step)
    for (int side = -1; side <= 1; side += 2) {
      const int other = x + side * step;
      if (other < 0 || other >= width || row[other] >= reach) continue;
      const int squared = step * step + row[other] * row[other];
      best = squared < best ? squared : best;
    }
  return best < reach * reach ? sqrtf(static_cast<float>(best)) : __uint_as_float(0x7f800000u);
}

// Coverage and stencil of a covered sample.
__device__ float2 fade_at(const LayerInputs& in, const Layout& layout, int image, int face, size_t at) {
  const int x = static_cast<int>(at % layout.samples_x()), y = static_cast<int>(at / layout.samples_x());
  const size_t first = image * layout.samples;
  const float samples_per_meter = layout.pixels_per_meter[image] * kSupersample;
  const float* fades = in.fades + 2 * static_cast<size_t>(face);
  const int reach = layout.reach[image];
  if (is_skin(fades)) return make_float2(1.0f, 0.0f);
  if (layout.seen[first + at])
    return make_float2(
        1.0f, stencil_at(distance_at(layout, layout.to_hidden + first, reach, x, y), samples_per_meter, fades));
  const float coverage =
      hidden_coverage(distance_at(layout, layout.to_seen + first, reach, x, y), samples_per_meter, fades);
  return make_float2(coverage > 0.0f ? coverage : 0.0f, 0.0f);
}

struct Sample {
  int64_t texels[3];
  float weights[3], factor;  // the product of the shade and the weight of the sample in its pixel
};

// False where nothing is, or an index is out of range.
__device__ bool sample_at(const LayerShape& shape, const LayerInputs& in, const Layout& layout, int image, size_t at,
                          Sample& out) {
  const Key key = layout.keys[image * layout.samples + at];
  if (key == kEmptyKey) return false;
  const int face = static_cast<int>(key & 0xffffffffu), width = layout.samples_x();
  const ScreenTriangle t = triangle_of(shape, in, layout, image, in.faces, face);
  double edges[3];
  const double total = edges_at(t, static_cast<int>(at % width), static_cast<int>(at / width), edges);
  int64_t corners[3];
  if (!read_triangle(in.faces + 3 * static_cast<size_t>(face), shape.vertices, corners)) return false;
  double factor = 0.0;
  for (int k = 0; k < 3; ++k)
    factor += edges[k] / total * in.shade[static_cast<size_t>(image) * shape.vertices + corners[k]];
  out.factor = static_cast<float>(factor) * kSampleWeight * fade_at(in, layout, image, face, at).x;
  if (!(out.factor != 0.0f)) return false;
  const TexelSample found = texel_sample(static_cast<float>(edges[0] / total), static_cast<float>(edges[1] / total));
  for (int k = 0; k < 3; ++k) {
    out.texels[k] = in.texel_ids[static_cast<size_t>(kTexelNodes) * face + found.nodes[k]];
    out.weights[k] = found.weights[k];
    if (static_cast<uint64_t>(out.texels[k]) >= static_cast<uint64_t>(shape.texels)) return false;
  }
  return true;
}

// Color and coverage of every pixel, before the blur; depth and stencil of those of the image.
__global__ void __launch_bounds__(kThreads)
    resolve_kernel(LayerShape shape, LayerInputs in, Layout layout, LayerOutputs out) {
  const size_t pixel = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (pixel >= layout.pixels) return;
  const int image = blockIdx.y, x = static_cast<int>(pixel % layout.width), y = static_cast<int>(pixel / layout.width);
  float4 color = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float nearest = 0.0f, stencil = 0.0f;
  for (int k = 0; k < kSupersample * kSupersample; ++k) {
    const int sx = kSupersample * x + k % kSupersample, sy = kSupersample * y + k / kSupersample;
    const size_t at = static_cast<size_t>(layout.samples_x()) * sy + sx;
    const Key key = layout.keys[image * layout.samples + at];
    if (key == kEmptyKey) continue;
    const float2 fade = fade_at(in, layout, image, static_cast<int>(key & 0xffffffffu), at);
    if (fade.x == 0.0f) continue;
    color.w += fade.x * kSampleWeight;
    stencil += fade.y;
    const float depth = __uint_as_float(static_cast<unsigned>(key >> 32));
    nearest = nearest == 0.0f || depth < nearest ? depth : nearest;
    Sample sample;
    if (!sample_at(shape, in, layout, image, at, sample)) continue;
    for (int t = 0; t < 3; ++t) {
      const float weight = sample.weights[t] * sample.factor, *texel = in.texels + 3 * sample.texels[t];
      color.x += weight * texel[0];
      color.y += weight * texel[1];
      color.z += weight * texel[2];
    }
  }
  layout.image[image * layout.pixels + pixel] = color;
  const int column = x - kLayerMargin, row = y - kLayerMargin;
  if (column < 0 || row < 0 || column >= shape.width || row >= shape.height) return;
  const size_t at = (static_cast<size_t>(image) * shape.height + row) * shape.width + column;
  out.depth[at] = nearest;
  out.stencil[at] = stencil * kSampleWeight;
}

// Blur of a pixel of `from` along rows or columns, over zero.
__device__ float4 blurred_at(const LayerShape& shape, const Layout& layout, const float4* from, int image, int x, int y,
                             bool along_columns) {
  const float sigma = shape.blur * layout.pixels_per_meter[image], wide = ceilf(3.0f * sigma);
  const int radius = wide < kLayerMargin ? static_cast<int>(wide) : kLayerMargin;
  float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float total = 0.0f;
  for (int k = -radius; k <= radius; ++k) {
    const float at = radius ? static_cast<float>(k) / sigma : 0.0f, weight = expf(-0.5f * at * at);
    const int column = along_columns ? x : x + k, row = along_columns ? y + k : y;
    total += weight;
    if (column < 0 || row < 0 || column >= layout.width || row >= layout.height) continue;
    const float4 value = from[image * layout.pixels + static_cast<size_t>(row) * layout.width + column];
    sum.x += weight * value.x;
    sum.y += weight * value.y;
    sum.z += weight * value.z;
    sum.w += weight * value.w;
  }
  return make_float4(sum.x / total, sum.y / total, sum.z / total, sum.w / total);
}

__global__ void __launch_bounds__(kThreads)
    blur_kernel(LayerShape shape, Layout layout, const float4* from, float4* to, bool along_columns) {
  const size_t pixel = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (pixel >= layout.pixels) return;
  to[blockIdx.y * layout.pixels + pixel] =
      blurred_at(shape, layout, from, blockIdx.y, static_cast<int>(pixel % layout.width),
                 static_cast<int>(pixel / layout.width), along_columns);
}

__global__ void __launch_bounds__(kThreads) write_color_kernel(LayerShape shape, Layout layout, LayerOutputs out) {
  const int pixels = shape.width * shape.height, pixel = blockIdx.x * kThreads + threadIdx.x;
  if (pixel >= pixels) return;
  const int x = pixel % shape.width + kLayerMargin, y = pixel / shape.width + kLayerMargin;
  const float4 color = layout.image[blockIdx.y * layout.pixels + static_cast<size_t>(y) * layout.width + x];
  const size_t at = static_cast<size_t>(blockIdx.y) * pixels + pixel;
  out.color[3 * at] = color.x;
  out.color[3 * at + 1] = color.y;
  out.color[3 * at + 2] = color.z;
  out.coverage[at] = color.w;
}

__global__ void __launch_bounds__(kThreads) read_gradient_kernel(LayerShape shape, Layout layout, const float* grad) {
  const size_t pixel = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (pixel >= layout.pixels) return;
  const int x = static_cast<int>(pixel % layout.width) - kLayerMargin;
  const int y = static_cast<int>(pixel / layout.width) - kLayerMargin;
  float4 value = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (x >= 0 && y >= 0 && x < shape.width && y < shape.height) {
    const float* at = grad + 3 * ((static_cast<size_t>(blockIdx.y) * shape.height + y) * shape.width + x);
    value = make_float4(at[0], at[1], at[2], 0.0f);
  }
  layout.image[blockIdx.y * layout.pixels + pixel] = value;
}

__global__ void __launch_bounds__(kThreads) scatter_kernel(LayerShape shape, LayerInputs in, Layout layout) {
  const size_t at = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= layout.samples) return;
  Sample sample;
  if (!sample_at(shape, in, layout, blockIdx.y, at, sample)) return;
  const size_t x = at % layout.samples_x() / kSupersample, y = at / layout.samples_x() / kSupersample;
  const float4 grad = layout.image[blockIdx.y * layout.pixels + y * layout.width + x];
  const float channels[3] = {grad.x, grad.y, grad.z};
  for (int t = 0; t < 3; ++t)
    for (int c = 0; c < 3; ++c) {
      const float value = sample.weights[t] * sample.factor * channels[c];
      const float limited = value > kMaxGradient ? kMaxGradient : (value > -kMaxGradient ? value : -kMaxGradient);
      atomicAdd(layout.sums + 3 * sample.texels[t] + c, static_cast<Key>(__double2ll_rn(limited * kFixedPoint)));
    }
}

__global__ void __launch_bounds__(kThreads) write_texels_kernel(LayerShape shape, Layout layout, float* grad_texels) {
  const int at = blockIdx.x * kThreads + threadIdx.x;
  if (at >= 3 * shape.texels) return;
  grad_texels[at] = static_cast<float>(static_cast<double>(static_cast<long long>(layout.sums[at])) / kFixedPoint);
}

void blur(const LayerShape& shape, const Layout& layout, Stream stream) {
  const dim3 grid(blocks_for(layout.pixels, kThreads), shape.batch);
  launch(blur_kernel, grid, kThreads, 0, stream, shape, layout, static_cast<const float4*>(layout.image),
         layout.blurred, false);
  launch(blur_kernel, grid, kThreads, 0, stream, shape, layout, static_cast<const float4*>(layout.blurred),
         layout.image, true);
}

// The z-buffers of the layer and of the skin.
void rasterize_samples(const LayerShape& shape, const LayerInputs& in, const Layout& layout, Stream stream) {
  const dim3 samples(blocks_for(layout.samples, kThreads), shape.batch);
  fill_bytes(layout.keys, 0xff, sizeof(Key) * shape.batch * layout.samples, stream);
  launch(depth_test_kernel, dim3(blocks_for(static_cast<size_t>(shape.faces) * kWarp, kThreads), shape.batch), kThreads,
         0, stream, shape, in, layout);
  launch(find_covered_kernel, samples, kThreads, 0, stream, in, layout);
  launch(hide_kernel, dim3(blocks_for(static_cast<size_t>(shape.skin_faces) * kWarp, kThreads), shape.batch), kThreads,
         0, stream, shape, in, layout);
}

}  // namespace

size_t layer_scratch(const LayerShape& shape) { return Layout(shape, nullptr).bytes; }

size_t layer_samples(const LayerShape& shape) { return Layout(shape, nullptr).samples * shape.batch; }

void layer_forward(const LayerShape& shape, const LayerInputs& in, const LayerOutputs& out, void* scratch,
                   Stream stream, const LayerDepths* given) {
  const Layout layout(shape, scratch);
  const dim3 samples(blocks_for(layout.samples, kThreads), shape.batch);
  launch(measure_scale_kernel, dim3(shape.batch), kThreads, 0, stream, shape, in, layout);
  if (given) {
    launch(take_depths_kernel, samples, kThreads, 0, stream, shape, in, layout, *given);
  } else {
    rasterize_samples(shape, in, layout, stream);
  }
  launch(measure_columns_kernel, samples, kThreads, 0, stream, layout);
  launch(resolve_kernel, dim3(blocks_for(layout.pixels, kThreads), shape.batch), kThreads, 0, stream, shape, in, layout,
         out);
  blur(shape, layout, stream);
  launch(write_color_kernel, dim3(blocks_for(static_cast<size_t>(shape.width) * shape.height, kThreads), shape.batch),
         kThreads, 0, stream, shape, layout, out);
}

void layer_backward(const LayerShape& shape, const LayerInputs& in, const float* grad_color, float* grad_texels,
                    void* scratch, Stream stream) {
  const Layout layout(shape, scratch);
  fill_bytes(layout.sums, 0, sizeof(Key) * 3 * shape.texels, stream);
  launch(read_gradient_kernel, dim3(blocks_for(layout.pixels, kThreads), shape.batch), kThreads, 0, stream, shape,
         layout, grad_color);
  blur(shape, layout, stream);
  launch(scatter_kernel, dim3(blocks_for(layout.samples, kThreads), shape.batch), kThreads, 0, stream, shape, in,
         layout);
  launch(write_texels_kernel, dim3(blocks_for(3 * static_cast<size_t>(shape.texels), kThreads)), kThreads, 0, stream,
         shape, layout, grad_texels);
}

}  // namespace cuda
}  // namespace headsplat
