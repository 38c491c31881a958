// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_call.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/fd.h"
#include "base/parts.h"
#include "base/text.h"
#include "cli/bench_table.h"
#include "cli/commands.h"
#include "cli/device_client.h"
#include "cli/measured_process.h"
#include "cli/samples.h"

namespace mino {

namespace {

using nlohmann::json;

constexpr int kNullCalls = 2000;  // per sample
// Per sample of a transfer, but between 4 and 200 transfers.
constexpr size_t kSampleBytes = size_t{2} << 20;
constexpr size_t kSizes[] = {64, 1024, 16384, 65536, 262144, 1048576};
constexpr double kIdleSeconds = 2;

struct Transfer {
  Samples local_send, local_receive, offloaded_send, offloaded_receive, beside_send, beside_receive;
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
  Bench(const RunDir& dir, const BenchCallOptions& options) : dir_(dir), options_(options) {}

  Result<json> measure() {
    ::getloadavg(&load_, 1);
    if (auto done = start(); !done) return std::unexpected(done.error());
    for (int64_t i = -1; i < options_.iterations; i++) {  // the first one only warms up
      keep_ = i >= 0;
      if (auto done = round(); !done) return std::unexpected(done.error());
    }
    auto trips = count_trips();
    if (!trips) return std::unexpected(trips.error());
    auto idle = measure_idle();
    if (!idle) return std::unexpected(idle.error());
    json result = report(*trips, *idle);
    auto beside = report_beside();
    if (!beside) return std::unexpected(beside.error());
    if (!beside->is_null()) result["beside"] = std::move(*beside);
    return result;
  }

 private:
  Result<void> start() {
    const auto self = find_part(Part::kMino);
    if (!self) return std::unexpected(self.error());
    const std::vector<std::string> child{*self, "bench-child"};
    auto native = MeasuredProcess::start(child);
    if (!native) return std::unexpected(native.error());
    native_.emplace(std::move(*native));
    for (const auto& [tier, place] :
         {std::pair{"auto", &auto_}, {"patch", &patch_}, {"sud", &sud_}}) {
      std::vector<std::string> argv{*self, "--run-dir", dir_.path(), "run", "--hook", tier, "--"};
      argv.insert(argv.end(), child.begin(), child.end());
      auto started = MeasuredProcess::start(argv);
      if (!started) return error("under --hook " + std::string(tier) + ": " + started.error().text);
      place->emplace(std::move(*started));
    }
    if (options_.beside.empty()) return {};
    std::vector<std::string> argv{*self, "--run-dir", options_.beside, "run", "--"};
    argv.insert(argv.end(), child.begin(), child.end());
    auto started = MeasuredProcess::start(argv);
    if (!started) return error("on " + options_.beside + ": " + started.error().text);
    beside_.emplace(std::move(*started));
    return {};
  }

  Result<void> sample(std::optional<MeasuredProcess>& child, const std::string& command,
                      Samples& to, Samples* second = nullptr) {
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
    if (done) done = sample(native_, "hand-over " + std::to_string(kNullCalls), hand_over_);
    // fcntl is a call that the hook handles: its site is patched, and the descriptor decides where
    // it runs.
    const std::string on_host = "host-fcntl " + std::to_string(kNullCalls);
    if (done) done = sample(native_, on_host, host_native_);
    if (done) done = sample(patch_, on_host, host_patch_);
    if (done) done = sample(sud_, on_host, host_sud_);
    if (done) done = sample(auto_, on_host, host_auto_);
    if (done) done = sample(native_, fcntl, fcntl_local_);
    if (done) done = sample(auto_, fcntl, fcntl_offloaded_);
    if (done && beside_) done = sample(beside_, fcntl, fcntl_beside_);
    for (size_t i = 0; i < std::size(kSizes) && done; i++) {
      const size_t times = std::clamp<size_t>(kSampleBytes / kSizes[i], 4, 200);
      const std::string command =
          "transfer " + std::to_string(kSizes[i]) + " " + std::to_string(times);
      Transfer& t = transfers_[i];
      done = sample(native_, command, t.local_send, &t.local_receive);
      if (done) done = sample(auto_, command, t.offloaded_send, &t.offloaded_receive);
      if (done && beside_) done = sample(beside_, command, t.beside_send, &t.beside_receive);
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
      for (const json& instance : (*status)["instances"]) {
        if (instance.contains("pid")) seconds[1] += cpu_seconds(instance["pid"].get<pid_t>());
      }
      return seconds;
    };
    // A thread that spins after its last call has half a second to fall asleep.
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const auto before = used();
    std::this_thread::sleep_for(std::chrono::duration<double>(kIdleSeconds));
    const auto after = used();
    return json{{"seconds", kIdleSeconds},
                {"minod_cpu_seconds", after[0] - before[0]},
                {"proxies_cpu_seconds", after[1] - before[1]},
                {"client_cpu_seconds", after[2] - before[2]}};
  }

