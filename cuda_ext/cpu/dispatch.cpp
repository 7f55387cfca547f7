// Selects the instruction-set level at run time: the best of this processor, or the one named by HEADSPLAT_SIMD.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "kernels.h"

#if defined(_MSC_VER) && defined(_M_X64)
#include <immintrin.h>
#include <intrin.h>
#elif defined(HEADSPLAT_X86)
#include <cpuid.h>
#endif

namespace headsplat {

namespace portable {
extern const Kernels table;
}
#if defined(HEADSPLAT_X86)
namespace v2 {
extern const Kernels table;
}
namespace v3 {
extern const Kernels table;
}
namespace v4 {
extern const Kernels table;
}
#elif defined(HEADSPLAT_ARM)
namespace neon {
extern const Kernels table;
}
#endif

namespace {

#if defined(HEADSPLAT_X86)
#if defined(_MSC_VER)
// 2, 3 or 4 for x86-64-v2, v3 or v4, 0 for less; the operating system must also save the wide registers.
int processor_level() {
  int one[4], seven[4];
  __cpuid(one, 1);
  __cpuidex(seven, 7, 0);
  const bool sse42 = (one[2] >> 20 & 1) && (one[2] >> 23 & 1);
  const bool saved = (one[2] >> 27 & 1) && (one[2] >> 28 & 1);
  const unsigned long long state = saved ? _xgetbv(0) : 0;
  const bool avx2 =
      (state & 6) == 6 && (one[2] >> 12 & 1) && (one[2] >> 29 & 1) && (seven[1] >> 5 & 1) && (seven[1] >> 8 & 1);
  const int wide = (1 << 16) | (1 << 17) | (1 << 28) | (1 << 30) | static_cast<int>(1u << 31);
  const bool avx512 = (state & 0xe6) == 0xe6 && (seven[1] & wide) == wide;
  return avx2 && avx512 ? 4 : avx2 ? 3 : sse42 ? 2 : 0;
}
#else
// F16C; not every compiler's __builtin_cpu_supports knows it.
bool has_half_floats() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1u);
}

int processor_level() {
  __builtin_cpu_init();
  const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && has_half_floats();
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return v4 ? 4 : v3 ? 3 : v2 ? 2 : 0;
}
#endif
#endif

const Kernels* find_table(const char* name) {
  if (std::strcmp(name, "portable") == 0) return &portable::table;
#if defined(HEADSPLAT_X86)
  const int level = processor_level();
  if (level >= 2 && std::strcmp(name, "v2") == 0) return &v2::table;
  if (level >= 3 && std::strcmp(name, "v3") == 0) return &v3::table;
  if (level >= 4 && std::strcmp(name, "v4") == 0) return &v4::table;
#elif defined(HEADSPLAT_ARM)
  if (std::strcmp(name, "neon") == 0) return &neon::table;
#endif
  return nullptr;
}

const Kernels* best_table() {
#if defined(HEADSPLAT_X86)
  switch (processor_level()) {
    case 4:
      return &v4::table;
    case 3:
      return &v3::table;
    case 2:
      return &v2::table;
    default:
      break;
  }
#elif defined(HEADSPLAT_ARM)
  return &neon::table;
#endif
  return &portable::table;
}

// A level that the processor lacks is ignored.
const Kernels* initial_table() {
  const char* name = std::getenv("HEADSPLAT_SIMD");
  const Kernels* named = name ? find_table(name) : nullptr;
  return named ? named : best_table();
}

std::atomic<const Kernels*> chosen{nullptr};

}  // namespace

const Kernels& kernels() {
  const Kernels* table = chosen.load(std::memory_order_acquire);
  if (!table) {
    table = initial_table();
    chosen.store(table, std::memory_order_release);
  }
  return *table;
}

bool set_level(const char* name) {
  const Kernels* table = find_table(name);
  if (table) chosen.store(table, std::memory_order_release);
  return table != nullptr;
}

}  // namespace headsplat
