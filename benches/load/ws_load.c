/* The load for the WebSocket rows: N connections in a closed loop, each with one message of 64 bytes in flight.
 *
 * usage: ws_load PORT CONNECTIONS SERVER_PID WARMUP_MS MEASURE_MS PROCESSES PATH
 *
 * What it prints: window.h. Each message is masked, as a client's must be, and every answer is compared with what was
 * sent. */
#include "window.h"

enum { MESSAGE = 64, MASKED = 6 + MESSAGE, PLAIN = 2 + MESSAGE };

static const char *path;

struct connection {
    int fd;
    int received;
    double sent;
    unsigned char request[MASKED];
    unsigned char answer[PLAIN];
};

/* A binary message in one frame (RFC 6455, section 5.2): the text, masked with four bytes that are not zero. */
static void make_request(struct connection *c, int process, int number)
{
    static const unsigned char head[] = {0x82, 0x80 | MESSAGE, 0x5a, 0xa5, 0x3c, 0xc3};
    char text[MESSAGE] = {0};

    snprintf(text, sizeof text, "%d/%d", process, number);
    memcpy(c->request, head, sizeof head);
    for (int i = 0; i < MESSAGE; i++)
        c->request[6 + i] = (unsigned char)text[i] ^ head[2 + i % 4];
}

static int is_answer(const struct connection *c)
{
    if (c->answer[0] != 0x82 || c->answer[1] != MESSAGE)
        return 0;
    for (int i = 0; i < MESSAGE; i++)
        if (c->answer[2 + i] != (c->request[6 + i] ^ c->request[2 + i % 4]))
            return 0;
    return 1;
}

static void send_request(struct connection *c, struct tally *tally)
{
    c->received = 0;
    c->sent = now_seconds();
    if (send(c->fd, c->request, MASKED, MSG_NOSIGNAL) != MASKED)
        tally->errors++;
}

static void take_answer(struct connection *c, struct tally *tally)
{
    ssize_t got = recv(c->fd, c->answer + c->received, (size_t)(PLAIN - c->received), MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        tally->errors++;
        close(c->fd);
        return;
    }
    c->received += (int)got;
    if (c->received < PLAIN)
        return;
    if (!is_answer(c))
        tally->errors++;
    tally->requests++;
    count_latency(tally, now_seconds() - c->sent);
    send_request(c, tally);
}

/* Asks for the upgrade and waits for it. So a listener's queue, which is short, never holds more than one of ours. */
static void upgrade(int fd)
{
    char text[1024];
    int length = snprintf(text, sizeof text,
                          "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                          path);
    size_t received = 0;

    if (send(fd, text, (size_t)length, MSG_NOSIGNAL) != length)
        die("send");
    while (received < 4 || memcmp(text + received - 4, "\r\n\r\n", 4) != 0) {
        ssize_t got = recv(fd, text + received, sizeof text - received, 0);

        if (got <= 0)
            die("the upgrade");
        received += (size_t)got;
    }
    if (memcmp(text, "HTTP/1.1 101", 12) != 0)
        die("it does not upgrade");
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
        upgrade(all[i].fd);
        make_request(&all[i], process, i);
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
    if (argc < 8) {
        fprintf(stderr, "usage: ws_load PORT CONNECTIONS SERVER_PID WARMUP_MS MEASURE_MS PROCESSES PATH\n");
        return 2;
    }
    path = argv[7];
    return run_load(client, (unsigned short)atoi(argv[1]), atoi(argv[2]), atoi(argv[3]), atol(argv[4]), atol(argv[5]),
                    atoi(argv[6]));
}
