// Vectors of the layer's samples.
#pragma once

#include "layer_kernels.h"
#include "simd.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {

// Which of the samples from `x` are in the region: the last cell of a row may reach beyond it.
inline Mask inside_row(const LayerGrid& grid, int x) { return Vec(static_cast<Scalar>(grid.width - x)) > load(kLane); }

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
