// SPDX-License-Identifier: Apache-2.0
#include "cli/differences.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "base/check.h"
#include "differences_text.h"

namespace mino {

namespace {

void append(const char* text, const std::string& folder, const std::string& engines,
            std::vector<Difference>& to) {
  const toml::parse_result list = toml::parse(text);
  CHECK(list);
  const toml::array* entries = list.table()["difference"].as_array();
  if (entries == nullptr) return;
  for (const toml::node& node : *entries) {
    const toml::table& entry = *node.as_table();
    to.push_back({folder + "/" + entry["test"].value_or(""), entry["engine"].value_or(engines),
                  entry["reason"].value_or("")});
  }
}

}  // namespace

std::vector<Difference> known_differences() {
  std::vector<Difference> all;
  append(kSyscallsDifferences, "syscalls", "both", all);
  append(kSelftestsDifferences, "selftests", "linux", all);
  return all;
}

}  // namespace mino
