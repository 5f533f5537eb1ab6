/*
 * The LLVM back end's own calls, besides backend_llvm of codegen/backend.h: looking at its
 * code.
 *
 * No LLVM type appears here; all of LLVM stays behind codegen/llvm/.
 */
#ifndef HYP_CODEGEN_LLVM_LLVM_H
#define HYP_CODEGEN_LLVM_LLVM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct nest;
struct target;

enum llvm_text { LLVM_TEXT_IR, LLVM_TEXT_ASM };

/* The nest's code as text; false: *why says what failed (static text). */
bool llvm_print(const struct nest *n, const struct target *t, enum llvm_text what,
                FILE *out, const char **why);

/* Can this machine run code for the target? */
bool llvm_runs_here(const struct target *t);

/* What decides an object: the key of the nest, the processor, LLVM and our own emitter. */
void llvm_object_key(const uint8_t nest[32], const struct target *t, uint8_t key[32]);

/* Number of the first of n nests that makes no valid module; n: all do. */
uint32_t llvm_refused(struct nest *const *nest, uint32_t n, const struct target *t);

/*
 * Leave what reproduces a fault in `folder` (which exists): nest.txt, and where emission
 * got that far nest.ll.  False: the files cannot be written.
 */
bool llvm_reproduce(const struct nest *n, const struct target *t, const char *folder);

#endif
