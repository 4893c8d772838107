/*
 * Lets User Mode Linux up to 6.12 run on processors with more register state than it knows.
 *
 * It hands PTRACE_SETREGSET as much of a process's extended state as it has room for, 2696 bytes, and the host takes all of
 * it or nothing (EFAULT). Where a processor has more, as with AMX, no program would ever start. What lies behind those bytes
 * is state that no guest uses: it is added here, empty. Linux 6.13 asks the host for the size.
 *
 * Source: restore_fp_registers(), arch/x86/um/os-Linux/registers.c, 6.1 and 6.12; xstateregs_set(),
 * arch/x86/kernel/fpu/regset.c, 6.1 and 6.12.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

/* More than any processor has. */
#define STATE_BYTES_MAX (64 << 10)

typedef long ptrace_fn(enum __ptrace_request, pid_t, void *, void *);

/* One thread traces. */
static char whole[STATE_BYTES_MAX];

/* How many bytes the host wants; 0 where it does not say. */
static size_t bytes_wanted(ptrace_fn *next, pid_t pid)
{
	static size_t wanted;

	if (!wanted) {
		struct iovec all = { whole, sizeof(whole) };

		if (!next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all))
			wanted = all.iov_len;
	}
	return wanted;
}

long ptrace(enum __ptrace_request request, ...)
{
	static ptrace_fn *next;
	va_list arguments;
	pid_t pid;
	void *address, *data;

	va_start(arguments, request);
	pid = va_arg(arguments, pid_t);
	address = va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);
	if (!next)
		next = (ptrace_fn *)dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE) {
		struct iovec *given = data;
		size_t wanted = bytes_wanted(next, pid);

		if (given->iov_len < wanted) {
			struct iovec all = { whole, wanted };

			memset(whole, 0, wanted);
			memcpy(whole, given->iov_base, given->iov_len);
			return next(request, pid, address, &all);
		}
	}
	return next(request, pid, address, data);
}
