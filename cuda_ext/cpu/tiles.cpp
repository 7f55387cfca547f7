// Tile intersections: the Gaussians of each tile, front to back, by stable counting sort of Gaussians in depth order.
#include "ellipse_spans.h"
#include "kernels.h"
#include "threads.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

struct TileBox {
  int x0, y0, x1, y1;  // inclusive; empty when x1 < x0 or y1 < y0
};

// floor(value / kTile) clamped to lowest..highest, for any finite or infinite value.
int tile_of(Scalar value, int lowest, int highest) {
  const Scalar tile = std::floor(value * (1.0f / kTile));
  if (!(tile > static_cast<Scalar>(lowest))) return lowest;
  return tile < static_cast<Scalar>(highest) ? static_cast<int>(tile) : highest;
}

// Tiles that contain a pixel center inside the ellipse's bounding box.
TileBox tile_box(const ImageState& image, const ProjectedGaussian& s) {
  TileBox box;
  box.x0 = tile_of(s.x - s.extent_x + 0.499f, 0, image.tiles_x);
  box.y0 = tile_of(s.y - s.extent_y + 0.499f, 0, image.tiles_y);
  box.x1 = tile_of(s.x + s.extent_x - 0.499f, -1, image.tiles_x - 1);
  box.y1 = tile_of(s.y + s.extent_y - 0.499f, -1, image.tiles_y - 1);
  return box;
}

// Calls visit(tile) for every tile that the ellipse overlaps.
template <class Visit>
void visit_tiles(const ImageState& image, const ProjectedGaussian& s, Visit visit) {
  const TileBox box = tile_box(image, s);
  if (box.x1 < box.x0 || box.y1 < box.y0) return;
  if (box.x0 == box.x1 || box.y0 == box.y1) {  // a convex shape overlaps every tile of a one-tile-wide box
    for (int y = box.y0; y <= box.y1; ++y)
      for (int x = box.x0; x <= box.x1; ++x) visit(y * image.tiles_x + x);
    return;
  }
  const Ellipse ellipse(s);
  for (int y = box.y0; y <= box.y1; y += kWidth) {
    const Vec y0 = fma(load(kLane), Vec(Scalar(kTile)), Vec(static_cast<Scalar>(y * kTile) + 0.5f - s.y));
    Vec left, right;
    const uint32_t overlaps = bits(ellipse.span(y0, y0 + Vec(Scalar(kTile - 1)), left, right));
    Scalar from[kWidth], to[kWidth];
    store(from, left + Vec(s.x));
    store(to, right + Vec(s.x));
    const int rows = box.y1 - y < kWidth ? box.y1 - y + 1 : kWidth;
    for (int row = 0; row < rows; ++row) {
      if (!(overlaps >> row & 1u)) continue;
      const int last = tile_of(to[row] - 0.499f, box.x0 - 1, box.x1);
      for (int x = tile_of(from[row] + 0.499f, box.x0, box.x1 + 1); x <= last; ++x)
        visit((y + row) * image.tiles_x + x);
    }
  }
}

struct Chunk {
  int begin, end;
};

Chunk chunk_of(int count, int chunks, int index) {
  return {static_cast<int>(static_cast<int64_t>(count) * index / chunks),
          static_cast<int>(static_cast<int64_t>(count) * (index + 1) / chunks)};
}