  // The second device, as ratios to the same local samples.
  Result<json> report_beside() const {
    if (!beside_) return json();
    auto dir = RunDir::at(options_.beside);
    if (!dir) return std::unexpected(dir.error());
    auto status = ask_device(*dir, "status");
    if (!status) return std::unexpected(status.error());
    json transfers = json::array();
    for (size_t i = 0; i < std::size(kSizes); i++) {
      const Transfer& t = transfers_[i];
      transfers.push_back(
          {{"bytes", kSizes[i]}, {"ratio", both(t.beside_send, t.beside_receive, t)}});
    }
    return json{{"engine", (*status)["engine"]},
                {"offloaded_fcntl_ns", fcntl_beside_.summary()},
                {"null_ratio", ratio(fcntl_beside_, fcntl_local_).median()},
                {"null_ratio_best", fcntl_beside_.least() / fcntl_local_.least()},
                {"transfer", transfers}};
  }

  // Send and receive together, against the local ones.
  static double both(const Samples& send, const Samples& receive, const Transfer& t) {
    return ratio(sum(send, receive), sum(t.local_send, t.local_receive)).median();
  }

  json report(const json& trips, const json& idle) const {
    json transfers = json::array();
    for (size_t i = 0; i < std::size(kSizes); i++) {
      const Transfer& t = transfers_[i];
      transfers.push_back({{"bytes", kSizes[i]},
                           {"local_send_ns", t.local_send.summary()},
                           {"offloaded_send_ns", t.offloaded_send.summary()},
                           {"local_receive_ns", t.local_receive.summary()},
                           {"offloaded_receive_ns", t.offloaded_receive.summary()},
                           {"ratio", both(t.offloaded_send, t.offloaded_receive, t)}});
    }
    return {
        {"null_ratio", ratio(fcntl_offloaded_, fcntl_local_).median()},
        // The figure without disturbance by other programs, if there was any moment without it.
        {"null_ratio_best", fcntl_offloaded_.least() / fcntl_local_.least()},
        {"null_ratio_hand_over", ratio(fcntl_offloaded_, hand_over_).median()},
        {"null_ratio_getppid", ratio(fcntl_offloaded_, getppid_local_).median()},
        {"null",
         {{"local_getppid_ns", getppid_local_.summary()},
          {"local_fcntl_ns", fcntl_local_.summary()},
          {"hand_over_ns", hand_over_.summary()},
          {"offloaded_fcntl_ns", fcntl_offloaded_.summary()},
          {"round_trips_per_call", trips["round_trips"]},
          {"upcalls_per_call", trips["upcalls"]}}},
        {"transfer", transfers},
        {"hook",
         {{"unhooked_ns", host_native_.summary()},
          {"patch_ns", host_patch_.summary()},
          {"sud_ns", host_sud_.summary()},
          {"auto_ns", host_auto_.summary()},
          {"patch_extra_ns", excess(host_patch_, host_native_).median()},
          {"sud_extra_ns", excess(host_sud_, host_native_).median()},
          {"auto_extra_ns", excess(host_auto_, host_native_).median()}}},
        {"idle", idle},
        {"machine", {{"cpus", std::thread::hardware_concurrency()}, {"load_average", load_}}},
    };
  }

  const RunDir& dir_;
  const BenchCallOptions& options_;
  std::optional<MeasuredProcess> native_, auto_, patch_, sud_, beside_;
  bool keep_ = false;
  double load_ = 0;  // of the machine, before anything was measured
  Samples getppid_local_, hand_over_, host_native_, host_patch_, host_sud_, host_auto_,
      fcntl_local_, fcntl_offloaded_, fcntl_beside_;
  Transfer transfers_[std::size(kSizes)];
};

}  // namespace

int bench_call(const RunDir& dir, const BenchCallOptions& options) {
  auto status = ask_device(dir, "status");
  if (!status) return complain(kFailed, status.error().text);
  ::signal(SIGPIPE, SIG_IGN);
  std::fprintf(stderr, "mino: measuring, %ld interleaved samples of each figure …\n",
               options.iterations);
  auto measured = Bench(dir, options).measure();
  if (!measured) return complain(kFailed, measured.error().text);
  (*measured)["engine"] = (*status)["engine"];
  if (options.json) {
    std::printf("%s\n", measured->dump(2).c_str());
  } else {
    print_bench_table(*measured);
  }
  return kOk;
}

}  // namespace mino
