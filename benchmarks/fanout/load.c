/* The load generator: many event streams and one publisher, in one thread that never sleeps while it measures.
 *
 *     load PORT CORE  takes one command a line on its input and answers each with one line of JSON:
 *
 *     set payload BYTES | apart 0/1 | track 0/1 | buffer BYTES
 *     open N WINDOW PATH [head|event|mark]   up to N streams, WINDOW on their way at once, each until that arrived
 *     warm                                   publish single events until one reaches all that are open
 *     publish ROUNDS LINES SECONDS           closed loop: the next POST when all have the last event
 *     pace RATE SECONDS                      open loop, latency counted from when the POST was due
 *     watch SECONDS                          read and publish nothing
 *     deafen N                               the first N streams are not read any more
 *     reset                                  all streams at once, by RST
 *     gone SECONDS                           ask GET /count until the server has no subscriber left
 *
 * An event is counted by a byte that is nowhere else in it, followed by 19 digits: CLOCK_MONOTONIC when it was published.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST = 50000,        /* streams */
    PER_ADDRESS = 20000, /* streams of one source address: it has about 28,000 ports */
    DIGITS = 19,
    IDENTIFIER = 200, /* bytes of a line that may hold an id */
    READY = 1024,
    OCTAVES = 64,
    STEPS = 32, /* of the histogram within an octave: 3 % */
    LIFETIME = 3600,
    PATIENCE = 60, /* seconds that one round may take before it is given up */
    COUNT_PAUSE = 2000000, /* ns at least between two questions after the number of subscribers */
    COUNT_LONGEST = 50000000,
    COUNT_SHARE = 10, /* and so many times what the last answer took: asking must not be what the server does */
};
#define SECOND 1000000000ull
static const char MARKER = '~';

enum state { CLOSED, CONNECTING, HEAD, LIVE, LOST };

struct stream {
    int fd;
    enum state state;
    bool deaf;
    bool opened; /* has what `open` waits for */
    int blank;   /* how much of the empty line after the head was seen */
    int held;    /* bytes in `partial`, the start of a stamp that a read cut */
    char partial[DIGITS + 1];
    uint64_t started, newest;
    int length; /* of `line`, only with `track` */
    char line[IDENTIFIER], id[IDENTIFIER];
};

struct phase {
    uint64_t began, seconds_ns;
    uint64_t posts, expected, received, reads, lost, disorder, unstamped, refused;
    uint64_t polls, empty, work, turns, ready, largest;
    uint64_t counts[OCTAVES * STEPS], samples, longest;
};

static struct stream streams[MOST];
static int used, live, poller, port, publisher = -1;
static struct phase phase;
static uint64_t mark, answers, asked;
static int reached, opening;
static char answer[1 << 16];
static size_t answered;
static struct { int payload, apart, track, buffer; } settings = {.payload = 100};
static enum { WANT_HEAD, WANT_EVENT, WANT_MARK } want;

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Latencies: a histogram of constant relative precision, since an array of every one would not fit. */

static int bucket_of(uint64_t value)
{
    if (value < STEPS)
        return value;
    int octave = 63 - __builtin_clzll(value);
    return (octave - 4) * STEPS + (value >> (octave - 5)) - STEPS;
}

static double value_of(int bucket)
{
    if (bucket < STEPS)
        return bucket;
    int octave = bucket / STEPS + 4;
    return (double)(STEPS + bucket % STEPS + 0.5) * (1ull << (octave - 5));
}

static void record(uint64_t latency)
{
    phase.counts[bucket_of(latency)]++;
    phase.samples++;
    if (latency > phase.longest)
        phase.longest = latency;
}

static double percentile(double share)
{
    uint64_t seen = 0;
    for (int i = 0; i < OCTAVES * STEPS; i++)
        if (phase.samples && (seen += phase.counts[i]) >= share * phase.samples)
            return value_of(i) / 1e6;
    return 0;
}

static int connect_from(int index, int buffer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0)
        die("socket");
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + index / PER_ADDRESS);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) || (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS))
        die("connect");
    return fd;
}

static void listen_to(int fd, void *owner, int events, int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(poller, operation, fd, &event))
        die("epoll_ctl");
}

