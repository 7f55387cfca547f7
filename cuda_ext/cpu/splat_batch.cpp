#include "splat_batch.h"

#include <cstring>
#include <mutex>
#include <stdexcept>

#include "threads.h"

namespace headsplat {
namespace {

constexpr int kRadixBits = 11;
constexpr uint32_t kRadix = 1u << kRadixBits;
constexpr size_t kMaxIdleBatches = 4;

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

// Fills image.depth_order with the visible Gaussians by depth, ties by index: a stable radix sort of the depths' bits.
void sort_by_depth(ImageState& image, Scratch& scratch) {
  const uint32_t* depth_keys = image.depth_keys.data<uint32_t>();
  uint32_t* buffers[4];
  for (int k = 0; k < 4; ++k) buffers[k] = scratch.sort[k].get<uint32_t>(image.count);
  uint32_t min_key = kInvalidKey, max_key = 0;
  int visible = 0;
  for (int i = 0; i < image.count; ++i) {
    const uint32_t key = depth_keys[i];
    buffers[0][visible] = key;
    buffers[1][visible] = static_cast<uint32_t>(i);
    const bool is_visible = key != kInvalidKey;
    visible += is_visible;
    min_key = key < min_key ? key : min_key;
    max_key = is_visible && key > max_key ? key : max_key;
  }
  image.visible = visible;
  for (int i = 0; i < visible; ++i) buffers[0][i] -= min_key;
  int from = 0;
  for (int shift = 0; visible && shift < 32 && (max_key - min_key) >> shift; shift += kRadixBits) {
    const int to = 2 - from;
    sort_digit({buffers[from], buffers[from + 1], buffers[to], buffers[to + 1]}, visible, shift);
    from = to;
  }
  std::memcpy(image.depth_order.get<uint32_t>(image.count), buffers[from + 1], sizeof(uint32_t) * visible);
}

GaussianInputs inputs_of(const GaussianInputs& all, size_t first) {
  return {all.means + 3 * first,
          all.quats + 4 * first,
          all.scales + 3 * first,
          all.opacities + first,
          all.colors + all.color_size() * first,
          all.sh_terms};
}

void reserve_image(ImageState& image, Scratch& scratch) {
  const size_t count = static_cast<size_t>(image.count), tiles = static_cast<size_t>(image.tiles_x) * image.tiles_y;
  image.projected.get<ProjectedGaussian>(count);
  image.depth_keys.get<uint32_t>(count);
  image.depth_order.get<uint32_t>(count);
  image.intersection_offsets.get<uint32_t>(count);
  image.tiles_per_gaussian.get<uint32_t>(count);
  image.tile_offsets.get<uint32_t>(tiles + 1);
  image.tile_blend_ends.get<uint32_t>(tiles);
  scratch.histogram.get<uint32_t>(tiles * scratch.chunks);
}

std::mutex* idle_mutex = new std::mutex;
auto* idle = new std::vector<std::unique_ptr<SplatBatch>>;

}  // namespace

void reserve_intersections(ImageState& image) {
  constexpr size_t kPrefetchPadding = 32;  // the rasterizer prefetches beyond the end
  uint32_t* tile_gaussians = image.tile_gaussians.get<uint32_t>(image.intersections + kPrefetchPadding);
  std::memset(tile_gaussians + image.intersections, 0, sizeof(uint32_t) * kPrefetchPadding);
  image.strip_masks.get<uint32_t>(image.intersections);
  image.sorted_positions.get<uint32_t>(image.intersections);
}

std::vector<Camera> cameras_of(const Scalar* K, const Scalar* pose, const SplatShape& shape,
                               const CameraOptions& options) {
  std::vector<Camera> cameras(shape.batch);
  for (Camera& camera : cameras) {
    for (int r = 0; r < 3; ++r) {
      for (int c = 0; c < 3; ++c) camera.rotation[3 * r + c] = pose[4 * r + c];
      camera.translation[r] = pose[4 * r + 3];
    }
    camera.focal_x = K[0];
    camera.focal_y = K[4];
    camera.center_x = K[2];
    camera.center_y = K[5];
    camera.near_z = options.near_z;
    camera.dilation = options.dilation;
    camera.width = shape.width;
    camera.height = shape.height;
    camera.antialias = options.antialias;
    camera.cutoff = options.cutoff;
    K += 9;
    pose += 16;
  }
  return cameras;
}

void SplatBatch::prepare(const SplatShape& new_shape, const Camera* cameras, const GaussianInputs& inputs) {
  shape = new_shape;
  while (images.size() < static_cast<size_t>(shape.batch)) images.push_back(std::make_unique<ImageState>());
  const int threads = thread_count();
  scratch.chunks = threads < kMaxChunks ? threads : kMaxChunks;
  for (int b = 0; b < shape.batch; ++b) {
    ImageState& image = *images[b];
    image.camera = cameras[b];
    image.count = shape.count;
    image.tiles_x = (shape.width + kTile - 1) / kTile;
    image.tiles_y = (shape.height + kTile - 1) / kTile;
    reserve_image(image, scratch);
    kernels().project(image, inputs_of(inputs, static_cast<size_t>(b) * shape.count));
    sort_by_depth(image, scratch);
    kernels().assign_tiles(image, scratch);
    if (image.intersections > kMaxIntersections) {
      throw std::length_error(
          "splat: more than 33554432 tile intersections in one image; use fewer or smaller Gaussians");
    }
  }
}

void SplatBatch::sum_weights(const ImageState& image, Scalar* weights) const {
  const Scalar* intersection_weights = scratch.weights.data<Scalar>();
  const uint32_t* sorted_positions = image.sorted_positions.data<uint32_t>();
  parallel_ranges(image.count, 4096, [&](int begin, int end) {
    for (int i = begin; i < end; ++i) {
      const uint32_t first = image.intersection_offsets.data<uint32_t>()[i],
                     tiles = image.tiles_per_gaussian.data<uint32_t>()[i];
      Scalar total = 0.0f;
      for (uint32_t t = 0; t < tiles; ++t) total += intersection_weights[sorted_positions[first + t]];
      weights[i] = total;
    }
  });
}

void SplatBatch::rasterize(const LayerView* layers, const RenderOutputs& outputs) {
  const size_t pixels = static_cast<size_t>(shape.width) * shape.height;
  for (int b = 0; b < shape.batch; ++b) {
    ImageState& image = *images[b];
    Scalar* intersection_weights = outputs.weights ? scratch.weights.get<Scalar>(image.intersections) : nullptr;
    const size_t first = b * pixels;
    Scalar* depth = outputs.depth ? outputs.depth + first : nullptr;
    kernels().rasterize(image, layers ? layers + b : nullptr,
                        {outputs.rgb + 3 * first, outputs.alpha + first, depth, intersection_weights});
    if (outputs.weights) sum_weights(image, outputs.weights + static_cast<size_t>(b) * shape.count);
  }
}

void SplatBatch::rasterize_colors(const LayerView* layers, const Scalar* colors, Scalar* rgb) {
  const size_t pixels = static_cast<size_t>(shape.width) * shape.height;
  RenderOutputs outputs{nullptr, unused_alpha_.get<Scalar>(pixels), nullptr, nullptr};
  for (int b = 0; b < shape.batch; ++b) {
    ImageState& image = *images[b];
    const Scalar* source = colors + static_cast<size_t>(b) * shape.count * 3;
    ProjectedGaussian* projected = image.projected.data<ProjectedGaussian>();
    ProjectedGaussian* saved = recolored_.get<ProjectedGaussian>(shape.count);
    std::memcpy(static_cast<void*>(saved), projected, sizeof(ProjectedGaussian) * shape.count);
    for (int i = 0; i < shape.count; ++i) {
      Scalar color[3];
      for (int k = 0; k < 3; ++k) color[k] = source[3 * i + k] - source[3 * i + k] == 0.0f ? source[3 * i + k] : 0.0f;
      projected[i].red = color[0];
      projected[i].green = color[1];
      projected[i].blue = color[2];
    }
    outputs.rgb = rgb + 3 * b * pixels;
    kernels().rasterize(image, layers ? layers + b : nullptr, outputs);
    std::memcpy(static_cast<void*>(projected), saved, sizeof(ProjectedGaussian) * shape.count);
  }
}

void SplatBatch::backward(const GaussianInputs& inputs, const LayerView* layers, const RenderGradients& render,
                          const GaussianGradients& gradients, Scalar* grad_layer) {
  const size_t pixels = static_cast<size_t>(shape.width) * shape.height;
  const auto from = [](const Scalar* values, size_t offset) { return values ? values + offset : nullptr; };
  for (int b = 0; b < shape.batch; ++b) {
    const ImageState& image = *images[b];
    const size_t pixel = b * pixels, first = static_cast<size_t>(b) * shape.count;
    const RenderGradients one_image{render.rgb + 3 * pixel,         render.alpha + pixel,
                                    from(render.depth, pixel),      from(render.grad_rgb, 3 * pixel),
                                    from(render.grad_alpha, pixel), from(render.grad_depth, pixel)};
    Scalar* partials = scratch.partials.get<Scalar>((image.intersections + 1) * kPartialStride);
    const LayerView* layer = layers ? layers + b : nullptr;
    Scalar* grad_color =
        layer && grad_layer ? grad_layer + 3 * static_cast<size_t>(b) * layer->width * layer->height : nullptr;
    kernels().rasterize_backward(image, layer, one_image, partials, grad_color);
    kernels().project_backward(image, inputs_of(inputs, first), partials,
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
  if (idle->size() < kMaxIdleBatches) idle->push_back(std::move(batch_));
}

}  // namespace headsplat
