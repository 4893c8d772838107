static const char *chore(const char *path, const char *text)
{
	return put(path, text) ? strerror(errno) : "ok";
}
