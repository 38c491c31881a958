# SPDX-License-Identifier: Apache-2.0
# cmake -DHEADER=uapi.h -DLIST=FILE -P uapi_names.cmake: an entry {"NAME", value} for each constant that the
# header defines itself; {"NAME", kAbsent} where the including file does not know the name. Run by the build.
file(STRINGS ${HEADER} lines REGEX "^#define [A-Za-z_0-9]+ [0-9]")
set(text "")
foreach(line ${lines})
  string(REGEX REPLACE "^#define ([A-Za-z_0-9]+) .*" "\\1" name "${line}")
  string(APPEND text "#ifdef ${name}\n{\"${name}\", ${name}},\n#else\n{\"${name}\", kAbsent},\n#endif\n")
endforeach()
file(WRITE ${LIST} "${text}")
