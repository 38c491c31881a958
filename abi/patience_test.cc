// SPDX-License-Identifier: Apache-2.0
//
// The budgets of the three places that wait, to the cycle. C and C++ agree on them.
#include <gtest/gtest.h>

#include <vector>

#include "abi/patience_test.h"

namespace {

constexpr uint64_t kForever = 1'000'000'000'000;

// One waiter, in both languages at once.
class Waiter {
 public:
  Waiter(const mino_patience& place, int place_in_c)
      : place_(place), in_c_(*mino_patience_in_c[place_in_c]), average_(place.at_first) {}

  uint64_t budget() {
    uint32_t impatient = impatient_;
    const uint64_t in_c = mino_patience_budget_in_c(&in_c_, average_, &impatient);
    const uint64_t budget = mino_patience_budget(&place_, average_, &impatient_);
    EXPECT_EQ(in_c, budget);
    EXPECT_EQ(impatient, impatient_);
    return budget;
  }

  uint32_t learn(uint64_t took) {
    const uint32_t in_c = mino_patience_learn_in_c(&in_c_, average_, took);
    average_ = mino_patience_learn(&place_, average_, took);
    EXPECT_EQ(in_c, average_);
    return average_;
  }

  mino_patience_step next(uint64_t waited, uint64_t budget) {
    const mino_patience_step step = mino_patience_next(&place_, waited, budget);
    EXPECT_EQ(mino_patience_next_in_c(&in_c_, waited, budget), step);
    return step;
  }

