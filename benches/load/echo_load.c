/* The load for the TCP echo row: N connections in a closed loop, each with one request of 64 bytes in flight.
 *
 * usage: echo_load PORT CONNECTIONS SERVER_PID WARMUP_MS MEASURE_MS [PROCESSES]
 *
 * The parent forks PROCESSES clients (a process has 20,000 descriptors at most on our machines), waits until all are
 * connected and warm, and reads the server's processor time at both ends of the window itself, so that the time and
 * the count of requests belong to the same window. It prints one JSON line:
 *
 *   {"requests": N, "seconds": S, "server_cpu_us": U, "server_rss_kib": K, "errors": E}
 *
 * Every answer is compared with what was sent: a server that echoes another connection's bytes is an error. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST = 64, MAX_PROCESSES = 16 };

/* One a client process, on a cache line of its own. */
struct tally {
    _Alignas(64) volatile unsigned long requests;
    volatile unsigned long errors;
    volatile int connected;
};

struct connection {
    int fd;
    int received;
    char request[REQUEST];
    char answer[REQUEST];
};

static void die(const char *what)
{
    fprintf(stderr, "echo_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the client process ---- */

/* Loopback has 28,000 ephemeral ports for each address: a process of its own takes an address of its own. */
static int connect_to(unsigned short port, int process)
{
    static const int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + process)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0)
        die("bind");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void send_request(struct connection *c, struct tally *tally)
{
    c->received = 0;
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

    prctl(PR_SET_PDEATHSIG, SIGKILL);
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

/* ---- the parent: the window, and the server's processor time ---- */

/* Processor time of all live threads of the process, in microseconds. schedstat counts nanoseconds,
 * where /proc/PID/stat counts ticks of 10 ms. */
static double server_cpu_us(int pid)
{
    char path[128];
    double total = 0;
    struct dirent *entry;
    DIR *threads;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    threads = opendir(path);
    if (!threads)
        die(path);
    while ((entry = readdir(threads))) {
        char file[512];
        unsigned long long nanoseconds;
        FILE *f;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "/proc/%d/task/%s/schedstat", pid, entry->d_name);
        f = fopen(file, "r");
        if (!f)
            continue;
        if (fscanf(f, "%llu", &nanoseconds) == 1)
            total += (double)nanoseconds / 1e3;
        fclose(f);
    }
    closedir(threads);
    return total;
}

static long server_rss_kib(int pid)
{
    char path[64], line[256];
    long kib = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    f = fopen(path, "r");
    if (!f)
        die(path);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    fclose(f);
    return kib;
}

static unsigned long total_requests(struct tally *tallies, int processes)
{
    unsigned long total = 0;

    for (int i = 0; i < processes; i++)
        total += tallies[i].requests;
    return total;
}

struct snapshot {
    unsigned long requests;
    double cpu_us, seconds;
};

/* Count, processor time and clock of the same moment. On a busy machine we may lose the processor between two of them:
 * then it is done again, less strictly each time (10,000 threads take a while to read). */
static struct snapshot take_snapshot(struct tally *tallies, int processes, int server)
{
    struct snapshot s;
    double start;
    int tries = 0;

    do {
        start = now_seconds();
        s.requests = total_requests(tallies, processes);
        s.cpu_us = server_cpu_us(server);
        s.seconds = now_seconds();
    } while (s.seconds - start > 0.002 * ++tries);
    return s;
}

static void sleep_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

static void wait_until_connected(struct tally *tallies, int processes)
{
    double give_up = now_seconds() + 60;

    for (int i = 0; i < processes; i++) {
        while (!tallies[i].connected) {
            if (waitpid(-1, NULL, WNOHANG) > 0) {
                fprintf(stderr, "echo_load: a client process ended early\n");
                exit(1);
            }
            if (now_seconds() > give_up) {
                fprintf(stderr, "echo_load: not connected after 60 s\n");
                exit(1);
            }
            sleep_ms(10);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: echo_load PORT CONNECTIONS SERVER_PID WARMUP_MS MEASURE_MS [PROCESSES]\n");
        return 2;
    }
    unsigned short port = (unsigned short)atoi(argv[1]);
    int connections = atoi(argv[2]), server = atoi(argv[3]);
    long warmup = atol(argv[4]), measure = atol(argv[5]);
    int processes = argc > 6 ? atoi(argv[6]) : 1;
    pid_t children[MAX_PROCESSES];

    if (processes < 1 || processes > MAX_PROCESSES || connections < processes)
        return 2;
    struct tally *tallies = mmap(NULL, sizeof *tallies * (size_t)processes, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tallies == MAP_FAILED)
        die("mmap");
    for (int i = 0; i < processes; i++) {
        int share = connections / processes + (i < connections % processes);

        children[i] = fork();
        if (children[i] < 0)
            die("fork");
        if (children[i] == 0)
            client(port, share, i, &tallies[i]);
    }
    wait_until_connected(tallies, processes);
    sleep_ms(warmup);

    struct snapshot from = take_snapshot(tallies, processes, server);
    sleep_ms(measure);
    struct snapshot to = take_snapshot(tallies, processes, server);

    unsigned long errors = 0;
    for (int i = 0; i < processes; i++)
        errors += tallies[i].errors;
    printf("{\"requests\": %lu, \"seconds\": %.6f, \"server_cpu_us\": %.1f, \"server_rss_kib\": %ld, \"errors\": %lu}\n",
           to.requests - from.requests, to.seconds - from.seconds, to.cpu_us - from.cpu_us, server_rss_kib(server),
           errors);
    for (int i = 0; i < processes; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    return errors ? 1 : 0;
}
