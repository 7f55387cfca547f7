// The CPU kernels as functions of a Python module.
#pragma once

namespace nanobind {
class module_;
}

namespace headsplat {

// Rasterizer: `prepare`, `rasterize`, `rasterize_colors`, `splat_backward`.
void register_splat(nanobind::module_& m);

// The layer: its images, the colors of its texels, and the light on it.
void register_layer(nanobind::module_& m);

// Loss and gradients of the images of a step.
void register_rendered_loss(nanobind::module_& m);

// Blendshape weights.
void register_weights(nanobind::module_& m);

// All other operations.
void register_functions(nanobind::module_& m);

}  // namespace headsplat
