// Every native signature on one screen: raw pointers out of contiguous CPU arrays, the GIL released. Shapes, dtypes and
// gradients are the business of avatar/ops; what is checked here only keeps memory safe.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/mesh.h"
#include "cpu/ops.h"
#include "cpu/splats.h"
#include "cpu/threads.h"
#if defined(HEADSPLAT_CUDA_ARCHITECTURES)
#include "cuda/bindings.h"
#else
#define HEADSPLAT_CUDA_ARCHITECTURES ""
#define HEADSPLAT_WITHOUT_CUDA
#endif

namespace nb = nanobind;
using namespace headsplat;

namespace {

using In = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const int64_t, nb::c_contig, nb::device::cpu>;
using Labels = nb::ndarray<int32_t, nb::c_contig, nb::device::cpu>;
using Released = nb::call_guard<nb::gil_scoped_release>;

template <class Array>
auto sized(const Array& array, size_t size) {
  if (array.size() != size) throw std::invalid_argument("native kernel: an array has the wrong number of elements");
  return array.data();
}

template <class Array>
auto sized(const std::optional<Array>& array, size_t size) -> decltype(array->data()) {
  return array ? sized(*array, size) : nullptr;
}

struct Prepared {
  SplatHandle batch;
};

struct Options {
  float near_z, dilation;
  bool antialias, cutoff;
};

std::vector<View> views_of(const In& intrinsics, const In& world_to_cam, const SplatShape& shape,
                           const Options& options) {
  const float* K = sized(intrinsics, 9 * static_cast<size_t>(shape.batch));
  const float* pose = sized(world_to_cam, 16 * static_cast<size_t>(shape.batch));
  std::vector<View> views(shape.batch);
  for (View& view : views) {
    for (int r = 0; r < 3; ++r) {
      for (int c = 0; c < 3; ++c) view.rotation[3 * r + c] = pose[4 * r + c];
      view.translation[r] = pose[4 * r + 3];
    }
    view.focal_x = K[0];
    view.focal_y = K[4];
    view.centre_x = K[2];
    view.centre_y = K[5];
    view.near_z = options.near_z;
    view.dilation = options.dilation;
    view.width = shape.width;
    view.height = shape.height;
    view.antialias = options.antialias;
    view.cutoff = options.cutoff;
    K += 9;
    pose += 16;
  }
  return views;
}

SplatShape shape_of(const In& means, int width, int height) {
  if (means.ndim() != 3 || means.shape(2) != 3) throw std::invalid_argument("native kernel: means must be [B,N,3]");
  return {static_cast<int>(means.shape(0)), static_cast<int>(means.shape(1)), width, height};
}

GaussianInputs inputs_of(const SplatShape& shape, const In& means, const In& quats, const In& scales,
                         const In& opacities, const In& colors) {
  const size_t n = static_cast<size_t>(shape.batch) * shape.count;
  return {sized(means, 3 * n), sized(quats, 4 * n), sized(scales, 3 * n), sized(opacities, n), sized(colors, 3 * n)};
}

std::unique_ptr<Prepared> prepare(const In& means, const In& quats, const In& scales, const In& opacities,
                                  const In& colors, const In& intrinsics, const In& world_to_cam, int width, int height,
                                  float near_z, float dilation, int flags) {
  const SplatShape shape = shape_of(means, width, height);
  const Options options{near_z, dilation, (flags & 1) != 0, (flags & 2) != 0};
  const auto views = views_of(intrinsics, world_to_cam, shape, options);
  auto prepared = std::make_unique<Prepared>();
  prepared->batch->prepare(shape, views.data(), inputs_of(shape, means, quats, scales, opacities, colors));
  return prepared;
}

size_t pixels_of(const Prepared& prepared) {
  const SplatShape& shape = prepared.batch->shape;
  return static_cast<size_t>(shape.batch) * shape.width * shape.height;
}

void rasterize(Prepared& prepared, const Out& rgb, const Out& alpha, const Out& depth,
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
                    const std::tuple<In, In, In>& pictures, const std::optional<In>& grad_rgb,
                    const std::optional<In>& grad_alpha, const std::optional<In>& grad_depth,
                    const std::tuple<Out, Out, Out, Out, Out>& gradients) {
  const size_t pixels = pixels_of(prepared);
  const SplatShape& shape = prepared.batch->shape;
  const size_t n = static_cast<size_t>(shape.batch) * shape.count;
  const auto& [means, quats, scales, opacities, colors] = inputs;
  const auto& [rgb, alpha, depth] = pictures;
  const auto& [d_means, d_quats, d_scales, d_opacities, d_colors] = gradients;
  prepared.batch->backward(inputs_of(shape, means, quats, scales, opacities, colors),
                           {sized(rgb, 3 * pixels), sized(alpha, pixels), sized(depth, pixels),
                            sized(grad_rgb, 3 * pixels), sized(grad_alpha, pixels), sized(grad_depth, pixels)},
                           {sized(d_means, 3 * n), sized(d_quats, 4 * n), sized(d_scales, 3 * n), sized(d_opacities, n),
                            sized(d_colors, 3 * n)});
}

void run_mesh(const In& vertices, const Indices& faces, const In& intrinsics, int width, int height, float near_z,
              const Labels& face, const Out& bary, const Out& depth) {
  const MeshView view{static_cast<int>(vertices.shape(0)),
                      static_cast<int>(vertices.shape(1)),
                      static_cast<int>(faces.shape(0)),
                      width,
                      height,
                      near_z};
  const size_t pixels = static_cast<size_t>(view.batch) * width * height;
  draw_mesh(view, vertices.data(), faces.data(), sized(intrinsics, 9 * static_cast<size_t>(view.batch)),
            {sized(face, pixels), sized(bary, 3 * pixels), sized(depth, pixels)});
}

using BindArrays = std::tuple<In, Indices, In, In, In, In, In, In>;

BindShape shape_of(const BindArrays& arrays) {
  return {static_cast<int>(std::get<0>(arrays).shape(0)), static_cast<int>(std::get<0>(arrays).shape(1)),
          static_cast<int>(std::get<1>(arrays).shape(0))};
}

BindInputs inputs_of(const BindShape& shape, const BindArrays& arrays) {
  const auto& [vertices, triangles, bary, offsets, quats, skin, rotations, translations] = arrays;
  const size_t batch = shape.batch, count = shape.count;
  sized(rotations, 8 * batch);
  sized(translations, 6 * batch);
  return {sized(vertices, 3 * batch * shape.vertices), sized(triangles, 3 * count),     sized(bary, 3 * count),
          sized(offsets, 3 * batch * count),           sized(quats, 4 * batch * count), sized(skin, count)};
}

void run_bind(const BindArrays& arrays, const Out& means, const Out& quats) {
  const BindShape shape = shape_of(arrays);
  const size_t n = static_cast<size_t>(shape.batch) * shape.count;
  headsplat::bind(shape, inputs_of(shape, arrays), std::get<6>(arrays).data(), std::get<7>(arrays).data(),
                  sized(means, 3 * n), sized(quats, 4 * n));
}

void run_bind_backward(const BindArrays& arrays, const std::optional<In>& grad_means,
                       const std::optional<In>& grad_quats, const std::optional<Out>& vertices, const Out& offsets,
                       const Out& quats, const Out& rotations, const Out& translations) {
  const BindShape shape = shape_of(arrays);
  const size_t batch = shape.batch, n = batch * shape.count;
  headsplat::bind_backward(shape, inputs_of(shape, arrays), std::get<6>(arrays).data(), std::get<7>(arrays).data(),
                           sized(grad_means, 3 * n), sized(grad_quats, 4 * n),
                           {sized(vertices, 3 * batch * shape.vertices), sized(offsets, 3 * n), sized(quats, 4 * n),
                            sized(rotations, 8 * batch), sized(translations, 6 * batch)});
}

void run_ssim(const In& a, const In& b, const Out& mean, const std::optional<Out>& grad) {
  if (a.ndim() != 4 || a.shape(3) != 3) throw std::invalid_argument("native kernel: images must be [B,H,W,3]");
  const size_t batch = a.shape(0);
  headsplat::ssim(static_cast<int>(batch), static_cast<int>(a.shape(1)), static_cast<int>(a.shape(2)), a.data(),
                  sized(b, a.size()), sized(mean, batch), sized(grad, a.size()));
}

void run_adam_step(const Out& param, const In& grad, const Out& m, const Out& v, const std::optional<In>& row_rates,
                   float rate, float beta1, float beta2, float eps, double bias1, double bias2) {
  const size_t size = param.size(), rows = row_rates ? row_rates->size() : 1;
  if (rows == 0 || size % rows != 0) throw std::invalid_argument("native kernel: rows do not divide the parameters");
  headsplat::adam_step({param.data(), sized(m, size), sized(v, size), sized(grad, size), sized(row_rates, rows), size,
                        size / rows, rate, beta1, beta2, eps, static_cast<float>(1.0 / bias1),
                        static_cast<float>(1.0 / bias2)});
}

}  // namespace

NB_MODULE(_C, m) {
  nb::set_leak_warnings(false);  // a picture may outlive the interpreter's last look at its modules
  nb::class_<Prepared>(m, "Prepared");
  m.def("prepare", &prepare, Released());
  m.def("rasterize", &rasterize, Released());
  m.def("rasterize_colors", &rasterize_colors, Released());
  m.def("splat_backward", &splat_backward, Released());
  m.def("mesh", &run_mesh, Released());
  m.def("bind", &run_bind, Released());
  m.def("bind_backward", &run_bind_backward, Released());
  m.def("ssim", &run_ssim, Released());
  m.def("adam_step", &run_adam_step, Released());
  m.def("simd_level", [] { return std::string(kernels().name); });
  m.def("set_simd_level", [](const std::string& name) { return set_level(name.c_str()); });
  m.def("threads", &thread_count);
  m.def("set_threads", &set_thread_count);
  m.def("cuda_architectures", [] { return std::string(HEADSPLAT_CUDA_ARCHITECTURES); });
#if !defined(HEADSPLAT_WITHOUT_CUDA)
  nb::module_ cuda_half = m.def_submodule("cuda");
  cuda::register_functions(cuda_half);
  cuda::register_device(cuda_half);
#endif
}
