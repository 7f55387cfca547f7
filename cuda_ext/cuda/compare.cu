// Structural similarity (Wang et al. 2004: 11-tap separable Gaussian, zero padding) and the photometric loss built on
// it, each with its gradient. One pass over tiles makes the values and the derivatives by the windows' blurred moments,
// a second blurs those derivatives back; a few images at a time, so that what is in between stays in the L2 cache.
#include "launch.h"
#include "ops.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr int kReach = 5;
constexpr int kTaps = 2 * kReach + 1;
constexpr int kTileX = 32, kTileY = 16;                                    // pixels of a block
constexpr int kWideX = kTileX + 2 * kReach, kWideY = kTileY + 2 * kReach;  // and what their windows reach
constexpr int kThreadsY = 8;                                               // each thread has kRows rows
constexpr int kThreads = kTileX * kThreadsY;
constexpr int kRows = kTileY / kThreadsY;
constexpr int kMoments = 5;         // a, b, a^2, b^2, ab
constexpr int kParts = 3;           // derivatives by blurred a, a^2 and ab
constexpr int kSums = 4;            // SSIM, |picture - target|, |alpha - matte|, (picture - target)^2
constexpr int kImagesTogether = 8;  // between one pass and the next
constexpr float kC1 = 0.01f * 0.01f, kC2 = 0.03f * 0.03f;

// exp(-d^2 / (2 1.5^2)) over its sum; a literal index after unrolling, so it becomes an immediate.
__device__ inline float tap(int k) {
  const int away = k < kReach ? kReach - k : k - kReach;
  return away == 0   ? 0.266011725f
         : away == 1 ? 0.213005538f
         : away == 2 ? 0.10936069f
         : away == 3 ? 0.0360007721f
         : away == 4 ? 0.00759875814f
                     : 0.00102838008f;
}

// Two pictures as they are.
struct PlainPair {
  const float *a, *b;
  float* grad;
  float scale;  // one over the number of values of an image
  static constexpr bool has_loss = false;

  __device__ void load(int, size_t pixel, float first[3], float second[3]) const {
    for (int c = 0; c < 3; ++c) first[c] = a[3 * pixel + c];
    for (int c = 0; c < 3; ++c) second[c] = b[3 * pixel + c];
  }
  __device__ float matte_error(size_t) const { return 0.0f; }
  __device__ void write(int, size_t pixel, const float by_ssim[3]) const {
    for (int c = 0; c < 3; ++c) grad[3 * pixel + c] = scale * by_ssim[c];
  }
};

__device__ inline float sign(float value) { return value > 0.0f ? 1.0f : value < 0.0f ? -1.0f : 0.0f; }

// A rendering over its background against what the camera saw over the same background.
struct PhotometricPair {
  PhotometricInputs in;
  float *grad_rgb, *grad_alpha;
  float scale;  // one over the number of pixels of an image
  static constexpr bool has_loss = true;

  __device__ float matte(size_t pixel) const { return static_cast<float>(in.matte[pixel]) * (1.0f / 255.0f); }
  __device__ void load(int image, size_t pixel, float picture[3], float target[3]) const {
    const float through = 1.0f - in.alpha[pixel], covered = matte(pixel);
    for (int c = 0; c < 3; ++c) {
      const float behind = in.background[3 * image + c];
      picture[c] = in.rgb[3 * pixel + c] + through * behind;
      target[c] = behind + (static_cast<float>(in.truth[3 * pixel + c]) * (1.0f / 255.0f) - behind) * covered;
    }
  }
  __device__ float matte_error(size_t pixel) const { return in.alpha[pixel] - matte(pixel); }
  __device__ void write(int image, size_t pixel, const float by_ssim[3]) const {
    float picture[3], target[3];
    load(image, pixel, picture, target);
    float by_alpha = in.mask_weight * scale * sign(matte_error(pixel));
    for (int c = 0; c < 3; ++c) {
      const float by_picture =
          scale / 3.0f * ((1.0f - in.ssim_weight) * sign(picture[c] - target[c]) - in.ssim_weight * by_ssim[c]);
      if (grad_rgb) grad_rgb[3 * pixel + c] = by_picture;
      by_alpha -= by_picture * in.background[3 * image + c];
    }
    if (grad_alpha) grad_alpha[pixel] = by_alpha;
  }
};

