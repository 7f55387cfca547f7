// The layer as functions of the Python module.
#include <nanobind/stl/unique_ptr.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "layer.h"
#include "lights.h"
#include "texels.h"

namespace headsplat {
namespace {

// vertices, shade, texels, faces, texel ids, fades, faces of the skin, intrinsics
using LayerArrays = std::tuple<In, In, In, Indices, Indices, In, Indices, In>;
using LayerOptions = std::tuple<int, int, Scalar, Scalar>;  // width, height, near, blur
using LayerImageArrays = std::tuple<Out, Out, Out, Out>;    // color, coverage, depth, stencil

struct PreparedLayer {
  PreparedLayer() = default;
  PreparedLayer(const PreparedLayer&) = delete;
  LayerShape shape;
  std::vector<LayerHandle> images;
};

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

// Writes x, y, width and height of the window of each image into `windows` [B,4].
std::unique_ptr<PreparedLayer> layer_prepare(const LayerArrays& arrays, const LayerOptions& options,
                                             const Labels& windows) {
  const auto& [width, height, near_z, blur] = options;
  const In& vertices = std::get<0>(arrays);
  auto prepared = std::make_unique<PreparedLayer>();
  prepared->shape = {static_cast<int>(vertices.shape(0)),
                     static_cast<int>(vertices.shape(1)),
                     static_cast<int>(std::get<3>(arrays).shape(0)),
                     static_cast<int>(std::get<6>(arrays).shape(0)),
                     static_cast<int>(std::get<2>(arrays).shape(0)),
                     width,
                     height,
                     near_z,
                     blur};
  const LayerInputs inputs = inputs_of(prepared->shape, arrays);
  int32_t* out = sized(windows, 4 * static_cast<size_t>(prepared->shape.batch));
  prepared->images.resize(prepared->shape.batch);
  for (int b = 0; b < prepared->shape.batch; ++b) {
    if (!prepared->images[b]->prepare(prepared->shape, inputs, b))
      throw std::invalid_argument("mesh: expected vertex indices in 0.." + std::to_string(vertices.shape(1) - 1));
    const LayerWindow& window = prepared->images[b]->window;
    const int values[4] = {window.x, window.y, window.width, window.height};
    for (int k = 0; k < 4; ++k) out[4 * b + k] = values[k];
  }
  return prepared;
}

void layer_render(PreparedLayer& prepared, const LayerArrays& arrays, const LayerImageArrays& images) {
  const auto& [color, coverage, depth, stencil] = images;
  if (coverage.ndim() != 3) throw std::invalid_argument("native kernel: coverage must be [B,h,w]");
  const size_t batch = prepared.shape.batch, pixels = coverage.shape(1) * coverage.shape(2);
  sized(color, 3 * batch * pixels);
  sized(coverage, batch * pixels);
  sized(depth, batch * pixels);
  sized(stencil, batch * pixels);
  const LayerInputs inputs = inputs_of(prepared.shape, arrays);
  for (size_t b = 0; b < batch; ++b) {
    const LayerOutputs out{static_cast<int>(coverage.shape(2)), static_cast<int>(coverage.shape(1)),
                           color.data() + 3 * b * pixels,       coverage.data() + b * pixels,
                           depth.data() + b * pixels,           stencil.data() + b * pixels};
    if (!prepared.images[b]->render(prepared.shape, inputs, static_cast<int>(b), out))
      throw std::invalid_argument("mesh.texel_ids: expected indices in 0.." +
                                  std::to_string(prepared.shape.texels - 1));
  }
}

void layer_backward(PreparedLayer& prepared, const LayerArrays& arrays, const In& grad_color, const Out& grad_texels) {
  if (grad_color.ndim() != 4) throw std::invalid_argument("native kernel: the gradient must be [B,h,w,3]");
  const size_t batch = prepared.shape.batch, pixels = grad_color.shape(1) * grad_color.shape(2);
  sized(grad_color, 3 * batch * pixels);
  Scalar* out = sized(grad_texels, 3 * static_cast<size_t>(prepared.shape.texels));
  for (size_t k = 0; k < grad_texels.size(); ++k) out[k] = 0.0f;
  const LayerInputs inputs = inputs_of(prepared.shape, arrays);
  for (size_t b = 0; b < batch; ++b) {
    const LayerOutputs size{static_cast<int>(grad_color.shape(2)), static_cast<int>(grad_color.shape(1))};
    const LayerWindow& window = prepared.images[b]->window;
    if (window.width > size.width || window.height > size.height)
      throw std::invalid_argument("native kernel: the gradient is smaller than the window");
    prepared.images[b]->backward(prepared.shape, inputs, static_cast<int>(b), size, grad_color.data() + 3 * b * pixels,
                                 out);
  }
}

TexelArrays texel_arrays(const In& start, const In& factors, const Indices& part) {
  const size_t texels = part.size(), parts = factors.size() / 3;
  return {static_cast<int>(texels), static_cast<int>(parts), sized(start, 3 * texels), sized(factors, 3 * parts),
          part.data()};
}

void check_parts(bool inside, size_t parts) {
  if (!inside) throw std::invalid_argument("part: expected indices in 0.." + std::to_string(parts - 1));
}

void texel_colors_of(const In& start, const In& factors, const Indices& part, const In& own, const Out& out) {
  const TexelArrays arrays = texel_arrays(start, factors, part);
  check_parts(texel_colors(arrays, sized(own, start.size()), sized(out, start.size())), factors.size() / 3);
}

void texel_colors_backward_of(const In& start, const In& factors, const Indices& part, const In& grad, const Out& out) {
  const TexelArrays arrays = texel_arrays(start, factors, part);
  check_parts(texel_colors_backward(arrays, sized(grad, start.size()), sized(out, factors.size())), factors.size() / 3);
}

void limit_texels_of(const In& start, const In& factors, const Indices& part, const Out& own) {
  check_parts(limit_texels(texel_arrays(start, factors, part), sized(own, start.size())), factors.size() / 3);
}

using MouthConstants = std::tuple<Scalar, Scalar, Scalar, Scalar, Scalar, Scalar, Scalar>;

// Calls light(vertices, size, shade) for each image.
template <class Light>
void for_images(const In& vertices, const Out& shade, Light light) {
  if (vertices.ndim() != 3) throw std::invalid_argument("native kernel: vertices must be [B,V,3]");
  const size_t batch = vertices.shape(0), size = vertices.shape(1);
  sized(vertices, 3 * batch * size);
  Scalar* out = sized(shade, batch * size);
  for (size_t b = 0; b < batch; ++b)
    if (!light(vertices.data() + 3 * b * size, static_cast<int>(size), out + b * size))
      throw std::invalid_argument("corners, vertices: expected indices in 0.." + std::to_string(size - 1));
}

void light_mouth_of(const In& vertices, const Indices& inside, const In& normals, const Indices& corners,
                    const In& bary, const MouthConstants& constants, const Out& shade) {
  const auto& [wrap, sideways, indirect, indirect_area, closed, near_distance, core] = constants;
  const MouthLight light{static_cast<int>(inside.size()),
                         inside.data(),
                         sized(normals, 3 * inside.size()),
                         sized(corners, 12),
                         sized(bary, 12),
                         wrap,
                         sideways,
                         indirect,
                         indirect_area,
                         closed,
                         near_distance,
                         core};
  for_images(vertices, shade,
             [&](const Scalar* points, int size, Scalar* out) { return light_mouth(light, points, size, out); });
}

void shade_eyes_of(const In& vertices, const Indices& eyes, const Indices& corners, const In& bary, const In& fit,
                   const In& shadow, const In& reach, const Out& shade) {
  if (eyes.ndim() != 2 || eyes.shape(0) != 2 || fit.ndim() != 4 || fit.shape(2) > kMaxEdgeCoefficients)
    throw std::invalid_argument("native kernel: eyes must be [2,n] and fit [2,2,D,L]");
  const size_t degree = fit.shape(2), landmarks = fit.shape(3);
  const LidShadow lids{static_cast<int>(eyes.shape(1)),
                       static_cast<int>(landmarks),
                       static_cast<int>(degree),
                       eyes.data(),
                       sized(corners, 12 * landmarks),
                       sized(bary, 12 * landmarks),
                       sized(fit, 4 * degree * landmarks),
                       sized(shadow, 2),
                       sized(reach, 2)};
  for_images(vertices, shade,
             [&](const Scalar* points, int size, Scalar* out) { return shade_eyes(lids, points, size, out); });
}

ReflectionWindow reflection_window(const In& coverage, const In& places, size_t image, size_t side) {
  if (coverage.ndim() != 3 || image >= coverage.shape(0))
    throw std::invalid_argument("native kernel: coverage [B,h,w]");
  const size_t pixels = coverage.shape(1) * coverage.shape(2);
  const Scalar* place = sized(places, 6 * coverage.shape(0)) + 6 * image;
  return {static_cast<int>(coverage.shape(2)),
          static_cast<int>(coverage.shape(1)),
          static_cast<int>(side),
          coverage.data() + image * pixels,
          {place[0], place[3]},
          {place[1], place[4]},
          {place[2], place[5]}};
}

void add_reflections_to(const Out& color, const In& coverage, const In& textures, const In& places) {
  const size_t side = textures.shape(textures.ndim() - 1),
               pixels = coverage.size() / std::max<size_t>(coverage.shape(0), 1);
  sized(color, 3 * coverage.size());
  sized(textures, 2 * side * side);
  for (size_t b = 0; b < coverage.shape(0); ++b)
    add_reflections(reflection_window(coverage, places, b, side), textures.data(), color.data() + 3 * b * pixels);
}

void add_reflections_gradient(const In& grad, const In& coverage, const In& places, const Out& textures) {
  const size_t side = textures.shape(textures.ndim() - 1),
               pixels = coverage.size() / std::max<size_t>(coverage.shape(0), 1);
  sized(grad, 3 * coverage.size());
  sized(textures, 2 * side * side);
  for (size_t b = 0; b < coverage.shape(0); ++b)
    add_reflections_backward(reflection_window(coverage, places, b, side), grad.data() + 3 * b * pixels,
                             textures.data());
}

}  // namespace

void register_layer(nb::module_& m) {
  nb::class_<PreparedLayer>(m, "PreparedLayer");
  m.def("layer_prepare", &layer_prepare, Released());
  m.def("layer_render", &layer_render, Released());
  m.def("layer_backward", &layer_backward, Released());
  m.def("texel_colors", &texel_colors_of, Released());
  m.def("texel_colors_backward", &texel_colors_backward_of, Released());
  m.def("limit_texels", &limit_texels_of, Released());
  m.def("light_mouth", &light_mouth_of, Released());
  m.def("shade_eyes", &shade_eyes_of, Released());
  m.def("add_reflections", &add_reflections_to, Released());
  m.def("add_reflections_backward", &add_reflections_gradient, Released());
}

}  // namespace headsplat
