static const char *reg(struct region *region, struct ibv_pd *domain,
		       void *start, size_t length, int access)
{
	/* Not the macro's inline function, which could drop a flag. */
	return registered(region, ibv_reg_mr_iova2(domain, start, length,
						   (uintptr_t)start, access));
}
