/* A file that is open for reading only, as a library is. */
static int library_file(const char *name)
{
	static char page[4096];
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	int reader = open(name, O_RDONLY);
	int n;

	if (fd < 0 || reader < 0 || unlink(name))
		cannot_tell("no file in /dev/shm");
	for (n = 0; n < FILE_PAGES; n++) {
		memset(page, LIBRARY_TAG + n, sizeof(page));
		if (write(fd, page, sizeof(page)) != sizeof(page))
			cannot_tell("no room in /dev/shm");
	}
	close(fd);
	return reader;
}
