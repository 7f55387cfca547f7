// Vertex indices of triangles, checked where they are read: the memory may have changed since the caller checked it.
#pragma once

#include <cstdint>

#include "math.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {

// Reads three indices, each once, into `out`; returns whether all are in 0..size-1.
HEADSPLAT_FN bool read_triangle(const int64_t* indices, int size, int64_t out[3]) {
  bool inside = true;
  for (int k = 0; k < 3; ++k) {
    out[k] = indices[k];
    inside = inside && static_cast<uint64_t>(out[k]) < static_cast<uint64_t>(size);
  }
  return inside;
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
