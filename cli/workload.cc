// SPDX-License-Identifier: Apache-2.0
#include "cli/workload.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/argv.h"
#include "base/fd.h"
#include "base/text.h"

namespace mino {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A program whose output goes to a file. It is killed when the object is destroyed.
class Child {
 public:
  Child(const std::vector<std::string>& argv, std::string log) : log_(std::move(log)) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    const int out = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::dup2(::open("/dev/null", O_RDONLY), 0);
    ::execvp(argv[0].c_str(), argv_of(argv).data());
    ::_exit(127);
  }
  Child(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  bool alive() {
    int status = 0;
    if (pid_ > 0 && ::waitpid(pid_, &status, WNOHANG) == pid_) pid_ = -1;
    return pid_ > 0;
  }

  // Waits until the program ends by itself or because it was asked to. Returns its output if it
  // ended well.
  Result<std::string> wait() {
    int status = 0;
    if (pid_ > 0) ::waitpid(pid_, &status, 0);
    pid_ = -1;
    auto text = read_file(log_);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return text;
    return error("it ended with status " + std::to_string(status) + ": " + text.value_or(""));
  }
  Result<std::string> stop() {
    if (pid_ > 0) ::kill(pid_, SIGTERM);
    return wait();
  }

 private:
  pid_t pid_;
  std::string log_;
};

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

uint16_t free_port() {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t bytes = sizeof address;
  ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), bytes);
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &bytes);
  return ntohs(address.sin_port);
}

