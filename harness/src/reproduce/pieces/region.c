struct region {
	struct ibv_mr *mr;
	uint32_t lkey, rkey;
	struct ibv_mr last; /* as it was, for those who name it afterwards */
};
