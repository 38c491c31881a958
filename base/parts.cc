// SPDX-License-Identifier: Apache-2.0
#include "base/parts.h"

#include <limits.h>
#include <unistd.h>

#include <optional>
#include <string_view>
#include <vector>

#include "base/install_dirs.h"
#include "base/text.h"

namespace mino {

namespace {

struct Where {
  const char* file;       // in the build tree, beside the programs
  const char* directory;  // below a prefix
  const char* target;     // what CMake calls it
};

Where where(Part part) {
  switch (part) {
    case Part::kMino:
      return {"mino", kProgramDir, "mino"};
    case Part::kMinod:
      return {"minod", kDaemonDir, "minod"};
    case Part::kHook:
      return {"libminoc.so", kPrivateDir, "minoc"};
    case Part::kPreloadHook:
      return {"libminoc-preload.so", kPrivateDir, "minoc-preload"};
    case Part::kKernel:
      return {"kernel/linux", kPrivateDir, "kernel"};
  }
  __builtin_unreachable();
}

// The prefix, if a program in this directory can have been installed. Otherwise nothing outside the
// directory is considered: what lies beside /tmp/build may be anybody's.
std::optional<std::string> prefix_of(const std::string& directory) {
  for (const char* tail : {kProgramDir, kDaemonDir}) {
    const std::string end = std::string("/") + tail;
    if (directory.ends_with(end)) return directory.substr(0, directory.size() - end.size());
  }
  return std::nullopt;
}

std::string remedy(Part part, const Where& where, const std::optional<std::string>& prefix,
                   const std::string& directory) {
  if (part == Part::kKernel) {
    const std::string to =
        prefix ? *prefix + "/" + where.directory + "/kernel" : directory + "/kernel";
    return "build it with `kernel/build.sh --output " + to +
           "`, set linux.kernel in minod's configuration, or use --engine native";
  }
  if (prefix) {
    return "install all of mino: `cmake --install BUILD --prefix " +
           (prefix->empty() ? "/" : *prefix) + "`";
  }
  return "build it with `cmake --build " + directory + " --target " + where.target + "`";
}

}  // namespace

Result<std::string> find_part(Part part, const std::string& directory) {
  const Where known = where(part);
  const auto prefix = prefix_of(directory);
  // What lies beside the program comes first: whoever may write there may replace the program too.
  // That need not be true of the prefix: a build folder may be called /tmp/bin.
  std::vector<std::string> places = {directory + "/" + known.file};
  if (prefix) {
    const std::string installed = *prefix + "/" + known.directory + "/" + known.file;
    if (installed != places.front()) places.push_back(installed);
  }
  for (const std::string& place : places) {
    // A file that cannot be reached counts as found: whoever opens it says what is wrong with it.
    if (::access(place.c_str(), F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR)) return place;
  }
  return error(std::string(known.file) + " is not there: looked for " + join(places, " and ") +
               "; " + remedy(part, known, prefix, directory));
}

Result<std::string> find_part(Part part) {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0) return errno_error("/proc/self/exe, from which mino finds its other files");
  const std::string_view whole(path, static_cast<size_t>(n));
  return find_part(part, std::string(whole.substr(0, whole.rfind('/'))));
}

}  // namespace mino
