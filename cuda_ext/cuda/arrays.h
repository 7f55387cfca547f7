// Array arguments of the CUDA functions: contiguous device arrays from Python through DLPack (CPU arrays in the
// emulator); the stream is passed as an integer.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <cstdint>
#include <optional>
#include <stdexcept>

#include "stream.h"

namespace headsplat {
namespace cuda {

namespace nb = nanobind;

#if defined(HEADSPLAT_EMULATE)
using Device = nb::device::cpu;
#else
using Device = nb::device::cuda;
#endif

template <class T>
using Array = nb::ndarray<T, nb::c_contig, Device>;
using In = Array<const float>;
using Out = Array<float>;
using Indices = Array<const int64_t>;
using Labels = Array<int32_t>;
using Bytes = Array<const uint8_t>;
using Scratch = Array<uint8_t>;
using Released = nb::call_guard<nb::gil_scoped_release>;

template <class Any>
auto sized(const Any& array, size_t size) {
  if (array.size() != size) throw std::invalid_argument("native kernel: an array has the wrong number of elements");
  return array.data();
}

template <class Any>
auto sized(const std::optional<Any>& array, size_t size) -> decltype(array->data()) {
  return array ? sized(*array, size) : nullptr;
}

// Temporary memory of at least `bytes`.
inline uint8_t* at_least(const Scratch& scratch, size_t bytes) {
  if (scratch.size() < bytes) throw std::invalid_argument("native kernel: the scratch memory is too small");
  return scratch.data();
}

inline Stream stream_of(uintptr_t stream) { return reinterpret_cast<Stream>(stream); }

// Register the rasterizer and the layer; the other functions are registered in bindings.cpp.
void register_splat(nb::module_& m);
void register_layer(nb::module_& m);

}  // namespace cuda
}  // namespace headsplat
