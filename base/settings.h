// SPDX-License-Identifier: Apache-2.0
//
// Strict reading of TOML. Every key that was not asked for, every wrong type and every bad value is
// a mistake; the message names file, line and column, and what to write instead. Used by
// daemon/config and base/policy. The first mistake wins; readers go on after it, so that callers
// need no checks in between.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace mino {

class SettingsTable;

class SettingsFile {
 public:
  static Result<SettingsFile> open(const std::string& path);
  static Result<SettingsFile> parse(std::string_view text, const std::string& name);

  SettingsTable root();
  const std::optional<Error>& mistake() const;

 private:
  friend class SettingsTable;
  struct Document;
  std::shared_ptr<Document> document_;
};

class SettingsTable {
 public:
  // Says what is wrong with a value, or "" if nothing is.
  using Judge = std::function<std::string(const std::string&)>;

  // Each leaves `to` as it was when the key is absent.
  void text(const char* key, std::string& to, const Judge& judge = {});
  void texts(const char* key, std::vector<std::string>& to, const Judge& judge = {});
  void flag(const char* key, bool& to);
  void integer(const char* key, int64_t& to, int64_t low, int64_t high);
  std::optional<SettingsTable> table(const char* key);

  // Call this last: a key that nobody asked for is unknown.
  void finish();

  // A mistake in the value of `key`, found by the caller later.
  void fail(const char* key, const std::string& what);

 private:
  friend class SettingsFile;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace mino
