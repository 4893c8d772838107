/*
 * On the queue pair at which remote requests arrive: a window of type 2 belongs
 * to the one it was bound on.
 */
static const char *bind_window(struct pair *pair, struct window *window,
			       struct region *region, const char *start,
			       uint32_t length, unsigned int access)
{
	struct ibv_mw_bind_info info = { &region->last, (uintptr_t)start,
					 length, access };
	struct ibv_mw_bind bind = { 1, IBV_SEND_SIGNALED, info };
	uint32_t rkey = ibv_inc_rkey(window->rkey);
	struct ibv_send_wr wr = {
		.opcode = IBV_WR_BIND_MW,
		.bind_mw = { window->mw, rkey, info },
	};
	const char *error;

	if (window->mw->type == IBV_MW_TYPE_1) {
		error = answered(pair, ibv_bind_mw(pair->responder, window->mw,
						   &bind));
		rkey = window->mw->rkey;
	} else {
		error = request(pair, pair->responder, &wr);
	}
	if (error) {
		window->mw->rkey = window->rkey;
		return error;
	}
	window->old = window->rkey;
	window->rkey = window->mw->rkey = rkey;
	return "ok";
}
