// The function table of one instruction-set level.
#include "kernels.h"

#define HEADSPLAT_TEXT_(name) #name
#define HEADSPLAT_TEXT(name) HEADSPLAT_TEXT_(name)

namespace headsplat {
namespace HEADSPLAT_LEVEL {

extern const Kernels table;
const Kernels table = {
    HEADSPLAT_TEXT(HEADSPLAT_LEVEL),
    kLayerKernels,
    project_image,
    project_image_backward,
    assign_tiles,
    rasterize,
    rasterize_backward,
    bind_image,
    bind_image_backward,
    stretch_faces,
    stretch_means,
    stretch_faces_backward,
    stretch_vertices_backward,
    rotate_sh,
    rotate_sh_backward,
    ssim_find_differences,
    ssim_rows,
    ssim_rows_backward,
    adam,
    adam_outer,
    blend_range,
    blend_dots,
    deform_range,
    deform_range_backward,
    compose_rows,
    loss_rows_backward,
    bytes_rows,
    rigid_normal_image,
    sampled_normal_image,
    blend_extent,
    limit_scales,
    round_rings,
};

}  // namespace HEADSPLAT_LEVEL
}  // namespace headsplat
