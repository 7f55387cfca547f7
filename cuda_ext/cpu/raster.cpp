// Tiles of splats -> pictures, and the raw moments of the pictures' gradient for every (splat, tile) pair.
//
// Splat outer, strip inner: a tile's state stays in L1. A strip is four pixels wide and as high as makes one vector
// (two of the narrow ones); strips follow one another down the columns of a tile, a strip's pixels by rows.
#include "blocks.h"
#include "kernels.h"
#include "threads.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr int kPixels = kTile * kTile;
constexpr int kStrip = kWidth > 8 ? kWidth : 8;  // pixels; a tile has 32 strips at most, a mask bit for each
constexpr int kStripRows = kStrip / 4;
constexpr int kBands = kTile / kStripRows;  // strips in a column
constexpr int kStrips = kPixels / kStrip;
constexpr uint32_t kAllStrips = kStrips == 32 ? 0xffffffffu : (1u << kStrips % 32) - 1u;
constexpr uint32_t kAhead = 8;  // members whose splats are fetched early

struct TileSpan {
  int x, y, width, height;  // pixels; width and height are less than kTile at the right and lower edge
};

TileSpan tile_span(const Frame& frame, int tile) {
  TileSpan span;
  span.x = tile % frame.tiles_x * kTile;
  span.y = tile / frame.tiles_x * kTile;
  span.width = frame.view.width - span.x < kTile ? frame.view.width - span.x : kTile;
  span.height = frame.view.height - span.y < kTile ? frame.view.height - span.y : kTile;
  return span;
}

inline int strip_of(int x, int y) { return x / 4 * kBands + y / kStripRows; }
inline int lane_of(int x, int y) { return y % kStripRows * 4 + x % 4; }

// Pixel centres of every strip, relative to the tile's first one.
struct alignas(64) Centres {
  Scalar x[kStrips][kStrip], y[kStrips][kStrip];
  constexpr Centres() : x(), y() {
    for (int strip = 0; strip < kStrips; ++strip)
      for (int lane = 0; lane < kStrip; ++lane) {
        x[strip][lane] = static_cast<Scalar>(strip / kBands * 4 + lane % 4);
        y[strip][lane] = static_cast<Scalar>(strip % kBands * kStripRows + lane / 4);
      }
  }
};
constexpr Centres kCentres;

// A splat as seen from one tile, spread over vectors.
struct TileSplat {
  Vec x, y, minus_a, minus_b, minus_c, log2_opacity;

  TileSplat(const Splat& s, const TileSpan& span)
      : x(s.x - static_cast<Scalar>(span.x) - 0.5f),
        y(s.y - static_cast<Scalar>(span.y) - 0.5f),
        minus_a(-s.a),
        minus_b(-s.b),
        minus_c(-s.c),
        log2_opacity(s.log2_opacity) {}

  // log2 of alpha before clamp and cutoff at the offsets (dx, dy) from the centre.
  Vec exponent(Vec dx, Vec dy) const {
    const Vec slope = fma(minus_a, dx, minus_b * dy);
    return fma(slope, dx, fma(minus_c * dy, dy, log2_opacity));
  }
};

struct Limits {
  Vec weakest,
      least;  // log2 of alpha below `weakest` is dropped, a pixel at or below transmittance `least` is finished
  explicit Limits(const View& view)
      : weakest(view.cutoff ? -kLog2Of255 : -kLog2Range), least(view.cutoff ? kTransmittanceMin : -1.0f) {}
};

// Sums of one strip's pixels over the splats so far, and their transmittance.
struct alignas(64) Strip {
  Scalar left[kStrip], red[kStrip], green[kStrip], blue[kStrip], depth[kStrip];
};

struct TileState {
  Strip strips[kStrips];
};

