/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What abi/patience_test.c defines. */
#ifndef MINO_ABI_PATIENCE_TEST_H
#define MINO_ABI_PATIENCE_TEST_H

#include "abi/patience.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const struct mino_patience *const mino_patience_in_c[3]; /* client, proxy, kernel */
uint64_t mino_patience_budget_in_c(const struct mino_patience *place, uint32_t average,
				   uint32_t *impatient);
uint32_t mino_patience_learn_in_c(const struct mino_patience *place, uint32_t average,
				  uint64_t took);
int mino_patience_next_in_c(const struct mino_patience *place, uint64_t waited, uint64_t budget);

#ifdef __cplusplus
}
#endif

#endif
