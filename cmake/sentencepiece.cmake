# sluice_spm: SentencePiece 0.2.1, the parts that encode and decode, static, on the system's protobuf.
#
# The distributions' libsentencepiece carries a protobuf of its own that clashes with libprotobuf in
# one process, and releases after 0.2.1 bring or fetch all of Abseil. Its header defines names inside
# namespace absl, so exactly one file of ours includes it: server/text/sentencepiece_tokenizer.cc.
find_package(Protobuf REQUIRED)

set(SPM_ROOT ${SLUICE_DEPS_DIR}/sentencepiece-0.2.1/sentencepiece)
set(SPM_GENERATED ${CMAKE_BINARY_DIR}/spm)  # config.h and the generated protobuf code
if(NOT EXISTS ${SPM_ROOT}/src/sentencepiece_processor.h)
  message(FATAL_ERROR "SentencePiece's sources are not in ${SLUICE_DEPS_DIR}: run scripts/fetch-deps "
                      "(or set -DSLUICE_DEPS_DIR to where they are unpacked).")
endif()

file(CONFIGURE OUTPUT ${SPM_GENERATED}/config.h CONTENT
"#define VERSION \"0.2.1\"
#define PACKAGE \"sentencepiece\"
#define PACKAGE_STRING \"sentencepiece\"
#define INSTALL_DATADIR \"/nonexistent\"
")
foreach(proto sentencepiece sentencepiece_model)
  add_custom_command(
    OUTPUT ${SPM_GENERATED}/${proto}.pb.cc ${SPM_GENERATED}/${proto}.pb.h
    COMMAND protobuf::protoc --cpp_out=${SPM_GENERATED} -I${SPM_ROOT}/src ${SPM_ROOT}/src/${proto}.proto
    DEPENDS ${SPM_ROOT}/src/${proto}.proto VERBATIM)
endforeach()

set(SPM_SOURCES bpe_model char_model error filesystem model_factory model_interface normalizer
                sentencepiece_processor unigram_model util word_model)
list(TRANSFORM SPM_SOURCES PREPEND ${SPM_ROOT}/src/)
list(TRANSFORM SPM_SOURCES APPEND .cc)
add_library(sluice_spm STATIC ${SPM_SOURCES}
  ${SPM_ROOT}/third_party/absl/flags/flag.cc
  ${SPM_GENERATED}/sentencepiece.pb.cc ${SPM_GENERATED}/sentencepiece_model.pb.cc)
target_include_directories(sluice_spm SYSTEM
  PRIVATE ${SPM_ROOT} ${SPM_ROOT}/third_party
  PUBLIC ${SPM_ROOT}/src ${SPM_GENERATED})
target_compile_definitions(sluice_spm PRIVATE _USE_EXTERNAL_PROTOBUF _USE_INTERNAL_STRING_VIEW)
target_compile_options(sluice_spm PRIVATE -w)
set_target_properties(sluice_spm PROPERTIES CXX_VISIBILITY_PRESET hidden
  VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON CXX_CLANG_TIDY "")
target_link_libraries(sluice_spm PUBLIC protobuf::libprotobuf Threads::Threads)
