// From local Gaussians to the photometric loss of their images and its gradients: the other operations one after the
// other in one call, with memory of its own between them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "layer.h"
#include "lights.h"
#include "ops.h"
#include "splat_batch.h"
#include "texels.h"
#include "threads.h"

namespace headsplat {
namespace {

constexpr int kNumbersPerTask = 16384;

using Local = std::tuple<In, In, In, In, In>;
using LocalGradients = std::tuple<Out, Out, Out, Out, Out>;
// Vertices, triangles, barycentrics, skin, rotations and translations of the bones.
using BoundArrays = std::tuple<In, Indices, In, In, In, In>;
using CameraArrays = std::tuple<In, In, int, int, Scalar, Scalar>;  // K, world to camera, size, near, dilation
// Vertices, shade, colors and parts of the texels, faces, texel ids, fades, skin, blur, places of the reflections.
using LayerArrays = std::tuple<In, In, In, Indices, Indices, Indices, In, Indices, Scalar, std::optional<In>>;
// Factors, delta, textures, which of the last Gaussians are outside of the face, distance at which these do not fade.
using LookArrays = std::tuple<In, In, std::optional<In>, Flags, Scalar>;
using LookGradients = std::tuple<Out, Out, std::optional<Out>>;  // factors, delta, textures
// Images, mattes, backgrounds, weights of SSIM and matte, stride and first row of the SSIM, weights of the images.
using TargetArrays = std::tuple<Bytes, Bytes, In, Scalar, Scalar, std::tuple<int, int>, In>;

[[noreturn]] void refuse(const char* name, int size) {
  throw std::invalid_argument(std::string(name) + ": expected indices in 0.." + std::to_string(size - 1));
}

// Arrays that live as long as a call.
class Memory {
 public:
  Scalar* get(size_t count) { return buffers_.emplace_back().get<Scalar>(count); }
  Scalar* zeros(size_t count) {
    Scalar* memory = get(count);
    std::memset(memory, 0, sizeof(Scalar) * count);
    return memory;
  }

 private:
  std::deque<Buffer> buffers_;
};

template <class Function>
void for_numbers(size_t count, Function function) {
  parallel_ranges(static_cast<int>(count), kNumbersPerTask, [=](int begin, int end) {
    for (int i = begin; i < end; ++i) function(i);
  });
}

void widen(const Scalar* scales, size_t count, double filter, Scalar* wide) {
  const Scalar square = static_cast<Scalar>(filter * filter);
  for_numbers(count, [=](int i) { wide[i] = std::sqrt(scales[i] * scales[i] + square); });
}

void run_widen(const In& scales, double filter, const Out& wide) {
  widen(scales.data(), scales.size(), filter, sized(wide, scales.size()));
}

// The Gaussians of all images in the world.
class Posed {
 public:
  const size_t batch, count, n;

