// The CPU rasterizer as functions of the Python module.
#include <nanobind/stl/unique_ptr.h>

#include <memory>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "splat_batch.h"

namespace headsplat {
namespace {

struct Prepared {
  SplatHandle batch;
};

SplatShape shape_of(const In& means, int width, int height) {
  if (means.ndim() != 3 || means.shape(2) != 3) throw std::invalid_argument("native kernel: means must be [B,N,3]");
  return {static_cast<int>(means.shape(0)), static_cast<int>(means.shape(1)), width, height};
}

GaussianInputs inputs_of(const SplatShape& shape, const In& means, const In& quats, const In& scales,
                         const In& opacities, const In& colors) {
  const size_t n = static_cast<size_t>(shape.batch) * shape.count;
  const int terms = sh_terms_of(colors);
  return {sized(means, 3 * n),
          sized(quats, 4 * n),
          sized(scales, 3 * n),
          sized(opacities, n),
          sized(colors, 3 * n * (terms ? terms : 1)),
          terms};
}

std::unique_ptr<Prepared> prepare(const In& means, const In& quats, const In& scales, const In& opacities,
                                  const In& colors, const In& intrinsics, const In& world_to_cam, int width, int height,
                                  Scalar near_z, Scalar dilation, int flags) {
  const SplatShape shape = shape_of(means, width, height);
  const size_t batch = shape.batch;
  const auto cameras = cameras_of(sized(intrinsics, 9 * batch), sized(world_to_cam, 16 * batch), shape,
                                  {near_z, dilation, (flags & 1) != 0, (flags & 2) != 0});
  auto prepared = std::make_unique<Prepared>();
  prepared->batch->prepare(shape, cameras.data(), inputs_of(shape, means, quats, scales, opacities, colors));
  return prepared;
}

size_t pixels_of(const Prepared& prepared) {
  const SplatShape& shape = prepared.batch->shape;
  return static_cast<size_t>(shape.batch) * shape.width * shape.height;
}

// Color, coverage, depth, stencil, origins [B,2] and fades [B,N] of the layer's windows.
using LayerArrays = std::tuple<std::optional<In>, In, In, In, Origins, In>;

// The layer of each image; none for null or an empty window.
std::vector<LayerView> layers_of(const SplatShape& shape, const std::optional<LayerArrays>& arrays) {
  std::vector<LayerView> views;
  if (!arrays) return views;
  const auto& [color, coverage, depth, stencil, origins, fades] = *arrays;
  if (coverage.ndim() != 3) throw std::invalid_argument("native kernel: coverage must be [B,h,w]");
  const size_t batch = shape.batch, height = coverage.shape(1), width = coverage.shape(2), pixels = height * width;
  const Scalar* colors = sized(color, 3 * batch * pixels);
  sized(coverage, batch * pixels);
  sized(depth, batch * pixels);
  sized(stencil, batch * pixels);
  sized(origins, 2 * batch);
  sized(fades, batch * shape.count);
  if (!pixels) return views;
  for (size_t b = 0; b < batch; ++b)
    views.push_back({colors ? colors + 3 * b * pixels : nullptr, coverage.data() + b * pixels,
                     depth.data() + b * pixels, stencil.data() + b * pixels, fades.data() + b * shape.count,
                     origins.data()[2 * b], origins.data()[2 * b + 1], static_cast<int>(width),
                     static_cast<int>(height)});
  return views;
}

void rasterize(Prepared& prepared, const std::optional<LayerArrays>& layer, const Out& rgb, const Out& alpha,
               const std::optional<Out>& depth, const std::optional<Out>& weights) {
  const size_t pixels = pixels_of(prepared);
  const size_t n = static_cast<size_t>(prepared.batch->shape.batch) * prepared.batch->shape.count;
  const auto layers = layers_of(prepared.batch->shape, layer);
  prepared.batch->rasterize(layers.empty() ? nullptr : layers.data(),
                            {sized(rgb, 3 * pixels), sized(alpha, pixels), sized(depth, pixels), sized(weights, n)});
}

void rasterize_colors(Prepared& prepared, const std::optional<LayerArrays>& layer, const In& colors, const Out& rgb) {
  const size_t n = static_cast<size_t>(prepared.batch->shape.batch) * prepared.batch->shape.count;
  const auto layers = layers_of(prepared.batch->shape, layer);
  prepared.batch->rasterize_colors(layers.empty() ? nullptr : layers.data(), sized(colors, 3 * n),
                                   sized(rgb, 3 * pixels_of(prepared)));
}

void splat_backward(Prepared& prepared, const std::tuple<In, In, In, In, In>& inputs,
                    const std::tuple<In, In, std::optional<In>>& outputs, const std::optional<In>& grad_rgb,
                    const std::optional<In>& grad_alpha, const std::optional<In>& grad_depth,
                    const std::tuple<Out, Out, Out, Out, Out>& gradients, const std::optional<LayerArrays>& layer,
                    const std::optional<Out>& grad_layer) {
  const size_t pixels = pixels_of(prepared);
  const auto layers = layers_of(prepared.batch->shape, layer);
  if (grad_layer && layer) sized(grad_layer, 3 * std::get<1>(*layer).size());
  const SplatShape& shape = prepared.batch->shape;
  const size_t n = static_cast<size_t>(shape.batch) * shape.count;
  const auto& [means, quats, scales, opacities, colors] = inputs;
  const auto& [rgb, alpha, depth] = outputs;
  const auto& [d_means, d_quats, d_scales, d_opacities, d_colors] = gradients;
  const GaussianInputs gaussians = inputs_of(shape, means, quats, scales, opacities, colors);
  prepared.batch->backward(gaussians, layers.empty() ? nullptr : layers.data(),
                           {sized(rgb, 3 * pixels), sized(alpha, pixels), sized(depth, pixels),
                            sized(grad_rgb, 3 * pixels), sized(grad_alpha, pixels), sized(grad_depth, pixels)},
                           {sized(d_means, 3 * n), sized(d_quats, 4 * n), sized(d_scales, 3 * n), sized(d_opacities, n),
                            sized(d_colors, gaussians.color_size() * n)},
                           grad_layer ? grad_layer->data() : nullptr);
}

}  // namespace

void register_splat(nb::module_& m) {
  nb::class_<Prepared>(m, "Prepared");
  m.def("prepare", &prepare, Released());
  m.def("rasterize", &rasterize, Released());
  m.def("rasterize_colors", &rasterize_colors, Released());
  m.def("splat_backward", &splat_backward, Released());
}

}  // namespace headsplat