static void close_hard(int fd)
{
    /* RST, here and at every other end: it leaves no TIME_WAIT, so the ports do not run out. */
    struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

static void lose(struct stream *stream)
{
    close_hard(stream->fd);
    live -= stream->state == LIVE;
    opening -= !stream->opened;
    stream->opened = true;
    stream->state = LOST;
    phase.lost++;
}

static void send_all(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            die("send");
        if (sent > 0)
            bytes += sent, size -= sent;
    }
}

static const char *open_path;

static void ask_for_stream(struct stream *stream)
{
    int failed = 0;
    socklen_t size = sizeof failed;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &failed, &size);
    if (failed) {
        lose(stream);
        return;
    }
    char request[512 + IDENTIFIER], cursor[32 + IDENTIFIER] = "";
    if (settings.track && stream->id[0])
        snprintf(cursor, sizeof cursor, "Last-Event-ID: %s\r\n", stream->id);
    int length = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n%s\r\n", open_path, cursor);
    send_all(stream->fd, request, length);
    stream->state = HEAD;
    listen_to(stream->fd, stream, EPOLLIN, EPOLL_CTL_MOD);
}

static void arrived(struct stream *stream, uint64_t time)
{
    if (stream->opened)
        return;
    stream->opened = true;
    opening--;
    record(time - stream->started);
}

static void take_event(struct stream *stream, const char *digits, uint64_t time)
{
    uint64_t stamp = 0;
    phase.received++;
    for (int i = 0; i < DIGITS; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            phase.unstamped++;
            return;
        }
        stamp = stamp * 10 + digits[i] - '0';
    }
    if (stamp <= stream->newest)
        phase.disorder++; /* a second time, or an older one after a newer one */
    else if (stream->newest < mark && stamp >= mark)
        reached++;
    stream->newest = stamp;
    if (!stream->opened) {
        if (want == WANT_EVENT || stamp >= mark)
            arrived(stream, time);
    } else if (want == WANT_HEAD)
        record(time > stamp ? time - stamp : 0);
}

static void take_events(struct stream *stream, const char *at, size_t size, uint64_t time)
{
    const char *end = at + size;
    if (stream->held) {
        size_t missing = DIGITS + 1 - stream->held, taken = missing < size ? missing : size;
        memcpy(stream->partial + stream->held, at, taken);
        stream->held += taken;
        if (taken < missing)
            return;
        stream->held = 0;
        take_event(stream, stream->partial + 1, time);
        at += taken;
    }
    while (at < end && (at = memchr(at, MARKER, end - at))) {
        if (end - at <= DIGITS) {
            stream->held = end - at;
            memcpy(stream->partial, at, stream->held);
            return;
        }
        take_event(stream, at + 1, time);
        at += DIGITS + 1;
    }
}

static void take_ids(struct stream *stream, const char *at, size_t size)
{
    for (const char *end = at + size; at < end; at++) {
        if (*at != '\n' && *at != '\r') {
            if (stream->length < IDENTIFIER - 1)
                stream->line[stream->length++] = *at;
            continue;
        }
        stream->line[stream->length] = 0;
        if (!strncmp(stream->line, "id:", 3))
            strcpy(stream->id, stream->line + 3 + (stream->line[3] == ' '));
        stream->length = 0;
    }
}

/* Give the number of bytes that belong to the head of the answer, which may come in parts. */
static size_t take_head(struct stream *stream, const char *bytes, size_t size, uint64_t time)
{
    size_t at = 0;
    if (!stream->blank && size >= 12 && strncmp(bytes, "HTTP/1.1 200", 12)) {
        phase.refused++;
        lose(stream);
        return size;
    }
    for (; at < size && stream->blank < 4; at++) {
        bool expected = bytes[at] == "\r\n\r\n"[stream->blank];
        stream->blank = expected ? stream->blank + 1 : bytes[at] == '\r';
    }
    if (stream->blank == 4) {
        stream->state = LIVE;
        live++;
        if (want == WANT_HEAD)
            arrived(stream, time);
    }
    return at;
}

