// SPDX-License-Identifier: Apache-2.0
//
// `mino syscalls`: the coverage page. Called by main(). It must use nothing but the table of system
// calls and the lists of known differences.

#include "abi/syscalls.h"

#include <algorithm>
#include <cstdio>

#include "cli/commands.h"
#include "cli/differences.h"

namespace mino {

namespace {

const char* route_text(abi::Route route) {
  using enum abi::Route;
  switch (route) {
    case kByFd:
      return "by descriptor";
    case kSocket:
    case kSocketPair:
      return "by address family";
    case kPath:
    case kMount:
    case kPathTwo:
      return "by path";
    case kCwd:
      return "by path; followed";
    case kClose:
    case kCloseRange:
    case kDup:
    case kFcntl:
    case kIoctl:
      return "by descriptor";
    case kEpollCreate:
    case kEpollCtl:
    case kEpollWait:
    case kPoll:
    case kSelect:
      return "by what is waited for";
    case kCopy:
      return "by both descriptors";
    case kMessage:
      return "by descriptor";
    case kFork:
    case kExec:
    case kExit:
    case kSignal:
    case kWait:
    case kFetch:
      return "host, device follows";
    case kMirror:
      return "host, then device";
    case kMap:
      return "by descriptor";
    case kBpf:
      return "by engine";
    case kText:
    case kGuard:
      return "host, checked";
    case kRefuse:
      return "refused";
  }
  return "";
}

const char* support_text(abi::Support support) {
  switch (support) {
    case abi::Support::kFull:
      return "full";
    case abi::Support::kPartial:
      return "partial";
    case abi::Support::kHost:
      return "host";
    case abi::Support::kNone:
      return "none";
  }
  return "";
}

void print_differences(bool as_markdown) {
  const char* intro =
      "Tests that do under mino what they do not natively. Each is checked to fail in just this "
      "way "
      "(test/*/differences.toml).";
  if (as_markdown) {
    std::printf("\n## Known differences\n\n%s\n\n| test | engine | reason |\n| --- | --- | --- |\n",
                intro);
  } else {
    std::printf("\n%s\n\n%-51s %-7s %s\n", intro, "TEST", "ENGINE", "REASON");
  }
  const char* format = as_markdown ? "| %s | %s | %s |\n" : "%-51s %-7s %s\n";
  for (const Difference& difference : known_differences()) {
    std::printf(format, difference.test.c_str(), difference.engines.c_str(),
                difference.reason.c_str());
  }
}

}  // namespace

int syscalls(bool as_markdown) {
  std::vector<const abi::Row*> rows;
  for (const abi::Row& row : abi::kSyscalls) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) { return a->nr < b->nr; });
  if (as_markdown) {
    std::printf(
        "# System calls\n\nMade by `mino syscalls --markdown` from `abi/syscalls.h`. A call that "
        "is not here runs on the host.\n\n| number | name | where it runs | support | note |\n"
        "| ---: | --- | --- | --- | --- |\n");
  } else {
    std::printf("%6s  %-18s %-22s %-8s %s\n", "NUMBER", "NAME", "WHERE IT RUNS", "SUPPORT", "NOTE");
  }
  for (const abi::Row* row : rows) {
    const char* format =
        as_markdown ? "| %u | %s | %s | %s | %s |\n" : "%6u  %-18s %-22s %-8s %s\n";
    std::printf(format, unsigned{row->nr}, row->name, route_text(row->route),
                support_text(row->support), row->note);
  }
  if (!as_markdown) std::printf("%zu calls; every other one runs on the host\n", rows.size());
  print_differences(as_markdown);
  return kOk;
}

}  // namespace mino