  Posed(Memory& memory, const Local& local, const In& extra, const In& units, const BoundArrays& bound,
        const std::optional<MeshArrays>& stretch, double filter)
      : batch(extra.shape(0)), count(std::get<3>(local).size()), n(batch * count), filter_(filter) {
    const auto& [offsets, quats, log_scales, logits, colors] = local;
    const auto& [vertices, triangles, bary, skin, rotations, translations] = bound;
    shape_ = {static_cast<int>(batch), static_cast<int>(count), static_cast<int>(extra.shape(1)), {}};
    if (extra.shape(1) > count) throw std::invalid_argument("native kernel: more offsets than Gaussians");
    sized(extra, batch * extra.shape(1) * kDeformChannels);
    std::memcpy(shape_.units, sized(units, kDeformChannels), sizeof shape_.units);
    bind_shape_ = {static_cast<int>(batch), static_cast<int>(vertices.shape(1)), static_cast<int>(count)};
    Scalar *own_offsets = memory.get(3 * n), *own_quats = memory.get(4 * n);
    own_scales_ = memory.get(3 * n);
    opacities_ = memory.get(n);
    Scalar* sh = memory.get(3 * n);
    deform(shape_,
           {sized(offsets, 3 * count), sized(quats, 4 * count), sized(log_scales, 3 * count), logits.data(),
            sized(colors, 3 * count), extra.data()},
           {own_offsets, own_quats, own_scales_, opacities_, sh});
    inputs_ = {sized(vertices, 3 * batch * bind_shape_.vertices),
               sized(triangles, 3 * count),
               sized(bary, 3 * count),
               own_offsets,
               own_quats,
               sized(skin, count),
               bind_shape_.vertices,
               nullptr,
               nullptr,
               nullptr,
               nullptr,
               0};
    rotations_ = sized(rotations, 8 * batch);
    translations_ = sized(translations, 6 * batch);
    scales_ = own_scales_;
    if (stretch) {
      const StretchMesh mesh = mesh_of(*stretch);
      Scalar* tensors = memory.get(batch * mesh.row_count * kTensorSize);
      inputs_.row_count = mesh.row_count;
      inputs_.scales = own_scales_;
      inputs_.tensors = tensors;
      inputs_.rows = sized(std::get<5>(*stretch), bind_shape_.vertices);
      if (!vertex_stretch(mesh, bind_shape_.batch, inputs_.vertices, tensors))
        refuse("stretch.faces", bind_shape_.vertices);
      scales_ = memory.get(3 * n);
    }
    Scalar *means = memory.get(3 * n), *turned = memory.get(4 * n);
    if (!bind(bind_shape_, inputs_, rotations_, translations_, {means, turned, stretch ? scales_ : nullptr}))
      refuse("triangles", bind_shape_.vertices);
    wide_ = scales_;
    if (filter_ > 0.0) {
      wide_ = memory.get(3 * n);
      widen(scales_, 3 * n, filter_, wide_);
    }
    world = {means, turned, wide_, opacities_, sh, 1};
  }

  GaussianInputs world;

  // Gradients of the parameters, the bones and the blended offsets, given those of `world`; overwrites these.
  void backward(Memory& memory, const GaussianGradients& of_world, const LocalGradients& local, const Out& extra,
                const Out& rotations, const Out& translations) const {
    if (filter_ > 0.0) {
      const Scalar *scales = scales_, *wide = wide_;
      Scalar* grad = of_world.scales;
      for_numbers(3 * n, [=](int i) { grad[i] = grad[i] * scales[i] / wide[i]; });
    }
    Scalar *of_offsets = memory.get(3 * n), *of_quats = memory.get(4 * n);
    Scalar* of_scales = inputs_.scales ? memory.get(3 * n) : of_world.scales;
    bind_backward(bind_shape_, inputs_, rotations_, translations_,
                  {of_world.means, of_world.quats, inputs_.scales ? of_world.scales : nullptr},
                  {nullptr, of_offsets, of_quats, sized(rotations, 8 * batch), sized(translations, 6 * batch),
                   inputs_.scales ? of_scales : nullptr, nullptr});
    const auto& [offsets, quats, log_scales, logits, colors] = local;
    deform_backward(
        shape_, {own_scales_, opacities_}, {of_offsets, of_quats, of_scales, of_world.opacities, of_world.colors},
        {sized(offsets, 3 * count), sized(quats, 4 * count), sized(log_scales, 3 * count), sized(logits, count),
         sized(colors, 3 * count), sized(extra, batch * shape_.deformed * kDeformChannels)});
  }

 private:
  double filter_;  // meters
  DeformShape shape_;
  BindShape bind_shape_;
  BindInputs inputs_;
  const Scalar *rotations_, *translations_;
  Scalar *own_scales_, *opacities_, *scales_, *wide_;
};

// How far the stencil fades each Gaussian: 1, but 0 for those of `outer`, the last ones, that are further in front of
// the mesh than `distance`.
const Scalar* fades_of(Memory& memory, const In& offsets, const Flags& outer, Scalar distance) {
  const size_t count = offsets.size() / 3;
  if (outer.size() > count) throw std::invalid_argument("native kernel: more flags than Gaussians");
  const int first = static_cast<int>(count - outer.size());
  const bool* flags = outer.data();
  const Scalar* position = offsets.data();
  Scalar* fades = memory.get(count);
  for_numbers(
      count, [=](int i) { fades[i] = i >= first && flags[i - first] && position[3 * i + 2] > distance ? 0.0f : 1.0f; });
  return fades;
}

// The images of the layer with its reflections; without one, `views` is empty.
class Layer {
 public:
  std::vector<LayerView> views;
  Scalar* gradient = nullptr;  // of the colors

