/* Peers use `iova` as the address of the first byte. */
static const char *reg_iova(struct region *region, struct ibv_pd *domain,
			    void *start, size_t length, uint64_t iova,
			    int access)
{
	return registered(region, ibv_reg_mr_iova2(domain, start, length, iova,
						   access));
}