template <bool with_depth>
void write_pictures(const Frame& frame, const TileSpan& span, const TileState& state, const Pictures& out) {
  for (int y = 0; y < span.height; ++y) {
    const size_t row = static_cast<size_t>(span.y + y) * frame.view.width + span.x;
    for (int x = 0; x < span.width; ++x) {
      const Strip& strip = state.strips[strip_of(x, y)];
      const int lane = lane_of(x, y);
      const Scalar alpha = 1.0f - strip.left[lane];
      out.rgb[3 * (row + x)] = strip.red[lane];
      out.rgb[3 * (row + x) + 1] = strip.green[lane];
      out.rgb[3 * (row + x) + 2] = strip.blue[lane];
      out.alpha[row + x] = alpha;
      if (with_depth) out.depth[row + x] = alpha > kDepthAlphaMin ? strip.depth[lane] / alpha : 0.0f;
    }
  }
}

void write_nothing(const Frame& frame, const TileSpan& span, const Pictures& out) {
  for (int y = 0; y < span.height; ++y) {
    const size_t row = static_cast<size_t>(span.y + y) * frame.view.width + span.x;
    std::memset(out.rgb + 3 * row, 0, sizeof(Scalar) * 3 * span.width);
    std::memset(out.alpha + row, 0, sizeof(Scalar) * span.width);
    if (out.depth) std::memset(out.depth + row, 0, sizeof(Scalar) * span.width);
  }
}

// Black and clear inside the picture; lanes outside it are finished from the start.
void start_tile(const TileSpan& span, TileState& state) {
  std::memset(&state, 0, sizeof state);
  for (int y = 0; y < span.height; ++y)
    for (int x = 0; x < span.width; ++x) state.strips[strip_of(x, y)].left[lane_of(x, y)] = 1.0f;
}

// Blends one splat into one strip. With `check` it returns whether a pixel still takes light, otherwise true.
template <bool with_depth, bool with_weights>
inline bool blend_strip(Strip& strip, int index, const TileSplat& splat, const Splat& s, const Limits& limits,
                        bool check, Vec& weight) {
  uint32_t unfinished = 0;
  for (int part = 0; part < kStrip; part += kWidth) {
    const Vec dx = load(kCentres.x[index] + part) - splat.x, dy = load(kCentres.y[index] + part) - splat.y;
    const Vec exponent = splat.exponent(dx, dy);
    Vec left = load(strip.left + part);
    const Mask takes = (exponent >= limits.weakest) & (left > limits.least);
    const Vec share = keep(takes, left * smaller(exp2(exponent), Vec(kAlphaMax)));
    left = left - share;
    store(strip.red + part, fma(share, Vec(s.red), load(strip.red + part)));
    store(strip.green + part, fma(share, Vec(s.green), load(strip.green + part)));
    store(strip.blue + part, fma(share, Vec(s.blue), load(strip.blue + part)));
    if (with_depth) store(strip.depth + part, fma(share, Vec(s.depth), load(strip.depth + part)));
    store(strip.left + part, left);
    if (with_weights) weight = weight + share;
    if (check) unfinished |= bits(left > limits.least);
  }
  return !check || unfinished != 0;
}

