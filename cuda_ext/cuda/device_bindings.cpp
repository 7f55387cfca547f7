// Query of the CUDA driver. It creates no context, so it takes no device memory; but it initializes the driver, and
// processes forked afterwards cannot use CUDA.
#include <cuda_runtime_api.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <tuple>
#include <vector>

#include "bindings.h"

namespace nb = nanobind;

namespace headsplat {
namespace cuda {
namespace {

using Capability = std::tuple<int, int>;  // major, minor

// Version of the runtime, newest version that the driver supports (0 without a driver), compute capability of each
// device, and CUDA's error message when the devices cannot be listed.
std::tuple<int, int, std::vector<Capability>, std::string> device_state() {
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();  // or the next launch would report it
    return {CUDART_VERSION, driver, {}, cudaGetErrorString(error)};
  }
  std::vector<Capability> devices;
  for (int device = 0; device < count; ++device) {
    int major = 0, minor = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
    devices.emplace_back(major, minor);
  }
  return {CUDART_VERSION, driver, devices, ""};
}

}  // namespace

void register_device(nb::module_& m) { m.def("device_state", &device_state); }

}  // namespace cuda
}  // namespace headsplat
