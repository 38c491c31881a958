// SPDX-License-Identifier: Apache-2.0
#include "base/settings.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>

#include "base/text.h"

namespace mino {

struct SettingsFile::Document {
  std::string name;
  toml::table table;
  std::optional<Error> mistake;

  void fail(const toml::source_region& where, const std::string& what) {
    if (mistake) return;
    mistake = Error{name + ":" + std::to_string(where.begin.line) + ":" +
                        std::to_string(where.begin.column) + ": " + what,
                    EINVAL};
  }
};

struct SettingsTable::State {
  std::shared_ptr<SettingsFile::Document> document;
  const toml::table* table = nullptr;
  std::string prefix;  // "uplink.", in messages
  std::vector<std::string> known;

  const toml::node* find(const char* key) {
    known.emplace_back(key);
    return table->get(key);
  }
  void fail(const toml::node& node, const char* key, const std::string& what) {
    document->fail(node.source(), prefix + key + ": " + what);
  }
};

Result<SettingsFile> SettingsFile::open(const std::string& path) {
  auto text = read_file(path);
  if (!text) return std::unexpected(text.error());
  return parse(*text, path);
}

Result<SettingsFile> SettingsFile::parse(std::string_view text, const std::string& name) {
  toml::parse_result parsed = toml::parse(text, name);
  SettingsFile file;
  file.document_ = std::make_shared<Document>();
  file.document_->name = name;
  if (!parsed) {
    file.document_->fail(parsed.error().source(), std::string(parsed.error().description()));
    return std::unexpected(*file.document_->mistake);
  }
  file.document_->table = std::move(parsed).table();
  return file;
}

SettingsTable SettingsFile::root() {
  SettingsTable table;
  table.state_ = std::make_shared<SettingsTable::State>();
  table.state_->document = document_;
  table.state_->table = &document_->table;
  return table;
}

const std::optional<Error>& SettingsFile::mistake() const {
  return document_->mistake;
}

void SettingsTable::text(const char* key, std::string& to, const Judge& judge) {
  const toml::node* node = state_->find(key);
  if (node == nullptr) return;
  const auto* value = node->as_string();
  if (value == nullptr) return state_->fail(*node, key, "must be a string in quotes");
  const std::string what = judge ? judge(value->get()) : "";
  if (!what.empty()) return state_->fail(*node, key, "\"" + value->get() + "\": " + what);
  to = value->get();
}

void SettingsTable::texts(const char* key, std::vector<std::string>& to, const Judge& judge) {
  const toml::node* node = state_->find(key);
  if (node == nullptr) return;
  const toml::array* list = node->as_array();
  if (list == nullptr)
    return state_->fail(*node, key, "must be a list of strings, as [\"…\", \"…\"]");
  std::vector<std::string> values;
  for (const toml::node& element : *list) {
    const auto* value = element.as_string();
    if (value == nullptr)
      return state_->fail(element, key, "each element must be a string in quotes");
    const std::string what = judge ? judge(value->get()) : "";
    if (!what.empty()) return state_->fail(element, key, "\"" + value->get() + "\": " + what);
    values.push_back(value->get());
  }
  to = std::move(values);
}

void SettingsTable::flag(const char* key, bool& to) {
  const toml::node* node = state_->find(key);
  if (node == nullptr) return;
  const auto* value = node->as_boolean();
  if (value == nullptr) return state_->fail(*node, key, "must be true or false");
  to = value->get();
}

void SettingsTable::integer(const char* key, int64_t& to, int64_t low, int64_t high) {
  const toml::node* node = state_->find(key);
  if (node == nullptr) return;
  const std::string range =
      "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high);
  const auto* value = node->as_integer();
  if (value == nullptr || value->get() < low || value->get() > high) {
    return state_->fail(*node, key, range);
  }
  to = value->get();
}

std::optional<SettingsTable> SettingsTable::table(const char* key) {
  const toml::node* node = state_->find(key);
  if (node == nullptr) return {};
  if (!node->is_table()) {
    state_->fail(*node, key,
                 std::string("must be a table: write [") + key + "] and its keys below");
    return {};
  }
  SettingsTable inner;
  inner.state_ = std::make_shared<State>();
  inner.state_->document = state_->document;
  inner.state_->table = node->as_table();
  inner.state_->prefix = state_->prefix + key + ".";
  return inner;
}

void SettingsTable::finish() {
  for (const auto& [key, node] : *state_->table) {
    const std::string name(key.str());
    if (std::find(state_->known.begin(), state_->known.end(), name) != state_->known.end())
      continue;
    const std::string meant = nearest(name, state_->known);
    state_->document->fail(key.source(),
                           "unknown key " + state_->prefix + name +
                               (meant.empty() ? "; known here: " + join(state_->known, ", ")
                                              : "; did you mean " + state_->prefix + meant + "?"));
  }
}

void SettingsTable::fail(const char* key, const std::string& what) {
  if (const toml::node* node = state_->table->get(key)) {
    state_->fail(*node, key, what);
  } else {
    state_->document->fail(state_->table->source(), state_->prefix + key + ": " + what);
  }
}

}  // namespace mino
