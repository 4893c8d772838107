static const char *rdma_read(const char *from, uint32_t rkey, uint32_t length)
{
	const char *error;

	memset(landing, 0xee, length);
	error = transfer(IBV_WR_RDMA_READ, landing, landing_mr->lkey, from, rkey,
			 length);
	return error ? error : describe(landing, length);
}
