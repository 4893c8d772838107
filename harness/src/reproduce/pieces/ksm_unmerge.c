/* Gives every merged page its copies back. */
static const char *ksm_unmerge(void)
{
	return put(KSM "run", "2") || put(KSM "run", "0") ? "no" : "ok";
}
