// Z-buffer of a triangle mesh at the pixel centres.
#pragma once

#include <cstdint>

#include "../math.h"

namespace headsplat {

struct MeshView {
  int batch, vertices, faces, width, height;
  Scalar near_z;
};

struct MeshPictures {
  int32_t* face;  // [B,H,W], -1 where nothing
  Scalar* bary;   // [B,H,W,3]
  Scalar* depth;  // [B,H,W] metres, 0 where nothing
};

// `vertices` [B,V,3] camera axes, `faces` [F,3] valid, `intrinsics` [B,3,3] pixels.
void draw_mesh(const MeshView& view, const Scalar* vertices, const int64_t* faces, const Scalar* intrinsics,
               const MeshPictures& out);

}  // namespace headsplat