template <bool with_depth, bool with_weights>
void blend_tile(const Frame& frame, int tile, const Pictures& out) {
  const TileSpan span = tile_span(frame, tile);
  const uint32_t begin = frame.tile_start.data<uint32_t>()[tile], end = frame.tile_start.data<uint32_t>()[tile + 1];
  const uint32_t* members = frame.members.data<uint32_t>();
  const Splat* splats = frame.splats.data<Splat>();
  uint32_t* masks = frame.masks.data<uint32_t>();
  frame.tile_end.data<uint32_t>()[tile] = end;
  if (begin == end) return write_nothing(frame, span, out);
  const Limits limits(frame.view);
  const Scalar left = static_cast<Scalar>(span.x), top = static_cast<Scalar>(span.y);
  TileState state;
  start_tile(span, state);
  uint32_t alive = kAllStrips, stop = end;
  for (uint32_t first = begin; first < stop; first += kStopEvery) {
    const uint32_t last = end - first < kStopEvery ? end : first + kStopEvery;
    // Masks first: what to visit is then known when the processor guesses how often the inner loop turns.
    for (uint32_t j = first; j < last; ++j) {
      prefetch(splats + members[j + kStopEvery]);
      masks[j] = touched_strips<kBands, kStripRows>(splats[members[j]], left, top) & alive;
    }
    for (uint32_t j = first; j < last; ++j) {
      const Splat& s = splats[members[j]];
      const bool check = j - first == kStopEvery - 1;
      const TileSplat splat(s, span);
      Vec weight(0.0f);
      for (uint32_t rest = masks[j]; rest; rest &= rest - 1u) {
        const int strip = lowest_bit(rest);
        if (!blend_strip<with_depth, with_weights>(state.strips[strip], strip, splat, s, limits, check, weight))
          alive &= ~(1u << strip);
      }
      if (with_weights) out.weights[j] = sum(weight);
    }
    if (!alive) stop = last;
  }
  frame.tile_end.data<uint32_t>()[tile] = stop;
  write_pictures<with_depth>(frame, span, state, out);
  if (with_weights)
    for (uint32_t j = stop; j < end; ++j) out.weights[j] = 0.0f;
}

}  // namespace

void rasterize(Frame& frame, const Pictures& out) {
  const int tiles = frame.tiles_x * frame.tiles_y;
  const auto run = out.weights ? (out.depth ? blend_tile<true, true> : blend_tile<false, true>)
                               : (out.depth ? blend_tile<true, false> : blend_tile<false, false>);
  parallel(tiles, [&](int tile) { run(frame, tile, out); });
}

