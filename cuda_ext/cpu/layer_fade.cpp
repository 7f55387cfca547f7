// Distances of the layer's samples from the rim of its openings, and the coverage and stencil that follow from them.
// A distance is the least over the row of the distance along it and the one along the column there, squared.
#include "../texture.h"
#include "kernels.h"
#include "layer_rows.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

inline Vec unit_clamped(Vec value) { return smaller(larger(value, Vec(0.0f)), Vec(1.0f)); }

inline Vec smooth_step(Vec value) {
  const Vec t = unit_clamped(value);
  return t * t * fnma(Vec(2.0f), t, Vec(3.0f));
}

// One step of the distances along a column, from those of the row before.
struct ColumnState {
  Vec to_hidden, to_seen;

  void step(Vec seen, Vec reach) {
    const Vec one(1.0f), zero(0.0f);
    const Mask found = seen > zero;
    to_hidden = keep(found, smaller(to_hidden + one, reach));
    to_seen = select(found, zero, smaller(to_seen + one, reach));
  }
};

// The column of cells that starts at sample `x`, down (pass 0) and up (pass 1). No sample of a cell that is not needed
// is seen, and none that is seen is within reach of one in it.
void measure_column(const LayerGrid& grid, const uint8_t* needed, int x, Scalar reach, const LayerSamples& samples) {
  const Vec beyond(reach), zero(0.0f);
  for (int pass = 0; pass < 2; ++pass) {
    ColumnState state{beyond, beyond};
    for (int step = 0; step < grid.cells_y; ++step) {
      const int cell_y = pass ? grid.cells_y - 1 - step : step;
      if (!needed[static_cast<size_t>(cell_y) * grid.cells_x + x / kLayerCell]) {
        state = {zero, beyond};
        continue;
      }
      const int first = cell_y * kLayerCellRows;
      const int last = first + kLayerCellRows < grid.height ? first + kLayerCellRows : grid.height;
      for (int k = 0; k < last - first; ++k) {
        const size_t at = grid.row(pass ? last - 1 - k : first + k) + x;
        state.step(load(samples.seen + at), beyond);
        if (pass) {
          store(samples.to_hidden + at, smaller(state.to_hidden, load(samples.to_hidden + at)));
          store(samples.to_seen + at, smaller(state.to_seen, load(samples.to_seen + at)));
        } else {
          store(samples.to_hidden + at, state.to_hidden);
          store(samples.to_seen + at, state.to_seen);
        }
      }
    }
  }
}

// Squares of the distances along the columns in row `y`, with kLayerMaxReach on both sides that are beyond reach.
void square_row(const LayerGrid& grid, const uint8_t* needed, int y, Scalar reach, const LayerSamples& samples,
                Scalar* hidden, Scalar* seen) {
  const Vec beyond(reach * reach), zero(0.0f);
  const int end = grid.cells_x * kLayerCell;
  for (int k = 0; k < kLayerMaxReach; ++k)
    hidden[k] = seen[k] = hidden[kLayerMaxReach + end + k] = seen[kLayerMaxReach + end + k] = reach * reach;
  for (int x = 0; x < end; x += kWidth) {
    const size_t at = grid.row(y) + x;
    const bool cell = needed[static_cast<size_t>(y / kLayerCellRows) * grid.cells_x + x / kLayerCell] != 0;
    const Vec to_hidden = load(samples.to_hidden + at), to_seen = load(samples.to_seen + at);
    store(hidden + kLayerMaxReach + x, cell ? to_hidden * to_hidden : zero);
    store(seen + kLayerMaxReach + x, cell ? to_seen * to_seen : beyond);
  }
  for (int x = grid.width; x < end; ++x) hidden[kLayerMaxReach + x] = seen[kLayerMaxReach + x] = reach * reach;
}

// Squared distances at `wanted` samples from `squares` of the row, up to reach^2; 0 at the others.
inline Vec search_row(const Scalar* squares, Mask wanted, int reach) {
  Vec best = keep(wanted, load(squares));
  for (int step = 1; step < reach; ++step) {
    const Vec along(static_cast<Scalar>(step * step));
    if (!bits(best > along)) break;
    best = smaller(best, along + smaller(load(squares - step), load(squares + step)));
  }
  return best;
}

inline Vec in_meters(Vec squared, const LayerFades& f) {
  const Vec limit(static_cast<Scalar>(f.reach * f.reach));
  const Vec samples = select(limit > squared, root(squared), Vec(kNoLayerDepth));
  return (samples - Vec(0.5f)) / Vec(f.samples_per_meter);
}

}  // namespace

void layer_measure_columns(const LayerGrid& grid, const uint8_t* needed, int reach, const LayerSamples& samples) {
  for (int cell_x = 0; cell_x < grid.cells_x; ++cell_x) {
    bool any = false;
    for (int y = 0; y < grid.cells_y; ++y) any = any || needed[static_cast<size_t>(y) * grid.cells_x + cell_x];
    for (int x = 0; any && x < kLayerCell; x += kWidth)
      measure_column(grid, needed, cell_x * kLayerCell + x, static_cast<Scalar>(reach), samples);
  }
}

void layer_fade_row(const LayerGrid& grid, const uint8_t* needed, const LayerFades& f, const LayerPaint* paints, int y,
                    const LayerSamples& samples, Scalar* squares) {
  const Vec zero(0.0f), one(1.0f);
  Scalar* to_seen = squares + 2 * kLayerMaxReach + grid.stride;
  square_row(grid, needed, y, static_cast<Scalar>(f.reach), samples, squares, to_seen);
  for (int x = 0; x < grid.cells_x * kLayerCell; x += kWidth) {
    if (!needed[static_cast<size_t>(y / kLayerCellRows) * grid.cells_x + x / kLayerCell]) continue;
    const size_t at = grid.row(y) + x;
    const Vec seen_value = load(samples.seen + at);
    const Mask covered = (load(samples.inverse_depth + at) > zero) & inside_row(grid, x), seen = seen_value > zero;
    const Mask hidden = covered & (seen_value <= zero);
    const uint32_t bits_covered = bits(covered);
    store(samples.coverage + at, zero);
    store(samples.stencil + at, zero);
    if (!bits_covered) continue;
    Scalar starts[kWidth], ends[kWidth];
    for (int lane = 0; lane < kWidth; ++lane) {
      const bool has_face = bits_covered >> lane & 1u;
      const int face = has_face ? paints[static_cast<int>(samples.paint[at + lane])].face : 0;
      starts[lane] = f.fades[2 * static_cast<size_t>(face)];
      ends[lane] = f.fades[2 * static_cast<size_t>(face) + 1];
    }
    const Vec start = load(starts), end = load(ends);
    if (bits(seen)) {
      const Vec meters = in_meters(search_row(squares + kLayerMaxReach + x, seen, f.reach), f);
      const Vec kept = one - smooth_step((meters - start) / (end - start));
      store(samples.stencil + at, keep(seen, fnma(kept, kept, one)));
    }
    Vec coverage = keep(seen, one);
    if (bits(hidden)) {
      const Vec meters = in_meters(search_row(to_seen + kLayerMaxReach + x, hidden, f.reach), f);
      const Vec fade = (meters - end) / (Vec(static_cast<Scalar>(kHiddenReach - 1)) * end);
      coverage = select(hidden, one - smooth_step(fade), coverage);
    }
    const Mask skin = hidden & (zero >= end);
    store(samples.coverage + at, select(skin, one, larger(coverage, zero)));
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
