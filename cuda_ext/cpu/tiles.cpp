// Which splats each tile blends, front to back: stable counting over splats that are already in depth order.
#include "blocks.h"
#include "kernels.h"
#include "threads.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

struct TileBox {
  int x0, y0, x1, y1;  // inclusive; empty when x1 < x0 or y1 < y0
};

// floor(value / kTile) limited to lowest..highest, for any finite or infinite value.
int tile_of(Scalar value, int lowest, int highest) {
  const Scalar tile = std::floor(value * (1.0f / kTile));
  if (!(tile > static_cast<Scalar>(lowest))) return lowest;
  return tile < static_cast<Scalar>(highest) ? static_cast<int>(tile) : highest;
}

// Tiles that hold a pixel centre inside the ellipse's bounding box.
TileBox tile_box(const Frame& frame, const Splat& s) {
  TileBox box;
  box.x0 = tile_of(s.x - s.extent_x + 0.499f, 0, frame.tiles_x);
  box.y0 = tile_of(s.y - s.extent_y + 0.499f, 0, frame.tiles_y);
  box.x1 = tile_of(s.x + s.extent_x - 0.499f, -1, frame.tiles_x - 1);
  box.y1 = tile_of(s.y + s.extent_y - 0.499f, -1, frame.tiles_y - 1);
  return box;
}

// Calls visit(tile) for the tiles the ellipse touches.
template <class Visit>
void visit_tiles(const Frame& frame, const Splat& s, Visit visit) {
  const TileBox box = tile_box(frame, s);
  if (box.x1 < box.x0 || box.y1 < box.y0) return;
  if (box.x0 == box.x1 || box.y0 == box.y1) {  // a convex shape touches all that its box spans along one axis
    for (int y = box.y0; y <= box.y1; ++y)
      for (int x = box.x0; x <= box.x1; ++x) visit(y * frame.tiles_x + x);
    return;
  }
  const Ellipse ellipse(s);
  for (int y = box.y0; y <= box.y1; y += kWidth) {
    const Vec y0 = fma(load(kLane), Vec(Scalar(kTile)), Vec(static_cast<Scalar>(y * kTile) + 0.5f - s.y));
    Vec left, right;
    const uint32_t meets = bits(ellipse.span(y0, y0 + Vec(Scalar(kTile - 1)), left, right));
    Scalar from[kWidth], to[kWidth];
    store(from, left + Vec(s.x));
    store(to, right + Vec(s.x));
    const int rows = box.y1 - y < kWidth ? box.y1 - y + 1 : kWidth;
    for (int row = 0; row < rows; ++row) {
      if (!(meets >> row & 1u)) continue;
      const int last = tile_of(to[row] - 0.499f, box.x0 - 1, box.x1);
      for (int x = tile_of(from[row] + 0.499f, box.x0, box.x1 + 1); x <= last; ++x)
        visit((y + row) * frame.tiles_x + x);
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

// Finds the pairs of one run of splats; returns how many, or more than kMaxInstances when there are too many.
size_t find_pairs(Frame& frame, Scratch& scratch, int index, size_t limit) {
  const int tiles = frame.tiles_x * frame.tiles_y;
  uint32_t* histogram = scratch.histogram.data<uint32_t>() + static_cast<size_t>(index) * tiles;
  std::memset(histogram, 0, sizeof(uint32_t) * tiles);
  const Splat* splats = frame.splats.data<Splat>();
  const uint32_t* order = frame.order.data<uint32_t>();
  uint32_t* slot_count = frame.slot_count.data<uint32_t>();
  Buffer& pairs = scratch.pairs[index];
  uint32_t* list = pairs.data<uint32_t>();
  size_t room = pairs.capacity() / sizeof(uint32_t), used = 0;
  const Chunk chunk = chunk_of(frame.visible, scratch.chunks, index);
  for (int j = chunk.begin; j < chunk.end && used <= limit; ++j) {
    if (j + 8 < chunk.end) prefetch(splats + order[j + 8]);
    const size_t before = used;
    visit_tiles(frame, splats[order[j]], [&](int tile) {
      if (used == room) {
        list = static_cast<uint32_t*>(pairs.reserve((room * 2 + 4096) * sizeof(uint32_t), true));
        room = pairs.capacity() / sizeof(uint32_t);
      }
      list[used++] = static_cast<uint32_t>(tile);
      ++histogram[tile];
    });
    slot_count[order[j]] = static_cast<uint32_t>(used - before);
  }
  return used;
}

// Turns counts into first positions: tile after tile, in each tile chunk after chunk.
void place_tiles(Frame& frame, Scratch& scratch) {
  const int tiles = frame.tiles_x * frame.tiles_y;
  uint32_t* histogram = scratch.histogram.data<uint32_t>();
  uint32_t* start = frame.tile_start.data<uint32_t>();
  uint32_t position = 0;
  for (int tile = 0; tile < tiles; ++tile) {
    start[tile] = position;
    for (int chunk = 0; chunk < scratch.chunks; ++chunk) {
      uint32_t& entry = histogram[static_cast<size_t>(chunk) * tiles + tile];
      const uint32_t pairs = entry;
      entry = position;
      position += pairs;
    }
  }
  start[tiles] = position;
}

void scatter_pairs(Frame& frame, Scratch& scratch, int index, size_t first_slot) {
  uint32_t* cursor = scratch.histogram.data<uint32_t>() + static_cast<size_t>(index) * frame.tiles_x * frame.tiles_y;
  const uint32_t* order = frame.order.data<uint32_t>();
  const uint32_t* list = scratch.pairs[index].data<uint32_t>();
  const uint32_t* slot_count = frame.slot_count.data<uint32_t>();
  uint32_t* members = frame.members.data<uint32_t>();
  uint32_t* slots = frame.slots.data<uint32_t>() + first_slot;
  uint32_t* slot_start = frame.slot_start.data<uint32_t>();
  size_t used = 0;
  const Chunk chunk = chunk_of(frame.visible, scratch.chunks, index);
  for (int j = chunk.begin; j < chunk.end; ++j) {
    const uint32_t gaussian = order[j];
    slot_start[gaussian] = static_cast<uint32_t>(first_slot + used);
    for (uint32_t k = slot_count[gaussian]; k > 0; --k, ++used) {
      const uint32_t position = cursor[list[used]]++;
      members[position] = gaussian;
      slots[used] = position;
    }
  }
}

}  // namespace

void assign_tiles(Frame& frame, Scratch& scratch) {
  std::memset(frame.slot_count.data<void>(), 0, sizeof(uint32_t) * frame.count);
  size_t found[kMaxChunks];
  parallel(scratch.chunks, [&](int index) { found[index] = find_pairs(frame, scratch, index, kMaxInstances); });
  frame.instances = 0;
  for (int k = 0; k < scratch.chunks; ++k) frame.instances += found[k];
  if (frame.instances > kMaxInstances) return;
  place_tiles(frame, scratch);
  reserve_instances(frame);
  size_t first[kMaxChunks], position = 0;
  for (int k = 0; k < scratch.chunks; ++k) {
    first[k] = position;
    position += found[k];
  }
  parallel(scratch.chunks, [&](int index) { scatter_pairs(frame, scratch, index, first[index]); });
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