  Layer(Memory& memory, const LayerArrays& arrays, const LookArrays& look, const CameraArrays& camera,
        const In& offsets)
      : textures_(std::get<2>(look)) {
    const auto& [vertices, shade, start, part, faces, texel_ids, fades, skin, blur, places] = arrays;
    const auto& [factors, delta, textures, outer, distance] = look;
    const Scalar* gaussian_fades = fades_of(memory, offsets, outer, distance);
    const auto& [intrinsics, world_to_cam, width, height, near_z, dilation] = camera;
    const size_t batch = vertices.shape(0), texel_count = part.size(), parts = factors.size() / 3;
    colors_ = {static_cast<int>(texel_count), static_cast<int>(parts), sized(start, 3 * texel_count),
               sized(factors, 3 * parts), part.data()};
    Scalar* texels = memory.get(3 * texel_count);
    if (!texel_colors(colors_, sized(delta, 3 * texel_count), texels)) refuse("part", colors_.parts);
    shape_ = {static_cast<int>(batch),
              static_cast<int>(vertices.shape(1)),
              static_cast<int>(faces.shape(0)),
              static_cast<int>(skin.shape(0)),
              static_cast<int>(texel_count),
              width,
              height,
              near_z,
              blur};
    inputs_ = {sized(vertices, 3 * batch * shape_.vertices),
               sized(shade, batch * shape_.vertices),
               texels,
               sized(faces, 3 * static_cast<size_t>(shape_.faces)),
               sized(texel_ids, kTexelNodes * static_cast<size_t>(shape_.faces)),
               sized(skin, 3 * static_cast<size_t>(shape_.skin_faces)),
               sized(fades, 2 * static_cast<size_t>(shape_.faces)),
               sized(intrinsics, 9 * batch)};
    images_.resize(batch);
    for (size_t b = 0; b < batch; ++b) {
      if (!images_[b]->prepare(shape_, inputs_, static_cast<int>(b))) refuse("mesh", shape_.vertices);
      size_.width = std::max(size_.width, images_[b]->window.width);
      size_.height = std::max(size_.height, images_[b]->window.height);
    }
    pixels_ = static_cast<size_t>(size_.width) * size_.height;
    if (!pixels_) return;
    Scalar *color = memory.get(3 * batch * pixels_), *coverage = memory.get(batch * pixels_);
    Scalar *depth = memory.get(batch * pixels_), *stencil = memory.get(batch * pixels_);
    gradient = memory.zeros(3 * batch * pixels_);  // a window may extend beyond the image
    const Scalar* place = places ? sized(*places, 6 * batch) : nullptr;
    if (textures) side_ = static_cast<int>(textures->shape(textures->ndim() - 1));
    if (textures) sized(*textures, 2 * static_cast<size_t>(side_) * side_);
    for (size_t b = 0; b < batch; ++b) {
      const LayerWindow& window = images_[b]->window;
      const size_t first = b * pixels_;
      const LayerOutputs out{size_.width,      size_.height,  color + 3 * first,
                             coverage + first, depth + first, stencil + first};
      if (!images_[b]->render(shape_, inputs_, static_cast<int>(b), out)) refuse("mesh.texel_ids", shape_.texels);
      if (textures && place) {
        const Scalar *p = place + 6 * b, x = static_cast<Scalar>(window.x), y = static_cast<Scalar>(window.y);
        reflections_.push_back({size_.width,
                                size_.height,
                                side_,
                                coverage + first,
                                {p[0] - x, p[3] - x},
                                {p[1] - y, p[4] - y},
                                {p[2], p[5]}});
        add_reflections(reflections_.back(), textures->data(), color + 3 * first);
      }
      views.push_back({color + 3 * first, coverage + first, depth + first, stencil + first, gaussian_fades, window.x,
                       window.y, size_.width, size_.height});
    }
  }

  void backward(const LookGradients& grads) {
    const auto& [factors, delta, textures] = grads;
    Scalar* of_texels = sized(delta, 3 * static_cast<size_t>(shape_.texels));
    std::memset(of_texels, 0, sizeof(Scalar) * delta.size());
    for (size_t b = 0; b < views.size(); ++b)
      images_[b]->backward(shape_, inputs_, static_cast<int>(b), size_, gradient + 3 * b * pixels_, of_texels);
    texel_colors_backward(colors_, of_texels, sized(factors, 3 * static_cast<size_t>(colors_.parts)));
    if (!textures) return;
    const size_t numbers = 2 * static_cast<size_t>(side_) * side_;
    std::memset(textures->data(), 0, sizeof(Scalar) * textures->size());
    for (size_t b = 0; b < reflections_.size(); ++b)
      add_reflections_backward(reflections_[b], gradient + 3 * b * pixels_, sized(*textures, numbers));
  }

