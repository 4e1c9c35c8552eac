import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { Connection } from '../../../src/db/connection.ts'
import { classify, codeOf } from '../../../src/db/errors.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { Retries } from '../../../src/db/retries.ts'
import { Slot } from '../../../src/db/slot.ts'
import { Deadline } from '../../../src/http/deadline.ts'
import { watchStatements } from '../../contract/statements.ts'
import { databaseUrl, newUser, testConfig } from '../../support/app.ts'
import { sessionOf } from '../../support/session.ts'
import { taskStore } from '../../support/tasks.ts'

// These tests need a second session that blocks the first. The embedded engine has one session.
const SKIP = process.env.TEST_DATABASE_URL === undefined && 'needs TEST_DATABASE_URL'

const silent = pino({ level: 'silent' })

async function open(t: Test, rls: string) {
  const { database } = await testConfig({
    DATABASE_RLS: rls,
    DATABASE_POOL_MAX: '1',
    // Nothing ends by itself here.
    DATABASE_STATEMENT_TIMEOUT_MS: '60000'
  })
  const connection = await openDatabase(database, silent)
  const admin = postgres(await databaseUrl('owner'), { max: 2, onnotice: () => {} })
  t.teardown(() => Promise.all([connection.close(), admin.end()]))
  return { ...connection, admin, store: taskStore((table) => ownedBy(connection.prepare, table)) }
}

/**
 * Resolves with the process of the service's statement that waits for a lock, or with undefined when none does any
 * more.
 */
async function blocked(admin: postgres.ISql, isBlocked = true): Promise<number | undefined> {
  for (;;) {
    const [row] = await admin<{ pid: number }[]>`select pid from pg_stat_activity
      where datname = current_database() and application_name = 'rowkeeper' and wait_event_type = 'Lock'`
    if ((row !== undefined) === isBlocked) return row?.pid
  }
}

/** The titles of tasks, in the order in which they were created. */
async function titles(admin: postgres.ISql, ids: string[]): Promise<string[]> {
  const rows = await admin<{ title: string }[]>`select title from tasks where id = any(${ids}) order by id`
  return rows.map(({ title }) => title)
}

t.test(
  'a write whose time is up while PostgreSQL works on it is not done later (issue 15)',
  { skip: SKIP },
  async (t) => {
    for (const rls of ['false', 'true']) {
      const { admin, store, transaction, close } = await open(t, rls)
      const alice = newUser('alice') as Owner
      const { id } = await store.create(alice, { title: 'old' })
      for (const [how, change] of [
        ['alone', (within: Deadline) => store.update(alice, id, { title: 'late' }, undefined, within)],
        [
          'in a transaction',
          (within: Deadline) =>
            transaction(alice, (one) => store.update(alice, id, { title: 'late' }, undefined, one), { within })
        ],
        [
          'behind others of its transaction',
          (within: Deadline) =>
            transaction(
              alice,
              (one) =>
                Promise.all([store.lock(alice, [id], one), store.update(alice, id, { title: 'late' }, undefined, one)]),
              { within }
            )
        ]
      ] as const) {
        const deadline = new Deadline(performance.now() + 4700)
        const statuses: unknown[] = []
        await admin.begin(async (admin) => {
          await admin`select from tasks where id = ${id} for update`
          const late = change(deadline).then(
            () => statuses.push('done'),
            (error) => statuses.push(classify(error))
          )
          await blocked(admin)
          deadline.expire()
          await late
          await blocked(admin, false)
        })
        t.same(statuses, ['unavailable'], how)
        t.match(await store.update(alice, id, { title: 'new' }), { id }, 'others go on')
        t.match((await store.get(alice, id))?.json, '"title":"new"')
      }
      await close()
    }
  }
)

