/* A line of /proc/self/status, in pages. */
static long status_line(const char *name)
{
	static char text[4096];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t length = read(fd, text, sizeof(text) - 1);
	const char *line;

	close(fd);
	text[length > 0 ? length : 0] = 0;
	line = strstr(text, name);
	if (!line)
		cannot_tell("/proc/self/status lacks a line");
	return atol(line + strlen(name)) / 4;
}
