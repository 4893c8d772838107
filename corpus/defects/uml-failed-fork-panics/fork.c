/*
 * A fork that fails half way panics User Mode Linux 6.12.
 *
 *     cc -static -o failed_fork uml_failed_fork_panics.c
 *
 * Exits with 0 where fork() fails with ENOMEM and the kernel lives, with 4 where fork() does not fail so.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)

int main(void)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct sysinfo info;
	char *start, *large;
	size_t half;
	pid_t pid;

	if (sysinfo(&info))
		return 4;
	/* Each half is below the limit of a single request, RAM and swap space together; both together are above it. */
	half = (info.totalram + info.totalswap) * info.mem_unit / 5 * 3 / page * page;
	start = mmap(NULL, 2 * page + 2 * half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (start == MAP_FAILED || mprotect(start, page, RW))
		return 4;
	/* fork() copies this page before it fails. The page behind it keeps the VMAs apart. */
	*start = 1;
	/* The second half joins the VMA of the first. */
	large = start + 2 * page;
	if (mprotect(large, half, RW) || mprotect(large + half, half, RW))
		return 4;
	pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	printf("fork: %s\n", pid > 0 ? "worked" : strerror(errno));
	return pid < 0 && errno == ENOMEM ? 0 : 4;
}
