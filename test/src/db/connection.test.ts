import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { Connection, type ConnectionOptions, QUEUE_CHECK_MS } from '../../../src/db/connection.ts'
import { classify, codeOf, isStale } from '../../../src/db/errors.ts'
import { TYPES } from '../../../src/db/query.ts'
import { CONNECT_TIMEOUT_MS } from '../../../src/db/session.ts'
import { WATCHDOG_CHECK_MS } from '../../../src/db/watchdog.ts'
import { watchStatements } from '../../contract/statements.ts'
import { proxyTo } from '../../support/proxy.ts'
import { replace } from '../../support/replace.ts'
import { holdTimers } from '../../support/timers.ts'

type Proxy = Awaited<ReturnType<typeof proxyTo>>

interface Row {
  /** What a connection promises. */
  promise: string
  /** What postgres.js 3.4.9 does instead: the program of `test/upstream` that shows it, or a sentence. */
  fault: string
  test(t: Test, to: Proxy, connect: (options?: Partial<ConnectionOptions>) => Connection): Promise<void>
}

/** The codes of those that fail, and the rows of the others. */
const codes = (all: Promise<unknown>[]) => Promise.all(all.map((one) => one.catch((error) => codeOf(error))))

/** The proxy of a test passes each statement on, so it is seen twice. */
const twice = (...statements: string[]) => statements.flatMap((text) => [text, text]).sort()

/** Answers some rows, and then fails. */
const FAILING = 'select 1 / (3 - g) from generate_series(1, 5) g'

/** More than the buffers on the way hold. */
const LARGE = 2 ** 24

