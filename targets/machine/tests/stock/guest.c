/*
 * A guest that loads the modules of its folder /modules in the order of their names, makes an rxe device of dummy0, says
 * on the console what came of each, and turns itself off.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <rdma/rdma_netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say(const char *what, const char *name, int failed)
{
	printf("\n%s %s: %s\n", what, name, failed ? strerror(errno) : "ok");
	fflush(stdout);
}

static void load(const char *name)
{
	char path[300];
	snprintf(path, sizeof path, "/modules/%s", name);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	say("module", name, file < 0 || syscall(SYS_finit_module, file, "", 0));
}

static int up(void)
{
	struct ifreq request = { .ifr_name = "dummy0" };
	struct sockaddr_in *address = (void *)&request.ifr_addr;
	int socket_ = socket(AF_INET, SOCK_DGRAM, 0);
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(0xc0000201);
	if (socket_ < 0 || ioctl(socket_, SIOCSIFADDR, &request))
		return -1;
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(socket_, SIOCSIFFLAGS, &request);
}

static char *put(char *at, int type, const char *text)
{
	struct nlattr *head = (void *)at;
	size_t length = strlen(text) + 1;
	head->nla_type = type;
	head->nla_len = NLA_HDRLEN + length;
	memcpy(at + NLA_HDRLEN, text, length);
	return at + NLA_HDRLEN + NLA_ALIGN(length);
}

/* What `rdma link add rxe0 type rxe netdev dummy0` asks for. */
static int link_rxe(void)
{
	char message[256] = "", answer[512];
	struct nlmsghdr *head = (void *)message, *reply = (void *)answer;
	char *at = message + NLMSG_HDRLEN;
	at = put(at, RDMA_NLDEV_ATTR_DEV_NAME, "rxe0");
	at = put(at, RDMA_NLDEV_ATTR_NDEV_NAME, "dummy0");
	at = put(at, RDMA_NLDEV_ATTR_LINK_TYPE, "rxe");
	head->nlmsg_len = at - message;
	head->nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_NEWLINK);
	head->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	int socket_ = socket(AF_NETLINK, SOCK_RAW, NETLINK_RDMA);
	if (socket_ < 0 || send(socket_, message, head->nlmsg_len, 0) < 0)
		return -1;
	if (recv(socket_, answer, sizeof answer, 0) < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
		return -1;
	errno = -((struct nlmsgerr *)NLMSG_DATA(reply))->error;
	return errno;
}

int main(void)
{
	struct dirent **found;
	int count = scandir("/modules", &found, NULL, alphasort);
	for (int index = 0; index < count; index++)
		if (found[index]->d_name[0] != '.')
			load(found[index]->d_name);
	say("device", "dummy0", up());
	say("device", "rxe0", link_rxe());
	reboot(RB_POWER_OFF);
	return 1;
}