static void read_stream(struct stream *stream)
{
    static char buffer[1 << 17];
    ssize_t size = recv(stream->fd, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        lose(stream);
        return;
    }
    uint64_t time = now();
    phase.reads++;
    size_t head = stream->state == HEAD ? take_head(stream, buffer, size, time) : 0;
    if (stream->state != LIVE)
        return;
    take_events(stream, buffer + head, size - head, time);
    if (settings.track)
        take_ids(stream, buffer + head, size - head);
}

/* The publisher's connection; it asks after the number of subscribers as well. */

static void read_answers(void)
{
    static const char status[] = "HTTP/1.1 ";
    static int matched;
    char *end = answer + sizeof answer - 1;
    if (answered > sizeof answer / 2)
        answered = 0; /* only the newest is looked at */
    ssize_t size = recv(publisher, answer + answered, end - answer - answered, 0);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        close(publisher);
        publisher = -1;
        matched = 0;
        return;
    }
    for (char *at = answer + answered; size--; answered++, at++) {
        matched = *at == status[matched] ? matched + 1 : *at == 'H';
        if (matched == sizeof status - 1)
            answers++, matched = 0;
    }
    answer[answered] = 0;
}

static void have_publisher(void)
{
    if (publisher >= 0)
        read_answers(); /* a server may have closed it meanwhile, as uvicorn does after 5 s */
    if (publisher >= 0)
        return;
    publisher = connect_from(0, 0);
    fcntl(publisher, F_SETFL, fcntl(publisher, F_GETFL) & ~O_NONBLOCK);
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    for (int i = 0; getpeername(publisher, (struct sockaddr *)&peer, &size); i++)
        if (i > 1000000)
            die("connect the publisher");
    fcntl(publisher, F_SETFL, fcntl(publisher, F_GETFL) | O_NONBLOCK);
    listen_to(publisher, &publisher, EPOLLIN, EPOLL_CTL_ADD);
    answers = asked = 0;
}

static size_t write_request(char *at, const char *body, size_t size)
{
    size_t head = sprintf(at,
        "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", size);
    memcpy(at + head, body, size);
    return head + size;
}

static size_t write_line(char *at, uint64_t stamp)
{
    int size = sprintf(at, "{\"at\":\"%c%0*llu\",\"text\":\"", MARKER, DIGITS, (unsigned long long)stamp);
    for (; size < settings.payload - 2; size++)
        at[size] = "the quick brown fox jumps over the lazy dog "[size % 44];
    memcpy(at + size, "\"}", 2);
    return size + 2;
}

/* Publish lines in one POST, or each in a POST of its own, written at once. Stamps never repeat. */
static void post(int lines, uint64_t stamp)
{
    static char body[1 << 20], requests[1 << 21];
    size_t size = 0, total = 0;
    if ((size_t)lines * (settings.payload + 200) > sizeof body)
        die("too many lines of that payload for one POST");
    have_publisher();
    if (stamp <= mark)
        stamp = mark + 1;
    for (int i = 0; i < lines; i++) {
        if (i && !settings.apart)
            body[size++] = '\n';
        size += write_line(body + size, stamp + i);
        if (settings.apart || i == lines - 1) {
            total += write_request(requests + total, body, size);
            size = 0;
            asked++;
            phase.posts++;
        }
    }
    mark = stamp + lines - 1;
    reached = 0;
    send_all(publisher, requests, total);
}

static int listeners(void)
{
    int deaf = 0;
    for (int i = 0; i < used && streams[i].deaf; i++)
        deaf += streams[i].state == LIVE;
    return live - deaf;
}

static int wanted;

/* A stream that is lost is not waited for; that it is lost is in the report. */
static bool all_reached(void) { return reached + (int)phase.lost >= wanted && answers >= asked; }
static bool all_opened(void) { return opening == 0; }
static bool has_answer(void) { return answers >= asked || publisher < 0; }
static bool never(void) { return false; }

static void handle(struct epoll_event *event)
{
    struct stream *stream = event->data.ptr;
    if (event->data.ptr == &publisher)
        read_answers();
    else if (stream->state == CONNECTING)
        ask_for_stream(stream);
    else
        read_stream(stream);
}

