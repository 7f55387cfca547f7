// Structural similarity (Wang et al. 2004: 11-tap separable Gaussian window, zero padding) and the photometric loss
// built on it, each with its gradient. The first pass over tiles computes the values and the derivatives with respect
// to the windows' blurred moments, the second pass blurs those derivatives back. Few images at a time, so that the
// intermediates stay in the L2 cache.
#include "launch.h"
#include "ops.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr int kRadius = 5;
constexpr int kTaps = 2 * kRadius + 1;
constexpr int kTileX = 32, kTileY = 16;                                      // pixels per block
constexpr int kHaloX = kTileX + 2 * kRadius, kHaloY = kTileY + 2 * kRadius;  // with the radius of the windows
constexpr int kThreadsY = 8;                                                 // each thread computes kRows rows
constexpr int kThreads = kTileX * kThreadsY;
constexpr int kRows = kTileY / kThreadsY;
constexpr int kWindowMoments = 5;  // a, b, a^2, b^2, ab
constexpr int kDerivatives = 3;    // with respect to blurred a, a^2 and ab
constexpr int kSums = 4;           // SSIM, |composite - target|, |alpha - matte|, (composite - target)^2
constexpr int kImagesPerPass = 8;
constexpr float kC1 = 0.01f * 0.01f, kC2 = 0.03f * 0.03f;

// exp(-d^2 / (2 1.5^2)) divided by the sum over the window; the index is a literal after unrolling, so it is an
// immediate.
__device__ inline float tap(int k) {
  const int offset = k < kRadius ? kRadius - k : k - kRadius;
  return offset == 0   ? 0.266011725f
         : offset == 1 ? 0.213005538f
         : offset == 2 ? 0.10936069f
         : offset == 3 ? 0.0360007721f
         : offset == 4 ? 0.00759875814f
                       : 0.00102838008f;
}

// Two images compared by SSIM alone.
struct SsimPair {
  const float *a, *b;
  float* grad;
  float scale;  // 1 / number of values per image
  static constexpr bool has_loss = false;

  __device__ bool has_window(int) const { return true; }
  __device__ void load(int, size_t pixel, float first[3], float second[3]) const {
    for (int c = 0; c < 3; ++c) first[c] = a[3 * pixel + c];
    for (int c = 0; c < 3; ++c) second[c] = b[3 * pixel + c];
  }
  __device__ float matte_error(size_t) const { return 0.0f; }
  __device__ void write(int, size_t pixel, const float grad_ssim[3]) const {
    for (int c = 0; c < 3; ++c) grad[3 * pixel + c] = scale * grad_ssim[c];
  }
};

__device__ inline float sign(float value) { return value > 0.0f ? 1.0f : value < 0.0f ? -1.0f : 0.0f; }

// A rendered image and a captured frame, both composited over the same background.
struct PhotometricPair {
  PhotometricInputs in;
  float *grad_rgb, *grad_alpha;
  float scale;  // 1 / number of pixels per image
  static constexpr bool has_loss = true;

  __device__ bool has_window(int y) const { return y % in.ssim_rows.stride == in.ssim_rows.first; }
  __device__ float matte(size_t pixel) const { return static_cast<float>(in.matte[pixel]) * (1.0f / 255.0f); }
  __device__ void load(int image, size_t pixel, float composite[3], float target[3]) const {
    const float transmittance = 1.0f - in.alpha[pixel], coverage = matte(pixel);
    for (int c = 0; c < 3; ++c) {
      const float background = in.background[3 * image + c];
      composite[c] = in.rgb[3 * pixel + c] + transmittance * background;
      target[c] = background + (static_cast<float>(in.truth[3 * pixel + c]) * (1.0f / 255.0f) - background) * coverage;
    }
  }
  __device__ float matte_error(size_t pixel) const { return in.alpha[pixel] - matte(pixel); }
  __device__ void write(int image, size_t pixel, const float grad_ssim[3]) const {
    float composite[3], target[3];
    load(image, pixel, composite, target);
    const float ssim_weight = in.ssim_weight * static_cast<float>(in.ssim_rows.stride);
    float grad_alpha_sum = in.mask_weight * scale * sign(matte_error(pixel));
    for (int c = 0; c < 3; ++c) {
      const float grad_composite =
          scale / 3.0f * ((1.0f - in.ssim_weight) * sign(composite[c] - target[c]) - ssim_weight * grad_ssim[c]);
      if (grad_rgb) grad_rgb[3 * pixel + c] = grad_composite;
      grad_alpha_sum -= grad_composite * in.background[3 * image + c];
    }
    if (grad_alpha) grad_alpha[pixel] = grad_alpha_sum;
  }
};

