static const char *rdma_write(struct pair *pair, const char *to, uint32_t rkey,
			      uint32_t length, int value)
{
	const char *error;

	memset(landing, value, length);
	error = transfer(pair, IBV_WR_RDMA_WRITE, landing, pair->landing->lkey,
			 to, rkey, length);
	return error ? error : "ok";
}