 private:
  TexelArrays colors_{};
  LayerShape shape_{};
  LayerInputs inputs_{};
  LayerOutputs size_{};
  size_t pixels_ = 0;
  int side_ = 0;
  std::vector<LayerHandle> images_;
  std::vector<ReflectionWindow> reflections_;
  std::optional<In> textures_;
};

void run_rendered_loss(const Local& local, const In& extra, const In& units, const BoundArrays& bound,
                       const std::optional<MeshArrays>& stretch, double filter, const CameraArrays& camera,
                       const TargetArrays& target, const std::optional<LayerArrays>& layer_arrays,
                       const std::optional<LookArrays>& look, const Out& loss, const Out& mse,
                       const LocalGradients& of_local, const Out& of_extra, const Out& of_rotations,
                       const Out& of_translations, const std::optional<LookGradients>& of_look) {
  const auto& [intrinsics, world_to_cam, width, height, near_z, dilation] = camera;
  const auto& [truth, matte, background, ssim_weight, mask_weight, ssim_rows, weight] = target;
  const auto& [stride, first_row] = ssim_rows;
  if (first_row < 0 || first_row >= stride)
    throw std::invalid_argument("native kernel: the first row must be in 0..stride-1");
  Memory memory;
  const Posed posed(memory, local, extra, units, bound, stretch, filter);
  std::optional<Layer> layer;
  if (layer_arrays && look) layer.emplace(memory, *layer_arrays, *look, camera, std::get<0>(local));
  const LayerView* views = layer && !layer->views.empty() ? layer->views.data() : nullptr;

  // Images.
  const size_t batch = posed.batch, pixels = static_cast<size_t>(width) * height, all = batch * pixels;
  const SplatShape shape{static_cast<int>(batch), static_cast<int>(posed.count), width, height};
  const auto cameras =
      cameras_of(sized(intrinsics, 9 * batch), sized(world_to_cam, 16 * batch), shape, {near_z, dilation, false, true});
  SplatHandle splat;
  splat->prepare(shape, cameras.data(), posed.world);
  Scalar *rgb = memory.get(3 * all), *alpha = memory.get(all);
  splat->rasterize(views, {rgb, alpha, nullptr, nullptr});

  // Loss, and its gradient by the images.
  Scalar *of_rgb = memory.get(3 * all), *of_alpha = memory.get(all);
  photometric({shape.batch,
               height,
               width,
               rgb,
               alpha,
               sized(truth, 3 * all),
               sized(matte, all),
               sized(background, 3 * batch),
               ssim_weight,
               mask_weight,
               {stride, first_row}},
              sized(loss, batch), sized(mse, batch), of_rgb, of_alpha);
  for (size_t b = 0; b < batch; ++b) {
    const Scalar factor = sized(weight, batch)[b];
    if (factor == 1.0f) continue;
    Scalar *color = of_rgb + 3 * b * pixels, *opacity = of_alpha + b * pixels;
    for_numbers(3 * pixels, [=](int i) { color[i] *= factor; });
    for_numbers(pixels, [=](int i) { opacity[i] *= factor; });
  }

  // Gradients of everything else.
  const size_t n = posed.n;
  const GaussianGradients of_world{memory.get(3 * n), memory.get(4 * n), memory.get(3 * n), memory.get(n),
                                   memory.get(3 * n)};
  splat->backward(posed.world, views, {rgb, alpha, nullptr, of_rgb, of_alpha, nullptr}, of_world,
                  views ? layer->gradient : nullptr);
  posed.backward(memory, of_world, of_local, of_extra, of_rotations, of_translations);
  if (layer && of_look) layer->backward(*of_look);
}

}  // namespace

void register_rendered_loss(nb::module_& m) {
  m.def("widen", &run_widen, Released());
  m.def("rendered_loss", &run_rendered_loss, Released());
}

}  // namespace headsplat