// Finds the tile intersections of one chunk of Gaussians; returns their number, more than `limit` when there are too
// many.
size_t find_intersections(ImageState& image, Scratch& scratch, int index, size_t limit) {
  const int tiles = image.tiles_x * image.tiles_y;
  uint32_t* histogram = scratch.histogram.data<uint32_t>() + static_cast<size_t>(index) * tiles;
  std::memset(histogram, 0, sizeof(uint32_t) * tiles);
  const ProjectedGaussian* projected = image.projected.data<ProjectedGaussian>();
  const uint32_t* depth_order = image.depth_order.data<uint32_t>();
  uint32_t* tiles_per_gaussian = image.tiles_per_gaussian.data<uint32_t>();
  Buffer& chunk_tiles = scratch.chunk_tiles[index];
  uint32_t* tiles_found = chunk_tiles.data<uint32_t>();
  size_t capacity = chunk_tiles.capacity() / sizeof(uint32_t), used = 0;
  const Chunk chunk = chunk_of(image.visible, scratch.chunks, index);
  for (int j = chunk.begin; j < chunk.end && used <= limit; ++j) {
    if (j + 8 < chunk.end) prefetch(projected + depth_order[j + 8]);
    const size_t before = used;
    visit_tiles(image, projected[depth_order[j]], [&](int tile) {
      if (used == capacity) {
        tiles_found = static_cast<uint32_t*>(chunk_tiles.reserve((capacity * 2 + 4096) * sizeof(uint32_t), true));
        capacity = chunk_tiles.capacity() / sizeof(uint32_t);
      }
      tiles_found[used++] = static_cast<uint32_t>(tile);
      ++histogram[tile];
    });
    tiles_per_gaussian[depth_order[j]] = static_cast<uint32_t>(used - before);
  }
  return used;
}

// Exclusive prefix sum of the histograms: by tile, then by chunk.
void compute_offsets(ImageState& image, Scratch& scratch) {
  const int tiles = image.tiles_x * image.tiles_y;
  uint32_t* histogram = scratch.histogram.data<uint32_t>();
  uint32_t* start = image.tile_offsets.data<uint32_t>();
  uint32_t position = 0;
  for (int tile = 0; tile < tiles; ++tile) {
    start[tile] = position;
    for (int chunk = 0; chunk < scratch.chunks; ++chunk) {
      uint32_t& entry = histogram[static_cast<size_t>(chunk) * tiles + tile];
      const uint32_t count = entry;
      entry = position;
      position += count;
    }
  }
  start[tiles] = position;
}

void scatter_intersections(ImageState& image, Scratch& scratch, int index, size_t first_intersection) {
  uint32_t* cursor = scratch.histogram.data<uint32_t>() + static_cast<size_t>(index) * image.tiles_x * image.tiles_y;
  const uint32_t* depth_order = image.depth_order.data<uint32_t>();
  const uint32_t* tiles_found = scratch.chunk_tiles[index].data<uint32_t>();
  const uint32_t* tiles_per_gaussian = image.tiles_per_gaussian.data<uint32_t>();
  uint32_t* tile_gaussians = image.tile_gaussians.data<uint32_t>();
  uint32_t* sorted_positions = image.sorted_positions.data<uint32_t>() + first_intersection;
  uint32_t* intersection_offsets = image.intersection_offsets.data<uint32_t>();
  size_t used = 0;
  const Chunk chunk = chunk_of(image.visible, scratch.chunks, index);
  for (int j = chunk.begin; j < chunk.end; ++j) {
    const uint32_t gaussian = depth_order[j];
    intersection_offsets[gaussian] = static_cast<uint32_t>(first_intersection + used);
    for (uint32_t k = tiles_per_gaussian[gaussian]; k > 0; --k, ++used) {
      const uint32_t position = cursor[tiles_found[used]]++;
      tile_gaussians[position] = gaussian;
      sorted_positions[used] = position;
    }
  }
}

}  // namespace

void assign_tiles(ImageState& image, Scratch& scratch) {
  std::memset(image.tiles_per_gaussian.data<void>(), 0, sizeof(uint32_t) * image.count);
  size_t counts[kMaxChunks];
  parallel(scratch.chunks,
           [&](int index) { counts[index] = find_intersections(image, scratch, index, kMaxIntersections); });
  image.intersections = 0;
  for (int k = 0; k < scratch.chunks; ++k) image.intersections += counts[k];
  if (image.intersections > kMaxIntersections) return;
  compute_offsets(image, scratch);
  reserve_intersections(image);
  size_t first[kMaxChunks], position = 0;
  for (int k = 0; k < scratch.chunks; ++k) {
    first[k] = position;
    position += counts[k];
  }
  parallel(scratch.chunks, [&](int index) { scatter_intersections(image, scratch, index, first[index]); });
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
