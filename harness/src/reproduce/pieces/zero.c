static int zero_file(void)
{
	int fd = open("/dev/zero", O_RDWR);

	if (fd < 0)
		cannot_tell("no /dev/zero");
	return fd;
}
