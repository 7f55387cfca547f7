// The CUDA stream a call runs on, named without CUDA's headers so that plain C++ files can pass it on.
#pragma once

struct CUstream_st;

namespace headsplat {
namespace cuda {

using Stream = CUstream_st*;

}  // namespace cuda
}  // namespace headsplat
