# SPDX-License-Identifier: Apache-2.0
"""For tidy_test.py: a small tree that is in order, and what makes it bad, by rule."""
# REUSE-IgnoreStart: the licence heads below are samples.

LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"

GOOD = {
    ".clang-format": "BasedOnStyle: Google\nColumnLimit: 100\nReflowComments: false\n",
    "ARCHITECTURE.md": "# Architecture\n\n" + "word " * 15 +
                       "\nThe life of a call begins in `hook/dispatch.cc`; see doc/terms.md.\n",
    "doc/terms.md": "# Terms\n\n"
                    "[The picture](../ARCHITECTURE.md), `hook/base/`, raw.h, Linux's net/socket.c, mm/mmap.c.\n",
    "abi/layout.h": LICENCE + "//\n// The layout.\n#pragma once\n",
    "base/fd.h": LICENCE + "#pragma once\n",
    "channel/lane.h": LICENCE + '#pragma once\n#include "abi/layout.h"\n#include "base/fd.h"\n',
    "engine/CMakeLists.txt": "file(GLOB sources *.cc)\n"
                             "list(FILTER tests INCLUDE REGEX \"_test\\\\.cc$\")\n",
    "engine/engine.cc": LICENCE + '#include "channel/lane.h"\n',
    "engine/engine_test.cc": LICENCE + '#include "engine/testing/client.h"\n',
    "engine/testing/client.h": LICENCE + "#pragma once\n",
    "hook/CMakeLists.txt": "file(GLOB s dispatch.cc state/*.cc calls/*.cc catch/*.S preload/*.cc)\n"
                           "add_executable(hook_test state/thread_test.cc)\n"
                           "set(made generated/hook/offsets.h)\n",
    "hook/base/raw.h": LICENCE + "#pragma once\n\ninline long raw(long nr) { return nr; }\n",
    "hook/base/uapi.h": LICENCE + "#pragma once\n\n#include <linux/fcntl.h>\n\n"
                                  "#define AF_UNIX 1\n#define AF_INET 2\n",
    "hook/state/thread.h": LICENCE + '''//
// A thread, entered in hook/state/thread.cc. The calls are in hook/calls/wait and raw.h.
#pragma once

#include "hook/base/raw.h"

extern "C" __attribute__((visibility("hidden"))) void mino_enter();

namespace mino::hook {

struct Thread {
  explicit Thread(int id);
  ~Thread();
  int id() const { return id_; }
  void (*handler)(int);
  long waited[sizeof(long) + 1];
  int id_ = 0;
};

[[nodiscard]] bool enter(Thread* thread, const char* how = "C");
inline int one() { return 1; }
template <typename T>
T identity(T of) {
  return of;
}

}  // namespace mino::hook
''',
    "hook/state/thread.cc": LICENCE + '''#include "hook/state/thread.h"

#include "hook/base/uapi.h"

void mino_enter() {}

namespace mino::hook {

namespace {

constexpr long kRoom = 1'000, kMost = kRoom + 24;
constexpr int kSurely = O_CLOEXEC;

}  // namespace

Thread::Thread(int id) : id_{id} {}
Thread::~Thread() = default;

bool enter(Thread* thread, const char* how) { return thread->id() == 3 || how[0] == '{'; }

}  // namespace mino::hook
''',
    "hook/state/thread_test.cc": LICENCE + '#include "hook/calls/wait.h"\n',
    "hook/catch/entry.h": LICENCE + '#pragma once\n\nextern "C" long mino_entry(long a);\n',
    "hook/catch/entry.S": LICENCE + '#include "hook/offsets.h"\nmino_entry:\n        ret\n',
    "hook/calls/wait.h": LICENCE + '#pragma once\n\n#include "hook/state/thread.h"\n',
    "hook/calls/wait.cc": LICENCE + '''#include "hook/calls/wait.h"

#include "hook/base/uapi.h"

int route(const Row& row) {
  if (row.nr == __NR_wait4) return 1;
  switch (row.nr) {
    case __NR_waitid:
      return 2;
  }
  switch (row.kind) {
    case 3:
      return 4;
  }
  return 0;
}
''',
    "hook/dispatch.cc": LICENCE + '#include "hook/calls/wait.h"\n',
    "hook/preload/libc.h": LICENCE + '#pragma once\n\n#include "hook/calls/wait.h"\n\n'
                                     'int far_away();\n',
    "hook/preload/libc.cc": LICENCE + '#include "hook/preload/libc.h"\n',
    "kernel/Makefile": "sources := $(wildcard $(src)/usrcall*.c)\n",
    "kernel/usrcall.c": "// SPDX-License-Identifier: GPL-2.0\n/*\n * The driver:\n *\n"
                        " *   usrcall.c       the manager\n"
                        ' *   usrcall_lane.c  a lane\n */\n#include "usrcall_lane.h"\n',
    "kernel/usrcall_lane.h": "/* SPDX-License-Identifier: GPL-2.0 */\n"
                             "int   usrcall_lane( void );\n",
    "kernel/usrcall_lane.c": '// SPDX-License-Identifier: GPL-2.0\n#include "usrcall_lane.h"\n',
    "fuzz/CMakeLists.txt": "mino_fuzz(walk SOURCES engine/engine.cc)\n",
    "fuzz/walk_fuzz.cc": LICENCE + '#include "engine/testing/client.h"\n',
}


