// The CUDA kernels as functions of a Python module.
#pragma once

namespace nanobind {
class module_;
}

namespace headsplat {
namespace cuda {

void register_functions(nanobind::module_& m);

// Registers device_state(): versions and devices reported by the driver; see cuda_ext/__init__.py.
void register_device(nanobind::module_& m);

}  // namespace cuda
}  // namespace headsplat
