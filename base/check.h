// SPDX-License-Identifier: Apache-2.0
//
// CHECK(condition): a programmer's error ends the process, in release builds too. Used outside
// hook/. Never for what a peer does: a peer's errors end its session.
#pragma once

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (0)
