/* The floor of every consumer of conntrack events: receives NEW and DESTROY in batches and discards them.
 * Prints, at SIGTERM, how many came. Usage: bare_receiver [receive buffer in bytes] */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, SLOT = 8192, IPCTNL_MSG_CT_NEW = 0, IPCTNL_MSG_CT_DELETE = 2 };

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

int main(int argc, char **argv)
{
	int bytes = argc > 1 ? atoi(argv[1]) : 64 << 20;
	int groups[] = { NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_DESTROY };
	static char memory[BATCH][SLOT];
	struct iovec vectors[BATCH];
	struct mmsghdr messages[BATCH] = { 0 };
	unsigned long begun = 0, ended = 0, overruns = 0;
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	struct sigaction action = { .sa_handler = stop };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);

	/* Without an address, which bind picks, nothing is delivered. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes)) {
		perror("netlink");
		return 1;
	}
	for (int i = 0; i < 2; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i])) {
			perror("subscribing");
			return 1;
		}
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ memory[i], SLOT };
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	while (!stopped) {
		int came = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);

		if (came < 0 && errno == ENOBUFS)
			overruns++;
		for (int i = 0; i < came; i++) {
			struct nlmsghdr *header = (void *)memory[i];
			int kind = header->nlmsg_type & 0xff;

			begun += kind == IPCTNL_MSG_CT_NEW;
			ended += kind == IPCTNL_MSG_CT_DELETE;
		}
	}
	printf("new %lu destroy %lu overruns %lu\n", begun, ended, overruns);
	return 0;
}
