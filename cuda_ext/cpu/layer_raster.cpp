// Vertices and triangles of the layer and of the skin, and their z-buffers at the samples of the region.
//
// Positions are rounded to single precision once for each vertex; edges are then evaluated alike by all their
// triangles.
#include "../indices.h"
#include "../texture.h"
#include "../triangle.h"
#include "kernels.h"
#include "layer_rows.h"

namespace headsplat {
namespace HEADSPLAT_LEVEL {
namespace {

constexpr uint8_t kLeft = 1, kRight = 2, kAbove = 4, kBelow = 8, kBehind = 16;

// The first sample whose center is at `position` samples or beyond, and the last one that is not beyond it.
inline int first_sample(Scalar position, int limit) {
  const Scalar at = position - 0.5f;
  if (!(at > 0.0f)) return 0;
  if (!(at < static_cast<Scalar>(limit))) return limit;
  const int whole = static_cast<int>(at);
  return whole + (static_cast<Scalar>(whole) < at);
}

inline int last_sample(Scalar position, int limit) {
  const Scalar at = position - 0.5f;
  if (!(at >= 0.0f)) return -1;
  return at < static_cast<Scalar>(limit) ? static_cast<int>(at) : limit - 1;
}

inline bool is_plain(const LayerVertex& v) {
  return v.x > -kLayerMaxPosition && v.x < kLayerMaxPosition && v.y > -kLayerMaxPosition && v.y < kLayerMaxPosition;
}

inline Scalar in_samples(Scalar pixels, int first) {
  return (pixels - static_cast<Scalar>(first)) * static_cast<Scalar>(kSupersample);
}

// A triangle with a corner that is not in front of the camera, or far away. Returns whether it may cover samples.
bool setup_any(const LayerGeometry& g, const int64_t* corners, LayerTriangle& t) {
  const ScreenTriangle exact =
      setup_triangle(g.grid.width, g.grid.height, g.near_z, g.vertices, corners, g.intrinsics, g.inverse);
  const double x = 0.5 * g.grid.width, y = 0.5 * g.grid.height;
  for (int k = 0; k < 3; ++k) {
    t.a[k] = static_cast<Scalar>(exact.edges[k][0]);
    t.b[k] = static_cast<Scalar>(exact.edges[k][1]);
    t.c[k] = static_cast<Scalar>(exact.edges[k][0] * x + exact.edges[k][1] * y + exact.edges[k][2]);
    t.at_x[k] = static_cast<Scalar>(x);
    t.at_y[k] = static_cast<Scalar>(y);
    t.scale[k] = 1.0f;
  }
  t.x0 = exact.x0;
  t.y0 = exact.y0;
  t.x1 = exact.x1;
  t.y1 = exact.y1;
  return t.x1 >= t.x0 && t.y1 >= t.y0;
}

// Returns whether the triangle may cover samples; only then is `t` written.
bool setup(const LayerGeometry& g, const int64_t* corners, LayerTriangle& t) {
  const LayerVertex* v[3] = {g.projected + corners[0], g.projected + corners[1], g.projected + corners[2]};
  if (!(is_plain(*v[0]) && is_plain(*v[1]) && is_plain(*v[2]))) return setup_any(g, corners, t);
  Scalar x[3], y[3];
  for (int k = 0; k < 3; ++k) {
    x[k] = in_samples(v[k]->x, g.region_x);
    y[k] = in_samples(v[k]->y, g.region_y);
  }
  t.x0 = first_sample(smaller(smaller(x[0], x[1]), x[2]), g.grid.width);
  t.x1 = last_sample(larger(larger(x[0], x[1]), x[2]), g.grid.width);
  t.y0 = first_sample(smaller(smaller(y[0], y[1]), y[2]), g.grid.height);
  t.y1 = last_sample(larger(larger(y[0], y[1]), y[2]), g.grid.height);
  if (t.x1 < t.x0 || t.y1 < t.y0) return false;
  for (int k = 0; k < 3; ++k) {
    const int p = (k + 1) % 3, q = (k + 2) % 3, from = corners[p] < corners[q] ? p : q;
    t.a[k] = y[p] - y[q];
    t.b[k] = x[q] - x[p];
    t.c[k] = 0.0f;
    t.at_x[k] = x[from];
    t.at_y[k] = y[from];
  }
  Scalar area = t.a[0] * (x[0] - t.at_x[0]) + t.b[0] * (y[0] - t.at_y[0]);
  if (!(area > 0.0f || area < 0.0f)) return false;
  if (area < 0.0f) {
    area = -area;
    for (int k = 0; k < 3; ++k) {
      t.a[k] = -t.a[k];
      t.b[k] = -t.b[k];
    }
  }
  for (int k = 0; k < 3; ++k) t.scale[k] = v[k]->inverse_depth / area;
  return true;
}

// The least of the lanes.
inline Scalar least_of(Vec values) {
  Scalar lanes[kWidth];
  store(lanes, values);
  for (int half = kWidth / 2; half; half /= 2)
    for (int lane = 0; lane < half; ++lane) lanes[lane] = smaller(lanes[lane], lanes[lane + half]);
  return lanes[0];
}

// Writes `hidden_below` of the cells in rows of cells first..last-1.
void find_hidden(const LayerGrid& grid, const LayerDraw& draws, int first, int last, const LayerSamples& samples) {
  for (int cell_y = first; cell_y < last; ++cell_y)
    for (int cell_x = 0; cell_x < grid.cells_x; ++cell_x) {
      const size_t cell = static_cast<size_t>(cell_y) * grid.cells_x + cell_x;
      if (draws.needed && !draws.needed[cell]) continue;
      Vec found(kNoLayerDepth);
      for (int y = cell_y * kLayerCellRows; y < (cell_y + 1) * kLayerCellRows; ++y)
        for (int x = 0; x < kLayerCell; x += kWidth) {
          const size_t at = grid.row(y) + cell_x * kLayerCell + x;
          const Vec depth = load(samples.inverse_depth + at);
          found = smaller(found, draws.needed ? depth : larger(depth, load(samples.skin + at)));
        }
      draws.hidden_below[cell] = least_of(found);
    }
}

// Draws the triangle into a z-buffer in rows first..last-1, and into `ids`, unless that is null, its `id`.
template <bool with_ids>
void draw(const LayerGeometry& g, const LayerTriangle& t, int first, int last, Scalar* nearest, Scalar* ids,
          Scalar id) {
  const Vec a0(t.a[0]), a1(t.a[1]), a2(t.a[2]), s0(t.scale[0]), s1(t.scale[1]), s2(t.scale[2]);
  const Vec x0(t.at_x[0]), x1(t.at_x[1]), x2(t.at_x[2]), zero(0.0f), inverse_near(g.inverse_near), value(id);
  const Vec lanes = load(kLane) + Vec(0.5f);
  for (int y = t.y0 > first ? t.y0 : first; y <= t.y1 && y < last; ++y) {
    const Scalar at = static_cast<Scalar>(y) + 0.5f;
    const Vec b0(t.b[0] * (at - t.at_y[0]) + t.c[0]), b1(t.b[1] * (at - t.at_y[1]) + t.c[1]),
        b2(t.b[2] * (at - t.at_y[2]) + t.c[2]);
    const size_t row = g.grid.row(y);
    for (int x = t.x0; x <= t.x1; x += kWidth) {
      const Vec center = lanes + Vec(static_cast<Scalar>(x));
      const Vec e0 = fma(a0, center - x0, b0), e1 = fma(a1, center - x1, b1), e2 = fma(a2, center - x2, b2);
      const Vec depth = fma(e0, s0, fma(e1, s1, e2 * s2)), before = load(nearest + row + x);
      const Mask inside = (e0 >= zero) & (e1 >= zero) & (e2 >= zero) & (depth > before) & (inverse_near > depth);
      store(nearest + row + x, select(inside, depth, before));
      if (with_ids) store(ids + row + x, select(inside, value, load(ids + row + x)));
    }
  }
}

LayerPaint paint_of(const LayerTriangle& t, int face, const Scalar shade[3]) {
  LayerPaint paint{static_cast<Scalar>(t.x0), static_cast<Scalar>(t.y0), {}, {}, {}, face};
  Scalar weights[3][3];
  for (int k = 0; k < 3; ++k) {
    weights[k][0] = t.a[k] * t.scale[k];
    weights[k][1] = t.b[k] * t.scale[k];
    const Scalar along = t.b[k] * (paint.y + 0.5f - t.at_y[k]) + t.c[k];
    weights[k][2] = (t.a[k] * (paint.x + 0.5f - t.at_x[k]) + along) * t.scale[k];
  }
  for (int term = 0; term < 3; ++term) {
    paint.first[term] = weights[0][term];
    paint.second[term] = weights[1][term];
    paint.shade[term] = weights[0][term] * shade[0] + weights[1][term] * shade[1] + weights[2][term] * shade[2];
  }
  return paint;
}

// Whether `test(cell)` holds for any cell of the entry in rows first..last-1 of cells.
template <class Test>
bool any_cell(const LayerGrid& grid, const LayerEntry& entry, int first, int last, Test test) {
  for (int y = entry.y0 > first ? entry.y0 : first; y <= entry.y1 && y < last; ++y)
    for (int x = entry.x0; x <= entry.x1; ++x)
      if (test(static_cast<size_t>(y) * grid.cells_x + x)) return true;
  return false;
}

// Skin with a texture is drawn like the layer, but it hides the layer: its samples do not count as seen.
void unmark_skin(const LayerSamples& samples, const LayerPaint* paints, const Scalar* fades, size_t at, uint32_t seen) {
  for (int lane = 0; lane < kWidth; ++lane) {
    if (!(seen >> lane & 1u)) continue;
    const LayerPaint& paint = paints[static_cast<int>(samples.paint[at + lane])];
    if (is_skin(fades + 2 * static_cast<size_t>(paint.face))) samples.seen[at + lane] = 0.0f;
  }
}

}  // namespace

void layer_project(const Scalar* K, Scalar near_z, const Scalar* vertices, int begin, int end, LayerVertex* out) {
  const Scalar none = static_cast<Scalar>(NAN);
  for (int v = begin; v < end; ++v) {
    const double x = vertices[3 * v], y = vertices[3 * v + 1], z = vertices[3 * v + 2];
    const double w = K[6] * x + K[7] * y + K[8] * z, inverse = 1.0 / w;
    const bool front = z > near_z && w > 0.0;
    out[v].x = front ? static_cast<Scalar>((K[0] * x + K[1] * y + K[2] * z) * inverse) : none;
    out[v].y = front ? static_cast<Scalar>((K[3] * x + K[4] * y + K[5] * z) * inverse) : none;
    out[v].inverse_depth = static_cast<Scalar>(1.0 / z);
    out[v].depth = vertices[3 * v + 2];
  }
}

void layer_find_sides(const LayerGeometry& g, Scalar farthest, int begin, int end, uint8_t* sides) {
  const Scalar left = static_cast<Scalar>(g.region_x), top = static_cast<Scalar>(g.region_y);
  const Scalar right = left + static_cast<Scalar>(g.grid.width) / kSupersample;
  const Scalar bottom = top + static_cast<Scalar>(g.grid.height) / kSupersample;
  for (int v = begin; v < end; ++v) {
    const LayerVertex& at = g.projected[v];
    sides[v] =
        static_cast<uint8_t>((at.x < left ? kLeft : 0) | (at.x > right ? kRight : 0) | (at.y < top ? kAbove : 0) |
                             (at.y > bottom ? kBelow : 0) | (at.depth > farthest ? kBehind : 0));
  }
}

int layer_find_faces(const LayerGeometry& g, const int64_t* faces, int begin, int end, const uint8_t* cells,
                     LayerEntry* out) {
  const int last_x = g.grid.cells_x - 1, last_y = g.grid.cells_y - 1;
  int count = 0;
  for (int f = begin; f < end; ++f) {
    int64_t corners[3];
    if (!read_triangle(faces + 3 * static_cast<size_t>(f), g.vertex_count, corners)) return -1;
    if (g.sides[corners[0]] & g.sides[corners[1]] & g.sides[corners[2]]) continue;
    LayerEntry entry{f, 0, 0, static_cast<int16_t>(last_x), static_cast<int16_t>(last_y), kNoLayerDepth};
    const LayerVertex *a = g.projected + corners[0], *b = g.projected + corners[1], *c = g.projected + corners[2];
    if (is_plain(*a) && is_plain(*b) && is_plain(*c)) {
      const Scalar x0 = in_samples(smaller(smaller(a->x, b->x), c->x), g.region_x);
      const Scalar x1 = in_samples(larger(larger(a->x, b->x), c->x), g.region_x);
      const Scalar y0 = in_samples(smaller(smaller(a->y, b->y), c->y), g.region_y);
      const Scalar y1 = in_samples(larger(larger(a->y, b->y), c->y), g.region_y);
      const int left = first_sample(x0, g.grid.width), right = last_sample(x1, g.grid.width);
      const int top = first_sample(y0, g.grid.height), bottom = last_sample(y1, g.grid.height);
      if (right < left || bottom < top) continue;
      entry = {f,
               static_cast<int16_t>(left / kLayerCell),
               static_cast<int16_t>(top / kLayerCellRows),
               static_cast<int16_t>(right / kLayerCell),
               static_cast<int16_t>(bottom / kLayerCellRows),
               larger(larger(a->inverse_depth, b->inverse_depth), c->inverse_depth)};
    }
    if (cells && !any_cell(g.grid, entry, 0, g.grid.cells_y, [&](size_t cell) { return cells[cell] != 0; })) continue;
    out[count++] = entry;
  }
  return count;
}

void layer_draw_skin(const LayerGeometry& g, const LayerDraw& draws, int first, int last, Scalar* nearest) {
  for (int k = 0; k < draws.count; ++k) {
    int64_t corners[3];
    LayerTriangle t;
    if (!read_triangle(draws.faces + 3 * static_cast<size_t>(draws.entries[draws.list[k]].face), g.vertex_count,
                       corners))
      continue;
    if (setup(g, corners, t)) draw<false>(g, t, first * kLayerCellRows, last * kLayerCellRows, nearest, nullptr, 0.0f);
  }
}

int layer_draw_faces(const LayerGeometry& g, const LayerDraw& draws, int first, int last, const LayerSamples& samples,
                     LayerPaint* paints, int painted, int* rest, int* rest_count) {
  constexpr int kRound = 160;  // faces between two updates of what is hidden
  int left = 0, drawn = 0;
  for (int k = 0; k < draws.count; ++k) {
    if (drawn % kRound == 0) {
      find_hidden(g.grid, draws, first, last, samples);
      ++drawn;
    }
    const int index = draws.list[k];
    const LayerEntry& entry = draws.entries[index];
    const bool wanted = any_cell(g.grid, entry, first, last, [&](size_t cell) {
      return (!draws.needed || draws.needed[cell]) && !(entry.nearest < draws.hidden_below[cell]);
    });
    if (!wanted) {
      rest[left++] = index;
      continue;
    }
    int64_t corners[3];
    LayerTriangle t;
    if (!read_triangle(draws.faces + 3 * static_cast<size_t>(entry.face), g.vertex_count, corners)) continue;
    if (!setup(g, corners, t)) continue;
    const Scalar shade[3] = {draws.shade[corners[0]], draws.shade[corners[1]], draws.shade[corners[2]]};
    paints[painted] = paint_of(t, entry.face, shade);
    draw<true>(g, t, first * kLayerCellRows, last * kLayerCellRows, samples.inverse_depth, samples.paint,
               static_cast<Scalar>(painted++));
    ++drawn;
  }
  *rest_count = left;
  return painted;
}

void layer_find_seen(const LayerGrid& grid, const LayerSamples& samples, const LayerPaint* paints, const Scalar* fades,
                     int first, int last, LayerExtent* extents) {
  const Vec zero(0.0f), one(1.0f);
  for (int y = first; y < last; ++y) {
    const size_t row = grid.row(y);
    for (int cell_x = 0; cell_x < grid.cells_x; ++cell_x) {
      uint32_t found = 0;
      for (int part = 0; part < kLayerCell; part += kWidth) {
        const size_t at = row + cell_x * kLayerCell + part;
        const Vec depth = load(samples.inverse_depth + at);
        const Mask seen =
            (depth > zero) & (depth >= load(samples.skin + at)) & inside_row(grid, cell_x * kLayerCell + part);
        store(samples.seen + at, keep(seen, one));
        if (bits(seen)) unmark_skin(samples, paints, fades, at, bits(seen));
        found |= bits(seen) << part;
      }
      if (!found) continue;
      LayerExtent& extent = extents[static_cast<size_t>(y / kLayerCellRows) * grid.cells_x + cell_x];
      extent.y0 = extent.y0 < y ? extent.y0 : y;
      extent.y1 = y;
      extent.columns |= found;
    }
  }
}

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