// Images `first_image` + blockIdx.z of the batch; `at` counts pixels of the whole batch.
struct Place {
  int image, left, top;
  size_t first;  // pixel
};

__device__ Place place_of(const PictureShape& shape, int first_image) {
  const int image = first_image + blockIdx.z;
  return {image, static_cast<int>(blockIdx.x) * kTileX, static_cast<int>(blockIdx.y) * kTileY,
          static_cast<size_t>(image) * shape.height * shape.width};
}

struct SsimPart {
  float value, by_mean, by_square, by_product;
};

// SSIM of one window from its blurred moments, and its derivatives by blurred a, a^2 and ab.
__device__ SsimPart ssim_of(const float m[kMoments]) {
  const float squares = m[0] * m[0] + m[1] * m[1], product = m[0] * m[1];
  const float top1 = 2.0f * product + kC1, top2 = 2.0f * (m[4] - product) + kC2;
  const float low1 = squares + kC1, low2 = m[2] + m[3] - squares + kC2;
  const float inverse = 1.0f / (low1 * low2);
  SsimPart part;
  part.value = top1 * top2 * inverse;
  part.by_square = -part.value * low1 * inverse;
  part.by_product = 2.0f * top1 * inverse;
  part.by_mean = 2.0f * (m[1] * (top2 - top1) * inverse - m[0] * part.value * (low2 - low1) * inverse);
  return part;
}

using Interleaved = float[kWideY][3 * kWideX];
using Blurred = float[kWideY][kTileX];

// The tile and its margin, zeros outside the picture.
template <class Pair>
__device__ void load_tile(const Pair& pair, const PictureShape& shape, const Place& place, Interleaved& a,
                          Interleaved& b) {
  for (int k = threadIdx.x; k < kWideX * kWideY; k += kThreads) {
    const int row = k / kWideX, column = k % kWideX;
    const int y = place.top - kReach + row, x = place.left - kReach + column;
    float first[3] = {0.0f, 0.0f, 0.0f}, second[3] = {0.0f, 0.0f, 0.0f};
    if (y >= 0 && y < shape.height && x >= 0 && x < shape.width)
      pair.load(place.image, place.first + static_cast<size_t>(y) * shape.width + x, first, second);
    for (int c = 0; c < 3; ++c) {
      a[row][3 * column + c] = first[c];
      b[row][3 * column + c] = second[c];
    }
  }
}

__device__ void blur_rows(const Interleaved& a, const Interleaved& b, int channel, Blurred (&out)[kMoments]) {
  for (int k = threadIdx.x; k < kTileX * kWideY; k += kThreads) {
    const int row = k / kTileX, column = k % kTileX;
    float total[kMoments] = {};
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
    for (int part = 0; part < kMoments; ++part) out[part][row][column] = total[part];
  }
}

// Down the column, for the kRows rows of the calling thread from `top` on.
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

// Sums of the block, in the first thread.
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

