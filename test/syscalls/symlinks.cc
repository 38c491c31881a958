// SPDX-License-Identifier: Apache-2.0
//
// Symbolic links on this host that lead to files of the network's kernel: at the end of a path, in
// the middle of it, and one after another. Calls reach what they lead to, and the links stay here.
//
// It changes one sysctl, net.ipv4.ip_default_ttl, and restores it.

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>

#include "children.h"
#include "files.h"
#include "loopback.h"

namespace {

// Links in a directory of the test, which is its working directory, and a file there. The sysctl is
// 63 while this object lives.
struct Links {
  std::string directory = check::scratch();

  Links() {
    EXPECT_EQ(set("63"), 2);
    OK(chdir(directory.c_str()));
    const char* const links[][2] = {
        {kTtl, "ttl"},
        {"ttl", "again"},
        {"/proc/sys/net/ipv4", "ipv4"},
        {"/proc/sys", "sys"},
        {"sys/net", "up"},
        {"self", "self"},
        {"/proc/sys/net/nothing", "gone"},
        {"file", "here"},
    };
    for (auto& link : links) OK(symlink(link[0], link[1]));
    close(OK(open("file", O_CREAT | O_WRONLY, 0600)));
  }
  ~Links() { EXPECT_EQ(set("64"), 2); }

 private:
  static ssize_t set(const char* value) {
    int fd = OK(open(kTtl, O_WRONLY));
    ssize_t n = write(fd, value, 2);
    close(fd);
    return n;
  }
};

// Creates a bridge (RTM_NEWLINK) or deletes it (RTM_DELLINK).
bool change_bridge(uint16_t type, const std::string& name) {
  struct {
    nlmsghdr header;
    ifinfomsg link;
    char attributes[64];
  } request = {};
  char* end = request.attributes;
  auto attribute = [&end](uint16_t kind, const void* value, size_t bytes) {
    auto* head = reinterpret_cast<rtattr*>(end);
    *head = {static_cast<uint16_t>(RTA_LENGTH(bytes)), kind};
    memcpy(RTA_DATA(head), value, bytes);
    end += RTA_SPACE(bytes);
  };
  attribute(IFLA_IFNAME, name.c_str(), name.size() + 1);
  if (type == RTM_NEWLINK) {
    char* const nest = end;
    attribute(IFLA_LINKINFO, "", 0);
    attribute(IFLA_INFO_KIND, "bridge", 6);
    reinterpret_cast<rtattr*>(nest)->rta_len = static_cast<uint16_t>(end - nest);
  }
  request.header.nlmsg_len = static_cast<uint32_t>(end - reinterpret_cast<char*>(&request));
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | (type == RTM_NEWLINK ? NLM_F_CREATE : 0);
  int fd = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  EXPECT_EQ(send(fd, &request, request.header.nlmsg_len, 0), request.header.nlmsg_len);
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[512];
  } answer = {};
  OK(recv(fd, &answer, sizeof answer, 0));
  close(fd);
  return answer.header.nlmsg_type == NLMSG_ERROR && answer.error.error == 0;
}

}  // namespace

TEST(own_sockets_are_listed) {
  std::string tcp = std::string(check::scratch()) + "/tcp",
              net = std::string(check::scratch()) + "/net";
  OK(symlink("/proc/net/tcp", tcp.c_str()));
  OK(symlink("/proc/self/net", net.c_str()));
  int fd = listener();
  uint16_t port = name_of(fd).sin_port;
  EXPECT(listed(port, tcp.c_str()));
  EXPECT(listed(port, (net + "/tcp").c_str()));
  EXPECT(listed(port, (net + "/../net/tcp").c_str()));
}

