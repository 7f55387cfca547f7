// Geometry of the layer: its place in the image, z-buffers in horizontal bands in parallel, distances from the rim of
// its openings.
#include "layer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>

#include "../indices.h"
#include "../triangle.h"
#include "kernels.h"
#include "threads.h"

namespace headsplat {
namespace {

constexpr int kFaces = 1024;     // of a task
constexpr int kVertices = 4096;  // of a task
constexpr size_t kMaxIdleImages = 16;

std::mutex* idle_mutex = new std::mutex;
auto* idle = new std::vector<std::unique_ptr<LayerImage>>;

std::vector<Scalar> blur_weights(double sigma) {
  const double wide = std::ceil(3.0 * sigma);
  const int radius = wide < kLayerMargin ? static_cast<int>(wide) : kLayerMargin;
  std::vector<double> values(2 * radius + 1);
  double sum = 0.0;
  for (int k = -radius; k <= radius; ++k) {
    const double at = sigma > 0.0 ? k / sigma : 0.0;
    sum += values[k + radius] = std::exp(-0.5 * at * at);
  }
  std::vector<Scalar> weights(values.size());
  for (size_t k = 0; k < values.size(); ++k) weights[k] = static_cast<Scalar>(values[k] / sum);
  return weights;
}

}  // namespace

// Pixels of a meter at the mean depth of the corners of the faces in front of the camera, or 0; the farthest corner;
// the bounding box of the layer in pixels, the whole plane when a corner is not in front of the camera.
bool LayerImage::measure_layer(const LayerShape& shape, const LayerInputs& inputs, double focal, double low[2],
                               double high[2]) {
  double sum = 0.0;
  Scalar box[4] = {shared::kNoLayerDepth, shared::kNoLayerDepth, -shared::kNoLayerDepth, -shared::kNoLayerDepth};
  int64_t count = 0, corners[3];
  bool whole = false;
  farthest_ = 0.0f;
  for (int f = 0; f < shape.faces; ++f) {
    if (!shared::read_triangle(inputs.faces + 3 * static_cast<size_t>(f), shape.vertices, corners)) return false;
    for (int64_t corner : corners) {
      const LayerVertex& v = projected_[corner];
      whole = whole || !(v.x == v.x && v.y == v.y);
      box[0] = shared::smaller(v.x, box[0]);
      box[1] = shared::smaller(v.y, box[1]);
      box[2] = shared::larger(v.x, box[2]);
      box[3] = shared::larger(v.y, box[3]);
      if (!(v.depth > shape.near_z) || !std::isfinite(v.depth)) continue;
      sum += v.depth;
      farthest_ = std::max(farthest_, v.depth);
      ++count;
    }
  }
  pixels_per_meter_ = count ? focal * static_cast<double>(count) / sum : 0.0;
  if (!std::isfinite(pixels_per_meter_) || pixels_per_meter_ < 0.0) pixels_per_meter_ = 0.0;
  for (int axis = 0; axis < 2; ++axis) {
    low[axis] = whole ? -1e30 : box[axis];
    high[axis] = whole ? 1e30 : box[2 + axis];
  }
  return true;
}

// Projects the vertices and finds the region, which is empty where no layer can be.
bool LayerImage::place(const LayerShape& shape, const LayerInputs& inputs, int index) {
  const Scalar* K = inputs.intrinsics + 9 * static_cast<size_t>(index);
  const Scalar* vertices = inputs.vertices + 3 * static_cast<size_t>(index) * shape.vertices;
  window = region_ = {};
  projected_.resize(shape.vertices);
  parallel_ranges(shape.vertices, kVertices, [&](int begin, int end) {
    kernels().layer.project(K, shape.near_z, vertices, begin, end, projected_.data());
  });
  double low[2], high[2];
  if (!measure_layer(shape, inputs, K[0], low, high)) return false;
  if (pixels_per_meter_ <= 0.0) return true;
  weights_ = blur_weights(shape.blur * pixels_per_meter_);
  double longest = 0.0;
  for (int f = 0; f < shape.faces; ++f) longest = std::max<double>(longest, inputs.fades[2 * f + 1]);
  const double reach = kHiddenReach * longest * pixels_per_meter_ * kSupersample + 2.0;
  reach_ = reach < kLayerMaxReach ? static_cast<int>(reach) : kLayerMaxReach;
  if (!set_region(shape, low, high)) return true;
  geometry_.vertices = vertices;
  geometry_.projected = projected_.data();
  geometry_.vertex_count = shape.vertices;
  geometry_.near_z = shape.near_z;
  geometry_.inverse_near = static_cast<Scalar>(1.0 / shape.near_z);
  set_grid(K);
  return true;
}

// The region from the bounding box of the layer in pixels. Returns whether it has pixels of the image.
bool LayerImage::set_region(const LayerShape& shape, const double low[2], const double high[2]) {
  const int border = 2 + static_cast<int>(weights_.size() / 2), size[2] = {shape.width, shape.height};
  int first[2], last[2];
  for (int axis = 0; axis < 2; ++axis) {
    first[axis] = shared::clamped_floor(low[axis] - border, -kLayerMargin, size[axis]);
    last[axis] = shared::clamped_ceil(high[axis] + border, 0, size[axis] + kLayerMargin);
    if (first[axis] >= size[axis] || last[axis] <= 0) return false;
  }
  region_ = {first[0], first[1], last[0] - first[0], last[1] - first[1]};
  return true;
}

// The samples of the region, and the intrinsics of a camera with them for pixels.
void LayerImage::set_grid(const Scalar* K) {
  LayerGrid& grid = geometry_.grid;
  grid.width = region_.width * kSupersample;
  grid.height = region_.height * kSupersample;
  grid.cells_x = (grid.width + kLayerCell - 1) / kLayerCell;
  grid.cells_y = (grid.height + kLayerCellRows - 1) / kLayerCellRows;
  grid.stride = grid.cells_x * kLayerCell + kLayerPad;
  geometry_.region_x = region_.x;
  geometry_.region_y = region_.y;
  for (int c = 0; c < 3; ++c) {
    geometry_.intrinsics[c] = kSupersample * (K[c] - static_cast<Scalar>(region_.x) * K[6 + c]);
    geometry_.intrinsics[3 + c] = kSupersample * (K[3 + c] - static_cast<Scalar>(region_.y) * K[6 + c]);
    geometry_.intrinsics[6 + c] = K[6 + c];
  }
  shared::invert(geometry_.intrinsics, geometry_.inverse);
}

// The faces that may cover samples, in order. Returns whether all indices are in range.
bool LayerImage::find_entries(const int64_t* faces, int count, const uint8_t* cells, Entries& out) {
  const int tasks = (count + kFaces - 1) / kFaces;
  std::vector<int> found(tasks);
  if (out.memory.size() < static_cast<size_t>(count)) out.memory.resize(count);
  LayerEntry* memory = out.memory.data();
  parallel_ranges(count, kFaces, [&](int begin, int end) {
    found[begin / kFaces] = kernels().layer.find_faces(geometry_, faces, begin, end, cells, memory + begin);
  });
  out.count = 0;
  for (int task = 0; task < tasks; ++task) {
    if (found[task] < 0) return false;
    std::memmove(memory + out.count, memory + task * kFaces, sizeof(LayerEntry) * found[task]);
    out.count += found[task];
  }
  return true;
}

// The faces of the layer and of the skin that may cover samples. Returns whether all indices are in range.
bool LayerImage::find_faces(const LayerShape& shape, const LayerInputs& inputs) {
  sides_.resize(shape.vertices);
  geometry_.sides = sides_.data();
  parallel_ranges(shape.vertices, kVertices, [&](int begin, int end) {
    kernels().layer.find_sides(geometry_, farthest_, begin, end, sides_.data());
  });
  if (!find_entries(inputs.faces, shape.faces, nullptr, faces_)) return false;
  cells_.assign(static_cast<size_t>(grid().cells_x) * grid().cells_y, 0);
  for (int k = 0; k < faces_.count; ++k) {
    const LayerEntry& entry = faces_.memory[k];
    for (int y = entry.y0; y <= entry.y1; ++y)
      for (int x = entry.x0; x <= entry.x1; ++x) cells_[static_cast<size_t>(y) * grid().cells_x + x] = 1;
  }
  return find_entries(inputs.skin, shape.skin_faces, cells_.data(), skin_);
}

// Nearer faces of the layer first, so that they hide others before those are drawn; about, in a fixed order.
void LayerImage::sort_by_depth() {
  constexpr int kBuckets = 64;
  Scalar low = shared::kNoLayerDepth, high = 0.0f;
  for (int k = 0; k < faces_.count; ++k) {
    if (faces_.memory[k].nearest == shared::kNoLayerDepth) continue;
    low = std::min(low, faces_.memory[k].nearest);
    high = std::max(high, faces_.memory[k].nearest);
  }
  const Scalar scale = high > low ? (kBuckets - 2) / (high - low) : Scalar(0);
  const auto bucket_of = [&](Scalar nearest) {
    return nearest > high ? 0 : 1 + static_cast<int>((high - nearest) * scale);
  };
  int starts[kBuckets + 1] = {};
  for (int k = 0; k < faces_.count; ++k) ++starts[bucket_of(faces_.memory[k].nearest) + 1];
  for (int bucket = 0; bucket < kBuckets; ++bucket) starts[bucket + 1] += starts[bucket];
  if (sorted_.memory.size() < faces_.memory.size()) sorted_.memory.resize(faces_.memory.size());
  for (int k = 0; k < faces_.count; ++k)
    sorted_.memory[starts[bucket_of(faces_.memory[k].nearest)]++] = faces_.memory[k];
  std::swap(sorted_.memory, faces_.memory);
}

void LayerImage::sort_into_bands() {
  while (bands_.size() < static_cast<size_t>(bands())) bands_.push_back(std::make_unique<Band>());
  for (const std::unique_ptr<Band>& band : bands_) {
    band->faces.clear();
    band->skin.clear();
  }
  const auto add = [&](const LayerEntry& entry, int index, std::vector<int> Band::* list) {
    for (int b = entry.y0 / kLayerBandCells; b <= entry.y1 / kLayerBandCells; ++b)
      ((*bands_[b]).*list).push_back(index);
  };
  for (int k = 0; k < faces_.count; ++k) add(faces_.memory[k], k, &Band::faces);
  for (int k = 0; k < skin_.count; ++k) add(skin_.memory[k], k, &Band::skin);
}

LayerSamples LayerImage::samples() const {
  Scalar* planes[kLayerPlanes];
  for (int k = 0; k < kLayerPlanes; ++k) planes[k] = memory_.data<Scalar>() + k * grid().size();
  return {planes[0], planes[1], planes[2], planes[3], planes[4], planes[5], planes[6], planes[7]};
}

// The skin, the faces that it does not hide, and which samples are seen.
void LayerImage::draw_band(const LayerInputs& inputs, const Scalar* shade, int index) {
  Band& band = *bands_[index];
  const LayerSamples samples = this->samples();
  const int first = index * kLayerBandCells, last = std::min(first + kLayerBandCells, grid().cells_y);
  const size_t begin = grid().row(first * kLayerCellRows), end = grid().row(last * kLayerCellRows);
  Scalar* other = band.faces.empty() ? samples.seen : samples.skin;
  for (Scalar* plane : {samples.inverse_depth, other}) std::fill(plane + begin, plane + end, Scalar(0));
  band.rest_count = band.painted = 0;
  if (band.faces.empty()) return;
  const LayerDraw skin{inputs.skin, nullptr, skin_.memory.data(), band.skin.data(), static_cast<int>(band.skin.size()),
                       nullptr,     nullptr};
  kernels().layer.draw_skin(geometry_, skin, first, last, samples.skin);
  const int count = static_cast<int>(band.faces.size());
  if (band.rest.size() < band.faces.size()) band.rest.resize(count);
  const LayerDraw faces{inputs.faces,         shade,  faces_.memory.data(), band.faces.data(), count,
                        hidden_below_.data(), nullptr};
  LayerPaint* paints = band.paints.get<LayerPaint>(count);
  band.painted =
      kernels().layer.draw_faces(geometry_, faces, first, last, samples, paints, 0, band.rest.data(), &band.rest_count);
  const int end_row = std::min(last * kLayerCellRows, grid().height);
  kernels().layer.find_seen(grid(), samples, paints, inputs.fades, first * kLayerCellRows, end_row, extents_.data());
}

// Marks the cells within reach of a seen sample. Returns whether there are any.
bool LayerImage::find_needed() {
  needed_.assign(cells_.size(), 0);
  bool found = false;
  for (int y = 0; y < grid().cells_y; ++y)
    for (int x = 0; x < grid().cells_x; ++x) {
      const LayerExtent& extent = extents_[static_cast<size_t>(y) * grid().cells_x + x];
      if (!extent.columns) continue;
      found = true;
      int left = 0, right = kLayerCell - 1;
      while (!(extent.columns >> left & 1u)) ++left;
      while (!(extent.columns >> right & 1u)) --right;
      const int x0 = std::max(x * kLayerCell + left - reach_, 0) / kLayerCell;
      const int x1 = std::min((x * kLayerCell + right + reach_) / kLayerCell, grid().cells_x - 1);
      const int y0 = std::max(extent.y0 - reach_, 0) / kLayerCellRows;
      const int y1 = std::min((extent.y1 + reach_) / kLayerCellRows, grid().cells_y - 1);
      for (int row = y0; row <= y1; ++row)
        std::memset(needed_.data() + static_cast<size_t>(row) * grid().cells_x + x0, 1, x1 - x0 + 1);
    }
  return found;
}

// The window from the needed cells: what the blur spreads from there, in the image.
void LayerImage::set_window(const LayerShape& shape) {
  int box[4] = {grid().cells_x, grid().cells_y, 0, 0};
  for (int y = 0; y < grid().cells_y; ++y)
    for (int x = 0; x < grid().cells_x; ++x) {
      if (!is_needed(x, y)) continue;
      box[0] = std::min(box[0], x);
      box[1] = std::min(box[1], y);
      box[2] = std::max(box[2], x + 1);
      box[3] = std::max(box[3], y + 1);
    }
  constexpr int kCellPixels = kLayerCell / kSupersample, kCellRows = kLayerCellRows / kSupersample;
  const int radius = static_cast<int>(weights_.size() / 2);
  const int x0 = std::max({region_.x + box[0] * kCellPixels - radius, region_.x, 0});
  const int y0 = std::max({region_.y + box[1] * kCellRows - radius, region_.y, 0});
  const int x1 = std::min({region_.x + box[2] * kCellPixels + radius, region_.x + region_.width, shape.width});
  const int y1 = std::min({region_.y + box[3] * kCellRows + radius, region_.y + region_.height, shape.height});
  if (x0 < x1 && y0 < y1) window = {x0, y0, x1 - x0, y1 - y0};
}

bool LayerImage::prepare(const LayerShape& shape, const LayerInputs& inputs, int index) {
  if (!place(shape, inputs, index)) return false;
  if (!region_.width) return true;
  if (!find_faces(shape, inputs)) return false;
  sort_by_depth();
  sort_into_bands();
  hidden_below_.assign(cells_.size(), Scalar(0));
  extents_.assign(cells_.size(), {grid().height, -1, 0});
  memory_.get<Scalar>(kLayerPlanes * grid().size());
  const Scalar* shade = inputs.shade + static_cast<size_t>(index) * shape.vertices;
  parallel(bands(), [&](int band) { draw_band(inputs, shade, band); });
  if (!find_needed()) {
    region_ = {};
    return true;
  }
  kernels().layer.measure_columns(grid(), needed_.data(), reach_, samples());
  set_window(shape);
  return true;
}

LayerHandle::LayerHandle() {
  std::lock_guard<std::mutex> lock(*idle_mutex);
  if (idle->empty()) {
    image_ = std::make_unique<LayerImage>();
  } else {
    image_ = std::move(idle->back());
    idle->pop_back();
  }
}

LayerHandle::~LayerHandle() {
  if (!image_) return;
  std::lock_guard<std::mutex> lock(*idle_mutex);
  if (idle->size() < kMaxIdleImages) idle->push_back(std::move(image_));
}

}  // namespace headsplat
