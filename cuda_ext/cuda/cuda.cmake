# The CUDA half, when a usable nvcc is here: defines the object library kernels_cuda and the list cuda_sources, and sets
# HEADSPLAT_WITH_CUDA. Without nvcc the module is built for the processor alone; that is never an error unless
# HEADSPLAT_CUDA=ON asked for it.
set(HEADSPLAT_WITH_CUDA OFF)
if(NOT DEFINED HEADSPLAT_CUDA)
  set(HEADSPLAT_CUDA AUTO CACHE STRING "CUDA kernels: AUTO when nvcc is found, ON or OFF")
endif()
string(TOUPPER "${HEADSPLAT_CUDA}" wanted)
if(wanted STREQUAL "AUTO" AND NOT "$ENV{HEADSPLAT_CUDA}" STREQUAL "")
  string(TOUPPER "$ENV{HEADSPLAT_CUDA}" wanted)  # a pip install passes no options; not kept for the next one
endif()

function(without_cuda why)
  if(wanted STREQUAL "AUTO")
    message(STATUS "headsplat: no CUDA kernels (${why}); the CPU kernels are built")
  else()
    message(FATAL_ERROR "headsplat: HEADSPLAT_CUDA=${wanted} asked for CUDA kernels, but ${why}")
  endif()
endfunction()

if(wanted MATCHES "^(OFF|0|FALSE|NO)$")
  message(STATUS "headsplat: CUDA kernels are switched off (HEADSPLAT_CUDA=${wanted})")
  return()
endif()

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(HEADSPLAT_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin PATHS /usr/local/cuda/bin)
  mark_as_advanced(HEADSPLAT_NVCC)
  if(HEADSPLAT_NVCC)
    set(ENV{CUDACXX} "${HEADSPLAT_NVCC}")
  endif()
endif()
if(NOT CMAKE_CUDA_COMPILER)
  unset(CMAKE_CUDA_COMPILER CACHE)  # a toolkit may have come since the last time
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  without_cuda("no nvcc that compiles was found; set CUDACXX to one")
  return()
endif()

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
  # A100 and its family, H100, and code that later devices translate for themselves.
  set(CMAKE_CUDA_ARCHITECTURES "80-real;90-real;90-virtual")
endif()
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
enable_language(CUDA)
find_package(CUDAToolkit QUIET)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 11.8 OR NOT TARGET CUDA::cudart_static)
  without_cuda("nvcc 11.8 or newer with the static runtime is needed, found ${CMAKE_CUDA_COMPILER_VERSION}")
  return()
endif()

set(HEADSPLAT_WITH_CUDA ON)
file(GLOB cuda_kernels CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.cu")
file(GLOB cuda_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.cpp")
add_library(kernels_cuda OBJECT ${cuda_kernels})
# Never --use_fast_math: NaN and infinity are inputs these kernels must survive.
target_compile_options(kernels_cuda PRIVATE -O3 --expt-relaxed-constexpr)
set_target_properties(kernels_cuda PROPERTIES CUDA_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
message(STATUS "headsplat: CUDA kernels for ${CMAKE_CUDA_ARCHITECTURES} by nvcc ${CMAKE_CUDA_COMPILER_VERSION}")