t.test(
  'of writes that share a connection, one whose time is up is done at once or never, and others go on (issue 19)',
  { skip: SKIP },
  async (t) => {
    const { admin, store } = await open(t, 'false')
    const owners = ['alice', 'bob', 'carol', 'dave'].map((name) => newUser(name) as Owner)
    const ids: string[] = []
    for (const owner of owners) ids.push((await store.create(owner, { title: 'old' })).id)
    for (const { what, late, held } of [
      { what: 'the first, which waits', late: 0, held: 1 },
      { what: 'the last, behind others that wait', late: 3, held: 4 },
      { what: 'one behind another that waits', late: 1, held: 2 },
      { what: 'one that waits for nothing but another', late: 1, held: 1 },
      { what: 'the first of two that wait', late: 0, held: 2 },
      { what: 'the first of four that wait', late: 0, held: 4 }
    ]) {
      const deadlines = owners.map(() => new Deadline(performance.now() + 4700))
      await admin`update tasks set title = 'old' where id = any(${ids})`
      let writes: Promise<string>[] = []
      await admin.begin(async (one) => {
        await one`select from tasks where id = any(${ids.slice(0, held)}) for update`
        writes = owners.map((owner, i) =>
          store.update(owner, ids[i] as string, { title: 'new' }, undefined, deadlines[i]).then(
            () => 'new',
            (error) => `old: ${classify(error)}`
          )
        )
        await blocked(admin)
        deadlines[late]?.expire()
        await writes[late]
      })
      const wanted = owners.map((_owner, i) => (i === late && i < held ? 'old: unavailable' : 'new'))
      t.same(await Promise.all(writes), wanted, what)
      t.same(
        await titles(admin, ids),
        wanted.map((title) => title.slice(0, 3)),
        what
      )
    }
  }
)

t.test(
  'a write of others is not done once more behind what its owner has sent since (issue 19)',
  { skip: SKIP },
  async (t) => {
    const { admin, store } = await open(t, 'false')
    const [alice, bob] = ['alice', 'bob'].map((name) => newUser(name) as Owner) as [Owner, Owner]
    const [first, second] = [await store.create(alice, { title: 'old' }), await store.create(bob, { title: 'old' })]
    const deadline = new Deadline(performance.now() + 4700)
    let answers: unknown[] = []
    await admin.begin(async (one) => {
      await one`select from tasks where id = any(${[first.id, second.id]}) for update`
      const writes = [
        store.update(alice, first.id, { title: 'late' }, undefined, deadline),
        store.update(bob, second.id, { title: 'earlier' }),
        store.update(bob, second.id, { title: 'later' })
      ]
      await blocked(admin)
      deadline.expire()
      t.same(await Promise.all(writes.slice(0, 2).map((write) => write.catch(codeOf))), Array(2).fill('DEADLINE_OVER'))
      answers = writes.slice(2)
    })
    t.match(await Promise.all(answers), [{ json: /"title":"later"/, version: 2 }])
  }
)

t.test('what Citus cancelled is not done once more, as a worker may have committed it (issue 19)', async (t) => {
  const slot = new Slot(() => {
    throw new Error('It connects')
  })
  const stopped = Object.assign(new Error('stopped'), { code: 'DEADLINE_OVER' })
  for (const isDistributed of [true, false]) {
    const retries = new Retries('write', 10, isDistributed)
    t.equal(retries.allow(stopped, slot, true), !isDistributed)
    t.equal(retries.allow(stopped, slot, true), false, 'nothing is done a third time')
  }
})

t.test(
  'what the pool was sent and told nobody of is cancelled when it closes (issue 19)',
  { skip: SKIP },
  async (t) => {
    const { admin, store, close } = await open(t, 'false')
    const owners = ['alice', 'bob'].map((name) => newUser(name) as Owner)
    const ids: string[] = []
    for (const owner of owners) ids.push((await store.create(owner, { title: 'old' })).id)
    let told: string[] = []
    await admin.begin(async (one) => {
      await one`select from tasks where id = any(${ids.slice(0, 1)}) for update`
      const writes = owners.map((owner, i) =>
        store.update(owner, ids[i] as string, { title: 'new' }).then(
          () => 'new',
          () => 'old'
        )
      )
      await blocked(admin)
      await close()
      told = await Promise.all(writes)
      await blocked(admin, false)
    })
    t.same(told, ['old', 'new'])
    t.same(await titles(admin, ids), told)
  }
)

t.test('a pool is closed when what was given up is cancelled (issue 19)', { skip: SKIP }, async (t) => {
  const { admin, store, close } = await open(t, 'false')
  const alice = newUser('alice') as Owner
  const { id } = await store.create(alice, { title: 'old' })
  const deadline = new Deadline(performance.now() + 4700)
  await admin.begin(async (one) => {
    await one`select from tasks where id = ${id} for update`
    let told: unknown
    store.update(alice, id, { title: 'late' }, undefined, deadline).catch((error) => {
      told = codeOf(error)
    })
    await blocked(admin)
    deadline.expire()
    await close()
    t.equal(told, 'DEADLINE_OVER')
  })
})

