/* A counter of /proc/vmstat, after each CPU gave up what it held back. */
static long vmstat(const char *name)
{
	static char text[16384];
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);
	const char *line;
	ssize_t length;

	if (fd >= 0 && write(fd, "1", 1) == 1)
		text[0] = 0;
	close(fd);
	fd = open("/proc/vmstat", O_RDONLY);
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = 0;
	line = strstr(text, name);
	if (!line)
		cannot_tell("/proc/vmstat lacks a counter");
	return atol(line + strlen(name));
}
