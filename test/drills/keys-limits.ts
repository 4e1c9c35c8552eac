// Neighbours who forge tokens, keys that change, and tokens of keys that nobody knows: users of the same address get in
// all the same.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { attack, withToken } from './attackers.ts'
import { Honest } from './honest.ts'
import { Issuer } from './issuer.ts'
import { ask, cluster, drill, expect, quick, service } from './kit.ts'

const NEIGHBOURS_MS = 6000
const NEWCOMERS = 60
const FORGED_PER_SECOND = 100
const SIGNED_IN = 400
/** The address that the users share. */
const SHARED = ['127.0.0.1']
const STRANGERS = Array.from({ length: 60 }, (_, n) => `127.0.1.${n + 1}`)
/** The limits of production, which the other drills turn off. */
const LIMITS = { RATE_LIMIT_MAX: '600', RATE_LIMIT_ANONYMOUS_MAX: '120' }

const list = (token: string) => withToken(token, 'GET', '/api/tasks')

/**
 * What the first request of a user is answered, and whether they get in by then, or after the time that they are told.
 */
async function visit(port: number, token: string): Promise<{ first: number; in: boolean }> {
  const { status: first, retryAfter } = await ask(port, 'GET', '/api/tasks', { token })
  if (first === 200 || retryAfter === undefined) return { first, in: first === 200 }
  await sleep(Number(retryAfter) * 1000)
  return { first, in: (await ask(port, 'GET', '/api/tasks', { token })).status === 200 }
}

/** Sixty users come to an address from which a hundred forged tokens a second are sent already. */
async function neighbour(issuer: Issuer, url: string) {
  const victims = Array.from({ length: NEWCOMERS }, (_, n) => `newcomer-${n}`)
  const many = (make: (n: number) => string) => Array.from({ length: 1000 }, (_, n) => list(make(n)))
  const shapes: Record<string, string[]> = {
    'the same token': [list(issuer.forged('mallory'))],
    'new tokens of one user': many(() => issuer.forged('mallory')),
    'tokens of users that there are not': many((n) => issuer.forged(`nobody-${n}`)),
    'tokens of the users who come': many((n) => issuer.forged(victims[n % NEWCOMERS] ?? ''))
  }
  const kinds = quick ? { 'tokens of every kind': Object.values(shapes).flat() } : shapes
  for (const [what, requests] of Object.entries(kinds)) {
    const app = await service({ DATABASE_URL: url, ...LIMITS, ...issuer.env })
    const shuffled = requests.map((_, n) => requests[(n * 7919) % requests.length] ?? '')
    const attacker = await attack(app.port, {
      how: 'ask',
      requests: shuffled,
      count: 100_000,
      perSecond: FORGED_PER_SECOND,
      sources: SHARED
    })
    await sleep(3000)
    const coming = victims.map(async (user, n) => {
      await sleep((NEIGHBOURS_MS * n) / NEWCOMERS)
      return visit(app.port, issuer.token(user))
    })
    const passed = (await Promise.all(coming)).filter((one) => one.in).length
    const { statuses } = await attacker.stop()
    console.log(`  beside ${what}, which are answered ${JSON.stringify(statuses)}`)
    expect(passed >= NEWCOMERS - 1, `beside ${what}: ${passed} of ${NEWCOMERS} users get in`)
    await app.stop('SIGKILL')
  }
}

/** Everybody of an address has a token of a new key at once. */
async function rotation(issuer: Issuer, url: string) {
  const app = await service({ DATABASE_URL: url, ...LIMITS, ...issuer.env })
  const users = Array.from({ length: SIGNED_IN }, (_, n) => `user-${n}`)
  const visits = async (when: string) => {
    const all = await Promise.all(users.map((user) => visit(app.port, issuer.token(user))))
    const passed = all.filter((one) => one.in).length
    const limited = all.filter(({ first }) => first === 429).length
    expect(passed === SIGNED_IN, `${when} a rotation ${passed} of ${SIGNED_IN} users of an address get in`)
    expect(limited === 0, `${when} a rotation ${limited} of them are told that they asked too often`)
  }
  await visits('before')
  issuer.delayMs = 300
  issuer.rotate()
  await visits('after')
  issuer.delayMs = 20
  await app.stop('SIGKILL')
}

/** Tokens of unknown keys by the thousand, while the issuer is slow to say which keys there are. */
async function unknownKeys(issuer: Issuer, url: string) {
  const app = await service({ DATABASE_URL: url, ...LIMITS, ...issuer.env })
  const honest = new Honest(app.port, { users: 10, perSecond: 20, tokenOf: issuer.token, name: 'known' })
  await sleep(1500)
  issuer.delayMs = 1900
  const requests = Array.from({ length: 4000 }, (_, n) => list(issuer.forged(`nobody-${n}`, randomUUID())))
  const begun = honest.attacked()
  const attacker = await attack(app.port, {
    how: 'ask',
    requests,
    count: 4000,
    perSecond: 500,
    atOnce: 4000,
    sources: STRANGERS
  })
  await sleep(8000)
  honest.expectUnharmed('tokens of unknown keys', begun)
  const { statuses } = await attacker.stop()
  console.log(`  tokens of unknown keys are answered ${JSON.stringify(statuses)}`)
  issuer.delayMs = 20
  // What the attack left would spoil the last check.
  await sleep(5000)
  await honest.stop()
  await app.stop('SIGKILL')
}

await drill('Forged tokens, a rotation of keys, and keys that nobody knows', async () => {
  const { url } = await cluster()
  const issuer = await Issuer.start()
  await neighbour(issuer, url)
  await rotation(issuer, url)
  await unknownKeys(issuer, url)
})
