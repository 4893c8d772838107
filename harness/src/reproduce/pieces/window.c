struct window {
	struct ibv_mw *mw;
	uint32_t rkey, old; /* its newest key and the one before */
};

static const char *alloc_window(struct window *window, struct ibv_pd *domain,
				enum ibv_mw_type type)
{
	struct ibv_mw *mw = ibv_alloc_mw(domain, type);

	if (!mw)
		return strerror(errno);
	window->mw = mw;
	window->old = 0;
	window->rkey = mw->rkey;
	return "ok";
}
