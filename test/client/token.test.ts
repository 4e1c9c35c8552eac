import t, { type Test } from 'tap'
import { TokenSource } from '../../client/token.ts'
import { claimsOf, sign, tokenFor } from '../support/app.ts'
import { replace } from '../support/replace.ts'
import { holdTimers } from '../support/timers.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND

/** A clock that the test sets, in milliseconds from now. */
function clock(t: Test, offset = 0) {
  const { now } = Date
  const time = { offset }
  replace(t, Date, 'now', () => now() + time.offset)
  return time
}

/** A source whose tokens live for 10 minutes by the clock of the issuer, which is right. */
function source(fetch: () => Promise<string | null>) {
  let ends = 0
  const tokens = new TokenSource(fetch, () => ends++)
  return { tokens, ends: () => ends }
}

/** Gives a new token each time, from an issuer whose clock is right whatever this machine's is. */
function issuer(sub = 'alice') {
  const real = Date.now
  let count = 0
  const fetch = async () => {
    const iat = Math.floor((real() + issued.offset) / SECOND)
    return tokenFor(sub, { iat, exp: iat + 600, jti: String(count++) })
  }
  const issued = { offset: 0, fetch, count: () => count }
  return issued
}

t.test('however many callers wait, one request for a token is in flight (issue 22)', async (t) => {
  const { fetch, count } = issuer()
  const { tokens } = source(fetch)
  const all = await Promise.all(Array.from({ length: 50 }, () => tokens.get()))
  t.equal(new Set(all).size, 1)
  t.equal(count(), 1)
  tokens.refuse(all[0] as (typeof all)[number])
  await Promise.all([tokens.get(), tokens.get()])
  t.equal(count(), 2)
  tokens.refuse(all[0] as (typeof all)[number])
  await tokens.get()
  t.equal(count(), 2, 'the token that was refused is not the present one')
})

t.test('a token is renewed shortly before it expires (issue 22)', async (t) => {
  const issued = issuer()
  const time = clock(t)
  const { tokens } = source(issued.fetch)
  await tokens.get()
  const passed = (ms: number) => {
    time.offset = ms
    issued.offset = ms
  }
  passed(9.4 * MINUTE)
  await tokens.get()
  t.equal(issued.count(), 1)
  passed(9.6 * MINUTE)
  await tokens.get()
  t.equal(issued.count(), 2)
})

t.test('a token that is about to expire is used while the issuer is down, and not longer (issue 22)', async (t) => {
  const issued = issuer()
  const time = clock(t)
  let down = false
  const { tokens } = source(() => (down ? Promise.reject(new Error('down')) : issued.fetch()))
  const first = await tokens.get()
  down = true
  time.offset = 9.9 * MINUTE
  t.equal(await tokens.get(), first)
  tokens.refuse(first)
  await t.rejects(tokens.get(), { code: 'token_unavailable', cause: { message: 'down' } })
})

for (const [name, offset] of Object.entries({ fast: 60 * MINUTE, slow: -60 * MINUTE })) {
  t.test(`with a clock that is an hour ${name} a token is used for its life (issue 22)`, async (t) => {
    const issued = issuer()
    const time = clock(t, offset)
    const { tokens } = source(issued.fetch)
    await tokens.get()
    // The moment by the clock of the issuer is known to the life of a token.
    const real = Date.now() - offset
    t.ok(Math.abs(tokens.now() - real) <= 10 * MINUTE + SECOND)
    time.offset += 9 * MINUTE
    await tokens.get()
    t.equal(issued.count(), 1)
    time.offset += MINUTE
    await tokens.get()
    t.equal(issued.count(), 2)
  })
}

t.test('the clock of the machine counts where it is plausible (issue 22)', async (t) => {
  const issued = issuer()
  issued.offset = -5 * MINUTE
  const time = clock(t)
  const { tokens } = source(issued.fetch)
  const isRight = () => t.ok(Math.abs(tokens.now() - Date.now()) < SECOND)
  isRight()
  await tokens.get()
  isRight()
  time.offset = 4.6 * MINUTE
  await tokens.get()
  t.equal(issued.count(), 2, 'a token that was 5 minutes old already')
})

t.test('a token without times, or that is none, is used until the service refuses it (issue 22)', async (t) => {
  for (const text of [sign({ alg: 'HS256' }, { sub: 'alice' }), 'opaque', 'a.b.c', '']) {
    let count = 0
    const { tokens } = source(async () => {
      count++
      return text
    })
    await tokens.get()
    t.equal((await tokens.get()).text, text)
    t.equal(count, 1)
    t.ok(Math.abs(tokens.now() - Date.now()) < MINUTE)
  }
})

t.test('null means signed out, for every caller and for good (issue 22)', async (t) => {
  let signedIn = true
  const { fetch } = issuer()
  const { tokens, ends } = source(() => (signedIn ? fetch() : Promise.resolve(null)))
  const first = await tokens.get()
  signedIn = false
  tokens.refuse(first)
  const all = await Promise.allSettled([tokens.get(), tokens.get()])
  for (const one of all) t.match(one, { status: 'rejected', reason: { code: 'signed_out', status: 401 } })
  signedIn = true
  await t.rejects(tokens.get(), { code: 'signed_out' })
  tokens.end()
  t.equal(ends(), 1)
})

t.test("another user's token ends the client of the first one (issue 22)", async (t) => {
  let sub = 'alice'
  const { tokens, ends } = source(async () => sign({ alg: 'HS256' }, claimsOf(sub)))
  const first = await tokens.get()
  t.equal(first.subject, 'alice')
  sub = 'bob'
  tokens.refuse(first)
  await t.rejects(tokens.get(), { code: 'signed_out' })
  t.equal(ends(), 1)
})

t.test('who signs out while a token is on its way gets none (issue 22)', async (t) => {
  let give = (_token: string) => {}
  const { tokens } = source(() => new Promise((resolve) => (give = resolve)))
  const waiting = tokens.get()
  await new Promise((resolve) => setImmediate(resolve))
  tokens.end()
  give(tokenFor('alice'))
  await t.rejects(waiting, { code: 'signed_out' })
})

t.test(
  'an issuer that does not answer, or fails at once, is an error that the next call tries again (issue 22)',
  async (t) => {
    const timers = holdTimers(t, 15_000)
    let count = 0
    const { tokens } = source(() => {
      count++
      if (count === 1) return new Promise(() => {})
      if (count === 2) throw new Error('at once')
      return Promise.resolve(tokenFor('alice'))
    })
    const hanging = tokens.get()
    await timers.fire(15_000)
    await t.rejects(hanging, { code: 'token_unavailable', cause: { name: 'AbortError' } })
    await t.rejects(tokens.get(), { code: 'token_unavailable', cause: { message: 'at once' } })
    t.equal((await tokens.get()).subject, 'alice')
  }
)
