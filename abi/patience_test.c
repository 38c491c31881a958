// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* abi/patience.h as a C compiler reads it, for abi/patience_test.cc. */
#include "abi/patience_test.h"

const struct mino_patience *const mino_patience_in_c[3] = {
	&mino_patience_client,
	&mino_patience_proxy,
	&mino_patience_kernel,
};

uint64_t mino_patience_budget_in_c(const struct mino_patience *place, uint32_t average,
				   uint32_t *impatient)
{
	return mino_patience_budget(place, average, impatient);
}

uint32_t mino_patience_learn_in_c(const struct mino_patience *place, uint32_t average,
				  uint64_t took)
{
	return mino_patience_learn(place, average, took);
}

int mino_patience_next_in_c(const struct mino_patience *place, uint64_t waited, uint64_t budget)
{
	return mino_patience_next(place, waited, budget);
}
