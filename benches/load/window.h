/* What the load generators have in common: client processes in a closed loop, and a parent that measures the server over a
 * window.
 *
 * The parent forks PROCESSES clients (a process has 20,000 descriptors at most on our machines), waits until all are
 * connected and warm, and reads the server's processor time at both ends of the window itself, so that the time and
 * the count of requests belong to the same window. It prints one JSON line:
 *
 *   {"requests": N, "seconds": S, "server_cpu_us": U, "server_rss_kib": K, "p50_us": L, "p99_us": L, "errors": E}
 */
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

/* The histogram of latencies: slots of 10 microseconds, the last for all that is longer. */
enum { MAX_PROCESSES = 16, SLOTS = 20000, SLOT_US = 10 };

/* One a client process, on a cache line of its own. */
struct tally {
    _Alignas(64) volatile unsigned long requests;
    volatile unsigned long errors;
    volatile int connected;
    volatile unsigned int latencies[SLOTS];
};

typedef void client_fn(unsigned short port, int connections, int process, struct tally *tally);

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void count_latency(struct tally *tally, double seconds)
{
    double slot = seconds * 1e6 / SLOT_US;

    tally->latencies[slot < SLOTS - 1 ? (int)slot : SLOTS - 1]++;
}

/* ---- a client process ---- */

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
                fprintf(stderr, "load: a client process ended early\n");
                exit(1);
            }
            if (now_seconds() > give_up) {
                fprintf(stderr, "load: not connected after 60 s\n");
                exit(1);
            }
            sleep_ms(10);
        }
    }
}

/* The latency, in microseconds, below which so large a part of all is. */
static double percentile(struct tally *tallies, int processes, double part)
{
    unsigned long total = 0, below = 0;

    for (int i = 0; i < processes; i++)
        for (int slot = 0; slot < SLOTS; slot++)
            total += tallies[i].latencies[slot];
    for (int slot = 0; slot < SLOTS; slot++) {
        for (int i = 0; i < processes; i++)
            below += tallies[i].latencies[slot];
        if ((double)below >= part * (double)total)
            return (slot + 0.5) * SLOT_US;
    }
    return (double)SLOTS * SLOT_US;
}

/* Puts the load on and prints what came of it. Returns the process's exit status. */
static int run_load(client_fn *client, unsigned short port, int connections, int server, long warmup, long measure,
                    int processes)
{
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
        if (children[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            client(port, share, i, &tallies[i]);
            _exit(1);
        }
    }
    wait_until_connected(tallies, processes);
    sleep_ms(warmup);

    struct snapshot from = take_snapshot(tallies, processes, server);
    for (int i = 0; i < processes; i++)
        memset((void *)tallies[i].latencies, 0, sizeof tallies[i].latencies);
    sleep_ms(measure);
    struct snapshot to = take_snapshot(tallies, processes, server);

    unsigned long errors = 0;
    for (int i = 0; i < processes; i++)
        errors += tallies[i].errors;
    printf("{\"requests\": %lu, \"seconds\": %.6f, \"server_cpu_us\": %.1f, \"server_rss_kib\": %ld, "
           "\"p50_us\": %.0f, \"p99_us\": %.0f, \"errors\": %lu}\n",
           to.requests - from.requests, to.seconds - from.seconds, to.cpu_us - from.cpu_us, server_rss_kib(server),
           percentile(tallies, processes, 0.5), percentile(tallies, processes, 0.99), errors);
    for (int i = 0; i < processes; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    return errors ? 1 : 0;
}