t.test(
  'a statement is cancelled on a connection that takes no more because it is too old (issue 19)',
  { skip: SKIP },
  async (t) => {
    const url = await databaseUrl('owner')
    const { hostname: host, port } = new URL(url)
    const driver = { fetch_types: false, connection: { application_name: 'rowkeeper' } }
    const connection = new Connection({ url, driver, address: { host, port: Number(port) } })
    const admin = postgres(url, { max: 2, onnotice: () => {} })
    t.teardown(() => admin.end())
    await admin.begin(async (one) => {
      await one`select pg_advisory_xact_lock(19)`
      const late = connection.send('select pg_advisory_xact_lock(19)').catch(codeOf)
      await blocked(admin)
      void connection.end()
      void connection.stop()
      t.equal(await late, 'DEADLINE_OVER')
    })
  }
)

t.test('a transaction whose time is up sends nothing more, and is undone', async (t) => {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
  const { prepare, transaction, close } = await openDatabase(database, silent)
  t.teardown(close)
  const store = taskStore((table) => ownedBy(prepare, table))
  const alice = newUser('alice') as Owner
  for (const more of [true, false]) {
    const deadline = new Deadline(performance.now() + 4700)
    const sent: string[] = []
    const late = transaction(
      alice,
      async (one) => {
        await store.create(alice, { title: 'late' }, one)
        const stop = watchStatements(({ text }) => sent.push(text))
        t.teardown(stop)
        // Its client left: nothing is cancelled.
        deadline.close()
        if (more) await store.create(alice, { title: 'later' }, one)
      },
      { within: deadline }
    )
    t.equal(codeOf(await late.catch((error) => error)), 'DEADLINE_OVER')
    t.equal((await store.list(alice)).json.toString(), '[]')
    t.notOk(sent.some((text) => text.startsWith('insert') || text === 'commit'))
  }
})

t.test('what waits for a connection when its time is up is not sent on it', async (t) => {
  const { server, store } = await fakeServer(t)
  const deadline = new Deadline(performance.now() + 4700)
  const arrived = once(server, 'connection')
  const write = store.create(newUser() as Owner, { title: 'x' }, deadline).catch(codeOf)
  const [socket] = await arrived
  deadline.expire()
  t.equal(await write, 'DEADLINE_OVER')
  socket.destroy()
})

// PostgreSQL's messages: authentication succeeded, the process id, ready for a query, and the empty statement is done.
const ready = Buffer.from('Z\0\0\0\x05I', 'latin1')
const welcome = Buffer.concat([
  Buffer.from('R\0\0\0\x08\0\0\0\0', 'latin1'),
  Buffer.from('K\0\0\0\x0c\0\0\0\x07\0\0\0\x09', 'latin1'),
  ready
])
const empty = Buffer.concat([Buffer.from('I\0\0\0\x04', 'latin1'), ready])

/**
 * A server that speaks as much of PostgreSQL's protocol as the test tells it, and a store whose pool has one
 * connection.
 */
async function fakeServer(t: Test) {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const env = { DATABASE_URL: `postgres://postgres@127.0.0.1:${port}/postgres`, DATABASE_POOL_MAX: '1' }
  const { prepare, transaction, close } = await openDatabase((await testConfig(env)).database, silent)
  t.teardown(async () => {
    await close()
    server.close()
  })
  return { server, transaction, store: taskStore((table) => ownedBy(prepare, table)) }
}