// A block's tile in image `first_image` + blockIdx.z of the batch.
struct TileLocation {
  int image, left, top;
  size_t first;  // index of the image's first pixel in the batch
};

__device__ TileLocation tile_location(const ImageShape& shape, int first_image) {
  const int image = first_image + blockIdx.z;
  return {image, static_cast<int>(blockIdx.x) * kTileX, static_cast<int>(blockIdx.y) * kTileY,
          static_cast<size_t>(image) * shape.height * shape.width};
}

struct SsimDerivatives {
  float value, by_mean, by_square, by_product;
};

// SSIM of one window from its blurred moments, and its derivatives with respect to blurred a, a^2 and ab.
__device__ SsimDerivatives ssim_of(const float m[kWindowMoments]) {
  const float squares = m[0] * m[0] + m[1] * m[1], product = m[0] * m[1];
  const float top1 = 2.0f * product + kC1, top2 = 2.0f * (m[4] - product) + kC2;
  const float low1 = squares + kC1, low2 = m[2] + m[3] - squares + kC2;
  const float inverse = 1.0f / (low1 * low2);
  SsimDerivatives part;
  part.value = top1 * top2 * inverse;
  part.by_square = -part.value * low1 * inverse;
  part.by_product = 2.0f * top1 * inverse;
  part.by_mean = 2.0f * (m[1] * (top2 - top1) * inverse - m[0] * part.value * (low2 - low1) * inverse);
  return part;
}

using Interleaved = float[kHaloY][3 * kHaloX];
using Blurred = float[kHaloY][kTileX];

// Loads the tile with its halo, zeros outside the image.
template <class Pair>
__device__ void load_tile(const Pair& pair, const ImageShape& shape, const TileLocation& location, Interleaved& a,
                          Interleaved& b) {
  for (int k = threadIdx.x; k < kHaloX * kHaloY; k += kThreads) {
    const int row = k / kHaloX, column = k % kHaloX;
    const int y = location.top - kRadius + row, x = location.left - kRadius + column;
    float first[3] = {0.0f, 0.0f, 0.0f}, second[3] = {0.0f, 0.0f, 0.0f};
    if (y >= 0 && y < shape.height && x >= 0 && x < shape.width)
      pair.load(location.image, location.first + static_cast<size_t>(y) * shape.width + x, first, second);
    for (int c = 0; c < 3; ++c) {
      a[row][3 * column + c] = first[c];
      b[row][3 * column + c] = second[c];
    }
  }
}

__device__ void blur_rows(const Interleaved& a, const Interleaved& b, int channel, Blurred (&out)[kWindowMoments]) {
  for (int k = threadIdx.x; k < kTileX * kHaloY; k += kThreads) {
    const int row = k / kTileX, column = k % kTileX;
    float total[kWindowMoments] = {};
#pragma unroll
    for (int t = 0; t < kTaps; ++t) {
      const float x = a[row][3 * (column + t) + channel], y = b[row][3 * (column + t) + channel];
      const float tx = tap(t) * x, ty = tap(t) * y;
      total[0] += tx;
      total[1] += ty;
      total[2] += tx * x;
      total[3] += ty * y;
      total[4] += tx * y;
    }
    for (int part = 0; part < kWindowMoments; ++part) out[part][row][column] = total[part];
  }
}

// Vertical blur of the calling thread's kRows rows, starting at `top`.
__device__ inline void blur_column(const Blurred& rows, int top, int column, float out[kRows]) {
  for (int r = 0; r < kRows; ++r) out[r] = 0.0f;
#pragma unroll
  for (int t = 0; t < kTaps + kRows - 1; ++t) {
    const float value = rows[top + t][column];
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      if (t >= r && t - r < kTaps) out[r] += tap(t - r) * value;
  }
}

// Sums over the block, written by the first threads.
__device__ void write_sums(float sums[kSums], float* out) {
  __shared__ float parts[kThreads / kWarp][kSums];
  for (int k = 0; k < kSums; ++k)
    for (int half = kWarp / 2; half; half /= 2) sums[k] += __shfl_xor_sync(kAllLanes, sums[k], half);
  if (threadIdx.x % kWarp == 0)
    for (int k = 0; k < kSums; ++k) parts[threadIdx.x / kWarp][k] = sums[k];
  __syncthreads();
  if (threadIdx.x >= kSums) return;
  float total = 0.0f;
  for (int warp = 0; warp < kThreads / kWarp; ++warp) total += parts[warp][threadIdx.x];
  out[threadIdx.x] = total;
}

