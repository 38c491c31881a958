// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_hook.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/parts.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/device_client.h"
#include "cli/program.h"
#include "cli/samples.h"
#include "cli/workload.h"

namespace mino {

namespace {

using nlohmann::json;

// A directory that is removed with all its contents.
struct Scratch {
  std::string path = "/tmp/mino-bench-XXXXXX";
  bool made = ::mkdtemp(path.data()) != nullptr && ::chmod(path.c_str(), 0755) == 0;
  ~Scratch() {
    std::error_code ignored;
    if (made) std::filesystem::remove_all(path, ignored);
  }
};

std::string missing(const Workload& workload) {
  for (const std::string& name : workload.needs()) {
    if (find_program(name).path.empty()) return name;
  }
  return "";
}

Result<json> measure(Workload& workload, const BenchHookOptions& options,
                     const std::vector<std::string>& mino_run) {
  Samples native, hooked;
  for (int64_t i = -1; i < options.rounds; i++) {  // the first one only warms up
    // The order changes each time, so that a drift favours neither.
    for (const bool under_mino : {i % 2 == 0, i % 2 != 0}) {
      auto done = workload.run(under_mino ? mino_run : std::vector<std::string>{});
      if (!done) return error(workload.name() + ": " + done.error().text);
      if (i >= 0) (under_mino ? hooked : native).values.push_back(*done);
    }
  }
  return json{{"program", workload.name()},
              {"unit", workload.unit()},
              {"native", native.summary()},
              {"mino", hooked.summary()},
              {"ratio", ratio(hooked, native).summary()}};
}

void print(const json& report) {
  std::printf(
      "nothing offloaded, --hook %s: throughput under mino by that of a native run, median "
      "(middle half)\n",
      report["tier"].get<std::string>().c_str());
  for (const json& p : report["programs"]) {
    std::printf("  %-6s  %.3f (%.3f - %.3f)   of %.0f %s\n",
                p["program"].get<std::string>().c_str(), p["ratio"]["median"].get<double>(),
                p["ratio"]["q1"].get<double>(), p["ratio"]["q3"].get<double>(),
                p["native"]["median"].get<double>(), p["unit"].get<std::string>().c_str());
  }
}

}  // namespace

int bench_hook(const RunDir& dir, const BenchHookOptions& options) {
  if (auto status = ask_device(dir, "status"); !status)
    return complain(kFailed, status.error().text);
  const Scratch scratch;
  if (!scratch.made) return complain(kFailed, errno_error(scratch.path).error().text);
  const std::string policy = scratch.path + "/policy.toml";
  if (auto done = make_file(policy, "[policy]\nfamilies = []\npaths = []\n"); !done)
    return complain(kFailed, done.error().text);
  const auto self = find_part(Part::kMino);
  if (!self) return complain(kFailed, self.error().text);
  const std::vector<std::string> mino_run{*self,        "--run-dir", dir.path(), "run", "--hook",
                                          options.tier, "--policy",  policy,     "--"};
  json report{{"tier", options.tier}, {"programs", json::array()}};
  double load = 0;
  ::getloadavg(&load, 1);
  report["machine"] = {{"cpus", std::thread::hardware_concurrency()}, {"load_average", load}};
  for (const auto& workload : make_workloads(scratch.path)) {
    if (!options.only.empty() &&
        std::ranges::find(options.only, workload->name()) == options.only.end())
      continue;
    if (const std::string name = missing(*workload); !name.empty()) {
      complain(kOk, workload->name() + " is left out: " + name + " is not installed");
      continue;
    }
    std::fprintf(stderr, "mino: measuring %s, %ld rounds …\n", workload->name().c_str(),
                 options.rounds);
    auto measured = measure(*workload, options, mino_run);
    if (!measured) return complain(kFailed, measured.error().text);
    report["programs"].push_back(std::move(*measured));
  }
  if (report["programs"].empty())
    return complain(kFailed, "nothing to measure; install nginx and wrk, redis, or make and gcc");
  if (options.json) {
    std::printf("%s\n", report.dump(2).c_str());
  } else {
    print(report);
  }
  return kOk;
}

}  // namespace mino
