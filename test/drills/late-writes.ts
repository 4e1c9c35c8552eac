// A write is answered 503, and a later write of the same task 200. The later write must last, however long the first
// one waited.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { attack } from './attackers.ts'
import { insertTasks, search } from './attacks.ts'
import { type Answer, ask, cluster, drill, expect, quick, service, tokenOf } from './kit.ts'

type Database = Awaited<ReturnType<typeof cluster>>

/** Rounds for each kind of write and each service. */
const ROUNDS = quick ? 8 : 24
/** How long a first write is repeated until it is refused, and a second one until it is done. */
const REFUSED_MS = 7000
const DONE_MS = 180_000
/**
 * Nothing is late any more once PostgreSQL had nothing to do for the service for so long, which takes a minute when
 * searches wait.
 */
const QUIET_MS = 3000
const QUIET_WITHIN_MS = 180_000
const SEARCHER = 'searcher'

interface Round {
  port: number
  user: string
  id: string
}

type Write = (round: Round) => Promise<Answer>

const path = (id: string) => `/api/tasks/${id}`
const title = (title: string) => ({ title })

/** The ways to write A. */
const WAYS: Record<string, Write> = {
  PUT: ({ port, user, id }) => ask(port, 'PUT', path(id), user, title('A')),
  PATCH: ({ port, user, id }) => ask(port, 'PATCH', path(id), user, title('A')),
  DELETE: ({ port, user, id }) => ask(port, 'DELETE', path(id), user),
  batch: ({ port, user, id }) =>
    ask(port, 'POST', '/api/tasks/batch', user, { update: [{ id, change: title('A') }], create: [title('beside A')] }),
  'keyed batch': ({ port, user, id }) =>
    ask(port, 'POST', '/api/tasks/batch', user, { update: [{ id, change: title('A') }] }, randomUUID())
}

/** Repeats a write until `holds`. Returns the last answer; undefined when it was not in time. */
async function until(most: number, write: () => Promise<Answer>, holds: (status: number) => boolean) {
  const end = performance.now() + most
  while (performance.now() < end) {
    const answer = await write()
    if (holds(answer.status)) return answer
    await sleep(20)
  }
  return undefined
}

const refused = (status: number) => status === 503

interface Result {
  refused: boolean
  /** Checks the state that must last, once no write can be late any more. Returns what is wrong. */
  check(): Promise<string | undefined>
}

const WORKS = [200, 404]

/** Writes A until it is refused, then B until it is done, which must last. */
async function rewrite(round: Round, write: Write): Promise<Result> {
  const { port, user, id } = round
  const first = await until(
    REFUSED_MS,
    () => write(round),
    (status) => refused(status) || status === 404
  )
  const put = () => ask(port, 'PUT', path(id), user, title('B'))
  const second = await until(DONE_MS, put, (status) => WORKS.includes(status))
  // A delete that was refused may have been done before B.
  const good = second?.status === 200 ? 'B' : '404'
  return {
    refused: first?.status === 503,
    async check() {
      if (second === undefined) return 'B was never done'
      const { status, body } = await ask(port, 'GET', path(id), user)
      const now = status === 200 ? (JSON.parse(body) as { title: string }).title : String(status)
      return now === good ? undefined : `${now} after ${good}`
    }
  }
}

/** Creates with a key until it is refused, then until it is done: it is done once. */
async function recreate({ port, user }: Round): Promise<Result> {
  const [key, name] = [randomUUID(), randomUUID()]
  const create = () => ask(port, 'POST', '/api/tasks', user, title(name), key)
  const first = await until(REFUSED_MS, create, refused)
  const second = await until(DONE_MS, create, (status) => status === 201)
  return {
    refused: first !== undefined,
    async check() {
      if (second === undefined) return 'it was never created'
      const { status, body } = await ask(port, 'GET', '/api/tasks?limit=100', user)
      const tasks = status === 200 ? (JSON.parse(body) as { title: string }[]) : []
      const times = tasks.filter((task) => task.title === name).length
      return times === 1 ? undefined : `created ${times} times (${status})`
    }
  }
}