TEST(opens) {
  Links links;
  std::string absolute = links.directory + "/again";
  int there = OK(open(".", O_RDONLY | O_DIRECTORY)), root = OK(open("/", O_PATH));
  for (const char* path :
       {"ttl", "again", "./ttl", "ipv4/ip_default_ttl", "up/ipv4/ip_default_ttl",
        "sys/kernel/../net/ipv4/ip_default_ttl", "sys/net/../net/ipv4/ip_default_ttl",
        "ipv4/../../net/ipv4/ip_default_ttl", absolute.c_str(), "/proc/self/cwd/ttl",
        "/proc/self/cwd/ipv4//ip_default_ttl"}) {
    if (contents(path) != "63\n")
      check::fail("symlinks.cc", __LINE__, path, contents(path).c_str());
  }
  EXPECT_TEXT(contents(OK(openat(there, "up/ipv4/ip_default_ttl", O_RDONLY))).c_str(), "63\n");
  std::string from_root = "/proc/self/fd/" + std::to_string(root) + kTtl;
  EXPECT_TEXT(contents(from_root.c_str()).c_str(), "63\n");
  EXPECT_TEXT(contents("sys/kernel/ostype").c_str(), "Linux\n");
  EXPECT_TEXT(contents("up/../kernel/ostype").c_str(), "Linux\n");
  EXPECT_TEXT(contents("here").c_str(), "");
  EXPECT_TEXT(contents(static_cast<int>(OK(syscall(SYS_open, "ttl", O_RDONLY)))).c_str(), "63\n");
  EXPECT_ERR(open("ttl", O_RDONLY | O_NOFOLLOW), ELOOP);
  EXPECT_ERR(open("ttl", O_RDONLY | O_DIRECTORY), ENOTDIR);
  EXPECT_ERR(open("ttl/", O_RDONLY), ENOTDIR);
  EXPECT_ERR(open("ipv4", O_RDWR), EISDIR);
  EXPECT_ERR(open("gone", O_RDONLY), ENOENT);
  EXPECT_ERR(open("self", O_RDONLY), ELOOP);
  EXPECT_ERR(open("self/x", O_RDONLY), ELOOP);
  EXPECT_ERR(open("ipv4/nothing", O_RDONLY), ENOENT);
  int link = OK(open("ttl", O_PATH | O_NOFOLLOW));
  struct stat info;
  EXPECT_EQ(fstat(link, &info), 0);
  EXPECT(S_ISLNK(info.st_mode));
}

