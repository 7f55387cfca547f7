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

struct Options {
  Scalar near_z, dilation;
  bool antialias, cutoff;
};

std::vector<Camera> cameras_of(const In& intrinsics, const In& world_to_cam, const SplatShape& shape,
                               const Options& options) {
  const Scalar* K = sized(intrinsics, 9 * static_cast<size_t>(shape.batch));
  const Scalar* pose = sized(world_to_cam, 16 * static_cast<size_t>(shape.batch));
  std::vector<Camera> cameras(shape.batch);
  for (Camera& camera : cameras) {
    for (int r = 0; r < 3; ++r) {
      for (int c = 0; c < 3; ++c) camera.rotation[3 * r + c] = pose[4 * r + c];
      camera.translation[r] = pose[4 * r + 3];
    }
    camera.focal_x = K[0];
    camera.focal_y = K[4];
    camera.center_x = K[2];
    camera.center_y = K[5];
    camera.near_z = options.near_z;
    camera.dilation = options.dilation;
    camera.width = shape.width;
    camera.height = shape.height;
    camera.antialias = options.antialias;
    camera.cutoff = options.cutoff;
    K += 9;
    pose += 16;
  }
  return cameras;
}

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
  const Options options{near_z, dilation, (flags & 1) != 0, (flags & 2) != 0};
  const auto cameras = cameras_of(intrinsics, world_to_cam, shape, options);
  auto prepared = std::make_unique<Prepared>();
  prepared->batch->prepare(shape, cameras.data(), inputs_of(shape, means, quats, scales, opacities, colors));
  return prepared;
}

size_t pixels_of(const Prepared& prepared) {
  const SplatShape& shape = prepared.batch->shape;
  return static_cast<size_t>(shape.batch) * shape.width * shape.height;
}

void rasterize(Prepared& prepared, const Out& rgb, const Out& alpha, const std::optional<Out>& depth,
               const std::optional<Out>& weights) {
  const size_t pixels = pixels_of(prepared);
  const size_t n = static_cast<size_t>(prepared.batch->shape.batch) * prepared.batch->shape.count;
  prepared.batch->rasterize({sized(rgb, 3 * pixels), sized(alpha, pixels), sized(depth, pixels), sized(weights, n)});
}

void rasterize_colors(Prepared& prepared, const In& colors, const Out& rgb) {
  const size_t n = static_cast<size_t>(prepared.batch->shape.batch) * prepared.batch->shape.count;
  prepared.batch->rasterize_colors(sized(colors, 3 * n), sized(rgb, 3 * pixels_of(prepared)));
}

void splat_backward(Prepared& prepared, const std::tuple<In, In, In, In, In>& inputs,
                    const std::tuple<In, In, std::optional<In>>& outputs, const std::optional<In>& grad_rgb,
                    const std::optional<In>& grad_alpha, const std::optional<In>& grad_depth,
                    const std::tuple<Out, Out, Out, Out, Out>& gradients) {
  const size_t pixels = pixels_of(prepared);
  const SplatShape& shape = prepared.batch->shape;
  const size_t n = static_cast<size_t>(shape.batch) * shape.count;
  const auto& [means, quats, scales, opacities, colors] = inputs;
  const auto& [rgb, alpha, depth] = outputs;
  const auto& [d_means, d_quats, d_scales, d_opacities, d_colors] = gradients;
  const GaussianInputs gaussians = inputs_of(shape, means, quats, scales, opacities, colors);
  prepared.batch->backward(gaussians,
                           {sized(rgb, 3 * pixels), sized(alpha, pixels), sized(depth, pixels),
                            sized(grad_rgb, 3 * pixels), sized(grad_alpha, pixels), sized(grad_depth, pixels)},
                           {sized(d_means, 3 * n), sized(d_quats, 4 * n), sized(d_scales, 3 * n), sized(d_opacities, n),
                            sized(d_colors, gaussians.color_size() * n)});
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