/** Waits until PostgreSQL has done all that the services sent. */
async function quiet(database: Database) {
  const end = performance.now() + QUIET_WITHIN_MS
  let since = performance.now()
  while (performance.now() - since < QUIET_MS) {
    if (performance.now() > end) return expect(false, 'the database has nothing to do')
    await sleep(200)
    const [active] = await database.query<{ n: number }>(
      "select count(*)::int as n from pg_stat_activity where application_name = 'rowkeeper' and state <> 'idle'"
    )
    if (active?.n !== 0) since = performance.now()
  }
}

/** Blocks writes. Resolves when it has begun, with a promise that resolves when it is over. */
type Disturb = (users: string[]) => Promise<() => Promise<unknown>>

/** Runs the rounds of all kinds at once, each with its own user. */
async function rounds(database: Database, what: string, ports: number[], disturb: Disturb) {
  const ways = [...Object.keys(WAYS), 'keyed create']
  const all = ports.flatMap((port) =>
    ways.flatMap((way) =>
      Array.from({ length: ROUNDS }, (_, n) => ({ port, way, user: `${what} ${way} ${n} ${port}` }))
    )
  )
  const prepared = await Promise.all(
    all.map(async (one) => {
      const { body } = await ask(one.port, 'POST', '/api/tasks', one.user, title('old'))
      return { ...one, id: (JSON.parse(body) as { id: string }).id }
    })
  )
  const over = await disturb(prepared.map(({ user }) => user))
  const writing = prepared.map(async (one) => {
    const write = WAYS[one.way]
    return { way: one.way, ...(await (write === undefined ? recreate(one) : rewrite(one, write))) }
  })
  const results = await Promise.all(writing)
  await over()
  await quiet(database)
  for (const way of ways) {
    const own = results.filter((one) => one.way === way)
    const wrong = (await Promise.all(own.map((one) => one.check()))).filter((one) => one !== undefined)
    const told = `of ${own.length} rounds ${own.filter((one) => one.refused).length} were refused at first`
    expect(wrong.length === 0, `${what}, ${way}: ${told}, ${wrong.length} are wrong ${[...new Set(wrong)]}`)
  }
}

/** Other sessions lock the rows of all users for 1 to 6 seconds. */
async function lock(database: Database, users: string[]) {
  const seconds = [1, 2, 3, 4, 5, 6]
  const client = postgres(database.url, { max: seconds.length, onnotice: () => {} })
  const sessions = seconds.map(async (n) => {
    const session = await client.reserve()
    const some = users.filter((_, i) => i % seconds.length === n - 1)
    await session`begin`
    await session`select 1 from tasks where user_id in ${session(some)} for update`
    return async () => {
      await sleep(n * 1000)
      await session`commit`
      session.release()
    }
  })
  const locked = (await Promise.all(sessions)).map((commit) => commit())
  return () => Promise.all(locked).then(() => client.end())
}

async function pause(database: Database) {
  database.signal('STOP')
  const over = sleep(5500).then(() => database.signal('CONT'))
  return () => over
}

/** The role that row-level security binds, as docs/row-level-security.md creates it; `…` stands for its password. */
async function boundRole(database: Database): Promise<string> {
  const document = readFileSync(new URL('../../../docs/row-level-security.md', import.meta.url), 'utf8')
  const [, block = ''] = /^```sql\n([\s\S]*?)^```$/m.exec(document) ?? []
  await database.query(block.replace('…', 'rowkeeper'))
  return Object.assign(new URL(database.url), { username: 'rowkeeper', password: 'rowkeeper' }).href
}

await drill('A write that was refused does not come late', async () => {
  const database = await cluster()
  const services = [await service({ DATABASE_URL: database.url })]
  // The short form runs without row-level security only.
  if (!quick) services.push(await service({ DATABASE_URL: await boundRole(database), DATABASE_RLS: 'true' }))
  const ports = services.map(({ port }) => port)
  await rounds(database, 'row locked', ports, (users) => lock(database, users))
  await rounds(database, 'database paused', ports, () => pause(database))
  await insertTasks(database, SEARCHER, 10_000)
  await rounds(database, 'searches', ports, async () => {
    const attackers = await Promise.all(ports.map((port) => attack(port, search(tokenOf(SEARCHER)))))
    // By then each connection has some searches.
    await sleep(1000)
    return () => Promise.all(attackers.map((one) => one.stop()))
  })
})
