// SPDX-License-Identifier: Apache-2.0
//
// The measured process of `mino bench call`: takes one command per line on standard input, answers
// with numbers on standard output, and sleeps in between. Used by cli/bench_call, which starts it
// natively and under each hook tier. It must not know whether it is offloaded.
//
//   getppid N           ns per getppid(), N times through libc
//   fcntl N             ns per fcntl(F_GETFL) on a TCP socket
//   transfer BYTES N    ns per send() and per recv() of BYTES over a TCP loopback pair: two numbers
#pragma once

namespace mino {

int bench_child();

}  // namespace mino