// `partials` [images][3 channels][kDerivatives][H][W] or null, `sums` [images][blocks][kSums].
template <class Pair>
__global__ void __launch_bounds__(kThreads)
    image_loss_kernel(Pair pair, ImageShape shape, int first_image, float* partials, float* sums) {
  __shared__ Interleaved a, b;
  __shared__ Blurred rows[kWindowMoments];
  const TileLocation location = tile_location(shape, first_image);
  const size_t pixels = static_cast<size_t>(shape.height) * shape.width;
  const int column = threadIdx.x % kTileX, top = threadIdx.x / kTileX * kRows, x = location.left + column;
  float totals[kSums] = {};
  load_tile(pair, shape, location, a, b);
  for (int channel = 0; channel < 3; ++channel) {
    __syncthreads();
    blur_rows(a, b, channel, rows);
    __syncthreads();
    float moment[kWindowMoments][kRows];
    for (int k = 0; k < kWindowMoments; ++k) blur_column(rows[k], top, column, moment[k]);
    for (int r = 0; r < kRows; ++r) {
      const int y = location.top + top + r;
      if (x >= shape.width || y >= shape.height) continue;
      const float window[kWindowMoments] = {moment[0][r], moment[1][r], moment[2][r], moment[3][r], moment[4][r]};
      const SsimDerivatives part = pair.has_window(y) ? ssim_of(window) : SsimDerivatives{};
      const size_t at = static_cast<size_t>(y) * shape.width + x;
      totals[0] += part.value;
      if (Pair::has_loss) {
        const int center = 3 * (column + kRadius) + channel;
        const float error = a[top + r + kRadius][center] - b[top + r + kRadius][center];
        totals[1] += fabsf(error);
        totals[3] += error * error;
        if (channel == 0) totals[2] += fabsf(pair.matte_error(location.first + at));
      }
      if (!partials) continue;
      float* out = partials + (static_cast<size_t>(blockIdx.z) * 3 + channel) * kDerivatives * pixels + at;
      out[0] = part.by_mean;
      out[pixels] = part.by_square;
      out[2 * pixels] = part.by_product;
    }
  }
  const size_t block = (static_cast<size_t>(location.image) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  write_sums(totals, sums + block * kSums);
}

// Loads one plane of `partials` with its halo and blurs it along the rows.
__device__ void load_blurred(const float* plane, const ImageShape& shape, const TileLocation& location,
                             float (&halo)[kHaloY][kHaloX], Blurred& out) {
  for (int k = threadIdx.x; k < kHaloX * kHaloY; k += kThreads) {
    const int row = k / kHaloX, column = k % kHaloX;
    const int y = location.top - kRadius + row, x = location.left - kRadius + column;
    const bool inside = y >= 0 && y < shape.height && x >= 0 && x < shape.width;
    halo[row][column] = inside ? plane[static_cast<size_t>(y) * shape.width + x] : 0.0f;
  }
  __syncthreads();
  for (int k = threadIdx.x; k < kTileX * kHaloY; k += kThreads) {
    const int row = k / kTileX, column = k % kTileX;
    float total = 0.0f;
#pragma unroll
    for (int t = 0; t < kTaps; ++t) total += tap(t) * halo[row][column + t];
    out[row][column] = total;
  }
  __syncthreads();
}

template <class Pair>
__global__ void __launch_bounds__(kThreads)
    image_loss_backward_kernel(Pair pair, ImageShape shape, int first_image, const float* partials) {
  __shared__ float halo[kHaloY][kHaloX];
  __shared__ Blurred rows;
  const TileLocation location = tile_location(shape, first_image);
  const size_t pixels = static_cast<size_t>(shape.height) * shape.width;
  const int column = threadIdx.x % kTileX, top = threadIdx.x / kTileX * kRows, x = location.left + column;
  float blurred[3][kDerivatives][kRows];
#pragma unroll
  for (int channel = 0; channel < 3; ++channel)
#pragma unroll
    for (int part = 0; part < kDerivatives; ++part) {
      const float* plane = partials + ((static_cast<size_t>(blockIdx.z) * 3 + channel) * kDerivatives + part) * pixels;
      load_blurred(plane, shape, location, halo, rows);
      blur_column(rows, top, column, blurred[channel][part]);
    }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int y = location.top + top + r;
    if (x >= shape.width || y >= shape.height) continue;
    const size_t pixel = location.first + static_cast<size_t>(y) * shape.width + x;
    float first[3], second[3], grad[3];
    pair.load(location.image, pixel, first, second);
    for (int c = 0; c < 3; ++c)
      grad[c] = blurred[c][0][r] + 2.0f * first[c] * blurred[c][1][r] + second[c] * blurred[c][2][r];
    pair.write(location.image, pixel, grad);
  }
}

// Per-image results; `loss` is null for SSIM alone.
struct LossOutputs {
  float *ssim, *loss, *mse;
  float ssim_weight, mask_weight;
  WindowRows rows;
};

