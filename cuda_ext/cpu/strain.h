// Principal strains at points of a mesh; each operation is documented in avatar/ops/strain.py.
#pragma once

#include <cstdint>

#include "../math.h"

namespace headsplat {

// N points on triangles of a mesh of V vertices, M of which have stretch tensors.
struct StrainPoints {
  const Scalar* tensors;     // [B,M,6]
  const int64_t* rows;       // [V] row of each vertex in `tensors`, -1 where it does not stretch
  const int64_t* triangles;  // [N,3]
  const Scalar* bary;        // [N,3]
  int batch, row_count, vertex_count, count;
};

// Strains [B,N,2]; the gradient of the tensors. Both return whether all indices of the triangles are in range.
bool principal_strains(const StrainPoints& points, Scalar* strains);
bool principal_strains_backward(const StrainPoints& points, const Scalar* grad_strains, Scalar* grad_tensors);

}  // namespace headsplat
