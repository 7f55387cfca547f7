// Tiles of projected Gaussians -> images, and from the images' gradient the gradient partials of every tile
// intersection.
//
// Outer loop over Gaussians, inner loop over strips: a tile's state stays in the L1 cache. A strip is four pixels wide
// and as high as fills one vector (two of the narrow ones). Strips are numbered down the columns of a tile, pixels of a
// strip by rows.
#include "ellipse_spans.h"
#include "kernels.h"
#include "threads.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr int kPixels = kTile * kTile;
constexpr int kStrip = kWidth > 8 ? kWidth : 8;  // pixels; a tile has at most 32 strips, one mask bit each
constexpr int kStripRows = kStrip / 4;
constexpr int kBands = kTile / kStripRows;  // strips in a column
constexpr int kStrips = kPixels / kStrip;
constexpr uint32_t kAllStrips = kStrips == 32 ? 0xffffffffu : (1u << kStrips % 32) - 1u;
constexpr uint32_t kPrefetchAhead = 8;  // tile intersections between a prefetch and its use

struct TileSpan {
  int x, y, width, height;  // pixels; width and height are less than kTile at the right and lower image border
};

TileSpan tile_span(const ImageState& image, int tile) {
  TileSpan span;
  span.x = tile % image.tiles_x * kTile;
  span.y = tile / image.tiles_x * kTile;
  span.width = image.camera.width - span.x < kTile ? image.camera.width - span.x : kTile;
  span.height = image.camera.height - span.y < kTile ? image.camera.height - span.y : kTile;
  return span;
}

inline int strip_of(int x, int y) { return x / 4 * kBands + y / kStripRows; }
inline int lane_of(int x, int y) { return y % kStripRows * 4 + x % 4; }

// Pixel centers of every strip, relative to the tile's first pixel center.
struct alignas(64) Centers {
  Scalar x[kStrips][kStrip], y[kStrips][kStrip];
  constexpr Centers() : x(), y() {
    for (int strip = 0; strip < kStrips; ++strip)
      for (int lane = 0; lane < kStrip; ++lane) {
        x[strip][lane] = static_cast<Scalar>(strip / kBands * 4 + lane % 4);
        y[strip][lane] = static_cast<Scalar>(strip % kBands * kStripRows + lane / 4);
      }
  }
};
constexpr Centers kCenters;

// A projected Gaussian relative to one tile, broadcast to vectors.
struct TileGaussian {
  Vec x, y, minus_a, minus_b, minus_c, log2_opacity;

  TileGaussian(const ProjectedGaussian& s, const TileSpan& span)
      : x(s.x - static_cast<Scalar>(span.x) - 0.5f),
        y(s.y - static_cast<Scalar>(span.y) - 0.5f),
        minus_a(-s.a),
        minus_b(-s.b),
        minus_c(-s.c),
        log2_opacity(s.log2_opacity) {}

  // log2 of alpha, before clamping and cutoff, at the offset (dx, dy) from the mean.
  Vec exponent(Vec dx, Vec dy) const {
    const Vec slope = fma(minus_a, dx, minus_b * dy);
    return fma(slope, dx, fma(minus_c * dy, dy, log2_opacity));
  }
};

#include "tile_layer.h"

struct Thresholds {
  Vec log2_alpha_min;     // alpha below this is skipped
  Vec transmittance_min;  // pixels at or below this are opaque
  explicit Thresholds(const Camera& camera)
      : log2_alpha_min(camera.cutoff ? -kLog2Of255 : -kLog2Range),
        transmittance_min(camera.cutoff ? kTransmittanceMin : -1.0f) {}
};

// Factor of the alpha of a Gaussian at the pixels of a strip.
inline Vec kept(const LayerStrip& layer, int part, Scalar fade) {
  return fnma(load(layer.stencil + part), Vec(fade), Vec(1.0f));
}

// Accumulated color and depth of one strip's pixels, and their transmittance.
struct alignas(64) Strip {
  Scalar transmittance[kStrip], red[kStrip], green[kStrip], blue[kStrip], depth[kStrip];
};

struct TileState {
  Strip strips[kStrips];
};

