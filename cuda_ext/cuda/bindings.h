// The CUDA half as functions of a Python module.
#pragma once

namespace nanobind {
class module_;
}

namespace headsplat {
namespace cuda {

void register_functions(nanobind::module_& m);

}  // namespace cuda
}  // namespace headsplat
