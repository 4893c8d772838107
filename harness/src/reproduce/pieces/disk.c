/* A file on a disk, in the page cache: in $DISK, or here. */
static int disk_file(const char *name)
{
	static char page[4096];
	const char *folder = getenv("DISK");
	char path[512];
	int fd, n;

	snprintf(path, sizeof(path), "%s/%s", folder ? folder : ".", name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || unlink(path))
		cannot_tell("no file on a disk: set DISK to a folder");
	for (n = 0; n < FILE_PAGES; n++)
		if (write(fd, page, sizeof(page)) != sizeof(page))
			cannot_tell("no room on the disk");
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	return fd;
}
