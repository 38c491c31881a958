# SPDX-License-Identifier: Apache-2.0
# What `cmake --install BUILD --prefix PREFIX` copies. Included at the end of the top CMakeLists.txt.
# PREFIX may be moved afterwards: base/parts.h finds everything from the running program. Folders that
# a program must know are in base/install_dirs.h.in too.
install(TARGETS mino RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS minod RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
if(MINO_HOOK)
  # Executable, which Debian's libraries are not: static programs are started by executing it.
  install(TARGETS minoc minoc-preload LIBRARY DESTINATION ${MINO_INSTALL_PRIVATEDIR}
    PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
endif()
# The linux engine's kernel, init included, if somebody has built it. vmlinux, its twin with symbols, is for
# developers and stays. (OPTIONAL would leave an empty folder.)
install(CODE "if(EXISTS \"${PROJECT_BINARY_DIR}/kernel/linux\")
  file(INSTALL \"${PROJECT_BINARY_DIR}/kernel/linux\" USE_SOURCE_PERMISSIONS
    DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${MINO_INSTALL_PRIVATEDIR}/kernel\")
endif()")

# The unit names the prefix, which is known at the installation only. systemd's folder is lib everywhere.
install(CODE "set(CMAKE_INSTALL_SBINDIR \"${CMAKE_INSTALL_SBINDIR}\")
  set(CMAKE_INSTALL_DOCDIR \"${CMAKE_INSTALL_DOCDIR}\")
  configure_file(\"${PROJECT_SOURCE_DIR}/packaging/minod.service.in\"
    \"${PROJECT_BINARY_DIR}/packaging/minod.service\" @ONLY)")
install(FILES ${PROJECT_BINARY_DIR}/packaging/minod.service DESTINATION lib/systemd/system)

install(FILES packaging/minod.toml DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES README.md ARCHITECTURE.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
install(DIRECTORY doc DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")
if(EXISTS ${PROJECT_SOURCE_DIR}/LICENSES)
  install(DIRECTORY LICENSES DESTINATION ${CMAKE_INSTALL_DOCDIR})
endif()