for (const kind of ['a write', 'a transaction']) {
  t.test(`${kind} that was given up while its connection was made is not sent on it (issue 15)`, async (t) => {
    const { server, store, transaction } = await fakeServer(t)
    const owner = newUser() as Owner
    const deadline = new Deadline(performance.now() + 4700)
    const arrived = once(server, 'connection')
    const late = (
      kind === 'a write'
        ? store.create(owner, { title: 'late' }, deadline)
        : transaction(owner, async (one) => store.create(owner, { title: 'late' }, one), { within: deadline })
    ).catch(codeOf)
    const [socket] = await arrived
    await once(socket, 'data')
    socket.write(welcome)
    t.equal(String((await once(socket, 'data'))[0])[0], 'Q')
    deadline.expire()
    t.equal(await late, 'DEADLINE_OVER')
    socket.write(empty)
    const next = store.create(owner, { title: 'next' }).catch(codeOf)
    const [sent] = await once(socket, 'data')
    t.match(String(sent), 'insert into')
    t.notMatch(String(sent), /late|begin/)
    socket.destroy()
    t.equal(await next, 'CONNECTION_CLOSED')
  })
}

t.test('what waited for a connection with a write that was given up is sent on it (issue 19)', async (t) => {
  const { server, store } = await fakeServer(t)
  const deadline = new Deadline(performance.now() + 4700)
  const arrived = once(server, 'connection')
  const late = store.create(newUser() as Owner, { title: 'late' }, deadline).catch(codeOf)
  const next = store.create(newUser() as Owner, { title: 'next' }).catch(codeOf)
  const [socket] = await arrived
  deadline.expire()
  t.equal(await late, 'DEADLINE_OVER')
  await letIn(socket)
  const sent = String((await once(socket, 'data'))[0])
  t.match(sent, 'next')
  t.notMatch(sent, 'late')
  socket.destroy()
  await next
})

const CANCEL = Buffer.from('\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\0\0\0\x09', 'latin1')

/** Does what PostgreSQL does for a new connection, up to the answer to the driver's empty statement. */
async function letIn(socket: Socket): Promise<void> {
  // The tests wait for the end by the other side, which may be an error here.
  socket.on('error', () => {})
  await once(socket, 'data')
  socket.write(welcome)
  await once(socket, 'data')
  socket.write(empty)
}

for (const ending of ['never answers', 'ends the connection', 'cannot be reached any more']) {
  t.test(`a write is given up by a server that ${ending} when it is cancelled (issue 15)`, async (t) => {
    const { server, store } = await fakeServer(t)
    const deadline = new Deadline(performance.now() + 4700)
    const arrived = once(server, 'connection')
    const late = store.create(newUser() as Owner, { title: 'late' }, deadline).catch(codeOf)
    const [socket] = await arrived
    await letIn(socket)
    t.match(String((await once(socket, 'data'))[0]), 'insert into')
    const requests: Buffer[] = []
    server.on('connection', (cancelling) => {
      cancelling.on('error', () => {})
      cancelling.on('data', (bytes: Buffer) => {
        requests.push(bytes)
        cancelling.end()
        if (ending === 'ends the connection') socket.destroy()
      })
    })
    if (ending === 'cannot be reached any more') server.close()
    const closed = new Promise((resolve) => socket.on('close', resolve))
    deadline.expire()
    t.ok(['DEADLINE_OVER', 'CONNECTION_CLOSED', 'CONNECTION_DESTROYED'].includes(String(await late)))
    await closed
    const cancelled = requests.filter((bytes) => bytes.equals(CANCEL)).length
    // Of one that is silent each request may have come too early.
    if (ending === 'never answers') t.ok(cancelled > 5, `${cancelled} cancel requests`)
    else t.equal(cancelled, ending === 'ends the connection' ? 1 : 0)
  })
}

t.test('a commit that fails is unavailable, and its connection is replaced (issue 15)', async (t) => {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
  const { prepare, transaction, close } = await openDatabase(database, silent)
  const { send } = sessionOf({ prepare })
  t.teardown(close)
  const store = taskStore((table) => ownedBy(prepare, table))
  const alice = newUser('alice') as Owner
  await send(`create function refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end'`)
  await send(`create constraint trigger refuse after insert on tasks deferrable initially deferred
    for each row when (new.title = 'refused') execute function refuse()`)
  const refused = transaction(alice, (one) => store.create(alice, { title: 'refused' }, one)).catch((error) => error)
  t.equal(codeOf(await refused), 'COMMIT_FAILED')
  t.equal(classify(await refused), 'unavailable')
  t.match(await store.create(alice, { title: 'next' }), { version: 1 })
  await send('drop function refuse() cascade')
})

