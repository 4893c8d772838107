static sigjmp_buf fault;

static void on_fault(int signal)
{
	siglongjmp(fault, signal);
}

static void catch_faults(void)
{
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
}

static const char *faulted(int signal)
{
	static char text[64];
	size_t end = sprintf(text, "%s", signal == SIGBUS ? "SIGBUS" : "SIGSEGV");

	if (done)
		sprintf(text + end, " after %zu bytes", done);
	return text;
}
