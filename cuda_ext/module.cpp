// The Python module `cuda_ext._C`: the CPU functions, settings of the process, and the CUDA functions as submodule
// `cuda`.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

#include "cpu/bindings.h"
#include "cpu/kernels.h"
#include "cpu/threads.h"
#if defined(HEADSPLAT_CUDA_ARCHITECTURES)
#include "cuda/bindings.h"
#else
#define HEADSPLAT_CUDA_ARCHITECTURES ""
#define HEADSPLAT_WITHOUT_CUDA
#endif

namespace nb = nanobind;
using namespace headsplat;

NB_MODULE(_C, m) {
  nb::set_leak_warnings(false);  // tensors may be freed after the interpreter has unloaded this module
  register_splat(m);
  register_rendered_loss(m);
  register_weights(m);
  register_layer(m);
  register_functions(m);
  m.def("simd_level", [] { return std::string(kernels().name); });
  m.def("set_simd_level", [](const std::string& name) { return set_level(name.c_str()); });
  m.def("keep_freed_memory", &keep_freed_memory);
  m.def("threads", &thread_count);
  m.def("set_threads", &set_thread_count);
  m.def("cuda_architectures", [] { return std::string(HEADSPLAT_CUDA_ARCHITECTURES); });
#if !defined(HEADSPLAT_WITHOUT_CUDA)
  nb::module_ cuda_module = m.def_submodule("cuda");
  cuda::register_functions(cuda_module);
  cuda::register_device(cuda_module);
#endif
}