// Writes the sums of the depth as they are if a layer is to be added.
template <bool with_depth, bool with_layer>
void write_tile(const ImageState& image, const TileSpan& span, const TileState& state, const RenderOutputs& out) {
  for (int y = 0; y < span.height; ++y) {
    const size_t row = static_cast<size_t>(span.y + y) * image.camera.width + span.x;
    for (int x = 0; x < span.width; ++x) {
      const Strip& strip = state.strips[strip_of(x, y)];
      const int lane = lane_of(x, y);
      const Scalar alpha = 1.0f - strip.transmittance[lane];
      out.rgb[3 * (row + x)] = strip.red[lane];
      out.rgb[3 * (row + x) + 1] = strip.green[lane];
      out.rgb[3 * (row + x) + 2] = strip.blue[lane];
      out.alpha[row + x] = alpha;
      if (with_depth) out.depth[row + x] = with_layer || alpha > kDepthAlphaMin ? strip.depth[lane] : 0.0f;
      if (with_depth && !with_layer && alpha > kDepthAlphaMin) out.depth[row + x] /= alpha;
    }
  }
}

void write_empty_tile(const ImageState& image, const TileSpan& span, const RenderOutputs& out) {
  for (int y = 0; y < span.height; ++y) {
    const size_t row = static_cast<size_t>(span.y + y) * image.camera.width + span.x;
    std::memset(out.rgb + 3 * row, 0, sizeof(Scalar) * 3 * span.width);
    std::memset(out.alpha + row, 0, sizeof(Scalar) * span.width);
    if (out.depth) std::memset(out.depth + row, 0, sizeof(Scalar) * span.width);
  }
}

// Transmittance 1 inside the image; lanes outside start with 0, which blends nothing.
void init_tile(const TileSpan& span, TileState& state) {
  std::memset(&state, 0, sizeof state);
  for (int y = 0; y < span.height; ++y)
    for (int x = 0; x < span.width; ++x) state.strips[strip_of(x, y)].transmittance[lane_of(x, y)] = 1.0f;
}

// Blends one Gaussian into one strip. With `check`, returns whether any pixel takes further Gaussians: it is above the
// transmittance threshold, and the layer is not in front of this Gaussian; otherwise true. `layer` is null or the
// strip's, and `fade` the Gaussian's.
template <bool with_depth, bool with_weights, bool with_layer>
inline bool blend_strip(Strip& strip, int index, const TileGaussian& gaussian, const ProjectedGaussian& s,
                        const Thresholds& thresholds, bool check, const LayerStrip* layer, Scalar fade,
                        Vec& weight_sum) {
  uint32_t unfinished = 0;
  for (int part = 0; part < kStrip; part += kWidth) {
    const Vec dx = load(kCenters.x[index] + part) - gaussian.x, dy = load(kCenters.y[index] + part) - gaussian.y;
    const Vec exponent = gaussian.exponent(dx, dy);
    Vec transmittance = load(strip.transmittance + part);
    const Mask contributes = (exponent >= thresholds.log2_alpha_min) & (transmittance > thresholds.transmittance_min);
    Vec weight = keep(contributes, transmittance * smaller(exp2(exponent), Vec(kAlphaMax)));
    if (with_layer) weight = keep(Vec(s.depth) <= load(layer->farthest + part), weight * kept(*layer, part, fade));
    transmittance = transmittance - weight;
    store(strip.red + part, fma(weight, Vec(s.red), load(strip.red + part)));
    store(strip.green + part, fma(weight, Vec(s.green), load(strip.green + part)));
    store(strip.blue + part, fma(weight, Vec(s.blue), load(strip.blue + part)));
    if (with_depth) store(strip.depth + part, fma(weight, Vec(s.depth), load(strip.depth + part)));
    store(strip.transmittance + part, transmittance);
    if (with_weights) weight_sum = weight_sum + weight;
    if (!check) continue;
    Mask open = transmittance > thresholds.transmittance_min;
    if (with_layer) open = open & (Vec(s.depth) <= load(layer->farthest + part));
    unfinished |= bits(open);
  }
  return !check || unfinished != 0;
}

