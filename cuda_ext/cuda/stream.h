// The type of a CUDA stream, declared without CUDA's headers so that plain C++ files can use it.
#pragma once

struct CUstream_st;

namespace headsplat {
namespace cuda {

using Stream = CUstream_st*;

}  // namespace cuda
}  // namespace headsplat
