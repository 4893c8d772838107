struct region {
	struct ibv_mr *mr;
	uint32_t lkey, rkey;
};

static const char *reg(struct region *region, void *start, size_t length,
		       int access)
{
	region->mr = ibv_reg_mr(pd, start, length, access);
	if (!region->mr)
		return strerror(errno);
	region->lkey = region->mr->lkey;
	region->rkey = region->mr->rkey;
	return "ok";
}
