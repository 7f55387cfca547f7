// The CPU operations, except the rasterizer, as functions of the Python module.
#include "bindings.h"

#include <nanobind/stl/vector.h>

#include <algorithm>
#include <string>
#include <vector>

#include "arrays.h"
#include "mesh.h"
#include "ops.h"
#include "strain.h"

namespace headsplat {
namespace {

// Raises ValueError for `indices`, of which a kernel found some not in 0..size-1.
[[noreturn]] void refuse(const char* name, const Indices& indices, int size) {
  const auto [least, most] = std::minmax_element(indices.data(), indices.data() + indices.size());
  throw std::invalid_argument(std::string(name) + ": expected indices in 0.." + std::to_string(size - 1) + ", got " +
                              std::to_string(*least) + ".." + std::to_string(*most));
}

void run_mesh(const In& vertices, const Indices& faces, const In& intrinsics, int width, int height, Scalar near_z,
              const Labels& face, const Out& bary, const Out& depth) {
  const MeshShape shape{static_cast<int>(vertices.shape(0)),
                        static_cast<int>(vertices.shape(1)),
                        static_cast<int>(faces.shape(0)),
                        width,
                        height,
                        near_z};
  const size_t pixels = static_cast<size_t>(shape.batch) * width * height;
  if (!rasterize_mesh(shape, vertices.data(), sized(faces, 3 * static_cast<size_t>(shape.faces)),
                      sized(intrinsics, 9 * static_cast<size_t>(shape.batch)),
                      {sized(face, pixels), sized(bary, 3 * pixels), sized(depth, pixels)}))
    refuse("faces", faces, shape.vertices);
}

using BindArrays = std::tuple<In, Indices, In, In, In, In, In, In>;
using StretchArrays = std::tuple<In, In, Indices>;  // scales, tensors, rows

BindShape shape_of(const BindArrays& arrays) {
  return {static_cast<int>(std::get<0>(arrays).shape(0)), static_cast<int>(std::get<0>(arrays).shape(1)),
          static_cast<int>(std::get<1>(arrays).shape(0))};
}

BindInputs inputs_of(const BindShape& shape, const BindArrays& arrays) {
  const auto& [vertices, triangles, bary, offsets, quats, skin, rotations, translations] = arrays;
  const size_t batch = shape.batch, count = shape.count;
  sized(rotations, 8 * batch);
  sized(translations, 6 * batch);
  return {sized(vertices, 3 * batch * shape.vertices),
          sized(triangles, 3 * count),
          sized(bary, 3 * count),
          sized(offsets, 3 * batch * count),
          sized(quats, 4 * batch * count),
          sized(skin, count),
          shape.vertices,
          nullptr,
          nullptr,
          nullptr,
          nullptr,
          0};
}

void add_stretch(const BindShape& shape, const StretchArrays& arrays, BindInputs& inputs) {
  const auto& [scales, tensors, rows] = arrays;
  const size_t batch = shape.batch;
  inputs.row_count = static_cast<int>(tensors.shape(1));
  inputs.scales = sized(scales, 3 * batch * shape.count);
  inputs.tensors = sized(tensors, batch * inputs.row_count * kTensorSize);
  inputs.rows = sized(rows, shape.vertices);
}

void run_vertex_stretch(const In& vertices, const MeshArrays& arrays, const Out& tensors) {
  const StretchMesh mesh = mesh_of(arrays);
  const size_t batch = vertices.shape(0);
  if (!vertex_stretch(mesh, static_cast<int>(batch), sized(vertices, 3 * batch * mesh.vertex_count),
                      sized(tensors, batch * mesh.row_count * kTensorSize)))
    refuse("faces", std::get<0>(arrays), mesh.vertex_count);
}

void run_vertex_stretch_backward(const In& vertices, const MeshArrays& arrays, const In& grad_tensors,
                                 const Out& grad_vertices) {
  const StretchMesh mesh = mesh_of(arrays);
  const size_t batch = vertices.shape(0), size = 3 * batch * mesh.vertex_count;
  if (!vertex_stretch_backward(mesh, static_cast<int>(batch), sized(vertices, size),
                               sized(grad_tensors, batch * mesh.row_count * kTensorSize), sized(grad_vertices, size)))
    refuse("faces", std::get<0>(arrays), mesh.vertex_count);
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

void run_principal_strains(const StrainArrays& arrays, const Out& strains) {
  const StrainPoints points = points_of(arrays);
  if (!principal_strains(points, sized(strains, 2 * static_cast<size_t>(points.batch) * points.count)))
    refuse("triangles", std::get<2>(arrays), points.vertex_count);
}

void run_principal_strains_backward(const StrainArrays& arrays, const In& grad_strains, const Out& grad_tensors) {
  const StrainPoints points = points_of(arrays);
  if (!principal_strains_backward(points, sized(grad_strains, 2 * static_cast<size_t>(points.batch) * points.count),
                                  sized(grad_tensors, std::get<0>(arrays).size())))
    refuse("triangles", std::get<2>(arrays), points.vertex_count);
}

void run_bind(const BindArrays& arrays, const std::optional<StretchArrays>& stretch, const Out& means, const Out& quats,
              const std::optional<Out>& scales) {
  const BindShape shape = shape_of(arrays);
  const size_t n = static_cast<size_t>(shape.batch) * shape.count;
  BindInputs inputs = inputs_of(shape, arrays);
  if (stretch) add_stretch(shape, *stretch, inputs);
  if (!bind(shape, inputs, std::get<6>(arrays).data(), std::get<7>(arrays).data(),
            {sized(means, 3 * n), sized(quats, 4 * n), stretch ? sized(scales, 3 * n) : nullptr}))
    refuse("triangles", std::get<1>(arrays), shape.vertices);
}

// Gradients of means, quaternions and scales; then of vertices, offsets, quaternions, rotations, translations, scales
// and tensors.
using BindResultGrads = std::tuple<std::optional<In>, std::optional<In>, std::optional<In>>;
using BindInputGrads = std::tuple<std::optional<Out>, Out, Out, Out, Out, std::optional<Out>, std::optional<Out>>;

void run_bind_backward(const BindArrays& arrays, const std::optional<StretchArrays>& stretch,
                       const BindResultGrads& grads, const BindInputGrads& out) {
  const BindShape shape = shape_of(arrays);
  const size_t batch = shape.batch, n = batch * shape.count;
  const auto& [grad_means, grad_quats, grad_scales] = grads;
  const auto& [vertices, offsets, quats, rotations, translations, scales, tensors] = out;
  BindInputs inputs = inputs_of(shape, arrays);
  if (stretch) add_stretch(shape, *stretch, inputs);
  const size_t tensor_size = batch * inputs.row_count * kTensorSize;
  if (!bind_backward(shape, inputs, std::get<6>(arrays).data(), std::get<7>(arrays).data(),
                     {sized(grad_means, 3 * n), sized(grad_quats, 4 * n), sized(grad_scales, 3 * n)},
                     {sized(vertices, 3 * batch * shape.vertices), sized(offsets, 3 * n), sized(quats, 4 * n),
                      sized(rotations, 8 * batch), sized(translations, 6 * batch),
                      stretch ? sized(scales, 3 * n) : nullptr, stretch ? sized(tensors, tensor_size) : nullptr}))
    refuse("triangles", std::get<1>(arrays), shape.vertices);
}

void run_ssim(const In& a, const In& b, const Out& mean, const std::optional<Out>& grad) {
  if (a.ndim() != 4 || a.shape(3) != 3) throw std::invalid_argument("native kernel: images must be [B,H,W,3]");
  const size_t batch = a.shape(0);
  ssim(static_cast<int>(batch), static_cast<int>(a.shape(1)), static_cast<int>(a.shape(2)), {1, 0}, a.data(),
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
  rotate_sh(rotation, static_cast<int>(sh.shape(0) * sh.shape(1)));
}

void run_rotate_sh_backward(const In& sh, const In& quats, const In& grad, const Out& grad_sh, const Out& grad_quats) {
  ShRotation rotation = rotation_of(sh, quats);
  rotation.grad = sized(grad, sh.size());
  rotation.grad_sh = sized(grad_sh, sh.size());
  rotation.grad_quats = sized(grad_quats, quats.size());
  rotate_sh_backward(rotation, static_cast<int>(sh.shape(0) * sh.shape(1)));
}

using Betas = std::tuple<Scalar, Scalar, Scalar, double, double>;  // beta1, beta2, eps, 1 - beta1^step, 1 - beta2^step

AdamRule rule_of(const Betas& betas) {
  const auto& [beta1, beta2, eps, bias1, bias2] = betas;
  return {beta1, beta2, eps, static_cast<Scalar>(1.0 / bias1), static_cast<Scalar>(1.0 / bias2)};
}

const uint8_t* flags_of(const std::optional<Flags>& touched, size_t rows) {
  return reinterpret_cast<const uint8_t*>(sized(touched, rows));
}

AdamStep step_of(const Out& param, const In& grad, const Out& m, const Out& v, const std::optional<In>& row_rates,
                 Scalar rate, const Betas& betas, const std::optional<Flags>& touched) {
  const size_t size = param.size(), rows = param.ndim() ? param.shape(0) : 1;
  if (rows == 0 || size % rows != 0) throw std::invalid_argument("native kernel: rows do not divide the parameters");
  return {rule_of(betas),
          param.data(),
          sized(m, size),
          sized(v, size),
          sized(grad, size),
          sized(row_rates, rows),
          flags_of(touched, rows),
          size,
          size / rows,
          rate};
}

void run_adam_step(const Out& param, const In& grad, const Out& m, const Out& v, const std::optional<In>& row_rates,
                   Scalar rate, const Betas& betas, const std::optional<Flags>& touched) {
  const AdamStep step = step_of(param, grad, m, v, row_rates, rate, betas, touched);
  adam_steps(&step, 1);
}

// Parameter, gradient, first and second moment, rate, epsilon, touched rows.
using AdamArrays = std::tuple<Out, In, Out, Out, Scalar, Scalar, std::optional<Flags>>;

void run_adam_steps(const std::vector<AdamArrays>& groups, Scalar beta1, Scalar beta2, double bias1, double bias2) {
  std::vector<AdamStep> steps;
  for (const auto& [param, grad, m, v, rate, eps, touched] : groups)
    steps.push_back(step_of(param, grad, m, v, std::nullopt, rate, {beta1, beta2, eps, bias1, bias2}, touched));
  adam_steps(steps.data(), static_cast<int>(steps.size()));
}

// Gradient, parameter, what it is anchored to, weights of the rows.
using AnchorArrays = std::tuple<Out, In, std::optional<In>, In>;

void run_add_anchors(const std::vector<AnchorArrays>& anchored) {
  std::vector<Anchor> anchors;
  for (const auto& [grad, param, target, weights] : anchored) {
    const size_t size = grad.size(), rows = weights.size();
    if (rows == 0 || size % rows != 0) throw std::invalid_argument("native kernel: rows do not divide the parameters");
    anchors.push_back(
        {grad.data(), sized(param, size), sized(target, size), weights.data(), static_cast<int>(rows), size / rows});
  }
  add_anchors(anchors.data(), static_cast<int>(anchors.size()));
}

using Moments = nb::ndarray<nb::c_contig, nb::device::cpu>;  // Scalar or bfloat16

bool is_bf16(const Moments& moments) {
  if (moments.dtype() == nb::dtype<Scalar>()) return false;
  if (moments.dtype().code != static_cast<uint8_t>(nb::dlpack::dtype_code::Bfloat) || moments.itemsize() != 2)
    throw std::invalid_argument("native kernel: m and v must be float32 or bfloat16");
  return true;
}

void run_adam_outer_step(const Out& param, const In& weights, const In& grad, const Moments& m, const Moments& v,
                         Scalar rate, const Betas& betas, const std::optional<Flags>& touched,
                         const std::optional<In>& anchor_weight, const std::optional<Out>& grad_weights) {
  if (param.ndim() != 3) throw std::invalid_argument("native kernel: a basis must be [K,N,C]");
  const size_t bases = param.shape(0), rows = param.shape(1), columns = param.shape(2), size = rows * columns;
  const size_t batch = bases ? weights.size() / bases : 0;
  if (!size || !bases) return;
  if (grad_weights && batch > kWeightGradImages)
    throw std::invalid_argument("native kernel: too many images for the gradient of the weights");
  if (is_bf16(m) != is_bf16(v)) throw std::invalid_argument("native kernel: m and v must have the same format");
  adam_outer_step(
      {rule_of(betas), param.data(), sized(m, bases * size), sized(v, bases * size), sized(weights, batch * bases),
       sized(grad, batch * size), flags_of(touched, rows), sized(anchor_weight, rows), static_cast<int>(batch),
       static_cast<int>(bases), size, columns, rate, is_bf16(m)},
      sized(grad_weights, batch * bases));
}

BlendInputs blend_inputs_of(const std::optional<In>& base, const Basis& basis, const Scalar* weights, size_t batch) {
  const bool half = basis.dtype() == nb::dlpack::dtype{static_cast<uint8_t>(nb::dlpack::dtype_code::Float), 16, 1};
  if (!half && basis.dtype() != nb::dtype<Scalar>())
    throw std::invalid_argument("native kernel: a basis must be float32 or float16");
  const size_t bases = basis.shape(0), size = bases ? basis.size() / bases : 0;
  return {sized(base, size), basis.data(), weights, static_cast<int>(batch), static_cast<int>(bases), size, half};
}

void run_blend(const std::optional<In>& base, const Basis& basis, const In& weights, const Out& out) {
  const BlendInputs inputs = blend_inputs_of(base, basis, weights.data(), weights.shape(0));
  sized(weights, static_cast<size_t>(inputs.batch) * inputs.bases);
  sized(out, static_cast<size_t>(inputs.batch) * inputs.size);
  blend(inputs, out.data());
}

void run_blend_backward_weights(const In& grad, const Basis& basis, const Out& weights) {
  const BlendInputs inputs = blend_inputs_of(std::nullopt, basis, nullptr, weights.shape(0));
  sized(weights, static_cast<size_t>(inputs.batch) * inputs.bases);
  blend_backward_weights(inputs, sized(grad, static_cast<size_t>(inputs.batch) * inputs.size), weights.data());
}

void run_blend_extent(const std::optional<In>& base, const In& basis, const In& weights, const Indices& rows,
                      int first_channel, const In& units, const Out& low, const Out& high, const Out& square) {
  if (basis.ndim() != 3 || weights.ndim() != 2) throw std::invalid_argument("native kernel: a basis must be [K,N,C]");
  const size_t channels = units.size(), size = rows.size() * channels;
  if (channels > kDeformChannels || first_channel < 0 || first_channel + channels > basis.shape(2))
    throw std::invalid_argument("native kernel: channels that the basis does not have");
  const int count = static_cast<int>(basis.shape(1));
  if (!count) throw std::invalid_argument("native kernel: a basis without Gaussians");
  blend_extent(
      {sized(base, size), basis.data(), sized(weights, weights.shape(0) * basis.shape(0)), rows.data(), units.data(),
       static_cast<int>(weights.shape(0)), static_cast<int>(basis.shape(0)), count, static_cast<int>(rows.size()),
       static_cast<int>(basis.shape(2)), first_channel, static_cast<int>(channels)},
      {sized(low, size), sized(high, size), sized(square, rows.size())});
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows.data()[i] < 0 || rows.data()[i] >= count) refuse("rows", rows, count);
}

void run_limit_scales(const Out& log_scales, const In& largest, Scalar log_ratio, Scalar log_thinness) {
  limit_scales({sized(log_scales, 3 * largest.size()), largest.data(), log_ratio, log_thinness},
               static_cast<int>(largest.size()));
}

void run_round_rings(const Out& values, const In& squares, const Indices& texels, const In& places, int rings,
                     Scalar smoothness, Scalar share) {
  if (values.ndim() != 2 || values.shape(1) != 3 || rings < 2)
    throw std::invalid_argument("native kernel: expected values [T,3] and at least two rings");
  const int size = static_cast<int>(values.shape(0));
  for (size_t i = 0; i < texels.size(); ++i)
    if (texels.data()[i] < 0 || texels.data()[i] >= size) refuse("texels", texels, size);
  round_rings({values.data(), sized(squares, values.size()), texels.data(), sized(places, texels.size()),
               static_cast<int>(texels.size()), rings, smoothness, share});
}

DeformShape deform_shape_of(const In& units, const In& blended, size_t count) {
  DeformShape shape{
      static_cast<int>(blended.shape(0)), static_cast<int>(count), static_cast<int>(blended.shape(1)), {}};
  const Scalar* values = sized(units, kDeformChannels);
  for (int k = 0; k < kDeformChannels; ++k) shape.units[k] = values[k];
  sized(blended, static_cast<size_t>(shape.batch) * shape.deformed * kDeformChannels);
  if (blended.shape(1) > count) throw std::invalid_argument("native kernel: more offsets than Gaussians");
  return shape;
}

void run_deform(const std::tuple<In, In, In, In, In>& local, const In& blended, const In& units,
                const std::tuple<Out, Out, Out, Out, Out>& out) {
  const auto& [offsets, quats, log_scales, logits, colors] = local;
  const auto& [o_offsets, o_quats, o_scales, o_opacities, o_sh] = out;
  const size_t count = logits.size(), n = blended.shape(0) * count;
  deform(deform_shape_of(units, blended, count),
         {sized(offsets, 3 * count), sized(quats, 4 * count), sized(log_scales, 3 * count), logits.data(),
          sized(colors, 3 * count), blended.data()},
         {sized(o_offsets, 3 * n), sized(o_quats, 4 * n), sized(o_scales, 3 * n), sized(o_opacities, n),
          sized(o_sh, 3 * n)});
}

void run_deform_backward(const In& scales, const In& opacities, const std::tuple<In, In, In, In, In>& grads,
                         const In& units, const std::tuple<Out, Out, Out, Out, Out>& local, const Out& blended) {
  const auto& [g_offsets, g_quats, g_scales, g_opacities, g_sh] = grads;
  const auto& [offsets, quats, log_scales, logits, colors] = local;
  const size_t count = logits.size(), n = blended.shape(0) * count;
  deform_backward(deform_shape_of(units, In(blended), count), {sized(scales, 3 * n), sized(opacities, n)},
                  {sized(g_offsets, 3 * n), sized(g_quats, 4 * n), sized(g_scales, 3 * n), sized(g_opacities, n),
                   sized(g_sh, 3 * n)},
                  {sized(offsets, 3 * count), sized(quats, 4 * count), sized(log_scales, 3 * count), logits.data(),
                   sized(colors, 3 * count), blended.data()});
}

void run_photometric(const In& rgb, const In& alpha, const Bytes& truth, const Bytes& matte, const In& background,
                     Scalar ssim_weight, Scalar mask_weight, int ssim_stride, int first_ssim_row, const Out& loss,
                     const Out& mse, const std::optional<Out>& grad_rgb, const std::optional<Out>& grad_alpha) {
  if (alpha.ndim() != 3) throw std::invalid_argument("native kernel: alpha must be [B,H,W]");
  if (first_ssim_row < 0 || first_ssim_row >= ssim_stride)
    throw std::invalid_argument("native kernel: the first row must be in 0..stride-1");
  const size_t batch = alpha.shape(0), pixels = alpha.size();
  photometric({static_cast<int>(batch),
               static_cast<int>(alpha.shape(1)),
               static_cast<int>(alpha.shape(2)),
               sized(rgb, 3 * pixels),
               alpha.data(),
               sized(truth, 3 * pixels),
               sized(matte, pixels),
               sized(background, 3 * batch),
               ssim_weight,
               mask_weight,
               {ssim_stride, first_ssim_row}},
              sized(loss, batch), sized(mse, batch), sized(grad_rgb, 3 * pixels), sized(grad_alpha, pixels));
}

void run_rigid_normal(const In& rgb, const In& alpha, const In& target, const In& features, const In& K,
                      const In& pivots, Scalar sigma, const Out& matrix, const Out& gradient, const Out& cost) {
  if (alpha.ndim() != 3 || pivots.ndim() != 3) throw std::invalid_argument("native kernel: alpha must be [B,H,W]");
  const size_t batch = alpha.shape(0), pixels = alpha.size(), groups = pivots.shape(1), unknowns = 6 * groups;
  if (groups < 1 || unknowns > kRigidUnknowns)
    throw std::invalid_argument("native kernel: expected one to three groups");
  const RigidNormalImage first{sized(rgb, 3 * pixels),
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
  rigid_normal(static_cast<int>(batch), first, sized(K, 9 * batch), sized(matrix, batch * unknowns * unknowns),
               sized(gradient, batch * unknowns), sized(cost, batch));
}

void run_sampled_normal(const In& slopes, const In& residual, const In& weight, const In& points, const In& K,
                        const In& pivots, const In& turn, const In& motion, const In& tint, const Out& matrix,
                        const Out& gradient) {
  if (weight.ndim() != 2 || motion.ndim() != 3 || motion.shape(0) > kControls)
    throw std::invalid_argument("native kernel: weight must be [B,M] and motion [P,3,M]");
  const size_t batch = weight.shape(0), count = weight.shape(1), size = batch * count, controls = motion.shape(0);
  const SampledPoints first{sized(slopes, 6 * size),
                            sized(residual, 3 * size),
                            weight.data(),
                            sized(points, 3 * size),
                            sized(motion, 3 * controls * count),
                            sized(tint, 3 * controls * count),
                            static_cast<int>(count),
                            static_cast<int>(controls),
                            0,
                            0,
                            sized(pivots, 3 * batch),
                            sized(turn, 9 * batch)};
  const size_t unknowns = 6 + controls;
  sampled_normal(static_cast<int>(batch), first, sized(K, 9 * batch), sized(matrix, batch * unknowns * unknowns),
                 sized(gradient, batch * unknowns));
}

using ByteOut = nb::ndarray<uint8_t, nb::c_contig, nb::device::cpu>;

void run_to_bytes(const In& rgb, const In& alpha, const In& background, const ByteOut& out) {
  if (alpha.ndim() != 3) throw std::invalid_argument("native kernel: alpha must be [B,H,W]");
  const size_t pixels = alpha.size();
  to_bytes(static_cast<int>(alpha.shape(0)),
           {sized(rgb, 3 * pixels), alpha.data(), sized(background, 3), static_cast<int>(alpha.shape(1)),
            static_cast<int>(alpha.shape(2)), sized(out, 3 * pixels)});
}

}  // namespace

void register_functions(nb::module_& m) {
  m.def("mesh", &run_mesh, Released());
  m.def("bind", &run_bind, Released());
  m.def("bind_backward", &run_bind_backward, Released());
  m.def("vertex_stretch", &run_vertex_stretch, Released());
  m.def("vertex_stretch_backward", &run_vertex_stretch_backward, Released());
  m.def("principal_strains", &run_principal_strains, Released());
  m.def("principal_strains_backward", &run_principal_strains_backward, Released());
  m.def("rotate_sh", &run_rotate_sh, Released());
  m.def("rotate_sh_backward", &run_rotate_sh_backward, Released());
  m.def("ssim", &run_ssim, Released());
  m.def("adam_step", &run_adam_step, Released());
  m.def("adam_steps", &run_adam_steps, Released());
  m.def("add_anchors", &run_add_anchors, Released());
  m.def("adam_outer_step", &run_adam_outer_step, Released());
  m.def("blend", &run_blend, Released());
  m.def("blend_backward_weights", &run_blend_backward_weights, Released());
  m.def("blend_extent", &run_blend_extent, Released());
  m.def("limit_scales", &run_limit_scales, Released());
  m.def("round_rings", &run_round_rings, Released());
  m.def("deform", &run_deform, Released());
  m.def("deform_backward", &run_deform_backward, Released());
  m.def("photometric", &run_photometric, Released());
  m.def("rigid_normal", &run_rigid_normal, Released());
  m.def("sampled_normal", &run_sampled_normal, Released());
  m.def("to_bytes", &run_to_bytes, Released());
}

}  // namespace headsplat