// The same for a strip of a tile with or without a layer.
template <bool with_depth, bool with_weights, bool with_layer>
inline bool blend_any_strip(TileState& state, int index, const TileGaussian& gaussian, const ProjectedGaussian& s,
                            const Thresholds& thresholds, bool check, const TileLayer* layer, Scalar fade,
                            Vec& weight_sum) {
  Strip& strip = state.strips[index];
  if (with_layer && (layer->changed >> index & 1u))
    return blend_strip<with_depth, with_weights, true>(strip, index, gaussian, s, thresholds, check,
                                                       layer->strips + index, fade, weight_sum);
  return blend_strip<with_depth, with_weights, false>(strip, index, gaussian, s, thresholds, check, nullptr, 0.0f,
                                                      weight_sum);
}

template <bool with_depth, bool with_weights, bool with_layer>
void blend_tile(const ImageState& image, int tile, const LayerView* view, const TileLayer* layer,
                const RenderOutputs& out) {
  const TileSpan span = tile_span(image, tile);
  const uint32_t begin = image.tile_offsets.data<uint32_t>()[tile], end = image.tile_offsets.data<uint32_t>()[tile + 1];
  const uint32_t* tile_gaussians = image.tile_gaussians.data<uint32_t>();
  const ProjectedGaussian* projected = image.projected.data<ProjectedGaussian>();
  uint32_t* strip_masks = image.strip_masks.data<uint32_t>();
  image.tile_blend_ends.data<uint32_t>()[tile] = end;
  if (begin == end) return write_empty_tile(image, span, out);
  const Thresholds thresholds(image.camera);
  const Scalar left = static_cast<Scalar>(span.x), top = static_cast<Scalar>(span.y);
  TileState state;
  init_tile(span, state);
  uint32_t active_strips = kAllStrips, stop = end;
  for (uint32_t first = begin; first < stop; first += kEarlyStopInterval) {
    const uint32_t last = end - first < kEarlyStopInterval ? end : first + kEarlyStopInterval;
    // All masks first: the number of iterations of the loop below is then known early, which helps branch prediction.
    for (uint32_t j = first; j < last; ++j) {
      prefetch(projected + tile_gaussians[j + kEarlyStopInterval]);
      strip_masks[j] = overlapped_strips<kBands, kStripRows>(projected[tile_gaussians[j]], left, top) & active_strips;
    }
    for (uint32_t j = first; j < last; ++j) {
      const ProjectedGaussian& s = projected[tile_gaussians[j]];
      const bool check = j - first == kEarlyStopInterval - 1;
      const TileGaussian gaussian(s, span);
      const Scalar fade = with_layer ? view->fades[tile_gaussians[j]] : Scalar(0);
      Vec weight_sum(0.0f);
      for (uint32_t rest = strip_masks[j]; rest; rest &= rest - 1u) {
        const int strip = lowest_bit(rest);
        if (!blend_any_strip<with_depth, with_weights, with_layer>(state, strip, gaussian, s, thresholds, check, layer,
                                                                   fade, weight_sum))
          active_strips &= ~(1u << strip);
      }
      if (with_weights) out.weights[j] = sum(weight_sum);
    }
    if (!active_strips) stop = last;
  }
  image.tile_blend_ends.data<uint32_t>()[tile] = stop;
  write_tile<with_depth, with_layer>(image, span, state, out);
  if (with_weights)
    for (uint32_t j = stop; j < end; ++j) out.weights[j] = 0.0f;
}

// Blends a tile, with the layer where it changes any of its pixels.
template <bool with_depth, bool with_weights>
void blend_any_tile(const ImageState& image, int tile, const LayerView* view, const RenderOutputs& out) {
  TileLayer layer;
  if (!view || !read_layer(*view, tile_span(image, tile), layer))
    return blend_tile<with_depth, with_weights, false>(image, tile, nullptr, nullptr, out);
  blend_tile<with_depth, with_weights, true>(image, tile, view, &layer, out);
  add_layer(*view, image, tile_span(image, tile), out);
}

}  // namespace

