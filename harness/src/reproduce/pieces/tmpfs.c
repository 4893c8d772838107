/* A file on a tmpfs that has no name any more. */
static int tmpfs_file(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || unlink(name) || ftruncate(fd, FILE_PAGES * 4096))
		cannot_tell("no file in /dev/shm");
	return fd;
}
