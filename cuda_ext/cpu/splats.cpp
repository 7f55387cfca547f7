#include "splats.h"

#include <cstring>
#include <mutex>
#include <stdexcept>

#include "threads.h"

namespace headsplat {
namespace {

constexpr int kRadixBits = 11;
constexpr uint32_t kRadix = 1u << kRadixBits;
constexpr size_t kIdleBatches = 4;

struct SortPass {
  const uint32_t *keys, *values;
  uint32_t *keys_out, *values_out;
};

void sort_digit(const SortPass& pass, int count, int shift) {
  uint32_t position[kRadix] = {};
  for (int i = 0; i < count; ++i) ++position[pass.keys[i] >> shift & (kRadix - 1)];
  uint32_t sum = 0;
  for (uint32_t& entry : position) {
    const uint32_t found = entry;
    entry = sum;
    sum += found;
  }
  for (int i = 0; i < count; ++i) {
    const uint32_t to = position[pass.keys[i] >> shift & (kRadix - 1)]++;
    pass.keys_out[to] = pass.keys[i];
    pass.values_out[to] = pass.values[i];
  }
}

// Fills frame.order with the drawn splats by depth, ties by index: a stable radix sort of the depths' bit patterns.
void sort_by_depth(Frame& frame, Scratch& scratch) {
  const uint32_t* keys = frame.keys.data<uint32_t>();
  uint32_t* buffers[4];
  for (int k = 0; k < 4; ++k) buffers[k] = scratch.sort[k].get<uint32_t>(frame.count);
  uint32_t least = kHidden, most = 0;
  int visible = 0;
  for (int i = 0; i < frame.count; ++i) {
    const uint32_t key = keys[i];
    buffers[0][visible] = key;
    buffers[1][visible] = static_cast<uint32_t>(i);
    const bool drawn = key != kHidden;
    visible += drawn;
    least = key < least ? key : least;
    most = drawn && key > most ? key : most;
  }
  frame.visible = visible;
  for (int i = 0; i < visible; ++i) buffers[0][i] -= least;
  int from = 0;
  for (int shift = 0; visible && shift < 32 && (most - least) >> shift; shift += kRadixBits) {
    const int to = 2 - from;
    sort_digit({buffers[from], buffers[from + 1], buffers[to], buffers[to + 1]}, visible, shift);
    from = to;
  }
  std::memcpy(frame.order.get<uint32_t>(frame.count), buffers[from + 1], sizeof(uint32_t) * visible);
}

GaussianInputs inputs_of(const GaussianInputs& all, size_t first) {
  return {all.means + 3 * first,
          all.quats + 4 * first,
          all.scales + 3 * first,
          all.opacities + first,
          all.colors + all.color_size() * first,
          all.sh_terms};
}

void reserve_frame(Frame& frame, Scratch& scratch) {
  const size_t count = static_cast<size_t>(frame.count), tiles = static_cast<size_t>(frame.tiles_x) * frame.tiles_y;
  frame.splats.get<Splat>(count);
  frame.keys.get<uint32_t>(count);
  frame.order.get<uint32_t>(count);
  frame.slot_start.get<uint32_t>(count);
  frame.slot_count.get<uint32_t>(count);
  frame.tile_start.get<uint32_t>(tiles + 1);
  frame.tile_end.get<uint32_t>(tiles);
  scratch.histogram.get<uint32_t>(tiles * scratch.chunks);
}

std::mutex* idle_mutex = new std::mutex;
auto* idle = new std::vector<std::unique_ptr<SplatBatch>>;

}  // namespace

void reserve_instances(Frame& frame) {
  constexpr size_t kPadding = 32;  // the rasterizer fetches a few members early
  uint32_t* members = frame.members.get<uint32_t>(frame.instances + kPadding);
  std::memset(members + frame.instances, 0, sizeof(uint32_t) * kPadding);
  frame.masks.get<uint32_t>(frame.instances);
  frame.slots.get<uint32_t>(frame.instances);
}

void SplatBatch::prepare(const SplatShape& wanted, const View* views, const GaussianInputs& inputs) {
  shape = wanted;
  while (frames.size() < static_cast<size_t>(shape.batch)) frames.push_back(std::make_unique<Frame>());
  const int threads = thread_count();
  scratch.chunks = threads < kMaxChunks ? threads : kMaxChunks;
  for (int b = 0; b < shape.batch; ++b) {
    Frame& frame = *frames[b];
    frame.view = views[b];
    frame.count = shape.count;
    frame.tiles_x = (shape.width + kTile - 1) / kTile;
    frame.tiles_y = (shape.height + kTile - 1) / kTile;
    reserve_frame(frame, scratch);
    kernels().project(frame, inputs_of(inputs, static_cast<size_t>(b) * shape.count));
    sort_by_depth(frame, scratch);
    kernels().assign_tiles(frame, scratch);
    if (frame.instances > kMaxInstances) {
      throw std::length_error(
          "splat: more than 33554432 pairs of a splat and a 16x16 tile in one image; use fewer or smaller Gaussians");
    }
  }
}

void SplatBatch::sum_weights(const Frame& frame, Scalar* weights) const {
  const Scalar* pairs = scratch.weights.data<Scalar>();
  const uint32_t* slots = frame.slots.data<uint32_t>();
  parallel_ranges(frame.count, 4096, [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      const uint32_t first = frame.slot_start.data<uint32_t>()[i], tiles = frame.slot_count.data<uint32_t>()[i];
      Scalar total = 0.0f;
      for (uint32_t t = 0; t < tiles; ++t) total += pairs[slots[first + t]];
      weights[i] = total;
    }
  });
}

