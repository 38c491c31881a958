# SPDX-License-Identifier: Apache-2.0
# What `cmake --install BUILD --prefix PREFIX` copies. Included at the end of the top
# CMakeLists.txt. PREFIX may be moved afterwards, because base/parts.h finds everything from the
# running program. A folder that a program must know is in base/install_dirs.h.in too.
install(TARGETS mino RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS minod RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
if(MINO_HOOK)
  # Executable, which Debian's libraries are not: a static program is started by executing it.
  install(TARGETS minoc minoc-preload LIBRARY DESTINATION ${MINO_INSTALL_PRIVATEDIR}
    PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
endif()
# The linux engine's kernel, init included, if somebody has built it. vmlinux, the same kernel with
# symbols, is for developers and is not installed. (OPTIONAL would leave an empty folder.)
install(CODE "if(EXISTS \"${PROJECT_BINARY_DIR}/kernel/linux\")
  file(INSTALL \"${PROJECT_BINARY_DIR}/kernel/linux\"
    PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE
    DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${MINO_INSTALL_PRIVATEDIR}/kernel\")
endif()")

# The unit names the prefix, known only at installation. systemd's folder is always lib.
install(CODE "get_filename_component(CMAKE_INSTALL_PREFIX \"\${CMAKE_INSTALL_PREFIX}\" ABSOLUTE)
  set(CMAKE_INSTALL_SBINDIR \"${CMAKE_INSTALL_SBINDIR}\")
  set(CMAKE_INSTALL_DOCDIR \"${CMAKE_INSTALL_DOCDIR}\")
  configure_file(\"${PROJECT_SOURCE_DIR}/packaging/minod.service.in\"
    \"${PROJECT_BINARY_DIR}/packaging/minod.service\" @ONLY)")
install(FILES ${PROJECT_BINARY_DIR}/packaging/minod.service DESTINATION lib/systemd/system)

install(FILES packaging/minod.toml DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES README.md ARCHITECTURE.md CONTRIBUTING.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY doc DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")
if(EXISTS ${PROJECT_SOURCE_DIR}/LICENSES)
  install(DIRECTORY LICENSES DESTINATION ${CMAKE_INSTALL_DOCDIR})
endif()
