// SPDX-License-Identifier: BSD-2-Clause
/*
 * tests/user/posix/sockets.c -- unix-domain sockets of all three types: names, ends, passed files, credentials, peeking.
 */
#include "posix.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static int listener(int type, const char *path, socklen_t *length, struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, type, 0);

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, path);
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    unlink(path);
    SHOW(bind(fd, (struct sockaddr *)address, *length));
    if (type != SOCK_DGRAM)
        SHOW(listen(fd, 4));
    return fd;
}

static void pass_a_file(int fds[2])
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, text[16] = "";
    struct iovec iov = {.iov_base = (char[]){"f"}, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    int passed, ends[2];

    if (pipe(ends) != 0)
        return;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &ends[0], sizeof(int));
    SHOW(sendmsg(fds[0], &message, 0));
    close(ends[0]);
    memset(control, 0, sizeof(control));
    SHOW(recvmsg(fds[1], &message, 0));
    memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    SHOW(write(ends[1], "through", 7));
    SHOW(read(passed, text, sizeof(text)));
    printf("passed: %s\n", text);
    close(passed);
    close(ends[1]);
}

int test_sockets(void)
{
    struct sockaddr_un address, peer;
    socklen_t length, peer_length = sizeof(peer);
    struct ucred cred;
    struct pollfd poll_fd;
    char text[64];
    int fds[2], server, client, accepted, status, type;

    server = listener(SOCK_STREAM, "sock-stream", &length, &address);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SHOW(connect(client, (struct sockaddr *)&address, length));
    accepted = accept4(server, (struct sockaddr *)&peer, &peer_length, SOCK_NONBLOCK);
    printf("accepted %d, peer length %u, flags %d\n", accepted >= 0, peer_length,
           (fcntl(accepted, F_GETFL) & O_NONBLOCK) != 0);
    SHOW(read(accepted, text, sizeof(text)));
    SHOW(send(client, "hello world", 11, 0));
    SHOW(recv(accepted, text, 5, MSG_PEEK));
    SHOW(recv(accepted, text, sizeof(text), 0));
    length = sizeof(cred);
    SHOW(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &cred, &length));
    printf("credentials %d %d\n", cred.pid == getpid(), cred.uid == geteuid());
    length = sizeof(type);
    getsockopt(client, SOL_SOCKET, SO_TYPE, &type, &length);
    printf("type %d\n", type);
    SHOW(shutdown(client, SHUT_WR));
    SHOW(read(accepted, text, sizeof(text)));
    SHOW(write(accepted, "still", 5));
    SHOW(read(client, text, sizeof(text)));
    close(accepted);
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(client, "x", 1));
    poll_fd = (struct pollfd){.fd = client, .events = POLLIN};
    SHOW(poll(&poll_fd, 1, 0));
    printf("events %x\n", poll_fd.revents);
    close(client);
    close(server);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(connect(client, (struct sockaddr *)&address, sizeof(address)));
    unlink("sock-stream");
    SHOW(connect(client, (struct sockaddr *)&address, sizeof(address)));
    close(client);

    server = listener(SOCK_DGRAM, "sock-dgram", &length, &address);
    client = socket(AF_UNIX, SOCK_DGRAM, 0);
    SHOW(sendto(client, "one", 3, 0, (struct sockaddr *)&address, length));
    SHOW(sendto(client, "second", 6, 0, (struct sockaddr *)&address, length));
    SHOW(recv(server, text, 2, 0));
    SHOW(recv(server, text, sizeof(text), MSG_DONTWAIT));
    SHOW(recv(server, text, sizeof(text), MSG_DONTWAIT));
    close(client);
    close(server);
    unlink("sock-dgram");

    SHOW(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds));
    SHOW(write(fds[0], "packet", 6));
    SHOW(write(fds[0], "", 0));
    SHOW(write(fds[0], "last", 4));
    SHOW(read(fds[1], text, 3));
    close(fds[0]);
    close(fds[1]);
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    pass_a_file(fds);
    if (fork() == 0) {
        char block[5000];

        close(fds[1]);
        for (int i = 0; i < 40; i++) {
            memset(block, 'a' + i % 26, sizeof(block));
            if (write(fds[0], block, sizeof(block)) != sizeof(block))
                _exit(1);
        }
        _exit(0);
    }
    close(fds[0]);
    {
        unsigned long sum = 0, total = 0;
        unsigned char block[3333];
        ssize_t n;

        while ((n = read(fds[1], block, sizeof(block))) > 0) {
            for (ssize_t i = 0; i < n; i++)
                sum = sum * 31 + block[i];
            total += (unsigned long)n;
        }
        printf("stream %lu bytes, sum %lx\n", total, sum);
    }
    wait(&status);
    close(fds[1]);
    SHOW(socket(AF_UNIX, 77, 0));
    SHOW(socket(12345, SOCK_STREAM, 0));
    return 0;
}
