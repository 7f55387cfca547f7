// Tiles of splats -> pictures, and the raw moments of the pictures' gradient for every (splat, tile) pair.
//
// Splat outer, strip inner: a tile's state stays in L1. A strip is four pixels wide and as high as makes one vector
// (two of the narrow ones); strip k stands at column k % 4 and row k / 4 of the tile, its pixels follow one another by
// rows.
#include "blocks.h"
#include "kernels.h"
#include "threads.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr int kPixels = kTile * kTile;
constexpr int kStrip = kWidth > 8 ? kWidth : 8;  // pixels; a tile has 32 strips at most, a mask bit for each
constexpr int kStripRows = kStrip / 4;
constexpr int kStrips = kPixels / kStrip;
constexpr uint32_t kAllStrips = kStrips == 32 ? 0xffffffffu : (1u << kStrips % 32) - 1u;
constexpr int kAhead = 8;  // members whose splats are fetched early

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

inline int lane_of(int x, int y) { return (y / kStripRows * 4 + x / 4) * kStrip + y % kStripRows * 4 + x % 4; }

// A splat as seen from one tile, spread over vectors.
struct TileSplat {
  Vec minus_a, minus_b, minus_c, log2_opacity;
  float x, y;  // centre relative to the tile's first pixel centre

  TileSplat(const Splat& s, const TileSpan& span)
      : minus_a(-s.a),
        minus_b(-s.b),
        minus_c(-s.c),
        log2_opacity(s.log2_opacity),
        x(s.x - static_cast<float>(span.x) - 0.5f),
        y(s.y - static_cast<float>(span.y) - 0.5f) {}

  // The first pixel centre of a strip relative to the splat's.
  float corner_x(int strip) const { return static_cast<float>(strip % 4 * 4) - x; }
  float corner_y(int strip) const { return static_cast<float>(strip / 4 * kStripRows) - y; }

  // Alpha before clamp and cutoff at the offsets (dx, dy) from the centre.
  Vec alpha(Vec dx, Vec dy) const {
    const Vec slope = fma(minus_a, dx, minus_b * dy);
    return exp2(fma(slope, dx, fma(minus_c * dy, dy, log2_opacity)));
  }
};

struct Limits {
  Vec weakest, least;  // alpha below `weakest` is dropped, a pixel at or below transmittance `least` is finished
  explicit Limits(const View& view)
      : weakest(view.cutoff ? kAlphaMin : -1.0f), least(view.cutoff ? kTransmittanceMin : -1.0f) {}
};

struct alignas(64) TileState {
  float red[kPixels], green[kPixels], blue[kPixels], depth[kPixels], left[kPixels];
};

void write_pictures(const Frame& frame, const TileSpan& span, const TileState& state, const Pictures& out) {
  for (int y = 0; y < span.height; ++y) {
    const size_t row = static_cast<size_t>(span.y + y) * frame.view.width + span.x;
    for (int x = 0; x < span.width; ++x) {
      const int lane = lane_of(x, y);
      const float alpha = 1.0f - state.left[lane];
      out.rgb[3 * (row + x)] = state.red[lane];
      out.rgb[3 * (row + x) + 1] = state.green[lane];
      out.rgb[3 * (row + x) + 2] = state.blue[lane];
      out.alpha[row + x] = alpha;
      out.depth[row + x] = alpha > kDepthAlphaMin ? state.depth[lane] / alpha : 0.0f;
    }
  }
}

void write_nothing(const Frame& frame, const TileSpan& span, const Pictures& out) {
  for (int y = 0; y < span.height; ++y) {
    const size_t row = static_cast<size_t>(span.y + y) * frame.view.width + span.x;
    std::memset(out.rgb + 3 * row, 0, sizeof(float) * 3 * span.width);
    std::memset(out.alpha + row, 0, sizeof(float) * span.width);
    std::memset(out.depth + row, 0, sizeof(float) * span.width);
  }
}

// Black and clear inside the picture; lanes outside it are finished from the start.
void start_tile(const TileSpan& span, TileState& state) {
  std::memset(&state, 0, sizeof state);
  for (int y = 0; y < span.height; ++y)
    for (int x = 0; x < span.width; ++x) state.left[lane_of(x, y)] = 1.0f;
}

