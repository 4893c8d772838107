static const char *rdma_write(const char *to, uint32_t rkey, uint32_t length,
			      int value)
{
	const char *error;

	memset(landing, value, length);
	error = transfer(IBV_WR_RDMA_WRITE, landing, landing_mr->lkey, to, rkey,
			 length);
	return error ? error : "ok";
}
