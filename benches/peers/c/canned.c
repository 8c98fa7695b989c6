/* The floor for HTTP: one thread, one level-triggered epoll, one recv and one send for what came, and an answer that was
 * made before the question. It looks for empty lines and nothing else.
 *
 * usage: canned http
 *
 * Prints {"listening": PORT} and serves until it is killed. */
#define _GNU_SOURCE
#include "listen.h"

static const char answer[] = "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 05:14:03 GMT\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\nHello, World!";

/* A request is never cut in two here: the load sends whole ones, and so few that they fit. */
static void answer_all(int fd)
{
    enum { LENGTH = sizeof answer - 1, MOST = 1024 };
    static char received[1 << 16], out[MOST * LENGTH];
    ssize_t got = recv(fd, received, sizeof received, 0);
    size_t answers = 0;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        close(fd);
        return;
    }
    for (char *at = received; (at = memmem(at, (size_t)(received + got - at), "\r\n\r\n", 4)) && answers < MOST; at += 4)
        memcpy(out + answers++ * LENGTH, answer, LENGTH);
    if (send(fd, out, answers * LENGTH, MSG_NOSIGNAL) != (ssize_t)(answers * LENGTH))
        close(fd);
}

int main(void)
{
    serve(answer_all);
}
