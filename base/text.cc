// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <numeric>

#include "base/fd.h"

namespace mino {

Result<std::string> read_file(const std::string& path, size_t max_bytes) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file.valid()) return errno_error(path);
  std::string content;
  char chunk[16384];
  while (content.size() < max_bytes) {
    const ssize_t n = ::read(file.get(), chunk, std::min(sizeof chunk, max_bytes - content.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(path);
    if (n == 0) break;
    content.append(chunk, static_cast<size_t>(n));
  }
  return content;
}

Result<void> write_file(const std::string& path, std::string_view content) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return errno_error(path);
  if (::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    return errno_error(path);
  }
  return {};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string whole;
  for (const std::string& part : parts) {
    if (!whole.empty()) whole += separator;
    whole += part;
  }
  return whole;
}

std::optional<int64_t> parse_integer(std::string_view text, int64_t low, int64_t high) {
  int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size()) return {};
  if (value < low || value > high) return {};
  return value;
}

std::optional<int64_t> parse_bytes(std::string_view text) {
  int64_t unit = 1;
  if (text.size() > 1) {
    switch (text.back()) {
      case 'K':
      case 'k':
        unit = int64_t{1} << 10;
        break;
      case 'M':
      case 'm':
        unit = int64_t{1} << 20;
        break;
      case 'G':
      case 'g':
        unit = int64_t{1} << 30;
        break;
      default:
        break;
    }
    if (unit != 1) text.remove_suffix(1);
  }
  const auto count = parse_integer(text, 0, INT64_MAX / unit);
  if (!count) return {};
  return *count * unit;
}

std::string human_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double amount = static_cast<double>(bytes);
  size_t unit = 0;
  while (amount >= 1024 && unit + 1 < std::size(kUnits)) {
    amount /= 1024;
    unit++;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", amount, kUnits[unit]);
  return text;
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = word.size() / 3 + 2;  // farther than this is another word
  for (const std::string& candidate : candidates) {
    // Levenshtein distance, one row at a time.
    std::vector<size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 0; i < word.size(); i++) {
      size_t diagonal = std::exchange(row[0], i + 1);
      for (size_t k = 0; k < candidate.size(); k++) {
        const size_t change = diagonal + (word[i] == candidate[k] ? 0 : 1);
        diagonal = row[k + 1];
        row[k + 1] = std::min({change, row[k] + 1, row[k + 1] + 1});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

std::string printable(std::string_view text) {
  std::string clean(text.substr(0, text.find('\0')));
  for (char& c : clean) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return clean;
}

}  // namespace mino
