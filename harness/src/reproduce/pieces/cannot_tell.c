static void cannot_tell(const char *why)
{
	dprintf(1, "ok %d # SKIP %s\n", ++number, why);
	finish(CANNOT_TELL);
}
