// Z-buffer of a triangle mesh at the pixel centres.
#pragma once

#include <cstdint>

#include "../math.h"

namespace headsplat {

struct MeshShape {
  int batch, vertices, faces, width, height;
  Scalar near_z;
};

struct MeshOutputs {
  int32_t* face;  // [B,H,W], -1 where nothing
  Scalar* bary;   // [B,H,W,3]
  Scalar* depth;  // [B,H,W] metres, 0 where nothing
};

// `vertices` [B,V,3] camera axes, `faces` [F,3] valid, `intrinsics` [B,3,3] pixels.
void rasterize_mesh(const MeshShape& shape, const Scalar* vertices, const int64_t* faces, const Scalar* intrinsics,
                    const MeshOutputs& out);

}  // namespace headsplat