bool wait_for_port(uint16_t port, Child& server) {
  const sockaddr_in address = loopback(port);
  for (int i = 0; i < 500 && server.alive(); i++) {
    const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The number that follows `key` in the output of a load generator.
Result<double> number_after(const std::string& text, const std::string& key) {
  const size_t at = text.find(key);
  const double value =
      at == std::string::npos ? 0 : std::strtod(text.c_str() + at + key.size(), nullptr);
  if (value <= 0) return error("no " + key + " in: " + text);
  return value;
}

// Starts a server on `port` and drives it once.
Result<std::string> drive(const std::string& scratch, const std::vector<std::string>& server_argv,
                          uint16_t port, const std::vector<std::string>& client_argv) {
  Child server(server_argv, scratch + "/server.log");
  if (!wait_for_port(port, server)) {
    return error(server_argv[0] +
                 " does not listen: " + read_file(scratch + "/server.log").value_or(""));
  }
  auto said = Child(client_argv, scratch + "/client.log").wait();
  auto ended = server.stop();
  if (said && !ended) return ended;
  return said;
}

class Nginx : public Workload {
 public:
  explicit Nginx(std::string scratch) : scratch_(std::move(scratch)) {}
  std::string name() const override { return "nginx"; }
  std::string unit() const override { return "requests/s"; }
  std::vector<std::string> needs() const override { return {"nginx", "wrk"}; }

  Result<double> run(const std::vector<std::string>& prefix) override {
    const uint16_t port = free_port();
    std::string temporary;
    for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
      temporary += std::string(kind) + "_temp_path " + scratch_ + "/" + kind + ";\n";
    }
    const std::string config =
        "worker_processes 1; daemon off; error_log stderr; pid " + scratch_ +
        "/nginx.pid;\n"
        "events { worker_connections 128; }\n"
        "http { access_log off; sendfile on; keepalive_requests 100000000;\n" +
        temporary + "server { listen 127.0.0.1:" + std::to_string(port) + "; root " + scratch_ +
        "; } }\n";
    if (auto done = make_file(scratch_ + "/nginx.conf", config); !done)
      return std::unexpected(done.error());
    if (auto done = make_file(scratch_ + "/file", std::string(1024, 'x')); !done)
      return std::unexpected(done.error());
    auto said = drive(
        scratch_,
        prefix + std::vector<std::string>{"nginx", "-p", scratch_, "-e", "stderr", "-c",
                                          scratch_ + "/nginx.conf"},
        port, {"wrk", "-t1", "-c16", "-d2s", "http://127.0.0.1:" + std::to_string(port) + "/file"});
    if (!said) return std::unexpected(said.error());
    if (said->find("Non-2xx") != std::string::npos) return error("wrk met errors: " + *said);
    return number_after(*said, "Requests/sec:");
  }

 private:
  std::string scratch_;
};

class Redis : public Workload {
 public:
  explicit Redis(std::string scratch) : scratch_(std::move(scratch)) {}
  std::string name() const override { return "redis"; }
  std::string unit() const override { return "requests/s"; }
  std::vector<std::string> needs() const override { return {"redis-server", "redis-benchmark"}; }

  Result<double> run(const std::vector<std::string>& prefix) override {
    const std::string port = std::to_string(free_port());
    auto said =
        drive(scratch_,
              prefix + std::vector<std::string>{"redis-server", "--bind", "127.0.0.1", "--port",
                                                port, "--save", "", "--dir", scratch_},
              static_cast<uint16_t>(std::stoi(port)),
              {"redis-benchmark", "-h", "127.0.0.1", "-p", port, "-c", "16", "-n", "40000", "-t",
               "get", "--csv"});
    if (!said) return std::unexpected(said.error());
    return number_after(*said, "\"GET\",\"");
  }

 private:
  std::string scratch_;
};

// Compiles a small project: 24 files of some 250 lines.
class Make : public Workload {
 public:
  explicit Make(std::string scratch) : scratch_(std::move(scratch)) {}
  std::string name() const override { return "make"; }
  std::string unit() const override { return "builds/minute"; }
  std::vector<std::string> needs() const override { return {"make", "cc"}; }

  Result<double> run(const std::vector<std::string>& prefix) override {
    constexpr int kFiles = 24;
    std::string all = "all:";
    for (int i = 0; i < kFiles; i++) {
      const std::string part = "part" + std::to_string(i);
      all += " " + part + ".o";
      if (auto done = make_file(scratch_ + "/" + part + ".c", source(i)); !done)
        return std::unexpected(done.error());
      std::filesystem::remove(scratch_ + "/" + part + ".o");
    }
    if (auto done = make_file(scratch_ + "/Makefile", all + "\n"); !done)
      return std::unexpected(done.error());
    const auto start = steady_clock::now();
    auto said = Child(prefix + std::vector<std::string>{"make", "-s", "-j2", "-C", scratch_,
                                                        "CC=cc", "CFLAGS=-O2 -Wall"},
                      scratch_ + "/make.log")
                    .wait();
    const std::chrono::duration<double, std::ratio<60>> took = steady_clock::now() - start;
    if (!said) return std::unexpected(said.error());
    return 1 / took.count();
  }

 private:
  static std::string source(int file) {
    constexpr int kFunctions = 12;
    std::string text = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n";
    for (int i = 0; i < kFunctions; i++) {
      const std::string n = std::to_string(file) + "_" + std::to_string(i);
      text += "\nstruct list" + n + " {\n  struct list" + n + " *next;\n  char name[" +
              std::to_string(16 + i) + "];\n  long value;\n};\n\nlong sum" + n + "(struct list" +
              n +
              " *at, const char *name)\n{\n  long sum = 0;\n  for (; at; at = at->next) {\n"
              "    if (name && strcmp(at->name, name) != 0)\n      continue;\n"
              "    switch (at->value % " +
              std::to_string(3 + i) +
              ") {\n    case 0:\n      sum += at->value;\n      break;\n    case 1:\n"
              "      sum ^= (long)strlen(at->name);\n      break;\n    default:\n"
              "      fprintf(stderr, \"%s: %ld\\n\", at->name, at->value);\n    }\n  }\n"
              "  return sum;\n}\n";
    }
    return text;
  }

  std::string scratch_;
};

// Starts programs that do nothing: what a process costs under mino.
class Start : public Workload {
 public:
  explicit Start(std::string scratch) : scratch_(std::move(scratch)) {}
  std::string name() const override { return "start"; }
  std::string unit() const override { return "programs/s"; }
  std::vector<std::string> needs() const override { return {"sh", "env"}; }

  Result<double> run(const std::vector<std::string>& prefix) override {
    constexpr int kPrograms = 400;
    const auto start = steady_clock::now();
    auto said =
        Child(prefix + std::vector<std::string>{"sh", "-c",
                                                "i=0; while [ $i -lt " + std::to_string(kPrograms) +
                                                    " ]; do env true; i=$((i+1)); done"},
              scratch_ + "/start.log")
            .wait();
    const std::chrono::duration<double> took = steady_clock::now() - start;
    if (!said) return std::unexpected(said.error());
    return 2 * kPrograms / took.count();  // env, and true
  }

 private:
  std::string scratch_;
};

}  // namespace

Result<void> make_file(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::trunc);
  file << content;
  file.close();
  if (!file) return errno_error(path);
  return {};
}

std::vector<std::unique_ptr<Workload>> make_workloads(const std::string& scratch) {
  std::vector<std::unique_ptr<Workload>> all;
  all.push_back(std::make_unique<Nginx>(scratch));
  all.push_back(std::make_unique<Redis>(scratch));
  all.push_back(std::make_unique<Make>(scratch));
  all.push_back(std::make_unique<Start>(scratch));
  return all;
}

}  // namespace mino
