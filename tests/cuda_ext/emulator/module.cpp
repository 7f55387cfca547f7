// The CUDA functions as a Python module that runs on the CPU, the emulator's switch, and its self-tests.
#include "arrays.h"
#include "bindings.h"
#include "selftest.h"
#include "threads.h"

namespace nb = nanobind;
using headsplat::cuda::Array;
using Counts = Array<int32_t>;
using Words = Array<uint32_t>;

NB_MODULE(headsplat_emulated, m) {
  nb::set_leak_warnings(false);
  headsplat::cuda::register_functions(m);
  m.def("set_reversed", &emulator::set_reversed);
  m.def("warp_intrinsics",
        [](const Counts& out) { emulator::launch_warp_intrinsics(out.data(), static_cast<int>(out.shape(0))); });
  m.def("ring_shift", [](int rounds, const Counts& out, const Counts& votes) {
    emulator::launch_ring_shift(rounds, out.data(), votes.data(), static_cast<int>(out.size()));
  });
  m.def("launch_invalid", &emulator::launch_invalid);
  m.def("sort_and_sum", [](const Words& keys, const Words& values, const Words& keys_out, const Words& values_out,
                           const Words& sums, int end_bit) {
    emulator::run_sort_and_sum(keys.data(), values.data(), keys_out.data(), values_out.data(), sums.data(),
                               static_cast<int>(keys.size()), end_bit);
  });
}
