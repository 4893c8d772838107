/* The CPU loads. */
static const char *load(const char *from, size_t length)
{
	int signal = sigsetjmp(fault, 1);

	return signal ? faulted(signal) : describe(from, length);
}
