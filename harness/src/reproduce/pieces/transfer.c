static struct ibv_cq *cq;
static struct ibv_gid_entry gid;

/* Two connected queue pairs of this process, and the landing buffer for them. */
struct pair {
	struct ibv_mr *landing;
	struct ibv_qp *requester, *responder;
};

static struct pair pair0;

static void find_gid(void)
{
	int index = 0;

	cq = ibv_create_cq(context, 16, NULL, NULL, 0);
	/* The RoCE v2 entry of an IPv4 address. */
	while (cq && index < 16 &&
	       (ibv_query_gid_ex(context, 1, index, &gid, 0) ||
		gid.gid_type != IBV_GID_TYPE_ROCE_V2 ||
		gid.gid.raw[10] != 0xff || gid.gid.raw[11] != 0xff))
		index++;
	if (!cq || index == 16)
		cannot_tell("the RDMA device has no IPv4 address");
}

static struct ibv_qp *make_qp(struct ibv_pd *domain)
{
	struct ibv_qp_init_attr_ex wanted = {
		.send_cq = cq,
		.recv_cq = cq,
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 4, .max_recv_wr = 1,
			 .max_send_sge = 3, .max_recv_sge = 3 },
		.comp_mask = IBV_QP_INIT_ATTR_PD |
			     IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.pd = domain,
		.send_ops_flags = IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP |
				  IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD,
	};
	struct ibv_qp *qp = ibv_create_qp_ex(context, &wanted);

	if (!qp)
		cannot_tell("no queue pair");
	return qp;
}

static void connect_qp(struct ibv_qp *qp, uint32_t peer)
{
	struct ibv_qp_attr init = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_READ |
				   IBV_ACCESS_REMOTE_WRITE |
				   IBV_ACCESS_REMOTE_ATOMIC,
	};
	struct ibv_qp_attr receive = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = peer,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = { .is_global = 1, .port_num = 1,
			     .grh = { .dgid = gid.gid, .hop_limit = 1,
				      .sgid_index = gid.gid_index } },
	};
	struct ibv_qp_attr send = {
		.qp_state = IBV_QPS_RTS,
		.timeout = 16,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.max_rd_atomic = 1,
	};

	if (ibv_modify_qp(qp, &init, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			  IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) ||
	    ibv_modify_qp(qp, &receive, IBV_QP_STATE | IBV_QP_AV |
			  IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			  IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) ||
	    ibv_modify_qp(qp, &send, IBV_QP_STATE | IBV_QP_TIMEOUT |
			  IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
			  IBV_QP_MAX_QP_RD_ATOMIC))
		cannot_tell("the queue pairs cannot be connected");
}

static void reset_qp(struct ibv_qp *qp)
{
	struct ibv_qp_attr reset = { .qp_state = IBV_QPS_RESET };

	if (ibv_modify_qp(qp, &reset, IBV_QP_STATE))
		cannot_tell("a queue pair cannot be reset");
}

static void connect_pair(struct pair *pair)
{
	connect_qp(pair->requester, pair->responder->qp_num);
	connect_qp(pair->responder, pair->requester->qp_num);
}

static void make_pair(struct pair *pair, struct ibv_pd *domain,
		      struct ibv_mr *mr)
{
	pair->landing = mr;
	pair->requester = make_qp(domain);
	pair->responder = make_qp(domain);
	connect_pair(pair);
}

/* After an error, which leaves queue pairs unusable. They are not destroyed,
   since windows of type 2 belong to them. */
static void renew_pair(struct pair *pair)
{
	struct ibv_wc wc;

	/* What is on its way arrives first. */
	usleep(1000);
	reset_qp(pair->requester);
	reset_qp(pair->responder);
	while (ibv_poll_cq(cq, 1, &wc) > 0)
		;
	connect_pair(pair);
}

/* The last completion of request 1, and of receive 2. */
static struct ibv_wc ended[3];

/* Waits for the completion of the request called `id`; -1 if there is none. */
static int completed(uint64_t id, int seconds)
{
	struct ibv_wc wc;
	time_t deadline = time(NULL) + seconds;
	int count = 0;

	while ((count == 0 && time(NULL) < deadline) ||
	       (count == 1 && wc.wr_id != id)) {
		count = ibv_poll_cq(cq, 1, &wc);
		sched_yield();
	}
	if (count == 1)
		ended[1] = wc;
	return count == 1 ? (int)wc.status : -1;
}

/* What became of request 1, which was posted with `error`. NULL if it worked. */
static const char *answered(struct pair *pair, int error)
{
	int status;

	if (error)
		return strerror(error);
	status = completed(1, 10);
	if (status)
		renew_pair(pair);
	if (status < 0)
		return "no completion";
	return status ? ibv_wc_status_str(status) : NULL;
}

/* Does one request on a queue pair of `pair`. NULL if it worked. */
static const char *request(struct pair *pair, struct ibv_qp *qp,
			   struct ibv_send_wr *wr)
{
	struct ibv_send_wr *bad;

	wr->wr_id = 1;
	wr->send_flags = IBV_SEND_SIGNALED;
	return answered(pair, ibv_post_send(qp, wr, &bad));
}

/* One RDMA operation of this process with itself. NULL if it worked. */
static const char *transfer(struct pair *pair, enum ibv_wr_opcode opcode,
			    const char *local, uint32_t lkey,
			    const char *remote, uint32_t rkey, uint32_t length)
{
	struct ibv_sge sge = { (uintptr_t)local, length, lkey };
	struct ibv_send_wr wr = {
		.sg_list = &sge,
		.num_sge = length > 0,
		.opcode = opcode,
		.wr.rdma = { (uintptr_t)remote, rkey },
	};

	return request(pair, pair->requester, &wr);
}

static void test_loopback(void)
{
	const char *error = transfer(&pair0, IBV_WR_RDMA_WRITE, landing,
				     landing_mr->lkey, landing,
				     landing_mr->rkey, 8);

	if (error)
		cannot_tell(error);
}
