// Projection, tiling and rasterization of a batch of images; memory is kept between calls.
#pragma once

#include <memory>
#include <vector>

#include "kernels.h"

namespace headsplat {

struct SplatShape {
  int batch, count, width, height;  // images, Gaussians per image, pixels
};

struct CameraOptions {
  Scalar near_z, dilation;
  bool antialias, cutoff;
};

// The cameras of a batch, from K [batch,3,3] and world_to_cam [batch,4,4].
std::vector<Camera> cameras_of(const Scalar* K, const Scalar* world_to_cam, const SplatShape& shape,
                               const CameraOptions& options);

// State of the forward pass, for the backward pass and for rasterizing other colors.
class SplatBatch {
 public:
  SplatShape shape{};
  std::vector<std::unique_ptr<ImageState>> images;
  Scratch scratch;

  // Projects, sorts and tiles `inputs` [batch,...] for `cameras` [batch]. Throws std::length_error when one image has
  // more than kMaxIntersections tile intersections.
  void prepare(const SplatShape& shape, const Camera* cameras, const GaussianInputs& inputs);

  // Blends the prepared Gaussians into images [batch,...]; `weights` [batch,count] may be null. `layers` [batch] is
  // null without a layer.
  void rasterize(const LayerView* layers, const RenderOutputs& outputs);

  // Blends `colors` [batch,count,3] in place of the prepared colors into `rgb` [batch,height,width,3].
  void rasterize_colors(const LayerView* layers, const Scalar* colors, Scalar* rgb);

  // `grad_layer` [batch,...] receives the gradient of the color of `layers`; both may be null.
  void backward(const GaussianInputs& inputs, const LayerView* layers, const RenderGradients& render,
                const GaussianGradients& gradients, Scalar* grad_layer);

 private:
  Buffer recolored_, unused_alpha_;
  void sum_weights(const ImageState& image, Scalar* weights) const;
};

// A SplatBatch from a pool of idle ones, returned to it by the destructor.
class SplatHandle {
 public:
  SplatHandle();
  ~SplatHandle();
  SplatHandle(const SplatHandle&) = delete;
  SplatHandle& operator=(const SplatHandle&) = delete;
  SplatBatch& operator*() const { return *batch_; }
  SplatBatch* operator->() const { return batch_.get(); }

 private:
  std::unique_ptr<SplatBatch> batch_;
};

}  // namespace headsplat
