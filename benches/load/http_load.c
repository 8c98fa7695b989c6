/* The load for the HTTP rows: N connections in a closed loop, each with DEPTH requests in flight.
 *
 * usage: http_load PORT CONNECTIONS SERVER_PID WARMUP_MS MEASURE_MS PROCESSES PATH DEPTH
 *
 * What it prints: window.h; a latency is that of DEPTH requests together. Each connection reads its first answer as HTTP, as
 * far as the length goes; all that follow must be as long, must begin with "HTTP/1.1 200" and must end where the length
 * says that they do, so the bytes between need not be looked at, and the generator costs less than any server. */
#include "window.h"

enum { ROOM = 1 << 16, HEAD = 4096, STATUS = 12 };

static const char *path;
static int depth;

struct connection {
    int fd;
    /* Of one answer, once the first was read; 0 before. */
    long length;
    /* Bytes of the current answer that came, and answers of the current batch that are complete. */
    long received;
    int answered;
    double sent;
    /* The first answer's beginning, until its length is known. */
    char *head;
};

static char *batch;
static size_t batch_length;

static void make_batch(void)
{
    char one[1024];
    int length = snprintf(one, sizeof one, "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n",
                          path);

    batch_length = (size_t)length * (size_t)depth;
    batch = malloc(batch_length);
    if (!batch || length >= (int)sizeof one)
        die("the path is too long");
    for (int i = 0; i < depth; i++)
        memcpy(batch + (size_t)i * (size_t)length, one, (size_t)length);
}

static void send_batch(struct connection *c, struct tally *tally)
{
    c->answered = 0;
    c->sent = now_seconds();
    if (send(c->fd, batch, batch_length, MSG_NOSIGNAL) != (ssize_t)batch_length)
        tally->errors++;
}

/* The length of the answer that begins with these bytes; 0 if its head is not complete, -1 if it is none that we know. */
static long answer_length(char *bytes, size_t count)
{
    char *end = memmem(bytes, count, "\r\n\r\n", 4);
    char *field;

    if (!end)
        return count < HEAD ? 0 : -1;
    *end = 0;
    field = strcasestr(bytes, "\r\ncontent-length:");
    *end = '\r';
    if (strncmp(bytes, "HTTP/1.1 200", STATUS) != 0 || !field)
        return -1;
    return (end + 4 - bytes) + atol(field + 17);
}

static int fail(struct connection *c, struct tally *tally)
{
    tally->errors++;
    close(c->fd);
    return -1;
}

/* Counts the answers in these bytes. -1: they are not what was asked for. */
static int take_bytes(struct connection *c, char *bytes, long count, struct tally *tally)
{
    while (count > 0) {
        long left = c->length - c->received;
        long part = count < left ? count : left;

        if (c->received == 0 && part >= STATUS && memcmp(bytes, "HTTP/1.1 200", STATUS) != 0)
            return fail(c, tally);
        c->received += part;
        bytes += part;
        count -= part;
        if (c->received == c->length) {
            c->received = 0;
            c->answered++;
            tally->requests++;
        }
    }
    return 0;
}

static void take_answers(struct connection *c, struct tally *tally)
{
    static char bytes[ROOM];
    ssize_t got = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        fail(c, tally);
        return;
    }
    if (c->length == 0) {
        size_t room = HEAD - (size_t)c->received;

        memcpy(c->head + c->received, bytes, (size_t)got < room ? (size_t)got : room);
        c->length = answer_length(c->head, (size_t)c->received + ((size_t)got < room ? (size_t)got : room));
        if (c->length < 0) {
            fail(c, tally);
            return;
        }
        if (c->length == 0) {
            c->received += got;
            return;
        }
    }
    if (take_bytes(c, bytes, got, tally) == 0 && c->answered == depth) {
        count_latency(tally, now_seconds() - c->sent);
        send_batch(c, tally);
    }
}

static void client(unsigned short port, int connections, int process, struct tally *tally)
{
    enum { BATCH = 512 };
    static struct epoll_event events[BATCH];
    struct connection *all = calloc((size_t)connections, sizeof *all);
    int poller = epoll_create1(EPOLL_CLOEXEC);

    if (!all)
        die("calloc");
    make_batch();
    for (int i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};

        all[i].fd = connect_to(port, process);
        all[i].head = malloc(HEAD);
        if (!all[i].head)
            die("malloc");
        if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event) < 0)
            die("epoll_ctl");
        send_batch(&all[i], tally);
        /* A listener's queue is short: those so far are accepted once they are answered. */
        while (i % 64 == 63 && all[i].length == 0 && tally->errors == 0) {
            int ready = epoll_wait(poller, events, BATCH, 5000);

            if (ready == 0)
                die("no answer");
            for (int j = 0; j < ready; j++)
                take_answers(events[j].data.ptr, tally);
        }
    }
    tally->connected = 1;
    for (;;) {
        int ready = epoll_wait(poller, events, BATCH, -1);

        for (int i = 0; i < ready; i++)
            take_answers(events[i].data.ptr, tally);
    }
}

int main(int argc, char **argv)
{
    if (argc < 9 || (depth = atoi(argv[8])) < 1) {
        fprintf(stderr, "usage: http_load PORT CONNECTIONS SERVER_PID WARMUP_MS MEASURE_MS PROCESSES PATH DEPTH\n");
        return 2;
    }
    path = argv[7];
    return run_load(client, (unsigned short)atoi(argv[1]), atoi(argv[2]), atoi(argv[3]), atol(argv[4]), atol(argv[5]),
                    atoi(argv[6]));
}
