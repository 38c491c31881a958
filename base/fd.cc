// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include <algorithm>

namespace mino {

void close_others(std::vector<int> keep, unsigned from) {
  std::sort(keep.begin(), keep.end());
  for (const int fd : keep) {
    const auto number = static_cast<unsigned>(fd);
    if (fd < 0 || number < from) continue;
    if (number > from) ::close_range(from, number - 1, 0);
    from = number + 1;
  }
  ::close_range(from, ~0u, 0);
}

}  // namespace mino
