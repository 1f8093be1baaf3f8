# sluice_xgrammar: XGrammar 0.2.8, which token may come next in a text that a grammar describes.
#
# Its own CMakeLists builds Python bindings whatever it is told, and links by LTO. It brings its two
# dependencies along (picojson, dlpack). Exactly one file of ours includes it:
# server/grammar/token_grammars.cc.
set(XGRAMMAR_ROOT ${SLUICE_DEPS_DIR}/xgrammar-0.2.8)
if(NOT EXISTS ${XGRAMMAR_ROOT}/include/xgrammar/compiler.h)
  message(FATAL_ERROR "XGrammar's sources are not in ${SLUICE_DEPS_DIR}: run scripts/fetch-deps "
                      "(or set -DSLUICE_DEPS_DIR to where they are unpacked).")
endif()

file(GLOB_RECURSE XGRAMMAR_SOURCES CONFIGURE_DEPENDS ${XGRAMMAR_ROOT}/cpp/*.cc)
list(FILTER XGRAMMAR_SOURCES EXCLUDE REGEX "/cpp/tvm_ffi/") # Python's
add_library(sluice_xgrammar STATIC ${XGRAMMAR_SOURCES})
target_include_directories(sluice_xgrammar SYSTEM
  PUBLIC ${XGRAMMAR_ROOT}/include ${XGRAMMAR_ROOT}/3rdparty/dlpack/include
  PRIVATE ${XGRAMMAR_ROOT}/3rdparty/picojson)
target_compile_definitions(sluice_xgrammar PUBLIC XGRAMMAR_ENABLE_CPPTRACE=0 XGRAMMAR_ENABLE_INTERNAL_CHECK=0)
# Its messages name source files: without the path of this build.
target_compile_options(sluice_xgrammar PRIVATE -w -fmacro-prefix-map=${XGRAMMAR_ROOT}/=)
set_target_properties(sluice_xgrammar PROPERTIES CXX_STANDARD 17 CXX_VISIBILITY_PRESET hidden
  VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON CXX_CLANG_TIDY "")
target_link_libraries(sluice_xgrammar PUBLIC Threads::Threads)
