static const char *invalidate(struct pair *pair, uint32_t rkey)
{
	struct ibv_send_wr wr = {
		.opcode = IBV_WR_LOCAL_INV,
		.invalidate_rkey = rkey,
	};
	const char *error = request(pair, pair->responder, &wr);

	return error ? error : "ok";
}
