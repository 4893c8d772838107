static const char *fill(int fd, off_t at, size_t length, int value)
{
	char bytes[4096];

	memset(bytes, value, sizeof(bytes));
	while (length > 0) {
		size_t part = length < sizeof(bytes) ? length : sizeof(bytes);
		ssize_t count = pwrite(fd, bytes, part, at);

		if (count <= 0)
			return count ? strerror(errno) : "nothing is written";
		at += count;
		length -= count;
	}
	return "ok";
}
