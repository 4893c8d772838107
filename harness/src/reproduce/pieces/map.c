static const char *map(void *at, size_t length, int prot, int flags, int fd,
		       off_t offset)
{
	void *got = mmap(at, length, prot, flags | MAP_FIXED, fd, offset);

	return outcome(got == MAP_FAILED ? errno : 0);
}
