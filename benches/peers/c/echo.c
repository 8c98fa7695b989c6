/* The floor: one thread, one level-triggered epoll, one recv and one send a request, nothing else.
 *
 * usage: echo echo [page]
 *
 * With `page`, each connection has a page of its own for what is read and for a few words that it keeps, 256 KiB from
 * the next: the floor for whoever gives each connection a stack. Nothing is switched, and no more of it is touched.
 *
 * Prints {"listening": PORT} and serves until it is killed. */
#define _GNU_SOURCE
#include "listen.h"

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
    if (argc < 2 || strcmp(argv[1], "echo") != 0) {
        fprintf(stderr, "usage: echo echo [page]\n");
        return 2;
    }
    if (argc > 2 && strcmp(argv[2], "page") == 0)
        reserve_pages();
    serve(echo_once);
}
