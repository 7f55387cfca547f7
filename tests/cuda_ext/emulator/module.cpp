// The CUDA half as a module that runs on the processor, with the emulator's own switch.
#include <nanobind/nanobind.h>

#include "bindings.h"
#include "threads.h"

NB_MODULE(headsplat_emulated, m) {
  nanobind::set_leak_warnings(false);
  headsplat::cuda::register_functions(m);
  m.def("set_reversed", &emulator::set_reversed);
}
