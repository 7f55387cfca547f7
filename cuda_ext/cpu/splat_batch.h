// Projection, tiling and rasterization of a batch, with the memory they need, kept from call to call.
#pragma once

#include <memory>
#include <vector>

#include "kernels.h"

namespace headsplat {

struct SplatShape {
  int batch, count, width, height;
};

// What the forward pass leaves for the backward pass and for rasterizing other colours.
class SplatBatch {
 public:
  SplatShape shape{};
  std::vector<std::unique_ptr<ImageState>> images;
  Scratch scratch;

  // Projects, sorts and tiles `inputs` [batch,...] seen by `views` [batch]. Throws std::length_error when one image
  // holds more than kMaxInstances (splat, tile) pairs.
  void prepare(const SplatShape& shape, const Camera* cameras, const GaussianInputs& inputs);

  // Blends the prepared splats into pictures [batch,...]; `weights` [batch,count] may be null.
  void rasterize(const RenderOutputs& outputs);

  // Blends `colors` [batch,count,3] instead of the prepared ones into `rgb` [batch,height,width,3].
  void rasterize_colors(const Scalar* colors, Scalar* rgb);

  void backward(const GaussianInputs& inputs, const RenderGradients& render, const GaussianGradients& gradients);

 private:
  Buffer recolored_, unused_alpha_;
  void sum_weights(const ImageState& image, Scalar* weights) const;
};

// A SplatBatch from the store of idle ones, returned there when the handle goes.
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
