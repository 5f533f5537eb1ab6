/*
 * All of LLVM that we include, and what differs between its versions.  Only codegen/llvm
 * sees this.
 */
#ifndef HYP_CODEGEN_LLVM_COMPAT_H
#define HYP_CODEGEN_LLVM_COMPAT_H

#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

#include <llvm/Config/llvm-config.h>

#if LLVM_VERSION_MAJOR < 18
#error "hypnograph needs LLVM 18 or newer"
#endif

#endif
