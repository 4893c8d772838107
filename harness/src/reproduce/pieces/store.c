/* The CPU stores. */
static const char *store(char *to, size_t length, int value)
{
	int signal = sigsetjmp(fault, 1);

	if (signal)
		return faulted(signal);
	for (done = 0; done < length; done++)
		((volatile char *)to)[done] = value;
	return "ok";
}