/** A message of PostgreSQL's protocol. */
const message = (type: string, body: string) => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(4 + body.length)
  return Buffer.concat([Buffer.from(type), length, Buffer.from(body, 'latin1')])
}

t.test('a commit whose wait for a synchronous standby was cancelled is not acknowledged (issue 19)', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const arrived = once(server, 'connection')
  const connection = new Connection({
    driver: { user: 'postgres', database: 'postgres', fetch_types: false },
    address: { host: '127.0.0.1', port }
  })
  t.teardown(async () => {
    await connection.end(0)
    server.close()
  })
  const [socket] = await arrived
  await letIn(socket)
  const notice = message('N', 'SWARNING\0C01000\0Mcanceling wait for synchronous replication\0RSyncRepWaitForLSN\0\0')
  const parsed = [message('1', ''), message('t', '\0\0'), message('n', '')]
  const done = [message('2', ''), message('C', 'UPDATE 1\0')]
  for (const [before, told] of [
    [[], []],
    [[notice], 'COMMIT_FAILED'],
    [[], []]
  ] as const) {
    const sent = once(socket, 'data')
    const answer = connection.send('update tasks set title = title').catch((error) => error)
    // The second time it is prepared already.
    const isNew = String((await sent)[0])[0] === 'P'
    socket.write(Buffer.concat([...(isNew ? parsed : []), ...done, ...before, ready]))
    if (told === 'COMMIT_FAILED') t.match([codeOf(await answer), classify(await answer)], [told, 'unavailable'])
    else t.same(await answer, told)
  }
})

for (const by of ['a port', 'a path']) {
  t.test(`a connection by ${by} is given up once, however often it is stopped`, async (t) => {
    const path = join(mkdtempSync(join(tmpdir(), 'rowkeeper-late-')), 'pg')
    const server = by === 'a path' ? createServer().listen(path) : createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = by === 'a path' ? { path } : { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
    let lost = 0
    const arrived = once(server, 'connection')
    const connection = new Connection({
      driver: { user: 'postgres', database: 'postgres', fetch_types: false },
      address,
      onClose: () => lost++
    })
    t.teardown(async () => {
      await connection.end(0)
      server.close()
    })
    const answer = connection.send('select 1').catch(codeOf)
    const [socket] = await arrived
    await letIn(socket)
    await once(socket, 'data')
    server.on('connection', (cancelling) => cancelling.destroy())
    void connection.stop()
    void connection.stop()
    t.ok(['DEADLINE_OVER', 'CONNECTION_CLOSED', 'CONNECTION_DESTROYED'].includes(String(await answer)))
    void connection.stop()
    t.equal(lost, 1)
  })
}

t.test(
  'a commit that fails closes its connection, and nobody knows whether it was done (issue 15)',
  { skip: SKIP },
  async (t) => {
    for (const rls of ['false', 'true']) {
      const { admin, store, transaction, close } = await open(t, rls)
      const alice = newUser('alice') as Owner
      const { id } = await store.create(alice, { title: 'old' })
      await admin.unsafe(`
      create function fail_late() returns trigger language plpgsql as $$ begin
        if new.title = 'late' then perform pg_advisory_xact_lock(15); end if; return null; end $$;
      create constraint trigger late after update on tasks deferrable initially deferred
        for each row execute function fail_late()`)
      const late = () => transaction(alice, (one) => store.update(alice, id, { title: 'late' }, undefined, one))
      const [{ pid: before }] = await pidOf(admin)
      const told = await admin.begin(async (admin) => {
        await admin`select pg_advisory_xact_lock(15)`
        const answer = late().catch((error) => error)
        const pid = await blocked(admin)
        await admin`select pg_cancel_backend(${pid as number})`
        return answer
      })
      t.equal(codeOf(told), 'COMMIT_FAILED')
      t.equal(classify(told), 'unavailable')
      t.match((await store.get(alice, id))?.json, '"title":"old"')
      t.not((await pidOf(admin))[0].pid, before, 'by another connection')
      await admin.unsafe('drop trigger late on tasks; drop function fail_late')
      await close()
    }
  }
)

/** The process of the service's connection. */
const pidOf = (admin: postgres.ISql) =>
  admin<[{ pid: number }]>`select pid from pg_stat_activity
    where datname = current_database() and application_name = 'rowkeeper' order by backend_start desc limit 1`