/* Poll without ever sleeping until done, and keep account of how much of the time went into work. */
static bool spin(bool (*done)(void), uint64_t deadline)
{
    static struct epoll_event ready[READY];
    for (uint64_t before = now(), after; !done(); before = after) {
        int count = epoll_wait(poller, ready, READY, 0);
        phase.polls++;
        for (int i = 0; i < count; i++)
            handle(&ready[i]);
        after = now();
        if (count <= 0)
            phase.empty++;
        else {
            phase.work += after - before;
            phase.ready += count;
            phase.turns++;
            if ((uint64_t)count > phase.largest)
                phase.largest = count;
        }
        if (after > deadline)
            return done();
    }
    return true;
}

static void begin(void)
{
    memset(&phase, 0, sizeof phase);
    phase.began = now();
}

static void report(bool complete)
{
    if (!phase.seconds_ns)
        phase.seconds_ns = now() - phase.began;
    double spent = phase.seconds_ns ? phase.seconds_ns : 1, polls = phase.polls ? phase.polls : 1;
    printf("{\"complete\":%s,\"streams\":%d,\"seconds\":%.6f,\"posts\":%llu,\"expected\":%llu,\"received\":%llu,\"reads\":%llu,"
           "\"lost\":%llu,\"refused\":%llu,\"disorder\":%llu,\"unstamped\":%llu,\"p50\":%.4f,\"p99\":%.4f,\"longest\":%.4f,"
           "\"busy\":%.4f,\"empty\":%.4f,\"ready\":%.2f,\"largest\":%llu}\n",
        complete ? "true" : "false", live, spent / 1e9, (unsigned long long)phase.posts, (unsigned long long)phase.expected,
        (unsigned long long)phase.received, (unsigned long long)phase.reads, (unsigned long long)phase.lost,
        (unsigned long long)phase.refused, (unsigned long long)phase.disorder, (unsigned long long)phase.unstamped,
        percentile(0.5), percentile(0.99), phase.longest / 1e6, phase.work / spent, phase.empty / polls,
        phase.turns ? (double)phase.ready / phase.turns : 0, (unsigned long long)phase.largest);
    fflush(stdout);
}

static void start_stream(struct stream *stream, int index)
{
    stream->fd = connect_from(index, settings.buffer);
    stream->state = CONNECTING;
    stream->opened = stream->deaf = false;
    stream->blank = stream->held = stream->length = 0;
    stream->started = now();
    if (!settings.track)
        stream->newest = 0, stream->id[0] = 0;
    opening++;
    listen_to(stream->fd, stream, EPOLLOUT, EPOLL_CTL_ADD);
}

static int window;
static bool has_room(void) { return opening < window; }

static void open_streams(int count, const char *path)
{
    open_path = path;
    opening = 0;
    bool complete = true;
    uint64_t patience = now() + PATIENCE * SECOND;
    for (int i = 0; i < count && i < MOST && complete; i++) {
        if (streams[i].state == LIVE)
            continue;
        if (i >= used)
            used = i + 1;
        start_stream(&streams[i], i);
        phase.expected++;
        complete = spin(has_room, patience);
    }
    complete = complete && spin(all_opened, patience);
    want = WANT_HEAD;
    report(complete && !phase.lost);
}

static void warm(void)
{
    bool complete = false;
    for (int attempt = 0; attempt < 5 && !complete; attempt++) {
        post(1, now());
        wanted = listeners();
        complete = spin(all_reached, now() + (attempt < 4 ? 5 + wanted / 500 : PATIENCE) * SECOND);
    }
    report(complete);
}

static void publish(int rounds, int lines, double seconds)
{
    bool complete = true;
    uint64_t limit = now() + seconds * SECOND;
    wanted = listeners();
    for (int i = 0; i < rounds && complete && now() < limit; i++) {
        phase.expected += (uint64_t)wanted * lines;
        post(lines, now());
        complete = spin(all_reached, now() + PATIENCE * SECOND);
    }
    report(complete);
}

static void pace(double rate, double seconds)
{
    uint64_t begin = now() + SECOND / 100, step = SECOND / rate, due = begin;
    wanted = listeners();
    for (; due < begin + seconds * SECOND; due += step) {
        spin(never, due);
        phase.expected += wanted;
        post(1, due);
    }
    report(spin(all_reached, now() + PATIENCE * SECOND));
}

