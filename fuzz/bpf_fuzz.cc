// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target: the interpreter of seccomp filters. It must end, and stay inside its program,
// whatever that is; and it must answer the same call in the same way.
#include "fuzz/input.h"
#include "hook/state/bpf.h"

using namespace mino;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  seccomp_data call{};
  input.bytes(&call, sizeof call);
  const uint32_t count = static_cast<uint32_t>(input.left() / sizeof(sock_filter));
  auto* const code = new sock_filter[count];  // of exactly this size, for the sanitizer
  input.bytes(code, count * sizeof *code);
  const uint32_t answer = hook::run_bpf(code, count, call);
  REQUIRE(hook::run_bpf(code, count, call) == answer);
  delete[] code;
  return 0;
}
