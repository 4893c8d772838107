/*
 * Lets pages be swapped out, or no longer. To a RAM disk: what is paged out to a
 * disk is written later, and who touches it before that gets the old page back.
 */
static const char *allow_swap(int on)
{
	char line[256];
	FILE *file = fopen("/proc/swaps", "r");
	int on_ram = 0;

	while (file && fgets(line, sizeof(line), file))
		on_ram |= !strncmp(line, "/dev/ram", 8);
	if (file)
		fclose(file);
	if (!on_ram)
		cannot_tell("no swap on a RAM disk: modprobe brd rd_nr=1 rd_size=4096 && mkswap /dev/ram0 && swapon /dev/ram0");
	/* No neighbours are brought in. */
	put("/proc/sys/vm/page-cluster", "0");
	may_swap = on;
	if (put(OWN_GROUP "/memory.swap.max", on ? "max" : "0"))
		return strerror(errno);
	return "ok";
}
