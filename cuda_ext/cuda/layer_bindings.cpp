// The layer as functions of the Python module.
#include <tuple>

#include "../texture.h"
#include "arrays.h"
#include "ops.h"

namespace headsplat {
namespace cuda {
namespace {

// vertices, shade, texels, faces, texel ids, fades, faces of the skin, intrinsics
using LayerArrays = std::tuple<In, In, In, Indices, Indices, In, Indices, In>;
using LayerOptions = std::tuple<int, int, float, float>;  // width, height, near, blur
using LayerImageArrays = std::tuple<Out, Out, Out, Out>;  // color, coverage, depth, stencil
using LayerDepthArrays = std::tuple<Indices, In, In>;     // face, depth, depth of the skin, of each sample

LayerShape shape_of(const LayerArrays& arrays, const LayerOptions& options) {
  const auto& [width, height, near_z, blur] = options;
  const In& vertices = std::get<0>(arrays);
  if (vertices.ndim() != 3 || width < 1 || height < 1)
    throw std::invalid_argument("native kernel: vertices must be [B,V,3] and the image at least one pixel");
  return {static_cast<int>(vertices.shape(0)),
          static_cast<int>(vertices.shape(1)),
          static_cast<int>(std::get<3>(arrays).shape(0)),
          static_cast<int>(std::get<6>(arrays).shape(0)),
          static_cast<int>(std::get<2>(arrays).shape(0)),
          width,
          height,
          near_z,
          blur};
}

LayerInputs inputs_of(const LayerShape& shape, const LayerArrays& arrays) {
  const auto& [vertices, shade, texels, faces, texel_ids, fades, skin, intrinsics] = arrays;
  const size_t batch = shape.batch;
  return {sized(vertices, 3 * batch * shape.vertices),
          sized(shade, batch * shape.vertices),
          sized(texels, 3 * static_cast<size_t>(shape.texels)),
          sized(faces, 3 * static_cast<size_t>(shape.faces)),
          sized(texel_ids, kTexelNodes * static_cast<size_t>(shape.faces)),
          sized(skin, 3 * static_cast<size_t>(shape.skin_faces)),
          sized(fades, 2 * static_cast<size_t>(shape.faces)),
          sized(intrinsics, 9 * batch)};
}

size_t layer_scratch_bytes(int batch, int texels, int width, int height, uintptr_t) {
  return layer_scratch({batch, 0, 0, 0, texels, width, height, 0.0f, 0.0f});
}

LayerOutputs outputs_of(const LayerShape& shape, const LayerImageArrays& images) {
  const auto& [color, coverage, depth, stencil] = images;
  const size_t pixels = static_cast<size_t>(shape.batch) * shape.width * shape.height;
  return {sized(color, 3 * pixels), sized(coverage, pixels), sized(depth, pixels), sized(stencil, pixels)};
}

void run_layer(const LayerArrays& arrays, const LayerOptions& options, const LayerImageArrays& images,
               const Scratch& scratch, uintptr_t stream) {
  const LayerShape shape = shape_of(arrays, options);
  layer_forward(shape, inputs_of(shape, arrays), outputs_of(shape, images), at_least(scratch, layer_scratch(shape)),
                stream_of(stream));
}

void run_layer_from_depths(const LayerArrays& arrays, const LayerOptions& options, const LayerImageArrays& images,
                           const LayerDepthArrays& depths, const Scratch& scratch, uintptr_t stream) {
  const LayerShape shape = shape_of(arrays, options);
  const auto& [face, depth, skin] = depths;
  const size_t samples = layer_samples(shape);
  const LayerDepths given{sized(face, samples), sized(depth, samples), sized(skin, samples)};
  layer_forward(shape, inputs_of(shape, arrays), outputs_of(shape, images), at_least(scratch, layer_scratch(shape)),
                stream_of(stream), &given);
}

void run_layer_backward(const LayerArrays& arrays, const LayerOptions& options, const In& grad_color,
                        const Out& grad_texels, const Scratch& scratch, uintptr_t stream) {
  const LayerShape shape = shape_of(arrays, options);
  const size_t pixels = static_cast<size_t>(shape.batch) * shape.width * shape.height;
  layer_backward(shape, inputs_of(shape, arrays), sized(grad_color, 3 * pixels),
                 sized(grad_texels, 3 * static_cast<size_t>(shape.texels)), at_least(scratch, layer_scratch(shape)),
                 stream_of(stream));
}

}  // namespace

void register_layer(nb::module_& m) {
  m.def("layer_scratch", &layer_scratch_bytes);
  m.def("layer_forward", &run_layer, Released());
  m.def("layer_from_depths", &run_layer_from_depths, Released());
  m.def("layer_backward", &run_layer_backward, Released());
}

}  // namespace cuda
}  // namespace headsplat
