/* The command that libibverbs would write, with any flags. */
static const char *rereg(struct region *region, uint32_t flags,
			 struct ibv_pd *domain, const void *start,
			 size_t length, uint32_t access)
{
	struct ib_uverbs_rereg_mr_resp answer = { 0 };
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_rereg_mr body;
	} command = {
		{ IB_USER_VERBS_CMD_REREG_MR, sizeof(command) / 4,
		  sizeof(answer) / 4 },
		{ .response = (uintptr_t)&answer,
		  .mr_handle = region->last.handle, .flags = flags,
		  .start = (uintptr_t)start, .length = length,
		  .hca_va = (uintptr_t)start, .pd_handle = domain->handle,
		  .access_flags = access },
	};

	if (write(context->cmd_fd, &command, sizeof(command)) < 0)
		return strerror(errno);
	region->lkey = region->last.lkey = answer.lkey;
	region->rkey = region->last.rkey = answer.rkey;
	if (flags & IBV_REREG_MR_CHANGE_PD)
		region->last.pd = domain;
	return "ok";
}
