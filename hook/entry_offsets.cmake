# SPDX-License-Identifier: Apache-2.0
# cmake -DASSEMBLY=FILE -DHEADER=FILE -P entry_offsets.cmake: the lines "->NAME VALUE" of the one as #defines in
# the other. Run by the build (hook/CMakeLists.txt).
file(STRINGS ${ASSEMBLY} lines REGEX "->[A-Z0-9_]+ [0-9]+")
set(text "// Made of hook/catch/entry_offsets.cc by the build.\n#pragma once\n")
foreach(line ${lines})
  string(REGEX REPLACE ".*->([A-Z0-9_]+) ([0-9]+).*" "#define \\1 \\2\n" line "${line}")
  string(APPEND text "${line}")
endforeach()
if(NOT text MATCHES "#define TS_IN_HOOK ")
  message(FATAL_ERROR "${ASSEMBLY}: no offsets in it")
endif()
file(WRITE ${HEADER} "${text}")