// Blends one splat into one strip; returns whether it touched a pixel. `open` says, when asked for, whether a pixel
// still takes light.
template <bool with_weights>
inline bool blend_strip(TileState& state, int strip, const TileSplat& splat, const Splat& s, const Limits& limits,
                        bool check, Vec& weight, bool& open) {
  const Vec corner_x(splat.corner_x(strip)), corner_y(splat.corner_y(strip));
  uint32_t touched = 0, unfinished = 0;
  for (int part = 0; part < kStrip; part += kWidth) {
    const int at = strip * kStrip + part;
    const Vec alpha = splat.alpha(load(kColumn + part) + corner_x, load(kRow + part) + corner_y);
    Vec left = load(state.left + at);
    const Mask takes = (alpha >= limits.weakest) & (left > limits.least);
    touched |= bits(takes);
    const Vec share = keep(takes, left * smaller(alpha, Vec(kAlphaMax)));
    store(state.red + at, fma(share, Vec(s.red), load(state.red + at)));
    store(state.green + at, fma(share, Vec(s.green), load(state.green + at)));
    store(state.blue + at, fma(share, Vec(s.blue), load(state.blue + at)));
    store(state.depth + at, fma(share, Vec(s.depth), load(state.depth + at)));
    left = left - share;
    store(state.left + at, left);
    if (with_weights) weight = weight + share;
    if (check) unfinished |= bits(left > limits.least);
  }
  open = unfinished != 0;
  return touched != 0;
}

template <bool with_weights>
void blend_tile(const Frame& frame, int tile, const Pictures& out) {
  const TileSpan span = tile_span(frame, tile);
  const uint32_t begin = frame.tile_start.data<uint32_t>()[tile], end = frame.tile_start.data<uint32_t>()[tile + 1];
  const uint32_t* members = frame.members.data<uint32_t>();
  const Splat* splats = frame.splats.data<Splat>();
  uint32_t* masks = frame.masks.data<uint32_t>();
  frame.tile_end.data<uint32_t>()[tile] = end;
  if (begin == end) return write_nothing(frame, span, out);
  const Limits limits(frame.view);
  const float left = static_cast<float>(span.x), top = static_cast<float>(span.y);
  TileState state;
  start_tile(span, state);
  uint32_t alive = kAllStrips;
  for (uint32_t j = begin; j < end; ++j) {
    prefetch(splats + members[j + kAhead]);
    const Splat& s = splats[members[j]];
    const uint32_t mask = touched_rectangles<kStrips, 4, kStripRows>(s, left, top) & alive;
    const bool check = (j - begin) % kStopEvery == kStopEvery - 1;
    const TileSplat splat(s, span);
    Vec weight(0.0f);
    uint32_t touched = 0;
    for (uint32_t rest = mask; rest; rest &= rest - 1u) {
      const int strip = lowest_bit(rest);
      bool open;
      const bool hit = blend_strip<with_weights>(state, strip, splat, s, limits, check, weight, open);
      touched |= static_cast<uint32_t>(hit) << strip;
      if (check && !open) alive &= ~(1u << strip);
    }
    masks[j] = touched;
    if (with_weights) out.weights[j] = sum(weight);
    if (!alive) {
      frame.tile_end.data<uint32_t>()[tile] = j + 1;
      break;
    }
  }
  write_pictures(frame, span, state, out);
  if (with_weights)
    for (uint32_t j = frame.tile_end.data<uint32_t>()[tile]; j < end; ++j) out.weights[j] = 0.0f;
}

}  // namespace

void rasterize(Frame& frame, const Pictures& out) {
  const int tiles = frame.tiles_x * frame.tiles_y;
  if (out.weights) {
    parallel(tiles, [&](int tile) { blend_tile<true>(frame, tile, out); });
  } else {
    parallel(tiles, [&](int tile) { blend_tile<false>(frame, tile, out); });
  }
}