TEST(opens_that_make) {
  Links links;
  int fd = static_cast<int>(OK(syscall(SYS_creat, "ttl", 0600)));
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
  EXPECT_EQ(write(fd, "63", 2), 2);
  EXPECT_ERR(open("ttl", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
  EXPECT_ERR(open("gone", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
  check::report("O_CREAT %s", check::outcome(open("gone", O_RDWR | O_CREAT, 0600)));
  // At the end of a link that stays here, and only once.
  OK(symlink("made", "to_be_made"));
  EXPECT_EQ(close(OK(open("to_be_made", O_RDWR | O_CREAT, 0640))), 0);
  struct stat info;
  EXPECT_EQ(lstat("made", &info), 0);
  EXPECT_EQ(info.st_mode, S_IFREG | 0640);
  EXPECT_EQ(close(OK(open(".", O_TMPFILE | O_RDWR, 0600))), 0);
}

TEST(openat2_rules) {
  Links links;
  int there = OK(open(".", O_RDONLY | O_DIRECTORY));
  open_how how = {};
  EXPECT_TEXT(contents(static_cast<int>(OK(openat2_of(there, "again", how)))).c_str(), "63\n");
  how.resolve = RESOLVE_NO_MAGICLINKS;
  EXPECT_TEXT(contents(static_cast<int>(OK(openat2_of(there, "again", how)))).c_str(), "63\n");
  how.resolve = RESOLVE_NO_SYMLINKS;
  EXPECT_ERR(openat2_of(there, "again", how), ELOOP);
  how.resolve = RESOLVE_BENEATH;
  EXPECT_ERR(openat2_of(there, "again", how), EXDEV);
  how.resolve = RESOLVE_IN_ROOT;
  EXPECT_ERR(openat2_of(there, "again", how), ENOENT);
}

TEST(attributes) {
  Links links;
  struct stat info, direct;
  struct statx extended;
  int there = OK(open(".", O_RDONLY | O_DIRECTORY));
  OK(stat(kTtl, &direct));
  for (const char* path :
       {"ttl", "again", "up/ipv4/ip_default_ttl", "sys/net/ipv4/ip_default_ttl"}) {
    info = {};
    EXPECT_EQ(stat(path, &info), 0);
    EXPECT(info.st_ino == direct.st_ino && info.st_dev == direct.st_dev);
    EXPECT_EQ(syscall(SYS_stat, path, &info), 0);
    EXPECT_EQ(info.st_ino, direct.st_ino);
    EXPECT_EQ(statx(there, path, 0, STATX_INO, &extended), 0);
    EXPECT_EQ(extended.stx_ino, direct.st_ino);
    EXPECT_EQ(access(path, R_OK | W_OK), 0);
    EXPECT_ERR(access(path, X_OK), EACCES);
    EXPECT_EQ(syscall(SYS_faccessat2, there, path, R_OK, AT_EACCESS), 0);
  }
  EXPECT_EQ(lstat("up/ipv4/ip_default_ttl", &info), 0);
  EXPECT_EQ(info.st_ino, direct.st_ino);
  EXPECT_EQ(fstatat(there, "ipv4/ip_default_ttl", &info, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_EQ(info.st_ino, direct.st_ino);
  EXPECT_ERR(stat("gone", &info), ENOENT);
  EXPECT_ERR(access("gone", F_OK), ENOENT);
  EXPECT_ERR(stat("self", &info), ELOOP);
  EXPECT_ERR(stat("ttl/x", &info), ENOTDIR);
  EXPECT_ERR(stat("here/x", &info), ENOTDIR);
  EXPECT_ERR(syscall(SYS_stat, "ttl", 8), EFAULT);
}

TEST(links_themselves) {
  Links links;
  struct stat info;
  struct statx extended;
  char target[64] = {};
  int there = OK(open(".", O_RDONLY | O_DIRECTORY));
  EXPECT_EQ(lstat("ttl", &info), 0);
  EXPECT(S_ISLNK(info.st_mode));
  EXPECT_EQ(statx(there, "ipv4", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &extended), 0);
  EXPECT(S_ISLNK(extended.stx_mode));
  EXPECT_EQ(faccessat(there, "self", F_OK, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_EQ(readlink("up", target, sizeof target), 7);
  EXPECT_TEXT(target, "sys/net");
  EXPECT_ERR(readlink("ipv4/ip_default_ttl", target, sizeof target), EINVAL);
  EXPECT_ERR(readlinkat(there, "up/nothing", target, sizeof target), ENOENT);
  EXPECT_EQ(rename("again", "renamed"), 0);
  EXPECT_EQ(link("ttl", "twin"), 0);
  EXPECT_EQ(unlink("ttl"), 0);
  EXPECT_TEXT(contents("twin").c_str(), "63\n");
  EXPECT_TEXT(contents("renamed").c_str(), "ENOENT");
  EXPECT_ERR(mkdir("twin", 0700), EEXIST);
  EXPECT_ERR(mkdir("gone", 0700), EEXIST);
  EXPECT_ERR(rmdir("ipv4"), ENOTDIR);
  EXPECT_EQ(lchown("twin", 0, 0), 0);
}

TEST(changes_are_refused) {
  Links links;
  char bytes[64];
  const timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  struct {
    const char* name;
    long result;
    int error;
  } rows[] = {
#define ROW(call) {#call, static_cast<long>(call), errno}
      ROW(truncate("ttl", 0)),
      ROW(chmod("ttl", 0600)),
      ROW(chown("again", 1, 1)),
      ROW(utimensat(AT_FDCWD, "ttl", times, 0)),
      ROW(unlink("ipv4/ip_default_ttl")),
      ROW(rmdir("sys/net/ipv4")),
      ROW(mkdir("up/new", 0700)),
      ROW(mkdir("sys/net", 0700)),
      ROW(rename("ipv4/ip_default_ttl", "ipv4/other")),
      ROW(rename("ipv4/ip_default_ttl", "other")),
      ROW(rename("file", "ipv4/file")),
      ROW(link("ipv4/ip_default_ttl", "other")),
      ROW(symlink("x", "up/link")),
      ROW(mknod("up/node", S_IFREG | 0600, 0)),
      ROW(getxattr("ttl", "user.x", bytes, sizeof bytes)),
#undef ROW
  };
  for (auto& row : rows) {
    errno = row.error;
    check::report("%s: %s", row.name, check::outcome(row.result));
  }
  EXPECT_EQ(access("file", F_OK), 0);
}

TEST(working_directory) {
  Links links;
  char where[256] = {};
  EXPECT_EQ(chdir("ipv4"), 0);
  EXPECT(getcwd(where, sizeof where) != nullptr);
  EXPECT_TEXT(where, "/proc/sys/net/ipv4");
  EXPECT_TEXT(contents("ip_default_ttl").c_str(), "63\n");
  EXPECT_EQ(chdir(links.directory.c_str()), 0);
  EXPECT_EQ(chdir("sys"), 0);
  EXPECT_TEXT(contents("net/ipv4/ip_default_ttl").c_str(), "63\n");
  EXPECT_EQ(chdir(links.directory.c_str()), 0);
  EXPECT_ERR(chdir("ttl"), ENOTDIR);
  EXPECT_ERR(chdir("gone"), ENOENT);
  int directory = OK(open("up", O_PATH | O_DIRECTORY));
  EXPECT_TEXT(contents(OK(openat(directory, "ipv4/ip_default_ttl", O_RDONLY))).c_str(), "63\n");
  EXPECT_EQ(fchdir(directory), 0);
  EXPECT_TEXT(contents("ipv4/ip_default_ttl").c_str(), "63\n");
}

// To an interface that is made later, and only in the kernel of the network.
TEST(to_what_only_the_network_has) {
  std::string name = "mi" + std::to_string(getpid() % 100000);
  std::string link = std::string(check::scratch()) + "/link", address = link + "/address";
  OK(symlink(("/sys/class/net/" + name).c_str(), link.c_str()));
  struct stat info;
  EXPECT_ERR(stat(link.c_str(), &info), ENOENT);
  EXPECT_ERR(open(address.c_str(), O_RDONLY), ENOENT);
  EXPECT(change_bridge(RTM_NEWLINK, name));
  EXPECT_EQ(stat(link.c_str(), &info), 0);
  EXPECT_EQ(access(address.c_str(), R_OK), 0);
  EXPECT_EQ(contents(address.c_str()).size(), 18);
  char target[256];
  EXPECT(readlink(("/sys/class/net/" + name).c_str(), target, sizeof target) > 0);
  std::string net = std::string(check::scratch()) + "/net";
  OK(symlink("/sys/class/net", net.c_str()));
  EXPECT(readlink((net + "/" + name).c_str(), target, sizeof target) > 0);
  EXPECT_EQ(chdir(link.c_str()), 0);
  EXPECT_EQ(contents("address").size(), 18);
  char* where = getcwd(nullptr, 0);
  EXPECT(where != nullptr && std::string(where).ends_with("/" + name));
  free(where);
  errno = 0;
  EXPECT(getcwd(nullptr, 2) == nullptr);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(chdir("/"), 0);
  EXPECT(change_bridge(RTM_DELLINK, name));
}

// An open that blocks can be interrupted; one that does not block never is.
TEST(opens_and_signals) {
  std::string fifo = std::string(check::scratch()) + "/fifo", link = fifo + "-link";
  OK(mkfifo(fifo.c_str(), 0600));
  OK(symlink(fifo.c_str(), link.c_str()));
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  OK(sigaction(SIGALRM, &action, nullptr));
  const itimerval often = {{0, 1000}, {0, 20000}}, never = {};
  for (const std::string& path : {fifo, link}) {
    OK(setitimer(ITIMER_REAL, &often, nullptr));
    EXPECT_ERR(open(path.c_str(), O_RDONLY), EINTR);
  }
  int failed = 0;
  for (int i = 0; i < 20000; i++) {
    int fd = open(i % 2 ? fifo.c_str() : "/proc/self/status", i % 2 ? O_RDWR : O_RDONLY);
    failed += fd < 0;
    close(fd);
  }
  OK(setitimer(ITIMER_REAL, &never, nullptr));
  EXPECT_EQ(failed, 0);
}
