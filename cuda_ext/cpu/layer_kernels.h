// Data that the kernels of the layer share; layer.h holds one image of it.
//
// Samples are grouped in cells, and rows of cells in bands, which are the tasks. Face indices are stored as
// Scalar, exact up to 2^24.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../math.h"

namespace headsplat {

constexpr int kLayerCell = 16;              // width of a cell, samples
constexpr int kLayerCellRows = 4;           // low, because a nearly closed mouth is
constexpr int kLayerBandCells = 8;          // rows of cells of a band
constexpr int kLayerPad = 16;               // Scalars after each row, for vectors that reach beyond it
constexpr int kLayerMaxFaces = 1 << 24;     // of the layer
constexpr int kLayerMaxReach = 64;          // samples
constexpr Scalar kLayerMaxPosition = 1e5f;  // pixels

// A vertex in the image; x is NaN unless it is in front of the camera.
struct LayerVertex {
  Scalar x, y, inverse_depth, depth;  // pixels, 1/meters, meters
};

// The samples of the region of one image.
struct LayerGrid {
  int width, height;     // samples
  int cells_x, cells_y;  // cells
  int stride;            // Scalars between rows, at least kLayerCell cells_x + kLayerPad
  size_t row(int y) const { return static_cast<size_t>(y) * stride; }
  size_t size() const { return row(cells_y * kLayerCellRows) + kLayerPad; }
};

// What the setup of a triangle reads.
struct LayerGeometry {
  const Scalar* vertices;        // [V,3] meters, camera axes
  const LayerVertex* projected;  // [V]
  const uint8_t* sides;          // [V] sides of the region beyond which a vertex is, one bit each
  int vertex_count;
  int region_x, region_y;  // pixels
  Scalar near_z;           // meters
  Scalar inverse_near;     // 1/meters
  Scalar intrinsics[9];    // of the samples of the region
  double inverse[9];       // of `intrinsics`
  LayerGrid grid;
};

// A triangle in samples of the region. Edge function k is a (x - at_x) + b (y - at_y) + c: not negative inside, and
// times `scale` it is barycentric k over the depth. Triangles that share an edge evaluate it from the same end, so that
// no sample falls between them.
struct LayerTriangle {
  Scalar a[3], b[3], c[3], at_x[3], at_y[3], scale[3];
  int x0, y0, x1, y1;  // samples, inclusive
};

// A face that may cover samples of the region, with the cells of its bounding box, inclusive.
struct LayerEntry {
  int face;
  int16_t x0, y0, x1, y1;
  Scalar nearest;  // 1/meters, at the nearest corner; kNoLayerDepth with a corner that is not in front of the camera
};

// The samples of a cell that are seen: rows y0..y1, empty unless y0 <= y1; and the columns of the cell, one bit each.
struct LayerExtent {
  int y0, y1;
  uint32_t columns;
};

// Faces to be drawn, and the inverse depth below which a face is hidden in each cell. `needed` is null, or nonzero in
// the cells where it matters what is drawn.
struct LayerDraw {
  const int64_t* faces;
  const Scalar* shade;  // [V], for faces of the layer
  const LayerEntry* entries;
  const int* list;
  int count;
  Scalar* hidden_below;
  const uint8_t* needed;
};

// What colors the samples of a drawn face: two barycentrics and the shade, all over the depth, are
// [0] (column - x) + [1] (row - y) + [2] at a sample.
struct LayerPaint {
  Scalar x, y, first[3], second[3], shade[3];
  int face;
};

// Images of one region in samples; rows are `grid.stride` apart.
struct LayerSamples {
  Scalar *skin, *inverse_depth;  // 1/meters, of the nearest surface; 0 where none is
  Scalar* paint;                 // place of the nearest face among those of its band, where inverse_depth is not 0
  Scalar* seen;                  // 1 where the layer is in front of the skin, else 0
  Scalar *to_hidden, *to_seen;   // samples along the column to the nearest one that is not seen, or is; in needed cells
  Scalar *coverage, *stencil;    // in needed cells
};
constexpr int kLayerPlanes = 8;

struct LayerFades {
  const Scalar* fades;       // [F,2] meters
  Scalar samples_per_meter;  // at the mean depth of the layer
  int reach;                 // samples within which distances are measured
};

// What the color of samples depends on.
struct LayerTexture {
  const Scalar* texels;      // [T,3]
  const int64_t* texel_ids;  // [F,15]
  int texel_count;           // T
};

// The covered samples among kLayerCell ones of a row: three texels with their weights, and the product of the shade and
// the weight in the pixel.
struct LayerTexelRun {
  int count;
  int lane[kLayerCell];
  int64_t texels[kLayerCell][3];
  Scalar weights[kLayerCell][3], factor[kLayerCell];
};

// A pixel before the blur: color times coverage and coverage, the largest inverse depth, the stencil.
struct LayerPixel {
  Scalar color[4], nearest, stencil;
};

// One pass of a separable blur over zero.
struct LayerBlur {
  int width, height, channels;  // pixels
  const Scalar* weights;        // [2 radius + 1]
  int radius;                   // pixels
  bool along_columns;
};

// The functions of one instruction-set level.
struct LayerKernels {
  // Projects vertices begin..end-1 into the image.
  void (*project)(const Scalar* intrinsics, Scalar near_z, const Scalar* vertices, int begin, int end,
                  LayerVertex* out);
  // Writes `LayerGeometry::sides` of vertices begin..end-1; one side is behind the depth `farthest`.
  void (*find_sides)(const LayerGeometry&, Scalar farthest, int begin, int end, uint8_t* sides);
  // Writes those of the faces begin..end-1 that may cover samples, in marked cells if `cells` is not null. Returns
  // their number, or -1 where an index is out of range.
  int (*find_faces)(const LayerGeometry&, const int64_t* faces, int begin, int end, const uint8_t* cells,
                    LayerEntry* out);
  // Draws faces into the z-buffer of the skin, in rows of cells first..last-1, and writes the least inverse depth in
  // each of these cells.
  void (*draw_skin)(const LayerGeometry&, const LayerDraw&, int first, int last, Scalar* nearest);
  // Draws faces of the layer, in rows of cells first..last-1. Appends theirs to the `painted` ones in
  // `paints` and returns the number; writes the entries that are not drawn into `rest`.
  int (*draw_faces)(const LayerGeometry&, const LayerDraw&, int first, int last, const LayerSamples&,
                    LayerPaint* paints, int painted, int* rest, int* rest_count);
  // Writes `seen` of rows first..last-1 of samples, 0 where skin with a texture is in front, and extends `extents` of
  // their cells.
  void (*find_seen)(const LayerGrid&, const LayerSamples&, const LayerPaint* paints, const Scalar* fades, int first,
                    int last, LayerExtent* extents);
  // Distances along columns in the cells with a nonzero `needed`.
  void (*measure_columns)(const LayerGrid&, const uint8_t* needed, int reach, const LayerSamples&);
  // Coverage and stencil of row `y` in needed cells; `squares` has room for two rows and 4 kLayerMaxReach.
  void (*fade_row)(const LayerGrid&, const uint8_t* needed, const LayerFades&, const LayerPaint* paints, int y,
                   const LayerSamples&, Scalar* squares);
  // The covered samples among kLayerCell ones from (x, y). Returns whether all indices are in range; others are left
  // out.
  bool (*find_texels)(const LayerGrid&, const LayerTexture&, const LayerPaint* paints, const LayerSamples&, int x,
                      int y, LayerTexelRun&);
  // The pixels of a cell in rows y and y + 1 of samples. Returns whether all indices are in range.
  bool (*resolve_cell)(const LayerGrid&, const LayerTexture&, const LayerPaint* paints, const LayerSamples&, int cell_x,
                       int y, LayerPixel* pixels);
  // Row `y` of one pass of the blur.
  void (*blur_row)(const LayerBlur&, const Scalar* from, int y, Scalar* to);
};

namespace HEADSPLAT_LEVEL {
void layer_project(const Scalar* intrinsics, Scalar near_z, const Scalar* vertices, int begin, int end,
                   LayerVertex* out);
void layer_find_sides(const LayerGeometry&, Scalar farthest, int begin, int end, uint8_t* sides);
int layer_find_faces(const LayerGeometry&, const int64_t* faces, int begin, int end, const uint8_t* cells,
                     LayerEntry* out);
void layer_draw_skin(const LayerGeometry&, const LayerDraw&, int first, int last, Scalar* nearest);
int layer_draw_faces(const LayerGeometry&, const LayerDraw&, int first, int last, const LayerSamples&,
                     LayerPaint* paints, int painted, int* rest, int* rest_count);
void layer_find_seen(const LayerGrid&, const LayerSamples&, const LayerPaint* paints, const Scalar* fades, int first,
                     int last, LayerExtent* extents);
void layer_measure_columns(const LayerGrid&, const uint8_t* needed, int reach, const LayerSamples&);
void layer_fade_row(const LayerGrid&, const uint8_t* needed, const LayerFades&, const LayerPaint* paints, int y,
                    const LayerSamples&, Scalar* squares);
bool layer_find_texels(const LayerGrid&, const LayerTexture&, const LayerPaint* paints, const LayerSamples&, int x,
                       int y, LayerTexelRun&);
bool layer_resolve_cell(const LayerGrid&, const LayerTexture&, const LayerPaint* paints, const LayerSamples&,
                        int cell_x, int y, LayerPixel* pixels);
void layer_blur_row(const LayerBlur&, const Scalar* from, int y, Scalar* to);

constexpr LayerKernels kLayerKernels = {
    layer_project,         layer_find_sides, layer_find_faces,  layer_draw_skin,    layer_draw_faces, layer_find_seen,
    layer_measure_columns, layer_fade_row,   layer_find_texels, layer_resolve_cell, layer_blur_row,
};
}  // namespace HEADSPLAT_LEVEL

}  // namespace headsplat
