import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { attack, http, withToken } from './attackers.ts'
import { type Attack, abortions, DOCUMENTATION, insertTasks, raw, refusedBodies, search, unread } from './attacks.ts'
import type { Issuer } from './issuer.ts'
import type { cluster } from './kit.ts'

/** An attack among others, paced so that two cores carry it beside the service, the database and the honest users. */
export interface Kind {
  what: string
  /** Resolves when it is over, after `seconds` at the latest. */
  run(port: number, seconds: number): Promise<void>
}

const STRANGERS = Array.from({ length: 60 }, (_, n) => `127.0.1.${n + 1}`)
/** Attacks from the address of the honest users. */
const SHARED = ['127.0.0.1']
const PER_SECOND = 100
const HELD = 100

/** @param job made anew each time, since tokens expire */
function kind(what: string, job: () => Attack, during?: (port: number) => Promise<unknown>): Kind {
  return {
    what,
    async run(port, seconds) {
      const attacker = await attack(port, job())
      const end = sleep(seconds * 1000)
      await Promise.race([Promise.all([attacker.report, during?.(port)]), end])
      await attacker.stop()
    }
  }
}

/** The first half of a request. */
const SILENT = [
  '',
  'POST /api/tasks HTTP/1.1\r\nHost: x\r\n',
  http('POST', '/api/tasks', { 'Content-Type': 'application/json', 'Content-Length': '100' })
]

/** Every attack of the other drills, by users of the issuer within the default limits. */
export async function kinds(issuer: Issuer, database: Awaited<ReturnType<typeof cluster>>, searchers: number) {
  const token = () => issuer.token('attacker')
  const list = (one: string) => withToken(one, 'GET', '/api/tasks')
  const named = <T>(attacks: [string, T][], what: string): T => {
    const [, found] = attacks.find(([name]) => name === what) ?? []
    if (found === undefined) throw new Error(`no attack ${what}`)
    return found
  }
  const reset = raw('', 0).flatMap(([what]) => [
    kind(`${what}, reset`, () => ({ ...named(raw(token(), 1000), what), how: 'abort', perSecond: PER_SECOND })),
    kind(`${what}, held`, () => named(raw(token(), HELD), what))
  ])
  const left = abortions('', 0).map(([what]) =>
    kind(what, () => {
      const { begun = false, ...job } = named(abortions(token(), 1000), what)
      return { ...job, begun, perSecond: begun ? PER_SECOND / 5 : PER_SECOND }
    })
  )
  const deaf = await unread(database, issuer.token)
  const users = Array.from({ length: searchers }, (_, n) => `searcher-${n}`)
  for (const user of users) await insertTasks(database, user, 10_000)
  await database.query('vacuum analyze tasks')
  const forged = (kid?: () => string) =>
    Array.from({ length: 500 }, (_, n) => list(issuer.forged(`user-${n}`, kid?.())))
  const floods: Kind[] = [
    kind('slow senders', () => ({ how: 'hold', requests: SILENT, count: HELD })),
    kind('slow documentation', () => ({
      how: 'drip',
      requests: [http('GET', DOCUMENTATION, { Connection: 'close' })],
      perSecond: 150_000,
      small: true
    })),
    kind('refused bodies', () => refusedBodies(token(), 100, 10)),
    kind('forged tokens', () => ({
      how: 'ask',
      requests: forged(),
      count: 2000,
      perSecond: PER_SECOND,
      sources: SHARED
    })),
    kind('unknown keys', () => ({
      how: 'ask',
      requests: forged(randomUUID),
      count: 2000,
      perSecond: PER_SECOND,
      sources: STRANGERS
    })),
    { what: 'a rotation of keys', run: async () => issuer.rotate() }
  ]
  return [
    ...reset,
    ...left,
    ...deaf.map(({ what, job, during }) => kind(what, job, during)),
    ...users.map((user) => kind(`searches of ${user}`, () => search(issuer.token(user)))),
    ...floods
  ]
}
