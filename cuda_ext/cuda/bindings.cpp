// Every CUDA function on one screen: the names and arguments of the CPU ones in ../bindings.cpp, then scratch memory
// where a kernel needs any, then the stream. Nothing here allocates or waits for the device.
#include "bindings.h"

#include "arrays.h"

namespace headsplat {
namespace cuda {

void register_functions(nb::module_& m) {
  (void)m;
#if defined(HEADSPLAT_HAS_SPLAT)
  register_splat(m);
#endif
}

}  // namespace cuda
}  // namespace headsplat
