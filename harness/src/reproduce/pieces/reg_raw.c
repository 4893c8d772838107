/* The command that libibverbs would write, without what it would change. */
static const char *reg_raw(struct region *region, struct ibv_pd *domain,
			   void *start, size_t length, uint64_t iova,
			   uint32_t access)
{
	struct ib_uverbs_reg_mr_resp answer = { 0 };
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_reg_mr body;
	} command = {
		{ IB_USER_VERBS_CMD_REG_MR, sizeof(command) / 4,
		  sizeof(answer) / 4 },
		{ .response = (uintptr_t)&answer, .start = (uintptr_t)start,
		  .length = length, .hca_va = iova,
		  .pd_handle = domain->handle, .access_flags = access },
	};
	struct ibv_mr mr = { .context = context, .pd = domain, .addr = start,
			     .length = length };

	if (write(context->cmd_fd, &command, sizeof(command)) < 0)
		return strerror(errno);
	mr.handle = answer.mr_handle;
	mr.lkey = answer.lkey;
	mr.rkey = answer.rkey;
	registered(region, &mr);
	region->mr = NULL;
	return "ok";
}