const send: Row[] = [
  {
    promise: 'statements are answered in the order in which they were sent, each with its own rows',
    fault: 'a statement that fails after its first rows leaves them to the next',
    async test(t, _to, connect) {
      const { send } = sender(connect())
      t.same(await codes([send(FAILING), send(FAILING)]), ['22012', '22012'])
      t.same(await send('select n::text from generate_series(1, 2) n'), [['1'], ['2']])
      const all = [send(FAILING), send("select 'mine'"), send(FAILING), send('select 1 where false')]
      t.same(await codes(all), ['22012', [['mine']], '22012', []])
    }
  },
  {
    promise: 'a statement whose plan went stale fails, and is sent once',
    fault: 'it is sent again behind what was sent meanwhile, and takes the answers of that',
    async test(t, _to, connect) {
      const { send } = sender(connect())
      await send('create temporary table stale (a int)')
      await send('insert into stale values (1)')
      t.same(await send('select * from stale'), [[1]])
      await send('alter table stale alter a type text')
      const sent: string[] = []
      t.teardown(watchStatements(({ text }) => void sent.push(text)))
      const [stale, ...others] = [send('select * from stale'), send("select 'b'"), send("select 'c'")]
      t.ok(isStale(await stale?.catch((error) => error)))
      t.same(await Promise.all(others), [[['b']], [['c']]])
      t.same(sent.sort(), twice('select * from stale', "select 'b'", "select 'c'"))
    }
  },
  {
    promise: 'a connection closes when the types of a prepared statement do not fit any more (issue 19)',
    fault: 'it goes on with what it prepared, and fails for as long as it lives',
    async test(t, _to, connect) {
      const connection = connect()
      const find = (one: Connection) => one.send('select a from outdated where a = $1', ['1'])
      await connection.send('create table outdated (a text)')
      t.same(await find(connection), [])
      await connection.send('alter table outdated alter a type int using 1')
      t.same(await codes([find(connection)]), ['42883'])
      t.same(await codes([find(connection)]), ['CONNECTION_CLOSED'])
      const next = connect()
      t.same(await find(next), [])
      t.same(await codes([next.send('select upper(1)')]), ['42883'])
      await next.send('drop table outdated')
    }
  },
  {
    promise: 'a parameter is written as its text, each time (issue 19)',
    fault: 'it writes documents, booleans and bytes in another way when it knows the type',
    async test(t, _to, connect) {
      const { send } = sender(connect({ driver: { fetch_types: false, types: TYPES } }))
      for (const [type, text, value] of [
        ['jsonb', '{"a": 1}', { a: 1 }],
        ['json', '"text"', 'text'],
        ['bool', 'true', true],
        ['bool', false, false],
        ['bytea', '\\xfffe', Buffer.from('fffe', 'hex')],
        ['timestamptz', '2030-01-01 00:00:00+00', '2030-01-01 00:00:00+00']
      ] as const) {
        for (let i = 0; i < 3; i++) t.same(await send(`select $1::${type}`, [text]), [[value]], type)
      }
    }
  },
  {
    promise: 'a parameter that cannot be written fails its own statement (issue 19)',
    fault: 'it fails the statement in flight, and later ones get the answers of others',
    async test(t, _to, connect) {
      const { send } = sender(connect())
      const ask = (name: unknown) => send('select $1::text', [name]).catch(({ name }) => name)
      await ask('alice')
      const asked = ['alice', { toString: null }, 'bob', undefined, Symbol('x'), 'carol'].map(ask)
      t.same(await Promise.all(asked), [[['alice']], 'TypeError', [['bob']], 'TypeError', 'TypeError', [['carol']]])
    }
  },
  {
    promise: 'it connects once',
    fault: 'a lost connection is made again, and one that never began is tried for ever',
    async test(t, to, connect) {
      let closed = 0
      const lost = connect({ onClose: () => closed++ })
      await lost.send('select 1')
      const end = to.left()
      to.cut()
      await end
      t.same(await codes([lost.send('select 2')]), ['CONNECTION_CLOSED'])
      to.close()
      const arrived = to.next()
      const never = connect({ onClose: () => closed++ })
      const asked = codes([never.send('select 3')])
      await arrived
      to.cut()
      t.same(await asked, ['CONNECTION_CLOSED'])
      to.open()
      t.same(await codes([lost.send('select 4'), never.send('select 4')]), ['CONNECTION_CLOSED', 'CONNECTION_CLOSED'])
      t.same([to.connections(), closed], [2, 2])
    }
  },
  {
    promise: 'what comes with the error of the socket fails',
    fault: 'a statement between the error and the close is never answered, nor is anything after it',
    async test(t, to, connect) {
      const { send } = sender(connect())
      await send('select 1')
      const stop = watchStatements(() => to.reset())
      const lost = send('select 2')
      const next = lost.catch(() => send('select 3'))
      t.equal(classify(await lost.catch((error) => error)), 'unavailable')
      stop()
      t.same(await codes([next]), ['CONNECTION_CLOSED'])
    }
  },
  {
    promise: 'what waits for the connection is sent in its order, and before what comes later',
    fault: 'of the statements that wait for a new connection some are sent after later ones',
    async test(t, to, connect) {
      to.close()
      const arrived = to.next()
      const { send } = sender(connect())
      const answers: string[] = []
      const ask = (name: string) => send(`select '${name}'`).then(() => answers.push(name))
      const early = Array.from({ length: 30 }, (_, i) => ask(`early ${i}`).then(() => ask(`late ${i}`)))
      await arrived
      to.open()
      await Promise.all(early)
      const names = (when: string) => Array.from({ length: 30 }, (_, i) => `${when} ${i}`)
      t.same(answers, [...names('early'), ...names('late')])
    }
  },
  {
    promise: 'what waited for the connection in vain is not sent',
    fault: 'its queue has no end',
    async test(t, to, connect) {
      const queueChecks = holdTimers(t, QUEUE_CHECK_MS)
      to.close()
      const arrived = to.next()
      const { send } = sender(connect())
      const early = codes([send("select 'early'")])
      await arrived
      for (let i = 0; i < 5; i++) queueChecks.run()
      const late = send("select 'late'")
      for (let i = 0; i < 6; i++) queueChecks.run()
      t.same(await early, ['QUEUE_TIMEOUT'])
      const sent: string[] = []
      t.teardown(watchStatements(({ text }) => void sent.push(text)))
      to.open()
      t.same(await late, [['late']])
      t.same(sent.filter(Boolean), twice("select 'late'"))
      queueChecks.runAll()
      t.equal(queueChecks.count(), 0, 'an empty queue is not checked')
    }
  },
  {
    promise: 'a connection that is not ready in time closes',
    fault: 'its timeout ends when PostgreSQL lets it in, and a pooler does that before it has a connection itself',
    async test(t, to, connect) {
      const timeouts = holdTimers(t, CONNECT_TIMEOUT_MS)
      to.close()
      const arrived = to.next()
      const asked = codes([connect().send('select 1')])
      await arrived
      timeouts.run()
      t.same(await asked, ['CONNECT_TIMEOUT'])
    }
  },
  {
    promise: 'a connection that owes an answer for too long closes by reset (issue 16)',
    fault: 'it waits for the kernel, which gives up after a quarter of an hour',
    async test(t, to, connect) {
      const checks = holdTimers(t, WATCHDOG_CHECK_MS)
      const { send } = sender(connect({ silenceMs: 1000 }))
      await send('select 1')
      checks.run()
      t.equal(checks.count(), 0, 'it owes nothing')
      for (let i = 0; i < 3; i++) {
        const answer = send("select '2'")
        checks.run()
        t.same(await answer, [['2']], 'an answer begins the time anew')
      }
      checks.run()
      to.vanish()
      const unanswered = codes([send('select 3')])
      checks.run()
      checks.run()
      t.match((await unanswered)[0], /^CONNECTION_/)
      checks.runAll()
      t.equal(checks.count(), 0)
    }
  },
  {
    promise: 'so does one by a socket in a directory (issue 19)',
    fault: 'none',
    async test(t, to, connect) {
      const checks = holdTimers(t, WATCHDOG_CHECK_MS)
      const path = join(mkdtempSync(join(tmpdir(), 'rowkeeper-socket-')), 'pg')
      const server = createServer((socket) => {
        const onward = createConnection(Number(new URL(to.url).port), '127.0.0.1')
        socket.pipe(onward).pipe(socket)
        for (const end of [socket, onward]) end.on('error', () => {})
      }).listen(path)
      await once(server, 'listening')
      t.teardown(() => server.close())
      const connection = connect({ address: { path }, silenceMs: 1000 })
      await connection.send('select 1')
      to.vanish()
      const unanswered = codes([connection.send('select 2')])
      for (let i = 0; i < 3; i++) checks.run()
      t.match((await unanswered)[0], /^CONNECTION_/)
    }
  },
  {
    promise: 'without a limit nothing is watched',
    fault: 'none',
    async test(t, _to, connect) {
      const checks = holdTimers(t, WATCHDOG_CHECK_MS)
      await connect().send('select 1')
      t.equal(checks.count(), 0)
    }
  },
  {
    promise: 'a connection to a server that became read-only closes (issue 19)',
    fault: 'it stays with the server that was demoted',
    async test(t, _to, connect) {
      const { send } = sender(connect())
      await send('set default_transaction_read_only = on')
      const behind = "select '1'"
      const sent = [send('create table none ()').catch(codeOf), send(behind)]
      t.same(await Promise.all(sent), ['25006', [['1']]], 'PostgreSQL does what was sent behind that, and answers')
      t.same(await codes([send(behind)]), ['CONNECTION_CLOSED'])
      // The one session of the embedded engine goes on.
      await connect().send('set default_transaction_read_only = off')
    }
  },
  {
    promise: 'a statement leaves nothing behind that a minor collection does not free',
    fault: 'its queries are promises that closures over themselves resolve',
    async test(t, to) {
      const { hostname: host, port } = new URL(to.url)
      const workerData = { url: to.url, driver: { fetch_types: false }, address: { host, port: Number(port) } }
      const program = new URL('../../support/heap-growth.js', import.meta.url)
      const [bytes] = await once(new Worker(program, { workerData }), 'message')
      t.ok(bytes < 1_000_000, `${bytes} bytes after 2,000 statements`)
    }
  }
]

