/* The load for the TCP echo rows: N connections in a closed loop, each with one request of 64 bytes in flight.
 *
 * usage: echo_load PORT CONNECTIONS SERVER_PID WARMUP_MS MEASURE_MS [PROCESSES]
 *
 * What it prints: window.h. Every answer is compared with what was sent: a server that echoes another connection's bytes
 * is an error. */
#include "window.h"

enum { REQUEST = 64 };

struct connection {
    int fd;
    int received;
    double sent;
    char request[REQUEST];
    char answer[REQUEST];
};

static void send_request(struct connection *c, struct tally *tally)
{
    c->received = 0;
    c->sent = now_seconds();
    if (send(c->fd, c->request, REQUEST, MSG_NOSIGNAL) != REQUEST)
        tally->errors++;
}

static void take_answer(struct connection *c, struct tally *tally)
{
    ssize_t got = recv(c->fd, c->answer + c->received, (size_t)(REQUEST - c->received), MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        tally->errors++;
        close(c->fd);
        return;
    }
    c->received += (int)got;
    if (c->received < REQUEST)
        return;
    if (memcmp(c->request, c->answer, REQUEST) != 0)
        tally->errors++;
    tally->requests++;
    count_latency(tally, now_seconds() - c->sent);
    send_request(c, tally);
}

/* One request and its answer, waiting for it. Servers accept in order, so now all before it are accepted too: a
 * listener's queue is short, and a connection that finds it full only comes back after a second. */
static void let_it_catch_up(struct connection *c)
{
    if (send(c->fd, c->request, REQUEST, MSG_NOSIGNAL) != REQUEST)
        die("send");
    if (recv(c->fd, c->answer, REQUEST, MSG_WAITALL) != REQUEST)
        die("recv");
}

static void client(unsigned short port, int connections, int process, struct tally *tally)
{
    enum { BATCH = 512 };
    static struct epoll_event events[BATCH];
    struct connection *all = calloc((size_t)connections, sizeof *all);
    int poller = epoll_create1(EPOLL_CLOEXEC);

    if (!all)
        die("calloc");
    for (int i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};

        all[i].fd = connect_to(port, process);
        snprintf(all[i].request, REQUEST, "%d/%d", process, i);
        if (i % 64 == 63)
            let_it_catch_up(&all[i]);
        if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event) < 0)
            die("epoll_ctl");
    }
    tally->connected = 1;
    for (int i = 0; i < connections; i++)
        send_request(&all[i], tally);
    for (;;) {
        int ready = epoll_wait(poller, events, BATCH, -1);

        for (int i = 0; i < ready; i++)
            take_answer(events[i].data.ptr, tally);
    }
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: echo_load PORT CONNECTIONS SERVER_PID WARMUP_MS MEASURE_MS [PROCESSES]\n");
        return 2;
    }
    return run_load(client, (unsigned short)atoi(argv[1]), atoi(argv[2]), atoi(argv[3]), atol(argv[4]), atol(argv[5]),
                    argc > 6 ? atoi(argv[6]) : 1);
}
