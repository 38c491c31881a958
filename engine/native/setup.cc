// SPDX-License-Identifier: Apache-2.0
#include "engine/native/setup.h"

#include <signal.h>
#include <sys/prctl.h>

#include <initializer_list>

#include "engine/native/gadget.h"

namespace mino {

bool prepare_process() {
  sigset_t blocked;
  ::sigfillset(&blocked);
  // A fault ends the process either way; unblocked, a sanitizer can say where.
  for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP})
    ::sigdelset(&blocked, fault);
  if (::pthread_sigmask(SIG_SETMASK, &blocked, nullptr) != 0) return false;
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_DUMPABLE, 0);
  return install_interrupt_handler();
}

}  // namespace mino
