// The CUDA operations, except the rasterizer, as functions of the Python module: the names and arguments of the CPU
// functions in ../cpu/bindings.cpp, then scratch memory where a kernel needs it (NAME_scratch returns its size in
// bytes), then the stream. Nothing here allocates or synchronizes.
#include "bindings.h"

#include <tuple>

#include "arrays.h"
#include "ops.h"

namespace headsplat {
namespace cuda {
namespace {

using Flags = Array<const bool>;
using Basis = nb::ndarray<nb::ro, nb::c_contig, Device>;
using BindArrays = std::tuple<In, Indices, In, In, In, In, In, In>;
using StretchArrays = std::tuple<In, In, Indices>;  // scales, tensors, rows
using MeshArrays = std::tuple<Indices, In, In, Indices, Indices, Indices, Indices>;

void run_mesh(const In& vertices, const Indices& faces, const In& intrinsics, int width, int height, float near_z,
              const Labels& face, const Out& bary, const Out& depth_key, const Scratch& scratch, uintptr_t stream) {
  const MeshShape shape{static_cast<int>(vertices.shape(0)),
                        static_cast<int>(vertices.shape(1)),
                        static_cast<int>(faces.shape(0)),
                        width,
                        height,
                        near_z};
  const size_t batch = shape.batch, pixels = batch * width * height;
  rasterize_mesh(shape, vertices.data(), faces.data(), sized(intrinsics, 9 * batch),
                 {sized(face, pixels), sized(bary, 3 * pixels), sized(depth_key, pixels)},
                 at_least(scratch, mesh_scratch(shape)), stream_of(stream));
}

size_t mesh_scratch_bytes(int batch, int width, int height) { return mesh_scratch({batch, 0, 0, width, height, 0.0f}); }

BindShape shape_of(const BindArrays& arrays) {
  return {static_cast<int>(std::get<0>(arrays).shape(0)), static_cast<int>(std::get<0>(arrays).shape(1)),
          static_cast<int>(std::get<1>(arrays).shape(0))};
}

BindInputs inputs_of(const BindShape& shape, const BindArrays& arrays, const std::optional<StretchArrays>& stretch) {
  const auto& [vertices, triangles, bary, offsets, quats, skin, rotations, translations] = arrays;
  const size_t batch = shape.batch, count = shape.count;
  BindInputs inputs{sized(vertices, 3 * batch * shape.vertices),
                    sized(triangles, 3 * count),
                    sized(bary, 3 * count),
                    sized(offsets, 3 * batch * count),
                    sized(quats, 4 * batch * count),
                    sized(skin, count),
                    sized(rotations, 8 * batch),
                    sized(translations, 6 * batch),
                    nullptr,
                    nullptr,
                    nullptr,
                    0};
  if (!stretch) return inputs;
  const auto& [scales, tensors, rows] = *stretch;
  inputs.row_count = static_cast<int>(tensors.shape(1));
  inputs.scales = sized(scales, 3 * batch * count);
  inputs.tensors = sized(tensors, 6 * batch * inputs.row_count);
  inputs.rows = sized(rows, shape.vertices);
  return inputs;
}

void run_bind(const BindArrays& arrays, const std::optional<StretchArrays>& stretch, const Out& means, const Out& quats,
              const std::optional<Out>& scales, uintptr_t stream) {
  const BindShape shape = shape_of(arrays);
  const size_t n = static_cast<size_t>(shape.batch) * shape.count;
  bind(shape, inputs_of(shape, arrays, stretch),
       {sized(means, 3 * n), sized(quats, 4 * n), stretch ? sized(scales, 3 * n) : nullptr}, stream_of(stream));
}

// As in ../cpu/bindings.cpp.
using BindResultGrads = std::tuple<std::optional<In>, std::optional<In>, std::optional<In>>;
using BindInputGrads = std::tuple<std::optional<Out>, Out, Out, Out, Out, std::optional<Out>, std::optional<Out>>;

void run_bind_backward(const BindArrays& arrays, const std::optional<StretchArrays>& stretch,
                       const BindResultGrads& of_results, const BindInputGrads& of_inputs, const Scratch& scratch,
                       uintptr_t stream) {
  const BindShape shape = shape_of(arrays);
  const size_t batch = shape.batch, n = batch * shape.count;
  const auto& [grad_means, grad_quats, grad_scales] = of_results;
  const auto& [vertices, offsets, quats, rotations, translations, scales, tensors] = of_inputs;
  const BindInputs inputs = inputs_of(shape, arrays, stretch);
  const BindGradients grads{sized(grad_means, 3 * n),
                            sized(grad_quats, 4 * n),
                            sized(grad_scales, 3 * n),
                            sized(vertices, 3 * batch * shape.vertices),
                            sized(offsets, 3 * n),
                            sized(quats, 4 * n),
                            sized(rotations, 8 * batch),
                            sized(translations, 6 * batch),
                            stretch ? sized(scales, 3 * n) : nullptr,
                            stretch ? sized(tensors, 6 * batch * inputs.row_count) : nullptr};
  const size_t bytes = bind_backward_scratch(shape, inputs.row_count, {!!grads.vertices, !!grads.tensors});
  bind_backward(shape, inputs, grads, at_least(scratch, bytes), stream_of(stream));
}

size_t bind_backward_scratch_bytes(int batch, int vertices, int count, int row_count, bool with_vertices,
                                   bool with_tensors) {
  return bind_backward_scratch({batch, vertices, count}, row_count, {with_vertices, with_tensors});
}

StretchMesh mesh_of(const MeshArrays& arrays) {
  const auto& [faces, inverse, weights, starts, corners, rows, vertices] = arrays;
  const size_t face_count = faces.shape(0), vertex_count = rows.shape(0);
  return {sized(faces, 3 * face_count),
          sized(inverse, 3 * face_count),
          sized(weights, 3 * face_count),
          sized(starts, vertex_count + 1),
          sized(corners, 3 * face_count),
          rows.data(),
          vertices.data(),
          static_cast<int>(vertex_count),
          static_cast<int>(face_count),
          static_cast<int>(vertices.shape(0))};
}

void run_vertex_stretch(const In& vertices, const MeshArrays& arrays, const Out& tensors, const Scratch& scratch,
                        uintptr_t stream) {
  const StretchMesh mesh = mesh_of(arrays);
  const int batch = static_cast<int>(vertices.shape(0));
  vertex_stretch(mesh, batch, sized(vertices, 3 * static_cast<size_t>(batch) * mesh.vertex_count),
                 sized(tensors, 6 * static_cast<size_t>(batch) * mesh.row_count),
                 at_least(scratch, vertex_stretch_scratch(batch, mesh.face_count)), stream_of(stream));
}

void run_vertex_stretch_backward(const In& vertices, const MeshArrays& arrays, const In& grad_tensors,
                                 const Out& grad_vertices, const Scratch& scratch, uintptr_t stream) {
  const StretchMesh mesh = mesh_of(arrays);
  const int batch = static_cast<int>(vertices.shape(0));
  const size_t size = 3 * static_cast<size_t>(batch) * mesh.vertex_count;
  vertex_stretch_backward(
      mesh, batch, sized(vertices, size), sized(grad_tensors, 6 * static_cast<size_t>(batch) * mesh.row_count),
      sized(grad_vertices, size), at_least(scratch, vertex_stretch_backward_scratch(batch, mesh.face_count)),
      stream_of(stream));
}

// Tensors, rows, triangles, barycentrics.
using StrainArrays = std::tuple<In, Indices, Indices, In>;

StrainPoints points_of(const StrainArrays& arrays) {
  const auto& [tensors, rows, triangles, bary] = arrays;
  const size_t batch = tensors.shape(0), row_count = tensors.shape(1), count = triangles.shape(0);
  return {sized(tensors, 6 * batch * row_count),
          rows.data(),
          sized(triangles, 3 * count),
          sized(bary, 3 * count),
          static_cast<int>(batch),
          static_cast<int>(row_count),
          static_cast<int>(rows.shape(0)),
          static_cast<int>(count)};
}

void run_principal_strains(const StrainArrays& arrays, const Out& strains, uintptr_t stream) {
  const StrainPoints points = points_of(arrays);
  principal_strains(points, sized(strains, 2 * static_cast<size_t>(points.batch) * points.count), stream_of(stream));
}

void run_principal_strains_backward(const StrainArrays& arrays, const In& grad_strains, const Out& grad_tensors,
                                    const Scratch& scratch, uintptr_t stream) {
  const StrainPoints points = points_of(arrays);
  const size_t bytes = principal_strains_backward_scratch(points.batch, points.row_count, points.count);
  principal_strains_backward(points, sized(grad_strains, 2 * static_cast<size_t>(points.batch) * points.count),
                             sized(grad_tensors, std::get<0>(arrays).size()), at_least(scratch, bytes),
                             stream_of(stream));
}

ImageShape shape_of_images(const In& images) {
  if (images.ndim() != 4 || images.shape(3) != 3)
    throw std::invalid_argument("native kernel: images must be [B,H,W,3]");
  return {static_cast<int>(images.shape(0)), static_cast<int>(images.shape(1)), static_cast<int>(images.shape(2))};
}

void run_ssim(const In& a, const In& b, const Out& mean, const std::optional<Out>& grad, const Scratch& scratch,
              uintptr_t stream) {
  const ImageShape shape = shape_of_images(a);
  ssim(shape, a.data(), sized(b, a.size()), sized(mean, shape.batch), sized(grad, a.size()),
       at_least(scratch, image_loss_scratch(shape, grad.has_value())), stream_of(stream));
}

void run_photometric(const In& rgb, const In& alpha, const Bytes& truth, const Bytes& matte, const In& background,
                     float ssim_weight, float mask_weight, int ssim_stride, int first_ssim_row, const Out& loss,
                     const Out& mse, const std::optional<Out>& grad_rgb, const std::optional<Out>& grad_alpha,
                     const Scratch& scratch, uintptr_t stream) {
  const ImageShape shape = shape_of_images(rgb);
  const size_t batch = shape.batch, pixels = rgb.size() / 3;
  photometric(shape,
              {rgb.data(),
               sized(alpha, pixels),
               sized(truth, 3 * pixels),
               sized(matte, pixels),
               sized(background, 3 * batch),
               ssim_weight,
               mask_weight,
               {ssim_stride, first_ssim_row}},
              sized(loss, batch), sized(mse, batch), sized(grad_rgb, 3 * pixels), sized(grad_alpha, pixels),
              at_least(scratch, image_loss_scratch(shape, grad_rgb || grad_alpha)), stream_of(stream));
}

size_t image_loss_scratch_bytes(int batch, int height, int width, bool with_gradient) {
  return image_loss_scratch({batch, height, width}, with_gradient);
}

bool is_half(const Basis& basis) {
  if (basis.dtype() == nb::dlpack::dtype{static_cast<uint8_t>(nb::dlpack::dtype_code::Float), 16, 1}) return true;
  if (basis.dtype() == nb::dtype<float>()) return false;
  throw std::invalid_argument("native kernel: a basis must be float32 or float16");
}

BlendShape shape_of(const Basis& basis, size_t batch) {
  if (basis.ndim() != 3) throw std::invalid_argument("native kernel: a basis must be [K,N,C]");
  return {static_cast<int>(batch), static_cast<int>(basis.shape(0)), basis.shape(1) * basis.shape(2)};
}

void run_blend(const std::optional<In>& base, const Basis& basis, const In& weights, const Out& out, uintptr_t stream) {
  const BlendShape shape = shape_of(basis, weights.shape(0));
  const size_t batch = shape.batch;
  blend(shape, sized(base, shape.values), basis.data(), is_half(basis), sized(weights, batch * shape.bases),
        sized(out, batch * shape.values), stream_of(stream));
}

void run_blend_backward_weights(const In& grad_out, const Basis& basis, const Out& grad_weights, const Scratch& scratch,
                                uintptr_t stream) {
  const BlendShape shape = shape_of(basis, grad_weights.shape(0));
  const size_t batch = shape.batch;
  blend_backward_weights(shape, sized(grad_out, batch * shape.values), basis.data(), is_half(basis),
                         sized(grad_weights, batch * shape.bases), at_least(scratch, blend_weights_scratch(shape)),
                         stream_of(stream));
}

size_t blend_backward_weights_scratch_bytes(int batch, int bases, size_t values) {
  return blend_weights_scratch({batch, bases, values});
}

DeformShape deform_shape_of(const In& blended, size_t count) {
  const DeformShape shape{static_cast<int>(blended.shape(0)), static_cast<int>(count),
                          static_cast<int>(blended.shape(1))};
  sized(blended, static_cast<size_t>(shape.batch) * shape.deformed * kDeformChannels);
  if (blended.shape(1) > count) throw std::invalid_argument("native kernel: more offsets than Gaussians");
  return shape;
}

void run_deform(const std::tuple<In, In, In, In, In>& local, const In& blended, const In& units,
                const std::tuple<Out, Out, Out, Out, Out>& out, uintptr_t stream) {
  const auto& [offsets, quats, log_scales, logits, colors] = local;
  const auto& [o_offsets, o_quats, o_scales, o_opacities, o_sh] = out;
  const size_t count = logits.size(), n = blended.shape(0) * count;
  deform(deform_shape_of(blended, count),
         {sized(offsets, 3 * count), sized(quats, 4 * count), sized(log_scales, 3 * count), logits.data(),
          sized(colors, 3 * count), blended.data(), sized(units, kDeformChannels)},
         {sized(o_offsets, 3 * n), sized(o_quats, 4 * n), sized(o_scales, 3 * n), sized(o_opacities, n),
          sized(o_sh, 3 * n)},
         stream_of(stream));
}

void run_deform_backward(const In& scales, const In& opacities, const std::tuple<In, In, In, In, In>& grads,
                         const In& units, const std::tuple<Out, Out, Out, Out, Out>& local, const Out& blended,
                         uintptr_t stream) {
  const auto& [g_offsets, g_quats, g_scales, g_opacities, g_sh] = grads;
  const auto& [offsets, quats, log_scales, logits, colors] = local;
  const size_t count = logits.size(), n = blended.shape(0) * count;
  deform_backward(deform_shape_of(In(blended), count), {sized(scales, 3 * n), sized(opacities, n)},
                  {sized(g_offsets, 3 * n), sized(g_quats, 4 * n), sized(g_scales, 3 * n), sized(g_opacities, n),
                   sized(g_sh, 3 * n)},
                  sized(units, kDeformChannels),
                  {sized(offsets, 3 * count), sized(quats, 4 * count), sized(log_scales, 3 * count), logits.data(),
                   sized(colors, 3 * count), blended.data()},
                  stream_of(stream));
}

ShRotation rotation_of(const In& sh, const In& quats) {
  if (sh.ndim() != 4 || sh.shape(3) != 3) throw std::invalid_argument("native kernel: coefficients must be [B,N,D,3]");
  const size_t terms = sh.shape(2), count = sh.shape(0) * sh.shape(1);
  if (terms != 1 && terms != 4 && terms != 9 && terms != 16)
    throw std::invalid_argument("native kernel: spherical harmonics must have 1, 4, 9 or 16 terms");
  return {static_cast<int>(terms), count, sh.data(), sized(quats, 4 * count)};
}

void run_rotate_sh(const In& sh, const In& quats, const Out& out, uintptr_t stream) {
  rotate_sh(rotation_of(sh, quats), sized(out, sh.size()), stream_of(stream));
}

void run_rotate_sh_backward(const In& sh, const In& quats, const In& grad, const Out& grad_sh, const Out& grad_quats,
                            uintptr_t stream) {
  rotate_sh_backward(rotation_of(sh, quats), sized(grad, sh.size()), sized(grad_sh, sh.size()),
                     sized(grad_quats, quats.size()), stream_of(stream));
}

using Betas = std::tuple<float, float, float, double, double>;  // beta1, beta2, eps, 1 - beta1^step, 1 - beta2^step

AdamRates rates_of(float rate, const Betas& betas, const std::optional<In>& schedule) {
  const auto& [beta1, beta2, eps, bias1, bias2] = betas;
  return {
      rate, beta1, beta2, eps, static_cast<float>(1.0 / bias1), static_cast<float>(1.0 / bias2), sized(schedule, 4)};
}

const uint8_t* flags_of(const std::optional<Flags>& touched, size_t rows) {
  return reinterpret_cast<const uint8_t*>(sized(touched, rows));
}

void run_adam_step(const Out& param, const In& grad, const Out& m, const Out& v, const std::optional<In>& row_rates,
                   float rate, const Betas& betas, const std::optional<Flags>& touched,
                   const std::optional<In>& schedule, uintptr_t stream) {
  const size_t size = param.size(), rows = param.ndim() ? param.shape(0) : 1;
  if (rows == 0 || size % rows != 0) throw std::invalid_argument("native kernel: rows do not divide the parameters");
  adam_step({param.data(), sized(m, size), sized(v, size)}, sized(grad, size),
            {sized(row_rates, rows), flags_of(touched, rows), nullptr, size / rows}, size,
            rates_of(rate, betas, schedule), stream_of(stream));
}

void run_adam_outer_step(const Out& param, const In& weights, const In& grad, const Out& m, const Out& v, float rate,
                         const Betas& betas, const std::optional<Flags>& touched,
                         const std::optional<In>& anchor_weight, const std::optional<In>& schedule, uintptr_t stream) {
  if (param.ndim() != 3) throw std::invalid_argument("native kernel: a basis must be [K,N,C]");
  const size_t bases = param.shape(0), rows = param.shape(1), columns = param.shape(2), values = rows * columns;
  const size_t batch = bases ? weights.size() / bases : 0;
  adam_outer_step({static_cast<int>(batch), static_cast<int>(bases), values},
                  {param.data(), sized(m, bases * values), sized(v, bases * values)}, sized(weights, batch * bases),
                  sized(grad, batch * values), {nullptr, flags_of(touched, rows), sized(anchor_weight, rows), columns},
                  rates_of(rate, betas, schedule), stream_of(stream));
}

}  // namespace

void register_functions(nb::module_& m) {
  m.def("mesh", &run_mesh, Released());
  m.def("mesh_scratch", &mesh_scratch_bytes);
  m.def("bind", &run_bind, Released());
  m.def("bind_backward", &run_bind_backward, Released());
  m.def("bind_backward_scratch", &bind_backward_scratch_bytes);
  m.def("vertex_stretch", &run_vertex_stretch, Released());
  m.def("vertex_stretch_scratch", &vertex_stretch_scratch);
  m.def("vertex_stretch_backward", &run_vertex_stretch_backward, Released());
  m.def("vertex_stretch_backward_scratch", &vertex_stretch_backward_scratch);
  m.def("principal_strains", &run_principal_strains, Released());
  m.def("principal_strains_backward", &run_principal_strains_backward, Released());
  m.def("principal_strains_backward_scratch", &principal_strains_backward_scratch);
  m.def("ssim", &run_ssim, Released());
  m.def("photometric", &run_photometric, Released());
  m.def("image_loss_scratch", &image_loss_scratch_bytes);
  m.def("blend", &run_blend, Released());
  m.def("blend_backward_weights", &run_blend_backward_weights, Released());
  m.def("blend_backward_weights_scratch", &blend_backward_weights_scratch_bytes);
  m.def("deform", &run_deform, Released());
  m.def("deform_backward", &run_deform_backward, Released());
  m.def("rotate_sh", &run_rotate_sh, Released());
  m.def("rotate_sh_backward", &run_rotate_sh_backward, Released());
  m.def("adam_step", &run_adam_step, Released());
  m.def("adam_outer_step", &run_adam_outer_step, Released());
  register_splat(m);
  register_layer(m);
}

}  // namespace cuda
}  // namespace headsplat
