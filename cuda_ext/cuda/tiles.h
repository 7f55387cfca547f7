// Tiles overlapped by a Gaussian, found by a warp; loading of cameras and Gaussians.
#pragma once

#include "warps.h"

namespace headsplat {
namespace cuda {

__device__ inline Camera load_camera(const Cameras& cameras, const SplatSize& size, int image) {
  const float* K = cameras.intrinsics + 9 * image;
  const float* pose = cameras.world_to_cam + 16 * image;
  Camera camera;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) camera.rotation[3 * r + c] = pose[4 * r + c];
    camera.translation[r] = pose[4 * r + 3];
  }
  camera.focal_x = K[0];
  camera.focal_y = K[4];
  camera.center_x = K[2];
  camera.center_y = K[5];
  camera.near_z = cameras.near_z;
  camera.dilation = cameras.dilation;
  camera.width = size.width;
  camera.height = size.height;
  camera.antialias = cameras.antialias;
  camera.cutoff = cameras.cutoff;
  return camera;
}

__device__ inline Gaussian3<float> load_gaussian(const GaussianInputs& in, size_t at) {
  Gaussian3<float> g;
  for (int k = 0; k < 3; ++k) g.mean[k] = in.means[3 * at + k];
  for (int k = 0; k < 4; ++k) g.quat[k] = in.quats[4 * at + k];
  for (int k = 0; k < 3; ++k) g.scale[k] = in.scales[3 * at + k];
  g.opacity = in.opacities[at];
  return g;
}

struct TileBox {
  int x0, y0, x1, y1;  // inclusive; empty when x1 < x0 or y1 < y0

  __device__ int wide() const { return x1 - x0 + 1; }
  __device__ int area() const { return x1 < x0 || y1 < y0 ? 0 : (x1 - x0 + 1) * (y1 - y0 + 1); }
};

// floor(value / kTile) clamped to lowest..highest, for any value including NaN.
__device__ inline int tile_of(float value, int lowest, int highest) {
  const float tile = floorf(value * (1.0f / kTile));
  if (!(tile > static_cast<float>(lowest))) return lowest;
  return tile < static_cast<float>(highest) ? static_cast<int>(tile) : highest;
}

// Tiles that contain a pixel center inside the ellipse's bounding box.
__device__ inline TileBox tile_box(const SplatSize& size, const ProjectedGaussian& s) {
  return {tile_of(s.x - s.extent_x + 0.499f, 0, size.tiles_x()), tile_of(s.y - s.extent_y + 0.499f, 0, size.tiles_y()),
          tile_of(s.x + s.extent_x - 0.499f, -1, size.tiles_x() - 1),
          tile_of(s.y + s.extent_y - 0.499f, -1, size.tiles_y() - 1)};
}

struct Ellipse {
  float x, y, a, b, c, edge_x, edge_y, exponent_max;
};

__device__ inline Ellipse ellipse_of(const ProjectedGaussian& s) {
  return {s.x, s.y, s.a, s.b, s.c, s.edge_x, s.edge_y, s.exponent_max};
}

__device__ inline bool overlaps_tile(const Ellipse& e, int tile_x, int tile_y) {
  const float x0 = static_cast<float>(tile_x * kTile) + 0.5f - e.x;
  const float y0 = static_cast<float>(tile_y * kTile) + 0.5f - e.y;
  return min_exponent(e.a, e.b, e.c, e.edge_x, e.edge_y, x0, x0 + (kTile - 1), y0, y0 + (kTile - 1)) <= e.exponent_max;
}

// A Gaussian to test against tiles, with the data of the visitor; multiples of 32 bits, so that lanes can exchange it.
struct TileQuery {
  Ellipse ellipse;
  TileBox box;
  uint32_t gaussian, first_intersection, tiles;
};

constexpr int kSerialTiles = 16;  // tiles that a lane tests by itself; the warp shares larger boxes

// Calls visit(query, ordinal, tile_x, tile_y) for the tiles that each lane's ellipse overlaps, rows from the top; the
// ordinal counts the tiles of one Gaussian from 0. Returns the number of tiles of the calling lane's Gaussian. Must be
// called by all lanes of the warp.
template <class Visit>
__device__ uint32_t visit_tiles(const TileQuery& own, Visit visit) {
  const int area = own.box.area(), lane = lane_index();
  uint32_t found = 0;
  if (area == 1) {
    visit(own, found++, own.box.x0, own.box.y0);
  } else if (area <= kSerialTiles) {
    for (int y = own.box.y0; y <= own.box.y1; ++y)
      for (int x = own.box.x0; x <= own.box.x1; ++x)
        if (overlaps_tile(own.ellipse, x, y)) visit(own, found++, x, y);
  }
  for (unsigned large = __ballot_sync(kAllLanes, area > kSerialTiles); large; large &= large - 1) {
    const int source_lane = __ffs(static_cast<int>(large)) - 1;
    const TileQuery query = broadcast(own, source_lane);
    const int wide = query.box.wide(), tiles = query.box.area();
    uint32_t before = 0;
    for (int first = 0; first < tiles; first += kWarp) {
      const int k = first + lane, x = query.box.x0 + k % wide, y = query.box.y0 + k / wide;
      const bool overlap = k < tiles && overlaps_tile(query.ellipse, x, y);
      const unsigned overlaps = __ballot_sync(kAllLanes, overlap);
      if (overlap) visit(query, before + __popc(overlaps & ((1u << lane) - 1u)), x, y);
      before += __popc(overlaps);
    }
    if (lane == source_lane) found = before;
  }
  return found;
}

}  // namespace cuda
}  // namespace headsplat
