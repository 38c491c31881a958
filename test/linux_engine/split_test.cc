// SPDX-License-Identifier: Apache-2.0
//
// The split: calls that the table does not know give right results without any hint, and calls with
// deliberately wrong hints give the same results as with right ones.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <fstream>
#include <vector>

#include "test/linux_engine/device.h"

namespace mino::test {
namespace {

constexpr uint32_t kIn = abi::kWindowIn, kOut = abi::kWindowOut;

class Split : public ::testing::Test {
 protected:
  Split() : session(Options{2, 64 << 10}, device()), lane(session, 0) {}

  // A call that the table does not know.
  int64_t unknown(uint32_t nr, std::initializer_list<uint64_t> args) {
    EXPECT_EQ(abi::find_row(nr), nullptr) << nr << " has a row by now: take another call";
    return lane.call(nr, args);
  }
  int open(const char* path, int flags, int fd) {
    return static_cast<int>(lane.call(
        SYS_openat,
        {static_cast<uint64_t>(AT_FDCWD), ptr(path), static_cast<uint64_t>(flags), 0600}, fd));
  }

  Session session;
  LaneClient lane;
};

std::string host_release() {
  utsname name{};
  ::uname(&name);
  return name.release;
}

TEST_F(Split, NoRowAndOneBufferOut) {
  utsname name{};
  EXPECT_EQ(unknown(SYS_uname, {ptr(&name)}), 0);
  EXPECT_STREQ(name.sysname, "Linux");
  EXPECT_NE(std::string(name.release), host_release());
  EXPECT_NE(std::string(name.release).find("mino"), std::string::npos);
  EXPECT_EQ(lane.upcalls, 1u);

  struct sysinfo info{};
  EXPECT_EQ(unknown(SYS_sysinfo, {ptr(&info)}), 0);
  EXPECT_GT(info.totalram, 32u << 20);
  EXPECT_LT(info.totalram, 1u << 30);  // the memory of the instance, not of this machine

  std::vector<unsigned char> bytes(100'000);  // more than the arena: several upcalls
  EXPECT_EQ(unknown(SYS_getrandom, {ptr(bytes.data()), bytes.size(), 0}),
            static_cast<int64_t>(bytes.size()));
  for (size_t at = 0; at + 64 <= bytes.size(); at += 64) {
    EXPECT_FALSE(std::all_of(bytes.begin() + static_cast<long>(at),
                             bytes.begin() + static_cast<long>(at) + 64,
                             [](unsigned char c) { return c == 0; }))
        << at;
  }
}

TEST_F(Split, NoRowAndStringsIn) {
  constexpr uint64_t kHere = static_cast<uint64_t>(AT_FDCWD);
  ASSERT_EQ(open("/tmp/touched", O_CREAT | O_RDWR, 5), 5);
  EXPECT_EQ(unknown(SYS_futimesat, {kHere, ptr("/tmp/touched"), 0}), 0);
  EXPECT_EQ(unknown(SYS_futimesat, {kHere, ptr("/there/is/none"), 0}), -ENOENT);
  EXPECT_EQ(unknown(SYS_futimesat, {kHere, ptr(std::string(5000, 'x').c_str()), 0}), -ENAMETOOLONG);
  // A string that ends with the last byte of its page, and one that has no end.
  auto* pages = static_cast<char*>(
      ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::mprotect(pages + 4096, 4096, PROT_NONE);
  std::memcpy(pages + 4096 - 13, "/tmp/touched", 13);
  EXPECT_EQ(unknown(SYS_futimesat, {kHere, ptr(pages + 4096 - 13), 0}), 0);
  std::memcpy(pages + 4096 - 12, "/tmp/touched", 12);
  EXPECT_EQ(unknown(SYS_futimesat, {kHere, ptr(pages + 4096 - 12), 0}), -EFAULT);
  ::munmap(pages, 8192);
  // Structures in.
  const timeval times[2] = {{1000000, 250000}, {2000000, 500000}};
  EXPECT_EQ(unknown(SYS_futimesat, {kHere, ptr("/tmp/touched"), ptr(times)}), 0);
  struct stat about{};
  EXPECT_EQ(lane.call(SYS_newfstatat, {kHere, ptr("/tmp/touched"), ptr(&about), 0}), 0);
  EXPECT_EQ(about.st_atim.tv_sec, 1000000);
  EXPECT_EQ(about.st_mtim.tv_sec, 2000000);
  EXPECT_EQ(about.st_mtim.tv_nsec, 500000000);
}

TEST_F(Split, NoRowAndBuffersBothWays) {
  mq_attr attributes{};
  attributes.mq_maxmsg = 1;
  attributes.mq_msgsize = 4000;
  ASSERT_EQ(lane.call(SYS_mq_open, {ptr("split"), O_CREAT | O_RDWR, 0600, ptr(&attributes)}, 5), 5);
  const std::string value(3000, 'v');
  EXPECT_EQ(unknown(SYS_mq_timedsend, {5, ptr(value.data()), value.size(), 7, 0}), 0);
  std::string got(4000, '\0');
  unsigned priority = 0;
  EXPECT_EQ(unknown(SYS_mq_timedreceive, {5, ptr(got.data()), got.size(), ptr(&priority), 0}),
            3000);
  EXPECT_EQ(got.substr(0, 3000), value);
  EXPECT_EQ(got.substr(3000), std::string(1000, '\0'));
  EXPECT_EQ(priority, 7u);
  EXPECT_EQ(unknown(SYS_mq_unlink, {ptr("split")}), 0);

  // In and out: an unknown version is answered with the kernel's own.
  __user_cap_header_struct header{0x12345678, 0};
  __user_cap_data_struct data[2]{};
  EXPECT_EQ(unknown(SYS_capget, {ptr(&header), ptr(data)}), -EINVAL);
  EXPECT_EQ(header.version, static_cast<uint32_t>(_LINUX_CAPABILITY_VERSION_3));
  EXPECT_EQ(unknown(SYS_capget, {ptr(&header), ptr(data)}), 0);
  EXPECT_NE(data[0].effective & 1u << CAP_NET_ADMIN, 0u);

  // A descriptor of the wrong kind.
  ASSERT_EQ(lane.call(SYS_epoll_create1, {0}, 6), 6);
  EXPECT_EQ(unknown(SYS_inotify_add_watch, {6, ptr("/tmp"), 2}), -EINVAL);
}

TEST_F(Split, BadPointersWithoutRow) {
  for (const uint64_t bad : {uint64_t{16}, uint64_t{1} << 63, ~uint64_t{0} - 4096}) {
    EXPECT_EQ(unknown(SYS_uname, {bad}), -EFAULT) << bad;
    EXPECT_EQ(unknown(SYS_sysinfo, {bad}), -EFAULT) << bad;
    EXPECT_EQ(unknown(SYS_futimesat, {static_cast<uint64_t>(AT_FDCWD), bad, 0}), -EFAULT) << bad;
  }
  const char* readable = "constant";
  EXPECT_EQ(unknown(SYS_uname, {ptr(readable)}), -EFAULT);  // not writable
}

// Calls that would change the proxy itself, or the kernel as a whole, are never dispatched.
TEST_F(Split, RefusesItsOwnBusiness) {
  for (const uint32_t nr :
       {SYS_mmap, SYS_brk, SYS_execve, SYS_fork, SYS_clone, SYS_exit_group, SYS_kill, SYS_reboot,
        SYS_io_uring_setup, SYS_rt_sigprocmask, SYS_ptrace, SYS_futex, SYS_prctl, 511, 100000}) {
    EXPECT_EQ(lane.call(nr, {0, 0, 0, 0, 0, 0}), -ENOSYS) << nr;
  }
}

// A pair of connected UDP sockets at 20 and 21.
void connect_pair(LaneClient& lane) {
  sockaddr_in address[2]{};
  for (int i = 0; i < 2; i++) {
    address[i].sin_family = AF_INET;
    address[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 20 + i), 20 + i);
    ASSERT_EQ(lane.call(SYS_bind, {20u + static_cast<uint32_t>(i), ptr(&address[i]), 16}), 0);
    socklen_t size = sizeof address[i];
    ASSERT_EQ(
        lane.call(SYS_getsockname, {20u + static_cast<uint32_t>(i), ptr(&address[i]), ptr(&size)}),
        0);
  }
  ASSERT_EQ(lane.call(SYS_connect, {20, ptr(&address[1]), 16}), 0);
  ASSERT_EQ(lane.call(SYS_connect, {21, ptr(&address[0]), 16}), 0);
}

std::string pattern(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; i++) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

TEST_F(Split, WrongHints) {
  connect_pair(lane);
  const std::string sent = pattern(5000);
  std::string got(5000, '\0'), other(5000, 'o');
  const uint64_t in = ptr(sent.data()), out = ptr(got.data()), wrong = ptr(other.data());
  const std::vector<std::vector<Hint>> send_hints = {
      {},                                                     // none
      {{in, 5000, 0, kIn}},                                   // right
      {{in, 100, 0, kIn}},                                    // too short
      {{in + 1000, 100, 8, kIn}, {in + 3000, 7, 512, kIn}},   // pieces from the middle
      {{in, 5000, 0, kOut}},                                  // the wrong direction
      {{wrong, 5000, 0, kIn}},                                // another buffer's
      {{in, 0, 0, kIn}},                                      // empty
      {{in - 4000, 4001, 0, kIn}},                            // ends in the first byte
      {{in, 3000, 0, kIn}, {in + 1000, 4000, 8192, kIn}},     // overlap in memory
      {{in, 5000, 0, kIn}, {wrong, 5000, 8192, kIn | kOut}},  // one too many
      {{0, 1 << 15, 0, kOut}, {~0ull - 100, 50, 0, kOut}},    // nobody's
      {{in, 60 << 10, 0, kIn}},                               // more than there is, no room left
  };
  const std::vector<std::vector<Hint>> receive_hints = {
      {},
      {{out, 5000, 0, kOut}},
      {{out, 100, 0, kOut}},
      {{out + 1000, 100, 8, kOut}, {out + 3000, 7, 512, kOut}},
      {{out, 5000, 0, kIn}},
      {{wrong, 5000, 0, kOut}},
      {{out, 0, 0, kOut}},
      {{out + 4999, 1, 0, kOut}},
      {{out, 3000, 0, kOut}, {out + 1000, 4000, 8192, kOut}},
      {{out, 64 << 10, 0, kOut}},  // the whole arena: nothing is left for upcalls
  };
  for (size_t s = 0; s < send_hints.size(); s++) {
    for (size_t r = 0; r < receive_hints.size(); r++) {
      SCOPED_TRACE(testing::Message() << "send " << s << ", receive " << r);
      std::fill(got.begin(), got.end(), '\0');
      ASSERT_EQ(call_with(lane, SYS_sendto, {20, in, 5000}, send_hints[s]), 5000);
      ASSERT_EQ(call_with(lane, SYS_recvfrom, {21, out, 5000}, receive_hints[r]), 5000);
      ASSERT_EQ(got, sent);
      ASSERT_EQ(other, std::string(5000, 'o'));
    }
  }
}

TEST_F(Split, AnotherClientFetches) {
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 10), 10);
  ASSERT_EQ(lane.call(SYS_listen, {10, 1}), 0);
  for (const uint32_t number : {11u, 5000u, ~0u}) {
    const Incoming refused = session.fetched_by_another(number);
    EXPECT_EQ(refused.message.type, abi::MessageType::kParcel);
    EXPECT_EQ(refused.message.turn, static_cast<uint32_t>(EBADF));
    EXPECT_EQ(refused.file_count, 0);
  }
  const Incoming parcel = session.fetched_by_another(10);
  EXPECT_EQ(parcel.message.type, abi::MessageType::kParcel);
  EXPECT_EQ(parcel.message.turn, 0u);
  EXPECT_EQ(parcel.file_count, 1);
  EXPECT_EQ(lane.op(abi::Op::kImport, {parcel.message.session_id}, 20), 20);
  int listens = 0;
  socklen_t size = sizeof listens;
  EXPECT_EQ(lane.call(SYS_getsockopt, {20, SOL_SOCKET, SO_ACCEPTCONN, ptr(&listens), ptr(&size)}),
            0);
  EXPECT_EQ(listens, 1);
}

TEST_F(Split, ExportsAreBounded) {
  constexpr int kOfUser = 512;  // MAX_EXPORTS_OF_USER
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10), 10);
  std::vector<Fd> parcels;
  int64_t last = 0;
  for (int i = 0; i < kOfUser; i++) {
    last = lane.op(abi::Op::kExport, {10});
    ASSERT_GT(last, 0);
    Incoming parcel = session.receive();
    ASSERT_EQ(parcel.message.type, abi::MessageType::kParcel);
    ASSERT_EQ(parcel.message.session_id, static_cast<uint64_t>(last));
    parcels.push_back(std::move(parcel.files[0]));
    ASSERT_EQ(session.receive().message.type, abi::MessageType::kSettle);
  }
  EXPECT_EQ(lane.op(abi::Op::kExport, {10}), -ETOOMANYREFS);
  EXPECT_EQ(lane.op(abi::Op::kSettle, {static_cast<uint64_t>(last)}), 0);
  EXPECT_EQ(lane.op(abi::Op::kImport, {static_cast<uint64_t>(last)}, 11), 11);
  parcels.pop_back();
  // The session process may hold the last one a moment longer.
  int64_t imported = 0;
  for (int i = 0; i < 1000 && imported != -EBADF; i++) {
    EXPECT_EQ(lane.op(abi::Op::kSettle, {static_cast<uint64_t>(last)}), 0);
    imported = lane.op(abi::Op::kImport, {static_cast<uint64_t>(last)}, 12);
    if (imported == 12) {
      EXPECT_EQ(lane.call(SYS_close, {12}), 0);
    }
    if (imported != -EBADF) ::usleep(1000);
  }
  EXPECT_EQ(imported, -EBADF);
  EXPECT_GT(lane.op(abi::Op::kExport, {10}), 0);  // a parcel that nobody takes from the socket
}

