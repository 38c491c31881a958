// SPDX-License-Identifier: Apache-2.0
//
// The files and device nodes of the instance, which a client can name although no program under
// mino is led there: a client of root opens, reads, writes a little and asks each of them. What
// they answer does not matter; with_device.sh sees to it that the same kernel runs afterwards.
#include <dirent.h>
#include <fcntl.h>
#include <linux/vt.h>
#include <sys/ioctl.h>

#include <array>
#include <string>
#include <vector>

#include "test/linux_engine/device.h"

namespace mino::test {
namespace {

constexpr int kFile = 30;

struct Entry {
  std::string path;
  unsigned char type;
};

std::vector<Entry> entries(LaneClient& lane, const std::string& folder) {
  std::vector<Entry> found;
  if (lane.call(SYS_openat, {static_cast<uint64_t>(AT_FDCWD), ptr(folder.c_str()), O_DIRECTORY, 0},
                kFile) != kFile) {
    return found;
  }
  alignas(8) std::array<char, 16384> names;
  int64_t n;
  while ((n = lane.call(SYS_getdents64, {kFile, ptr(names.data()), names.size()})) > 0) {
    for (int64_t at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const dirent64*>(names.data() + at);
      const std::string name = entry->d_name;
      if (name != "." && name != "..") found.push_back({folder + "/" + name, entry->d_type});
      at += entry->d_reclen;
    }
  }
  EXPECT_EQ(lane.call(SYS_close, {kFile}), 0) << folder;
  return found;
}

bool opened(LaneClient& lane, const std::string& path, uint64_t flags) {
  return lane.call(SYS_openat, {static_cast<uint64_t>(AT_FDCWD), ptr(path.c_str()), flags, 0},
                   kFile) == kFile;
}

// Nothing of this is for the machine that the test runs on.
void must_be_an_instance(LaneClient& lane) {
  std::array<char, 4096> text{};
  if (opened(lane, "/proc/cpuinfo", O_RDONLY)) {
    lane.call(SYS_read, {kFile, ptr(text.data()), text.size() - 1});
    lane.call(SYS_close, {kFile});
  }
  if (std::string(text.data()).find("User Mode Linux") != std::string::npos) return;
  std::fprintf(stderr, "this is no kernel instance\n");
  std::exit(2);
}

// Files that have no end, or none soon.
bool is_long(const std::string& path) {
  return path.ends_with("/kcore") || path.ends_with("/kmsg") || path.ends_with("/pagemap");
}

void read_some(LaneClient& lane) {
  std::array<char, 4096> data;
  for (int i = 0; i < 16; i++) {
    if (lane.call(SYS_read, {kFile, ptr(data.data()), data.size()}) <= 0) break;
  }
}

int read_all(LaneClient& lane, const std::string& folder, int depth) {
  int files = 0;
  for (const Entry& entry : entries(lane, folder)) {
    if (entry.type == DT_DIR) {
      if (depth > 0) files += read_all(lane, entry.path, depth - 1);
      continue;
    }
    if (entry.type != DT_REG || is_long(entry.path)) continue;
    if (!opened(lane, entry.path, O_RDONLY | O_NONBLOCK)) continue;
    read_some(lane);
    EXPECT_EQ(lane.call(SYS_close, {kFile}), 0) << entry.path;
    files++;
  }
  return files;
}

TEST(Files, OfProcAndSys) {
  Session session(Options{1, 64 << 10}, device());
  LaneClient lane(session, 0);
  must_be_an_instance(lane);
  EXPECT_GT(read_all(lane, "/proc", 3), 100);
  EXPECT_GT(read_all(lane, "/sys", 7), 100);
}

// Those that may wait for a terminal to be read, or for another one to be shown.
bool waits(uint32_t ioctl) {
  return ioctl == TCSBRK || ioctl == TCSBRKP || ioctl == TCSETSW || ioctl == TCSETSF ||
         ioctl == TCSETAW || ioctl == TCSETAF || ioctl == TIOCMIWAIT || ioctl == TCXONC ||
         ioctl == VT_WAITACTIVE || ioctl == VT_WAITEVENT;
}

// Terminals, memory, the network's devices: what ioctls of all kinds do to them.
TEST(Files, DeviceNodes) {
  Session session(Options{1, 64 << 10}, device());
  LaneClient lane(session, 0);
  must_be_an_instance(lane);
  const uint32_t kinds[] = {0x5400, 0x5600, 0x4b00, 0x7500};  // terminals, consoles, usrcall
  std::array<char, 4096> memory{};
  int nodes = 0;
  for (const Entry& entry : entries(lane, "/dev")) {
    if (entry.type != DT_CHR && entry.type != DT_BLK) continue;
    if (entry.path.ends_with("/mem") || entry.path.ends_with("/port")) continue;
    if (entry.path.starts_with("/dev/tty") && entry.path.back() > '1') continue;  // like the others
    if (!opened(lane, entry.path, O_RDWR | O_NONBLOCK | O_NOCTTY)) continue;
    nodes++;
    read_some(lane);
    lane.call(SYS_write, {kFile, ptr("\n"), 1});
    lane.call(SYS_fcntl, {kFile, F_SETFL, O_NONBLOCK | O_ASYNC});
    for (const uint32_t kind : kinds) {
      for (uint32_t number = 0; number < 256; number++) {
        if (waits(kind | number)) continue;
        for (const char fill : {'\0', '\xff'}) {
          memory.fill(fill);
          lane.call(SYS_ioctl, {kFile, kind | number, ptr(memory.data())});
        }
      }
    }
    EXPECT_EQ(lane.call(SYS_close, {kFile}), 0) << entry.path;
  }
  EXPECT_GT(nodes, 3);
}

// The files of User Mode Linux itself.
TEST(Files, OfUserModeLinux) {
  Session session(Options{1, 64 << 10}, device());
  LaneClient lane(session, 0);
  must_be_an_instance(lane);
  for (const char* path : {"/proc/exitcode", "/proc/mconsole", "/proc/sysemu"}) {
    for (const std::string text : {"", "0", "-1", "999999999999999999999", "\n\n\n"}) {
      if (!opened(lane, path, O_RDWR)) continue;
      lane.call(SYS_write, {kFile, ptr(text.data()), text.size()});
      const std::string much(8192, 'z');
      lane.call(SYS_write, {kFile, ptr(much.data()), much.size()});
      lane.call(SYS_write, {kFile, 8, 5});
      read_some(lane);
      EXPECT_EQ(lane.call(SYS_close, {kFile}), 0) << path;
    }
  }
}

}  // namespace
}  // namespace mino::test
