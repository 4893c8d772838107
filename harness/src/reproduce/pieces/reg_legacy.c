/* The function behind the macro: what old programs call. */
static const char *reg_legacy(struct region *region, struct ibv_pd *domain,
			      void *start, size_t length, int access)
{
	return registered(region, (ibv_reg_mr)(domain, start, length, access));
}