// `partials` [images][3 channels][kParts][H][W] or null, `sums` [images][blocks][kSums].
template <class Pair>
__global__ void __launch_bounds__(kThreads)
    compare_kernel(Pair pair, PictureShape shape, int first_image, float* partials, float* sums) {
  __shared__ Interleaved a, b;
  __shared__ Blurred rows[kMoments];
  const Place place = place_of(shape, first_image);
  const size_t pixels = static_cast<size_t>(shape.height) * shape.width;
  const int column = threadIdx.x % kTileX, top = threadIdx.x / kTileX * kRows, x = place.left + column;
  float totals[kSums] = {};
  load_tile(pair, shape, place, a, b);
  for (int channel = 0; channel < 3; ++channel) {
    __syncthreads();
    blur_rows(a, b, channel, rows);
    __syncthreads();
    float moment[kMoments][kRows];
    for (int k = 0; k < kMoments; ++k) blur_column(rows[k], top, column, moment[k]);
    for (int r = 0; r < kRows; ++r) {
      const int y = place.top + top + r;
      if (x >= shape.width || y >= shape.height) continue;
      const float window[kMoments] = {moment[0][r], moment[1][r], moment[2][r], moment[3][r], moment[4][r]};
      const SsimPart part = ssim_of(window);
      const size_t at = static_cast<size_t>(y) * shape.width + x;
      totals[0] += part.value;
      if (Pair::has_loss) {
        const int centre = 3 * (column + kReach) + channel;
        const float error = a[top + r + kReach][centre] - b[top + r + kReach][centre];
        totals[1] += fabsf(error);
        totals[3] += error * error;
        if (channel == 0) totals[2] += fabsf(pair.matte_error(place.first + at));
      }
      if (!partials) continue;
      float* out = partials + (static_cast<size_t>(blockIdx.z) * 3 + channel) * kParts * pixels + at;
      out[0] = part.by_mean;
      out[pixels] = part.by_square;
      out[2 * pixels] = part.by_product;
    }
  }
  const size_t block = (static_cast<size_t>(place.image) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  write_sums(totals, sums + block * kSums);
}

// One plane of `partials`: the tile and its margin, then blurred along the rows.
__device__ void load_blurred(const float* plane, const PictureShape& shape, const Place& place,
                             float (&wide)[kWideY][kWideX], Blurred& out) {
  for (int k = threadIdx.x; k < kWideX * kWideY; k += kThreads) {
    const int row = k / kWideX, column = k % kWideX;
    const int y = place.top - kReach + row, x = place.left - kReach + column;
    const bool inside = y >= 0 && y < shape.height && x >= 0 && x < shape.width;
    wide[row][column] = inside ? plane[static_cast<size_t>(y) * shape.width + x] : 0.0f;
  }
  __syncthreads();
  for (int k = threadIdx.x; k < kTileX * kWideY; k += kThreads) {
    const int row = k / kTileX, column = k % kTileX;
    float total = 0.0f;
#pragma unroll
    for (int t = 0; t < kTaps; ++t) total += tap(t) * wide[row][column + t];
    out[row][column] = total;
  }
  __syncthreads();
}

template <class Pair>
__global__ void __launch_bounds__(kThreads)
    compare_gradient_kernel(Pair pair, PictureShape shape, int first_image, const float* partials) {
  __shared__ float wide[kWideY][kWideX];
  __shared__ Blurred rows;
  const Place place = place_of(shape, first_image);
  const size_t pixels = static_cast<size_t>(shape.height) * shape.width;
  const int column = threadIdx.x % kTileX, top = threadIdx.x / kTileX * kRows, x = place.left + column;
  float blurred[3][kParts][kRows];
#pragma unroll
  for (int channel = 0; channel < 3; ++channel)
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const float* plane = partials + ((static_cast<size_t>(blockIdx.z) * 3 + channel) * kParts + part) * pixels;
      load_blurred(plane, shape, place, wide, rows);
      blur_column(rows, top, column, blurred[channel][part]);
    }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int y = place.top + top + r;
    if (x >= shape.width || y >= shape.height) continue;
    const size_t pixel = place.first + static_cast<size_t>(y) * shape.width + x;
    float first[3], second[3], grad[3];
    pair.load(place.image, pixel, first, second);
    for (int c = 0; c < 3; ++c)
      grad[c] = blurred[c][0][r] + 2.0f * first[c] * blurred[c][1][r] + second[c] * blurred[c][2][r];
    pair.write(place.image, pixel, grad);
  }
}

// Where the means of an image go; `loss` null for SSIM alone.
struct Means {
  float *ssim, *loss, *mse;
  float ssim_weight, mask_weight;
};

