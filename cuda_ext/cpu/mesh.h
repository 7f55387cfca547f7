// Z-buffer of a triangle mesh at the pixel centers.
#pragma once

#include <cstdint>

#include "../math.h"

namespace headsplat {

struct MeshShape {
  int batch, vertices, faces, width, height;
  Scalar near_z;
};

struct MeshOutputs {
  int32_t* face;  // [B,H,W] face index, -1 for background
  Scalar* bary;   // [B,H,W,3] barycentrics, 0 for background
  Scalar* depth;  // [B,H,W] meters, 0 for background
};

// `vertices` [B,V,3] meters, camera axes; `faces` [F,3]; `intrinsics` [B,3,3] pixels. Returns whether all indices in
// `faces` are in range; if not, the images are incomplete.
bool rasterize_mesh(const MeshShape& shape, const Scalar* vertices, const int64_t* faces, const Scalar* intrinsics,
                    const MeshOutputs& out);

}  // namespace headsplat
