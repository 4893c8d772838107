#define PRESENT (1ull << 63)
#define FILE_OR_SHARED (1ull << 61)
#define MAPPED_ONCE (1ull << 56)
#define FRAME ((1ull << 55) - 1)

/* What /proc/self/pagemap says of a page: see admin-guide/mm/pagemap.rst. */
static uint64_t pagemap(int page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (pread(fd, &entry, 8, (uintptr_t)PAGE(page) / 4096 * 8) != 8)
		cannot_tell("/proc/self/pagemap cannot be read");
	close(fd);
	return entry;
}