// One block an image: the tiles' sums in a fixed order.
__global__ void __launch_bounds__(kThreads)
    finish_compare_kernel(const float* sums, int blocks, double pixels, Means out) {
  __shared__ double parts[kThreads][kSums];
  const float* own = sums + static_cast<size_t>(blockIdx.x) * blocks * kSums;
  double total[kSums] = {};
  for (int block = threadIdx.x; block < blocks; block += kThreads)
    for (int k = 0; k < kSums; ++k) total[k] += own[static_cast<size_t>(block) * kSums + k];
  for (int k = 0; k < kSums; ++k) parts[threadIdx.x][k] = total[k];
  for (int half = kThreads / 2; half; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < half)
      for (int k = 0; k < kSums; ++k) parts[threadIdx.x][k] += parts[threadIdx.x + half][k];
  }
  if (threadIdx.x != 0) return;
  const double similarity = parts[0][0] / (3.0 * pixels);
  if (out.ssim) out.ssim[blockIdx.x] = static_cast<float>(similarity);
  if (!out.loss) return;
  out.loss[blockIdx.x] =
      static_cast<float>((1.0 - out.ssim_weight) * parts[0][1] / (3.0 * pixels) +
                         out.mask_weight * parts[0][2] / pixels + out.ssim_weight * (1.0 - similarity));
  out.mse[blockIdx.x] = static_cast<float>(parts[0][3] / (3.0 * pixels));
}

dim3 tiles_of(const PictureShape& shape, int images) {
  return dim3(blocks_for(shape.width, kTileX), blocks_for(shape.height, kTileY), images);
}

size_t sums_of(const PictureShape& shape) {
  const dim3 tiles = tiles_of(shape, 1);
  return static_cast<size_t>(shape.batch) * tiles.x * tiles.y * kSums;
}

template <class Pair>
void compare(const Pair& pair, const PictureShape& shape, const Means& out, bool with_gradient, float* scratch,
             Stream stream) {
  float* sums = scratch;
  float* partials = with_gradient ? scratch + sums_of(shape) : nullptr;
  for (int first = 0; first < shape.batch; first += kImagesTogether) {
    const int images = shape.batch - first < kImagesTogether ? shape.batch - first : kImagesTogether;
    const dim3 grid = tiles_of(shape, images), block(kThreads);
    launch(compare_kernel<Pair>, grid, block, 0, stream, pair, shape, first, partials, sums);
    if (with_gradient) launch(compare_gradient_kernel<Pair>, grid, block, 0, stream, pair, shape, first, partials);
  }
  const dim3 tiles = tiles_of(shape, 1);
  const double pixels = static_cast<double>(shape.height) * shape.width;
  launch(finish_compare_kernel, dim3(shape.batch), dim3(kThreads), 0, stream, sums, static_cast<int>(tiles.x * tiles.y),
         pixels, out);
}

}  // namespace

size_t compare_scratch(const PictureShape& shape, bool with_gradient) {
  const size_t images = shape.batch < kImagesTogether ? shape.batch : kImagesTogether;
  const size_t partials = images * 3 * kParts * shape.height * shape.width;
  return sizeof(float) * (sums_of(shape) + (with_gradient ? partials : 0));
}

void ssim(const PictureShape& shape, const float* a, const float* b, float* mean, float* grad, void* scratch,
          Stream stream) {
  const float scale = 1.0f / (3.0f * static_cast<float>(shape.height) * static_cast<float>(shape.width));
  compare(PlainPair{a, b, grad, scale}, shape, {mean, nullptr, nullptr, 0.0f, 0.0f}, grad != nullptr,
          static_cast<float*>(scratch), stream);
}

void photometric(const PictureShape& shape, const PhotometricInputs& in, float* loss, float* mse, float* grad_rgb,
                 float* grad_alpha, void* scratch, Stream stream) {
  const float scale = 1.0f / (static_cast<float>(shape.height) * static_cast<float>(shape.width));
  compare(PhotometricPair{in, grad_rgb, grad_alpha, scale}, shape, {nullptr, loss, mse, in.ssim_weight, in.mask_weight},
          grad_rgb || grad_alpha, static_cast<float*>(scratch), stream);
}

}  // namespace cuda
}  // namespace headsplat