static void deafen(int count)
{
    for (int i = 0; i < count && i < used; i++) {
        streams[i].deaf = true;
        epoll_ctl(poller, EPOLL_CTL_DEL, streams[i].fd, NULL);
    }
    report(true);
}

static void reset(void)
{
    for (int i = 0; i < used; i++)
        if (streams[i].state != CLOSED && streams[i].state != LOST)
            close_hard(streams[i].fd);
    for (int i = 0; i < used; i++)
        streams[i].state = CLOSED, streams[i].deaf = false;
    live = 0;
    report(true);
}

static long subscribers(void)
{
    char *at = strstr(answer, "\"subscribers\":");
    if (at)
        return strtol(at + 14, NULL, 10);
    return strstr(answer, " 404 ") ? 0 : -1; /* nchan forgets a channel that nobody uses */
}

/* Ask once, and pause after an answer that is not zero. */
static long ask_count(uint64_t limit)
{
    static const char request[] = "GET /count HTTP/1.1\r\nHost: localhost\r\nAccept: application/json, text/json\r\n\r\n";
    uint64_t began = now(), pause;
    have_publisher();
    answered = 0;
    answer[0] = 0;
    asked++;
    phase.posts++;
    send_all(publisher, request, sizeof request - 1);
    spin(has_answer, limit);
    for (uint64_t soon = now() + SECOND / 1000; subscribers() < 0 && now() < soon;)
        spin(never, now() + SECOND / 100000); /* the body may come after the head */
    if (!subscribers())
        return 0;
    pause = (now() - began) * COUNT_SHARE;
    pause = pause < COUNT_PAUSE ? COUNT_PAUSE : pause > COUNT_LONGEST ? COUNT_LONGEST : pause;
    spin(never, now() + pause);
    return 1;
}

static void gone(double seconds)
{
    uint64_t limit = now() + seconds * SECOND;
    bool left = true;
    while (left && now() < limit)
        left = ask_count(limit);
    report(!left);
}

static void set(const char *name, int value)
{
    if (!strcmp(name, "payload"))
        settings.payload = value;
    else if (!strcmp(name, "apart"))
        settings.apart = value;
    else if (!strcmp(name, "track"))
        settings.track = value;
    else if (!strcmp(name, "buffer"))
        settings.buffer = value;
    else
        die(name);
    report(true);
}

static void obey(const char *command)
{
    char word[64], until[16] = "head";
    int first, second;
    double number, seconds;
    begin();
    if (sscanf(command, "set %63s %d", word, &first) == 2)
        set(word, first);
    else if (sscanf(command, "open %d %d %63s %15s", &first, &window, word, until) >= 3) {
        want = *until == 'h' ? WANT_HEAD : *until == 'e' ? WANT_EVENT : WANT_MARK;
        open_streams(first, word);
    } else if (!strncmp(command, "warm", 4))
        warm();
    else if (sscanf(command, "publish %d %d %lf", &first, &second, &seconds) == 3)
        publish(first, second, seconds);
    else if (sscanf(command, "pace %lf %lf", &number, &seconds) == 2)
        pace(number, seconds);
    else if (sscanf(command, "watch %lf", &seconds) == 1)
        report((spin(never, now() + seconds * SECOND), true));
    else if (sscanf(command, "deafen %d", &first) == 1)
        deafen(first);
    else if (!strncmp(command, "reset", 5))
        reset();
    else if (sscanf(command, "gone %lf", &seconds) == 1)
        gone(seconds);
    else
        die(command);
}

int main(int count, char **arguments)
{
    char command[256];
    if (count != 3 || (port = atoi(arguments[1])) <= 0)
        die("usage: load PORT CORE");
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(atoi(arguments[2]), &cores);
    sched_setaffinity(0, sizeof cores, &cores); /* where there is no such core, anywhere */
    alarm(LIFETIME);
    poller = epoll_create1(0);
    while (fgets(command, sizeof command, stdin))
        obey(command);
    return 0;
}
