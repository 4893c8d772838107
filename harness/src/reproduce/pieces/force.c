/* Writes as a debugger does, past the protection. */
static const char *force(char *to, size_t length, int value)
{
	int fd = open("/proc/self/mem", O_RDWR);
	const char *result = "ok";
	size_t at = 0;

	if (fd < 0)
		cannot_tell("/proc/self/mem cannot be opened");
	while (at < length) {
		char bytes[4096];
		size_t part = length - at < 4096 ? length - at : 4096;
		ssize_t count;

		memset(bytes, value, part);
		count = pwrite(fd, bytes, part, (off_t)(uintptr_t)to + at);
		if (count <= 0) {
			result = count ? strerror(errno) : "nothing is written";
			break;
		}
		at += count;
	}
	close(fd);
	return result;
}
