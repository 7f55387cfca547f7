// Tile intersections: the Gaussians of each tile, front to back. A stable sort by depth, a prefix sum that gives every
// intersection its id, and a stable sort of the intersections by tile.
//
// One depth sort serves the whole batch: it mixes the images, and the sort by tile, whose keys number the tiles of all
// images, separates them again. Depth keys are full float bit patterns, and ties are ordered by the Gaussian's index in
// the batch.
#include "sort.h"
#include "tiles.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr size_t kAlignment = 256;

// Bits of the tile keys: all bits set must not be a valid tile, since it marks unused capacity.
int tile_bits(const SplatSize& size) {
  const uint64_t tiles = static_cast<uint64_t>(size.batch) * size.tiles();
  int bits = 1;
  while ((uint64_t{1} << bits) <= tiles) ++bits;
  return bits;
}

struct WorkspaceLayout {
  uintptr_t memory;
  size_t used = 0;

  template <class T>
  T* take(size_t count) {
    T* start = reinterpret_cast<T*>(memory + used);
    used += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return start;
  }
};

Workspace lay_out(WorkspaceLayout& layout, const SplatSize& size) {
  const size_t n = size.gaussians(), tiles = static_cast<size_t>(size.batch) * size.tiles();
  Workspace work;
  work.intersection_count = layout.take<unsigned long long>(1);
  work.projected = layout.take<ProjectedGaussian>(n);
  for (uint32_t** field : {&work.depth_keys, &work.gaussian_ids, &work.sorted_keys, &work.depth_order,
                           &work.tiles_per_gaussian, &work.intersection_offsets})
    *field = layout.take<uint32_t>(n);
  for (uint32_t** field :
       {&work.tile_keys, &work.intersection_ids, &work.sorted_tiles, &work.sorted_ids, &work.intersection_gaussians})
    *field = layout.take<uint32_t>(size.max_intersections);
  work.tile_ranges = layout.take<Range>(tiles);
  work.temp_bytes = exclusive_sum_bytes(static_cast<int>(n));
  for (int count : {static_cast<int>(n), static_cast<int>(size.max_intersections)}) {
    const size_t bytes = sort_pairs_bytes(count);
    work.temp_bytes = bytes > work.temp_bytes ? bytes : work.temp_bytes;
  }
  work.temp = layout.take<uint8_t>(work.temp_bytes);
  return work;
}

__global__ void __launch_bounds__(kThreads) gather_counts_kernel(int count, Workspace work) {
  const int j = blockIdx.x * kThreads + threadIdx.x;
  if (j < count) work.sorted_keys[j] = work.tiles_per_gaussian[work.depth_order[j]];
}

// Writes the intersections of every Gaussian, in depth order; `offsets` is the prefix sum of the tile counts in that
// order. More tiles than were counted cannot occur (both kernels make the same test), but must not overwrite other
// entries.
__global__ void __launch_bounds__(kThreads)
    emit_intersections_kernel(SplatSize size, Workspace work, const uint32_t* offsets) {
  if (overflowed(work, size.max_intersections)) return;
  const int j = blockIdx.x * kThreads + threadIdx.x;
  TileQuery query{{}, {0, 0, -1, -1}, 0, 0, 0};
  if (j < size.gaussians()) {
    query.gaussian = work.depth_order[j];
    query.first_intersection = offsets[j];
    query.tiles = work.sorted_keys[j];
    work.intersection_offsets[query.gaussian] = query.first_intersection;
    if (query.tiles) {
      const ProjectedGaussian projected = work.projected[query.gaussian];
      query.ellipse = ellipse_of(projected);
      query.box = tile_box(size, projected);
    }
  }
  visit_tiles(query, [&](const TileQuery& of, uint32_t ordinal, int x, int y) {
    if (ordinal >= of.tiles) return;
    const uint32_t id = of.first_intersection + ordinal, image = of.gaussian / size.count;
    work.tile_keys[id] = image * size.tiles() + y * size.tiles_x() + x;
    work.intersection_ids[id] = id;
    work.intersection_gaussians[id] = of.gaussian;
  });
}

// Writes the Gaussian of each sorted intersection, and the range of intersections of each tile.
__global__ void __launch_bounds__(kThreads)
    gather_tiles_kernel(SplatSize size, Workspace work, uint32_t* tile_gaussians) {
  const uint32_t position = blockIdx.x * kThreads + threadIdx.x;
  if (position >= size.max_intersections || position >= *work.intersection_count ||
      overflowed(work, size.max_intersections))
    return;
  const uint32_t tile = work.sorted_tiles[position];
  if (tile == kInvalidKey) return;
  tile_gaussians[position] = work.intersection_gaussians[work.sorted_ids[position]];
  if (position == 0 || work.sorted_tiles[position - 1] != tile) work.tile_ranges[tile].begin = position;
  if (position + 1 == size.max_intersections || work.sorted_tiles[position + 1] != tile)
    work.tile_ranges[tile].end = position + 1;
}

}  // namespace

size_t workspace_bytes(const SplatSize& size) {
  WorkspaceLayout layout{0};
  lay_out(layout, size);
  return layout.used;
}

Workspace place_workspace(void* memory, size_t bytes, const SplatSize& size) {
  WorkspaceLayout layout{reinterpret_cast<uintptr_t>(memory)};
  const Workspace work = lay_out(layout, size);
  if (layout.used > bytes) throw std::invalid_argument("native kernel: the workspace is too small");
  if (layout.memory % alignof(float4) != 0)
    throw std::invalid_argument("native kernel: the workspace must be aligned to 16 bytes");
  return work;
}

void assign_tiles(const SplatSize& size, const Workspace& work, Stream stream) {
  const int count = size.gaussians(), max_intersections = static_cast<int>(size.max_intersections);
  fill_bytes(work.tile_ranges, 0, sizeof(Range) * size.batch * size.tiles(), stream);
  if (count == 0) return;
  sort_pairs(work.temp, work.temp_bytes, work.depth_keys, work.sorted_keys, work.gaussian_ids, work.depth_order, count,
             32, stream);
  const unsigned blocks = blocks_for(count, kThreads);
  launch(gather_counts_kernel, blocks, kThreads, 0, stream, count, work);
  uint32_t* offsets = work.depth_keys;  // free after the sort
  exclusive_sum(work.temp, work.temp_bytes, work.sorted_keys, offsets, count, stream);
  fill_bytes(work.tile_keys, 0xff, sizeof(uint32_t) * size.max_intersections, stream);
  launch(emit_intersections_kernel, blocks, kThreads, 0, stream, size, work, offsets);
  sort_pairs(work.temp, work.temp_bytes, work.tile_keys, work.sorted_tiles, work.intersection_ids, work.sorted_ids,
             max_intersections, tile_bits(size), stream);
  launch(gather_tiles_kernel, blocks_for(size.max_intersections, kThreads), kThreads, 0, stream, size, work,
         work.tile_gaussians());
}

}  // namespace cuda
}  // namespace headsplat
