/* The floor: one thread, one level-triggered epoll, one recv and one send a request, nothing else.
 *
 * usage: echo echo [page]
 *
 * With `page`, each connection has a page of its own for what is read and for a few words that it keeps, 256 KiB from
 * the next: the floor for whoever gives each connection a stack. Nothing is switched, and no more of it is touched.
 *
 * Prints {"listening": PORT} and serves until it is killed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on_loopback(unsigned short *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("bind");
    if (listen(fd, 4096) < 0)
        die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("getsockname");
    *port = ntohs(address.sin_port);
    return fd;
}

static void watch(int poller, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void accept_all(int poller, int listener)
{
    static const int on = 1;

    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED)
                return;
            die("accept4");
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(poller, fd);
    }
}

enum { PAGE = 4096, APART = 256 << 10, MOST = 20000 };

/* Those of all connections, by descriptor; null without `page`. */
static char *pages;

static void reserve_pages(void)
{
    pages = mmap(NULL, (size_t)APART * MOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        die("mmap");
    madvise(pages, (size_t)APART * MOST, MADV_NOHUGEPAGE);
}

/* The send buffer of an echo of 64 bytes is never full: whoever does not take it all is dropped. */
static void echo_once(int fd)
{
    char shared[PAGE];
    char *buffer = shared;
    ssize_t got;

    if (pages != NULL && fd < MOST) {
        volatile unsigned long *requests = (unsigned long *)(pages + (size_t)fd * APART);

        ++*requests;
        buffer = pages + (size_t)fd * APART + PAGE / 2;
    }
    got = recv(fd, buffer, PAGE / 2, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || send(fd, buffer, (size_t)got, MSG_NOSIGNAL) != got)
        close(fd);
}

int main(int argc, char **argv)
{
    enum { BATCH = 512 };
    static struct epoll_event events[BATCH];
    unsigned short port;
    int poller, listener;

    if (argc < 2 || strcmp(argv[1], "echo") != 0) {
        fprintf(stderr, "usage: echo echo [page]\n");
        return 2;
    }
    if (argc > 2 && strcmp(argv[2], "page") == 0)
        reserve_pages();
    poller = epoll_create1(EPOLL_CLOEXEC);
    listener = listen_on_loopback(&port);
    watch(poller, listener);
    printf("{\"listening\": %d}\n", port);
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(poller, events, BATCH, -1);

        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_all(poller, listener);
            else
                echo_once(events[i].data.fd);
        }
    }
}