void rasterize(ImageState& image, const LayerView* layer, const RenderOutputs& out) {
  const int tiles = image.tiles_x * image.tiles_y;
  const auto run = out.weights ? (out.depth ? blend_any_tile<true, true> : blend_any_tile<false, true>)
                               : (out.depth ? blend_any_tile<true, false> : blend_any_tile<false, false>);
  parallel(tiles, [&](int tile) { run(image, tile, layer, out); });
}

namespace {

// Per pixel of a strip: gradients of the accumulated color and depth; grad_behind, the dot product of the gradient with
// what the Gaussians behind the current one accumulate; transmittance.
struct alignas(64) StripGradient {
  Scalar transmittance[kStrip], grad_behind[kStrip], red[kStrip], green[kStrip], blue[kStrip], depth[kStrip];
};

struct TileGradient {
  StripGradient strips[kStrips];
};

inline Scalar at_or_zero(const Scalar* values, size_t index) { return values ? values[index] : 0.0f; }

void read_gradients(const ImageState& image, const TileSpan& span, const RenderGradients& in, TileGradient& out) {
  std::memset(&out, 0, sizeof out);
  for (int y = 0; y < span.height; ++y) {
    const size_t row = static_cast<size_t>(span.y + y) * image.camera.width + span.x;
    for (int x = 0; x < span.width; ++x) {
      const size_t pixel = row + x;
      StripGradient& strip = out.strips[strip_of(x, y)];
      const int lane = lane_of(x, y);
      const Scalar red = at_or_zero(in.grad_rgb, 3 * pixel), green = at_or_zero(in.grad_rgb, 3 * pixel + 1);
      const Scalar blue = at_or_zero(in.grad_rgb, 3 * pixel + 2), alpha = in.alpha[pixel];
      Scalar grad_dot_rgb = red * in.rgb[3 * pixel] + green * in.rgb[3 * pixel + 1] + blue * in.rgb[3 * pixel + 2];
      Scalar grad_alpha = at_or_zero(in.grad_alpha, pixel);
      if (in.grad_depth && alpha > kDepthAlphaMin) {
        const Scalar grad_depth_sum = in.grad_depth[pixel] / alpha;
        strip.depth[lane] = grad_depth_sum;
        grad_dot_rgb += grad_depth_sum * in.depth[pixel] * alpha;
        grad_alpha -= grad_depth_sum * in.depth[pixel];
      }
      strip.red[lane] = red;
      strip.green[lane] = green;
      strip.blue[lane] = blue;
      strip.grad_behind[lane] = grad_dot_rgb - grad_alpha * (1.0f - alpha);
      strip.transmittance[lane] = 1.0f;
    }
  }
}

// Gradient partials of one tile intersection, in the order that project_image_backward reads them.
struct TilePartials {
  Vec total, x, y, xx, xy, yy, red, green, blue, depth;
};

template <bool with_depth, bool with_layer>
inline void strip_backward(StripGradient& strip, int index, const TileGaussian& gaussian, const ProjectedGaussian& s,
                           const Thresholds& thresholds, const LayerStrip* layer, Scalar fade, TilePartials& partial) {
  const Vec alpha_max(kAlphaMax), one(1.0f);
  for (int part = 0; part < kStrip; part += kWidth) {
    const Vec dx = load(kCenters.x[index] + part) - gaussian.x, dy = load(kCenters.y[index] + part) - gaussian.y;
    const Vec exponent = gaussian.exponent(dx, dy), transmittance = load(strip.transmittance + part);
    const Mask contributes = (exponent >= thresholds.log2_alpha_min) & (transmittance > thresholds.transmittance_min);
    const Vec raw = keep(contributes, exp2(exponent));
    Vec alpha = smaller(raw, alpha_max), weight = transmittance * alpha;
    if (with_layer) {
      const Vec factor = kept(*layer, part, fade);
      const Mask in_front = Vec(s.depth) <= load(layer->farthest + part);
      weight = keep(in_front, weight * factor);
      alpha = keep(in_front, alpha * factor);
    }
    const Vec ratio = alpha / (one - alpha);
    const Vec red = load(strip.red + part), green = load(strip.green + part), blue = load(strip.blue + part);
    Vec grad_dot_color = fma(red, Vec(s.red), fma(green, Vec(s.green), blue * Vec(s.blue)));
    partial.red = fma(weight, red, partial.red);
    partial.green = fma(weight, green, partial.green);
    partial.blue = fma(weight, blue, partial.blue);
    if (with_depth) {
      const Vec depth = load(strip.depth + part);
      grad_dot_color = fma(depth, Vec(s.depth), grad_dot_color);
      partial.depth = fma(weight, depth, partial.depth);
    }
    const Vec weighted_value = weight * grad_dot_color;
    const Vec grad_behind = load(strip.grad_behind + part) - weighted_value;
    store(strip.grad_behind + part, grad_behind);
    store(strip.transmittance + part, transmittance - weight);
    const Vec grad_log_alpha = keep(raw <= alpha_max, fnma(grad_behind, ratio, weighted_value));
    const Vec grad_dx = grad_log_alpha * dx, grad_dy = grad_log_alpha * dy;
    partial.total = partial.total + grad_log_alpha;
    partial.x = partial.x + grad_dx;
    partial.y = partial.y + grad_dy;
    partial.xx = fma(grad_dx, dx, partial.xx);
    partial.xy = fma(grad_dx, dy, partial.xy);
    partial.yy = fma(grad_dy, dy, partial.yy);
  }
}

template <bool with_depth, bool with_layer>
void tile_backward(const ImageState& image, int tile, const LayerView* view, const RenderGradients& in,
                   Scalar* partials, Scalar* grad_layer) {
  const TileSpan span = tile_span(image, tile);
  const uint32_t begin = image.tile_offsets.data<uint32_t>()[tile], end = image.tile_offsets.data<uint32_t>()[tile + 1];
  const uint32_t stop = image.tile_blend_ends.data<uint32_t>()[tile];
  TileLayer layer;
  const bool seen = with_layer && read_layer(*view, span, layer);
  if (begin == end && !(with_layer && grad_layer)) return;
  const uint32_t* tile_gaussians = image.tile_gaussians.data<uint32_t>();
  const ProjectedGaussian* projected = image.projected.data<ProjectedGaussian>();
  const uint32_t* strip_masks = image.strip_masks.data<uint32_t>();
  const Thresholds thresholds(image.camera);
  TileGradient state;
  read_gradients(image, span, in, state);
  const Vec zero(0.0f);
  for (uint32_t j = begin; j < stop; ++j) {
    prefetch(projected + tile_gaussians[j + kPrefetchAhead]);
    const ProjectedGaussian& s = projected[tile_gaussians[j]];
    const TileGaussian gaussian(s, span);
    TilePartials partial{zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
    for (uint32_t rest = strip_masks[j]; rest; rest &= rest - 1u) {
      const int strip = lowest_bit(rest);
      if (with_layer && seen && (layer.changed >> strip & 1u))
        strip_backward<with_depth, with_layer>(state.strips[strip], strip, gaussian, s, thresholds,
                                               layer.strips + strip, view->fades[tile_gaussians[j]], partial);
      else
        strip_backward<with_depth, false>(state.strips[strip], strip, gaussian, s, thresholds, nullptr, 0.0f, partial);
    }
    const Vec first[8] = {partial.total, partial.x,  partial.y,   partial.xx,
                          partial.xy,    partial.yy, partial.red, partial.green};
    Scalar* out = partials + static_cast<size_t>(j) * kPartialStride;
    store_sums(out, first);
    out[8] = sum(partial.blue);
    out[9] = with_depth ? sum(partial.depth) : 0.0f;
  }
  std::memset(partials + static_cast<size_t>(stop) * kPartialStride, 0, sizeof(Scalar) * kPartialStride * (end - stop));
  if (with_layer && grad_layer) write_layer_gradient(*view, span, state, grad_layer);
}

}  // namespace

void rasterize_backward(const ImageState& image, const LayerView* layer, const RenderGradients& in, Scalar* partials,
                        Scalar* grad_layer) {
  const auto run = layer ? (in.grad_depth ? tile_backward<true, true> : tile_backward<false, true>)
                         : (in.grad_depth ? tile_backward<true, false> : tile_backward<false, false>);
  parallel(image.tiles_x * image.tiles_y, [&](int tile) { run(image, tile, layer, in, partials, grad_layer); });
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
