// SPDX-License-Identifier: Apache-2.0
#include "daemon/namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filesystem>

#include "base/check.h"

namespace mino {

namespace {

Result<void> mount_at(const char* source, const std::string& target, const char* type,
                      unsigned long flags, const char* options = nullptr) {
  if (::mount(source, target.c_str(), type, flags, options) == 0) return {};
  return errno_error("cannot mount " + std::string(source != nullptr ? source : "") + " at " +
                     target);
}

// Makes a place in the new root on which to bind `path`: a directory, or an empty file.
Result<void> make_place(const std::string& root, const std::string& path, bool is_directory) {
  std::error_code failure;
  const std::filesystem::path place(root + path);
  std::filesystem::create_directories(is_directory ? place : place.parent_path(), failure);
  if (failure) return error("cannot make " + place.string() + ": " + failure.message());
  if (is_directory) return {};
  Fd file(::open(place.c_str(), O_CREAT | O_RDONLY | O_CLOEXEC, 0444));
  if (!file.valid()) return errno_error("cannot make " + place.string());
  return {};
}

Result<void> bind_path(const std::string& root, const std::string& path, unsigned long recursive) {
  struct stat about;
  if (::stat(path.c_str(), &about) != 0) {
    return errno_error("policy.paths: " + path + " cannot be served");
  }
  if (auto done = make_place(root, path, S_ISDIR(about.st_mode)); !done) return done;
  return mount_at(path.c_str(), root + path, nullptr, MS_BIND | recursive);
}

Result<void> enter_root(const std::string& root) {
  if (::chdir(root.c_str()) != 0) return errno_error(root);
  // pivot_root(".", ".") stacks the old root on the new one (pivot_root(2), NOTES).
  if (::syscall(SYS_pivot_root, ".", ".") == 0) {
    if (::umount2(".", MNT_DETACH) != 0) return errno_error("cannot leave the host's root");
  } else {
    // The initial ramfs cannot be pivoted away from, so cover it.
    if (::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || ::chroot(".") != 0) {
      return errno_error("cannot enter the proxies' root");
    }
  }
  if (::chdir("/") != 0) return errno_error("/");
  return {};
}

Result<void> build_mounts(const RunDir& dir, const std::vector<std::string>& paths) {
  const std::string root = dir.root_dir();
  // Slave: nothing that is mounted here shows on the host, but what the host unmounts is unmounted
  // here too.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return errno_error("cannot make the mount namespace private");
  }
  auto done = mount_at("mino", root, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=1m");
  if (done) done = bind_path(root, "/proc", MS_REC);
  if (done) done = make_place(root, "/sys", true);
  if (done) done = mount_at("mino", root + "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  if (done) done = bind_path(root, dir.path(), 0);
  for (const std::string& path : paths) {
    if (!done) break;
    if (path.starts_with("/proc/") || path.starts_with("/sys/")) continue;  // there already
    done = bind_path(root, path, MS_REC);
  }
  if (done) {
    done = mount_at(nullptr, root, nullptr,
                    MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
  }
  return done ? enter_root(root) : done;
}

// In the helper: makes the namespaces, reports, and waits until the parent holds descriptors of
// them.
[[noreturn]] void help(const RunDir& dir, const std::vector<std::string>& paths, int report,
                       int release) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::string text;
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
    text = std::string("cannot make namespaces: ") + std::strerror(errno) +
           "; minod needs root (CAP_SYS_ADMIN)";
  } else if (auto done = build_mounts(dir, paths); !done) {
    text = done.error().text;
  }
  if (text.empty()) text = "ok";
  char byte;
  if (::write(report, text.data(), text.size()) > 0) (void)!::read(release, &byte, 1);
  ::_exit(0);
}

}  // namespace

Result<Namespaces> make_namespaces(const RunDir& dir, const std::vector<std::string>& paths) {
  if (::mkdir(dir.root_dir().c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_error("cannot make " + dir.root_dir());
  }
  int report[2], release[2];
  if (::pipe2(report, O_CLOEXEC) != 0 || ::pipe2(release, O_CLOEXEC) != 0)
    return errno_error("pipe");
  Fd report_in(report[0]), report_out(report[1]), release_in(release[0]), release_out(release[1]);
  const pid_t child = ::fork();
  if (child < 0) return errno_error("fork");
  if (child == 0) {
    release_out.reset();
    help(dir, paths, report_out.get(), release_in.get());
  }
  report_out.reset();
  char text[1024];
  ssize_t n = 0;
  while ((n = ::read(report_in.get(), text, sizeof text)) < 0 && errno == EINTR) {
  }
  Namespaces made;
  const std::string said(text, n > 0 ? static_cast<size_t>(n) : 0);
  if (said == "ok") {
    const std::string of = "/proc/" + std::to_string(child) + "/ns/";
    made.network = Fd(::open((of + "net").c_str(), O_RDONLY | O_CLOEXEC));
    made.mount = Fd(::open((of + "mnt").c_str(), O_RDONLY | O_CLOEXEC));
  }
  const int open_errno = errno;
  release_out.reset();
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  ::rmdir(dir.root_dir().c_str());  // it was only a place to mount on
  errno = open_errno;
  if (said != "ok") return error(said.empty() ? "the helper that makes namespaces died" : said);
  if (!made.network.valid() || !made.mount.valid())
    return errno_error("cannot open the namespaces");
  return made;
}

Result<void> enter_own_root(const std::string& root, const std::vector<VisiblePath>& paths) {
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return errno_error("cannot make a mount namespace");
  }
  auto done = mount_at("mino", root, "tmpfs", MS_NOSUID, "mode=755,size=1m");
  for (const VisiblePath& visible : paths) {
    if (!done) return done;
    done = bind_path(root, visible.path, MS_REC);
    if (done && !visible.writable) {
      done = mount_at(nullptr, root + visible.path, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY);
    }
  }
  return done ? enter_root(root) : done;
}

Result<void> in_network(int netns, const std::function<Result<void>()>& inside) {
  Fd home(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home.valid()) return errno_error("/proc/self/ns/net");
  if (::setns(netns, CLONE_NEWNET) != 0) return errno_error("cannot enter the device's network");
  auto done = inside();
  CHECK(::setns(home.get(), CLONE_NEWNET) == 0);
  return done;
}

}  // namespace mino
