// SPDX-License-Identifier: Apache-2.0
#include "cli/bench.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/fd.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/device_client.h"

namespace mino {

namespace {

using nlohmann::json;

constexpr int kPatienceMs = 60'000;
constexpr int kNullCalls = 2000;  // per sample
constexpr size_t kSampleBytes = size_t{2}
                                << 20;  // per sample of a transfer, and between 4 and 200 times
constexpr size_t kSizes[] = {64, 1024, 16384, 65536, 262144, 1048576};
constexpr double kIdleSeconds = 2;

// A child that waits for commands in a read of a local pipe.
class Child {
 public:
  Child() = default;
  Child(Child&&) = default;
  ~Child() {
    if (pid_ <= 0 || !in_.valid()) return;
    in_.reset();  // it ends when its input does
    out_.reset();
    for (int i = 0; i < 200; i++) {
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  static Result<Child> start(const std::vector<std::string>& argv) {
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) return errno_error("pipe");
    Fd child_in(in[0]), child_out(out[1]);
    Child child;
    child.in_ = Fd(in[1]);
    child.out_ = Fd(out[0]);
    child.pid_ = ::fork();
    if (child.pid_ < 0) return errno_error("fork");
    if (child.pid_ == 0) {
      ::dup2(child_in.get(), 0);
      ::dup2(child_out.get(), 1);
      std::vector<char*> arguments;
      for (const std::string& argument : argv)
        arguments.push_back(const_cast<char*>(argument.c_str()));
      arguments.push_back(nullptr);
      ::execv(arguments[0], arguments.data());
      ::_exit(kNotStarted);
    }
    child_in.reset();
    child_out.reset();
    auto first = child.read_line();
    if (!first) return std::unexpected(first.error());
    if (*first != "ready") return error("a measured process said: " + *first);
    return child;
  }

  Result<std::vector<double>> ask(const std::string& command) {
    const std::string line = command + "\n";
    if (::write(in_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      return errno_error("a measured process is gone");
    }
    auto answer = read_line();
    if (!answer) return std::unexpected(answer.error());
    std::vector<double> numbers;
    const char* at = answer->c_str();
    char* end = nullptr;
    for (double value = std::strtod(at, &end); end != at; value = std::strtod(at, &end)) {
      numbers.push_back(value);
      at = end;
    }
    if (numbers.empty()) return error("a measured process said: " + *answer);
    return numbers;
  }

  pid_t pid() const { return pid_; }

 private:
  Result<std::string> read_line() {
    std::string line;
    char byte;
    while (true) {
      pollfd wait{out_.get(), POLLIN, 0};
      if (::poll(&wait, 1, kPatienceMs) == 0) return error("a measured process does not answer");
      const ssize_t n = ::read(out_.get(), &byte, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return error("a measured process ended early");
      if (byte == '\n') return line;
      line += byte;
    }
  }

  pid_t pid_ = -1;
  Fd in_, out_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// The samples of one figure, in the order of the rounds.
struct Samples {
  std::vector<double> values;

  json summary() const {
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    const size_t last = sorted.size() - 1;
    return {{"median", median(values)}, {"q1", sorted[last / 4]}, {"q3", sorted[last * 3 / 4]},
            {"min", sorted.front()},    {"max", sorted.back()},   {"samples", sorted.size()}};
  }
};

// Combined round by round, so that what disturbed one round disturbs both numbers.
template <class Combine>
Samples combine(const Samples& a, const Samples& b, Combine f) {
  Samples result;
  for (size_t i = 0; i < std::min(a.values.size(), b.values.size()); i++) {
    result.values.push_back(f(a.values[i], b.values[i]));
  }
  return result;
}
Samples ratio(const Samples& a, const Samples& b) {
  return combine(a, b, [](double x, double y) { return x / y; });
}
Samples excess(const Samples& a, const Samples& b) {
  return combine(a, b, [](double x, double y) { return x - y; });
}

struct Transfer {
  Samples local_send, local_receive, offloaded_send, offloaded_receive, ratio;
};

// CPU time that a process has used, all threads, in seconds.
double cpu_seconds(pid_t pid) {
  double ns = 0;
  std::error_code failure;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, failure)) {
    const auto text = read_file(task.path().string() + "/schedstat", 128);
    if (text) ns += std::strtod(text->c_str(), nullptr);
  }
  return ns / 1e9;
}

class Bench {
 public:
  Bench(const RunDir& dir, const BenchOptions& options) : dir_(dir), options_(options) {}

  Result<json> measure() {
    if (auto done = start(); !done) return std::unexpected(done.error());
    for (int64_t i = -1; i < options_.iterations; i++) {  // the first one only warms up
      keep_ = i >= 0;
      if (auto done = round(); !done) return std::unexpected(done.error());
    }
    auto trips = count_trips();
    if (!trips) return std::unexpected(trips.error());
    auto idle = measure_idle();
    if (!idle) return std::unexpected(idle.error());
    return report(*trips, *idle);
  }

 private:
  static std::string self() { return program_dir() + "/mino"; }

  Result<void> start() {
    const std::vector<std::string> child{self(), "bench-child"};
    auto native = Child::start(child);
    if (!native) return std::unexpected(native.error());
    native_.emplace(std::move(*native));
    for (const auto& [tier, place] :
         {std::pair{"auto", &auto_}, {"patch", &patch_}, {"sud", &sud_}}) {
      std::vector<std::string> argv{self(), "--run-dir", dir_.path(), "run", "--hook", tier, "--"};
      argv.insert(argv.end(), child.begin(), child.end());
      auto started = Child::start(argv);
      if (!started) return error("under --hook " + std::string(tier) + ": " + started.error().text);
      place->emplace(std::move(*started));
    }
    return {};
  }

  Result<void> sample(std::optional<Child>& child, const std::string& command, Samples& to,
                      Samples* second = nullptr) {
    auto numbers = child->ask(command);
    if (!numbers) return std::unexpected(numbers.error());
    if (!keep_) return {};
    to.values.push_back((*numbers)[0]);
    if (second != nullptr && numbers->size() > 1) second->values.push_back((*numbers)[1]);
    return {};
  }

  Result<void> round() {
    const std::string getppid = "getppid " + std::to_string(kNullCalls);
    const std::string fcntl = "fcntl " + std::to_string(kNullCalls);
    Result<void> done = sample(native_, getppid, getppid_local_);
    if (done) done = sample(patch_, getppid, getppid_patch_);
    if (done) done = sample(sud_, getppid, getppid_sud_);
    if (done) done = sample(auto_, getppid, getppid_auto_);
    if (done) done = sample(native_, fcntl, fcntl_local_);
    if (done) done = sample(auto_, fcntl, fcntl_offloaded_);
    for (size_t i = 0; i < std::size(kSizes) && done; i++) {
      const size_t times = std::clamp<size_t>(kSampleBytes / kSizes[i], 4, 200);
      const std::string command =
          "transfer " + std::to_string(kSizes[i]) + " " + std::to_string(times);
      Transfer& t = transfers_[i];
      done = sample(native_, command, t.local_send, &t.local_receive);
      if (done) done = sample(auto_, command, t.offloaded_send, &t.offloaded_receive);
    }
    return done;
  }

  // Round trips and upcalls of one offloaded null call, from the device's own counters.
  Result<json> count_trips() {
    auto before = ask_device(dir_, "status");
    if (!before) return std::unexpected(before.error());
    auto asked = auto_->ask("fcntl " + std::to_string(kNullCalls));
    if (!asked) return std::unexpected(asked.error());
    auto after = ask_device(dir_, "status");
    if (!after) return std::unexpected(after.error());
    const auto grown = [&](const char* key) {
      return (*after)["counters"][key].get<double>() - (*before)["counters"][key].get<double>();
    };
    const double calls = std::max(grown("calls"), 1.0);
    return json{{"round_trips", grown("round_trips") / calls},
                {"upcalls", grown("upcalls") / calls}};
  }

  Result<json> measure_idle() {
    auto status = ask_device(dir_, "status");
    if (!status) return std::unexpected(status.error());
    const auto used = [&] {
      std::array<double, 3> seconds{cpu_seconds((*status)["pid"].get<pid_t>()), 0,
                                    cpu_seconds(auto_->pid())};
      for (const json& client : (*status)["clients"])
        seconds[1] += cpu_seconds(client["proxy_pid"].get<pid_t>());
      return seconds;
    };
    // What spins after its last call has half a second to fall asleep.
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const auto before = used();
    std::this_thread::sleep_for(std::chrono::duration<double>(kIdleSeconds));
    const auto after = used();
    return json{{"seconds", kIdleSeconds},
                {"minod_cpu_seconds", after[0] - before[0]},
                {"proxies_cpu_seconds", after[1] - before[1]},
                {"client_cpu_seconds", after[2] - before[2]}};
  }

  json report(const json& trips, const json& idle) const {
    json transfers = json::array();
    for (size_t i = 0; i < std::size(kSizes); i++) {
      const Transfer& t = transfers_[i];
      const auto sum = [](const Samples& a, const Samples& b) {
        return combine(a, b, [](double x, double y) { return x + y; });
      };
      transfers.push_back({{"bytes", kSizes[i]},
                           {"local_send_ns", t.local_send.summary()},
                           {"offloaded_send_ns", t.offloaded_send.summary()},
                           {"local_receive_ns", t.local_receive.summary()},
                           {"offloaded_receive_ns", t.offloaded_receive.summary()},
                           {"ratio", median(ratio(sum(t.offloaded_send, t.offloaded_receive),
                                                  sum(t.local_send, t.local_receive))
                                                .values)}});
    }
    return {
        {"null_ratio", median(ratio(fcntl_offloaded_, fcntl_local_).values)},
        {"null_ratio_getppid", median(ratio(fcntl_offloaded_, getppid_local_).values)},
        {"null",
         {{"local_getppid_ns", getppid_local_.summary()},
          {"local_fcntl_ns", fcntl_local_.summary()},
          {"offloaded_fcntl_ns", fcntl_offloaded_.summary()},
          {"round_trips_per_call", trips["round_trips"]},
          {"upcalls_per_call", trips["upcalls"]}}},
        {"transfer", transfers},
        {"hook",
         {{"unhooked_ns", getppid_local_.summary()},
          {"patch_ns", getppid_patch_.summary()},
          {"sud_ns", getppid_sud_.summary()},
          {"auto_ns", getppid_auto_.summary()},
          {"patch_extra_ns", median(excess(getppid_patch_, getppid_local_).values)},
          {"sud_extra_ns", median(excess(getppid_sud_, getppid_local_).values)},
          {"auto_extra_ns", median(excess(getppid_auto_, getppid_local_).values)}}},
        {"idle", idle},
    };
  }

  const RunDir& dir_;
  const BenchOptions& options_;
  std::optional<Child> native_, auto_, patch_, sud_;
  bool keep_ = false;
  Samples getppid_local_, getppid_patch_, getppid_sud_, getppid_auto_, fcntl_local_,
      fcntl_offloaded_;
  Transfer transfers_[std::size(kSizes)];
};

std::string time_text(double ns) {
  char text[32];
  if (ns < 10'000) {
    std::snprintf(text, sizeof text, "%.0f ns", ns);
  } else {
    std::snprintf(text, sizeof text, "%.1f us", ns / 1000);
  }
  return text;
}

// "122 ns (118-130 ns)": median and the middle half.
std::string figure(const json& summary) {
  return time_text(summary["median"].get<double>()) + " (" +
         time_text(summary["q1"].get<double>()) + " - " + time_text(summary["q3"].get<double>()) +
         ")";
}

void print_table(const json& r) {
  std::printf("null call, median (middle half) of %lu interleaved samples\n",
              r["null"]["local_fcntl_ns"]["samples"].get<size_t>());
  std::printf("  local getppid        %s\n", figure(r["null"]["local_getppid_ns"]).c_str());
  std::printf("  local fcntl          %s\n", figure(r["null"]["local_fcntl_ns"]).c_str());
  std::printf(
      "  offloaded fcntl      %s   %.2f x local fcntl, %.2f x local getppid; %.2f round trips, "
      "%.2f upcalls\n",
      figure(r["null"]["offloaded_fcntl_ns"]).c_str(), r["null_ratio"].get<double>(),
      r["null_ratio_getppid"].get<double>(), r["null"]["round_trips_per_call"].get<double>(),
      r["null"]["upcalls_per_call"].get<double>());
  std::printf("\nTCP over loopback, one thread at both ends, per operation\n");
  std::printf("  %9s  %-28s %-28s %-28s %-28s %s\n", "bytes", "local send", "offloaded send",
              "local receive", "offloaded receive", "both, offloaded/local");
  for (const json& t : r["transfer"]) {
    std::printf("  %9lu  %-28s %-28s %-28s %-28s %.2f x\n", t["bytes"].get<size_t>(),
                figure(t["local_send_ns"]).c_str(), figure(t["offloaded_send_ns"]).c_str(),
                figure(t["local_receive_ns"]).c_str(), figure(t["offloaded_receive_ns"]).c_str(),
                t["ratio"].get<double>());
  }
  std::printf("\na call that stays on the host (getppid)\n");
  std::printf("  unhooked             %s\n", figure(r["hook"]["unhooked_ns"]).c_str());
  for (const char* tier : {"patch", "sud", "auto"}) {
    const std::string name(tier);
    std::printf("  --hook %-13s %s   %+.1f ns\n", tier, figure(r["hook"][name + "_ns"]).c_str(),
                r["hook"][name + "_extra_ns"].get<double>());
  }
  const json& idle = r["idle"];
  std::printf("\nCPU used in %.0f idle seconds: minod %.6f s, proxies %.6f s, client %.6f s\n",
              idle["seconds"].get<double>(), idle["minod_cpu_seconds"].get<double>(),
              idle["proxies_cpu_seconds"].get<double>(), idle["client_cpu_seconds"].get<double>());
}

}  // namespace

int bench_call(const RunDir& dir, const BenchOptions& options) {
  auto status = ask_device(dir, "status");
  if (!status) return complain(kFailed, status.error().text);
  ::signal(SIGPIPE, SIG_IGN);
  std::fprintf(stderr, "mino: measuring, %ld interleaved samples of each figure …\n",
               options.iterations);
  auto measured = Bench(dir, options).measure();
  if (!measured) return complain(kFailed, measured.error().text);
  if (options.json) {
    std::printf("%s\n", measured->dump(2).c_str());
  } else {
    print_table(*measured);
  }
  return kOk;
}

}  // namespace mino
