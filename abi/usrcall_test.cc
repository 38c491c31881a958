// SPDX-License-Identifier: Apache-2.0
//
// The C header of the contracts says what the C++ headers say.
#include "abi/usrcall.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "abi/layout.h"
#include "abi/parcel.h"
#include "abi/syscalls.h"

namespace mino::abi {
namespace {

template <class A, class B>
constexpr bool same_size = sizeof(A) == sizeof(B);

static_assert(same_size<usrcall_window, Window> && same_size<usrcall_extent, Extent>);
static_assert(same_size<usrcall_submission, Submission> &&
              same_size<usrcall_completion, Completion>);
static_assert(same_size<usrcall_lane_control, LaneControl> &&
              same_size<usrcall_session_header, SessionHeader>);
static_assert(offsetof(usrcall_submission, nr) == offsetof(Submission, nr) &&
              offsetof(usrcall_submission, install_fd) == offsetof(Submission, install_fd) &&
              offsetof(usrcall_submission, kind) == offsetof(Submission, kind) &&
              offsetof(usrcall_submission, flags) == offsetof(Submission, flags) &&
              offsetof(usrcall_submission, window_count) == offsetof(Submission, window_count) &&
              offsetof(usrcall_submission, arch) == offsetof(Submission, arch) &&
              offsetof(usrcall_submission, args) == offsetof(Submission, args) &&
              offsetof(usrcall_submission, windows) == offsetof(Submission, windows));
static_assert(offsetof(usrcall_completion, kind) == offsetof(Completion, kind) &&
              offsetof(usrcall_completion, extent_count) == offsetof(Completion, extent_count) &&
              offsetof(usrcall_completion, result) == offsetof(Completion, result) &&
              offsetof(usrcall_completion, extents) == offsetof(Completion, extents));
static_assert(offsetof(usrcall_lane_control, client_sleeping) ==
                  offsetof(LaneControl, client_sleeping) &&
              offsetof(usrcall_lane_control, cancel_turn) == offsetof(LaneControl, cancel_turn) &&
              offsetof(usrcall_lane_control, device_sleeping) ==
                  offsetof(LaneControl, device_sleeping) &&
              offsetof(usrcall_lane_control, attached) == offsetof(LaneControl, attached) &&
              offsetof(usrcall_lane_control, liveness) == offsetof(LaneControl, liveness) &&
              offsetof(usrcall_lane_control, submission_position) ==
                  offsetof(LaneControl, submission_position) &&
              offsetof(usrcall_lane_control, completion_position) ==
                  offsetof(LaneControl, completion_position));
static_assert(offsetof(usrcall_session_header, device_sleeping) ==
                  offsetof(SessionHeader, device_sleeping) &&
              offsetof(usrcall_session_header, doorbell) == offsetof(SessionHeader, doorbell) &&
              offsetof(usrcall_session_header, arena_bytes) ==
                  offsetof(SessionHeader, arena_bytes));
static_assert(offsetof(usrcall_session_header, lane_states) ==
                  offsetof(SessionHeader, lane_states) &&
              sizeof(usrcall_session_header) == sizeof(SessionHeader) &&
              USRCALL_HEADER == kHeaderBytes);
static_assert(static_cast<int>(USRCALL_NO_LANE) == static_cast<int>(kNoLane) &&
              static_cast<int>(USRCALL_SERVES) == static_cast<int>(kServes) &&
              static_cast<int>(USRCALL_NO_THREAD) == static_cast<int>(kNoThread));
static_assert(USRCALL_SUBMISSIONS == kSubmissionsOffset &&
              USRCALL_COMPLETIONS == kCompletionsOffset && USRCALL_ARENA == kArenaOffset);
static_assert(USRCALL_RING_SLOTS == kRingSlots && USRCALL_MAX_WINDOWS == kMaxWindows &&
              USRCALL_MAX_EXTENTS == kMaxExtents && USRCALL_MAX_LANES == kMaxLanes &&
              USRCALL_MIN_ARENA == kMinArenaBytes && USRCALL_MAX_ARENA == kMaxArenaBytes &&
              USRCALL_MAX_FD == kMaxFd && USRCALL_MAX_SESSIONS == kMaxSessions &&
              USRCALL_VERSION == kVersion);
static_assert(USRCALL_SUBMIT_CALL == static_cast<int>(SubmissionKind::kCall) &&
              USRCALL_SUBMIT_OP == static_cast<int>(SubmissionKind::kOp) &&
              USRCALL_SUBMIT_REPLY == static_cast<int>(SubmissionKind::kUpcallReply));
static_assert(USRCALL_DONE == static_cast<int>(CompletionKind::kDone) &&
              USRCALL_UPCALL_READ == static_cast<int>(CompletionKind::kUpcallRead) &&
              USRCALL_UPCALL_WRITE == static_cast<int>(CompletionKind::kUpcallWrite) &&
              USRCALL_UPCALL_STRING == static_cast<int>(CompletionKind::kUpcallString) &&
              USRCALL_UPCALL_PROBE == static_cast<int>(CompletionKind::kUpcallProbe));
static_assert(USRCALL_OP_FORK == static_cast<int>(Op::kFork) &&
              USRCALL_OP_LIST_FDS == static_cast<int>(Op::kListFds) &&
              USRCALL_OP_LANE_EXIT == static_cast<int>(Op::kLaneExit) &&
              USRCALL_OP_EXPORT == static_cast<int>(Op::kExport) &&
              USRCALL_OP_IMPORT == static_cast<int>(Op::kImport) &&
              USRCALL_OP_NULL == static_cast<int>(Op::kNull) &&
              USRCALL_OP_MAP == static_cast<int>(Op::kMap) &&
              USRCALL_OP_STAND_IN == static_cast<int>(Op::kStandIn) &&
              USRCALL_OP_SET_OWNER == static_cast<int>(Op::kSetOwner) &&
              USRCALL_OP_GET_OWNER == static_cast<int>(Op::kGetOwner) &&
              USRCALL_OP_SETTLE == static_cast<int>(Op::kSettle) &&
              USRCALL_OP_PIPE == static_cast<int>(Op::kPipe) &&
              USRCALL_OP_NEW_USERS == static_cast<int>(Op::kNewUsers) &&
              USRCALL_FOR_HOLDERS == kForHolders);
static_assert(USRCALL_OWNER_THREAD == static_cast<int>(Owner::kThread) &&
              USRCALL_OWNER_PROCESS == static_cast<int>(Owner::kProcess) &&
              USRCALL_OWNER_GROUP == static_cast<int>(Owner::kGroup));
static_assert(std::string_view(USRCALL_PARCEL_TEXT) == kParcelText);
static_assert(static_cast<int>(USRCALL_AWAKE) == static_cast<int>(kAwake) &&
              static_cast<int>(USRCALL_ON_FUTEX) == static_cast<int>(kOnFutex) &&
              static_cast<int>(USRCALL_ON_BELL) == static_cast<int>(kOnBell));

// The driver refuses to dispatch the calls that the table keeps on the host, and none that it
// offloads.
TEST(Usrcall, RefusesWhatTheTableKeepsOnTheHost) {
  std::ifstream file(MINO_SOURCE_DIR "/kernel/usrcall_call.c");
  std::stringstream text;
  text << file.rdbuf();
  const std::string source = text.str();
  const size_t from = source.find("refused[] = {"), to = source.find("};", from);
  ASSERT_NE(from, std::string::npos);
  std::set<std::string> refused;
  const std::string list = source.substr(from, to - from), mark = "__NR_";
  for (size_t at = list.find(mark); at != std::string::npos; at = list.find(mark, at)) {
    at += mark.size();
    const size_t end = list.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_", at);
    refused.insert(list.substr(at, end - at));
  }
  ASSERT_GT(refused.size(), 80u);
  for (const Row& row : kSyscalls) {
    const std::string call(row.name);
    if (row.route == Route::kGuard) continue;  // the hook checks them, the driver refuses some
    EXPECT_EQ(refused.contains(call), stays_on_host(row.route)) << call;
  }
}

}  // namespace
}  // namespace mino::abi
