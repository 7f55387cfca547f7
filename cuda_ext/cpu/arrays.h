// Array arguments of the CPU functions: contiguous CPU arrays from Python through DLPack. Sizes and indices are
// checked only as far as memory safety requires; shapes, dtypes and gradients are checked in avatar/ops.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <tuple>

#include "../math.h"
#include "kernels.h"

namespace headsplat {

namespace nb = nanobind;

using In = nb::ndarray<const Scalar, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<Scalar, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const int64_t, nb::c_contig, nb::device::cpu>;
using Labels = nb::ndarray<int32_t, nb::c_contig, nb::device::cpu>;
using Origins = nb::ndarray<const int32_t, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;
using Flags = nb::ndarray<const bool, nb::c_contig, nb::device::cpu>;
using Basis = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;  // float32 or float16
using Released = nb::call_guard<nb::gil_scoped_release>;

template <class Array>
auto sized(const Array& array, size_t size) {
  if (array.size() != size) throw std::invalid_argument("native kernel: an array has the wrong number of elements");
  return array.data();
}

template <class Array>
auto sized(const std::optional<Array>& array, size_t size) -> decltype(array->data()) {
  return array ? sized(*array, size) : nullptr;
}

// Faces, inverses, weights, starts, corners, rows, vertices.
using MeshArrays = std::tuple<Indices, In, In, Indices, Indices, Indices, Indices>;

inline StretchMesh mesh_of(const MeshArrays& arrays) {
  const auto& [faces, inverse, weights, starts, corners, rows, vertices] = arrays;
  const size_t face_count = faces.shape(0), vertex_count = rows.shape(0);
  return {sized(faces, 3 * face_count),
          sized(inverse, 3 * face_count),
          sized(weights, 3 * face_count),
          sized(starts, vertex_count + 1),
          sized(corners, 3 * face_count),
          rows.data(),
          vertices.data(),
          static_cast<int>(vertex_count),
          static_cast<int>(face_count),
          static_cast<int>(vertices.shape(0)),
          nullptr};
}

// 0 for plain colors [B,N,3], the number of terms D for spherical-harmonic coefficients [B,N,D,3].
inline int sh_terms_of(const In& colors) {
  if (colors.ndim() != 4) return 0;
  const size_t terms = colors.shape(2);
  if (terms != 1 && terms != 4 && terms != 9 && terms != 16)
    throw std::invalid_argument("native kernel: spherical harmonics must have 1, 4, 9 or 16 terms");
  return static_cast<int>(terms);
}

}  // namespace headsplat
