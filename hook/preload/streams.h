// SPDX-License-Identifier: Apache-2.0
//
// stdio on offloaded files. libc reads and writes a stream's descriptor where nothing is seen, so
// these are streams of fopencookie(3), whose functions make their calls through the hook. Used by
// start.cc.
#pragma once

namespace mino::hook {

// Gives stdin, stdout and stderr such a stream if their descriptor is an offloaded file.
void prepare_streams();

}  // namespace mino::hook