def more(name, text):
    """A good file and what makes it bad."""
    return {name: GOOD[name] + text}


def source(name, text):
    return {name: LICENCE + text}


# {rule: [(name of the sample, what is put into the tree, part of the message)]}
BAD = {
    "heads": [
        ("no_licence", {"base/fd.h": "#pragma once\n"}, "base/fd.h:1: the first line is the SPDX"),
        ("not_executable", {"test/run.sh": "#!/bin/sh\n"}, "test/run.sh:1: it has a #! line"),
        ("too_long", more("base/fd.h", "// One more.\n" * 600), "longer than 600 lines"),
    ],
    "width": [
        ("wide_comment", more("base/fd.h", "// " + "x" * 98 + "\n"), "base/fd.h:3: 101 columns"),
        ("wide_c", more("kernel/usrcall_lane.c", "\t" * 12 + "x" * 5 + "\n"), "101 columns"),
        ("wide_assembly", more("hook/catch/entry.S", "// " + "x" * 118 + "\n"), "121 columns"),
    ],
    "bans": [
        ("heap", more("hook/calls/wait.cc", "\nvoid* heap() { return malloc(1); }\n"), "no heap"),
        ("libc",
         source("hook/calls/wait.cc", '#include "hook/calls/wait.h"\n\n#include <string>\n'),
         "no libc"),
        ("thread_local",
         more("hook/preload/libc.cc", "\nthread_local int one;\n"),
         "no thread-local"),
        ("plain_data",
         more("abi/layout.h", "\nstruct A {\n  virtual int f();\n};\n"),
         "plain data"),
        ("unfinished", more("base/fd.h", "// TO" + "DO\n"), "finish it"),
    ],
    "arrows": [
        ("part",
         more("channel/lane.h", '#include "engine/engine.h"\n')
         | source("engine/engine.h", "#pragma once\n"),
         "channel/ may not include engine/"),
        ("part_to_test",
         more("channel/lane.h", '#include "test/check.h"\n')
         | source("test/check.h", "#pragma once\n"),
         "channel/ may not include test/"),
        ("testing",
         more("engine/engine.cc", '#include "engine/testing/client.h"\n'),
         "is test code"),
        ("room_above",
         {"hook/state/thread.cc": GOOD["hook/state/thread.cc"].replace("base/uapi.h", "calls/up.h")}
         | source("hook/calls/up.h", "#pragma once\n"),
         "hook/state/thread.cc:4: hook/state may not include hook/calls: it is above"),
        ("room_above_of_assembly",
         more("hook/catch/entry.S", '#include "hook/start/load.h"\n')
         | source("hook/start/load.h", "#pragma once\n"),
         "hook/catch/entry.S:5: hook/catch may not include hook/start"),
        ("dispatcher",
         source("hook/calls/up.cc", '#include "hook/dispatch.h"\n')
         | source("hook/dispatch.h", "#pragma once\n"),
         "hook/calls may not include hook/dispatch"),
        ("preload_to_dispatcher",
         source("hook/preload/libc.cc", '#include "hook/dispatch.h"\n')
         | source("hook/dispatch.h", "#pragma once\n"),
         "preload/ may not include hook/dispatch.h"),
        ("to_preload",
         more("hook/dispatch.cc", '#include "hook/preload/libc.h"\n'),
         "may not include hook/preload/"),
        ("no_room",
         source("hook/loose.h", "#pragma once\n"),
         "hook/loose.h:1: hook/ has the rooms"),
        ("circle",
         source("hook/calls/a.h", '#pragma once\n\n#include "hook/calls/b.h"\n')
         | source("hook/calls/b.h", "#pragma once\n")
         | source("hook/calls/b.cc", '#include "hook/calls/a.h"\n'),
         "include each other: hook/calls/a, hook/calls/b"),
        ("driver_above",
         more("kernel/usrcall_lane.c", '#include "usrcall.h"\n')
         | {"kernel/usrcall.h": "/* SPDX-License-Identifier: GPL-2.0 */\n"},
         "it is above"),
        ("driver_unlisted",
         {"kernel/usrcall_new.c": "// SPDX-License-Identifier: GPL-2.0\n"},
         "not listed at the head"),
    ],
    "declarations": [
        ("undefined",
         source("hook/calls/wait.h", "#pragma once\n\nlong wait_for(int fd);\n"),
         "hook/calls/wait.h:4: wait_for is defined"),
        ("defined_elsewhere",
         source("hook/calls/wait.h", "#pragma once\n\nlong wait_for(int fd);\n")
         | source("hook/calls/other.cc", "long wait_for(int fd) { return fd; }\n"),
         "wait_for is defined neither in wait.cc"),
        ("only_called",
         source("hook/calls/wait.h", "#pragma once\n\nlong wait_for(int fd);\n")
         | source("hook/calls/wait.cc", "long other(int fd) { return wait_for(fd); }\n"),
         "wait_for is defined"),
        ("undefined_member",
         source("hook/calls/wait.h", "#pragma once\n\nstruct Wait {\n  bool over() const;\n};\n"),
         "Wait::over is defined"),
        ("undefined_label",
         more("hook/catch/entry.h", 'extern "C" void mino_gone();\n'),
         "mino_gone is defined"),
    ],
    "constants": [
        ("number",
         more("hook/calls/wait.cc", "\nbool is(const Row& row) { return row.nr == 61; }\n"),
         "hook/calls/wait.cc:19: the number of a call is compared"),
        ("number_elsewhere",
         more("engine/engine.cc", "\nbool is(const Row& row) { return row.nr == 61; }\n"),
         "engine/engine.cc:4: the number of a call is compared"),
        ("number_first",
         more("hook/calls/wait.cc", "\nbool is(const Row* row) { return 0x3d <= row->nr; }\n"),
         "the number of a call is compared"),
        ("number_range",
         more("hook/calls/wait.cc", "\nbool is(long nr) { return nr < 200; }\n"),
         "the number of a call is compared"),
        ("number_case",
         more("hook/calls/wait.cc", "\nint is(Row* row) {\n  switch (row->nr) {\n    case __NR_wait4:\n"
              "    case 247:\n      return 1;\n  }\n  return 0;\n}\n"),
         "hook/calls/wait.cc:22: a case by"),
        ("raw_number",
         more("hook/calls/wait.cc", "\nlong do_it() { return raw(39); }\n"),
         "a raw call by a literal"),
        ("again",
         more("hook/calls/wait.cc", "\nconstexpr int kFGetFd = 1;\n"),
         "kFGetFd is the kernel's F_GETFD"),
        ("again_listed",
         more("hook/calls/wait.cc", "\nconstexpr long kRoomOfTheSmallest = 5, kRoomOfTheLargest = 6000, "
              "kRoomOfAll = 70000, kNo = 8,\n               kOCloexec = 02000000;\n"),
         "hook/calls/wait.cc:20: kOCloexec is the kernel's O_CLOEXEC"),
        ("again_short",
         more("hook/calls/wait.cc", "\nconstexpr u64 kSymlinkNofollow = u64{0x100};\n"),
         "AT_SYMLINK_NOFOLLOW"),
        ("again_error",
         more("hook/calls/wait.cc", "\nconstexpr long kNoEnt = -2;\n"),
         "the kernel's ENOENT"),
        ("again_number",
         more("hook/calls/wait.cc", "\nconstexpr long kWaitid = 247;\n"),
         "the kernel's __NR_waitid"),
        ("again_macro",
         more("hook/catch/entry.S", "#define NR_VFORK 58\n"),
         "the kernel's __NR_vfork"),
        ("again_told",
         more("hook/calls/wait.cc", "\nconstexpr long kOurs = 0x1000;  // AT_EMPTY_PATH\n"),
         "the kernel's AT_EMPTY_PATH"),
        ("again_of_uapi",
         more("hook/calls/wait.cc", "\nconstexpr int kUnix = 1;\n"),
         "the kernel's AF_UNIX"),
        ("one_name_twice",
         more("hook/calls/wait.cc", "\nconstexpr int kPrettyMask = 7;\n")
         | more("hook/preload/libc.cc", "\nconstexpr int kPrettyMask = 7;\n"),
         "kPrettyMask has the same value at hook/calls/wait.cc:19"),
        ("uapi_twice",
         more("hook/base/uapi.h", "#define AF_UNIX 1\n"),
         "AF_UNIX is defined in line 6"),
    ],
    "own_calls": [
        ("own_call",
         source("hook/calls/seccomp_front.cc", "constexpr u16 kOwnCalls[] = {\n    __NR_read,\n};\n"
                "constexpr u32 kOwnOptions[] = {PR_SET_NAME};\n")
         | source("hook/calls/wait.cc", "long a() { return raw(__NR_read, 0) + raw(__NR_prctl, PR_SET_NAME, 1); }\n"
                  "bool b(T* ts) { return filters_allow_own(ts, __NR_dup); }\nlong c() { return raw(__NR_dup, 1); }\n"
                  "long d(T* ts) { return mino_interruptible(ts, __NR_pause, nullptr); }\n"),
         "pause does not pass"),
        ("own_option",
         source("hook/calls/seccomp_front.cc", "constexpr u16 kOwnCalls[] = {\n    __NR_read,\n};\n"
                "constexpr u32 kOwnOptions[] = {PR_SET_NAME};\nvoid f(W& w) { w.test(__NR_prctl, 1); }\n")
         | source("hook/calls/wait.cc", "long a() { return raw(__NR_prctl, PR_SET_SECCOMP, 1); }\n"),
         "prctl does not pass"),
    ],
    "paths": [
        ("path",
         more("abi/layout.h", "// Made in hook/gone.cc.\n"),
         "abi/layout.h:5: hook/gone.cc does not exist"),
        ("folder",
         more("abi/layout.h", "// All of hook/beds/ does.\n"),
         "hook/beds does not exist"),
        ("name",
         more("hook/calls/wait.cc", "\n// As lifecycle.cc does.\n"),
         "there is no file lifecycle.cc"),
        ("name_of_two",
         more("abi/layout.h", "// As wait.cc does.\n")
         | source("hook/state/wait.cc", ""),
         "wait.cc may be hook/calls/wait.cc or hook/state/wait.cc"),
        ("document",
         more("doc/terms.md", "See hook/old.h.\n"),
         "doc/terms.md:4: hook/old.h does not exist"),
        ("link", more("doc/terms.md", "[That](../gone.md)\n"), "../gone.md does not exist"),
        ("path_of_build",
         more("fuzz/CMakeLists.txt", "# For fuzz/corpus.h.\n"),
         "fuzz/corpus.h does not exist"),
        ("path_of_python",
         {"test/one.py": '"""Of test/two.py."""\n'},
         "test/one.py:1: test/two.py does not exist"),
        ("path_of_shell",
         {"test/one.sh": "true  # as test/two.sh\n"},
         "test/one.sh:1: test/two.sh does not exist"),
    ],
    "documents": [
        ("wide_document",
         more("doc/terms.md", "word " * 20 + "x\n"),
         "doc/terms.md:4: 101 columns"),
        ("long_architecture",
         more("ARCHITECTURE.md", ("word " * 15 + "\n") * 80),
         "words; the most is 1200"),
    ],
    "built": [
        ("nobody_builds",
         source("hook/catch/extra.cc", ""),
         "hook/catch/extra.cc:1: no CMakeLists.txt"),
        ("nobody_tests", source("hook/state/other_test.cc", ""), "who builds it?"),
    ],
    "format": [
        ("format",
         more("base/fd.h", "int   one( );\n"),
         "base/fd.h:3: code should be clang-formatted"),
    ],
}
# REUSE-IgnoreEnd
