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

using In = nb::ndarray<const Scalar, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<Scalar, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const int64_t, nb::c_contig, nb::device::cpu>;
using Labels = nb::ndarray<int32_t, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;
using Flags = nb::ndarray<const bool, nb::c_contig, nb::device::cpu>;
using Basis = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;  // float32 or float16
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
  Scalar near_z, dilation;
  bool antialias, cutoff;
};

std::vector<View> views_of(const In& intrinsics, const In& world_to_cam, const SplatShape& shape,
                           const Options& options) {
  const Scalar* K = sized(intrinsics, 9 * static_cast<size_t>(shape.batch));
  const Scalar* pose = sized(world_to_cam, 16 * static_cast<size_t>(shape.batch));
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

// 0 for plain colours [B,N,3], the number of terms for coefficients [B,N,D,3].
int sh_terms_of(const In& colors) {
  if (colors.ndim() != 4) return 0;
  const size_t terms = colors.shape(2);
  if (terms != 1 && terms != 4 && terms != 9 && terms != 16)
    throw std::invalid_argument("native kernel: spherical harmonics must have 1, 4, 9 or 16 terms");
  return static_cast<int>(terms);
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
  const auto views = views_of(intrinsics, world_to_cam, shape, options);
  auto prepared = std::make_unique<Prepared>();
  prepared->batch->prepare(shape, views.data(), inputs_of(shape, means, quats, scales, opacities, colors));
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
                    const std::tuple<In, In, std::optional<In>>& pictures, const std::optional<In>& grad_rgb,
                    const std::optional<In>& grad_alpha, const std::optional<In>& grad_depth,
                    const std::tuple<Out, Out, Out, Out, Out>& gradients) {
  const size_t pixels = pixels_of(prepared);
  const SplatShape& shape = prepared.batch->shape;
  const size_t n = static_cast<size_t>(shape.batch) * shape.count;
  const auto& [means, quats, scales, opacities, colors] = inputs;
  const auto& [rgb, alpha, depth] = pictures;
  const auto& [d_means, d_quats, d_scales, d_opacities, d_colors] = gradients;
  const GaussianInputs given = inputs_of(shape, means, quats, scales, opacities, colors);
  prepared.batch->backward(given,
                           {sized(rgb, 3 * pixels), sized(alpha, pixels), sized(depth, pixels),
                            sized(grad_rgb, 3 * pixels), sized(grad_alpha, pixels), sized(grad_depth, pixels)},
                           {sized(d_means, 3 * n), sized(d_quats, 4 * n), sized(d_scales, 3 * n), sized(d_opacities, n),
                            sized(d_colors, given.color_size() * n)});
}

void run_mesh(const In& vertices, const Indices& faces, const In& intrinsics, int width, int height, Scalar near_z,
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

ShRotation rotation_of(const In& sh, const In& quats) {
  if (sh.ndim() != 4 || sh.shape(3) != 3) throw std::invalid_argument("native kernel: coefficients must be [B,N,D,3]");
  ShRotation rotation{};
  rotation.terms = sh_terms_of(sh);
  rotation.sh = sh.data();
  rotation.quats = sized(quats, 4 * sh.shape(0) * sh.shape(1));
  return rotation;
}

void run_rotate_sh(const In& sh, const In& quats, const Out& out) {
  ShRotation rotation = rotation_of(sh, quats);
  rotation.out = sized(out, sh.size());
  headsplat::rotate_sh(rotation, static_cast<int>(sh.shape(0) * sh.shape(1)));
}

void run_rotate_sh_backward(const In& sh, const In& quats, const In& grad, const Out& grad_sh, const Out& grad_quats) {
  ShRotation rotation = rotation_of(sh, quats);
  rotation.grad = sized(grad, sh.size());
  rotation.grad_sh = sized(grad_sh, sh.size());
  rotation.grad_quats = sized(grad_quats, quats.size());
  headsplat::rotate_sh_backward(rotation, static_cast<int>(sh.shape(0) * sh.shape(1)));
}

using Betas = std::tuple<Scalar, Scalar, Scalar, double, double>;  // beta1, beta2, eps, 1 - beta1^step, 1 - beta2^step

AdamRule rule_of(const Betas& betas) {
  const auto& [beta1, beta2, eps, bias1, bias2] = betas;
  return {beta1, beta2, eps, static_cast<Scalar>(1.0 / bias1), static_cast<Scalar>(1.0 / bias2)};
}

const uint8_t* flags_of(const std::optional<Flags>& touched, size_t rows) {
  return reinterpret_cast<const uint8_t*>(sized(touched, rows));
}

void run_adam_step(const Out& param, const In& grad, const Out& m, const Out& v, const std::optional<In>& row_rates,
                   Scalar rate, const Betas& betas, const std::optional<Flags>& touched) {
  const size_t size = param.size(), rows = param.ndim() ? param.shape(0) : 1;
  if (rows == 0 || size % rows != 0) throw std::invalid_argument("native kernel: rows do not divide the parameters");
  headsplat::adam_step({rule_of(betas), param.data(), sized(m, size), sized(v, size), sized(grad, size),
                        sized(row_rates, rows), flags_of(touched, rows), size, size / rows, rate});
}

using Moments = nb::ndarray<nb::c_contig, nb::device::cpu>;  // Scalar or bfloat16

bool is_brief(const Moments& moments) {
  if (moments.dtype() == nb::dtype<Scalar>()) return false;
  if (moments.dtype().code != static_cast<uint8_t>(nb::dlpack::dtype_code::Bfloat) || moments.itemsize() != 2)
    throw std::invalid_argument("native kernel: unknown format of moments");
  return true;
}

void run_adam_outer_step(const Out& param, const In& weights, const In& grad, const Moments& m, const Moments& v,
                         Scalar rate, const Betas& betas, const std::optional<Flags>& touched,
                         const std::optional<In>& pull, const std::optional<Out>& grad_weights) {
  if (param.ndim() != 3) throw std::invalid_argument("native kernel: a basis must be [K,N,C]");
  const size_t bases = param.shape(0), rows = param.shape(1), columns = param.shape(2), size = rows * columns;
  const size_t batch = bases ? weights.size() / bases : 0;
  if (!size || !bases) return;
  if (grad_weights && batch > kDotImages) throw std::invalid_argument("native kernel: too many images");
  if (is_brief(m) != is_brief(v)) throw std::invalid_argument("native kernel: moments of two formats");
  headsplat::adam_outer_step(
      {rule_of(betas), param.data(), sized(m, bases * size), sized(v, bases * size), sized(weights, batch * bases),
       sized(grad, batch * size), flags_of(touched, rows), sized(pull, rows), static_cast<int>(batch),
       static_cast<int>(bases), size, columns, rate, is_brief(m)},
      sized(grad_weights, batch * bases));
}

BlendInputs blend_inputs_of(const std::optional<In>& base, const Basis& basis, const Scalar* weights, size_t batch) {
  const bool half = basis.dtype() == nb::dlpack::dtype{static_cast<uint8_t>(nb::dlpack::dtype_code::Float), 16, 1};
  if (!half && basis.dtype() != nb::dtype<Scalar>()) throw std::invalid_argument("native kernel: unknown basis format");
  const size_t bases = basis.shape(0), size = bases ? basis.size() / bases : 0;
  return {sized(base, size), basis.data(), weights, static_cast<int>(batch), static_cast<int>(bases), size, half};
}

void run_blend(const std::optional<In>& base, const Basis& basis, const In& weights, const Out& out) {
  const BlendInputs inputs = blend_inputs_of(base, basis, weights.data(), weights.shape(0));
  sized(weights, static_cast<size_t>(inputs.batch) * inputs.bases);
  sized(out, static_cast<size_t>(inputs.batch) * inputs.size);
  headsplat::blend(inputs, out.data());
}

void run_blend_backward_weights(const In& grad, const Basis& basis, const Out& weights) {
  const BlendInputs inputs = blend_inputs_of(std::nullopt, basis, nullptr, weights.shape(0));
  sized(weights, static_cast<size_t>(inputs.batch) * inputs.bases);
  headsplat::blend_backward_weights(inputs, sized(grad, static_cast<size_t>(inputs.batch) * inputs.size),
                                    weights.data());
}

DeformShape deform_shape_of(const In& units, const In& extra, size_t count) {
  DeformShape shape{static_cast<int>(extra.shape(0)), static_cast<int>(count), static_cast<int>(extra.shape(1)), {}};
  const Scalar* values = sized(units, kDeformChannels);
  for (int k = 0; k < kDeformChannels; ++k) shape.units[k] = values[k];
  sized(extra, static_cast<size_t>(shape.batch) * shape.moved * kDeformChannels);
  if (extra.shape(1) > count) throw std::invalid_argument("native kernel: more offsets than Gaussians");
  return shape;
}

void run_deform(const std::tuple<In, In, In, In, In>& local, const In& extra, const In& units,
                const std::tuple<Out, Out, Out, Out, Out>& out) {
  const auto& [offsets, quats, log_scales, logits, colors] = local;
  const auto& [o_offsets, o_quats, o_scales, o_opacities, o_sh] = out;
  const size_t count = logits.size(), n = extra.shape(0) * count;
  headsplat::deform(deform_shape_of(units, extra, count),
                    {sized(offsets, 3 * count), sized(quats, 4 * count), sized(log_scales, 3 * count), logits.data(),
                     sized(colors, 3 * count), extra.data()},
                    {sized(o_offsets, 3 * n), sized(o_quats, 4 * n), sized(o_scales, 3 * n), sized(o_opacities, n),
                     sized(o_sh, 3 * n)});
}

void run_deform_backward(const In& scales, const In& opacities, const std::tuple<In, In, In, In, In>& grads,
                         const In& units, const std::tuple<Out, Out, Out, Out, Out>& local, const Out& extra) {
  const auto& [g_offsets, g_quats, g_scales, g_opacities, g_sh] = grads;
  const auto& [offsets, quats, log_scales, logits, colors] = local;
  const size_t count = logits.size(), n = extra.shape(0) * count;
  headsplat::deform_backward(deform_shape_of(units, In(extra), count), {sized(scales, 3 * n), sized(opacities, n)},
                             {sized(g_offsets, 3 * n), sized(g_quats, 4 * n), sized(g_scales, 3 * n),
                              sized(g_opacities, n), sized(g_sh, 3 * n)},
                             {sized(offsets, 3 * count), sized(quats, 4 * count), sized(log_scales, 3 * count),
                              logits.data(), sized(colors, 3 * count), extra.data()});
}

void run_photometric(const In& rgb, const In& alpha, const Bytes& truth, const Bytes& matte, const In& background,
                     Scalar ssim_weight, Scalar mask_weight, const Out& loss, const Out& mse,
                     const std::optional<Out>& grad_rgb, const std::optional<Out>& grad_alpha) {
  if (alpha.ndim() != 3) throw std::invalid_argument("native kernel: alpha must be [B,H,W]");
  const size_t batch = alpha.shape(0), pixels = alpha.size();
  headsplat::photometric({static_cast<int>(batch), static_cast<int>(alpha.shape(1)), static_cast<int>(alpha.shape(2)),
                          sized(rgb, 3 * pixels), alpha.data(), sized(truth, 3 * pixels), sized(matte, pixels),
                          sized(background, 3 * batch), ssim_weight, mask_weight},
                         sized(loss, batch), sized(mse, batch), sized(grad_rgb, 3 * pixels), sized(grad_alpha, pixels));
}

void run_rigid_normal(const In& rgb, const In& alpha, const In& target, const In& features, const In& K,
                      const In& pivots, Scalar sigma, const Out& matrix, const Out& gradient, const Out& cost) {
  if (alpha.ndim() != 3 || pivots.ndim() != 3) throw std::invalid_argument("native kernel: alpha must be [B,H,W]");
  const size_t batch = alpha.shape(0), pixels = alpha.size(), groups = pivots.shape(1), unknowns = 6 * groups;
  if (groups < 1 || unknowns > kMotionUnknowns) throw std::invalid_argument("native kernel: one to three groups");
  const MotionImage first{sized(rgb, 3 * pixels),
                          alpha.data(),
                          sized(target, 3 * pixels),
                          sized(features, 3 * pixels),
                          static_cast<int>(alpha.shape(1)),
                          static_cast<int>(alpha.shape(2)),
                          static_cast<int>(groups),
                          0,
                          0,
                          0,
                          0,
                          sized(pivots, 3 * batch * groups),
                          sigma};
  headsplat::rigid_normal(static_cast<int>(batch), first, sized(K, 9 * batch),
                          sized(matrix, batch * unknowns * unknowns), sized(gradient, batch * unknowns),
                          sized(cost, batch));
}

using ByteOut = nb::ndarray<uint8_t, nb::c_contig, nb::device::cpu>;

void run_to_bytes(const In& rgb, const In& alpha, const In& background, const ByteOut& out) {
  if (alpha.ndim() != 3) throw std::invalid_argument("native kernel: alpha must be [B,H,W]");
  const size_t pixels = alpha.size();
  headsplat::to_bytes(static_cast<int>(alpha.shape(0)),
                      {sized(rgb, 3 * pixels), alpha.data(), sized(background, 3), static_cast<int>(alpha.shape(1)),
                       static_cast<int>(alpha.shape(2)), sized(out, 3 * pixels)});
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
  m.def("rotate_sh", &run_rotate_sh, Released());
  m.def("rotate_sh_backward", &run_rotate_sh_backward, Released());
  m.def("ssim", &run_ssim, Released());
  m.def("adam_step", &run_adam_step, Released());
  m.def("adam_outer_step", &run_adam_outer_step, Released());
  m.def("blend", &run_blend, Released());
  m.def("blend_backward_weights", &run_blend_backward_weights, Released());
  m.def("deform", &run_deform, Released());
  m.def("deform_backward", &run_deform_backward, Released());
  m.def("photometric", &run_photometric, Released());
  m.def("rigid_normal", &run_rigid_normal, Released());
  m.def("to_bytes", &run_to_bytes, Released());
  m.def("simd_level", [] { return std::string(kernels().name); });
  m.def("set_simd_level", [](const std::string& name) { return set_level(name.c_str()); });
  m.def("keep_freed_memory", &keep_freed_memory);
  m.def("threads", &thread_count);
  m.def("set_threads", &set_thread_count);
  m.def("cuda_architectures", [] { return std::string(HEADSPLAT_CUDA_ARCHITECTURES); });
#if !defined(HEADSPLAT_WITHOUT_CUDA)
  nb::module_ cuda_half = m.def_submodule("cuda");
  cuda::register_functions(cuda_half);
  cuda::register_device(cuda_half);
#endif
}