const pipeline: Row[] = [
  {
    promise: 'statements that belong together are sent together, or fail together',
    fault: 'a lost connection cuts them in two',
    async test(t, to, connect) {
      const connection = connect()
      const large = 'x'.repeat(LARGE)
      const sendAll = () => {
        const send = connection.pipeline()
        return [send('select length($1::text)::text', [large]), send("select '2'"), send("select '3'")]
      }
      await connection.send('select 1')
      to.read(false)
      const all = sendAll()
      to.read(true)
      t.same(await Promise.all(all), [[[String(LARGE)]], [['2']], [['3']]])
      to.read(false)
      const lost = codes(sendAll())
      to.cut()
      for (const code of await lost) t.match(code, /^CONNECTION_|ECONNRESET|EPIPE/)
    }
  }
]

const transaction: Row[] = [
  {
    promise: 'a transaction has the connection to itself, however much is under way',
    fault: '`begin` behind a hundred statements ends the process',
    async test(t, _to, connect) {
      const connection = connect()
      const name = () => connection.send('show application_name')
      const strangers: Promise<unknown[][]>[] = []
      const inside = async (send: Connection['send']) => {
        await send("set local application_name = 'inside'")
        strangers.push(name())
        await send('select 1')
        return send('show application_name')
      }
      for (const others of [0, 98, 99, 100, 250]) {
        const before = Array.from({ length: others }, name)
        const [one, another] = [connection.transaction(inside), connection.transaction(inside)]
        const after = Array.from({ length: others }, name)
        t.same([await one, await another], [[['inside']], [['inside']]], `${others} others`)
        const told = await Promise.all([...before, ...strangers, ...after])
        t.notOk(told.flat(2).includes('inside'), 'nothing of others is in it')
      }
    }
  },
  {
    promise: 'a transaction fails with the first of its statements that failed, and is undone',
    fault: 'a failure that the work ignores is acknowledged',
    async test(t, _to, connect) {
      const connection = connect()
      await connection.send('create temporary table done (a int)')
      const careless = connection.transaction(async (send) => {
        await send('insert into done values (1)')
        await send('select 1/0').catch(() => {})
        return 'done'
      })
      t.same(await codes([careless]), ['22012'])
      const failing = (send: Connection['send']) => Promise.all([send(FAILING), send("select 'none'")])
      t.same(await codes([connection.transaction(failing)]), ['22012'])
      const impatient = connection.transaction(async (send) => {
        await send('insert into done values (1)')
        send('select 1/0').catch(() => {})
      })
      t.same(await codes([impatient]), ['22012'], 'also one that it does not wait for')
      await t.rejects(
        connection.transaction(() => Promise.reject(new Error('ours'))),
        { message: 'ours' }
      )
      t.same(await connection.send('select count(*)::text from done'), [['0']])
    }
  },
  {
    promise: 'a transaction that could not begin leaves the connection to others',
    fault: 'none',
    async test(t, to, connect) {
      const queueChecks = holdTimers(t, QUEUE_CHECK_MS)
      const connection = connect()
      await connection.send('select 1')
      let end = () => {}
      const ended = new Promise<void>((resolve) => (end = resolve))
      const first = connection.transaction(async (send) => {
        await send("select '2'")
        await ended
        return send("select '3'")
      })
      const none = codes([connection.transaction((send) => send('select 4')), connection.send('select 5')])
      for (let i = 0; i < 11; i++) queueChecks.run()
      t.same(await none, ['QUEUE_TIMEOUT', 'QUEUE_TIMEOUT'])
      end()
      t.same(await first, [['3']])
      t.same(await connection.send("select '6'"), [['6']])
      t.same(await connection.transaction((send) => send("select '7'")), [['7']])
      t.equal(to.connections(), 1)
    }
  },
  {
    promise: 'a transaction that loses its connection fails, and ends nothing else',
    fault: 'a connection that is lost inside `begin` ends the process',
    async test(t, to, connect) {
      for (const [what, lose] of [
        ['begin', to.reset],
        ['select 2', to.cut],
        ['commit', to.reset]
      ] as const) {
        const connection = connect()
        await connection.send('select 1')
        const stop = watchStatements(({ text }) => text === what && lose())
        const left = to.left()
        const failed = await connection.transaction((send) => send('select 2')).catch((error) => error)
        stop()
        t.equal(classify(failed), 'unavailable', what)
        t.ok('query' in failed, 'known as an error of the database')
        t.same(await codes([connection.send('select 3')]), ['CONNECTION_CLOSED'])
        await left
      }
    }
  }
]