namespace {

// Per pixel: gradients of the four sums, what lies behind (gradient times light still to come), transmittance.
struct alignas(64) TileGradient {
  float red[kPixels], green[kPixels], blue[kPixels], depth[kPixels], behind[kPixels], left[kPixels];
};

inline float at_or_zero(const float* values, size_t index) { return values ? values[index] : 0.0f; }

void read_gradients(const Frame& frame, const TileSpan& span, const PictureGradients& in, TileGradient& out) {
  std::memset(&out, 0, sizeof out);
  for (int y = 0; y < span.height; ++y) {
    const size_t row = static_cast<size_t>(span.y + y) * frame.view.width + span.x;
    for (int x = 0; x < span.width; ++x) {
      const size_t pixel = row + x;
      const int lane = lane_of(x, y);
      const float red = at_or_zero(in.grad_rgb, 3 * pixel), green = at_or_zero(in.grad_rgb, 3 * pixel + 1);
      const float blue = at_or_zero(in.grad_rgb, 3 * pixel + 2), alpha = in.alpha[pixel];
      float light = red * in.rgb[3 * pixel] + green * in.rgb[3 * pixel + 1] + blue * in.rgb[3 * pixel + 2];
      float opaque = at_or_zero(in.grad_alpha, pixel);
      if (in.grad_depth && alpha > kDepthAlphaMin) {
        const float through = in.grad_depth[pixel] / alpha;
        out.depth[lane] = through;
        light += through * in.depth[pixel] * alpha;
        opaque -= through * in.depth[pixel];
      }
      out.red[lane] = red;
      out.green[lane] = green;
      out.blue[lane] = blue;
      out.behind[lane] = light - opaque * (1.0f - alpha);
      out.left[lane] = 1.0f;
    }
  }
}

// Sums over one splat's pixels in one tile, in the order project_backward reads them.
struct Moments {
  Vec total, x, y, xx, xy, yy, red, green, blue, depth;
};

template <bool with_depth>
inline void gather_strip(TileGradient& state, int strip, const TileSplat& splat, const Splat& s, const Limits& limits,
                         Moments& sums) {
  const Vec corner_x(splat.corner_x(strip)), corner_y(splat.corner_y(strip));
  const Vec ceiling(kAlphaMax), one(1.0f);
  for (int part = 0; part < kStrip; part += kWidth) {
    const int at = strip * kStrip + part;
    const Vec dx = load(kColumn + part) + corner_x, dy = load(kRow + part) + corner_y;
    const Vec raw = splat.alpha(dx, dy);
    const Vec left = load(state.left + at);
    const Mask takes = (raw >= limits.weakest) & (left > limits.least);
    const Vec alpha = keep(takes, smaller(raw, ceiling));
    const Vec share = left * alpha, ratio = alpha / (one - alpha);
    const Vec red = load(state.red + at), green = load(state.green + at), blue = load(state.blue + at);
    Vec value = fma(red, Vec(s.red), fma(green, Vec(s.green), blue * Vec(s.blue)));
    sums.red = fma(share, red, sums.red);
    sums.green = fma(share, green, sums.green);
    sums.blue = fma(share, blue, sums.blue);
    if (with_depth) {
      const Vec depth = load(state.depth + at);
      value = fma(depth, Vec(s.depth), value);
      sums.depth = fma(share, depth, sums.depth);
    }
    const Vec light = share * value;
    const Vec behind = load(state.behind + at) - light;
    store(state.behind + at, behind);
    store(state.left + at, left - share);
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
void gather_tile(const Frame& frame, int tile, const PictureGradients& in, float* moments) {
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
    for (uint32_t rest = masks[j]; rest; rest &= rest - 1u)
      gather_strip<with_depth>(state, lowest_bit(rest), splat, s, limits, sums);
    const Vec first[8] = {sums.total, sums.x, sums.y, sums.xx, sums.xy, sums.yy, sums.red, sums.green};
    float* out = moments + static_cast<size_t>(j) * kMoments;
    store_sums(out, first);
    out[8] = sum(sums.blue);
    out[9] = with_depth ? sum(sums.depth) : 0.0f;
  }
  std::memset(moments + static_cast<size_t>(stop) * kMoments, 0, sizeof(float) * kMoments * (end - stop));
}

}  // namespace

void rasterize_backward(const Frame& frame, const PictureGradients& in, float* moments) {
  const int tiles = frame.tiles_x * frame.tiles_y;
  if (in.grad_depth) {
    parallel(tiles, [&](int tile) { gather_tile<true>(frame, tile, in, moments); });
  } else {
    parallel(tiles, [&](int tile) { gather_tile<false>(frame, tile, in, moments); });
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
