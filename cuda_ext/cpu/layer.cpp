// Geometry of the layer: z-buffer in horizontal bands in parallel, distances from the rim of its openings, fades.
#include "layer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "../indices.h"
#include "threads.h"

namespace headsplat {
namespace {

constexpr int kCell = 16;      // samples; the skin is rasterized only in cells that the layer may cover
constexpr int kBandRows = 24;  // samples
constexpr int kMaxReach = kLayerMargin * kSupersample;  // samples

// Pixels of a meter at the mean depth of the corners of the faces in front of the camera, or 0; the farthest corner.
bool measure_scale(const LayerShape& shape, const LayerInputs& inputs, const Scalar* vertices, double focal,
                   double& pixels_per_meter, Scalar& farthest) {
  double sum = 0.0;
  farthest = 0.0f;
  int64_t count = 0, corners[3];
  for (int f = 0; f < shape.faces; ++f) {
    if (!shared::read_triangle(inputs.faces + 3 * static_cast<size_t>(f), shape.vertices, corners)) return false;
    for (int64_t corner : corners) {
      const Scalar depth = vertices[3 * corner + 2];
      if (!(depth > shape.near_z) || !std::isfinite(depth)) continue;
      sum += depth;
      farthest = std::max(farthest, depth);
      ++count;
    }
  }
  pixels_per_meter = count ? focal * static_cast<double>(count) / sum : 0.0;
  if (!std::isfinite(pixels_per_meter) || pixels_per_meter < 0.0) pixels_per_meter = 0.0;
  return true;
}

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

struct Box {
  float low[2], high[2];
};

// Bounding box of a triangle in pixels; of the whole plane when a corner is not in front of the camera.
inline Box bound(const float* projected, const int64_t* corners) {
  constexpr float kFar = 1e30f;
  Box box{{kFar, kFar}, {-kFar, -kFar}};
  for (int k = 0; k < 3; ++k) {
    const float* at = projected + 2 * corners[k];
    if (!(at[0] == at[0])) return {{-kFar, -kFar}, {kFar, kFar}};
    for (int axis = 0; axis < 2; ++axis) {
      box.low[axis] = std::min(box.low[axis], at[axis]);
      box.high[axis] = std::max(box.high[axis], at[axis]);
    }
  }
  return box;
}

}  // namespace

void LayerImage::project(const LayerShape& shape, const Scalar* K, const Scalar* vertices) {
  projected_.resize(2 * static_cast<size_t>(shape.vertices));
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  for (int v = 0; v < shape.vertices; ++v) {
    const double x = vertices[3 * v], y = vertices[3 * v + 1], z = vertices[3 * v + 2];
    const double w = K[6] * x + K[7] * y + K[8] * z;
    const bool front = z > shape.near_z && w > 0.0;
    projected_[2 * v] = front ? static_cast<float>((K[0] * x + K[1] * y + K[2] * z) / w) : kNone;
    projected_[2 * v + 1] = front ? static_cast<float>((K[3] * x + K[4] * y + K[5] * z) / w) : kNone;
  }
}

// Projects the vertices, and finds the region and the window.
bool LayerImage::place(const LayerShape& shape, const LayerInputs& inputs, int index) {
  const Scalar* K = inputs.intrinsics + 9 * static_cast<size_t>(index);
  const Scalar* vertices = inputs.vertices + 3 * static_cast<size_t>(index) * shape.vertices;
  window = region_ = {};
  if (!measure_scale(shape, inputs, vertices, K[0], pixels_per_meter_, farthest_)) return false;
  if (pixels_per_meter_ <= 0.0) return true;
  weights_ = blur_weights(shape.blur * pixels_per_meter_);
  double longest = 0.0;
  for (int f = 0; f < shape.faces; ++f) longest = std::max<double>(longest, inputs.fades[2 * f + 1]);
  const double reach = kHiddenReach * longest * pixels_per_meter_ * kSupersample + 2.0;
  reach_ = reach < kMaxReach ? static_cast<int>(reach) : kMaxReach;
  project(shape, K, vertices);
  double low[2] = {1e30, 1e30}, high[2] = {-1e30, -1e30};
  for (int f = 0; f < shape.faces; ++f) {
    const Box box = bound(projected_.data(), inputs.faces + 3 * static_cast<size_t>(f));
    for (int axis = 0; axis < 2; ++axis) {
      low[axis] = std::min<double>(low[axis], box.low[axis]);
      high[axis] = std::max<double>(high[axis], box.high[axis]);
    }
  }
  set_region(shape, low, high);
  for (int c = 0; c < 3; ++c) {
    intrinsics_[c] = kSupersample * (K[c] - static_cast<Scalar>(region_.x) * K[6 + c]);
    intrinsics_[3 + c] = kSupersample * (K[3 + c] - static_cast<Scalar>(region_.y) * K[6 + c]);
    intrinsics_[6 + c] = K[6 + c];
  }
  shared::invert(intrinsics_, inverse_);
  return true;
}

// The region and the window from the bounding box of the layer in pixels.
void LayerImage::set_region(const LayerShape& shape, const double low[2], const double high[2]) {
  const int border = 2 + static_cast<int>(weights_.size() / 2), size[2] = {shape.width, shape.height};
  int first[2], last[2];
  for (int axis = 0; axis < 2; ++axis) {
    first[axis] = shared::clamp_to_int(std::floor(low[axis]) - border, -kLayerMargin, size[axis]);
    last[axis] = shared::clamp_to_int(std::ceil(high[axis]) + border, 0, size[axis] + kLayerMargin);
    if (first[axis] >= size[axis] || last[axis] <= 0) return;
  }
  const int x0 = std::max(first[0], 0), y0 = std::max(first[1], 0);
  region_ = {first[0], first[1], last[0] - first[0], last[1] - first[1]};
  window = {x0, y0, std::min(last[0], size[0]) - x0, std::min(last[1], size[1]) - y0};
}

void LayerImage::mark_cells() {
  const int across = (samples_x() + kCell - 1) / kCell, down = (samples_y() + kCell - 1) / kCell;
  cells_.assign(static_cast<size_t>(across) * down, 0);
  for (const ScreenTriangle& t : faces_) {
    if (t.x1 < t.x0) continue;
    for (int y = t.y0 / kCell; y <= t.y1 / kCell; ++y)
      for (int x = t.x0 / kCell; x <= t.x1 / kCell; ++x) cells_[static_cast<size_t>(y) * across + x] = 1;
  }
}

// Sets up the faces of the skin that may cover samples of the layer. Returns whether all indices are in range.
bool LayerImage::find_skin(const LayerShape& shape, const LayerInputs& inputs, const Scalar* vertices) {
  const int across = (samples_x() + kCell - 1) / kCell, down = (samples_y() + kCell - 1) / kCell;
  skin_.clear();
  int64_t corners[3];
  for (int f = 0; f < shape.skin_faces; ++f) {
    if (!shared::read_triangle(inputs.skin + 3 * static_cast<size_t>(f), shape.vertices, corners)) return false;
    if (vertices[3 * corners[0] + 2] > farthest_ && vertices[3 * corners[1] + 2] > farthest_ &&
        vertices[3 * corners[2] + 2] > farthest_)
      continue;
    const Box box = bound(projected_.data(), corners);
    int first[2], last[2];
    const int start[2] = {region_.x, region_.y}, cells[2] = {across, down};
    for (int axis = 0; axis < 2; ++axis) {
      const float scale = static_cast<float>(kSupersample) / kCell;
      const float low = (box.low[axis] - static_cast<float>(start[axis])) * scale;
      const float high = (box.high[axis] - static_cast<float>(start[axis])) * scale;
      first[axis] = shared::clamp_to_int(low, 0, cells[axis]);
      last[axis] = shared::clamp_to_int(high, -1, cells[axis] - 1);
      if (high < 0.0f) last[axis] = -1;
    }
    bool near_layer = false;
    for (int y = first[1]; y <= last[1] && !near_layer; ++y)
      for (int x = first[0]; x <= last[0] && !near_layer; ++x) near_layer = cells_[static_cast<size_t>(y) * across + x];
    if (!near_layer) continue;
    const ScreenTriangle t =
        shared::setup_triangle(samples_x(), samples_y(), shape.near_z, vertices, corners, intrinsics_, inverse_);
    if (t.x1 >= t.x0 && t.y1 >= t.y0) skin_.push_back(t);
  }
  return true;
}

namespace {

// Calls visit(x, 1 / depth) for the samples first..last of row `y` in the triangle and beyond the near plane.
template <class Visit>
inline void visit_row(const ScreenTriangle& t, int y, int first, int last, double inverse_near, Visit visit) {
  double start[3];
  for (int k = 0; k < 3; ++k) start[k] = t.edges[k][1] * (y + 0.5) + t.edges[k][2];
  bool inside = false;
  for (int x = first; x <= last; ++x) {
    const double at = x + 0.5;
    const double a = t.edges[0][0] * at + start[0], b = t.edges[1][0] * at + start[1],
                 c = t.edges[2][0] * at + start[2];
    if (!(a >= 0.0 && b >= 0.0 && c >= 0.0)) {
      if (inside) return;  // a triangle is convex
      continue;
    }
    inside = true;
    const double total = a + b + c;
    if (total > 0.0 && total < inverse_near) visit(x, static_cast<float>(total));
  }
}

}  // namespace

void LayerImage::rasterize_band(int first, int last) {
  const size_t width = samples_x(), begin = width * first, count = width * (last - first);
  std::fill_n(face_.begin() + begin, count, -1);
  std::fill_n(inverse_depth_.begin() + begin, count, 0.0f);
  const double inverse_near = inverse_near_;
  const Band& band = bands_[first / kBandRows];
  for (const int f : band.faces) {
    const ScreenTriangle& t = faces_[f];
    for (int y = std::max(t.y0, first); y <= std::min(t.y1, last - 1); ++y)
      visit_row(t, y, t.x0, t.x1, inverse_near, [&](int x, float total) {
        const size_t at = width * y + x;
        if (!(total > inverse_depth_[at])) return;
        inverse_depth_[at] = total;
        face_[at] = f;
      });
  }
  int spans[kBandRows][2];  // first and last sample of the layer in each row
  for (int y = first; y < last; ++y) {
    int* span = spans[y - first];
    span[0] = static_cast<int>(width);
    span[1] = -1;
    for (int x = 0; x < static_cast<int>(width); ++x) {
      const bool covered = face_[width * y + x] >= 0;
      seen_[width * y + x] = covered;
      if (covered) span[1] = x;
      if (covered && x < span[0]) span[0] = x;
    }
  }
  for (const int f : band.skin) {
    const ScreenTriangle& t = skin_[f];
    for (int y = std::max(t.y0, first); y <= std::min(t.y1, last - 1); ++y)
      visit_row(t, y, std::max(t.x0, spans[y - first][0]), std::min(t.x1, spans[y - first][1]), inverse_near,
                [&](int x, float total) {
                  const size_t at = width * y + x;
                  if (total > inverse_depth_[at]) seen_[at] = 0;
                });
  }
}

// The triangles of each band, in order.
void LayerImage::sort_into_bands() {
  bands_.resize((samples_y() + kBandRows - 1) / kBandRows);
  for (Band& band : bands_) {
    band.faces.clear();
    band.skin.clear();
  }
  for (const bool of_skin : {false, true}) {
    const std::vector<ScreenTriangle>& triangles = of_skin ? skin_ : faces_;
    for (size_t f = 0; f < triangles.size(); ++f) {
      const ScreenTriangle& t = triangles[f];
      if (t.x1 < t.x0 || t.y1 < t.y0) continue;
      for (int k = t.y0 / kBandRows; k <= t.y1 / kBandRows; ++k)
        (of_skin ? bands_[k].skin : bands_[k].faces).push_back(static_cast<int>(f));
    }
  }
}

// Distances along columns, up to `reach_`, to the nearest sample that is seen, or that is not.
void LayerImage::measure_columns(bool to_seen, std::vector<uint8_t>& columns) const {
  const size_t width = samples_x();
  const int height = samples_y();
  const uint8_t reach = static_cast<uint8_t>(reach_), target = to_seen ? 1 : 0;
  columns.resize(width * height);
  parallel_ranges(static_cast<int>(width), 64, [&](int begin, int end) {
    for (int pass = 0; pass < 2; ++pass)
      for (int step = 0; step < height; ++step) {
        const int y = pass ? height - 1 - step : step;
        const size_t row = width * y, before = pass ? row + width : row - width;
        for (int x = begin; x < end; ++x) {
          const uint8_t other = step == 0 ? reach : columns[before + x];
          const uint8_t next = other >= reach ? reach : static_cast<uint8_t>(other + 1);
          const uint8_t found = seen_[row + x] == target ? 0 : next;
          columns[row + x] = pass ? std::min(columns[row + x], found) : found;
        }
      }
  });
}

// Distance in samples by the distances along columns; infinite if it is not less than `reach_`.
Scalar LayerImage::distance_at(const std::vector<uint8_t>& columns, int x, int y) const {
  const int width = samples_x(), reach = reach_;
  const uint8_t* row = columns.data() + static_cast<size_t>(width) * y;
  int best = reach * reach;
  if (row[x] < reach) best = row[x] * row[x];
  for (int step = 1; step < reach && step * step < best; ++step)
    for (int other : {x - step, x + step}) {
      if (other < 0 || other >= width || row[other] >= reach) continue;
      best = std::min(best, step * step + row[other] * row[other]);
    }
  return best < reach * reach ? std::sqrt(static_cast<Scalar>(best)) : std::numeric_limits<Scalar>::infinity();
}

// Coverage and stencil of a row of samples. Samples far behind the skin are removed.
void LayerImage::fade_row(const LayerInputs& inputs, int y) {
  const Scalar samples_per_meter = static_cast<Scalar>(pixels_per_meter_ * kSupersample);
  for (int x = 0; x < samples_x(); ++x) {
    const size_t at = static_cast<size_t>(samples_x()) * y + x;
    coverage_[at] = stencil_[at] = 0.0f;
    if (face_[at] < 0) continue;
    const Scalar* fades = inputs.fades + 2 * static_cast<size_t>(face_[at]);
    if (seen_[at]) {
      coverage_[at] = 1.0f;
      stencil_[at] = shared::stencil_at(distance_at(to_hidden_, x, y), samples_per_meter, fades);
    } else {
      coverage_[at] = shared::hidden_coverage(distance_at(to_seen_, x, y), samples_per_meter, fades);
    }
    if (coverage_[at] > 0.0f) continue;
    coverage_[at] = 0.0f;
    face_[at] = -1;
    inverse_depth_[at] = 0.0f;
  }
}

bool LayerImage::prepare(const LayerShape& shape, const LayerInputs& inputs, int index) {
  if (!place(shape, inputs, index)) return false;
  if (window.width <= 0 || window.height <= 0) {
    window = region_ = {};
    return true;
  }
  const Scalar* vertices = inputs.vertices + 3 * static_cast<size_t>(index) * shape.vertices;
  inverse_near_ = 1.0 / shape.near_z;
  faces_.resize(shape.faces);
  parallel_ranges(shape.faces, 512, [&](int begin, int end) {
    for (int f = begin; f < end; ++f) {
      int64_t corners[3];
      if (shared::read_triangle(inputs.faces + 3 * static_cast<size_t>(f), shape.vertices, corners))
        faces_[f] =
            shared::setup_triangle(samples_x(), samples_y(), shape.near_z, vertices, corners, intrinsics_, inverse_);
    }
  });
  mark_cells();
  if (!find_skin(shape, inputs, vertices)) return false;
  sort_into_bands();
  const size_t samples = static_cast<size_t>(samples_x()) * samples_y();
  face_.resize(samples);
  inverse_depth_.resize(samples);
  seen_.resize(samples);
  coverage_.resize(samples);
  stencil_.resize(samples);
  parallel_ranges(samples_y(), kBandRows, [&](int first, int last) { rasterize_band(first, last); });
  measure_columns(false, to_hidden_);
  measure_columns(true, to_seen_);
  parallel_ranges(samples_y(), kBandRows, [&](int first, int last) {
    for (int y = first; y < last; ++y) fade_row(inputs, y);
  });
  return true;
}

}  // namespace headsplat
