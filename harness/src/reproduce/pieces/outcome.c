static const char *outcome(int error)
{
	return error ? strerror(error) : "ok";
}
