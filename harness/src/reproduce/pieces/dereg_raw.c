static const char *dereg_raw(struct region *region)
{
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_dereg_mr body;
	} command = {
		{ IB_USER_VERBS_CMD_DEREG_MR, sizeof(command) / 4, 0 },
		{ .mr_handle = region->last.handle },
	};
	ssize_t count = write(context->cmd_fd, &command, sizeof(command));

	return count < 0 ? strerror(errno) : "ok";
}
