"""Clients that no HTTP library lets one be: with small segments, that read nothing, or that reset their connections.

Node can neither set TCP_MAXSEG nor reset a connection at a chosen byte. The first line of standard input is the job, as
JSON (`Job` in attackers.ts). Prints "ready" when the attack has begun and its report at the end, which is there at the
latest when standard input ends.
"""
import asyncio, collections, json, os, select, socket, struct, threading, time

over = threading.Event()


def read_job():
    text = b''
    while not text.endswith(b'\n'):
        text += os.read(0, 1 << 20)

    def wait_for_end():
        while os.read(0, 4096):
            pass
        over.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    return json.loads(text)


job = read_job()
requests = [text.encode() for text in job['requests']]
sources = job['sources']
request_of = lambda n: requests[n % len(requests)]
source_of = lambda n: (sources[n % len(sources)], 0)


def connect(n):
    it = socket.socket()
    if job.get('small'):
        # An Ethernet client: segments of 64 KiB, as loopback has them, fill no window. Both are negotiated on connecting.
        it.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        it.setsockopt(socket.IPPROTO_TCP, 2, 1400)
    it.bind(source_of(n))
    it.settimeout(10)
    it.connect(('127.0.0.1', job['port']))
    return it


def reset(it):
    it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    it.close()


def pace(n, begun):
    wait = begun + n / job['perSecond'] - time.monotonic()
    return wait if wait > 0 else 0


def hold():
    """Sends on each connection and reads nothing. Never closes."""
    unsent, held = {}, []
    for n in range(job['count']):
        it = connect(n)
        it.setblocking(False)
        held.append(it)
        unsent[it.fileno()] = (it, memoryview(request_of(n) * job['times']))
    print('ready', flush=True)
    poll = select.poll()
    for it in held:
        poll.register(it, select.POLLOUT)
    while unsent and not over.is_set():
        for fd, events in poll.poll(100):
            it, text = unsent.pop(fd)
            try:
                text = text[it.send(text):]
            except BlockingIOError:
                pass
            except OSError:
                text = b''
            if text and not events & (select.POLLERR | select.POLLHUP):
                unsent[fd] = (it, text)
                continue
            poll.unregister(fd)
            try:
                if job.get('half'):
                    it.shutdown(socket.SHUT_WR)
            except OSError:
                pass
    over.wait()
    return {}


def drip():
    """Reads an answer at `perSecond` bytes a second, to its end."""
    it = connect(0)
    it.sendall(request_of(0))
    print('ready', flush=True)
    begun, received, head = time.monotonic(), 0, b''
    while not over.is_set():
        time.sleep(pace(received, begun))
        try:
            part = it.recv(1400)
        except OSError:
            break
        if not part:
            break
        received += len(part)
        head += part[: 2000 - len(head)]
    fields = head.split(b'\r\n\r\n')[0]
    length = [int(line[15:]) for line in fields.lower().split(b'\r\n') if line.startswith(b'content-length:')]
    whole = length and received == len(fields) + 4 + length[0]
    return {'received': received, 'whole': bool(whole)}


def abort():
    """Sends, waits for the answer to begin if it is to, and resets the connection."""
    print('ready', flush=True)
    begun = time.monotonic()
    for n in range(job['count']):
        if over.is_set():
            break
        time.sleep(pace(n, begun))
        try:
            it = connect(n)
            it.sendall(request_of(n))
            if job.get('begun'):
                it.recv(1)
            reset(it)
        except OSError:
            pass
    return {}


async def ask():
    """Sends whole requests, `atOnce` at most on connections of their own, and reads the answers."""
    statuses, places = collections.Counter(), asyncio.Semaphore(job['atOnce'])

    async def one(n):
        status = 'none'
        try:
            reader, writer = await asyncio.open_connection('127.0.0.1', job['port'], local_addr=source_of(n))
            writer.write(request_of(n))
            status = (await reader.read(12))[9:12].decode() or 'none'
            while await reader.read(1 << 16):
                pass
            writer.close()
        except OSError:
            pass
        statuses[status] += 1
        places.release()

    print('ready', flush=True)
    begun, tasks = time.monotonic(), set()
    for n in range(job['count']):
        await asyncio.sleep(pace(n, begun))
        await places.acquire()
        if over.is_set():
            break
        tasks.add(asyncio.create_task(one(n)))
        tasks = {task for task in tasks if not task.done()}
    while tasks and not over.is_set():
        _, tasks = await asyncio.wait(tasks, timeout=0.1)
    return {'statuses': statuses}


HOW = {'hold': hold, 'drip': drip, 'abort': abort, 'ask': lambda: asyncio.run(ask())}
try:
    report = HOW[job['how']]()
except OSError as error:
    # The service has ended, or takes no connection.
    report = {'error': str(error)}
print(json.dumps(report), flush=True)
os._exit(0)