void SplatBatch::rasterize(const Pictures& pictures) {
  const size_t pixels = static_cast<size_t>(shape.width) * shape.height;
  for (int b = 0; b < shape.batch; ++b) {
    Frame& frame = *frames[b];
    Scalar* pairs = pictures.weights ? scratch.weights.get<Scalar>(frame.instances) : nullptr;
    const size_t first = b * pixels;
    Scalar* depth = pictures.depth ? pictures.depth + first : nullptr;
    kernels().rasterize(frame, {pictures.rgb + 3 * first, pictures.alpha + first, depth, pairs});
    if (pictures.weights) sum_weights(frame, pictures.weights + static_cast<size_t>(b) * shape.count);
  }
}

void SplatBatch::rasterize_colors(const Scalar* colors, Scalar* rgb) {
  const size_t pixels = static_cast<size_t>(shape.width) * shape.height;
  Pictures pictures{nullptr, unused_alpha_.get<Scalar>(pixels), nullptr, nullptr};
  for (int b = 0; b < shape.batch; ++b) {
    Frame& frame = *frames[b];
    const Scalar* source = colors + static_cast<size_t>(b) * shape.count * 3;
    Splat* splats = frame.splats.data<Splat>();
    Splat* kept = recolored_.get<Splat>(shape.count);
    std::memcpy(static_cast<void*>(kept), splats, sizeof(Splat) * shape.count);
    for (int i = 0; i < shape.count; ++i) {
      Scalar color[3];
      for (int k = 0; k < 3; ++k) color[k] = source[3 * i + k] - source[3 * i + k] == 0.0f ? source[3 * i + k] : 0.0f;
      splats[i].red = color[0];
      splats[i].green = color[1];
      splats[i].blue = color[2];
    }
    pictures.rgb = rgb + 3 * b * pixels;
    kernels().rasterize(frame, pictures);
    std::memcpy(static_cast<void*>(splats), kept, sizeof(Splat) * shape.count);
  }
}

void SplatBatch::backward(const GaussianInputs& inputs, const PictureGradients& pictures,
                          const GaussianGradients& gradients) {
  const size_t pixels = static_cast<size_t>(shape.width) * shape.height;
  const auto from = [](const Scalar* values, size_t offset) { return values ? values + offset : nullptr; };
  for (int b = 0; b < shape.batch; ++b) {
    const Frame& frame = *frames[b];
    const size_t pixel = b * pixels, first = static_cast<size_t>(b) * shape.count;
    const PictureGradients one{pictures.rgb + 3 * pixel,         pictures.alpha + pixel,
                               from(pictures.depth, pixel),      from(pictures.grad_rgb, 3 * pixel),
                               from(pictures.grad_alpha, pixel), from(pictures.grad_depth, pixel)};
    Scalar* moments = scratch.moments.get<Scalar>((frame.instances + 1) * kMoments);
    kernels().rasterize_backward(frame, one, moments);
    kernels().project_backward(frame, inputs_of(inputs, first), moments,
                               {gradients.means + 3 * first, gradients.quats + 4 * first, gradients.scales + 3 * first,
                                gradients.opacities + first, gradients.colors + inputs.color_size() * first});
  }
}

SplatHandle::SplatHandle() {
  std::lock_guard<std::mutex> lock(*idle_mutex);
  if (idle->empty()) {
    batch_ = std::make_unique<SplatBatch>();
  } else {
    batch_ = std::move(idle->back());
    idle->pop_back();
  }
}

SplatHandle::~SplatHandle() {
  std::lock_guard<std::mutex> lock(*idle_mutex);
  if (idle->size() < kIdleBatches) idle->push_back(std::move(batch_));
}

}  // namespace headsplat
