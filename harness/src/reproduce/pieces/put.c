/* Writes `text` into a file of the kernel. */
static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	ssize_t length = strlen(text);
	ssize_t count = fd < 0 ? -1 : write(fd, text, length);

	if (fd >= 0)
		close(fd);
	return count == length ? 0 : -1;
}
