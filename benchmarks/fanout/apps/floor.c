/* What the kernel alone costs: an epoll server that writes one ready chunk to every socket. `floor FD`, a listening socket.
 *
 * It expects each request in one read, as the load generator sends them, and a socket that takes each chunk whole:
 * a subscriber that does not is closed. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 65536, READY = 256, LINE = 1 << 16 };

static int poller, subscribers, places[MOST], members[MOST];
static char newest[LINE + 64];
static int newest_size;

static void answer(int fd, const char *status, const char *body)
{
    char text[512];
    int size = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body);
    send(fd, text, size, MSG_NOSIGNAL);
}

static void forget(int fd)
{
    if (places[fd]) {
        int last = members[subscribers--];
        members[places[fd]] = last;
        places[last] = places[fd];
        places[fd] = 0;
    }
    close(fd);
}

static void subscribe(int fd, int first)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    send(fd, head, sizeof head - 1, MSG_NOSIGNAL);
    if (first)
        send(fd, newest, newest_size, MSG_NOSIGNAL);
    members[places[fd] = ++subscribers] = fd;
}

static void publish(const char *line, int size)
{
    if (size > LINE)
        return;
    newest_size = sprintf(newest, "%x\r\ndata: %.*s\n\n\r\n", size + 8, size, line);
    for (int i = subscribers; i > 0; i--)
        if (send(members[i], newest, newest_size, MSG_NOSIGNAL | MSG_DONTWAIT) != newest_size)
            forget(members[i]);
}

static void publish_all(char *body)
{
    for (char *end; body; body = end ? end + 1 : NULL) {
        end = strchr(body, '\n');
        publish(body, end ? end - body : (long)strlen(body));
    }
}

static void take(int fd)
{
    static char request[1 << 20];
    ssize_t size = recv(fd, request, sizeof request - 1, 0);
    if (size <= 0) {
        forget(fd);
        return;
    }
    request[size] = 0;
    char count[64], *body = strstr(request, "\r\n\r\n");
    snprintf(count, sizeof count, "{\"subscribers\":%d}", subscribers);
    if (!strncmp(request, "POST", 4) && body) {
        publish_all(body + 4);
        answer(fd, "204 No Content", "");
    } else if (!strncmp(request, "GET /count", 10))
        answer(fd, "200 OK", count);
    else
        subscribe(fd, !strncmp(request, "GET /first", 10));
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

int main(int count, char **arguments)
{
    int listener = count > 1 ? atoi(arguments[1]) : 0, on = 1;
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* inherited by what it accepts */
    poller = epoll_create1(0);
    watch(listener);
    for (struct epoll_event ready[READY];;) {
        int waiting = epoll_wait(poller, ready, READY, -1);
        for (int i = 0; i < waiting; i++)
            if (ready[i].data.fd == listener)
                watch(accept(listener, NULL, NULL));
            else
                take(ready[i].data.fd);
    }
}