// One block per image: sums the tiles in a fixed order.
__global__ void __launch_bounds__(kThreads)
    reduce_loss_kernel(const float* sums, int blocks, int height, int width, LossOutputs out) {
  __shared__ double parts[kThreads][kSums];
  const float* image_sums = sums + static_cast<size_t>(blockIdx.x) * blocks * kSums;
  double total[kSums] = {};
  for (int block = threadIdx.x; block < blocks; block += kThreads)
    for (int k = 0; k < kSums; ++k) total[k] += image_sums[static_cast<size_t>(block) * kSums + k];
  for (int k = 0; k < kSums; ++k) parts[threadIdx.x][k] = total[k];
  for (int half = kThreads / 2; half; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < half)
      for (int k = 0; k < kSums; ++k) parts[threadIdx.x][k] += parts[threadIdx.x + half][k];
  }
  if (threadIdx.x != 0) return;
  // 1 less the stride times the mean of 1 - SSIM: without noise where the images are equal.
  const double pixels = static_cast<double>(height) * width;
  const int stride = out.rows.stride, counted = (height - out.rows.first + stride - 1) / stride * stride;
  const double similarity = (stride * parts[0][0] + 3.0 * (height - counted) * width) / (3.0 * pixels);
  if (out.ssim) out.ssim[blockIdx.x] = static_cast<float>(similarity);
  if (!out.loss) return;
  out.loss[blockIdx.x] =
      static_cast<float>((1.0 - out.ssim_weight) * parts[0][1] / (3.0 * pixels) +
                         out.mask_weight * parts[0][2] / pixels + out.ssim_weight * (1.0 - similarity));
  out.mse[blockIdx.x] = static_cast<float>(parts[0][3] / (3.0 * pixels));
}

dim3 tiles_of(const ImageShape& shape, int images) {
  return dim3(blocks_for(shape.width, kTileX), blocks_for(shape.height, kTileY), images);
}

size_t sums_of(const ImageShape& shape) {
  const dim3 tiles = tiles_of(shape, 1);
  return static_cast<size_t>(shape.batch) * tiles.x * tiles.y * kSums;
}

template <class Pair>
void image_loss(const Pair& pair, const ImageShape& shape, const LossOutputs& out, bool with_gradient, float* scratch,
                Stream stream) {
  float* sums = scratch;
  float* partials = with_gradient ? scratch + sums_of(shape) : nullptr;
  for (int first = 0; first < shape.batch; first += kImagesPerPass) {
    const int images = shape.batch - first < kImagesPerPass ? shape.batch - first : kImagesPerPass;
    const dim3 grid = tiles_of(shape, images), block(kThreads);
    launch(image_loss_kernel<Pair>, grid, block, 0, stream, pair, shape, first, partials, sums);
    if (with_gradient) launch(image_loss_backward_kernel<Pair>, grid, block, 0, stream, pair, shape, first, partials);
  }
  const dim3 tiles = tiles_of(shape, 1);
  launch(reduce_loss_kernel, dim3(shape.batch), dim3(kThreads), 0, stream, sums, static_cast<int>(tiles.x * tiles.y),
         shape.height, shape.width, out);
}

}  // namespace

size_t image_loss_scratch(const ImageShape& shape, bool with_gradient) {
  const size_t images = shape.batch < kImagesPerPass ? shape.batch : kImagesPerPass;
  const size_t partials = images * 3 * kDerivatives * shape.height * shape.width;
  return sizeof(float) * (sums_of(shape) + (with_gradient ? partials : 0));
}

void ssim(const ImageShape& shape, const float* a, const float* b, float* mean, float* grad, void* scratch,
          Stream stream) {
  const float scale = 1.0f / (3.0f * static_cast<float>(shape.height) * static_cast<float>(shape.width));
  image_loss(SsimPair{a, b, grad, scale}, shape, {mean, nullptr, nullptr, 0.0f, 0.0f, {1, 0}}, grad != nullptr,
             static_cast<float*>(scratch), stream);
}

void photometric(const ImageShape& shape, const PhotometricInputs& in, float* loss, float* mse, float* grad_rgb,
                 float* grad_alpha, void* scratch, Stream stream) {
  const float scale = 1.0f / (static_cast<float>(shape.height) * static_cast<float>(shape.width));
  image_loss(PhotometricPair{in, grad_rgb, grad_alpha, scale}, shape,
             {nullptr, loss, mse, in.ssim_weight, in.mask_weight, in.ssim_rows}, grad_rgb || grad_alpha,
             static_cast<float*>(scratch), stream);
}

}  // namespace cuda
}  // namespace headsplat
