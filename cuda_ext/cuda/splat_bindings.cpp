// The CUDA rasterizer as functions of the Python module. Sizes are checked only as far as memory safety requires;
// shapes and gradients are checked in avatar/ops.
#include "arrays.h"
#include "splat.h"

namespace headsplat {
namespace cuda {
namespace {

constexpr size_t kIndexMax = 0x7fffffff;  // Gaussians, intersections and tiles of a batch are counted in 32 bits

using Inputs = std::tuple<In, In, In, In, In>;  // means, quats, scales, opacities, colors
using CameraArrays = std::tuple<In, In>;        // intrinsics [B,3,3], world_to_cam [B,4,4]
using Options = std::tuple<float, float, int>;  // near, dilation, flags: 1 antialias, 2 cutoff
using OutputArrays = std::tuple<Out, std::optional<Out>, std::optional<Out>, std::optional<Out>>;
using ForwardArrays = std::tuple<In, In, std::optional<In>>;
using GradientArrays = std::tuple<std::optional<In>, std::optional<In>, std::optional<In>>;
using InputGradientArrays = std::tuple<Out, Out, Out, Out, Out>;

// Color, coverage, depth, stencil, origins [B,2] and fades [B,N] of the layer's windows.
using LayerArrays = std::tuple<std::optional<In>, In, In, In, Array<const int32_t>, In>;

SplatSize checked(size_t batch, size_t count, size_t width, size_t height, size_t max_intersections) {
  const size_t tiles = ((width + kTile - 1) / kTile) * ((height + kTile - 1) / kTile);
  if (batch < 1 || width < 1 || height < 1 || max_intersections < 1)
    throw std::invalid_argument("native kernel: batch, width, height and max_intersections must be at least 1");
  if (batch > 65535 || (height + kTile - 1) / kTile > 65535)
    throw std::invalid_argument("native kernel: more than 65535 images or rows of tiles");
  if (batch * count > kIndexMax || max_intersections > kIndexMax || batch * tiles >= kIndexMax)
    throw std::invalid_argument("native kernel: more than 2147483647 Gaussians, tile intersections or tiles");
  return {static_cast<int>(batch), static_cast<int>(count), static_cast<int>(width), static_cast<int>(height),
          static_cast<uint32_t>(max_intersections)};
}

SplatSize size_of(const In& means, size_t width, size_t height, size_t max_intersections) {
  if (means.ndim() != 3 || means.shape(2) != 3) throw std::invalid_argument("native kernel: means must be [B,N,3]");
  return checked(means.shape(0), means.shape(1), width, height, max_intersections);
}

Workspace workspace_of(const Scratch& memory, const SplatSize& size) {
  return place_workspace(memory.data(), memory.size(), size);
}

template <class Colors>
int sh_terms_of(const Colors& colors) {
  if (colors.ndim() != 4) return 0;
  const size_t terms = colors.shape(2);
  if (terms != 1 && terms != 4 && terms != 9 && terms != 16)
    throw std::invalid_argument("native kernel: spherical harmonics must have 1, 4, 9 or 16 terms");
  return static_cast<int>(terms);
}

GaussianInputs inputs_of(const SplatSize& size, const Inputs& inputs) {
  const auto& [means, quats, scales, opacities, colors] = inputs;
  const size_t n = static_cast<size_t>(size.gaussians());
  const int terms = sh_terms_of(colors);
  return {sized(means, 3 * n),
          sized(quats, 4 * n),
          sized(scales, 3 * n),
          sized(opacities, n),
          sized(colors, 3 * n * (terms ? terms : 1)),
          terms};
}

// No layer for null or an empty window.
LayerView layer_of(const SplatSize& size, const std::optional<LayerArrays>& arrays) {
  LayerView view{};
  if (!arrays) return view;
  const auto& [color, coverage, depth, stencil, origins, fades] = *arrays;
  if (coverage.ndim() != 3) throw std::invalid_argument("native kernel: coverage must be [B,h,w]");
  const size_t batch = size.batch, pixels = batch * coverage.shape(1) * coverage.shape(2);
  view = {sized(color, 3 * pixels),
          sized(coverage, pixels),
          sized(depth, pixels),
          sized(stencil, pixels),
          sized(origins, 2 * batch),
          sized(fades, static_cast<size_t>(size.gaussians())),
          static_cast<int>(coverage.shape(2)),
          static_cast<int>(coverage.shape(1))};
  if (!pixels) view.coverage = nullptr;
  return view;
}

Cameras cameras_of(const SplatSize& size, const CameraArrays& camera_arrays, const Options& options) {
  const auto& [near_z, dilation, flags] = options;
  const size_t batch = size.batch;
  return {sized(std::get<0>(camera_arrays), 9 * batch),
          sized(std::get<1>(camera_arrays), 16 * batch),
          near_z,
          dilation,
          (flags & 1) != 0,
          (flags & 2) != 0};
}

// Height and width of images [B,H,W,3].
template <class Rgb>
std::tuple<size_t, size_t> extent_of(const Rgb& rgb) {
  if (rgb.ndim() != 4 || rgb.shape(3) != 3) throw std::invalid_argument("native kernel: rgb must be [B,H,W,3]");
  return {rgb.shape(1), rgb.shape(2)};
}

size_t splat_workspace(size_t batch, size_t count, size_t width, size_t height, size_t max_intersections, uintptr_t) {
  return workspace_bytes(checked(batch, count, width, height, max_intersections));
}

// Floats of temporary memory that splat_backward needs for so many tile intersections.
size_t splat_partials(size_t intersections, uintptr_t) { return kPartialStride * intersections; }

void splat_forward(const Inputs& inputs, const CameraArrays& camera_arrays, const Options& options,
                   const Scratch& workspace, size_t max_intersections, const OutputArrays& outputs,
                   const std::optional<LayerArrays>& layer, uintptr_t stream) {
  const auto& [rgb, alpha, depth, weights] = outputs;
  const auto [height, width] = extent_of(rgb);
  const SplatSize size = size_of(std::get<0>(inputs), width, height, max_intersections);
  const size_t pixels = size.batch * width * height;
  const RenderOutputs out{sized(rgb, 3 * pixels), sized(alpha, pixels), sized(depth, pixels),
                          sized(weights, static_cast<size_t>(size.gaussians()))};
  const Cameras cameras = cameras_of(size, camera_arrays, options);
  const Workspace work = workspace_of(workspace, size);
  project(size, cameras, inputs_of(size, inputs), work, stream_of(stream));
  assign_tiles(size, work, stream_of(stream));
  rasterize(size, cameras.cutoff, work, layer_of(size, layer), nullptr, out, stream_of(stream));
}

void splat_colors(const In& colors, const Scratch& workspace, size_t max_intersections, bool cutoff,
                  const std::optional<LayerArrays>& layer, const Out& rgb, uintptr_t stream) {
  const auto [height, width] = extent_of(rgb);
  const SplatSize size = size_of(colors, width, height, max_intersections);
  const RenderOutputs out{sized(rgb, 3 * size.batch * width * height), nullptr, nullptr, nullptr};
  rasterize(size, cutoff, workspace_of(workspace, size), layer_of(size, layer), colors.data(), out, stream_of(stream));
}

void splat_backward(const Inputs& inputs, const CameraArrays& camera_arrays, const Options& options,
                    const Scratch& workspace, size_t max_intersections, const Out& partials,
                    const ForwardArrays& outputs, const GradientArrays& given, const InputGradientArrays& gradients,
                    const std::optional<LayerArrays>& layer, const std::optional<Out>& grad_layer, uintptr_t stream) {
  const auto& [rgb, alpha, depth] = outputs;
  const auto& [grad_rgb, grad_alpha, grad_depth] = given;
  const auto& [means, quats, scales, opacities, colors] = gradients;
  const auto [height, width] = extent_of(rgb);
  const SplatSize size = size_of(std::get<0>(inputs), width, height, max_intersections);
  const size_t pixels = size.batch * width * height, n = static_cast<size_t>(size.gaussians());
  if (grad_depth && !depth) throw std::invalid_argument("native kernel: the gradient of the depth needs the depth");
  if (reinterpret_cast<uintptr_t>(partials.data()) % 16 != 0)
    throw std::invalid_argument("native kernel: the partials must be aligned to 16 bytes");
  const GaussianInputs in = inputs_of(size, inputs);
  const GaussianGradients out{sized(means, 3 * n), sized(quats, 4 * n), sized(scales, 3 * n), sized(opacities, n),
                              sized(colors, 3 * n * (in.sh_terms ? in.sh_terms : 1))};
  const Cameras cameras = cameras_of(size, camera_arrays, options);
  const Workspace work = workspace_of(workspace, size);
  const size_t max_partials = partials.size() / kPartialStride;
  const LayerView view = layer_of(size, layer);
  float* grad_color = sized(grad_layer, 3 * static_cast<size_t>(size.batch) * view.width * view.height);
  rasterize_backward(size, cameras.cutoff, work, view,
                     {sized(rgb, 3 * pixels), sized(alpha, pixels), sized(depth, pixels), sized(grad_rgb, 3 * pixels),
                      sized(grad_alpha, pixels), sized(grad_depth, pixels)},
                     partials.data(), max_partials, grad_color, stream_of(stream));
  project_backward(size, cameras, in, work, partials.data(), max_partials, out, stream_of(stream));
}

}  // namespace

// After a render, the first eight bytes of a workspace are the number of tile intersections.
void register_splat(nb::module_& m) {
  m.def("splat_workspace", &splat_workspace, Released());
  m.def("splat_partials", &splat_partials, Released());
  m.def("splat_forward", &splat_forward, Released());
  m.def("splat_colors", &splat_colors, Released());
  m.def("splat_backward", &splat_backward, Released());
}

}  // namespace cuda
}  // namespace headsplat