namespace {

// Per pixel of a strip: gradients of the four sums, what lies behind (gradient times light still to come),
// transmittance.
struct alignas(64) StripGradient {
  Scalar left[kStrip], behind[kStrip], red[kStrip], green[kStrip], blue[kStrip], depth[kStrip];
};

struct TileGradient {
  StripGradient strips[kStrips];
};

inline Scalar at_or_zero(const Scalar* values, size_t index) { return values ? values[index] : 0.0f; }

void read_gradients(const Frame& frame, const TileSpan& span, const PictureGradients& in, TileGradient& out) {
  std::memset(&out, 0, sizeof out);
  for (int y = 0; y < span.height; ++y) {
    const size_t row = static_cast<size_t>(span.y + y) * frame.view.width + span.x;
    for (int x = 0; x < span.width; ++x) {
      const size_t pixel = row + x;
      StripGradient& strip = out.strips[strip_of(x, y)];
      const int lane = lane_of(x, y);
      const Scalar red = at_or_zero(in.grad_rgb, 3 * pixel), green = at_or_zero(in.grad_rgb, 3 * pixel + 1);
      const Scalar blue = at_or_zero(in.grad_rgb, 3 * pixel + 2), alpha = in.alpha[pixel];
      Scalar light = red * in.rgb[3 * pixel] + green * in.rgb[3 * pixel + 1] + blue * in.rgb[3 * pixel + 2];
      Scalar opaque = at_or_zero(in.grad_alpha, pixel);
      if (in.grad_depth && alpha > kDepthAlphaMin) {
        const Scalar through = in.grad_depth[pixel] / alpha;
        strip.depth[lane] = through;
        light += through * in.depth[pixel] * alpha;
        opaque -= through * in.depth[pixel];
      }
      strip.red[lane] = red;
      strip.green[lane] = green;
      strip.blue[lane] = blue;
      strip.behind[lane] = light - opaque * (1.0f - alpha);
      strip.left[lane] = 1.0f;
    }
  }
}

// Sums over one splat's pixels in one tile, in the order project_backward reads them.
struct Moments {
  Vec total, x, y, xx, xy, yy, red, green, blue, depth;
};

template <bool with_depth>
inline void gather_strip(StripGradient& strip, int index, const TileSplat& splat, const Splat& s, const Limits& limits,
                         Moments& sums) {
  const Vec ceiling(kAlphaMax), one(1.0f);
  for (int part = 0; part < kStrip; part += kWidth) {
    const Vec dx = load(kCentres.x[index] + part) - splat.x, dy = load(kCentres.y[index] + part) - splat.y;
    const Vec exponent = splat.exponent(dx, dy), left = load(strip.left + part);
    const Mask takes = (exponent >= limits.weakest) & (left > limits.least);
    const Vec raw = keep(takes, exp2(exponent)), alpha = smaller(raw, ceiling);
    const Vec share = left * alpha, ratio = alpha / (one - alpha);
    const Vec red = load(strip.red + part), green = load(strip.green + part), blue = load(strip.blue + part);
    Vec value = fma(red, Vec(s.red), fma(green, Vec(s.green), blue * Vec(s.blue)));
    sums.red = fma(share, red, sums.red);
    sums.green = fma(share, green, sums.green);
    sums.blue = fma(share, blue, sums.blue);
    if (with_depth) {
      const Vec depth = load(strip.depth + part);
      value = fma(depth, Vec(s.depth), value);
      sums.depth = fma(share, depth, sums.depth);
    }
    const Vec light = share * value;
    const Vec behind = load(strip.behind + part) - light;
    store(strip.behind + part, behind);
    store(strip.left + part, left - share);
    const Vec pull = keep(raw <= ceiling, fnma(behind, ratio, light));
    const Vec pull_x = pull * dx, pull_y = pull * dy;
    sums.total = sums.total + pull;
    sums.x = sums.x + pull_x;
    sums.y = sums.y + pull_y;
    sums.xx = fma(pull_x, dx, sums.xx);
    sums.xy = fma(pull_x, dy, sums.xy);
    sums.yy = fma(pull_y, dy, sums.yy);
  }
}

template <bool with_depth>
void gather_tile(const Frame& frame, int tile, const PictureGradients& in, Scalar* moments) {
  const TileSpan span = tile_span(frame, tile);
  const uint32_t begin = frame.tile_start.data<uint32_t>()[tile], end = frame.tile_start.data<uint32_t>()[tile + 1];
  const uint32_t stop = frame.tile_end.data<uint32_t>()[tile];
  if (begin == end) return;
  const uint32_t* members = frame.members.data<uint32_t>();
  const Splat* splats = frame.splats.data<Splat>();
  const uint32_t* masks = frame.masks.data<uint32_t>();
  const Limits limits(frame.view);
  TileGradient state;
  read_gradients(frame, span, in, state);
  const Vec zero(0.0f);
  for (uint32_t j = begin; j < stop; ++j) {
    prefetch(splats + members[j + kAhead]);
    const Splat& s = splats[members[j]];
    const TileSplat splat(s, span);
    Moments sums{zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};
    for (uint32_t rest = masks[j]; rest; rest &= rest - 1u) {
      const int strip = lowest_bit(rest);
      gather_strip<with_depth>(state.strips[strip], strip, splat, s, limits, sums);
    }
    const Vec first[8] = {sums.total, sums.x, sums.y, sums.xx, sums.xy, sums.yy, sums.red, sums.green};
    Scalar* out = moments + static_cast<size_t>(j) * kMoments;
    store_sums(out, first);
    out[8] = sum(sums.blue);
    out[9] = with_depth ? sum(sums.depth) : 0.0f;
  }
  std::memset(moments + static_cast<size_t>(stop) * kMoments, 0, sizeof(Scalar) * kMoments * (end - stop));
}

}  // namespace

void rasterize_backward(const Frame& frame, const PictureGradients& in, Scalar* moments) {
  const auto run = in.grad_depth ? gather_tile<true> : gather_tile<false>;
  parallel(frame.tiles_x * frame.tiles_y, [&](int tile) { run(frame, tile, in, moments); });
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
