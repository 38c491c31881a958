// SPDX-License-Identifier: Apache-2.0
#include "cli/hand_over.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "abi/run_variable.h"

namespace mino {

std::string HandOver::text(bool user_preload) const {
  std::vector<int> families, netlinks;
  std::vector<std::string> paths = policy.network_paths();
  for (const std::string& name : policy.families) {
    const int number = family_number(name).value_or(0);
    if (number == 0) continue;
    families.push_back(number);
    if (number == AF_NETLINK)
      netlinks.insert(netlinks.end(), kNetworkNetlinks.begin(), kNetworkNetlinks.end());
  }
  for (const std::string& path : policy.paths) {
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  }
  using enum abi::RunName;
  std::string text;
  abi::RunWriter to(text, abi::RunWriter<std::string>::Start::kEmpty);
  to.number(kVersion, abi::kRunVersion);
  to.text(kSocket, socket.c_str());
  to.text(kHook, hook.c_str());
  to.flag(kWindows, windows);
  to.number(kArena, static_cast<uint64_t>(arena_bytes));
  to.descriptor(kTrace, trace_fd);
  to.set(kFamilies, families);
  to.set(kNetlinks, netlinks);
  to.paths(kPaths, paths);
  to.flag(kUserPreload, user_preload);
  to.number(kInstance, static_cast<uint64_t>(instance));
  to.flag(kNetns, netns);
  to.flag(kLoadAll, load_all);
  to.number(kRestAfter, static_cast<uint64_t>(rest_after));
  return text;
}

std::string with_program(std::string text, const std::string& program) {
  abi::RunWriter(text, abi::RunWriter<std::string>::Start::kAfterOthers)
      .text(abi::RunName::kProgram, program.c_str());
  return text;
}

Result<std::string> preload_value(const std::string& library, const char* old) {
  if (library.find_first_of(" :\t\n$;") != std::string::npos) {
    return error(library +
                 ": the loader cannot preload a library whose path holds blanks, ':', ';' or '$'; "
                 "move mino to "
                 "a directory with a plain name");
  }
  if (::access(library.c_str(), R_OK) != 0) return errno_error(library + " cannot be read");
  if (::access(library.c_str(), X_OK) != 0)
    return errno_error(library + " cannot be executed, as static programs need; chmod 755 it");
  if (old == nullptr || *old == '\0') return library;
  return library + ":" + old;
}

}  // namespace mino
