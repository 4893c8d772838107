/* A right kernel may also give `other`, but the steps below do not count on it. */
static const char *unsure(const char *got, const char *other)
{
	if (!strcmp(got, other))
		cannot_tell("allowed, but another way than the one below");
	return got;
}
