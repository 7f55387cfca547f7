// Light on the layer: through the opening of the lips into the mouth, the shadow of the lids on the eyes, and the
// reflections on the irises. Each function checks the indices that it reads.
#pragma once

#include <cstdint>

#include "../math.h"

namespace headsplat {

// As avatar.reference.MouthSurface and MOUTH_CONSTANTS.
struct MouthLight {
  int count;                // vertices inside the mouth
  const int64_t* vertices;  // [M]
  const Scalar* normals;    // [M,3]
  const int64_t* corners;   // [4,3]
  const Scalar* bary;       // [4,3]
  Scalar wrap, sideways, indirect, indirect_area, closed, near_distance, core;
};

constexpr int kMaxEdgeCoefficients = 16;

// As avatar.reference.EyeSurface.
struct LidShadow {
  int count, landmarks, coefficients;         // vertices of an eye, landmarks of an edge, of a polynomial
  const int64_t *vertices, *corners;          // [2,n] [2,2,L,3]
  const Scalar *bary, *fit, *shadow, *reach;  // [2,2,L,3] [2,2,D,L] [2] [2]
};

// Factors of the colors into `shade` [V] of one image with `size` vertices [V,3], meters. Return whether all indices
// are in range.
bool light_mouth(const MouthLight& light, const Scalar* vertices, int size, Scalar* shade);
bool shade_eyes(const LidShadow& lids, const Scalar* vertices, int size, Scalar* shade);

// The reflections of one image: textures [2][side][side] about two centers.
struct ReflectionWindow {
  int width, height, side;
  const Scalar* coverage;        // [height,width]
  Scalar x[2], y[2], radius[2];  // pixels of the window
};

// Adds the bilinear samples of the textures, times the coverage, to `color` [height,width,3].
void add_reflections(const ReflectionWindow& window, const Scalar* textures, Scalar* color);

// Adds the gradient of the textures to `out`, given that of the color.
void add_reflections_backward(const ReflectionWindow& window, const Scalar* grad, Scalar* out);

}  // namespace headsplat
