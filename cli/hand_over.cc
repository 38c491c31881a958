// SPDX-License-Identifier: Apache-2.0
#include "cli/hand_over.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"

namespace mino {

std::string HandOver::text(bool user_preload) const {
  std::vector<std::string> families, netlinks, paths = policy.network_paths();
  for (const std::string& name : policy.families) {
    const int number = family_number(name).value_or(0);
    if (number == 0) continue;
    families.push_back(std::to_string(number));
    if (number != AF_NETLINK) continue;
    for (const int protocol : kNetworkNetlinks) netlinks.push_back(std::to_string(protocol));
  }
  for (const std::string& path : policy.paths) {
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  }
  return "v=1;sock=" + socket + ";hook=" + hook + ";windows=" + (windows ? "1" : "0") +
         ";arena=" + std::to_string(arena_bytes) + ";trace=" + std::to_string(trace_fd) +
         ";families=" + join(families, ",") + ";netlinks=" + join(netlinks, ",") +
         ";paths=" + join(paths, ":") + ";orig=" + (user_preload ? "1" : "0") +
         ";instance=" + std::to_string(instance) + ";netns=" + (netns ? "1" : "0") +
         ";load=" + (load_all ? "1" : "0") + ";rest=" + std::to_string(rest_after);
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