// One round trip carries what fits; its hint saves every upcall.
TEST_F(Split, OneRoundTripWithHints) {
  connect_pair(lane);
  const std::string sent = pattern(32 << 10);
  std::string got(sent.size(), '\0');
  const uint32_t size = static_cast<uint32_t>(sent.size());
  lane.upcalls = 0;
  EXPECT_EQ(call_with(lane, SYS_sendto, {20, ptr(sent.data()), size, 0, 0, 0},
                      {{ptr(sent.data()), size, 0, kIn}}),
            size);
  EXPECT_EQ(call_with(lane, SYS_recvfrom, {21, ptr(got.data()), size, 0, 0, 0},
                      {{ptr(got.data()), size, 0, kOut}}),
            size);
  EXPECT_EQ(lane.upcalls, 0u);
  EXPECT_EQ(got, sent);
}

// No call makes a file that its client does not expect, or at another number.
TEST_F(Split, FilesOnlyWhereTheClientWants) {
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}), -EMFILE);
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 700), 700);
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 700), -EBUSY);
  EXPECT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 3), 3);
  EXPECT_EQ(lane.call(SYS_dup, {700}, 10), 10);
  EXPECT_EQ(lane.call(SYS_fcntl, {700, F_DUPFD, 5}, 6), 6);
  int pair[2];
  EXPECT_EQ(lane.call(SYS_pipe2, {ptr(pair), 0}, 8), -EMFILE);  // two, and one number
  std::vector<uint64_t> bitmap(64);
  EXPECT_EQ(lane.op(abi::Op::kListFds, {ptr(bitmap.data()), 512}), 700 / 8 + 1);
  EXPECT_EQ(bitmap[0], (1u << 3 | 1u << 6 | 1u << 10));
  EXPECT_EQ(bitmap[700 / 64], uint64_t{1} << 700 % 64);
}

}  // namespace
}  // namespace mino::test
