// SPDX-License-Identifier: Apache-2.0
#include "cli/samples.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

namespace mino {

namespace {

template <class Combine>
Samples combine(const Samples& a, const Samples& b, Combine f) {
  Samples result;
  for (size_t i = 0; i < std::min(a.values.size(), b.values.size()); i++) {
    result.values.push_back(f(a.values[i], b.values[i]));
  }
  return result;
}

}  // namespace

double Samples::median() const {
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Samples::least() const {
  return *std::min_element(values.begin(), values.end());
}

nlohmann::json Samples::summary() const {
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const size_t last = sorted.size() - 1;
  return {{"median", median()},    {"q1", sorted[last / 4]}, {"q3", sorted[last * 3 / 4]},
          {"min", sorted.front()}, {"max", sorted.back()},   {"samples", sorted.size()}};
}

Samples ratio(const Samples& a, const Samples& b) {
  return combine(a, b, std::divides<>());
}
Samples sum(const Samples& a, const Samples& b) {
  return combine(a, b, std::plus<>());
}
Samples excess(const Samples& a, const Samples& b) {
  return combine(a, b, std::minus<>());
}

}  // namespace mino
