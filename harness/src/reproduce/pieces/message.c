/* Sends a list from one queue pair to the other, which receives it in a list. */
static const char *message(struct pair *pair, struct list from, struct list to,
			   enum ibv_wr_opcode opcode, uint32_t invalid)
{
	static char text[128];
	struct ibv_recv_wr receive = { .wr_id = 2, .sg_list = to.sge,
				       .num_sge = to.count }, *bad;
	struct ibv_send_wr send = {
		.wr_id = 1,
		.sg_list = from.sge,
		.num_sge = from.count,
		.opcode = opcode,
		.send_flags = IBV_SEND_SIGNALED,
		.invalidate_rkey = invalid,
	}, *bad_send;
	struct ibv_wc wc;
	int status[3] = { 0, -1, -1 };
	int error = ibv_post_recv(pair->responder, &receive, &bad);
	int tries;

	if (!error)
		error = ibv_post_send(pair->requester, &send, &bad_send);
	for (tries = 0; !error && tries < 10000; tries++) {
		while (ibv_poll_cq(cq, 1, &wc) == 1)
			if (wc.wr_id < 3) {
				status[wc.wr_id] = wc.status;
				ended[wc.wr_id] = wc;
			}
		/* The receiver is done before the sender hears of it. */
		if (status[1] >= 0 && (status[2] >= 0 || tries % 100 == 99))
			break;
		usleep(1000);
	}
	if (!error && status[1] == 0 && status[2] == 0)
		return "ok";
	renew_pair(pair);
	if (error)
		return strerror(error);
	snprintf(text, sizeof(text), "%s and %s",
		 status[1] < 0 ? "nothing" : ibv_wc_status_str(status[1]),
		 status[2] < 0 ? "nothing" : ibv_wc_status_str(status[2]));
	return text;
}
