// SPDX-License-Identifier: Apache-2.0
//
// Small helpers for text and small files. Used by daemon/ and cli/. No file is read without a
// bound.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace mino {

// The file's content, at most `max_bytes` of it; works for /proc, where sizes are 0.
Result<std::string> read_file(const std::string& path, size_t max_bytes = 1 << 20);

// Writes an existing file, as /proc/sys wants it: one write of everything.
Result<void> write_file(const std::string& path, std::string_view content);

std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);

// A decimal number within bounds, and nothing around it.
std::optional<int64_t> parse_integer(std::string_view text, int64_t low, int64_t high);

// "4096", "64K", "16M", "1G" (powers of 1024).
std::optional<int64_t> parse_bytes(std::string_view text);

// "1.5 MiB", for people.
std::string human_bytes(uint64_t bytes);

// The candidate nearest to `word`, if it is near enough to be what was meant, else "".
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// Control characters and bytes beyond ASCII become '?': for names that a peer chose.
std::string printable(std::string_view text);

}  // namespace mino
