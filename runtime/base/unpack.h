/*
 * Unpacking in memory what gzip, xz and zlib packed.
 *
 * Memory grows with what comes out.  Of gzip and zlib it begins with four times what goes
 * in, or with what the end of a gzip file says where that can be true (1,032 bytes of one).
 * At most it is twice `limit`, and XZ_MEMORY for xz's own tables.
 * Damage, a cut, and more than `limit` bytes are HYP_EFORMAT; `file` begins the message.
 */
#ifndef HYP_RUNTIME_BASE_UNPACK_H
#define HYP_RUNTIME_BASE_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

enum unpack_form { UNPACK_NONE, UNPACK_GZIP, UNPACK_XZ, UNPACK_ZLIB };

/* By the first bytes.  Never UNPACK_ZLIB, whose data nothing announces. */
enum unpack_form unpack_form(const uint8_t *in, size_t n);

/*
 * All of it into *out (hyp_free), with a NUL behind.  Several members of gzip, or streams
 * of xz, are one text.  `form` is not UNPACK_NONE.
 */
enum hyp_status unpack(enum unpack_form form, const uint8_t *in, size_t n, size_t limit,
                       const char *file, uint8_t **out, size_t *nout,
                       struct hyp_error *err);

/* The first *nout bytes of zlib data, or fewer where there are fewer. */
enum hyp_status unpack_head(const uint8_t *in, size_t n, const char *file, uint8_t *out,
                            size_t *nout, struct hyp_error *err);

#endif
