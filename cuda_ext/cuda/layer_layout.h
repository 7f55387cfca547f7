// Scratch memory of the layer on CUDA, kept between its forward and backward passes.
#pragma once

#include <cuda_runtime.h>

#include "../texture.h"
#include "ops.h"

namespace headsplat {
namespace cuda {

using Key = unsigned long long;  // bits of the depth in meters, then the face index

// Sizes of the padded images, and the arrays in the scratch memory.
struct Layout {
  int width, height;        // pixels
  size_t pixels, samples;   // of one image
  Key* keys;                // [B,samples]
  float4 *image, *blurred;  // [B,pixels]
  float* pixels_per_meter;  // [B]
  Key* sums;                // [T,3] fixed point
  int* reach;               // [B] samples within which distances are measured
  // [B,samples]: whether it is seen; distance along the column to one that is not seen, and to one that is
  uint8_t *seen, *to_hidden, *to_seen;
  size_t bytes;

  Layout(const LayerShape& shape, void* memory)
      : width(shape.width + 2 * kLayerMargin), height(shape.height + 2 * kLayerMargin) {
    pixels = static_cast<size_t>(width) * height;
    samples = pixels * kSupersample * kSupersample;
    unsigned char* at = static_cast<unsigned char*>(memory);
    const auto take = [&](size_t size) {
      unsigned char* taken = at;
      at += (size + 15) / 16 * 16;
      return taken;
    };
    const size_t batch = shape.batch;
    keys = reinterpret_cast<Key*>(take(sizeof(Key) * batch * samples));
    image = reinterpret_cast<float4*>(take(sizeof(float4) * batch * pixels));
    blurred = reinterpret_cast<float4*>(take(sizeof(float4) * batch * pixels));
    pixels_per_meter = reinterpret_cast<float*>(take(sizeof(float) * batch));
    reach = reinterpret_cast<int*>(take(sizeof(int) * batch));
    sums = reinterpret_cast<Key*>(take(sizeof(Key) * 3 * shape.texels));
    seen = take(batch * samples);
    to_hidden = take(batch * samples);
    to_seen = take(batch * samples);
    bytes = static_cast<size_t>(at - static_cast<unsigned char*>(memory));
  }

  __device__ int samples_x() const { return width * kSupersample; }
  __device__ int samples_y() const { return height * kSupersample; }
};

}  // namespace cuda
}  // namespace headsplat
