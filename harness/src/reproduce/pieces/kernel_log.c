static int kmsg;

static void open_kernel_log(void)
{
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (kmsg < 0 || lseek(kmsg, 0, SEEK_END) < 0)
		cannot_tell("must be root to read the kernel log");
}

/* What the kernel has complained of since the start. */
static const char *kernel_log(void)
{
	static const char *const complaints[] = {
		"WARNING: ", "BUG: ", "kernel BUG at ", "Oops", "UBSAN: ",
		"general protection fault", "INFO: task ", "INFO: rcu",
		"possible deadlock", "inconsistent lock state",
	};
	static char text[8192];
	ssize_t length;
	size_t i;

	for (;;) {
		length = read(kmsg, text, sizeof(text) - 1);
		if (length < 0 && errno == EPIPE)
			continue;
		if (length <= 0)
			return "silent";
		text[length] = 0;
		text[strcspn(text, "\n")] = 0;
		for (i = 0; i < sizeof(complaints) / sizeof(*complaints); i++)
			if (strstr(text, complaints[i]))
				return strstr(text, complaints[i]);
	}
}
