// Which splats each tile blends, front to back: a stable sort by depth, a running sum that gives every (splat, tile)
// pair its slot, and a stable sort of the pairs by tile.
//
// One sort by depth serves the batch: it mixes the images, and the sort by tile, whose keys count the tiles of all
// images, takes them apart again. Keys are whole float bit patterns and a Gaussian's index in the batch breaks ties.
#include "sort.h"
#include "tiles.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr size_t kAlignment = 256;

// Bits of tile keys: the largest number of so many bits is no tile, it stands for unused capacity.
int tile_bits(const SplatSize& size) {
  const uint64_t tiles = static_cast<uint64_t>(size.batch) * size.tiles();
  int bits = 1;
  while ((uint64_t{1} << bits) <= tiles) ++bits;
  return bits;
}

struct Carver {
  uintptr_t memory;
  size_t used = 0;

  template <class T>
  T* take(size_t count) {
    T* start = reinterpret_cast<T*>(memory + used);
    used += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return start;
  }
};

Workspace carve(Carver& carver, const SplatSize& size) {
  const size_t n = size.gaussians(), tiles = static_cast<size_t>(size.batch) * size.tiles();
  Workspace work;
  work.pairs = carver.take<unsigned long long>(1);
  work.records = carver.take<Record>(n);
  for (uint32_t** field :
       {&work.depth_keys, &work.depth_order, &work.sorted_keys, &work.order, &work.tile_counts, &work.first_slots})
    *field = carver.take<uint32_t>(n);
  for (uint32_t** field : {&work.tile_keys, &work.slots_in, &work.sorted_tiles, &work.slots, &work.owners})
    *field = carver.take<uint32_t>(size.capacity);
  work.ranges = carver.take<Range>(tiles);
  work.temp_bytes = exclusive_sum_bytes(static_cast<int>(n));
  for (int count : {static_cast<int>(n), static_cast<int>(size.capacity)}) {
    const size_t bytes = sort_pairs_bytes(count);
    work.temp_bytes = bytes > work.temp_bytes ? bytes : work.temp_bytes;
  }
  work.temp = carver.take<uint8_t>(work.temp_bytes);
  return work;
}

__global__ void __launch_bounds__(kThreads) order_counts_kernel(int count, Workspace work) {
  const int j = blockIdx.x * kThreads + threadIdx.x;
  if (j < count) work.sorted_keys[j] = work.tile_counts[work.order[j]];
}

// Slots of the Gaussians in depth order; `first_slots` holds the running sum by place in that order. A pair beyond the
// counted ones cannot be (both kernels ask the same question), but it must not reach a neighbour's slots.
__global__ void __launch_bounds__(kThreads) fill_slots_kernel(SplatSize size, Workspace work, const uint32_t* starts) {
  if (overflowed(work, size.capacity)) return;
  const int j = blockIdx.x * kThreads + threadIdx.x;
  TileJob job{{}, {0, 0, -1, -1}, 0, 0, 0};
  if (j < size.gaussians()) {
    job.gaussian = work.order[j];
    job.first_slot = starts[j];
    job.slots = work.sorted_keys[j];
    work.first_slots[job.gaussian] = job.first_slot;
    if (job.slots) {
      const Record record = work.records[job.gaussian];
      job.ellipse = ellipse_of(record);
      job.box = tile_box(size, record);
    }
  }
  visit_tiles(job, [&](const TileJob& of, uint32_t ordinal, int x, int y) {
    if (ordinal >= of.slots) return;
    const uint32_t slot = of.first_slot + ordinal, image = of.gaussian / size.count;
    work.tile_keys[slot] = image * size.tiles() + y * size.tiles_x() + x;
    work.slots_in[slot] = slot;
    work.owners[slot] = of.gaussian;
  });
}

// Each member's Gaussian, and where each tile's members begin and end.
__global__ void __launch_bounds__(kThreads) fill_members_kernel(SplatSize size, Workspace work, uint32_t* members) {
  const uint32_t place = blockIdx.x * kThreads + threadIdx.x;
  if (place >= size.capacity || place >= *work.pairs || overflowed(work, size.capacity)) return;
  const uint32_t tile = work.sorted_tiles[place];
  if (tile == kHidden) return;
  members[place] = work.owners[work.slots[place]];
  if (place == 0 || work.sorted_tiles[place - 1] != tile) work.ranges[tile].begin = place;
  if (place + 1 == size.capacity || work.sorted_tiles[place + 1] != tile) work.ranges[tile].end = place + 1;
}

}  // namespace

size_t workspace_bytes(const SplatSize& size) {
  Carver carver{0};
  carve(carver, size);
  return carver.used;
}

Workspace place_workspace(void* memory, size_t bytes, const SplatSize& size) {
  Carver carver{reinterpret_cast<uintptr_t>(memory)};
  const Workspace work = carve(carver, size);
  if (carver.used > bytes) throw std::invalid_argument("native kernel: the workspace is too small");
  if (carver.memory % alignof(float4) != 0)
    throw std::invalid_argument("native kernel: the workspace must be aligned to 16 bytes");
  return work;
}

void assign_tiles(const SplatSize& size, const Workspace& work, Stream stream) {
  const int count = size.gaussians(), capacity = static_cast<int>(size.capacity);
  fill_bytes(work.ranges, 0, sizeof(Range) * size.batch * size.tiles(), stream);
  if (count == 0) return;
  sort_pairs(work.temp, work.temp_bytes, work.depth_keys, work.sorted_keys, work.depth_order, work.order, count, 32,
             stream);
  const unsigned blocks = blocks_for(count, kThreads);
  launch(order_counts_kernel, blocks, kThreads, 0, stream, count, work);
  uint32_t* starts = work.depth_keys;  // sorted, so free
  exclusive_sum(work.temp, work.temp_bytes, work.sorted_keys, starts, count, stream);
  fill_bytes(work.tile_keys, 0xff, sizeof(uint32_t) * size.capacity, stream);
  launch(fill_slots_kernel, blocks, kThreads, 0, stream, size, work, starts);
  sort_pairs(work.temp, work.temp_bytes, work.tile_keys, work.sorted_tiles, work.slots_in, work.slots, capacity,
             tile_bits(size), stream);
  launch(fill_members_kernel, blocks_for(size.capacity, kThreads), kThreads, 0, stream, size, work, work.members());
}

}  // namespace cuda
}  // namespace headsplat
