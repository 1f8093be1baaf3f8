# embed_pages: writes OUTPUT, a .cc with NAME_page() for each PAGES/NAME.html, whose bytes it holds.
set(text "// Written by cmake/embed_pages.cmake.\n#include \"server/http/page.h\"\n\nnamespace sluice {\n")
foreach(page IN LISTS PAGES)
  get_filename_component(name ${page} NAME_WE)
  file(READ ${page} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  string(APPEND text "namespace {\nconstexpr char k_${name}[] = {${bytes}};\n}\n"
    "std::string_view ${name}_page() { return {k_${name}, sizeof k_${name}}; }\n")
endforeach()
string(APPEND text "}  // namespace sluice\n")
file(WRITE ${OUTPUT} "${text}")
