// Rows of composed pictures: those of the photometric loss with its gradients, and those that are shown.
#include "kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

// The least multiple of kWidth that holds `length` floats.
size_t padded(size_t length) { return (length + kWidth - 1) / kWidth * kWidth; }

// Each value three times, as the channels of an interleaved picture want it.
void spread(const Scalar* source, size_t count, Scalar* out) {
  for (size_t i = 0; i < count; ++i) out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = source[i];
}

void to_floats(const uint8_t* source, size_t count, Scalar* out) {
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<Scalar>(source[i]) * Scalar(1.0 / 255.0);
}

Vec magnitude(Vec a) { return larger(a, Vec(0.0f) - a); }

}  // namespace

void compose_rows(const LossImage& image, int begin, int end, Scalar* buffer) {
  const size_t width = image.width, length = 3 * width, room = padded(length);
  Scalar *alpha = buffer, *matte = buffer + room, *truth = buffer + 2 * room, *behind = buffer + 3 * room;
  Scalar *picture = buffer + 4 * room, *target = buffer + 5 * room, *narrow = buffer + 6 * room;
  std::memset(buffer, 0, sizeof(Scalar) * 7 * room);
  for (size_t i = 0; i < length; ++i) behind[i] = image.background[i % 3];
  for (int y = begin; y < end; ++y) {
    const size_t pixel = static_cast<size_t>(y) * width;
    spread(image.alpha + pixel, width, alpha);
    to_floats(image.matte + pixel, width, narrow);
    spread(narrow, width, matte);
    to_floats(image.truth + 3 * pixel, length, truth);
    std::memcpy(picture, image.rgb + 3 * pixel, sizeof(Scalar) * length);
    Vec absolute(0.0f), square(0.0f), edge(0.0f);
    for (size_t at = 0; at < length; at += kWidth) {
      const Vec back = load(behind + at), opaque = load(alpha + at), share = load(matte + at);
      const Vec a = fnma(opaque, back, load(picture + at) + back), b = fma(load(truth + at) - back, share, back);
      const Vec difference = a - b;
      absolute = absolute + magnitude(difference);
      square = fma(difference, difference, square);
      edge = edge + magnitude(opaque - share);
      store(picture + at, a);
      store(target + at, b);
    }
    std::memcpy(image.picture + 3 * pixel, picture, sizeof(Scalar) * length);
    std::memcpy(image.target + 3 * pixel, target, sizeof(Scalar) * length);
    Scalar* sums = image.row_sums + 3 * static_cast<size_t>(y);
    sums[0] = sum(absolute);
    sums[1] = sum(square);
    sums[2] = sum(edge) / 3.0f;
  }
}

void loss_rows_backward(const LossImage& image, int begin, int end) {
  const Scalar pixels = static_cast<Scalar>(image.width) * static_cast<Scalar>(image.height);
  const Scalar by_absolute = (1.0f - image.ssim_weight) / (3.0f * pixels), by_edge = image.mask_weight / pixels;
  for (int y = begin; y < end; ++y) {
    const size_t pixel = static_cast<size_t>(y) * image.width, length = 3 * static_cast<size_t>(image.width);
    const Scalar *picture = image.picture + 3 * pixel, *target = image.target + 3 * pixel;
    Scalar *rgb = image.grad_rgb + 3 * pixel, *alpha = image.grad_alpha + pixel;
    for (size_t i = 0; i < length; ++i) {
      const Scalar structure = image.ssim_weight != 0.0f ? image.ssim_weight * rgb[i] : 0.0f;
      const Scalar side = static_cast<Scalar>(picture[i] > target[i]) - static_cast<Scalar>(picture[i] < target[i]);
      rgb[i] = by_absolute * side - structure;
    }
    for (int x = 0; x < image.width; ++x) {
      const Scalar *grad = rgb + 3 * x, *back = image.background;
      const Scalar opaque = image.alpha[pixel + x],
                   share = static_cast<Scalar>(image.matte[pixel + x]) * Scalar(1.0 / 255.0);
      const Scalar side = static_cast<Scalar>(opaque > share) - static_cast<Scalar>(opaque < share);
      alpha[x] = by_edge * side - (grad[0] * back[0] + grad[1] * back[1] + grad[2] * back[2]);
    }
  }
}

void bytes_rows(const BytesImage& image, int begin, int end, Scalar* buffer) {
  const size_t width = image.width, length = 3 * width, room = padded(length);
  Scalar *opaque = buffer, *behind = buffer + room, *picture = buffer + 2 * room;
  std::memset(buffer, 0, sizeof(Scalar) * 3 * room);
  for (size_t i = 0; i < length; ++i) behind[i] = image.background[i % 3];
  const Vec zero(0.0f), white(255.0f), half(0.5f);
  for (int y = begin; y < end; ++y) {
    const size_t pixel = static_cast<size_t>(y) * width;
    spread(image.alpha + pixel, width, opaque);
    std::memcpy(picture, image.rgb + 3 * pixel, sizeof(Scalar) * length);
    for (size_t at = 0; at < length; at += kWidth) {
      const Vec back = load(behind + at), value = fnma(load(opaque + at), back, load(picture + at) + back);
      store(picture + at, fma(smaller(larger(value, zero), Vec(1.0f)), white, half));
    }
    for (size_t i = 0; i < length; ++i) image.out[3 * pixel + i] = static_cast<uint8_t>(picture[i]);
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