const end: Row[] = [
  {
    promise: 'it ends when what was sent is answered, and takes nothing more',
    fault: 'none',
    async test(t, _to, connect) {
      let closed = 0
      const connection = connect({ onClose: () => closed++ })
      await connection.send('select 1')
      const answer = connection.send("select '2'")
      const ended = connection.end()
      t.same(await codes([connection.send('select 3')]), ['CONNECTION_CLOSED'])
      t.same(await answer, [['2']])
      await ended
      t.equal(closed, 1)
    }
  },
  {
    promise: 'what was sent and is not answered in time fails',
    fault: 'none',
    async test(t, to, connect) {
      const connection = connect()
      await connection.send('select 1')
      to.read(false)
      const answer = codes([connection.send('select 2')])
      await connection.end(0)
      t.same(await answer, ['CONNECTION_DESTROYED'])
    }
  },
  {
    promise: 'one that is closed as it begins takes nothing',
    fault: 'none',
    async test(t, _to, connect) {
      let closed = 0
      const { setTimeout, clearTimeout } = globalThis
      let timeout: NodeJS.Timeout | undefined
      const set = (run: () => void, ms: number, ...rest: []) => {
        const timer = setTimeout(run, ms, ...rest)
        if (ms === CONNECT_TIMEOUT_MS) timeout = timer
        return timer
      }
      // The session ends its timeout when PostgreSQL has answered, and before the connection hears of that.
      const began = new Promise<void>((resolve) => {
        const end = (timer: NodeJS.Timeout | undefined) => {
          clearTimeout(timer)
          if (timer === undefined || timer !== timeout) return
          timeout = undefined
          void connection.end(0)
          resolve()
        }
        replace(t, globalThis, 'setTimeout', set)
        replace(t, globalThis, 'clearTimeout', end)
      })
      const connection = connect({ onClose: () => closed++ })
      await began
      t.same(await codes([connection.send('select 1')]), ['CONNECTION_CLOSED'])
      t.equal(closed, 1)
    }
  },
  {
    promise: 'one that is closed while it connects connects no more',
    fault: 'none',
    async test(t, to, connect) {
      for (const timeout of [undefined, 0.5]) {
        const connection = connect({ delayMs: 1 })
        const asked = codes([connection.send('select 1')])
        await connection.end(timeout)
        t.same(await asked, ['CONNECTION_CLOSED'])
      }
      t.equal(to.connections(), 0)
    }
  }
]

/** `send` of a connection. */
const sender = (connection: Connection) => ({
  send: (...statement: Parameters<Connection['send']>) => connection.send(...statement)
})

for (const [method, rows] of Object.entries({ send, pipeline, transaction, end })) {
  for (const { promise, fault, test } of rows) {
    t.test(`${method}: ${promise} (postgres.js: ${fault})`, async (t) => {
      const to = await proxyTo(t, 'owner')
      const { hostname: host, port } = new URL(to.url)
      const made: Connection[] = []
      t.teardown(() => Promise.all(made.map((connection) => connection.end(0))))
      await test(t, to, (options) => {
        const connection = new Connection({
          url: to.url,
          driver: { fetch_types: false, connection: { application_name: 'rowkeeper' } },
          address: { host, port: Number(port) },
          ...options
        })
        made.push(connection)
        return connection
      })
    })
  }
}
