// Rows of composited images: the photometric loss with its gradients, and conversion to bytes.
#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

// `length` rounded up to a multiple of kWidth.
size_t round_up(size_t length) { return (length + kWidth - 1) / kWidth * kWidth; }

// Repeats each value three times, once per channel of an interleaved image.
void repeat_channels(const Scalar* source, size_t count, Scalar* out) {
  for (size_t i = 0; i < count; ++i) out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = source[i];
}

void to_floats(const uint8_t* source, size_t count, Scalar* out) {
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<Scalar>(source[i]) * Scalar(1.0 / 255.0);
}

Vec magnitude(Vec a) { return larger(a, Vec(0.0f) - a); }

}  // namespace

void compose_rows(const LossImage& image, int begin, int end, Scalar* buffer) {
  const size_t width = image.width, length = 3 * width, padded_length = round_up(length);
  Scalar *alpha = buffer, *matte = buffer + padded_length, *truth = buffer + 2 * padded_length,
         *background = buffer + 3 * padded_length;
  Scalar *composite = buffer + 4 * padded_length, *target = buffer + 5 * padded_length,
         *coverage_bytes = buffer + 6 * padded_length;
  std::memset(buffer, 0, sizeof(Scalar) * 7 * padded_length);
  for (size_t i = 0; i < length; ++i) background[i] = image.background[i % 3];
  for (int y = begin; y < end; ++y) {
    const size_t pixel = static_cast<size_t>(y) * width;
    repeat_channels(image.alpha + pixel, width, alpha);
    to_floats(image.matte + pixel, width, coverage_bytes);
    repeat_channels(coverage_bytes, width, matte);
    to_floats(image.truth + 3 * pixel, length, truth);
    std::memcpy(composite, image.rgb + 3 * pixel, sizeof(Scalar) * length);
    Vec absolute(0.0f), square(0.0f), alpha_error(0.0f);
    for (size_t at = 0; at < length; at += kWidth) {
      const Vec bg = load(background + at), opacity = load(alpha + at), coverage = load(matte + at);
      const Vec a = fnma(opacity, bg, load(composite + at) + bg), b = fma(load(truth + at) - bg, coverage, bg);
      const Vec difference = a - b;
      absolute = absolute + magnitude(difference);
      square = fma(difference, difference, square);
      alpha_error = alpha_error + magnitude(opacity - coverage);
      store(composite + at, a);
      store(target + at, b);
    }
    std::memcpy(image.composite + 3 * pixel, composite, sizeof(Scalar) * length);
    std::memcpy(image.target + 3 * pixel, target, sizeof(Scalar) * length);
    Scalar* sums = image.row_sums + 3 * static_cast<size_t>(y);
    sums[0] = sum(absolute);
    sums[1] = sum(square);
    sums[2] = sum(alpha_error) / 3.0f;
  }
}

void loss_rows_backward(const LossImage& image, int begin, int end) {
  const Scalar pixels = static_cast<Scalar>(image.width) * static_cast<Scalar>(image.height);
  const Scalar l1_scale = (1.0f - image.ssim_weight) / (3.0f * pixels), mask_scale = image.mask_weight / pixels;
  for (int y = begin; y < end; ++y) {
    const size_t pixel = static_cast<size_t>(y) * image.width, length = 3 * static_cast<size_t>(image.width);
    const Scalar *composite = image.composite + 3 * pixel, *target = image.target + 3 * pixel;
    Scalar *grad_rgb = image.grad_rgb + 3 * pixel, *grad_alpha = image.grad_alpha + pixel;
    for (size_t i = 0; i < length; ++i) {
      const Scalar grad_ssim = image.ssim_weight != 0.0f ? image.ssim_weight * grad_rgb[i] : 0.0f;
      const Scalar sign = static_cast<Scalar>(composite[i] > target[i]) - static_cast<Scalar>(composite[i] < target[i]);
      grad_rgb[i] = l1_scale * sign - grad_ssim;
    }
    for (int x = 0; x < image.width; ++x) {
      const Scalar *grad = grad_rgb + 3 * x, *bg = image.background;
      const Scalar alpha = image.alpha[pixel + x],
                   coverage = static_cast<Scalar>(image.matte[pixel + x]) * Scalar(1.0 / 255.0);
      const Scalar sign = static_cast<Scalar>(alpha > coverage) - static_cast<Scalar>(alpha < coverage);
      grad_alpha[x] = mask_scale * sign - (grad[0] * bg[0] + grad[1] * bg[1] + grad[2] * bg[2]);
    }
  }
}

void bytes_rows(const BytesImage& image, int begin, int end, Scalar* buffer) {
  const size_t width = image.width, length = 3 * width, padded_length = round_up(length);
  Scalar *alpha = buffer, *background = buffer + padded_length, *composite = buffer + 2 * padded_length;
  std::memset(buffer, 0, sizeof(Scalar) * 3 * padded_length);
  for (size_t i = 0; i < length; ++i) background[i] = image.background[i % 3];
  const Vec zero(0.0f), white(255.0f), half(0.5f);
  for (int y = begin; y < end; ++y) {
    const size_t pixel = static_cast<size_t>(y) * width;
    repeat_channels(image.alpha + pixel, width, alpha);
    std::memcpy(composite, image.rgb + 3 * pixel, sizeof(Scalar) * length);
    for (size_t at = 0; at < length; at += kWidth) {
      const Vec bg = load(background + at), value = fnma(load(alpha + at), bg, load(composite + at) + bg);
      store(composite + at, fma(smaller(larger(value, zero), Vec(1.0f)), white, half));
    }
    for (size_t i = 0; i < length; ++i) image.out[3 * pixel + i] = static_cast<uint8_t>(composite[i]);
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
