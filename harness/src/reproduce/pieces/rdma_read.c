static const char *rdma_read(struct pair *pair, const char *from, uint32_t rkey,
			     uint32_t length)
{
	const char *error;

	memset(landing, 0xee, length);
	error = transfer(pair, IBV_WR_RDMA_READ, landing, pair->landing->lkey,
			 from, rkey, length);
	return error ? error : describe(landing, length);
}
