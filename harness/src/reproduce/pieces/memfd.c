static int memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, FILE_PAGES * 4096))
		cannot_tell("no memory file");
	return fd;
}