 private:
  const mino_patience& place_;
  const mino_patience& in_c_;
  uint32_t average_;
  uint32_t impatient_ = 0;
};

struct Step {
  uint64_t took;
  uint32_t average;
  uint64_t budget;
};

void follow(Waiter waiter, uint64_t first, const std::vector<Step>& steps) {
  EXPECT_EQ(waiter.budget(), first);
  for (size_t i = 0; i < steps.size(); i++) {
    EXPECT_EQ(waiter.learn(steps[i].took), steps[i].average) << i;
    EXPECT_EQ(waiter.budget(), steps[i].budget) << i;
  }
}

// On the device, proxies and the driver have always learnt and waited alike.
const std::vector<Step> kDeviceSteps = {
    {0, 18750, 43500},           {1000, 9875, 25750},        {1000, 5437, 16874},
    {40'000, 9757, 25514},       {40'000, 13537, 33074},     {200'000, 36844, 79688},
    {kForever, 69738, 145476},   {kForever, 98520, 150'000}, {kForever, 123705, 150'000},
    {kForever, 145741, 150'000}, {kForever, 165023, 6000},   {kForever, 181895, 6000},
    {400'000, 196658, 6000},     {400'000, 209575, 6000},    {400'000, 220878, 6000},
    {149'999, 212018, 6000},     {10'000, 111009, 150'000},  {0, 55504, 117008},
    {3, 27753, 61506},           {7, 13880, 33760},
};

TEST(Patience, OfAClient) {
  follow({mino_patience_client, 0}, 3000,
         {
             {0, 0, 3000},
             {1000, 125, 3250},
             {1000, 234, 3468},
             {40'000, 5204, 13408},
             {40'000, 9553, 22106},
             {200'000, 33358, 69716},
             {kForever, 104188, 211376},
             {kForever, 166164, 300'000},
             {kForever, 220393, 300'000},
             {kForever, 267843, 300'000},
             {kForever, 309362, 3000},
             {kForever, 345691, 3000},
             {400'000, 352479, 3000},
             {400'000, 358419, 3000},
             {400'000, 363616, 3000},
             {149'999, 256807, 300'000},
             {10'000, 133403, 269806},
             {0, 66701, 136402},
             {3, 33352, 69704},
             {7, 16679, 36358},
         });
}

TEST(Patience, OfAProxy) {
  follow({mino_patience_proxy, 1}, 81'000, kDeviceSteps);
}

TEST(Patience, OfTheKernel) {
  follow({mino_patience_kernel, 2}, 81'000, kDeviceSteps);
}

TEST(Patience, TheEighthHopelessWaitIsPatient) {
  const struct {
    const mino_patience& place;
    uint64_t glance, wake_up;
  } places[] = {{mino_patience_client, 3000, 300'000},
                {mino_patience_proxy, 6000, 150'000},
                {mino_patience_kernel, 6000, 150'000}};
  for (int i = 0; i < 3; i++) {
    Waiter waiter(places[i].place, i);
    for (int k = 0; k < 50; k++) waiter.learn(kForever);
    for (int k = 1; k <= 24; k++) {
      EXPECT_EQ(waiter.budget(), k % 8 == 0 ? places[i].wake_up : places[i].glance) << i << k;
    }
  }
}

TEST(Patience, WhenToDoWhat) {
  Waiter client(mino_patience_client, 0), proxy(mino_patience_proxy, 1),
      kernel(mino_patience_kernel, 2);
  EXPECT_EQ(client.next(2999, 10'000), MINO_LOOK_ON);
  EXPECT_EQ(client.next(3000, 10'000), MINO_YIELD_AND_LOOK);
  EXPECT_EQ(client.next(9999, 10'000), MINO_YIELD_AND_LOOK);
  EXPECT_EQ(client.next(10'000, 10'000), MINO_SLEEP);
  EXPECT_EQ(client.next(3000, 3000), MINO_SLEEP);
  EXPECT_EQ(proxy.next(5999, 10'000), MINO_LOOK_ON);
  EXPECT_EQ(proxy.next(6000, 10'000), MINO_YIELD_AND_LOOK);
  EXPECT_EQ(proxy.next(10'000, 10'000), MINO_SLEEP);
  EXPECT_EQ(kernel.next(0, 6000), MINO_YIELD_AND_LOOK);
  EXPECT_EQ(kernel.next(5999, 6000), MINO_YIELD_AND_LOOK);
  EXPECT_EQ(kernel.next(6000, 6000), MINO_SLEEP);
}

TEST(Patience, LooksBetweenGlances) {
  EXPECT_EQ(mino_patience_client.first_looks, 64u);
  EXPECT_EQ(mino_patience_client.looks, 32u);
  EXPECT_EQ(mino_patience_proxy.first_looks, 0u);
  EXPECT_EQ(mino_patience_proxy.looks, 16u);
  EXPECT_EQ(mino_patience_kernel.first_looks, 128u);
  EXPECT_EQ(mino_patience_kernel.looks, 16u);
  EXPECT_EQ(mino_patience_client.at_first, 0u);  // a new thread's memory in hook/ is all zeros
}

TEST(Patience, CAndCxxAgree) {
  const mino_patience* const places[] = {&mino_patience_client, &mino_patience_proxy,
                                         &mino_patience_kernel};
  uint64_t random = 1;
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(mino_patience_in_c[i]->first_looks, places[i]->first_looks);
    EXPECT_EQ(mino_patience_in_c[i]->looks, places[i]->looks);
    EXPECT_EQ(mino_patience_in_c[i]->quiet, places[i]->quiet);
    EXPECT_EQ(mino_patience_in_c[i]->glance, places[i]->glance);
    EXPECT_EQ(mino_patience_in_c[i]->wake_up, places[i]->wake_up);
    EXPECT_EQ(mino_patience_in_c[i]->at_first, places[i]->at_first);
    Waiter waiter(*places[i], i);
    for (int k = 0; k < 100'000; k++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const uint64_t took = (random >> 32) >> (random >> 27 & 31);  // of every size
      const uint32_t average = waiter.learn(took);
      ASSERT_LE(average, 2 * places[i]->wake_up);
      const uint64_t budget = waiter.budget();
      ASSERT_GE(budget, places[i]->glance);
      ASSERT_LE(budget, places[i]->wake_up);
      waiter.next(took, budget);
    }
  }
}

TEST(Patience, TheClockRuns) {
  const uint64_t before = mino_cycles();
  for (int i = 0; i < 1000; i++) mino_pause();
  EXPECT_GT(mino_cycles(), before);
}

}  // namespace
